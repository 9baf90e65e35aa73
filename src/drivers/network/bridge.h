// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Inside of the bridge driver: what bridge.c (spaces) and ports.c share. Everything here is called with the space locked. */
#include "drivers/network/netlink.h"
#include "drivers/network/network.h"
#include "drivers/network/record.h"
#include "drivers/network/uplink.h"

typedef struct PtBridgeSpace {
  GMutex lock;
  char *id, *dir;
  bool up;
  int ns;
  PtNl *nl;          /* a socket in ns */
  PtNetRecord *what; /* NULL unless up */
  GHashTable *ports; /* instance id → PtNetPortRecord */
} PtBridgeSpace;

struct PtNet {
  char *dir;          /* RUN/net */
  PtUplink *uplink;
  GMutex lock;        /* of the table; a space lives as long as PtNet */
  GHashTable *spaces; /* id → PtBridgeSpace */
  GHashTable *cards;  /* ids of further cards' ports → PtNetCard; under the lock, which is taken last */
  GThreadPool *reaper; /* removes links that nobody waits for */
};

/* The space's dnsmasq runs with the right configuration afterwards. */
bool pt_bridge_dns_up(PtNet *net, PtBridgeSpace *s, GError **error);

/* The functions of PtNetDriver of the same names. */
bool pt_bridge_port_up(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, pid_t pid, GError **error);
bool pt_bridge_port_publish(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, GError **error);
bool pt_bridge_port_rate(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, GError **error);
bool pt_bridge_port_down(PtNet *net, PtBridgeSpace *s, const char *id, GError **error);
bool pt_bridge_card_down(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, pid_t pid, GError **error);
GPtrArray *pt_bridge_cards(PtNet *net, const char *instance);
bool pt_bridge_port_stats(PtBridgeSpace *s, const char *id, guint64 *ret_rx, guint64 *ret_tx, GError **error);

void pt_bridge_cards_forget(PtNet *net, const char *space); /* those in it: it is gone */

/* Takes over the ports that a predecessor had up. */
bool pt_bridge_ports_adopt(PtNet *net, PtBridgeSpace *s, GError **error);
/* What the reaper's pool runs. */
void pt_bridge_reap(gpointer data, gpointer user_data);
