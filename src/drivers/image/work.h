// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The place where one image is made, and how tools are run in it.
 *
 * STATE/images/.work-<random>/   root's alone
 *   scratch                      sparse file, an ext4 without journal, mounted at mnt/: its size and its number of inodes
 *                                are the caps that no layer bomb gets past, and one unlink throws it all away
 *   mnt/tools                    the one directory the tools may write to: /work inside the jail
 *   out/                         what becomes STATE/images/<hex>
 */
#include "drivers/image/image.h"

typedef struct PtImageWork {
  const PtHost *host;
  char *dir, *scratch, *mnt, *tools, *out;
  guint ids;        /* first of the 65,536 host ids of its tools */
  gint64 started;   /* s since 1970 */
  PtProgress progress;
  void *data;
  GCancellable *cancel;
  /* The step that is being done, and the part of the whole that it is, in per mille. */
  const char *step;
  gint64 from, to, total;
  const char *unit;
  gint64 said;      /* pt_mono() of the last report */
  char *last;       /* last line that a tool said, for errors */
  char *fatal;      /* the one of those that looks most like its reason */
  bool verdict;     /* … and is sure to be it */
} PtImageWork;

bool pt_image_work_begin(PtImageWork *w, const PtHost *host, PtProgress progress, void *data, GCancellable *cancel, GError **error);
void pt_image_work_end(PtImageWork *w); /* leaves nothing; zeroed or half-begun is fine */
/* What killed predecessors left below STATE/images. */
bool pt_image_work_sweep(const char *images, GError **error);

/* A step begins: it takes the whole from `from` to `to` per mille, and counts to `total` (0 = unknown) in `unit`s. */
void pt_image_work_step(PtImageWork *w, const char *step, gint64 from, gint64 to, gint64 total, const char *unit);
void pt_image_work_done(PtImageWork *w, gint64 done);
bool pt_image_work_cancelled(PtImageWork *w, GError **error);

enum {
  PT_JAIL_NET = 1u << 0,
  PT_JAIL_BUILD = 1u << 1,   /* may mount and chroot inside */
  PT_JAIL_OUT = 1u << 2,     /* the file out/rootfs.erofs is /out/rootfs.erofs, to be written */
  PT_JAIL_GROWTH = 1u << 3,  /* the bytes that the scratch grows by are the step's progress */
};
typedef struct PtJailRun {
  guint flags;
  const char *const *options; /* more of portena-jail's, NULL-ended; may be NULL */
  const char *const *argv;
  gint64 timeout;             /* µs; 0 = an hour */
  bool (*line)(const char *line, void *data); /* true: the line was progress and is no error text; may be NULL */
  void *line_data;
} PtJailRun;
/* Runs a tool in the jail to its end, in /work. On failure w->fatal or w->last says what it said, and the error
 * carries that. CANCELLED, NO_SPACE, TOO_LARGE (scratch full), else INTERNAL. */
bool pt_image_work_run(PtImageWork *w, const PtJailRun *run, char **ret_output, GError **error);
