// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "api/request.h"

/* A new space with an id, the default subnet and a random IPv6 prefix, and nobody in it. The caller's. */
PtSpace *pt_space_new(const char *name, const char *created_by);

/* What the space's instances and volumes take: from the view. */
typedef struct PtUse {
  gint64 instances, cpu, memory, disk;
} PtUse;
void pt_space_use(PtApi *api, const char *space, PtUse *ret);
/* What one instance counts for; without a limit, the node's. */
void pt_use_add(const PtHost *host, const PtInstance *i, PtUse *use);
/* OVER_QUOTA, naming what there would be too much of. */
bool pt_quota_check(const PtSpace *space, const PtUse *use, GError **error);
