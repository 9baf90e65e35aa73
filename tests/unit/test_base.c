// SPDX-License-Identifier: Apache-2.0
#include <glib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "base/text.h"

static void
test_sizes(void)
{
  static const struct {
    const char *text;
    gint64 bytes; /* -1: refused */
  } rows[] = {
    { "0", 0 }, { "512", 512 }, { "1K", 1024 }, { "1k", 1024 }, { "2GiB", 2147483648 }, { "1.5 G", 1610612736 },
    { "8TB", 8796093022208 }, { "", -1 }, { "-1", -1 }, { "1X", -1 }, { "1GiBx", -1 }, { "0x10", -1 }, { "1e3", -1 },
    { "inf", -1 }, { ".5G", -1 }, { "9E", -1 }, { "1.2.3M", -1 }, { "1  G B", -1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) err = NULL;
    gint64 v = -7;
    bool ok = pt_size_parse(rows[i].text, &v, &err);
    g_assert_true(ok == (rows[i].bytes >= 0));
    g_assert_true(ok == (err == NULL));
    if (ok)
      g_assert_cmpint(v, ==, rows[i].bytes);
    else
      g_assert_cmpint(v, ==, -7);
  }
  g_autofree char *a = pt_size_format(1610612736), *b = pt_size_format(0), *c = pt_size_format(1023 * 1024);
  g_assert_cmpstr(a, ==, "1.5 GiB");
  g_assert_cmpstr(b, ==, "0 B");
  g_assert_cmpstr(c, ==, "1023 KiB");
}

static void
test_names(void)
{
  static const char *const good[] = { "a", "web-1", "0", "x23456789012345678901234567890123456789012345678901234567890123" };
  static const char *const bad[] = { "", "-a", "a-", "A", "a.b", "../etc", "a/b", "a b", "ü",
                                     "x234567890123456789012345678901234567890123456789012345678901234" };

  for (guint i = 0; i < G_N_ELEMENTS(good); i++)
    g_assert_true(pt_name_check("instance", good[i], NULL));
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) err = NULL;
    g_assert_false(pt_name_check("instance", bad[i], &err));
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  }
}

static void
test_json(void)
{
  static const char *const bad[] = { "", "{", "{\"a\":1,\"a\":2}", "[1,]", "\"\xff\"", "{\"a\":\"\\u0000\"}", "nul", "{} {}" };

  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) err = NULL;
    g_assert_null(pt_json_parse(bad[i], strlen(bad[i]), &err));
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  }
  g_autofree char *deep = g_strnfill(PT_JSON_MAX_DEPTH + 1, '[');
  g_autoptr(GError) err = NULL;
  g_assert_null(pt_json_parse(deep, strlen(deep), &err));
  g_assert_nonnull(strstr(err->message, "deeper"));

  g_autofree char *spaces = g_strnfill(PT_JSON_MAX_BYTES, ' '), *big = g_strconcat(spaces, "[1]", NULL);
  g_clear_error(&err);
  g_assert_null(pt_json_parse(big, strlen(big), &err));
  g_assert_error(err, PT_ERROR, PT_ERR_TOO_LARGE);
  g_autoptr(json_t) list = pt_json_parse_max(big, strlen(big), 2 * PT_JSON_MAX_BYTES, NULL);
  g_assert_cmpuint(json_array_size(list), ==, 1);

  const char *good = "{\"b\":\"[[[[\",\"a\":[1,2.5,true,null]}";
  g_autoptr(json_t) json = pt_json_parse_object(good, strlen(good), NULL);
  g_autofree char *out = pt_json_dump(json);
  g_assert_cmpstr(out, ==, good);
}

static void
test_ids(void)
{
  g_autofree char *a = pt_id_new(), *b = pt_id_new();

  g_assert_true(pt_id_valid(a) && pt_id_valid(b));
  g_assert_cmpstr(a, !=, b);
  g_assert_false(pt_id_valid("../../../../../../etc/pass"));
  g_assert_true(pt_secret_equal("abc", "abc"));
  g_assert_false(pt_secret_equal("abc", "abd") || pt_secret_equal("", "a") || pt_secret_equal(NULL, "") || pt_secret_equal("ab", "abab"));
}

static void
test_time(void)
{
  g_autofree char *t = pt_time_format(1767225600123456);

  g_assert_cmpstr(t, ==, "2026-01-01T00:00:00.123Z");
  g_assert_cmpint(pt_time_parse(t), ==, 1767225600123000);
  g_assert_cmpint(pt_time_parse("yesterday"), ==, -1);
}

static void
test_errors(void)
{
  g_autoptr(GError) err = NULL;

  PT_SET(&err, PT_ERR_CONFLICT, "web: is running");
  pt_error_hint(&err, "stop it first:  portena stop %s", "web");
  g_prefix_error(&err, "space home: ");
  g_autofree char *sum = pt_error_summary(err);
  g_assert_cmpstr(sum, ==, "space home: web: is running");
  g_assert_cmpstr(pt_error_get_hint(err), ==, "stop it first:  portena stop web");
  for (guint i = 0; i < PT_N_ERRS; i++) {
    PtErr back;
    g_assert_true(pt_err_from_name(pt_err_name((PtErr)i), &back));
    g_assert_cmpint(back, ==, i);
  }
}

static void
test_text_safe(void)
{
  g_autofree char *a = pt_text_safe("a\x1b[31mb\xff\xe2\x80\xae" "c\n", 100), *b = pt_text_safe("äöü", 3);

  g_assert_cmpstr(a, ==, "a?[31mb??c?");
  g_assert_cmpstr(b, ==, "ä");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/base/sizes", test_sizes);
  g_test_add_func("/base/names", test_names);
  g_test_add_func("/base/json", test_json);
  g_test_add_func("/base/ids", test_ids);
  g_test_add_func("/base/time", test_time);
  g_test_add_func("/base/errors", test_errors);
  g_test_add_func("/base/text-safe", test_text_safe);
  return g_test_run();
}
