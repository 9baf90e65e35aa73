// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Packet filter rules, as text for libnftables (nft(8)), in two places:
 *   in a space's namespace  table bridge portena  who may send what from which port of the bridge
 *                           table inet portena    what the space's namespace itself answers, forwards, translates
 *   on the node             table inet portena-…  between the spaces' uplinks, the node and the world
 * All appending functions take values that were checked before. */
#include <glib.h>
#include <stdbool.h>

#define PT_RULES_BRIDGE "br0"
#define PT_RULES_UPLINK "up0" /* the space's end of its uplink */

/* Runs `text` as one transaction in the namespace `ns`. Serialised: libnftables keeps global caches. The error carries the
 * first line of what it said. */
bool pt_rules_run(int ns, const char *text, GError **error);
/* `ns` is about to go: lets go of it. */
void pt_rules_forget(int ns);

/* The tables of a fresh space. */
const char *pt_rules_space(void);

typedef struct PtRulesPort {
  const char *link;     /* veth in the bridge */
  const char *address;  /* IPv4 */
  const char *address6; /* or NULL */
  const char *mac;
} PtRulesPort;

/* The rules of one port that has none. Only additions: they are fast, deletions are not. */
void pt_rules_port_add(GString *text, const PtRulesPort *port);
void pt_rules_port_del(GString *text, const char *link); /* absent is fine */

/* What comes in by the uplink for port `listen` goes to `address`:`to`. */
void pt_rules_publish_add(GString *text, bool udp, guint16 listen, const char *address, guint16 to);
void pt_rules_publish_del(GString *text, bool udp, guint16 listen, const char *address, guint16 to); /* absent is fine */

/* One space as the node sees it. */
typedef struct PtRulesLink {
  char link[16];       /* the node's end */
  guint32 transfer;    /* host order: the /30; node +1, space +2 */
} PtRulesLink;

typedef struct PtRulesPublish {
  bool udp;
  guint16 listen;
  const char *address; /* NULL: all of the node's */
  guint32 to;          /* host order: the space's end of the transfer net */
} PtRulesPublish;

typedef struct PtRulesHost {
  const char *table;
  const char *uplink;
  bool router;          /* the node forwards for others, too: leave theirs alone */
  const char *resolver; /* "127.0.0.53": a DNS server that only the node itself can reach; or NULL */
  const GArray *links;  /* of PtRulesLink */
  const GArray *publish; /* of PtRulesPublish */
} PtRulesHost;

/* Text that replaces the node's table by one for `h`; without links it goes away. The caller's. */
char *pt_rules_host(const PtRulesHost *h);
