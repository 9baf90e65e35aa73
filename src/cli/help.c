// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/complete.h"
#include "cli/output.h"

#define NAME_WIDTH 14
#define WIDTH 80

static void
heading(const PtCli *cli, const char *text)
{
  printf("\n%s%s%s\n", pt_look_on(cli, PT_LOOK_BOLD), text, pt_look_off(cli, PT_LOOK_BOLD));
}

/* Words in lines of WIDTH columns, each but the first behind `indent` columns; the first begins at `at`. */
static void
print_wrapped(const char *text, guint at, guint indent)
{
  g_auto(GStrv) words = g_strsplit(text, " ", -1);
  bool begun = false;

  for (char **w = words; *w; w++) {
    guint n = pt_text_width(*w);
    if (begun && at + 1 + n > WIDTH) {
      printf("\n%*s", (int)indent, "");
      at = indent;
      begun = false;
    }
    printf("%s%s", begun ? " " : "", *w);
    at += n + begun;
    begun = true;
  }
  putchar('\n');
}

/* The overview shows an object's commands in one line: "space   list, create, show …". */
typedef struct Overview {
  const PtCli *cli;
  char *object;
  GString *verbs;
} Overview;

static void
flush_object(Overview *o)
{
  if (o->object) {
    printf("  %-*s", NAME_WIDTH, o->object);
    print_wrapped(o->verbs->str, NAME_WIDTH + 2, NAME_WIDTH + 2);
  }
  g_clear_pointer(&o->object, g_free);
  g_string_truncate(o->verbs, 0);
}

static bool
overview_line(const PtCommand *c, const char *group, void *data)
{
  Overview *o = data;
  const char *space = strchr(c->name, ' ');
  g_autofree char *object = space ? g_strndup(c->name, (gsize)(space - c->name)) : NULL;

  if (group || g_strcmp0(object, o->object) != 0)
    flush_object(o);
  if (group)
    heading(o->cli, group);
  if (c->flags & PT_CMD_HIDDEN)
    return true;
  if (!object) {
    printf("  %-*s%s\n", NAME_WIDTH, c->name, c->summary);
    return true;
  }
  g_string_append_printf(o->verbs, "%s%s", o->verbs->len ? ", " : "", space + 1);
  if (!o->object)
    o->object = g_steal_pointer(&object);
  return true;
}

void
pt_help_overview(const PtCli *cli)
{
  Overview o = { cli, NULL, g_string_new(NULL) };

  puts("portena: your computers, which live on your servers\n");
  puts("usage:  portena COMMAND …       portena help COMMAND explains one, with examples");
  pt_commands_foreach(overview_line, &o);
  flush_object(&o);
  g_string_free(o.verbs, TRUE);
  puts("\nWith every command: --json, -q (names only), -s SPACE, --server URL, -h.");
}

static void
print_text(const char *text)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

  putchar('\n');
  for (char **l = lines; *l; l++)
    print_wrapped(*l, 0, 0);
}

static void
print_options(const PtCli *cli, const char *title, const PtOption *options)
{
  if (!options || !options->name)
    return;
  heading(cli, title);
  for (const PtOption *o = options; o->name; o++) {
    g_autofree char *letter = o->letter ? g_strdup_printf("-%c, ", o->letter) : g_strdup("    ");
    g_autofree char *name = g_strdup_printf("%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
    g_autofree char *help = g_strconcat(o->help, o->list ? " (may be repeated)" : NULL, NULL);
    printf("  %-26s ", name);
    print_wrapped(help, MAX(pt_text_width(name), 26) + 3, 29);
  }
}

/* Side by side where both fit into a line, else below each other. */
static void
print_examples(const PtCommand *c)
{
  guint width = 0, n = G_N_ELEMENTS(c->examples), both = 0;

  for (guint i = 0; i < n && c->examples[i][0]; i++) {
    width = MAX(width, pt_text_width(c->examples[i][0]));
    both = MAX(both, pt_text_width(c->examples[i][1]));
  }
  for (guint i = 0; i < n && c->examples[i][0]; i++) {
    if (width + both + 4 <= WIDTH)
      printf("  %s%*s  %s\n", c->examples[i][0], (int)(width - pt_text_width(c->examples[i][0])), "", c->examples[i][1]);
    else
      printf("  %s\n      %s\n", c->examples[i][0], c->examples[i][1]);
  }
}

void
pt_help_command(const PtCli *cli, const PtCommand *c)
{
  printf("%s%s%s: %s\n", pt_look_on(cli, PT_LOOK_BOLD), c->name, pt_look_off(cli, PT_LOOK_BOLD), c->summary);
  printf("usage:  portena %s%s%s\n", c->name, *c->args ? " " : "", c->args);
  if (c->alias)
    printf("        portena %s … is the same\n", c->alias);
  heading(cli, "Examples");
  print_examples(c);
  if (c->text)
    print_text(c->text);
  print_options(cli, "Options", c->options);
  print_options(cli, "Options of every command", pt_args_global);
}

typedef struct ObjectHelp {
  const char *object;
  bool any;
} ObjectHelp;

static bool
object_line(const PtCommand *c, const char *group, void *data)
{
  ObjectHelp *o = data;
  gsize len = strlen(o->object);

  (void)group;
  if (strncmp(c->name, o->object, len) != 0 || c->name[len] != ' ')
    return true;
  g_autofree char *usage = g_strdup_printf("%s%s%s", c->name, *c->args ? " " : "", c->args);
  guint at = pt_text_width(usage) + 10;
  printf("  portena %s%*s", usage, at < 44 ? (int)(44 - at) : 0, "");
  if (at >= 43)
    printf("\n%*s", 44, "");
  print_wrapped(c->summary, 44, 44);
  o->any = true;
  return true;
}

static bool
help_object(const PtCli *cli, const char *object)
{
  ObjectHelp o = { object, false };

  (void)cli;
  if (!pt_commands_is_object(object))
    return false;
  pt_commands_foreach(object_line, &o);
  return o.any;
}

static int
run_help(PtCli *cli, const PtArgs *args, GError **error)
{
  guint n = pt_args_n(args), used = 0;
  char *words[4] = { NULL };

  if (n == 0) {
    pt_help_overview(cli);
    return 0;
  }
  for (guint i = 0; i < n && i < 4; i++)
    words[i] = (char *)pt_args_nth(args, i);
  if (n == 1 && help_object(cli, words[0]))
    return 0;
  const PtCommand *c = pt_commands_find(words, MIN(n, 4), &used);
  if (c && used == n) {
    pt_help_command(cli, c);
    return 0;
  }
  g_autofree char *shown = pt_safe(words[0]);
  g_autofree char *near = pt_commands_suggest(words, n);
  PT_SET(error, PT_ERR_INVALID, "help: there is no command '%s%s%s'", shown, n > 1 ? " " : "", n > 1 ? words[1] : "");
  if (near)
    pt_error_hint(error, "did you mean:  portena help %s", g_str_has_prefix(near, "help ") ? near + 5 : near);
  else
    pt_error_hint(error, "all commands:  portena help");
  return -1;
}

/* The table of commands for programs: the manual's test and the completion scripts. */
static json_t *
options_json(const PtOption *options)
{
  json_t *list = json_array();

  for (const PtOption *o = options; o && o->name; o++) {
    char letter[2] = { o->letter, 0 };
    json_array_append_new(
      list, json_pack("{s:s, s:s, s:s?, s:s}", "name", o->name, "letter", letter, "value", o->value, "help", o->help));
  }
  return list;
}

static bool
command_json(const PtCommand *c, const char *group, void *data)
{
  json_t *o =
    json_pack("{s:s, s:s?, s:s, s:s, s:s?, s:b, s:o}", "name", c->name, "alias", c->alias, "args", c->args, "summary",
              c->summary, "text", c->text, "hidden", (int)(c->flags & PT_CMD_HIDDEN), "options", options_json(c->options));
  json_t *examples = json_array();

  (void)group;
  for (guint i = 0; i < G_N_ELEMENTS(c->examples) && c->examples[i][0]; i++)
    json_array_append_new(examples, json_string(c->examples[i][0]));
  json_object_set_new(o, "examples", examples);
  json_array_append_new(data, o);
  return true;
}

static int
run_commands(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autoptr(json_t) all = json_array();

  (void)args;
  (void)error;
  pt_commands_foreach(command_json, all);
  g_autoptr(json_t) doc = json_pack("{s:O, s:o}", "commands", all, "options", options_json(pt_args_global));
  pt_print_json(cli, doc);
  return 0;
}

const PtCommand pt_cmds_help[] = {
  { .name = "help",
    .args = "[COMMAND]",
    .summary = "Explain portena, or one command with examples",
    .max = 3,
    .completes = "c",
    .flags = PT_CMD_LOCAL,
    .run = run_help,
    .examples = { { "portena help launch", "how to make a computer" },
                  { "portena help space", "all that can be done with spaces" } } },
  { .name = "__commands",
    .args = "",
    .summary = "Print the table of commands",
    .flags = PT_CMD_LOCAL | PT_CMD_HIDDEN,
    .run = run_commands },
  { .name = "__complete",
    .args = "INDEX WORD…",
    .summary = "Print completions of a word",
    .max = 1,
    .min = 1,
    .flags = PT_CMD_LOCAL | PT_CMD_HIDDEN | PT_CMD_REST,
    .run = pt_complete_run },
  { NULL },
};
