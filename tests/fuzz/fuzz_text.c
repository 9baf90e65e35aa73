// SPDX-License-Identifier: Apache-2.0
/* What people type: sizes, cpus, durations, times, names. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void
agrees(bool ok, GError **err)
{
  g_assert_true(ok == (*err == NULL));
  if (*err)
    g_assert_true(g_utf8_validate((*err)->message, -1, NULL));
  g_clear_error(err);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  g_autofree char *text = g_strndup((const char *)data, size);
  g_autofree char *safe = pt_text_safe(text, 40);
  GError *err = NULL;
  gint64 n = -1;
  bool ok;

  g_assert_cmpuint(strlen(safe), <=, 40);
  g_assert_true(g_utf8_validate(safe, -1, NULL));
  ok = pt_size_parse(text, &n, &err);
  g_assert_true(!ok || n >= 0);
  if (ok) {
    g_autofree char *shown = pt_size_format(n);
    g_assert_nonnull(shown);
  }
  agrees(ok, &err);
  ok = pt_cpu_parse(text, &n, &err);
  g_assert_true(!ok || (n >= 10 && n <= 1024000));
  agrees(ok, &err);
  ok = pt_duration_parse(text, &n, &err);
  g_assert_true(!ok || n >= 0);
  agrees(ok, &err);
  agrees(pt_name_check("instance", text, &err), &err);
  agrees(pt_user_name_check(text, &err), &err);
  n = pt_time_parse(text);
  if (n >= 0) {
    g_autofree char *shown = pt_time_format(n);
    g_assert_cmpint(pt_time_parse(shown), ==, n / 1000 * 1000);
  }
  return 0;
}
