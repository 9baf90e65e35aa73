// SPDX-License-Identifier: Apache-2.0
#include "api/totp.h"

#include <string.h>

#include "base/id.h"

#define STEP_US (30 * G_USEC_PER_SEC)
#define DIGITS 6

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

guint32
pt_totp_code(const guint8 *key, gsize size, guint64 step, guint digits)
{
  guint64 counter = GUINT64_TO_BE(step);
  guint8 mac[20];
  gsize n = sizeof mac;
  g_autoptr(GHmac) hmac = g_hmac_new(G_CHECKSUM_SHA1, key, size);

  g_hmac_update(hmac, (const guchar *)&counter, sizeof counter);
  g_hmac_get_digest(hmac, mac, &n);
  guint at = mac[19] & 15; /* RFC 4226, 5.3: dynamic truncation */
  guint32 v = ((guint32)(mac[at] & 0x7f) << 24) | ((guint32)mac[at + 1] << 16) | ((guint32)mac[at + 2] << 8) | mac[at + 3];
  guint32 mod = 1;
  for (guint i = 0; i < digits; i++)
    mod *= 10;
  return v % mod;
}

char *
pt_base32(const guint8 *data, gsize size)
{
  GString *out = g_string_new(NULL);
  guint32 bits = 0;
  guint have = 0;

  for (gsize i = 0; i < size; i++) {
    bits = (bits << 8) | data[i];
    have += 8;
    while (have >= 5) {
      g_string_append_c(out, alphabet[(bits >> (have - 5)) & 31]);
      have -= 5;
    }
  }
  if (have > 0)
    g_string_append_c(out, alphabet[(bits << (5 - have)) & 31]);
  return g_string_free(out, FALSE);
}

guint8 *
pt_base32_decode(const char *text, gsize *ret_size)
{
  g_autoptr(GByteArray) out = g_byte_array_new();
  guint32 bits = 0;
  guint have = 0;

  for (; *text && *text != '='; text++) {
    const char *p = strchr(alphabet, g_ascii_toupper(*text));
    if (!p)
      return NULL;
    bits = (bits << 5) | (guint32)(p - alphabet);
    have += 5;
    if (have >= 8) {
      guint8 b = (guint8)(bits >> (have - 8));
      g_byte_array_append(out, &b, 1);
      have -= 8;
    }
  }
  *ret_size = out->len;
  return g_byte_array_free(g_steal_pointer(&out), FALSE);
}

gint64
pt_totp_check(const char *secret, const char *code, gint64 now, gint64 last)
{
  gsize size = 0;
  g_autofree guint8 *key = pt_base32_decode(secret, &size);
  gint64 step = now / STEP_US, found = -1;

  if (!key || size == 0 || strlen(code) != DIGITS)
    return -1;
  /* all three are always computed: the time tells nothing about which one it was */
  for (gint64 s = step - 1; s <= step + 1; s++) {
    g_autofree char *want = g_strdup_printf("%0*u", DIGITS, pt_totp_code(key, size, (guint64)s, DIGITS));
    if (pt_secret_equal(want, code) && s > last)
      found = s;
  }
  return found;
}
