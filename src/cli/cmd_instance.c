// SPDX-License-Identifier: Apache-2.0
/* list, show, set, rename, desktop. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/launch.h"
#include "cli/operation.h"
#include "cli/output.h"
#include "model/instance.h"

#define PIDS_DEFAULT 8192

/* "3 %" of one cpu. */
static char *
cpu_share(const json_t *usage)
{
  const json_t *v = json_object_get(usage, "cpu");

  if (!json_is_number(v))
    return g_strdup("–");
  double percent = json_number_value(v) * 100;
  return percent < 9.95 ? g_strdup_printf("%.1f %%", percent) : g_strdup_printf("%.0f %%", percent);
}

/* Columns that are there only where they tell something. */
typedef struct Shape {
  bool space, arch;
} Shape;

/* Whether the list has more than one architecture in it. */
static bool
archs_differ(const json_t *items)
{
  const char *first = pt_json_str(json_array_get(items, 0), "arch", "");

  for (gsize n = 1; n < json_array_size(items); n++)
    if (strcmp(pt_json_str(json_array_get(items, n), "arch", first), first) != 0)
      return true;
  return false;
}

static PtTable *
instance_table(Shape shape)
{
  static const char *const headings[] = { "SPACE", "NAME", "KIND", "ARCH", "STATE", "IMAGE", "ADDRESS", "CPU", "MEMORY", "DISK", "UP" };
  const char *shown[G_N_ELEMENTS(headings) + 1] = { NULL };
  guint at = 0;

  for (guint n = 0; n < G_N_ELEMENTS(headings); n++)
    if ((n != 0 || shape.space) && (n != 3 || shape.arch))
      shown[at++] = headings[n];
  return pt_table_new(shown);
}

static void
add_instance(PtTable *t, const json_t *i, Shape shape)
{
  const json_t *usage = json_object_get(i, "usage");
  const char *state = pt_json_str(i, "state", "unknown");
  bool up = strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;
  g_autofree char *cpu = cpu_share(usage), *memory = pt_member_size(usage, "memory"), *disk = pt_member_size(usage, "disk"),
                  *since = up ? pt_since(pt_json_str(i, "started", NULL)) : NULL;
  bool offline = pt_json_bool(i, "offline", false);
  const char *all[] = { pt_json_str(i, "space", ""),
                        pt_json_str(i, "name", ""),
                        pt_json_str(i, "kind", ""),
                        pt_json_str(i, "arch", ""),
                        state,
                        pt_json_str(i, "image_name", ""),
                        offline ? "" : pt_json_str(i, "address", ""),
                        cpu,
                        memory,
                        disk,
                        since };
  const char *cells[G_N_ELEMENTS(all)];
  guint at = 0, state_at = 0;

  for (guint n = 0; n < G_N_ELEMENTS(all); n++) {
    if ((n == 0 && !shape.space) || (n == 3 && !shape.arch))
      continue;
    if (all[n] == state)
      state_at = at;
    cells[at++] = all[n];
  }
  pt_table_add(t, cells);
  pt_table_look(t, state_at, pt_look_of_state(state));
}

static int
print_instances(PtCli *cli, const json_t *answer, bool all, const char *space)
{
  const json_t *items = json_object_get(answer, "items");
  Shape shape = { all, archs_differ(items) };
  g_autoptr(PtTable) t = instance_table(shape);
  gsize n;
  json_t *i;

  json_array_foreach ((json_t *)items, n, i) {
    g_autofree char *name = pt_safe(pt_json_str(i, "name", "")), *in = pt_safe(pt_json_str(i, "space", ""));
    if (cli->quiet)
      pt_say(all ? "%s/%s" : "%s%s", all ? in : name, all ? name : "");
    else
      add_instance(t, i, shape);
  }
  if (cli->quiet)
    return 0;
  if (json_array_size(items) == 0) {
    if (all)
      pt_note(cli, "There are no computers yet. Make one:  portena launch desktop NAME");
    else
      pt_note(cli, "Space %s has no computers yet. Make one:  portena launch desktop NAME", space);
    return 0;
  }
  pt_table_print(t, cli);
  return 0;
}

static int
run_list(PtCli *cli, const PtArgs *args, GError **error)
{
  bool all = pt_args_has(args, "all");
  const char *space = all ? NULL : pt_cli_space(cli, error);
  g_autoptr(json_t) answer = NULL;

  if (!all && !space)
    return -1;
  g_autofree char *path = all ? g_strdup("/v1/instances") : pt_client_path("/v1/spaces/%s/instances", space);
  if (!pt_cli_call(cli, "GET", path, NULL, &answer, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, answer);
    return 0;
  }
  return print_instances(cli, answer, all, space);
}

/* --- show --- */

static char *
state_line(const json_t *i)
{
  const char *state = pt_json_str(i, "state", "unknown"), *step = pt_json_str(i, "step", NULL);
  g_autoptr(GString) s = g_string_new(state);
  bool up = strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;

  if (up && json_is_string(json_object_get(i, "started"))) {
    g_autofree char *since = pt_since(pt_json_str(i, "started", NULL));
    g_string_append_printf(s, " since %s", since);
  }
  if (strcmp(state, "running") == 0)
    g_string_append(s, pt_json_bool(i, "ready", false) ? ", ready" : ", not ready yet");
  if (pt_json_int(i, "freed", 0) > 0) {
    g_autofree char *freed = pt_size_format(pt_json_int(i, "freed", 0));
    g_string_append_printf(s, ", %s of memory given back", freed);
  }
  if (step && *step)
    g_string_append_printf(s, " (%s)", step);
  if (!up && strcmp(state, "hibernated") != 0 && json_is_string(json_object_get(i, "stopped"))) {
    gint64 sig = pt_json_int(i, "exit_signal", 0), code = pt_json_int(i, "exit_code", -1);
    if (sig > 0)
      g_string_append_printf(s, ", ended by signal %" G_GINT64_FORMAT, sig);
    else if (code >= 0)
      g_string_append_printf(s, ", exit status %" G_GINT64_FORMAT, code);
  }
  return g_strdup(s->str);
}

/* "212 MiB of 2 GiB", "212 MiB, no limit" */
static char *
use_of(const json_t *i, const char *key)
{
  g_autofree char *used = pt_member_size(json_object_get(i, "usage"), key), *limit = pt_member_size(i, key);
  bool known = json_is_number(json_object_get(json_object_get(i, "usage"), key));

  if (pt_json_int(i, key, 0) == 0)
    return known ? g_strdup_printf("%s, no limit", used) : g_strdup("no limit");
  return known ? g_strdup_printf("%s of %s", used, limit) : g_strdup(limit);
}

static char *
ports_line(const json_t *i)
{
  g_autoptr(GString) s = g_string_new(NULL);
  gsize n;
  json_t *p;

  json_array_foreach (json_object_get(i, "ports"), n, p) {
    const char *address = pt_json_str(p, "address", NULL);
    g_string_append_printf(s, "%s%s%s%" G_GINT64_FORMAT " → %" G_GINT64_FORMAT "/%s", n ? ", " : "", address ? address : "",
                           address ? ":" : "", pt_json_int(p, "listen", 0), pt_json_int(p, "to", 0),
                           pt_json_str(p, "protocol", "tcp"));
  }
  return s->len ? g_strdup(s->str) : NULL;
}

static void
add_disks(PtFacts *f, const json_t *i)
{
  gsize n;
  json_t *d;

  json_array_foreach (json_object_get(i, "disks"), n, d) {
    const char *path = pt_json_str(d, "path", NULL);
    pt_facts_addf(f, "volume", "%s%s%s%s", pt_json_str(d, "volume", ""), path ? " at " : "", path ? path : "",
                  pt_json_bool(d, "read_only", false) ? ", read-only" : "");
  }
}

static char *
words_line(const json_t *list)
{
  g_autoptr(GString) s = g_string_new(NULL);

  for (gsize n = 0; n < json_array_size(list); n++) {
    const char *word = json_string_value(json_array_get(list, n));
    g_autofree char *quoted = strpbrk(word ? word : "", " \t\"'\\$") ? g_shell_quote(word) : g_strdup(word ? word : "");
    g_string_append_printf(s, "%s%s", n ? " " : "", quoted);
  }
  return s->len ? g_strdup(s->str) : NULL;
}

static void
add_env(PtFacts *f, const json_t *env)
{
  const char *key;
  json_t *v;

  json_object_foreach ((json_t *)env, key, v)
    if (json_is_string(v))
      pt_facts_addf(f, "env", "%s=%s", key, json_string_value(v));
}

/* What is wrong, and in a line of its own what helps. */
static void
add_error(PtFacts *f, const char *error)
{
  g_auto(GStrv) lines = g_strsplit(error ? error : "", "\n", 2);

  if (lines[0])
    pt_facts_add(f, "error", lines[0]);
  if (lines[0] && lines[1])
    pt_facts_add(f, "try", lines[1]);
}

/* Only those that somebody set. */
static void
add_limits(PtFacts *f, const json_t *i)
{
  static const char *const rates[][2] = {
    { "io_read", "reads at" }, { "io_write", "writes at" }, { "net_in", "receives at" }, { "net_out", "sends at" }
  };
  gint64 pids = pt_json_int(i, "pids", 0), priority = pt_json_int(i, "priority", 100), restarts = pt_json_int(i, "restarts", 0);

  for (guint n = 0; n < G_N_ELEMENTS(rates); n++) {
    g_autofree char *rate = pt_member_size(i, rates[n][0]);
    if (pt_json_int(i, rates[n][0], 0) > 0)
      pt_facts_addf(f, rates[n][1], "%s a second at most", rate);
  }
  if (pids != 0 && pids != PIDS_DEFAULT)
    pt_facts_addf(f, "processes", "%" G_GINT64_FORMAT " at most", pids);
  if (priority != 100)
    pt_facts_addf(f, "priority", "%" G_GINT64_FORMAT, priority);
  if (restarts > 0)
    pt_facts_addf(f, "restarts", "%" G_GINT64_FORMAT " since it was started", restarts);
}

/* "machine, model pc, UEFI with secure boot, TPM" and what belongs to it. */
static void
add_kind(PtFacts *f, const json_t *i)
{
  const char *kind = pt_json_str(i, "kind", "container"), *firmware = pt_json_str(i, "firmware", "uefi"),
             *disc = pt_json_str(i, "iso_name", NULL);
  bool pc = strcmp(pt_json_str(i, "model", "micro"), "pc") == 0;

  if (strcmp(kind, "process") == 0) {
    pt_facts_add(f, "kind", kind);
  } else if (strcmp(kind, "machine") != 0) {
    pt_facts_addf(f, "kind", "%s, init %s", kind, pt_json_str(i, "init", "system"));
  } else if (!pc) {
    pt_facts_addf(f, "kind", "machine, model micro, init %s", pt_json_str(i, "init", "system"));
  } else {
    pt_facts_addf(f, "kind", "machine, model pc, %s%s%s", strcmp(firmware, "bios") == 0 ? "BIOS" : "UEFI",
                  pt_json_bool(i, "secure_boot", false) ? " with secure boot" : "", pt_json_bool(i, "tpm", false) ? ", TPM 2.0" : "");
    pt_facts_add(f, "hardware", pt_json_str(i, "hardware", NULL));
    if (disc)
      pt_facts_addf(f, "disc", "%s%s", disc, pt_json_bool(i, "boot_iso", false) ? ", started from first" : "");
  }
  if (pc && strcmp(pt_json_str(i, "state", ""), "running") == 0)
    pt_facts_add(f, "agent", pt_json_bool(i, "agent", false) ? "answers: commands, files, the right time"
                                                             : "none answers; for commands and files install qemu-guest-agent in it");
  if (strcmp(kind, "machine") == 0)
    pt_facts_add(f, "accel", pt_json_str(i, "accel", NULL));
  pt_facts_add(f, "arch", pt_json_str(i, "arch", NULL));
}

/* What a machine's guest has: that may still be less, or more, than it was told to have. */
static void
add_guest(PtFacts *f, const json_t *i)
{
  gint64 cpus = pt_json_int(i, "guest_cpus", 0);
  g_autofree char *memory = pt_member_size(i, "guest_memory");

  if (cpus > 0)
    pt_facts_addf(f, "guest", "%" G_GINT64_FORMAT " processor%s, %s of memory", cpus, cpus == 1 ? "" : "s", memory);
}

/* Further network cards, each with the network it is in. */
static void
add_cards(PtFacts *f, const json_t *i)
{
  gsize n;
  json_t *card;

  json_array_foreach (json_object_get(i, "nics"), n, card) {
    const char *address6 = pt_json_str(card, "address6", NULL);
    pt_facts_addf(f, pt_json_str(card, "name", "card"), "%s%s%s in space %s", pt_json_str(card, "address", "–"), address6 ? ", " : "",
                  address6 ? address6 : "", pt_json_str(card, "space", "–"));
  }
}

static void
show_instance(PtCli *cli, const json_t *i)
{
  g_autoptr(PtFacts) f = pt_facts_new();
  g_autofree char *state = state_line(i), *memory = use_of(i, "memory"), *disk = use_of(i, "disk"), *ports = ports_line(i),
                  *command = words_line(json_object_get(i, "command")), *created = pt_when(pt_json_str(i, "created", NULL)),
                  *cpu = cpu_share(json_object_get(i, "usage")), *limit = pt_member_text(i, "cpu");
  const char *address6 = pt_json_str(i, "address6", NULL);
  const json_t *cpus = json_object_get(i, "cpu");

  pt_facts_add(f, "name", pt_json_str(i, "name", NULL));
  pt_facts_add(f, "space", pt_json_str(i, "space", NULL));
  pt_facts_add(f, "description", pt_json_str(i, "description", NULL));
  pt_facts_add(f, "state", state);
  add_error(f, pt_json_str(i, "error", NULL));
  add_kind(f, i);
  pt_facts_add(f, "image", pt_json_str(i, "image_name", pt_json_str(i, "image", NULL)));
  pt_facts_add(f, "command", command);
  if (pt_json_bool(i, "offline", false))
    pt_facts_add(f, "address", "none: it has no network");
  else
    pt_facts_addf(f, "address", "%s%s%s", pt_json_str(i, "address", "–"), address6 ? ", " : "", address6 ? address6 : "");
  add_cards(f, i);
  pt_facts_add(f, "ports", ports);
  if (json_is_number(cpus) && json_number_value(cpus) > 0)
    pt_facts_addf(f, "cpu", "%s of %s cpu", cpu, limit);
  else
    pt_facts_addf(f, "cpu", "%s, no limit", cpu);
  pt_facts_add(f, "memory", memory);
  add_guest(f, i);
  pt_facts_add(f, "disk", disk);
  add_disks(f, i);
  add_limits(f, i);
  add_env(f, json_object_get(i, "env"));
  pt_facts_addf(f, "restart", "%s%s", pt_json_str(i, "restart", "no"),
                pt_json_bool(i, "autostart", false) ? ", starts with the node" : "");
  if (pt_json_bool(i, "desktop", false))
    pt_facts_addf(f, "desktop", "yes:  portena desktop %s", pt_json_str(i, "name", ""));
  pt_facts_add(f, "node", pt_json_str(i, "node", NULL));
  pt_facts_addf(f, "created", "%s by %s", created, pt_json_str(i, "created_by", "–"));
  pt_facts_print(f, cli);
}

static int
run_show(PtCli *cli, const PtArgs *args, GError **error)
{
  for (guint n = 0; n < pt_args_n(args); n++) {
    g_auto(PtTarget) t = { 0 };
    g_autoptr(json_t) i = NULL;
    if (!pt_target_parse(cli, pt_args_nth(args, n), &t, error))
      return -1;
    g_autofree char *path = pt_target_path(&t, "");
    if (!pt_cli_call(cli, "GET", path, NULL, &i, error))
      return -1;
    if (cli->json) {
      pt_print_json(cli, i);
      continue;
    }
    if (cli->quiet) {
      pt_say("%s", t.name);
      continue;
    }
    if (n)
      putchar('\n');
    show_instance(cli, i);
  }
  return 0;
}

/* --- set, rename --- */

/* A machine's guest takes and gives memory as it can, so a change that applies now may not have come to its end. */
static void
say_under_way(const char *name, const json_t *answer)
{
  const json_t *applies = json_object_get(answer, "applies");
  gint64 has = pt_json_int(answer, "guest_memory", 0), wants = pt_json_int(answer, "memory", 0);
  g_autofree char *memory = pt_size_format(has);

  if (has > 0 && wants > 0 && ABS(has - wants) >= 2 << 20 && strcmp(pt_json_str(applies, "memory", ""), "now") == 0)
    pt_say("%s: its guest has %s of memory so far, and %s the rest as it can.", name, memory, has < wants ? "takes" : "gives back");
}

/* "memory applies now, disk at the next start" */
static void
say_applies(const char *name, const json_t *answer)
{
  g_autoptr(GString) s = g_string_new(NULL);
  const char *key;
  json_t *v;

  json_object_foreach (json_object_get(answer, "applies"), key, v) {
    g_autofree char *field = pt_safe(key), *when = pt_safe(json_string_value(v));
    g_string_append_printf(s, "%s%s applies %s", s->len ? ", " : "", field, when);
  }
  if (s->len)
    pt_say("%s: %s.", name, s->str);
  else
    pt_say("%s is changed.", name);
  say_under_way(name, answer);
}

static bool
apply_patch(PtCli *cli, const PtTarget *t, const json_t *patch, json_t **ret, GError **error)
{
  g_autofree char *bare = pt_target_path(t, ""), *path = g_strdup_printf("%s?wait=%u", bare, pt_operation_first_wait(cli));

  return pt_cli_call(cli, "PATCH", path, patch, ret, error);
}

static int
run_set(PtCli *cli, const PtArgs *args, GError **error)
{
  g_auto(PtTarget) t = { 0 };
  g_autoptr(json_t) patch = json_object(), answer = NULL;

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  for (guint i = 1; i < pt_args_n(args); i++)
    if (!pt_record_patch_add(&pt_instance_type, patch, pt_args_nth(args, i), error))
      return -1;
  if (!apply_patch(cli, &t, patch, &answer, error) || !pt_operation_wait(cli, answer, t.name, 0, NULL, error)) {
    g_autofree char *prefix = g_strdup_printf("%s: ", t.name);
    if (error && *error && !strstr((*error)->message, t.name))
      g_prefix_error(error, "%s", prefix);
    return -1;
  }
  if (cli->json)
    pt_print_json(cli, answer);
  else if (cli->quiet)
    pt_say("%s", t.name);
  else
    say_applies(t.name, answer);
  return 0;
}

static int
run_rename(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *to = pt_args_nth(args, 1);
  g_auto(PtTarget) t = { 0 };
  g_autoptr(json_t) answer = NULL;

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error) || !pt_name_check("instance", to, error))
    return -1;
  g_autoptr(json_t) patch = json_pack("{s:s}", "name", to);
  if (!apply_patch(cli, &t, patch, &answer, error) || !pt_operation_wait(cli, answer, t.name, 0, NULL, error))
    return -1;
  if (cli->json)
    pt_print_json(cli, answer);
  else if (cli->quiet)
    pt_say("%s", to);
  else
    pt_say("%s is called %s now.", t.name, to);
  return 0;
}

/* --- desktop --- */

static bool
open_link(const char *link, GError **error)
{
  char *argv[] = { (char *)"xdg-open", (char *)link, NULL };

  if (g_spawn_async(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                    NULL, NULL, NULL))
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "there is no program here that opens links (xdg-open)\nopen it yourself:  %s", link);
  return false;
}

static int
run_desktop(PtCli *cli, const PtArgs *args, GError **error)
{
  g_auto(PtTarget) t = { 0 };
  g_autoptr(json_t) i = NULL;

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  g_autofree char *path = pt_target_path(&t, "");
  if (!pt_cli_call(cli, "GET", path, NULL, &i, error))
    return -1;
  if (!pt_json_bool(i, "desktop", false)) {
    PT_SET(error, PT_ERR_CONFLICT, "%s has no desktop: its image brings none", t.name);
    pt_error_hint(error, "work in a terminal instead:  portena shell %s", t.name);
    return -1;
  }
  g_autofree char *url = pt_web_url(cli);
  g_autofree char *link = g_strdup_printf("%s/#/desktop/%s/%s", url, t.space, t.name);
  const char *state = pt_json_str(i, "state", "");
  if (strcmp(state, "running") != 0 && strcmp(state, "hibernated") != 0) { /* a hibernated one wakes when it is opened */
    g_autofree char *safe = pt_safe(state);
    pt_note(cli, "%s is %s. Start it first:  portena start %s", t.name, safe, t.name);
  }
  if (pt_args_has(args, "open"))
    return open_link(link, error) ? 0 : -1;
  if (cli->json) {
    g_autoptr(json_t) o = json_pack("{s:s}", "url", link);
    pt_print_json(cli, o);
  } else {
    pt_say("%s", link);
  }
  return 0;
}

static const PtOption list_options[] = {
  { "all", 'a', NULL, "Of every space that you may see", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption desktop_options[] = {
  { "open", 'o', NULL, "Open the link in this machine's browser", false },
  { NULL, 0, NULL, NULL, false },
};

const PtCommand pt_cmds_instance[] = {
  { .name = "launch",
    .args = "IMAGE NAME [-- COMMAND…]",
    .summary = "Make a computer from an image and start it",
    .options = pt_launch_options,
    .min = 2,
    .max = 2,
    .flags = PT_CMD_DASHES,
    .completes = "ri",
    .run = pt_launch_run,
    .text = pt_launch_text,
    .examples = { { "portena launch desktop studio", "a desktop called studio" },
                  { "portena launch debian web --memory 2GiB --publish 8080:80", "a server, reachable at port 8080" } } },
  { .name = "list",
    .alias = "ls",
    .args = "",
    .summary = "Show your computers",
    .options = list_options,
    .run = run_list,
    .completes = "",
    .examples = { { "portena list", "those of your space" }, { "portena list --all -q", "the names of all, one a line" } } },
  { .name = "show",
    .args = "NAME…",
    .summary = "Tell all about a computer",
    .min = 1,
    .max = G_MAXUINT,
    .completes = "i",
    .run = run_show,
    .examples = { { "portena show studio", "what it is, has and uses" },
                  { "portena show studio --json", "the same for programs" } } },
  { .name = "set",
    .args = "NAME FIELD=VALUE…",
    .summary = "Change a computer, while it runs where that is possible",
    .min = 2,
    .max = G_MAXUINT,
    .completes = "i=",
    .run = run_set,
    .text = "Fields: description cpu memory disk pids io_read io_write net_in net_out priority command env.NAME cwd user restart "
            "autostart ports init kind offline; of a machine: model accel firmware secure_boot tpm hardware iso_name boot_iso.\n"
            "The kind changes while it is stopped, and keeps files, name and address.\n"
            "An empty value takes the default back.",
    .examples = { { "portena set studio memory=4GiB cpu=2", "at once, it goes on running" },
                  { "portena set web kind=machine", "a stopped one: the same files, with a kernel of its own" } } },
  { .name = "rename",
    .args = "NAME NEW",
    .summary = "Give a stopped computer another name",
    .min = 2,
    .max = 2,
    .completes = "i",
    .run = run_rename,
    .examples = { { "portena rename studio atelier", "it keeps its disk and address" },
                  { "portena rename home/db home2", "one of space home" } } },
  { .name = "desktop",
    .args = "NAME",
    .summary = "Give the link to a computer's desktop",
    .options = desktop_options,
    .min = 1,
    .max = 1,
    .completes = "i",
    .run = run_desktop,
    .examples = { { "portena desktop studio", "print the link" },
                  { "portena desktop studio --open", "open it in the browser" } } },
  { NULL },
};
