// SPDX-License-Identifier: Apache-2.0
/* Commands run in the instance beside its first process.
 *
 *   asked -> the runtime enters (its pid is `runtime`) -> the command runs (`pid`) -> ended
 *
 * The runtime leaves a pid file and ends; the command becomes our child, as we are the subreaper, so its status comes to us. It may
 * have ended before we have read its pid: statuses of unknown children are kept for a while. A client that closes its control
 * socket has hung up: the command gets SIGHUP and is forgotten. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers/monitor.h"

#define SESSIONS_MAX 128
#define UNKNOWN_MAX 64

static struct session {
  bool used, tty;
  long number;
  int control;  /* -1 = the client has hung up */
  int listener; /* for the pty */
  int master;
  int log;
  int client[3];
  pid_t runtime, pid;
  unsigned short cols, rows;
} sessions[SESSIONS_MAX];

static struct {
  pid_t pid;
  int status;
} unknown[UNKNOWN_MAX];
static unsigned n_unknown;
static long counter;

static void
session_end(struct session *s)
{
  struct text path;

  if (s->control >= 0)
    source_remove(s->control);
  close_fd(&s->control);
  if (s->listener >= 0)
    unlink(in_dir(&path, "tty-", ".sock", s->number));
  close_fd(&s->listener);
  close_fd(&s->master);
  close_fd(&s->log);
  for (int i = 0; i < 3; i++)
    close_fd(&s->client[i]);
  s->used = false;
}

static void
session_fail(struct session *s, const char *text)
{
  bool absent = strstr(text, "No such file") || strstr(text, "not found");

  if (s->control >= 0)
    wire_send(s->control, PT_WIRE_ERROR, absent ? PT_WIRE_ERR_NOT_FOUND : PT_WIRE_ERR_INTERNAL, 0, text, NULL, 0);
  session_end(s);
}

static void
session_exit(struct session *s, int status)
{
  if (s->control >= 0)
    wire_send(s->control, PT_WIRE_EXIT, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0,
              WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0, NULL, NULL, 0);
  session_end(s);
}

static void
hang_up(struct session *s)
{
  source_remove(s->control);
  close_fd(&s->control);
  close_fd(&s->master);
  if (s->pid > 0) {
    kill(s->pid, SIGHUP);
    kill(s->pid, SIGCONT);
    session_end(s);
  }
}

static void
on_control(int fd, short revents, int arg)
{
  struct session *s = &sessions[arg];
  struct pt_wire head;
  char text[PT_WIRE_TEXT_MAX + 1];
  int fds[PT_WIRE_FDS_MAX], n_fds;

  (void)revents;
  if (!wire_recv(fd, &head, text, fds, &n_fds)) {
    hang_up(s);
    return;
  }
  for (int i = 0; i < n_fds; i++)
    close(fds[i]);
  if (head.type == PT_WIRE_RESIZE && s->tty) {
    struct winsize size = { .ws_col = (unsigned short)head.a, .ws_row = (unsigned short)head.b };
    s->cols = size.ws_col;
    s->rows = size.ws_row;
    if (s->master >= 0)
      ioctl(s->master, TIOCSWINSZ, &size);
  } else if (head.type == PT_WIRE_SIGNAL && head.a > 0 && head.a < NSIG && s->pid > 0) {
    kill(s->pid, (int)head.a); /* our child, not reaped yet: the pid is its own */
  }
}

/* The runtime's ends of the pipes in `fds`, ours in s->client. */
static bool
make_pipes(struct session *s, int fds[3])
{
  for (int i = 0; i < 3; i++) {
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
      return false;
    fds[i] = p[i == 0 ? 0 : 1];
    s->client[i] = p[i == 0 ? 1 : 0];
  }
  return true;
}

static bool
launch(struct session *s, int process)
{
  struct text pid_path, tty_path;
  int fds[5] = { -1, -1, -1, process, -1 };
  bool ok;

  s->log = log_file();
  fds[4] = s->log;
  if (s->tty) {
    s->listener = listen_at(in_dir(&tty_path, "tty-", ".sock", s->number), SOCK_STREAM);
    for (int i = 0; i < 3; i++)
      fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    ok = s->listener >= 0;
  } else {
    ok = make_pipes(s, fds);
  }
  const char *const args[] = { "--log=/proc/self/fd/4", "exec", "--detach", "--process", "/proc/self/fd/3", "--pid-file",
                               in_dir(&pid_path, "exec-", ".pid", s->number), s->tty ? "--console-socket" : m.id,
                               s->tty ? tty_path.at : NULL, m.id, NULL };
  if (ok && s->log >= 0)
    s->runtime = runtime_start(args, fds, 5, true);
  for (int i = 0; i < 3; i++)
    close_fd(&fds[i]);
  return s->runtime > 0;
}

void
exec_start(int control, int process, bool tty, unsigned cols, unsigned rows)
{
  bool entering = false;
  int i = 0;

  for (int k = 0; k < SESSIONS_MAX; k++)
    entering |= sessions[k].used && sessions[k].runtime > 0;
  if (!entering) /* nobody waits for these, and their numbers will be given to others */
    memset(unknown, 0, sizeof unknown);
  while (i < SESSIONS_MAX && sessions[i].used)
    i++;
  if (i == SESSIONS_MAX) {
    wire_send(control, PT_WIRE_ERROR, PT_WIRE_ERR_CONFLICT, 0, "too many commands run in the instance already", NULL, 0);
    close(control);
    close(process);
    return;
  }
  struct session *s = &sessions[i];
  *s = (struct session){ .used = true, .tty = tty, .number = counter++, .control = control, .listener = -1, .master = -1, .log = -1,
                         .client = { -1, -1, -1 }, .cols = (unsigned short)cols, .rows = (unsigned short)rows };
  bool ok = source_add(control, POLLIN, on_control, i) && launch(s, process);
  close(process);
  if (!ok)
    session_fail(s, "the monitor could not start the runtime");
}

static pid_t
read_pid(const struct session *s)
{
  struct text path;
  char buf[32];
  pid_t pid = 0;

  read_file(in_dir(&path, "exec-", ".pid", s->number), buf, sizeof buf);
  unlink(path.at);
  for (const char *c = buf; *c >= '0' && *c <= '9'; c++)
    pid = pid * 10 + (*c - '0');
  return pid;
}

/* The runtime has ended well: the command runs, or has run. */
static void
entered(struct session *s)
{
  bool sent = false;

  s->runtime = 0;
  s->pid = read_pid(s);
  if (s->pid <= 0) {
    session_fail(s, "the runtime did not say which process it started");
    return;
  }
  if (s->tty) {
    struct winsize size = { .ws_col = s->cols, .ws_row = s->rows };

    s->master = take_pty(s->listener);
    if (s->master >= 0 && s->cols && s->rows)
      ioctl(s->master, TIOCSWINSZ, &size);
    sent = s->control >= 0 && s->master >= 0 && wire_send(s->control, PT_WIRE_STREAM, PT_WIRE_TTY, 0, NULL, &s->master, 1);
  } else {
    sent = s->control >= 0 && wire_send(s->control, PT_WIRE_STREAM, 0, 0, NULL, s->client, 3);
    for (int i = 0; i < 3; i++)
      close_fd(&s->client[i]);
  }
  for (unsigned i = 0; i < UNKNOWN_MAX; i++) {
    if (unknown[i].pid == s->pid) {
      unknown[i].pid = 0;
      session_exit(s, unknown[i].status);
      return;
    }
  }
  if (!sent)
    hang_up(s);
}

static void
refused(struct session *s)
{
  struct text path;
  char text[PT_WIRE_TEXT_MAX];

  unlink(in_dir(&path, "exec-", ".pid", s->number));
  log_text(s->log, text, false);
  session_fail(s, text);
}

bool
exec_reaped(pid_t pid, int status)
{
  bool entering = false;

  for (int i = 0; i < SESSIONS_MAX; i++) {
    struct session *s = &sessions[i];

    if (!s->used)
      continue;
    if (s->runtime == pid) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        entered(s);
      else
        refused(s);
      return true;
    }
    if (s->pid == pid) {
      session_exit(s, status);
      return true;
    }
    entering |= s->runtime > 0;
  }
  if (entering) {
    unsigned at = n_unknown++ % UNKNOWN_MAX;

    unknown[at].pid = pid;
    unknown[at].status = status;
  }
  return false;
}
