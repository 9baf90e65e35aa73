// SPDX-License-Identifier: Apache-2.0
#include "helpers/guestctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const int types[CTL_N] = { PT_GUEST_IN, PT_GUEST_OUT, PT_GUEST_ERR };

bool
ctl_send(struct ctl *c, int type, const void *data, size_t size)
{
  if (c->to_at && c->to_at + c->to_n + PT_GUEST_HEAD + size + 1 > sizeof c->to) {
    memmove(c->to, c->to + c->to_at, c->to_n);
    c->to_at = 0;
  }
  if (size > PT_GUEST_DATA_MAX || c->to_n + PT_GUEST_HEAD + size + 1 > sizeof c->to)
    return false;
  unsigned char *at = c->to + c->to_at + c->to_n;
  pt_guest_head(at, type, size);
  if (size)
    memcpy(at + PT_GUEST_HEAD, data, size);
  at[PT_GUEST_HEAD + size] = PT_GUEST_END;
  c->to_n += PT_GUEST_HEAD + size + 1;
  return true;
}

void
ctl_hello(struct ctl *c)
{
  unsigned char data[PT_GUEST_NONCE + 8];

  memset(c->to, 0, PT_GUEST_PAD);
  c->to_n = PT_GUEST_PAD;
  memcpy(data, c->nonce, PT_GUEST_NONCE);
  pt_guest_put32(data + PT_GUEST_NONCE, PT_GUEST_VERSION);
  pt_guest_put32(data + PT_GUEST_NONCE + 4, 0);
  ctl_send(c, PT_GUEST_HELLO, data, sizeof data);
  c->window = PT_GUEST_WINDOW;
}

/* Nothing is sent before the guest has said welcome, so that its first words find an empty line. */
void
ctl_request(struct ctl *c, const char *lines, size_t size)
{
  while (size) {
    size_t n = size < PT_GUEST_DATA_MAX ? size : PT_GUEST_DATA_MAX;

    while (!ctl_send(c, PT_GUEST_REQUEST, lines, n))
      if (!ctl_turn(c, -1, 1000))
        return;
    lines += n;
    size -= n;
  }
  while (!ctl_send(c, PT_GUEST_GO, NULL, 0))
    if (!ctl_turn(c, -1, 1000))
      return;
}

static void
say_answer(struct ctl *c, int type, const unsigned char *data, size_t size)
{
  char line[2 * PT_GUEST_TEXT_MAX + 128];

  if (c->answers < 0)
    return;
  int n = type == PT_GUEST_OK     ? snprintf(line, sizeof line, "answer=ok\n")
          : type == PT_GUEST_EXIT ? snprintf(line, sizeof line, "answer=exit\ncode=%u\nsignal=%u\n", c->a, c->b)
                                  : snprintf(line, sizeof line, "answer=error\nerrno=%u\ncode=%u\ntext=%s\n", c->a, c->b, c->text);
  /* As large as a pipe holds at once: nobody waits for its reader. */
  if (write(c->answers, line, (size_t)n) != n || (type == PT_GUEST_OK && size && write(c->answers, data, size) != (ssize_t)size) ||
      write(c->answers, "end=\n", 5) != 5)
    c->answers = -1;
}

static bool
on_answer(struct ctl *c, int type, const unsigned char *data, size_t size)
{
  if ((type == PT_GUEST_EXIT && size != 8) || (type == PT_GUEST_ERROR && (size < 8 || size > 8 + PT_GUEST_TEXT_MAX)))
    return false;
  c->type = type;
  if (type != PT_GUEST_OK) {
    c->a = pt_guest_u32(data);
    c->b = pt_guest_u32(data + 4);
  }
  if (type == PT_GUEST_ERROR) {
    size_t n = size - 8;

    for (size_t i = 0; i < n; i++) {
      unsigned char ch = data[8 + i];
      c->text[i] = (char)(ch < 32 || ch == 127 || ch == '\\' ? '?' : ch);
    }
    c->text[n] = '\0';
  }
  if (type == PT_GUEST_OK)
    c->oks++;
  c->ended = type != PT_GUEST_OK || (!c->exits && c->oks >= c->want);
  say_answer(c, type, data, size);
  return true;
}

static bool
on_data(struct ctl *c, int k, const unsigned char *data, size_t size)
{
  if (!size) {
    c->out[k].over = true;
    return true;
  }
  if (c->fd[k] < 0) {
    c->out[k].due += (uint32_t)size;
    return true;
  }
  if (c->out[k].n + size > sizeof c->out[k].at) /* more than it was granted */
    return false;
  if (c->out[k].from + c->out[k].n + size > sizeof c->out[k].at) {
    memmove(c->out[k].at, c->out[k].at + c->out[k].from, c->out[k].n);
    c->out[k].from = 0;
  }
  memcpy(c->out[k].at + c->out[k].from + c->out[k].n, data, size);
  c->out[k].n += size;
  return true;
}

static bool
on_frame(struct ctl *c, int type, const unsigned char *data, size_t size)
{
  uint32_t more;

  switch (type) {
  case PT_GUEST_OUT:
    return on_data(c, CTL_OUT, data, size);
  case PT_GUEST_ERR:
    return on_data(c, CTL_ERR, data, size);
  case PT_GUEST_OK:
  case PT_GUEST_EXIT:
  case PT_GUEST_ERROR:
    return !c->ended && on_answer(c, type, data, size);
  case PT_GUEST_CREDIT:
    if (size != 8 || pt_guest_u32(data) != PT_GUEST_IN)
      return false;
    more = pt_guest_u32(data + 4);
    if (more > PT_GUEST_WINDOW || c->window + more > 2 * PT_GUEST_WINDOW)
      return false;
    c->window += more;
    return true;
  default:
    return true; /* events of a later version */
  }
}

/* Until the guest has answered this session's hello, what comes may be anything that was on its way for another. */
static void
find_welcome(struct ctl *c)
{
  const size_t size = PT_GUEST_HEAD + PT_GUEST_NONCE + 8 + 1;
  unsigned char want[PT_GUEST_HEAD + PT_GUEST_NONCE];

  pt_guest_head(want, PT_GUEST_WELCOME, PT_GUEST_NONCE + 8);
  memcpy(want + PT_GUEST_HEAD, c->nonce, PT_GUEST_NONCE);
  const unsigned char *at = memmem(c->from, c->from_n, want, sizeof want);
  size_t keep = c->from_n < size ? c->from_n : size;

  if (at && (size_t)(c->from + c->from_n - at) >= size) {
    c->welcomed = true;
    at += size;
    keep = (size_t)(c->from + c->from_n - at);
  } else if (at) {
    keep = (size_t)(c->from + c->from_n - at);
  }
  memmove(c->from, c->from + c->from_n - keep, keep);
  c->from_n = keep;
}

static bool
take_frames(struct ctl *c)
{
  size_t at = 0, size;
  const unsigned char *data;
  int type, n;

  if (!c->welcomed)
    find_welcome(c);
  while (c->welcomed && (n = pt_guest_frame(c->from + at, c->from_n - at, &type, &data, &size)) != 0) {
    if (n < 0 || (type && !on_frame(c, type, data, size)))
      return false;
    at += (size_t)n;
  }
  memmove(c->from, c->from + at, c->from_n - at);
  c->from_n -= at;
  return true;
}

static bool
from_port(struct ctl *c)
{
  ssize_t n = recv(c->port, c->from + c->from_n, sizeof c->from - c->from_n, MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return true;
  if (n <= 0)
    return false;
  c->from_n += (size_t)n;
  return take_frames(c);
}

static bool
to_port(struct ctl *c)
{
  ssize_t n = send(c->port, c->to + c->to_at, c->to_n, MSG_DONTWAIT | MSG_NOSIGNAL);

  if (n < 0)
    return errno == EAGAIN || errno == EINTR;
  c->to_at += (size_t)n;
  c->to_n -= (size_t)n;
  if (!c->to_n)
    c->to_at = 0;
  return true;
}

/* The request comes first, so what is typed before it is answered waits where it is. */
static size_t
in_room(const struct ctl *c)
{
  size_t n = c->window < PT_GUEST_DATA_MAX ? c->window : PT_GUEST_DATA_MAX;

  return c->fd[CTL_IN] >= 0 && c->welcomed && !c->in_over && !c->ended && c->to_n < PT_GUEST_FRAME_MAX ? n : 0;
}

static bool
from_in(struct ctl *c)
{
  unsigned char buf[PT_GUEST_DATA_MAX];
  struct pollfd p = { .fd = c->fd[CTL_IN], .events = POLLIN };
  size_t room = in_room(c);
  ssize_t n = room ? read(c->fd[CTL_IN], buf, room) : -1;

  if (!room || (n < 0 && (errno == EAGAIN || errno == EINTR)))
    return true;
  if (n <= 0) {
    if (c->whole && poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR)) /* shut down for writing alone it has not hung up */
      return false;
    c->in_over = true;
    n = 0;
  }
  c->window -= (uint32_t)n;
  ctl_send(c, PT_GUEST_IN, buf, (size_t)n);
  return true;
}

static void
to_out(struct ctl *c, int k)
{
  ssize_t n = write(c->fd[k], c->out[k].at + c->out[k].from, c->out[k].n);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n < 0) { /* nobody reads it any more; the guest's command goes on */
    n = (ssize_t)c->out[k].n;
    c->fd[k] = -1;
  }
  c->out[k].from += (size_t)n;
  c->out[k].n -= (size_t)n;
  c->out[k].due += (uint32_t)n;
  if (!c->out[k].n)
    c->out[k].from = 0;
}

static void
grant(struct ctl *c)
{
  unsigned char data[8];

  for (int k = CTL_OUT; k < CTL_N; k++) {
    if (c->out[k].due < PT_GUEST_WINDOW / 4)
      continue;
    pt_guest_put32(data, (uint32_t)types[k]);
    pt_guest_put32(data + 4, c->out[k].due);
    if (ctl_send(c, PT_GUEST_CREDIT, data, sizeof data))
      c->out[k].due = 0;
  }
}

bool
ctl_flushed(const struct ctl *c)
{
  return !c->out[CTL_OUT].n && !c->out[CTL_ERR].n;
}

bool
ctl_turn(struct ctl *c, int signals, int timeout_ms)
{
  struct pollfd p[2 + CTL_N] = { { .fd = c->port, .events = (short)((c->ended ? 0 : POLLIN) | (c->to_n ? POLLOUT : 0)) },
                                 { .fd = signals, .events = POLLIN } };

  if (c->ended)
    p[0].fd = -1;
  p[2] = (struct pollfd){ .fd = in_room(c) ? c->fd[CTL_IN] : -1, .events = POLLIN };
  for (int k = CTL_OUT; k < CTL_N; k++)
    p[2 + k] = (struct pollfd){ .fd = c->out[k].n ? c->fd[k] : -1, .events = POLLOUT };
  if (poll(p, 2 + CTL_N, timeout_ms) < 0)
    return errno == EINTR;
  if ((p[0].revents & POLLOUT && !to_port(c)) || (p[0].revents & (POLLIN | POLLHUP | POLLERR) && !from_port(c)))
    return false;
  if (p[2].revents && !from_in(c))
    return false;
  for (int k = CTL_OUT; k < CTL_N; k++)
    if (p[2 + k].revents)
      to_out(c, k);
  grant(c);
  return true;
}
