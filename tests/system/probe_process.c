// SPDX-License-Identifier: Apache-2.0
/* A program for test_process.py: what it tries is its first argument, what came of it goes to its output, a line each:
 * "WHAT errno" (0 = it was let). */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void
say(const char *what, long result)
{
  printf("%s %d\n", what, result < 0 ? errno : 0);
}

static void
calls(void)
{
  char zero[128] = { 0 };

  say("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
  say("umount", umount2("/data", MNT_DETACH));
  say("ptrace", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
  say("bpf", syscall(SYS_bpf, 0, zero, sizeof zero));
  say("unshare", unshare(CLONE_NEWUSER));
  say("setns", setns(0, 0));
  say("clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
  say("clone3", syscall(SYS_clone3, zero, 64));
  say("chroot", chroot("/data"));
  say("keyctl", syscall(SYS_keyctl, 0, -3, 0));
  say("io_uring", syscall(SYS_io_uring_setup, 1, zero));
  say("perf", syscall(SYS_perf_event_open, zero, 0, -1, -1, 0));
  say("userfaultfd", syscall(SYS_userfaultfd, 0));
  say("vmsplice", syscall(SYS_vmsplice, 1, NULL, 0, 0));
  say("inet", socket(AF_INET, SOCK_STREAM, 0));
  say("inet6", socket(AF_INET6, SOCK_DGRAM, 0));
  say("raw", socket(AF_INET, SOCK_RAW, 1));
  say("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
  say("audit", socket(AF_NETLINK, SOCK_RAW, 9));
  say("alg", socket(38, SOCK_SEQPACKET, 0));
  say("unix", socket(AF_UNIX, SOCK_STREAM, 0));
  say("setuid", setuid(1000));
  say("mknod", mknod("/data/disk", S_IFBLK | 0600, 8 << 8));
}

static void
files(int argc, char **argv)
{
  static const char *const places[] = { "/x",     "/usr/x",  "/usr/local/x", "/app/x",  "/etc/x",    "/portena/x",
                                        "/proc/sys/kernel/core_pattern", "/dev/x", "/data/x", "/tmp/x", "/dev/shm/x", "/dev/null" };
  char what[300];

  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    snprintf(what, sizeof what, "write:%s", places[i]);
    say(what, open(places[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  }
  for (int i = 0; i < argc; i++) {
    snprintf(what, sizeof what, "read:%s", argv[i]);
    say(what, open(argv[i], O_RDONLY | O_CLOEXEC));
  }
  say("chmod:/app", chmod("/app", 0777));
  say("chmod:/data/x", chmod("/data/x", 0755));
}

/* A copy of itself in /data: only Landlock forbids to execute it. */
static void
execute(void)
{
  char buf[65536];
  ssize_t n;
  int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open("/data/copy", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

  while ((n = read(from, buf, sizeof buf)) > 0)
    if (write(to, buf, (size_t)n) != n)
      break;
  close(to);
  fflush(stdout);
  if (fork() == 0) {
    execl("/data/copy", "copy", "exit", "0", NULL);
    say("execute:/data", -1);
    exit(0);
  }
  wait(NULL);
}

static void
count(void)
{
  DIR *d = opendir("/proc");
  const struct dirent *e;
  int n = 0;

  while (d && (e = readdir(d)))
    n += e->d_name[0] >= '1' && e->d_name[0] <= '9';
  printf("processes %d\n", n);
}

static int
serve(void)
{
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(7000) };
  int s = socket(AF_INET, SOCK_STREAM, 0);

  say("bind", bind(s, (struct sockaddr *)&a, sizeof a));
  say("listen", listen(s, 4));
  fflush(stdout);
  for (;;) {
    int c = accept(s, NULL, NULL);
    if (c < 0 || write(c, "hello\n", 6) != 6)
      return 1;
    close(c);
  }
}

static int
get(const char *address)
{
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(7000) };
  int s = socket(AF_INET, SOCK_STREAM, 0);
  char buf[16] = { 0 };

  inet_pton(AF_INET, address, &a.sin_addr);
  if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof a) || read(s, buf, sizeof buf - 1) <= 0)
    return 1;
  printf("got %s", buf);
  return 0;
}

static int
eat(void)
{
  for (;;) {
    char *p = malloc(1 << 20);
    if (p)
      memset(p, 1, 1 << 20);
  }
}

/* Children until no more are let. */
static int
breed(void)
{
  int n = 0;

  for (pid_t pid; (pid = fork()) >= 0; n++)
    if (pid == 0)
      pause();
  printf("children %d\n", n);
  return 0;
}

/* Adds a line to /data/starts; fails until there are as many as wanted, then stays. */
static int
again(int wanted)
{
  FILE *f = fopen("/data/starts", "a+");
  int lines = 1;

  if (!f || fputs("x\n", f) < 0)
    return 2;
  rewind(f);
  for (int c; (c = getc(f)) != EOF;)
    lines += c == '\n';
  if (lines <= wanted)
    return 1;
  puts("at last");
  fflush(stdout);
  pause();
  return 0;
}

int
main(int argc, char **argv)
{
  const char *what = argc > 1 ? argv[1] : "hello";

  setvbuf(stdout, NULL, _IOLBF, 0);
  if (strcmp(what, "walls") == 0) {
    files(argc - 2, argv + 2);
    execute();
    count();
    calls(); /* gives up uid 0 at its end */
  } else if (strcmp(what, "serve") == 0) {
    return serve();
  } else if (strcmp(what, "get") == 0) {
    return get(argv[2]);
  } else if (strcmp(what, "eat") == 0) {
    return eat();
  } else if (strcmp(what, "breed") == 0) {
    return breed();
  } else if (strcmp(what, "again") == 0) {
    return again(atoi(argv[2]));
  } else if (strcmp(what, "stay") == 0) {
    FILE *f = fopen("/dev/stdout", "w"); /* as programs in containers log */
    fprintf(f ? f : stderr, f ? "here I stay\n" : "no /dev/stdout\n");
    fflush(f);
    for (char line[100]; fgets(line, sizeof line, stdin);)
      printf("you said %s", line);
    pause();
  }
  printf("hello, %d:", argc);
  for (int i = 1; i < argc; i++)
    printf(" [%s]", argv[i]);
  puts("");
  return 7;
}
