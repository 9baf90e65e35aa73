// SPDX-License-Identifier: Apache-2.0
/* Ports of a space, see bridge.c. The order in which a port comes: who may publish what; the record; names; rules; link.
 * It goes the other way round, except that the link itself is taken down by another thread: the kernel waits when it removes
 * one, and a link without rules is dead already. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/network/bridge.h"
#include "drivers/network/dns.h"
#include "drivers/network/netns.h"
#include "drivers/network/rules.h"
#include "drivers/network/tap.h"

/* Links that are to go carry this group (a number of ours, of no meaning to the kernel). */
#define DOOMED 0x50544e44
/* Routing tables of further cards in the guest: this and the card's number. */
#define TABLES 100
#define FIRST "eth0"

static bool
publish_rules(PtBridgeSpace *s, const PtNetPortRecord *before, const PtNetPortRecord *after, GError **error)
{
  g_autoptr(GString) text = g_string_new(NULL);

  for (guint i = 0; before && i < before->publish->len; i++) {
    const PtNetPublish *p = &g_array_index(before->publish, PtNetPublish, i);
    pt_rules_publish_del(text, p->udp, p->listen, before->address, p->to);
  }
  for (guint i = 0; after && i < after->publish->len; i++) {
    const PtNetPublish *p = &g_array_index(after->publish, PtNetPublish, i);
    pt_rules_publish_add(text, p->udp, p->listen, after->address, p->to);
  }
  return text->len == 0 || pt_rules_run(s->ns, text->str, error);
}

static char *
port_file(PtBridgeSpace *s, const char *id)
{
  return g_build_filename(s->dir, "ports", id, NULL);
}

/* On the reaper's thread. `data`: a descriptor of the namespace, plus one. An error leaves links that no rule lets through; the
 * next one, or the end of the namespace, takes them along. */
void
pt_bridge_reap(gpointer data, gpointer user_data)
{
  int ns = GPOINTER_TO_INT(data) - 1;
  g_autoptr(PtNl) nl = pt_nl_open(ns, NULL);

  (void)user_data;
  if (nl)
    pt_nl_group_del(nl, DOOMED, NULL);
  close(ns);
}

/* Takes a port's links out of the game; gone they are a little later. */
static bool
doom(PtNet *net, PtBridgeSpace *s, const char *id, GError **error)
{
  char link[16], detour[16];

  int ns = fcntl(s->ns, F_DUPFD_CLOEXEC, 3);

  if (ns < 0) {
    pt_error_errno(error, errno, "network namespace");
    return false;
  }
  pt_net_link_name(id, link);
  pt_net_detour_name(id, detour);
  if (!pt_nl_group_set(s->nl, link, DOOMED, error) || !pt_nl_group_set(s->nl, detour, DOOMED, error)) {
    close(ns);
    return false;
  }
  g_thread_pool_push(net->reaper, GINT_TO_POINTER(ns + 1), NULL);
  return true;
}

/* ---- which further cards there are ---- */

static void
note_card(PtNet *net, PtBridgeSpace *s, const char *id, const PtNetPortRecord *p)
{
  if (!p->card)
    return;
  PtNetCard *c = g_new(PtNetCard, 1);
  *c = (PtNetCard){ .space = g_strdup(s->id), .id = g_strdup(id), .name = g_strdup(p->card), .address = g_strdup(p->address),
                    .mac = g_strdup(p->mac), .whole = p->whole };
  g_mutex_lock(&net->lock);
  g_hash_table_replace(net->cards, c->id, c);
  g_mutex_unlock(&net->lock);
}

static void
forget_card(PtNet *net, const char *id)
{
  g_mutex_lock(&net->lock);
  g_hash_table_remove(net->cards, id);
  g_mutex_unlock(&net->lock);
}

static gboolean
is_in(gpointer id, gpointer card, gpointer space)
{
  (void)id;
  return g_strcmp0(((const PtNetCard *)card)->space, space) == 0;
}

void
pt_bridge_cards_forget(PtNet *net, const char *space)
{
  g_mutex_lock(&net->lock);
  g_hash_table_foreach_remove(net->cards, is_in, (gpointer)space);
  g_mutex_unlock(&net->lock);
}

GPtrArray *
pt_bridge_cards(PtNet *net, const char *instance)
{
  GPtrArray *found = g_ptr_array_new_with_free_func((GDestroyNotify)pt_net_card_free);

  g_mutex_lock(&net->lock);
  for (guint n = 1; n <= PT_NET_CARDS; n++) {
    char name[8];
    g_snprintf(name, sizeof name, "eth%u", n);
    g_autofree char *id = pt_net_card_id(instance, name);
    const PtNetCard *c = g_hash_table_lookup(net->cards, id);
    if (!c)
      continue;
    PtNetCard *copy = g_new(PtNetCard, 1);
    *copy = (PtNetCard){ .space = g_strdup(c->space), .id = g_steal_pointer(&id), .name = g_strdup(c->name),
                         .address = g_strdup(c->address), .mac = g_strdup(c->mac), .whole = c->whole };
    g_ptr_array_add(found, copy);
  }
  g_mutex_unlock(&net->lock);
  return found;
}

/* Removes every trace; absent is success. */
bool
pt_bridge_port_down(PtNet *net, PtBridgeSpace *s, const char *id, GError **error)
{
  PtNetPortRecord *r = g_hash_table_lookup(s->ports, id);
  g_autofree char *dir = g_build_filename(s->dir, "dns", NULL);
  g_autofree char *file = port_file(s, id);
  g_autoptr(GString) text = g_string_new(NULL);
  PtDns dns = { .dir = dir };
  char link[16];

  if (!r)
    return true;
  pt_net_link_name(id, link);
  pt_rules_port_del(text, link);
  if (!pt_uplink_publish(net->uplink, s->id, id, r->name, NULL, 0, false, error) || !publish_rules(s, r, NULL, error) ||
      !pt_rules_run(s->ns, text->str, error) || !doom(net, s, id, error) || !pt_dns_remove(&dns, id, error))
    return false;
  if (unlink(file) < 0 && errno != ENOENT) {
    pt_error_errno(error, errno, "%s", file);
    return false;
  }
  g_hash_table_remove(s->ports, id);
  forget_card(net, id);
  return true;
}

/* What the guest's namespace has of a card beside the veth's end. */
static bool
unfurnish(const PtNetPort *port, const PtNetPortRecord *r, int guest, GError **error)
{
  g_autoptr(PtNl) nl = pt_nl_open(guest, error);
  guint table = TABLES + pt_net_card_number(port->card);
  char wire[16];

  if (!nl)
    return false;
  pt_tap_wire_name(port->card, wire);
  if (port->tap)
    return pt_nl_link_del(nl, port->tap, error) && pt_nl_link_del(nl, wire, error);
  return pt_nl_source_route_del(nl, r->address, table, error) && (!r->address6 || pt_nl_source_route_del(nl, r->address6, table, error));
}

bool
pt_bridge_card_down(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, pid_t pid, GError **error)
{
  const PtNetPortRecord *r = g_hash_table_lookup(s->ports, port->id);
  int guest = r ? pt_netns_of(pid, error) : -1;
  char link[16];

  if (!r)
    return true;
  if (guest < 0)
    return false;
  pt_net_link_name(port->id, link);
  bool ok = unfurnish(port, r, guest, error) && pt_nl_link_del(s->nl, link, error) && pt_bridge_port_down(net, s, port->id, error);
  close(guest);
  return ok;
}

/* What the instance gets waits where it leaves the bridge for it; what it sends, on a detour. */
static bool
hold_back(PtBridgeSpace *s, const PtNetPort *port, GError **error)
{
  char link[16], detour[16];

  pt_net_link_name(port->id, link);
  pt_net_detour_name(port->id, detour);
  if (!pt_nl_rate_set(s->nl, link, port->rate_in, error))
    return false;
  if (port->rate_out > 0)
    return pt_nl_ifb_add(s->nl, detour, error) && pt_nl_rate_set(s->nl, detour, port->rate_out, error) &&
           pt_nl_detour(s->nl, link, detour, error);
  return pt_nl_detour(s->nl, link, NULL, error) && pt_nl_link_del(s->nl, detour, error);
}

/* One address of a card, with its way out. Two cards in one network: an answer has to leave by the card that has its address, as nothing
 * else passes the rules. */
static bool
give_address(PtNl *nl, const PtNetPortRecord *p, const char *address, guint prefix, const char *gateway, GError **error)
{
  const char *card = p->card ? p->card : FIRST;

  if (!pt_nl_addr_add(nl, card, address, prefix, error))
    return false;
  return p->card ? pt_nl_source_route(nl, card, address, prefix, gateway, TABLES + pt_net_card_number(card), error)
                 : pt_nl_route_default(nl, card, gateway, error);
}

/* From outside; the first card while the guest's first instruction has not run. Where the node forwards, a new namespace does too. */
static bool
furnish(PtBridgeSpace *s, const PtNetPortRecord *p, const char *link, int guest, GError **error)
{
  const PtNetRecord *r = s->what;
  const char *card = p->card ? p->card : FIRST;
  g_autoptr(PtNl) nl = pt_nl_open(guest, error);

  if (!nl || (!p->card && (!pt_netns_sysctl(guest, "ipv4/ip_forward", "0", error) || !pt_nl_link_up(nl, "lo", error))) ||
      !pt_nl_link_up(nl, card, error) || !give_address(nl, p, p->address, r->length, r->gateway, error) ||
      (p->address6 && r->gateway6 && !give_address(nl, p, p->address6, 64, r->gateway6, error)))
    return false;
  pt_nl_link_wait(s->nl, link);
  pt_nl_link_wait(s->nl, PT_RULES_BRIDGE);
  pt_nl_link_wait(nl, card);
  return true;
}

/* The guest's end for who speaks Ethernet itself. */
static bool
furnish_tap(PtBridgeSpace *s, const PtNetPort *port, const char *link, int guest, GError **error)
{
  if (!pt_tap_join(guest, port->card ? port->card : FIRST, port->tap, port->tap_owner, error))
    return false;
  pt_nl_link_wait(s->nl, link);
  pt_nl_link_wait(s->nl, PT_RULES_BRIDGE);
  return true;
}

static bool
plug(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, const PtNetPortRecord *p, int guest, GError **error)
{
  const char *id = port->id;
  const char *card = p->card ? p->card : FIRST, *host = p->card ? p->host : p->name;
  g_autofree char *dir = g_build_filename(s->dir, "dns", NULL);
  g_autoptr(GString) text = g_string_new(NULL);
  PtDns dns = { .dir = dir, .domain = s->what->domain };
  char link[16], detour[16];
  guint8 mac[6];

  pt_net_link_name(id, link);
  pt_net_detour_name(id, detour); /* a predecessor's, that is going, must not be taken for its own */
  pt_net_mac_parse(p->mac, mac);
  pt_rules_port_add(text, &(PtRulesPort){ link, p->address, p->address6, p->mac });
  return (pt_dns_alive(dir) || pt_bridge_dns_up(net, s, error)) &&
         pt_dns_add(&dns, id, host, p->card != NULL, p->address, p->address6, p->mac, error) &&
         pt_rules_run(s->ns, text->str, error) && pt_nl_link_del(s->nl, link, error) && pt_nl_link_del(s->nl, detour, error) &&
         pt_nl_veth_add(s->nl, link, PT_RULES_BRIDGE, guest, card, port->tap ? NULL : mac, error) &&
         ((port->rate_in == 0 && port->rate_out == 0) || hold_back(s, port, error)) &&
         (port->tap ? furnish_tap(s, port, link, guest, error) : furnish(s, p, link, guest, error)) &&
         publish_rules(s, NULL, p, error);
}

bool
pt_bridge_port_up(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, pid_t pid, GError **error)
{
  g_autoptr(PtNetPortRecord) p = pt_net_port_record_new(s->what, port, error);
  g_autofree char *file = port_file(s, port->id);

  /* Who may have which published port is settled first: a refusal leaves nothing to undo. */
  if (!p || !pt_bridge_port_down(net, s, port->id, error) ||
      !pt_uplink_publish(net->uplink, s->id, port->id, port->name, port->publish, port->n_publish, false, error))
    return false;
  if (!pt_net_port_record_save(p, file, error)) {
    pt_uplink_publish(net->uplink, s->id, port->id, port->name, NULL, 0, false, NULL);
    return false;
  }
  int guest = pt_netns_of(pid, error);
  PtNetPortRecord *kept = p;
  g_hash_table_insert(s->ports, g_strdup(port->id), g_steal_pointer(&p));
  bool ok = guest >= 0 && plug(net, s, port, kept, guest, error);
  if (ok && port->card) { /* who comes after us will want to know */
    kept->whole = true;
    ok = pt_net_port_record_save(kept, file, error);
    note_card(net, s, port->id, kept);
  }
  if (guest >= 0)
    close(guest);
  if (!ok)
    pt_bridge_port_down(net, s, port->id, NULL);
  return ok;
}

bool
pt_bridge_port_publish(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, GError **error)
{
  const PtNetPortRecord *before = g_hash_table_lookup(s->ports, port->id);
  g_autoptr(PtNetPortRecord) after = before ? pt_net_port_record_new(s->what, port, error) : NULL;
  g_autofree char *file = port_file(s, port->id);

  if (!before) {
    PT_SET(error, PT_ERR_NOT_FOUND, "its port is not up");
    return false;
  }
  if (!after || !pt_uplink_publish(net->uplink, s->id, port->id, port->name, port->publish, port->n_publish, false, error) ||
      !publish_rules(s, before, after, error) || !pt_net_port_record_save(after, file, error))
    return false;
  g_hash_table_replace(s->ports, g_strdup(port->id), g_steal_pointer(&after));
  return true;
}

bool
pt_bridge_port_rate(PtNet *net, PtBridgeSpace *s, const PtNetPort *port, GError **error)
{
  (void)net;
  if (g_hash_table_contains(s->ports, port->id))
    return hold_back(s, port, error);
  PT_SET(error, PT_ERR_NOT_FOUND, "its port is not up");
  return false;
}

bool
pt_bridge_ports_adopt(PtNet *net, PtBridgeSpace *s, GError **error)
{
  g_autofree char *dir = g_build_filename(s->dir, "ports", NULL);
  g_autoptr(GDir) d = g_dir_open(dir, 0, error);
  const char *id;

  while (d && (id = g_dir_read_name(d))) {
    g_autofree char *file = port_file(s, id);
    PtNetPortRecord *p = *id == '.' ? NULL : pt_net_port_record_load(file);
    if (!p) { /* was being written */
      unlink(file);
      continue;
    }
    g_hash_table_insert(s->ports, g_strdup(id), p);
    note_card(net, s, id, p);
    /* Without a way in any more, it goes on without published ports; its owner is told at its next start. */
    const PtNetPublish *publish = (const PtNetPublish *)(const void *)p->publish->data;
    if (!pt_uplink_publish(net->uplink, s->id, id, p->name, publish, p->publish->len, true, NULL) && publish_rules(s, p, NULL, NULL))
      g_array_set_size(p->publish, 0);
  }
  return d != NULL;
}

bool
pt_bridge_port_stats(PtBridgeSpace *s, const char *id, guint64 *ret_rx, guint64 *ret_tx, GError **error)
{
  char link[16];

  if (!g_hash_table_contains(s->ports, id)) {
    PT_SET(error, PT_ERR_NOT_FOUND, "network of instance %s: its port is not up", id);
    return false;
  }
  pt_net_link_name(id, link);
  return pt_nl_link_stats(s->nl, link, ret_tx, ret_rx, error); /* what the bridge's end receives is what the guest sends */
}
