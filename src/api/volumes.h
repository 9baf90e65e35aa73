// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "api/request.h"

/* A volume of the route's space by its id or name: a data volume's own, or that of the instance whose root it is. NOT_FOUND. */
PtVolume *pt_volume_load(PtRequest *r, const char *word, gint64 *ret_revision, GError **error);
/* The instance that has this data volume, and where (either NULL); the caller's. The view is in step. */
char *pt_volume_holder(PtRequest *r, const PtVolume *v, char **ret_path);
