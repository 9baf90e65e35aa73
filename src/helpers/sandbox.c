// SPDX-License-Identifier: Apache-2.0
/* portena-sandbox: the innermost wall of a process instance, and its init.
 *
 * Theory of operation. The jail around us (drivers/process/config.c) has given us a tree with little in it, ids of our own, no
 * capability, a system call filter and usually no network. What we add is Landlock (Documentation/userspace-api/landlock.rst), which
 * no program gets rid of again: files may be written below /data, /tmp and /dev/shm alone, programs executed from /usr and /app alone,
 * and with --offline no TCP at all. What the kernel's version of it (its "ABI") does not know yet is left to the jail.
 *
 * Then we become the program. With --init we are process 1: as such a program would get no signal that it does not handle
 * (pid_namespaces(7)), so it runs as a child in the terminal's foreground, gets the signals that we get, and when it ends
 * so do we, and with us all that it has left behind.
 *
 * Exit status: the program's; 128 + signal; 127 where it is not there, 126 where it cannot be executed, 125 for a failure of our own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Newer than Debian 12's headers (linux/landlock.h of 6.2, 6.7, 6.10 and 6.12). */
#define FS_TRUNCATE (1ULL << 14)        /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15)       /* ABI 5 */
#define NET_TCP ((1ULL << 0) | (1ULL << 1)) /* ABI 4: bind, connect */
#define SCOPE_ABSTRACT_UNIX (1ULL << 0) /* ABI 6 */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                                                            \
  (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |  \
   LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |       \
   LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)

struct attr { /* struct landlock_ruleset_attr of ABI 6 */
  uint64_t fs, net, scoped;
};

static const struct {
  const char *path;
  uint64_t access;
} rules[] = {
  { "/", FS_READ }, /* all that the jail shows may be read */
  { "/usr", LANDLOCK_ACCESS_FS_EXECUTE },
  { "/app", LANDLOCK_ACCESS_FS_EXECUTE },
  { "/dev", LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV },
  { "/dev/shm", FS_WRITE },
  { "/data", FS_WRITE },
  { "/tmp", FS_WRITE },
};

static noreturn void die(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static noreturn void
die(int status, const char *fmt, ...)
{
  int err = errno;
  va_list ap;

  fputs("portena: ", stderr);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fprintf(stderr, ": %s\n", strerror(err));
  _exit(status);
}

static void
allow(int ruleset, const char *path, uint64_t access)
{
  struct landlock_path_beneath_attr beneath = { .allowed_access = access, .parent_fd = open(path, O_PATH | O_CLOEXEC) };

  if (beneath.parent_fd < 0 && errno == ENOENT)
    return;
  if (beneath.parent_fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0))
    die(125, "Landlock: %s", path);
  close(beneath.parent_fd);
}

static void
confine(bool offline)
{
  long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

  if (abi <= 0)
    return; /* a kernel without it: the jail stands alone, and portena doctor says so */
  struct attr attr = { .fs = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1 }; /* all of ABI 1 */
  attr.fs |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
  attr.fs |= abi >= 3 ? FS_TRUNCATE : 0;
  attr.fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
  attr.net = abi >= 4 && offline ? NET_TCP : 0;
  attr.scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX : 0;
  size_t size = abi >= 6 ? sizeof attr : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
  int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
  if (ruleset < 0)
    die(125, "Landlock");
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    allow(ruleset, rules[i].path, rules[i].access & attr.fs);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_landlock_restrict_self, ruleset, 0))
    die(125, "Landlock");
  close(ruleset);
}

static noreturn void
become(char **argv)
{
  execvp(argv[0], argv);
  die(errno == ENOENT ? 127 : 126, "%s", argv[0]);
}

static pid_t
start(char **argv, const sigset_t *mask)
{
  pid_t pid = fork();

  if (pid < 0)
    die(125, "fork");
  if (pid > 0)
    return pid;
  setpgid(0, 0);
  tcsetpgrp(0, getpgrp()); /* with SIGTTOU blocked; where there is no terminal there is no foreground */
  sigprocmask(SIG_SETMASK, mask, NULL);
  become(argv);
}

/* Takes in whatever has ended; true when `pid` has. */
static bool
reap(pid_t pid, int *ret_status)
{
  pid_t ended;
  int status;
  bool over = false;

  while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
    if (ended != pid)
      continue;
    *ret_status = status;
    over = true;
  }
  return over;
}

/* Never run: every signal is blocked. It makes plain from outside (/proc/1/status) that we heed them all. */
static void
heed(int sig)
{
  (void)sig;
}

static noreturn void
keep(pid_t pid, const sigset_t *all)
{
  int sig, status = 0;

  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* our memory is not the program's to look into */
  for (;;) {
    if (sigwait(all, &sig))
      die(125, "waiting for signals");
    if (sig == SIGCHLD && reap(pid, &status))
      break;
    /* the terminal's own signals reach the foreground without us */
    if (sig != SIGCHLD && sig != SIGTTIN && sig != SIGTTOU && sig != SIGTSTP && sig != SIGWINCH && sig != SIGCONT)
      kill(pid, sig);
  }
  if (WIFEXITED(status))
    _exit(WEXITSTATUS(status));
  fprintf(stderr, "portena: the program was ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
  _exit(128 + WTERMSIG(status));
}

int
main(int argc, char **argv)
{
  bool init = false, offline = false;
  sigset_t all, before;
  int i = 1;

  for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
    init |= strcmp(argv[i], "--init") == 0;
    offline |= strcmp(argv[i], "--offline") == 0;
  }
  if (i + 1 >= argc) {
    fputs("usage: portena-sandbox [--init] [--offline] -- PROGRAM [ARGUMENT]...\n", stderr);
    return 125;
  }
  confine(offline);
  if (!init)
    become(argv + i + 1);
  for (int sig = 1; sig < NSIG; sig++)
    signal(sig, heed); /* refused for two of them; execve(2) takes it back */
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  keep(start(argv + i + 1, &before), &all);
}
