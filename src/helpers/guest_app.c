// SPDX-License-Identifier: Apache-2.0
/* The first process of a machine that runs one command: starts it on the console, reaps what is orphaned, and when it has ended
 * lets the agent tell the host how, and turns the machine off. */
#include "helpers/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_WAIT_USEC 4000000

/* The device behind /dev/console, which itself cannot be anybody's controlling terminal. */
static int
open_console(void)
{
  char text[256], path[300];
  ssize_t n = read_whole("/sys/class/tty/console/active", text, sizeof text);

  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
    text[--n] = '\0';
  const char *name = n > 0 ? strrchr(text, ' ') : NULL;
  snprintf(path, sizeof path, "/dev/%s", n <= 0 ? "console" : name ? name + 1 : text);
  int fd = open(path, O_RDWR | O_NOCTTY);
  return fd >= 0 ? fd : open("/dev/console", O_RDWR | O_NOCTTY);
}

static void
run_command(const struct config *c, const struct user *u)
{
  int tty = open_console();
  sigset_t none;

  setsid();
  if (tty >= 0) {
    ioctl(tty, TIOCSCTTY, 1);
    if (fchown(tty, u->uid, (gid_t)-1) < 0)
      complain("the console: %s", strerror(errno));
    for (int fd = 0; fd < 3; fd++)
      dup2(tty, fd);
  }
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  environ = user_env(&c->env, u);
  if (!user_become(u)) {
    complain("its user: %s", strerror(errno));
    _exit(126);
  }
  if (chdir(c->cwd && *c->cwd ? c->cwd : "/") < 0) {
    complain("%s: %s", c->cwd, strerror(errno));
    _exit(126);
  }
  execvp(c->command.at[0], (char *const *)(uintptr_t)c->command.at);
  complain("%s: %s", c->command.at[0], strerror(errno));
  _exit(errno == ENOENT ? 127 : 126);
}

/* Reaps; true once `pid` has ended. */
static bool
reap(pid_t pid, int *ret_status)
{
  bool found = false;
  int status;
  pid_t ended;

  while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
    if (ended != pid)
      continue;
    *ret_status = status;
    found = true;
  }
  return found;
}

static void turn_off(void) __attribute__((noreturn));

static void
turn_off(void)
{
  kill(-1, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0)
    ;
  sync();
  if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
    complain("the root: %s", strerror(errno));
  reboot(RB_POWER_OFF);
  for (;;)
    pause();
}

void
app_run(const struct config *c, int to_agent, pid_t agent_pid)
{
  static struct user u;
  const struct timespec tick = { .tv_nsec = 10000000 };
  const char *missing = user_find(c->user, &u);
  long long stop = number_of(c->stop, 10, 64, SIGTERM);
  int status = 127 << 8;
  sigset_t set;
  siginfo_t info;
  pid_t pid = -1;

  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  if (missing)
    complain("the image has no %s %s", missing, c->user);
  else if (!c->command.n)
    complain("there is no command to run");
  else if ((pid = fork()) == 0)
    run_command(c, &u);
  if (pid > 0 && !write_whole(to_agent, "R", 1))
    complain("the agent does not listen");
  while (pid > 0) {
    int got = sigwaitinfo(&set, &info);

    if (got == SIGCHLD && reap(pid, &status))
      break;
    if (got == SIGTERM && stop > 0)
      kill(pid, (int)stop);
  }
  const unsigned char end[2] = { (unsigned char)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status)),
                                 (unsigned char)(WIFSIGNALED(status) ? WTERMSIG(status) : 0) };
  bool told = write_whole(to_agent, end, sizeof end);
  /* The agent ends once the host has heard it. */
  for (long long until = boot_usec() + END_WAIT_USEC; told && boot_usec() < until && !reap(agent_pid, &status);)
    sigtimedwait(&set, &info, &tick);
  turn_off();
}
