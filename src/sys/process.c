// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. A child is made by clone(CLONE_VM | CLONE_VFORK) on a stack of its own, as posix_spawn does it: no
 * page table is copied, the calling thread sleeps until the exec, and the child can leave an errno in our memory.
 * posix_spawn itself knows neither PDEATHSIG nor close_range. Between clone and exec the child makes system calls only.
 *
 * PDEATHSIG follows the thread that made the child, so a child that is to die with us belongs to a thread that waits
 * for it: pt_run() is such a one. */
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#define STACK_BYTES (64 * 1024)
#define RUN_OUTPUT_MAX (1u << 20)
#define RUN_TIMEOUT (60 * G_USEC_PER_SEC)
#define STDERR_KEPT 4096
#define LINE_MAX_BYTES 4096

static const char *const clean_env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
                                         NULL };

static int home = -1;

void
pt_process_home(int procs)
{
  home = procs;
}

typedef struct Child {
  const PtSpawn *spawn;
  const char *program;
  const char *const *env;
  int null;
  int home; /* the group that it joins; -1 = ours */
  pid_t parent;
  int err; /* errno of what failed, set by the child */
} Child;

/* The child leaves its stack by exec, in the middle of a function: the sanitizer's marks of what is in scope stay behind
 * in our memory and would accuse the next child, whose stack is mapped at the same place. */
#define ON_CHILD_STACK __attribute__((no_sanitize("address")))

ON_CHILD_STACK static int
child_fds(const Child *c)
{
  const PtSpawn *s = c->spawn;
  guint n = MAX(s->n_fds, 3);
  int high[PT_SPAWN_FDS_MAX];

  for (guint i = 0; i < n; i++) {
    int fd = i < s->n_fds && s->fds[i] >= 0 ? s->fds[i] : c->null;
    high[i] = fcntl(fd, F_DUPFD, PT_SPAWN_FDS_MAX);
    if (high[i] < 0)
      return -1;
  }
  for (guint i = 0; i < n; i++) {
    if (dup2(high[i], (int)i) < 0)
      return -1;
  }
  return close_range(n, ~0u, 0);
}

ON_CHILD_STACK static int
child_main(void *data)
{
  Child *c = data;
  const PtSpawn *s = c->spawn;
  struct sigaction dfl = { .sa_handler = SIG_DFL };
  sigset_t none;

  for (int sig = 1; sig < NSIG; sig++)
    sigaction(sig, &dfl, NULL);
  sigemptyset(&none);
  if ((s->outlive ? setsid() < 0 : setpgid(0, 0) < 0) || (!s->outlive && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) ||
      (s->cwd && chdir(s->cwd) < 0) || (c->home >= 0 && write(c->home, "0", 1) < 0) || child_fds(c) < 0 ||
      sigprocmask(SIG_SETMASK, &none, NULL) < 0) {
    c->err = errno;
    _exit(127);
  }
  if (!s->outlive && getppid() != c->parent)
    _exit(127);
  execve(c->program, (char *const *)s->argv, (char *const *)c->env);
  c->err = errno;
  _exit(127);
}

static char *
find_program(const char *name, GError **error)
{
  char *path = strchr(name, '/') ? g_strdup(name) : g_find_program_in_path(name);

  if (!path) { /* a daemon may have been started with a poor PATH */
    static const char *const dirs[] = { "/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

    for (guint i = 0; i < G_N_ELEMENTS(dirs) && !path; i++) {
      g_autofree char *try = g_build_filename(dirs[i], name, NULL);
      if (access(try, X_OK) == 0)
        path = g_steal_pointer(&try);
    }
  }
  if (!path) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: the program is not installed", name);
    pt_error_hint(error, "install the package that has it and try again");
  }
  return path;
}

/* `at_home`: in the group of those that outlive us. */
static pid_t
spawn_child(const PtSpawn *spawn, bool at_home, GError **error)
{
  g_autofree char *program = find_program(spawn->argv[0], error);
  Child child = { .spawn = spawn, .program = program, .env = spawn->env ? spawn->env : clean_env, .parent = getpid() };
  sigset_t all, old;

  if (!program)
    return -1;
  g_assert(spawn->n_fds <= PT_SPAWN_FDS_MAX);
  char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  child.null = open("/dev/null", O_RDWR | O_CLOEXEC);
  child.home = at_home ? home : -1;
  if (stack == MAP_FAILED || child.null < 0) {
    pt_error_errno(error, errno, "%s: start", spawn->argv[0]);
    if (stack != MAP_FAILED)
      munmap(stack, STACK_BYTES);
    return -1;
  }
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &old);
  pid_t pid = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
  int err = pid < 0 ? errno : child.err;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  munmap(stack, STACK_BYTES);
  close(child.null);
  if (err) {
    if (pid > 0)
      waitpid(pid, NULL, 0);
    pt_error_errno(error, err, "%s: start", spawn->argv[0]);
    return -1;
  }
  return pid;
}

pid_t
pt_spawn(const PtSpawn *spawn, GError **error)
{
  return spawn_child(spawn, spawn->outlive, error);
}

/* What pt_run() follows: the pipes of one child. */
typedef struct Stream {
  int fd;          /* -1 = ended */
  GString *kept;
  gsize max;
  GString *line;   /* the unfinished one; NULL where nobody listens */
} Stream;

typedef struct Run {
  const PtRunOptions *options;
  const char *name;
  Stream out, err;
  int in;          /* -1 = all written */
  const char *input;
  int pidfd;
  pid_t pid;
} Run;

static void
feed_lines(const Run *run, Stream *s, const char *buf, gsize n)
{
  for (gsize i = 0; i < n; i++) {
    if (buf[i] == '\n' || buf[i] == '\r' || s->line->len >= LINE_MAX_BYTES) {
      if (s->line->len)
        run->options->line(s->line->str, run->options->line_data);
      g_string_truncate(s->line, 0);
    }
    if (buf[i] != '\n' && buf[i] != '\r' && buf[i] != '\0')
      g_string_append_c(s->line, buf[i]);
  }
}

/* Reads once. False where there was nothing more to read. */
static bool
take(const Run *run, Stream *s)
{
  char buf[16384];
  ssize_t n;

  if (s->fd < 0)
    return false;
  n = read(s->fd, buf, sizeof buf);
  if (n > 0) {
    gsize room = s->max > s->kept->len ? s->max - s->kept->len : 0;
    g_string_append_len(s->kept, buf, (gssize)MIN((gsize)n, room));
    if (s->line)
      feed_lines(run, s, buf, (gsize)n);
    return true;
  }
  if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    close(s->fd);
    s->fd = -1;
  }
  return false;
}

static void
give(Run *run)
{
  gsize left = strlen(run->input);
  ssize_t n = left ? write(run->in, run->input, left) : 0;

  if (n > 0)
    run->input += n;
  if ((n < 0 && errno != EAGAIN && errno != EINTR) || !*run->input) {
    close(run->in);
    run->in = -1;
  }
}

/* Until the child has ended. Its pipes may live on in a daemon that it left behind: they are not waited for. */
static bool
follow(Run *run, GError **error)
{
  const PtRunOptions *o = run->options;
  gint64 end = pt_mono() + (o->timeout ? o->timeout : RUN_TIMEOUT);

  for (;;) {
    struct pollfd p[5] = {
      { .fd = run->pidfd, .events = POLLIN },
      { .fd = run->out.fd, .events = POLLIN },
      { .fd = run->err.fd, .events = POLLIN },
      { .fd = run->in, .events = POLLOUT },
      { .fd = o->cancel ? g_cancellable_get_fd(o->cancel) : -1, .events = POLLIN },
    };
    gint64 left = end - pt_mono();

    if (left > 0 && poll(p, 5, (int)MIN((left + 999) / 1000, 1000)) < 0 && errno != EINTR) {
      pt_error_errno(error, errno, "%s: wait", run->name);
      return false;
    }
    if (o->cancel)
      g_cancellable_release_fd(o->cancel);
    if (g_cancellable_is_cancelled(o->cancel)) {
      PT_SET(error, PT_ERR_CANCELLED, "%s: cancelled", run->name);
      return false;
    }
    if (p[1].revents)
      take(run, &run->out);
    if (p[2].revents)
      take(run, &run->err);
    if (p[3].revents)
      give(run);
    if (p[0].revents)
      return true;
    if (left <= 0) {
      PT_SET(error, PT_ERR_TIMEOUT, "%s: did not end within %" G_GINT64_FORMAT " s", run->name,
             (o->timeout ? o->timeout : RUN_TIMEOUT) / G_USEC_PER_SEC);
      return false;
    }
  }
}

static bool
judge(const Run *run, int status, GError **error)
{
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return true;
  const char *text = run->err.kept->str + strspn(run->err.kept->str, "\n"); /* some begin with an empty line */
  g_autofree char *first = g_strndup(text, strcspn(text, "\n"));
  g_autofree char *said = pt_text_safe(first, 512);
  const char *colon = *said ? ": " : "";

  if (WIFSIGNALED(status))
    PT_SET(error, PT_ERR_INTERNAL, "%s: ended by signal %d%s%s", run->name, WTERMSIG(status), colon, said);
  else
    PT_SET(error, PT_ERR_INTERNAL, "%s: exit status %d%s%s", run->name, WEXITSTATUS(status), colon, said);
  return false;
}

static bool
pipes_open(int p[6], bool input)
{
  for (int i = 0; i < 6; i++)
    p[i] = -1;
  if ((input && pipe2(p, O_CLOEXEC) < 0) || pipe2(p + 2, O_CLOEXEC) < 0 || pipe2(p + 4, O_CLOEXEC) < 0)
    return false;
  if (input)
    fcntl(p[1], F_SETFL, O_NONBLOCK);
  fcntl(p[2], F_SETFL, O_NONBLOCK);
  fcntl(p[4], F_SETFL, O_NONBLOCK);
  return true;
}

static void
close_fd(int fd)
{
  if (fd >= 0)
    close(fd);
}

static bool
run_child(Run *run, GError **error)
{
  int status = 0;

  run->pidfd = pidfd_open(run->pid, 0);
  bool ok = run->pidfd >= 0;
  if (!ok)
    pt_error_errno(error, errno, "%s: pidfd", run->name);
  else
    ok = follow(run, error);
  if (!ok)
    kill(-run->pid, SIGKILL);
  while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
    ;
  while (take(run, &run->out))
    ;
  while (take(run, &run->err))
    ;
  if (run->options->line) {
    feed_lines(run, &run->out, "\n", 1);
    feed_lines(run, &run->err, "\n", 1);
  }
  return ok && judge(run, status, error);
}

bool
pt_run(const char *const *argv, const PtRunOptions *options, char **ret_output, GError **error)
{
  static const PtRunOptions none = { 0 };
  const PtRunOptions *o = options ? options : &none;
  g_autofree char *base = g_path_get_basename(argv[0]);
  int p[6];

  if (g_cancellable_is_cancelled(o->cancel)) {
    PT_SET(error, PT_ERR_CANCELLED, "%s: cancelled", base);
    return false;
  }
  bool ok = pipes_open(p, o->input != NULL);
  if (!ok)
    pt_error_errno(error, errno, "%s: pipe", base);
  pid_t pid = -1;
  if (ok) {
    int fds[3] = { p[0], p[3], p[5] };
    pid = spawn_child(&(PtSpawn){ .argv = argv, .env = o->env, .cwd = o->cwd, .fds = fds, .n_fds = 3 }, o->outlive, error);
  }
  close_fd(p[0]);
  close_fd(p[3]);
  close_fd(p[5]);
  Run run = { .options = o, .name = base, .in = p[1], .input = o->input, .pidfd = -1, .pid = pid };
  run.out = (Stream){ p[2], g_string_new(NULL), o->output_max ? o->output_max : RUN_OUTPUT_MAX, o->line ? g_string_new(NULL) : NULL };
  run.err = (Stream){ p[4], g_string_new(NULL), STDERR_KEPT, o->line ? g_string_new(NULL) : NULL };
  ok = pid > 0 && run_child(&run, error);
  close_fd(run.in);
  close_fd(run.out.fd);
  close_fd(run.err.fd);
  close_fd(run.pidfd);
  for (Stream *s = &run.out; s; s = s == &run.out ? &run.err : NULL) {
    if (s->line)
      g_string_free(s->line, TRUE);
  }
  g_string_free(run.err.kept, TRUE);
  char *output = g_string_free(run.out.kept, FALSE);
  if (ok && ret_output)
    *ret_output = g_steal_pointer(&output);
  g_free(output);
  return ok;
}

guint64
pt_proc_starttime(pid_t pid)
{
  char path[64], buf[1024];
  ssize_t n;

  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  n = read(fd, buf, sizeof buf - 1);
  close(fd);
  if (n <= 0)
    return 0;
  buf[n] = '\0';
  /* The name, field 2, may hold anything, spaces and brackets too: count from its last bracket. */
  const char *at = strrchr(buf, ')');
  for (int field = 2; at && field < 22; field++) {
    at = strchr(at + 1, ' ');
  }
  return at ? g_ascii_strtoull(at + 1, NULL, 10) : 0;
}

int
pt_pidfd(pid_t pid, guint64 starttime, GError **error)
{
  int fd = pid > 0 ? pidfd_open(pid, 0) : -1;

  if (fd < 0) {
    if (pid <= 0 || errno == ESRCH || errno == EINVAL)
      PT_SET(error, PT_ERR_NOT_FOUND, "process %d has ended", (int)pid);
    else
      pt_error_errno(error, errno, "process %d", (int)pid);
    return -1;
  }
  /* Looked at after the pidfd is held: what we see is what it refers to, or it has ended. */
  if (starttime && pt_proc_starttime(pid) != starttime) {
    close(fd);
    PT_SET(error, PT_ERR_NOT_FOUND, "process %d has ended", (int)pid);
    return -1;
  }
  return fd;
}

bool
pt_pidfd_alive(int pidfd)
{
  struct pollfd p = { .fd = pidfd, .events = POLLIN };

  return poll(&p, 1, 0) == 0;
}
