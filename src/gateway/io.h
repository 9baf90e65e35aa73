// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>

/* Whole reads and writes with a deadline, over a descriptor, a TLS session, or bytes in memory (tests, fuzzing): what the
 * handshakes of RFB are written on. A peer chooses no size here: callers bound what they ask for. */
typedef struct PtIo {
  gssize (*read)(struct PtIo *io, void *buf, gsize size);        /* as read(2): -1 with errno, EAGAIN waits */
  gssize (*write)(struct PtIo *io, const void *buf, gsize size); /* as write(2) */
  int fd;                                                        /* to poll; -1: never wait */
  gint64 deadline;                                               /* pt_mono() */
  gnutls_session_t tls;
  const guint8 *data; /* memory: what is left to read */
  gsize left;
  GByteArray *sent; /* memory: what was written, or NULL */
} PtIo;

/* `fd` is borrowed and should be non-blocking. */
PtIo pt_io_fd(int fd, gint64 deadline);
PtIo pt_io_tls(gnutls_session_t tls, int fd, gint64 deadline);
PtIo pt_io_memory(const void *data, gsize size, GByteArray *sent);

/* Errors: TIMEOUT, UNREACHABLE where the peer closed, or by errno. */
bool pt_io_read(PtIo *io, void *buf, gsize size, GError **error);
bool pt_io_write(PtIo *io, const void *buf, gsize size, GError **error);
/* Waits until `events` (poll.h) are there; false with TIMEOUT. */
bool pt_io_wait(const PtIo *io, short events, GError **error);
/* Throws away what comes on `fd` until the peer closes, `most` bytes have come or `deadline` is there. Closing with bytes unread
 * resets the connection, and the reset may overtake what was said last: so the peer gets a moment to read it. */
void pt_io_discard(int fd, gsize most, gint64 deadline);
