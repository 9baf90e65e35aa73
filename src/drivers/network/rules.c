// SPDX-License-Identifier: Apache-2.0
/* Theory of operation.
 *
 * Bridge. Every frame that enters by a port is looked at before the bridge learns from it (prerouting, -300). A
 * port has a chain of its own, found by a verdict map; a frame from an interface without one is dropped, so a port is shut
 * until its rules are there. A guest may send: ARP and IPv4 with its own addresses; IPv6 with its own address and
 * the link-local one that follows from its MAC (EUI-64, RFC 4291 appendix A); a DHCP client's questions. It may not be a
 * DHCP server, a router (RA, redirect), nor announce another's address (ND). Everything else, VLAN tags too, is dropped.
 *
 * Space. The namespace answers DNS, DHCP and echo to its guests, nothing else; it forwards guests to the
 * uplink and published connections to guests. All that leaves carries the transfer address, because
 * two spaces may have the same subnet; what conntrack cannot place is not translated, so it must not leave.
 *
 * Node. One table for all spaces, replaced as a whole: it is short, and a transaction. Guests reach nothing of the node
 * itself, and each other's spaces only by what is published. */
#include "drivers/network/rules.h"

#include <errno.h>
#include <gio/gio.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/network/netns.h"

/* A context is a netlink socket and more than a megabyte of parser. Closing the socket waits for the kernel to have
 * forgotten what was deleted (RCU, 10 to 20 ms), which is over by itself soon after. So a context that has worked lies by for
 * a moment: launches come in bursts and use it again, and then it is closed for nothing. */
#define IDLE_MAX 3
#define IDLE_USEC (200 * 1000)

typedef struct Idle {
  ino_t ns;
  struct nft_ctx *nft;
  gint64 since;
} Idle;

static GMutex lock; /* libnftables keeps global caches, too: one runs at a time */
static GCond changed;
static GQueue idle = G_QUEUE_INIT; /* oldest first */
static bool sweeping;

static int
by_age(gconstpointer a, gconstpointer b, gpointer data)
{
  const Idle *x = a, *y = b;

  (void)data;
  return (x->since > y->since) - (x->since < y->since);
}

static gpointer
sweep(gpointer data)
{
  g_mutex_lock(&lock);
  for (;;) {
    Idle *oldest = g_queue_peek_head(&idle);
    gint64 end = oldest ? oldest->since + IDLE_USEC : 0;

    if (!oldest)
      break;
    if (g_queue_get_length(&idle) <= IDLE_MAX && g_cond_wait_until(&changed, &lock, end))
      continue;
    if (g_queue_peek_head(&idle) != oldest)
      continue;
    g_queue_pop_head(&idle);
    g_mutex_unlock(&lock);
    nft_ctx_free(oldest->nft); /* its only global is a cache of interfaces by index, which our rules never fill */
    g_free(oldest);
    g_mutex_lock(&lock);
  }
  sweeping = false;
  g_cond_broadcast(&changed);
  g_mutex_unlock(&lock);
  return data;
}

static Idle *
take(ino_t ns)
{
  for (GList *l = idle.head; l; l = l->next) {
    Idle *i = l->data;
    if (i->ns == ns) {
      g_queue_delete_link(&idle, l);
      return i;
    }
  }
  Idle *i = g_new0(Idle, 1);
  i->ns = ns;
  i->nft = nft_ctx_new(NFT_CTX_DEFAULT);
  if (i->nft) {
    nft_ctx_buffer_output(i->nft);
    nft_ctx_buffer_error(i->nft);
  }
  return i;
}

static void
put_by(Idle *i)
{
  i->since = g_get_monotonic_time();
  g_queue_push_tail(&idle, i);
  if (!sweeping) {
    sweeping = true;
    g_thread_unref(g_thread_new("nft-idle", sweep, NULL));
  } else if (g_queue_get_length(&idle) > IDLE_MAX) {
    g_cond_broadcast(&changed);
  }
}

static bool
run(ino_t ns, const char *text, GError **error)
{
  Idle *i = take(ns);

  if (!i->nft) {
    PT_SET(error, PT_ERR_INTERNAL, "nftables: no context");
    g_free(i);
    return false;
  }
  bool ok = nft_run_cmd_from_buffer(i->nft, text) == 0;
  const char *said = nft_ctx_get_error_buffer(i->nft); /* empties it, too */
  nft_ctx_get_output_buffer(i->nft);
  if (!ok) {
    g_autofree char *line = g_strndup(said ? said : "", strcspn(said ? said : "", "\n"));
    g_autofree char *safe = pt_text_safe(line, 300);
    PT_SET(error, PT_ERR_INTERNAL, "nftables: %s", safe);
    pt_error_hint(error, "does this kernel have nf_tables with the bridge and inet families?");
  }
  put_by(i);
  return ok;
}

bool
pt_rules_run(int ns, const char *text, GError **error)
{
  struct stat st;

  if (fstat(ns, &st) < 0) {
    pt_error_errno(error, errno, "network namespace");
    return false;
  }
  int back = pt_netns_enter(ns, error);
  if (back < 0)
    return false;
  g_mutex_lock(&lock);
  bool ok = run(st.st_ino, text, error);
  g_mutex_unlock(&lock);
  pt_netns_leave(back);
  return ok;
}

void
pt_rules_forget(int ns)
{
  struct stat st;

  if (ns < 0 || fstat(ns, &st) < 0)
    return;
  g_mutex_lock(&lock);
  for (GList *l = idle.head; l; l = l->next) {
    Idle *i = l->data;
    if (i->ns == st.st_ino)
      i->since = 0;
  }
  g_queue_sort(&idle, by_age, NULL);
  g_cond_broadcast(&changed);
  g_mutex_unlock(&lock);
}

/* ---- the space ---- */

const char *
pt_rules_space(void)
{
  return "table bridge portena {\n"
         " map ports { type ifname : verdict; }\n"
         " chain from { type filter hook prerouting priority -300; policy drop;\n"
         "  ether type vlan drop\n"
         "  iifname vmap @ports\n"
         " }\n"
         "}\n"
         "table inet portena {\n"
         " map publish { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
         " chain input { type filter hook input priority 0; policy drop;\n"
         "  iifname lo accept\n"
         "  ct state established,related accept\n"
         "  iifname " PT_RULES_BRIDGE " udp dport { 53, 67 } accept\n"
         "  iifname " PT_RULES_BRIDGE " tcp dport 53 accept\n"
         "  iifname " PT_RULES_BRIDGE " icmp type echo-request accept\n"
         "  iifname " PT_RULES_BRIDGE " icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept\n"
         " }\n"
         " chain forward { type filter hook forward priority 0; policy drop;\n"
         /* Where bridged packets are shown to this hook (bridge-nf-call), they are none of its business. */
         "  iifname " PT_RULES_BRIDGE " oifname " PT_RULES_BRIDGE " accept\n"
         "  ct state invalid drop\n"
         "  ct state established,related accept\n"
         "  iifname " PT_RULES_BRIDGE " oifname " PT_RULES_UPLINK " accept\n"
         "  iifname " PT_RULES_UPLINK " oifname " PT_RULES_BRIDGE " ct status dnat accept\n"
         " }\n"
         " chain in { type nat hook prerouting priority dstnat; policy accept;\n"
         "  iifname " PT_RULES_UPLINK " dnat ip to meta l4proto . th dport map @publish\n"
         " }\n"
         " chain out { type nat hook postrouting priority srcnat; policy accept;\n"
         "  oifname " PT_RULES_UPLINK " masquerade\n"
         " }\n"
         "}\n";
}

/* fe80::/64 and the modified EUI-64 of the MAC, as the 128-bit number that raw comparisons take. */
static void
link_local(const char *mac, char ret[40], char ret_raw[40])
{
  guint b[6] = { 0 };

  (void)sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]);
  b[0] ^= 2;
  g_snprintf(ret, 40, "fe80::%02x%02x:%02xff:fe%02x:%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
  g_snprintf(ret_raw, 40, "0xfe80000000000000%02x%02x%02xfffe%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

static void
raw6(const char *address, char ret[40])
{
  g_autoptr(GInetAddress) a = g_inet_address_new_from_string(address);
  const guint8 *b = g_inet_address_to_bytes(a);

  g_snprintf(ret, 40, "0x");
  for (guint i = 0; i < 16; i++)
    g_snprintf(ret + 2 + 2 * i, 3, "%02x", b[i]);
}

static void
add_ip6(GString *text, const PtRulesPort *port)
{
  char ll[40], ll_raw[40], own_raw[40];
  const char *own = port->address6;

  link_local(port->mac, ll, ll_raw);
  if (own)
    raw6(own, own_raw);
  else
    g_strlcpy(own_raw, ll_raw, sizeof own_raw);
  /* Bytes 8 to 23 of a neighbour message are its target (RFC 4861, 4.3 and 4.4). A solicitation from "::" claims an
   * address (duplicate detection), so it counts as an announcement. */
  g_string_append_printf(text,
                         "  icmpv6 type { nd-router-advert, nd-redirect } drop\n"
                         "  udp sport { 67, 547 } drop\n"
                         "  icmpv6 type nd-neighbor-advert @th,64,128 != %s @th,64,128 != %s drop\n"
                         "  ip6 saddr %s accept\n"
                         "  ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 %s accept\n"
                         "  ip6 saddr :: icmpv6 type mld2-listener-report accept\n",
                         own_raw, ll_raw, ll, ll_raw);
  if (own)
    g_string_append_printf(text, "  ip6 saddr %s accept\n  ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 %s accept\n",
                           own, own_raw);
}

void
pt_rules_port_add(GString *text, const PtRulesPort *port)
{
  const char *l = port->link;

  g_string_append_printf(text,
                         "table bridge portena {\n"
                         " chain g_%s {\n"
                         "  ether saddr != %s drop\n"
                         "  ether type vmap { arp : jump a_%s, ip : jump i_%s, ip6 : jump s_%s }\n"
                         "  drop\n"
                         " }\n"
                         " chain a_%s {\n"
                         "  arp saddr ether != %s drop\n"
                         "  arp saddr ip { %s, 0.0.0.0 } accept\n"
                         " }\n"
                         " chain i_%s {\n"
                         "  udp sport { 67, 547 } drop\n"
                         "  ip saddr %s accept\n"
                         "  ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept\n"
                         " }\n"
                         " chain s_%s {\n",
                         l, port->mac, l, l, l, l, port->mac, port->address, l, port->address, l);
  add_ip6(text, port);
  g_string_append_printf(text, " }\n}\nadd element bridge portena ports { \"%s\" : jump g_%s }\n", l, l);
}

void
pt_rules_port_del(GString *text, const char *l)
{
  g_string_append_printf(
    text, "table bridge portena { chain g_%s { }\n chain a_%s { }\n chain i_%s { }\n chain s_%s { }\n }\n", l, l, l, l);
  g_string_append_printf(text, "add element bridge portena ports { \"%s\" : jump g_%s }\n", l, l);
  g_string_append_printf(text, "delete element bridge portena ports { \"%s\" }\n", l);
  /* g_ last loses its references first */
  g_string_append_printf(text, "flush chain bridge portena g_%s\ndelete chain bridge portena g_%s\n", l, l);
  g_string_append_printf(text, "delete chain bridge portena a_%s\ndelete chain bridge portena i_%s\n", l, l);
  g_string_append_printf(text, "delete chain bridge portena s_%s\n", l);
}

static void
publish_element(GString *text, const char *verb, bool udp, guint16 listen, const char *address, guint16 to)
{
  g_string_append_printf(text, "%s element inet portena publish { %s . %u : %s . %u }\n", verb, udp ? "udp" : "tcp", listen, address, to);
}

void
pt_rules_publish_add(GString *text, bool udp, guint16 listen, const char *address, guint16 to)
{
  publish_element(text, "add", udp, listen, address, to);
}

void
pt_rules_publish_del(GString *text, bool udp, guint16 listen, const char *address, guint16 to)
{
  publish_element(text, "add", udp, listen, address, to);
  g_string_append_printf(text, "delete element inet portena publish { %s . %u }\n", udp ? "udp" : "tcp", listen);
}

/* ---- the node ---- */

static void
dotted(char ret[16], guint32 address)
{
  g_snprintf(ret, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

static void
host_sets(GString *text, const PtRulesHost *h)
{
  char ip[16];

  g_string_append(text, " set links { type ifname; elements = { ");
  for (guint i = 0; i < h->links->len; i++)
    g_string_append_printf(text, "%s\"%s\"", i ? ", " : "", g_array_index(h->links, PtRulesLink, i).link);
  g_string_append(text, " }\n }\n set spaces { type ipv4_addr; elements = { ");
  for (guint i = 0; i < h->links->len; i++) {
    dotted(ip, g_array_index(h->links, PtRulesLink, i).transfer + 2);
    g_string_append_printf(text, "%s%s", i ? ", " : "", ip);
  }
  g_string_append(text, " }\n }\n");
}

static void
host_publish(GString *text, const PtRulesHost *h, bool addressed)
{
  const char *type = addressed ? "ipv4_addr . inet_proto . inet_service" : "inet_proto . inet_service";
  guint n = 0;

  g_string_append_printf(text, " map %s { type %s : ipv4_addr;", addressed ? "publish_at" : "publish", type);
  for (guint i = 0; i < h->publish->len; i++) {
    const PtRulesPublish *p = &g_array_index(h->publish, PtRulesPublish, i);
    char ip[16];

    if ((p->address != NULL) != addressed)
      continue;
    dotted(ip, p->to);
    g_string_append(text, n++ ? ", " : " elements = { ");
    if (addressed)
      g_string_append_printf(text, "%s . ", p->address);
    g_string_append_printf(text, "%s . %u : %s", p->udp ? "udp" : "tcp", p->listen, ip);
  }
  g_string_append(text, n ? " }\n }\n" : "\n }\n");
}

static void
host_filter(GString *text, const PtRulesHost *h)
{
  g_string_append(text, " chain input { type filter hook input priority -5; policy accept;\n"
                        "  iifname @links ct state established,related accept\n");
  if (h->resolver)
    g_string_append(text, "  iifname @links ip saddr @spaces ct status dnat meta l4proto { tcp, udp } th dport 53 accept\n");
  g_string_append(text, "  iifname @links drop\n }\n"
                        " chain forward { type filter hook forward priority -5; policy accept;\n"
                        "  iifname @links ip saddr != @spaces drop\n"
                        "  iifname @links meta nfproto != ipv4 drop\n"
                        "  iifname @links oifname @links ct status dnat accept\n"
                        "  iifname @links ct state established,related accept\n");
  g_string_append_printf(text, "  iifname @links oifname != \"%s\" drop\n", h->uplink);
  g_string_append(text, "  oifname @links ct state established,related accept\n"
                        "  oifname @links ct status dnat accept\n"
                        "  oifname @links drop\n");
  if (!h->router)
    g_string_append_printf(text, "  iifname \"%s\" oifname != @links drop\n", h->uplink);
  g_string_append(text, " }\n");
}

static void
host_nat(GString *text, const PtRulesHost *h)
{
  static const char publish[] = "  fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @publish_at\n"
                                "  fib daddr type local dnat ip to meta l4proto . th dport map @publish\n";

  g_string_append(text, " chain in { type nat hook prerouting priority dstnat; policy accept;\n");
  if (h->resolver)
    g_string_append_printf(text, "  iifname @links fib daddr type local meta l4proto { tcp, udp } th dport 53 dnat ip to %s\n",
                           h->resolver);
  g_string_append_printf(text, "%s }\n chain self { type nat hook output priority -100; policy accept;\n%s }\n", publish, publish);
  g_string_append_printf(text,
                         " chain out { type nat hook postrouting priority srcnat; policy accept;\n"
                         "  ip saddr @spaces oifname \"%s\" masquerade\n"
                         "  ip saddr @spaces oifname @links masquerade\n"     /* a space that calls its own published port */
                         "  ip saddr 127.0.0.0/8 oifname @links masquerade\n" /* the node that calls one by 127.0.0.1 */
                         " }\n",
                         h->uplink);
}

char *
pt_rules_host(const PtRulesHost *h)
{
  GString *text = g_string_new(NULL);

  g_string_append_printf(text, "table inet %s { }\ndelete table inet %s\n", h->table, h->table);
  if (h->links->len > 0) {
    g_string_append_printf(text, "table inet %s {\n", h->table);
    host_sets(text, h);
    host_publish(text, h, false);
    host_publish(text, h, true);
    host_filter(text, h);
    host_nat(text, h);
    g_string_append(text, "}\n");
  }
  return g_string_free(text, FALSE);
}
