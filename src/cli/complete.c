// SPDX-License-Identifier: Apache-2.0
#include "cli/complete.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "model/instance.h"
#include "model/space.h"

typedef struct Completion {
  PtCli *cli;
  const char *word; /* what is there already */
  char **before;    /* the words before it */
  guint n_before;
  GHashTable *seen;         /* what was offered */
  const PtCommand *command; /* NULL while it is being named */
} Completion;

static void
offer(const Completion *c, const char *text)
{
  g_autofree char *safe = pt_safe(text);

  if (g_str_has_prefix(safe, c->word) && !strpbrk(safe, " \t") && g_hash_table_add(c->seen, g_strdup(safe)))
    puts(safe);
}

/* The next word of every command that begins with the words before. */
static bool
offer_command(const PtCommand *cmd, const char *heading, void *data)
{
  const Completion *c = data;
  g_auto(GStrv) words = g_strsplit(cmd->name, " ", -1);
  guint n = g_strv_length(words);

  (void)heading;
  if ((cmd->flags & PT_CMD_HIDDEN) || n <= c->n_before)
    return true;
  for (guint i = 0; i < c->n_before; i++)
    if (strcmp(words[i], c->before[i]) != 0)
      return true;
  offer(c, words[c->n_before]);
  return true;
}

static void
offer_listed(const Completion *c, const char *path, const char *key)
{
  g_autoptr(json_t) answer = NULL;
  gsize n, k;
  json_t *item;

  if (!pt_cli_call(c->cli, "GET", path, NULL, &answer, NULL))
    return;
  json_array_foreach (json_object_get(answer, "items"), n, item) {
    const json_t *v = json_object_get(item, key);
    if (json_is_string(v))
      offer(c, json_string_value(v));
    for (k = 0; k < json_array_size(v); k++)
      offer(c, json_string_value(json_array_get(v, k)));
  }
}

/* Names of the space in work; after "SPACE/" those of that space. */
static void
offer_instances(const Completion *c, const char *suffix)
{
  const char *slash = strchr(c->word, '/');
  g_autofree char *other = slash ? g_strndup(c->word, (gsize)(slash - c->word)) : NULL;
  const char *space = other ? other : pt_cli_space(c->cli, NULL);
  g_autofree char *path = space ? pt_client_path("/v1/spaces/%s/instances", space) : NULL;
  g_autoptr(json_t) answer = NULL;
  gsize n;
  json_t *i;

  if (!path || !pt_cli_call(c->cli, "GET", path, NULL, &answer, NULL))
    return;
  json_array_foreach (json_object_get(answer, "items"), n, i) {
    g_autofree char *one =
      g_strdup_printf("%s%s%s%s", other ? other : "", other ? "/" : "", pt_json_str(i, "name", ""), suffix);
    offer(c, one);
  }
}

/* "FIELD=" for what is to be named, "FIELD=VALUE" where only some values are. */
static void
offer_field(const Completion *c, const char *prefix, const PtField *f)
{
  static const char *const truths[] = { "true", "false" };
  guint values = f->kind == PT_FIELD_ENUM   ? g_strv_length((char **)f->names)
                 : f->kind == PT_FIELD_BOOL ? G_N_ELEMENTS(truths)
                                            : 0;
  g_autofree char *begin = g_strconcat(prefix, f->name, f->kind == PT_FIELD_MAP ? "." : "=", NULL);

  if (!g_str_has_prefix(c->word, begin))
    offer(c, begin);
  for (guint i = 0; g_str_has_prefix(c->word, begin) && i < values; i++) {
    g_autofree char *text = g_strconcat(begin, f->kind == PT_FIELD_ENUM ? f->names[i] : truths[i], NULL);
    offer(c, text);
  }
}

static void
offer_fields(const Completion *c, const PtType *type, const char *prefix)
{
  for (guint i = 0; i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    g_autofree char *inner = g_strconcat(prefix, f->name, ".", NULL);
    if (f->kind == PT_FIELD_OBJECT && f->flags & (PT_F_LIVE | PT_F_ADMIN))
      offer_fields(c, f->type, inner);
    else if (type == &pt_quota_type || f->flags & (PT_F_LIVE | PT_F_STOPPED | PT_F_ADMIN))
      offer_field(c, prefix, f);
  }
}

/* Of the kind of thing that the command changes. */
static void
offer_assignment(const Completion *c)
{
  const char *command = c->command ? c->command->name : "";

  if (strcmp(command, "quota") == 0)
    offer_fields(c, &pt_quota_type, "");
  else if (g_str_has_prefix(command, "space "))
    offer_fields(c, &pt_space_type, "");
  else if (g_str_has_prefix(command, "user "))
    offer_fields(c, &pt_user_type, "");
  else
    offer_fields(c, &pt_instance_type, "");
}

static void
offer_volumes(const Completion *c)
{
  const char *space = pt_cli_space(c->cli, NULL);
  g_autofree char *path = space ? pt_client_path("/v1/spaces/%s/volumes", space) : NULL;

  if (path)
    offer_listed(c, path, "name");
}

static void
offer_argument(const Completion *c, char kind)
{
  static const char *const cards[] = { "eth1", "eth2", "eth3", "eth4", "eth5", "eth6", "eth7" };
  static const char *const roles[] = { "owner", "member", "viewer" };

  switch (kind) {
  case 'i':
    offer_instances(c, "");
    break;
  case 's':
    offer_listed(c, "/v1/spaces", "name");
    break;
  case 'r':
    if (c->word[0] == '.' || c->word[0] == '/') { /* a program here */
      puts(":files");
      break;
    }
    offer_listed(c, "/v1/images/recipes", "name");
    offer_listed(c, "/v1/images", "names");
    break;
  case 'm':
    offer_listed(c, "/v1/images", "names");
    break;
  case 'b':
    offer_listed(c, "/v1/images/recipes", "name");
    break;
  case 'R':
    for (guint i = 0; i < G_N_ELEMENTS(roles); i++)
      offer(c, roles[i]);
    break;
  case 'u':
    offer_listed(c, "/v1/users", "name");
    break;
  case 'e':
    for (guint i = 0; i < G_N_ELEMENTS(cards); i++)
      offer(c, cards[i]);
    break;
  case 'o':
    offer_listed(c, "/v1/operations", "id");
    break;
  case 'v':
    offer_volumes(c);
    break;
  case '=':
    offer_assignment(c);
    break;
  case 'c':
    pt_commands_foreach(offer_command, (void *)c);
    break;
  case 'f':
    if (!strchr(c->word, '/'))
      offer_instances(c, ":");
    puts(":files");
    break;
  default:
    break;
  }
}

static void
offer_options(const Completion *c, const PtOption *options)
{
  for (const PtOption *o = options; o && o->name; o++) {
    g_autofree char *text = g_strconcat("--", o->name, NULL);
    offer(c, text);
  }
}

/* Whether a value is to follow `option`: the commands agree on which do, but for a letter or two that two of them share. */
static bool
takes_value(const PtOption *options, const char *option)
{
  for (const PtOption *o = options; o && o->name; o++)
    if (o->value && (strncmp(option, "--", 2) == 0 ? strcmp(option + 2, o->name) == 0
                                                   : o->letter && option[0] == '-' && option[1] == o->letter && !option[2]))
      return true;
  return false;
}

/* Values of an option, told by its name; nothing where anything may follow. */
static bool
offer_value(const Completion *c, const char *option, const PtCommand *cmd)
{
  static const char *const values[][2] = {
    { "--kind", "container machine process" },
    { "--arch", "x86_64 aarch64 riscv64" },
    { "--model", "micro pc" },
    { "--firmware", "uefi bios" },
    { "--hardware", "virtio emulated" },
    { "--accel", "auto kvm tcg" },
    { "--init", "system app" },
    { "--restart", "no on-failure always" },
    { "--format", "rootfs docker-archive oci-archive program qcow2 raw vmdk vdi vhdx vhd ova iso" },
    { "--scope", "full read" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
    g_auto(GStrv) each = g_strsplit(values[i][1], " ", -1);
    for (char **v = each; strcmp(option, values[i][0]) == 0 && *v; v++)
      offer(c, *v);
  }
  if (strcmp(option, "--space") == 0 || strcmp(option, "-s") == 0)
    offer_argument(c, 's');
  else if (strcmp(option, "--iso") == 0)
    offer_argument(c, 'm');
  else if (strcmp(option, "--for") == 0)
    offer_argument(c, 'u');
  else if (strcmp(option, "--cert") == 0)
    puts(":files");
  else
    return takes_value(pt_args_global, option) || (cmd && takes_value(cmd->options, option));
  return true;
}

int
pt_complete_run(PtCli *cli, const PtArgs *args, GError **error)
{
  char **words = pt_args_rest(args);
  guint index = (guint)atoi(pt_args_nth(args, 0)), n = words ? g_strv_length(words) : 0;
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  Completion c = { cli, index < n ? words[index] : "", words, 0, seen, NULL };

  (void)error;
  /* What stands before the word is parsed as a command line of its own. */
  index = MIN(index, n);
  g_autoptr(PtArgs) left = index > 1 ? pt_args_parse((int)index - 1, words, true, NULL) : NULL;
  if (index > 0 && offer_value(&c, words[index - 1], left ? pt_args_command(left) : NULL))
    return 0;
  g_autoptr(PtArgs) before = pt_args_parse((int)index, words, true, NULL);
  const PtCommand *cmd = before ? pt_args_command(before) : NULL;
  if (before)
    pt_cli_use_args(cli, before);
  /* "space" alone is a whole command already, and also the beginning of others. */
  bool whole = cmd && !(index == 1 && pt_commands_is_object(words[0]) && !strchr(c.word, '-'));
  if (!whole) {
    c.n_before = index;
    pt_commands_foreach(offer_command, &c);
    return 0;
  }
  if (c.word[0] == '-') {
    offer_options(&c, cmd->options);
    offer_options(&c, pt_args_global);
    return 0;
  }
  guint kinds = cmd->completes ? (guint)strlen(cmd->completes) : 0, at = pt_args_n(before);
  if (kinds == 0 || pt_args_rest(before) || at >= cmd->max)
    return 0;
  c.command = cmd;
  c.n_before = at;
  c.before = words + 1; /* for "help COMMAND" */
  offer_argument(&c, cmd->completes[MIN(at, kinds - 1)]);
  return 0;
}
