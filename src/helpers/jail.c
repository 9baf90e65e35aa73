// SPDX-License-Identifier: Apache-2.0
/* portena-jail: runs one tool that fetches, parses or unpacks what strangers made.
 *
 * Theory of operation. We are started by root. A child is cloned into new user, mount, pid, ipc, uts and (unless
 * --net) network namespaces, and waits. We map 65,536 host ids from BASE on to its 0 to 65535, so that inside there is a
 * whole set of ids, with root, none of which means anything outside. Every directory it may see is opened here,
 * with our rights, as a detached mount (open_tree); it moves them into a tree of its own and makes that its root. Then it
 * gives up capabilities and system calls and becomes the init of its pid namespace, with the tool as its only child:
 * when the tool ends, or init is killed, or we are (PDEATHSIG), the kernel ends everything that was started inside.
 *
 * The file descriptor table is shared with the child until it has seen our go, so the detached mounts need not be sent.
 *
 * Exit status: the tool's; 128 + signal; 125 for a failure of our own, said on stderr. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers/jail.h"

static const char usage[] =
  "usage: portena-jail --ids BASE [--net] [--build] [--rw PATH=INSIDE]... [--ro PATH=INSIDE]...\n"
  "                    [--input FILE] [--file-max BYTES] [--memory BYTES] [--cwd DIR] [--env NAME=VALUE]... -- TOOL [ARGUMENT]...\n"
  "Runs TOOL with ids BASE to BASE+65535, in namespaces of its own, seeing the host's programs read-only\n"
  "and writing only what --rw names. Must be started by root.\n";

void
jail_die(int err, const char *fmt, ...)
{
  va_list ap;

  fputs("portena-jail: ", stderr);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  if (err)
    fprintf(stderr, ": %s", strerror(err));
  fputc('\n', stderr);
  _exit(125);
}

static unsigned long long
number(const char *option, const char *text, unsigned long long min, unsigned long long max)
{
  char *end;
  errno = 0;
  unsigned long long n = strtoull(text, &end, 10);

  if (errno || end == text || *end || *text == '-' || n < min || n > max)
    jail_die(0, "%s %s: not a number from %llu to %llu", option, text, min, max);
  return n;
}

static void
add_bind(struct jail *j, char *text, bool write)
{
  char *eq = strrchr(text, '=');

  if (!eq || eq == text || eq[1] != '/' || strstr(eq, "/.."))
    jail_die(0, "%s: not PATH=/INSIDE", text);
  if (j->n_binds == JAIL_BINDS_MAX)
    jail_die(0, "more than %d paths", JAIL_BINDS_MAX);
  *eq = '\0';
  j->binds[j->n_binds++] = (struct jail_bind){ .source = text, .target = eq + 1, .write = write, .shift = !write, .tree = -1 };
}

static void
parse(struct jail *j, char **argv)
{
  char **a = argv + 1;

  for (; *a && strcmp(*a, "--"); a++) {
    const char *option = *a;

    if (!strcmp(option, "--net")) {
      j->net = true;
      continue;
    }
    if (!strcmp(option, "--build")) {
      j->build = true;
      continue;
    }
    if (!strcmp(option, "--help")) {
      fputs(usage, stdout);
      exit(0);
    }
    if (!a[1])
      jail_die(0, "%s: unknown, or its value is missing", option);
    char *value = *++a;

    if (!strcmp(option, "--ids"))
      j->base = (unsigned)number(option, value, JAIL_IDS, UINT32_MAX - JAIL_IDS);
    else if (!strcmp(option, "--rw"))
      add_bind(j, value, true);
    else if (!strcmp(option, "--ro"))
      add_bind(j, value, false);
    else if (!strcmp(option, "--input"))
      j->input = value;
    else if (!strcmp(option, "--cwd"))
      j->cwd = value;
    else if (!strcmp(option, "--file-max"))
      j->file_max = number(option, value, 1, UINT64_MAX / 2);
    else if (!strcmp(option, "--memory"))
      j->memory = number(option, value, 1, UINT64_MAX / 2);
    else if (!strcmp(option, "--env") && j->n_env < 24)
      j->env[j->n_env++] = value;
    else
      jail_die(0, "%s: unknown option, or too many of it", option);
  }
  if (!*a || !a[1] || !j->base) {
    fputs(usage, stderr);
    exit(125);
  }
  j->command = a + 1;
}

static void
write_map(pid_t pid, const char *file, unsigned base)
{
  char path[64], text[64];
  int n = snprintf(text, sizeof text, "0 %u %d\n", base, JAIL_IDS);

  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, (size_t)n) != n)
    jail_die(errno, "%s", path);
  close(fd);
}

static void
set_input(const char *path)
{
  int fd = open(path ? path : "/dev/null", O_RDONLY | O_CLOEXEC | O_NOCTTY);

  if (fd < 0)
    jail_die(errno, "%s", path ? path : "/dev/null");
  if (dup2(fd, STDIN_FILENO) < 0)
    jail_die(errno, "stdin");
  if (fd != STDIN_FILENO)
    close(fd);
}

/* Before anybody else's programs, if memory runs out: the node's daemon, which started us, is spared. */
static void
oom_first(void)
{
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

  if (fd < 0 || write(fd, "300", 3) != 3)
    jail_die(errno, "oom_score_adj");
  close(fd);
}

/* Runs the tool as process 2 and reaps until it has ended; our own end then ends the rest. */
static noreturn void
run_tool(struct jail *j)
{
  pid_t tool = fork(), pid;
  int status;

  if (tool < 0)
    jail_die(errno, "fork");
  if (tool == 0) {
    environ = (char **)j->env; /* before the search: it goes by our own PATH */
    execvp(j->command[0], j->command);
    jail_die(errno, "%s", j->command[0]);
  }
  do
    pid = waitpid(-1, &status, 0);
  while (pid != tool && (pid > 0 || errno == EINTR));
  if (pid != tool)
    jail_die(errno, "%s was lost", j->command[0]);
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* `parent` is a pidfd: one that died before we asked for its signal would never send it. */
static void
die_with(int parent)
{
  struct pollfd gone = { .fd = parent, .events = POLLIN };

  if (prctl(PR_SET_PDEATHSIG, SIGKILL))
    jail_die(errno, "parent death signal");
  if (poll(&gone, 1, 0) != 0)
    _exit(125);
}

/* `go`: read end of a pipe; one byte says that the maps and mounts are there. */
static noreturn void
inside(struct jail *j, int go, int parent)
{
  char byte;

  die_with(parent);
  if (read(go, &byte, 1) != 1)
    _exit(125);
  if (unshare(CLONE_FILES))
    jail_die(errno, "file descriptors");
  if (setgroups(0, NULL) || setresgid(0, 0, 0) || setresuid(0, 0, 0))
    jail_die(errno, "ids");
  die_with(parent); /* changing ids has cleared it */
  if (setsid() < 0)
    jail_die(errno, "session");
  if (sethostname("jail", 4))
    jail_die(errno, "host name");
  umask(022);
  jail_tree_enter(j);
  if (chdir(j->cwd ? j->cwd : "/"))
    jail_die(errno, "%s", j->cwd ? j->cwd : "/");
  if (close_range(3, ~0u, 0))
    jail_die(errno, "file descriptors");
  jail_confine_limits(j);
  jail_confine_caps(j->build);
  jail_confine_syscalls(j->build);
  run_tool(j);
}

static void
start(struct jail *j, pid_t *ret_pid)
{
  int go[2];
  char path[64];
  unsigned long flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_FILES | SIGCHLD;

  int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
  if (self < 0 || pipe2(go, O_CLOEXEC))
    jail_die(errno, "pipe");
  if (!j->net)
    flags |= CLONE_NEWNET;
  pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
  if (pid < 0)
    jail_die(errno, "namespaces");
  if (pid == 0)
    inside(j, go[0], self);

  write_map(pid, "uid_map", j->base);
  write_map(pid, "gid_map", j->base);
  snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
  int userns = open(path, O_RDONLY | O_CLOEXEC);
  if (userns < 0)
    jail_die(errno, "%s", path);
  jail_tree_open(j, userns);
  if (write(go[1], "g", 1) != 1)
    jail_die(errno, "pipe");
  *ret_pid = pid;
}

int
main(int argc, char **argv)
{
  /* Shared with the child, which reads from it the numbers of the mounts that we open after it was cloned. */
  struct jail *j = mmap(NULL, sizeof *j, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid;
  int status;

  if (argc < 2) {
    fputs(usage, stderr);
    return 125;
  }
  if (j == MAP_FAILED)
    jail_die(errno, "memory");
  parse(j, argv);
  if (geteuid() != 0)
    jail_die(0, "must be started by root");
  oom_first();
  /* Ours dies with us; so must we with whoever started us, or a cancelled build would go on. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL))
    jail_die(errno, "parent death signal");
  set_input(j->input);
  j->env[j->n_env++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  j->env[j->n_env++] = "LANG=C.UTF-8";
  j->env[j->n_env++] = "HOME=/tmp";
  j->env[j->n_env] = NULL;
  jail_tree_system(j);
  start(j, &pid);
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR)
      jail_die(errno, "the jail was lost");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
