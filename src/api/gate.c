// SPDX-License-Identifier: Apache-2.0
/* How many password computations run at once. Each takes 64 MiB and a tenth of a second: without this a flood of
 * logins would take the machine's memory, with it the flood waits or is told to. */
#include "api/auth.h"

struct PtGate {
  GMutex lock;
  GCond cond;
  guint free;
  guint waiting, max_waiting;
};

PtGate *
pt_gate_new(guint at_once, guint waiting)
{
  PtGate *g = g_new0(PtGate, 1);

  g_mutex_init(&g->lock);
  g_cond_init(&g->cond);
  g->free = at_once;
  g->max_waiting = waiting;
  return g;
}

void
pt_gate_free(PtGate *g)
{
  if (!g)
    return;
  g_mutex_clear(&g->lock);
  g_cond_clear(&g->cond);
  g_free(g);
}

bool
pt_gate_enter(PtGate *g, GError **error)
{
  bool in = true;

  g_mutex_lock(&g->lock);
  if (g->free == 0 && g->waiting >= g->max_waiting) {
    in = false;
  } else {
    g->waiting++;
    while (g->free == 0)
      g_cond_wait(&g->cond, &g->lock);
    g->waiting--;
    g->free--;
  }
  g_mutex_unlock(&g->lock);
  if (!in)
    PT_SET(error, PT_ERR_RATE, "login: too many logins at once\ntry again in a moment");
  return in;
}

void
pt_gate_leave(PtGate *g)
{
  g_mutex_lock(&g->lock);
  g->free++;
  g_cond_signal(&g->cond);
  g_mutex_unlock(&g->lock);
}
