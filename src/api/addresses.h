// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Addresses of a space's network, and the record that keeps two allocations in a space apart. */
#include "api/request.h"

/* Revision (0 = it does not exist yet) of the record that every allocation in a space writes: two of them at the
 * same moment, on whatever node, cannot both succeed. */
bool pt_guard_read(PtApi *api, const char *space, gint64 *ret_revision, gint64 *ret_last, GError **error);
/* Requires the guard as it was read, and writes it with the last address given out. */
void pt_guard_write(PtTxn *txn, const char *space, gint64 revision, gint64 last);

/* Gives `card` an IPv4 address that nobody has in the space, the IPv6 address that goes with it, and a MAC address. `wanted`: this one
 * (INVALID where it is none of the subnet's, CONFLICT where it is taken), or NULL: the next free one behind *last, the guard's.
 * The view is in step. */
bool pt_address_choose(PtApi *api, const PtSpace *space, const char *wanted, gint64 *last, PtNic *card, GError **error);
