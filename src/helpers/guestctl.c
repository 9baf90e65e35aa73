// SPDX-License-Identifier: Apache-2.0
/* portena-guestctl exec [--tty] [--user WHO] [--cwd DIR] [-- COMMAND…]
 * portena-guestctl request [--qga] ID
 * portena-guestctl qga … (qga_modes.c)
 *
 * Theory of operation. Both speak to the agent of a machine over one of its ports (base/guest.h).
 *
 * exec runs in the machine's jail, where the ports are below /vm. It is the command for everybody outside: its terminal or pipes are the
 * command's, its signals go there, and it ends as the command did. The environment that it is given is the command's, so that no
 * secret stands in an argument.
 *
 * request is started by portenad, with all it needs: 0 is what the request reads and 1 what it writes, 3 the connected port,
 * 4 the request's lines, 5 where the answers go (as lines); what else is open, a lock, is held until it ends. It takes the ids ID and
 * gives up all else before it reads a byte. When nobody takes its output any more, it ends. What a put reads is a socket: who has written
 * all shuts it down for writing, and who closes it, or dies, has not. With --qga the port is that of QEMU's own guest agent
 * (qga_files.c). */
#include "helpers/guestctl.h"
#include "helpers/qga.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define VM_DIR "/vm"
#define WELCOME_MS 20000
#define AGAIN_MS 3000 /* a guest that had the last session end just now may have taken ours for it */
#define FLUSH_MS 5000
enum { OUR_FAULT = 125, CANNOT_RUN = 126, NO_COMMAND = 127 };
enum { PORT_FD = 3, LINES_FD = 4, ANSWERS_FD = 5 };

static struct ctl c;
static char lines[PT_GUEST_REQUEST_MAX];
static size_t lines_n;
static struct termios before;
static bool is_raw;

static int
fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int
fail(int status, const char *fmt, ...)
{
  va_list ap;

  if (is_raw)
    tcsetattr(0, TCSANOW, &before);
  fputs("portena: ", stderr);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputs(c.tty ? "\r\n" : "\n", stderr);
  return status;
}

static bool
line(const char *key, const char *value)
{
  size_t key_n = strlen(key);

  if (lines_n + key_n + 2 * strlen(value) + 2 > sizeof lines)
    return false;
  memcpy(lines + lines_n, key, key_n);
  lines_n += key_n;
  lines[lines_n++] = '=';
  for (; *value; value++) {
    if (*value == '\\' || *value == '\n')
      lines[lines_n++] = '\\';
    lines[lines_n++] = *value == '\n' ? 'n' : *value;
  }
  lines[lines_n++] = '\n';
  return true;
}

static long long
now_ms(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The session, up to the guest's answer. Said once more, a hello only begins it anew: nothing is asked before the answer. */
static bool
greet(void)
{
  long long now = now_ms(), until = now + WELCOME_MS, again = now + AGAIN_MS;

  ctl_hello(&c);
  while (!c.welcomed) {
    if ((now = now_ms()) >= until)
      return false;
    if (now >= again && !c.to_n) {
      ctl_hello(&c);
      again = now + AGAIN_MS;
    }
    long long next = again < until && again > now ? again : until;
    if (!ctl_turn(&c, -1, (int)(next - now)))
      return false;
  }
  return true;
}

static void
flush(void)
{
  long long until = now_ms() + FLUSH_MS;

  /* The command has ended; its last words are given time, for ever they are not: the reader may be gone. */
  while (!ctl_flushed(&c) && now_ms() < until)
    if (!ctl_turn(&c, -1, FLUSH_MS))
      return;
}

/* ---- exec ---- */

static void
send_size(void)
{
  struct winsize size;
  unsigned char data[8];

  if (!c.tty || ioctl(0, TIOCGWINSZ, &size) < 0)
    return;
  pt_guest_put32(data, size.ws_col);
  pt_guest_put32(data + 4, size.ws_row);
  ctl_send(&c, PT_GUEST_RESIZE, data, sizeof data);
}

static int
watch_signals(void)
{
  sigset_t set;

  sigemptyset(&set);
  for (const int *s = (const int[]){ SIGWINCH, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGTSTP, 0 }; *s; s++)
    sigaddset(&set, *s);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
on_signal(int fd)
{
  struct signalfd_siginfo info;
  unsigned char data[4];

  while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGWINCH) {
      send_size();
      continue;
    }
    pt_guest_put32(data, info.ssi_signo);
    ctl_send(&c, PT_GUEST_SIGNAL, data, sizeof data);
  }
}

static void
make_raw(void)
{
  struct termios t;

  if (!c.tty || tcgetattr(0, &before) < 0)
    return;
  t = before;
  cfmakeraw(&t);
  is_raw = tcsetattr(0, TCSANOW, &t) == 0;
}

/* Our terminal is given its size while we begin already. What comes after we have read it waits until we listen. */
static void
hold_resizes(void)
{
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool
describe(int argc, char **argv)
{
  bool ok = line("do", "exec");
  int i = 1;

  for (; ok && i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--tty") == 0) {
      c.tty = true;
      ok = line("tty", "1");
    } else if (i + 1 < argc && (strcmp(argv[i], "--user") == 0 || strcmp(argv[i], "--cwd") == 0)) {
      ok = line(argv[i] + 2, argv[i + 1]);
      i++;
    } else {
      return false;
    }
  }
  i += i < argc && strcmp(argv[i], "--") == 0;
  for (; ok && i < argc; i++)
    ok = line("arg", argv[i]);
  for (char **e = environ; ok && *e; e++)
    ok = line("env", *e);
  struct winsize size;
  char number[16];
  if (ok && c.tty && ioctl(0, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
    snprintf(number, sizeof number, "%u", size.ws_col);
    ok = line("cols", number);
    snprintf(number, sizeof number, "%u", size.ws_row);
    ok = ok && line("rows", number);
  }
  return ok;
}

static int
end_like(uint32_t status, uint32_t sig)
{
  const struct rlimit none = { 0, 0 };
  sigset_t set;

  if (sig == 0 || sig > 64)
    return (int)(status & 255);
  setrlimit(RLIMIT_CORE, &none);
  signal((int)sig, SIG_DFL);
  sigfillset(&set);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  raise((int)sig);
  return 128 + (int)sig;
}

static int
run_exec(int argc, char **argv)
{
  int lock, dir = open(VM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  hold_resizes();
  if (!describe(argc, argv))
    return fail(OUR_FAULT, "the command and its environment are too long, or not understood");
  c.port = dir < 0 ? -1 : port_take(dir, &lock);
  if (c.port < 0)
    return fail(OUR_FAULT, "all the ways into this machine are in use: close a terminal or wait for a command to end");
  int signals = watch_signals();
  if (getrandom(c.nonce, sizeof c.nonce, 0) != (ssize_t)sizeof c.nonce || !greet())
    return fail(OUR_FAULT, "the machine does not answer: it is still starting, or its system is no longer in order");
  for (int fd = 0; fd < 3; fd++) {
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
      fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    c.fd[fd] = flags >= 0 ? fd : -1;
  }
  c.exits = true;
  c.answers = -1;
  make_raw();
  ctl_request(&c, lines, lines_n);
  while (!c.ended) {
    if (!ctl_turn(&c, signals, -1))
      return fail(128 + SIGKILL, "the machine has ended");
    on_signal(signals);
  }
  flush();
  if (is_raw)
    tcsetattr(0, TCSANOW, &before);
  if (c.type == PT_GUEST_ERROR)
    return fail(c.a == ENOENT ? NO_COMMAND : CANNOT_RUN, "%s%s%s", c.text, c.a ? ": " : "", c.a ? strerror((int)c.a) : "");
  return end_like(c.a, c.b);
}

/* ---- request ---- */

/* The verb alone says how a request ends. */
static void
set_end(void)
{
  c.whole = strncmp(lines, "do=put\n", 7) == 0;
  c.want = c.whole || strncmp(lines, "do=get\n", 7) == 0 ? 2 : 1;
  c.exits = strncmp(lines, "do=connect\n", 11) == 0;
}

/* QEMU's own agent: no frames, and no port of ours. */
static int
request_qga(void)
{
  static struct qga q;
  unsigned number, tag;

  memcpy(&number, c.nonce, sizeof number);
  memcpy(&tag, c.nonce + sizeof number, sizeof tag);
  if (!qga_open(&q, PORT_FD, number >> 1, WELCOME_MS))
    return 1;
  qga_request(&q, lines, lines_n, &(const struct qga_streams){ .in = 0, .out = 1, .answers = ANSWERS_FD, .tag = tag });
  return 0;
}

static int
run_request(const char *id, bool qga)
{
  char *end;
  unsigned long number = strtoul(id, &end, 10);
  ssize_t n;

  while (lines_n < sizeof lines && (n = read(LINES_FD, lines + lines_n, sizeof lines - lines_n)) > 0)
    lines_n += (size_t)n;
  signal(SIGPIPE, SIG_IGN);
  fcntl(0, F_SETFL, O_NONBLOCK);
  fcntl(1, F_SETFL, O_NONBLOCK);
  c.port = PORT_FD;
  c.answers = ANSWERS_FD;
  c.fd[CTL_IN] = 0;
  c.fd[CTL_OUT] = 1;
  c.fd[CTL_ERR] = -1;
  set_end();
  if (*end || number == 0 || number > UINT32_MAX - 1 || getrandom(c.nonce, sizeof c.nonce, 0) != (ssize_t)sizeof c.nonce ||
      !confine((uid_t)number))
    return OUR_FAULT;
  if (qga)
    return request_qga();
  if (!greet())
    return 1;
  ctl_request(&c, lines, lines_n);
  while (!c.ended) {
    if (!ctl_turn(&c, -1, -1))
      return 1;
    if (c.fd[CTL_OUT] < 0)
      return 0;
  }
  flush();
  return 0;
}

int
main(int argc, char **argv)
{
  if (argc >= 2 && strcmp(argv[1], "exec") == 0)
    return run_exec(argc - 1, argv + 1);
  if (argc == 3 && strcmp(argv[1], "request") == 0)
    return run_request(argv[2], false);
  if (argc == 4 && strcmp(argv[1], "request") == 0 && strcmp(argv[2], "--qga") == 0)
    return run_request(argv[3], true);
  if (argc >= 3 && strcmp(argv[1], "qga") == 0)
    return qga_main(argc - 2, argv + 2);
  return fail(OUR_FAULT, "usage: portena-guestctl exec [--tty] [--user WHO] [--cwd DIR] [-- COMMAND...]");
}
