// SPDX-License-Identifier: Apache-2.0
#include "model/record.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "model/codec.h"

const PtField *
pt_field_find(const PtType *type, const char *name)
{
  for (guint i = 0; i < type->n_fields; i++) {
    if (strcmp(type->fields[i].name, name) == 0)
      return &type->fields[i];
  }
  return NULL;
}

void *
pt_record_new(const PtType *type)
{
  void *record = g_malloc0(type->size);

  if (type->defaults)
    type->defaults(record);
  return record;
}

void
pt_record_clear(const PtType *type, void *record)
{
  for (guint i = 0; i < type->n_fields; i++)
    pt_codecs[type->fields[i].kind].clear(&type->fields[i], record);
}

void
pt_record_free(const PtType *type, void *record)
{
  if (!record)
    return;
  pt_record_clear(type, record);
  g_free(record);
}

void *
pt_record_copy(const PtType *type, const void *record)
{
  void *copy = g_memdup2(record, type->size);

  for (guint i = 0; i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    if (pt_codecs[f->kind].copy)
      pt_codecs[f->kind].copy(f, copy, record);
  }
  return copy;
}

json_t *
pt_field_format(const PtField *field, const void *record, bool secrets)
{
  if ((field->flags & PT_F_SECRET) && !secrets)
    return NULL;
  return pt_codecs[field->kind].format(field, record, secrets);
}

json_t *
pt_record_format(const PtType *type, const void *record, bool secrets)
{
  json_t *obj = json_object();

  for (guint i = 0; i < type->n_fields; i++) {
    json_t *v = pt_field_format(&type->fields[i], record, secrets);
    if (v)
      json_object_set_new_nocheck(obj, type->fields[i].name, v);
  }
  return obj;
}

char *
pt_record_dump(const PtType *type, const void *record)
{
  g_autoptr(json_t) json = pt_record_format(type, record, true);

  return pt_json_dump(json);
}

void *
pt_record_read(const PtType *type, const char *text, GError **error)
{
  g_autoptr(json_t) json = pt_json_parse_object(text, strlen(text), error);

  return json ? pt_record_parse(type, json, error) : NULL;
}

bool
pt_field_missing(const PtField *f, GError **error)
{
  PT_SET(error, PT_ERR_INVALID, "%s: is required", f->name);
  if (f->help)
    pt_error_hint(error, "%s: %s", f->name, f->help);
  return false;
}

/* Null: what a new record has in this field. */
static void
reset(const PtType *type, const PtField *f, void *record)
{
  void *fresh = pt_record_new(type);

  pt_codecs[f->kind].clear(f, record);
  switch (f->kind) {
  case PT_FIELD_BOOL:
    G_STRUCT_MEMBER(bool, record, f->offset) = G_STRUCT_MEMBER(bool, fresh, f->offset);
    break;
  case PT_FIELD_ENUM:
    G_STRUCT_MEMBER(int, record, f->offset) = G_STRUCT_MEMBER(int, fresh, f->offset);
    break;
  case PT_FIELD_INT: case PT_FIELD_SIZE: case PT_FIELD_CPU: case PT_FIELD_TIME:
    G_STRUCT_MEMBER(gint64, record, f->offset) = G_STRUCT_MEMBER(gint64, fresh, f->offset);
    break;
  default:
    pt_codecs[f->kind].copy(f, record, fresh);
    break;
  }
  pt_record_free(type, fresh);
}

static bool
apply_field(const PtType *type, const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  if (json_is_null(v)) {
    if (how->strict && (f->flags & PT_F_REQUIRED))
      return pt_field_missing(f, error);
    reset(type, f, record);
    return true;
  }
  if (pt_codecs[f->kind].read(f, record, v, how, error))
    return true;
  g_prefix_error(error, "%s: ", f->name);
  return false;
}

static char *
names_of(const PtType *type, guint flags)
{
  GString *s = g_string_new(NULL);

  for (guint i = 0; i < type->n_fields; i++) {
    if (type->fields[i].flags & flags)
      g_string_append_printf(s, "%s%s", s->len ? ", " : "", type->fields[i].name);
  }
  return g_string_free(s, FALSE);
}

/* Whether a client may set the field that it calls `key`. */
static const PtField *
permitted(const PtType *type, const char *key, guint allowed, GError **error)
{
  const PtField *f = pt_field_find(type, key);

  if (f && (f->flags & allowed))
    return f;
  g_autofree char *shown = pt_text_safe(key, 60);
  if (!f || !(f->flags & (PT_F_USER | PT_F_LIVE | PT_F_STOPPED | PT_F_ADMIN)))
    PT_SET(error, PT_ERR_INVALID, f ? "'%s': is kept by Portena and cannot be set" : "'%s': there is no such field", shown);
  else if (f->flags & PT_F_ADMIN)
    PT_SET(error, PT_ERR_FORBIDDEN, "'%s': only an administrator may set this", shown);
  else
    PT_SET(error, PT_ERR_INVALID, "'%s': is fixed when the %s is made and cannot be changed afterwards", shown, type->name);
  g_autofree char *list = names_of(type, allowed);
  pt_error_hint(error, *list ? "what can be set here: %s" : "nothing can be set here%s", list);
  return NULL;
}

bool
pt_record_apply(const PtType *type, void *record, const json_t *json, const PtApply *how, GError **error)
{
  const char *key;
  json_t *v;

  if (!how->strict) {
    for (guint i = 0; i < type->n_fields; i++) {
      v = json_object_get(json, type->fields[i].name);
      if (v && !apply_field(type, &type->fields[i], record, v, how, error))
        return false;
    }
    return true;
  }
  json_object_foreach((json_t *)json, key, v) {
    const PtField *f = permitted(type, key, how->allowed, error);
    if (!f || !apply_field(type, f, record, v, how, error))
      return false;
  }
  return true;
}

void *
pt_record_parse(const PtType *type, const json_t *json, GError **error)
{
  static const PtApply ours = { false, 0 };

  if (!json_is_object(json)) {
    PT_SET(error, PT_ERR_INVALID, "%s: an object { … } is wanted here", type->name);
    return NULL;
  }
  void *record = pt_record_new(type);
  bool ok = pt_record_apply(type, record, json, &ours, error);
  for (guint i = 0; ok && i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    const json_t *given = (f->flags & PT_F_REQUIRED) ? json_object_get(json, f->name) : NULL;
    if ((f->flags & PT_F_REQUIRED) && (!given || json_is_null(given)))
      ok = pt_field_missing(f, error);
  }
  if (ok && type->validate)
    ok = type->validate(record, error);
  if (ok)
    return record;
  pt_record_free(type, record);
  return NULL;
}
