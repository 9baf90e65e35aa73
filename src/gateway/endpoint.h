// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

#include "base/client.h"

/* Whom the gateway speaks for, in the words of the request that came: it has no right of its own. Strings are owned. */
typedef struct PtCaller {
  char *authorization, *cookie, *origin, *host; /* NULL where the request had none */
  char *from;                                   /* the client's address */
} PtCaller;

void pt_caller_clear(PtCaller *caller);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtCaller, pt_caller_clear)

/* A cookie travels with every request a browser makes, whoever made the browser do it. So a WebSocket that has nothing
 * but a cookie must come from a page of ours: Origin names Host. FORBIDDEN otherwise. */
bool pt_caller_check_origin(const PtCaller *caller, GError **error);

/* SHA-256 of the credentials, hex: a key for a cache. The caller's to free. */
char *pt_caller_key(const PtCaller *caller);

/* The instance in "/v1/spaces/S/instances/I/VERB" (decoded), and VERB. INVALID for every other path. Owned. */
typedef struct PtTarget {
  char *space, *instance, *verb;
} PtTarget;
void pt_target_clear(PtTarget *target);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtTarget, pt_target_clear)
bool pt_target_parse(const char *path, PtTarget *ret, GError **error);

/* GET of the instance with the caller's rights: NULL with the reply in *ret_refused (the caller's) where the API said no. */
json_t *pt_endpoint_instance(const PtClient *api, const PtCaller *caller, const PtTarget *target,
                             PtClientReply **ret_refused, GError **error);

/* The stream VERB of the instance. `body` is exec's JSON, else NULL; `query` ("history=true") and `purpose` may be NULL.
 * As pt_client_upgrade. */
int pt_endpoint_stream(const PtClient *api, const PtCaller *caller, const PtTarget *target, const char *query,
                       const char *body, const char *purpose, guint32 *ret_type, PtClientReply **ret_refused,
                       GError **error);

/* RFC 9457 problem details of an error; the caller's to free. */
char *pt_problem(const GError *error);
