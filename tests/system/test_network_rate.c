// SPDX-License-Identifier: Apache-2.0
/* How fast a port may be: both ways, changed while it is up, and gone with it. What is measured is only ever how much came through at
 * most, and that much more comes through without a limit than the limit would have let in that time. */
#include <poll.h>
#include <unistd.h>

#include "drivers/network/record.h"
#include "network_bed.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)
#define LONG (60 * G_USEC_PER_SEC) /* for what takes a fraction of a second */

static const PtNetDriver *const d = &pt_net_bridge;

/* Sends from one guest to the other until `usec` are over or `bytes` have come. What came; *ret_usec: in which time. */
static guint64
transfer(const Guest *from, const Guest *to, gint64 usec, guint64 bytes, gint64 *ret_usec)
{
  static char data[64 << 10];
  int listening = listener(to->ns, to->address, 5000), out = sock(from->ns, SOCK_STREAM), in = -1;
  struct sockaddr_in a = at(to->address, 5000);
  guint64 got = 0;
  gint64 begun = g_get_monotonic_time();

  (void)connect(out, (struct sockaddr *)&a, sizeof a);
  for (gint64 now = begun; got < bytes && (now - begun < usec || !got); now = g_get_monotonic_time()) {
    struct pollfd p[] = { { .fd = in < 0 ? listening : in, .events = POLLIN }, { .fd = out, .events = POLLOUT } };
    poll(p, 2, 100);
    if (in < 0)
      in = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (p[1].revents & POLLOUT)
      (void)!write(out, data, sizeof data);
    ssize_t n = in < 0 ? -1 : read(in, data, sizeof data);
    if (n > 0)
      got += (guint64)n;
  }
  *ret_usec = g_get_monotonic_time() - begun;
  close(listening);
  close(out);
  if (in >= 0)
    close(in);
  return got;
}

/* Two seconds of it are no more than the rate allows, with what goes at once and what waited. */
static void
assert_slow(const Guest *from, const Guest *to, guint64 rate)
{
  gint64 took;
  guint64 got = transfer(from, to, 2 * G_USEC_PER_SEC, G_MAXUINT64, &took);
  double most = (double)rate * (double)took / G_USEC_PER_SEC * 1.1 + (double)MIB / 2;

  g_test_message("%s to %s: %.2f MiB/s of %.2f", from->name, to->name, (double)got / (double)took * G_USEC_PER_SEC / (double)MIB,
                 (double)rate / (double)MIB);
  g_assert_cmpuint(got, >, 0);
  g_assert_cmpfloat((double)got, <, most);
}

/* As much as the rate would let through in two minutes comes in less than half of that. */
static void
assert_fast(const Guest *from, const Guest *to, guint64 rate)
{
  gint64 took;

  g_assert_cmpuint(transfer(from, to, LONG, 120 * rate, &took), >=, 120 * rate);
}

static void
set_rate(PtNet *net, const Guest *g, guint64 in, guint64 out)
{
  g_autoptr(GError) error = NULL;
  PtNetPort port = port_of(g);

  port.rate_in = in;
  port.rate_out = out;
  d->port_rate(net, g->space, &port, &error);
  g_assert_no_error(error);
}

static PtNl *
inside(const char *space)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_build_filename(host.run, "net", space, "ns", NULL);
  int ns = pt_netns_open(path, &error);

  g_assert_no_error(error);
  PtNl *nl = pt_nl_open(ns, &error);
  g_assert_no_error(error);
  close(ns);
  return nl;
}

/* Started with limits, as the reconciler does it. */
static void
limited_up(PtNet *net, Guest *g, guint64 in, guint64 out)
{
  g_autoptr(GError) error = NULL;
  PtNetPort port = port_of(g);

  port.rate_in = in;
  port.rate_out = out;
  guest_start(g);
  d->port_up(net, g->space, &port, g->pid, &error);
  g_assert_no_error(error);
}

static void
test_rates(void)
{
  PtNet *net = open_net("none");

  space_up(net, &alpha);
  limited_up(net, &a1, MIB, MIB / 2);
  guest_up(net, &a2);
  assert_slow(&a1, &a2, MIB / 2);
  assert_slow(&a2, &a1, MIB);

  /* Who it is stays checked behind the detour. */
  g_autofree char *spoof = in(a1.ns, "ip addr add 10.83.0.99/24 dev eth0; busybox ping -c1 -W60 10.83.0.12 >/dev/null && echo own; "
                                     "busybox ping -c2 -W1 -I 10.83.0.99 10.83.0.12 >/dev/null && echo foreign");
  g_assert_cmpstr(spoof, ==, "own\n");

  set_rate(net, &a1, 0, 4 * MIB); /* one way is free, the other has another limit */
  assert_fast(&a2, &a1, MIB);
  assert_slow(&a1, &a2, 4 * MIB);
  set_rate(net, &a1, 0, MIB);
  set_rate(net, &a1, 0, 0);
  assert_fast(&a1, &a2, MIB);
  set_rate(net, &a1, 0, 0);
  set_rate(net, &a1, 10 * 1024 * MIB, 10 * 1024 * MIB); /* over what 32 bits hold */
  assert_fast(&a1, &a2, MIB);
  assert_fast(&a2, &a1, MIB);
  guest_end(&a1);
  guest_end(&a2);
  close_net(net);
}

/* A predecessor was killed in its middle, or before it could tell us: it is all done again. And nothing is left when the port goes. */
static void
test_rates_adopted(void)
{
  PtNet *net = open_net("none");
  g_autoptr(GError) error = NULL;
  char link[16], detour[16];

  space_up(net, &alpha);
  guest_up(net, &a1);
  guest_up(net, &a2);
  pt_net_link_name(a1.id, link);
  pt_net_detour_name(a1.id, detour);
  g_autoptr(PtNl) nl = inside(alpha.id);
  g_assert_true(pt_nl_ifb_add(nl, detour, &error)); /* and no way there yet */
  d->close(net);
  net = open_net("none");
  set_rate(net, &a1, 0, MIB);
  assert_slow(&a1, &a2, MIB);
  d->close(net);
  net = open_net("none");
  assert_slow(&a1, &a2, MIB); /* a restart lets nothing loose */

  guest_end(&a1);
  limited_up(net, &a1, 0, MIB / 2); /* started anew: what goes away is not taken for what comes */
  assert_slow(&a1, &a2, MIB / 2);
  g_assert_true(d->port_down(net, alpha.id, a1.id, &error));
  PtNetPort port = port_of(&a1);
  g_assert_false(d->port_rate(net, alpha.id, &port, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  for (gint64 end = g_get_monotonic_time() + LONG; pt_nl_link_exists(nl, link) || pt_nl_link_exists(nl, detour); g_usleep(10000))
    g_assert_cmpint(g_get_monotonic_time(), <, end);
  guest_end(&a1);
  guest_end(&a2);
  close_net(net);
}

static void
add(void)
{
  g_test_add_func("/network-rate/both-ways", test_rates);
  g_test_add_func("/network-rate/adopted", test_rates_adopted);
}

int
main(int argc, char **argv)
{
  return bed_main(add, argc, argv);
}
