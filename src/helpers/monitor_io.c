// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* rename */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "helpers/monitor.h"

void
put(struct text *t, const char *s)
{
  size_t n = strlen(s), room = sizeof t->at - 1 - t->n;

  t->full |= n > room;
  n = n > room ? room : n;
  memcpy(t->at + t->n, s, n);
  t->n += n;
  t->at[t->n] = '\0';
}

void
put_number(struct text *t, unsigned long long n)
{
  char digits[24];
  char *at = digits + sizeof digits - 1;

  *at = '\0';
  do {
    *--at = (char)('0' + n % 10);
    n /= 10;
  } while (n);
  put(t, at);
}

const char *
in_dir(struct text *t, const char *name, const char *suffix, long number)
{
  t->n = 0;
  t->full = false;
  put(t, m.dir);
  put(t, "/");
  put(t, name);
  if (number >= 0)
    put_number(t, (unsigned long long)number);
  put(t, suffix);
  return t->at;
}

bool
write_all(int fd, const char *data, size_t size)
{
  while (size > 0) {
    ssize_t n = write(fd, data, size);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    data += n;
    size -= (size_t)n;
  }
  return true;
}

bool
write_file(const char *path, const char *data, size_t size)
{
  struct text temp = { .n = 0 };

  put(&temp, path);
  put(&temp, ".new");
  int fd = temp.full ? -1 : open(temp.at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return false;
  bool ok = write_all(fd, data, size);
  close(fd);
  return ok && rename(temp.at, path) == 0;
}

ssize_t
read_file(const char *path, char *buf, size_t size)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

  if (fd >= 0)
    close(fd);
  buf[n > 0 ? n : 0] = '\0';
  return n;
}

long long
usec_now(void)
{
  struct timespec t;

  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* Field 22 of /proc/PID/stat, counted from the bracket that ends the name. */
unsigned long long
starttime_of(pid_t pid)
{
  struct text path = { .n = 0 };
  char buf[512];
  unsigned long long start = 0;

  put(&path, "/proc/");
  put_number(&path, (unsigned long long)pid);
  put(&path, "/stat");
  if (read_file(path.at, buf, sizeof buf) <= 0)
    return 0;
  const char *at = strrchr(buf, ')');
  for (int field = 2; at && field < 22; field++)
    at = strchr(at + 1, ' ');
  for (at = at ? at + 1 : ""; *at >= '0' && *at <= '9'; at++)
    start = start * 10 + (unsigned)(*at - '0');
  return start;
}

int
listen_at(const char *path, int type)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };

  if (strlen(path) >= sizeof addr.sun_path)
    return -1;
  memcpy(addr.sun_path, path, strlen(path) + 1);
  unlink(path);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -1;
  if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || (type != SOCK_DGRAM && listen(fd, 16) < 0))
    close_fd(&fd);
  return fd;
}

/* All descriptors of a received message, as many as fit; the kernel closes the rest. */
static int
descriptors(struct msghdr *msg, int *fds)
{
  int n = 0;

  for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), (size_t)n * sizeof(int));
  }
  return n;
}

union control {
  struct cmsghdr head;
  char bytes[CMSG_SPACE(PT_WIRE_FDS_MAX * sizeof(int))];
};

int
take_pty(int listener)
{
  char byte[64];
  union control control;
  struct iovec iov = { byte, sizeof byte };
  struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
  int fds[PT_WIRE_FDS_MAX], n = 0;
  int conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

  if (conn < 0)
    return -1;
  if (recvmsg(conn, &msg, MSG_CMSG_CLOEXEC) > 0)
    n = descriptors(&msg, fds);
  close(conn);
  for (int i = 1; i < n; i++)
    close(fds[i]);
  return n > 0 ? fds[0] : -1;
}

bool
wire_send(int fd, uint32_t type, uint32_t a, uint32_t b, const char *text, const int *fds, int n_fds)
{
  struct pt_wire head = { PT_WIRE_MAGIC, type, a, b, 0 };
  union control control = { 0 };
  struct iovec iov[2] = { { &head, sizeof head } };
  struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

  if (text) {
    size_t n = strlen(text);

    head.len = (uint32_t)(n > PT_WIRE_TEXT_MAX ? PT_WIRE_TEXT_MAX : n);
    iov[1] = (struct iovec){ (char *)text, head.len };
  }
  if (n_fds > 0) {
    msg.msg_control = &control;
    msg.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
    memcpy(CMSG_DATA(c), fds, (size_t)n_fds * sizeof(int));
  }
  return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

bool
wire_recv(int fd, struct pt_wire *head, char text[PT_WIRE_TEXT_MAX + 1], int fds[PT_WIRE_FDS_MAX], int *n_fds)
{
  union control control;
  struct iovec iov[2] = { { head, sizeof *head }, { text, PT_WIRE_TEXT_MAX } };
  struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control };
  ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  *n_fds = n > 0 ? descriptors(&msg, fds) : 0;
  if (n < (ssize_t)sizeof *head || head->magic != PT_WIRE_MAGIC || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
      head->len != (size_t)n - sizeof *head) {
    for (int i = 0; i < *n_fds; i++)
      close(fds[i]);
    *n_fds = 0;
    return false;
  }
  text[head->len] = '\0';
  return true;
}

void
close_fd(int *fd)
{
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}
