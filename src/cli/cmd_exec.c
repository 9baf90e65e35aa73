// SPDX-License-Identifier: Apache-2.0
/* exec, shell, console, logs. */
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/filter.h"
#include "cli/output.h"
#include "cli/stream.h"
#include "cli/terminal.h"

#define DETACH 0x1d /* Ctrl-] */

static bool
add_env(const PtArgs *args, json_t *body, GError **error)
{
  g_autofree char **env = pt_args_all(args, "env");
  json_t *map = NULL;

  for (guint i = 0; env[i]; i++) {
    const char *eq = strchr(env[i], '=');
    if (!eq || eq == env[i]) {
      g_autofree char *shown = pt_safe(env[i]);
      PT_SET(error, PT_ERR_INVALID, "--env: '%s': NAME=VALUE is wanted here, such as LANG=C.UTF-8", shown);
      return false;
    }
    if (!map)
      json_object_set_new(body, "env", map = json_object());
    g_autofree char *name = g_strndup(env[i], (gsize)(eq - env[i]));
    json_object_set_new(map, name, json_string(eq + 1));
  }
  return true;
}

/* What a terminal inside has to know about this one. */
static void
add_terminal(json_t *body)
{
  guint columns = 0, rows = 0;
  const char *term = g_getenv("TERM");
  json_t *env = json_object_get(body, "env");

  pt_terminal_size(&columns, &rows);
  json_object_set_new(body, "tty", json_true());
  json_object_set_new(body, "cols", json_integer(columns));
  json_object_set_new(body, "rows", json_integer(rows));
  if (!env)
    json_object_set_new(body, "env", env = json_object());
  if (term && !json_object_get(env, "TERM"))
    json_object_set_new(env, "TERM", json_string(term));
}

static int
open_stream(PtCli *cli, const char *method, const char *path, const json_t *body, guint32 *ret_type, GError **error)
{
  g_autofree char *text = body ? pt_json_dump(body) : NULL;
  PtClientRequest r = { .method = method, .path = path, .body = text, .body_size = text ? strlen(text) : 0 };
  PtTransport *t = pt_cli_transport(cli, error);

  int fd = t ? t->ops->upgrade(t, &r, ret_type, error) : -1;
  cli->refused = t && fd < 0;
  return fd;
}

static int
exec_body(PtCli *cli, const PtArgs *args, json_t *body, bool tty, GError **error)
{
  const char *user = pt_args_get(args, "user"), *cwd = pt_args_get(args, "cwd");
  g_auto(PtTarget) t = { 0 };
  guint32 type = 0;

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error) || !add_env(args, body, error))
    return -1;
  if (user)
    json_object_set_new(body, "user", json_string(user));
  if (cwd)
    json_object_set_new(body, "cwd", json_string(cwd));
  if (tty)
    add_terminal(body);
  g_autofree char *path = pt_target_path(&t, "/exec");
  int fd = open_stream(cli, "POST", path, body, &type, error);
  if (fd < 0)
    return -1;
  PtStreamOptions o = { .raw = tty && cli->in_tty, .name = t.name };
  return pt_stream_run(cli, fd, type, &o, error);
}

static int
run_exec(PtCli *cli, const PtArgs *args, GError **error)
{
  bool tty = pt_args_has(args, "tty") || (cli->in_tty && cli->out_tty && !pt_args_has(args, "no-tty"));
  char **words = pt_args_rest(args);
  g_autoptr(json_t) body = json_object(), command = json_array();

  for (; words && *words; words++) {
    json_t *word = json_string(*words);
    if (!word) {
      PT_SET(error, PT_ERR_INVALID, "exec: a word of the command is not valid UTF-8");
      return -1;
    }
    json_array_append_new(command, word);
  }
  if (json_array_size(command) == 0) {
    PT_SET(error, PT_ERR_INVALID, "exec: which command?");
    pt_error_hint(error, "for example:  portena exec %s -- ls /     or a shell:  portena shell %s", pt_args_nth(args, 0),
                  pt_args_nth(args, 0));
    return -1;
  }
  json_object_set(body, "command", command);
  return exec_body(cli, args, body, tty, error);
}

static int
run_shell(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autoptr(json_t) body = json_pack("{s:b}", "shell", 1);

  return exec_body(cli, args, body, cli->in_tty, error);
}

static int
run_console(PtCli *cli, const PtArgs *args, GError **error)
{
  g_auto(PtTarget) t = { 0 };
  guint32 type = 0;

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  g_autofree char *path = pt_target_path(&t, pt_args_has(args, "no-history") ? "/console" : "/console?history=true");
  int fd = open_stream(cli, "GET", path, NULL, &type, error);
  if (fd < 0)
    return -1;
  PtStreamOptions o = { .raw = cli->in_tty, .view = true, .detach = DETACH, .name = t.name };
  if (cli->in_tty)
    pt_note(cli, "Console of %s. Leave it with Ctrl-] .", t.name);
  int status = pt_stream_run(cli, fd, type, &o, error);
  if (cli->in_tty && status >= 0)
    pt_note(cli, "\nLeft the console of %s; it goes on.", t.name);
  return status;
}

/* --- logs --- */

typedef struct Log {
  bool filtered;
  PtFilter filter;
} Log;

static bool
on_log(void *data, const void *bytes, gsize size, GError **error)
{
  Log *log = data;

  if (log->filtered) {
    g_autoptr(GString) out = g_string_new(NULL);
    pt_filter_feed(&log->filter, bytes, size, out);
    fwrite(out->str, 1, out->len, stdout);
  } else {
    fwrite(bytes, 1, size, stdout);
  }
  if (fflush(stdout) == 0)
    return true;
  PT_SET(error, PT_ERR_CANCELLED, "standard output is closed");
  return false;
}

static int
run_logs(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *size = pt_args_get(args, "bytes");
  bool follow = pt_args_has(args, "follow");
  gint64 bytes = 65536;
  g_auto(PtTarget) t = { 0 };
  PtTransport *way = NULL;

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  if (size && !pt_size_parse(size, &bytes, error)) {
    g_prefix_error(error, "--bytes: ");
    return -1;
  }
  g_autofree char *suffix = g_strdup_printf("/logs?bytes=%" G_GINT64_FORMAT "&follow=%s", bytes, follow ? "true" : "false");
  g_autofree char *path = pt_target_path(&t, suffix);
  Log log = { .filtered = !pt_args_has(args, "raw"), .filter.plain = !cli->color };
  PtClientRequest r = { .method = "GET", .path = path, .sink = on_log, .sink_data = &log, .timeout = follow ? -1 : 0 };
  way = pt_cli_transport(cli, error);
  g_autoptr(PtClientReply) reply = way ? way->ops->send(way, &r, error) : NULL;
  if (log.filtered && !log.filter.plain)
    fputs("\033[0m", stdout);
  return reply && pt_client_reply_check(reply, error) ? 0 : -1;
}

static const PtOption exec_options[] = {
  { "tty", 't', NULL, "Give it a terminal (the default on a terminal)", false },
  { "no-tty", 'T', NULL, "Give it plain pipes", false },
  { "user", 'u', "USER", "Run as this user (root)", false },
  { "cwd", 0, "DIR", "Run in this directory", false },
  { "env", 'e', "NAME=VALUE", "A variable of its environment", true },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption shell_options[] = {
  { "user", 'u', "USER", "Log in as this user (the image's own)", false },
  { "cwd", 0, "DIR", "Begin in this directory", false },
  { "env", 'e', "NAME=VALUE", "A variable of its environment", true },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption console_options[] = {
  { "no-history", 0, NULL, "Do not show what was there before", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption logs_options[] = {
  { "follow", 'f', NULL, "Go on with what comes; end with Ctrl-C", false },
  { "bytes", 0, "SIZE", "How much of the past (64K)", false },
  { "raw", 0, NULL, "Byte for byte: with colours in a pipe, and all that a terminal would obey", false },
  { NULL, 0, NULL, NULL, false },
};

const PtCommand pt_cmds_exec[] = {
  { .name = "exec",
    .args = "NAME [--] COMMAND…",
    .summary = "Run a command in a computer",
    .options = exec_options,
    .min = 1,
    .max = 1,
    .flags = PT_CMD_REST,
    .completes = "i",
    .run = run_exec,
    .text = "The exit status is the command's; 128 and the signal's number if a signal ended it; 127 if there is no such "
            "command.\nSignals that reach portena are passed on.\nIn a machine of model pc it takes qemu-guest-agent in the guest, which "
            "has no terminal: the command is given all its input at its start, and says what it has to say at its end.",
    .examples = { { "portena exec web -- systemctl status nginx", "see how a service does" },
                  { "portena exec db pg_dump app > app.sql", "its output into a file here" } } },
  { .name = "shell",
    .args = "NAME",
    .summary = "Open a shell in a computer",
    .options = shell_options,
    .min = 1,
    .max = 1,
    .completes = "i",
    .run = run_shell,
    .examples = { { "portena shell studio", "as the image's user" }, { "portena shell studio --user root", "as root" } } },
  { .name = "console",
    .args = "NAME",
    .summary = "Sit down at a computer's console; leave with Ctrl-]",
    .options = console_options,
    .min = 1,
    .max = 1,
    .completes = "i",
    .run = run_console,
    .examples = { { "portena console web", "with what it said before" },
                  { "portena console web --no-history", "from now on" } } },
  { .name = "logs",
    .args = "NAME",
    .summary = "Show what a computer's console said",
    .options = logs_options,
    .min = 1,
    .max = 1,
    .completes = "i",
    .run = run_logs,
    .examples = { { "portena logs web", "the last 64 KiB" }, { "portena logs web -f", "and what comes" } } },
  { NULL },
};
