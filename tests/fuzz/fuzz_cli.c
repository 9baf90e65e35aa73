// SPDX-License-Identifier: Apache-2.0
/* The command line, an address, a port, and what a guest writes on its way to a terminal. */
#include <string.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/filter.h"
#include "cli/login.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "model/instance.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

/* One word a line. */
static void
command_line(const char *text)
{
  g_auto(GStrv) words = g_strsplit(text, "\n", 20);
  guint n = g_strv_length(words);

  for (int lenient = 0; lenient < 2; lenient++) {
    g_autoptr(GError) err = NULL;
    g_autoptr(PtArgs) args = pt_args_parse((int)n, words, lenient, &err);
    g_assert_true((args == NULL) == (err != NULL));
    const PtCommand *c = args ? pt_args_command(args) : NULL;
    if (c && !lenient && !pt_args_has(args, "help"))
      g_assert_true(pt_args_n(args) >= c->min && pt_args_n(args) <= c->max);
  }
}

/* Nothing but colours may come out. */
static void
filter(const char *bytes, gsize size)
{
  g_autoptr(GString) out = g_string_new(NULL), again = g_string_new(NULL);
  PtFilter f = { 0 }, g = { 0 };

  pt_filter_feed(&f, bytes, size, out);
  for (gsize i = 0; i < size; i++)
    pt_filter_feed(&g, bytes + i, 1, again);
  g_assert_true(g_string_equal(out, again));
  g_assert_true(g_utf8_validate(out->str, (gssize)out->len, NULL));
  for (const char *p = out->str; *p; p = g_utf8_next_char(p))
    g_assert_false(g_utf8_get_char(p) >= 0x80 && g_unichar_iscntrl(g_utf8_get_char(p)));
  for (gsize i = 0; i < out->len; i++) {
    unsigned char c = (unsigned char)out->str[i];
    if (c == 033) {
      gsize n = strspn(out->str + i + 1, "[0123456789;");
      g_assert_true(out->str[i + 1] == '[' && out->str[i + 1 + n] == 'm');
    } else {
      g_assert_true(c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f));
    }
  }
}

static void
table(const char *text)
{
  static const char *const headings[] = { "A", "B", NULL };
  const char *cells[] = { text, text };
  PtCli cli = { .width = 30 };
  g_autoptr(PtTable) t = pt_table_new(headings);

  pt_table_add(t, cells);
  g_autofree char *shown = pt_table_format(t, &cli);
  g_assert_true(g_utf8_validate(shown, -1, NULL));
  g_assert_null(strchr(shown, 033));
  g_autofree char *line = pt_progress_format("x", 40, 500, 1, 2, text, text, 1, 1);
  g_assert_true(g_utf8_validate(line, -1, NULL));
  g_assert_null(strpbrk(line, "\033\n"));
}

static void
addresses(const char *text)
{
  g_autoptr(GError) a = NULL, b = NULL;
  g_autofree char *url = pt_login_url(text, &a);
  g_autoptr(json_t) port = g_utf8_validate(text, -1, NULL) ? pt_port_type.from_text(text, &b) : NULL;

  g_assert_true((url == NULL) == (a != NULL));
  if (url)
    g_assert_true(g_str_has_prefix(url, "https://"));
  if (port)
    g_assert_true(json_is_integer(json_object_get(port, "listen")));
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  g_autofree char *text = g_strndup((const char *)data, size);

  command_line(text);
  filter((const char *)data, size);
  table(text);
  addresses(text);
  return 0;
}
