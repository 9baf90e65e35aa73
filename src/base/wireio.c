// SPDX-License-Identifier: Apache-2.0
#include "base/wireio.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"

typedef union {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int) * PT_WIRE_FDS_MAX)];
} Control;

bool
pt_wire_send(int sock, guint32 type, guint32 a, guint32 b, const char *text, const int *fds, guint n_fds, GError **error)
{
  struct pt_wire head = { PT_WIRE_MAGIC, type, a, b, text ? (guint32)MIN(strlen(text), PT_WIRE_TEXT_MAX) : 0 };
  struct iovec iov[2] = { { &head, sizeof head }, { (void *)text, head.len } };
  struct msghdr msg = { .msg_iov = iov, .msg_iovlen = head.len ? 2 : 1 };
  Control control = { 0 };

  g_return_val_if_fail(n_fds <= PT_WIRE_FDS_MAX, false);
  if (n_fds > 0) {
    msg.msg_control = control.bytes;
    msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
  }
  gssize n;
  do
    n = sendmsg(sock, &msg, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n == (gssize)(sizeof head + head.len))
    return true;
  pt_error_errno(error, n < 0 ? errno : EPIPE, "handing over a stream");
  return false;
}

gssize
pt_wire_recv_bytes(int sock, void *buf, gsize size, int flags, int *fds, guint *n_fds)
{
  struct iovec iov = { buf, size };
  Control control = { 0 };
  struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control };
  gssize n;

  do
    n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return n;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    for (gsize i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (*n_fds < PT_WIRE_FDS_MAX)
        fds[(*n_fds)++] = fd;
      else
        close(fd);
    }
  }
  return n;
}

bool
pt_wire_check(const struct pt_wire *head, gsize size, GError **error)
{
  if (size >= sizeof *head && head->magic == PT_WIRE_MAGIC && head->len <= PT_WIRE_TEXT_MAX && size == sizeof *head + head->len)
    return true;
  PT_SET(error, PT_ERR_INVALID, "a message about a stream is malformed");
  pt_error_hint(error, "are all parts of portena of the same version?");
  return false;
}

int
pt_wire_recv(int sock, PtWireMsg *ret, GError **error)
{
  struct {
    struct pt_wire head;
    char text[PT_WIRE_TEXT_MAX + 1];
  } raw = { 0 };

  memset(ret, 0, sizeof *ret);
  gssize n = pt_wire_recv_bytes(sock, &raw, sizeof raw.head + PT_WIRE_TEXT_MAX, 0, ret->fds, &ret->n_fds);
  if (n == 0)
    return 0;
  if (n < 0) {
    pt_error_errno(error, errno, "waiting for a stream");
    return -1;
  }
  if (!pt_wire_check(&raw.head, (gsize)n, error)) {
    pt_wire_msg_clear(ret);
    return -1;
  }
  ret->head = raw.head;
  memcpy(ret->text, raw.text, raw.head.len);
  return 1;
}

int
pt_wire_take_fd(PtWireMsg *msg, guint i)
{
  if (i >= msg->n_fds)
    return -1;
  int fd = msg->fds[i];
  msg->fds[i] = -1;
  return fd;
}

void
pt_wire_msg_clear(PtWireMsg *msg)
{
  for (guint i = 0; i < msg->n_fds; i++)
    if (msg->fds[i] >= 0)
      close(msg->fds[i]);
  msg->n_fds = 0;
}
