// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/* Theory of operation. One connection writes, under write_lock, with synchronous=FULL: a commit that has returned
 * survives a power cut (sqlite_txn.c). A few others read; in WAL mode they see the last committed state and wait for no writer.
 * A process has the store for itself: an flock on PATH-lock, which the kernel drops however the process ends.
 *
 * Each transaction that changes something writes its changes to `history` too, under its revision. Revisions have no gaps,
 * so the newest row's revision is the store's, and watching from a revision is reading on from there; what is no
 * longer there was compacted. The newest revision always stays, and a new store starts with an empty change, so the
 * revision is never 0, which watchers use for "from now". */

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x506f7274 /* "Port" */
#define HISTORY_KEEP 10000
#define HISTORY_MAX (32 << 20)

static const char schema[] =
  "CREATE TABLE records(key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL,"
  "                     lease INTEGER NOT NULL) WITHOUT ROWID;"
  "CREATE INDEX records_lease ON records(lease) WHERE lease != 0;"
  "CREATE TABLE history(revision INTEGER NOT NULL, n INTEGER NOT NULL, key TEXT NOT NULL, value TEXT,"
  "                     PRIMARY KEY(revision, n)) WITHOUT ROWID;"
  "CREATE TABLE leases(id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL);"
  "INSERT INTO history VALUES(1, 0, '', NULL);";

static const char *const write_sql[] = {
  [PT_SQL_BEGIN] = "BEGIN IMMEDIATE",
  [PT_SQL_COMMIT] = "COMMIT",
  [PT_SQL_ROLLBACK] = "ROLLBACK",
  [PT_SQL_SAVE] = "SAVEPOINT one",
  [PT_SQL_UNDO] = "ROLLBACK TO one",
  [PT_SQL_KEEP] = "RELEASE one",
  [PT_SQL_REVISION_OF] = "SELECT revision FROM records WHERE key = ?1",
  [PT_SQL_PUT] = ("INSERT INTO records VALUES(?1, ?2, ?3, ?3, ?4)"
                  " ON CONFLICT(key) DO UPDATE SET value = ?2, revision = ?3, lease = ?4"),
  [PT_SQL_DELETE] = "DELETE FROM records WHERE key = ?1",
  [PT_SQL_HISTORY] = "INSERT INTO history VALUES(?1, ?2, ?3, ?4)",
  [PT_SQL_COMPACT] = "DELETE FROM history WHERE revision <= ?1",
  [PT_SQL_LEASE_ADD] = "INSERT INTO leases VALUES(?1, ?2)",
  [PT_SQL_LEASE_FIND] = "SELECT 1 FROM leases WHERE id = ?1",
  [PT_SQL_LEASE_DELETE] = "DELETE FROM leases WHERE id = ?1",
  [PT_SQL_LEASE_KEYS] = "SELECT key FROM records WHERE lease = ?1 AND lease != 0",
};
G_STATIC_ASSERT(G_N_ELEMENTS(write_sql) == PT_N_SQL_WRITE);

bool
pt_sqlite_fail(sqlite3 *db, const char *what, GError **error)
{
  int rc = sqlite3_errcode(db) & 0xff, sys = sqlite3_system_errno(db);

  if (rc == SQLITE_FULL || (rc == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT))) {
    PT_SET(error, PT_ERR_NO_SPACE, "store: %s: the disk is full\nnothing was changed; make room where the daemon keeps its state", what);
    return false;
  }
  PT_SET(error, PT_ERR_INTERNAL, "store: %s: %s%s%s", what, sqlite3_errmsg(db), rc == SQLITE_IOERR ? ": " : "",
         rc == SQLITE_IOERR ? g_strerror(sys) : "");
  return false;
}

bool
pt_sqlite_run(PtSqlite *s, int sql, GError **error)
{
  int rc = sqlite3_step(s->sql[sql]);

  if (rc != SQLITE_DONE && rc != SQLITE_ROW)
    pt_sqlite_fail(s->db, "writing", error);
  sqlite3_reset(s->sql[sql]);
  return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

/* Readers */

static sqlite3 *
connect(const char *path, int flags, const char *pragmas, GError **error)
{
  sqlite3 *db = NULL;

  if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL) == SQLITE_OK) {
    sqlite3_busy_timeout(db, 5000); /* only the recovery after a crash makes anybody wait */
    if (sqlite3_exec(db, pragmas, NULL, NULL, NULL) == SQLITE_OK)
      return db;
  }
  pt_sqlite_fail(db, path, error);
  sqlite3_close(db);
  return NULL;
}

static void
reader_free(PtReader *r)
{
  sqlite3_stmt *all[] = { r->get, r->list, r->revision, r->changes, r->first, r->begin, r->end };

  for (guint i = 0; i < G_N_ELEMENTS(all); i++)
    sqlite3_finalize(all[i]);
  sqlite3_close(r->db);
  g_free(r);
}

static PtReader *
reader_new(const char *path, GError **error)
{
  PtReader *r = g_new0(PtReader, 1);
  const struct {
    sqlite3_stmt **stmt;
    const char *sql;
  } all[] = {
    { &r->get, "SELECT key, value, revision, created, lease FROM records WHERE key = ?1" },
    { &r->list, "SELECT key, value, revision, created, lease FROM records WHERE key >= ?1 AND key < ?2 ORDER BY key" },
    { &r->revision, "SELECT max(revision) FROM history" },
    { &r->changes, "SELECT revision, n, key, value, NOT EXISTS (SELECT 1 FROM history AS later WHERE later.revision = history.revision"
                   " AND later.n > history.n AND later.key >= ?4 AND later.key < ?5)"
                   " FROM history WHERE (revision, n) > (?1, ?2) AND revision <= ?3"
                   " AND key >= ?4 AND key < ?5 AND key != '' ORDER BY revision, n LIMIT 256" },
    { &r->first, "SELECT min(revision) FROM history" },
    { &r->begin, "BEGIN" },
    { &r->end, "COMMIT" },
  };

  r->db = connect(path, SQLITE_OPEN_READWRITE, "PRAGMA query_only=ON; PRAGMA cache_size=-256; PRAGMA mmap_size=0;", error);
  for (guint i = 0; r->db && i < G_N_ELEMENTS(all); i++) {
    if (sqlite3_prepare_v3(r->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].stmt, NULL) == SQLITE_OK)
      continue;
    pt_sqlite_fail(r->db, "preparing", error);
    g_clear_pointer(&r, reader_free);
    return NULL;
  }
  if (!r->db)
    g_clear_pointer(&r, g_free);
  return r;
}

PtReader *
pt_sqlite_reader_take(PtSqlite *s, GError **error)
{
  PtReader *r = NULL;

  g_mutex_lock(&s->read_lock);
  while (s->n_idle == 0 && s->n_readers == PT_SQLITE_READERS)
    g_cond_wait(&s->read_cond, &s->read_lock);
  if (s->n_idle > 0)
    r = s->idle[--s->n_idle];
  else
    s->n_readers++;
  g_mutex_unlock(&s->read_lock);
  if (r)
    return r;
  r = reader_new(s->path, error);
  if (!r) {
    g_mutex_lock(&s->read_lock);
    s->n_readers--;
    g_cond_signal(&s->read_cond);
    g_mutex_unlock(&s->read_lock);
  }
  return r;
}

void
pt_sqlite_reader_give(PtSqlite *s, PtReader *r)
{
  g_mutex_lock(&s->read_lock);
  s->idle[s->n_idle++] = r;
  g_cond_signal(&s->read_cond);
  g_mutex_unlock(&s->read_lock);
}

static PtEntry *
entry_of(sqlite3_stmt *st)
{
  PtEntry *e = g_new(PtEntry, 1);

  e->key = g_strdup((const char *)sqlite3_column_text(st, 0));
  e->value = g_strdup((const char *)sqlite3_column_text(st, 1));
  e->revision = sqlite3_column_int64(st, 2);
  e->created = sqlite3_column_int64(st, 3);
  e->lease = sqlite3_column_int64(st, 4);
  return e;
}

static PtEntry *
sqlite_get(PtStore *store, const char *key, GError **error)
{
  PtSqlite *s = (PtSqlite *)store;
  PtReader *r = pt_sqlite_reader_take(s, error);
  PtEntry *e = NULL;

  if (!r)
    return NULL;
  sqlite3_bind_text(r->get, 1, key, -1, SQLITE_STATIC);
  int rc = sqlite3_step(r->get);
  if (rc == SQLITE_ROW)
    e = entry_of(r->get);
  else if (rc == SQLITE_DONE)
    PT_SET(error, PT_ERR_NOT_FOUND, "%s", key);
  else
    pt_sqlite_fail(r->db, key, error);
  sqlite3_reset(r->get);
  pt_sqlite_reader_give(s, r);
  return e;
}

char *
pt_sqlite_prefix_end(const char *prefix)
{
  char *end = *prefix ? g_strdup(prefix) : g_strdup("\x7f");

  if (*prefix)
    end[strlen(end) - 1] = '/' + 1;
  return end;
}

static bool
read_list(PtReader *r, const char *prefix, GPtrArray *into, gint64 *ret_revision, GError **error)
{
  g_autofree char *end = pt_sqlite_prefix_end(prefix);
  int rc = sqlite3_step(r->revision);

  if (rc == SQLITE_ROW)
    *ret_revision = sqlite3_column_int64(r->revision, 0);
  sqlite3_reset(r->revision);
  sqlite3_bind_text(r->list, 1, prefix, -1, SQLITE_STATIC);
  sqlite3_bind_text(r->list, 2, end, -1, SQLITE_STATIC);
  if (rc == SQLITE_ROW) {
    while ((rc = sqlite3_step(r->list)) == SQLITE_ROW)
      g_ptr_array_add(into, entry_of(r->list));
  }
  if (rc != SQLITE_DONE)
    pt_sqlite_fail(r->db, *prefix ? prefix : "listing", error);
  sqlite3_reset(r->list);
  return rc == SQLITE_DONE;
}

static GPtrArray *
sqlite_list(PtStore *store, const char *prefix, gint64 *ret_revision, GError **error)
{
  g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)pt_entry_free);
  PtSqlite *s = (PtSqlite *)store;
  PtReader *r = pt_sqlite_reader_take(s, error);
  gint64 revision = 0;

  if (!r)
    return NULL;
  /* a transaction, so that the revision is that of the list */
  bool ok = sqlite3_step(r->begin) == SQLITE_DONE || pt_sqlite_fail(r->db, "reading", error);
  sqlite3_reset(r->begin);
  if (ok) {
    ok = read_list(r, prefix, list, &revision, error);
    sqlite3_step(r->end);
    sqlite3_reset(r->end);
  }
  pt_sqlite_reader_give(s, r);
  if (ok && ret_revision)
    *ret_revision = revision;
  return ok ? g_steal_pointer(&list) : NULL;
}

/* Backup: the pages as they are at one moment, by a connection of its own; writers go on. */

static bool
copy_pages(sqlite3 *from, const char *path, GError **error)
{
  sqlite3 *to = connect(path, SQLITE_OPEN_READWRITE, "PRAGMA synchronous=FULL", error);

  if (!to)
    return false;
  sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
  if (b)
    sqlite3_backup_step(b, -1);
  bool ok = b && sqlite3_backup_finish(b) == SQLITE_OK;
  if (!ok)
    pt_sqlite_fail(to, path, error);
  return sqlite3_close(to) == SQLITE_OK && ok;
}

static bool
sqlite_backup(PtStore *store, const char *path, GError **error)
{
  PtSqlite *s = (PtSqlite *)store;
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0) {
    pt_error_errno(error, errno, "backup %s", path);
    return false;
  }
  close(fd);
  sqlite3 *from = connect(s->path, SQLITE_OPEN_READWRITE, "PRAGMA query_only=ON", error);
  bool ok = from && copy_pages(from, path, error);
  sqlite3_close(from);
  if (!ok)
    unlink(path);
  return ok;
}

/* Opening and closing */

static bool
take_lock(PtSqlite *s, GError **error)
{
  g_autofree char *lock = g_strconcat(s->path, "-lock", NULL);

  s->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (s->lock_fd < 0) {
    pt_error_errno(error, errno, "store %s", lock);
    return false;
  }
  if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "store %s: another process has it open\nis a portenad running with the same state directory?", s->path);
  return false;
}

/* The file is ours alone from its first byte, and its name is on disk; what SQLite puts beside it gets the same mode. */
static bool
make_private(const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(path);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && dir >= 0 && fchmod(fd, 0600) == 0 && fsync(dir) == 0;

  if (!ok)
    pt_error_errno(error, errno, "store %s", path);
  if (fd >= 0)
    close(fd);
  if (dir >= 0)
    close(dir);
  return ok;
}

static bool
number_of(sqlite3 *db, const char *sql, gint64 *ret, GError **error)
{
  sqlite3_stmt *st = NULL;
  bool ok = sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW;

  if (ok)
    *ret = sqlite3_column_int64(st, 0);
  else
    pt_sqlite_fail(db, "opening", error);
  sqlite3_finalize(st);
  return ok;
}

static bool
prepare_schema(PtSqlite *s, GError **error)
{
  gint64 version = 0, tables = 0, id = 0;

  if (!number_of(s->db, "PRAGMA user_version", &version, error) || !number_of(s->db, "PRAGMA application_id", &id, error) ||
      !number_of(s->db, "SELECT count(*) FROM sqlite_schema", &tables, error))
    return false;
  if (tables > 0 && id != APPLICATION_ID) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "store %s: is a database of something else\nnothing was changed", s->path);
    return false;
  }
  if (version > SCHEMA_VERSION) {
    PT_SET(error, PT_ERR_UNSUPPORTED,
           "store %s: was written by a newer version (format %" G_GINT64_FORMAT ", this one knows %d)\nnothing was changed; install "
           "that version again",
           s->path, version, SCHEMA_VERSION);
    return false;
  }
  if (tables > 0)
    return true;
  g_autofree char *all = g_strdup_printf("BEGIN IMMEDIATE; %s PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;",
                                         schema, APPLICATION_ID, SCHEMA_VERSION);
  return sqlite3_exec(s->db, all, NULL, NULL, NULL) == SQLITE_OK || pt_sqlite_fail(s->db, "making the tables", error);
}

static bool
prepare_writer(PtSqlite *s, GError **error)
{
  s->db = connect(s->path, SQLITE_OPEN_READWRITE,
                  "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-1024; PRAGMA mmap_size=0;"
                  "PRAGMA journal_size_limit=8388608; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;",
                  error);
  if (!s->db || !prepare_schema(s, error))
    return false;
  for (int i = 0; i < PT_N_SQL_WRITE; i++) {
    if (sqlite3_prepare_v3(s->db, write_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->sql[i], NULL) != SQLITE_OK)
      return pt_sqlite_fail(s->db, "preparing", error);
  }
  return number_of(s->db, "SELECT max(revision) FROM history", &s->last, error) &&
         number_of(s->db, "SELECT min(revision) FROM history", &s->history_first, error);
}

static void
sqlite_close(PtStore *store)
{
  PtSqlite *s = (PtSqlite *)store;

  pt_sqlite_watch_stop(s);
  pt_sqlite_lease_stop(s);
  for (guint i = 0; i < s->n_idle; i++)
    reader_free(s->idle[i]);
  for (int i = 0; i < PT_N_SQL_WRITE; i++)
    sqlite3_finalize(s->sql[i]);
  sqlite3_close(s->db);
  if (s->lock_fd >= 0)
    close(s->lock_fd);
  g_mutex_clear(&s->queue_lock);
  g_ptr_array_free(s->queue, TRUE);
  g_mutex_clear(&s->write_lock);
  g_mutex_clear(&s->read_lock);
  g_cond_clear(&s->read_cond);
  g_free(s->path);
  g_free(s);
}

static const PtStoreOps sqlite_ops = {
  .name = "sqlite",
  .get = sqlite_get,
  .list = sqlite_list,
  .commit = pt_sqlite_commit,
  .watch = pt_sqlite_watch,
  .watch_cancel = pt_sqlite_watch_cancel,
  .lease_grant = pt_sqlite_lease_grant,
  .lease_keep = pt_sqlite_lease_keep,
  .lease_revoke = pt_sqlite_lease_revoke,
  .backup = sqlite_backup,
  .close = sqlite_close,
};

void
pt_sqlite_keep(PtStore *store, gint64 revisions)
{
  PtSqlite *s = (PtSqlite *)store;

  g_mutex_lock(&s->write_lock);
  s->history_keep = revisions;
  g_mutex_unlock(&s->write_lock);
}

PtStore *
pt_store_open_sqlite(const char *path, GError **error)
{
  PtSqlite *s = g_new0(PtSqlite, 1);

  s->base.ops = &sqlite_ops;
  s->path = g_strdup(path);
  s->lock_fd = -1;
  s->history_keep = HISTORY_KEEP;
  s->history_max = HISTORY_MAX;
  g_mutex_init(&s->queue_lock);
  s->queue = g_ptr_array_new();
  g_mutex_init(&s->write_lock);
  g_mutex_init(&s->read_lock);
  g_cond_init(&s->read_cond);
  if (!take_lock(s, error) || !make_private(path, error) || !prepare_writer(s, error) || !pt_sqlite_lease_start(s, error)) {
    sqlite_close(&s->base);
    return NULL;
  }
  s->visible = s->last;
  pt_sqlite_watch_start(s);
  return &s->base;
}
