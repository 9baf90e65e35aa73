// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helpers/monitor.h"

#define ARGS_MAX 32
#define FDS_MAX 8

/* crun runs from a sealed copy of itself, for which it makes a file in _LIBCONTAINER_STATEDIR, by default /tmp: killed at a bad
 * moment it would leave that there. In RUN/clone portenad sweeps it up. */
static struct text clone_dir;
static char *clean_env[] = { /* the third: that directory */
  (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LANG=C.UTF-8", NULL, NULL
};

/* Into the guest's group of the v2 tree, beside v1, where the runtime does not do it. A guest that hands controllers on may have
 * no process in the group itself: a child group then. */
static bool
join_leaf(void)
{
  struct text path = { .n = 0 };
  int fd = open(m.leaf, O_WRONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : write(fd, "0", 1);

  if (fd >= 0)
    close(fd);
  if (n == 1)
    return true;
  if (fd < 0 || errno != EBUSY)
    return false;
  put(&path, m.leaf);
  path.n -= strlen("cgroup.procs");
  path.at[path.n] = '\0';
  put(&path, "portena-exec");
  mkdir(path.at, 0755);
  put(&path, "/cgroup.procs");
  fd = open(path.at, O_WRONLY | O_CLOEXEC);
  n = fd < 0 ? -1 : write(fd, "0", 1);
  if (fd >= 0)
    close(fd);
  return n == 1;
}

/* portenad and we are spared when the node runs out of memory (oom_score_adj, proc(5)); what a guest runs must not be. */
static void
oom_as_usual(void)
{
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

  if (fd < 0)
    return;
  write_all(fd, "0", 1);
  close(fd);
}

static _Noreturn void
child(char *const *argv, const int *fds, int n_fds, bool join, char *const *env)
{
  int high[FDS_MAX];
  sigset_t none;

  for (int sig = 1; sig < NSIG; sig++)
    signal(sig, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  oom_as_usual();
  if (join && m.leaf && !join_leaf())
    _exit(126);
  for (int i = 0; i < n_fds; i++) {
    high[i] = fcntl(fds[i], F_DUPFD, 64);
    if (high[i] < 0)
      _exit(126);
  }
  for (int i = 0; i < n_fds; i++) {
    if (dup2(high[i], i) < 0)
      _exit(126);
  }
  close_range((unsigned)n_fds, ~0u, 0);
  execve(argv[0], argv, env);
  _exit(127);
}

pid_t
program_start(char *const *argv, const int *fds, int n_fds, char *more)
{
  char *const env[] = { clean_env[0], clean_env[1], more, NULL };
  pid_t pid = n_fds > FDS_MAX ? -1 : fork();

  if (pid == 0)
    child(argv, fds, n_fds, false, env);
  return pid;
}

pid_t
runtime_start(const char *const *args, const int *fds, int n_fds, bool join)
{
  char *argv[ARGS_MAX];
  int n = 0;

  for (int i = 0; i < m.n_runtime && n < ARGS_MAX - 1; i++)
    argv[n++] = m.runtime[i];
  while (*args && n < ARGS_MAX - 1)
    argv[n++] = (char *)*args++;
  argv[n] = NULL;
  if (*args || n_fds > FDS_MAX)
    return -1;
  if (clone_dir.n == 0) {
    put(&clone_dir, "_LIBCONTAINER_STATEDIR=");
    put(&clone_dir, m.dir);
    put(&clone_dir, "/../../clone");
    clean_env[2] = clone_dir.full ? NULL : clone_dir.at;
  }
  pid_t pid = fork();
  if (pid == 0)
    child(argv, fds, n_fds, join, clean_env);
  return pid;
}

int
log_file(void)
{
  return memfd_create("log", MFD_CLOEXEC);
}

void
log_text(int log, char text[PT_WIRE_TEXT_MAX], bool lines)
{
  ssize_t n = log >= 0 ? pread(log, text, PT_WIRE_TEXT_MAX - 1, 0) : -1;

  text[n > 0 ? n : 0] = '\0';
  if (!lines)
    text[strcspn(text, "\n")] = '\0';
  for (char *c = text; *c; c++) {
    if (*c != '\n' && ((*c > 0 && *c < ' ') || *c == 0x7f))
      *c = '?';
  }
  if (!text[0])
    memcpy(text, "the container runtime failed without a word", sizeof "the container runtime failed without a word");
}
