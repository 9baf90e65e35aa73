// SPDX-License-Identifier: Apache-2.0
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/filter.h"
#include "cli/login.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/upload.h"

static void
test_distance(void)
{
  static const struct {
    const char *a, *b;
    guint d;
  } rows[] = {
    { "", "", 0 },        { "list", "list", 0 }, { "lsit", "list", 1 }, { "list", "lst", 1 },
    { "lit", "list", 1 }, { "abc", "xyz", 3 },   { "", "abc", 3 },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_assert_cmpuint(pt_edit_distance(rows[i].a, rows[i].b, 9), ==, rows[i].d);
    g_assert_cmpuint(pt_edit_distance(rows[i].b, rows[i].a, 9), ==, rows[i].d);
  }
  g_assert_cmpuint(pt_edit_distance("abcdefgh", "x", 2), ==, 3);
}

static void
test_nearest(void)
{
  static const char *const names[] = { "list", "launch", "studio", "db", NULL };

  g_assert_cmpstr(pt_nearest("lsit", names), ==, "list");
  g_assert_cmpstr(pt_nearest("stduio", names), ==, "studio");
  g_assert_cmpstr(pt_nearest("laun", names), ==, "launch");
  g_assert_cmpstr(pt_nearest("dB", names), ==, "db");
  g_assert_null(pt_nearest("xyz", names));
  g_assert_null(pt_nearest("xy", names)); /* two edits of two letters are no likeness */
}

/* words → command, arguments, what follows, or the beginning of the refusal */
static void
test_args(void)
{
  static const struct {
    const char *line, *command, *first, *rest, *error;
  } rows[] = {
    { "list", "list" },
    { "ls -q", "list" },
    { "--json list", "list" },
    { "-s home ls", "list" },
    { "-qshome list", "list" },
    { "space", "space list" },
    { "network", "network show" },
    { "space member add a b", "space member add", "a" },
    { "image rm x", "image delete", "x" },
    { "exec web ls -l", "exec", "web", "ls" },
    { "exec web -- ls -l", "exec", "web", "ls" },
    { "exec web -u root -T ls -l", "exec", "web", "ls" },
    { "launch debian web -- sh", "launch", "debian", "sh" },
    { "launch debian -m 2G web", "launch", "debian" },
    { "launch --memory=2G debian web", "launch", "debian" },
    { "lsit", .error = "there is no command 'lsit'" },
    { "space crate x", .error = "there is no command 'space crate'" },
    { "list --frob", .error = "list has no option --frob" },
    { "list -z", .error = "list has no option -z" },
    { "list --json=1", .error = "--json takes no value" },
    { "list --space", .error = "--space wants a value" },
    { "launch debian", .error = "launch: something is missing" },
    { "list x", .error = "list: 'x' is one word too many" },
    { "list -- x", .error = "list takes no command line" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_auto(GStrv) words = g_strsplit(rows[i].line, " ", -1);
    g_autoptr(GError) err = NULL;
    g_autoptr(PtArgs) args = pt_args_parse((int)g_strv_length(words), words, false, &err);
    if (rows[i].error) {
      g_assert_null(args);
      g_assert_true(g_str_has_prefix(err->message, rows[i].error));

      continue;
    }
    g_assert_no_error(err);
    g_assert_cmpstr(pt_args_command(args)->name, ==, rows[i].command);
    g_assert_cmpstr(pt_args_nth(args, 0), ==, rows[i].first);
    g_assert_cmpstr(pt_args_rest(args) ? pt_args_rest(args)[0] : NULL, ==, rows[i].rest);
  }
}

static bool
check_command(const PtCommand *c, const char *heading, void *data)
{
  guint used = 0, *n = data;
  g_auto(GStrv) words = g_strsplit(c->name, " ", -1);

  (void)heading;
  g_assert_true(pt_commands_find(words, g_strv_length(words), &used) == c);
  g_assert_cmpuint(used, ==, g_strv_length(words));
  g_assert_nonnull(c->run);
  g_assert_cmpuint(c->min, <=, c->max);
  ++*n;
  return true;
}

static void
test_commands(void)
{
  guint n = 0;

  pt_commands_foreach(check_command, &n);
  g_assert_cmpuint(n, >, 60);
}

static void
test_text(void)
{
  g_assert_cmpuint(pt_text_width("studio"), ==, 6);
  g_assert_cmpuint(pt_text_width("é–…"), ==, 3);
  g_assert_cmpuint(pt_text_width("日本"), ==, 4);
  g_assert_cmpuint(pt_text_width("e\u0301"), ==, 1);
  g_autofree char *a = pt_text_cut("studio", 6), *b = pt_text_cut("studio", 4), *c = pt_text_cut("日本語", 4);
  g_assert_cmpstr(a, ==, "studio");
  g_assert_cmpstr(b, ==, "stu…");
  g_assert_cmpstr(c, ==, "日…");
}

static void
test_table(void)
{
  static const char *const headings[] = { "NAME", "TEXT", NULL }, *const one[] = { "日本", "x" },
                           *const two[] = { "a\033[2Jb", NULL };
  g_autoptr(PtTable) t = pt_table_new(headings);
  PtCli pipe = { 0 }, narrow = { .width = 20 };

  pt_table_add(t, one);
  pt_table_add(t, two);
  g_autofree char *text = pt_table_format(t, &pipe);
  g_assert_cmpstr(text, ==, "NAME    TEXT\n日本    x\na?[2Jb  –\n");
  static const char *const wide[] = { "a-name-that-is-rather-long", "and so is this" };
  pt_table_add(t, wide);
  g_autofree char *cut = pt_table_format(t, &narrow);
  g_auto(GStrv) lines = g_strsplit(cut, "\n", -1);
  for (char **l = lines; *l; l++)
    g_assert_cmpuint(pt_text_width(*l), <=, 20);
}

static void
test_progress(void)
{
  g_autofree char *a =
    pt_progress_format("Building", 120, 520, 220200960, 419430400, "bytes", "unpack", 12582912, 20 * G_USEC_PER_SEC);
  g_autofree char *b = pt_progress_format("Waiting", 80, -1, 0, 0, NULL, NULL, -1, 3 * G_USEC_PER_SEC);
  g_autofree char *c = pt_progress_format("Odd", 60, 5000, -5, 1, "things\033[2J", "x\n\033y", -1, 0);

  g_assert_cmpstr(a, ==, "Building  ████████████░░░░░░░░░░░░  52 %  210 MiB of 400 MiB  12 MiB/s  0:16 left  unpack");
  g_assert_cmpstr(b, ==, "Waiting  3 s");
  g_assert_cmpuint(pt_text_width(c), <, 60);
  g_assert_null(strpbrk(c, "\033\n"));
}

static void
test_filter(void)
{
  static const struct {
    const char *in, *out;
  } rows[] = {
    { "plain\n\ttext", "plain\n\ttext" },
    { "\033[1;31mred\033[0m", "\033[1;31mred\033[0m" },
    { "a\033[2Jb\033[10;5Hc", "abc" },
    { "\033]0;title\a!\033]0;t\033\\!", "!!" },
    { "\033Pq#0\033\\x\033cy", "xy" },
    { "\xc2\x9b"
      "31mx\xc2\xa0y\xc3\xa9",
      "?31mx\xc2\xa0y\xc3\xa9" },
    { "\xc2\x01\x9b!\xe2\x80\xae!\xff", "?"
                                        "?!?!" },
    { "a\rb\bc\x7f", "abc" },
    { "\033[?25lx\033[>0cy", "xy" },
    { "\033[\033[2Jz", "z" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GString) whole = g_string_new(NULL), pieces = g_string_new(NULL);
    PtFilter a = { 0 }, b = { 0 };
    pt_filter_feed(&a, rows[i].in, strlen(rows[i].in), whole);
    for (const char *p = rows[i].in; *p; p++)
      pt_filter_feed(&b, p, 1, pieces);
    g_assert_cmpstr(whole->str, ==, rows[i].out);
    g_assert_cmpstr(pieces->str, ==, rows[i].out);
  }
  PtFilter plain = { .plain = true };
  g_autoptr(GString) out = g_string_new(NULL);
  const char *line = "\033[0;32m ok \033[0mstarted\r\n";
  pt_filter_feed(&plain, line, strlen(line), out);
  g_assert_cmpstr(out->str, ==, " ok started\n");
}

static void
test_url(void)
{
  static const struct {
    const char *text, *url;
  } rows[] = {
    { "https://server", "https://server:8443" },
    { "server", "https://server:8443" },
    { "server:9000", "https://server:9000" },
    { "https://server:443/", "https://server:443" },
    { "https://[::1]:9", "https://[::1]:9" },
    { "http://server", NULL },
    { "https://user:pw@server", NULL },
    { "https://", NULL },
    { "", NULL },
    { "https://a b", NULL },
    { "https://server:99999", NULL },
    { "ftp://x", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) err = NULL;
    g_autofree char *url = pt_login_url(rows[i].text, &err);
    g_assert_cmpstr(url, ==, rows[i].url);
    g_assert_true((url == NULL) == (err != NULL));
  }
}

static void
test_upload(void)
{
  static const struct { const char *file, *name; } names[] = {
    { "./tool", "program/tool" }, { "/x/app.wasm", "program/app.wasm" }, { "a b\n..é", "program/a-b--.--" }, { "./..", "program/-." },
  };
  static const struct { const char *file, *bytes, *format; gsize size; } files[] = {
    { "m.x", "\0asm\1\0\0\0", "program", 8 }, { "s", "#!/bin/sh", "program", 9 },     { "e", "\177ELF....", "program", 8 },
    { "t.tar", "anything", "rootfs", 8 },       { "d.QCOW2", "#!/bin/sh", "qcow2", 9 }, { "short", "#!", "rootfs", 2 },
  };
  g_autofree char *dir = g_dir_make_tmp("upload-XXXXXX", NULL);

  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *name = pt_upload_name(names[i].file);
    g_assert_cmpstr(name, ==, names[i].name);
  }
  for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *path = g_build_filename(dir, files[i].file, NULL);
    g_assert_true(g_file_set_contents(path, files[i].bytes, (gssize)files[i].size, NULL));
    g_assert_cmpstr(pt_upload_format(path), ==, files[i].format);
    g_assert_true(pt_upload_is_program(path));
    g_unlink(path);
  }
  g_assert_cmpstr(pt_upload_format(dir), ==, "program");
  g_assert_cmpstr(pt_upload_format("-"), ==, "rootfs");
  g_assert_false(pt_upload_is_program("docker.io/library/alpine:3.20"));
  g_assert_false(pt_upload_is_program("not-there.wasm"));
  g_rmdir(dir);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cli/distance", test_distance);
  g_test_add_func("/cli/nearest", test_nearest);
  g_test_add_func("/cli/args", test_args);
  g_test_add_func("/cli/commands", test_commands);
  g_test_add_func("/cli/text", test_text);
  g_test_add_func("/cli/table", test_table);
  g_test_add_func("/cli/progress", test_progress);
  g_test_add_func("/cli/filter", test_filter);
  g_test_add_func("/cli/upload", test_upload);
  g_test_add_func("/cli/url", test_url);
  return g_test_run();
}
