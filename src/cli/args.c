// SPDX-License-Identifier: Apache-2.0
#include "cli/args.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"

const PtOption pt_args_global[] = {
  { "space", 's', "SPACE", "Work in this space (or write SPACE/NAME)", false },
  { "json", 0, NULL, "Print exactly what the API answers", false },
  { "quiet", 'q', NULL, "Print names only", false },
  { "server", 0, "URL", "Ask this server ('local': the one on this machine)", false },
  { "help", 'h', NULL, "Explain the command", false },
  { NULL, 0, NULL, NULL, false },
};

typedef struct Value {
  const PtOption *option;
  const char *value;
} Value;

struct PtArgs {
  const PtCommand *command;
  GPtrArray *pos; /* char *, borrowed */
  GArray *values; /* Value */
  char **rest;    /* into argv, or NULL */
};

guint
pt_edit_distance(const char *a, const char *b, guint max)
{
  guint n = (guint)strlen(a), m = (guint)strlen(b);
  guint row[3][66];

  if (n > 64 || m > 64)
    return max + 1;
  /* Optimal string alignment: three rows are enough, because a swap looks two rows back. */
  for (guint j = 0; j <= m; j++)
    row[0][j] = j;
  for (guint i = 1; i <= n; i++) {
    guint *cur = row[i % 3], *up = row[(i - 1) % 3], *upup = row[(i + 1) % 3];
    cur[0] = i;
    for (guint j = 1; j <= m; j++) {
      guint cost = a[i - 1] != b[j - 1];
      cur[j] = MIN(MIN(up[j] + 1, cur[j - 1] + 1), up[j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cur[j] = MIN(cur[j], upup[j - 2] + 1);
    }
  }
  return MIN(row[n % 3][m], max + 1);
}

const char *
pt_nearest(const char *word, const char *const *names)
{
  guint best = strlen(word) <= 3 ? 2 : 3; /* one edit of a short word, two of a longer one */
  const char *found = NULL;

  for (; *names; names++) {
    guint d = pt_edit_distance(word, *names, best);
    bool begins = strlen(word) >= 3 && g_str_has_prefix(*names, word);
    if (begins)
      d = 1;
    if (d < best) {
      best = d;
      found = *names;
    }
  }
  return found;
}

static const PtOption *
find_long(const PtOption *table, const char *name, gsize len)
{
  for (; table && table->name; table++)
    if (strlen(table->name) == len && strncmp(table->name, name, len) == 0)
      return table;
  return NULL;
}

static const PtOption *
find_letter(const PtOption *table, char letter)
{
  for (; table && table->name; table++)
    if (table->letter == letter)
      return table;
  return NULL;
}

static void
unknown_option(const PtCommand *c, const char *word, GError **error)
{
  g_autofree char *shown = pt_text_safe(word, 60);
  g_autofree char *bare = g_strndup(shown + strspn(shown, "-"), strcspn(shown + strspn(shown, "-"), "="));
  g_autoptr(GPtrArray) names = g_ptr_array_new();

  for (const PtOption *o = c ? c->options : NULL; o && o->name; o++)
    g_ptr_array_add(names, (void *)o->name);
  for (const PtOption *o = pt_args_global; o->name; o++)
    g_ptr_array_add(names, (void *)o->name);
  g_ptr_array_add(names, NULL);
  const char *near = pt_nearest(bare, (const char *const *)names->pdata);

  PT_SET(error, PT_ERR_INVALID, "%s has no option %s", c ? c->name : "portena", shown);
  if (near)
    pt_error_hint(error, "did you mean --%s?  All of them:  portena help%s%s", near, c ? " " : "", c ? c->name : "");
  else
    pt_error_hint(error, "all options:  portena help%s%s", c ? " " : "", c ? c->name : "");
}

static void
add_value(PtArgs *args, const PtOption *option, const char *value)
{
  Value v = { option, value };
  g_array_append_val(args->values, v);
}

/* "--name", "--name=value" or "--name value" at argv[*i]. */
static bool
parse_long(PtArgs *args, int argc, char **argv, int *i, bool lenient, GError **error)
{
  const char *word = argv[*i] + 2;
  gsize len = strcspn(word, "=");
  const PtOption *o = find_long(args->command ? args->command->options : NULL, word, len);

  if (!o)
    o = find_long(pt_args_global, word, len);
  if (!o) {
    unknown_option(args->command, argv[*i], error);
    return false;
  }
  if (!o->value && word[len] == '=') {
    PT_SET(error, PT_ERR_INVALID, "--%s takes no value", o->name);
    return false;
  }
  if (!o->value || word[len] == '=') {
    add_value(args, o, o->value ? word + len + 1 : "");
    return true;
  }
  if (*i + 1 >= argc) {
    if (lenient)
      return true;
    PT_SET(error, PT_ERR_INVALID, "--%s wants a value: --%s %s", o->name, o->name, o->value);
    return false;
  }
  add_value(args, o, argv[++*i]);
  return true;
}

/* "-q", "-qs home", "-shome" at argv[*i]. */
static bool
parse_letters(PtArgs *args, int argc, char **argv, int *i, bool lenient, GError **error)
{
  for (const char *p = argv[*i] + 1; *p; p++) {
    const PtOption *o = find_letter(args->command ? args->command->options : NULL, *p);
    if (!o)
      o = find_letter(pt_args_global, *p);
    if (!o) {
      unknown_option(args->command, argv[*i], error);
      return false;
    }
    if (!o->value) {
      add_value(args, o, "");
      continue;
    }
    if (p[1]) {
      add_value(args, o, p + 1);
    } else if (*i + 1 < argc) {
      add_value(args, o, argv[++*i]);
    } else if (!lenient) {
      PT_SET(error, PT_ERR_INVALID, "-%c wants a value: -%c %s", *p, *p, o->value);
      return false;
    }
    return true;
  }
  return true;
}

static bool
unknown_command(char **words, guint n, GError **error)
{
  g_autofree char *first = pt_text_safe(words[0], 40);
  g_autofree char *near = pt_commands_suggest(words, n);

  if (n > 1 && pt_commands_is_object(words[0])) {
    g_autofree char *second = pt_text_safe(words[1], 40);
    PT_SET(error, PT_ERR_INVALID, "there is no command '%s %s'", first, second);
  } else {
    PT_SET(error, PT_ERR_INVALID, "there is no command '%s'", first);
  }
  if (near)
    pt_error_hint(error, "did you mean:  portena %s", near);
  else
    pt_error_hint(error, "all commands:  portena help");
  return false;
}

/* The words up to the first option choose the command. */
static bool
find_command(PtArgs *args, int argc, char **argv, int *i, GError **error)
{
  guint n = 0, used = 0;

  while (*i + (int)n < argc && argv[*i + (int)n][0] != '-')
    n++;
  args->command = pt_commands_find(argv + *i, n, &used);
  if (!args->command)
    return unknown_command(argv + *i, n, error);
  *i += (int)used;
  return true;
}

static bool
check_count(const PtArgs *args, GError **error)
{
  const PtCommand *c = args->command;
  guint n = args->pos->len;

  if (n < c->min)
    PT_SET(error, PT_ERR_INVALID, "%s: something is missing", c->name);
  else if (n > c->max)
    PT_SET(error, PT_ERR_INVALID, "%s: '%s' is one word too many", c->name, (const char *)args->pos->pdata[c->max]);
  else if (args->rest && !(c->flags & (PT_CMD_REST | PT_CMD_DASHES)))
    PT_SET(error, PT_ERR_INVALID, "%s takes no command line after --", c->name);
  else
    return true;
  pt_error_hint(error, "usage:  portena %s %s", c->name, c->args);
  return false;
}

static bool
parse_all(PtArgs *args, int argc, char **argv, bool lenient, GError **error)
{
  for (int i = 0; i < argc; i++) {
    char *word = argv[i];
    if (strcmp(word, "--") == 0) {
      args->rest = argv + i + 1;
      break;
    }
    if (word[0] == '-' && word[1] == '-') {
      if (!parse_long(args, argc, argv, &i, lenient, error))
        return false;
    } else if (word[0] == '-' && word[1]) {
      if (!parse_letters(args, argc, argv, &i, lenient, error))
        return false;
    } else if (!args->command) {
      if (!find_command(args, argc, argv, &i, error))
        return false;
      i--;
    } else if ((args->command->flags & PT_CMD_REST) && args->pos->len >= args->command->min) {
      args->rest = argv + i;
      break;
    } else {
      g_ptr_array_add(args->pos, word);
    }
  }
  return true;
}

PtArgs *
pt_args_parse(int argc, char **argv, bool lenient, GError **error)
{
  g_autoptr(PtArgs) args = g_new0(PtArgs, 1);

  args->pos = g_ptr_array_new();
  args->values = g_array_new(FALSE, FALSE, sizeof(Value));
  if (!parse_all(args, argc, argv, lenient, error))
    return NULL;
  if (args->command && !lenient && !pt_args_has(args, "help") && !check_count(args, error))
    return NULL;
  return g_steal_pointer(&args);
}

void
pt_args_free(PtArgs *args)
{
  if (!args)
    return;
  g_ptr_array_unref(args->pos);
  g_array_unref(args->values);
  g_free(args);
}

const PtCommand *
pt_args_command(const PtArgs *args)
{
  return args->command;
}

guint
pt_args_n(const PtArgs *args)
{
  return args->pos->len;
}

const char *
pt_args_nth(const PtArgs *args, guint i)
{
  return i < args->pos->len ? args->pos->pdata[i] : NULL;
}

char **
pt_args_rest(const PtArgs *args)
{
  return args->rest;
}

const char *
pt_args_get(const PtArgs *args, const char *option)
{
  const char *found = NULL;

  for (guint i = 0; i < args->values->len; i++) {
    const Value *v = &g_array_index(args->values, Value, i);
    if (strcmp(v->option->name, option) == 0)
      found = v->value;
  }
  return found;
}

bool
pt_args_has(const PtArgs *args, const char *option)
{
  return pt_args_get(args, option) != NULL;
}

char **
pt_args_all(const PtArgs *args, const char *option)
{
  GPtrArray *all = g_ptr_array_new();

  for (guint i = 0; i < args->values->len; i++) {
    const Value *v = &g_array_index(args->values, Value, i);
    if (strcmp(v->option->name, option) == 0)
      g_ptr_array_add(all, (void *)v->value);
  }
  g_ptr_array_add(all, NULL);
  return (char **)g_ptr_array_free(all, FALSE);
}
