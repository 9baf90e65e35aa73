// SPDX-License-Identifier: Apache-2.0
/* Frames that a guest may and may not send, really sent and looked for at its neighbour. Root only; otherwise skipped. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "network_bed.h"

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

/* Sends from `from`; whether `to` sees the very frame. One that is not expected has a moment to come all the same; one that is expected
 * is said again and again, as a bridge forwards nothing for the moment in which a port is new. */
static bool
passes(const Guest *from, const Guest *to, const Frame *f, bool expect)
{
  int out = packets(from), into = packets(to);
  struct pollfd p = { .fd = into, .events = POLLIN };
  bool seen = false;
  guint8 buf[2048];

  gint64 end = g_get_monotonic_time() + (expect ? 60000 : 150) * 1000, again = 0;
  while (!seen && g_get_monotonic_time() < end) {
    if (again == 0 || (expect && g_get_monotonic_time() >= again)) {
      g_assert_cmpint(send(out, f->b, f->n, 0), ==, f->n);
      again = g_get_monotonic_time() + 200 * 1000;
    }
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

#define PASS(frame) g_assert_true((f = (frame), passes(&a1, &a2, &f, true)))
#define DROP(frame) g_assert_false((f = (frame), passes(&a1, &a2, &f, false)))

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
  g_assert_false(passes(&a1, &a2, &f, false));
  guest_end(&a1);
  guest_end(&a2);
  close_net(net);
}

static void
add(void)
{
  g_test_add_func("/network/spoofing", test_spoofing);
}

int
main(int argc, char **argv)
{
  return bed_main(add, argc, argv);
}
