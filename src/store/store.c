// SPDX-License-Identifier: Apache-2.0
/* The front of the store: checks every argument, so that a back end can trust them, and builds transactions. */
#include "store/store.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "store/backend.h"

static bool
bad_key(const char *key, const char *why, GError **error)
{
  g_autofree char *shown = pt_text_safe(key ? key : "", 80);

  PT_SET(error, PT_ERR_INVALID, "key '%s': %s", shown, why);
  return false;
}

static bool
key_bytes_ok(const char *key, gsize n, GError **error)
{
  if (n == 0 || n > PT_STORE_KEY_MAX)
    return bad_key(key, "a key has 1 to 512 bytes", error);
  if (key[0] == '/' || key[n - 1] == '/')
    return bad_key(key, "a key neither starts nor ends with '/'", error);
  for (gsize i = 0; i < n; i++) {
    if (key[i] < ' ' || key[i] > '~')
      return bad_key(key, "a key is printable ASCII", error);
    if (key[i] == '/' && key[i + 1] == '/')
      return bad_key(key, "a key has no empty part ('//')", error);
  }
  return true;
}

static bool
key_ok(const char *key, GError **error)
{
  return key_bytes_ok(key, key ? strlen(key) : 0, error);
}

/* "", or a key and '/'. */
static bool
prefix_ok(const char *prefix, GError **error)
{
  gsize n = prefix ? strlen(prefix) : 0;

  if (prefix && n == 0)
    return true;
  if (!prefix || prefix[n - 1] != '/')
    return bad_key(prefix, "a prefix is empty or ends with '/'", error);
  if (prefix[0] == '/' || (n > 1 && prefix[n - 2] == '/'))
    return bad_key(prefix, "a prefix has no empty part", error);
  return key_bytes_ok(prefix, n - 1, error);
}

static bool
value_ok(const PtWrite *w, GError **error)
{
  gsize n = w->value ? strlen(w->value) : 0;

  if (!w->value && !w->remove) {
    PT_SET(error, PT_ERR_INVALID, "%s: no value is given", w->key);
    return false;
  }
  if (n > PT_STORE_VALUE_MAX) {
    PT_SET(error, PT_ERR_TOO_LARGE, "%s: a value of %" G_GSIZE_FORMAT " bytes, more than the %d allowed", w->key, n, PT_STORE_VALUE_MAX);
    return false;
  }
  if (w->value && !g_utf8_validate_len(w->value, n, NULL)) {
    PT_SET(error, PT_ERR_INVALID, "%s: the value is not UTF-8 text", w->key);
    return false;
  }
  return true;
}

static bool
txn_ok(const PtTxn *txn, GError **error)
{
  if (txn->compares->len > PT_STORE_TXN_MAX || txn->writes->len > PT_STORE_TXN_MAX) {
    PT_SET(error, PT_ERR_TOO_LARGE, "transaction: more than %d compares or writes", PT_STORE_TXN_MAX);
    return false;
  }
  for (guint i = 0; i < txn->compares->len; i++) {
    const PtCompare *c = &g_array_index(txn->compares, PtCompare, i);
    if (!key_ok(c->key, error))
      return false;
    if (c->revision < 0)
      return bad_key(c->key, "a revision to compare with is not negative", error);
  }
  for (guint i = 0; i < txn->writes->len; i++) {
    const PtWrite *w = &g_array_index(txn->writes, PtWrite, i);
    if (!key_ok(w->key, error) || !value_ok(w, error))
      return false;
    if (w->lease < 0)
      return bad_key(w->key, "is to be put with a lease that cannot be", error);
  }
  return true;
}

PtEntry *
pt_store_get(PtStore *store, const char *key, GError **error)
{
  return key_ok(key, error) ? store->ops->get(store, key, error) : NULL;
}

GPtrArray *
pt_store_list(PtStore *store, const char *prefix, gint64 *ret_revision, GError **error)
{
  return prefix_ok(prefix, error) ? store->ops->list(store, prefix, ret_revision, error) : NULL;
}

bool
pt_store_commit(PtStore *store, const PtTxn *txn, gint64 *ret_revision, GError **error)
{
  return txn_ok(txn, error) && store->ops->commit(store, txn, ret_revision, error);
}

PtWatch *
pt_store_watch(PtStore *store, const char *prefix, gint64 after, PtWatchFunc func, void *data, GError **error)
{
  if (!prefix_ok(prefix, error))
    return NULL;
  if (after < 0) {
    bad_key(prefix, "a revision to watch from is not negative", error);
    return NULL;
  }
  return store->ops->watch(store, prefix, after, func, data, error);
}

void
pt_watch_cancel(PtWatch *watch)
{
  if (watch)
    watch->store->ops->watch_cancel(watch);
}

bool
pt_store_lease_grant(PtStore *store, gint64 ttl, gint64 *ret_lease, GError **error)
{
  if (ttl > 0 && ttl <= 86400 * (gint64)G_USEC_PER_SEC)
    return store->ops->lease_grant(store, ttl, ret_lease, error);
  PT_SET(error, PT_ERR_INVALID, "lease: a time from 1 µs to a day is wanted, not %" G_GINT64_FORMAT " µs", ttl);
  return false;
}

bool
pt_store_lease_keep(PtStore *store, gint64 lease, GError **error)
{
  return store->ops->lease_keep(store, lease, error);
}

bool
pt_store_lease_revoke(PtStore *store, gint64 lease, GError **error)
{
  return store->ops->lease_revoke(store, lease, error);
}

bool
pt_store_backup(PtStore *store, const char *path, GError **error)
{
  return store->ops->backup(store, path, error);
}

void
pt_store_close(PtStore *store)
{
  if (store)
    store->ops->close(store);
}

void
pt_entry_free(PtEntry *e)
{
  if (!e)
    return;
  g_free(e->key);
  g_free(e->value);
  g_free(e);
}

static void
compare_clear(gpointer p)
{
  g_free(((PtCompare *)p)->key);
}

static void
write_clear(gpointer p)
{
  PtWrite *w = p;

  g_free(w->key);
  g_free(w->value);
}

PtTxn *
pt_txn_new(void)
{
  PtTxn *txn = g_new(PtTxn, 1);

  txn->compares = g_array_new(FALSE, FALSE, sizeof(PtCompare));
  g_array_set_clear_func(txn->compares, compare_clear);
  txn->writes = g_array_new(FALSE, FALSE, sizeof(PtWrite));
  g_array_set_clear_func(txn->writes, write_clear);
  return txn;
}

void
pt_txn_free(PtTxn *txn)
{
  if (!txn)
    return;
  g_array_free(txn->compares, TRUE);
  g_array_free(txn->writes, TRUE);
  g_free(txn);
}

void
pt_txn_require(PtTxn *txn, const char *key, gint64 revision)
{
  PtCompare c = { g_strdup(key), revision };

  g_array_append_val(txn->compares, c);
}

static void
add_write(PtTxn *txn, const char *key, const char *value, gint64 lease, bool remove)
{
  PtWrite w = { g_strdup(key), g_strdup(value), lease, remove };

  g_array_append_val(txn->writes, w);
}

void
pt_txn_put(PtTxn *txn, const char *key, const char *value)
{
  add_write(txn, key, value, 0, false);
}

void
pt_txn_put_leased(PtTxn *txn, const char *key, const char *value, gint64 lease)
{
  add_write(txn, key, value, lease, false);
}

void
pt_txn_delete(PtTxn *txn, const char *key)
{
  add_write(txn, key, NULL, 0, true);
}
