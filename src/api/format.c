// SPDX-License-Identifier: Apache-2.0
/* Objects as the API shows them: every field is there, with null where it is absent. */
#include <string.h>

#include "api/view.h"
#include "base/error.h"

json_t *
pt_record_view(const PtType *type, const void *record, gint64 revision)
{
  json_t *view = json_object();

  for (guint i = 0; i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    if (f->flags & PT_F_SECRET)
      continue;
    json_t *v = pt_field_format(f, record, false);
    json_object_set_new_nocheck(view, f->name, v ? v : f->kind == PT_FIELD_STRINGS || f->kind == PT_FIELD_LIST ? json_array() : json_null());
  }
  if (revision)
    json_object_set_new(view, "revision", json_integer(revision));
  return view;
}

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

json_t *
pt_operation_view(const PtOperation *o)
{
  json_t *view = pt_record_view(&pt_operation_type, o, 0);

  json_object_del(view, "error_code");
  if (!o->error_code) {
    json_object_set_new(view, "error", json_null());
    return view;
  }
  const char *text = o->error ? o->error : "", *nl = strchr(text, '\n');
  json_object_set_new(view, "error",
                      json_pack("{s:s, s:s%, s:s?}", "code", o->error_code, "detail", text, nl ? (size_t)(nl - text) : strlen(text), "hint",
                                nl ? nl + 1 : NULL));
  return view;
}
