// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The wire from a veth's end to a program that speaks Ethernet itself (QEMU). */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* In the namespace `ns`: makes the persistent tap `name` that `owner` may open (tuntap(4): IFF_TAP, IFF_NO_PI, IFF_VNET_HDR), and a
 * bridge "wire" of it and `link`. The node itself says nothing on that bridge: no address, no IPv6. Everything is up afterwards. */
bool pt_tap_join(int ns, const char *link, const char *name, uid_t owner, GError **error);
