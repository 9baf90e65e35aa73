// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What a client may write in a request target, a credential or an origin: pure functions over hostile text, so that
 * they can be fuzzed. All errors are INVALID unless said otherwise. */
#include <glib.h>
#include <stdbool.h>

#define PT_TARGET_MAX 8192 /* bytes of a request target */
#define PT_SEGMENTS_MAX 16
#define PT_QUERY_MAX 24 /* parameters */

/* Decodes %XX (and '+' as a blank where `plus`). Refuses broken escapes, NUL, control characters and what is not UTF-8
 * afterwards. The result is the caller's. */
char *pt_percent_decode(const char *text, gsize size, bool plus, GError **error);

/* "/v1/spaces/a%20b?x=1" → decoded segments (NULL-ended, the caller's; an escaped '/' stays inside its segment) and the
 * query as a table of char * to char *. An empty segment, a parameter given twice and a fragment are refused. */
bool pt_target_parse(const char *target, char ***ret_segments, GHashTable **ret_query, GError **error);

/* The credential "pt_<id>_<secret>" taken apart; UNAUTHENTICATED where it has another form. Both are the caller's. Out of an
 * Authorization header ("Bearer …") … */
bool pt_credential_bearer(const char *header, char **ret_id, char **ret_secret, GError **error);
/* … and of a Cookie header. False without an error where it holds no cookie of ours. */
bool pt_credential_cookie(const char *header, char **ret_id, char **ret_secret, GError **error);

/* Whether "https://host:port" names the same authority as the Host header. */
bool pt_origin_matches(const char *origin, const char *host);

/* If-Match: "17" → 17; "*" → -1 (anything). */
bool pt_if_match_parse(const char *header, gint64 *ret, GError **error);

/* The last address of an X-Forwarded-For: the one that our own gateway has added. NULL where it is no address. The caller's.
 */
char *pt_forwarded_last(const char *header);
