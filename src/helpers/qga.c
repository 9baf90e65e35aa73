// SPDX-License-Identifier: Apache-2.0
/* One command at a time over a stream socket, which is QEMU's end of the guest's virtio-serial port
 * "org.qemu.guest_agent.0". A command is one line of JSON, and so is its answer. Nothing is allocated. */
#include "helpers/qga.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SENTINEL 0xFF /* never in JSON; the agent gives up what it was reading, and puts it before its answer */

static long long
now_ms(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool
qga_is_text(const char *text)
{
  const unsigned char *p = (const unsigned char *)text;

  while (*p) {
    unsigned n = *p < 0x80 ? 0 : *p >= 0xC2 && *p < 0xE0 ? 1 : *p >= 0xE0 && *p < 0xF0 ? 2 : *p >= 0xF0 && *p < 0xF5 ? 3 : 4;
    unsigned char second = p[0] ? p[1] : 0;

    if (n == 4 || (*p == 0xE0 && second < 0xA0) || (*p == 0xED && second > 0x9F) || (*p == 0xF0 && second < 0x90) ||
        (*p == 0xF4 && second > 0x8F))
      return false;
    for (p++; n; n--, p++)
      if ((*p & 0xC0) != 0x80)
        return false;
  }
  return true;
}

/* ---- to the agent ---- */

static void
flush(struct qga *q)
{
  size_t at = 0;

  while (!q->lost && at < q->out_n) {
    ssize_t n = send(q->fd, q->out + at, q->out_n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
    struct pollfd p = { .fd = q->fd, .events = POLLOUT };

    if (n > 0)
      at += (size_t)n;
    else if ((errno != EAGAIN && errno != EINTR) ||
             (errno == EAGAIN && poll(&p, 1, 10000) <= 0)) /* a guest that reads nothing */
      q->lost = true;
  }
  q->out_n = 0;
}

static void
put(struct qga *q, const char *at, size_t size)
{
  while (size) {
    size_t n = sizeof q->out - q->out_n;

    n = n < size ? n : size;
    memcpy(q->out + q->out_n, at, n);
    q->out_n += n;
    at += n;
    size -= n;
    if (q->out_n == sizeof q->out)
      flush(q);
  }
}

static void
put_text(struct qga *q, const char *text)
{
  put(q, text, strlen(text));
}

static void
put_quoted(struct qga *q, const char *text)
{
  char code[8];

  put(q, "\"", 1);
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;

    if (c == '"' || c == '\\' || c < 0x20 || c == 0x7F) {
      snprintf(code, sizeof code, "\\u%04x", c);
      put_text(q, code);
    } else {
      put(q, text, 1);
    }
  }
  put(q, "\"", 1);
}

void
qga_begin(struct qga *q, const char *command)
{
  q->args = 0;
  put_text(q, "{\"execute\":");
  put_quoted(q, command);
}

static void
arg(struct qga *q, const char *name)
{
  put_text(q, q->args++ ? "," : ",\"arguments\":{");
  put_quoted(q, name);
  put(q, ":", 1);
}

void
qga_arg_text(struct qga *q, const char *name, const char *value)
{
  arg(q, name);
  put_quoted(q, value);
}

void
qga_arg_number(struct qga *q, const char *name, long long value)
{
  char text[32];

  arg(q, name);
  snprintf(text, sizeof text, "%lld", value);
  put_text(q, text);
}

void
qga_arg_true(struct qga *q, const char *name)
{
  arg(q, name);
  put_text(q, "true");
}

void
qga_arg_list(struct qga *q, const char *name, const char *const *values, size_t n)
{
  arg(q, name);
  put(q, "[", 1);
  for (size_t i = 0; i < n; i++) {
    if (i)
      put(q, ",", 1);
    put_quoted(q, values[i]);
  }
  put(q, "]", 1);
}

void
qga_arg_base64(struct qga *q, const char *name, const unsigned char *at, size_t size)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  arg(q, name);
  put(q, "\"", 1);
  for (size_t i = 0; i < size; i += 3) {
    uint32_t v =
      (uint32_t)at[i] << 16 | (uint32_t)(i + 1 < size ? at[i + 1] : 0) << 8 | (uint32_t)(i + 2 < size ? at[i + 2] : 0);
    char four[4] = { letters[v >> 18], letters[v >> 12 & 63], i + 1 < size ? letters[v >> 6 & 63] : '=',
                     i + 2 < size ? letters[v & 63] : '=' };

    put(q, four, 4);
  }
  put(q, "\"", 1);
}

void
qga_send(struct qga *q)
{
  put_text(q, q->args ? "}}\n" : "}\n");
  flush(q);
}

/* ---- from the agent ---- */

/* More of what it says, within `timeout` ms. */
static bool
more(struct qga *q, int timeout)
{
  struct pollfd p = { .fd = q->fd, .events = POLLIN };
  ssize_t n;

  do {
    n = poll(&p, 1, timeout > 0 ? timeout : 0) > 0 ? recv(q->fd, q->in, sizeof q->in, MSG_DONTWAIT) : 0;
  } while (n < 0 && (errno == EINTR || errno == EAGAIN));
  q->in_at = 0;
  q->in_n = n > 0 ? (size_t)n : 0;
  return n > 0;
}

/* What the agent complains of goes to a terminal some day. */
static void
keep(char *to, size_t max, const unsigned char *at, size_t size)
{
  size_t n = strlen(to);

  for (size_t i = 0; i < size && n < max; i++)
    to[n++] = (char)(at[i] < 32 || at[i] == 127 || at[i] == '\\' ? '?' : at[i]);
  to[n] = '\0';
}

static void
on_text(void *data, const unsigned char *at, size_t size)
{
  struct qga *q = data;

  keep(q->text, QGA_TEXT, at, size);
}

static void
on_class(void *data, const unsigned char *at, size_t size)
{
  struct qga *q = data;

  keep(q->class, sizeof q->class - 1, at, size);
}

/* One answer. `until`: all of it has to be there by then; 0 = as long as something comes every `timeout` ms. */
static enum qga_result
answer(struct qga *q, struct qga_want *want, int timeout, long long until)
{
  struct qga_want error[] = { { .name = "desc", .text = on_text, .data = q },
                              { .name = "class", .text = on_class, .data = q },
                              { .name = NULL } };
  struct qga_json j;
  size_t all = 0;

  q->text[0] = q->class[0] = '\0';
  qga_json_begin(&j, want, error);
  while (!j.done) {
    long long left = until ? until - now_ms() : timeout;

    if (q->in_at == q->in_n && (left <= 0 || all > QGA_ANSWER_MAX || !more(q, (int)left)))
      return QGA_LOST;
    long n = qga_json_feed(&j, q->in + q->in_at, q->in_n - q->in_at);
    if (n < 0)
      return QGA_LOST;
    q->in_at += (size_t)n;
    all += (size_t)n;
  }
  if (j.has_return == j.has_error)
    return QGA_LOST;
  return j.has_return ? QGA_DONE : QGA_REFUSED;
}

enum qga_result
qga_run(struct qga *q, struct qga_want *want, int timeout)
{
  qga_send(q);
  enum qga_result r = q->lost ? QGA_LOST : answer(q, want, timeout, 0);

  q->lost = r == QGA_LOST;
  return r;
}

/* Drops all up to the next sentinel. */
static bool
find_sentinel(struct qga *q, long long until)
{
  for (;;) {
    const unsigned char *at = memchr(q->in + q->in_at, SENTINEL, q->in_n - q->in_at);
    long long left = until - now_ms();

    if (at) {
      q->in_at = (size_t)(at - q->in) + 1;
      return true;
    }
    if (left <= 0 || !more(q, (int)left))
      return false;
  }
}

bool
qga_open(struct qga *q, int fd, long long number, int timeout)
{
  long long until = now_ms() + timeout;

  memset(q, 0, offsetof(struct qga, in));
  q->fd = fd;
  q->in_at = q->in_n = q->out_n = 0;
  /* The first sentinel ends whatever a predecessor left half said. */
  put(q, "\xff", 1);
  qga_begin(q, "guest-sync-delimited");
  qga_arg_number(q, "id", number);
  qga_send(q);
  while (!q->lost && find_sentinel(q, until)) {
    struct qga_want want[] = { { .name = "" }, { .name = NULL } };

    /* Anything else was for somebody before us, or is noise that has a sentinel in it. */
    if (answer(q, want, 0, until) == QGA_DONE && want[0].seen && want[0].number == number)
      return true;
  }
  q->lost = true;
  return false;
}
