// SPDX-License-Identifier: Apache-2.0
/* The console of the instance: its pty, the bounded history, and whoever looks at it.
 *
 * The guest is never held up. What it says goes into the history and to each client that can take it now; a slow
 * client loses output, and when it can take some again it is told so and gets the end of the history. What clients type
 * waits in a small buffer of the client until the pty takes it, and until then nothing more is read from that client. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h> /* rename */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helpers/monitor.h"

#define CLIENTS_MAX 16
#define TYPED_MAX 1024
#define CHUNK 4096
#define LOG_MAX (512 * 1024)  /* of each of the two files */
#define HISTORY_MAX (256 * 1024)
#define DRAIN_MAX (1 << 20)
#define CATCH_UP 4096
#define WINDOW_USEC 100000
#define WINDOW_BYTES (400 * 1024) /* a guest that floods its console waits: our time is not on its account */

static const char lost_text[] = "\r\n[output was lost here: this terminal was too slow]\r\n";

static struct client {
  bool used, lost;
  int control, stream; /* stream: our end of a socket pair */
  unsigned typed, sent;
  char buf[TYPED_MAX];
} clients[CLIENTS_MAX];

static int pty = -1, peer = -1, log_fd = -1;
static long log_size;
static long long window_end;
static long window_used;
static bool held, type_left;

static void on_pty(int fd, short revents, int arg);
static void on_stream(int fd, short revents, int arg);

static void
log_open(void)
{
  struct stat st;

  log_fd = open(m.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  log_size = log_fd >= 0 && fstat(log_fd, &st) == 0 ? st.st_size : 0;
}

static void
log_add(const char *data, size_t size)
{
  struct text old = { .n = 0 };

  if (log_fd < 0)
    log_open();
  if (log_fd < 0)
    return;
  if (log_size + (long)size > LOG_MAX) {
    put(&old, m.log);
    put(&old, ".1");
    close_fd(&log_fd);
    if (old.full || rename(m.log, old.at) < 0)
      unlink(m.log);
    log_open();
  }
  if (log_fd >= 0 && write_all(log_fd, data, size))
    log_size += (long)size;
}

static void
detach(struct client *c)
{
  source_remove(c->control);
  source_remove(c->stream);
  close_fd(&c->control);
  close_fd(&c->stream);
  c->used = false;
}

static void
watch(const struct client *c)
{
  source_events(c->stream, (short)((c->typed ? 0 : POLLIN) | (c->lost ? POLLOUT : 0)));
}

static void
show(struct client *c, const char *data, size_t size)
{
  ssize_t n = c->lost ? 0 : send(c->stream, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

  if (n < 0 && errno != EAGAIN) {
    detach(c);
  } else if (n < (ssize_t)size && !c->lost) {
    c->lost = true;
    watch(c);
  }
}

/* The last `size` bytes of the two files, oldest first. */
static void
send_history(int stream, long size)
{
  struct text old = { .n = 0 };
  char buf[CHUNK];
  struct stat st;

  put(&old, m.log);
  put(&old, ".1");
  const char *const files[2] = { old.at, m.log };
  long from_old = size - log_size;
  for (int i = 0; i < 2; i++) {
    long want = i == 0 ? from_old : size;
    int fd = want > 0 ? open(files[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    ssize_t n;

    if (fd < 0)
      continue;
    if (fstat(fd, &st) == 0 && st.st_size > want)
      lseek(fd, st.st_size - want, SEEK_SET);
    while ((n = read(fd, buf, sizeof buf)) > 0 && send(stream, buf, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
      ;
    close(fd);
  }
}

/* A pty has hung up when nobody holds its other side, and poll says so for ever: we hold it ourselves. */
static void
hold_peer(void)
{
  close_fd(&peer);
  peer = ioctl(pty, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static void
watch_pty(void)
{
  source_events(pty, (short)((held ? 0 : POLLIN) | (type_left ? POLLOUT : 0)));
}

/* Counts what came; over the measure nothing more is read until the window has passed. */
static void
count(long size)
{
  long long now = usec_now();

  if (now >= window_end || now < window_end - WINDOW_USEC) {
    window_end = now + WINDOW_USEC;
    window_used = 0;
  }
  window_used += size;
  if (window_used > WINDOW_BYTES && !held) {
    held = true;
    watch_pty();
  }
}

static ssize_t
read_pty(void)
{
  static char buf[CHUNK];
  ssize_t n = read(pty, buf, sizeof buf);

  if (n <= 0)
    return n;
  count(n);
  log_add(buf, (size_t)n);
  for (int i = 0; i < CLIENTS_MAX; i++) {
    if (clients[i].used)
      show(&clients[i], buf, (size_t)n);
  }
  return n;
}

int
console_wait(void)
{
  if (!held)
    return -1;
  long long left = window_end - usec_now();
  if (left > 0 && left <= WINDOW_USEC)
    return (int)(left / 1000 + 1);
  held = false;
  watch_pty();
  return -1;
}

/* Gives the pty what was typed; false while something is left. */
static bool
type(struct client *c)
{
  while (c->sent < c->typed) {
    ssize_t n = write(pty, c->buf + c->sent, c->typed - c->sent);

    if (n <= 0)
      return false;
    c->sent += (unsigned)n;
  }
  c->sent = c->typed = 0;
  return true;
}

static void
flush_typed(void)
{
  type_left = false;
  for (int i = 0; i < CLIENTS_MAX; i++) {
    struct client *c = &clients[i];

    if (!c->used)
      continue;
    type_left |= !type(c);
    watch(c);
  }
  watch_pty();
}

static void
on_pty(int fd, short revents, int arg)
{
  (void)fd;
  (void)arg;
  if (revents & POLLOUT)
    flush_typed();
  if (!(revents & (POLLIN | POLLHUP | POLLERR)) || read_pty() > 0 || errno == EAGAIN || errno == EINTR)
    return;
  hold_peer();
  if (peer < 0) { /* its devpts is gone: the guest ends */
    source_remove(pty);
    close_fd(&pty);
  }
}

static void
on_stream(int fd, short revents, int arg)
{
  struct client *c = &clients[arg];

  if (c->lost && (revents & POLLOUT)) {
    c->lost = false;
    send(fd, lost_text, sizeof lost_text - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    send_history(fd, CATCH_UP);
    watch(c);
  }
  if (c->typed || !(revents & (POLLIN | POLLHUP | POLLERR)))
    return;
  ssize_t n = recv(fd, c->buf, sizeof c->buf, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    detach(c);
    return;
  }
  c->sent = 0;
  c->typed = pty >= 0 ? (unsigned)n : 0;
  if (pty >= 0)
    flush_typed();
}

static void
on_control(int fd, short revents, int arg)
{
  struct pt_wire head;
  char text[PT_WIRE_TEXT_MAX + 1];
  int fds[PT_WIRE_FDS_MAX], n_fds;

  (void)revents;
  if (!wire_recv(fd, &head, text, fds, &n_fds)) {
    detach(&clients[arg]);
    return;
  }
  for (int i = 0; i < n_fds; i++)
    close(fds[i]);
  if (head.type == PT_WIRE_RESIZE && pty >= 0) {
    struct winsize size = { .ws_col = (unsigned short)head.a, .ws_row = (unsigned short)head.b };
    ioctl(pty, TIOCSWINSZ, &size);
  }
}

void
console_take(int fd)
{
  pty = fd;
  fcntl(pty, F_SETFL, O_NONBLOCK);
  log_open();
  hold_peer();
  source_add(pty, POLLIN, on_pty, 0);
}

void
console_attach(int control, uint32_t history)
{
  int pair[2], buffer = HISTORY_MAX * 2, i = 0;

  while (i < CLIENTS_MAX && clients[i].used)
    i++;
  if (i == CLIENTS_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
    wire_send(control, PT_WIRE_ERROR, PT_WIRE_ERR_CONFLICT, 0, "the console has too many viewers already", NULL, 0);
    close(control);
    return;
  }
  struct client *c = &clients[i];
  memset(c, 0, offsetof(struct client, buf));
  c->used = true;
  c->control = control;
  c->stream = pair[0];
  setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  if (history)
    send_history(pair[0], history > HISTORY_MAX ? HISTORY_MAX : (long)history);
  bool ok = wire_send(control, PT_WIRE_STREAM, PT_WIRE_TTY, 0, NULL, &pair[1], 1);
  close(pair[1]);
  if (!ok || !source_add(control, POLLIN, on_control, i) || !source_add(c->stream, POLLIN, on_stream, i))
    detach(c);
}

void
console_end(int code, int sig)
{
  for (long got = 0; pty >= 0 && got < DRAIN_MAX;) {
    ssize_t n = read_pty();

    if (n <= 0)
      break;
    got += n;
  }
  for (int i = 0; i < CLIENTS_MAX; i++) {
    if (!clients[i].used)
      continue;
    wire_send(clients[i].control, PT_WIRE_EXIT, (uint32_t)code, (uint32_t)sig, NULL, NULL, 0);
    detach(&clients[i]);
  }
}
