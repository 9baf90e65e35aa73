// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"

static int max_priority = 6;

void
pt_log_set_max(int priority)
{
  max_priority = priority;
}

void
pt_log(int priority, const char *area, const char *fmt, ...)
{
  static const char *const words[] = { "", "", "", "error", "warning", "", "info", "debug" };
  va_list args;

  if (priority > max_priority)
    return;
  va_start(args, fmt);
  g_autofree char *raw = g_strdup_vprintf(fmt, args);
  va_end(args);
  g_auto(GStrv) lines = g_strsplit(raw, "\n", -1); /* what is wrong, and what to do about it */
  g_autofree char *line = g_strjoinv("; ", lines), *text = pt_text_safe(line, 2000);
  if (g_getenv("JOURNAL_STREAM")) {
    fprintf(stderr, "<%d>%s: %s\n", priority, area, text);
    return;
  }
  g_autofree char *when = pt_time_format(pt_now());
  fprintf(stderr, "%s %-7s %s: %s\n", when, words[priority], area, text);
}
