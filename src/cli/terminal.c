// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t is_raw;

void
pt_terminal_restore(void)
{
  if (!is_raw)
    return;
  is_raw = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
}

/* A crash of ours must not cost the user the terminal. tcsetattr() is async-signal-safe. */
static void
on_crash(int sig)
{
  int err = errno;

  pt_terminal_restore();
  errno = err;
  raise(sig); /* SA_RESETHAND: now for real */
}

bool
pt_terminal_raw(void)
{
  static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
  struct sigaction sa = { .sa_handler = on_crash, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
  struct termios raw;

  if (tcgetattr(STDIN_FILENO, &saved) < 0)
    return false;
  for (guint i = 0; i < G_N_ELEMENTS(crashes); i++)
    sigaction(crashes[i], &sa, NULL);
  atexit(pt_terminal_restore);
  raw = saved;
  cfmakeraw(&raw);
  is_raw = 1;
  return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

void
pt_terminal_size(guint *ret_columns, guint *ret_rows)
{
  struct winsize ws = { 0 };

  if ((ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || ws.ws_col == 0) && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
    ws.ws_col = 0;
  *ret_columns = ws.ws_col ? ws.ws_col : 80;
  *ret_rows = ws.ws_row ? ws.ws_row : 24;
}
