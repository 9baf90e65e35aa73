// SPDX-License-Identifier: Apache-2.0
/* The way out, its absence, and published ports. Root only; otherwise skipped. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "network_bed.h"

static const PtNetDriver *const d = &pt_net_bridge;

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
  g_assert_true(connects(a1.ns, WORLD, 80, 20000));
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

  g_assert_cmpint(connects(world_ns, NODE, port, expect ? 20000 : 500), ==, expect);
  if (expect) {
    g_autofree char *who = accepted_from(listening);
    g_assert_cmpstr(who, ==, WORLD); /* the guest sees who it is */
  }
  for (guint i = 0; i < G_N_ELEMENTS(ways); i++) { /* the node itself */
    g_assert_cmpint(connects(node_ns, ways[i], port, expect ? 20000 : 500), ==, expect);
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
  g_assert_true(connects(a1.ns, NODE, 8080, 20000)); /* itself, the long way round */
  g_assert_true(connects(b3.ns, NODE, 8080, 20000)); /* another space: it is public */
  g_free(accepted_from(web));
  g_free(accepted_from(web));

  struct sockaddr_in to = at(NODE, 5353), any = at("0.0.0.0", 53);
  int udp = sock(world_ns, SOCK_DGRAM), dns = sock(a1.ns, SOCK_DGRAM);
  struct pollfd p = { .fd = dns, .events = POLLIN };
  g_assert_cmpint(bind(dns, (struct sockaddr *)&any, sizeof any), ==, 0);
  g_assert_cmpint(sendto(udp, "hi", 2, 0, (struct sockaddr *)&to, sizeof to), ==, 2);
  g_assert_cmpint(poll(&p, 1, 20000), ==, 1);

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
  g_assert_true(connects(node_ns, "127.0.0.1", 8081, 20000));
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

static void
add(void)
{
  g_test_add_func("/network/no-uplink", test_no_uplink);
  g_test_add_func("/network/uplink", test_uplink);
  g_test_add_func("/network/publish", test_publish);
}

int
main(int argc, char **argv)
{
  return bed_main(add, argc, argv);
}
