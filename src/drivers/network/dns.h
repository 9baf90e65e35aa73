// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The DHCP and DNS server of one space: a dnsmasq that runs in the space's namespace as an unprivileged user and outlives
 * us. Everything of it is in one directory; what its instances are called is in files there that it watches (inotify), so
 * adding one needs neither restart nor signal. One thread at a time per directory. Blocking. */
#include <glib.h>
#include <stdbool.h>

typedef struct PtDns {
  const char *dir;      /* "RUN/net/<space>/dns" */
  int ns;
  const char *link;     /* it serves this interface only */
  const char *domain;   /* "home.internal" */
  const char *gateway;  /* its own address, IPv4 */
  const char *network, *netmask;
  const char *upstream; /* address of a server, "@FILE" in the form of resolv.conf, or NULL: it knows only the space */
} PtDns;

/* Runs afterwards with this configuration: started, started again where the configuration changed, or found alive. */
bool pt_dns_up(const PtDns *dns, GError **error);
bool pt_dns_alive(const char *dir);
/* Ends it and waits for that; not running is success. */
bool pt_dns_down(const char *dir, GError **error);

/* Enters and removes an instance, or (`further`) a further card of one: that is told its address alone by DHCP, and no name that it says
 * it has is believed. `address6` may be NULL. */
bool pt_dns_add(const PtDns *dns, const char *id, const char *name, bool further, const char *address, const char *address6,
                const char *mac, GError **error);
bool pt_dns_remove(const PtDns *dns, const char *id, GError **error);
