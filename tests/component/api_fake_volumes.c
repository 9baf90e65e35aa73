// SPDX-License-Identifier: Apache-2.0
/* What the API asks of the agent about data volumes, as if: all of it works, but a volume called "full" has no room. */
#include <string.h>

#include "base/error.h"
#include "node/agent.h"

bool
pt_agent_volume_make(PtAgent *a, const PtVolume *v, GError **error)
{
  (void)a;
  if (strcmp(v->name, "full") != 0)
    return true;
  PT_SET(error, PT_ERR_NO_SPACE, "pool: full");
  return false;
}

bool
pt_agent_volume_grow(PtAgent *a, PtVolume *v, GError **error)
{
  v->actual = v->size;
  return pt_agent_volume_make(a, v, error);
}

bool
pt_agent_volume_remove(PtAgent *a, const char *id, GError **error)
{
  (void)a;
  (void)id;
  (void)error;
  return true;
}

bool
pt_agent_volume_used(PtAgent *a, const char *id, gint64 *ret_used)
{
  (void)a;
  (void)id;
  *ret_used = 4096;
  return true;
}

bool
pt_agent_attaches(const PtInstance *spec, bool running, GError **error)
{
  return spec != NULL || running || error != NULL;
}
