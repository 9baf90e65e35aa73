// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cli/output.h"

/* What a command that lists things shows of each: the answer itself with --json, names alone with -q, else a table. */
typedef struct PtList {
  const char *const *headings;
  const char *key;                   /* of an item: the name that -q prints */
  char *(*name)(const json_t *item); /* the same where it takes more than a key; the caller's. NULL: `key` */
  void (*row)(PtTable *t, const json_t *item);
  const char *none; /* said instead of an empty table; NULL: the headings stay alone */
} PtList;

/* Asks for the items at `path` and shows them. A command's exit status, or -1 with an error. Blocks. */
int pt_list_show(PtCli *cli, const char *path, const PtList *list, GError **error);
