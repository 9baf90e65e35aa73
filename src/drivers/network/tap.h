// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The wire from a veth's end to a program that speaks Ethernet itself (QEMU). */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* In the namespace `ns`: makes the persistent tap `name` that `owner` may open (tuntap(4): IFF_TAP, IFF_NO_PI, IFF_VNET_HDR), and a
 * bridge of it and `link` ("wire" for eth0, "wire1" for eth1). The node itself says nothing on that bridge: no address, no IPv6.
 * Everything is up afterwards. */
void pt_tap_wire_name(const char *link, char ret[16]);
bool pt_tap_join(int ns, const char *link, const char *name, uid_t owner, GError **error);
