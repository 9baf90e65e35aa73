// SPDX-License-Identifier: Apache-2.0
/* What a client writes into a request line and the headers that say who it is. The error contract is the oracle. */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "api/parse.h"
#include "api/totp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
target(const char *text)
{
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) segments = NULL;
  g_autoptr(GHashTable) query = NULL;
  bool ok = pt_target_parse(text, &segments, &query, &error);

  g_assert_true(ok == (error == NULL) && ok == (segments != NULL) && ok == (query != NULL));
  for (guint i = 0; ok && segments[i]; i++) /* what comes out is clean */
    g_assert_true(*segments[i] && g_utf8_validate(segments[i], -1, NULL) && !strpbrk(segments[i], "\r\n\t"));
}

static void
credential(const char *text)
{
  g_autoptr(GError) error = NULL, other = NULL;
  g_autofree char *id = NULL, *secret = NULL, *id2 = NULL, *secret2 = NULL;
  bool ok = pt_credential_bearer(text, &id, &secret, &error);

  g_assert_true(ok == (error == NULL) && ok == (id != NULL) && ok == (secret != NULL));
  ok = pt_credential_cookie(text, &id2, &secret2, &other);
  g_assert_true(ok == (id2 != NULL) && ok == (secret2 != NULL) && !(ok && other));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup((const char *)data, size);
  g_autoptr(GError) error = NULL, other = NULL;
  gint64 revision = 0;
  gsize n = 0;

  target(text);
  credential(text);
  g_autofree char *decoded = pt_percent_decode((const char *)data, size, size & 1, &error);
  g_assert_true((decoded == NULL) == (error != NULL));
  bool ok = pt_if_match_parse(text, &revision, &other);
  g_assert_true(ok == (other == NULL) && (!ok || revision == -1 || revision > 0));
  g_autofree char *address = pt_forwarded_last(text);
  g_assert_true(!address || strlen(address) <= 64);
  pt_origin_matches(text, "server:8443");
  g_autofree guint8 *key = pt_base32_decode(text, &n);
  g_assert_true(!key || n <= size);
  return 0;
}
