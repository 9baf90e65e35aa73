// SPDX-License-Identifier: Apache-2.0
/* Objects as the API shows them and as events carry them: every field is there, null where absent. */
#include "model/space.h"

#include <string.h>

json_t *
pt_record_view(const PtType *type, const void *record, gint64 revision)
{
  json_t *view = json_object();

  for (guint i = 0; i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    if (f->flags & PT_F_SECRET)
      continue;
    json_t *v = pt_field_format(f, record, false);
    bool list = f->kind == PT_FIELD_STRINGS || f->kind == PT_FIELD_LIST;
    json_object_set_new_nocheck(view, f->name, v ? v : list ? json_array() : json_null());
  }
  if (revision)
    json_object_set_new_nocheck(view, "revision", json_integer(revision));
  return view;
}

json_t *
pt_operation_view(const PtOperation *op)
{
  json_t *view = pt_record_view(&pt_operation_type, op, 0), *error = json_null();

  if (op->error_code) {
    const char *text = op->error ? op->error : "";
    const char *nl = strchr(text, '\n');
    g_autofree char *detail = nl ? g_strndup(text, (gsize)(nl - text)) : g_strdup(text);
    error = json_object();
    json_object_set_new_nocheck(error, "code", json_string(op->error_code));
    json_object_set_new_nocheck(error, "detail", json_string(detail));
    json_object_set_new_nocheck(error, "hint", nl ? json_string(nl + 1) : json_null());
  }
  json_object_del(view, "error_code");
  json_object_set_new_nocheck(view, "error", error);
  return view;
}

json_t *
pt_user_view(const PtUser *user, gint64 revision)
{
  json_t *view = pt_record_view(&pt_user_type, user, revision);

  json_object_set_new_nocheck(view, "totp", json_boolean(user->totp != NULL));
  return view;
}
