// SPDX-License-Identifier: Apache-2.0
/* space …, quota. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/list.h"
#include "cli/operation.h"
#include "cli/output.h"
#include "model/space.h"

static const char *const quota_keys[] = { "instances", "cpu", "memory", "disk" };

/* "2 of 4", "1.5 of 8 GiB", "3, no limit" */
static char *
use_of(const json_t *space, const char *key)
{
  const json_t *limit = json_object_get(json_object_get(space, "quota"), key),
               *used = json_object_get(json_object_get(space, "used"), key);
  bool bytes = strcmp(key, "memory") == 0 || strcmp(key, "disk") == 0;
  double u = json_number_value(used), l = json_number_value(limit);
  g_autofree char *a = bytes ? pt_size_format((gint64)u) : g_strdup_printf("%g", u);
  g_autofree char *b = bytes ? pt_size_format((gint64)l) : g_strdup_printf("%g", l);

  return l > 0 ? g_strdup_printf("%s of %s", a, b) : g_strdup(a);
}

static void
space_row(PtTable *t, const json_t *s)
{
  g_autofree char *name = pt_safe(pt_json_str(s, "name", "")), *instances = use_of(s, "instances"),
                  *cpu = use_of(s, "cpu"), *memory = use_of(s, "memory"), *disk = use_of(s, "disk");
  const char *cells[] = { name,
                          pt_json_str(s, "role", ""),
                          instances,
                          cpu,
                          memory,
                          disk,
                          pt_json_str(s, "subnet", ""),
                          pt_json_str(s, "description", "") };

  pt_table_add(t, cells);
}

static int
run_list(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = {
    "NAME", "ROLE", "COMPUTERS", "CPU", "MEMORY", "DISK", "SUBNET", "DESCRIPTION", NULL
  };
  const PtList list = {
    .headings = headings, .key = "name", .row = space_row,
    .none = "There are no spaces yet. Make one:  portena space create NAME",
  };

  (void)args;
  return pt_list_show(cli, "/v1/spaces", &list, error);
}

static const char *
named_space(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = pt_args_nth(args, 0);

  if (!name)
    return pt_cli_space(cli, error);
  return pt_name_check("space", name, error) ? name : NULL;
}

static void
add_members(PtFacts *f, const json_t *members)
{
  const char *user;
  json_t *role;

  json_object_foreach ((json_t *)members, user, role)
    pt_facts_addf(f, "member", "%s (%s)", user, json_is_string(role) ? json_string_value(role) : "–");
}

static int
run_show(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = named_space(cli, args, error);
  g_autoptr(PtFacts) f = pt_facts_new();
  g_autoptr(json_t) s = NULL;

  if (!name)
    return -1;
  g_autofree char *path = pt_client_path("/v1/spaces/%s", name);
  if (!pt_cli_call(cli, "GET", path, NULL, &s, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, s);
    return 0;
  }
  g_autofree char *created = pt_when(pt_json_str(s, "created", NULL));
  pt_facts_add(f, "name", pt_json_str(s, "name", NULL));
  pt_facts_add(f, "description", pt_json_str(s, "description", NULL));
  pt_facts_add(f, "your role", pt_json_str(s, "role", NULL));
  pt_facts_addf(f, "network", "%s, %s", pt_json_str(s, "subnet", "–"), pt_json_str(s, "prefix6", "–"));
  for (guint i = 0; i < G_N_ELEMENTS(quota_keys); i++) {
    g_autofree char *use = use_of(s, quota_keys[i]);
    pt_facts_add(f, i == 0 ? "computers" : quota_keys[i], use);
  }
  add_members(f, json_object_get(s, "members"));
  pt_facts_add(f, "created", created);
  pt_facts_print(f, cli);
  return 0;
}

static int
told(PtCli *cli, const json_t *answer, const char *name, const char *text)
{
  if (cli->json)
    pt_print_json(cli, answer);
  else if (cli->quiet)
    pt_say("%s", name);
  else
    pt_say("%s", text);
  return 0;
}

static bool
add_assignments(const PtType *type, json_t *patch, const PtArgs *args, guint from, const char *prefix, GError **error)
{
  for (guint i = from; i < pt_args_n(args); i++) {
    g_autofree char *assignment = g_strconcat(prefix, pt_args_nth(args, i), NULL);
    if (!pt_record_patch_add(type, patch, assignment, error))
      return false;
  }
  return true;
}

static int
run_create(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = named_space(cli, args, error);
  g_autoptr(json_t) answer = NULL;

  if (!name)
    return -1;
  g_autoptr(json_t) body = json_pack("{s:s}", "name", name);
  g_autofree char *subnet = pt_args_has(args, "subnet") ? g_strconcat("subnet=", pt_args_get(args, "subnet"), NULL) : NULL;
  if ((subnet && !pt_record_patch_add(&pt_space_type, body, subnet, error)) || !add_assignments(&pt_space_type, body, args, 1, "", error) ||
      !pt_cli_call(cli, "POST", "/v1/spaces", body, &answer, error))
    return -1;
  g_autofree char *text = g_strdup_printf("Space %s is made. Work in it:  portena use %s", name, name);
  return told(cli, answer, name, text);
}

static int
run_set(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = named_space(cli, args, error);
  g_autoptr(json_t) patch = json_object(), answer = NULL;

  if (!name || !add_assignments(&pt_space_type, patch, args, 1, "", error))
    return -1;
  g_autofree char *path = pt_client_path("/v1/spaces/%s", name), *text = g_strdup_printf("Space %s is changed.", name);
  return pt_cli_call(cli, "PATCH", path, patch, &answer, error) ? told(cli, answer, name, text) : -1;
}

/* What goes with a space: its computers by name. */
static char *
space_contents(PtCli *cli, const char *name, GError **error)
{
  g_autofree char *path = pt_client_path("/v1/spaces/%s/instances", name);
  g_autoptr(json_t) answer = NULL;
  gsize n;
  json_t *i;

  if (!pt_cli_call(cli, "GET", path, NULL, &answer, error))
    return NULL;
  GString *s = g_string_new(NULL);
  json_array_foreach (json_object_get(answer, "items"), n, i) {
    g_autofree char *one = pt_safe(pt_json_str(i, "name", ""));
    g_string_append_printf(s, "%s%s", n ? ", " : "", one);
  }
  if (s->len == 0)
    g_string_append(s, "no computers");
  return g_string_free(s, FALSE);
}

static int
run_delete(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = named_space(cli, args, error);
  bool force = pt_args_has(args, "force"), dry = pt_args_has(args, "dry-run");
  g_autoptr(json_t) answer = NULL;

  if (!name)
    return -1;
  if (dry || (!force && !pt_args_has(args, "yes") && cli->in_tty)) {
    g_autofree char *contents = space_contents(cli, name, error);
    if (!contents)
      return -1;
    g_autofree char *question = g_strdup_printf("Delete space %s with %s, and its key?", name, contents);
    if (dry) {
      pt_say("Would delete space %s with %s. Nothing was changed.", name, contents);
      return 0;
    }
    if (!pt_cli_confirm(cli, question)) {
      pt_note(cli, "Nothing was deleted.");
      return PT_EXIT_FAILED;
    }
  }
  g_autofree char *base = pt_client_path("/v1/spaces/%s", name), *text = g_strdup_printf("Space %s is deleted.", name);
  g_autofree char *path =
    g_strconcat(base, force ? "?force=true&wait=" : "?wait=", pt_operation_first_wait(cli) == 1 ? "1" : "600", NULL);
  if (!pt_cli_call(cli, "DELETE", path, NULL, &answer, error) ||
      !pt_operation_wait(cli, answer, "Deleting space", 0, NULL, error))
    return -1;
  return told(cli, answer, name, text);
}

/* --- members --- */

static int
run_members(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "USER", "ROLE", NULL };
  const char *name = named_space(cli, args, error), *user;
  g_autoptr(PtTable) t = pt_table_new(headings);
  g_autoptr(json_t) s = NULL;
  json_t *role;

  if (!name)
    return -1;
  g_autofree char *path = pt_client_path("/v1/spaces/%s", name);
  if (!pt_cli_call(cli, "GET", path, NULL, &s, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, s);
    return 0;
  }
  json_object_foreach (json_object_get(s, "members"), user, role) {
    const char *cells[] = { user, json_string_value(role) };
    g_autofree char *safe = pt_safe(user);
    if (cli->quiet)
      pt_say("%s", safe);
    else
      pt_table_add(t, cells);
  }
  if (!cli->quiet)
    pt_table_print(t, cli);
  return 0;
}

static int
run_member_add(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = named_space(cli, args, error), *user = pt_args_nth(args, 1), *role = pt_args_nth(args, 2);
  static const char *const roles[] = { "owner", "member", "viewer", NULL };
  g_autoptr(json_t) answer = NULL;

  if (!name || !pt_user_name_check(user, error))
    return -1;
  role = role ? role : "member";
  if (!g_strv_contains(roles, role)) {
    g_autofree char *shown = pt_safe(role);
    PT_SET(error, PT_ERR_INVALID,
           "role '%s': there is owner, member and viewer\nan owner changes everything, a member uses it, a viewer looks on",
           shown);
    return -1;
  }
  g_autoptr(json_t) body = json_pack("{s:s}", "role", role);
  g_autofree char *path = pt_client_path("/v1/spaces/%s/members/%s", name, user);
  g_autofree char *text = g_strdup_printf("%s is %s of space %s now.", user, role, name);
  return pt_cli_call(cli, "PUT", path, body, &answer, error) ? told(cli, answer, user, text) : -1;
}

static int
run_member_remove(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = named_space(cli, args, error), *user = pt_args_nth(args, 1);
  g_autoptr(json_t) answer = NULL;

  if (!name || !pt_user_name_check(user, error))
    return -1;
  g_autofree char *path = pt_client_path("/v1/spaces/%s/members/%s", name, user);
  g_autofree char *text = g_strdup_printf("%s has no rights in space %s any more.", user, name);
  return pt_cli_call(cli, "DELETE", path, NULL, &answer, error) ? told(cli, answer, user, text) : -1;
}

/* --- quota --- */

static void
print_quota(PtCli *cli, const json_t *space)
{
  static const char *const headings[] = { "WHAT", "USED", "LIMIT", NULL };
  g_autoptr(PtTable) t = pt_table_new(headings);

  for (guint i = 0; i < G_N_ELEMENTS(quota_keys); i++) {
    const char *key = quota_keys[i];
    bool bytes = i >= 2;
    double limit = json_number_value(json_object_get(json_object_get(space, "quota"), key));
    double used = json_number_value(json_object_get(json_object_get(space, "used"), key));
    g_autofree char *a = bytes ? pt_size_format((gint64)used) : g_strdup_printf("%g", used);
    g_autofree char *b = limit <= 0 ? g_strdup("none")
                         : bytes    ? pt_size_format((gint64)limit)
                                    : g_strdup_printf("%g", limit);
    const char *cells[] = { i == 0 ? "computers" : key, a, b };
    pt_table_add(t, cells);
  }
  pt_table_print(t, cli);
}

/* "memory 70 GiB, cpu 16" */
static char *
quota_text(const json_t *quota)
{
  GString *s = g_string_new(NULL);
  const char *key;
  json_t *v;

  json_object_foreach ((json_t *)quota, key, v) {
    bool bytes = strcmp(key, "memory") == 0 || strcmp(key, "disk") == 0;
    g_autofree char *value = bytes ? pt_member_size(quota, key) : pt_member_text(quota, key);
    g_string_append_printf(s, "%s%s %s", s->len ? ", " : "", key, value);
  }
  return g_string_free(s, FALSE);
}

static int
run_quota(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *first = pt_args_nth(args, 0);
  bool named = first && !strchr(first, '=');
  const char *name = named ? first : pt_cli_space(cli, error);
  g_autoptr(json_t) patch = json_object(), answer = NULL;
  guint from = named ? 1 : 0;

  if (!name || (named && !pt_name_check("space", name, error)) ||
      !add_assignments(&pt_space_type, patch, args, from, "quota.", error))
    return -1;
  bool change = pt_args_n(args) > from;
  g_autofree char *path = pt_client_path("/v1/spaces/%s", name);
  if (change && pt_args_has(args, "dry-run")) {
    g_autofree char *text = quota_text(json_object_get(patch, "quota"));
    pt_say("Would set the quota of space %s: %s. Nothing was changed.", name, text);
    return 0;
  }
  if (!pt_cli_call(cli, change ? "PATCH" : "GET", path, change ? patch : NULL, &answer, error))
    return -1;
  if (cli->json)
    pt_print_json(cli, answer);
  else if (cli->quiet)
    pt_say("%s", name);
  else
    print_quota(cli, answer);
  return 0;
}

static const PtOption create_options[] = {
  { "subnet", 0, "ADDRESS/BITS", "Its network's addresses, such as 10.9.0.0/24", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption delete_options[] = {
  { "force", 'f', NULL, "With the computers in it, and do not ask", false },
  { "yes", 'y', NULL, "Do not ask", false },
  { "dry-run", 'n', NULL, "Say what would be deleted, and change nothing", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption quota_options[] = {
  { "dry-run", 'n', NULL, "Say what would be set, and change nothing", false },
  { NULL, 0, NULL, NULL, false },
};

const PtCommand pt_cmds_space[] = {
  { .name = "space list",
    .args = "",
    .summary = "Show the spaces that you may see",
    .completes = "",
    .run = run_list,
    .examples = { { "portena space list", "with what they use" }, { "portena space list -q", "names only" } } },
  { .name = "space show",
    .args = "[SPACE]",
    .summary = "Tell all about a space",
    .max = 1,
    .completes = "s",
    .run = run_show,
    .examples = { { "portena space show", "the one you work in" }, { "portena space show school", "another" } } },
  { .name = "space create",
    .args = "SPACE [FIELD=VALUE…]",
    .summary = "Make a space",
    .options = create_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "s=",
    .run = run_create,
    .text = "Fields: description subnet quota.instances quota.cpu quota.memory quota.disk.",
    .examples = { { "portena space create school", "without limits" },
                  { "portena space create lab quota.memory=32GiB", "with a quota" } } },
  { .name = "space set",
    .args = "SPACE FIELD=VALUE…",
    .summary = "Change a space",
    .min = 2,
    .max = G_MAXUINT,
    .completes = "s=",
    .run = run_set,
    .examples = { { "portena space set lab description='Room 12'", "what it is for" },
                  { "portena space set lab quota.cpu=16", "a limit" } } },
  { .name = "space delete",
    .args = "SPACE",
    .summary = "Delete a space",
    .options = delete_options,
    .min = 1,
    .max = 1,
    .completes = "s",
    .run = run_delete,
    .examples = { { "portena space delete lab", "an empty one" },
                  { "portena space delete lab --force", "with all that is in it" } } },
  { .name = "space members",
    .args = "[SPACE]",
    .summary = "Show who may do what in a space",
    .max = 1,
    .completes = "s",
    .run = run_members,
    .examples = { { "portena space members", "of the one you work in" },
                  { "portena space members lab -q", "names only" } } },
  { .name = "space member add",
    .args = "SPACE USER [ROLE]",
    .summary = "Let somebody in, or change the role",
    .min = 2,
    .max = 3,
    .completes = "suR",
    .run = run_member_add,
    .examples = { { "portena space member add lab anna", "as a member" },
                  { "portena space member add lab ben viewer", "may look on" } } },
  { .name = "space member remove",
    .args = "SPACE USER",
    .summary = "Take somebody's rights in a space",
    .min = 2,
    .max = 2,
    .completes = "su",
    .run = run_member_remove,
    .examples = { { "portena space member remove lab anna", "she is out" },
                  { "portena space members lab", "who is left" } } },
  { .name = "quota",
    .args = "[SPACE] [LIMIT=VALUE…]",
    .summary = "Show or set what a space may use",
    .options = quota_options,
    .max = G_MAXUINT,
    .completes = "s=",
    .run = run_quota,
    .text = "Limits: instances cpu memory disk. 0 takes a limit away.",
    .examples = { { "portena quota", "of the space you work in" },
                  { "portena quota lab memory=70G cpu=16", "set two limits" } } },
  { NULL },
};
