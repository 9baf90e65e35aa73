// SPDX-License-Identifier: Apache-2.0
#include "gateway/io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

static gssize
fd_read(PtIo *io, void *buf, gsize size)
{
  return recv(io->fd, buf, size, MSG_DONTWAIT);
}

static gssize
fd_write(PtIo *io, const void *buf, gsize size)
{
  return send(io->fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static gssize
tls_result(gssize n)
{
  if (n >= 0)
    return n;
  errno = n == GNUTLS_E_AGAIN ? EAGAIN : n == GNUTLS_E_INTERRUPTED ? EINTR : EPIPE;
  return n == GNUTLS_E_PREMATURE_TERMINATION ? 0 : -1;
}

static gssize
tls_read(PtIo *io, void *buf, gsize size)
{
  return tls_result(gnutls_record_recv(io->tls, buf, size));
}

static gssize
tls_write(PtIo *io, const void *buf, gsize size)
{
  return tls_result(gnutls_record_send(io->tls, buf, size));
}

static gssize
memory_read(PtIo *io, void *buf, gsize size)
{
  gsize n = MIN(size, io->left);

  if (n > 0)
    memcpy(buf, io->data, n);
  io->data += n;
  io->left -= n;
  return (gssize)n;
}

static gssize
memory_write(PtIo *io, const void *buf, gsize size)
{
  if (io->sent)
    g_byte_array_append(io->sent, buf, (guint)size);
  return (gssize)size;
}

PtIo
pt_io_fd(int fd, gint64 deadline)
{
  return (PtIo){ .read = fd_read, .write = fd_write, .fd = fd, .deadline = deadline };
}

PtIo
pt_io_tls(gnutls_session_t tls, int fd, gint64 deadline)
{
  return (PtIo){ .read = tls_read, .write = tls_write, .fd = fd, .deadline = deadline, .tls = tls };
}

PtIo
pt_io_memory(const void *data, gsize size, GByteArray *sent)
{
  return (PtIo){ .read = memory_read, .write = memory_write, .fd = -1, .data = data, .left = size, .sent = sent };
}

bool
pt_io_wait(const PtIo *io, short events, GError **error)
{
  for (;;) {
    struct pollfd p = { .fd = io->fd, .events = events };
    gint64 left = io->deadline - pt_mono();
    int n = left > 0 ? poll(&p, 1, (int)MIN(left / 1000 + 1, G_MAXINT)) : 0;
    if (n > 0)
      return true;
    if (n == 0) {
      PT_SET(error, PT_ERR_TIMEOUT, "the peer did not answer in time");
      return false;
    }
    if (errno != EINTR) {
      pt_error_errno(error, errno, "poll");
      return false;
    }
  }
}

/* After a call that did not go through: waits, or sets the error. */
static bool
again(PtIo *io, gssize n, short events, GError **error)
{
  if (n < 0 && errno == EINTR)
    return true;
  if (n < 0 && errno == EAGAIN)
    return pt_io_wait(io, events, error);
  if (n == 0 || errno == EPIPE)
    PT_SET(error, PT_ERR_UNREACHABLE, "the peer closed the connection");
  else
    pt_error_errno(error, errno, "connection");
  return false;
}

bool
pt_io_read(PtIo *io, void *buf, gsize size, GError **error)
{
  guint8 *p = buf;

  while (size > 0) {
    gssize n = io->read(io, p, size);
    if (n <= 0) {
      if (!again(io, n, POLLIN, error))
        return false;
      continue;
    }
    p += n;
    size -= (gsize)n;
  }
  return true;
}

bool
pt_io_write(PtIo *io, const void *buf, gsize size, GError **error)
{
  const guint8 *p = buf;

  while (size > 0) {
    gssize n = io->write(io, p, size);
    if (n <= 0) {
      if (!again(io, n, POLLOUT, error))
        return false;
      continue;
    }
    p += n;
    size -= (gsize)n;
  }
  return true;
}

void
pt_io_discard(int fd, gsize most, gint64 deadline)
{
  guint8 buf[16384];
  PtIo io = pt_io_fd(fd, deadline);

  while (most > 0 && pt_io_wait(&io, POLLIN, NULL)) {
    gssize n = io.read(&io, buf, MIN(most, sizeof buf));
    if (n <= 0)
      return;
    most -= (gsize)n;
  }
}
