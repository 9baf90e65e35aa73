// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Files in and out of instances, over the API's files route. What a guest answers is hostile: its names are checked to be
 * single path components, links in a copy that is being made are never followed. */
#include "cli/cli.h"
#include "cli/progress.h"

typedef struct PtPlace {
  bool remote;
  PtTarget target; /* remote */
  char *path;
} PtPlace;

typedef struct PtCopy {
  PtCli *cli;
  const char *title;
  PtProgress *progress; /* made at the first byte */
  gint64 bytes;
  guint files;
  guint left_out; /* by their names */
  bool into; /* several sources: the destination has to be a directory */
  guint depth;
} PtCopy;

/* "…/files?path=…" and `more` ("&mode=0644"). The caller's. */
char *pt_copy_path(const PtTarget *t, const char *path, const char *more);
/* Whether an object of that name can be asked for; if not it is noted, and counted as left out. */
bool pt_copy_name(PtCopy *c, const char *name);
void pt_copy_progress(PtCopy *c, const char *step);

/* A remote file or tree to the local path `dest`, which is replaced if it is a file. */
bool pt_copy_get(PtCopy *c, const PtPlace *from, const char *dest, GError **error);
/* A local file or tree to a remote place; into it, under `base`, where it is a directory. */
bool pt_copy_put(PtCopy *c, const char *from, const PtPlace *to, const char *base, GError **error);
/* Removes a directory of ours with all that is in it; follows no links. */
void pt_copy_remove_tree(const char *path);
