// SPDX-License-Identifier: Apache-2.0
/* lo and eth0 by rtnetlink(7): messages put together by hand, each acknowledged. A guest has one network card; it is eth0 because
 * nothing here gives it another name. */
#include "helpers/guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CARD "eth0"
#define ADDRESSES_MAX 64

struct message {
  struct nlmsghdr head;
  char data[512];
};

static int sock = -1;

static void
begin(struct message *m, int type, int flags, const void *body, size_t size)
{
  memset(m, 0, sizeof *m);
  m->head.nlmsg_type = (unsigned short)type;
  m->head.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
  m->head.nlmsg_len = (unsigned)NLMSG_LENGTH(size);
  memcpy(NLMSG_DATA(&m->head), body, size);
}

static void
attribute(struct message *m, int type, const void *data, size_t size)
{
  struct rtattr *a = (struct rtattr *)(void *)((char *)m + NLMSG_ALIGN(m->head.nlmsg_len));

  a->rta_type = (unsigned short)type;
  a->rta_len = (unsigned short)RTA_LENGTH(size);
  memcpy(RTA_DATA(a), data, size);
  m->head.nlmsg_len = (unsigned)(NLMSG_ALIGN(m->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

/* 0, or an errno. */
static int
ask(struct message *m)
{
  static char buf[8192];

  if (send(sock, m, m->head.nlmsg_len, 0) < 0)
    return errno;
  for (;;) {
    ssize_t n = recv(sock, buf, sizeof buf, 0);
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)buf;

    if (n < 0)
      return errno;
    for (; NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n))
      if (h->nlmsg_type == NLMSG_ERROR)
        return -((const struct nlmsgerr *)NLMSG_DATA(h))->error;
  }
}

static int
set_link(int index, bool up, const unsigned char *mac, int mtu)
{
  struct message m;
  const struct ifinfomsg body = { .ifi_index = index, .ifi_change = IFF_UP, .ifi_flags = up ? IFF_UP : 0 };

  begin(&m, RTM_NEWLINK, 0, &body, sizeof body);
  if (mac)
    attribute(&m, IFLA_ADDRESS, mac, 6);
  if (mtu > 0)
    attribute(&m, IFLA_MTU, &mtu, sizeof mtu);
  return ask(&m);
}

/* "10.83.0.5/24" into its family, bytes and prefix length. */
static bool
parse_address(const char *text, unsigned char *family, unsigned char bytes[16], unsigned char *prefix)
{
  char host[64];
  size_t n = strcspn(text, "/");
  long long bits;

  if (n >= sizeof host)
    return false;
  memcpy(host, text, n);
  host[n] = '\0';
  *family = strchr(host, ':') ? AF_INET6 : AF_INET;
  bits = *family == AF_INET ? 32 : 128;
  bits = number_of(text[n] ? text + n + 1 : NULL, 10, bits, bits);
  *prefix = (unsigned char)bits;
  return bits >= 0 && inet_pton(*family, host, bytes) == 1;
}

static int
change_address(int type, int index, unsigned char family, const unsigned char *bytes, unsigned char prefix)
{
  struct message m;
  const struct ifaddrmsg body = { .ifa_family = family, .ifa_prefixlen = prefix, .ifa_index = (unsigned)index,
                                  /* Addresses are given out once: nobody needs to be asked whether this one is free. */
                                  .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0 };
  size_t size = family == AF_INET ? 4 : 16;

  begin(&m, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0, &body, sizeof body);
  attribute(&m, IFA_LOCAL, bytes, size);
  attribute(&m, IFA_ADDRESS, bytes, size);
  return ask(&m);
}

static int
add_route(int index, unsigned char family, const unsigned char *gateway)
{
  struct message m;
  const struct rtmsg body = { .rtm_family = family, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
                              .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST, .rtm_flags = RTNH_F_ONLINK };

  begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);
  attribute(&m, RTA_GATEWAY, gateway, family == AF_INET ? 4 : 16);
  attribute(&m, RTA_OIF, &index, sizeof index);
  return ask(&m);
}

/* Every address that the card has goes, and with the last of a family its routes. True: IPv6's link-local one was there, which is made of
 * the MAC. */
static bool
clear_addresses(int index)
{
  static char buf[16384];
  static struct { unsigned char family, prefix, bytes[16]; } found[ADDRESSES_MAX];
  struct message m;
  const struct ifaddrmsg body = { .ifa_family = AF_UNSPEC };
  int n = 0;
  bool over = false, local = false;

  begin(&m, RTM_GETADDR, NLM_F_DUMP, &body, sizeof body);
  over = send(sock, &m, m.head.nlmsg_len, 0) < 0;
  while (!over) {
    ssize_t got = recv(sock, buf, sizeof buf, 0);
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)buf;

    over = got <= 0;
    for (; got > 0 && NLMSG_OK(h, (size_t)got); h = NLMSG_NEXT(h, got)) {
      over = over || h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
      if (h->nlmsg_type != RTM_NEWADDR)
        continue;
      const struct ifaddrmsg *a = NLMSG_DATA(h);
      size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof *a);
      if ((int)a->ifa_index != index || n == ADDRESSES_MAX)
        continue;
      local = local || (a->ifa_family == AF_INET6 && a->ifa_scope == RT_SCOPE_LINK);
      for (const struct rtattr *r = IFA_RTA(a); RTA_OK(r, left); r = RTA_NEXT(r, left)) {
        if (r->rta_type != (a->ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS))
          continue;
        found[n].family = a->ifa_family;
        found[n].prefix = a->ifa_prefixlen;
        memcpy(found[n++].bytes, RTA_DATA(r), a->ifa_family == AF_INET ? 4 : 16);
        break;
      }
    }
  }
  while (n-- > 0)
    change_address(RTM_DELADDR, index, found[n].family, found[n].bytes, found[n].prefix);
  return local;
}

/* RFC 4291, appendix A. */
static void
add_link_local(int index, const unsigned char mac[6])
{
  const unsigned char a[16] = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

  change_address(RTM_NEWADDR, index, AF_INET6, a, 64);
}

static bool
said(int err, const char *what, const char *value)
{
  if (err)
    complain("%s: %s %s: %s", CARD, what, value, strerror(err));
  return !err;
}

static bool
set_addresses(const struct config *c, int index)
{
  unsigned char family, prefix, bytes[16];
  bool ok = true;

  for (unsigned i = 0; i < c->address.n; i++) {
    const char *text = c->address.at[i];
    ok = said(parse_address(text, &family, bytes, &prefix) ? change_address(RTM_NEWADDR, index, family, bytes, prefix) : EINVAL,
              "address", text) && ok;
  }
  for (unsigned i = 0; i < c->gateway.n; i++) {
    const char *text = c->gateway.at[i];
    ok = said(parse_address(text, &family, bytes, &prefix) ? add_route(index, family, bytes) : EINVAL, "gateway", text) && ok;
  }
  return ok;
}

static bool
set_card(const struct config *c, bool again)
{
  unsigned char mac[6];
  int index = (int)if_nametoindex(CARD);
  bool has_mac = c->mac && sscanf(c->mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6;
  long long mtu = number_of(c->mtu, 10, 65535, 0);

  if (!index) {
    if (c->address.n)
      complain("there is no %s", CARD);
    return c->address.n == 0;
  }
  /* The card stays up meanwhile: to take it down and up again takes longer than the rest, and virtio's takes a new MAC as it is. */
  bool local = again && clear_addresses(index);
  if (!said(set_link(index, true, again && has_mac ? mac : NULL, (int)mtu), "up", c->mac ? c->mac : ""))
    return false;
  if (local && has_mac)
    add_link_local(index, mac);
  return set_addresses(c, index);
}

bool
net_setup(const struct config *c, bool again)
{
  const struct timeval wait = { .tv_sec = 2 };
  int lo = again ? 0 : (int)if_nametoindex("lo");

  sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0)
    return said(errno, "netlink", "");
  bool ok = (!lo || said(set_link(lo, true, NULL, 0), "lo", "")) && set_card(c, again);
  close(sock);
  return ok;
}
