// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Inside the SQLite back end: sqlite.c (opening, reading), sqlite_txn.c, sqlite_watch.c, sqlite_lease.c. */
#include <sqlite3.h>

#include "store/backend.h"

#define PT_SQLITE_READERS 4

/* The statements of the writing connection. */
enum {
  PT_SQL_BEGIN,
  PT_SQL_COMMIT,
  PT_SQL_ROLLBACK,
  PT_SQL_SAVE,
  PT_SQL_UNDO,
  PT_SQL_KEEP,
  PT_SQL_REVISION_OF,   /* ?1 key */
  PT_SQL_PUT,           /* ?1 key ?2 value ?3 revision ?4 lease */
  PT_SQL_DELETE,        /* ?1 key */
  PT_SQL_HISTORY,       /* ?1 revision ?2 n ?3 key ?4 value */
  PT_SQL_COMPACT,       /* ?1 the last revision that goes */
  PT_SQL_LEASE_ADD,     /* ?1 id ?2 ttl */
  PT_SQL_LEASE_FIND,    /* ?1 id */
  PT_SQL_LEASE_DELETE,  /* ?1 id */
  PT_SQL_LEASE_KEYS,    /* ?1 id */
  PT_N_SQL_WRITE
};

/* One reading connection with its statements; used by one thread at a time. */
typedef struct PtReader {
  sqlite3 *db;
  sqlite3_stmt *get, *list, *revision, *changes, *first, *begin, *end;
} PtReader;

typedef struct PtSqlite {
  PtStore base;
  char *path;
  int lock_fd; /* flock: one process at a time */

  GMutex queue_lock;
  GPtrArray *queue; /* commits that wait: Request of sqlite_txn.c */

  GMutex write_lock; /* the writing connection, and what follows, up to the next lock */
  sqlite3 *db;
  sqlite3_stmt *sql[PT_N_SQL_WRITE];
  gint64 last;           /* revision of the last transaction */
  gint64 history_first;  /* the oldest revision in the history */
  gint64 history_bytes;  /* estimate of the values written to it since the start */
  gint64 compacting;     /* what history_first will be once the present transaction is committed; 0 = no change */
  gint64 history_keep;   /* revisions to keep */
  gint64 history_max;    /* bytes to keep */

  GMutex read_lock; /* the idle readers */
  GCond read_cond;
  PtReader *idle[PT_SQLITE_READERS];
  guint n_idle, n_readers;

  GMutex watch_lock; /* order: write_lock, then queue_lock, watch_lock or lease_lock */
  GCond watch_cond;  /* something to deliver, a delivery ended, the end */
  GPtrArray *watches;
  gint64 visible; /* revision that watchers may see */
  GThread *watch_thread;
  bool watch_stopping;

  GMutex lease_lock;
  GCond lease_cond;
  GHashTable *leases; /* gint64 id → Lease of sqlite_lease.c */
  GThread *lease_thread;
  bool lease_stopping;
} PtSqlite;

/* Sets the error of the last call on `db`: full disks are NO_SPACE. Always false. */
bool pt_sqlite_fail(sqlite3 *db, const char *what, GError **error);
/* Runs a statement that gives no rows, and resets it. */
bool pt_sqlite_run(PtSqlite *s, int sql, GError **error);

PtReader *pt_sqlite_reader_take(PtSqlite *s, GError **error); /* blocks while all are in use */
void pt_sqlite_reader_give(PtSqlite *s, PtReader *r);
/* ?lo ≤ key < ?hi: the keys under a prefix. "" is all; the caller frees. */
char *pt_sqlite_prefix_end(const char *prefix);

bool pt_sqlite_commit(PtStore *store, const PtTxn *txn, gint64 *ret_revision, GError **error);
/* The same at once, for who holds write_lock. */
bool pt_sqlite_apply(PtSqlite *s, const PtTxn *txn, gint64 *ret_revision, GError **error);
/* How much history is kept: fewer revisions for tests of what happens without. */
void pt_sqlite_keep(PtStore *store, gint64 revisions);

void pt_sqlite_watch_start(PtSqlite *s);
void pt_sqlite_watch_stop(PtSqlite *s);
void pt_sqlite_watch_publish(PtSqlite *s, gint64 revision); /* after a commit */
PtWatch *pt_sqlite_watch(PtStore *store, const char *prefix, gint64 after, PtWatchFunc func, void *data, GError **error);
void pt_sqlite_watch_cancel(PtWatch *watch);

bool pt_sqlite_lease_start(PtSqlite *s, GError **error);
void pt_sqlite_lease_stop(PtSqlite *s);
bool pt_sqlite_lease_grant(PtStore *store, gint64 ttl, gint64 *ret_lease, GError **error);
bool pt_sqlite_lease_keep(PtStore *store, gint64 lease, GError **error);
bool pt_sqlite_lease_revoke(PtStore *store, gint64 lease, GError **error);
