// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The network of a space on this node: a network namespace with a bridge "br0", dnsmasq (DHCP, DNS), and
 * nftables (anti-spoofing on the bridge, NAT and published ports). Blocking; any thread; internally locked per space.
 *
 * Layout: namespace bound at RUN/net/<space id>/ns inside the daemon's private mount namespace, dnsmasq's files
 * beside it. br0 has the subnet's first address (the gateway and DNS server). With an uplink, a veth pair
 * joins the namespace to the node (transfer addresses out of 100.64.0.0/10, NAT on the node side by an nftables
 * table of our own, "portena-<cgroup name>"); with uplink "none" no such pair exists and nothing leaves. */
#include <sys/types.h>

#include "sys/host.h"

typedef struct PtNet PtNet;

typedef struct PtNetSpace {
  const char *id;      /* of the space: names things */
  const char *name;    /* DNS domain is <name>.internal */
  const char *subnet;  /* "10.83.0.0/24" */
  const char *prefix6; /* "fd…::/64" or NULL */
} PtNetSpace;

typedef struct PtNetPublish {
  bool udp;
  guint16 listen, to;
  const char *address; /* NULL: all */
} PtNetPublish;

typedef struct PtNetPort {
  const char *id;      /* of the instance: names the veth. Of a further card pt_net_card_id()'s */
  const char *name;    /* of the instance: its DNS name */
  const char *card;    /* NULL: eth0, and the way to everything else; or a further card, "eth1" … "eth7" */
  const char *host;    /* of a further card: its DNS name in the space, "eth1.web" */
  const char *address; /* IPv4 without length */
  const char *address6; /* or NULL */
  const char *mac;
  const PtNetPublish *publish;
  guint n_publish;
  const char *tap;     /* NULL, or the name of a tap device that stands for the instance's eth0 in its namespace */
  uid_t tap_owner;     /* who may open it there */
  guint64 rate_in, rate_out; /* bytes a second into and out of the instance at most; 0: as fast as it goes */
} PtNetPort;

/* A further card's port that is up, or of which there is something. */
typedef struct PtNetCard {
  char *space;  /* id */
  char *id;     /* of the port */
  char *name;   /* "eth1" */
  char *address, *mac;
  bool whole;   /* it was made to the end */
} PtNetCard;
void pt_net_card_free(PtNetCard *c);

#define PT_NET_CARDS 7 /* further ones at most */
/* The number of "eth1" … "eth7"; 0 where it is none. */
guint pt_net_card_number(const char *name);
/* The port's id of an instance's further card; the caller's. */
char *pt_net_card_id(const char *instance, const char *card);

typedef struct PtNetDriver {
  const char *name;
  /* Probes tools and the uplink. Adopts what a predecessor left running in the same mount namespace. */
  PtNet *(*open)(const PtHost *host, GError **error);
  void (*close)(PtNet *net); /* leaves everything running */
  /* The space's namespace, bridge, DNS and rules are there afterwards; there already: success (a dead
   * dnsmasq is started again). */
  bool (*space_up)(PtNet *net, const PtNetSpace *space, GError **error);
  bool (*space_down)(PtNet *net, const char *space_id, GError **error); /* leaves nothing; absent is success */
  GPtrArray *(*spaces)(PtNet *net, GError **error); /* ids of those that are up */
  /* Creates the veth, moves one end into the namespace of `pid` as eth0 with address, route and MAC, the
   * other onto the bridge with its anti-spoofing entries, registers DHCP and DNS, publishes ports. With `tap` its end is a mere wire:
   * a bridge there joins it to the tap, and address and MAC are those of who opens that. A further card (`card`) comes to an
   * instance that runs just so. What is sent from its address leaves by it, by a table of its own; else it is the way to its own
   * subnet alone. The instance does not forward between its cards by itself. */
  bool (*port_up)(PtNet *net, const char *space_id, const PtNetPort *port, pid_t pid, GError **error);
  /* Changes what is published of a port that is up. CONFLICT names who has the port. */
  bool (*port_publish)(PtNet *net, const char *space_id, const PtNetPort *port, GError **error);
  /* Changes how fast a port that is up may be. UNSUPPORTED where the kernel cannot hold it back. */
  bool (*port_rate)(PtNet *net, const char *space_id, const PtNetPort *port, GError **error);
  bool (*port_down)(PtNet *net, const char *space_id, const char *port_id, GError **error); /* absent is success */
  /* The same of a further card, with all that there is of it in the namespace of `pid`, at once. Of `port` id, card and tap count. */
  bool (*card_down)(PtNet *net, const char *space_id, const PtNetPort *port, pid_t pid, GError **error);
  GPtrArray *(*cards)(PtNet *net, const char *instance_id); /* of PtNetCard, in whatever space; the caller's */
  /* Bytes in and out of the instance since its port came up. NOT_FOUND where it is not up. */
  bool (*port_stats)(PtNet *net, const char *space_id, const char *instance_id, guint64 *ret_rx, guint64 *ret_tx, GError **error);
  /* "automatic: eth0", "none": for doctor. Borrowed. */
  const char *(*uplink)(PtNet *net);
} PtNetDriver;

extern const PtNetDriver pt_net_bridge;

/* In the namespace of `pid`: the tap that `owner` may open, up, and joined to nothing. */
bool pt_net_tap_alone(pid_t pid, const char *tap, uid_t owner, GError **error);
