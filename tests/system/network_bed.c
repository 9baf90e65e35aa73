// SPDX-License-Identifier: Apache-2.0
#include "network_bed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const PtNetDriver *const d = &pt_net_bridge;

PtHost host;
int node_ns, world_ns;

/* Two spaces with the same subnet: nothing about a1 and b1 differs but the space. */
const PtNetSpace alpha = { "space-a", "alpha", "10.83.0.0/24", "fd12:3456:789a:1::/64" };
const PtNetSpace beta = { "space-b", "beta", "10.83.0.0/24", "fd12:3456:789a:1::/64" };
Guest a1 = { .space = "space-a", .id = "i-a1", .name = "one", .address = "10.83.0.11", .address6 = "fd12:3456:789a:1::11", .mac = "02:50:00:00:00:11" };
Guest a2 = { .space = "space-a", .id = "i-a2", .name = "two", .address = "10.83.0.12", .address6 = "fd12:3456:789a:1::12", .mac = "02:50:00:00:00:12" };
Guest b1 = { .space = "space-b", .id = "i-b1", .name = "one", .address = "10.83.0.11", .address6 = "fd12:3456:789a:1::11", .mac = "02:50:00:00:00:11" };
Guest b3 = { .space = "space-b", .id = "i-b3", .name = "three", .address = "10.83.0.13", .address6 = "fd12:3456:789a:1::13", .mac = "02:50:00:00:00:13" };

/* ---- the bed ---- */

/* Output of a shell command inside a namespace, whatever its status. */
char *
in(int ns, const char *command)
{
  const char *argv[] = { "timeout", "300", "sh", "-c", command, NULL };
  g_autoptr(GError) error = NULL;
  char *out = NULL;
  int back = pt_netns_enter(ns, &error);

  g_assert_no_error(error);
  g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out, NULL, NULL, &error);
  g_assert_no_error(error);
  pt_netns_leave(back);
  return out;
}

void
guest_start(Guest *g)
{
  g_autoptr(GError) error = NULL;
  int p[2];
  char c;

  g_assert_cmpint(pipe(p), ==, 0);
  pid_t parent = getpid();
  g->pid = fork();
  g_assert_cmpint(g->pid, >=, 0);
  if (g->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || write(p[1], "x", 1) != 1)
      _exit(1);
    close(p[0]);
    close(p[1]);
    for (;;)
      pause();
  }
  close(p[1]);
  g_assert_cmpint(read(p[0], &c, 1), ==, 1);
  close(p[0]);
  g->ns = pt_netns_of(g->pid, &error);
  g_assert_no_error(error);
}

void
guest_end(Guest *g)
{
  close(g->ns);
  kill(g->pid, SIGKILL);
  waitpid(g->pid, NULL, 0);
}

PtNetPort
port_of(const Guest *g)
{
  return (PtNetPort){ .id = g->id, .name = g->name, .address = g->address, .address6 = g->address6, .mac = g->mac };
}

void
guest_up(PtNet *net, Guest *g)
{
  g_autoptr(GError) error = NULL;
  PtNetPort port = port_of(g);

  guest_start(g);
  d->port_up(net, g->space, &port, g->pid, &error);
  g_assert_no_error(error);
}

PtNet *
open_net(const char *uplink)
{
  g_autoptr(GError) error = NULL;

  g_free(host.uplink);
  host.uplink = g_strdup(uplink);
  PtNet *net = d->open(&host, &error);
  g_assert_no_error(error);
  return net;
}

void
space_up(PtNet *net, const PtNetSpace *space)
{
  g_autoptr(GError) error = NULL;

  d->space_up(net, space, &error);
  g_assert_no_error(error);
}

/* dnsmasq processes with a configuration below `dir`. */
static guint
servers(const char *dir)
{
  g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
  g_autofree char *mark = g_strdup_printf("--conf-file=%s/", dir);
  const char *pid;
  guint n = 0;

  while ((pid = g_dir_read_name(proc))) {
    g_autofree char *path = g_build_filename("/proc", pid, "cmdline", NULL);
    g_autofree char *args = NULL;
    gsize size = 0;
    if (g_ascii_isdigit(*pid) && g_file_get_contents(path, &args, &size, NULL) && memmem(args, size, mark, strlen(mark)))
      n++;
  }
  return n;
}

/* Takes both spaces down and proves that nothing of them is left. */
void
close_net(PtNet *net)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *dir = g_build_filename(host.run, "net", NULL);
  g_autofree char *mounts = NULL;

  g_assert_true(d->space_down(net, alpha.id, &error));
  g_assert_no_error(error);
  g_assert_true(d->space_down(net, beta.id, &error));
  g_assert_true(d->space_down(net, beta.id, &error));
  g_autoptr(GPtrArray) up = d->spaces(net, &error);
  g_assert_cmpuint(up->len, ==, 0);
  d->close(net);

  g_autoptr(GDir) left = g_dir_open(dir, 0, &error);
  g_assert_no_error(error);
  g_assert_null(g_dir_read_name(left));
  g_assert_true(g_file_get_contents("/proc/self/mounts", &mounts, NULL, NULL));
  g_assert_null(strstr(mounts, dir));
  for (guint i = 0; i < 6000 && servers(dir) > 0; i++)
    g_usleep(10000);
  g_assert_cmpuint(servers(dir), ==, 0);
  g_autofree char *tables = in(node_ns, "nft list tables");
  g_assert_null(strstr(tables, "portena"));
  g_autofree char *links = in(node_ns, "ip -o link");
  for (guint i = 0; i < 6000 && strstr(links, " pt"); i++) { /* the kernel takes a namespace apart when it has time */
    g_usleep(10000);
    g_free(links);
    links = in(node_ns, "ip -o link");
  }
  g_assert_null(strstr(links, " pt"));
}

/* ---- probes ---- */

int
sock(int ns, int type)
{
  int back = pt_netns_enter(ns, NULL);
  int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  g_assert_cmpint(fd, >=, 0);
  pt_netns_leave(back);
  return fd;
}

struct sockaddr_in
at(const char *address, guint16 port)
{
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

  g_assert_cmpint(inet_pton(AF_INET, address, &a.sin_addr), ==, 1);
  return a;
}

int
listener(int ns, const char *address, guint16 port)
{
  struct sockaddr_in a = at(address, port);
  int fd = sock(ns, SOCK_STREAM), one = 1;

  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  g_assert_cmpint(bind(fd, (struct sockaddr *)&a, sizeof a), ==, 0);
  g_assert_cmpint(listen(fd, 4), ==, 0);
  return fd;
}

/* Whether a connection from `ns` to address:port comes through within `ms`. */
bool
connects(int ns, const char *address, guint16 port, int ms)
{
  struct sockaddr_in a = at(address, port);
  int fd = sock(ns, SOCK_STREAM), err = 0;
  socklen_t n = sizeof err;
  struct pollfd p = { .fd = fd, .events = POLLOUT };
  bool ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;

  if (!ok && errno == EINPROGRESS && poll(&p, 1, ms) == 1)
    ok = getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err == 0;
  close(fd);
  return ok;
}

/* Who was it that connected last? The caller's. */
char *
accepted_from(int listening)
{
  struct sockaddr_in a = { 0 };
  socklen_t n = sizeof a;
  struct pollfd p = { .fd = listening, .events = POLLIN };
  char text[INET_ADDRSTRLEN];

  g_assert_cmpint(poll(&p, 1, 20000), ==, 1);
  int fd = accept(listening, (struct sockaddr *)&a, &n);
  g_assert_cmpint(fd, >=, 0);
  close(fd);
  return g_strdup(inet_ntop(AF_INET, &a.sin_addr, text, sizeof text));
}

void
await_end(pid_t pid)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);

  for (guint i = 0; i < 6000; i++) {
    g_autofree char *text = NULL;
    const char *state = g_file_get_contents(path, &text, NULL, NULL) ? strrchr(text, ')') : NULL;
    if (!state || state[2] == 'Z')
      return;
    g_usleep(10000);
  }
  g_error("process %d does not end", (int)pid);
}

void
assert_answers(int ns, const char *name, const char *expect)
{
  g_autofree char *command = g_strdup_printf("busybox nslookup %s 10.83.0.1", name), *out = NULL;

  for (guint i = 0; i < 1500; i++) { /* dnsmasq hears of a new file a moment later */
    g_free(out);
    out = in(ns, command);
    if ((strstr(out, expect) != NULL) == (*expect != '\0'))
      break;
    g_usleep(20000);
  }
  if (*expect)
    g_assert_nonnull(strstr(out, expect));
  g_assert_true(*expect || !strstr(out, "Address: "));
}

/* The node's namespace, and the world behind wan0. */
static void
make_bed(void)
{
  g_autoptr(GError) error = NULL;
  int back = pt_netns_current(&error);

  g_assert_no_error(error);
  g_assert_cmpint(unshare(CLONE_NEWNET), ==, 0);
  world_ns = pt_netns_current(&error);
  g_assert_cmpint(unshare(CLONE_NEWNET), ==, 0);
  node_ns = pt_netns_current(&error);
  close(back);
  for (guint i = 0; i < 2; i++) {
    g_assert_true(pt_netns_sysctl(i ? node_ns : world_ns, "ipv6/conf/all/disable_ipv6", "1", &error));
    g_assert_true(pt_netns_sysctl(i ? node_ns : world_ns, "ipv6/conf/default/disable_ipv6", "1", &error));
  }
  g_autoptr(PtNl) node = pt_nl_open(node_ns, &error);
  g_autoptr(PtNl) world = pt_nl_open(world_ns, &error);
  g_assert_true(pt_nl_link_up(node, "lo", &error) && pt_nl_link_up(world, "lo", &error));
  pt_nl_veth_add(node, "wan0", NULL, world_ns, "eth0", NULL, &error);
  g_assert_no_error(error);
  g_assert_true(pt_nl_link_up(world, "eth0", &error));
  g_assert_true(pt_nl_addr_add(node, "wan0", NODE, 24, &error) && pt_nl_addr_add(world, "eth0", WORLD, 24, &error));
  g_assert_true(pt_nl_route_default(node, "wan0", WORLD, &error) && pt_nl_route_default(world, "eth0", NODE, &error));
}

int
bed_main(void (*add)(void), int argc, char **argv)
{
  g_autoptr(GError) error = NULL;

  g_test_init(&argc, &argv, NULL);
  if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
    g_print("1..0 # SKIP networks need root and namespaces\n");
    return 0;
  }
  make_bed();
  g_autofree char *top = g_dir_make_tmp("pt-network-XXXXXX", &error);
  g_assert_no_error(error);
  g_assert_cmpint(chmod(top, 0755), ==, 0); /* dnsmasq's user comes through here */
  host.run = top;
  host.cgroup = g_strdup("pt-test");
  add();
  int rc = g_test_run();

  const char *const rm[] = { "rm", "-rf", "--one-file-system", top, NULL };
  g_spawn_sync(NULL, (char **)rm, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_clear_pointer(&host.cgroup, g_free);
  g_clear_pointer(&host.uplink, g_free);
  return rc;
}
