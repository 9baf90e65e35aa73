// SPDX-License-Identifier: Apache-2.0
/* Why published ports are translated by the kernel even for the node itself, instead of by a proxy of ours: nothing
 * runs that could die, guests see the real client, and UDP works as TCP does. The price is route_localnet on the pair's own
 * end, which lets a packet to 127.0.0.0/8 cross that one interface. It cannot be abused from the other side: all that
 * comes in there and is not an answer is dropped (rules.c, chain input). */
#include "drivers/network/uplink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "drivers/network/netns.h"
#include "drivers/network/rules.h"

#define TRANSFER_BASE 0x64400000u /* 100.64.0.0/10: 2^20 nets of four */
#define TRANSFER_NETS (1u << 20)

typedef struct Published {
  char *space, *instance, *name, *address;
  PtNetPublish what; /* its address is the string above */
} Published;

struct PtUplink {
  GMutex lock;
  int node;           /* namespace */
  PtNl *nl;           /* in it */
  char *want;         /* host->uplink */
  char *link;         /* NULL: no way out */
  const char *text;   /* interned: handed out */
  char *table;
  char *tag;          /* makes names of ours differ from another daemon's */
  bool settled;       /* all that a predecessor left is known: until then its table stands as it is */
  GHashTable *links;  /* space id → PtRulesLink */
  GPtrArray *published;
};

static void
published_free(Published *p)
{
  g_free(p->space);
  g_free(p->instance);
  g_free(p->name);
  g_free(p->address);
  g_free(p);
}

/* ---- which interface ---- */

static bool
find(PtUplink *u, GError **error)
{
  g_autoptr(GError) err = NULL;
  bool automatic = strcmp(u->want, "auto") == 0;
  g_autofree char *link = NULL;

  if (strcmp(u->want, "none") != 0) {
    link = automatic ? pt_nl_default_link(u->nl, &err) : g_strdup(u->want);
    if (err) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    }
    if (link && !pt_nl_link_exists(u->nl, link)) {
      PT_SET(error, PT_ERR_NOT_FOUND, "uplink '%s': there is no such interface", link);
      pt_error_hint(error, "name one that `ip link` lists, or set the uplink to auto or none");
      return false;
    }
  }
  if (u->text && g_strcmp0(link, u->link) == 0)
    return true;
  g_autofree char *text = !automatic ? g_strdup(u->want) : g_strdup_printf("automatic: %s", link ? link : "none, no default route");
  g_free(u->link);
  u->link = g_steal_pointer(&link);
  u->text = g_intern_string(text);
  return true;
}

PtUplink *
pt_uplink_open(const PtHost *host, GError **error)
{
  PtUplink *u = g_new0(PtUplink, 1);
  const char *want = host->uplink ? host->uplink : "auto";

  g_mutex_init(&u->lock);
  u->links = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  u->published = g_ptr_array_new_with_free_func((GDestroyNotify)published_free);
  u->want = g_strdup(want);
  u->tag = g_strdup(host->cgroup);
  u->table = g_strdup_printf("portena-%s", host->cgroup);
  u->node = pt_netns_current(error);
  u->nl = u->node < 0 ? NULL : pt_nl_open(u->node, error);
  if (u->nl && strlen(want) >= IFNAMSIZ)
    PT_SET(error, PT_ERR_INVALID, "uplink '%s': too long for an interface's name", want);
  else if (u->nl && strspn(u->table, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(u->table))
    PT_SET(error, PT_ERR_INVALID, "cgroup '%s': only letters, digits, '-' and '_' will do for a table's name", host->cgroup);
  else if (u->nl && find(u, error))
    return u;
  pt_uplink_close(u);
  return NULL;
}

void
pt_uplink_close(PtUplink *u)
{
  if (!u)
    return;
  pt_nl_close(u->nl);
  if (u->node >= 0)
    close(u->node);
  g_hash_table_unref(u->links);
  g_ptr_array_unref(u->published);
  g_free(u->want);
  g_free(u->link);
  g_free(u->table);
  g_free(u->tag);
  g_mutex_clear(&u->lock);
  g_free(u);
}

const char *
pt_uplink_text(PtUplink *u)
{
  return u->text;
}

static bool
is_usable(PtUplink *u)
{
  g_autoptr(GError) err = NULL; /* a named interface that went away: no way out for now */

  g_mutex_lock(&u->lock);
  bool usable = find(u, &err) && u->link;
  g_mutex_unlock(&u->lock);
  return usable;
}

/* ---- the node's resolver ---- */

/* The first server of a resolv.conf; *ret_remote: one of them can be reached from another namespace. */
static char *
first_server(const char *file, bool *ret_remote)
{
  g_autofree char *text = NULL;
  char *first = NULL;

  *ret_remote = false;
  if (!g_file_get_contents(file, &text, NULL, NULL))
    return NULL;
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (guint i = 0; lines[i]; i++) {
    char server[64];
    struct in_addr a;

    if (sscanf(lines[i], " nameserver %63s", server) != 1 || inet_pton(AF_INET, server, &a) != 1)
      continue;
    if (ntohl(a.s_addr) >> 24 != 127)
      *ret_remote = true;
    if (!first)
      first = g_strdup(server);
  }
  return first;
}

static const char *const resolv_files[] = { "/run/systemd/resolve/resolv.conf", "/etc/resolv.conf" };

/* The file to be read by the spaces' servers, or in *ret_local a server that listens on the node's loopback alone. */
static const char *
resolver(char **ret_local)
{
  *ret_local = NULL;
  for (guint i = 0; i < G_N_ELEMENTS(resolv_files); i++) {
    bool remote;
    g_autofree char *first = first_server(resolv_files[i], &remote);

    if (remote)
      return resolv_files[i];
    if (first && !*ret_local)
      *ret_local = g_steal_pointer(&first);
  }
  return NULL;
}

char *
pt_uplink_resolver(PtUplink *u, const char *space)
{
  g_autofree char *local = NULL;
  char *upstream = NULL;

  g_mutex_lock(&u->lock);
  const PtRulesLink *l = g_hash_table_lookup(u->links, space);
  const char *file = u->link && l ? resolver(&local) : NULL;
  if (file)
    upstream = g_strconcat("@", file, NULL);
  else if (local && l) { /* the node's end passes it on */
    struct in_addr a = { htonl(l->transfer + 1) };
    char text[INET_ADDRSTRLEN];
    upstream = g_strdup(inet_ntop(AF_INET, &a, text, sizeof text));
  }
  g_mutex_unlock(&u->lock);
  return upstream;
}

/* ---- the node's table ---- */

static bool
apply(PtUplink *u, GError **error)
{
  g_autoptr(GArray) links = g_array_new(FALSE, FALSE, sizeof(PtRulesLink));
  g_autoptr(GArray) publish = g_array_new(FALSE, FALSE, sizeof(PtRulesPublish));
  g_autofree char *local = NULL;
  PtRulesHost h = { .table = u->table, .uplink = u->link ? u->link : "lo", .links = links, .publish = publish };
  GHashTableIter iter;
  gpointer link;

  if (!u->settled)
    return true;
  g_hash_table_iter_init(&iter, u->links);
  while (g_hash_table_iter_next(&iter, NULL, &link))
    g_array_append_vals(links, link, 1);
  for (guint i = 0; i < u->published->len; i++) {
    const Published *p = g_ptr_array_index(u->published, i);
    const PtRulesLink *l = g_hash_table_lookup(u->links, p->space);
    PtRulesPublish rule = { p->what.udp, p->what.listen, p->address, l ? l->transfer + 2 : 0 };
    if (l)
      g_array_append_val(publish, rule);
  }
  h.router = pt_netns_sysctl_get(u->node, "ipv4/conf/all/forwarding") > 0;
  if (!resolver(&local))
    h.resolver = local;
  g_autofree char *text = pt_rules_host(&h);
  return pt_rules_run(u->node, text, error);
}

/* ---- joining ---- */

static void
link_name(PtUplink *u, const char *space, char ret[16])
{
  g_autofree char *key = g_strconcat(u->tag, "/", space, NULL);
  g_autofree char *hex = pt_sha256_hex(key, strlen(key));

  g_snprintf(ret, 16, "pt%.12s", hex);
}

/* The pair's net: read from its end if it is there, else a free one, sought from a place that depends on the name, so that
 * daemons side by side rarely meet. */
static bool
choose_transfer(PtUplink *u, PtRulesLink *l, bool *ret_exists, GError **error)
{
  g_autoptr(GHashTable) all = pt_nl_addresses(u->nl, error);
  GHashTableIter iter;
  gpointer address, name;

  *ret_exists = false;
  if (!all)
    return false;
  g_hash_table_iter_init(&iter, all);
  while (g_hash_table_iter_next(&iter, &address, &name)) {
    if (strcmp(name, l->link) == 0) {
      l->transfer = GPOINTER_TO_UINT(address) & ~3u;
      *ret_exists = true;
      return true;
    }
  }
  guint32 start = g_str_hash(l->link) % TRANSFER_NETS;
  for (guint32 i = 0; i < TRANSFER_NETS; i++) {
    guint32 net = TRANSFER_BASE + 4 * ((start + i) % TRANSFER_NETS);
    bool taken = false;
    for (guint32 k = 0; k < 4; k++)
      taken = taken || g_hash_table_contains(all, GUINT_TO_POINTER(net + k));
    if (!taken) {
      l->transfer = net;
      return true;
    }
  }
  PT_SET(error, PT_ERR_CONFLICT, "uplink: all of 100.64.0.0/10 is in use");
  return false;
}

static bool
set_for(int ns, const char *family, const char *link, const char *key, const char *value, GError **error)
{
  g_autofree char *path = g_strdup_printf("%s/conf/%s/%s", family, link, key);

  return pt_netns_sysctl(ns, path, value, error);
}

static bool
make_pair(PtUplink *u, const PtRulesLink *l, int ns, PtNl *nl, GError **error)
{
  struct in_addr here = { htonl(l->transfer + 1) }, there = { htonl(l->transfer + 2) };
  char node[INET_ADDRSTRLEN], space[INET_ADDRSTRLEN];

  inet_ntop(AF_INET, &here, node, sizeof node);
  inet_ntop(AF_INET, &there, space, sizeof space);
  /* What a killed predecessor left without an address is of no use. */
  return pt_nl_link_del(u->nl, l->link, error) && pt_nl_veth_add(u->nl, l->link, NULL, ns, PT_RULES_UPLINK, NULL, error) &&
         set_for(u->node, "ipv6", l->link, "disable_ipv6", "1", error) &&
         set_for(ns, "ipv6", PT_RULES_UPLINK, "disable_ipv6", "1", error) &&
         set_for(u->node, "ipv4", l->link, "forwarding", "1", error) &&
         set_for(u->node, "ipv4", l->link, "route_localnet", "1", error) &&
         set_for(u->node, "ipv4", u->link, "forwarding", "1", error) &&
         pt_nl_link_up(nl, PT_RULES_UPLINK, error) && pt_nl_addr_add(nl, PT_RULES_UPLINK, space, 30, error) &&
         pt_nl_route_default(nl, PT_RULES_UPLINK, node, error) && pt_nl_addr_add(u->nl, l->link, node, 30, error);
}

static void
forget(PtUplink *u, const char *space)
{
  for (guint i = u->published->len; i-- > 0;) {
    if (strcmp(((Published *)g_ptr_array_index(u->published, i))->space, space) == 0)
      g_ptr_array_remove_index(u->published, i);
  }
  g_hash_table_remove(u->links, space);
}

static bool
leave(PtUplink *u, const char *space, GError **error)
{
  PtRulesLink l = { 0 };
  bool had = g_hash_table_contains(u->links, space);

  link_name(u, space, l.link);
  if (!pt_nl_link_del(u->nl, l.link, error))
    return false;
  forget(u, space);
  return !had || apply(u, error);
}

bool
pt_uplink_leave(PtUplink *u, const char *space, GError **error)
{
  g_mutex_lock(&u->lock);
  bool ok = leave(u, space, error);
  g_mutex_unlock(&u->lock);
  return ok;
}

static bool
join(PtUplink *u, const char *space, int ns, PtNl *nl, GError **error)
{
  PtRulesLink l = { 0 };
  bool exists;

  link_name(u, space, l.link);
  if (!choose_transfer(u, &l, &exists, error))
    return false;
  if (exists ? g_hash_table_contains(u->links, space) : !u->settled)
    return true;
  /* The rules come first: the pair is shut before it is there. */
  g_hash_table_replace(u->links, g_strdup(space), g_memdup2(&l, sizeof l));
  if (apply(u, error) && (exists || make_pair(u, &l, ns, nl, error)))
    return true;
  leave(u, space, NULL);
  return false;
}

bool
pt_uplink_join(PtUplink *u, const char *space, int ns, PtNl *nl, GError **error)
{
  bool usable = is_usable(u);

  g_mutex_lock(&u->lock);
  bool ok = usable ? join(u, space, ns, nl, error) : leave(u, space, error);
  g_mutex_unlock(&u->lock);
  if (!ok)
    g_prefix_error(error, "uplink: ");
  return ok;
}

bool
pt_uplink_settle(PtUplink *u, GError **error)
{
  g_mutex_lock(&u->lock);
  u->settled = true;
  bool ok = apply(u, error);
  g_mutex_unlock(&u->lock);
  return ok;
}

/* ---- publishing ---- */

static bool
overlap(const Published *p, const char *space, const PtNetPublish *what)
{
  if (p->what.udp != what->udp || p->what.listen != what->listen)
    return false;
  /* Within a space the port alone decides: its namespace does not see which address was meant. */
  return !p->address || !what->address || strcmp(p->address, what->address) == 0 || strcmp(p->space, space) == 0;
}

/* Whether a program of the node listens there: translation would take its port away. */
static bool
is_bound(PtUplink *u, const PtNetPublish *what, GError **error)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(what->listen) };
  int one = 1, back = pt_netns_enter(u->node, error);

  if (back < 0)
    return true;
  if (what->address)
    inet_pton(AF_INET, what->address, &to.sin_addr);
  int fd = socket(AF_INET, (what->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
  if (fd >= 0 && !what->udp)
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* connections that linger are no listeners */
  int err = fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
  if (fd >= 0)
    close(fd);
  pt_netns_leave(back);
  if (err == EADDRINUSE) {
    PT_SET(error, PT_ERR_CONFLICT, "port %u/%s: a program on this node has it", what->listen, what->udp ? "udp" : "tcp");
    pt_error_hint(error, "nothing was changed; choose another port (`ss -lnp` shows who has this one)");
  } else if (err) {
    pt_error_errno(error, err, "port %u/%s on %s", what->listen, what->udp ? "udp" : "tcp",
                   what->address ? what->address : "all addresses");
    pt_error_hint(error, "nothing was changed; the address must be one of this node's");
  }
  return err != 0;
}

static bool
check(PtUplink *u, const char *space, const char *instance, const PtNetPublish *what, bool adopt, GError **error)
{
  struct in_addr a;
  bool mine = false;

  if (what->listen == 0 || what->to == 0 || (what->address && inet_pton(AF_INET, what->address, &a) != 1)) {
    PT_SET(error, PT_ERR_INVALID, "port %u: needs a port from 1 to 65535 on both sides and, if any, an IPv4 address", what->listen);
    return false;
  }
  for (guint i = 0; i < u->published->len; i++) {
    const Published *p = g_ptr_array_index(u->published, i);
    if (!overlap(p, space, what))
      continue;
    if (strcmp(p->instance, instance) != 0) {
      PT_SET(error, PT_ERR_CONFLICT, "port %u/%s: published by instance '%s' already", what->listen, what->udp ? "udp" : "tcp", p->name);
      pt_error_hint(error, "nothing was changed; choose another port, or take it off '%s' first", p->name);
      return false;
    }
    mine = true;
  }
  return mine || adopt || !is_bound(u, what, error);
}

static void
withdraw(PtUplink *u, const char *instance)
{
  for (guint i = u->published->len; i-- > 0;) {
    if (strcmp(((Published *)g_ptr_array_index(u->published, i))->instance, instance) == 0)
      g_ptr_array_remove_index(u->published, i);
  }
}

static bool
publish_locked(PtUplink *u, const char *space, const char *instance, const char *name, const PtNetPublish *publish, guint n,
               bool adopt, GError **error)
{
  guint had = u->published->len;

  for (guint i = 0; i < n; i++) {
    if (!check(u, space, instance, &publish[i], adopt, error))
      return false;
  }
  withdraw(u, instance);
  if (n == 0 && had == u->published->len)
    return true;
  for (guint i = 0; i < n; i++) {
    Published *p = g_new0(Published, 1);
    p->space = g_strdup(space);
    p->instance = g_strdup(instance);
    p->name = g_strdup(name);
    p->address = g_strdup(publish[i].address);
    p->what = publish[i];
    p->what.address = p->address;
    g_ptr_array_add(u->published, p);
  }
  return apply(u, error);
}

bool
pt_uplink_publish(PtUplink *u, const char *space, const char *instance, const char *name, const PtNetPublish *publish, guint n,
                  bool adopt, GError **error)
{
  g_mutex_lock(&u->lock);
  bool ok = n == 0 || g_hash_table_contains(u->links, space);
  if (!ok) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "port %u: cannot be published, this node's uplink is '%s'", publish[0].listen, u->text);
    pt_error_hint(error, "start portenad with --uplink auto or --uplink INTERFACE, or take the published ports off '%s'", name);
  }
  ok = ok && publish_locked(u, space, instance, name, publish, n, adopt, error);
  g_mutex_unlock(&u->lock);
  return ok;
}
