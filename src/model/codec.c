// SPDX-License-Identifier: Apache-2.0
#include "model/codec.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "model/field.h"

/* Theory of operation. Each kind of field is one row of `pt_codecs`: how it is cleared, copied, formatted and read.
 * Everything else walks a type's table and calls the row. Reading merges (a map's members into the map), so
 * the same rows serve records from the store, which start empty, and merge patches, which do not. */

#define MEMBER(T, record, f) G_STRUCT_MEMBER(T, record, (f)->offset)
/* a whole number in JSON as JavaScript writes it is exact up to here */
#define MAX_EXACT 9007199254740992.0

/* Sets INVALID "VALUE: what is wanted" with the field's help as the hint. Always false. */
static bool
refuse(const PtField *f, const json_t *v, const char *wanted, GError **error)
{
  g_autofree char *text = v ? pt_json_dump(v) : NULL;
  g_autofree char *shown = pt_text_safe(text ? text : "this", 60);

  PT_SET(error, PT_ERR_INVALID, "%s is not allowed here: %s is wanted", shown, wanted);
  if (f->help)
    pt_error_hint(error, "%s: %s", f->name, f->help);
  return false;
}

/* numbers */

static void
number_clear(const PtField *f, void *record)
{
  MEMBER(gint64, record, f) = 0;
}

static bool
number_bounds(const PtField *f, const json_t *v, gint64 n, GError **error)
{
  if (n >= f->min && n <= f->max)
    return true;
  if (f->kind == PT_FIELD_SIZE) {
    g_autofree char *bound = pt_size_format(n < f->min ? f->min : f->max);
    g_autofree char *size = g_strdup_printf("a size of %s or %s", bound, n < f->min ? "more" : "less");
    return refuse(f, v, size, error);
  }
  g_autofree char *wanted =
    f->max >= PT_BIG ? g_strdup_printf("a whole number from %" G_GINT64_FORMAT " on", f->min)
                     : g_strdup_printf("a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, f->min, f->max);
  return refuse(f, v, wanted, error);
}

/* JSON has one kind of number: 5.0 and 1e3 are whole. */
static bool
whole(const json_t *v, gint64 *ret)
{
  if (json_is_integer(v)) {
    *ret = json_integer_value(v);
    return true;
  }
  double d = json_real_value(v);
  if (!json_is_real(v) || d != floor(d) || fabs(d) > MAX_EXACT)
    return false;
  *ret = (gint64)d;
  return true;
}

static bool
int_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  gint64 n = 0;

  (void)how;
  if (!whole(v, &n))
    return refuse(f, v, "a whole number", error);
  if (!number_bounds(f, v, n, error))
    return false;
  MEMBER(gint64, record, f) = n;
  return true;
}

static bool
size_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  gint64 n = 0;

  (void)how;
  if (json_is_string(v)) {
    if (!pt_size_parse(json_string_value(v), &n, error))
      return false;
  } else if (!whole(v, &n)) {
    return refuse(f, v, "a number of bytes, or a size such as \"2GiB\",", error);
  }
  if (!number_bounds(f, v, n, error))
    return false;
  MEMBER(gint64, record, f) = n;
  return true;
}

static json_t *
int_format(const PtField *f, const void *record, bool secrets)
{
  (void)secrets;
  return json_integer(MEMBER(gint64, record, f));
}

static bool
cpu_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  gint64 milli = 0;

  (void)how;
  if (json_is_string(v)) {
    if (strcmp(json_string_value(v), "0") != 0 && !pt_cpu_parse(json_string_value(v), &milli, error))
      return false;
  } else {
    double d = json_number_value(v);
    if (!json_is_number(v) || !(d == 0 || (d >= 0.01 && d <= 1e6)))
      return refuse(f, v, "a number of cpus such as 2 or 0.5", error);
    milli = (gint64)(d * 1000 + 0.5);
  }
  if (milli < f->min || milli > f->max)
    return refuse(f, v, f->min > 0 ? "a number of cpus from 0.01 on" : "a sensible number of cpus, or 0 for no limit,", error);
  MEMBER(gint64, record, f) = milli;
  return true;
}

static json_t *
cpu_format(const PtField *f, const void *record, bool secrets)
{
  gint64 milli = MEMBER(gint64, record, f);

  (void)secrets;
  return milli % 1000 == 0 ? json_integer(milli / 1000) : json_real((double)milli / 1000);
}

static bool
time_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  gint64 t = pt_time_parse(json_string_value(v));

  (void)how;
  if (t < 0)
    return refuse(f, v, "a time such as \"2026-01-31T08:09:10Z\"", error);
  MEMBER(gint64, record, f) = t;
  return true;
}

static json_t *
time_format(const PtField *f, const void *record, bool secrets)
{
  gint64 t = MEMBER(gint64, record, f);

  (void)secrets;
  if (t == 0)
    return json_null();
  g_autofree char *text = pt_time_format(t);
  return json_string(text);
}

static void
bool_clear(const PtField *f, void *record)
{
  MEMBER(bool, record, f) = false;
}

static bool
bool_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  (void)how;
  if (!json_is_boolean(v))
    return refuse(f, v, "true or false", error);
  MEMBER(bool, record, f) = json_is_true(v);
  return true;
}

static json_t *
bool_format(const PtField *f, const void *record, bool secrets)
{
  (void)secrets;
  return json_boolean(MEMBER(bool, record, f));
}

static void
enum_clear(const PtField *f, void *record)
{
  MEMBER(int, record, f) = 0;
}

static bool
enum_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  const char *text = json_string_value(v);

  (void)how;
  for (int i = 0; text && f->names[i]; i++) {
    if (strcmp(text, f->names[i]) == 0) {
      MEMBER(int, record, f) = i;
      return true;
    }
  }
  g_autofree char *list = g_strjoinv(", ", (char **)f->names);
  g_autofree char *wanted = g_strconcat("one of ", list, NULL);
  return refuse(f, v, wanted, error);
}

static json_t *
enum_format(const PtField *f, const void *record, bool secrets)
{
  (void)secrets;
  return json_string(f->names[MEMBER(int, record, f)]);
}

/* strings */

static void
string_clear(const PtField *f, void *record)
{
  g_clear_pointer(&MEMBER(char *, record, f), g_free);
}

static void
string_copy(const PtField *f, void *to, const void *from)
{
  MEMBER(char *, to, f) = g_strdup(MEMBER(char *, from, f));
}

/* The string of `v` where it may stand here; else NULL and an error. */
static const char *
text_of(const PtField *f, const json_t *v, gsize max, bool lines, GError **error)
{
  const char *s = json_string_value(v);

  if (!s) {
    refuse(f, v, "text in quotes", error);
    return NULL;
  }
  if (strlen(s) != json_string_length(v)) {
    refuse(f, NULL, "text without a zero byte", error);
    return NULL;
  }
  return pt_text_check(s, max, lines, error) ? s : NULL;
}

static bool
string_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  const char *s = text_of(f, v, (gsize)f->max, f->kind == PT_FIELD_TEXT, error);

  (void)how;
  if (!s || (f->check && !f->check(s, error)))
    return false;
  string_clear(f, record);
  MEMBER(char *, record, f) = g_strdup(s);
  return true;
}

static json_t *
clean(const char *s, gsize max, bool lines)
{
  if (pt_text_check(s, max, lines, NULL))
    return json_string(s);
  g_autofree char *harmless = pt_text_clean(s, max, lines);
  return json_string(harmless);
}

static json_t *
string_format(const PtField *f, const void *record, bool secrets)
{
  const char *s = MEMBER(char *, record, f);

  (void)secrets;
  return s ? clean(s, (gsize)f->max, f->kind == PT_FIELD_TEXT) : NULL;
}

static void
strings_clear(const PtField *f, void *record)
{
  g_clear_pointer(&MEMBER(char **, record, f), g_strfreev);
}

static void
strings_copy(const PtField *f, void *to, const void *from)
{
  MEMBER(char **, to, f) = g_strdupv(MEMBER(char **, from, f));
}

static bool
too_many(const PtField *f, gsize n, GError **error)
{
  if (n <= (gsize)f->max)
    return false;
  PT_SET(error, PT_ERR_INVALID, "%" G_GSIZE_FORMAT " entries, more than the %" G_GINT64_FORMAT " allowed", n, f->max);
  return true;
}

static bool
strings_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  g_autoptr(GStrvBuilder) words = g_strv_builder_new();

  (void)how;
  if (!json_is_array(v))
    return refuse(f, v, "a list [\"…\", \"…\"]", error);
  if (too_many(f, json_array_size(v), error))
    return false;
  for (size_t i = 0; i < json_array_size(v); i++) {
    const char *s = text_of(f, json_array_get(v, i), PT_TEXT_MAX, true, error);
    if (!s || (f->check && !f->check(s, error))) {
      g_prefix_error(error, "entry %zu: ", i + 1);
      return false;
    }
    g_strv_builder_add(words, s);
  }
  strings_clear(f, record);
  MEMBER(char **, record, f) = g_strv_builder_end(words);
  return true;
}

static json_t *
strings_format(const PtField *f, const void *record, bool secrets)
{
  char **words = MEMBER(char **, record, f);

  (void)secrets;
  if (!words)
    return NULL;
  json_t *list = json_array();
  for (guint i = 0; words[i]; i++)
    json_array_append_new(list, clean(words[i], PT_TEXT_MAX, true));
  return list;
}

static void
map_clear(const PtField *f, void *record)
{
  g_clear_pointer(&MEMBER(GHashTable *, record, f), g_hash_table_unref);
}

static GHashTable *
map_new(void)
{
  return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static void
map_copy(const PtField *f, void *to, const void *from)
{
  GHashTable *old = MEMBER(GHashTable *, from, f);
  GHashTableIter it;
  gpointer k, v;

  if (!old)
    return;
  GHashTable *map = MEMBER(GHashTable *, to, f) = map_new();
  g_hash_table_iter_init(&it, old);
  while (g_hash_table_iter_next(&it, &k, &v))
    g_hash_table_insert(map, g_strdup(k), g_strdup(v));
}

static bool
map_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  GHashTable *map = MEMBER(GHashTable *, record, f);
  const char *key;
  json_t *value;

  (void)how;
  if (!json_is_object(v))
    return refuse(f, v, "an object {\"NAME\": \"…\"}", error);
  if (!map)
    map = MEMBER(GHashTable *, record, f) = map_new();
  json_object_foreach((json_t *)v, key, value) {
    if (!pt_text_check(key, 255, false, error) || (f->check && !f->check(key, error)))
      return false;
    if (json_is_null(value)) {
      g_hash_table_remove(map, key);
      continue;
    }
    const char *s = text_of(f, value, PT_TEXT_MAX, true, error);
    if (!s) {
      g_prefix_error(error, "%s: ", key);
      return false;
    }
    g_hash_table_insert(map, g_strdup(key), g_strdup(s));
  }
  return !too_many(f, g_hash_table_size(map), error);
}

static int
by_text(gconstpointer a, gconstpointer b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *
map_format(const PtField *f, const void *record, bool secrets)
{
  GHashTable *map = MEMBER(GHashTable *, record, f);
  guint n = 0;

  (void)secrets;
  if (!map)
    return NULL;
  json_t *obj = json_object();
  g_autofree char **keys = (char **)g_hash_table_get_keys_as_array(map, &n);
  qsort(keys, n, sizeof *keys, by_text); /* the same record is always the same text */
  for (guint i = 0; i < n; i++)
    json_object_set_new(obj, keys[i], clean(g_hash_table_lookup(map, keys[i]), PT_TEXT_MAX, true));
  return obj;
}

/* records within records */

static void
object_clear(const PtField *f, void *record)
{
  pt_record_free(f->type, MEMBER(void *, record, f));
  MEMBER(void *, record, f) = NULL;
}

static void
object_copy(const PtField *f, void *to, const void *from)
{
  const void *old = MEMBER(void *, from, f);

  if (old)
    MEMBER(void *, to, f) = pt_record_copy(f->type, old);
}

static const PtApply nested = { .strict = true, .allowed = PT_LIVE | PT_STOPPED };

static bool
object_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  void *inner = MEMBER(void *, record, f);

  if (!json_is_object(v))
    return refuse(f, v, "an object { … }", error);
  if (!inner)
    inner = MEMBER(void *, record, f) = pt_record_new(f->type);
  if (!pt_record_apply(f->type, inner, v, how->strict ? &nested : how, error))
    return false;
  return !f->type->validate || f->type->validate(inner, error);
}

static json_t *
object_format(const PtField *f, const void *record, bool secrets)
{
  const void *inner = MEMBER(void *, record, f);

  return inner ? pt_record_format(f->type, inner, secrets) : NULL;
}

static void
list_clear(const PtField *f, void *record)
{
  GPtrArray *list = MEMBER(GPtrArray *, record, f);

  if (!list)
    return;
  for (guint i = 0; i < list->len; i++)
    pt_record_free(f->type, list->pdata[i]);
  g_ptr_array_free(list, TRUE);
  MEMBER(GPtrArray *, record, f) = NULL;
}

static void
list_copy(const PtField *f, void *to, const void *from)
{
  GPtrArray *old = MEMBER(GPtrArray *, from, f);

  if (!old)
    return;
  GPtrArray *list = MEMBER(GPtrArray *, to, f) = g_ptr_array_sized_new(old->len);
  for (guint i = 0; i < old->len; i++)
    g_ptr_array_add(list, pt_record_copy(f->type, old->pdata[i]));
}

/* Fills a new item, all of it. */
static bool
item_read(const PtType *type, void *item, const json_t *v, const PtApply *how, GError **error)
{
  if (!json_is_object(v)) {
    PT_SET(error, PT_ERR_INVALID, "an object { … } is wanted here");
    return false;
  }
  if (!pt_record_apply(type, item, v, how->strict ? &nested : how, error))
    return false;
  for (guint i = 0; i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    json_t *given = json_object_get(v, f->name);
    if ((f->flags & PT_F_REQUIRED) && (!given || json_is_null(given)))
      return pt_field_missing(f, error);
  }
  return !type->validate || type->validate(item, error);
}

static bool
list_read(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error)
{
  if (!json_is_array(v))
    return refuse(f, v, "a list [ … ]", error);
  if (too_many(f, json_array_size(v), error))
    return false;
  list_clear(f, record);
  GPtrArray *list = MEMBER(GPtrArray *, record, f) = g_ptr_array_new();
  for (size_t i = 0; i < json_array_size(v); i++) {
    void *item = pt_record_new(f->type);
    g_ptr_array_add(list, item);
    if (!item_read(f->type, item, json_array_get(v, i), how, error)) {
      g_prefix_error(error, "entry %zu: ", i + 1);
      return false;
    }
  }
  return true;
}

static json_t *
list_format(const PtField *f, const void *record, bool secrets)
{
  GPtrArray *list = MEMBER(GPtrArray *, record, f);

  if (!list)
    return NULL;
  json_t *out = json_array();
  for (guint i = 0; i < list->len; i++)
    json_array_append_new(out, pt_record_format(f->type, list->pdata[i], secrets));
  return out;
}

const PtCodec pt_codecs[PT_N_FIELDS] = {
  [PT_FIELD_BOOL] = { false, bool_clear, NULL, bool_format, bool_read },
  [PT_FIELD_INT] = { false, number_clear, NULL, int_format, int_read },
  [PT_FIELD_SIZE] = { false, number_clear, NULL, int_format, size_read },
  [PT_FIELD_CPU] = { false, number_clear, NULL, cpu_format, cpu_read },
  [PT_FIELD_TIME] = { false, number_clear, NULL, time_format, time_read },
  [PT_FIELD_STRING] = { true, string_clear, string_copy, string_format, string_read },
  [PT_FIELD_TEXT] = { true, string_clear, string_copy, string_format, string_read },
  [PT_FIELD_ENUM] = { false, enum_clear, NULL, enum_format, enum_read },
  [PT_FIELD_STRINGS] = { true, strings_clear, strings_copy, strings_format, strings_read },
  [PT_FIELD_MAP] = { true, map_clear, map_copy, map_format, map_read },
  [PT_FIELD_OBJECT] = { true, object_clear, object_copy, object_format, object_read },
  [PT_FIELD_LIST] = { true, list_clear, list_copy, list_format, list_read },
};
