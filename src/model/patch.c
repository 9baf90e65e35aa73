// SPDX-License-Identifier: Apache-2.0
/* Changes that a client sends: a merge patch onto a record, and a person's "field=text" into a merge patch. */
#include "model/record.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "model/codec.h"

/* Union of the flags of the fields in which the two differ. */
static guint
changed_flags(const PtType *type, const void *a, const void *b)
{
  guint flags = 0;

  for (guint i = 0; i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    g_autoptr(json_t) ja = pt_codecs[f->kind].format(f, a, true);
    g_autoptr(json_t) jb = pt_codecs[f->kind].format(f, b, true);
    if ((ja == NULL) != (jb == NULL) || (ja && !json_equal(ja, jb)))
      flags |= f->flags;
  }
  return flags;
}

/* What a client has to give, and has not. */
static bool
complete(const PtType *type, const void *record, guint allowed, GError **error)
{
  for (guint i = 0; i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    if ((f->flags & PT_F_REQUIRED) && (f->flags & allowed) && pt_codecs[f->kind].pointer &&
        !G_STRUCT_MEMBER(void *, record, f->offset))
      return pt_field_missing(f, error);
  }
  return true;
}

bool
pt_record_patch(const PtType *type, void *record, const json_t *patch, guint allowed, guint *ret_flags, GError **error)
{
  const PtApply how = { true, allowed };

  if (!json_is_object(patch)) {
    PT_SET(error, PT_ERR_INVALID, "%s: an object { … } is wanted here", type->name);
    return false;
  }
  void *copy = pt_record_copy(type, record);
  if (!pt_record_apply(type, copy, patch, &how, error) || !complete(type, copy, allowed, error) ||
      (type->validate && !type->validate(copy, error)) ||
      (!(allowed & PT_F_USER) && type->transition && !type->transition(record, copy, error))) {
    pt_record_free(type, copy);
    return false;
  }
  if (ret_flags)
    *ret_flags = changed_flags(type, record, copy);
  pt_record_clear(type, record);
  memcpy(record, copy, type->size);
  g_free(copy);
  return true;
}

static json_t *
wrong(const PtField *f, const char *text, const char *wanted, GError **error)
{
  g_autofree char *shown = pt_text_safe(text, 60);

  PT_SET(error, PT_ERR_INVALID, "%s: '%s' is not allowed here: %s is wanted", f->name, shown, wanted);
  if (f->help)
    pt_error_hint(error, "%s: %s", f->name, f->help);
  return NULL;
}

static json_t *
bool_from_text(const PtField *f, const char *text, GError **error)
{
  static const char *const yes[] = { "true", "yes", "on", "1", NULL }, *const no[] = { "false", "no", "off", "0", NULL };

  if (g_strv_contains(yes, text))
    return json_true();
  if (g_strv_contains(no, text))
    return json_false();
  return wrong(f, text, "true or false", error);
}

static json_t *
number_from_text(const PtField *f, const char *text, GError **error)
{
  gint64 n = 0;

  if (f->kind == PT_FIELD_INT) {
    if (g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &n, NULL))
      return json_integer(n);
    return wrong(f, text, "a whole number", error);
  }
  if (f->kind == PT_FIELD_SIZE ? !pt_size_parse(text, &n, error)
                               : strcmp(text, "0") != 0 && !pt_cpu_parse(text, &n, error)) {
    g_prefix_error(error, "%s: ", f->name);
    return NULL;
  }
  return f->kind == PT_FIELD_SIZE ? json_integer(n) : json_string(text);
}

/* A list as JSON, as words a shell would make of it, or as comma-separated items of the type's own writing. */
static json_t *
list_from_text(const PtField *f, const char *text, GError **error)
{
  g_autoptr(json_t) list = json_array();
  g_auto(GStrv) parts = NULL;

  if (f->kind == PT_FIELD_STRINGS) {
    if (!g_shell_parse_argv(text, NULL, &parts, NULL))
      return wrong(f, text, "words as in a shell, with every quote closed,", error);
    for (guint i = 0; parts[i]; i++)
      json_array_append_new(list, json_string(parts[i]));
    return g_steal_pointer(&list);
  }
  if (!f->type->from_text)
    return wrong(f, text, "a JSON list", error);
  parts = g_strsplit(text, ",", -1);
  for (guint i = 0; parts[i]; i++) {
    json_t *item = f->type->from_text(g_strstrip(parts[i]), error);
    if (!item) {
      g_prefix_error(error, "%s: ", f->name);
      return NULL;
    }
    json_array_append_new(list, item);
  }
  return g_steal_pointer(&list);
}

static json_t *
enum_from_text(const PtField *f, const char *text, GError **error)
{
  if (g_strv_contains(f->names, text))
    return json_string(text);
  g_autofree char *list = g_strjoinv(", ", (char **)f->names);
  g_autofree char *wanted = g_strconcat("one of ", list, NULL);
  return wrong(f, text, wanted, error);
}

static json_t *
json_from_text(const PtField *f, const char *text, GError **error)
{
  json_t *v = pt_json_parse(text, strlen(text), error);

  if (!v)
    g_prefix_error(error, "%s: ", f->name);
  return v;
}

/* Whether a list is given as JSON: '[' alone also begins an IPv6 address in a port. */
static bool
json_list(const PtField *f, const char *text)
{
  if (text[0] != '[' || f->kind == PT_FIELD_STRINGS)
    return text[0] == '[';
  text++;
  while (g_ascii_isspace(*text))
    text++;
  return *text == '{' || *text == ']';
}

static json_t *
value_from_text(const PtField *f, const char *text, GError **error)
{
  if (*text == '\0')
    return json_null();
  switch (f->kind) {
  case PT_FIELD_BOOL:
    return bool_from_text(f, text, error);
  case PT_FIELD_INT: case PT_FIELD_SIZE: case PT_FIELD_CPU:
    return number_from_text(f, text, error);
  case PT_FIELD_ENUM:
    return enum_from_text(f, text, error);
  case PT_FIELD_STRINGS: case PT_FIELD_LIST:
    return json_list(f, text) ? json_from_text(f, text, error) : list_from_text(f, text, error);
  case PT_FIELD_MAP: case PT_FIELD_OBJECT:
    if (text[0] == '{')
      return json_from_text(f, text, error);
    return wrong(f, text, "FIELD.NAME=value, or a JSON object,", error);
  default: {
    json_t *s = json_string(text);
    return s ? s : wrong(f, text, "UTF-8 text", error);
  }
  }
}

static const PtField *
field_named(const PtType *type, const char *name, GError **error)
{
  const PtField *f = pt_field_find(type, name);

  if (f)
    return f;
  g_autofree char *shown = pt_text_safe(name, 60);
  GString *list = g_string_new(NULL);
  for (guint i = 0; i < type->n_fields; i++) {
    if (type->fields[i].flags & (PT_F_USER | PT_F_LIVE | PT_F_STOPPED | PT_F_ADMIN))
      g_string_append_printf(list, "%s%s", list->len ? ", " : "", type->fields[i].name);
  }
  PT_SET(error, PT_ERR_INVALID, "'%s': there is no such field\nwhat can be set: %s", shown, list->str);
  g_string_free(list, TRUE);
  return NULL;
}

/* "env.FOO" with its text: the inner key and value; NULL and an error where `f` has no members. */
static json_t *
member_from_text(const PtField *f, const char *member, const char *text, GError **error)
{
  if (f->kind == PT_FIELD_MAP) {
    json_t *s = *text ? json_string(text) : json_null();
    return s ? s : wrong(f, text, "UTF-8 text", error);
  }
  if (f->kind != PT_FIELD_OBJECT)
    return wrong(f, member, "no '.'", error);
  const PtField *inner = field_named(f->type, member, error);
  return inner ? value_from_text(inner, text, error) : NULL;
}

bool
pt_record_patch_add(const PtType *type, json_t *patch, const char *assignment, GError **error)
{
  const char *eq = strchr(assignment, '=');

  if (!eq || eq == assignment) {
    g_autofree char *shown = pt_text_safe(assignment, 60);
    PT_SET(error, PT_ERR_INVALID, "'%s': FIELD=VALUE is wanted here, such as memory=2GiB", shown);
    return false;
  }
  g_autofree char *name = g_strndup(assignment, (gsize)(eq - assignment));
  char *dot = strchr(name, '.');
  if (dot)
    *dot = '\0';
  const PtField *f = field_named(type, name, error);
  if (!f)
    return false;
  g_autoptr(json_t) v = dot ? member_from_text(f, dot + 1, eq + 1, error) : value_from_text(f, eq + 1, error);
  if (!v)
    return false;
  json_t *into = patch;
  if (dot) {
    into = json_object_get(patch, name);
    if (!json_is_object(into)) {
      into = json_object();
      json_object_set_new(patch, name, into);
    }
  }
  if (json_object_set(into, dot ? dot + 1 : name, v) == 0)
    return true;
  wrong(f, dot ? dot + 1 : name, "UTF-8 text", error);
  return false;
}
