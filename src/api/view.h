// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Spaces and instances as lists show them, kept up to date by a watch of the store, each rendered once for each change. Any
 * thread. */
#include "api/request.h"

PtView *pt_view_new(PtStore *store, GError **error);
void pt_view_free(PtView *v);

/* Waits (2 s at most, TIMEOUT then) until all that is in the store now is in the view: after it, one reads what one wrote.
 */
bool pt_view_sync(PtView *v, gint64 *ret_revision, GError **error);

/* Appends the JSON of all instances of `space`, sorted by name, separated by commas, to `out`. Those running are given
 * their newest sample by `usage` (may be NULL): JSON text or NULL. */
typedef char *(*PtUsageFunc)(const PtInstance *spec, void *data);
void pt_view_instances(PtView *v, const char *space, PtUsageFunc usage, void *data, GString *out);

/* Calls `func` for each instance of a space (NULL: of all), with the view locked: it must not call the view. */
typedef void (*PtViewFunc)(const PtInstance *spec, const PtStatus *status, void *data);
void pt_view_foreach(PtView *v, const char *space, PtViewFunc func, void *data);

/* Bytes that the data volumes of a space have together. */
gint64 pt_view_data(PtView *v, const char *space);

typedef struct PtViewCount {
  gint64 all, running, hibernated, failed; /* running: or paused */
} PtViewCount;
PtViewCount pt_view_count(PtView *v);

/* Spaces in which `who` is something, sorted: copies of PtSpace, the caller's with the array. `ret_revisions`, if not NULL,
 * is an array of gint64 beside it. */
GPtrArray *pt_view_spaces(PtView *v, const PtWho *who, GArray **ret_revisions);

/* True once the instance runs and is ready, or has failed, ended or been hibernated; false after `timeout` µs. */
bool pt_view_wait_ready(PtView *v, const char *space, const char *name, gint64 timeout);

/* The instance's JSON object as the API shows it, with usage null. A new reference. */
json_t *pt_instance_json(const PtInstance *spec, const PtStatus *status, gint64 revision);
/* {"cpu",…} of the newest sample, JSON text or NULL where there is none. */
char *pt_usage_text(const PtInstance *spec, void *agent);
