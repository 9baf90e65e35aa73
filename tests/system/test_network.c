// SPDX-License-Identifier: Apache-2.0
/* Spaces and ports with the kernel's real bridges and a real dnsmasq. Root only; otherwise skipped. */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "network_bed.h"

static const PtNetDriver *const d = &pt_net_bridge;

/* ---- names and addresses ---- */

static void
test_names(void)
{
  PtNet *net = open_net("none");
  g_autoptr(GError) error = NULL;

  space_up(net, &alpha);
  space_up(net, &beta);
  guest_up(net, &a1);
  guest_up(net, &a2);
  guest_up(net, &b1);
  guest_up(net, &b3);
  assert_answers(a1.ns, "two", "10.83.0.12");
  assert_answers(a1.ns, "two.alpha.internal", "10.83.0.12");
  assert_answers(a1.ns, "two.alpha.internal", "fd12:3456:789a:1::12");
  assert_answers(b1.ns, "three.beta.internal", "10.83.0.13");
  g_autofree char *foreign = in(a1.ns, "busybox nslookup three.beta.internal 10.83.0.1; busybox nslookup example.com 10.83.0.1");
  g_assert_null(strstr(foreign, "10.83.0.13"));

  /* A name goes with its port. */
  g_assert_true(d->port_down(net, alpha.id, a2.id, &error));
  g_assert_no_error(error);
  g_assert_true(d->port_down(net, alpha.id, a2.id, &error));
  g_autofree char *gone = NULL;
  for (guint i = 0; i < 1500 && (!gone || strstr(gone, "10.83.0.12")); i++) {
    g_usleep(20000);
    g_free(gone);
    gone = in(a1.ns, "busybox nslookup two.alpha.internal 10.83.0.1");
  }
  g_assert_null(strstr(gone, "10.83.0.12"));

  /* dnsmasq dies and comes back, and knows what it knew. */
  g_autofree char *file = g_build_filename(host.run, "net", alpha.id, "dns", "pid", NULL);
  g_autofree char *text = NULL;
  g_assert_true(g_file_get_contents(file, &text, NULL, &error));
  kill(atoi(text), SIGKILL);
  await_end(atoi(text));
  space_up(net, &alpha);
  assert_answers(a1.ns, "one", "10.83.0.11");
  guest_end(&a1);
  guest_end(&a2);
  guest_end(&b1);
  guest_end(&b3);
  close_net(net);
}

static void
test_dhcp(void)
{
  PtNet *net = open_net("none");
  g_autofree char *script = g_build_filename(host.run, "udhcpc", NULL);
  g_autofree char *command = g_strdup_printf("busybox udhcpc -i eth0 -n -q -f -t 120 -T 1 -s %s", script);

  g_assert_true(g_file_set_contents(script, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"$ip $subnet $router $dns $domain $hostname\"\nexit 0\n", -1, NULL));
  g_assert_cmpint(chmod(script, 0755), ==, 0);
  space_up(net, &alpha);
  guest_up(net, &a1);
  g_autofree char *got = in(a1.ns, command);
  g_assert_nonnull(strstr(got, "10.83.0.11 255.255.255.0 10.83.0.1 10.83.0.1 alpha.internal one"));
  guest_end(&a1);
  close_net(net);
}

/* ---- isolation ---- */

static void
test_inside(void)
{
  PtNet *net = open_net("none");
  g_autoptr(GError) error = NULL;
  guint64 rx = 0, tx = 0;

  space_up(net, &alpha);
  space_up(net, &beta);
  guest_up(net, &a1);
  guest_up(net, &a2);
  guest_up(net, &b1);
  guest_up(net, &b3);
  int two = listener(a2.ns, "0.0.0.0", 80), three = listener(b3.ns, "0.0.0.0", 80), node = listener(node_ns, "0.0.0.0", 81);
  g_assert_true(connects(a1.ns, a2.address, 80, 20000));
  g_assert_true(connects(b1.ns, b3.address, 80, 20000));
  g_assert_false(connects(a1.ns, b3.address, 80, 300)); /* lives in the other space only */
  g_assert_false(connects(a1.ns, "10.83.0.1", 81, 300));
  g_assert_false(connects(a1.ns, NODE, 81, 300));
  g_autofree char *ping = in(a1.ns, "for i in $(seq 60); do busybox ping -c1 -W2 10.83.0.1 >/dev/null && echo yes && break; done; "
                                    "for i in $(seq 60); do busybox ping -6 -c1 -W2 fd12:3456:789a:1::12 >/dev/null && echo six && break; done");
  g_assert_cmpstr(ping, ==, "yes\nsix\n");
  g_assert_true(d->port_stats(net, alpha.id, a1.id, &rx, &tx, &error));
  g_assert_cmpuint(rx, >, 100);
  g_assert_cmpuint(tx, >, 100);
  g_assert_false(d->port_stats(net, alpha.id, "absent", &rx, &tx, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  close(two);
  close(three);
  close(node);
  guest_end(&a1);
  guest_end(&a2);
  guest_end(&b1);
  guest_end(&b3);
  close_net(net);
}

/* ---- life ---- */

static void
test_speed(void)
{
  PtNet *net = open_net("none");
  g_autoptr(GError) error = NULL;
  gint64 best = G_MAXINT64, down = G_MAXINT64, start = g_get_monotonic_time();
  PtNetPort port = port_of(&a1);

  space_up(net, &alpha);
  g_test_message("space up: %.1f ms", (double)(g_get_monotonic_time() - start) / 1000);
  for (guint i = 0; i < 10; i++) {
    guest_start(&a1);
    start = g_get_monotonic_time();
    g_assert_true(d->port_up(net, alpha.id, &port, a1.pid, &error));
    best = MIN(best, g_get_monotonic_time() - start);
    start = g_get_monotonic_time();
    g_assert_true(d->port_down(net, alpha.id, a1.id, &error));
    down = MIN(down, g_get_monotonic_time() - start);
    guest_end(&a1);
  }
  g_test_message("port up: %.2f ms, down: %.2f ms at best", (double)best / 1000, (double)down / 1000);
  close_net(net);
}

/* Killed anywhere in space_up and port_up: the next one sweeps up. */
static void
test_killed(void)
{
  for (guint i = 0; i < 12; i++) {
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
      PtNet *net = open_net("auto");
      for (;;) {
        space_up(net, &alpha);
        space_up(net, &beta);
        guest_up(net, &a1);
        guest_end(&a1);
        if (!d->space_down(net, alpha.id, NULL))
          _exit(1);
      }
    }
    g_usleep((gulong)g_random_int_range(1000, 120000));
    kill(pid, SIGKILL);
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));
    PtNet *net = open_net("auto");
    space_up(net, &alpha);
    space_up(net, &beta);
    guest_up(net, &a1);
    assert_answers(a1.ns, "one", "10.83.0.11");
    guest_end(&a1);
    close_net(net);
  }
}

/* A daemon dies with its mount namespace: nothing is bound any more, but its dnsmasq holds the old network. */
static void
test_namespace_dies(void)
{
  pid_t pid = fork();
  int status;

  g_assert_cmpint(pid, >=, 0);
  if (pid == 0) {
    if (unshare(CLONE_NEWNS) < 0)
      _exit(1);
    PtNet *net = open_net("auto");
    space_up(net, &alpha);
    raise(SIGKILL);
  }
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  g_assert_true(WIFSIGNALED(status));
  PtNet *net = open_net("auto");
  g_autoptr(GPtrArray) up = d->spaces(net, NULL);
  g_assert_cmpuint(up->len, ==, 0);
  space_up(net, &alpha);
  close_net(net);
}

typedef struct Many {
  PtNet *net;
  Guest guest;
  GThread *thread;
} Many;

static gpointer
one_of_many(gpointer data)
{
  g_autoptr(GError) error = NULL;
  Many *m = data;
  PtNetPort port = port_of(&m->guest);

  d->port_up(m->net, alpha.id, &port, m->guest.pid, &error);
  g_assert_no_error(error);
  return NULL;
}

static void
test_parallel(void)
{
  PtNet *net = open_net("none");
  g_autoptr(GError) error = NULL;
  Many many[20];

  space_up(net, &alpha);
  for (guint i = 0; i < G_N_ELEMENTS(many); i++) {
    Guest *g = &many[i].guest;
    *g = (Guest){ .space = alpha.id, .id = g_strdup_printf("many-%u", i), .name = g_strdup_printf("many%u", i),
                  .address = g_strdup_printf("10.83.0.%u", 50 + i), .mac = g_strdup_printf("02:50:00:00:01:%02x", i) };
    guest_start(g);
    many[i].net = net;
  }
  gint64 start = g_get_monotonic_time();
  for (guint i = 0; i < G_N_ELEMENTS(many); i++)
    many[i].thread = g_thread_new("port", one_of_many, &many[i]);
  for (guint i = 0; i < G_N_ELEMENTS(many); i++)
    g_thread_join(many[i].thread);
  g_test_message("20 ports at once: %.1f ms", (double)(g_get_monotonic_time() - start) / 1000);
  int last = listener(many[19].guest.ns, "0.0.0.0", 80);
  for (guint i = 0; i + 1 < G_N_ELEMENTS(many); i++) {
    g_assert_true(connects(many[i].guest.ns, many[19].guest.address, 80, 20000));
    g_autofree char *who = accepted_from(last);
    g_assert_cmpstr(who, ==, many[i].guest.address);
  }
  close(last);
  start = g_get_monotonic_time();
  for (guint i = 0; i < G_N_ELEMENTS(many); i++) {
    Guest *g = &many[i].guest;
    g_assert_true(d->port_down(net, alpha.id, g->id, &error));
    guest_end(g);
    g_free((char *)(gpointer)g->id);
    g_free((char *)(gpointer)g->name);
    g_free((char *)(gpointer)g->address);
    g_free((char *)(gpointer)g->mac);
  }
  g_test_message("20 down: %.1f ms", (double)(g_get_monotonic_time() - start) / 1000);
  close_net(net);
}

static void
test_bad(void)
{
  PtNet *net = open_net("none");
  static const PtNetSpace bad[] = {
    { "../x", "alpha", "10.83.0.0/24", NULL }, { "space-a", "al pha", "10.83.0.0/24", NULL },
    { "space-a", "alpha", "10.83.0.0", NULL }, { "space-a", "alpha", "10.83.0.0/31", NULL },
    { "space-a", "alpha", "x/24", NULL },      { "space-a", "alpha", "10.83.0.0/24", "fd00::/48" },
  };
  Guest wrong[] = { a1, a1, a1, a1 };

  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_false(d->space_up(net, &bad[i], &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  }
  wrong[0].address = "10.84.0.2";
  wrong[1].address = "10.83.0.1";
  wrong[2].mac = "02:50:00:00:00:1; drop";
  wrong[3].name = "a\nb";
  space_up(net, &alpha);
  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(GError) error = NULL;
    PtNetPort port = port_of(&wrong[i]);
    g_assert_false(d->port_up(net, alpha.id, &port, getpid(), &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  }
  g_autoptr(GError) error = NULL;
  host.uplink[0] = '\0';
  g_free(host.uplink);
  host.uplink = g_strdup("absent0");
  g_assert_null(d->open(&host, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  close_net(net);
}

static void
add(void)
{
  g_test_add_func("/network/bad", test_bad);
  g_test_add_func("/network/inside", test_inside);
  g_test_add_func("/network/names", test_names);
  g_test_add_func("/network/dhcp", test_dhcp);
  g_test_add_func("/network/parallel", test_parallel);
  g_test_add_func("/network/namespace-dies", test_namespace_dies);
  g_test_add_func("/network/speed", test_speed);
  g_test_add_func("/network/killed", test_killed);
}

int
main(int argc, char **argv)
{
  return bed_main(add, argc, argv);
}
