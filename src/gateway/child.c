// SPDX-License-Identifier: Apache-2.0
#include "gateway/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define EARLY (10 * G_USEC_PER_SEC)
#define FIRST_PAUSE (G_USEC_PER_SEC / 10)
#define LONGEST_PAUSE (10 * G_USEC_PER_SEC)

static void
plan(PtChild *child)
{
  gint64 now = pt_mono();

  child->failures = now - child->started < EARLY ? child->failures + 1 : 0;
  gint64 pause = child->failures ? FIRST_PAUSE << MIN(child->failures - 1, 10u) : 0;
  child->start_at = now + MIN(pause, LONGEST_PAUSE);
}

bool
pt_child_start(PtChild *child, GError **error)
{
  pid_t parent = getpid();

  child->started = pt_mono();
  pid_t pid = fork();
  if (pid < 0) {
    plan(child);
    pt_error_errno(error, errno, "%s", child->name);
    return false;
  }
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died in between */
      _exit(1);
    sigprocmask(SIG_SETMASK, &none, NULL);
    child->main(child->data);
    _exit(1);
  }
  setpgid(pid, pid); /* whoever comes first */
  child->pid = pid;
  child->start_at = 0;
  return true;
}

bool
pt_child_ended(PtChild *child, pid_t pid, int status)
{
  if (pid <= 0 || pid != child->pid)
    return false;
  kill(-pid, SIGKILL);
  child->pid = 0;
  plan(child);
  if (WIFSIGNALED(status))
    pt_log_warn("gateway", "%s was ended by signal %d (%s)", child->name, WTERMSIG(status), g_strsignal(WTERMSIG(status)));
  else
    pt_log_warn("gateway", "%s ended with status %d", child->name, WEXITSTATUS(status));
  return true;
}

void
pt_child_stop(PtChild *child, guint ms)
{
  if (child->pid <= 0)
    return;
  kill(child->pid, SIGTERM);
  for (guint i = 0; i < ms / 10; i++) {
    pid_t got = waitpid(child->pid, NULL, WNOHANG);
    if (got != 0 && !(got < 0 && errno == EINTR))
      break;
    g_usleep(10000);
  }
  kill(-child->pid, SIGKILL);
  waitpid(child->pid, NULL, 0);
  child->pid = 0;
}
