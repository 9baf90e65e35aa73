// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The table of everything that portena can do. Help, completion, and the manual's check read it. */
#include "cli/args.h"
#include "cli/cli.h"

enum {
  PT_CMD_REST = 1u << 0,   /* the first word after the minimum of arguments starts a command line of somebody else's */
  PT_CMD_DASHES = 1u << 1, /* takes a command line, but after "--" only */
  PT_CMD_HIDDEN = 1u << 2, /* not in the help */
  PT_CMD_LOCAL = 1u << 3,  /* needs no server */
};

typedef struct PtCommand {
  const char *name;           /* "launch", "space member add" */
  const char *alias;          /* "ls", or NULL */
  const char *args;           /* "IMAGE NAME [-- COMMAND…]" */
  const char *summary;        /* one line, starts with a verb, no full stop */
  const char *text;           /* paragraphs after the examples, or NULL */
  const char *examples[2][2]; /* command line, what it does */
  const PtOption *options;    /* ends with a NULL name; may be NULL */
  guint min, max;             /* arguments; max 0 with min 0 = none, G_MAXUINT = any number */
  guint flags;
  const char
    *completes; /* what each argument is, by letter: i instance, s space, m image, r image or recipe, b recipe, u user, R role, n network
                   port, e further network card, o operation, c command, f file or instance:path, v volume, = field=value; the last one
                   repeats */
  /* The exit status; with `error` set -1, or a status that goes before the error's own. */
  int (*run)(PtCli *cli, const PtArgs *args, GError **error);
} PtCommand;

/* One table a group; each ends with a NULL name. */
extern const PtCommand pt_cmds_instance[], pt_cmds_power[], pt_cmds_exec[], pt_cmds_copy[], pt_cmds_top[], pt_cmds_space[],
  pt_cmds_image[], pt_cmds_network[], pt_cmds_nic[], pt_cmds_user[], pt_cmds_watch[], pt_cmds_server[], pt_cmds_help[],
  pt_cmds_export[], pt_cmds_volume[];

/* Calls `each` for every command in the order of the help, until it returns false. `heading` is not NULL on a group's first.
 */
void pt_commands_foreach(bool (*each)(const PtCommand *c, const char *heading, void *data), void *data);

/* The command with the most words that words[0…n-1] start with, aliases included; its number of words in `ret_used`. An
 * object alone
 * ("space") is its list or show. NULL where there is none. */
const PtCommand *pt_commands_find(char *const *words, guint n, guint *ret_used);

/* Whether `word` starts a command of several words. */
bool pt_commands_is_object(const char *word);

/* The nearest command to a mistyped one: "space create"; NULL if none is near. The caller's to free. */
char *pt_commands_suggest(char *const *words, guint n);
