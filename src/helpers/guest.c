// SPDX-License-Identifier: Apache-2.0
/* portena-guest: /init of a micro machine, and the agent that lives beside the image's own init.
 *
 * Theory of operation. The kernel starts us in its initramfs, with modules at /modules and what the host wants of this start at
 * /config. Modules, the disks by their serial numbers, image and volume as one overlay at /root; then the agent is forked off, which
 * keeps the initramfs as its root: nothing that the guest mounts, removes or fills is in its way, and it needs no file of the guest to
 * work. The first process goes on into the new root, writes who the machine is, and becomes the image's init, or, where the
 * host wants one command only, its parent (guest_app.c).
 *
 * The agent's name begins with '@': systemd leaves such a process of root's alone until the very end
 * (systemd.io/ROOT_STORAGE_DAEMONS), so that the host is served while the guest shuts down. That the guest is up, its systemd
 * tells the agent itself (sd_notify(3), NOTIFY_SOCKET); of another init it is only known that it was executed. */
#include "helpers/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOTIFY_NAME "portena-guest/notify"
#define AGENT_NAME "@portena-guest"

struct agent agent = { .root = -1, .volume = -1, .notify = -1, .first = -1 };

static void give_up(const char *why) __attribute__((noreturn));

static void
give_up(const char *why)
{
  complain("%s: this machine cannot start", why);
  sync();
  sleep(1); /* the console's last line is on its way */
  reboot(RB_POWER_OFF);
  for (;;)
    pause();
}

static bool
read_config(struct config *c)
{
  static char text[PT_GUEST_REQUEST_MAX + 4096];
  ssize_t n = read_whole("/config", text, sizeof text);

  unlink("/config"); /* its environment may hold secrets, and the initramfs stays */
  return n >= 0 && (size_t)n < sizeof text - 1 && config_parse(text, (size_t)n, c);
}

static int
listen_notify(void)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "\0" NOTIFY_NAME };
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd >= 0 && bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof NOTIFY_NAME)) == 0)
    return fd;
  complain("the socket of notifications: %s", strerror(errno));
  return -1;
}

/* Executed again, so that its name is its own: what the kernel called us is too short for it. */
static pid_t
start_agent(int first[2])
{
  const int fds[] = { agent.root, agent.volume, agent.notify, agent.first };
  char words[4][16], name[] = AGENT_NAME, app[] = "app", none[] = "system";
  char *const argv[] = { name, words[0], words[1], words[2], words[3], agent.app ? app : none, NULL };
  pid_t pid = fork();

  if (pid)
    return pid;
  close(first[1]);
  for (int i = 0; i < 4; i++) {
    snprintf(words[i], sizeof words[i], "%d", fds[i]);
    if (fds[i] >= 0)
      fcntl(fds[i], F_SETFD, 0);
  }
  execv("/init", argv);
  give_up("its agent");
}

/* As start_agent() left it. */
static void
be_agent(char **argv)
{
  int *const fds[] = { &agent.root, &agent.volume, &agent.notify, &agent.first };

  for (int i = 0; i < 4; i++) {
    *fds[i] = (int)number_of(argv[i + 1], 10, 1024, -1);
    if (*fds[i] >= 0)
      fcntl(*fds[i], F_SETFD, FD_CLOEXEC);
  }
  agent.app = strcmp(argv[5], "app") == 0;
  agent_run();
}

/* The image's tree becomes the root of the first process; the initramfs stays beneath it, the agent's. */
static bool
switch_root(void)
{
  return chdir(ROOT_DIR) == 0 && mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0 && chdir("/") == 0;
}

static void
become_init(const struct config *c)
{
  static const char *const inits[] = { "/sbin/init", "/etc/init", "/bin/init", NULL };
  static char notify[] = "NOTIFY_SOCKET=@" NOTIFY_NAME;
  const struct user root = { .home = "/root" };
  sigset_t none;
  char **env = user_env(&c->env, &root);
  int n = 0;

  if (is_systemd()) {
    units_prepare();
    while (env[n])
      n++;
    env[n++] = notify; /* user_env() leaves room */
    env[n] = NULL;
  }
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (c->command.n)
    execve(c->command.at[0], (char *const *)(uintptr_t)c->command.at, env);
  for (const char *const *i = inits; *i && !c->command.n; i++) {
    char *const argv[] = { (char *)(uintptr_t)*i, NULL };
    execve(*i, argv, env);
  }
  complain("%s: %s", c->command.n ? c->command.at[0] : "/sbin/init", strerror(errno));
  give_up("its init");
}

int
main(int argc, char **argv)
{
  static struct config c;
  int first[2];

  if (argc == 6 && strcmp(argv[0], AGENT_NAME) == 0)
    be_agent(argv);
  if (getpid() != 1) {
    fprintf(stderr, "portena-guest is the first program of a machine, and of use nowhere else\n");
    return 2;
  }
  umask(022);
  if (!boot_mounts() || !boot_modules(false))
    give_up("the kernel's own file systems and modules");
  if (!read_config(&c))
    give_up("/config");
  bool app = c.init && strcmp(c.init, "app") == 0;
  identity_clock(c.time);
  identity_seed(c.seed);
  if (!boot_root(&c, &agent.volume) || !boot_system_mounts(app))
    give_up("its disks");
  agent.app = app;
  agent.root = open(ROOT_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
  agent.notify = listen_notify();
  if (agent.root < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, first) < 0)
    give_up("its agent");
  agent.first = first[0];
  pid_t pid = start_agent(first);
  close(first[0]);
  if (pid < 0 || !switch_root())
    give_up("its root");
  if (agent.volume >= 0)
    close(agent.volume);
  if (agent.notify >= 0)
    close(agent.notify);
  close(agent.root);
  identity_files(&c);
  net_setup(&c, false);
  if (!disks_mount(&c))
    give_up("its data volumes");
  if (app)
    app_run(&c, first[1], pid);
  become_init(&c);
}
