// SPDX-License-Identifier: Apache-2.0
/* start, stop, restart, pause, hibernate, resume, delete: one request for each instance. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/output.h"

/* The same request for each instance named on the command line: all are sent before the first is waited for, so that twenty
 * take little longer than one. */
typedef struct Each {
  /* method, path with "?wait=%u" appended by the caller of it; body may be NULL */
  const char *method;
  const char *suffix;                                                /* after the instance's path, with '?' in it or not */
  const json_t *body;                                                /* or NULL */
  const char *doing;                                                 /* "Stopping" */
  bool ready;                                                        /* wait for the guest too */
  void (*done)(PtCli *cli, const PtTarget *t, const json_t *answer); /* tells the success */
} Each;

typedef struct Job {
  PtTarget target;
  json_t *answer;
  GError *error;
} Job;

static void
job_clear(void *data)
{
  Job *j = data;

  pt_target_clear(&j->target);
  g_clear_pointer(&j->answer, json_decref);
  g_clear_error(&j->error);
}

static void
send_job(PtCli *cli, const Each *each, Job *j, guint wait)
{
  g_autofree char *bare = pt_target_path(&j->target, each->suffix);
  g_autofree char *ready = each->ready ? g_strdup_printf("&wait_ready=%u", wait) : g_strdup("");
  g_autofree char *path = g_strdup_printf("%s%cwait=%u%s", bare, strchr(bare, '?') ? '&' : '?', wait, ready);

  pt_cli_call(cli, each->method, path, each->body, &j->answer, &j->error);
}

static void
finish_job(PtCli *cli, const Each *each, Job *j, gint64 timeout)
{
  g_autofree char *title = g_strdup_printf("%s %s", each->doing, j->target.name);

  if (j->error || !pt_operation_wait(cli, j->answer, title, timeout, NULL, &j->error))
    return;
  if (each->ready && !pt_operation_wait_ready(cli, &j->target, &j->answer, timeout, &j->error))
    return;
  if (cli->json)
    pt_print_json(cli, j->answer);
  else if (cli->quiet)
    pt_say("%s", j->target.name);
  else
    each->done(cli, &j->target, j->answer);
}

/* The exit status; -1 with `error` set for the one instance, else the errors are printed one by one. */
static int
each_run(PtCli *cli, const PtArgs *args, const Each *each, GError **error)
{
  guint n = pt_args_n(args);
  g_autoptr(GArray) jobs = g_array_new(FALSE, TRUE, sizeof(Job));
  gint64 timeout = 0;
  int status = 0;

  g_array_set_clear_func(jobs, job_clear);
  g_array_set_size(jobs, n);
  if (!pt_operation_timeout(args, &timeout, error))
    return -1;
  /* Every name is checked before anything happens to the first. */
  for (guint i = 0; i < n; i++)
    if (!pt_target_parse(cli, pt_args_nth(args, i), &g_array_index(jobs, Job, i).target, error))
      return -1;
  guint wait = n > 1 || pt_args_has(args, "no-wait") ? 0 : timeout ? (guint)MIN(timeout, 600) : pt_operation_first_wait(cli);
  for (guint i = 0; i < n; i++)
    send_job(cli, each, &g_array_index(jobs, Job, i), wait);
  for (guint i = 0; i < n; i++) {
    Job *j = &g_array_index(jobs, Job, i);
    if (pt_args_has(args, "no-wait") && !j->error)
      continue;
    finish_job(cli, each, j, timeout);
    if (!j->error)
      continue;
    if (n == 1) {
      g_propagate_error(error, g_steal_pointer(&j->error));
      return -1;
    }
    int code = pt_cli_fail(cli, j->error);
    status = status ? status : code;
  }
  return status;
}

static void
say_running(PtCli *cli, const PtTarget *t, const json_t *answer)
{
  g_autofree char *address = pt_safe(pt_json_str(answer, "address", NULL));

  (void)cli;
  if (*address)
    pt_say("%s is running at %s.", t->name, address);
  else
    pt_say("%s is running.", t->name);
}

static void
say_stopped(PtCli *cli, const PtTarget *t, const json_t *answer)
{
  (void)cli;
  (void)answer;
  pt_say("%s is stopped.", t->name);
}

static void
say_paused(PtCli *cli, const PtTarget *t, const json_t *answer)
{
  (void)cli;
  (void)answer;
  pt_say("%s is paused. Go on with:  portena resume %s", t->name, t->name);
}

static void
say_hibernated(PtCli *cli, const PtTarget *t, const json_t *answer)
{
  g_autoptr(json_t) now = NULL;
  g_autofree char *path = pt_target_path(t, "");

  /* of several, each was asked for before any was done */
  if (strcmp(pt_json_str(answer, "state", ""), "hibernated") != 0 && pt_cli_call(cli, "GET", path, NULL, &now, NULL))
    answer = now;
  gint64 freed = pt_json_int(answer, "freed", 0);
  g_autofree char *size = pt_size_format(freed);

  const char *where = pt_json_bool(answer, "durable", false) ? " on disk" : "";
  pt_say("%s is hibernated%s%s%s%s. Go on with:  portena resume %s", t->name, where, freed > 0 ? ", " : "", freed > 0 ? size : "",
         freed > 0 ? " of memory were given back" : "", t->name);
}

static void
say_deleted(PtCli *cli, const PtTarget *t, const json_t *answer)
{
  const json_t *volumes = json_object_get(answer, "kept");
  g_autoptr(GString) kept = g_string_new(NULL);
  gsize n;
  json_t *v;

  (void)cli;
  pt_say("%s is deleted.", t->name);
  json_array_foreach ((json_t *)volumes, n, v) {
    g_autofree char *name = pt_safe(json_string_value(v));
    g_string_append_printf(kept, "%s%s", n ? ", " : "", name);
  }
  if (kept->len)
    pt_say("What was on its data volumes is kept: %s", kept->str);
}

static int
act(PtCli *cli, const PtArgs *args, const char *action, const char *doing,
    void (*done)(PtCli *, const PtTarget *, const json_t *), GError **error)
{
  g_autoptr(json_t) body = json_pack("{s:s}", "action", action);
  const char *deadline = pt_args_get(args, "deadline");
  Each each = { "POST", "/actions", body, doing, pt_args_has(args, "wait"), done };
  gint64 us = 0;

  if (pt_args_has(args, "force"))
    json_object_set_new(body, "force", json_true());
  if (pt_args_has(args, "durable"))
    json_object_set_new(body, "durable", json_true());
  if (deadline) {
    if (!pt_duration_parse(deadline, &us, error)) {
      g_prefix_error(error, "--deadline: ");
      return -1;
    }
    json_object_set_new(body, "deadline", json_integer(MAX((us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC, 1)));
  }
  return each_run(cli, args, &each, error);
}

static int
run_start(PtCli *cli, const PtArgs *args, GError **error)
{
  return act(cli, args, "start", "Starting", say_running, error);
}

static int
run_stop(PtCli *cli, const PtArgs *args, GError **error)
{
  return act(cli, args, "stop", "Stopping", say_stopped, error);
}

static int
run_restart(PtCli *cli, const PtArgs *args, GError **error)
{
  return act(cli, args, "restart", "Restarting", say_running, error);
}

static int
run_pause(PtCli *cli, const PtArgs *args, GError **error)
{
  return act(cli, args, "pause", "Pausing", say_paused, error);
}

static int
run_hibernate(PtCli *cli, const PtArgs *args, GError **error)
{
  return act(cli, args, "hibernate", "Hibernating", say_hibernated, error);
}

static int
run_resume(PtCli *cli, const PtArgs *args, GError **error)
{
  return act(cli, args, "resume", "Resuming", say_running, error);
}

/* One sentence on what goes: "studio (container, running) and its disk with 1.1 GiB". */
static char *
what_goes(PtCli *cli, const PtTarget *t, GError **error)
{
  g_autofree char *path = pt_target_path(t, "");
  g_autoptr(json_t) i = NULL;

  if (!pt_cli_call(cli, "GET", path, NULL, &i, error))
    return NULL;
  g_autofree char *used = pt_member_size(json_object_get(i, "usage"), "disk");
  g_autofree char *size = pt_member_size(i, "disk");
  bool known = json_is_number(json_object_get(json_object_get(i, "usage"), "disk"));
  g_autofree char *kind = pt_safe(pt_json_str(i, "kind", "container")), *state = pt_safe(pt_json_str(i, "state", "unknown"));
  return g_strdup_printf("%s (%s, %s) and its disk of %s%s%s", t->name, kind, state, size,
                         known ? ", of which in use: " : "", known ? used : "");
}

static int
run_delete(PtCli *cli, const PtArgs *args, GError **error)
{
  bool force = pt_args_has(args, "force"), dry = pt_args_has(args, "dry-run");
  bool ask = !force && !pt_args_has(args, "yes") && cli->in_tty && cli->err_tty && !cli->json;
  Each each = { "DELETE", force ? "?force=true" : "", NULL, "Deleting", false, say_deleted };
  GString *all = g_string_new(NULL);
  g_autofree char *question = NULL;

  for (guint i = 0; (ask || dry) && i < pt_args_n(args); i++) {
    g_auto(PtTarget) t = { 0 };
    if (!pt_target_parse(cli, pt_args_nth(args, i), &t, error)) {
      g_string_free(all, TRUE);
      return -1;
    }
    g_autofree char *one = what_goes(cli, &t, error);
    if (!one) {
      g_string_free(all, TRUE);
      return -1;
    }
    g_string_append_printf(all, "%s%s", i ? "; " : "", one);
  }
  g_autofree char *text = g_string_free(all, FALSE);
  if (dry) {
    pt_say("Would delete %s. Nothing was changed.", text);
    return 0;
  }
  question = g_strdup_printf("Delete %s?", text);
  if (ask && !pt_cli_confirm(cli, question)) {
    pt_note(cli, "Nothing was deleted.");
    return PT_EXIT_FAILED;
  }
  return each_run(cli, args, &each, error);
}

#define WAIT_OPTIONS                                                                                                        \
  { "no-wait", 0, NULL, "Return at once; see portena op list", false },                                                     \
  {                                                                                                                         \
    "timeout", 0, "TIME", "Give up waiting after TIME", false                                                               \
  }

static const PtOption start_options[] = {
  { "wait", 'w', NULL, "Return when it is ready: started up, health check passed", false },
  WAIT_OPTIONS,
  { NULL, 0, NULL, NULL, false },
};
static const PtOption pause_options[] = { WAIT_OPTIONS, { NULL, 0, NULL, NULL, false } };
static const PtOption hibernate_options[] = {
  { "durable", 0, NULL, "On disk, so that it outlives a restart of the server", false },
  WAIT_OPTIONS,
  { NULL, 0, NULL, NULL, false },
};
static const PtOption stop_options[] = {
  { "force", 'f', NULL, "Do not wait for what runs inside", false },
  { "deadline", 0, "TIME", "Time it has to stop by itself (10s, a machine 30s)", false },
  WAIT_OPTIONS,
  { NULL, 0, NULL, NULL, false },
};
static const PtOption restart_options[] = {
  { "force", 'f', NULL, "At once, as a reset button does", false },
  { "deadline", 0, "TIME", "Time it has to stop by itself (10s)", false },
  { "wait", 'w', NULL, "Return when it is ready again", false },
  WAIT_OPTIONS,
  { NULL, 0, NULL, NULL, false },
};
static const PtOption delete_options[] = {
  { "force", 'f', NULL, "Delete it although it runs, and do not ask", false },
  { "yes", 'y', NULL, "Do not ask", false },
  { "dry-run", 'n', NULL, "Say what would be deleted, and change nothing", false },
  WAIT_OPTIONS,
  { NULL, 0, NULL, NULL, false },
};

const PtCommand pt_cmds_power[] = {
  { .name = "start",
    .args = "NAME…",
    .summary = "Start computers",
    .options = start_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "i",
    .run = run_start,
    .examples = { { "portena start studio", "start it and wait until it runs" },
                  { "portena start db web --no-wait", "start both, do not wait" } } },
  { .name = "stop",
    .args = "NAME…",
    .summary = "Stop computers",
    .options = stop_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "i",
    .run = run_stop,
    .examples = { { "portena stop studio", "let it shut down by itself" },
                  { "portena stop studio --force", "turn it off at once" } } },
  { .name = "restart",
    .args = "NAME…",
    .summary = "Stop and start computers",
    .options = restart_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "i",
    .run = run_restart,
    .examples = { { "portena restart studio", "shut it down, start it again" },
                  { "portena restart web --deadline 2s", "give it two seconds" } } },
  { .name = "pause",
    .args = "NAME…",
    .summary = "Halt computers where they are",
    .options = pause_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "i",
    .run = run_pause,
    .examples = { { "portena pause studio", "it keeps its memory and uses no cpu" },
                  { "portena pause home/studio", "the same, in space home" } } },
  { .name = "hibernate",
    .args = "NAME…",
    .summary = "Put computers to sleep and free their memory",
    .options = hibernate_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "i",
    .run = run_hibernate,
    .text = "What it holds is kept, and its memory is free for others. It goes on where it was when it is resumed, or when "
            "somebody opens its desktop, its console or a shell.\nA container's memory goes to the server's swap, which is quick, but "
            "after a restart of the server it is started again; with --durable it goes to the disk. A machine's always does.",
    .examples = { { "portena hibernate studio", "it goes on when somebody opens it" },
                  { "portena hibernate db web --durable", "both, also for after a restart of the server" } } },
  { .name = "resume",
    .args = "NAME…",
    .summary = "Let paused or hibernated computers go on",
    .options = start_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "i",
    .run = run_resume,
    .examples = { { "portena resume studio", "it goes on where it was" }, { "portena resume db web", "both" } } },
  { .name = "delete",
    .alias = "rm",
    .args = "NAME…",
    .summary = "Delete computers and their disks",
    .options = delete_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "i",
    .run = run_delete,
    .examples = { { "portena delete studio", "a stopped one; asks on a terminal" },
                  { "portena delete studio --force", "a running one, without asking" } } },
  { NULL },
};
