// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The model's records in the store. Blocking, any thread. */
#include "model/record.h"
#include "store/store.h"

/* The caller's: pt_record_free(). `ret_revision` may be NULL. NOT_FOUND where there is none, INVALID where it cannot be read; the
 * messages begin with the key. */
void *pt_records_get(PtStore *store, const char *key, const PtType *type, gint64 *ret_revision, GError **error);

/* Adds the record to a transaction that requires its key to be at `revision` (0: not to exist). */
void pt_records_put(PtTxn *txn, const char *key, gint64 revision, const PtType *type, const void *record);

/* The same in a transaction of its own; `revision` -1 overwrites whatever there is. Errors: those of pt_store_commit(). */
bool pt_records_write(PtStore *store, const char *key, gint64 revision, const PtType *type, const void *record, GError **error);
