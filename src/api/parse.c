// SPDX-License-Identifier: Apache-2.0
#include "api/parse.h"

#include <gio/gio.h>
#include <string.h>

#include "base/error.h"
#include "base/id.h"
#include "base/text.h"

#define SECRET_LEN 64 /* hex digits: 256 bits */

char *
pt_percent_decode(const char *text, gsize size, bool plus, GError **error)
{
  g_autoptr(GString) out = g_string_sized_new(size);

  for (gsize i = 0; i < size; i++) {
    guchar c = (guchar)text[i];
    if (c == '%') {
      if (size - i < 3) {
        PT_SET(error, PT_ERR_INVALID, "address: a '%%' without two hexadecimal digits behind it");
        return NULL;
      }
      int hi = g_ascii_xdigit_value(text[i + 1]), lo = g_ascii_xdigit_value(text[i + 2]);
      if (hi < 0 || lo < 0) {
        PT_SET(error, PT_ERR_INVALID, "address: a '%%' without two hexadecimal digits behind it");
        return NULL;
      }
      c = (guchar)(hi * 16 + lo);
      i += 2;
    } else if (c == '+' && plus) {
      c = ' ';
    }
    if (c < 0x20 || c == 0x7f) {
      PT_SET(error, PT_ERR_INVALID, "address: a control character (%%%02X) has no place in it", c);
      return NULL;
    }
    g_string_append_c(out, (char)c);
  }
  if (!g_utf8_validate(out->str, (gssize)out->len, NULL)) {
    PT_SET(error, PT_ERR_INVALID, "address: it is not UTF-8 after decoding");
    return NULL;
  }
  return g_strdup(out->str);
}

static bool
parse_path(const char *path, gsize size, char ***ret, GError **error)
{
  g_autoptr(GPtrArray) segments = g_ptr_array_new_with_free_func(g_free);

  if (size == 0 || path[0] != '/') {
    PT_SET(error, PT_ERR_INVALID, "address: it must begin with '/'");
    return false;
  }
  const char *p = path + 1, *end = path + size;
  while (p < end) {
    const char *slash = memchr(p, '/', (gsize)(end - p));
    gsize n = (gsize)((slash ? slash : end) - p);
    if (n == 0) {
      PT_SET(error, PT_ERR_INVALID, "address: an empty part ('//')");
      return false;
    }
    if (segments->len == PT_SEGMENTS_MAX) {
      PT_SET(error, PT_ERR_INVALID, "address: more than %d parts", PT_SEGMENTS_MAX);
      return false;
    }
    char *decoded = pt_percent_decode(p, n, false, error);
    if (!decoded)
      return false;
    g_ptr_array_add(segments, decoded);
    p += n;
    if (p < end && *p == '/' && ++p == end) {
      PT_SET(error, PT_ERR_INVALID, "address: it must not end with '/'");
      return false;
    }
  }
  g_ptr_array_add(segments, NULL);
  *ret = (char **)g_ptr_array_free(g_steal_pointer(&segments), FALSE);
  return true;
}

static bool
add_parameter(GHashTable *query, const char *text, gsize size, GError **error)
{
  const char *eq = memchr(text, '=', size);
  gsize n = eq ? (gsize)(eq - text) : size;
  g_autofree char *key = pt_percent_decode(text, n, true, error);

  if (!key)
    return false;
  g_autofree char *value = pt_percent_decode(eq ? eq + 1 : "", eq ? size - n - 1 : 0, true, error);
  if (!value)
    return false;
  g_autofree char *shown = pt_text_safe(key, 40);
  if (g_hash_table_size(query) == PT_QUERY_MAX) {
    PT_SET(error, PT_ERR_INVALID, "address: more than %d parameters", PT_QUERY_MAX);
    return false;
  }
  if (g_hash_table_contains(query, key)) {
    PT_SET(error, PT_ERR_INVALID, "address: the parameter '%s' is given twice", shown);
    return false;
  }
  g_hash_table_insert(query, g_steal_pointer(&key), g_steal_pointer(&value));
  return true;
}

bool
pt_target_parse(const char *target, char ***ret_segments, GHashTable **ret_query, GError **error)
{
  g_autoptr(GHashTable) query = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  g_auto(GStrv) segments = NULL;

  if (strlen(target) > PT_TARGET_MAX) {
    PT_SET(error, PT_ERR_INVALID, "address: longer than %d bytes", PT_TARGET_MAX);
    return false;
  }
  if (strchr(target, '#')) {
    PT_SET(error, PT_ERR_INVALID, "address: a fragment ('#') is not sent to a server");
    return false;
  }
  gsize path_size = strcspn(target, "?");
  if (!parse_path(target, path_size, &segments, error))
    return false;
  const char *p = target + path_size;
  if (*p == '?')
    p++;
  while (*p) {
    gsize n = strcspn(p, "&");
    if (n > 0 && !add_parameter(query, p, n, error))
      return false;
    p += n;
    if (*p == '&')
      p++;
  }
  *ret_segments = g_steal_pointer(&segments);
  *ret_query = g_steal_pointer(&query);
  return true;
}

static bool
malformed(GError **error)
{
  PT_SET(error, PT_ERR_UNAUTHENTICATED, "credential: it is not one of ours, or it has ended\nlog in again: portena login");
  return false;
}

static bool
credential_split(const char *text, char **ret_id, char **ret_secret, GError **error)
{
  if (strlen(text) != 3 + PT_ID_LEN + 1 + SECRET_LEN || !g_str_has_prefix(text, "pt_") || text[3 + PT_ID_LEN] != '_')
    return malformed(error);
  g_autofree char *id = g_strndup(text + 3, PT_ID_LEN);
  const char *secret = text + 3 + PT_ID_LEN + 1;
  if (!pt_id_valid(id) || strspn(secret, "0123456789abcdef") != SECRET_LEN)
    return malformed(error);
  *ret_id = g_steal_pointer(&id);
  *ret_secret = g_strdup(secret);
  return true;
}

bool
pt_credential_bearer(const char *header, char **ret_id, char **ret_secret, GError **error)
{
  if (g_ascii_strncasecmp(header, "Bearer ", 7) != 0)
    return malformed(error);
  const char *p = header + 7;
  while (*p == ' ')
    p++;
  g_autofree char *text = g_strchomp(g_strdup(p));
  return credential_split(text, ret_id, ret_secret, error);
}

bool
pt_credential_cookie(const char *header, char **ret_id, char **ret_secret, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(header, ";", -1);
  const char *found = NULL;

  for (guint i = 0; parts[i]; i++) {
    const char *c = g_strstrip(parts[i]);
    if (!g_str_has_prefix(c, "portena="))
      continue;
    if (found) /* somebody planted a second one: neither is trusted */
      return malformed(error);
    found = c + strlen("portena=");
  }
  if (!found)
    return false;
  return credential_split(found, ret_id, ret_secret, error);
}

bool
pt_origin_matches(const char *origin, const char *host)
{
  const char *p = strstr(origin, "://");

  if (!p || p == origin || !host || !*host)
    return false;
  p += 3;
  /* "https://server" and Host "server:443" are the same place; the ports that a scheme implies are cut from both. */
  const char *implied = g_str_has_prefix(origin, "https:") ? ":443" : ":80";
  g_autofree char *a = g_ascii_strdown(p, -1), *b = g_ascii_strdown(host, -1);
  if (g_str_has_suffix(a, implied))
    a[strlen(a) - strlen(implied)] = '\0';
  if (g_str_has_suffix(b, implied))
    b[strlen(b) - strlen(implied)] = '\0';
  return *a && strcmp(a, b) == 0;
}

bool
pt_if_match_parse(const char *header, gint64 *ret, GError **error)
{
  g_autofree char *text = g_strstrip(g_strdup(header));
  gsize n = strlen(text);
  guint64 v = 0;

  if (strcmp(text, "*") == 0) {
    *ret = -1;
    return true;
  }
  if (n >= 3 && text[0] == '"' && text[n - 1] == '"') {
    text[n - 1] = '\0';
    if (g_ascii_string_to_unsigned(text + 1, 10, 1, G_MAXINT64, &v, NULL)) {
      *ret = (gint64)v;
      return true;
    }
  }
  PT_SET(error, PT_ERR_INVALID, "If-Match: a revision in quotes is wanted, such as \"17\", as the ETag of an answer had it");
  return false;
}

char *
pt_forwarded_last(const char *header)
{
  const char *comma = strrchr(header, ',');
  g_autofree char *text = g_strstrip(g_strdup(comma ? comma + 1 : header));

  if (strlen(text) > 64)
    return NULL;
  g_autoptr(GInetAddress) a = g_inet_address_new_from_string(text);
  return a ? g_inet_address_to_string(a) : NULL;
}
