// SPDX-License-Identifier: Apache-2.0
#include "model/field.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"
#include "base/id.h"
#include "base/text.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Refuses `value`, shown harmlessly: "'VALUE': RULE". Always false. */
static bool
refuse(const char *value, const char *rule, GError **error)
{
  g_autofree char *shown = pt_text_safe(value, 60);

  PT_SET(error, PT_ERR_INVALID, "'%s': %s", shown, rule);
  return false;
}

/* 1 to `max` bytes of `set`, the first out of `first`. */
static bool
made_of(const char *value, const char *first, const char *set, gsize max)
{
  gsize n = strlen(value);

  return n >= 1 && n <= max && strchr(first, value[0]) && strspn(value, set) == n;
}

/* Marks that reorder what is shown after them: a name could look like another. */
static bool
reorders(gunichar c)
{
  return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

bool
pt_text_check(const char *value, gsize max, bool lines, GError **error)
{
  gsize n = strlen(value);

  if (n > max) {
    PT_SET(error, PT_ERR_INVALID, "%" G_GSIZE_FORMAT " bytes long, more than the %" G_GSIZE_FORMAT " allowed", n, max);
    return false;
  }
  if (!g_utf8_validate_len(value, n, NULL))
    return refuse(value, "is not UTF-8 text", error);
  for (const char *p = value; *p; p = g_utf8_next_char(p)) {
    gunichar c = g_utf8_get_char(p);
    if (lines && (c == '\n' || c == '\t' || c == '\r'))
      continue;
    if (g_unichar_iscntrl(c) || (!lines && reorders(c)))
      return refuse(value, "control characters are not allowed here", error);
  }
  return true;
}

char *
pt_text_clean(const char *value, gsize max, bool lines)
{
  if (!lines)
    return pt_text_safe(value, max);
  g_autofree char *valid = g_utf8_make_valid(value, -1);
  GString *s = g_string_new(NULL);
  for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
    gunichar c = g_utf8_get_char(p);
    bool bad = g_unichar_iscntrl(c) && c != '\n' && c != '\t' && c != '\r';
    gsize n = bad ? 1 : (gsize)(g_utf8_next_char(p) - p);
    if (s->len + n > max)
      break;
    g_string_append_len(s, bad ? "?" : p, (gssize)n);
  }
  return g_string_free(s, FALSE);
}

bool
pt_check_id(const char *value, GError **error)
{
  return pt_id_valid(value) || refuse(value, "is no id (26 characters, as Portena makes them)", error);
}

bool
pt_check_digest(const char *value, GError **error)
{
  if (g_str_has_prefix(value, "sha256:") && strlen(value) == 71 && strspn(value + 7, DIGITS "abcdef") == 64)
    return true;
  return refuse(value, "is no digest (sha256: and 64 hex digits)", error);
}

bool
pt_check_instance(const char *value, GError **error)
{
  return pt_name_check("instance", value, error);
}

bool
pt_check_space(const char *value, GError **error)
{
  return pt_name_check("space", value, error);
}

bool
pt_check_volume(const char *value, GError **error)
{
  return pt_name_check("volume", value, error);
}

bool
pt_check_node(const char *value, GError **error)
{
  return pt_name_check("node", value, error);
}

bool
pt_check_pool(const char *value, GError **error)
{
  return pt_name_check("pool", value, error);
}

bool
pt_check_user(const char *value, GError **error)
{
  return pt_user_name_check(value, error);
}

static bool
guest_account(const char *value)
{
  return made_of(value, LOWER UPPER DIGITS "_", LOWER UPPER DIGITS "_.-", 32) &&
         (strspn(value, DIGITS) != strlen(value) || strlen(value) <= 9);
}

bool
pt_check_guest_user(const char *value, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(value, ":", 3);
  guint n = g_strv_length(parts);

  if ((n == 1 || n == 2) && guest_account(parts[0]) && (n == 1 || guest_account(parts[1])))
    return true;
  return refuse(value, "a user is a name or number inside the image, with :GROUP behind it if wanted", error);
}

bool
pt_check_env(const char *value, GError **error)
{
  if (made_of(value, LOWER UPPER "_", LOWER UPPER DIGITS "_.-", 255))
    return true;
  return refuse(value, "a variable's name is made of letters, digits, '_', '.' and '-', and does not start with a digit", error);
}

bool
pt_check_path(const char *value, GError **error)
{
  if (value[0] != '/')
    return refuse(value, "must be an absolute path, such as /home", error);
  g_auto(GStrv) parts = g_strsplit(value, "/", -1);
  if (g_strv_contains((const char *const *)parts, ".."))
    return refuse(value, "'..' is not allowed in this path", error);
  return true;
}

bool
pt_check_ip4(const char *value, GError **error)
{
  struct in_addr a;

  return inet_pton(AF_INET, value, &a) == 1 || refuse(value, "is no IPv4 address", error);
}

bool
pt_check_ip6(const char *value, GError **error)
{
  struct in6_addr a;

  return inet_pton(AF_INET6, value, &a) == 1 || refuse(value, "is no IPv6 address", error);
}

bool
pt_check_ip(const char *value, GError **error)
{
  unsigned char a[sizeof(struct in6_addr)];

  if (inet_pton(AF_INET, value, a) == 1 || inet_pton(AF_INET6, value, a) == 1)
    return true;
  return refuse(value, "is no IP address", error);
}

/* "ADDRESS/LENGTH" with lo ≤ LENGTH ≤ hi and no bit set behind LENGTH. */
static bool
cidr_ok(const char *value, int family, guint lo, guint hi)
{
  const char *slash = strchr(value, '/');
  guint8 a[sizeof(struct in6_addr)] = { 0 };
  guint64 length = 0;

  if (!slash || !g_ascii_string_to_unsigned(slash + 1, 10, lo, hi, &length, NULL))
    return false;
  g_autofree char *address = g_strndup(value, (gsize)(slash - value));
  if (inet_pton(family, address, a) != 1)
    return false;
  for (guint bit = (guint)length; bit < (family == AF_INET ? 32u : 128u); bit++) {
    if (a[bit / 8] & (0x80u >> (bit % 8)))
      return false;
  }
  return true;
}

bool
pt_check_subnet(const char *value, GError **error)
{
  return cidr_ok(value, AF_INET, 8, 30) ||
         refuse(value, "a subnet is an IPv4 network and its length from 8 to 30, such as 10.83.0.0/24", error);
}

bool
pt_check_prefix6(const char *value, GError **error)
{
  return cidr_ok(value, AF_INET6, 64, 64) || refuse(value, "a prefix is an IPv6 network of length 64, such as fd12:3456:789a::/64", error);
}

bool
pt_check_mac(const char *value, GError **error)
{
  bool ok = strlen(value) == 17;

  for (guint i = 0; ok && i < 17; i++)
    ok = i % 3 == 2 ? value[i] == ':' : g_ascii_isxdigit(value[i]) && !g_ascii_isupper(value[i]);
  if (ok && (g_ascii_xdigit_value(value[1]) & 1) == 0 && strcmp(value, "00:00:00:00:00:00") != 0)
    return true;
  return refuse(value, "is no MAC address of one interface, such as 02:00:5e:10:00:01", error);
}

bool
pt_check_image_name(const char *value, GError **error)
{
  if (made_of(value, LOWER UPPER DIGITS, LOWER UPPER DIGITS "._/:@-", 255) && !strstr(value, "..") && !strstr(value, "//"))
    return true;
  return refuse(value, "an image's name is made of letters, digits and . _ / : @ -, and starts with a letter or digit", error);
}

bool
pt_check_scope(const char *value, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(value, ":", 4);
  guint n = g_strv_length(parts);

  if (n == 1 && (strcmp(value, "full") == 0 || strcmp(value, "read") == 0))
    return true;
  if ((n == 2 || (n == 3 && strcmp(parts[2], "read") == 0)) && strcmp(parts[0], "space") == 0 &&
      pt_name_check("space", parts[1], NULL))
    return true;
  return refuse(value, "a scope is full, read, space:NAME or space:NAME:read", error);
}

bool
pt_check_signal(const char *value, GError **error)
{
  return made_of(value, UPPER DIGITS, UPPER DIGITS "+-", 16) || refuse(value, "is no signal, such as SIGTERM or RTMIN+3", error);
}

bool
pt_check_ssh_key(const char *value, GError **error)
{
  static const char *const types[] = { "ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-" };
  const char *blank = strchr(value, ' ');
  bool known = false;

  for (guint i = 0; i < G_N_ELEMENTS(types); i++)
    known |= g_str_has_prefix(value, types[i]);
  gsize coded = known && blank ? strspn(blank + 1, UPPER LOWER DIGITS "+/=") : 0;
  bool ends = coded >= 32 && (blank[1 + coded] == '\0' || blank[1 + coded] == ' ');
  if (ends && strlen(value) <= 16384 && strpbrk(value, "\r\n\t") == NULL)
    return true;
  PT_SET(error, PT_ERR_INVALID, "this is no public SSH key\none line of a file such as id_ed25519.pub is wanted");
  return false;
}
