// SPDX-License-Identifier: Apache-2.0
/* op …, events, audit. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/list.h"
#include "cli/operation.h"
#include "cli/output.h"

#define EVENT_MAX (256u << 10) /* of one event; the server's are a few hundred bytes */

/* "spaces/home/instances/studio" reads "home/studio". The caller's. */
static char *
object_name(const char *object)
{
  g_auto(GStrv) parts = g_strsplit(object ? object : "", "/", 5);
  guint n = g_strv_length(parts);

  if (n == 4 && strcmp(parts[0], "spaces") == 0)
    return g_strdup_printf("%s/%s", parts[1], parts[3]);
  if (n == 2)
    return g_strdup(parts[1]);
  return g_strdup(object ? object : "");
}

static char *
progress_text(const json_t *op)
{
  gint64 p = pt_json_int(op, "progress", -1);

  return p < 0 ? g_strdup("–") : g_strdup_printf("%" G_GINT64_FORMAT " %%", p / 10);
}

static void
op_row(PtTable *t, const json_t *o)
{
  g_autofree char *id = pt_safe(pt_json_str(o, "id", "")), *target = object_name(pt_json_str(o, "target", NULL)),
                  *done = progress_text(o), *age = pt_since(pt_json_str(o, "created", NULL));
  const char *state = pt_json_str(o, "state", "");
  const char *cells[] = { id,   pt_json_str(o, "kind", ""), target, state,
                          done, pt_json_str(o, "user", ""), age,    pt_json_str(o, "step", "") };

  pt_table_add(t, cells);
  pt_table_look(t, 3, pt_look_of_state(state));
}

static int
run_op_list(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "ID", "KIND", "TARGET", "STATE", "DONE", "USER", "AGE", "STEP", NULL };
  const PtList list = { .headings = headings, .key = "id", .row = op_row, .none = "Nothing is under way." };

  (void)args;
  return pt_list_show(cli, "/v1/operations", &list, error);
}

static int
run_op_show(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autofree char *path = pt_client_path("/v1/operations/%s", pt_args_nth(args, 0));
  g_autoptr(PtFacts) f = pt_facts_new();
  g_autoptr(json_t) o = NULL, ended = NULL;

  if (!pt_cli_call(cli, "GET", path, NULL, &o, error))
    return -1;
  if (pt_args_has(args, "wait")) {
    g_autofree char *title = pt_safe(pt_json_str(o, "kind", "operation"));
    if (!pt_operation_wait(cli, o, title, 0, &ended, error))
      return -1;
  }
  const json_t *op = ended ? ended : o;
  if (cli->json) {
    pt_print_json(cli, op);
    return 0;
  }
  const json_t *why = json_object_get(op, "error");
  g_autofree char *target = object_name(pt_json_str(op, "target", NULL)), *done = progress_text(op),
                  *created = pt_when_exactly(pt_json_str(op, "created", NULL)),
                  *end = pt_when_exactly(pt_json_str(op, "ended", NULL));
  pt_facts_add(f, "id", pt_json_str(op, "id", NULL));
  pt_facts_addf(f, "what", "%s %s", pt_json_str(op, "kind", ""), target);
  pt_facts_addf(f, "state", "%s (%s)", pt_json_str(op, "state", ""), done);
  pt_facts_add(f, "step", pt_json_str(op, "step", NULL));
  pt_facts_add(f, "user", pt_json_str(op, "user", NULL));
  pt_facts_add(f, "begun", created);
  pt_facts_add(f, "ended", end);
  pt_facts_add(f, "error", json_is_string(why) ? json_string_value(why) : pt_json_str(why, "detail", NULL));
  pt_facts_add(f, "next step", pt_json_str(why, "hint", NULL));
  pt_facts_print(f, cli);
  return 0;
}

static int
run_op_cancel(PtCli *cli, const PtArgs *args, GError **error)
{
  for (guint i = 0; i < pt_args_n(args); i++) {
    g_autofree char *path = pt_client_path("/v1/operations/%s", pt_args_nth(args, i)), *safe = pt_safe(pt_args_nth(args, i));
    if (!pt_cli_call(cli, "DELETE", path, NULL, NULL, error))
      return -1;
    if (!cli->json)
      pt_say(cli->quiet ? "%s" : "Operation %s is being cancelled.", safe);
  }
  return 0;
}

/* --- events: server-sent events (HTML standard, section 9.2), of which the server uses id, event and data --- */

typedef struct Events {
  PtCli *cli;
  GString *line;
  GString *data;
  guint left; /* events still wanted; 0 = all */
  bool ended;
  bool all; /* samples and progress too */
} Events;

static void
print_event(Events *e)
{
  g_autoptr(json_t) ev = pt_json_parse_object(e->data->str, e->data->len, NULL);

  if (!ev)
    return; /* not ours: a proxy's, or a newer server's */
  const char *kind = pt_json_str(ev, "type", "");
  if (!e->all && (strcmp(kind, "sample") == 0 || strcmp(kind, "progress") == 0))
    return;
  if (e->cli->json) {
    pt_print_json(e->cli, ev);
  } else {
    const char *space = pt_json_str(ev, "space", NULL);
    g_autofree char *when = pt_when_exactly(pt_json_str(ev, "time", NULL)),
                    *object = object_name(pt_json_str(ev, "object", NULL)), *safe = pt_safe(object),
                    *type = pt_safe(pt_json_str(ev, "type", "")), *action = pt_safe(pt_json_str(ev, "action", "")),
                    *in = pt_safe(space && !strchr(object, '/') ? space : NULL);
    pt_say("%s  %-9s  %-10s  %s%s%s", when, type, action, in, *in ? "/" : "", safe);
  }
  fflush(stdout);
  if (e->left && --e->left == 0)
    e->ended = true;
}

static void
on_line(Events *e)
{
  const char *l = e->line->str;

  if (*l == '\0' && e->data->len) {
    print_event(e);
    g_string_truncate(e->data, 0);
  } else if (g_str_has_prefix(l, "data:") && e->data->len < EVENT_MAX) {
    g_string_append(e->data, l + 5 + (l[5] == ' '));
  }
}

static bool
on_bytes(void *data, const void *bytes, gsize size, GError **error)
{
  Events *e = data;
  const char *p = bytes;

  for (gsize i = 0; i < size && !e->ended; i++) {
    if (p[i] == '\n') {
      on_line(e);
      g_string_truncate(e->line, 0);
    } else if (p[i] != '\r' && e->line->len < EVENT_MAX) {
      g_string_append_c(e->line, p[i]);
    }
  }
  if (!e->ended && !ferror(stdout))
    return true;
  PT_SET(error, PT_ERR_CANCELLED, "enough");
  return false;
}

static int
run_events(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *count = pt_args_get(args, "count"), *since = pt_args_get(args, "since");
  Events e = { .cli = cli };
  g_autoptr(GError) why = NULL;
  guint64 left = 0, from = 0;

  if ((count && !g_ascii_string_to_unsigned(count, 10, 1, 1000000, &left, NULL)) ||
      (since && !g_ascii_string_to_unsigned(since, 10, 0, G_MAXINT64, &from, NULL))) {
    PT_SET(error, PT_ERR_INVALID, "events: --count and --since take a whole number");
    return -1;
  }
  e.left = (guint)left;
  e.all = pt_args_has(args, "all");
  if (cli->space && !pt_name_check("space", cli->space, error))
    return -1;
  g_autofree char *path = g_strdup_printf("/v1/events?%s%s%s%s%s", cli->space ? "space=" : "", cli->space ? cli->space : "",
                                          cli->space && since ? "&" : "", since ? "since=" : "", since ? since : "");
  if (g_str_has_suffix(path, "?"))
    path[strlen(path) - 1] = '\0';
  PtTransport *t = pt_cli_transport(cli, error);
  if (!t)
    return -1;
  e.line = g_string_new(NULL);
  e.data = g_string_new(NULL);
  /* The server sends a comment every 15 s: a minute of silence is a server that is gone. */
  PtClientRequest r = { .method = "GET", .path = path, .sink = on_bytes, .sink_data = &e, .timeout = 60 * G_USEC_PER_SEC };
  g_autoptr(PtClientReply) reply = t->ops->send(t, &r, &why);
  g_string_free(e.line, TRUE);
  g_string_free(e.data, TRUE);
  if (e.ended)
    return 0;
  if (!reply) {
    g_propagate_error(error, g_steal_pointer(&why));
    return -1;
  }
  if (!pt_client_reply_check(reply, error))
    return -1;
  PT_SET(error, PT_ERR_UNREACHABLE, "the server ended the events\nask again:  portena events");
  return -1;
}

/* --- audit --- */

/* What has no word of its own is told by its method. */
static const char *
deed(const char *method)
{
  static const char *const words[][2] = {
    { "POST", "create" }, { "PUT", "write" }, { "PATCH", "change" }, { "DELETE", "delete" }, { "GET", "read" }
  };

  for (guint i = 0; i < G_N_ELEMENTS(words); i++)
    if (strcmp(words[i][0], method) == 0)
      return words[i][1];
  return method;
}

static int
run_audit(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "TIME", "USER", "FROM", "ACTION", "OBJECT", "OUTCOME", "DETAIL", NULL };
  const char *limit = pt_args_get(args, "limit"), *user = pt_args_get(args, "user"), *object = pt_args_get(args, "object");
  g_autoptr(PtTable) t = pt_table_new(headings);
  g_autoptr(json_t) answer = NULL;
  guint64 n = 100;
  gsize i;
  json_t *a;

  if (limit && !g_ascii_string_to_unsigned(limit, 10, 1, 100000, &n, NULL)) {
    PT_SET(error, PT_ERR_INVALID, "audit: --limit takes a whole number from 1");
    return -1;
  }
  g_autofree char *by = user ? pt_client_path("&user=%s", user) : g_strdup(""),
                  *of = object ? pt_client_path("&object=%s", object) : g_strdup("");
  g_autofree char *path = g_strdup_printf("/v1/audit?limit=%u%s%s", (guint)n, by, of);
  if (!pt_cli_call(cli, "GET", path, NULL, &answer, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, answer);
    return 0;
  }
  json_array_foreach (json_object_get(answer, "items"), i, a) {
    const char *outcome = pt_json_str(a, "outcome", ""),
               *action = pt_json_str(a, "action", deed(pt_json_str(a, "method", "")));
    g_autofree char *when = pt_when_exactly(pt_json_str(a, "time", NULL)),
                    *target = object_name(pt_json_str(a, "object", pt_json_str(a, "path", NULL)));
    const char *cells[] = { when,    pt_json_str(a, "user", ""),  pt_json_str(a, "from", ""), action, target,
                            outcome, pt_json_str(a, "detail", "") };
    pt_table_add(t, cells);
    pt_table_look(t, 5, pt_look_of_state(strcmp(outcome, "ok") == 0 ? "ok" : "bad"));
  }
  pt_table_print(t, cli);
  return 0;
}

static const PtOption show_options[] = { { "wait", 'w', NULL, "Wait until it has ended", false },
                                         { NULL, 0, NULL, NULL, false } };
static const PtOption events_options[] = {
  { "all", 'a', NULL, "Samples of use and steps of progress too", false },
  { "count", 'n', "N", "End after N events", false },
  { "since", 0, "SEQ", "Begin after this event's number", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption audit_options[] = {
  { "limit", 'n', "N", "How many, newest first (100)", false },
  { "user", 'u', "USER", "Of this user only", false },
  { "object", 0, "OBJECT", "Of this object only, such as spaces/home/instances/studio", false },
  { NULL, 0, NULL, NULL, false },
};

const PtCommand pt_cmds_watch[] = {
  { .name = "op list",
    .args = "",
    .summary = "Show what is under way, and what has ended lately",
    .completes = "",
    .run = run_op_list,
    .examples = { { "portena op list", "all that you may see" }, { "portena op list --json", "for programs" } } },
  { .name = "op show",
    .args = "ID",
    .summary = "Tell all about one piece of work",
    .options = show_options,
    .min = 1,
    .max = 1,
    .completes = "o",
    .run = run_op_show,
    .examples = { { "portena op show 01k2x…", "how far it is" },
                  { "portena op show 01k2x… --wait", "until it has ended" } } },
  { .name = "op cancel",
    .args = "ID…",
    .summary = "Stop work that is under way",
    .min = 1,
    .max = G_MAXUINT,
    .completes = "o",
    .run = run_op_cancel,
    .examples = { { "portena op cancel 01k2x…", "what it did so far is taken back" },
                  { "portena op list", "find the id" } } },
  { .name = "events",
    .args = "",
    .summary = "Show what happens, as it happens",
    .options = events_options,
    .completes = "",
    .run = run_events,
    .examples = { { "portena events", "until Ctrl-C" },
                  { "portena events --space lab --json", "of one space, for programs" } } },
  { .name = "audit",
    .args = "",
    .summary = "Show who did what, when, from where, and how it ended",
    .options = audit_options,
    .completes = "",
    .run = run_audit,
    .examples = { { "portena audit", "the last hundred changes" }, { "portena audit --user anna -n 20", "hers" } } },
  { NULL },
};
