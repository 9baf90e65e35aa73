// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

#include "base/client.h"
#include "gateway/endpoint.h"

/* Small pictures of desktops, kept for a few seconds. Usable from any thread. */
typedef struct PtThumbs PtThumbs;

/* `api` is borrowed for the life of the result. */
PtThumbs *pt_thumbs_new(const PtClient *api);
void pt_thumbs_free(PtThumbs *thumbs);

/* The picture (PNG) of the target's desktop for this caller, with *ret_etag (the caller's). Blocks for up to 6 s, usually 0 or 30
 * ms. A picture from the cache is given only to credentials that could open that desktop within the last minute. NULL
 * with NOT_FOUND where it does not run or has no desktop; where the API refused, *ret_refused is its answer. */
GBytes *pt_thumbs_get(PtThumbs *thumbs, const PtCaller *caller, const PtTarget *target, char **ret_etag,
                      PtClientReply **ret_refused, GError **error);
