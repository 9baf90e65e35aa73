// SPDX-License-Identifier: Apache-2.0
#include "cli/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
is_pipe(int fd)
{
  struct stat st;

  return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

void
pt_pump_init(PtPump *p, int from, int to)
{
  *p = (PtPump){ .from = from, .to = to };
  p->spliced = from >= 0 && to >= 0 && (is_pipe(from) || is_pipe(to));
}

void
pt_pump_close(PtPump *p)
{
  if (p->own_from && p->from >= 0)
    close(p->from);
  if (p->own_to && p->to >= 0)
    close(p->to);
  p->from = p->to = -1;
  p->len = 0;
}

void
pt_pump_clear(PtPump *p)
{
  pt_pump_close(p);
  g_clear_pointer(&p->buf, g_free);
}

bool
pt_pump_open(const PtPump *p)
{
  return p->from >= 0 && p->to >= 0;
}

void
pt_pump_poll(const PtPump *p, struct pollfd *from, struct pollfd *to)
{
  bool open = pt_pump_open(p);

  *from = (struct pollfd){ .fd = open && p->len == 0 ? p->from : -1, .events = POLLIN };
  /* A peer that has gone away shows as POLLERR or POLLHUP, which need not be asked for. */
  *to = (struct pollfd){ .fd = open ? p->to : -1, .events = p->len ? POLLOUT : 0 };
}

static bool
ended(PtPump *p, int err)
{
  pt_pump_close(p);
  errno = err;
  return false;
}

/* 1 moved, 0 not now, -1 the end (errno), -2 cannot splice these. */
static int
try_splice(PtPump *p)
{
  gssize n = splice(p->from, NULL, p->to, NULL, 1u << 20, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

  if (n > 0)
    return 1;
  if (n == 0) {
    errno = 0;
    return -1;
  }
  if (errno == EAGAIN || errno == EINTR)
    return 0;
  return errno == EPIPE ? -1 : -2;
}

static bool
flush_out(PtPump *p)
{
  while (p->len > 0) {
    gssize n = write(p->to, p->buf + p->off, p->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      return true;
    if (n < 0)
      return ended(p, errno);
    p->off += (gsize)n;
    p->len -= (gsize)n;
  }
  return p->stopped ? ended(p, 0) : true;
}

static bool
fill(PtPump *p)
{
  if (!p->buf)
    p->buf = g_malloc(PT_PUMP_SIZE);
  gssize n = read(p->from, p->buf, PT_PUMP_SIZE);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return true;
  /* A pty whose other side was closed reads as EIO: that is its end. */
  if (n <= 0)
    return ended(p, n < 0 && errno != EIO ? errno : 0);
  p->off = 0;
  p->len = (gsize)n;
  const char *stop = p->stop ? memchr(p->buf, p->stop, p->len) : NULL;
  if (stop) {
    p->stopped = true;
    p->len = (gsize)(stop - p->buf);
  }
  return flush_out(p);
}

bool
pt_pump_move(PtPump *p, const struct pollfd *from, const struct pollfd *to)
{
  if (!pt_pump_open(p))
    return true;
  if (p->len > 0)
    return to->revents ? flush_out(p) : true;
  if (to->revents & (POLLERR | POLLNVAL))
    return ended(p, EPIPE);
  if (!from->revents)
    return true;
  if (p->spliced && !p->stop) {
    int rc = try_splice(p);
    if (rc == -1)
      return ended(p, errno);
    if (rc == 1)
      return true;
    /* Not now: by hand, so that the bytes wait in the buffer and the poll can wait for room. -2: never. */
    if (rc == -2)
      p->spliced = false;
  }
  return fill(p);
}
