// SPDX-License-Identifier: Apache-2.0
/* Objects as the API shows them: every field is there, with null where it is absent. */
#include <string.h>

#include "api/view.h"
#include "base/error.h"

json_t *
pt_instance_json(const PtInstance *spec, const PtStatus *status, gint64 revision)
{
  return pt_instance_view(spec, status, revision);
}

char *
pt_usage_text(const PtInstance *spec, void *agent)
{
  PtSample s;

  if (!pt_agent_sample(agent, spec, &s, NULL))
    return NULL;
  return g_strdup_printf("{\"cpu\":%.3f,\"memory\":%" G_GINT64_FORMAT ",\"disk\":%" G_GINT64_FORMAT ",\"rx\":%" G_GINT64_FORMAT
                         ",\"tx\":%" G_GINT64_FORMAT "}",
                         s.cpu / 1000, s.memory, s.disk_used, s.rx, s.tx);
}
