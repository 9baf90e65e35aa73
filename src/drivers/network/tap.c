// SPDX-License-Identifier: Apache-2.0
#include "drivers/network/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "drivers/network/netlink.h"
#include "drivers/network/netns.h"
#include "drivers/network/network.h"

/* The thread is in the namespace. */
static bool
make(const char *name, uid_t owner, GError **error)
{
  struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

  g_strlcpy(req.ifr_name, name, sizeof req.ifr_name);
  bool ok = fd >= 0 && ioctl(fd, TUNSETIFF, &req) == 0 && ioctl(fd, TUNSETOWNER, (unsigned long)owner) == 0 &&
            ioctl(fd, TUNSETPERSIST, 1UL) == 0;
  if (!ok)
    pt_error_errno(error, errno, "%s: a tap for it", name);
  if (fd >= 0)
    close(fd);
  return ok;
}

static bool
settings(int ns, GError **error)
{
  static const struct {
    const char *path, *value;
  } set[] = {
    { "ipv6/conf/all/disable_ipv6", "1" },
    { "ipv6/conf/default/disable_ipv6", "1" },
    { "bridge/bridge-nf-call-iptables", "0" },
    { "bridge/bridge-nf-call-ip6tables", "0" },
    { "bridge/bridge-nf-call-arptables", "0" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(set); i++) {
    if (!pt_netns_sysctl(ns, set[i].path, set[i].value, error))
      return false;
  }
  return true;
}

bool
pt_net_tap_alone(pid_t pid, const char *tap, uid_t owner, GError **error)
{
  char path[32];
  int back;

  g_snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
  int ns = open(path, O_RDONLY | O_CLOEXEC);
  if (ns < 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  bool ok = settings(ns, error) && (back = pt_netns_enter(ns, error)) >= 0;
  if (ok) {
    ok = make(tap, owner, error);
    pt_netns_leave(back);
  }
  g_autoptr(PtNl) nl = ok ? pt_nl_open(ns, error) : NULL;
  ok = nl && pt_nl_link_up(nl, tap, error);
  close(ns);
  return ok;
}

void
pt_tap_wire_name(const char *link, char ret[16])
{
  guint number = pt_net_card_number(link);

  if (number)
    g_snprintf(ret, 16, "wire%u", number);
  else
    g_strlcpy(ret, "wire", 16);
}

bool
pt_tap_join(int ns, const char *link, const char *name, uid_t owner, GError **error)
{
  char wire[16];
  guint8 mac[6];
  int back;

  /* The bridge's own address must be neither the guest's nor one that moves when a port comes. */
  pt_random(mac, sizeof mac);
  mac[0] = 0x02;
  pt_tap_wire_name(link, wire);
  if (!settings(ns, error) || (back = pt_netns_enter(ns, error)) < 0)
    return false;
  bool ok = make(name, owner, error);
  pt_netns_leave(back);
  g_autoptr(PtNl) nl = ok ? pt_nl_open(ns, error) : NULL;
  if (!nl || !pt_nl_link_up(nl, "lo", error) || !pt_nl_bridge_add(nl, wire, mac, error) || !pt_nl_master_set(nl, link, wire, error) ||
      !pt_nl_master_set(nl, name, wire, error) || !pt_nl_link_up(nl, link, error) || !pt_nl_link_up(nl, name, error))
    return false;
  pt_nl_link_wait(nl, link);
  return true;
}
