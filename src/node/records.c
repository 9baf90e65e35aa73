// SPDX-License-Identifier: Apache-2.0
#include "node/records.h"

void *
pt_records_get(PtStore *store, const char *key, const PtType *type, gint64 *ret_revision, GError **error)
{
  g_autoptr(PtEntry) e = pt_store_get(store, key, error);

  if (!e)
    return NULL;
  void *record = pt_record_read(type, e->value, error);
  if (!record)
    g_prefix_error(error, "record %s: ", key);
  else if (ret_revision)
    *ret_revision = e->revision;
  return record;
}

void
pt_records_put(PtTxn *txn, const char *key, gint64 revision, const PtType *type, const void *record)
{
  g_autofree char *text = pt_record_dump(type, record);

  pt_txn_require(txn, key, revision);
  pt_txn_put(txn, key, text);
}

bool
pt_records_write(PtStore *store, const char *key, gint64 revision, const PtType *type, const void *record, GError **error)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autofree char *text = pt_record_dump(type, record);

  if (revision >= 0)
    pt_txn_require(txn, key, revision);
  pt_txn_put(txn, key, text);
  return pt_store_commit(store, txn, NULL, error);
}
