// SPDX-License-Identifier: Apache-2.0
/* Transactions.
 *
 * Theory of operation. What a commit costs is the disk's flush, and that many can share. So a committer puts its request into
 * the queue and then takes write_lock: whoever gets it carries out all that is in the queue, each request under a savepoint of
 * its own, with one flush at the end; the others find theirs done. With nobody else around a group is one request and costs
 * nothing more. Each request has a revision of its own, and its outcome is known only after the flush. Where the whole group
 * fails (a full disk), each request is tried alone, so that each gets its own answer. */
#include "store/sqlite.h"

#include <string.h>

#include "base/error.h"

#define COMPACT_EVERY 256 /* revisions: then deleting costs little beside the commits */
#define GROUP_MAX 64      /* requests: so that the first does not wait for all */

typedef struct Request {
  const PtTxn *txn;
  gint64 revision;
  bool done, ok;
  GError *error;
} Request;

static bool
compare_ok(PtSqlite *s, const PtCompare *c, GError **error)
{
  sqlite3_stmt *st = s->sql[PT_SQL_REVISION_OF];

  sqlite3_bind_text(st, 1, c->key, -1, SQLITE_STATIC);
  int rc = sqlite3_step(st);
  gint64 have = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
    pt_sqlite_fail(s->db, c->key, error);
    sqlite3_reset(st);
    return false;
  }
  sqlite3_reset(st);
  if (have == c->revision)
    return true;
  if (c->revision == 0)
    PT_SET(error, PT_ERR_STALE, "%s: exists already", c->key);
  else if (have == 0)
    PT_SET(error, PT_ERR_STALE, "%s: does not exist any more", c->key);
  else
    PT_SET(error, PT_ERR_STALE, "%s: was changed in between (revision %" G_GINT64_FORMAT ", not %" G_GINT64_FORMAT ")", c->key, have,
           c->revision);
  return false;
}

static bool
lease_exists(PtSqlite *s, gint64 lease, GError **error)
{
  sqlite3_stmt *st = s->sql[PT_SQL_LEASE_FIND];

  sqlite3_bind_int64(st, 1, lease);
  int rc = sqlite3_step(st);
  if (rc == SQLITE_DONE)
    PT_SET(error, PT_ERR_NOT_FOUND, "lease %" G_GINT64_FORMAT ": ran out", lease);
  else if (rc != SQLITE_ROW)
    pt_sqlite_fail(s->db, "lease", error);
  sqlite3_reset(st);
  return rc == SQLITE_ROW;
}

/* One write and its line of history; *n counts the lines. */
static bool
write_one(PtSqlite *s, const PtWrite *w, gint64 revision, int *n, GError **error)
{
  sqlite3_stmt *st = s->sql[w->remove ? PT_SQL_DELETE : PT_SQL_PUT], *h = s->sql[PT_SQL_HISTORY];

  if (w->lease != 0 && !lease_exists(s, w->lease, error))
    return false;
  sqlite3_bind_text(st, 1, w->key, -1, SQLITE_STATIC);
  if (!w->remove) {
    sqlite3_bind_text(st, 2, w->value, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, revision);
    sqlite3_bind_int64(st, 4, w->lease);
  }
  if (!pt_sqlite_run(s, w->remove ? PT_SQL_DELETE : PT_SQL_PUT, error))
    return false;
  if (sqlite3_changes(s->db) == 0)
    return true; /* there was nothing to delete */
  sqlite3_bind_int64(h, 1, revision);
  sqlite3_bind_int(h, 2, (*n)++);
  sqlite3_bind_text(h, 3, w->key, -1, SQLITE_STATIC);
  sqlite3_bind_text(h, 4, w->value, -1, SQLITE_STATIC);
  s->history_bytes += w->value ? (gint64)strlen(w->value) : 0;
  return pt_sqlite_run(s, PT_SQL_HISTORY, error);
}

/* Forgets the oldest changes, in the transaction of `revision`. Over the limit of bytes half of the revisions go; their
 * share of the bytes is estimated, since counting would mean reading them all. */
static bool
compact(PtSqlite *s, gint64 revision, GError **error)
{
  bool many = revision - s->history_first >= s->history_keep + COMPACT_EVERY, large = s->history_bytes > s->history_max;
  gint64 upto = MAX(many ? revision - s->history_keep : 0, large ? (s->history_first + revision) / 2 : 0);

  upto = MIN(upto, revision - 1);
  if (upto < s->history_first)
    return true;
  sqlite3_bind_int64(s->sql[PT_SQL_COMPACT], 1, upto);
  if (!pt_sqlite_run(s, PT_SQL_COMPACT, error))
    return false;
  s->compacting = upto + 1;
  return true;
}

static void
compacted(PtSqlite *s)
{
  if (!s->compacting)
    return;
  s->history_bytes = s->history_bytes * (s->last + 1 - s->compacting) / (s->last + 1 - s->history_first);
  s->history_first = s->compacting;
  s->compacting = 0;
}

/* One request within the open transaction; *last counts the revisions. False where the transaction is spoilt: some errors
 * roll all of it back, or the request could not be undone. */
static bool
run_one(PtSqlite *s, Request *r, bool alone, gint64 *last)
{
  int n = 0;

  r->ok = alone || pt_sqlite_run(s, PT_SQL_SAVE, &r->error);
  for (guint i = 0; r->ok && i < r->txn->compares->len; i++)
    r->ok = compare_ok(s, &g_array_index(r->txn->compares, PtCompare, i), &r->error);
  for (guint i = 0; r->ok && i < r->txn->writes->len; i++)
    r->ok = write_one(s, &g_array_index(r->txn->writes, PtWrite, i), *last + 1, &n, &r->error);
  if (r->ok && n > 0)
    ++*last;
  r->revision = *last;
  if (sqlite3_get_autocommit(s->db))
    return false;
  if (alone)
    return r->ok;
  return (r->ok || pt_sqlite_run(s, PT_SQL_UNDO, NULL)) && pt_sqlite_run(s, PT_SQL_KEEP, NULL);
}

/* All in one transaction. False where the whole failed and nothing was written: with `error`, unless the requests say why. */
static bool
run_group(PtSqlite *s, Request *const *group, guint n, GError **error)
{
  gint64 last = s->last;

  s->compacting = 0;
  if (!pt_sqlite_run(s, PT_SQL_BEGIN, error))
    return false;
  bool whole = true;
  for (guint i = 0; whole && i < n; i++)
    whole = run_one(s, group[i], n == 1, &last);
  if (whole && (last == s->last || compact(s, last, error)) && pt_sqlite_run(s, PT_SQL_COMMIT, error)) {
    if (last > s->last) {
      s->last = last;
      compacted(s);
      pt_sqlite_watch_publish(s, last);
    }
    return true;
  }
  if (!sqlite3_get_autocommit(s->db))
    pt_sqlite_run(s, PT_SQL_ROLLBACK, NULL); /* fails only where nothing is left to roll back */
  return false;
}

/* With write_lock held. */
static void
run_requests(PtSqlite *s, Request *const *group, guint n)
{
  bool together = n > 1 && run_group(s, group, n, NULL);

  for (guint i = 0; i < n; i++) {
    Request *r = group[i];
    if (!together) {
      g_clear_error(&r->error);
      r->ok = false;
      GError *why = NULL;
      r->ok = run_group(s, &r, 1, &why);
      if (why && !r->error)
        r->error = g_steal_pointer(&why);
      g_clear_error(&why);
    }
    r->done = true;
  }
}

bool
pt_sqlite_apply(PtSqlite *s, const PtTxn *txn, gint64 *ret_revision, GError **error)
{
  Request r = { .txn = txn }, *group = &r;

  run_requests(s, &group, 1);
  if (r.ok && ret_revision)
    *ret_revision = r.revision;
  if (r.error)
    g_propagate_error(error, r.error);
  return r.ok;
}

bool
pt_sqlite_commit(PtStore *store, const PtTxn *txn, gint64 *ret_revision, GError **error)
{
  PtSqlite *s = (PtSqlite *)store;
  Request r = { .txn = txn };

  g_mutex_lock(&s->queue_lock);
  g_ptr_array_add(s->queue, &r);
  g_mutex_unlock(&s->queue_lock);

  g_mutex_lock(&s->write_lock);
  while (!r.done) {
    Request *group[GROUP_MAX];
    g_mutex_lock(&s->queue_lock);
    guint n = MIN(s->queue->len, GROUP_MAX);
    memcpy(group, s->queue->pdata, n * sizeof *group);
    g_ptr_array_remove_range(s->queue, 0, n);
    g_mutex_unlock(&s->queue_lock);
    run_requests(s, group, n);
  }
  g_mutex_unlock(&s->write_lock);
  if (r.ok && ret_revision)
    *ret_revision = r.revision;
  if (r.error)
    g_propagate_error(error, r.error);
  return r.ok;
}
