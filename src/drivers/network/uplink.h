// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The way out: what the node (the namespace that the daemon was started in) does for the spaces. Internally locked; any
 * thread; blocking.
 *
 * Each space that may leave has a veth pair to the node, "pt<hash>" here and "up0" there, with a /30 out of
 * 100.64.0.0/10 (RFC 6598) that nothing else on the node uses. Sysctls set, all of them per interface:
 * forwarding and route_localnet on the pair's end, forwarding on the uplink. */
#include "drivers/network/netlink.h"
#include "drivers/network/network.h"

typedef struct PtUplink PtUplink;

/* Resolves host->uplink. A named interface that is not there is NOT_FOUND; "auto" without a default route is none. */
PtUplink *pt_uplink_open(const PtHost *host, GError **error);
void pt_uplink_close(PtUplink *u); /* NULL is fine; changes nothing outside */

/* Until this is called joining and publishing only take note of what is there, so that a restart opens no gap in the rules;
 * now the node's table becomes what is known. */
bool pt_uplink_settle(PtUplink *u, GError **error);

const char *pt_uplink_text(PtUplink *u); /* "automatic: eth0"; borrowed */
/* What the spaces' DNS servers ask: see PtDns. NULL where there is no way out. The caller's. */
char *pt_uplink_resolver(PtUplink *u, const char *space);

/* Joins the namespace `ns` (`nl` is a socket in it) of a space to the node, or finds it joined; nothing where there is no
 * way out, and then a pair of former days is removed. */
bool pt_uplink_join(PtUplink *u, const char *space, int ns, PtNl *nl, GError **error);
bool pt_uplink_leave(PtUplink *u, const char *space, GError **error); /* absent is success */

/* What `instance` publishes from now on, instead of before. CONFLICT names who has a port; UNSUPPORTED where there is no
 * way in. `adopt`: it was so before, so the port being taken is not asked. */
bool pt_uplink_publish(PtUplink *u, const char *space, const char *instance, const char *name, const PtNetPublish *publish, guint n,
                       bool adopt, GError **error);
