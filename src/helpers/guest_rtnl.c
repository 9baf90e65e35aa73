// SPDX-License-Identifier: Apache-2.0
/* rtnetlink(7): messages put together by hand, each acknowledged. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helpers/guest.h"

#define ADDRESSES_MAX 64
#define RULES_MAX 16

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

int
rtnl_link(int index, bool up, const unsigned char *mac, int mtu, const char *name)
{
  struct message m;
  const struct ifinfomsg body = { .ifi_index = index, .ifi_change = IFF_UP, .ifi_flags = up ? IFF_UP : 0 };

  begin(&m, RTM_NEWLINK, 0, &body, sizeof body);
  if (mac)
    attribute(&m, IFLA_ADDRESS, mac, 6);
  if (mtu > 0)
    attribute(&m, IFLA_MTU, &mtu, sizeof mtu);
  if (name)
    attribute(&m, IFLA_IFNAME, name, strlen(name) + 1);
  return ask(&m);
}

bool
rtnl_parse(const char *text, unsigned char *family, unsigned char bytes[16], unsigned char *prefix)
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

int
rtnl_address(bool add, int index, unsigned char family, const unsigned char *bytes, unsigned char prefix)
{
  struct message m;
  const struct ifaddrmsg body = { .ifa_family = family, .ifa_prefixlen = prefix, .ifa_index = (unsigned)index,
                                  /* Addresses are given out once: nobody needs to be asked whether this one is free. */
                                  .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0 };
  size_t size = family == AF_INET ? 4 : 16;

  begin(&m, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &body, sizeof body);
  attribute(&m, IFA_LOCAL, bytes, size);
  attribute(&m, IFA_ADDRESS, bytes, size);
  return ask(&m);
}

int
rtnl_route(int index, unsigned char family, const unsigned char *bytes, unsigned char prefix, unsigned char table)
{
  struct message m;
  const struct rtmsg body = { .rtm_family = family, .rtm_table = table ? table : RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
                              .rtm_scope = prefix && family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST,
                              .rtm_dst_len = prefix, .rtm_flags = prefix ? 0 : RTNH_F_ONLINK };
  unsigned size = family == AF_INET ? 4 : 16;
  unsigned char to[16];

  memcpy(to, bytes, size);
  for (unsigned i = prefix; prefix && i < 8 * size; i++) /* host bits are zero */
    to[i / 8] &= (unsigned char)~(0x80 >> i % 8);
  begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);
  attribute(&m, prefix ? RTA_DST : RTA_GATEWAY, to, size);
  attribute(&m, RTA_OIF, &index, sizeof index);
  return ask(&m);
}

int
rtnl_rule(unsigned char family, const unsigned char *from, unsigned char table)
{
  const size_t size = family == AF_INET ? 4 : 16;
  const struct fib_rule_hdr body = { .family = family, .src_len = (unsigned char)(8 * size), .table = table, .action = FR_ACT_TO_TBL };
  const uint32_t priority = table;
  struct message m;

  begin(&m, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
  attribute(&m, FRA_SRC, from, size);
  attribute(&m, FRA_PRIORITY, &priority, sizeof priority);
  return ask(&m);
}

void
rtnl_rules_clear(unsigned char table)
{
  static const unsigned char families[] = { AF_INET, AF_INET6 };
  const uint32_t priority = table;

  for (int i = 0; i < 2; i++) {
    const struct fib_rule_hdr body = { .family = families[i], .table = table, .action = FR_ACT_TO_TBL };
    struct message m;
    int err = 0;
    for (int n = 0; !err && n < RULES_MAX; n++) {
      begin(&m, RTM_DELRULE, 0, &body, sizeof body);
      attribute(&m, FRA_PRIORITY, &priority, sizeof priority);
      err = ask(&m);
    }
  }
}

bool
rtnl_addresses_clear(int index)
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
    rtnl_address(false, index, found[n].family, found[n].bytes, found[n].prefix);
  return local;
}

bool
rtnl_open(void)
{
  const struct timeval wait = { .tv_sec = 2 };

  sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  return sock >= 0 && setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0;
}

void
rtnl_close(void)
{
  close(sock);
  sock = -1;
}
