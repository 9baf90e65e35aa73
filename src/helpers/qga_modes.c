// SPDX-License-Identifier: Apache-2.0
/* portena-guestctl qga exec [--tty] [--no-env] [--user WHO] [--cwd DIR] -- COMMAND…
 * portena-guestctl qga ping|time|shutdown
 *
 * Theory of operation. These run in the jail of a machine of an unmodified system, where QEMU's own guest agent, if the
 * guest has one, is behind /vm/agent. That is one agent with one connection, so whoever speaks holds /vm/agent.lock, and
 * only for as long as one question takes: a command that runs for a day is asked after, and holds up nobody.
 *
 * exec is the command for everybody outside. The agent has no terminal and no streams: it is given the command's whole input
 * at its start, and gives the whole output at its end. ping ends well as soon as the agent answers, time tells it what time
 * it is (after the guest stood still), shutdown asks it to end the system. portena-vmm runs these three. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "helpers/guestctl.h"
#include "helpers/qga.h"

#define VM_DIR "/vm"
#define LOCK_STEP_MS 20
#define BUSY_MS 30000    /* somebody else is at it */
#define OPEN_MS 10000    /* the agent of a guest that has much to do */
#define SILENT_MS 120000 /* a command whose agent says nothing for so long is given up */
#define PING_TRIES 60
#define LOOK_FIRST_MS 15
#define LOOK_MS 500
#define INPUT_MAX (4u << 20)
#define WORDS_MAX 4096
enum { OUR_FAULT = 125, CANNOT_RUN = 126, NO_COMMAND = 127 };

static struct qga q;
static int lock_fd = -1, agent_fd = -1;

static int complain(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int
complain(int status, const char *fmt, ...)
{
  va_list ap;

  fputs("portena: ", stderr);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputs("\n", stderr);
  return status;
}

static long long
now_ms(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
pause_ms(int ms)
{
  poll(NULL, 0, ms);
}

/* ---- one question ---- */

static void
let_go(void)
{
  if (agent_fd >= 0)
    close(agent_fd);
  if (lock_fd >= 0)
    close(lock_fd);
  agent_fd = lock_fd = -1;
}

/* The agent is ours and answers; let_go() afterwards, also on failure. */
static bool
take(int busy_ms, int open_ms)
{
  int dir = open(VM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  long long until = now_ms() + busy_ms;
  unsigned number = 0;

  for (;;) {
    lock_fd = dir < 0 ? -1 : port_lock(dir, "agent.lock");
    if (lock_fd >= 0 || dir < 0 || now_ms() >= until)
      break;
    pause_ms(LOCK_STEP_MS);
  }
  agent_fd = lock_fd < 0 ? -1 : port_connect(dir, "agent");
  if (dir >= 0)
    close(dir);
  return agent_fd >= 0 && getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number &&
         qga_open(&q, agent_fd, number >> 1, open_ms);
}

/* ---- ping, time, shutdown ---- */

static int
ping(void)
{
  for (int i = 0; i < PING_TRIES; i++) {
    bool there = take(BUSY_MS, OPEN_MS);

    let_go();
    if (there)
      return 0;
    pause_ms(1000);
  }
  return 1;
}

static int
set_time(void)
{
  struct timespec t;

  for (int i = 0; i < PING_TRIES; i++) {
    if (take(BUSY_MS, OPEN_MS) && clock_gettime(CLOCK_REALTIME, &t) == 0) {
      qga_begin(&q, "guest-set-time");
      qga_arg_number(&q, "time", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
      /* It complains where it has no hwclock(8) to set the other clock with; by then the time is right. */
      if (qga_run(&q, NULL, OPEN_MS) != QGA_LOST) {
        let_go();
        return 0;
      }
    }
    let_go();
    pause_ms(1000);
  }
  return 1;
}

static int
shut_down(void)
{
  bool ok = take(2000, 3000);

  if (ok) {
    qga_begin(&q, "guest-shutdown");
    qga_arg_text(&q, "mode", "powerdown");
    ok = qga_run(&q, NULL, 3000) != QGA_REFUSED && q.text[0] == '\0'; /* that it does it, it does not say */
  }
  let_go();
  return ok ? 0 : 1;
}

/* ---- exec ---- */

static const char *argv_of[WORDS_MAX + 16], *env_of[WORDS_MAX + 2];
static unsigned char input[INPUT_MAX], output[2][QGA_OUTPUT_MAX];
static struct qga_command command = { .out = { output[0], 0, sizeof output[0], false },
                                      .err = { output[1], 0, sizeof output[1], false } };

static bool
word(const char *text)
{
  if (command.argc >= WORDS_MAX || !qga_is_text(text))
    return false;
  argv_of[command.argc++] = text;
  return true;
}

/* The agent knows neither users nor directories, but the programs for that are in every system. */
static bool
describe(int argc, char **argv, bool *ret_tty, bool *ret_env)
{
  const char *user = NULL, *cwd = NULL;
  int i = 1;

  for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--tty") == 0)
      *ret_tty = true;
    else if (strcmp(argv[i], "--no-env") == 0)
      *ret_env = false;
    else if (i + 1 < argc && strcmp(argv[i], "--user") == 0)
      user = argv[++i];
    else if (i + 1 < argc && strcmp(argv[i], "--cwd") == 0)
      cwd = argv[++i];
    else
      return false;
  }
  i += i < argc && strcmp(argv[i], "--") == 0;
  bool ok = i < argc;
  if (user && strcmp(user, "root") != 0 && strcmp(user, "0") != 0)
    ok = ok && word("runuser") && word("-u") && word(user) && word("--");
  if (cwd)
    ok = ok && word("/bin/sh") && word("-c") && word("cd -- \"$0\" && exec \"$@\"") && word(cwd);
  for (; ok && i < argc; i++)
    ok = word(argv[i]);
  argv_of[command.argc] = NULL;
  command.argv = argv_of;
  return ok;
}

/* Variables that are given take the place of the agent's own; a command is still looked for where commands are. */
static bool
add_env(void)
{
  bool path = false;

  for (char **e = environ; *e; e++) {
    if (command.env_n >= WORDS_MAX || !qga_is_text(*e))
      return false;
    path |= strncmp(*e, "PATH=", 5) == 0;
    env_of[command.env_n++] = *e;
  }
  if (command.env_n && !path)
    env_of[command.env_n++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  command.env = command.env_n ? env_of : NULL;
  return true;
}

/* All of its input; somebody at a terminal gives none. */
static bool
read_input(void)
{
  struct pollfd p = { .fd = 0, .events = POLLIN };
  bool said = false;

  command.in = input;
  for (;;) {
    if (!said && poll(&p, 1, 3000) == 0) {
      said = true;
      complain(0, "reading what the command is to be given, up to its end (an unmodified system takes it at once; < "
                  "/dev/null is nothing)");
    }
    ssize_t n = read(0, input + command.in_n, sizeof input - command.in_n);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return true;
    command.in_n += (size_t)n;
    if (command.in_n == sizeof input)
      return false;
  }
}

static void
write_all(int fd, const unsigned char *at, size_t size)
{
  while (size) {
    ssize_t n = write(fd, at, size);

    if (n < 0 && errno != EINTR)
      return; /* nobody reads it any more */
    at += n > 0 ? n : 0;
    size -= n > 0 ? (size_t)n : 0;
  }
}

static int
refused(const char *what)
{
  if (strcmp(q.class, "CommandNotFound") == 0 || strstr(q.text, "disabled"))
    return complain(
      OUR_FAULT, "the agent in the guest does not allow commands (%s); allow guest-exec in its configuration there", q.text);
  return complain(strstr(q.text, "No such file") ? NO_COMMAND : CANNOT_RUN, "%s: %s", what, q.text);
}

/* The guest's own command for it; it says nothing. */
static void
pass_signal(unsigned number)
{
  char text[64];
  const char *const argv[] = { "/bin/sh", "-c", text, NULL };
  struct qga_command kill = { .argv = argv, .argc = 3 };

  snprintf(text, sizeof text, "kill -%u %lld", number, command.pid);
  if (take(BUSY_MS, OPEN_MS))
    qga_start(&q, &kill);
  let_go();
}

/* Whether to go on: a second signal, or a client that is gone, is not waited for. */
static bool
on_signals(int fd)
{
  static unsigned seen;
  struct signalfd_siginfo info;

  while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
    pass_signal(info.ssi_signo);
    if (info.ssi_signo == SIGHUP || seen++)
      return false;
  }
  return true;
}

static int
watch_signals(void)
{
  sigset_t set;

  sigemptyset(&set);
  for (const int *s = (const int[]){ SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, 0 }; *s; s++)
    sigaddset(&set, *s);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
finish(void)
{
  write_all(1, command.out.at, command.out.n);
  write_all(2, command.err.at, command.err.n);
  if (command.out.cut || command.err.cut)
    complain(0, "the command wrote more than an unmodified system passes on (16 MiB); the rest is lost");
  return command.sig ? 128 + command.sig : command.status & 255;
}

static int
follow(int signals)
{
  struct pollfd p = { .fd = signals, .events = POLLIN };
  long long heard = now_ms();
  int delay = LOOK_FIRST_MS;

  for (;;) {
    poll(&p, 1, delay);
    if (!on_signals(signals))
      return 128 + SIGHUP;
    delay = delay * 3 / 2 < LOOK_MS ? delay * 3 / 2 : LOOK_MS;
    enum qga_result r = take(BUSY_MS, OPEN_MS) ? qga_look(&q, &command) : QGA_LOST;
    let_go();
    if (r == QGA_REFUSED)
      return complain(OUR_FAULT, "how the command ended is not known: the agent in the guest has been started anew (%s)",
                      q.text);
    if (r == QGA_DONE && command.exited)
      return finish();
    if (r == QGA_DONE)
      heard = now_ms();
    else if (now_ms() - heard > SILENT_MS)
      return complain(OUR_FAULT, "the agent in the guest no longer answers, so how the command ended is not known");
  }
}

static int
run_exec(int argc, char **argv)
{
  bool tty = false, env = true;

  if (!describe(argc, argv, &tty, &env) || (env && !add_env()))
    return complain(OUR_FAULT, "name a command; its words have to be UTF-8, and not too many");
  int signals = watch_signals();
  if (!tty && !read_input())
    return complain(OUR_FAULT,
                    "an unmodified system takes 4 MiB of input at most: copy a file to it, and let the command read that");
  enum qga_result r = take(BUSY_MS, OPEN_MS) ? qga_start(&q, &command) : QGA_LOST;
  bool busy = lock_fd < 0;
  let_go();
  if (r == QGA_REFUSED)
    return refused(argv_of[0]);
  if (r == QGA_LOST)
    return complain(
      OUR_FAULT, busy ? "the agent in the guest is busy with a copy: wait until that has ended"
                      : "the agent in the guest does not answer (qemu-guest-agent): is it installed, and has it started?");
  return follow(signals);
}

int
qga_main(int argc, char **argv)
{
  if (argc > 1 && strcmp(argv[0], "exec") == 0)
    return run_exec(argc, argv);
  if (argc == 1 && strcmp(argv[0], "ping") == 0)
    return ping();
  if (argc == 1 && strcmp(argv[0], "time") == 0)
    return set_time();
  if (argc == 1 && strcmp(argv[0], "shutdown") == 0)
    return shut_down();
  return complain(
    OUR_FAULT, "usage: portena-guestctl qga exec [--tty] [--user WHO] [--cwd DIR] -- COMMAND... | ping | time | shutdown");
}
