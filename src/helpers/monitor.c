// SPDX-License-Identifier: Apache-2.0
/* portena-monitor DIR ID LOG LEAF RUNTIME…: the keeper of one instance.
 *
 * Theory of operation. portenad starts one for each instance and can die at any instant; so the monitor is what the
 * instance's first process belongs to. It is in a session of its own, is no child of portenad's (it forks once), and is the
 * subreaper, so the first process and every exec'd command become its children when the runtime that made them ends.
 *
 *   started -> `RUNTIME create` -> CREATED -> START comes -> `RUNTIME start` -> OK -> … -> init ends -> exit file -> gone
 *                     '-> ERROR, gone           '-> descriptor 3 closed: init is killed, gone
 *
 * Where DIR/restore is there, CRIU makes the first process, from what it saved of it (monitor_restore.c):
 *
 *   started -> CRIU -> namespaces are there: CREATED -> START -> all of it is there: RESTORED -> START -> it goes on -> OK -> …
 *
 * After OK we keep descriptor 3 until the guest says that it is up, and close it then.
 *
 * One thread, one poll loop, fixed tables, no allocation. What a guest sends (console bytes, one notify line) is copied or
 * compared, never parsed. Requests come over ctl.sock from uid 0 alone.
 *
 * Files in DIR: state (who we are and whom we keep), exit (how it ended), ready (systemd said that it is up), ctl.sock,
 * notify.sock (bound into the guest, so it stays when nothing more is wanted from it), console.sock and tty-N.sock (where the runtime
 * hands ptys to). */
#include "helpers/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h> /* getenv */
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOURCES_MAX 256
#define START_FD 3
#define NOTIFY_MAX 1000

struct monitor m = { .start = START_FD };

static struct source {
  source_fn fn; /* NULL = free */
  int fd, arg;
  short events;
  unsigned number; /* tells a slot's new user from the old */
} sources[SOURCES_MAX];
static unsigned source_counter;

static pid_t runtime;     /* of create, then of start */
static int runtime_log = -1, console_listener = -1, notify = -1, ctl = -1;
static bool restoring, starting;
static long long asked; /* when the start was asked for; init may end before the runtime has */
static bool running, up;

bool
source_add(int fd, short events, source_fn fn, int arg)
{
  for (int i = 0; i < SOURCES_MAX; i++) {
    if (!sources[i].fn) {
      sources[i] = (struct source){ .fn = fn, .fd = fd, .arg = arg, .events = events, .number = ++source_counter };
      return true;
    }
  }
  return false;
}

static struct source *
source_of(int fd)
{
  for (int i = 0; i < SOURCES_MAX; i++) {
    if (sources[i].fn && sources[i].fd == fd)
      return &sources[i];
  }
  return NULL;
}

void
source_events(int fd, short events)
{
  struct source *s = fd >= 0 ? source_of(fd) : NULL;

  if (s)
    s->events = events;
}

void
source_remove(int fd)
{
  struct source *s = fd >= 0 ? source_of(fd) : NULL;

  if (s)
    s->fn = NULL;
}

static void
write_state(void)
{
  struct text t = { .n = 0 }, path;

  put(&t, "monitor ");
  put_number(&t, (unsigned long long)getpid());
  put(&t, " ");
  put_number(&t, starttime_of(getpid()));
  if (m.init > 0) {
    put(&t, "\ninit ");
    put_number(&t, (unsigned long long)m.init);
    put(&t, " ");
    put_number(&t, starttime_of(m.init));
  }
  if (running) {
    put(&t, "\nstarted ");
    put_number(&t, (unsigned long long)asked);
  }
  put(&t, "\n");
  write_file(in_dir(&path, "state", "", -1), t.at, t.n);
}

/* The end of the instance, and ours. */
static _Noreturn void
finish(int status)
{
  struct text t = { .n = 0 }, path;
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0, sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

  console_end(code, sig);
  put_number(&t, (unsigned)code);
  put(&t, " ");
  put_number(&t, (unsigned)sig);
  put(&t, " ");
  put_number(&t, (unsigned long long)usec_now());
  put(&t, "\n");
  write_file(in_dir(&path, "exit", "", -1), t.at, t.n);
  _exit(0);
}

/* What `create` left in its pid file; 0 = nothing. */
static pid_t
created_pid(void)
{
  struct text path;
  char buf[32];
  pid_t pid = 0;

  read_file(in_dir(&path, "pid", "", -1), buf, sizeof buf);
  for (const char *c = buf; *c >= '0' && *c <= '9'; c++)
    pid = pid * 10 + (*c - '0');
  return pid;
}

/* It never ran: say why, and leave nothing alive. A runtime at work is waited for: what it is just making would have no owner. */
static _Noreturn void
fail(const char *why)
{
  if (m.start >= 0)
    wire_send(m.start, PT_WIRE_ERROR, PT_WIRE_ERR_INTERNAL, 0, why, NULL, 0);
  close_fd(&ctl); /* who still wants to tell us a stage is told that it is over */
  restore_end();
  while (runtime > 0 && waitpid(runtime, NULL, 0) < 0 && errno == EINTR)
    ;
  pid_t init = m.init > 0 ? m.init : created_pid();
  siginfo_t info;
  if (init > 0 && waitid(P_PID, (id_t)init, &info, WEXITED | WNOHANG | WNOWAIT) == 0) /* still our child: nobody else has its pid */
    kill(init, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
    ;
  _exit(1);
}

static void
on_console(int fd, short revents, int arg)
{
  int pty = take_pty(fd);

  (void)revents;
  (void)arg;
  if (pty < 0)
    return;
  console_take(pty);
  source_remove(fd);
  close_fd(&console_listener);
}

/* The end of descriptor 3 is how portenad, if it still waits, learns that the guest is up; not before it has been told that it runs. */
static void
tell_up(void)
{
  if (!up || !running)
    return;
  source_remove(m.start);
  close_fd(&m.start);
}

static void
notify_end(void)
{
  source_remove(notify);
  close_fd(&notify);
}

/* "READY=1" on a line of its own (sd_notify(3)). Nothing more is wanted after it, nor from a guest that talks without end:
 * whoever sends to a closed socket is told so and goes on. */
static void
on_notify(int fd, short revents, int arg)
{
  static int messages;
  char buf[1024];
  struct text path;
  ssize_t n = recv(fd, buf, sizeof buf - 1, MSG_DONTWAIT);

  (void)revents;
  (void)arg;
  if (n < 0)
    return;
  buf[n] = '\0';
  if (++messages > NOTIFY_MAX) {
    notify_end();
    return;
  }
  for (const char *at = buf; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
    if (strncmp(at, "READY=1", 7) == 0 && (at[7] == '\n' || at[7] == '\0')) {
      write_file(in_dir(&path, "ready", "", -1), "", 0);
      notify_end();
      up = true;
      tell_up();
      return;
    }
  }
}

static void
start_init(void)
{
  const char *const args[] = { "--log=/proc/self/fd/3", "start", m.id, NULL };
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int log = log_file();
  const int fds[] = { null, null, null, log };

  runtime_log = log;
  starting = true;
  asked = usec_now();
  runtime = runtime_start(args, fds, 4, false);
  close(null);
  if (runtime < 0)
    fail("the monitor could not start the runtime");
}

static void
serve(int fd, const struct pt_wire *head, int *fds, int n_fds)
{
  bool took = false;

  if (head->type == PT_WIRE_START && fd == m.start && restoring && !starting) {
    starting = restore_go();
    asked = usec_now();
  } else if (head->type == PT_WIRE_START && fd == m.start && m.init > 0 && !starting) {
    start_init();
  } else if (head->type == PT_WIRE_STAGE && restoring && runtime > 0 && restore_stage(fd, head)) {
    m.init = (pid_t)head->a;
    write_state();
    wire_send(m.start, head->b == PT_WIRE_WHOLE ? PT_WIRE_RESTORED : PT_WIRE_CREATED, (uint32_t)m.init, 0, NULL, NULL, 0);
  } else if (head->type == PT_WIRE_PING) {
    wire_send(fd, PT_WIRE_OK, (uint32_t)m.init, 0, NULL, NULL, 0);
  } else if (head->type == PT_WIRE_CONSOLE && n_fds == 1) {
    console_attach(fds[0], head->a);
    took = true;
  } else if (head->type == PT_WIRE_EXEC && n_fds == 2) {
    exec_start(fds[0], fds[1], head->a & PT_WIRE_TTY, head->b >> 16, head->b & 0xffff);
    took = true;
  }
  for (int i = 0; i < n_fds && !took; i++)
    close(fds[i]);
}

static void
on_request(int fd, short revents, int arg)
{
  struct pt_wire head;
  char text[PT_WIRE_TEXT_MAX + 1];
  int fds[PT_WIRE_FDS_MAX], n_fds;

  (void)revents;
  (void)arg;
  if (wire_recv(fd, &head, text, fds, &n_fds)) {
    serve(fd, &head, fds, n_fds);
    return;
  }
  source_remove(fd);
  if (fd != m.start) {
    restore_gone(fd);
    close(fd);
    return;
  }
  close_fd(&m.start);
  if (!starting)
    fail("portenad is gone");
}

static void
on_connect(int fd, short revents, int arg)
{
  struct ucred peer = { .uid = ~0u };
  socklen_t size = sizeof peer;
  int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  (void)revents;
  (void)arg;
  if (conn < 0)
    return;
  if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0 || !source_add(conn, POLLIN, on_request, 0))
    close(conn);
}

static void
runtime_done(int status)
{
  char text[PT_WIRE_TEXT_MAX];
  bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;

  runtime = 0;
  if (!ok || (restoring && !starting)) {
    log_text(runtime_log, text, restoring);
    fail(text);
  }
  close_fd(&runtime_log);
  restore_end();
  if (starting) {
    running = true;
    write_state();
    if (m.start >= 0)
      wire_send(m.start, PT_WIRE_OK, (uint32_t)m.init, 0, NULL, NULL, 0);
    tell_up();
    return;
  }
  m.init = created_pid();
  if (m.init <= 0)
    fail("the runtime did not say which process it made");
  write_state();
  if (console_listener >= 0) /* its connection is there: the runtime has ended */
    on_console(console_listener, POLLIN, 0);
  wire_send(m.start, PT_WIRE_CREATED, (uint32_t)m.init, 0, NULL, NULL, 0);
}

static void
on_child(int fd, short revents, int arg)
{
  struct signalfd_siginfo info;
  int status, init_status = -1;
  pid_t pid;

  (void)revents;
  (void)arg;
  while (read(fd, &info, sizeof info) == sizeof info)
    ;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == runtime)
      runtime_done(status);
    else if (pid == m.init)
      init_status = status;
    else
      exec_reaped(pid, status);
  }
  /* Commands' statuses go out before the instance's own. A runtime that still starts it is waited for, to tell a start that
   * failed from a short life. */
  if (init_status == -1)
    return;
  if (runtime > 0 && waitpid(runtime, &status, 0) == runtime)
    runtime_done(status);
  if (!starting)
    fail("the first process ended before it was started");
  finish(init_status);
}

static void
loop(void)
{
  static struct pollfd polls[SOURCES_MAX];
  static struct {
    int slot;
    unsigned number;
  } of[SOURCES_MAX];

  for (;;) {
    int wait = console_wait();
    nfds_t n = 0;

    for (int i = 0; i < SOURCES_MAX; i++) {
      if (!sources[i].fn || !sources[i].events)
        continue;
      polls[n] = (struct pollfd){ .fd = sources[i].fd, .events = sources[i].events };
      of[n].slot = i;
      of[n++].number = sources[i].number;
    }
    if (poll(polls, n, wait) < 0)
      continue;
    for (nfds_t i = 0; i < n; i++) {
      struct source *s = &sources[of[i].slot];

      if (polls[i].revents && s->fn && s->number == of[i].number)
        s->fn(s->fd, polls[i].revents, s->arg);
    }
  }
}

static void
open_sockets(void)
{
  struct text path;
  sigset_t set;

  console_listener = listen_at(in_dir(&path, "console", ".sock", -1), SOCK_STREAM);
  ctl = listen_at(in_dir(&path, "ctl", ".sock", -1), SOCK_SEQPACKET);
  if (ctl < 0 || console_listener < 0 || chmod(path.at, 0600) < 0)
    fail("the monitor could not make its sockets");
  notify = listen_at(in_dir(&path, "notify", ".sock", -1), SOCK_DGRAM);
  if (notify < 0 || chmod(path.at, 0666) < 0)
    fail("the monitor could not make its notify socket");
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int child = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (child < 0 || !source_add(child, POLLIN, on_child, 0) || !source_add(START_FD, POLLIN, on_request, 0) ||
      !source_add(ctl, POLLIN, on_connect, 0) || !source_add(console_listener, POLLIN, on_console, 0) ||
      !source_add(notify, POLLIN, on_notify, 0))
    fail("the monitor could not watch its sockets");
}

static void
restore(void)
{
  struct text path;

  restoring = true;
  up = access(in_dir(&path, "ready", "", -1), F_OK) == 0; /* it said so before it was saved */
  runtime_log = log_file();
  runtime = restore_start(runtime_log);
  if (runtime < 0)
    fail("the monitor could not start CRIU");
}

static void
create(void)
{
  struct text bundle, console, pid;
  const char *const args[] = { "--log=/proc/self/fd/3", "create", "--bundle", in_dir(&bundle, "bundle", "", -1), "--console-socket",
                               in_dir(&console, "console", ".sock", -1), "--pid-file", in_dir(&pid, "pid", "", -1), m.id, NULL };
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);

  runtime_log = log_file();
  const int fds[] = { null, null, null, runtime_log };
  runtime = runtime_start(args, fds, 4, true);
  close(null);
  if (runtime < 0 || bundle.full || console.full || pid.full)
    fail("the monitor could not start the runtime");
}

int
main(int argc, char **argv)
{
  const char *stage = argc == 1 ? getenv("CRTOOLS_SCRIPT_ACTION") : NULL;

  if (stage)
    return restore_hook(stage);
  if (argc == 2 && strcmp(argv[1], "--probe") == 0) /* run in an empty container, to see that containers run */
    return 0;
  if (argc < 6 || fcntl(START_FD, F_SETFD, FD_CLOEXEC) < 0)
    return 2;
  m.dir = argv[1];
  m.id = argv[2];
  m.log = argv[3];
  m.leaf = strcmp(argv[4], "-") == 0 ? NULL : argv[4];
  m.runtime = argv + 5;
  m.n_runtime = argc - 5;
  umask(0077);
  pid_t pid = fork();
  if (pid != 0)
    return pid < 0;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN); /* the end of the host's services is no reason to lose an exit status */
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_NAME, "portena-monitor");
  if (chdir("/") < 0)
    return 1;
  write_state();
  open_sockets();
  if (restore_wanted())
    restore();
  else
    create();
  loop();
}
