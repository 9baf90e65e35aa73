// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "api/request.h"

/* The image of a name, a digest or a digest's beginning of at least 6 digits: NOT_FOUND with what would help, CONFLICT where
 * several begin so. */
PtImage *pt_image_find(PtApi *api, const char *ref, gint64 *ret_revision, GError **error);
