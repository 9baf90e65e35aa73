// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <string.h>

static const struct {
  const char *heading;
  const PtCommand *commands;
} groups[] = {
  { "Computers", pt_cmds_instance },
  { NULL, pt_cmds_power },
  { NULL, pt_cmds_export },
  { "Inside them", pt_cmds_exec },
  { NULL, pt_cmds_copy },
  { NULL, pt_cmds_top },
  { "Spaces and what is in them", pt_cmds_space },
  { NULL, pt_cmds_network },
  { NULL, pt_cmds_nic },
  { NULL, pt_cmds_volume },
  { "Images", pt_cmds_image },
  { "People", pt_cmds_user },
  { "What happens", pt_cmds_watch },
  { "Servers", pt_cmds_server },
  { NULL, pt_cmds_help },
};

void
pt_commands_foreach(bool (*each)(const PtCommand *c, const char *heading, void *data), void *data)
{
  for (guint g = 0; g < G_N_ELEMENTS(groups); g++)
    for (const PtCommand *c = groups[g].commands; c->name; c++)
      if (!each(c, c == groups[g].commands ? groups[g].heading : NULL, data))
        return;
}

/* How many of words[0…n-1] spell `name` in full; 0 if they do not. */
static guint
spelled(const char *name, char *const *words, guint n)
{
  guint used = 0;

  while (*name) {
    gsize len = strcspn(name, " ");
    if (used == n || strlen(words[used]) != len || strncmp(words[used], name, len) != 0)
      return 0;
    used++;
    name += len + (name[len] == ' ');
  }
  return used;
}

typedef struct Search {
  char *const *words;
  guint n;
  const PtCommand *found;
  guint used;
} Search;

static bool
search(const PtCommand *c, const char *heading, void *data)
{
  Search *s = data;
  guint used = MAX(spelled(c->name, s->words, s->n), c->alias ? spelled(c->alias, s->words, s->n) : 0);

  (void)heading;
  if (used > s->used) {
    s->used = used;
    s->found = c;
  }
  return true;
}

const PtCommand *
pt_commands_find(char *const *words, guint n, guint *ret_used)
{
  static const char *const defaults[] = { "list", "show" };
  Search s = { words, n, NULL, 0 };

  pt_commands_foreach(search, &s);
  for (guint i = 0; !s.found && n == 1 && i < G_N_ELEMENTS(defaults); i++) {
    char *two[] = { words[0], (char *)defaults[i] };
    Search again = { two, 2, NULL, 0 };
    pt_commands_foreach(search, &again);
    s.found = again.found;
    s.used = 1;
  }
  *ret_used = s.found ? s.used : 0;
  return s.found;
}

typedef struct Object {
  const char *word;
  bool found;
} Object;

static bool
is_object(const PtCommand *c, const char *heading, void *data)
{
  Object *o = data;
  gsize len = strlen(o->word);

  (void)heading;
  o->found = strncmp(c->name, o->word, len) == 0 && c->name[len] == ' ';
  return !o->found;
}

bool
pt_commands_is_object(const char *word)
{
  Object o = { word, false };

  pt_commands_foreach(is_object, &o);
  return o.found;
}

static bool
collect(const PtCommand *c, const char *heading, void *data)
{
  (void)heading;
  if (!(c->flags & PT_CMD_HIDDEN))
    g_ptr_array_add(data, (void *)c->name);
  if (c->alias)
    g_ptr_array_add(data, (void *)c->alias);
  return true;
}

/* The first word of each command, once. */
static GPtrArray *
first_words(const GPtrArray *names)
{
  GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < names->len; i++) {
    const char *name = names->pdata[i];
    g_autofree char *word = g_strndup(name, strcspn(name, " "));
    if (!g_ptr_array_find_with_equal_func(words, word, g_str_equal, NULL))
      g_ptr_array_add(words, g_steal_pointer(&word));
  }
  g_ptr_array_add(words, NULL);
  return words;
}

char *
pt_commands_suggest(char *const *words, guint n)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();

  if (n == 0)
    return NULL;
  pt_commands_foreach(collect, names);
  if (n >= 2) {
    g_autofree char *two = g_strjoin(" ", words[0], words[1], NULL);
    g_ptr_array_add(names, NULL);
    const char *near = pt_nearest(two, (const char *const *)names->pdata);
    g_ptr_array_set_size(names, (gint)names->len - 1);
    if (near && strchr(near, ' '))
      return g_strdup(near);
    if (pt_commands_is_object(words[0]))
      return g_strdup_printf("help %s", words[0]);
  }
  g_autoptr(GPtrArray) firsts = first_words(names);
  return g_strdup(pt_nearest(words[0], (const char *const *)firsts->pdata));
}
