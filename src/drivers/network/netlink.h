// SPDX-License-Identifier: Apache-2.0
#pragma once
/* rtnetlink(7) as far as we need it: one socket, one request at a time, each waits for its acknowledgement. One thread
 * at a time per PtNl. Interfaces are named, because names are ours to choose. */
#include <glib.h>
#include <stdbool.h>

typedef struct PtNl PtNl;

/* A socket inside the namespace `ns` (pt_netns_*), or where the thread is if `ns` is -1. */
PtNl *pt_nl_open(int ns, GError **error);
void pt_nl_close(PtNl *nl); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtNl, pt_nl_close)

/* A bridge that forwards at once, floods multicast, and is up. */
bool pt_nl_bridge_add(PtNl *nl, const char *name, const guint8 mac[6], GError **error);

/* A veth pair: `name` here, up, in bridge `master` if not NULL; `peer` in the namespace `ns`, down. `peer_mac` may be NULL. */
bool pt_nl_veth_add(PtNl *nl, const char *name, const char *master, int ns, const char *peer, const guint8 *peer_mac, GError **error);

/* An intermediate device (ifb), up, for pt_nl_detour(); there already: success. */
bool pt_nl_ifb_add(PtNl *nl, const char *name, GError **error);

bool pt_nl_master_set(PtNl *nl, const char *name, const char *master, GError **error); /* into that bridge */
bool pt_nl_link_up(PtNl *nl, const char *name, GError **error);
bool pt_nl_link_del(PtNl *nl, const char *name, GError **error); /* absent is success */
/* Removing a link makes the kernel wait (10 to 30 ms, under the lock that all link changes take); removing a whole group does so
 * once. group_set() marks, group_del() removes all that are marked; none is success. */
bool pt_nl_group_set(PtNl *nl, const char *name, guint32 group, GError **error); /* absent is success */
bool pt_nl_group_del(PtNl *nl, guint32 group, GError **error);
/* Until frames really pass: the kernel starts a link's queue, and a bridge opens its port, in a worker a moment after both
 * ends are up, and a first ARP request that is lost before costs a second. (Since Linux 6.8 asking makes it so at once.) Gives
 * up after 100 ms: the kernel then does it when it gets to it. */
void pt_nl_link_wait(PtNl *nl, const char *name);
bool pt_nl_link_exists(PtNl *nl, const char *name);
/* Bytes that `name` has received and sent. NOT_FOUND. */
bool pt_nl_link_stats(PtNl *nl, const char *name, guint64 *ret_rx, guint64 *ret_tx, GError **error);

/* What leaves by `name` waits until it may go, at `rate` bytes a second in the long run; what there is no room for to wait is dropped.
 * 0: goes as it comes. */
bool pt_nl_rate_set(PtNl *nl, const char *name, guint64 rate, GError **error);
/* What comes in by `name` passes through the ifb `by`, and thus its rate, before it is looked at; NULL: it does not. */
bool pt_nl_detour(PtNl *nl, const char *name, const char *by, GError **error);

/* `address` is IPv4 or IPv6 text. It can be used at once: no duplicate address detection. There already: success. */
bool pt_nl_addr_add(PtNl *nl, const char *link, const char *address, guint prefix, GError **error);
bool pt_nl_route_default(PtNl *nl, const char *link, const char *gateway, GError **error);
/* What is sent from `address` of `link` goes by the routing table `table`: to its network of `prefix` bits by the link, to everything
 * else by `gateway`. There already: success. */
bool pt_nl_source_route(PtNl *nl, const char *link, const char *address, guint prefix, const char *gateway, guint table, GError **error);
/* The rule that leads there goes; absent is success. (The routes go with the link.) */
bool pt_nl_source_route_del(PtNl *nl, const char *address, guint table, GError **error);

/* The interface of the IPv4 default route with the lowest metric; NULL without error where there is none. The caller's. */
char *pt_nl_default_link(PtNl *nl, GError **error);
/* All IPv4 addresses here: GHashTable as a set of host-order addresses (GUINT_TO_POINTER) to interface names. */
GHashTable *pt_nl_addresses(PtNl *nl, GError **error);
