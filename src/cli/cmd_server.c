// SPDX-License-Identifier: Apache-2.0
/* doctor, node, version, whoami, use. login and logout are in cmd_login.c. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/login.h"
#include "cli/output.h"

static int
run_doctor(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autoptr(json_t) answer = NULL;
  guint warn = 0, bad = 0;
  gsize n, width = 0;
  json_t *c;

  (void)args;
  if (!pt_cli_call(cli, "GET", "/v1/doctor", NULL, &answer, error))
    return -1;
  json_array_foreach (json_object_get(answer, "items"), n, c) {
    const char *state = pt_json_str(c, "state", "");
    warn += strcmp(state, "warn") == 0;
    bad += strcmp(state, "bad") == 0;
    g_autofree char *name = pt_safe(pt_json_str(c, "check", ""));
    width = MAX(width, pt_text_width(name));
  }
  if (cli->json) {
    pt_print_json(cli, answer);
    return bad ? PT_EXIT_FAILED : PT_EXIT_DONE;
  }
  json_array_foreach (json_object_get(answer, "items"), n, c) {
    PtLook look = pt_look_of_state(pt_json_str(c, "state", ""));
    g_autofree char *state = pt_safe(pt_json_str(c, "state", "")), *name = pt_safe(pt_json_str(c, "check", "")),
                    *detail = pt_text_safe(pt_json_str(c, "detail", ""), 500),
                    *hint = pt_text_safe(pt_json_str(c, "hint", ""), 500);
    if (cli->quiet && look == PT_LOOK_GOOD)
      continue;
    printf("%s%-4s%s  %s%*s  %s\n", pt_look_on(cli, look), state, pt_look_off(cli, look), name,
           (int)(width - pt_text_width(name)), "", detail);
    if (*hint)
      printf("%*s→ %s\n", (int)width + 8, "", hint);
  }
  if (bad || warn)
    pt_note(cli, "\n%u to repair, %u to look at.", bad, warn);
  else
    pt_note(cli, "\nAll is well.");
  return bad ? PT_EXIT_FAILED : PT_EXIT_DONE;
}

static void
add_pressure(PtFacts *f, const json_t *node)
{
  const json_t *load = json_object_get(node, "load"), *pressure = json_object_get(node, "pressure");
  const char *key;
  json_t *v;

  if (json_is_array(load) && json_array_size(load) >= 3)
    pt_facts_addf(f, "load", "%.2f %.2f %.2f", json_number_value(json_array_get(load, 0)),
                  json_number_value(json_array_get(load, 1)), json_number_value(json_array_get(load, 2)));
  else if (json_is_number(load))
    pt_facts_addf(f, "load", "%.2f", json_number_value(load));
  json_object_foreach ((json_t *)pressure, key, v) {
    g_autofree char *name = g_strdup_printf("%s pressure", key);
    if (json_is_number(v))
      pt_facts_addf(f, name, "%.1f %%", json_number_value(v));
  }
}

static int
run_node(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autoptr(PtFacts) f = pt_facts_new();
  g_autoptr(json_t) node = NULL;

  (void)args;
  if (!pt_cli_call(cli, "GET", "/v1/node", NULL, &node, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, node);
    return 0;
  }
  const json_t *pool = json_object_get(node, "pool");
  g_autofree char *cpus = pt_member_text(node, "cpus"), *memory = pt_member_size(node, "memory"),
                  *size = pt_member_size(pool, "size"), *used = pt_member_size(pool, "used"),
                  *instances = pt_member_text(node, "instances");
  pt_facts_add(f, "name", pt_json_str(node, "name", NULL));
  pt_facts_add(f, "version", pt_json_str(node, "version", NULL));
  pt_facts_add(f, "address", pt_json_str(node, "url", NULL));
  pt_facts_addf(f, "cpus", "%s", cpus);
  pt_facts_add(f, "memory", memory);
  pt_facts_addf(f, "pool", "%s of %s", used, size);
  pt_facts_add(f, "uplink", pt_json_str(node, "uplink", NULL));
  pt_facts_addf(f, "computers", "%s", instances);
  add_pressure(f, node);
  pt_facts_print(f, cli);
  return 0;
}

static int
run_version(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autoptr(json_t) server = NULL;
  g_autoptr(GError) why = NULL;

  (void)args;
  bool there = pt_cli_call(cli, "GET", "/v1", NULL, &server, &why);
  g_autofree char *name = pt_safe(pt_json_str(server, "name", "–")), *version = pt_safe(pt_json_str(server, "version", "–"));
  if (cli->json && !there) {
    g_propagate_error(error, g_steal_pointer(&why));
    return -1;
  }
  if (cli->json) { /* the server's word; portena's own is  portena version -q */
    pt_print_json(cli, server);
    return 0;
  }
  if (cli->quiet) {
    pt_say("%s", PORTENA_VERSION);
    return 0;
  }
  pt_say("portena %s", PORTENA_VERSION);
  if (there)
    pt_say("server %s (%s)", version, name);
  else
    pt_say("server cannot be reached: %s", pt_cli_server(cli));
  return 0;
}

static int
run_whoami(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autoptr(PtFacts) f = pt_facts_new();
  g_autoptr(json_t) s = NULL;

  (void)args;
  if (!pt_cli_call(cli, "GET", "/v1/session", NULL, &s, error))
    return -1;
  const json_t *user = json_object_get(s, "user"), *server = json_object_get(s, "server");
  g_autofree char *name = pt_safe(pt_json_str(user, "name", "–"));
  if (cli->json) {
    pt_print_json(cli, s);
    return 0;
  }
  if (cli->quiet) {
    pt_say("%s", name);
    return 0;
  }
  GString *spaces = g_string_new(NULL);
  gsize n;
  json_t *sp;
  json_array_foreach (json_object_get(s, "spaces"), n, sp)
    g_string_append_printf(spaces, "%s%s (%s)", n ? ", " : "", pt_json_str(sp, "name", ""), pt_json_str(sp, "role", ""));
  const char *space = pt_cli_space(cli, NULL);
  pt_facts_addf(f, "user", "%s%s", name, pt_json_bool(user, "admin", false) ? ", administrator" : "");
  pt_facts_addf(f, "server", "%s (%s, %s)", pt_cli_server(cli), pt_json_str(server, "name", "–"),
                pt_json_str(server, "version", "–"));
  pt_facts_add(f, "spaces", spaces->len ? spaces->str : "none");
  pt_facts_add(f, "works in", space ? space : "no space chosen:  portena use SPACE");
  pt_facts_print(f, cli);
  g_string_free(spaces, TRUE);
  return 0;
}

static int
run_use(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = pt_args_nth(args, 0);
  PtConfig *config = pt_cli_config(cli, error);
  g_autoptr(json_t) space = NULL;

  if (!config)
    return -1;
  if (!name) {
    const char *now = pt_cli_space(cli, error);
    if (!now)
      return -1;
    pt_say("%s", now);
    return 0;
  }
  if (!pt_name_check("space", name, error))
    return -1;
  g_autofree char *path = pt_client_path("/v1/spaces/%s", name);
  if (!pt_cli_call(cli, "GET", path, NULL, &space, error)) {
    pt_error_hint(error, "see which there are:  portena space list");
    return -1;
  }
  pt_config_set(config, pt_cli_server(cli), "space", name);
  if (!pt_config_write(config, error))
    return -1;
  pt_say(cli->quiet ? "%s" : "You work in space %s now.", name);
  return 0;
}

const PtCommand pt_cmds_server[] = {
  { .name = "doctor",
    .args = "",
    .summary = "Check the server, and say what to do about what is found",
    .completes = "",
    .run = run_doctor,
    .examples = { { "portena doctor", "host, engines, pools, network, clock, certificates" },
                  { "portena doctor -q", "only what is wrong" } } },
  { .name = "node",
    .args = "",
    .summary = "Show what the server has and how busy it is",
    .completes = "",
    .run = run_node,
    .examples = { { "portena node", "cpus, memory, pool, pressure" }, { "portena node --json", "for programs" } } },
  { .name = "login",
    .args = "[https://SERVER[:PORT]]",
    .summary = "Log in to a server, and work there from now on",
    .options = pt_login_options,
    .max = 1,
    .flags = PT_CMD_LOCAL,
    .run = pt_login_run,
    .text = pt_login_text,
    .examples = { { "portena login https://server:8443", "asks for name and password" },
                  { "portena login https://server:8443 --user anna < secret", "password from a file" } } },
  { .name = "logout",
    .args = "[SERVER]",
    .summary = "Log out, and forget the token",
    .max = 1,
    .flags = PT_CMD_LOCAL,
    .run = pt_logout_run,
    .examples = { { "portena logout", "from the server you work with" },
                  { "portena logout https://server:8443", "from another" } } },
  { .name = "whoami",
    .args = "",
    .summary = "Say who you are, where, and what you may do",
    .completes = "",
    .run = run_whoami,
    .examples = { { "portena whoami", "user, server and spaces" }, { "portena whoami -q", "the name alone" } } },
  { .name = "use",
    .args = "[SPACE]",
    .summary = "Choose the space to work in from now on",
    .max = 1,
    .completes = "s",
    .run = run_use,
    .examples = { { "portena use lab", "commands without --space mean lab" }, { "portena use", "say which it is" } } },
  { .name = "version",
    .args = "",
    .summary = "Show the versions of portena and of the server",
    .completes = "",
    .run = run_version,
    .examples = { { "portena version", "both" }, { "portena version -q", "portena's own" } } },
  { NULL },
};
