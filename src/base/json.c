// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"

/* jansson's own bound on depth is 2048, fixed when it was built; ours is checked on the bytes before it
 * recurses. Strings are skipped; what is malformed is left to jansson to refuse. */
static bool
depth_ok(const char *text, gsize size)
{
  bool in_string = false;
  int depth = 0;

  for (gsize i = 0; i < size; i++) {
    char c = text[i];
    if (in_string) {
      if (c == '\\')
        i++;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > PT_JSON_MAX_DEPTH)
        return false;
    } else if (c == '}' || c == ']') {
      depth--;
    }
  }
  return true;
}

json_t *
pt_json_parse_max(const char *text, gsize size, gsize max, GError **error)
{
  json_error_t e;

  if (size > max) {
    PT_SET(error, PT_ERR_TOO_LARGE, "JSON: %" G_GSIZE_FORMAT " bytes, more than the %" G_GSIZE_FORMAT " allowed", size, max);
    return NULL;
  }
  if (!depth_ok(text, size)) {
    PT_SET(error, PT_ERR_INVALID, "JSON: nested deeper than the %d levels allowed", PT_JSON_MAX_DEPTH);
    return NULL;
  }
  json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
  if (!json) {
    g_autofree char *why = pt_text_safe(e.text, 120);
    PT_SET(error, PT_ERR_INVALID, "JSON: line %d, column %d: %s", e.line, e.column, why);
  }
  return json;
}

json_t *
pt_json_parse(const char *text, gsize size, GError **error)
{
  return pt_json_parse_max(text, size, PT_JSON_MAX_BYTES, error);
}

json_t *
pt_json_parse_object(const char *text, gsize size, GError **error)
{
  g_autoptr(json_t) json = pt_json_parse(text, size, error);

  if (!json)
    return NULL;
  if (!json_is_object(json)) {
    PT_SET(error, PT_ERR_INVALID, "JSON: an object { … } is wanted here");
    return NULL;
  }
  return g_steal_pointer(&json);
}

char *
pt_json_dump(const json_t *json)
{
  /* 15 digits: what a person wrote (0.1) comes back as it was, not as 0.10000000000000001 */
  char *raw = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
  char *out = g_strdup(raw);

  free(raw);
  return out;
}

static bool
wrong_type(const char *key, const char *wanted, GError **error)
{
  PT_SET(error, PT_ERR_INVALID, "%s: %s is wanted here", key, wanted);
  return false;
}

bool
pt_json_get_string(const json_t *obj, const char *key, const char *fallback, const char **ret, GError **error)
{
  const json_t *v = json_object_get(obj, key);

  *ret = fallback;
  if (!v || json_is_null(v))
    return true;
  if (!json_is_string(v))
    return wrong_type(key, "a string", error);
  *ret = json_string_value(v);
  return true;
}

bool
pt_json_get_bool(const json_t *obj, const char *key, bool fallback, bool *ret, GError **error)
{
  const json_t *v = json_object_get(obj, key);

  *ret = fallback;
  if (!v || json_is_null(v))
    return true;
  if (!json_is_boolean(v))
    return wrong_type(key, "true or false", error);
  *ret = json_is_true(v);
  return true;
}

const char *
pt_json_str(const json_t *obj, const char *key, const char *fallback)
{
  const char *s = json_string_value(json_object_get(obj, key));

  return s ? s : fallback;
}

gint64
pt_json_int(const json_t *obj, const char *key, gint64 fallback)
{
  const json_t *v = json_object_get(obj, key);

  return json_is_integer(v) ? json_integer_value(v) : fallback;
}

bool
pt_json_bool(const json_t *obj, const char *key, bool fallback)
{
  const json_t *v = json_object_get(obj, key);

  return json_is_boolean(v) ? json_is_true(v) : fallback;
}
