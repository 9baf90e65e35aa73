// SPDX-License-Identifier: Apache-2.0
/* portena-vmm [--agent=FD] [--qmp=FD] [--ready=qmp] [--tpm=DIR] -- QEMU…: the first process of a machine's jail.
 *
 * Theory of operation. It starts QEMU as its child and shares its console with it: QEMU's standard streams are the pty that the
 * monitor keeps, so what QEMU complains of stands in the history too. Two socket pairs are made; QEMU's ends get the numbers FD, which
 * its command line names: one is the guest's port 0, where the agent says that it is up and how its command ended, the other is QMP.
 * Neither has a name, so nobody else in the jail can take it. A TPM is swtpm, which keeps its state in DIR and listens at /vm/tpm; it ends
 * with us.
 *
 *   started -> QEMU runs -> (agent says so, or QMP with --ready=qmp) READY=1 to the monitor -> … -> QEMU ends -> the guest's exit status
 *                  '-> SIGTERM: the agent is asked to shut down, else ACPI's power button is pressed
 *
 * An unmodified system may have QEMU's own agent: while it answers there is the file /vm/agent.up, and SIGTERM is passed on to it
 * (vmm_qga.c).
 *
 * One thread, one poll loop, fixed buffers. Guest and QEMU are not trusted: what they send is bounded, and can at worst end the
 * machine or give it another exit status. As process 1 of the jail it reaps, and with it everything ends. */
#include "helpers/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOTIFY "/run/host/notify"
#define FD_MIN 10 /* of QEMU's ends: above whatever is open */
#define FD_MAX 63
#define SEND_MSEC 2000
#define ASK_SECONDS 5
#define TPM_SOCKET "/vm/tpm"
#define TPM_TRIES 500 /* of 10 ms */

struct vmm v = { .agent = -1, .qmp = -1 };
static pid_t qemu;
static const char *tpm;

void
complain(const char *what)
{
  static const char by[] = "portena-vmm: ", end[] = "\r\n";

  if (write(2, by, sizeof by - 1) < 0 || write(2, what, strlen(what)) < 0 || write(2, end, sizeof end - 1) < 0)
    return; /* nobody listens */
}

bool
send_all(int *fd, const void *data, size_t size)
{
  const char *at = data;

  while (*fd >= 0 && size > 0) {
    ssize_t n = send(*fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n > 0) {
      at += n;
      size -= (size_t)n;
      continue;
    }
    struct pollfd p = { .fd = *fd, .events = POLLOUT };
    if (n < 0 && errno != EAGAIN && errno != EINTR)
      break;
    if (poll(&p, 1, SEND_MSEC) <= 0) /* a guest that does not read is left alone */
      break;
  }
  if (size == 0)
    return true;
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
  return false;
}

void
say_ready(void)
{
  static const char text[] = "READY=1\n";
  struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = NOTIFY };

  if (v.ready)
    return;
  v.ready = true;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || sendto(fd, text, sizeof text - 1, MSG_NOSIGNAL, (struct sockaddr *)&addr, sizeof addr) < 0)
    complain("the monitor could not be told that the guest is up");
  if (fd >= 0)
    close(fd);
}

void
ask_to_end(void)
{
  v.stopping = true;
  if (!agent_shutdown() && !qga_shutdown())
    qmp_powerdown();
}

/* ---- start ---- */

/* A socket pair whose one end gets number `number` in QEMU. Ours, or -1. */
static int
make_pair(int number, int *ret_theirs)
{
  int pair[2];

  *ret_theirs = -1;
  if (number < 0)
    return -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ||
      (*ret_theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, FD_MAX + 1)) < 0) {
    complain("no socket pair");
    exit(1);
  }
  close(pair[1]);
  return pair[0];
}

static pid_t
start(char **argv, int agent_number, int qmp_number)
{
  int agent, qmp;
  sigset_t none;

  v.agent = make_pair(agent_number, &agent);
  v.qmp = make_pair(qmp_number, &qmp);
  pid_t pid = fork();
  if (pid != 0) {
    if (agent >= 0)
      close(agent);
    if (qmp >= 0)
      close(qmp);
    return pid;
  }
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if ((agent < 0 || dup2(agent, agent_number) >= 0) && (qmp < 0 || dup2(qmp, qmp_number) >= 0))
    execv(argv[0], argv);
  complain("QEMU could not be started");
  _exit(127);
}

/* swtpm(8); QEMU finds its socket there, so it is waited for. */
static bool
start_tpm(void)
{
  char state[256] = "dir=";
  const char *const argv[] = { "/usr/bin/swtpm", "socket", "--tpm2", "--tpmstate", state, "--ctrl", "type=unixio,path=" TPM_SOCKET,
                               "--flags", "startup-clear", NULL };
  const struct timespec moment = { .tv_nsec = 10000000 };
  sigset_t none;

  if (strlen(tpm) > 200)
    return false;
  strcat(state, tpm);
  pid_t pid = fork();
  if (pid == 0) {
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(argv[0], (char *const *)argv);
    _exit(127);
  }
  for (int i = 0; pid > 0 && i < TPM_TRIES && access(TPM_SOCKET, F_OK) < 0; i++)
    nanosleep(&moment, NULL);
  return pid > 0 && access(TPM_SOCKET, F_OK) == 0;
}

static int
parse_number(const char *text)
{
  char *end;
  long n = strtol(text, &end, 10);

  return *end == '\0' && n >= FD_MIN && n <= FD_MAX ? (int)n : -1;
}

/* The command line of QEMU, or NULL. */
static char **
parse(char **argv, int *ret_agent, int *ret_qmp)
{
  *ret_agent = *ret_qmp = -1;
  for (argv++; *argv && strcmp(*argv, "--") != 0; argv++) {
    if (strncmp(*argv, "--agent=", 8) == 0)
      *ret_agent = parse_number(*argv + 8);
    else if (strncmp(*argv, "--qmp=", 6) == 0)
      *ret_qmp = parse_number(*argv + 6);
    else if (strncmp(*argv, "--tpm=/", 7) == 0)
      tpm = *argv + 6;
    else if (strcmp(*argv, "--ready=qmp") == 0)
      v.ready_by_qmp = true;
    else
      return NULL;
  }
  return *argv && argv[1] && (*ret_agent < 0 || *ret_agent != *ret_qmp) ? argv + 1 : NULL;
}

/* ---- the loop ---- */

static void
on_signals(int fd)
{
  struct signalfd_siginfo info;
  int status;
  pid_t pid;

  while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGTERM)
      ask_to_end();
  }
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (qga_ended(pid, status) || pid != qemu)
      continue;
    /* The last that the guest said may still be in the socket. */
    if (v.agent >= 0)
      agent_read();
    if (WIFSIGNALED(status)) {
      complain("QEMU was killed");
      _exit(128 + WTERMSIG(status));
    }
    if (v.failed)
      _exit(1);
    if (v.ended)
      _exit(v.sig ? (int)(128 + (v.sig & 127)) : (int)(v.status & 255));
    _exit(WEXITSTATUS(status));
  }
}

/* The kernel of the guest may tell its agent late that there is a host, and the agent has ended the session as one whose host had gone
 * by then: what it would have said is never said. So until the guest is up we ask again, whenever it has read all that it was sent. */
static void
ask_again(void)
{
  static time_t asked;
  struct timespec now;
  int unread = 0;

  if (clock_gettime(CLOCK_MONOTONIC, &now) < 0 || now.tv_sec - asked < ASK_SECONDS)
    return;
  if (asked && ioctl(v.agent, SIOCOUTQ, &unread) == 0 && unread == 0)
    agent_hello();
  asked = now.tv_sec;
}

static _Noreturn void
loop(int signals)
{
  for (;;) {
    bool waiting = v.agent >= 0 && !v.ready;
    struct pollfd p[] = { { .fd = signals, .events = POLLIN }, { .fd = v.agent, .events = POLLIN }, { .fd = v.qmp, .events = POLLIN } };

    if (poll(p, 3, waiting ? ASK_SECONDS * 1000 : qga_wait_ms()) < 0)
      continue;
    qga_look();
    if (waiting)
      ask_again();
    if (p[1].revents && v.agent >= 0)
      agent_read();
    if (p[2].revents && v.qmp >= 0)
      qmp_read();
    if (p[0].revents)
      on_signals(signals);
  }
}

int
main(int argc, char **argv)
{
  int agent, qmp;
  char **command = argc > 1 ? parse(argv, &agent, &qmp) : NULL;
  sigset_t set;

  if (!command) {
    complain("usage: portena-vmm [--agent=FD] [--qmp=FD] [--ready=qmp] [--tpm=DIR] -- QEMU...");
    return 2;
  }
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGPIPE);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (tpm && !start_tpm()) {
    complain("the TPM did not start");
    return 1;
  }
  qemu = signals < 0 ? -1 : start(command, agent, qmp);
  if (qemu < 0) {
    complain("QEMU could not be started");
    return 1;
  }
  if (v.agent >= 0)
    agent_hello();
  loop(signals);
}
