// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The transactional key-value store. Keys are paths, values JSON text. Every transaction has one
 * revision, counted up by one over the whole store; a record carries the revision that last wrote it.
 * All calls may come from any thread and block for as long as the back end needs (SQLite: 0.1 ms).
 * Keys: 1 to 512 bytes of printable ASCII without "//", no '/' at either end. Values: at most 1 MiB. */
#include <glib.h>
#include <stdbool.h>

typedef struct PtStore PtStore;
typedef struct PtTxn PtTxn;
typedef struct PtWatch PtWatch;

typedef struct PtEntry {
  char *key;
  char *value;
  gint64 revision; /* of the last write */
  gint64 created;  /* revision that created it */
  gint64 lease;    /* 0 = none */
} PtEntry;

/* Opens or makes the database at `path` (mode 0600). UNSUPPORTED where it was written by a newer
 * version; CONFLICT where another process has it open. */
PtStore *pt_store_open_sqlite(const char *path, GError **error);
void pt_store_close(PtStore *store); /* its watches are cancelled before */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtStore, pt_store_close)

/* NOT_FOUND where it is not there (the message is the key). The entry is the caller's. */
PtEntry *pt_store_get(PtStore *store, const char *key, GError **error);
void pt_entry_free(PtEntry *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtEntry, pt_entry_free)

/* All records whose key begins with `prefix` (a path and '/', or "" for all), sorted by key: an array of
 * PtEntry. `ret_revision`, if not NULL, is the store's revision at that moment, to watch from. */
GPtrArray *pt_store_list(PtStore *store, const char *prefix, gint64 *ret_revision, GError **error);

/* A transaction: all compares hold, then all writes happen in their order, or nothing does. At most 512 of each (TOO_LARGE). Bad keys
 * and values are told by the commit. One that changes nothing has no revision of its own. */
PtTxn *pt_txn_new(void);
void pt_txn_free(PtTxn *txn);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtTxn, pt_txn_free)
void pt_txn_require(PtTxn *txn, const char *key, gint64 revision); /* 0: the key must not exist */
void pt_txn_put(PtTxn *txn, const char *key, const char *value);
void pt_txn_put_leased(PtTxn *txn, const char *key, const char *value, gint64 lease);
void pt_txn_delete(PtTxn *txn, const char *key);                   /* absent is fine */
/* STALE where a compare failed (the message begins with the key); NOT_FOUND where a lease ran out; NO_SPACE. Success means that it
 * is on disk. `ret_revision` may be NULL. */
bool pt_store_commit(PtStore *store, const PtTxn *txn, gint64 *ret_revision, GError **error);

/* One change. `value` is NULL for a deletion. */
typedef struct PtChange {
  const char *key;
  const char *value;
  gint64 revision;
  bool last; /* no other change of that transaction follows for this watch: `revision` has been reached */
} PtChange;
/* Called on the store's own watch thread, in order of revision, never concurrently for one watch. It must
 * not block for long and may call the store. `lost` (changes NULL): history was compacted away or the
 * back end lost contact; list again and watch anew from there: this one says nothing more, but is to be cancelled. */
typedef void (*PtWatchFunc)(const PtChange *change, bool lost, void *data);

/* Delivers every change after revision `after` (0: only what is to come) under `prefix`. */
PtWatch *pt_store_watch(PtStore *store, const char *prefix, gint64 after, PtWatchFunc func, void *data, GError **error);
/* After it returns the function is not running and will not be called again. Not from within the function. */
void pt_watch_cancel(PtWatch *watch);

/* Leases: keys attached to one are deleted when it runs out. TTL in µs, a day at most. After a restart of the store each has its whole
 * time again. A plain put takes a key off its lease. */
bool pt_store_lease_grant(PtStore *store, gint64 ttl, gint64 *ret_lease, GError **error);
bool pt_store_lease_keep(PtStore *store, gint64 lease, GError **error); /* NOT_FOUND: it ran out */
bool pt_store_lease_revoke(PtStore *store, gint64 lease, GError **error);

/* A consistent copy of the whole store into a new file, while in use. */
bool pt_store_backup(PtStore *store, const char *path, GError **error);

/* The back end's table; store.c checks arguments and calls it. */
typedef struct PtStoreOps {
  const char *name;
  PtEntry *(*get)(PtStore *store, const char *key, GError **error);
  GPtrArray *(*list)(PtStore *store, const char *prefix, gint64 *ret_revision, GError **error);
  bool (*commit)(PtStore *store, const PtTxn *txn, gint64 *ret_revision, GError **error);
  PtWatch *(*watch)(PtStore *store, const char *prefix, gint64 after, PtWatchFunc func, void *data, GError **error);
  void (*watch_cancel)(PtWatch *watch);
  bool (*lease_grant)(PtStore *store, gint64 ttl, gint64 *ret_lease, GError **error);
  bool (*lease_keep)(PtStore *store, gint64 lease, GError **error);
  bool (*lease_revoke)(PtStore *store, gint64 lease, GError **error);
  bool (*backup)(PtStore *store, const char *path, GError **error);
  void (*close)(PtStore *store);
} PtStoreOps;
struct PtStore { const PtStoreOps *ops; }; /* a back end's struct begins with it */
struct PtWatch { PtStore *store; };
