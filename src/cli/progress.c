// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/output.h"

#define DRAW_EVERY (G_USEC_PER_SEC / 10)
#define BAR 24

struct PtProgress {
  const PtCli *cli;
  char *title;
  char *step;          /* the last one, for plain lines */
  gint64 begun, drawn; /* monotonic; drawn 0 = not yet */
  gint64 last_time, last_done;
  double rate; /* smoothed, units a second; < 0 = unknown */
  bool shown;
};

PtProgress *
pt_progress_new(const PtCli *cli, const char *title)
{
  PtProgress *p = g_new0(PtProgress, 1);

  p->cli = cli;
  p->title = pt_safe(title);
  p->begun = p->last_time = pt_mono();
  p->rate = -1;
  return p;
}

void
pt_progress_free(PtProgress *p)
{
  if (!p)
    return;
  if (p->shown)
    fputs("\r\033[K", stderr);
  g_free(p->title);
  g_free(p->step);
  g_free(p);
}

static void
append_bar(GString *s, gint64 permille)
{
  gint64 full = permille * BAR / 1000;

  g_string_append(s, "  ");
  for (gint64 i = 0; i < BAR; i++)
    g_string_append(s, i < full ? "█" : "░");
  g_string_append_printf(s, " %3" G_GINT64_FORMAT " %%", permille / 10);
}

static void
append_amount(GString *s, gint64 done, gint64 total, const char *unit, double rate)
{
  bool bytes = g_strcmp0(unit, "bytes") == 0;
  g_autofree char *a = bytes ? pt_size_format(done) : g_strdup_printf("%" G_GINT64_FORMAT, done);
  g_autofree char *b = bytes ? pt_size_format(total) : g_strdup_printf("%" G_GINT64_FORMAT, total);
  g_autofree char *name = pt_text_safe(unit ? unit : "", 20);

  if (total > 0)
    g_string_append_printf(s, "  %s of %s", a, b);
  else
    g_string_append_printf(s, "  %s", a);
  if (!bytes && *name)
    g_string_append_printf(s, " %s", name);
  if (bytes && rate > 0) {
    g_autofree char *r = pt_size_format((gint64)rate);
    g_string_append_printf(s, "  %s/s", r);
  }
}

/* Time left: by the rate where amounts are known, else by the share that is done. -1 = cannot tell. */
static gint64
seconds_left(gint64 permille, gint64 done, gint64 total, double rate, gint64 elapsed)
{
  if (total > done && rate > 0)
    return (gint64)((double)(total - done) / rate + 0.5);
  if (permille >= 20 && elapsed > 2 * G_USEC_PER_SEC)
    return (gint64)((double)elapsed / G_USEC_PER_SEC * (double)(1000 - permille) / (double)permille + 0.5);
  return -1;
}

char *
pt_progress_format(const char *title, guint width, gint64 permille, gint64 done, gint64 total, const char *unit,
                   const char *step, double rate, gint64 elapsed)
{
  g_autoptr(GString) s = g_string_new(title);

  if (permille < 0 && total > 0)
    permille = (gint64)((double)CLAMP(done, 0, total) * 1000 / (double)total);
  permille = MIN(permille, 1000);
  if (permille >= 0)
    append_bar(s, permille);
  if (done > 0 || total > 0)
    append_amount(s, done, total, unit, rate);
  gint64 left = seconds_left(permille, done, total, rate, elapsed);
  if (left >= 0)
    g_string_append_printf(s, "  %" G_GINT64_FORMAT ":%02d left", left / 60, (int)(left % 60));
  else
    g_string_append_printf(s, "  %" G_GINT64_FORMAT " s", elapsed / G_USEC_PER_SEC);
  if (step && *step) {
    g_autofree char *safe = pt_text_safe(step, 200);
    g_string_append_printf(s, "  %s", safe);
  }
  return pt_text_cut(s->str, width > 1 ? width - 1 : 79);
}

static void
update_rate(PtProgress *p, gint64 done, gint64 now)
{
  double dt = (double)(now - p->last_time) / G_USEC_PER_SEC;

  if (dt < 0.5)
    return;
  double r = (double)(done - p->last_done) / dt;
  if (r >= 0)
    p->rate = p->rate < 0 ? r : p->rate * 0.7 + r * 0.3;
  p->last_time = now;
  p->last_done = done;
}

void
pt_progress_set(PtProgress *p, gint64 permille, gint64 done, gint64 total, const char *unit, const char *step)
{
  gint64 now = pt_mono();

  if (p->cli->quiet || p->cli->json)
    return;
  update_rate(p, done, now);
  if (!p->cli->err_tty) {
    if (!step || !*step || g_strcmp0(step, p->step) == 0)
      return;
    g_free(p->step);
    p->step = g_strdup(step);
    g_autofree char *safe = pt_safe(step);
    fprintf(stderr, "%s: %s\n", p->title, safe);
    return;
  }
  if (p->drawn && now - p->drawn < DRAW_EVERY)
    return;
  p->drawn = now;
  g_autofree char *line = pt_progress_format(p->title, p->cli->width ? p->cli->width : 80, permille, done, total, unit, step,
                                             p->rate, now - p->begun);
  fprintf(stderr, "\r\033[K%s", line);
  fflush(stderr);
  p->shown = true;
}
