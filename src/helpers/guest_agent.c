// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. One process, one poll loop. Each of the host's ports carries one session with one request at a time; a request
 * is done by a child with pipes (guest_job.c), so that nothing of the guest, a file of a dead network or a full pipe, holds up the
 * others. A port's readiness is watched edge-triggered: while no host is connected the kernel says POLLHUP for ever, and only the
 * edge tells that one came (virtio_console). So a port is always read and written until the kernel has no more. */
#include "helpers/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT_WAIT_USEC 60000000 /* as for its disks */
#define ACK_WAIT_MS 2000
#define SYSTEMD_POWEROFF (34 + 4) /* SIGRTMIN+4 as glibc counts */

static struct port ports[PT_GUEST_PORTS];
static int n_ports;
static long long ack_until; /* an app has ended: until when the host's answer is waited for */

/* The character devices are named in no order; sysfs has the names that the host gave. */
static bool
open_port(int index, int ep)
{
  char file[300], name[64], want[32];
  DIR *dir = opendir("/sys/class/virtio-ports");
  const struct dirent *e;
  int fd = -1;

  snprintf(want, sizeof want, PT_GUEST_PORT_NAME "%d", index);
  while (dir && fd < 0 && (e = readdir(dir))) {
    snprintf(file, sizeof file, "/sys/class/virtio-ports/%s/name", e->d_name);
    if (read_whole(file, name, sizeof name) <= 0)
      continue;
    name[strcspn(name, "\n")] = '\0';
    if (strcmp(name, want) != 0)
      continue;
    snprintf(file, sizeof file, "/dev/%s", e->d_name);
    fd = open(file, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  if (dir)
    closedir(dir);
  if (fd < 0)
    return false;
  struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = (uint32_t)n_ports };
  port_open(&ports[n_ports], index, fd);
  if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
    close(fd);
    return false;
  }
  n_ports++;
  return true;
}

static int
open_ports(void)
{
  int ep = epoll_create1(EPOLL_CLOEXEC);
  long long until = boot_usec() + PORT_WAIT_USEC;

  /* The first one comes last of what the machine needs; ports are announced one by one. */
  for (int i = 0; i < PT_GUEST_PORTS && ep >= 0; i++)
    while (!open_port(i, ep) && (i == 0 || n_ports > 0) && boot_usec() < until)
      usleep(2000);
  if (!n_ports)
    complain("there is no port to the host: nobody outside will reach this machine");
  return ep;
}

void
agent_ready(void)
{
  if (agent.ready)
    return;
  agent.ready = true;
  for (int i = 0; i < n_ports; i++)
    if (ports[i].open && ports[i].events)
      port_send(&ports[i], PT_GUEST_READY, NULL, 0);
}

/* systemd by its signal; what another init wants is known best by the poweroff beside it. */
static void
power_off_child(void)
{
  static const char *const programs[] = { "/sbin/poweroff", "/usr/sbin/poweroff", "/bin/poweroff", NULL };

  signal(SIGCHLD, SIG_DFL);
  if (!enter_root(agent.root))
    _exit(1);
  if (is_systemd()) {
    kill(1, SYSTEMD_POWEROFF);
    _exit(0);
  }
  for (const char *const *p = programs; *p; p++)
    execl(*p, *p, (char *)NULL);
  kill(1, SIGPWR);
  _exit(0);
}

void
agent_shutdown(void)
{
  if (ack_until)
    _exit(0);
  if (agent.app)
    kill(1, SIGTERM);
  else if (fork() == 0)
    power_off_child();
}

static void
on_child(int fd)
{
  struct signalfd_siginfo info;
  int status;
  pid_t pid;

  while (read(fd, &info, sizeof info) > 0)
    ;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
    for (int i = 0; i < n_ports && !job_reaped(&ports[i], pid, status); i++)
      ;
}

static void
on_notify(void)
{
  char text[4096];
  ssize_t n;

  while ((n = recv(agent.notify, text, sizeof text - 1, MSG_DONTWAIT)) > 0) {
    text[n] = '\0';
    for (const char *l = text; *l; l += strcspn(l, "\n"), l += *l == '\n')
      if (strncmp(l, "READY=1", 7) == 0)
        agent_ready();
  }
}

/* From the first process: an app has been started, or ended; or it became the image's init. */
static void
on_first(void)
{
  unsigned char text[8], payload[8];
  ssize_t n = recv(agent.first, text, sizeof text, MSG_DONTWAIT);

  if (n < 0 && errno == EAGAIN)
    return;
  if (n == 2) {
    pt_guest_put32(payload, text[0]);
    pt_guest_put32(payload + 4, text[1]);
    ack_until = boot_usec() + ACK_WAIT_MS * 1000;
    bool heard = false;
    for (int i = 0; i < n_ports; i++)
      if (ports[i].open && ports[i].events)
        heard = port_send(&ports[i], PT_GUEST_STATUS, payload, sizeof payload) || heard;
    if (!heard)
      _exit(0);
    return;
  }
  if (n == 1) {
    agent_ready();
    return;
  }
  close(agent.first);
  agent.first = -1;
  if (agent.app)
    return;
  int root = fork(); /* whether it is systemd is seen from inside only */
  if (root == 0)
    _exit(enter_root(agent.root) && is_systemd());
  int status = 0;
  if (root < 0 || waitpid(root, &status, 0) != root || !WIFEXITED(status) || WEXITSTATUS(status) == 0)
    agent_ready();
}

static int
add_jobs(struct pollfd *polls, int n)
{
  for (int i = 0; i < n_ports; i++) {
    const struct port *p = &ports[i];
    const struct job *j = &p->job;

    if (!j->active)
      continue;
    if (j->result >= 0)
      polls[n++] = (struct pollfd){ .fd = j->result, .events = POLLIN };
    if (j->fd[IN] >= 0 && j->n)
      polls[n++] = (struct pollfd){ .fd = j->fd[IN], .events = POLLOUT };
    for (int k = OUT; k <= ERR; k++)
      if (j->fd[k] >= 0 && j->credit[k] && port_room(p) > PT_GUEST_FRAME_MAX + 2048)
        polls[n++] = (struct pollfd){ .fd = j->fd[k], .events = POLLIN };
  }
  return n;
}

/* Milliseconds until something is due that no descriptor tells. */
static int
next_time(void)
{
  long long next = ack_until, left;

  for (int i = 0; i < n_ports; i++)
    if (ports[i].gone > 0 && (!next || ports[i].gone < next))
      next = ports[i].gone;
  left = next - boot_usec();
  return !next ? -1 : left < 0 ? 0 : (int)(left / 1000 + 1);
}

static void loop(int ep, int children) __attribute__((noreturn));

static void
loop(int ep, int children)
{
  static struct pollfd polls[3 + 1 + 4 * PT_GUEST_PORTS];
  struct epoll_event events[PT_GUEST_PORTS];

  for (;;) {
    int n = 0;

    polls[n++] = (struct pollfd){ .fd = ep, .events = POLLIN };
    polls[n++] = (struct pollfd){ .fd = children, .events = POLLIN };
    polls[n++] = (struct pollfd){ .fd = agent.notify, .events = POLLIN };
    polls[n++] = (struct pollfd){ .fd = agent.first, .events = POLLIN };
    n = add_jobs(polls, n);
    if (ack_until && boot_usec() >= ack_until)
      _exit(0);
    if (poll(polls, (nfds_t)n, next_time()) < 0)
      continue;
    if (polls[0].revents)
      epoll_wait(ep, events, PT_GUEST_PORTS, 0); /* the edges are taken; every port is looked at below */
    if (polls[1].revents)
      on_child(children);
    if (polls[2].revents)
      on_notify();
    if (polls[3].revents)
      on_first();
    for (int i = 0; i < n_ports; i++)
      port_work(&ports[i]);
  }
}

void
agent_run(void)
{
  sigset_t set;

  prctl(PR_SET_NAME, "portena-guest");
  setsid();
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) { /* the console is the guest's; errors of ours go to the kernel's log */
    int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    dup2(log >= 0 ? log : null, 2);
  }
  write_text("/proc/self/oom_score_adj", "-1000");
  for (int s = 1; s < 32; s++)
    if (s != SIGCHLD)
      signal(s, SIG_IGN);
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  int ep = open_ports();
  if (fork() == 0) {
    boot_modules(true);
    _exit(0);
  }
  loop(ep, children);
}
