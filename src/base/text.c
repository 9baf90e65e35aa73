// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <math.h>
#include <string.h>

#include "base/error.h"

bool
pt_name_check(const char *what, const char *name, GError **error)
{
  gsize n = name ? strlen(name) : 0;

  if (n >= 1 && n <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && name[0] != '-' &&
      name[n - 1] != '-')
    return true;
  g_autofree char *shown = pt_text_safe(name ? name : "", 70);
  PT_SET(error, PT_ERR_INVALID,
         "%s name '%s': a name is 1 to 63 of a-z, 0-9 and '-', and neither starts nor ends with '-'", what, shown);
  return false;
}

bool
pt_user_name_check(const char *name, GError **error)
{
  gsize n = name ? strlen(name) : 0;

  if (n >= 1 && n <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == n && g_ascii_isalpha(name[0]))
    return true;
  g_autofree char *shown = pt_text_safe(name ? name : "", 40);
  PT_SET(error, PT_ERR_INVALID, "user name '%s': a user's name is 1 to 32 of a-z, 0-9, '-', '.' and '_', and starts with a letter",
         shown);
  return false;
}

/* A plain decimal number without sign or exponent; its end in `end`. g_ascii_strtod alone would take
 * "0x10", "inf" and "-1". */
static bool
decimal(const char *text, double *ret, const char **end)
{
  gsize n = strspn(text, "0123456789.");

  if (n == 0 || n > 24 || text[0] == '.')
    return false;
  g_autofree char *digits = g_strndup(text, n);
  char *stop = NULL;
  *ret = g_ascii_strtod(digits, &stop);
  *end = text + n;
  return *stop == '\0' && isfinite(*ret);
}

bool
pt_size_parse(const char *text, gint64 *ret_bytes, GError **error)
{
  static const char units[] = "KMGTPE";
  const char *p = NULL;
  double v = 0;

  if (text && decimal(text, &v, &p)) {
    while (*p == ' ')
      p++;
    const char *u = *p ? strchr(units, g_ascii_toupper(*p)) : NULL;
    if (u && *u) {
      v *= ldexp(1.0, 10 * (int)(u - units + 1));
      p++;
      if (*p == 'i')
        p++;
    }
    if (*p == 'B')
      p++;
    if (*p == '\0' && v < 9.2e18) {
      *ret_bytes = (gint64)v;
      return true;
    }
  }
  g_autofree char *shown = pt_text_safe(text ? text : "", 40);
  PT_SET(error, PT_ERR_INVALID, "size '%s': a size is a number with K, M, G or T behind it, such as 512M or 2GiB", shown);
  return false;
}

char *
pt_size_format(gint64 bytes)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  double v = (double)bytes;
  guint u = 0;

  while (v >= 1023.95 && u + 1 < G_N_ELEMENTS(units)) {
    v /= 1024;
    u++;
  }
  if (u == 0 || v >= 99.95 || fabs(v - round(v)) < 0.05)
    return g_strdup_printf("%.0f %s", v, units[u]);
  return g_strdup_printf("%.1f %s", v, units[u]);
}

bool
pt_cpu_parse(const char *text, gint64 *ret_milli, GError **error)
{
  const char *p = NULL;
  double v = 0;

  if (text && decimal(text, &v, &p) && *p == '\0' && v >= 0.01 && v <= 1024) {
    *ret_milli = (gint64)(v * 1000 + 0.5);
    return true;
  }
  g_autofree char *shown = pt_text_safe(text ? text : "", 40);
  PT_SET(error, PT_ERR_INVALID, "cpu '%s': a number of cpus from 0.01 to 1024, such as 2 or 0.5", shown);
  return false;
}

bool
pt_duration_parse(const char *text, gint64 *ret_us, GError **error)
{
  static const struct {
    const char *unit;
    double us;
  } units[] = { { "", 1e6 }, { "ms", 1e3 }, { "s", 1e6 }, { "m", 60e6 }, { "min", 60e6 }, { "h", 3600e6 }, { "d", 86400e6 } };
  const char *p = NULL;
  double v = 0;

  if (text && decimal(text, &v, &p)) {
    while (*p == ' ')
      p++;
    for (guint i = 0; i < G_N_ELEMENTS(units); i++) {
      if (strcmp(p, units[i].unit) == 0 && v * units[i].us <= 3.2e15) {
        *ret_us = (gint64)(v * units[i].us);
        return true;
      }
    }
  }
  g_autofree char *shown = pt_text_safe(text ? text : "", 40);
  PT_SET(error, PT_ERR_INVALID, "time '%s': a number with ms, s, m, h or d behind it, such as 30s or 7d", shown);
  return false;
}

char *
pt_duration_format(gint64 us)
{
  gint64 s = us / G_USEC_PER_SEC;

  if (s < 0)
    return g_strdup("–");
  if (s < 60)
    return g_strdup_printf("%d s", (int)s);
  if (s < 3600)
    return g_strdup_printf("%d min", (int)(s / 60));
  if (s < 48 * 3600)
    return g_strdup_printf("%d h", (int)(s / 3600));
  return g_strdup_printf("%" G_GINT64_FORMAT " d", s / 86400);
}

char *
pt_text_safe(const char *text, gsize max)
{
  g_autofree char *valid = g_utf8_make_valid(text, -1);
  GString *s = g_string_new(NULL);

  for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
    gunichar c = g_utf8_get_char(p);
    bool bad = g_unichar_iscntrl(c) || c == 0xfffd || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    gsize n = (gsize)(g_utf8_next_char(p) - p);
    if (s->len + (bad ? 1 : n) > max)
      break;
    if (bad)
      g_string_append_c(s, '?');
    else
      g_string_append_len(s, p, (gssize)n);
  }
  return g_string_free(s, FALSE);
}
