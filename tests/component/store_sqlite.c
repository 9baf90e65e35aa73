// SPDX-License-Identifier: Apache-2.0
/* The contract, run for SQLite, and what only SQLite's back end promises. */
#include "store_contract.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "store/sqlite.h"

static void *
sqlite_make(void)
{
  char *dir = g_dir_make_tmp("pt-store-XXXXXX", NULL);

  g_assert_nonnull(dir);
  return dir;
}

static char *
db_of(const char *place)
{
  return g_build_filename(place, "store.db", NULL);
}

static PtStore *
sqlite_open(void *place, GError **error)
{
  g_autofree char *path = db_of(place);

  return pt_store_open_sqlite(path, error);
}

static void
sqlite_drop(void *place)
{
  g_autoptr(GDir) dir = g_dir_open(place, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(place, name, NULL);
    g_assert_cmpint(unlink(path), ==, 0);
  }
  g_assert_cmpint(rmdir(place), ==, 0);
  g_free(place);
}

static const StoreFactory sqlite_factory = { "sqlite", sqlite_make, sqlite_open, sqlite_drop, pt_sqlite_keep, true };

/* In this process and in another, and free again once that one is killed. */
static void
test_one_process(StoreFixture *f, gconstpointer data)
{
  g_autoptr(GError) err = NULL;
  (void)data;

  g_assert_null(sqlite_open(f->place, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_CONFLICT);
  g_assert_nonnull(pt_error_get_hint(err));
  pid_t pid = fork();
  if (pid == 0) {
    g_autoptr(GError) e = NULL;
    _exit(sqlite_open(f->place, &e) || e->code != PT_ERR_CONFLICT);
  }
  int status = -1;
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  g_assert_cmpint(status, ==, 0);
  store_put(f->store, "still", "ours");
}

static void
test_modes(StoreFixture *f, gconstpointer data)
{
  static const char *const files[] = { "store.db", "store.db-wal", "store.db-shm", "store.db-lock" };
  (void)data;

  store_put(f->store, "a", "b");
  for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *path = g_build_filename(f->place, files[i], NULL);
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0600);
  }
}

static void
expect_refused(StoreFixture *f, int code, const char *text)
{
  g_autoptr(GError) err = NULL;
  PtStore *s = sqlite_open(f->place, &err);

  g_assert_null(s);
  g_assert_error(err, PT_ERROR, code);
  g_assert_nonnull(strstr(err->message, text));
}

static void
exec_raw(StoreFixture *f, const char *sql)
{
  g_autofree char *path = db_of(f->place);
  sqlite3 *db = NULL;

  g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close(db);
}

static void
test_foreign(StoreFixture *f, gconstpointer data)
{
  g_autofree char *path = db_of(f->place);
  (void)data;

  pt_store_close(g_steal_pointer(&f->store));
  exec_raw(f, "PRAGMA user_version=99");
  expect_refused(f, PT_ERR_UNSUPPORTED, "newer");
  exec_raw(f, "PRAGMA user_version=1; PRAGMA application_id=7");
  expect_refused(f, PT_ERR_UNSUPPORTED, "something else");
  g_assert_true(g_file_set_contents(path, "this is no database at all, but a text of some length", -1, NULL));
  expect_refused(f, PT_ERR_INTERNAL, "not a database");
  g_assert_cmpint(unlink(path), ==, 0);
  g_assert_cmpint(symlink("/etc/passwd", path), ==, 0);
  expect_refused(f, PT_ERR_INVALID, "store");
}

/* A copy made while others write is whole and can be opened; nothing is overwritten. */
static gint writing;

static gpointer
write_on(gpointer data)
{
  for (int i = 0; g_atomic_int_get(&writing); i++) {
    g_autoptr(PtTxn) txn = pt_txn_new();
    g_autofree char *text = g_strdup_printf("%d", i);
    pt_txn_put(txn, "a", text);
    pt_txn_put(txn, "b", text);
    g_assert_true(pt_store_commit(data, txn, NULL, NULL));
  }
  return NULL;
}

static void
test_backup(StoreFixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename(f->place, "copy.db", NULL), *none = g_build_filename(f->place, "no/copy.db", NULL);
  g_autoptr(GError) err = NULL, err2 = NULL;
  (void)data;

  for (int i = 0; i < 300; i++) {
    g_autofree char *key = g_strdup_printf("k/%d", i);
    store_put(f->store, key, "some text of some length, so that there are some pages to copy");
  }
  g_atomic_int_set(&writing, 1);
  GThread *writer = g_thread_new("writer", write_on, f->store);
  for (bool wrote = false; !wrote; g_usleep(1000)) {
    g_autoptr(PtEntry) first = pt_store_get(f->store, "a", NULL);
    wrote = first != NULL;
  }
  g_assert_true(pt_store_backup(f->store, path, &err));
  g_assert_no_error(err);
  g_atomic_int_set(&writing, 0);
  g_thread_join(writer);
  g_assert_false(pt_store_backup(f->store, path, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_CONFLICT);
  g_assert_false(pt_store_backup(f->store, none, &err2));
  g_assert_error(err2, PT_ERROR, PT_ERR_NOT_FOUND);

  struct stat st;
  g_assert_cmpint(stat(path, &st), ==, 0);
  g_assert_cmpint(st.st_mode & 0777, ==, 0600);
  PtStore *copy = pt_store_open_sqlite(path, NULL);
  g_assert_nonnull(copy);
  g_autoptr(GPtrArray) list = pt_store_list(copy, "k/", NULL, NULL);
  g_assert_cmpuint(list->len, ==, 300);
  g_autoptr(PtEntry) a = pt_store_get(copy, "a", NULL);
  g_autoptr(PtEntry) b = pt_store_get(copy, "b", NULL);
  g_assert_cmpstr(a->value, ==, b->value);
  pt_store_close(copy);
}

/* Somebody is in the middle of a write: reading goes on at once. */
static void
test_readers_do_not_wait(StoreFixture *f, gconstpointer data)
{
  g_autofree char *path = db_of(f->place);
  sqlite3 *db = NULL;
  (void)data;

  store_put(f->store, "a", "1");
  g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_exec(db, "BEGIN IMMEDIATE; UPDATE records SET value = '2'", NULL, NULL, NULL), ==, SQLITE_OK);
  gint64 start = g_get_monotonic_time();
  for (int i = 0; i < 100; i++) {
    g_autoptr(PtEntry) e = pt_store_get(f->store, "a", NULL);
    g_autoptr(GPtrArray) list = pt_store_list(f->store, "", NULL, NULL);
    g_assert_cmpstr(e->value, ==, "1");
    g_assert_cmpuint(list->len, ==, 1);
  }
  g_assert_cmpint(g_get_monotonic_time() - start, <, 60 * G_USEC_PER_SEC); /* one that waited would wait for ever */
  sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
  sqlite3_close(db);
}

static void
test_history_is_bounded(StoreFixture *f, gconstpointer data)
{
  PtSqlite *s = (PtSqlite *)f->store;
  g_autofree char *large = g_strnfill(200000, 'x');
  (void)data;

  pt_sqlite_keep(f->store, 100);
  for (int i = 0; i < 1000; i++)
    store_put(f->store, "k", "v");
  g_assert_cmpint(s->last - s->history_first, >=, 100);
  g_assert_cmpint(s->last - s->history_first, <=, 100 + 256);
  pt_sqlite_keep(f->store, 100000);
  s->history_max = 2000000;
  for (int i = 0; i < 60; i++)
    store_put(f->store, "k", large);
  g_assert_cmpint(s->history_bytes, <=, 2200000);
  pt_store_close(f->store);
  f->store = sqlite_open(f->place, NULL);
  s = (PtSqlite *)f->store;
  g_assert_cmpint(s->last, ==, 1 + 1060);
}

/* Several at once on a full disk: each gets its own answer. Returns whether it got in. */
static gpointer
put_large(gpointer data)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(GError) err = NULL;
  g_autofree char *key = g_strdup_printf("k/thread-%p", (void *)g_thread_self()), *large = g_strnfill(200000, 'x');

  pt_txn_put(txn, key, large);
  if (pt_store_commit(data, txn, NULL, &err))
    return GINT_TO_POINTER(1);
  g_assert_error(err, PT_ERROR, PT_ERR_NO_SPACE);
  return NULL;
}

/* A disk of 6 MiB of which 3 are taken: fails cleanly, loses nothing, goes on when there is room again. */
static int
fill_disk(const char *dir)
{
  g_autofree char *ballast = g_build_filename(dir, "ballast", NULL), *path = db_of(dir), *large = g_strnfill(60000, 'x');
  g_autofree char *nothing = g_malloc0(3 << 20);
  g_autoptr(GError) err = NULL;

  g_assert_true(g_file_set_contents(ballast, nothing, 3 << 20, NULL));
  PtStore *s = pt_store_open_sqlite(path, NULL);
  g_assert_nonnull(s);
  int n = 0;
  for (;; n++) {
    g_autoptr(PtTxn) txn = pt_txn_new();
    g_autofree char *key = g_strdup_printf("k/%d", n);
    pt_txn_put(txn, key, large);
    if (!pt_store_commit(s, txn, NULL, &err))
      break;
  }
  g_assert_error(err, PT_ERROR, PT_ERR_NO_SPACE);
  g_assert_nonnull(pt_error_get_hint(err));
  g_assert_cmpint(n, >, 5);
  GThread *threads[8];
  for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
    threads[i] = g_thread_new("full", put_large, s);
  for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
    n += GPOINTER_TO_INT(g_thread_join(threads[i]));
  for (int again = 0; again < 2; again++) {
    g_autoptr(GPtrArray) list = pt_store_list(s, "k/", NULL, NULL);
    g_assert_nonnull(list);
    g_assert_cmpint(list->len, ==, n);
    pt_store_close(s);
    unlink(ballast);
    s = pt_store_open_sqlite(path, NULL);
    g_assert_nonnull(s);
  }
  store_put(s, "k/after", "room again");
  g_autoptr(PtEntry) last = pt_store_get(s, "k/after", NULL);
  g_assert_nonnull(last);
  pt_store_close(s);
  return 0;
}

static void
test_full_disk(StoreFixture *f, gconstpointer data)
{
  g_autofree char *dir = g_build_filename(f->place, "small", NULL);
  int status = -1;
  (void)data;

  g_assert_cmpint(mkdir(dir, 0700), ==, 0);
  pt_store_close(g_steal_pointer(&f->store));
  pid_t pid = fork();
  if (pid == 0) {
    /* an assertion that fails aborts the child; mounts die with its namespace */
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=6m") != 0)
      _exit(77);
    _exit(fill_disk(dir));
  }
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  g_assert_cmpint(rmdir(dir), ==, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    g_test_skip("no right to mount here");
  else
    g_assert_cmpint(status, ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  store_contract_add(&sqlite_factory);
  store_harsh_add(&sqlite_factory);
  STORE_TEST(&sqlite_factory, "sqlite/one-process", test_one_process);
  STORE_TEST(&sqlite_factory, "sqlite/modes", test_modes);
  STORE_TEST(&sqlite_factory, "sqlite/foreign", test_foreign);
  STORE_TEST(&sqlite_factory, "sqlite/backup", test_backup);
  STORE_TEST(&sqlite_factory, "sqlite/readers-do-not-wait", test_readers_do_not_wait);
  STORE_TEST(&sqlite_factory, "sqlite/history-is-bounded", test_history_is_bounded);
  STORE_TEST(&sqlite_factory, "sqlite/full-disk", test_full_disk);
  return g_test_run();
}
