// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

/* Strict JSON over jansson: RFC 8259, duplicate keys refused, depth bounded, valid UTF-8 only, no NUL
 * in strings. */
#define PT_JSON_MAX_DEPTH 32
#define PT_JSON_MAX_BYTES (1u << 20)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_t, json_decref)

/* Parses `size` bytes (any value). The error names line and column; codes INVALID, TOO_LARGE. The
 * result is a new reference. */
json_t *pt_json_parse(const char *text, gsize size, GError **error);
/* The same for what may be longer than PT_JSON_MAX_BYTES: a list that grows with the number of its things. */
json_t *pt_json_parse_max(const char *text, gsize size, gsize max, GError **error);
/* The same, and the value must be an object. */
json_t *pt_json_parse_object(const char *text, gsize size, GError **error);

/* Compact, keys in insertion order. The caller's to free. */
char *pt_json_dump(const json_t *json);

/* Members of an object with a default where absent; a wrong type is an INVALID error naming the key.
 * Strings are borrowed from the object. */
bool pt_json_get_string(const json_t *obj, const char *key, const char *fallback, const char **ret, GError **error);
bool pt_json_get_bool(const json_t *obj, const char *key, bool fallback, bool *ret, GError **error);

/* The same for our own records, where a wrong type cannot be: fallback then. */
const char *pt_json_str(const json_t *obj, const char *key, const char *fallback);
gint64 pt_json_int(const json_t *obj, const char *key, gint64 fallback);
bool pt_json_bool(const json_t *obj, const char *key, bool fallback);
