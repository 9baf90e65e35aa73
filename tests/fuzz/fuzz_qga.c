// SPDX-License-Identifier: Apache-2.0
/* A guest that says anything at all where its agent should be. The JSON is the same fed whole and byte by byte, what is taken out of it stays within
 * bounds, and a request ends, whatever it is told. */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helpers/qga.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void
on_text(void *data, const unsigned char *at, size_t size)
{
  g_byte_array_append(data, at, (guint)size);
}

/* 1: whole; 0: there is more to come; -1: no JSON. */
static int
feed(const guint8 *data, size_t size, size_t step, GByteArray *text, struct qga_want *pid)
{
  struct qga_want want[] = { { .name = "pid" }, { .name = "out-data", .text = on_text, .data = text }, { .name = NULL } };
  struct qga_want error[] = { { .name = "desc", .text = on_text, .data = text }, { .name = NULL } };
  struct qga_json j;
  long n = 0;

  qga_json_begin(&j, want, error);
  for (size_t at = 0; at < size && !j.done && n >= 0; at += step) {
    size_t part = MIN(step, size - at);
    n = qga_json_feed(&j, data + at, part);
    g_assert_true(n <= (long)part && (n == (long)part || j.done || n < 0));
  }
  g_assert_cmpuint(j.depth, <=, QGA_DEPTH);
  *pid = want[0];
  return n < 0 ? -1 : j.done;
}

static void
json(const guint8 *data, size_t size)
{
  g_autoptr(GByteArray) whole = g_byte_array_new(), pieces = g_byte_array_new();
  struct qga_want a, b;
  int one = feed(data, size, MAX(size, 1), whole, &a), two = feed(data, size, 1, pieces, &b);

  g_assert_cmpint(one, ==, two);
  g_assert_true(whole->len == pieces->len && (!whole->len || memcmp(whole->data, pieces->data, whole->len) == 0));
  g_assert_true(a.seen == b.seen && a.number == b.number);
}

static void
base64(const guint8 *data, size_t size)
{
  g_autofree unsigned char *to = g_malloc(size / 4 * 3 + 3);
  struct qga_base64 b = { 0 };

  g_assert_cmpuint(qga_base64_feed(&b, data, size, to), <=, size / 4 * 3 + 3);
}

/* Whatever it is asked, the agent says `data` after its first words. */
static void
request(const char *lines, const guint8 *data, size_t size)
{
  static const char hello[] = "\xff{\"return\": 77}\n";
  g_autofree char *copy = g_strdup(lines);
  int agent[2], in[2], out[2];
  struct qga q;

  g_assert_true(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, agent) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, in) == 0);
  out[0] = open("/dev/null", O_WRONLY | O_CLOEXEC);
  out[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
  g_assert_true(write(agent[1], hello, sizeof hello - 1) == (ssize_t)sizeof hello - 1);
  if (write(agent[1], data, size) < 0)
    size = 0;
  shutdown(agent[1], SHUT_WR);
  g_assert_true(write(in[1], "bytes", 5) == 5);
  shutdown(in[1], SHUT_WR);
  if (qga_open(&q, agent[0], 77, 1000))
    qga_request(&q, copy, strlen(copy), &(const struct qga_streams){ .in = in[0], .out = out[0], .answers = out[1] });
  for (const char *t = q.text; *t; t++)
    g_assert_true((unsigned char)*t >= 32 && *t != 127);
  close(agent[0]);
  close(agent[1]);
  close(in[0]);
  close(in[1]);
  if (fcntl(out[0], F_GETFD) >= 0)
    close(out[0]);
  close(out[1]);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  static const char *const requests[] = { "do=list\npath=/\n", "do=get\npath=/f\n", "do=put\npath=/f\n", "do=freeze\n", "do=stat\npath=/f\nfollow=1\n" };

  json(data, size);
  base64(data, size);
  if (size && size < 60000)
    request(requests[data[0] % G_N_ELEMENTS(requests)], data + 1, size - 1);
  return 0;
}
