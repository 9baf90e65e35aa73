// SPDX-License-Identifier: Apache-2.0
/* ps, top: every process of an instance or of a whole space, as if it were one machine. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/terminal.h"

/* The path to ask, and whether it is a whole space. */
static char *
processes_path(PtCli *cli, const PtArgs *args, bool *ret_space, GError **error)
{
  const char *name = pt_args_nth(args, 0);

  *ret_space = !name;
  if (name) {
    g_auto(PtTarget) t = { 0 };
    return pt_target_parse(cli, name, &t, error) ? pt_target_path(&t, "/processes") : NULL;
  }
  const char *space = pt_cli_space(cli, error);
  return space ? pt_client_path("/v1/spaces/%s/processes", space) : NULL;
}

/* "0:07", "1:02:33" of cpu time */
static char *
cpu_time(gint64 usec)
{
  gint64 s = usec / G_USEC_PER_SEC;

  return s < 3600 ? g_strdup_printf("%d:%02d", (int)(s / 60), (int)(s % 60))
                  : g_strdup_printf("%" G_GINT64_FORMAT ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
}

static int
run_ps(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "COMPUTER", "PID",    "PPID", "USER",    "STATE",
                                          "CPU TIME", "MEMORY", "UP",   "COMMAND", NULL };
  g_autoptr(json_t) answer = NULL;
  bool space = false;
  gsize n;
  json_t *p;

  g_autofree char *path = processes_path(cli, args, &space, error);
  if (!path || !pt_cli_call(cli, "GET", path, NULL, &answer, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, answer);
    return 0;
  }
  g_autoptr(PtTable) t = pt_table_new(space ? headings : headings + 1);
  json_array_foreach (json_object_get(answer, "items"), n, p) {
    g_autofree char *pid = pt_member_text(p, "pid"), *ppid = pt_member_text(p, "ppid"),
                    *cpu = cpu_time(pt_json_int(p, "cpu_usec", 0)), *memory = pt_member_size(p, "memory"),
                    *up = pt_since(pt_json_str(p, "started", NULL));
    const char *cells[] = { pt_json_str(p, "instance", ""), pid, ppid,   pt_json_str(p, "user", ""),
                            pt_json_str(p, "state", ""),    cpu, memory, up,
                            pt_json_str(p, "command", "") };
    if (cli->quiet)
      pt_say("%s", pid);
    else
      pt_table_add(t, space ? cells : cells + 1);
  }
  if (!cli->quiet)
    pt_table_print(t, cli);
  return 0;
}

/* --- top --- */

typedef struct Row {
  const json_t *process; /* borrowed from the answer */
  double cpu;            /* of one cpu, since the last look */
} Row;

typedef struct Top {
  PtCli *cli;
  const char *path;
  bool space, by_memory;
  GHashTable *before; /* "instance/pid/started" → cpu_usec, of the last look */
  gint64 looked;
  guint rows; /* of the terminal; 0 = all */
} Top;

static char *
process_key(const json_t *p)
{
  return g_strdup_printf("%s/%" G_GINT64_FORMAT "/%s", pt_json_str(p, "instance", ""), pt_json_int(p, "pid", 0),
                         pt_json_str(p, "started", ""));
}

static int
by_cpu(const void *a, const void *b)
{
  const Row *x = a, *y = b;
  gint64 m = pt_json_int(y->process, "memory", 0) - pt_json_int(x->process, "memory", 0);

  if (x->cpu > y->cpu || x->cpu < y->cpu)
    return x->cpu < y->cpu ? 1 : -1;
  return m > 0 ? 1 : m < 0 ? -1 : 0;
}

static int
by_memory(const void *a, const void *b)
{
  gint64 m = pt_json_int(((const Row *)b)->process, "memory", 0) - pt_json_int(((const Row *)a)->process, "memory", 0);

  return m > 0 ? 1 : m < 0 ? -1 : by_cpu(a, b);
}

/* The rows of an answer with their shares of cpu since the last one. */
static GArray *
measure(Top *top, const json_t *answer)
{
  GArray *rows = g_array_new(FALSE, FALSE, sizeof(Row));
  GHashTable *now_used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  gint64 now = pt_mono();
  double dt = (double)MAX(now - top->looked, 1);
  gsize n;
  json_t *p;

  json_array_foreach (json_object_get(answer, "items"), n, p) {
    char *key = process_key(p);
    gint64 used = pt_json_int(p, "cpu_usec", 0), *was = top->before ? g_hash_table_lookup(top->before, key) : NULL;
    Row r = { p, was && used >= *was ? (double)(used - *was) / dt : 0 };
    g_array_append_val(rows, r);
    g_hash_table_insert(now_used, key, g_memdup2(&used, sizeof used));
  }
  g_clear_pointer(&top->before, g_hash_table_unref);
  top->before = now_used;
  top->looked = now;
  qsort(rows->data, rows->len, sizeof(Row), top->by_memory ? by_memory : by_cpu);
  return rows;
}

static char *
draw_rows(Top *top, const GArray *rows)
{
  static const char *const headings[] = { "COMPUTER", "PID", "USER", "CPU", "MEMORY", "CPU TIME", "COMMAND", NULL };
  g_autoptr(PtTable) t = pt_table_new(top->space ? headings : headings + 1);
  double cpu = 0;
  gint64 memory = 0;

  for (guint i = 0; i < rows->len; i++) {
    const Row *r = &g_array_index(rows, Row, i);
    cpu += r->cpu;
    memory += pt_json_int(r->process, "memory", 0);
    if (top->rows && i + 4 >= top->rows)
      continue;
    g_autofree char *pid = pt_member_text(r->process, "pid"), *share = g_strdup_printf("%.1f %%", r->cpu * 100),
                    *mem = pt_member_size(r->process, "memory"), *used = cpu_time(pt_json_int(r->process, "cpu_usec", 0));
    const char *cells[] = {
      pt_json_str(r->process, "instance", ""), pid, pt_json_str(r->process, "user", ""), share, mem, used,
      pt_json_str(r->process, "command", "")
    };
    pt_table_add(t, top->space ? cells : cells + 1);
  }
  g_autofree char *table = pt_table_format(t, top->cli), *sum = pt_size_format(memory);
  return g_strdup_printf("%u processes, cpu %.1f %%, memory %s\n\n%s", rows->len, cpu * 100, sum, table);
}

static char *
look(Top *top, GError **error)
{
  g_autoptr(json_t) answer = NULL;

  if (!pt_cli_call(top->cli, "GET", top->path, NULL, &answer, error))
    return NULL;
  g_autoptr(GArray) rows = measure(top, answer);
  return draw_rows(top, rows);
}

/* Plain: two looks a second apart, and done. */
static int
top_once(Top *top, GError **error)
{
  g_autofree char *first = look(top, error);

  if (!first)
    return -1;
  g_usleep(G_USEC_PER_SEC);
  g_autofree char *second = look(top, error);
  if (!second)
    return -1;
  fputs(second, stdout);
  return 0;
}

static int
quit_signals(void)
{
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGWINCH);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Waits for the next look. False: the user has had enough. */
static bool
pause_or_quit(Top *top, int signals)
{
  struct pollfd f[] = { { .fd = signals, .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
  struct signalfd_siginfo si;
  char key = 0;

  if (poll(f, 2, 2000) <= 0)
    return true;
  while (read(signals, &si, sizeof si) == sizeof si)
    if (si.ssi_signo != SIGWINCH)
      return false;
  if (f[1].revents && read(STDIN_FILENO, &key, 1) <= 0)
    return false;
  if (key == 'm' || key == 'c')
    top->by_memory = key == 'm';
  return key != 'q' && key != 3 && key != 4 && key != 27; /* Ctrl-C, Ctrl-D, Escape */
}

/* On the terminal's other screen, which is given back at the end whatever happens. */
static int
top_live(Top *top, GError **error)
{
  int signals = quit_signals();
  guint columns = 0;
  bool first = true;

  pt_terminal_raw();
  fputs("\033[?1049h\033[?25l", stdout);
  do {
    pt_terminal_size(&columns, &top->rows);
    top->cli->width = columns;
    g_autofree char *text = look(top, error);
    if (!text)
      break;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *all = g_strjoinv("\033[K\r\n", lines);
    printf("\033[H%s\033[J\033[%u;1H%sq quits, c sorts by cpu, m by memory%s", all, top->rows,
           pt_look_on(top->cli, PT_LOOK_DIM), pt_look_off(top->cli, PT_LOOK_DIM));
    fflush(stdout);
    if (first)
      g_usleep(G_USEC_PER_SEC / 3); /* the second look is the first with shares of cpu */
  } while (first ? !(first = false) : pause_or_quit(top, signals));
  fputs("\033[?25h\033[?1049l", stdout);
  fflush(stdout);
  pt_terminal_restore();
  close(signals);
  return error && *error ? -1 : 0;
}

static int
run_top(PtCli *cli, const PtArgs *args, GError **error)
{
  Top top = { .cli = cli, .by_memory = pt_args_has(args, "memory") };
  g_autofree char *path = processes_path(cli, args, &top.space, error);

  if (!path)
    return -1;
  if (cli->json || cli->quiet)
    return run_ps(cli, args, error);
  top.path = path;
  top.looked = pt_mono();
  int status = cli->out_tty && cli->in_tty && !pt_args_has(args, "once") ? top_live(&top, error) : top_once(&top, error);
  g_clear_pointer(&top.before, g_hash_table_unref);
  return status;
}

static const PtOption top_options[] = {
  { "once", '1', NULL, "Measure for a second, print, and end", false },
  { "memory", 'm', NULL, "Sort by memory", false },
  { NULL, 0, NULL, NULL, false },
};

const PtCommand pt_cmds_top[] = {
  { .name = "ps",
    .args = "[NAME]",
    .summary = "Show the processes of a computer, or of a whole space",
    .max = 1,
    .completes = "i",
    .run = run_ps,
    .examples = { { "portena ps", "of all computers of your space" }, { "portena ps studio", "of one" } } },
  { .name = "top",
    .args = "[NAME]",
    .summary = "Watch the busiest processes",
    .options = top_options,
    .max = 1,
    .completes = "i",
    .run = run_top,
    .examples = { { "portena top", "of your space, live; q quits" },
                  { "portena top studio --once", "one look, for a pipe" } } },
  { NULL },
};
