// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Slows guessing down: after a few failures in a row each next attempt has to wait, twice as long each time. Counted for
 * - a name at one address (whether or not there is such a user), up to a minute: a stranger elsewhere delays nobody;
 * - an address, whatever the names, up to 15 minutes;
 * - a name, from wherever: more failures in an hour than one or two addresses can have are a crowd's, and then addresses that
 *   the user has not logged in from wait, 30 s at most. Those that the user has, do not.
 * An IPv6 address stands for its /64, which one customer has. In memory, bounded; forgotten after an hour of quiet. Any
 * thread. */
#include <glib.h>
#include <stdbool.h>

typedef struct PtThrottle PtThrottle;

PtThrottle *pt_throttle_new(guint max_entries);
void pt_throttle_free(PtThrottle *t);
/* Seconds to wait before an attempt makes sense; 0 = go on. */
guint pt_throttle_wait(PtThrottle *t, const char *user, const char *from);
void pt_throttle_failed(PtThrottle *t, const char *user, const char *from);
/* The failures of the name at this address are forgotten, and the address is known to be the user's; the failures of the
 * address and of the crowd stay, they were somebody's. */
void pt_throttle_succeeded(PtThrottle *t, const char *user, const char *from);
