// SPDX-License-Identifier: Apache-2.0
/* QEMU's own guest agent, where an unmodified system has it. That its port is open in the guest, QEMU says
 * (VSERPORT_CHANGE); then portena-guestctl is sent to ask whether somebody answers, and while somebody does there is the
 * file /vm/agent.up, for portenad to see.
 *
 *   port opened -> ping -> answers: /vm/agent.up          port closed: no file
 *   the guest goes on after it stood still -> time (as good as a ping)
 *   it is to end -> shutdown -> accepted: the power button all the same, a while later; else: at once
 *
 * Which of the three runs is in `child`; each ends by itself within minutes, and with us. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helpers/vmm.h"

#define CTL "/helpers/portena-guestctl"
#define UP "/vm/agent.up"
#define BUTTON_SECONDS 10 /* for the agent's shutdown to become one */

enum { PING, TIME, SHUTDOWN, N_JOBS };
static const char *const names[N_JOBS] = { "ping", "time", "shutdown" };
static pid_t child[N_JOBS];
static bool up, opened;
static time_t button; /* when it is to be pressed; 0 = not */

static time_t
now(void)
{
  struct timespec t = { 0 };

  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec;
}

static void
mark(bool is)
{
  if (is == up)
    return;
  up = is;
  int fd = is ? open(UP, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (fd >= 0)
    close(fd);
  if (!is && unlink(UP) < 0 && errno != ENOENT)
    complain("what is said of the guest's agent could not be taken back");
}

static bool
begin(int job)
{
  const char *const argv[] = { CTL, "qga", names[job], NULL };
  sigset_t none;

  if (child[job] > 0)
    return true;
  child[job] = fork();
  if (child[job] != 0)
    return child[job] > 0;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execv(argv[0], (char *const *)argv);
  _exit(127);
}

void
qga_opened(bool open)
{
  opened = open;
  if (open) {
    begin(PING);
    return;
  }
  mark(false);
  for (int i = PING; i <= TIME; i++)
    if (child[i] > 0)
      kill(child[i], SIGKILL);
}

void
qga_time(void)
{
  begin(TIME);
}

bool
qga_shutdown(void)
{
  return up && begin(SHUTDOWN);
}

bool
qga_ended(pid_t pid, int status)
{
  bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  int job = 0;

  while (job < N_JOBS && child[job] != pid)
    job++;
  if (job == N_JOBS)
    return false;
  child[job] = 0;
  if (job != SHUTDOWN && well)
    mark(true);
  else if (job == SHUTDOWN && well)
    button = now() + BUTTON_SECONDS;
  else if (job == SHUTDOWN)
    qmp_powerdown();
  else if (job == PING && opened) /* it was for a guest that has started anew meanwhile */
    begin(PING);
  return true;
}

int
qga_wait_ms(void)
{
  time_t left = button ? button - now() : -1;

  return !button ? -1 : left > 0 ? (int)left * 1000 : 0;
}

void
qga_look(void)
{
  if (!button || now() < button)
    return;
  button = 0;
  qmp_powerdown();
}
