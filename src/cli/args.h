// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The command line against const tables: no global state, nothing is printed here. */
#include <glib.h>
#include <stdbool.h>

typedef struct PtOption {
  const char *name;  /* "cpu": --cpu */
  char letter;       /* 0 = none */
  const char *value; /* "N": takes a value, named so in the help; NULL = a flag */
  const char *help;
  bool list; /* may be given several times */
} PtOption;

typedef struct PtArgs PtArgs;
struct PtCommand;

/* Parses argv[0…argc-1], which starts after the program's name: global options, the words of a command, its
 * options and arguments. USAGE errors (PT_ERR_INVALID with a hint) name the nearest known word. Everything in the result
 * borrows from argv. Where `--help` was seen, the arguments are not counted. With `lenient` (completion) the
 * number of arguments and missing values are not checked. */
PtArgs *pt_args_parse(int argc, char **argv, bool lenient, GError **error);
void pt_args_free(PtArgs *args);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtArgs, pt_args_free)

const struct PtCommand *pt_args_command(const PtArgs *args); /* NULL: no words at all */
guint pt_args_n(const PtArgs *args);
const char *pt_args_nth(const PtArgs *args, guint i);            /* NULL beyond the end */
char **pt_args_rest(const PtArgs *args);                         /* after "--", NULL-ended; NULL = there was none */
const char *pt_args_get(const PtArgs *args, const char *option); /* the last value, "" of a flag, or NULL */
bool pt_args_has(const PtArgs *args, const char *option);
char **pt_args_all(const PtArgs *args, const char *option); /* every value; free the array alone (g_free) */

/* The options that every command takes. Ends with a NULL name. */
extern const PtOption pt_args_global[];

/* How many single-letter edits (with swaps of neighbours) lead from `a` to `b`; at most `max` + 1. */
guint pt_edit_distance(const char *a, const char *b, guint max);
/* The nearest of `names` (NULL-ended), or NULL where none is near enough to be meant. Borrowed. */
const char *pt_nearest(const char *word, const char *const *names);
