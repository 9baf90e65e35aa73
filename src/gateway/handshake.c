// SPDX-License-Identifier: Apache-2.0
#include "gateway/handshake.h"

#include <string.h>

#define KEY_LEN 24

char *
pt_ws_accept(const char *key)
{
  gsize n = 0;

  if (!key || strlen(key) != KEY_LEN)
    return NULL;
  g_autofree guchar *raw = g_base64_decode(key, &n);
  g_autofree char *back = g_base64_encode(raw, n);
  if (n != 16 || strcmp(back, key) != 0)
    return NULL;
  g_autofree char *both = g_strconcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", NULL); /* RFC 6455, 1.3 */
  guint8 sum[20];
  gsize size = sizeof sum;
  g_autoptr(GChecksum) sha = g_checksum_new(G_CHECKSUM_SHA1);
  g_checksum_update(sha, (const guchar *)both, -1);
  g_checksum_get_digest(sha, sum, &size);
  return g_base64_encode(sum, size);
}

bool
pt_ws_names(const char *value, const char *word)
{
  g_auto(GStrv) parts = g_strsplit(value ? value : "", ",", 16);

  for (guint i = 0; parts[i]; i++)
    if (g_ascii_strcasecmp(g_strstrip(parts[i]), word) == 0)
      return true;
  return false;
}

char *
pt_ws_check(const char *upgrade, const char *version, const char *key)
{
  if (!pt_ws_names(upgrade, "websocket") || g_strcmp0(version, "13") != 0)
    return NULL;
  return pt_ws_accept(key);
}
