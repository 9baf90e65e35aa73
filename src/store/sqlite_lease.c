// SPDX-License-Identifier: Apache-2.0
/* Leases. Their ids and times to live are in the database, when they run out only in memory, on the monotonic clock: after a
 * restart every lease has its whole time again, since nobody could have kept it meanwhile. A lease that has run out is never
 * kept again, even if the thread has not yet come to delete its keys. */
#include "store/sqlite.h"

#include "base/clock.h"
#include "base/error.h"

typedef struct Lease {
  gint64 ttl, expires; /* µs */
  bool dead;           /* ran out, its keys not yet deleted */
} Lease;

#define RETRY (G_USEC_PER_SEC / 2) /* after a full disk */

static bool
not_found(gint64 lease, GError **error)
{
  PT_SET(error, PT_ERR_NOT_FOUND, "lease %" G_GINT64_FORMAT ": ran out", lease);
  return false;
}

/* With write_lock held: all its keys and itself, in one transaction. */
static bool
delete_lease(PtSqlite *s, gint64 lease, GError **error)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  sqlite3_stmt *keys = s->sql[PT_SQL_LEASE_KEYS];

  sqlite3_bind_int64(keys, 1, lease);
  while (sqlite3_step(keys) == SQLITE_ROW)
    pt_txn_delete(txn, (const char *)sqlite3_column_text(keys, 0));
  if (sqlite3_reset(keys) != SQLITE_OK)
    return pt_sqlite_fail(s->db, "lease", error);
  /* The keys go first: if we die in between, the next start has the lease again and it runs out again. */
  if (txn->writes->len > 0 && !pt_sqlite_apply(s, txn, NULL, error))
    return false;
  sqlite3_bind_int64(s->sql[PT_SQL_LEASE_DELETE], 1, lease);
  return pt_sqlite_run(s, PT_SQL_LEASE_DELETE, error);
}

bool
pt_sqlite_lease_grant(PtStore *store, gint64 ttl, gint64 *ret_lease, GError **error)
{
  PtSqlite *s = (PtSqlite *)store;
  guint64 id = 0;

  while (id == 0) { /* random: a lease that ran out is never somebody else's */
    pt_random(&id, sizeof id);
    id >>= 2;
  }
  g_mutex_lock(&s->write_lock);
  sqlite3_bind_int64(s->sql[PT_SQL_LEASE_ADD], 1, (gint64)id);
  sqlite3_bind_int64(s->sql[PT_SQL_LEASE_ADD], 2, ttl);
  bool ok = pt_sqlite_run(s, PT_SQL_LEASE_ADD, error);
  if (ok) {
    Lease *l = g_new(Lease, 1);
    *l = (Lease){ ttl, pt_mono() + ttl, false };
    g_mutex_lock(&s->lease_lock);
    g_hash_table_insert(s->leases, g_memdup2(&id, sizeof id), l);
    g_cond_signal(&s->lease_cond);
    g_mutex_unlock(&s->lease_lock);
    *ret_lease = (gint64)id;
  }
  g_mutex_unlock(&s->write_lock);
  return ok;
}

bool
pt_sqlite_lease_keep(PtStore *store, gint64 lease, GError **error)
{
  PtSqlite *s = (PtSqlite *)store;
  gint64 now = pt_mono();

  g_mutex_lock(&s->lease_lock);
  Lease *l = g_hash_table_lookup(s->leases, &lease);
  bool ok = l && !l->dead && l->expires > now;
  if (ok)
    l->expires = now + l->ttl;
  g_mutex_unlock(&s->lease_lock);
  return ok || not_found(lease, error);
}

/* Takes it out of the table; false where it is not there, or `expired` is asked for and it has not. */
static bool
forget(PtSqlite *s, gint64 lease, bool expired)
{
  g_mutex_lock(&s->lease_lock);
  Lease *l = g_hash_table_lookup(s->leases, &lease);
  bool ok = l && (!expired || l->expires <= pt_mono());
  if (ok)
    g_hash_table_remove(s->leases, &lease);
  g_mutex_unlock(&s->lease_lock);
  return ok;
}

bool
pt_sqlite_lease_revoke(PtStore *store, gint64 lease, GError **error)
{
  PtSqlite *s = (PtSqlite *)store;

  g_mutex_lock(&s->write_lock);
  bool ok = forget(s, lease, false) ? delete_lease(s, lease, error) : not_found(lease, error);
  g_mutex_unlock(&s->write_lock);
  return ok;
}

/* With lease_lock held: the one that runs out next and when; false where there is none. */
static bool
next_lease(PtSqlite *s, gint64 *ret_lease, gint64 *ret_expires)
{
  GHashTableIter it;
  gpointer id, lease;
  bool any = false;

  g_hash_table_iter_init(&it, s->leases);
  while (g_hash_table_iter_next(&it, &id, &lease)) {
    const Lease *l = lease;
    if (any && l->expires >= *ret_expires)
      continue;
    *ret_lease = *(gint64 *)id;
    *ret_expires = l->expires;
    any = true;
  }
  return any;
}

/* Without a lock. */
static void
expire(PtSqlite *s, gint64 id)
{
  g_mutex_lock(&s->write_lock);
  if (forget(s, id, true) && !delete_lease(s, id, NULL)) {
    /* a full disk: its keys are still there, so it is not gone; again in a moment */
    Lease *l = g_new(Lease, 1);
    *l = (Lease){ 0, pt_mono() + RETRY, true };
    g_mutex_lock(&s->lease_lock);
    g_hash_table_insert(s->leases, g_memdup2(&id, sizeof id), l);
    g_mutex_unlock(&s->lease_lock);
  }
  g_mutex_unlock(&s->write_lock);
}

static gpointer
lease_main(gpointer data)
{
  PtSqlite *s = data;

  g_mutex_lock(&s->lease_lock);
  while (!s->lease_stopping) {
    gint64 id = 0, expires = 0;
    bool any = next_lease(s, &id, &expires);
    gint64 left = expires - pt_mono();
    if (!any) {
      g_cond_wait(&s->lease_cond, &s->lease_lock);
    } else if (left > 0) {
      g_cond_wait_until(&s->lease_cond, &s->lease_lock, g_get_monotonic_time() + left);
    } else {
      g_mutex_unlock(&s->lease_lock);
      expire(s, id);
      g_mutex_lock(&s->lease_lock);
    }
  }
  g_mutex_unlock(&s->lease_lock);
  return NULL;
}

bool
pt_sqlite_lease_start(PtSqlite *s, GError **error)
{
  sqlite3_stmt *st = NULL;
  gint64 now = pt_mono();
  int rc = SQLITE_ERROR;

  s->leases = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
  g_mutex_init(&s->lease_lock);
  g_cond_init(&s->lease_cond);
  if (sqlite3_prepare_v2(s->db, "SELECT id, ttl FROM leases", -1, &st, NULL) == SQLITE_OK) {
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
      gint64 id = sqlite3_column_int64(st, 0), ttl = sqlite3_column_int64(st, 1);
      Lease *l = g_new(Lease, 1);
      *l = (Lease){ ttl, now + ttl, false };
      g_hash_table_insert(s->leases, g_memdup2(&id, sizeof id), l);
    }
  }
  if (rc != SQLITE_DONE)
    pt_sqlite_fail(s->db, "reading the leases", error);
  sqlite3_finalize(st);
  if (rc != SQLITE_DONE)
    return false;
  s->lease_thread = g_thread_new("store-lease", lease_main, s);
  return true;
}

void
pt_sqlite_lease_stop(PtSqlite *s)
{
  if (s->lease_thread) {
    g_mutex_lock(&s->lease_lock);
    s->lease_stopping = true;
    g_cond_broadcast(&s->lease_cond);
    g_mutex_unlock(&s->lease_lock);
    g_thread_join(s->lease_thread);
  }
  if (s->leases) {
    g_hash_table_unref(s->leases);
    g_mutex_clear(&s->lease_lock);
    g_cond_clear(&s->lease_cond);
  }
}
