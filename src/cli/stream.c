// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. The server hands over a control socket (base/wire.h); the first message on it brings the stream's
 * descriptors: one for a terminal, or stdin, stdout and stderr of the command. From then on one poll loop moves bytes in up
 * to three directions, forwards signals and the terminal's size, and waits for the exit message. Signals come through a
 * signalfd, so there is no handler to race with. */
#include "cli/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wireio.h"
#include "cli/output.h"
#include "cli/pump.h"
#include "cli/terminal.h"

#define IMPATIENT 3 /* interrupts within two seconds: the user wants out, whatever the command thinks */

typedef struct Stream {
  const PtStreamOptions *o;
  int control; /* -1 = none */
  int signals;
  bool tty;
  bool exited;
  int status;   /* once exited */
  bool cut;     /* control closed without an exit */
  bool refused; /* the instance did not run it; `status` is as a shell has it */
  guint interrupts;
  gint64 interrupted;
  PtPump pumps[3]; /* in, out, err */
} Stream;

static void
send_control(Stream *s, guint32 type, guint a, guint b)
{
  /* A monitor that is gone shows as the end of the control socket; nothing more to say here. */
  if (s->control >= 0)
    pt_wire_send(s->control, type, a, b, NULL, NULL, 0, NULL);
}

static void
send_size(Stream *s)
{
  guint columns = 0, rows = 0;

  pt_terminal_size(&columns, &rows);
  send_control(s, PT_WIRE_RESIZE, columns, rows);
}

static int
open_signals(void)
{
  static const int forwarded[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };
  sigset_t set;

  sigemptyset(&set);
  for (guint i = 0; i < G_N_ELEMENTS(forwarded); i++)
    sigaddset(&set, forwarded[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
on_signal(Stream *s)
{
  struct signalfd_siginfo si;

  while (read(s->signals, &si, sizeof si) == sizeof si) {
    int sig = (int)si.ssi_signo;
    gint64 now = pt_mono();
    if (sig == SIGWINCH) {
      if (s->tty)
        send_size(s);
      continue;
    }
    if (sig == SIGINT) {
      s->interrupts = now - s->interrupted < 2 * G_USEC_PER_SEC ? s->interrupts + 1 : 1;
      s->interrupted = now;
    }
    if (!s->o->view && s->control >= 0 && s->interrupts < IMPATIENT && !(sig == SIGHUP && s->tty)) {
      send_control(s, PT_WIRE_SIGNAL, (guint)sig, 0);
    } else {
      s->exited = true;
      s->status = 128 + sig;
    }
  }
}

/* Descriptors of the first message into the pumps. */
static bool
attach(Stream *s, PtWireMsg *m, GError **error)
{
  s->tty = (m->head.a & PT_WIRE_TTY) != 0;
  if (m->n_fds != (s->tty ? 1 : 3)) {
    PT_SET(error, PT_ERR_INTERNAL, "%s: the server handed over %u descriptors where %d belong", s->o->name, m->n_fds,
           s->tty ? 1 : 3);
    return false;
  }
  int in = pt_wire_take_fd(m, 0), out = s->tty ? in : pt_wire_take_fd(m, 1), err = s->tty ? -1 : pt_wire_take_fd(m, 2);
  int far[] = { in, out, err };
  for (guint i = 0; i < 3; i++)
    if (far[i] >= 0)
      fcntl(far[i], F_SETFL, fcntl(far[i], F_GETFL) | O_NONBLOCK);
  pt_pump_init(&s->pumps[0], STDIN_FILENO, in);
  pt_pump_init(&s->pumps[1], out, STDOUT_FILENO);
  pt_pump_init(&s->pumps[2], err, STDERR_FILENO);
  /* The one descriptor of a terminal belongs to the direction that lasts longer. */
  s->pumps[0].own_to = !s->tty;
  s->pumps[1].own_from = s->pumps[2].own_from = true;
  if (s->o->raw)
    s->pumps[0].stop = s->o->detach;
  return true;
}

static bool
on_message(Stream *s, PtWireMsg *m, GError **error)
{
  const struct pt_wire *h = &m->head;

  switch (h->type) {
  case PT_WIRE_STREAM:
    return attach(s, m, error);
  case PT_WIRE_EXIT:
    s->exited = true;
    s->status = h->b ? 128 + (int)(h->b & 0x7f) : (int)(h->a & 0xff);
    return true;
  case PT_WIRE_ERROR: {
    const char *newline = strchr(m->text, '\n');
    s->refused = h->a == PT_ERR_NOT_FOUND && !h->b; /* the server's word is on who may, and whether there is such an instance */
    s->status = 127;
    PT_SET(error, h->a < PT_N_ERRS ? h->a : PT_ERR_INTERNAL, "%s",
           *m->text ? m->text : "the instance refused, and did not say why");
    if (!newline)
      g_prefix_error(error, "%s: ", s->o->name);
    return false;
  }
  default:
    return true; /* of a newer monitor */
  }
}

/* False with an error; the end of the socket is no error yet. */
static bool
on_control(Stream *s, GError **error)
{
  g_auto(PtWireMsg) m = { 0 };
  int rc = pt_wire_recv(s->control, &m, error);

  if (rc < 0)
    return false;
  if (rc > 0)
    return on_message(s, &m, error);
  close(s->control);
  s->control = -1;
  s->cut = true;
  return true;
}

/* What the command wrote before it ended is still in the pipes; what its children write later is not waited for. */
static void
drain(Stream *s)
{
  for (guint i = 1; i < 3; i++) {
    PtPump *p = &s->pumps[i];
    while (pt_pump_open(p)) {
      struct pollfd f[2];
      pt_pump_poll(p, &f[0], &f[1]);
      if (poll(f, 2, p->len ? -1 : 0) <= 0 || !pt_pump_move(p, &f[0], &f[1]))
        break;
      if (!f[0].revents && !f[1].revents)
        break;
    }
  }
}

/* One turn. False: the stream has ended, or failed with `error`. */
static bool
turn(Stream *s, GError **error)
{
  struct pollfd f[8];

  f[0] = (struct pollfd){ .fd = s->control, .events = POLLIN };
  f[1] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
  for (guint i = 0; i < 3; i++)
    pt_pump_poll(&s->pumps[i], &f[2 + 2 * i], &f[3 + 2 * i]);
  if (poll(f, 8, -1) < 0)
    return errno == EINTR;
  if (f[1].revents)
    on_signal(s);
  for (guint i = 0; i < 3; i++)
    pt_pump_move(&s->pumps[i], &f[2 + 2 * i], &f[3 + 2 * i]);
  /* A terminal's one descriptor went with the direction that owned it. */
  if (!pt_pump_open(&s->pumps[1]) && !s->pumps[0].own_to)
    pt_pump_close(&s->pumps[0]);
  if (f[0].revents && !on_control(s, error))
    return false;
  if (s->pumps[0].stopped)
    return false;
  /* Without a control socket the end of the output is the end. */
  return !s->exited && !s->cut && (s->control >= 0 || pt_pump_open(&s->pumps[1]));
}

static int
finish(Stream *s, GError **error)
{
  if (error && *error)
    return s->refused ? s->status : -1;
  if (s->pumps[0].stopped)
    return 0;
  drain(s);
  if (s->exited)
    return s->status;
  if (!s->cut)
    return 0;
  PT_SET(error, PT_ERR_UNREACHABLE, "%s: the connection broke before the end was known", s->o->name);
  pt_error_hint(error, "see whether it still runs:  portena show %s", s->o->name);
  return -1;
}

int
pt_stream_run(PtCli *cli, int fd, guint32 type, const PtStreamOptions *options, GError **error)
{
  Stream s = { .o = options, .control = -1 };
  g_autoptr(GError) why = NULL;

  (void)cli;
  for (guint i = 0; i < 3; i++)
    pt_pump_init(&s.pumps[i], -1, -1);
  s.signals = open_signals();
  if (type == PT_WIRE_CONTROL) {
    s.control = fd;
  } else {
    pt_pump_init(&s.pumps[0], STDIN_FILENO, fd);
    pt_pump_init(&s.pumps[1], fd, STDOUT_FILENO);
    s.pumps[1].own_from = true;
    s.pumps[0].stop = options->raw ? options->detach : 0;
  }
  if (options->raw) {
    pt_terminal_raw();
    send_size(&s);
  }
  while (turn(&s, &why))
    continue;
  int status = finish(&s, &why);
  pt_terminal_restore();
  for (guint i = 0; i < 3; i++)
    pt_pump_clear(&s.pumps[i]);
  if (s.control >= 0)
    close(s.control);
  close(s.signals);
  if (why)
    g_propagate_error(error, g_steal_pointer(&why));
  return status;
}
