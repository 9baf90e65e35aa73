// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* The opening of a WebSocket (RFC 6455, section 4.2). Pure. */

/* The answer to Sec-WebSocket-Key; NULL where the key is not base64 of 16 bytes. The caller's to free. */
char *pt_ws_accept(const char *key);

/* Whether a comma-separated header (may be NULL) names `word`, in any case. */
bool pt_ws_names(const char *value, const char *word);

/* Sec-WebSocket-Accept for a request with these headers (each may be NULL), the caller's to free; NULL where it is no opening of a
 * WebSocket of version 13. */
char *pt_ws_check(const char *upgrade, const char *version, const char *key);
