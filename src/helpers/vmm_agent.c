// SPDX-License-Identifier: Apache-2.0
/* The conversation with the guest's agent on port 0. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/guest.h"
#include "helpers/vmm.h"

static unsigned char buf[PT_GUEST_FRAME_MAX + PT_GUEST_PAD];
static size_t have;
static unsigned char nonce[PT_GUEST_NONCE];

static bool
send_frame(int type, const unsigned char *data, size_t size)
{
  unsigned char frame[PT_GUEST_HEAD + 64 + 1];

  if (size > 64)
    return false;
  pt_guest_head(frame, type, size);
  if (size)
    memcpy(frame + PT_GUEST_HEAD, data, size);
  frame[PT_GUEST_HEAD + size] = PT_GUEST_END;
  return send_all(&v.agent, frame, PT_GUEST_HEAD + size + 1);
}

void
agent_hello(void)
{
  static const unsigned char pad[PT_GUEST_PAD];
  unsigned char hello[PT_GUEST_NONCE + 8];

  have = 0;
  v.greeted = false;
  if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
    return;
  memcpy(hello, nonce, PT_GUEST_NONCE);
  pt_guest_put32(hello + PT_GUEST_NONCE, PT_GUEST_VERSION);
  pt_guest_put32(hello + PT_GUEST_NONCE + 4, PT_GUEST_EVENTS);
  if (send_all(&v.agent, pad, sizeof pad))
    send_frame(PT_GUEST_HELLO, hello, sizeof hello);
}

bool
agent_shutdown(void)
{
  return v.greeted && send_frame(PT_GUEST_SHUTDOWN, NULL, 0);
}

void
agent_time(void)
{
  unsigned char at[8];
  struct timespec now;

  if (!v.greeted || clock_gettime(CLOCK_REALTIME, &now) < 0)
    return;
  uint64_t usec = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
  pt_guest_put32(at, (uint32_t)usec);
  pt_guest_put32(at + 4, (uint32_t)(usec >> 32));
  send_frame(PT_GUEST_TIME, at, sizeof at);
}

static void
welcome(const unsigned char *data, size_t size)
{
  if (v.greeted || size < PT_GUEST_NONCE + 8 || memcmp(data, nonce, PT_GUEST_NONCE) != 0)
    return;
  v.greeted = true;
  agent_time(); /* its clock began when its kernel did, and firmware comes before that */
  if (pt_guest_u32(data + PT_GUEST_NONCE + 4) & PT_GUEST_IS_READY)
    say_ready();
  if (v.stopping)
    agent_shutdown();
}

static void
on_frame(int type, const unsigned char *data, size_t size)
{
  if (type == PT_GUEST_WELCOME) {
    welcome(data, size);
  } else if (!v.greeted) {
    return; /* of a session before */
  } else if (type == PT_GUEST_READY) {
    say_ready();
  } else if (type == PT_GUEST_STATUS && size >= 8) {
    v.ended = true;
    v.status = pt_guest_u32(data);
    v.sig = pt_guest_u32(data + 4);
    agent_shutdown(); /* heard: it need not wait before it turns the machine off */
  }
}

/* What is no frame is skipped byte by byte until the session has been answered; afterwards it means that the peer is broken, and a
 * new session is begun. */
static void
take_frames(void)
{
  size_t at = 0;

  while (at < have) {
    const unsigned char *data;
    size_t size;
    int type, n = pt_guest_frame(buf + at, have - at, &type, &data, &size);

    if (n == 0)
      break;
    if (n < 0 && v.greeted) {
      agent_hello();
      return;
    }
    if (n > 0 && type)
      on_frame(type, data, size);
    at += n > 0 ? (size_t)n : 1;
  }
  memmove(buf, buf + at, have - at);
  have -= at;
}

void
agent_read(void)
{
  for (;;) {
    ssize_t n = recv(v.agent, buf + have, sizeof buf - have, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    if (n <= 0) {
      close(v.agent);
      v.agent = -1;
      return;
    }
    have += (size_t)n;
    take_frames();
    if (v.agent < 0)
      return;
  }
}
