// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "api/request.h"

/* The image of a name, a digest or a digest's beginning of at least 6 digits: NOT_FOUND with what would help, CONFLICT where
 * several begin so. */
PtImage *pt_image_find(PtApi *api, const char *ref, gint64 *ret_revision, GError **error);
/* The same, but for this architecture: the one of that name, or its companion for that architecture (pt_arch_image_name()). `arch`
 * NULL: any. INVALID where that is unknown. */
PtImage *pt_image_find_for(PtApi *api, const char *ref, const char *arch, gint64 *ret_revision, GError **error);
