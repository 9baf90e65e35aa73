// SPDX-License-Identifier: Apache-2.0
/* The network driver: spaces and their ports.
 *
 * Theory of operation. What is up is known from RUN/net/<space>/ and the kernel; memory only saves asking again.
 *   ns           the namespace, bound
 *   space.json   what the space is; written last, so a directory without it was not finished and is swept away
 *   ports/<id>   what an instance's port is; written before the port is made, so that whatever there is can be undone
 *   dns/         dnsmasq's
 * After a restart in the same mount namespace all of it is found and adopted. After one in a fresh mount
 * namespace nothing is bound at ns any more: then a dnsmasq may still hold the old namespace alive; it is
 * ended, the directory removed, and the space comes up anew when it is asked for.
 *
 * A port's interfaces need no record: the bridge's end is named after the instance, the other is in the guest's namespace,
 * and either takes the other with it when it goes. How fast it may send is held by an ifb beside it, named after the instance too. */
#include "drivers/network/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "drivers/network/dns.h"
#include "drivers/network/netns.h"
#include "drivers/network/rules.h"
#include "sys/path.h"

/* ---- the table of spaces ---- */

static void
space_free(PtBridgeSpace *s)
{
  pt_nl_close(s->nl);
  if (s->ns >= 0)
    close(s->ns);
  pt_net_record_free(s->what);
  g_hash_table_unref(s->ports);
  g_free(s->id);
  g_free(s->dir);
  g_mutex_clear(&s->lock);
  g_free(s);
}

/* The space `id`, locked; made (not up) if it was not known. NULL where the id is none. */
static PtBridgeSpace *
take(PtNet *net, const char *id, GError **error)
{
  gsize n = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-");

  if (n == 0 || n > 64 || id[n] != '\0') {
    PT_SET(error, PT_ERR_INVALID, "space: '%s' is no id", id);
    return NULL;
  }
  g_mutex_lock(&net->lock);
  PtBridgeSpace *s = g_hash_table_lookup(net->spaces, id);
  if (!s) {
    s = g_new0(PtBridgeSpace, 1);
    g_mutex_init(&s->lock);
    s->id = g_strdup(id);
    s->dir = g_build_filename(net->dir, id, NULL);
    s->ns = -1;
    s->ports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)pt_net_port_record_free);
    g_hash_table_insert(net->spaces, s->id, s);
  }
  g_mutex_unlock(&net->lock);
  g_mutex_lock(&s->lock);
  return s;
}

static PtBridgeSpace *
take_up(PtNet *net, const char *id, GError **error)
{
  PtBridgeSpace *s = take(net, id, error);

  if (!s || s->up)
    return s;
  g_mutex_unlock(&s->lock);
  PT_SET(error, PT_ERR_NOT_FOUND, "network of space %s: is not up on this node", id);
  return NULL;
}

/* ---- a space comes ---- */

bool
pt_bridge_dns_up(PtNet *net, PtBridgeSpace *s, GError **error)
{
  g_autofree char *dir = g_build_filename(s->dir, "dns", NULL);
  g_autofree char *upstream = pt_uplink_resolver(net->uplink, s->id);
  const PtNetRecord *r = s->what;
  PtDns dns = { .dir = dir, .ns = s->ns, .link = PT_RULES_BRIDGE, .domain = r->domain, .gateway = r->gateway,
                .network = r->network, .netmask = r->netmask, .upstream = upstream };

  return pt_dns_up(&dns, error);
}

static bool
sysctls(int ns, GError **error)
{
  /* Bridged frames are the bridge family's business. The files exist only with br_netfilter loaded. */
  static const struct {
    const char *path, *value;
  } set[] = {
    { "bridge/bridge-nf-call-iptables", "0" },
    { "bridge/bridge-nf-call-ip6tables", "0" },
    { "bridge/bridge-nf-call-arptables", "0" },
    { "ipv4/ip_forward", "1" }, /* of this namespace alone */
    { "ipv4/conf/all/send_redirects", "0" },
    { "ipv4/conf/default/send_redirects", "0" },
    { "ipv6/conf/all/accept_ra", "0" },
    { "ipv6/conf/default/accept_ra", "0" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(set); i++) {
    if (!pt_netns_sysctl(ns, set[i].path, set[i].value, error))
      return false;
  }
  return true;
}

/* The gateway's MAC follows from the space's id, so that it is the same on every node and after every restart. */
static void
gateway_mac(const char *id, guint8 ret[6])
{
  g_autofree char *hex = pt_sha256_hex(id, strlen(id));
  guint b[4] = { 0 };

  (void)sscanf(hex, "%2x%2x%2x%2x", &b[0], &b[1], &b[2], &b[3]);
  ret[0] = 0x02;
  ret[1] = 0x50;
  for (guint i = 0; i < 4; i++)
    ret[2 + i] = (guint8)b[i];
}

static bool
make_bridge(PtBridgeSpace *s, GError **error)
{
  const PtNetRecord *r = s->what;
  guint8 mac[6];

  gateway_mac(s->id, mac);
  return sysctls(s->ns, error) && pt_rules_run(s->ns, pt_rules_space(), error) && pt_nl_link_up(s->nl, "lo", error) &&
         pt_nl_bridge_add(s->nl, PT_RULES_BRIDGE, mac, error) &&
         pt_nl_addr_add(s->nl, PT_RULES_BRIDGE, r->gateway, r->length, error) &&
         (!r->gateway6 || pt_nl_addr_add(s->nl, PT_RULES_BRIDGE, r->gateway6, 64, error));
}

static bool
make_dirs(PtBridgeSpace *s, GError **error)
{
  static const char *const below[] = { "", "ports" };

  for (guint i = 0; i < G_N_ELEMENTS(below); i++) {
    g_autofree char *dir = g_build_filename(s->dir, below[i], NULL);
    if (g_mkdir_with_parents(dir, 0711) < 0 || chmod(dir, 0711) < 0) {
      pt_error_errno(error, errno, "%s", dir);
      return false;
    }
  }
  return true;
}

static bool
tear_down(PtNet *net, PtBridgeSpace *s, GError **error)
{
  g_autofree char *dns = g_build_filename(s->dir, "dns", NULL);
  g_autofree char *ns = g_build_filename(s->dir, "ns", NULL);
  g_autofree char *base = g_path_get_basename(s->dir);

  s->up = false;
  bool ok = pt_dns_down(dns, error) && pt_uplink_leave(net->uplink, s->id, error);
  g_clear_pointer(&s->nl, pt_nl_close);
  pt_rules_forget(s->ns);
  if (s->ns >= 0)
    close(s->ns);
  s->ns = -1;
  pt_bridge_cards_forget(net, s->id);
  g_hash_table_remove_all(s->ports);
  g_clear_pointer(&s->what, pt_net_record_free);
  if (!ok)
    return false;
  while (umount2(ns, MNT_DETACH) == 0)
    ;
  int root = g_open(net->dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (root < 0)
    return errno == ENOENT;
  ok = pt_path_remove(root, base, true, error);
  close(root);
  return ok;
}

static bool
bring_up(PtNet *net, PtBridgeSpace *s, const PtNetSpace *space, GError **error)
{
  g_autofree char *ns = g_build_filename(s->dir, "ns", NULL);
  g_autofree char *file = g_build_filename(s->dir, "space.json", NULL);

  s->what = pt_net_record_new(space, error);
  if (!s->what || !make_dirs(s, error))
    return false;
  s->ns = pt_netns_create(ns, error);
  s->nl = s->ns < 0 ? NULL : pt_nl_open(s->ns, error);
  return s->nl && make_bridge(s, error) && pt_uplink_join(net->uplink, s->id, s->ns, s->nl, error) && pt_bridge_dns_up(net, s, error) &&
         pt_net_record_save(s->what, file, error);
}

static bool
space_up(PtNet *net, const PtNetSpace *space, GError **error)
{
  PtBridgeSpace *s = take(net, space->id, error);
  bool ok;

  if (!s)
    return false;
  if (s->up) {
    ok = pt_net_record_matches(s->what, space, error) && pt_uplink_join(net->uplink, s->id, s->ns, s->nl, error) &&
         pt_bridge_dns_up(net, s, error);
  } else {
    ok = tear_down(net, s, error) && bring_up(net, s, space, error);
    s->up = ok;
    if (!ok)
      tear_down(net, s, NULL);
  }
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of space '%s': ", space->name);
  return ok;
}

static bool
space_down(PtNet *net, const char *id, GError **error)
{
  PtBridgeSpace *s = take(net, id, error);

  if (!s)
    return false;
  bool ok = tear_down(net, s, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of space %s: ", id);
  return ok;
}

static GPtrArray *
spaces(PtNet *net, GError **error)
{
  GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);

  (void)error;
  g_mutex_lock(&net->lock);
  g_autoptr(GList) all = g_hash_table_get_values(net->spaces);
  g_mutex_unlock(&net->lock);
  for (GList *l = all; l; l = l->next) {
    PtBridgeSpace *s = l->data;
    g_mutex_lock(&s->lock);
    if (s->up)
      g_ptr_array_add(ids, g_strdup(s->id));
    g_mutex_unlock(&s->lock);
  }
  return ids;
}

/* ---- ports: ports.c does it, with the space locked ---- */

static bool
port_up(PtNet *net, const char *space, const PtNetPort *port, pid_t pid, GError **error)
{
  PtBridgeSpace *s = take_up(net, space, error);

  if (!s)
    return false;
  bool ok = pt_bridge_port_up(net, s, port, pid, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of instance '%s': ", port->name);
  return ok;
}

static bool
port_publish(PtNet *net, const char *space, const PtNetPort *port, GError **error)
{
  PtBridgeSpace *s = take_up(net, space, error);

  if (!s)
    return false;
  bool ok = pt_bridge_port_publish(net, s, port, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of instance '%s': ", port->name);
  return ok;
}

static bool
port_rate(PtNet *net, const char *space, const PtNetPort *port, GError **error)
{
  PtBridgeSpace *s = take_up(net, space, error);

  if (!s)
    return false;
  bool ok = pt_bridge_port_rate(net, s, port, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of instance '%s': ", port->name);
  return ok;
}

static bool
port_down(PtNet *net, const char *space, const char *instance, GError **error)
{
  PtBridgeSpace *s = take(net, space, error);

  if (!s)
    return false;
  bool ok = !s->up || pt_bridge_port_down(net, s, instance, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of instance %s: ", instance);
  return ok;
}

static bool
card_down(PtNet *net, const char *space, const PtNetPort *port, pid_t pid, GError **error)
{
  PtBridgeSpace *s = take(net, space, error);

  if (!s)
    return false;
  bool ok = !s->up || pt_bridge_card_down(net, s, port, pid, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network card %s: ", port->card);
  return ok;
}

static bool
port_stats(PtNet *net, const char *space, const char *instance, guint64 *ret_rx, guint64 *ret_tx, GError **error)
{
  PtBridgeSpace *s = take_up(net, space, error);

  if (!s)
    return false;
  bool ok = pt_bridge_port_stats(s, instance, ret_rx, ret_tx, error);
  g_mutex_unlock(&s->lock);
  return ok;
}

/* ---- start ---- */

/* A space that a predecessor had up, or what is left of one. */
static void
adopt(PtNet *net, const char *id)
{
  g_autofree char *ns = NULL, *file = NULL;
  PtBridgeSpace *s = take(net, id, NULL);

  if (!s)
    return;
  ns = g_build_filename(s->dir, "ns", NULL);
  file = g_build_filename(s->dir, "space.json", NULL);
  s->what = pt_net_record_load(file);
  s->ns = s->what ? pt_netns_open(ns, NULL) : -1;
  s->nl = s->ns < 0 ? NULL : pt_nl_open(s->ns, NULL);
  /* An uplink that fails is no reason to cut instances that run off from each other: the next space_up() tries again. */
  if (s->nl)
    pt_uplink_join(net->uplink, s->id, s->ns, s->nl, NULL);
  s->up = s->nl && pt_nl_link_exists(s->nl, PT_RULES_BRIDGE) && pt_bridge_ports_adopt(net, s, NULL);
  if (!s->up)
    tear_down(net, s, NULL);
  g_mutex_unlock(&s->lock);
}

static void
net_close(PtNet *net)
{
  if (!net)
    return;
  g_thread_pool_free(net->reaper, FALSE, TRUE);
  pt_uplink_close(net->uplink);
  g_hash_table_unref(net->spaces);
  g_hash_table_unref(net->cards);
  g_mutex_clear(&net->lock);
  g_free(net->dir);
  g_free(net);
}

static PtNet *
net_open(const PtHost *host, GError **error)
{
  PtNet *net = g_new0(PtNet, 1);
  g_autoptr(GDir) d = NULL;
  const char *id;

  g_mutex_init(&net->lock);
  net->dir = g_build_filename(host->run, "net", NULL);
  net->reaper = g_thread_pool_new(pt_bridge_reap, NULL, 1, FALSE, NULL);
  net->spaces = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)space_free);
  net->cards = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)pt_net_card_free);
  if (g_mkdir_with_parents(net->dir, 0711) < 0 || chmod(net->dir, 0711) < 0)
    pt_error_errno(error, errno, "%s", net->dir);
  else if ((net->uplink = pt_uplink_open(host, error)) && (d = g_dir_open(net->dir, 0, error))) {
    while ((id = g_dir_read_name(d)))
      adopt(net, id);
    if (pt_uplink_settle(net->uplink, error))
      return net;
  }
  net_close(net);
  return NULL;
}

static const char *
uplink(PtNet *net)
{
  return pt_uplink_text(net->uplink);
}

const PtNetDriver pt_net_bridge = {
  .name = "bridge",
  .open = net_open,
  .close = net_close,
  .space_up = space_up,
  .space_down = space_down,
  .spaces = spaces,
  .port_up = port_up,
  .port_publish = port_publish,
  .port_rate = port_rate,
  .port_down = port_down,
  .card_down = card_down,
  .cards = pt_bridge_cards,
  .port_stats = port_stats,
  .uplink = uplink,
};
