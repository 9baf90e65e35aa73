// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

#include "base/wire.h"

/* Messages of base/wire.h over a Unix socket, for everybody but the helpers. All calls block (EAGAIN of a
 * non-blocking socket is an error like any other). */
typedef struct PtWireMsg {
  struct pt_wire head;
  char text[PT_WIRE_TEXT_MAX + 1]; /* ends in NUL; may hold any byte before it */
  int fds[PT_WIRE_FDS_MAX];        /* the receiver's, close-on-exec */
  guint n_fds;
} PtWireMsg;

/* Sends one message by one sendmsg; the descriptors stay the caller's. `text` may be NULL, is cut at
 * PT_WIRE_TEXT_MAX. Errors by errno: UNREACHABLE where the peer is gone. */
bool pt_wire_send(int sock, guint32 type, guint32 a, guint32 b, const char *text, const int *fds, guint n_fds, GError **error);

/* Receives one message of a SEQPACKET socket. 1: *ret is filled; 0: the peer closed; -1: error (INVALID where it is
 * no message of ours). Descriptors that came with a bad message are closed. */
int pt_wire_recv(int sock, PtWireMsg *ret, GError **error);

/* Checks magic, length and count; for those who received the bytes themselves. `size` is that of head and text. */
bool pt_wire_check(const struct pt_wire *head, gsize size, GError **error);

/* Takes descriptor number `i` out of the message: the caller's now. -1 where there is none. */
int pt_wire_take_fd(PtWireMsg *msg, guint i);
/* Closes the descriptors that nobody took. */
void pt_wire_msg_clear(PtWireMsg *msg);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtWireMsg, pt_wire_msg_clear)

/* recvmsg with descriptors: adds those that came to fds[*n_fds] (room for PT_WIRE_FDS_MAX, what is over is
 * closed). The result and errno of recvmsg. */
gssize pt_wire_recv_bytes(int sock, void *buf, gsize size, int flags, int *fds, guint *n_fds);
