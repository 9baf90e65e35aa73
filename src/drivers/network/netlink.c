// SPDX-License-Identifier: Apache-2.0
#include "drivers/network/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "drivers/network/netlink_impl.h"
#include "drivers/network/netns.h"

#define OPER_UP 6    /* IF_OPER_UP of linux/if.h, which does not go with net/if.h */

/* libmnl's own loop narrows a long without a cast. */
#define FOR_EACH_ATTR(attr, msg, offset)                                                                              \
  for ((attr) = mnl_nlmsg_get_payload_offset((msg), (offset));                                                        \
       mnl_attr_ok((attr), (int)((const char *)mnl_nlmsg_get_payload_tail(msg) - (const char *)(attr)));              \
       (attr) = mnl_attr_next(attr))

PtNl *
pt_nl_open(int ns, GError **error)
{
  int back = ns < 0 ? -1 : pt_netns_enter(ns, error);

  if (ns >= 0 && back < 0)
    return NULL;
  struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  int err = errno;
  if (back >= 0)
    pt_netns_leave(back);
  if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
    pt_error_errno(error, socket ? errno : err, "netlink");
    if (socket)
      mnl_socket_close(socket);
    return NULL;
  }
  PtNl *nl = g_new0(PtNl, 1);
  nl->socket = socket;
  return nl;
}

void
pt_nl_close(PtNl *nl)
{
  if (!nl)
    return;
  mnl_socket_close(nl->socket);
  g_free(nl);
}

struct nlmsghdr *
pt_nl_begin(PtNl *nl, guint16 type, guint16 flags)
{
  struct nlmsghdr *msg = mnl_nlmsg_put_header(nl->buf.bytes);

  msg->nlmsg_type = type;
  msg->nlmsg_flags = NLM_F_REQUEST | flags;
  msg->nlmsg_seq = ++nl->seq;
  return msg;
}

int
pt_nl_talk(PtNl *nl, const struct nlmsghdr *msg, mnl_cb_t each, void *data)
{
  guint port = mnl_socket_get_portid(nl->socket);
  int more = 1;

  if (mnl_socket_sendto(nl->socket, msg, msg->nlmsg_len) < 0)
    return errno;
  while (more > 0) {
    ssize_t n = mnl_socket_recvfrom(nl->socket, nl->buf.bytes, sizeof nl->buf.bytes);
    if (n < 0)
      return errno;
    more = mnl_cb_run(nl->buf.bytes, (size_t)n, nl->seq, port, each, data);
    if (more < 0)
      return errno;
  }
  return 0;
}

bool
pt_nl_done(int err, GError **error, const char *what, const char *name)
{
  if (err == 0)
    return true;
  pt_error_errno(error, err, "%s: %s", name, what);
  return false;
}

/* ---- links ---- */

static struct nlmsghdr *
begin_link(PtNl *nl, guint16 type, guint16 flags, const char *name, bool up)
{
  struct nlmsghdr *msg = pt_nl_begin(nl, type, flags | NLM_F_ACK);
  struct ifinfomsg *info = mnl_nlmsg_put_extra_header(msg, sizeof *info);

  info->ifi_family = AF_UNSPEC;
  info->ifi_flags = up ? IFF_UP : 0;
  info->ifi_change = up ? IFF_UP : 0;
  mnl_attr_put_strz(msg, IFLA_IFNAME, name);
  return msg;
}

typedef struct Link {
  guint32 index;
  guint8 state;
  struct rtnl_link_stats64 stats;
} Link;

static int
on_link(const struct nlmsghdr *msg, void *data)
{
  const struct ifinfomsg *info = mnl_nlmsg_get_payload(msg);
  const struct nlattr *attr;
  Link *link = data;

  link->index = (guint32)info->ifi_index;
  FOR_EACH_ATTR(attr, msg, sizeof *info) {
    if (mnl_attr_get_type(attr) == IFLA_STATS64)
      memcpy(&link->stats, mnl_attr_get_payload(attr), MIN(sizeof link->stats, mnl_attr_get_payload_len(attr)));
    else if (mnl_attr_get_type(attr) == IFLA_OPERSTATE)
      link->state = mnl_attr_get_u8(attr);
  }
  return MNL_CB_OK;
}

static int
get_link(PtNl *nl, const char *name, Link *ret)
{
  *ret = (Link){ 0 };
  return pt_nl_talk(nl, begin_link(nl, RTM_GETLINK, 0, name, false), on_link, ret);
}

bool
pt_nl_link_exists(PtNl *nl, const char *name)
{
  Link link;

  return get_link(nl, name, &link) == 0;
}

void
pt_nl_link_wait(PtNl *nl, const char *name)
{
  Link link;

  for (guint i = 0; i < 100 && get_link(nl, name, &link) == 0 && link.state != OPER_UP; i++)
    g_usleep(1000);
}

bool
pt_nl_link_stats(PtNl *nl, const char *name, guint64 *ret_rx, guint64 *ret_tx, GError **error)
{
  Link link;
  int err = get_link(nl, name, &link);

  if (!pt_nl_done(err == ENODEV ? ENOENT : err, error, "statistics", name))
    return false;
  *ret_rx = link.stats.rx_bytes;
  *ret_tx = link.stats.tx_bytes;
  return true;
}

bool
pt_nl_bridge_add(PtNl *nl, const char *name, const guint8 mac[6], GError **error)
{
  struct nlmsghdr *msg = begin_link(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, name, true);

  mnl_attr_put(msg, IFLA_ADDRESS, 6, mac);
  struct nlattr *info = mnl_attr_nest_start(msg, IFLA_LINKINFO);
  mnl_attr_put_strz(msg, IFLA_INFO_KIND, "bridge");
  struct nlattr *bridge = mnl_attr_nest_start(msg, IFLA_INFO_DATA);
  mnl_attr_put_u32(msg, IFLA_BR_FORWARD_DELAY, 0);
  /* Snooping needs a querier, and without one would lose neighbour discovery. */
  mnl_attr_put_u8(msg, IFLA_BR_MCAST_SNOOPING, 0);
  mnl_attr_nest_end(msg, bridge);
  mnl_attr_nest_end(msg, info);
  return pt_nl_done(pt_nl_talk(nl, msg, NULL, NULL), error, "adding the bridge", name);
}

bool
pt_nl_veth_add(PtNl *nl, const char *name, const char *master, int ns, const char *peer, const guint8 *peer_mac, GError **error)
{
  Link bridge = { 0 };

  if (master && !pt_nl_done(get_link(nl, master, &bridge), error, "looking for the bridge", master))
    return false;
  struct nlmsghdr *msg = begin_link(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, name, true);
  if (master)
    mnl_attr_put_u32(msg, IFLA_MASTER, bridge.index);
  struct nlattr *info = mnl_attr_nest_start(msg, IFLA_LINKINFO);
  mnl_attr_put_strz(msg, IFLA_INFO_KIND, "veth");
  struct nlattr *veth = mnl_attr_nest_start(msg, IFLA_INFO_DATA);
  struct nlattr *other = mnl_attr_nest_start(msg, VETH_INFO_PEER);
  struct ifinfomsg *link = mnl_nlmsg_put_extra_header(msg, sizeof *link);
  link->ifi_family = AF_UNSPEC; /* down: the kernel configures it before it knows its other end */
  mnl_attr_put_strz(msg, IFLA_IFNAME, peer);
  mnl_attr_put_u32(msg, IFLA_NET_NS_FD, (guint32)ns);
  if (peer_mac)
    mnl_attr_put(msg, IFLA_ADDRESS, 6, peer_mac);
  mnl_attr_nest_end(msg, other);
  mnl_attr_nest_end(msg, veth);
  mnl_attr_nest_end(msg, info);
  return pt_nl_done(pt_nl_talk(nl, msg, NULL, NULL), error, "adding the link", name);
}

bool
pt_nl_ifb_add(PtNl *nl, const char *name, GError **error)
{
  struct nlmsghdr *msg = begin_link(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, name, true);
  struct nlattr *info = mnl_attr_nest_start(msg, IFLA_LINKINFO);

  mnl_attr_put_strz(msg, IFLA_INFO_KIND, "ifb");
  mnl_attr_nest_end(msg, info);
  int err = pt_nl_talk(nl, msg, NULL, NULL);
  return pt_nl_done(err == EEXIST ? 0 : err, error, "adding the link", name);
}

int
pt_nl_index(PtNl *nl, const char *name, guint32 *ret)
{
  Link link;
  int err = get_link(nl, name, &link);

  *ret = link.index;
  return err;
}

bool
pt_nl_master_set(PtNl *nl, const char *name, const char *master, GError **error)
{
  Link bridge = { 0 };

  if (!pt_nl_done(get_link(nl, master, &bridge), error, "looking for the bridge", master))
    return false;
  struct nlmsghdr *msg = begin_link(nl, RTM_NEWLINK, 0, name, false);
  mnl_attr_put_u32(msg, IFLA_MASTER, bridge.index);
  return pt_nl_done(pt_nl_talk(nl, msg, NULL, NULL), error, "joining the bridge", name);
}

bool
pt_nl_link_up(PtNl *nl, const char *name, GError **error)
{
  return pt_nl_done(pt_nl_talk(nl, begin_link(nl, RTM_NEWLINK, 0, name, true), NULL, NULL), error, "setting it up", name);
}

bool
pt_nl_link_del(PtNl *nl, const char *name, GError **error)
{
  int err = pt_nl_talk(nl, begin_link(nl, RTM_DELLINK, 0, name, false), NULL, NULL);

  return pt_nl_done(err == ENODEV ? 0 : err, error, "removing the link", name);
}

bool
pt_nl_group_set(PtNl *nl, const char *name, guint32 group, GError **error)
{
  struct nlmsghdr *msg = begin_link(nl, RTM_NEWLINK, 0, name, false);

  mnl_attr_put_u32(msg, IFLA_GROUP, group);
  int err = pt_nl_talk(nl, msg, NULL, NULL);
  return pt_nl_done(err == ENODEV ? 0 : err, error, "marking the link", name);
}

bool
pt_nl_group_del(PtNl *nl, guint32 group, GError **error)
{
  struct nlmsghdr *msg = pt_nl_begin(nl, RTM_DELLINK, NLM_F_ACK);
  struct ifinfomsg *info = mnl_nlmsg_put_extra_header(msg, sizeof *info);

  info->ifi_family = AF_UNSPEC;
  mnl_attr_put_u32(msg, IFLA_GROUP, group);
  int err = pt_nl_talk(nl, msg, NULL, NULL);
  return pt_nl_done(err == ENODEV ? 0 : err, error, "removing links", "ports");
}

/* ---- addresses and routes ---- */

/* Bytes of an address in network order; their number, 0 where `text` is none. */
static gsize
parse(const char *text, guint8 ret[16], guint8 *ret_family)
{
  if (inet_pton(AF_INET, text, ret) == 1) {
    *ret_family = AF_INET;
    return 4;
  }
  *ret_family = AF_INET6;
  return inet_pton(AF_INET6, text, ret) == 1 ? 16 : 0;
}

bool
pt_nl_addr_add(PtNl *nl, const char *link, const char *address, guint prefix, GError **error)
{
  guint8 bytes[16], family;
  gsize n = parse(address, bytes, &family);
  Link where;
  int err = n ? get_link(nl, link, &where) : EINVAL;

  if (!pt_nl_done(err, error, address, link))
    return false;
  struct nlmsghdr *msg = pt_nl_begin(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
  struct ifaddrmsg *addr = mnl_nlmsg_put_extra_header(msg, sizeof *addr);
  addr->ifa_family = family;
  addr->ifa_prefixlen = (guint8)prefix;
  addr->ifa_index = where.index;
  addr->ifa_flags = IFA_F_NODAD;
  mnl_attr_put(msg, IFA_LOCAL, n, bytes);
  mnl_attr_put(msg, IFA_ADDRESS, n, bytes);
  if (family == AF_INET) {
    guint32 broadcast = ntohl(*(const guint32 *)(const void *)bytes) | (prefix ? G_MAXUINT32 >> prefix : G_MAXUINT32);
    if (prefix < 31)
      mnl_attr_put_u32(msg, IFA_BROADCAST, htonl(broadcast));
  }
  err = pt_nl_talk(nl, msg, NULL, NULL);
  return pt_nl_done(err == EEXIST ? 0 : err, error, address, link);
}

/* To the network of `prefix` bits that `address` is in, by the link; with prefix 0: to everything else, by the gateway `address`. */
static int
add_route(PtNl *nl, const char *link, const char *address, guint prefix, guint table)
{
  guint8 bytes[16], family;
  gsize n = parse(address, bytes, &family);
  Link where;
  int err = n ? get_link(nl, link, &where) : EINVAL;

  if (err)
    return err;
  struct nlmsghdr *msg = pt_nl_begin(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
  struct rtmsg *route = mnl_nlmsg_put_extra_header(msg, sizeof *route);
  route->rtm_family = family;
  route->rtm_table = (guint8)table;
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_scope = prefix && family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  route->rtm_type = RTN_UNICAST;
  route->rtm_dst_len = (guint8)prefix;
  for (guint i = 0; prefix && i < 8 * n; i++) { /* its host bits are zero */
    if (i >= prefix)
      bytes[i / 8] &= (guint8)~(0x80 >> i % 8);
  }
  mnl_attr_put(msg, prefix ? RTA_DST : RTA_GATEWAY, n, bytes);
  mnl_attr_put_u32(msg, RTA_OIF, where.index);
  return pt_nl_talk(nl, msg, NULL, NULL);
}

bool
pt_nl_route_default(PtNl *nl, const char *link, const char *gateway, GError **error)
{
  return pt_nl_done(add_route(nl, link, gateway, 0, RT_TABLE_MAIN), error, "default route", link);
}

/* 0 or an errno; there, or absent, already: success. */
static int
change_rule(PtNl *nl, guint16 type, const char *address, guint table)
{
  guint8 bytes[16], family;
  gsize n = parse(address, bytes, &family);
  struct nlmsghdr *msg = pt_nl_begin(nl, type, (type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0) | NLM_F_ACK);
  struct fib_rule_hdr *rule = mnl_nlmsg_put_extra_header(msg, sizeof *rule);

  if (n == 0)
    return EINVAL;
  rule->family = family;
  rule->src_len = (guint8)(8 * n);
  rule->table = (guint8)table;
  rule->action = FR_ACT_TO_TBL;
  mnl_attr_put(msg, FRA_SRC, n, bytes);
  mnl_attr_put_u32(msg, FRA_PRIORITY, table);
  int err = pt_nl_talk(nl, msg, NULL, NULL);
  return err == (type == RTM_NEWRULE ? EEXIST : ENOENT) ? 0 : err;
}

bool
pt_nl_source_route(PtNl *nl, const char *link, const char *address, guint prefix, const char *gateway, guint table, GError **error)
{
  int err = add_route(nl, link, address, prefix, table);

  err = err ? err : add_route(nl, link, gateway, 0, table);
  return pt_nl_done(err ? err : change_rule(nl, RTM_NEWRULE, address, table), error, "its own routes", link);
}

bool
pt_nl_source_route_del(PtNl *nl, const char *address, guint table, GError **error)
{
  return pt_nl_done(change_rule(nl, RTM_DELRULE, address, table), error, "its own routes", address);
}

typedef struct Default {
  guint32 metric, index;
} Default;

static int
on_route(const struct nlmsghdr *msg, void *data)
{
  const struct rtmsg *route = mnl_nlmsg_get_payload(msg);
  Default *best = data;
  guint32 metric = 0, index = 0;
  const struct nlattr *attr;

  if (route->rtm_dst_len != 0 || route->rtm_table != RT_TABLE_MAIN || route->rtm_type != RTN_UNICAST)
    return MNL_CB_OK;
  FOR_EACH_ATTR(attr, msg, sizeof *route) {
    if (mnl_attr_get_type(attr) == RTA_OIF)
      index = mnl_attr_get_u32(attr);
    else if (mnl_attr_get_type(attr) == RTA_PRIORITY)
      metric = mnl_attr_get_u32(attr);
  }
  if (index && (!best->index || metric < best->metric))
    *best = (Default){ metric, index };
  return MNL_CB_OK;
}

typedef struct Name {
  char text[IFNAMSIZ];
} Name;

static int
on_name(const struct nlmsghdr *msg, void *data)
{
  const struct nlattr *attr;
  Name *name = data;

  FOR_EACH_ATTR(attr, msg, sizeof(struct ifinfomsg)) {
    if (mnl_attr_get_type(attr) == IFLA_IFNAME)
      g_strlcpy(name->text, mnl_attr_get_str(attr), sizeof name->text);
  }
  return MNL_CB_OK;
}

static int
name_of(PtNl *nl, guint32 index, Name *ret)
{
  struct nlmsghdr *msg = pt_nl_begin(nl, RTM_GETLINK, NLM_F_ACK);
  struct ifinfomsg *info = mnl_nlmsg_put_extra_header(msg, sizeof *info);

  info->ifi_index = (int)index;
  *ret = (Name){ 0 };
  return pt_nl_talk(nl, msg, on_name, ret);
}

char *
pt_nl_default_link(PtNl *nl, GError **error)
{
  struct nlmsghdr *msg = pt_nl_begin(nl, RTM_GETROUTE, NLM_F_DUMP);
  struct rtmsg *route = mnl_nlmsg_put_extra_header(msg, sizeof *route);
  Default best = { 0 };
  Name name;

  route->rtm_family = AF_INET;
  if (!pt_nl_done(pt_nl_talk(nl, msg, on_route, &best), error, "reading the routes", "uplink") || !best.index)
    return NULL;
  return pt_nl_done(name_of(nl, best.index, &name), error, "its name", "uplink") ? g_strdup(name.text) : NULL;
}

static int
on_address(const struct nlmsghdr *msg, void *data)
{
  const struct ifaddrmsg *addr = mnl_nlmsg_get_payload(msg);
  const struct nlattr *attr;
  char *label = NULL;
  guint32 local = 0;

  FOR_EACH_ATTR(attr, msg, sizeof *addr) {
    if (mnl_attr_get_type(attr) == IFA_LOCAL)
      local = ntohl(mnl_attr_get_u32(attr));
    else if (mnl_attr_get_type(attr) == IFA_LABEL)
      label = g_strdup(mnl_attr_get_str(attr));
  }
  g_hash_table_replace(data, GUINT_TO_POINTER(local), label ? label : g_strdup(""));
  return MNL_CB_OK;
}

GHashTable *
pt_nl_addresses(PtNl *nl, GError **error)
{
  struct nlmsghdr *msg = pt_nl_begin(nl, RTM_GETADDR, NLM_F_DUMP);
  struct ifaddrmsg *addr = mnl_nlmsg_put_extra_header(msg, sizeof *addr);
  g_autoptr(GHashTable) all = g_hash_table_new_full(NULL, NULL, NULL, g_free);

  addr->ifa_family = AF_INET;
  if (!pt_nl_done(pt_nl_talk(nl, msg, on_address, all), error, "reading the addresses", "uplink"))
    return NULL;
  return g_steal_pointer(&all);
}
