// SPDX-License-Identifier: Apache-2.0
/* One request: a child that does it, its pipes, and what is to be said at its end.
 *
 * The child says what it has to say as frames on a socket pair (answer_ok(), answer_errno()); OUT and ERR are its pipes or its
 * terminal. What it answers last is held until its output has gone out, so that the host sees it in this order. A command ends
 * when its process does: what its own children, left behind, may yet write is nobody's any more. */
#include "helpers/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define RESULT_FD 3

/* ---- in the child ---- */

static int result = RESULT_FD;

static void
answer(int type, const void *data, size_t size, int fd)
{
  union {
    char buf[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = { .buf = { 0 } };
  unsigned char head = (unsigned char)type;
  struct iovec v[2] = { { &head, 1 }, { (void *)(uintptr_t)data, size } };
  struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };

  if (fd >= 0) {
    m.msg_control = control.buf;
    m.msg_controllen = sizeof control.buf;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  if (sendmsg(result, &m, MSG_NOSIGNAL) < 0)
    _exit(1);
}

/* An early answer is marked by a type that is none of the protocol's. */
#define EARLY 0x80

void
answer_ok(bool early, const char *text, size_t size, int fd)
{
  answer(PT_GUEST_OK | (early ? EARLY : 0), text, size, fd);
}

static void
answer_failure(uint32_t err, uint32_t code, const char *text)
{
  unsigned char data[8 + PT_GUEST_TEXT_MAX];
  size_t n = strlen(text);

  n = n < PT_GUEST_TEXT_MAX ? n : PT_GUEST_TEXT_MAX;
  pt_guest_put32(data, err);
  pt_guest_put32(data + 4, code);
  memcpy(data + 8, text, n);
  answer(PT_GUEST_ERROR, data, 8 + n, -1);
}

void
answer_errno(int err, const char *object)
{
  answer_failure((uint32_t)err, CODE_INTERNAL, object);
  _exit(1);
}

void
answer_error(uint32_t code, const char *fmt, ...)
{
  char text[PT_GUEST_TEXT_MAX];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  answer_failure(0, code, text);
  _exit(1);
}

static void
verb_freeze(const struct request *r)
{
  bool freeze = strcmp(r->verb, "freeze") == 0;

  if (agent.volume >= 0 && ioctl(agent.volume, freeze ? FIFREEZE : FITHAW, 0) < 0 && errno != (freeze ? EBUSY : EINVAL))
    answer_errno(errno, "the volume");
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}

static const struct verb verbs[] = {
  { "exec", verb_exec }, { "connect", verb_connect }, { "ps", verb_ps }, { "stat", verb_stat }, { "list", verb_list },
  { "get", verb_get }, { "put", verb_put }, { "mkdir", verb_mkdir }, { "symlink", verb_symlink }, { "remove", verb_remove },
  { "freeze", verb_freeze }, { "thaw", verb_freeze }, { "cpus", verb_cpus }, { "card", verb_card },
  { "mount", verb_mount }, { "unmount", verb_unmount }, { "grow", verb_grow },
};

/* `fds`: 0, 1, 2 and the result. Of the agent's own nothing stays open but the guest's root and volume: a child that held the other end
 * of its own input would never see it end. */
static void
child(const struct verb *v, const struct request *r, const int fds[4], bool tty)
{
  const int want[6] = { fds[0], fds[1], fds[2], fds[3], agent.root, agent.volume >= 0 ? agent.volume : fds[3] };
  sigset_t none;

  for (int i = 0; i < 6; i++) /* first out of the way of each other */
    if (dup2(want[i], 200 + i) < 0)
      _exit(1);
  for (int i = 0; i < 6; i++)
    dup2(200 + i, i);
  close_range(6, ~0U, 0);
  for (int i = RESULT_FD; i < 6; i++)
    fcntl(i, F_SETFD, FD_CLOEXEC);
  agent.root = 4;
  agent.volume = agent.volume >= 0 ? 5 : -1;
  for (int s = 1; s < 65; s++)
    signal(s, SIG_DFL);
  setsid();
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (tty && ioctl(0, TIOCSCTTY, 0) < 0)
    answer_errno(errno, "terminal");
  if (!enter_root(agent.root))
    answer_errno(errno, "/");
  v->run(r);
  _exit(1);
}

/* ---- in the agent ---- */

static void
fail(struct port *p, int err, uint32_t code, const char *text)
{
  unsigned char data[8 + 256];
  size_t n = strlen(text);

  n = n < 256 ? n : 256;
  pt_guest_put32(data, (uint32_t)err);
  pt_guest_put32(data + 4, code);
  memcpy(data + 8, text, n);
  port_send(p, PT_GUEST_ERROR, data, 8 + n);
  p->request_n = 0;
}

/* The new identity of a copy of a template, which nobody else has heard of yet: there is nobody to be held up, so it is done here. Under
 * emulation a child costs as much time as all the rest of it. */
static void
take_identity(struct port *p)
{
  static struct config c;
  static char text[PT_GUEST_REQUEST_MAX + 1];
  int own = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

  memcpy(text, p->request, p->request_n);
  if (!config_parse(text, p->request_n, &c)) {
    fail(p, 0, CODE_INVALID, "the new identity");
  } else if (own < 0 || !enter_root(agent.root)) {
    fail(p, errno, CODE_INTERNAL, "/");
  } else {
    identity_seed(c.seed);
    identity_clock(c.time);
    bool ok = net_setup(&c, true) && identity_files(&c);
    if (!enter_root(own))
      complain("/: %s", strerror(errno));
    if (ok)
      port_send(p, PT_GUEST_OK, NULL, 0);
    else
      fail(p, 0, CODE_INTERNAL, "the machine could not take its new identity; its kernel's log says why");
  }
  p->request_n = 0;
  if (own >= 0)
    close(own);
}

static void
set_size(int tty, long long cols, long long rows)
{
  const struct winsize size = { .ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows };

  if (cols > 0 && rows > 0)
    ioctl(tty, TIOCSWINSZ, &size);
}

/* The terminal of the guest's own devpts: *ours is the master, *theirs the other side. */
static bool
open_terminal(const struct request *r, int *ours, int *theirs)
{
  *theirs = -1;
  *ours = openat(agent.root, "dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (*ours < 0)
    return false;
  int unlock = 0;
  ioctl(*ours, TIOCSPTLCK, &unlock);
  set_size(*ours, number_of(r->cols, 10, 9999, 80), number_of(r->rows, 10, 9999, 24));
  *theirs = ioctl(*ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*theirs >= 0)
    return true;
  close(*ours);
  return false;
}

static void
close_if(int *fd)
{
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

/* Pipes or a terminal: the child's into theirs[0..2], ours into j->fd. */
static bool
open_streams(struct job *j, const struct request *r, int theirs[3])
{
  int pair[2], master, slave;

  theirs[0] = theirs[1] = theirs[2] = -1;
  if (j->tty) {
    if (!open_terminal(r, &master, &slave))
      return false;
    j->fd[IN] = master;
    j->fd[OUT] = fcntl(master, F_DUPFD_CLOEXEC, 0);
    theirs[0] = slave;
    theirs[1] = fcntl(slave, F_DUPFD_CLOEXEC, 0);
    theirs[2] = fcntl(slave, F_DUPFD_CLOEXEC, 0);
    return j->fd[OUT] >= 0 && theirs[1] >= 0 && theirs[2] >= 0;
  }
  for (int k = IN; k <= ERR; k++) {
    if (pipe2(pair, O_CLOEXEC) < 0)
      return false;
    j->fd[k] = pair[k == IN];
    theirs[k] = pair[k != IN];
    fcntl(j->fd[k], F_SETFL, O_NONBLOCK);
  }
  return true;
}

static void
reset(struct job *j)
{
  close_if(&j->result);
  for (int k = IN; k <= ERR; k++)
    close_if(&j->fd[k]);
  j->active = j->reaped = j->answered = j->tty = j->stream = j->in_end = j->freezes = j->thaws = false;
  j->pid = 0;
  j->at = j->n = j->text_n = 0;
  j->due = 0;
  j->final = 0;
  j->credit[OUT] = j->credit[ERR] = PT_GUEST_WINDOW;
}

static bool
launch(struct port *p, const struct verb *v, const struct request *r)
{
  struct job *j = &p->job;
  int theirs[4] = { -1, -1, -1, -1 }, pair[2] = { -1, -1 };
  sigset_t all, old;
  bool ok = open_streams(j, r, theirs) && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0;

  theirs[3] = pair[1];
  j->result = pair[0];
  /* Signals wait until the child can take them: one that came while it still ignores them would be lost. */
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &old);
  j->pid = ok ? fork() : -1;
  int err = errno;
  if (j->pid == 0)
    child(v, r, theirs, j->tty);
  sigprocmask(SIG_SETMASK, &old, NULL);
  for (int k = 0; k < 4; k++)
    close_if(&theirs[k]);
  if (j->pid > 0)
    return true;
  reset(j);
  fail(p, err, CODE_INTERNAL, j->tty ? "terminal" : "request");
  return false;
}

bool
job_start(struct port *p)
{
  static struct request r;
  static char text[PT_GUEST_REQUEST_MAX + 1];
  const struct verb *v = NULL;

  reset(&p->job);
  memcpy(text, p->request, p->request_n); /* parsed in its place, and the identity is parsed again */
  if (!request_parse(text, p->request_n, &r) || !r.verb) {
    fail(p, 0, CODE_INVALID, "request");
    return true;
  }
  if (strcmp(r.verb, "identity") == 0) {
    take_identity(p);
    return true;
  }
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (strcmp(verbs[i].name, r.verb) == 0)
      v = &verbs[i];
  if (!v) {
    fail(p, 0, CODE_UNSUPPORTED, "this machine was started with an older kernel image, which does not know that: restart it");
    return true;
  }
  p->job.tty = v->run == verb_exec && r.tty;
  p->job.freezes = strcmp(r.verb, "freeze") == 0;
  p->job.thaws = strcmp(r.verb, "thaw") == 0;
  p->frozen = p->frozen || p->job.freezes;
  p->job.active = launch(p, v, &r);
  p->request_n = 0;
  return true;
}

void
job_in(struct port *p, const unsigned char *data, size_t size)
{
  struct job *j = &p->job;

  if (!j->active) /* the request has just ended: what was on its way to it is dropped */
    return;
  if (!size)
    j->in_end = true;
  if (j->fd[IN] < 0) {
    j->due += (uint32_t)size;
    return;
  }
  if (j->n + size > sizeof j->buf) {
    j->n = sizeof j->buf + 1; /* more than was granted: the caller ends the session */
    return;
  }
  memmove(j->buf, j->buf + j->at, j->n);
  j->at = 0;
  memcpy(j->buf + j->n, data, size);
  j->n += size;
}

bool
job_credit(struct port *p, uint32_t type, uint32_t bytes)
{
  int k = type == PT_GUEST_OUT ? OUT : ERR;

  if ((type != PT_GUEST_OUT && type != PT_GUEST_ERR) || bytes > PT_GUEST_WINDOW)
    return false;
  p->job.credit[k] += bytes;
  return p->job.credit[k] <= 2 * PT_GUEST_WINDOW;
}

void
job_resize(struct port *p, uint32_t cols, uint32_t rows)
{
  if (p->job.active && p->job.tty && p->job.fd[OUT] >= 0 && cols < 10000 && rows < 10000)
    set_size(p->job.fd[OUT], cols, rows);
}

void
job_signal(struct port *p, uint32_t number)
{
  if (p->job.active && !p->job.reaped && p->job.pid > 0 && number >= 1 && number <= 64)
    kill(-p->job.pid, (int)number);
}

/* IN, as far as it is taken. */
static void
feed(struct port *p)
{
  struct job *j = &p->job;
  unsigned char due[8];

  while (j->n && j->fd[IN] >= 0) {
    ssize_t n = write(j->fd[IN], j->buf + j->at, j->n);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      break;
    if (n < 0) {
      j->due += (uint32_t)j->n;
      j->n = 0;
      close_if(&j->fd[IN]);
      break;
    }
    j->at += (size_t)n;
    j->n -= (size_t)n;
    j->due += (uint32_t)n;
  }
  if (!j->n && j->in_end && j->fd[IN] >= 0 && !j->tty) {
    if (j->stream)
      shutdown(j->fd[IN], SHUT_WR);
    close_if(&j->fd[IN]);
  }
  if (j->due >= PT_GUEST_WINDOW / 4) {
    pt_guest_put32(due, PT_GUEST_IN);
    pt_guest_put32(due + 4, j->due);
    if (port_send(p, PT_GUEST_CREDIT, due, sizeof due))
      j->due = 0;
  }
}

static void hear(struct port *p);

/* True: there is nothing more now, or there never will be. What the child answered before it wrote goes out before. */
static bool
drain(struct port *p, int k)
{
  static unsigned char buf[PT_GUEST_DATA_MAX];
  struct job *j = &p->job;

  while (j->fd[k] >= 0) {
    size_t room = port_room(p), want = j->credit[k] < sizeof buf ? j->credit[k] : sizeof buf;

    if (!want || room < PT_GUEST_FRAME_MAX + 2048) /* answers and credit find room always */
      return false;
    bool stream = j->stream;
    ssize_t n = read(j->fd[k], buf, want);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return true;
    hear(p);
    if (stream != j->stream) /* the pipe that ended is a connection now */
      continue;
    if (n <= 0) { /* EIO: nobody has the terminal open any more */
      close_if(&j->fd[k]);
      port_send(p, k == OUT ? PT_GUEST_OUT : PT_GUEST_ERR, NULL, 0);
      return true;
    }
    j->credit[k] -= (uint32_t)n;
    port_send(p, k == OUT ? PT_GUEST_OUT : PT_GUEST_ERR, buf, (size_t)n);
  }
  return true;
}

/* connect: its socket takes the place of the pipes. */
static void
take_stream(struct job *j, int fd)
{
  for (int k = IN; k <= ERR; k++)
    close_if(&j->fd[k]);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  j->fd[IN] = fd;
  j->fd[OUT] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  j->stream = true;
}

static void
hear(struct port *p)
{
  struct job *j = &p->job;
  union {
    char buf[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  unsigned char head = 0;

  while (j->result >= 0) {
    struct iovec v[2] = { { &head, 1 }, { j->text, sizeof j->text } };
    struct msghdr m = { .msg_iov = v, .msg_iovlen = 2, .msg_control = control.buf, .msg_controllen = sizeof control.buf };
    int fd;

    if (j->final && j->final != PT_GUEST_OK) /* the first reason is the reason */
      v[1].iov_len = 0;
    ssize_t n = recvmsg(j->result, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EAGAIN)
      return;
    if (n <= 0) {
      close_if(&j->result);
      return;
    }
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_type == SCM_RIGHTS) {
      memcpy(&fd, CMSG_DATA(c), sizeof fd);
      take_stream(j, fd);
    }
    if (head & EARLY) {
      port_send(p, head & ~EARLY, j->text, (size_t)n - 1);
    } else {
      j->final = head;
      j->text_n = (size_t)n - 1;
    }
  }
}

static void
finish(struct port *p)
{
  struct job *j = &p->job;
  unsigned char data[8];

  if (j->thaws || (j->freezes && j->final != PT_GUEST_OK))
    p->frozen = false;
  if (j->final) {
    port_send(p, j->final, j->text, j->text_n);
  } else {
    pt_guest_put32(data, j->stream ? 0 : WIFSIGNALED(j->status) ? 128 + (uint32_t)WTERMSIG(j->status) : (uint32_t)WEXITSTATUS(j->status));
    pt_guest_put32(data + 4, !j->stream && WIFSIGNALED(j->status) ? (uint32_t)WTERMSIG(j->status) : 0);
    port_send(p, PT_GUEST_EXIT, data, sizeof data);
  }
  reset(j);
}

void
job_pump(struct port *p)
{
  struct job *j = &p->job;

  if (!j->active)
    return;
  hear(p);
  feed(p);
  bool dry = drain(p, OUT);
  dry = drain(p, ERR) && dry;
  if (j->stream ? j->fd[OUT] < 0 : j->reaped && j->result < 0 && dry)
    finish(p);
}

bool
job_reaped(struct port *p, pid_t pid, int status)
{
  if (!p->job.active || p->job.pid != pid)
    return false;
  p->job.reaped = true;
  p->job.status = status;
  return true;
}

void
job_kill(struct port *p)
{
  struct job *j = &p->job;

  if (j->active && !j->reaped && j->pid > 0) {
    kill(j->pid, SIGHUP); /* it may not have its group yet */
    kill(-j->pid, SIGHUP);
    kill(-j->pid, SIGCONT);
  }
  reset(j);
  if (p->frozen && agent.volume >= 0 && ioctl(agent.volume, FITHAW, 0) < 0 && errno != EINVAL)
    complain("the volume stays frozen: %s", strerror(errno));
  p->frozen = false;
}
