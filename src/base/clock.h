// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>

/* Time and randomness, replaceable so that tests and a simulated cluster run
 * from a seed. The replacement is process-wide and set before threads start. */
typedef struct PtClock {
  gint64 (*now)(void *data);                          /* µs since 1970, UTC */
  gint64 (*mono)(void *data);                         /* µs, never steps back */
  void (*random)(void *data, void *buf, gsize size);  /* cryptographic outside tests */
  void *data;
} PtClock;

/* Installs `clock` (borrowed, for the life of the process); NULL restores the system's. */
void pt_clock_set(const PtClock *clock);

gint64 pt_now(void);   /* µs since 1970, UTC */
gint64 pt_mono(void);  /* µs, monotonic */
void pt_random(void *buf, gsize size);

/* RFC 3339 in UTC with milliseconds: "2026-01-31T08:09:10.123Z". The string is the caller's. */
char *pt_time_format(gint64 us);
/* The inverse, with any offset; -1 where it is no time. */
gint64 pt_time_parse(const char *text);
