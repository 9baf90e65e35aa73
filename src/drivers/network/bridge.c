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
 * and either takes the other with it when it goes. */
#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "base/text.h"
#include "drivers/network/dns.h"
#include "drivers/network/netlink.h"
#include "drivers/network/netns.h"
#include "drivers/network/network.h"
#include "drivers/network/record.h"
#include "drivers/network/rules.h"
#include "drivers/network/uplink.h"
#include "sys/path.h"

typedef struct Space {
  GMutex lock;
  char *id, *dir;
  bool up;
  int ns;
  PtNl *nl;          /* a socket in ns */
  PtNetRecord *what; /* NULL unless up */
  GHashTable *ports; /* instance id → PtNetPortRecord */
} Space;

struct PtNet {
  char *dir;          /* RUN/net */
  PtUplink *uplink;
  GMutex lock;        /* of the table; a Space lives as long as PtNet */
  GHashTable *spaces; /* id → Space */
};

/* ---- the table of spaces ---- */

static void
space_free(Space *s)
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
static Space *
take(PtNet *net, const char *id, GError **error)
{
  gsize n = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-");

  if (n == 0 || n > 64 || id[n] != '\0') {
    PT_SET(error, PT_ERR_INVALID, "space: '%s' is no id", id);
    return NULL;
  }
  g_mutex_lock(&net->lock);
  Space *s = g_hash_table_lookup(net->spaces, id);
  if (!s) {
    s = g_new0(Space, 1);
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

static Space *
take_up(PtNet *net, const char *id, GError **error)
{
  Space *s = take(net, id, error);

  if (!s || s->up)
    return s;
  g_mutex_unlock(&s->lock);
  PT_SET(error, PT_ERR_NOT_FOUND, "network of space %s: is not up on this node", id);
  return NULL;
}

/* ---- a space comes ---- */

static bool
dns_up(PtNet *net, Space *s, GError **error)
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
make_bridge(Space *s, GError **error)
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
make_dirs(Space *s, GError **error)
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
tear_down(PtNet *net, Space *s, GError **error)
{
  g_autofree char *dns = g_build_filename(s->dir, "dns", NULL);
  g_autofree char *ns = g_build_filename(s->dir, "ns", NULL);
  g_autofree char *base = g_path_get_basename(s->dir);

  s->up = false;
  bool ok = pt_dns_down(dns, error) && pt_uplink_leave(net->uplink, s->id, error);
  g_clear_pointer(&s->nl, pt_nl_close);
  if (s->ns >= 0)
    close(s->ns);
  s->ns = -1;
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
bring_up(PtNet *net, Space *s, const PtNetSpace *space, GError **error)
{
  g_autofree char *ns = g_build_filename(s->dir, "ns", NULL);
  g_autofree char *file = g_build_filename(s->dir, "space.json", NULL);

  s->what = pt_net_record_new(space, error);
  if (!s->what || !make_dirs(s, error))
    return false;
  s->ns = pt_netns_create(ns, error);
  s->nl = s->ns < 0 ? NULL : pt_nl_open(s->ns, error);
  return s->nl && make_bridge(s, error) && pt_uplink_join(net->uplink, s->id, s->ns, s->nl, error) && dns_up(net, s, error) &&
         pt_net_record_save(s->what, file, error);
}

static bool
space_up(PtNet *net, const PtNetSpace *space, GError **error)
{
  g_autoptr(GError) err = NULL;
  Space *s = take(net, space->id, error);
  bool ok;

  if (!s)
    return false;
  if (s->up) {
    ok = pt_net_record_matches(s->what, space, error) && pt_uplink_join(net->uplink, s->id, s->ns, s->nl, error) && dns_up(net, s, error);
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
  Space *s = take(net, id, error);

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
    Space *s = l->data;
    g_mutex_lock(&s->lock);
    if (s->up)
      g_ptr_array_add(ids, g_strdup(s->id));
    g_mutex_unlock(&s->lock);
  }
  return ids;
}

/* ---- a port comes and goes ---- */

static bool
publish_rules(Space *s, const PtNetPortRecord *before, const PtNetPortRecord *after, GError **error)
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
port_file(Space *s, const char *id)
{
  return g_build_filename(s->dir, "ports", id, NULL);
}

/* Removes every trace; absent is success. */
static bool
unplug(PtNet *net, Space *s, const char *id, GError **error)
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
      !pt_nl_link_del(s->nl, link, error) || !pt_rules_run(s->ns, text->str, error) || !pt_dns_remove(&dns, id, error))
    return false;
  if (unlink(file) < 0 && errno != ENOENT) {
    pt_error_errno(error, errno, "%s", file);
    return false;
  }
  g_hash_table_remove(s->ports, id);
  return true;
}

/* From outside, while the guest's first instruction has not run. */
static bool
furnish(Space *s, const PtNetPortRecord *p, const char *link, int guest, GError **error)
{
  const PtNetRecord *r = s->what;
  g_autoptr(PtNl) nl = pt_nl_open(guest, error);

  if (!nl || !pt_nl_link_up(nl, "lo", error) || !pt_nl_link_up(nl, "eth0", error) ||
      !pt_nl_addr_add(nl, "eth0", p->address, r->length, error) || !pt_nl_route_default(nl, "eth0", r->gateway, error))
    return false;
  if (p->address6 && r->gateway6 &&
      (!pt_nl_addr_add(nl, "eth0", p->address6, 64, error) || !pt_nl_route_default(nl, "eth0", r->gateway6, error)))
    return false;
  pt_nl_link_wait(s->nl, link);
  pt_nl_link_wait(s->nl, PT_RULES_BRIDGE);
  pt_nl_link_wait(nl, "eth0");
  return true;
}

static bool
plug(PtNet *net, Space *s, const char *id, const PtNetPortRecord *p, int guest, GError **error)
{
  g_autofree char *dir = g_build_filename(s->dir, "dns", NULL);
  g_autoptr(GString) text = g_string_new(NULL);
  PtDns dns = { .dir = dir, .domain = s->what->domain };
  char link[16];
  guint8 mac[6];

  pt_net_link_name(id, link);
  pt_net_mac_parse(p->mac, mac);
  pt_rules_port_add(text, &(PtRulesPort){ link, p->address, p->address6, p->mac });
  return dns_up(net, s, error) && pt_dns_add(&dns, id, p->name, p->address, p->address6, p->mac, error) &&
         pt_rules_run(s->ns, text->str, error) && pt_nl_link_del(s->nl, link, error) &&
         pt_nl_veth_add(s->nl, link, PT_RULES_BRIDGE, guest, "eth0", mac, error) && furnish(s, p, link, guest, error) &&
         publish_rules(s, NULL, p, error);
}

static bool
port_up_locked(PtNet *net, Space *s, const PtNetPort *port, pid_t pid, GError **error)
{
  g_autoptr(PtNetPortRecord) p = pt_net_port_record_new(s->what, port, error);
  g_autofree char *file = port_file(s, port->id);

  /* Who may have which published port is settled first: a refusal leaves nothing to undo. */
  if (!p || !unplug(net, s, port->id, error) ||
      !pt_uplink_publish(net->uplink, s->id, port->id, port->name, port->publish, port->n_publish, false, error))
    return false;
  if (!pt_net_port_record_save(p, file, error)) {
    pt_uplink_publish(net->uplink, s->id, port->id, port->name, NULL, 0, false, NULL);
    return false;
  }
  int guest = pt_netns_of(pid, error);
  const PtNetPortRecord *kept = p;
  g_hash_table_insert(s->ports, g_strdup(port->id), g_steal_pointer(&p));
  bool ok = guest >= 0 && plug(net, s, port->id, kept, guest, error);
  if (guest >= 0)
    close(guest);
  if (!ok)
    unplug(net, s, port->id, NULL);
  return ok;
}

static bool
port_up(PtNet *net, const char *space, const PtNetPort *port, pid_t pid, GError **error)
{
  Space *s = take_up(net, space, error);

  if (!s)
    return false;
  bool ok = port_up_locked(net, s, port, pid, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of instance '%s': ", port->name);
  return ok;
}

static bool
port_publish_locked(PtNet *net, Space *s, const PtNetPort *port, GError **error)
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

static bool
port_publish(PtNet *net, const char *space, const PtNetPort *port, GError **error)
{
  Space *s = take_up(net, space, error);

  if (!s)
    return false;
  bool ok = port_publish_locked(net, s, port, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of instance '%s': ", port->name);
  return ok;
}

static bool
port_down(PtNet *net, const char *space, const char *instance, GError **error)
{
  Space *s = take(net, space, error);

  if (!s)
    return false;
  bool ok = !s->up || unplug(net, s, instance, error);
  g_mutex_unlock(&s->lock);
  if (!ok)
    g_prefix_error(error, "network of instance %s: ", instance);
  return ok;
}

static bool
port_stats(PtNet *net, const char *space, const char *instance, guint64 *ret_rx, guint64 *ret_tx, GError **error)
{
  Space *s = take_up(net, space, error);
  char link[16];

  if (!s)
    return false;
  pt_net_link_name(instance, link);
  /* What the bridge's end receives is what the guest sends. */
  bool ok = pt_nl_link_stats(s->nl, link, ret_tx, ret_rx, error);
  g_mutex_unlock(&s->lock);
  return ok;
}

/* ---- start ---- */

static bool
adopt_ports(PtNet *net, Space *s, GError **error)
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
    /* Without a way in any more, it goes on without published ports; its owner is told at its next start. */
    const PtNetPublish *publish = (const PtNetPublish *)(const void *)p->publish->data;
    if (!pt_uplink_publish(net->uplink, s->id, id, p->name, publish, p->publish->len, true, NULL) && publish_rules(s, p, NULL, NULL))
      g_array_set_size(p->publish, 0);
  }
  return d != NULL;
}

/* A space that a predecessor had up, or what is left of one. */
static void
adopt(PtNet *net, const char *id)
{
  g_autofree char *ns = NULL, *file = NULL;
  Space *s = take(net, id, NULL);

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
  s->up = s->nl && pt_nl_link_exists(s->nl, PT_RULES_BRIDGE) && adopt_ports(net, s, NULL);
  if (!s->up)
    tear_down(net, s, NULL);
  g_mutex_unlock(&s->lock);
}

static void
net_close(PtNet *net)
{
  if (!net)
    return;
  pt_uplink_close(net->uplink);
  g_hash_table_unref(net->spaces);
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
  net->spaces = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)space_free);
  if (g_mkdir_with_parents(net->dir, 0711) < 0 || chmod(net->dir, 0711) < 0)
    pt_error_errno(error, errno, "%s", net->dir);
  else if ((net->uplink = pt_uplink_open(host, error)) && (d = g_dir_open(net->dir, 0, error))) {
    while ((id = g_dir_read_name(d)))
      adopt(net, id);
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
  .port_down = port_down,
  .port_stats = port_stats,
  .uplink = uplink,
};
