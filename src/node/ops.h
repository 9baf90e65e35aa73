// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Operations: work that takes time. The record ops/<id> is in the store, so a killed daemon's operations are
 * found again; progress between two states is in memory and goes to the watchers only. Any thread. */
#include <gio/gio.h>

#include "model/space.h"
#include "node/bus.h"
#include "store/store.h"

typedef struct PtOps PtOps;

PtOps *pt_ops_new(PtStore *store, PtBus *bus);
void pt_ops_free(PtOps *ops);

/* Adds the record of a new pending operation to `txn`, so that it begins together with what it is about.
 * Fill kind, target, space and user; id and created are set here. The id is the caller's. */
char *pt_ops_begin(PtOps *ops, PtTxn *txn, PtOperation *template);
/* The same in a transaction of its own. */
char *pt_ops_begin_now(PtOps *ops, PtOperation *template, GError **error);

/* Progress, at most four times a second to watchers. Unknown ids are ignored. */
void pt_ops_progress(PtOps *ops, const char *id, const char *step, gint64 permille, gint64 done, gint64 total, const char *unit);
/* Ends it: failed where `error` is set (cancelled where its code is CANCELLED). Ended already or unknown: nothing. */
void pt_ops_end(PtOps *ops, const char *id, const char *result, const GError *error);

/* The record with its present progress; NOT_FOUND. The caller's. */
PtOperation *pt_ops_get(PtOps *ops, const char *id, GError **error);
/* Waits until it has ended or `timeout` µs are over; the record as it is then. */
PtOperation *pt_ops_wait(PtOps *ops, const char *id, gint64 timeout, GError **error);
/* Cancel: its cancellable is triggered; CONFLICT where it has ended or cannot be cancelled. */
bool pt_ops_cancel(PtOps *ops, const char *id, GError **error);
/* The cancellable of an operation that can be cancelled; made on first use. A new reference. */
GCancellable *pt_ops_cancellable(PtOps *ops, const char *id);
/* At start: operations of a predecessor. Those about an instance are left to the reconciler; others are failed
 * ("the daemon was restarted; start it again"). Ended ones older than a day, and all above 1,000, are removed. */
bool pt_ops_recover(PtOps *ops, GError **error);
