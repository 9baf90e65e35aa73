// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Slows guessing down: after a few failures in a row each next attempt has to wait, twice as long each time. Counted for
 * the user's name (whether or not there is such a user) and for the source address; in memory, bounded. The wait for a name
 * ends at 30 s, so that a stranger cannot lock somebody out; that of an address at 15 min. Any thread. */
#include <glib.h>
#include <stdbool.h>

typedef struct PtThrottle PtThrottle;

PtThrottle *pt_throttle_new(guint max_entries);
void pt_throttle_free(PtThrottle *t);
/* Seconds to wait before an attempt makes sense; 0 = go on. */
guint pt_throttle_wait(PtThrottle *t, const char *user, const char *from);
void pt_throttle_failed(PtThrottle *t, const char *user, const char *from);
/* The name's failures are forgotten; the address's stay, they were somebody's. */
void pt_throttle_succeeded(PtThrottle *t, const char *user);
