// SPDX-License-Identifier: Apache-2.0
#pragma once
/* One line on standard error that says how far something is: a bar with rate and time left on a terminal, a plain line for
 * each new step elsewhere. Silent with --quiet and --json. */
#include "cli/cli.h"

typedef struct PtProgress PtProgress;

PtProgress *pt_progress_new(const PtCli *cli, const char *title);
void pt_progress_free(PtProgress *p); /* takes the line away */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtProgress, pt_progress_free)

/* `permille` -1 = unknown, total 0 = unknown. `step` and `unit` may be NULL. Draws at most ten times a second. */
void pt_progress_set(PtProgress *p, gint64 permille, gint64 done, gint64 total, const char *unit, const char *step);

/* What a line of `width` columns looks like `elapsed` µs after the beginning; `rate` in units a second, < 0 = unknown. For
 * pt_progress_set() and tests. The caller's to free. */
char *pt_progress_format(const char *title, guint width, gint64 permille, gint64 done, gint64 total, const char *unit,
                         const char *step, double rate, gint64 elapsed);
