// SPDX-License-Identifier: Apache-2.0
/* lo and eth0. A guest's first network card is eth0 because nothing here gives it another name. */
#include "helpers/guest.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>

#define CARD "eth0"

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
    ok = said(rtnl_parse(text, &family, bytes, &prefix) ? rtnl_address(true, index, family, bytes, prefix) : EINVAL,
              "address", text) && ok;
  }
  for (unsigned i = 0; i < c->gateway.n; i++) {
    const char *text = c->gateway.at[i];
    ok = said(rtnl_parse(text, &family, bytes, &prefix) ? rtnl_route(index, family, bytes, 0, 0) : EINVAL, "gateway", text) && ok;
  }
  return ok;
}

/* RFC 4291, appendix A. */
static void
add_link_local(int index, const unsigned char mac[6])
{
  const unsigned char a[16] = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

  rtnl_address(true, index, AF_INET6, a, 64);
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
  bool local = again && rtnl_addresses_clear(index);
  if (!said(rtnl_link(index, true, again && has_mac ? mac : NULL, (int)mtu, NULL), "up", c->mac ? c->mac : ""))
    return false;
  if (local && has_mac)
    add_link_local(index, mac);
  return set_addresses(c, index);
}

bool
net_setup(const struct config *c, bool again)
{
  int lo = again ? 0 : (int)if_nametoindex("lo");

  if (!rtnl_open())
    return said(errno, "netlink", "");
  bool ok = (!lo || said(rtnl_link(lo, true, NULL, 0, NULL), "lo", "")) && set_card(c, again);
  rtnl_close();
  for (unsigned i = 0; i < c->card.n; i++) {
    const char *wrong = card_setup(c->card.at[i], 0);
    if (wrong)
      complain("%.20s: %s", c->card.at[i], wrong);
  }
  return ok;
}
