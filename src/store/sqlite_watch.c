// SPDX-License-Identifier: Apache-2.0
/* Watches: one thread reads each watch's next changes out of the history and calls its function.
 *
 * Theory of operation. A watch remembers the (revision, n) it has delivered. A commit raises `visible` and wakes the thread,
 * which serves the watch that lags furthest, at most 256 changes at a time, until all have reached `visible`. No lock is held
 * while a function runs; `running` tells a canceller to wait. What the history no longer has is `lost`: the watch
 * then says nothing more. */
#include "store/sqlite.h"

#include <string.h>

#include "base/error.h"

#define WHOLE G_MAXINT32 /* as `n`: all of the revision */
#define BATCH 256        /* the LIMIT of PtReader.changes */

typedef struct SqliteWatch {
  PtWatch base;
  char *prefix, *end;
  PtWatchFunc func;
  void *data;
  gint64 revision, n; /* the last delivered */
  bool future; /* of a history that is not ours: a restored backup */
  bool lost, running, cancelled;
} SqliteWatch;

typedef struct Change {
  gint64 revision;
  char *key, *value;
  bool last;
} Change;

static void
change_clear(gpointer p)
{
  Change *c = p;

  g_free(c->key);
  g_free(c->value);
}

/* Whether the history reaches back to the watch's place. */
static bool
continuous(PtReader *r, const SqliteWatch *w)
{
  gint64 next = w->n == WHOLE ? w->revision + 1 : w->revision;
  bool ok = sqlite3_step(r->first) == SQLITE_ROW && sqlite3_column_int64(r->first, 0) <= next;

  sqlite3_reset(r->first);
  return ok;
}

/* The next changes of `w` up to revision `upto`, and the place reached by them; NULL where some are missing. */
static GArray *
read_changes(PtSqlite *s, SqliteWatch *w, gint64 upto, gint64 *ret_revision, gint64 *ret_n)
{
  PtReader *r = pt_sqlite_reader_take(s, NULL);

  if (!r)
    return NULL;
  g_autoptr(GArray) out = g_array_new(FALSE, FALSE, sizeof(Change));
  g_array_set_clear_func(out, change_clear);
  sqlite3_bind_int64(r->changes, 1, w->revision);
  sqlite3_bind_int64(r->changes, 2, w->n);
  sqlite3_bind_int64(r->changes, 3, upto);
  sqlite3_bind_text(r->changes, 4, w->prefix, -1, SQLITE_STATIC);
  sqlite3_bind_text(r->changes, 5, w->end, -1, SQLITE_STATIC);
  int rc = sqlite3_step(r->begin) == SQLITE_DONE ? SQLITE_ROW : SQLITE_ERROR;
  sqlite3_reset(r->begin);
  bool whole = rc == SQLITE_ROW && continuous(r, w);
  while (whole && (rc = sqlite3_step(r->changes)) == SQLITE_ROW) {
    Change c = { sqlite3_column_int64(r->changes, 0), g_strdup((const char *)sqlite3_column_text(r->changes, 2)),
                 g_strdup((const char *)sqlite3_column_text(r->changes, 3)), sqlite3_column_int(r->changes, 4) != 0 };
    *ret_revision = c.revision;
    *ret_n = sqlite3_column_int64(r->changes, 1);
    g_array_append_val(out, c);
  }
  sqlite3_reset(r->changes);
  sqlite3_step(r->end);
  sqlite3_reset(r->end);
  pt_sqlite_reader_give(s, r);
  if (!whole || rc != SQLITE_DONE)
    return NULL;
  if (out->len < BATCH) { /* that is all there is */
    *ret_revision = upto;
    *ret_n = WHOLE;
  }
  return g_steal_pointer(&out);
}

static bool
cancelled(PtSqlite *s, SqliteWatch *w)
{
  g_mutex_lock(&s->watch_lock);
  bool yes = w->cancelled;
  g_mutex_unlock(&s->watch_lock);
  return yes;
}

/* Without a lock, `running` set. */
static void
serve(PtSqlite *s, SqliteWatch *w, gint64 upto)
{
  gint64 revision = 0, n = 0;
  g_autoptr(GArray) changes = w->future ? NULL : read_changes(s, w, upto, &revision, &n);

  if (!changes) {
    w->lost = true;
    if (!cancelled(s, w))
      w->func(NULL, true, w->data);
    return;
  }
  for (guint i = 0; i < changes->len && !cancelled(s, w); i++) {
    const Change *c = &g_array_index(changes, Change, i);
    const PtChange change = { c->key, c->value, c->revision, c->last };
    w->func(&change, false, w->data);
  }
  w->revision = revision;
  w->n = n;
}

/* With watch_lock held: the one to serve next, or NULL. */
static SqliteWatch *
furthest_behind(PtSqlite *s)
{
  SqliteWatch *best = NULL;

  for (guint i = 0; i < s->watches->len; i++) {
    SqliteWatch *w = s->watches->pdata[i];
    bool due = !w->lost && (w->future || w->revision < s->visible || w->n != WHOLE);
    if (due && (!best || w->revision < best->revision))
      best = w;
  }
  return best;
}

static gpointer
watch_main(gpointer data)
{
  PtSqlite *s = data;

  g_mutex_lock(&s->watch_lock);
  while (!s->watch_stopping) {
    SqliteWatch *w = furthest_behind(s);
    if (!w) {
      g_cond_wait(&s->watch_cond, &s->watch_lock);
      continue;
    }
    gint64 upto = s->visible;
    w->running = true;
    g_mutex_unlock(&s->watch_lock);
    serve(s, w, upto);
    g_mutex_lock(&s->watch_lock);
    w->running = false;
    g_cond_broadcast(&s->watch_cond);
  }
  g_mutex_unlock(&s->watch_lock);
  return NULL;
}

void
pt_sqlite_watch_publish(PtSqlite *s, gint64 revision)
{
  g_mutex_lock(&s->watch_lock);
  s->visible = revision;
  g_cond_broadcast(&s->watch_cond);
  g_mutex_unlock(&s->watch_lock);
}

PtWatch *
pt_sqlite_watch(PtStore *store, const char *prefix, gint64 after, PtWatchFunc func, void *data, GError **error)
{
  PtSqlite *s = (PtSqlite *)store;
  SqliteWatch *w = g_new0(SqliteWatch, 1);

  (void)error;
  w->base.store = store;
  w->prefix = g_strdup(prefix);
  w->end = pt_sqlite_prefix_end(prefix);
  w->func = func;
  w->data = data;
  w->n = WHOLE;
  g_mutex_lock(&s->write_lock); /* a reader may have seen a commit that is not yet published */
  g_mutex_lock(&s->watch_lock);
  w->revision = after ? after : s->visible;
  w->future = after > s->visible;
  g_ptr_array_add(s->watches, w);
  g_cond_broadcast(&s->watch_cond);
  g_mutex_unlock(&s->watch_lock);
  g_mutex_unlock(&s->write_lock);
  return &w->base;
}

static void
watch_free(gpointer p)
{
  SqliteWatch *w = p;

  g_free(w->prefix);
  g_free(w->end);
  g_free(w);
}

void
pt_sqlite_watch_cancel(PtWatch *watch)
{
  PtSqlite *s = (PtSqlite *)watch->store;
  SqliteWatch *w = (SqliteWatch *)watch;

  g_mutex_lock(&s->watch_lock);
  w->cancelled = true;
  while (w->running)
    g_cond_wait(&s->watch_cond, &s->watch_lock);
  g_ptr_array_remove_fast(s->watches, w);
  g_mutex_unlock(&s->watch_lock);
}

void
pt_sqlite_watch_start(PtSqlite *s)
{
  g_mutex_init(&s->watch_lock);
  g_cond_init(&s->watch_cond);
  s->watches = g_ptr_array_new_with_free_func(watch_free);
  s->watch_thread = g_thread_new("store-watch", watch_main, s);
}

void
pt_sqlite_watch_stop(PtSqlite *s)
{
  if (!s->watch_thread)
    return;
  g_mutex_lock(&s->watch_lock);
  s->watch_stopping = true;
  g_cond_broadcast(&s->watch_cond);
  g_mutex_unlock(&s->watch_lock);
  g_thread_join(s->watch_thread);
  g_ptr_array_free(s->watches, TRUE);
  g_mutex_clear(&s->watch_lock);
  g_cond_clear(&s->watch_cond);
}
