// SPDX-License-Identifier: Apache-2.0
/* Under TCG a guest's RDTSC is the host's own counter. A kernel measures its speed against a timer, which on a busy host is emulated
 * too late: the guest's clock then runs many times too fast for ever. So we measure on the host, where it can be done, and tell it. */
#include <time.h>

#include "drivers/machine/internal.h"

#if defined(__x86_64__)
#include <x86intrin.h>

#define SPAN 50000 /* µs */
#define TRIES 20

typedef struct Moment {
  guint64 ticks, nsec;
} Moment;

/* Both at once, as nearly as can be: the closest of a few readings. */
static Moment
now(void)
{
  Moment best = { 0 };
  guint64 gap = G_MAXUINT64;

  for (int i = 0; i < TRIES; i++) {
    struct timespec t;
    guint64 before = __rdtsc();

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    guint64 after = __rdtsc();
    if (after - before < gap) {
      gap = after - before;
      best = (Moment){ before + gap / 2, (guint64)t.tv_sec * 1000000000u + (guint64)t.tv_nsec };
    }
  }
  return best;
}

guint
pt_machine_tsc(void)
{
  static gsize known;

  if (g_once_init_enter(&known)) {
    Moment from = now();
    g_usleep(SPAN);
    Moment to = now();
    double khz = (double)(to.ticks - from.ticks) * 1e6 / (double)MAX(to.nsec - from.nsec, 1);
    g_once_init_leave(&known, khz > 100000 && khz < 20000000 ? (gsize)(khz + 0.5) : 1);
  }
  return known > 1 ? (guint)known : 0;
}
#else
guint
pt_machine_tsc(void)
{
  return 0;
}
#endif
