// SPDX-License-Identifier: Apache-2.0
/* Any bytes as JSON: a value or an error, never both, and a value survives being written and read. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  g_autoptr(GError) err = NULL;
  g_autoptr(json_t) json = pt_json_parse((const char *)data, size, &err);

  g_assert_true((json == NULL) == (err != NULL));
  if (!json) {
    g_assert_true(err->domain == PT_ERROR && (err->code == PT_ERR_INVALID || err->code == PT_ERR_TOO_LARGE));
    g_assert_true(g_utf8_validate(err->message, -1, NULL));
    return 0;
  }
  g_autofree char *text = pt_json_dump(json);
  g_assert_nonnull(text);
  if (strlen(text) > PT_JSON_MAX_BYTES) /* what was 1e99 may be longer in full */
    return 0;
  g_autoptr(json_t) again = pt_json_parse(text, strlen(text), NULL);
  g_assert_nonnull(again);
  g_autofree char *same = pt_json_dump(again);
  g_assert_cmpstr(text, ==, same);
  return 0;
}
