// SPDX-License-Identifier: Apache-2.0
/* Further network cards of a guest that runs: in its own space and in another, taken over, taken away, and cut off in the middle. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/network/record.h"
#include "network_bed.h"

#define LONG (120 * G_USEC_PER_SEC)

static const PtNetDriver *const d = &pt_net_bridge;

/* The second space with another network than the first's: who is in both has to tell them apart. */
static const PtNetSpace lab = { "space-b", "lab", "10.84.0.0/24", "fd12:3456:789a:2::/64" };
static Guest l1 = { .space = "space-b", .id = "i-l1", .name = "bench", .address = "10.84.0.13", .address6 = "fd12:3456:789a:2::13", .mac = "02:50:00:00:01:13" };

static const PtNetPort there = { .id = "i-a1-eth1", .name = "one", .card = "eth1", .host = "eth1.one.alpha", .address = "10.84.0.21",
                                 .address6 = "fd12:3456:789a:2::21", .mac = "02:50:00:00:02:21" };
static const PtNetPort here = { .id = "i-a1-eth2", .name = "one", .card = "eth2", .host = "eth2.one", .address = "10.83.0.22",
                                .address6 = "fd12:3456:789a:1::22", .mac = "02:50:00:00:02:22" };

static void
plug(PtNet *net, const char *space, const PtNetPort *card)
{
  g_autoptr(GError) error = NULL;

  d->port_up(net, space, card, a1.pid, &error);
  g_assert_no_error(error);
}

static void
unplug(PtNet *net, const char *space, const PtNetPort *card)
{
  g_autoptr(GError) error = NULL;

  d->card_down(net, space, card, a1.pid, &error);
  g_assert_no_error(error);
}

static guint
cards(PtNet *net)
{
  g_autoptr(GPtrArray) all = d->cards(net, a1.id);

  for (guint i = 0; i < all->len; i++) {
    const PtNetCard *c = g_ptr_array_index(all, i);
    g_assert_true(c->whole);
    g_assert_cmpuint(pt_net_card_number(c->name), >, 0);
  }
  return all->len;
}

/* What the guest has beside its first card. */
static void
assert_guest_clean(void)
{
  g_autofree char *links = in(a1.ns, "ip -o link | grep -c ' eth[1-9]'; ip rule | grep -c 10[0-9]:; ip -6 rule | grep -c 10[0-9]:");

  g_assert_cmpstr(links, ==, "0\n0\n0\n");
}

/* dnsmasq hears of a new file a moment later. */
static void
assert_name(const Guest *asks, const char *server, const char *name, const char *address)
{
  g_autofree char *command = g_strdup_printf("busybox nslookup %s %s", name, server), *said = in(asks->ns, command);

  for (gint64 end = g_get_monotonic_time() + LONG; !strstr(said, address); g_usleep(20000)) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_free(said);
    said = in(asks->ns, command);
  }
}

static void
test_two_spaces(void)
{
  PtNet *net = open_net("none");

  space_up(net, &alpha);
  space_up(net, &lab);
  guest_up(net, &a1);
  guest_up(net, &a2);
  guest_up(net, &l1);
  int two = listener(a2.ns, "0.0.0.0", 80), bench = listener(l1.ns, "0.0.0.0", 80), one = listener(a1.ns, "0.0.0.0", 80);
  plug(net, lab.id, &there);
  plug(net, alpha.id, &here);
  g_assert_cmpuint(cards(net), ==, 2);
  g_assert_true(connects(a1.ns, l1.address, 80, 60000));
  g_assert_true(connects(a1.ns, a2.address, 80, 60000));
  g_assert_true(connects(l1.ns, there.address, 80, 60000));
  g_assert_true(connects(a2.ns, here.address, 80, 60000)); /* the answer leaves by the card that was asked */
  g_assert_true(connects(a2.ns, a1.address, 80, 60000));
  g_autofree char *six = in(l1.ns, "for i in $(seq 60); do busybox ping -6 -c1 -W2 fd12:3456:789a:2::21 >/dev/null && echo six && break; done");
  g_assert_cmpstr(six, ==, "six\n");
  g_autofree char *six_own = in(a2.ns, "for i in $(seq 60); do busybox ping -6 -c1 -W2 fd12:3456:789a:1::22 >/dev/null && echo six && break; done");
  g_assert_cmpstr(six_own, ==, "six\n");
  assert_name(&l1, "10.84.0.1", "eth1.one.alpha.lab.internal", "10.84.0.21");
  assert_name(&a2, "10.83.0.1", "eth2.one", "10.83.0.22");

  /* It is in both, and no way between them; and nobody else than itself in either. */
  g_autofree char *forward = in(a1.ns, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding");
  g_assert_cmpstr(forward, ==, "0\n0\n");
  g_autofree char *way = in(a2.ns, "ip route add 10.84.0.0/24 via 10.83.0.11 && echo done");
  g_assert_cmpstr(way, ==, "done\n");
  g_assert_false(connects(a2.ns, l1.address, 80, 500));
  g_assert_false(connects(a2.ns, there.address, 80, 500)); /* comes to it, but the answer is not of the card it would leave by */
  g_autofree char *spoof = in(a1.ns, "ip addr add 10.84.0.99/24 dev eth1; busybox ping -c2 -W1 -I 10.84.0.99 10.84.0.13 >/dev/null && echo foreign");
  g_assert_cmpstr(spoof, ==, "");

  d->close(net);
  net = open_net("none"); /* a restart: they are taken over */
  g_assert_cmpuint(cards(net), ==, 2);
  g_assert_true(connects(l1.ns, there.address, 80, 60000));
  unplug(net, lab.id, &there);
  unplug(net, lab.id, &there);
  g_assert_cmpuint(cards(net), ==, 1);
  g_assert_false(connects(l1.ns, there.address, 80, 300));
  g_assert_true(connects(a2.ns, here.address, 80, 60000));
  unplug(net, alpha.id, &here);
  g_assert_cmpuint(cards(net), ==, 0);
  assert_guest_clean();
  for (int fd; (fd = accept(one, NULL, NULL)) >= 0;) /* all that came before */
    close(fd);
  plug(net, lab.id, &there); /* the same again, at once */
  g_assert_true(connects(l1.ns, there.address, 80, 60000));
  close(one);
  close(two);
  close(bench);
  guest_end(&a1);
  guest_end(&a2);
  guest_end(&l1);
  close_net(net);
}

static PtNl *
inside(const char *space)
{
  g_autofree char *path = g_build_filename(host.run, "net", space, "ns", NULL);
  int ns = pt_netns_open(path, NULL);
  PtNl *nl = pt_nl_open(ns, NULL);

  g_assert_nonnull(nl);
  close(ns);
  return nl;
}

/* Killed anywhere while cards come and go: the next one knows of each, and takes them out without a trace. */
static void
test_killed(void)
{
  for (guint i = 0; i < 12; i++) {
    PtNet *net = open_net("none");
    space_up(net, &alpha);
    space_up(net, &lab);
    guest_up(net, &a1);
    d->close(net);
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
      net = open_net("none");
      for (;;) {
        if (!d->port_up(net, lab.id, &there, a1.pid, NULL) || !d->port_up(net, alpha.id, &here, a1.pid, NULL) ||
            !d->card_down(net, lab.id, &there, a1.pid, NULL) || !d->card_down(net, alpha.id, &here, a1.pid, NULL))
          _exit(1);
      }
    }
    g_usleep((gulong)g_random_int_range(5000, 150000));
    kill(pid, SIGKILL);
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));

    net = open_net("none");
    g_autoptr(GPtrArray) all = d->cards(net, a1.id);
    for (guint n = 0; n < all->len; n++) {
      const PtNetCard *c = g_ptr_array_index(all, n);
      unplug(net, c->space, strcmp(c->name, "eth1") == 0 ? &there : &here);
    }
    assert_guest_clean();
    char link[2][16];
    pt_net_link_name(there.id, link[0]);
    pt_net_link_name(here.id, link[1]);
    g_autoptr(PtNl) in_lab = inside(lab.id), in_alpha = inside(alpha.id);
    for (gint64 end = g_get_monotonic_time() + LONG; pt_nl_link_exists(in_lab, link[0]) || pt_nl_link_exists(in_alpha, link[1]); g_usleep(10000))
      g_assert_cmpint(g_get_monotonic_time(), <, end);
    guest_end(&a1);
    close_net(net);
  }
}

static void
test_bad(void)
{
  PtNet *net = open_net("none");
  PtNetPort bad[] = { here, here, here, here };

  space_up(net, &alpha);
  guest_up(net, &a1);
  bad[0].card = "eth0";
  bad[1].card = "eth9";
  bad[2].host = "a\n10.83.0.9 b";
  bad[3].address = "10.84.0.22"; /* of another network */
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_false(d->port_up(net, alpha.id, &bad[i], a1.pid, &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  }
  assert_guest_clean();
  guest_end(&a1);
  close_net(net);
}

static void
add(void)
{
  g_test_add_func("/network-card/bad", test_bad);
  g_test_add_func("/network-card/two-spaces", test_two_spaces);
  g_test_add_func("/network-card/killed", test_killed);
}

int
main(int argc, char **argv)
{
  return bed_main(add, argc, argv);
}
