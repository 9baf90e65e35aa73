// SPDX-License-Identifier: Apache-2.0
/* A guest that says anything at all to portena-guestctl, once it has been welcomed. What it grants, sends and answers stays within bounds. */
#include <glib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helpers/guestctl.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  static struct ctl c;
  unsigned char welcome[PT_GUEST_HEAD + PT_GUEST_NONCE + 8 + 1] = { 0 };
  int port[2], in[2], out[2];

  memset(&c, 0, sizeof c);
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, port), ==, 0);
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, in), ==, 0);
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, out), ==, 0);
  c.port = port[0];
  c.fd[CTL_IN] = in[0];
  c.fd[CTL_OUT] = c.fd[CTL_ERR] = out[0];
  c.answers = -1;
  c.want = size && data[0] & 1 ? 2 : 1;
  c.exits = size && data[0] & 2;
  ctl_hello(&c);
  pt_guest_head(welcome, PT_GUEST_WELCOME, PT_GUEST_NONCE + 8);
  welcome[sizeof welcome - 1] = PT_GUEST_END;
  g_assert_cmpint(write(port[1], welcome, sizeof welcome), ==, sizeof welcome);
  if (size > 1 && write(port[1], data + 1, size - 1) < 0)
    size = 0;
  if (write(in[1], "what is typed", 13) < 0)
    size = 0;
  for (int i = 0; i < 64 && !c.ended && ctl_turn(&c, -1, 0); i++) {
    char drop[8192];

    g_assert_true(c.welcomed);
    g_assert_cmpuint(c.window, <=, 2 * PT_GUEST_WINDOW);
    g_assert_cmpuint(c.out[CTL_OUT].n, <=, PT_GUEST_WINDOW);
    g_assert_cmpuint(c.out[CTL_ERR].n, <=, PT_GUEST_WINDOW);
    while (read(out[1], drop, sizeof drop) > 0 || read(port[1], drop, sizeof drop) > 0)
      ;
  }
  for (const char *t = c.text; *t; t++)
    g_assert_true((unsigned char)*t >= 32 && *t != 127);
  for (int i = 0; i < 2; i++) {
    close(port[i]);
    close(in[i]);
    close(out[i]);
  }
  return 0;
}
