// SPDX-License-Identifier: Apache-2.0
#include "base/id.h"

#include <string.h>

#include "base/clock.h"

static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";

char *
pt_id_new(void)
{
  char *id = g_malloc(PT_ID_LEN + 1);
  guint64 ms = (guint64)(pt_now() / 1000);
  guint8 rnd[16];

  pt_random(rnd, sizeof rnd);
  for (int i = 9; i >= 0; i--) {
    id[i] = crockford[ms & 31];
    ms >>= 5;
  }
  for (int i = 0; i < 16; i++)
    id[10 + i] = crockford[rnd[i] & 31];
  id[PT_ID_LEN] = '\0';
  return id;
}

bool
pt_id_valid(const char *id)
{
  return id && strlen(id) == PT_ID_LEN && strspn(id, crockford) == PT_ID_LEN;
}

char *
pt_random_hex(gsize bytes)
{
  g_autofree guint8 *raw = g_malloc(bytes);
  GString *s = g_string_sized_new(bytes * 2);

  pt_random(raw, bytes);
  for (gsize i = 0; i < bytes; i++)
    g_string_append_printf(s, "%02x", raw[i]);
  return g_string_free(s, FALSE);
}

char *
pt_sha256_hex(const void *data, gsize size)
{
  return g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, size);
}

bool
pt_secret_equal(const char *a, const char *b)
{
  if (!a || !b)
    return false;
  gsize na = strlen(a), nb = strlen(b);
  guint diff = na != nb;
  for (gsize i = 0; i < nb; i++)
    diff |= (guint)(guchar)b[i] ^ (guint)(guchar)(na ? a[i % na] : 0);
  return diff == 0;
}

void
pt_secret_free(char *secret)
{
  if (secret)
    explicit_bzero(secret, strlen(secret));
  g_free(secret);
}
