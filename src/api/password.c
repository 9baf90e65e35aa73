// SPDX-License-Identifier: Apache-2.0
/* Passwords: Argon2id by libsodium (RFC 9106: 3 passes over 64 MiB, its second recommended choice). */
#include <sodium.h>
#include <string.h>

#include "api/auth.h"
#include "base/clock.h"

#define PASSES 3
#define MEMORY (64u << 20)
#define MIN_LEN 8
#define MAX_LEN 256

bool
pt_password_check(const char *password, GError **error)
{
  gsize n = strlen(password);

  if (n < MIN_LEN || n > MAX_LEN) {
    PT_SET(error, PT_ERR_INVALID, "password: it must be %d to %d bytes long", MIN_LEN, MAX_LEN);
    return false;
  }
  if (strspn(password, (char[]){ password[0], '\0' }) == n) {
    PT_SET(error, PT_ERR_INVALID, "password: one character over and over is guessed at once");
    return false;
  }
  return true;
}

char *
pt_password_hash(PtApi *api, const char *password, GError **error)
{
  char hash[crypto_pwhash_STRBYTES];
  gsize memory = api->config.hash_memory ? api->config.hash_memory : MEMORY;

  if (!pt_gate_enter(api->hashing, error))
    return NULL;
  int rc = crypto_pwhash_str_alg(hash, password, strlen(password), PASSES, memory, crypto_pwhash_ALG_ARGON2ID13);
  pt_gate_leave(api->hashing);
  if (rc != 0) {
    PT_SET(error, PT_ERR_UNREACHABLE, "password: the machine has no memory left to check it\ntry again in a moment");
    return NULL;
  }
  return g_strdup(hash);
}

bool
pt_password_verify(PtApi *api, const char *hash, const char *password, bool *ret_right, GError **error)
{
  if (!pt_gate_enter(api->hashing, error))
    return false;
  gsize n = MIN(strlen(password), 4 * MAX_LEN);
  bool same = crypto_pwhash_str_verify(hash ? hash : api->dummy_hash, password, n) == 0;
  pt_gate_leave(api->hashing);
  *ret_right = same && hash;
  return true;
}

char *
pt_password_readable(void)
{
  static const char consonants[] = "bdfghjklmnprstvz"; /* 16 */
  static const char vowels[] = "aeiou";
  guint8 rnd[24];
  GString *s = g_string_new(NULL);

  pt_random(rnd, sizeof rnd);
  for (guint i = 0; i < 12; i++) { /* 12 syllables of one in 80: 75 bits */
    if (i > 0 && i % 2 == 0)
      g_string_append_c(s, '-');
    g_string_append_c(s, consonants[rnd[2 * i] & 15]);
    g_string_append_c(s, vowels[rnd[2 * i + 1] % 5]); /* 256 is 5 · 51 + 1: the bias is nothing */
  }
  return g_string_free(s, FALSE);
}
