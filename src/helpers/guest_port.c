// SPDX-License-Identifier: Apache-2.0
/* One port: frames in, frames out, sessions one after the other. base/guest.h has the protocol. */
#include "helpers/guest.h"

#include <errno.h>
#include <sys/time.h>
#include <unistd.h>

#define GONE_USEC 100000
#define LATE_USEC 30000000 /* for news of a host that was never seen to be there, but has spoken */

void
port_open(struct port *p, int index, int fd)
{
  p->fd = fd;
  p->index = index;
  p->job.result = p->job.fd[IN] = p->job.fd[OUT] = p->job.fd[ERR] = -1;
}

size_t
port_room(const struct port *p)
{
  return sizeof p->out - p->out_n;
}

bool
port_send(struct port *p, int type, const void *data, size_t size)
{
  if (p->out_at && p->out_at + p->out_n + PT_GUEST_HEAD + size + 1 > sizeof p->out) {
    memmove(p->out, p->out + p->out_at, p->out_n);
    p->out_at = 0;
  }
  if (size > PT_GUEST_DATA_MAX || port_room(p) < PT_GUEST_HEAD + size + 1)
    return false;
  unsigned char *at = p->out + p->out_at + p->out_n;
  pt_guest_head(at, type, size);
  if (size)
    memcpy(at + PT_GUEST_HEAD, data, size);
  at[PT_GUEST_HEAD + size] = PT_GUEST_END;
  p->out_n += PT_GUEST_HEAD + size + 1;
  return true;
}

void
port_end(struct port *p)
{
  job_kill(p);
  p->open = p->events = false;
  p->request_n = 0;
  p->out_at = p->out_n = 0;
}

/* What it said makes no sense. Nothing more is done until it comes back. */
static void
lose(struct port *p)
{
  port_end(p);
  p->lost = true;
}

static void
hello(struct port *p, const unsigned char *data, size_t size)
{
  unsigned char answer[PT_GUEST_NONCE + 8];

  port_end(p);
  p->lost = size < PT_GUEST_NONCE + 8;
  if (p->lost)
    return;
  p->open = true;
  p->events = pt_guest_u32(data + PT_GUEST_NONCE + 4) & PT_GUEST_EVENTS;
  memcpy(answer, data, PT_GUEST_NONCE);
  pt_guest_put32(answer + PT_GUEST_NONCE, PT_GUEST_VERSION);
  pt_guest_put32(answer + PT_GUEST_NONCE + 4, agent.ready ? PT_GUEST_IS_READY : 0);
  port_send(p, PT_GUEST_WELCOME, answer, sizeof answer);
  if (p->events && agent.ready)
    port_send(p, PT_GUEST_READY, NULL, 0);
}

static void
set_clock(const unsigned char *data)
{
  uint64_t usec = pt_guest_u32(data) | (uint64_t)pt_guest_u32(data + 4) << 32;
  const struct timeval t = { .tv_sec = (time_t)(usec / 1000000), .tv_usec = (suseconds_t)(usec % 1000000) };

  if (settimeofday(&t, NULL) < 0)
    complain("the clock: %s", strerror(errno));
}

static bool
on_request(struct port *p, const unsigned char *data, size_t size)
{
  if (p->job.active || p->request_n + size > PT_GUEST_REQUEST_MAX)
    return false;
  memcpy(p->request + p->request_n, data, size);
  p->request_n += size;
  return true;
}

/* False: the session cannot go on. */
static bool
on_frame(struct port *p, int type, const unsigned char *data, size_t size)
{
  switch (type) {
  case PT_GUEST_REQUEST:
    return on_request(p, data, size);
  case PT_GUEST_GO:
    return !p->job.active && job_start(p);
  case PT_GUEST_IN:
    job_in(p, data, size);
    return p->job.n <= sizeof p->job.buf;
  case PT_GUEST_CREDIT:
    return size == 8 && job_credit(p, pt_guest_u32(data), pt_guest_u32(data + 4));
  case PT_GUEST_RESIZE:
    if (size == 8)
      job_resize(p, pt_guest_u32(data), pt_guest_u32(data + 4));
    return size == 8;
  case PT_GUEST_SIGNAL:
    if (size == 4)
      job_signal(p, pt_guest_u32(data));
    return size == 4;
  case PT_GUEST_TIME:
    if (size == 8)
      set_clock(data);
    return size == 8;
  case PT_GUEST_SHUTDOWN:
    agent_shutdown();
    return true;
  default:
    return false;
  }
}

static void
take_frames(struct port *p)
{
  size_t at = 0, size;
  const unsigned char *data;
  int type, n;

  while (!p->lost && (n = pt_guest_frame(p->in + at, p->in_n - at, &type, &data, &size)) != 0) {
    if (n < 0) {
      lose(p);
      break;
    }
    at += (size_t)n;
    if (type == PT_GUEST_HELLO)
      hello(p, data, size);
    else if (type && p->open && !on_frame(p, type, data, size))
      lose(p);
  }
  if (p->lost) {
    p->in_n = 0;
    return;
  }
  memmove(p->in, p->in + at, p->in_n - at);
  p->in_n -= at;
}

/* A frame that was cut short by its sender's end has been filled up by its successor's zeros: what follows is the rest of them, and then a
 * HELLO. So of a port that is lost everything is dropped but that. */
static void
find_again(struct port *p)
{
  size_t at = 0;

  while (at < p->in_n && !p->in[at])
    at++;
  if (at < p->in_n && p->in[at] != 'P')
    at = p->in_n;
  memmove(p->in, p->in + at, p->in_n - at);
  p->in_n -= at;
  if (p->in_n > 2 && p->in[2] == PT_GUEST_HELLO)
    p->lost = false;
  else if (p->in_n > 2)
    p->in_n = 0;
}

static void
read_in(struct port *p)
{
  for (;;) {
    ssize_t n = read(p->fd, p->in + p->in_n, sizeof p->in - p->in_n);

    if (n < 0 && errno == EINTR)
      continue;
    /* No host is connected, says the kernel. It may be late: the host's bytes come by another queue than the news of its coming, and on
     * a busy host a session would be over before it can be answered. So whoever has not been seen connected yet is given more time. */
    if (n == 0 && !p->gone)
      p->gone = boot_usec() + (p->seen ? GONE_USEC : LATE_USEC);
    else if (n != 0)
      p->gone = 0;
    if (n < 0 && errno == EAGAIN)
      p->seen = true;
    if (n <= 0)
      return;
    p->in_n += (size_t)n;
    if (p->lost)
      find_again(p);
    if (!p->lost)
      take_frames(p);
  }
}

static bool
write_out(struct port *p)
{
  bool moved = false;

  while (p->out_n) {
    ssize_t n = write(p->fd, p->out + p->out_at, p->out_n);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    moved = true;
    p->out_at += (size_t)n;
    p->out_n -= (size_t)n;
  }
  if (!p->out_n)
    p->out_at = 0;
  return moved;
}

void
port_work(struct port *p)
{
  read_in(p);
  if (p->gone > 0 && boot_usec() >= p->gone) {
    port_end(p);
    p->lost = p->seen = false;
    p->in_n = 0;
    p->gone = -1; /* until it comes back */
  }
  do
    job_pump(p);
  while (write_out(p));
}
