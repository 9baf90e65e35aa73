// SPDX-License-Identifier: Apache-2.0
#include "qmp_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads up to the end of a line; false at the end of the stream. */
static bool
hear(Fake *f, GString *text)
{
  for (;;) {
    union {
      char bytes[CMSG_SPACE(sizeof(int))];
      struct cmsghdr align;
    } control;
    char c;
    struct iovec part = { &c, 1 };
    struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };

    if (recvmsg(f->fd, &msg, MSG_CMSG_CLOEXEC) != 1)
      return false;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h; h = CMSG_NXTHDR(&msg, h))
      memcpy(&f->passed, CMSG_DATA(h), sizeof f->passed);
    if (c == '\n')
      return true;
    g_string_append_c(text, c);
  }
}

gpointer
fake_play(gpointer data)
{
  Fake *f = data;

  for (const char *const *s = f->script; *s; s++) {
    g_autoptr(GString) text = g_string_new(NULL);

    if (**s == '<') {
      g_assert_true(hear(f, text));
      if (!strstr(text->str, *s + 1))
        g_error("waited for %s, got %s", *s + 1, text->str);
    } else if (**s == '~') {
      while (hear(f, text))
        ;
    } else if (send(f->fd, *s, strlen(*s), MSG_NOSIGNAL) < 0) {
      break;
    }
  }
  close(f->fd);
  return NULL;
}

int
fake_begin(Fake *f, const char *const *script)
{
  int pair[2];

  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  *f = (Fake){ .script = script, .fd = pair[1], .passed = -1 };
  f->thread = g_thread_new("fake", fake_play, f);
  return pair[0];
}

PtQmp *
fake_begin_ready(Fake *f, const char *const *script)
{
  g_autoptr(GError) err = NULL;
  PtQmp *q = pt_qmp_open(fake_begin(f, script), LONG, &err);

  g_assert_no_error(err);
  return q;
}

void
fake_end(Fake *f, PtQmp *q)
{
  pt_qmp_close(q);
  g_thread_join(f->thread);
}
