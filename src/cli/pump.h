// SPDX-License-Identifier: Apache-2.0
#pragma once
/* One direction of a stream: bytes from one descriptor to another, spliced where the kernel can. */
#include <glib.h>
#include <poll.h>
#include <stdbool.h>

#define PT_PUMP_SIZE (64u << 10)

typedef struct PtPump {
  int from, to; /* -1 = closed; owned where the flags say so */
  bool own_from, own_to;
  bool spliced;   /* still worth trying */
  int stop;       /* a byte that ends the pump when it is read; 0 = none */
  bool stopped;   /* … it was */
  gsize off, len; /* what of buf is still to be written */
  char *buf;      /* PT_PUMP_SIZE, allocated at the first use */
} PtPump;

void pt_pump_init(PtPump *p, int from, int to);
void pt_pump_clear(PtPump *p);
/* Closes both ends as far as they are ours. */
void pt_pump_close(PtPump *p);
bool pt_pump_open(const PtPump *p);
/* What to poll for. Both entries may get fd -1. */
void pt_pump_poll(const PtPump *p, struct pollfd *from, struct pollfd *to);
/* Moves what can be moved. Closes itself at the end of input or when the other side does not want more; false then, with
 * errno 0 or the reason. */
bool pt_pump_move(PtPump *p, const struct pollfd *from, const struct pollfd *to);
