// SPDX-License-Identifier: Apache-2.0
/* The network driver with the kernel's real bridges and filters and a real dnsmasq. All of it happens in namespaces of our own: this
 * process moves into a fresh one that plays the node ("wan0" 192.0.2.1), and another plays the world
 * (192.0.2.9). Guests are processes that sleep in a user and network namespace. Root only; otherwise skipped. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/network/netlink.h"
#include "drivers/network/netns.h"
#include "drivers/network/network.h"
#include "drivers/network/rules.h"

#define NODE "192.0.2.1"
#define WORLD "192.0.2.9"

static const PtNetDriver *const d = &pt_net_bridge;
static PtHost host;
static int node_ns, world_ns;

typedef struct Guest {
  const char *space, *id, *name, *address, *address6, *mac;
  pid_t pid;
  int ns;
} Guest;

/* Two spaces with the same subnet: nothing about a1 and b1 differs but the space. */
static const PtNetSpace alpha = { "space-a", "alpha", "10.83.0.0/24", "fd12:3456:789a:1::/64" };
static const PtNetSpace beta = { "space-b", "beta", "10.83.0.0/24", "fd12:3456:789a:1::/64" };
static Guest a1 = { .space = "space-a", .id = "i-a1", .name = "one", .address = "10.83.0.11", .address6 = "fd12:3456:789a:1::11", .mac = "02:50:00:00:00:11" };
static Guest a2 = { .space = "space-a", .id = "i-a2", .name = "two", .address = "10.83.0.12", .address6 = "fd12:3456:789a:1::12", .mac = "02:50:00:00:00:12" };
static Guest b1 = { .space = "space-b", .id = "i-b1", .name = "one", .address = "10.83.0.11", .address6 = "fd12:3456:789a:1::11", .mac = "02:50:00:00:00:11" };
static Guest b3 = { .space = "space-b", .id = "i-b3", .name = "three", .address = "10.83.0.13", .address6 = "fd12:3456:789a:1::13", .mac = "02:50:00:00:00:13" };

/* ---- the bed ---- */

/* Output of a shell command inside a namespace, whatever its status. */
static char *
in(int ns, const char *command)
{
  const char *argv[] = { "timeout", "10", "sh", "-c", command, NULL };
  g_autoptr(GError) error = NULL;
  char *out = NULL;
  int back = pt_netns_enter(ns, &error);

  g_assert_no_error(error);
  g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out, NULL, NULL, &error);
  g_assert_no_error(error);
  pt_netns_leave(back);
  return out;
}

static void
guest_start(Guest *g)
{
  g_autoptr(GError) error = NULL;
  int p[2];
  char c;

  g_assert_cmpint(pipe(p), ==, 0);
  g->pid = fork();
  g_assert_cmpint(g->pid, >=, 0);
  if (g->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || write(p[1], "x", 1) != 1)
      _exit(1);
    close(p[0]);
    close(p[1]);
    for (;;)
      pause();
  }
  close(p[1]);
  g_assert_cmpint(read(p[0], &c, 1), ==, 1);
  close(p[0]);
  g->ns = pt_netns_of(g->pid, &error);
  g_assert_no_error(error);
}

static void
guest_end(Guest *g)
{
  close(g->ns);
  kill(g->pid, SIGKILL);
  waitpid(g->pid, NULL, 0);
}

static PtNetPort
port_of(const Guest *g)
{
  return (PtNetPort){ .id = g->id, .name = g->name, .address = g->address, .address6 = g->address6, .mac = g->mac };
}

static void
guest_up(PtNet *net, Guest *g)
{
  g_autoptr(GError) error = NULL;
  PtNetPort port = port_of(g);

  guest_start(g);
  d->port_up(net, g->space, &port, g->pid, &error);
  g_assert_no_error(error);
}

static PtNet *
open_net(const char *uplink)
{
  g_autoptr(GError) error = NULL;

  g_free(host.uplink);
  host.uplink = g_strdup(uplink);
  PtNet *net = d->open(&host, &error);
  g_assert_no_error(error);
  return net;
}

static void
space_up(PtNet *net, const PtNetSpace *space)
{
  g_autoptr(GError) error = NULL;

  d->space_up(net, space, &error);
  g_assert_no_error(error);
}

/* Takes both spaces down and proves that nothing of them is left. */
static void
close_net(PtNet *net)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *dir = g_build_filename(host.run, "net", NULL);
  g_autofree char *mounts = NULL;

  g_assert_true(d->space_down(net, alpha.id, &error));
  g_assert_no_error(error);
  g_assert_true(d->space_down(net, beta.id, &error));
  g_assert_true(d->space_down(net, beta.id, &error));
  g_autoptr(GPtrArray) up = d->spaces(net, &error);
  g_assert_cmpuint(up->len, ==, 0);
  d->close(net);

  g_autoptr(GDir) left = g_dir_open(dir, 0, &error);
  g_assert_no_error(error);
  g_assert_null(g_dir_read_name(left));
  g_assert_true(g_file_get_contents("/proc/self/mounts", &mounts, NULL, NULL));
  g_assert_null(strstr(mounts, dir));
  g_autofree char *search = g_strdup_printf("grep -lzF -- %s/space- /proc/[0-9]*/cmdline 2>/dev/null | grep -v self | wc -l", dir);
  g_autofree char *processes = in(node_ns, "true");
  g_free(processes);
  processes = in(node_ns, "nft list tables");
  g_assert_null(strstr(processes, "portena"));
  g_autofree char *links = in(node_ns, "ip -o link");
  g_assert_null(strstr(links, " pt"));
}

/* ---- probes ---- */

static int
sock(int ns, int type)
{
  int back = pt_netns_enter(ns, NULL);
  int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  g_assert_cmpint(fd, >=, 0);
  pt_netns_leave(back);
  return fd;
}

static struct sockaddr_in
at(const char *address, guint16 port)
{
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

  g_assert_cmpint(inet_pton(AF_INET, address, &a.sin_addr), ==, 1);
  return a;
}

static int
listener(int ns, const char *address, guint16 port)
{
  struct sockaddr_in a = at(address, port);
  int fd = sock(ns, SOCK_STREAM), one = 1;

  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  g_assert_cmpint(bind(fd, (struct sockaddr *)&a, sizeof a), ==, 0);
  g_assert_cmpint(listen(fd, 4), ==, 0);
  return fd;
}

/* Whether a connection from `ns` to address:port comes through within `ms`. */
static bool
connects(int ns, const char *address, guint16 port, int ms)
{
  struct sockaddr_in a = at(address, port);
  int fd = sock(ns, SOCK_STREAM), err = 0;
  socklen_t n = sizeof err;
  struct pollfd p = { .fd = fd, .events = POLLOUT };
  bool ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;

  if (!ok && errno == EINPROGRESS && poll(&p, 1, ms) == 1)
    ok = getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err == 0;
  close(fd);
  return ok;
}

/* Who was it that connected last? The caller's. */
static char *
accepted_from(int listening)
{
  struct sockaddr_in a = { 0 };
  socklen_t n = sizeof a;
  struct pollfd p = { .fd = listening, .events = POLLIN };
  char text[INET_ADDRSTRLEN];

  g_assert_cmpint(poll(&p, 1, 1000), ==, 1);
  int fd = accept(listening, (struct sockaddr *)&a, &n);
  g_assert_cmpint(fd, >=, 0);
  close(fd);
  return g_strdup(inet_ntop(AF_INET, &a.sin_addr, text, sizeof text));
}

/* ---- frames ---- */

static int
packets(const Guest *g)
{
  struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
  int back = pt_netns_enter(g->ns, NULL);
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));

  a.sll_ifindex = (int)if_nametoindex("eth0");
  g_assert_cmpint(bind(fd, (struct sockaddr *)&a, sizeof a), ==, 0);
  pt_netns_leave(back);
  return fd;
}

typedef struct Frame {
  guint8 b[200];
  gsize n;
} Frame;

static void
hex(Frame *f, const char *text)
{
  for (; *text; text++) {
    if (*text == ' ')
      continue;
    f->b[f->n++] = (guint8)(g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]));
    text++;
  }
}

static guint16
sum(const guint8 *b, gsize n, guint32 s)
{
  for (gsize i = 0; i < n; i += 2)
    s += (guint32)b[i] << 8 | (i + 1 < n ? b[i + 1] : 0u);
  while (s >> 16)
    s = (s & 0xffff) + (s >> 16);
  return (guint16)~s;
}

/* Sends from `from`; whether `to` sees the very frame within a moment. */
static bool
passes(const Guest *from, const Guest *to, const Frame *f)
{
  int out = packets(from), into = packets(to);
  struct pollfd p = { .fd = into, .events = POLLIN };
  bool seen = false;
  guint8 buf[2048];

  g_assert_cmpint(send(out, f->b, f->n, 0), ==, f->n);
  gint64 end = g_get_monotonic_time() + 150 * 1000;
  while (!seen && g_get_monotonic_time() < end) {
    if (poll(&p, 1, 20) == 1) {
      ssize_t n = recv(into, buf, sizeof buf, 0);
      /* A tag is taken off on the way up: what follows is still ours. */
      seen = n >= (ssize_t)f->n - 4 && memmem(buf, (gsize)n, f->b + f->n - 16, 16) != NULL;
    }
  }
  close(out);
  close(into);
  return seen;
}

static Frame
ip4(const char *mac, const char *saddr, const char *vlan, guint16 sport, guint16 dport)
{
  Frame f = { .n = 0 };
  struct in_addr a;

  inet_pton(AF_INET, saddr, &a);
  hex(&f, "ffffffffffff");
  hex(&f, mac);
  hex(&f, vlan);
  hex(&f, "0800 4500 002c 1234 0000 4011 0000");
  memcpy(f.b + f.n, &a, 4);
  f.n += 4;
  hex(&f, "0a5300ff"); /* 10.83.0.255 */
  guint16 check = sum(f.b + f.n - 20, 20, 0);
  f.b[f.n - 10] = (guint8)(check >> 8);
  f.b[f.n - 9] = (guint8)check;
  f.b[f.n++] = (guint8)(sport >> 8);
  f.b[f.n++] = (guint8)sport;
  f.b[f.n++] = (guint8)(dport >> 8);
  f.b[f.n++] = (guint8)dport;
  hex(&f, "0018 0000 706f7274656e61207465737420313233");
  return f;
}

static Frame
arp(const char *mac, const char *sender_mac, const char *saddr)
{
  Frame f = { .n = 0 };
  struct in_addr a;

  inet_pton(AF_INET, saddr, &a);
  hex(&f, "ffffffffffff");
  hex(&f, mac);
  hex(&f, "0806 0001 0800 0604 0002");
  hex(&f, sender_mac);
  memcpy(f.b + f.n, &a, 4);
  f.n += 4;
  hex(&f, "ffffffffffff 0a53000c 00000000000000000000000000000000 1122");
  return f;
}

/* ICMPv6 `type`; `target` (neighbour messages) fills bytes 8 to 23. */
static Frame
ip6(const char *mac, const char *saddr, guint8 type, const char *target)
{
  Frame f = { .n = 0 };
  struct in6_addr s, t;
  guint8 pseudo[40 + 24 + 8] = { 0 };

  inet_pton(AF_INET6, saddr, &s);
  inet_pton(AF_INET6, target, &t);
  hex(&f, "333300000001");
  hex(&f, mac);
  hex(&f, "86dd 60000000 0018 3aff");
  memcpy(f.b + f.n, &s, 16);
  f.n += 16;
  hex(&f, "ff020000000000000000000000000001");
  guint8 *icmp = f.b + f.n;
  f.b[f.n++] = type;
  hex(&f, "00 0000 20000000");
  memcpy(f.b + f.n, &t, 16);
  f.n += 16;
  memcpy(pseudo, &s, 16);
  memcpy(pseudo + 16, f.b + 38, 16);
  pseudo[35] = 24;
  pseudo[39] = 58;
  memcpy(pseudo + 40, icmp, 24);
  guint16 check = sum(pseudo, 64, 0);
  icmp[2] = (guint8)(check >> 8);
  icmp[3] = (guint8)check;
  return f;
}

#define PASS(frame) g_assert_true((f = (frame), passes(&a1, &a2, &f)))
#define DROP(frame) g_assert_false((f = (frame), passes(&a1, &a2, &f)))

static void
test_spoofing(void)
{
  static const char own[] = "025000000011", other[] = "025000000012";
  PtNet *net = open_net("none");
  Frame f;

  space_up(net, &alpha);
  guest_up(net, &a1);
  guest_up(net, &a2);
  PASS(ip4(own, "10.83.0.11", "", 4000, 4000));
  DROP(ip4(own, "10.83.0.12", "", 4000, 4000));         /* another's address */
  DROP(ip4(own, "10.83.0.1", "", 4000, 4000));          /* the gateway's */
  DROP(ip4(own, "192.0.2.7", "", 4000, 4000));
  DROP(ip4(other, "10.83.0.11", "", 4000, 4000));       /* another's MAC */
  DROP(ip4(own, "10.83.0.11", "", 67, 68));             /* a DHCP server */
  DROP(ip4(own, "0.0.0.0", "", 4000, 4000));
  DROP(ip4(own, "10.83.0.11", "81000005", 4000, 4000)); /* a VLAN tag */

  PASS(arp(own, own, "10.83.0.11"));
  DROP(arp(own, own, "10.83.0.1"));
  DROP(arp(own, own, "10.83.0.12"));
  DROP(arp(own, other, "10.83.0.11"));
  DROP(arp(other, own, "10.83.0.11"));

  PASS(ip6(own, "fd12:3456:789a:1::11", 136, "fd12:3456:789a:1::11")); /* neighbour advertisement */
  PASS(ip6(own, "fe80::50:ff:fe00:11", 136, "fe80::50:ff:fe00:11"));
  DROP(ip6(own, "fd12:3456:789a:1::11", 136, "fd12:3456:789a:1::12"));
  DROP(ip6(own, "fe80::50:ff:fe00:11", 136, "fd12:3456:789a:1::1"));
  DROP(ip6(own, "fd12:3456:789a:1::12", 136, "fd12:3456:789a:1::11"));
  DROP(ip6(own, "fe80::1", 128, "::"));
  DROP(ip6(own, "fe80::50:ff:fe00:11", 134, "::"));  /* router advertisement */
  DROP(ip6(own, "fe80::50:ff:fe00:11", 137, "::"));  /* redirect */
  PASS(ip6(own, "::", 135, "fd12:3456:789a:1::11")); /* duplicate detection of one's own */
  DROP(ip6(own, "::", 135, "fd12:3456:789a:1::12")); /* and of another's: would deny it */

  f = (Frame){ .n = 0 };
  hex(&f, "ffffffffffff 025000000011 88cc 0000000000000000000000000000000000000000000000000000000000000000abcd"); /* LLDP */
  g_assert_false(passes(&a1, &a2, &f));
  guest_end(&a1);
  guest_end(&a2);
  close_net(net);
}

/* ---- names and addresses ---- */

static void
assert_answers(int ns, const char *name, const char *expect)
{
  g_autofree char *command = g_strdup_printf("busybox nslookup %s 10.83.0.1", name), *out = NULL;

  for (guint i = 0; i < 20; i++) { /* dnsmasq hears of a new file a moment later */
    g_free(out);
    out = in(ns, command);
    if ((strstr(out, expect) != NULL) == (*expect != '\0'))
      break;
    g_usleep(20000);
  }
  if (*expect)
    g_assert_nonnull(strstr(out, expect));
  g_assert_true(*expect || !strstr(out, "Address: "));
}

static void
test_names(void)
{
  PtNet *net = open_net("none");
  g_autoptr(GError) error = NULL;

  space_up(net, &alpha);
  space_up(net, &beta);
  guest_up(net, &a1);
  guest_up(net, &a2);
  guest_up(net, &b1);
  guest_up(net, &b3);
  assert_answers(a1.ns, "two", "10.83.0.12");
  assert_answers(a1.ns, "two.alpha.internal", "10.83.0.12");
  assert_answers(a1.ns, "two.alpha.internal", "fd12:3456:789a:1::12");
  assert_answers(b1.ns, "three.beta.internal", "10.83.0.13");
  g_autofree char *foreign = in(a1.ns, "busybox nslookup three.beta.internal 10.83.0.1; busybox nslookup example.com 10.83.0.1");
  g_assert_null(strstr(foreign, "10.83.0.13"));

  /* A name goes with its port. */
  g_assert_true(d->port_down(net, alpha.id, a2.id, &error));
  g_assert_no_error(error);
  g_assert_true(d->port_down(net, alpha.id, a2.id, &error));
  g_autofree char *gone = NULL;
  for (guint i = 0; i < 50 && (!gone || strstr(gone, "10.83.0.12")); i++) {
    g_usleep(20000);
    g_free(gone);
    gone = in(a1.ns, "busybox nslookup two.alpha.internal 10.83.0.1");
  }
  g_assert_null(strstr(gone, "10.83.0.12"));

  /* dnsmasq dies and comes back, and knows what it knew. */
  g_autofree char *file = g_build_filename(host.run, "net", alpha.id, "dns", "pid", NULL);
  g_autofree char *text = NULL;
  g_assert_true(g_file_get_contents(file, &text, NULL, &error));
  kill(atoi(text), SIGKILL);
  g_usleep(50000);
  space_up(net, &alpha);
  assert_answers(a1.ns, "one", "10.83.0.11");
  guest_end(&a1);
  guest_end(&a2);
  guest_end(&b1);
  guest_end(&b3);
  close_net(net);
}

static void
test_dhcp(void)
{
  PtNet *net = open_net("none");
  g_autofree char *script = g_build_filename(host.run, "udhcpc", NULL);
  g_autofree char *command = g_strdup_printf("busybox udhcpc -i eth0 -n -q -f -t 5 -T 1 -s %s", script);

  g_assert_true(g_file_set_contents(script, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"$ip $subnet $router $dns $domain $hostname\"\nexit 0\n", -1, NULL));
  g_assert_cmpint(chmod(script, 0755), ==, 0);
  space_up(net, &alpha);
  guest_up(net, &a1);
  g_autofree char *got = in(a1.ns, command);
  g_assert_nonnull(strstr(got, "10.83.0.11 255.255.255.0 10.83.0.1 10.83.0.1 alpha.internal one"));
  guest_end(&a1);
  close_net(net);
}

/* ---- isolation ---- */

static void
test_inside(void)
{
  PtNet *net = open_net("none");
  g_autoptr(GError) error = NULL;
  guint64 rx = 0, tx = 0;

  space_up(net, &alpha);
  space_up(net, &beta);
  guest_up(net, &a1);
  guest_up(net, &a2);
  guest_up(net, &b1);
  guest_up(net, &b3);
  int two = listener(a2.ns, "0.0.0.0", 80), three = listener(b3.ns, "0.0.0.0", 80), node = listener(node_ns, "0.0.0.0", 81);
  g_assert_true(connects(a1.ns, a2.address, 80, 1000));
  g_assert_true(connects(b1.ns, b3.address, 80, 1000));
  g_assert_false(connects(a1.ns, b3.address, 80, 300)); /* lives in the other space only */
  g_assert_false(connects(a1.ns, "10.83.0.1", 81, 300));
  g_assert_false(connects(a1.ns, NODE, 81, 300));
  g_autofree char *ping = in(a1.ns, "busybox ping -c1 -W1 10.83.0.1 >/dev/null && echo yes; busybox ping -6 -c1 -W1 fd12:3456:789a:1::12 >/dev/null && echo six");
  g_assert_cmpstr(ping, ==, "yes\nsix\n");
  g_assert_true(d->port_stats(net, alpha.id, a1.id, &rx, &tx, &error));
  g_assert_cmpuint(rx, >, 100);
  g_assert_cmpuint(tx, >, 100);
  g_assert_false(d->port_stats(net, alpha.id, "absent", &rx, &tx, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  close(two);
  close(three);
  close(node);
  guest_end(&a1);
  guest_end(&a2);
  guest_end(&b1);
  guest_end(&b3);
  close_net(net);
}

static guint
count(const char *what)
{
  g_autofree char *command = g_strdup_printf("nft list counter inet watch %s | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'", what);
  g_autofree char *text = in(node_ns, command);

  return (guint)atoi(text);
}

/* Nothing that a guest does shows up on the node when there is no uplink. */
static void
test_no_uplink(void)
{
  PtNetPublish publish = { .listen = 8080, .to = 80 };
  g_autoptr(GError) error = NULL;
  PtNet *net = open_net("none");
  PtNetPort port = port_of(&a2);

  g_assert_true(pt_rules_run(node_ns, "table inet watch { counter seen { }\n chain a { type filter hook prerouting priority -400; iif != lo counter name seen; }\n"
                                      " chain b { type filter hook output priority -400; oif != lo counter name seen; }\n }\n", &error));
  g_assert_cmpstr(d->uplink(net), ==, "none");
  space_up(net, &alpha);
  guest_up(net, &a1);
  for (guint i = 0; i < 3; i++) {
    g_assert_false(connects(a1.ns, WORLD, 80, 50));
    g_assert_false(connects(a1.ns, NODE, 80, 50));
    g_assert_false(connects(a1.ns, "8.8.8.8", 53, 50));
  }
  g_autofree char *tried = in(a1.ns, "busybox ping -c2 -W1 " WORLD "; busybox nslookup example.com 10.83.0.1; ip route add default dev eth0 2>/dev/null; "
                                     "ip route replace 192.0.2.0/24 dev eth0; busybox ping -c1 -W1 " WORLD);
  g_assert_null(strstr(tried, " 0% packet loss"));
  g_assert_cmpuint(count("seen"), ==, 0);
  g_assert_true(connects(world_ns, NODE, 9, 100) || count("seen") > 0); /* the counter does count */

  /* A published port needs a way in: said clearly, and nothing is made. */
  port.publish = &publish;
  port.n_publish = 1;
  guest_start(&a2);
  g_assert_false(d->port_up(net, alpha.id, &port, a2.pid, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_UNSUPPORTED);
  g_assert_nonnull(strstr(pt_error_get_hint(error), "--uplink"));
  g_autofree char *links = in(a2.ns, "ip -o link");
  g_assert_null(strstr(links, "eth0"));
  guest_end(&a1);
  guest_end(&a2);
  close_net(net);
  g_assert_true(pt_rules_run(node_ns, "delete table inet watch\n", NULL));
}

static void
test_uplink(void)
{
  PtNet *net = open_net("auto");

  g_assert_cmpstr(d->uplink(net), ==, "automatic: wan0");
  space_up(net, &alpha);
  space_up(net, &beta);
  guest_up(net, &a1);
  guest_up(net, &b3);
  int world = listener(world_ns, "0.0.0.0", 80), node = listener(node_ns, "0.0.0.0", 81), local = listener(node_ns, "127.0.0.1", 82);
  int three = listener(b3.ns, "0.0.0.0", 80);
  g_assert_true(connects(a1.ns, WORLD, 80, 1000));
  g_autofree char *who = accepted_from(world);
  g_assert_cmpstr(who, ==, NODE);

  /* The node's own services, by any of its addresses; the other space, by any of its. */
  g_autofree char *addresses = in(node_ns, "ip -o -4 addr | sed -n 's/.*inet \\(100[.0-9]*\\).*/\\1/p'");
  g_auto(GStrv) ends = g_strsplit(g_strstrip(addresses), "\n", -1);
  g_assert_cmpuint(g_strv_length(ends), ==, 2);
  g_assert_false(connects(a1.ns, NODE, 81, 200));
  for (guint i = 0; ends[i]; i++) {
    struct in_addr a;
    char space_end[INET_ADDRSTRLEN];

    g_assert_false(connects(a1.ns, ends[i], 81, 200));
    inet_pton(AF_INET, ends[i], &a);
    a.s_addr = htonl(ntohl(a.s_addr) + 1);
    inet_ntop(AF_INET, &a, space_end, sizeof space_end);
    g_assert_false(connects(a1.ns, space_end, 80, 200));
    g_assert_false(connects(a1.ns, space_end, 53, 200));
    g_assert_false(connects(world_ns, space_end, 53, 200));
  }
  /* 127.0.0.0/8 crosses the pair in one direction only. */
  g_autofree char *odd = in(a1.ns, "ip route replace 127.0.0.0/8 dev lo; ip route add 127.0.0.99/32 via 10.83.0.1 2>/dev/null; echo");
  g_assert_nonnull(odd);
  g_assert_false(connects(a1.ns, "127.0.0.99", 82, 200));
  close(world);
  close(node);
  close(local);
  close(three);
  guest_end(&a1);
  guest_end(&b3);
  close_net(net);
}

static void
assert_published(guint16 port, int listening, bool expect)
{
  static const char *const ways[] = { NODE, "127.0.0.1" };

  g_assert_cmpint(connects(world_ns, NODE, port, 500), ==, expect);
  if (expect) {
    g_autofree char *who = accepted_from(listening);
    g_assert_cmpstr(who, ==, WORLD); /* the guest sees who it is */
  }
  for (guint i = 0; i < G_N_ELEMENTS(ways); i++) { /* the node itself */
    g_assert_cmpint(connects(node_ns, ways[i], port, 500), ==, expect);
    if (expect)
      g_free(accepted_from(listening));
  }
}

static void
test_publish(void)
{
  PtNetPublish publish[] = { { .listen = 8080, .to = 80 }, { .udp = true, .listen = 5353, .to = 53 } };
  g_autoptr(GError) error = NULL;
  PtNet *net = open_net("auto");
  PtNetPort port = port_of(&a1), other = port_of(&b3);

  space_up(net, &alpha);
  space_up(net, &beta);
  guest_start(&a1);
  guest_up(net, &b3);
  port.publish = publish;
  port.n_publish = 2;
  d->port_up(net, alpha.id, &port, a1.pid, &error);
  g_assert_no_error(error);
  int web = listener(a1.ns, "0.0.0.0", 80), b_web = listener(b3.ns, "0.0.0.0", 80), taken = listener(node_ns, "0.0.0.0", 8090);
  assert_published(8080, web, true);
  g_assert_true(connects(a1.ns, NODE, 8080, 500)); /* itself, the long way round */
  g_assert_true(connects(b3.ns, NODE, 8080, 500)); /* another space: it is public */
  g_free(accepted_from(web));
  g_free(accepted_from(web));

  struct sockaddr_in to = at(NODE, 5353), any = at("0.0.0.0", 53);
  int udp = sock(world_ns, SOCK_DGRAM), dns = sock(a1.ns, SOCK_DGRAM);
  struct pollfd p = { .fd = dns, .events = POLLIN };
  g_assert_cmpint(bind(dns, (struct sockaddr *)&any, sizeof any), ==, 0);
  g_assert_cmpint(sendto(udp, "hi", 2, 0, (struct sockaddr *)&to, sizeof to), ==, 2);
  g_assert_cmpint(poll(&p, 1, 500), ==, 1);

  /* Refusals say who has it. */
  other.publish = publish;
  other.n_publish = 1;
  g_assert_false(d->port_publish(net, beta.id, &other, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  g_assert_nonnull(strstr(error->message, "'one'"));
  g_clear_error(&error);
  publish[0].listen = 8090;
  g_assert_false(d->port_publish(net, beta.id, &other, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  g_clear_error(&error);
  publish[0] = (PtNetPublish){ .listen = 8081, .to = 80, .address = "127.0.0.1" };
  g_assert_true(d->port_publish(net, beta.id, &other, &error));
  g_assert_no_error(error);
  g_assert_true(connects(node_ns, "127.0.0.1", 8081, 500));
  g_assert_false(connects(world_ns, NODE, 8081, 200));

  /* A new daemon finds it all, and can take it back. */
  d->close(net);
  net = open_net("auto");
  assert_published(8080, web, true);
  publish[0] = (PtNetPublish){ .listen = 8082, .to = 80 };
  port.n_publish = 1;
  g_assert_true(d->port_publish(net, alpha.id, &port, &error));
  g_assert_no_error(error);
  assert_published(8080, web, false);
  assert_published(8082, web, true);
  g_assert_true(d->port_down(net, alpha.id, a1.id, &error));
  assert_published(8082, web, false);
  close(web);
  close(b_web);
  close(taken);
  close(udp);
  close(dns);
  guest_end(&a1);
  guest_end(&b3);
  close_net(net);
}

/* ---- life ---- */

static void
test_speed(void)
{
  PtNet *net = open_net("none");
  g_autoptr(GError) error = NULL;
  gint64 best = G_MAXINT64, down = G_MAXINT64, start = g_get_monotonic_time();
  PtNetPort port = port_of(&a1);

  space_up(net, &alpha);
  g_test_message("space up: %.1f ms", (double)(g_get_monotonic_time() - start) / 1000);
  for (guint i = 0; i < 10; i++) {
    guest_start(&a1);
    start = g_get_monotonic_time();
    g_assert_true(d->port_up(net, alpha.id, &port, a1.pid, &error));
    best = MIN(best, g_get_monotonic_time() - start);
    start = g_get_monotonic_time();
    g_assert_true(d->port_down(net, alpha.id, a1.id, &error));
    down = MIN(down, g_get_monotonic_time() - start);
    guest_end(&a1);
  }
  g_test_message("port up: %.2f ms, down: %.2f ms at best", (double)best / 1000, (double)down / 1000);
  g_assert_cmpint(best, <, 50 * 1000); /* wide: other tests share the machine */
  close_net(net);
}

/* Killed anywhere in space_up and port_up: the next one sweeps up. */
static void
test_killed(void)
{
  for (guint i = 0; i < 12; i++) {
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
      PtNet *net = open_net("auto");
      for (;;) {
        space_up(net, &alpha);
        space_up(net, &beta);
        guest_up(net, &a1);
        guest_end(&a1);
        if (!d->space_down(net, alpha.id, NULL))
          _exit(1);
      }
    }
    g_usleep((gulong)g_random_int_range(1000, 120000));
    kill(pid, SIGKILL);
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));
    PtNet *net = open_net("auto");
    space_up(net, &alpha);
    space_up(net, &beta);
    guest_up(net, &a1);
    assert_answers(a1.ns, "one", "10.83.0.11");
    guest_end(&a1);
    close_net(net);
  }
}

static void
test_bad(void)
{
  PtNet *net = open_net("none");
  static const PtNetSpace bad[] = {
    { "../x", "alpha", "10.83.0.0/24", NULL }, { "space-a", "al pha", "10.83.0.0/24", NULL },
    { "space-a", "alpha", "10.83.0.0", NULL }, { "space-a", "alpha", "10.83.0.0/31", NULL },
    { "space-a", "alpha", "x/24", NULL },      { "space-a", "alpha", "10.83.0.0/24", "fd00::/48" },
  };
  Guest wrong[] = { a1, a1, a1, a1 };

  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_false(d->space_up(net, &bad[i], &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  }
  wrong[0].address = "10.84.0.2";
  wrong[1].address = "10.83.0.1";
  wrong[2].mac = "02:50:00:00:00:1; drop";
  wrong[3].name = "a\nb";
  space_up(net, &alpha);
  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(GError) error = NULL;
    PtNetPort port = port_of(&wrong[i]);
    g_assert_false(d->port_up(net, alpha.id, &port, getpid(), &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  }
  g_autoptr(GError) error = NULL;
  host.uplink[0] = '\0';
  g_free(host.uplink);
  host.uplink = g_strdup("absent0");
  g_assert_null(d->open(&host, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  close_net(net);
}

/* The node's namespace, and the world behind wan0. */
static void
make_bed(void)
{
  g_autoptr(GError) error = NULL;
  int back = pt_netns_current(&error);

  g_assert_no_error(error);
  g_assert_cmpint(unshare(CLONE_NEWNET), ==, 0);
  world_ns = pt_netns_current(&error);
  g_assert_cmpint(unshare(CLONE_NEWNET), ==, 0);
  node_ns = pt_netns_current(&error);
  close(back);
  for (guint i = 0; i < 2; i++) {
    g_assert_true(pt_netns_sysctl(i ? node_ns : world_ns, "ipv6/conf/all/disable_ipv6", "1", &error));
    g_assert_true(pt_netns_sysctl(i ? node_ns : world_ns, "ipv6/conf/default/disable_ipv6", "1", &error));
  }
  g_autoptr(PtNl) node = pt_nl_open(node_ns, &error);
  g_autoptr(PtNl) world = pt_nl_open(world_ns, &error);
  g_assert_true(pt_nl_link_up(node, "lo", &error) && pt_nl_link_up(world, "lo", &error));
  pt_nl_veth_add(node, "wan0", NULL, world_ns, "eth0", NULL, &error);
  g_assert_no_error(error);
  g_assert_true(pt_nl_link_up(world, "eth0", &error));
  g_assert_true(pt_nl_addr_add(node, "wan0", NODE, 24, &error) && pt_nl_addr_add(world, "eth0", WORLD, 24, &error));
  g_assert_true(pt_nl_route_default(node, "wan0", WORLD, &error) && pt_nl_route_default(world, "eth0", NODE, &error));
}

int
main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;

  g_test_init(&argc, &argv, NULL);
  if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
    g_print("1..0 # SKIP networks need root and namespaces\n");
    return 0;
  }
  make_bed();
  g_autofree char *top = g_dir_make_tmp("pt-network-XXXXXX", &error);
  g_assert_no_error(error);
  g_assert_cmpint(chmod(top, 0755), ==, 0); /* dnsmasq's user comes through here */
  host.run = top;
  host.cgroup = g_strdup("pt-test");

  g_test_add_func("/network/bad", test_bad);
  g_test_add_func("/network/inside", test_inside);
  g_test_add_func("/network/names", test_names);
  g_test_add_func("/network/dhcp", test_dhcp);
  g_test_add_func("/network/spoofing", test_spoofing);
  g_test_add_func("/network/no-uplink", test_no_uplink);
  g_test_add_func("/network/uplink", test_uplink);
  g_test_add_func("/network/publish", test_publish);
  g_test_add_func("/network/speed", test_speed);
  g_test_add_func("/network/killed", test_killed);
  int rc = g_test_run();

  const char *const rm[] = { "rm", "-rf", "--one-file-system", top, NULL };
  g_spawn_sync(NULL, (char **)rm, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free(host.cgroup);
  g_free(host.uplink);
  return rc;
}
