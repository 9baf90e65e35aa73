// SPDX-License-Identifier: Apache-2.0
/* The contract where it hurts: many threads at once, and processes killed in the middle of commits. */
#include "store_contract.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

#define THREADS 8
#define ROUNDS 60

static gint64
number_at(PtStore *store, const char *key, gint64 *ret_revision)
{
  g_autoptr(PtEntry) e = pt_store_get(store, key, NULL);

  if (ret_revision)
    *ret_revision = e ? e->revision : 0;
  return e ? g_ascii_strtoll(e->value, NULL, 10) : 0;
}

static GMutex revisions_lock;
static GHashTable *revisions; /* of all commits: no two have the same */

static void
note_revision(gint64 revision)
{
  g_mutex_lock(&revisions_lock);
  g_assert_true(g_hash_table_add(revisions, g_memdup2(&revision, sizeof revision)));
  g_mutex_unlock(&revisions_lock);
}

/* Reads, adds one, and writes if nobody did meanwhile. */
static gpointer
count_up(gpointer data)
{
  PtStore *store = data;

  for (int i = 0; i < ROUNDS;) {
    gint64 revision = 0, n = number_at(store, "counter", &revision);
    g_autoptr(PtTxn) txn = pt_txn_new();
    g_autofree char *text = g_strdup_printf("%ld", (long)n + 1);
    g_autoptr(GError) err = NULL;
    pt_txn_require(txn, "counter", revision);
    pt_txn_put(txn, "counter", text);
    pt_txn_put(txn, "mirror", text);
    if (!pt_store_commit(store, txn, &revision, &err)) {
      g_assert_error(err, PT_ERROR, PT_ERR_STALE);
      continue;
    }
    note_revision(revision);
    i++;
  }
  return NULL;
}

static gint reading;

/* A list is of one moment: both keys were written by the same transaction. */
static gpointer
read_on(gpointer data)
{
  gint64 before = 0, revision = 0;

  while (g_atomic_int_get(&reading)) {
    g_autoptr(GPtrArray) list = pt_store_list(data, "", &revision, NULL);
    g_assert_nonnull(list);
    g_assert_cmpint(revision, >=, before);
    before = revision;
    if (list->len == 0)
      continue;
    const PtEntry *a = list->pdata[0], *b = list->pdata[1];
    g_assert_cmpuint(list->len, ==, 2);
    g_assert_cmpstr(a->value, ==, b->value);
    g_assert_cmpint(a->revision, ==, b->revision);
    g_assert_cmpint(a->revision, ==, revision);
  }
  return NULL;
}

typedef struct Order {
  gint64 revision, n, value;
} Order;

static void
on_count(const PtChange *c, bool lost, void *data)
{
  Order *o = data;
  gint64 value = g_ascii_strtoll(c->value, NULL, 10);

  g_assert_false(lost);
  g_assert_cmpint(c->revision, >, o->revision);
  g_assert_cmpint(value, ==, o->value + 1);
  o->revision = c->revision;
  o->value = value;
  __atomic_add_fetch(&o->n, 1, __ATOMIC_SEQ_CST);
}

static void
test_threads(StoreFixture *f, gconstpointer data)
{
  GThread *writers[THREADS], *readers[2];
  Order order = { 0 };
  (void)data;

  revisions = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  g_atomic_int_set(&reading, 1);
  for (guint i = 0; i < G_N_ELEMENTS(readers); i++)
    readers[i] = g_thread_new("reader", read_on, f->store);
  for (guint i = 0; i < THREADS; i++)
    writers[i] = g_thread_new("writer", count_up, f->store);
  for (guint i = 0; i < THREADS; i++)
    g_thread_join(writers[i]);
  g_atomic_int_set(&reading, 0);
  for (guint i = 0; i < G_N_ELEMENTS(readers); i++)
    g_thread_join(readers[i]);
  g_assert_cmpint(number_at(f->store, "counter", NULL), ==, THREADS * ROUNDS);
  g_assert_cmpuint(g_hash_table_size(revisions), ==, THREADS * ROUNDS);
  g_clear_pointer(&revisions, g_hash_table_unref);

  /* and one that watches from the very beginning, while the rest is written */
  store_put(f->store, "w/n", "1");
  PtWatch *w = pt_store_watch(f->store, "w/", 1, on_count, &order, NULL);
  for (int i = 2; i <= 300; i++) {
    g_autofree char *text = g_strdup_printf("%d", i);
    store_put(f->store, "w/n", text);
  }
  for (int i = 0; i < 12000 && __atomic_load_n(&order.n, __ATOMIC_SEQ_CST) < 300; i++)
    g_usleep(10000);
  pt_watch_cancel(w);
  g_assert_cmpint(order.n, ==, 300);
}

/* The child: commits one number after the other, and says each once it is acknowledged. */
static void
write_until_killed(const StoreFactory *factory, void *place, int pipe_fd)
{
  PtStore *store = factory->open(place, NULL);

  if (!store)
    _exit(1);
  for (gint64 n = number_at(store, "count", NULL) + 1;; n++) {
    g_autoptr(PtTxn) txn = pt_txn_new();
    g_autofree char *text = g_strdup_printf("%ld", (long)n), *key = g_strdup_printf("n/%ld", (long)n % 50);
    pt_txn_put(txn, key, text);
    pt_txn_put(txn, "count", text);
    if (!pt_store_commit(store, txn, NULL, NULL) || write(pipe_fd, &n, sizeof n) != sizeof n)
      _exit(1);
  }
}

static void
kill_once(StoreFixture *f, gint64 *acknowledged)
{
  int fds[2], status = 0;
  gint64 n = 0;

  g_assert_cmpint(pipe(fds), ==, 0);
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  if (pid == 0) {
    close(fds[0]);
    write_until_killed(f->factory, f->place, fds[1]);
  }
  close(fds[1]);
  g_assert_cmpint(read(fds[0], &n, sizeof n), ==, sizeof n); /* it is at it */
  *acknowledged = n;
  g_usleep((gulong)g_test_rand_int_range(1000, 40000));
  kill(pid, SIGKILL);
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  g_assert_true(WIFSIGNALED(status));
  while (read(fds[0], &n, sizeof n) == sizeof n)
    *acknowledged = n;
  close(fds[0]);
}

static void
test_kill(StoreFixture *f, gconstpointer data)
{
  gint64 acknowledged = 0;
  (void)data;

  if (!f->factory->durable) {
    g_test_skip("not durable");
    return;
  }
  for (int round = 0; round < 20; round++) {
    pt_store_close(g_steal_pointer(&f->store)); /* a child must not inherit its lock */
    kill_once(f, &acknowledged);
    g_autoptr(GError) err = NULL;
    f->store = f->factory->open(f->place, &err);
    g_assert_no_error(err);
    gint64 revision = 0, other = 0, count = number_at(f->store, "count", &revision);
    g_assert_cmpint(count, >=, acknowledged);
    g_assert_cmpint(count, <=, acknowledged + 1); /* at most the one in flight */
    g_autofree char *key = g_strdup_printf("n/%ld", (long)count % 50);
    g_assert_cmpint(number_at(f->store, key, &other), ==, count); /* whole or not at all */
    g_assert_cmpint(other, ==, revision);
  }
  g_test_message("%ld transactions, 20 kills", (long)acknowledged);
}

void
store_harsh_add(const StoreFactory *factory)
{
  STORE_TEST(factory, "threads", test_threads);
  STORE_TEST(factory, "kill", test_kill);
}
