// SPDX-License-Identifier: Apache-2.0
/* Objects as the API shows them: every field is there, with null where it is absent. */
#include <string.h>

#include "api/bodies.h"
#include "api/view.h"
#include "base/error.h"

/* What can be done with instances of its kind here, whatever it does just now. */
static json_t *
actions(const PtInstance *spec)
{
  json_t *list = json_array();

  for (guint a = PT_ACTION_NONE + 1; a < PT_N_ACTIONS; a++) {
    if (a != PT_ACTION_HIBERNATE || pt_agent_hibernates(spec, NULL))
      json_array_append_new(list, json_string(pt_action_names[a]));
  }
  return list;
}

json_t *
pt_instance_json(const PtInstance *spec, const PtStatus *status, gint64 revision)
{
  json_t *view = pt_instance_view(spec, status, revision), *port;
  size_t i;

  json_array_foreach(json_object_get(view, "ports"), i, port)
  {
    if (!json_object_get(port, "address"))
      json_object_set_new(port, "address", json_null());
  }
  /* its node has not looked at it yet, but will start it */
  if (spec->power == PT_POWER_RUNNING && (!status || g_strcmp0(status->id, spec->id) != 0))
    json_object_set_new(view, "state", json_string(pt_run_names[PT_RUN_STARTING]));
  json_object_set_new(view, "actions", actions(spec));
  return view;
}

char *
pt_usage_text(const PtInstance *spec, void *agent)
{
  PtSample s;

  if (!pt_agent_sample(agent, spec, &s, NULL))
    return NULL;
  gint64 milli = (gint64)(MAX(s.cpu, 0) + 0.5); /* not %f: that would follow the locale */
  return g_strdup_printf("{\"cpu\":%" G_GINT64_FORMAT ".%03d,\"memory\":%" G_GINT64_FORMAT ",\"disk\":%" G_GINT64_FORMAT
                         ",\"rx\":%" G_GINT64_FORMAT ",\"tx\":%" G_GINT64_FORMAT "}",
                         milli / 1000, (int)(milli % 1000), s.memory, s.disk_used, s.rx, s.tx);
}
