// SPDX-License-Identifier: Apache-2.0
/* user …, token … */
#include <string.h>

#include "base/error.h"
#include "base/id.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/list.h"
#include "cli/output.h"

/* A password typed twice at a terminal, or one line of a pipe. */
static char *
new_password(PtCli *cli, GError **error)
{
  char *first = pt_cli_secret(cli, "New password", error);

  if (!first || !cli->in_tty)
    return first;
  char *again = pt_cli_secret(cli, "The same again", error);
  bool same = again && strcmp(first, again) == 0;
  if (again && !same)
    PT_SET(error, PT_ERR_INVALID, "the two passwords differ\nnothing was changed");
  pt_secret_free(again);
  if (same)
    return first;
  pt_secret_free(first);
  return NULL;
}

static int
told(PtCli *cli, const json_t *answer, const char *name, const char *text)
{
  if (cli->json && answer)
    pt_print_json(cli, answer);
  else if (!cli->json)
    pt_say("%s", cli->quiet ? name : text);
  return 0;
}

static char *
user_path(const char *name, const char *suffix, GError **error)
{
  if (!pt_user_name_check(name, error))
    return NULL;
  g_autofree char *base = pt_client_path("/v1/users/%s", name);
  return g_strconcat(base, suffix, NULL);
}

static void
user_row(PtTable *t, const json_t *u)
{
  g_autofree char *name = pt_safe(pt_json_str(u, "name", "")), *last = pt_when(pt_json_str(u, "last_login", NULL));
  const char *cells[] = { name,
                          pt_json_str(u, "full_name", ""),
                          pt_json_bool(u, "admin", false) ? "yes" : "",
                          pt_json_bool(u, "totp", false) ? "yes" : "",
                          pt_json_bool(u, "disabled", false) ? "disabled" : "active",
                          last };

  pt_table_add(t, cells);
}

static int
run_list(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "NAME", "FULL NAME", "ADMIN", "SECOND FACTOR", "STATE", "LAST LOGIN", NULL };
  const PtList list = { .headings = headings, .key = "name", .row = user_row };

  (void)args;
  return pt_list_show(cli, "/v1/users", &list, error);
}

static int
run_show(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autofree char *path = user_path(pt_args_nth(args, 0), "", error);
  g_autoptr(PtFacts) f = pt_facts_new();
  g_autoptr(json_t) u = NULL;

  if (!path || !pt_cli_call(cli, "GET", path, NULL, &u, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, u);
    return 0;
  }
  g_autofree char *created = pt_when(pt_json_str(u, "created", NULL)), *last = pt_when(pt_json_str(u, "last_login", NULL));
  pt_facts_add(f, "name", pt_json_str(u, "name", NULL));
  pt_facts_add(f, "full name", pt_json_str(u, "full_name", NULL));
  pt_facts_add(f, "administrator", pt_json_bool(u, "admin", false) ? "yes" : "no");
  pt_facts_add(f, "second factor", pt_json_bool(u, "totp", false) ? "yes" : "no");
  pt_facts_add(f, "state", pt_json_bool(u, "disabled", false) ? "disabled" : "active");
  if (pt_json_bool(u, "must_change", false))
    pt_facts_add(f, "password", "has to be changed at the next login");
  pt_facts_add(f, "last login", last);
  pt_facts_add(f, "created", created);
  pt_facts_print(f, cli);
  return 0;
}

static int
run_create(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = pt_args_nth(args, 0), *full = pt_args_get(args, "full-name");
  g_autoptr(json_t) answer = NULL;

  if (!pt_user_name_check(name, error))
    return -1;
  char *password = new_password(cli, error);
  if (!password)
    return -1;
  g_autoptr(json_t) body = json_pack("{s:s, s:s}", "name", name, "password", password);
  pt_secret_free(password);
  if (!body) {
    PT_SET(error, PT_ERR_INVALID, "password: it is not valid UTF-8");
    return -1;
  }
  if (full)
    json_object_set_new(body, "full_name", json_string(full));
  if (pt_args_has(args, "admin"))
    json_object_set_new(body, "admin", json_true());
  if (!pt_cli_call(cli, "POST", "/v1/users", body, &answer, error))
    return -1;
  g_autofree char *text =
    g_strdup_printf("User %s is made. Let them in somewhere:  portena space member add SPACE %s", name, name);
  return told(cli, answer, name, text);
}

/* full_name=…, admin=yes, disabled=no */
static bool
add_field(json_t *patch, const char *assignment, GError **error)
{
  static const char *const yes[] = { "yes", "true", "on", "1", NULL }, *const no[] = { "no", "false", "off", "0", NULL };
  const char *eq = strchr(assignment, '=');
  g_autofree char *key = eq ? g_strndup(assignment, (gsize)(eq - assignment)) : g_strdup("");

  if (strcmp(key, "full_name") == 0 && json_object_set_new(patch, key, json_string(eq + 1)) == 0)
    return true;
  if (strcmp(key, "admin") == 0 || strcmp(key, "disabled") == 0) {
    bool on = g_strv_contains(yes, eq + 1);
    if (on || g_strv_contains(no, eq + 1)) {
      json_object_set_new(patch, key, json_boolean(on));
      return true;
    }
  }
  g_autofree char *shown = pt_safe(assignment);
  PT_SET(error, PT_ERR_INVALID,
         "'%s': FIELD=VALUE is wanted here\nwhat can be set: full_name=TEXT, admin=yes|no, disabled=yes|no", shown);
  return false;
}

static int
run_set(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = pt_args_nth(args, 0);
  g_autofree char *path = user_path(name, "", error), *text = g_strdup_printf("User %s is changed.", name);
  g_autoptr(json_t) patch = json_object(), answer = NULL;

  if (!path)
    return -1;
  for (guint i = 1; i < pt_args_n(args); i++)
    if (!add_field(patch, pt_args_nth(args, i), error))
      return -1;
  return pt_cli_call(cli, "PATCH", path, patch, &answer, error) ? told(cli, answer, name, text) : -1;
}

static int
run_delete(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = pt_args_nth(args, 0);
  g_autofree char *path = user_path(name, "", error), *text = g_strdup_printf("User %s is deleted.", name),
                  *question = g_strdup_printf("Delete user %s, with all tokens? What they made in spaces stays.", name);
  g_autoptr(json_t) answer = NULL;

  if (!path)
    return -1;
  if (!pt_args_has(args, "yes") && !pt_cli_confirm(cli, question)) {
    pt_note(cli, "Nothing was deleted.");
    return PT_EXIT_FAILED;
  }
  return pt_cli_call(cli, "DELETE", path, NULL, &answer, error) ? told(cli, answer, name, text) : -1;
}

/* Who we are at the server. The caller's. */
static char *
own_name(PtCli *cli, GError **error)
{
  g_autoptr(json_t) session = NULL;

  if (!pt_cli_call(cli, "GET", "/v1/session", NULL, &session, error))
    return NULL;
  const char *name = pt_json_str(json_object_get(session, "user"), "name", "");
  /* Root is whoever comes over the socket with uid 0, and no account. */
  if (strcmp(name, "root") == 0 && strcmp(pt_cli_server(cli), "local") == 0 &&
      !pt_config_get(cli->config, "local", "token")) {
    PT_SET(error, PT_ERR_INVALID, "root on the server's own machine has neither password nor tokens: whose do you mean?");
    pt_error_hint(error, "name the user; see them:  portena user list");
    return NULL;
  }
  return g_strdup(name);
}

static int
run_password(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autofree char *self = own_name(cli, pt_args_nth(args, 0) ? NULL : error);
  const char *name = pt_args_nth(args, 0) ? pt_args_nth(args, 0) : self;
  g_autoptr(json_t) body = json_object(), answer = NULL;

  if (!name)
    return -1;
  g_autofree char *path = user_path(name, "", error), *text = g_strdup_printf("The password of %s is changed.", name);
  if (!path)
    return -1;
  if (g_strcmp0(name, self) == 0) {
    char *current = pt_cli_secret(cli, "Current password", error);
    if (!current)
      return -1;
    json_object_set_new(body, "current_password", json_string(current));
    pt_secret_free(current);
  }
  char *password = new_password(cli, error);
  if (!password)
    return -1;
  int bad = json_object_set_new(body, "password", json_string(password));
  pt_secret_free(password);
  if (bad) {
    PT_SET(error, PT_ERR_INVALID, "password: it is not valid UTF-8");
    return -1;
  }
  return pt_cli_call(cli, "PATCH", path, body, &answer, error) ? told(cli, answer, name, text) : -1;
}

static int
enrol_totp(PtCli *cli, const char *path, const char *name, GError **error)
{
  g_autoptr(json_t) answer = NULL;

  if (!pt_cli_call(cli, "POST", path, NULL, &answer, error))
    return -1;
  g_autofree char *secret = pt_safe(pt_json_str(answer, "secret", "")),
                  *uri = pt_text_safe(pt_json_str(answer, "uri", ""), 500);
  fprintf(stderr, "Add this to your authenticator app:\n  key  %s\n  link %s\n", secret, uri);
  g_autofree char *code = pt_cli_ask(cli, "The six digits it shows", error);
  if (!code)
    return -1;
  g_autoptr(json_t) body = json_pack("{s:s}", "code", code);
  if (!body || !pt_cli_call(cli, "PUT", path, body, NULL, error))
    return -1;
  g_autofree char *text = g_strdup_printf("%s needs a code to log in from now on.", name);
  return told(cli, NULL, name, text);
}

/* {"password":…} of whoever asks, or {} for root on the server's own machine, who has none. */
static json_t *
own_password(PtCli *cli, GError **error)
{
  g_autofree char *self = own_name(cli, NULL);

  if (!self)
    return json_object();
  char *password = pt_cli_secret(cli, "Your password", error);
  if (!password)
    return NULL;
  json_t *body = json_pack("{s:s}", "password", password);
  pt_secret_free(password);
  if (!body)
    PT_SET(error, PT_ERR_INVALID, "password: it is not valid UTF-8");
  return body;
}

static int
run_totp(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autofree char *self = pt_args_nth(args, 0) ? g_strdup(pt_args_nth(args, 0)) : own_name(cli, error);
  g_autofree char *path = self ? user_path(self, "/totp", error) : NULL;

  if (!path)
    return -1;
  if (!pt_args_has(args, "off"))
    return enrol_totp(cli, path, self, error);
  g_autoptr(json_t) body = own_password(cli, error);
  if (!body || !pt_cli_call(cli, "DELETE", path, body, NULL, error))
    return -1;
  g_autofree char *text = g_strdup_printf("%s logs in with the password alone.", self);
  return told(cli, NULL, self, text);
}

/* --- tokens --- */

static void
token_row(PtTable *t, const json_t *k)
{
  g_autofree char *id = pt_safe(pt_json_str(k, "id", "")), *created = pt_when(pt_json_str(k, "created", NULL)),
                  *expires = pt_when(pt_json_str(k, "expires", NULL)), *used = pt_when(pt_json_str(k, "last_used", NULL));
  const char *cells[] = {
    id,   pt_json_str(k, "name", ""),     pt_json_str(k, "kind", ""), pt_json_str(k, "scope", "full"), created, expires,
    used, pt_json_str(k, "last_from", "")
  };

  pt_table_add(t, cells);
}

static int
run_token_list(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "ID", "NAME", "KIND", "SCOPE", "CREATED", "EXPIRES", "LAST USED", "FROM", NULL };
  g_autofree char *self = pt_args_nth(args, 0) ? g_strdup(pt_args_nth(args, 0)) : own_name(cli, error);
  g_autofree char *path = self ? user_path(self, "/tokens", error) : NULL;
  const PtList list = { .headings = headings, .key = "id", .row = token_row };

  return path ? pt_list_show(cli, path, &list, error) : -1;
}

static int
run_token_create(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *expires = pt_args_get(args, "expires"), *scope = pt_args_get(args, "scope");
  g_autofree char *self = own_name(cli, NULL);
  g_autofree char *path = self ? user_path(self, "/tokens", error) : NULL;
  g_autoptr(json_t) body = json_pack("{s:s}", "name", pt_args_nth(args, 0)), answer = NULL;
  gint64 us = 0;

  if (!self) {
    PT_SET(error, PT_ERR_FORBIDDEN, "token: only the user whose it is can make one");
    pt_error_hint(error, "log in as that user first:  portena login --user USER");
  }
  if (!path)
    return -1;
  if (expires && !pt_duration_parse(expires, &us, error)) {
    g_prefix_error(error, "--expires: ");
    return -1;
  }
  json_object_set_new(body, "expires_in", json_string(expires ? expires : "90d"));
  if (scope)
    json_object_set_new(body, "scope", json_string(scope));
  if (!pt_cli_call(cli, "POST", path, body, &answer, error))
    return -1;
  g_autofree char *token = pt_safe(pt_json_str(answer, "token", "")), *until = pt_when(pt_json_str(answer, "expires", NULL));
  if (cli->json) {
    pt_print_json(cli, answer);
    return 0;
  }
  pt_note(cli, "This is shown only once; it is good until %s:", until);
  pt_say("%s", token);
  return 0;
}

/* What `said` is of the user's tokens: an id, or a name that one alone has. The caller's; NULL with an error. */
static char *
token_id(PtCli *cli, const char *user, const char *said, GError **error)
{
  g_autofree char *path = pt_client_path("/v1/users/%s/tokens", user), *safe = pt_safe(said);
  g_autoptr(json_t) answer = NULL;
  const char *found = NULL;
  guint n = 0;

  if (!pt_cli_call(cli, "GET", path, NULL, &answer, error))
    return NULL;
  const json_t *items = json_object_get(answer, "items");
  for (gsize i = 0; i < json_array_size(items); i++) {
    const json_t *k = json_array_get(items, i);
    const char *id = pt_json_str(k, "id", "");
    if (strcmp(id, said) == 0)
      return g_strdup(id);
    if (strcmp(pt_json_str(k, "name", ""), said) == 0) {
      found = id;
      n++;
    }
  }
  if (n == 1)
    return g_strdup(found);
  if (n == 0)
    PT_SET(error, PT_ERR_NOT_FOUND, "user %s has no token %s", user, safe);
  else
    PT_SET(error, PT_ERR_CONFLICT, "user %s has %u tokens called %s", user, n, safe);
  pt_error_hint(error, n ? "say which by its id, of:  portena token list %s" : "those there are:  portena token list %s", user);
  return NULL;
}

static int
run_token_delete(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *user = pt_args_get(args, "for");
  g_autofree char *self = user ? g_strdup(user) : own_name(cli, error);

  if (!self || !pt_user_name_check(self, error))
    return -1;
  for (guint i = 0; i < pt_args_n(args); i++) {
    g_autofree char *safe = pt_safe(pt_args_nth(args, i)), *id = token_id(cli, self, pt_args_nth(args, i), error);
    g_autofree char *path = id ? pt_client_path("/v1/users/%s/tokens/%s", self, id) : NULL;
    if (!path || !pt_cli_call(cli, "DELETE", path, NULL, NULL, error))
      return -1;
    g_autofree char *text = g_strdup_printf("Token %s opens nothing any more.", safe);
    told(cli, NULL, safe, text);
  }
  return 0;
}

static const PtOption create_options[] = {
  { "full-name", 0, "TEXT", "The person's name", false },
  { "admin", 0, NULL, "An administrator, who may do everything", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption delete_options[] = { { "yes", 'y', NULL, "Do not ask", false }, { NULL, 0, NULL, NULL, false } };
static const PtOption totp_options[] = { { "off", 0, NULL, "Ask for the password alone again", false },
                                         { NULL, 0, NULL, NULL, false } };
static const PtOption token_options[] = {
  { "expires", 0, "TIME", "How long it is good (90d)", false },
  { "scope", 0, "SCOPE", "full, read, space:NAME or space:NAME:read (full)", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption token_delete_options[] = { { "for", 0, "USER", "Of this user (you)", false },
                                                 { NULL, 0, NULL, NULL, false } };

const PtCommand pt_cmds_user[] = {
  { .name = "user list",
    .args = "",
    .summary = "Show the users",
    .completes = "",
    .run = run_list,
    .examples = { { "portena user list", "all" }, { "portena user list -q", "names only" } } },
  { .name = "user show",
    .args = "USER",
    .summary = "Tell all about a user",
    .min = 1,
    .max = 1,
    .completes = "u",
    .run = run_show,
    .examples = { { "portena user show anna", "what is known of her" },
                  { "portena user show anna --json", "for programs" } } },
  { .name = "user create",
    .args = "USER",
    .summary = "Make a user; the password is asked for, or read from standard input",
    .options = create_options,
    .min = 1,
    .max = 1,
    .run = run_create,
    .examples = { { "portena user create anna", "asks for the password" },
                  { "portena user create ben --admin < password.txt", "from a file" } } },
  { .name = "user set",
    .args = "USER FIELD=VALUE…",
    .summary = "Change a user",
    .min = 2,
    .max = G_MAXUINT,
    .completes = "u=",
    .run = run_set,
    .text = "Fields: full_name=TEXT admin=yes|no disabled=yes|no.",
    .examples = { { "portena user set anna full_name='Anna Ahl'", "her name" },
                  { "portena user set ben disabled=yes", "he cannot log in" } } },
  { .name = "user delete",
    .args = "USER",
    .summary = "Delete a user",
    .options = delete_options,
    .min = 1,
    .max = 1,
    .completes = "u",
    .run = run_delete,
    .examples = { { "portena user delete ben", "asks on a terminal" },
                  { "portena user delete ben --yes", "does not ask" } } },
  { .name = "user password",
    .args = "[USER]",
    .summary = "Change a password, your own or somebody's",
    .max = 1,
    .completes = "u",
    .run = run_password,
    .examples = { { "portena user password", "your own" }, { "portena user password anna", "hers, as an administrator" } } },
  { .name = "user totp",
    .args = "[USER]",
    .summary = "Ask for a code from an app at each login",
    .options = totp_options,
    .max = 1,
    .completes = "u",
    .run = run_totp,
    .examples = { { "portena user totp", "set it up for yourself" },
                  { "portena user totp --off", "go back to the password alone" } } },
  { .name = "token list",
    .args = "[USER]",
    .summary = "Show tokens and sessions",
    .max = 1,
    .completes = "u",
    .run = run_token_list,
    .examples = { { "portena token list", "yours" }, { "portena token list anna", "hers, as an administrator" } } },
  { .name = "token create",
    .args = "NAME",
    .summary = "Make a token for a program",
    .options = token_options,
    .min = 1,
    .max = 1,
    .run = run_token_create,
    .examples = { { "portena token create backup --scope read", "may look at everything" },
                  { "portena token create ci --scope space:lab --expires 30d", "may work in one space for a month" } } },
  { .name = "token delete",
    .args = "ID…",
    .summary = "Take tokens back, or end sessions",
    .options = token_delete_options,
    .min = 1,
    .max = G_MAXUINT,
    .run = run_token_delete,
    .examples = { { "portena token delete backup", "by its name, or its id from the list" },
                  { "portena token delete 01k2x… --for anna", "one of hers" } } },
  { NULL },
};
