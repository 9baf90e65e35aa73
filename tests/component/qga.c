// SPDX-License-Identifier: Apache-2.0
/* The client of QEMU's guest agent, against an agent that says what a test wants: of use, garbage, too much, nothing. */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guest.h"
#include "helpers/qga.h"

#define LONG 60000

typedef struct Fake {
  const char *const *script; /* "<words": the next line has these in it; "~": silence until the other hangs up; else it is said */
  int fd;
  GThread *thread;
} Fake;

static void
read_line(int fd, GString *line)
{
  char c;

  g_string_truncate(line, 0);
  while (read(fd, &c, 1) == 1 && c != '\n')
    g_string_append_c(line, c);
}

static gpointer
play(gpointer data)
{
  Fake *f = data;
  g_autoptr(GString) line = g_string_new(NULL);

  for (const char *const *s = f->script; *s; s++) {
    if (**s == '<') {
      read_line(f->fd, line);
      g_assert_nonnull(g_strstr_len(line->str, (gssize)line->len, *s + 1));
    } else if (**s == '~') {
      do
        read_line(f->fd, line);
      while (line->len);
    } else {
      g_assert_cmpint(send(f->fd, *s, strlen(*s), MSG_NOSIGNAL), ==, strlen(*s));
    }
  }
  close(f->fd);
  return NULL;
}

static int
begin(Fake *f, const char *const *script)
{
  int pair[2];

  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  *f = (Fake){ .script = script, .fd = pair[1] };
  f->thread = g_thread_new("agent", play, f);
  return pair[0];
}

static void
end(Fake *f, int fd)
{
  close(fd);
  g_thread_join(f->thread);
}

#define SYNC "<guest-sync-delimited", "\xff{\"return\": 77}\n"

static void
test_open(void)
{
  static const char *const cases[][8] = {
    { SYNC, "~", NULL },
    /* What was on its way for somebody before us, a half answer, and another's number. */
    { "<guest-sync-delimited", "{\"return\": 77}\n{\"ret", "\xff{\"return\": 5}\n", "\xff\xff", "\xff{\"return\":77}", "~", NULL },
    { "<guest-sync-delimited", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON\"}}\n", "\xff {\"return\"\n: 77 }", "~", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct qga q;
    Fake f;
    int fd = begin(&f, cases[i]);

    g_assert_true(qga_open(&q, fd, 77, LONG));
    end(&f, fd);
  }
}

static void
test_nobody(void)
{
  static const char *const cases[][4] = {
    { "~", NULL },
    { "<guest-sync-delimited", NULL },
    { "<guest-sync-delimited", "\xff{\"return\": 76}\n", "~", NULL },
    { "<guest-sync-delimited", "{\"return\": 77}\n", "~", NULL },
    { "<guest-sync-delimited", "\xff{\"return\": \"77\"}\n", "~", NULL },
    { "<guest-sync-delimited", "\xff\xff\xff\xff\xff{{{{", "~", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct qga q;
    Fake f;
    int fd = begin(&f, cases[i]);

    g_assert_false(qga_open(&q, fd, 77, 100));
    g_assert_true(q.lost);
    end(&f, fd);
  }
}

static void
test_nonsense(void)
{
  static const char *const cases[] = {
    "nothing\n", "[]\n", "7\n", "{}\n", "{\"return\": 1, \"error\": {}}\n", "{\"return\": 01}\n", "{\"return\": tru}\n", "{\"return\" 1}\n",
    "{\"return\": {\"pid\": 1,}}\n", "{\"return\": \"\x01\"}\n", "{\"return\": \"\\x\"}\n", "{\"return\": [[[[[[[[[[1]]]]]]]]]]}\n",
    "{\"return\": {\"pid\": 1]}\n", "{\"return\": 1.}\n", "{\"return\": -}\n", "{\"return\": 11111111111111111111111111111111111111}\n",
    "{\"return\": \"\\u00zz\"}\n", "{\"return\": {\"pid\": 1}",
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    const char *script[] = { SYNC, "<guest-ping", cases[i], NULL };
    struct qga q;
    Fake f;
    int fd = begin(&f, script);

    g_assert_true(qga_open(&q, fd, 77, LONG));
    qga_begin(&q, "guest-ping");
    g_assert_cmpint(qga_run(&q, NULL, LONG), ==, QGA_LOST);
    g_assert_true(q.lost);
    qga_begin(&q, "guest-ping"); /* and nobody is asked again */
    g_assert_cmpint(qga_run(&q, NULL, LONG), ==, QGA_LOST);
    end(&f, fd);
  }
}

static void
test_refusal(void)
{
  static const char *const script[] = { SYNC, "<\"arguments\":{\"path\":\"a\\u0022\\u005c\\u000a\xc3\xa9\",\"mode\":\"r\"}}",
                                        "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\\u001b\\n \\u00e9\\ud83d\", \"more\": [{}, 1e5]}}\n", NULL };
  struct qga q;
  Fake f;
  int fd = begin(&f, script);

  g_assert_true(qga_open(&q, fd, 77, LONG));
  qga_begin(&q, "guest-file-open");
  qga_arg_text(&q, "path", "a\"\\\n\xc3\xa9");
  qga_arg_text(&q, "mode", "r");
  g_assert_cmpint(qga_run(&q, NULL, LONG), ==, QGA_REFUSED);
  g_assert_cmpstr(q.class, ==, "CommandNotFound");
  g_assert_cmpstr(q.text, ==, "no?? \xc3\xa9?");
  g_assert_false(q.lost);
  end(&f, fd);
}

/* What an agent says of a command, and what is made of it. */
static void
test_command(void)
{
  static const char *const script[] = {
    SYNC, "<{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"ls\",\"arg\":[\"-l\"],\"env\":[\"A=b\"],\"input-data\":\"aW4=\",\"capture-output\":true}}",
    "{\"return\": {\"pid\": 9}}\n", "<\"pid\":9", "{\"return\": {\"exited\": false}}\n",
    "<guest-exec-status", "{\"return\": {\"out-data\": \"aGVsb", "G8=\", \"exitcode\": 7, \"exited\": true, \"err-data\": \"AAEC\", \"err-truncated\": true}}\n",
    "<guest-exec-status", "{\"return\": {\"exited\": true, \"out-data\": \"a GVs\"}}\n", NULL,
  };
  static const char *const argv[] = { "ls", "-l", NULL }, *const env[] = { "A=b" };
  unsigned char out[4], err[8];
  struct qga_command c = { .argv = argv, .argc = 2, .env = env, .env_n = 1, .in = (const unsigned char *)"in", .in_n = 2,
                           .out = { out, 0, sizeof out, false }, .err = { err, 0, sizeof err, false } };
  struct qga q;
  Fake f;
  int fd = begin(&f, script);

  g_assert_true(qga_open(&q, fd, 77, LONG));
  g_assert_cmpint(qga_start(&q, &c), ==, QGA_DONE);
  g_assert_cmpint(c.pid, ==, 9);
  g_assert_cmpint(qga_look(&q, &c), ==, QGA_DONE);
  g_assert_false(c.exited);
  g_assert_cmpint(qga_look(&q, &c), ==, QGA_DONE);
  g_assert_true(c.exited && c.status == 7 && c.sig == 0);
  g_assert_cmpmem(out, (int)c.out.n, "hell", 4); /* as much as there is room for */
  g_assert_true(c.out.cut && c.err.cut);
  g_assert_cmpmem(err, (int)c.err.n, "\0\1\2", 3);
  g_assert_cmpint(qga_look(&q, &c), ==, QGA_LOST);
  end(&f, fd);
}

/* An answer that never ends takes none of our memory, and ends. */
static void
test_flood(void)
{
  g_autofree char *part = g_strnfill(1 << 20, 'A');
  g_autoptr(GPtrArray) script = g_ptr_array_new();
  unsigned char out[1000];
  struct qga_command c = { .pid = 1, .out = { out, 0, sizeof out, false } };
  struct qga q;
  Fake f;

  for (const char *const *s = (const char *const[]){ SYNC, "<guest-exec-status", "{\"return\": {\"exited\": true, \"out-data\": \"", NULL }; *s; s++)
    g_ptr_array_add(script, (char *)*s);
  for (guint i = 0; i < 63; i++)
    g_ptr_array_add(script, part);
  g_ptr_array_add(script, (char *)"\"}}\n~");
  g_ptr_array_add(script, NULL);
  int fd = begin(&f, (const char *const *)script->pdata);
  g_assert_true(qga_open(&q, fd, 77, LONG));
  g_assert_cmpint(qga_look(&q, &c), ==, QGA_DONE);
  g_assert_true(c.exited && c.out.cut && c.out.n == sizeof out);
  end(&f, fd);
}

static void
test_text(void)
{
  static const char *const good[] = { "", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" },
                           *const bad[] = { "\x80", "\xff", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xf5" };

  for (guint i = 0; i < G_N_ELEMENTS(good); i++)
    g_assert_true(qga_is_text(good[i]));
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
    g_assert_false(qga_is_text(bad[i]));
}

/* ---- files ---- */

typedef struct Asked {
  GString *out, *answers;
} Asked;

static void
drain(int fd, GString *to)
{
  char buf[4096];
  ssize_t n;

  while ((n = read(fd, buf, sizeof buf)) > 0)
    g_string_append_len(to, buf, n);
  close(fd);
}

/* One request; `in` is what it reads, all of it at once. */
static Asked
ask(const char *const *script, const char *lines, const char *in)
{
  g_autofree char *copy = g_strdup(lines);
  Asked a = { g_string_new(NULL), g_string_new(NULL) };
  int out[2], answers[2], input[2];
  struct qga q;
  Fake f;
  int fd = begin(&f, script);

  g_assert_true(pipe2(out, O_CLOEXEC) == 0 && pipe2(answers, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input) == 0);
  g_assert_cmpint(write(input[1], in, strlen(in)), ==, strlen(in));
  shutdown(input[1], SHUT_WR);
  g_assert_true(qga_open(&q, fd, 77, LONG));
  qga_request(&q, copy, strlen(copy), &(const struct qga_streams){ .in = input[0], .out = out[1], .answers = answers[1], .tag = 0xabc });
  end(&f, fd);
  close(input[0]);
  close(input[1]);
  if (fcntl(out[1], F_GETFD) >= 0)
    close(out[1]);
  close(answers[1]);
  drain(out[0], a.out);
  drain(answers[0], a.answers);
  return a;
}

static void
asked_clear(Asked *a)
{
  g_string_free(a->out, TRUE);
  g_string_free(a->answers, TRUE);
}

#define RAN "{\"return\": {\"pid\": 3}}\n", "<guest-exec-status"
#define ENDED "{\"return\": {\"exited\": true, \"exitcode\": 0"

static char *
said(const char *bytes, gsize size)
{
  g_autofree char *text = g_base64_encode((const guchar *)bytes, size);

  return g_strdup_printf(ENDED ", \"out-data\": \"%s\"}}\n", text);
}

static void
test_stat_and_list(void)
{
  static const char link[] = "@l\0a\\b\nc\0Z41ed 0 0 4096 5 d\0a1ff 1 2 3 4 l\0", old[] = "N81a4 1000 1001 12 1700000000 x y\nnonsense\n";
  g_autofree char *listing = said(link, sizeof link - 1), *plain = said(old, sizeof old - 1);
  const char *const list[] = { SYNC, "<guest-exec", RAN, listing, NULL }, *const stat[] = { SYNC, "<guest-exec", RAN, plain, NULL };
  const char *const none[] = { SYNC, "<guest-exec", RAN, "{\"return\": {\"exited\": true, \"exitcode\": 202}}\n", NULL };

  Asked a = ask(list, "do=list\npath=/\n", "");
  g_assert_cmpstr(a.out->str, ==, "name=d\ntype=directory\nmode=0755\nuid=0\ngid=0\nsize=4096\nmtime=5000000\n"
                                  "name=l\ntype=symlink\nmode=0777\nuid=1\ngid=2\nsize=3\nmtime=4000000\ntarget=a\\\\b\\nc\n");
  g_assert_cmpstr(a.answers->str, ==, "answer=ok\nend=\n");
  asked_clear(&a);
  a = ask(stat, "do=stat\npath=/x y\n", "");
  g_assert_cmpstr(a.answers->str, ==, "answer=ok\ntype=file\nmode=0644\nuid=1000\ngid=1001\nsize=12\nmtime=1700000000000000\nend=\n");
  asked_clear(&a);
  a = ask(none, "do=stat\npath=/none\n", "");
  g_assert_cmpstr(a.answers->str, ==, "answer=error\nerrno=2\ncode=0\ntext=/none\nend=\n");
  asked_clear(&a);
}

static void
test_get(void)
{
  static const char record[] = "Z81a4 0 0 5 6 /f\0";
  g_autofree char *stat = said(record, sizeof record - 1);
  const char *const whole[] = { SYNC, "<guest-exec", RAN, stat, "<guest-file-open", "{\"return\": 1000}\n", "<\"handle\":1000,\"count\"",
                                "{\"return\": {\"count\": 3, \"buf-b64\": \"aGVs\", \"eof\": false}}\n", "<guest-file-read",
                                "{\"return\": {\"count\": 2, \"buf-b64\": \"bG8=\", \"eof\": true}}\n", "<guest-file-close", "{\"return\": {}}\n", NULL };
  const char *const cut[] = { SYNC, "<guest-exec", RAN, stat, "<guest-file-open", "{\"return\": 1000}\n", "<guest-file-read",
                              "{\"return\": {\"count\": 0, \"buf-b64\": \"\", \"eof\": true}}\n", "<guest-file-close", "{\"return\": {}}\n", NULL };
  /* No shell: what it can be told of a file is its size. */
  const char *const windows[] = { SYNC, "<guest-exec", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such program\"}}\n",
                                  "<guest-file-open", "{\"return\": 4}\n", "<guest-file-seek", "{\"return\": {\"position\": 0, \"eof\": false}}\n",
                                  "<guest-file-open", "{\"return\": 5}\n", "<guest-file-close", "{\"return\": {}}\n", NULL };
  g_autofree char *bytes = g_strnfill(200000, 'A'), *much = g_strdup_printf("{\"return\": {\"buf-b64\": \"%s\"}}\n", bytes);
  const char *const flood[] = { SYNC, "<guest-exec", RAN, stat, "<guest-file-open", "{\"return\": 1000}\n", "<guest-file-read", much, NULL };

  Asked a = ask(whole, "do=get\npath=/f\n", "");
  g_assert_cmpstr(a.out->str, ==, "hello");
  g_assert_true(g_str_has_prefix(a.answers->str, "answer=ok\ntype=file\n") && g_str_has_suffix(a.answers->str, "end=\nanswer=ok\nend=\n"));
  asked_clear(&a);
  for (const char *const *const *s = (const char *const *const[]){ cut, flood, NULL }; *s; s++) {
    a = ask(*s, "do=get\npath=/f\n", "");
    g_assert_cmpuint(a.out->len, <, 5);
    g_assert_null(strstr(a.answers->str, "end=\nanswer")); /* never said to be whole */
    asked_clear(&a);
  }
  const char *const windows_whole[] = { windows[0], windows[1], windows[2], windows[3], windows[4], windows[5], windows[6], windows[7],
                                        "<guest-file-close", "{\"return\": {}}\n", windows[8], windows[9], windows[10], windows[11], NULL };
  a = ask(windows_whole, "do=get\npath=/f\n", "");
  g_assert_cmpstr(a.out->str, ==, "");
  g_assert_true(g_str_has_suffix(a.answers->str, "end=\nanswer=ok\nend=\n"));
  asked_clear(&a);
}

static void
test_put(void)
{
  const char *const whole[] = { SYNC, "<\"/f.portena-00000abc\"", RAN, ENDED "}}\n", "<\"path\":\"/f.portena-00000abc\",\"mode\":\"w\"", "{\"return\": 1}\n",
                                "<\"buf-b64\":\"aGVsbG8=\"", "{\"return\": {\"count\": 3, \"eof\": false}}\n", "<\"buf-b64\":\"bG8=\"",
                                "{\"return\": {\"count\": 2, \"eof\": false}}\n", "<guest-file-flush", "{\"return\": {}}\n", "<guest-file-close",
                                "{\"return\": {}}\n", "<\"5:6\",\"0640\"", RAN, ENDED "}}\n", NULL };
  const char *const full[] = { SYNC, "<guest-exec", RAN, ENDED "}}\n", "<guest-file-open", "{\"return\": 1}\n", "<guest-file-write",
                               "{\"error\": {\"class\": \"GenericError\", \"desc\": \"failed to write: No space left on device\"}}\n", "<guest-file-close",
                               "{\"return\": {}}\n", "<rm -f", RAN, ENDED "}}\n", NULL };
  const char *const lies[] = { SYNC, "<guest-exec", RAN, ENDED "}}\n", "<guest-file-open", "{\"return\": 1}\n", "<guest-file-write",
                               "{\"return\": {\"count\": 600, \"eof\": false}}\n", NULL };

  Asked a = ask(whole, "do=put\npath=/f\nmode=0640\nuid=5\ngid=6\n", "hello");
  g_assert_cmpstr(a.answers->str, ==, "answer=ok\nend=\nanswer=ok\nend=\n");
  asked_clear(&a);
  a = ask(full, "do=put\npath=/f\n", "hello");
  g_assert_cmpstr(a.answers->str, ==, "answer=ok\nend=\nanswer=error\nerrno=28\ncode=0\ntext=/f\nend=\n");
  asked_clear(&a);
  a = ask(lies, "do=put\npath=/f\n", "hello");
  g_assert_nonnull(strstr(a.answers->str, "does not answer"));
  asked_clear(&a);
}

/* Whatever ends the request, the guest goes on. */
static void
test_freeze(void)
{
  static const char *const script[] = { SYNC, "<guest-fsfreeze-freeze", "{\"return\": 2}\n", "<guest-fsfreeze-thaw", "{\"return\": 2}\n", NULL };
  static const char *const no[] = { SYNC, "<guest-fsfreeze-freeze", "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"disabled\"}}\n", NULL };

  Asked a = ask(script, "do=freeze\n", "");
  g_assert_cmpstr(a.answers->str, ==, "answer=ok\nend=\nanswer=ok\nend=\n");
  asked_clear(&a);
  a = ask(no, "do=freeze\n", "");
  g_assert_cmpstr(a.answers->str, ==, "answer=error\nerrno=0\ncode=12\ntext=disabled\nend=\n");
  asked_clear(&a);
}

static void
test_bad_requests(void)
{
  static const char *const script[] = { SYNC, "~", NULL };
  static const char *const cases[] = { "", "do=stat\n", "do=fly\npath=/\n", "do=stat\npath=/\xff\n", "do=symlink\npath=/l\ntarget=\xc0\n" };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    Asked a = ask(script, cases[i], "");
    g_assert_true(g_str_has_prefix(a.answers->str, "answer=error\n"));
    asked_clear(&a);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/qga/open", test_open);
  g_test_add_func("/qga/nobody", test_nobody);
  g_test_add_func("/qga/nonsense", test_nonsense);
  g_test_add_func("/qga/refusal", test_refusal);
  g_test_add_func("/qga/command", test_command);
  g_test_add_func("/qga/flood", test_flood);
  g_test_add_func("/qga/text", test_text);
  g_test_add_func("/qga/files/stat-list", test_stat_and_list);
  g_test_add_func("/qga/files/get", test_get);
  g_test_add_func("/qga/files/put", test_put);
  g_test_add_func("/qga/files/freeze", test_freeze);
  g_test_add_func("/qga/files/bad", test_bad_requests);
  return g_test_run();
}
