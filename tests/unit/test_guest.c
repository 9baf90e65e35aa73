// SPDX-License-Identifier: Apache-2.0
/* What the host and a machine's guest say to each other: frames, lines, sessions. */
#include <fcntl.h>
#include <glib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/machine/agent.h"
#include "helpers/guest.h"
#include "helpers/guestctl.h"

static size_t
frame(unsigned char *at, int type, const void *data, size_t size)
{
  pt_guest_head(at, type, size);
  if (size)
    memcpy(at + PT_GUEST_HEAD, data, size);
  at[PT_GUEST_HEAD + size] = PT_GUEST_END;
  return PT_GUEST_HEAD + size + 1;
}

static void
frames(void)
{
  unsigned char buf[PT_GUEST_FRAME_MAX + 64] = { 0 };
  const unsigned char *data;
  size_t size, n = 3 + frame(buf + 3, PT_GUEST_OUT, "abc", 3);
  int type;

  g_assert_cmpint(pt_guest_frame(buf, n, &type, &data, &size), ==, 3); /* zeros are skipped first */
  g_assert_cmpint(type, ==, 0);
  for (size_t cut = 0; cut < n - 3; cut++)
    g_assert_cmpint(pt_guest_frame(buf + 3, cut, &type, &data, &size), ==, 0);
  g_assert_cmpint(pt_guest_frame(buf + 3, n - 3, &type, &data, &size), ==, (int)(n - 3));
  g_assert_cmpint(type, ==, PT_GUEST_OUT);
  g_assert_cmpmem(data, (int)size, "abc", 3);
}

static void
broken_frames(void)
{
  unsigned char buf[PT_GUEST_FRAME_MAX];
  const unsigned char *data;
  size_t size, n = frame(buf, PT_GUEST_IN, "abc", 3);
  int type;

  buf[n - 1] = 0; /* cut by its sender's end and filled by the next one's zeros */
  g_assert_cmpint(pt_guest_frame(buf, n, &type, &data, &size), ==, -1);
  frame(buf, PT_GUEST_N_TYPES, NULL, 0);
  g_assert_cmpint(pt_guest_frame(buf, 9, &type, &data, &size), ==, -1);
  pt_guest_head(buf, PT_GUEST_IN, PT_GUEST_DATA_MAX + 1);
  g_assert_cmpint(pt_guest_frame(buf, 8, &type, &data, &size), ==, -1);
  g_assert_cmpint(pt_guest_frame((const unsigned char *)"QG", 2, &type, &data, &size), ==, -1);
  g_assert_cmpint(pt_guest_frame((const unsigned char *)"PX", 2, &type, &data, &size), ==, -1);
}

static void
config(void)
{
  static struct config c;
  char text[] = "hostname=web\ninit=app\nunknown=1\naddress=10.0.0.2/24\naddress=fd00::2/64\nenv=A=b\\nc\\\\d\nenv=B=\ncommand=sh\nhostname=last\n";

  g_assert_true(config_parse(text, strlen(text), &c));
  g_assert_cmpstr(c.hostname, ==, "last");
  g_assert_cmpstr(c.init, ==, "app");
  g_assert_null(c.volume);
  g_assert_cmpuint(c.address.n, ==, 2);
  g_assert_cmpstr(c.address.at[1], ==, "fd00::2/64");
  g_assert_null(c.address.at[2]);
  g_assert_cmpstr(c.env.at[0], ==, "A=b\nc\\d");
  g_assert_cmpstr(c.env.at[1], ==, "B=");
  g_assert_cmpstr(c.command.at[0], ==, "sh");
}

static void
hostile_lines(void)
{
  static struct request r;
  static const char *const wrong[] = { "do\n", "=x\n", "do=exec", "do=a\\x\n", "do=a\\\n", "do=exec\n\n" };

  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autofree char *text = g_strdup(wrong[i]);
    g_assert_false(request_parse(text, strlen(text), &r));
  }
  char nul[] = "do=a\0b\n";
  g_assert_false(request_parse(nul, sizeof nul - 1, &r));
  g_autoptr(GString) many = g_string_new(NULL);
  for (guint i = 0; i <= LIST_MAX; i++)
    g_string_append(many, "arg=x\n");
  g_assert_false(request_parse(many->str, many->len, &r));
  g_assert_true(request_parse(many->str, 0, &r));
}

static void
numbers(void)
{
  g_assert_cmpint(number_of(NULL, 10, 9, 7), ==, 7);
  g_assert_cmpint(number_of("0644", 8, 07777, 0), ==, 0644);
  for (const char *const *t = (const char *const[]){ "", "-1", "+1", " 1", "1x", "10", "99999999999999999999", NULL }; *t; t++)
    g_assert_cmpint(number_of(*t, 10, 9, 0), ==, -1);
}

static void
entries(void)
{
  g_autofree char *text = g_strdup("name=a\ntype=file\nmode=0640\nuid=3\nsize=5\nname=l\ntype=symlink\ntarget=x\\ny\nname=odd\ntype=door\nsize=-4\n");
  g_autoptr(GError) err = NULL;
  g_autoptr(GPtrArray) rows = pt_guest_entries_parse(text, strlen(text), 10, &err);

  g_assert_no_error(err);
  g_assert_cmpuint(rows->len, ==, 3);
  const PtGuestEntry *a = g_ptr_array_index(rows, 0), *l = g_ptr_array_index(rows, 1), *odd = g_ptr_array_index(rows, 2);
  g_assert_cmpstr(a->name, ==, "a");
  g_assert_cmpuint(a->mode, ==, 0640);
  g_assert_cmpint(a->size, ==, 5);
  g_assert_cmpstr(l->target, ==, "x\ny");
  g_assert_cmpstr(odd->type, ==, "special");
  g_assert_cmpint(odd->size, ==, 0);
  for (const char *const *bad = (const char *const[]){ "name=..\n", "name=a/b\n", "name=\n", "name", NULL }; *bad; bad++) {
    g_autofree char *copy = g_strdup(*bad);
    g_autoptr(GError) why = NULL;
    g_assert_null(pt_guest_entries_parse(copy, strlen(copy), 10, &why));
    g_assert_nonnull(why);
  }
}

static void
escaping(void)
{
  g_autoptr(GString) lines = g_string_new(NULL);
  const char *key = NULL, *value = NULL;

  pt_guest_add(lines, "path", "/a\nb\\c=d");
  pt_guest_add(lines, "target", NULL);
  char *at = lines->str;
  g_assert_cmpint(pt_guest_line(&at, lines->str + lines->len, &key, &value), ==, 1);
  g_assert_cmpstr(key, ==, "path");
  g_assert_cmpstr(value, ==, "/a\nb\\c=d");
  g_assert_cmpint(pt_guest_line(&at, lines->str + lines->len, &key, &value), ==, 0);
}

/* A session with a guest of the test's own. */
typedef struct Peer {
  struct ctl *c;
  int port, out;
} Peer;

static Peer
peer(void)
{
  static struct ctl c;
  int port[2], out[2];

  memset(&c, 0, sizeof c);
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, port), ==, 0);
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, out), ==, 0);
  memset(c.nonce, 7, sizeof c.nonce);
  c.port = port[0];
  c.fd[CTL_IN] = c.fd[CTL_ERR] = -1;
  c.fd[CTL_OUT] = out[0];
  c.answers = -1;
  c.exits = true;
  ctl_hello(&c);
  return (Peer){ &c, port[1], out[1] };
}

static void
peer_done(Peer *p)
{
  close(p->c->port);
  close(p->c->fd[CTL_OUT]);
  close(p->port);
  close(p->out);
}

static bool
hear(Peer *p, int type, const void *data, size_t size)
{
  unsigned char buf[PT_GUEST_FRAME_MAX];
  size_t n = frame(buf, type, data, size);

  g_assert_cmpint(write(p->port, buf, n), ==, (gssize)n);
  return ctl_turn(p->c, -1, 1000);
}

static void
welcome(Peer *p, int nonce)
{
  unsigned char data[PT_GUEST_NONCE + 8] = { 0 };

  memset(data, nonce, PT_GUEST_NONCE);
  g_assert_true(hear(p, PT_GUEST_WELCOME, data, sizeof data));
}

static void
session(void)
{
  Peer p = peer();
  unsigned char end[8] = { 3 };
  char text[16];

  /* What was on its way for another, half a frame of it, is no matter. */
  g_assert_cmpint(write(p.port, "half a frame PG", 15), ==, 15);
  g_assert_true(ctl_turn(p.c, -1, 1000));
  welcome(&p, 6);
  g_assert_false(p.c->welcomed);
  welcome(&p, 7);
  g_assert_true(p.c->welcomed);
  g_assert_true(hear(&p, PT_GUEST_OUT, "hello", 5));
  g_assert_true(ctl_turn(p.c, -1, 1000));
  g_assert_cmpint(read(p.out, text, sizeof text), ==, 5);
  g_assert_true(hear(&p, PT_GUEST_EXIT, end, sizeof end));
  g_assert_true(p.c->ended);
  g_assert_cmpuint(p.c->a, ==, 3);
  peer_done(&p);
}

static void
session_hostile(void)
{
  static unsigned char much[PT_GUEST_DATA_MAX];
  int full[2];
  unsigned char credit[8], error[8 + 4] = { 2, 0, 0, 0, 11, 0, 0, 0, 'a', 27, '\\', 127 };

  Peer p = peer();
  welcome(&p, 7);
  pt_guest_put32(credit, PT_GUEST_IN);
  pt_guest_put32(credit + 4, 0xffffffffu);
  g_assert_false(hear(&p, PT_GUEST_CREDIT, credit, sizeof credit));
  peer_done(&p);

  /* More than was granted, to a reader that takes nothing. */
  p = peer();
  welcome(&p, 7);
  g_assert_cmpint(pipe2(full, O_NONBLOCK), ==, 0);
  while (write(full[1], much, sizeof much) > 0)
    ;
  p.c->fd[CTL_ERR] = full[1];
  for (int i = 0; i < PT_GUEST_WINDOW / PT_GUEST_DATA_MAX; i++)
    g_assert_true(hear(&p, PT_GUEST_ERR, much, sizeof much));
  g_assert_false(hear(&p, PT_GUEST_ERR, "x", 1));
  close(full[0]);
  close(full[1]);
  peer_done(&p);

  p = peer();
  welcome(&p, 7);
  g_assert_true(hear(&p, PT_GUEST_ERROR, error, sizeof error));
  g_assert_cmpstr(p.c->text, ==, "a???"); /* harmless for a terminal */
  peer_done(&p);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/guest/frames", frames);
  g_test_add_func("/guest/broken-frames", broken_frames);
  g_test_add_func("/guest/config", config);
  g_test_add_func("/guest/hostile-lines", hostile_lines);
  g_test_add_func("/guest/numbers", numbers);
  g_test_add_func("/guest/entries", entries);
  g_test_add_func("/guest/escaping", escaping);
  g_test_add_func("/guest/session", session);
  g_test_add_func("/guest/session-hostile", session_hostile);
  return g_test_run();
}
