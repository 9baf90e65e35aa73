// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Who changed what, from where, with what outcome: append-only, in a database of its own (STATE/audit.db), so that it costs
 * the store's watchers nothing and can be kept when the store is restored from a backup.
 *
 * Failed logins are counted apart (10,000 of them beside 100,000 others): a flood of guesses cannot push
 * out the history of what really happened. Any thread. */
#include <jansson.h>
#include <stdbool.h>

#include "base/json.h"

typedef struct PtAudit PtAudit;

typedef struct PtAuditEntry {
  const char *user, *from, *method, *path, *object, *action, *outcome, *detail; /* any may be NULL */
  bool login;                                                                   /* a login that failed */
} PtAuditEntry;

PtAudit *pt_audit_open(const char *path, GError **error);
void pt_audit_close(PtAudit *a);
/* Blocking: a transaction of SQLite's. */
bool pt_audit_add(PtAudit *a, const PtAuditEntry *entry, GError **error);
/* Newest first; `before` is an id, `user` and `object` (the object itself or what is below it) may be NULL. A new array. */
json_t *pt_audit_list(PtAudit *a, gint64 limit, const char *before, const char *user, const char *object, GError **error);
