// SPDX-License-Identifier: Apache-2.0
#include "cli/operation.h"

#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/progress.h"

#define LOOK_EVERY (G_USEC_PER_SEC / 4) /* on a terminal */
#define BACK_WITHIN (30 * G_USEC_PER_SEC) /* a server that is started again goes on with its operations */

guint
pt_operation_first_wait(const PtCli *cli)
{
  return cli->err_tty && !cli->quiet && !cli->json ? 1 : 600;
}

bool
pt_operation_timeout(const PtArgs *args, gint64 *ret_seconds, GError **error)
{
  const char *text = pt_args_get(args, "timeout");
  gint64 us = 0;

  *ret_seconds = 0;
  if (!text)
    return true;
  if (!pt_duration_parse(text, &us, error)) {
    g_prefix_error(error, "--timeout: ");
    return false;
  }
  *ret_seconds = MAX((us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC, 1);
  return true;
}

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int sig)
{
  (void)sig;
  interrupted = 1;
}

/* Ctrl-C ends the waiting with a word on what becomes of the work. */
static void
catch_interrupts(struct sigaction *ret_was)
{
  struct sigaction sa = { .sa_handler = on_interrupt };

  interrupted = 0;
  sigaction(SIGINT, &sa, ret_was);
}

static bool
ended(const json_t *op)
{
  static const char *const states[] = { "done", "failed", "cancelled", NULL };

  return g_strv_contains(states, pt_json_str(op, "state", ""));
}

static bool
outcome(const json_t *op, GError **error)
{
  const char *state = pt_json_str(op, "state", "");
  const json_t *why = json_object_get(op, "error");
  const char *detail = json_is_string(why) ? json_string_value(why) : pt_json_str(why, "detail", NULL);
  const char *hint = pt_json_str(why, "hint", NULL);
  PtErr code = strcmp(state, "cancelled") == 0 ? PT_ERR_CANCELLED : PT_ERR_INTERNAL;

  if (strcmp(state, "done") == 0)
    return true;
  pt_err_from_name(pt_json_str(why, "code", ""), &code);
  if (detail)
    PT_SET(error, code, "%s", detail);
  else if (strcmp(state, "cancelled") == 0)
    PT_SET(error, code, "somebody cancelled it");
  else
    PT_SET(error, code, "it failed, and the server did not say why\nsee what happened:  portena audit");
  if (hint && *hint)
    pt_error_hint(error, "%s", hint);
  return false;
}

/* One look at the operation: on a terminal at once, after a pause; elsewhere the server holds the answer back. */
static json_t *
look(PtCli *cli, const char *id, gint64 left, GError **error)
{
  bool live = pt_operation_first_wait(cli) == 1;
  g_autofree char *base = pt_client_path("/v1/operations/%s", id);
  json_t *op = NULL;

  if (live)
    g_usleep(LOOK_EVERY);
  g_autofree char *path = g_strdup_printf("%s?wait=%d", base, live ? 0 : (int)MIN(left, 2));
  return pt_cli_call(cli, "GET", path, NULL, &op, error) ? op : NULL;
}

/* The next look; through a restart of the server, too. */
static json_t *
look_again(PtCli *cli, const char *id, gint64 left, GError **error)
{
  gint64 end = pt_mono() + BACK_WITHIN;

  for (;;) {
    g_autoptr(GError) why = NULL;
    json_t *op = look(cli, id, left, &why);
    if (op)
      return op;
    if (interrupted || pt_mono() >= end || !g_error_matches(why, PT_ERROR, PT_ERR_UNREACHABLE)) {
      g_propagate_error(error, g_steal_pointer(&why));
      return NULL;
    }
    g_usleep(LOOK_EVERY);
  }
}

static void
draw(PtProgress *p, const json_t *op)
{
  pt_progress_set(p, pt_json_int(op, "progress", -1), pt_json_int(op, "done", 0), pt_json_int(op, "total", 0),
                  pt_json_str(op, "unit", NULL), pt_json_str(op, "step", NULL));
}

/* Until *op, which is replaced by each look, has ended. */
static bool
follow(PtCli *cli, json_t **op, const char *title, gint64 timeout, GError **error)
{
  g_autofree char *id = g_strdup(pt_json_str(*op, "id", ""));
  g_autoptr(PtProgress) progress = pt_progress_new(cli, title);
  gint64 end = timeout ? pt_mono() + timeout * G_USEC_PER_SEC : G_MAXINT64;

  while (!ended(*op)) {
    gint64 left = (end - pt_mono()) / G_USEC_PER_SEC;
    if (pt_mono() >= end) {
      PT_SET(error, PT_ERR_TIMEOUT, "%s has not ended after %d s\nit goes on without you:  portena op show %s", title,
             (int)timeout, id);
      return false;
    }
    if (interrupted) {
      PT_SET(error, PT_ERR_CANCELLED,
             "%s goes on without you\nsee how far it is:  portena op show %s\nor end it:  portena op cancel %s", title, id,
             id);
      return false;
    }
    draw(progress, *op);
    json_t *next = look_again(cli, id, MAX(left, 1), error);
    if (!next)
      return false;
    json_decref(*op);
    *op = next;
  }
  return true;
}

bool
pt_operation_wait(PtCli *cli, const json_t *answer, const char *title, gint64 timeout, json_t **ret_operation,
                  GError **error)
{
  const json_t *in = json_object_get(answer, "operation");
  g_autoptr(json_t) op = json_incref((json_t *)(in ? in : answer));
  struct sigaction was;

  if (ret_operation)
    *ret_operation = NULL;
  if (!json_is_object(op) || !json_object_get(op, "id") || (!in && !json_object_get(op, "target")))
    return true;
  catch_interrupts(&was);
  bool ok = ended(op) || follow(cli, &op, title, timeout, error);
  sigaction(SIGINT, &was, NULL);
  if (!ok)
    return false;
  if (!outcome(op, error)) {
    cli->failed = true;
    return false;
  }
  if (ret_operation)
    *ret_operation = g_steal_pointer(&op);
  return true;
}

bool
pt_operation_wait_ready(PtCli *cli, const PtTarget *t, json_t **answer, gint64 timeout, GError **error)
{
  g_autofree char *path = pt_target_path(t, "");
  gint64 end = pt_mono() + (timeout ? timeout : 600) * G_USEC_PER_SEC;

  for (guint look_no = 0; !pt_json_bool(*answer, "ready", false); look_no++) {
    json_t *now = NULL;
    if (look_no > 0)
      g_usleep(G_USEC_PER_SEC / 10);
    if (!pt_cli_call(cli, "GET", path, NULL, &now, error))
      return false;
    json_decref(*answer);
    *answer = now;
    const char *state = pt_json_str(now, "state", "");
    bool failed = strcmp(state, "failed") == 0;
    if (failed || strcmp(state, "stopped") == 0) {
      PT_SET(error, PT_ERR_CONFLICT, "%s: it %s before it was ready: %s", t->name, failed ? "failed" : "stopped",
             pt_json_str(now, "error", "it ended by itself"));
      pt_error_hint(error, "see what it said:  portena logs %s", t->name);
      return false;
    }
    if (pt_mono() > end) {
      PT_SET(error, PT_ERR_TIMEOUT, "%s: it runs, but was not ready after %d s", t->name, (int)(timeout ? timeout : 600));
      pt_error_hint(error, "see what it is doing:  portena console %s", t->name);
      return false;
    }
  }
  return true;
}
