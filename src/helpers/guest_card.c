// SPDX-License-Identifier: Apache-2.0
/* Further network cards: found by their MAC address, because their names are as the kernel found them. Two of them may be in one network,
 * so each has a routing table of its own, for what is sent from its addresses. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "helpers/guest.h"

#define TABLES 100 /* and the card's number */
#define COME_USEC 10000000
#define LOOK_USEC 10000
#define LINE_MAX_BYTES 512

/* Its index, and its present name; 0 where there is none yet. */
static int
find(const char *mac, char name[IF_NAMESIZE])
{
  struct if_nameindex *all = if_nameindex();
  int index = 0;

  for (struct if_nameindex *i = all; !index && i && i->if_index; i++) {
    char path[80], text[32];
    snprintf(path, sizeof path, "/sys/class/net/%.16s/address", i->if_name);
    if (read_whole(path, text, sizeof text) < 17 || strncasecmp(text, mac, 17) != 0)
      continue;
    index = (int)i->if_index;
    snprintf(name, IF_NAMESIZE, "%.15s", i->if_name);
  }
  if (all)
    if_freenameindex(all);
  return index;
}

/* "10.84.0.7/24,10.84.0.1" */
static int
give(int index, char *text, unsigned char table)
{
  unsigned char family, other, prefix, none, bytes[16], gateway[16];
  char *comma = strchr(text, ',');

  if (!comma)
    return EINVAL;
  *comma = '\0';
  if (!rtnl_parse(text, &family, bytes, &prefix) || !rtnl_parse(comma + 1, &other, gateway, &none) || other != family || !prefix)
    return EINVAL;
  int err = rtnl_address(true, index, family, bytes, prefix);
  err = err ? err : rtnl_route(index, family, bytes, prefix, table);
  err = err ? err : rtnl_route(index, family, gateway, 0, table);
  return err ? err : rtnl_rule(family, bytes, table);
}

static const char *
set_up(int index, const char *is, const char *name, char *addresses, unsigned char table)
{
  char *rest;

  rtnl_rules_clear(table);
  if (strcmp(is, name) != 0 && (rtnl_link(index, false, NULL, 0, NULL) || rtnl_link(index, false, NULL, 0, name)))
    return "it cannot be given its name";
  if (rtnl_link(index, true, NULL, 0, NULL))
    return "it cannot be turned on";
  for (char *a = strtok_r(addresses, " ", &rest); a; a = strtok_r(NULL, " ", &rest))
    if (give(index, a, table))
      return "it cannot be given its address";
  return NULL;
}

const char *
card_setup(const char *line, long long wait)
{
  char text[LINE_MAX_BYTES], is[IF_NAMESIZE], *mac, *addresses;
  long long end = boot_usec() + wait;
  int index;

  if (strlen(line) >= sizeof text)
    return "too much is said of it";
  strcpy(text, line);
  if (!(mac = strchr(text, ' ')) || !(addresses = strchr(mac + 1, ' ')) || mac - text != 4 || text[3] < '1' || text[3] > '9')
    return "that is no network card";
  *mac++ = *addresses++ = '\0';
  while (!(index = find(mac, is)) && boot_usec() < end)
    usleep(LOOK_USEC);
  if (!index)
    return "there is no network card with its MAC address";
  if (!rtnl_open())
    return "netlink cannot be opened";
  const char *wrong = set_up(index, is, text, addresses, (unsigned char)(TABLES + text[3] - '0'));
  rtnl_close();
  return wrong;
}

void
verb_card(const struct request *r)
{
  const char *wrong = r->card ? card_setup(r->card, COME_USEC) : "which one is not said";

  if (wrong)
    answer_error(r->card ? CODE_INTERNAL : CODE_INVALID, "the network card %.4s: %s", r->card ? r->card : "", wrong);
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}
