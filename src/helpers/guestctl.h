// SPDX-License-Identifier: Apache-2.0
#pragma once
/* portena-guestctl's own parts: the host's side of base/guest.h. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/guest.h"

enum { CTL_IN, CTL_OUT, CTL_ERR, CTL_N };

/* One request over one port. Everything that comes from the guest is bounded here. */
struct ctl {
  int port;                     /* connected, nonblocking */
  int fd[CTL_N];                /* in is read, the others are written; -1 = there is none (any more) */
  int answers;                  /* answers as lines go here; -1 = they do not */
  bool tty;
  bool in_over, ended;          /* the end of IN was sent; a last answer has come */
  bool welcomed;
  bool whole;                   /* IN is a socket whose closing is no end, but a breaking off */
  unsigned char nonce[PT_GUEST_NONCE];
  unsigned char from[2 * PT_GUEST_FRAME_MAX], to[4 * PT_GUEST_FRAME_MAX];
  size_t from_n, to_at, to_n;
  struct { unsigned char at[PT_GUEST_WINDOW]; size_t from, n; uint32_t due; bool over; } out[CTL_N];
  uint32_t window;              /* of IN */
  unsigned oks;                 /* OK frames so far */
  unsigned want;                /* … and how many end the request */
  bool exits;                   /* it ends in EXIT */
  int type;                     /* of the last answer */
  uint32_t a, b;                /* EXIT's, ERROR's */
  char text[PT_GUEST_TEXT_MAX + 1]; /* ERROR's, made harmless for a terminal */
};

bool ctl_send(struct ctl *c, int type, const void *data, size_t size);
void ctl_hello(struct ctl *c);
void ctl_request(struct ctl *c, const char *lines, size_t size); /* as much as there is room is sent at once: 8 KiB always fits */
/* One round: waits, moves bytes. `signals`: one more descriptor to wake up for, or -1. False: the guest is gone or talks nonsense. */
bool ctl_turn(struct ctl *c, int signals, int timeout_ms);
bool ctl_flushed(const struct ctl *c); /* all that came has been written */

/* ---- guestctl_port.c ---- */
/* The locked file, -1: somebody else has it. And a connection; -1: nobody listens. */
int port_lock(int dir, const char *name);
int port_connect(int dir, const char *name);
/* A free port of the directory: its lock, and a connected socket. -1: none within the time. */
int port_take(int dir, int *ret_lock);

/* ---- guestctl_confine.c ---- */
/* Another's ids, no new rights, and only the calls that moving bytes takes. */
bool confine(uid_t id);
