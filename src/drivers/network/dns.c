// SPDX-License-Identifier: Apache-2.0
#include "drivers/network/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/network/netns.h"
#include "drivers/network/record.h"
#include "sys/process.h"

#define STOP_WAIT_MS 2000
#define FURTHER "further" /* the tag of further cards */

/* An account of its own where the package made one; dnsmasq's own is the next best. */
static const char *const users[] = { "portena-dns", "dnsmasq", "nobody" };

typedef struct User {
  const char *name;
  char group[64];
  uid_t uid;
  gid_t gid;
} User;

static bool
look_up_user(User *ret)
{
  for (guint i = 0; i < G_N_ELEMENTS(users); i++) {
    struct passwd pw, *found = NULL;
    char buf[4096];

    if (getpwnam_r(users[i], &pw, buf, sizeof buf, &found) != 0 || !found)
      continue;
    *ret = (User){ .name = users[i], .uid = pw.pw_uid, .gid = pw.pw_gid };
    struct group gr, *group = NULL;
    if (getgrgid_r(ret->gid, &gr, buf, sizeof buf, &group) == 0 && group)
      g_strlcpy(ret->group, gr.gr_name, sizeof ret->group);
    if (*ret->group)
      return true;
  }
  return false;
}

/* Accounts may be looked up over many files and services, so it is done once. */
static bool
find_user(User *ret, GError **error)
{
  static GMutex lock;
  static User user;

  g_mutex_lock(&lock);
  bool found = user.name || look_up_user(&user);
  if (!found)
    user.name = NULL;
  *ret = user;
  g_mutex_unlock(&lock);
  if (!found) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "dnsmasq: no user to run it as");
    pt_error_hint(error, "install the package dnsmasq-base, or add a system user 'portena-dns'");
  }
  return found;
}

/* ---- the process ---- */

/* Arguments are a process's memory, and a guest's can be made to let its reader wait for ever (container/commands.c): only what
 * root or dnsmasq's account runs is looked at. */
static bool
is_ours(pid_t pid)
{
  g_autofree char *dir = g_strdup_printf("/proc/%d", pid);
  struct stat st;
  User user;

  return stat(dir, &st) == 0 && (st.st_uid == 0 || (find_user(&user, NULL) && st.st_uid == user.uid));
}

/* A pidfd of process `pid` if it is a dnsmasq that was started with the file of `dir`, or -1. */
static int
open_process(const char *dir, pid_t pid)
{
  g_autofree char *cmdline = g_strdup_printf("/proc/%d/cmdline", pid);
  g_autofree char *conf = g_strdup_printf("--conf-file=%s/dnsmasq.conf", dir);
  g_autofree char *args = NULL;
  gsize n = 0;
  int fd = pid > 1 ? pidfd_open(pid, 0) : -1;

  if (fd < 0)
    return -1;
  if (is_ours(pid) && g_file_get_contents(cmdline, &args, &n, NULL) && memmem(args, n, conf, strlen(conf) + 1))
    return fd;
  close(fd);
  return -1;
}

/* The one that its pid file names. */
static int
find_process(const char *dir)
{
  g_autofree char *file = g_build_filename(dir, "pid", NULL);
  g_autofree char *text = NULL;

  if (!g_file_get_contents(file, &text, NULL, NULL))
    return -1;
  return open_process(dir, (pid_t)g_ascii_strtoll(text, NULL, 10));
}

/* Any: one that was started when its daemon was killed may not have written its pid file. */
static int
search_process(const char *dir)
{
  g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
  const char *name;
  int fd = -1;

  while (proc && fd < 0 && (name = g_dir_read_name(proc))) {
    if (g_ascii_isdigit(*name))
      fd = open_process(dir, (pid_t)g_ascii_strtoll(name, NULL, 10));
  }
  return fd;
}

bool
pt_dns_alive(const char *dir)
{
  int fd = find_process(dir);

  if (fd < 0)
    return false;
  struct pollfd p = { .fd = fd, .events = POLLIN };
  bool alive = poll(&p, 1, 0) == 0;
  close(fd);
  return alive;
}

/* Closes `fd`. */
static bool
end_process(int fd, GError **error)
{
  static const int signals[] = { SIGTERM, SIGKILL };
  bool ended = false;

  for (guint i = 0; !ended && i < G_N_ELEMENTS(signals); i++) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ended = (pidfd_send_signal(fd, signals[i], NULL, 0) < 0 && errno == ESRCH) || poll(&p, 1, STOP_WAIT_MS) == 1;
  }
  close(fd);
  if (!ended)
    PT_SET(error, PT_ERR_TIMEOUT, "dnsmasq: does not end");
  return ended;
}

bool
pt_dns_down(const char *dir, GError **error)
{
  g_autofree char *conf = g_build_filename(dir, "dnsmasq.conf", NULL);
  guint empty = 0;
  int fd;

  if (!g_file_test(conf, G_FILE_TEST_EXISTS)) /* never started */
    return true;
  if ((fd = find_process(dir)) >= 0)
    return end_process(fd, error);
  /* Where the pid file is wrong, one may be on its way to the background: it forks twice, and can slip through one search. */
  while (empty < 3) {
    if ((fd = search_process(dir)) < 0) {
      empty++;
      g_usleep(10000);
    } else if (!end_process(fd, error)) {
      return false;
    }
  }
  return true;
}

static bool
start(const PtDns *dns, GError **error)
{
  g_autofree char *conf = g_strdup_printf("--conf-file=%s/dnsmasq.conf", dns->dir);
  const char *const argv[] = { "dnsmasq", conf, NULL };
  int back = pt_netns_enter(dns->ns, error);

  if (back < 0)
    return false;
  /* It goes to the background by itself once it listens, and says before that what is wrong. */
  bool ok = pt_run(argv, &(PtRunOptions){ .outlive = true }, NULL, error);
  pt_netns_leave(back);
  if (!ok)
    pt_error_hint(error, "its directory %s must be reachable for its user; its configuration is there too", dns->dir);
  return ok;
}

/* ---- its files ---- */

static bool
make_dir(const char *dir, const char *name, mode_t mode, uid_t uid, gid_t gid, GError **error)
{
  g_autofree char *path = g_build_filename(dir, name, NULL);

  if ((mkdir(path, mode) < 0 && errno != EEXIST) || chown(path, uid, gid) < 0 || chmod(path, mode) < 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  return true;
}

static char *
configuration(const PtDns *dns, const User *user)
{
  GString *text = g_string_new(NULL);

  g_string_append_printf(text, "user=%s\ngroup=%s\npid-file=%s/pid\n", user->name, user->group, dns->dir);
  g_string_append_printf(text, "interface=%s\nexcept-interface=lo\nbind-interfaces\n", dns->link);
  g_string_append_printf(text, "no-hosts\nhostsdir=%s/names\ndhcp-hostsdir=%s/fixed\n", dns->dir, dns->dir);
  g_string_append_printf(text, "dhcp-range=%s,static,%s,12h\ndhcp-authoritative\ndhcp-ignore=tag:!known\n", dns->network, dns->netmask);
  g_string_append_printf(text, "dhcp-leasefile=%s/leases/leases\nquiet-dhcp\nno-ping\n", dns->dir);
  g_string_append_printf(text, "dhcp-option=option:router,%s\ndhcp-option=option:dns-server,%s\n", dns->gateway, dns->gateway);
  g_string_append(text, "dhcp-option=tag:" FURTHER ",option:router\ndhcp-option=tag:" FURTHER ",option:dns-server\n"
                        "dhcp-option=tag:" FURTHER ",option:domain-name\ndhcp-ignore-names=tag:" FURTHER "\n");
  /* Plain names and .internal (reserved for private use by ICANN) are answered here or not at all. */
  g_string_append_printf(text, "domain=%s\nlocal=/internal/\ndomain-needed\nbogus-priv\ncache-size=400\n", dns->domain);
  if (!dns->upstream)
    g_string_append(text, "no-resolv\n");
  else if (*dns->upstream == '@')
    g_string_append_printf(text, "resolv-file=%s\n", dns->upstream + 1);
  else
    g_string_append_printf(text, "no-resolv\nserver=%s\n", dns->upstream);
  return g_string_free(text, FALSE);
}

bool
pt_dns_up(const PtDns *dns, GError **error)
{
  g_autofree char *file = g_build_filename(dns->dir, "dnsmasq.conf", NULL);
  g_autofree char *have = NULL;
  User user;

  if (!find_user(&user, error))
    return false;
  g_autofree char *want = configuration(dns, &user);
  bool same = g_file_get_contents(file, &have, NULL, NULL) && strcmp(have, want) == 0;
  if (same && pt_dns_alive(dns->dir))
    return true;
  return pt_dns_down(dns->dir, error) && make_dir(dns->dir, "", 0750, 0, user.gid, error) &&
         make_dir(dns->dir, "names", 0750, 0, user.gid, error) && make_dir(dns->dir, "fixed", 0750, 0, user.gid, error) &&
         make_dir(dns->dir, "leases", 0700, user.uid, user.gid, error) &&
         pt_net_file_put(dns->dir, "dnsmasq.conf", want, user.gid, error) && start(dns, error);
}

bool
pt_dns_add(const PtDns *dns, const char *id, const char *name, bool further, const char *address, const char *address6, const char *mac,
           GError **error)
{
  g_autofree char *names = g_build_filename(dns->dir, "names", NULL);
  g_autofree char *fixed = g_build_filename(dns->dir, "fixed", NULL);
  g_autofree char *lease = further ? g_strdup_printf("%s,set:" FURTHER ",%s\n", mac, address)
                                   : g_strdup_printf("%s,%s,%s\n", mac, address, name);
  g_autoptr(GString) hosts = g_string_new(NULL);
  User user;

  g_string_append_printf(hosts, "%s %s.%s %s\n", address, name, dns->domain, name);
  if (address6)
    g_string_append_printf(hosts, "%s %s.%s %s\n", address6, name, dns->domain, name);
  return find_user(&user, error) && pt_net_file_put(fixed, id, lease, user.gid, error) &&
         pt_net_file_put(names, id, hosts->str, user.gid, error);
}

bool
pt_dns_remove(const PtDns *dns, const char *id, GError **error)
{
  g_autofree char *name = g_build_filename(dns->dir, "names", id, NULL);
  g_autofree char *fixed = g_build_filename(dns->dir, "fixed", id, NULL);

  if ((unlink(name) < 0 && errno != ENOENT) || (unlink(fixed) < 0 && errno != ENOENT)) {
    pt_error_errno(error, errno, "%s", name);
    return false;
  }
  /* It does not forget a lease whose file went until it is told to read again. */
  int fd = find_process(dns->dir);
  if (fd >= 0) {
    pidfd_send_signal(fd, SIGHUP, NULL, 0);
    close(fd);
  }
  return true;
}
