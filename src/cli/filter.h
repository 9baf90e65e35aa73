// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* Console output on its way to a terminal: UTF-8 text, line breaks, tabs and colours pass, everything else that a terminal
 * would obey does not. A guest writes its logs; whoever reads them must not be its puppet. Works over any division into
 * pieces. */
typedef struct PtFilter {
  bool plain; /* set by the caller: colours do not pass either */
  int state;
  char character[4]; /* bytes of a UTF-8 character that is not complete yet */
  guint have, need;
  char sequence[33];
  guint n;
} PtFilter;

/* Appends what may pass. A PtFilter that is zero, but for `plain`, is ready. */
void pt_filter_feed(PtFilter *f, const char *bytes, gsize size, GString *out);
