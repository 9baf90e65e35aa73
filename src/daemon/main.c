// SPDX-License-Identifier: Apache-2.0
/* portenad: wiring, and the order of start and end. SIGTERM ends the daemon and leaves the instances running (a restart, an
 * upgrade); SIGINT, or SIGTERM under --drain, stops the instances first (the end of `make run`, the host's shutdown): they
 * come back with the next start. */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "base/dir.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "sys/cgroup.h"
#include "sys/process.h"
#include "sys/zram.h"

typedef struct {
  GMainLoop *loop;
  bool drain;
} End;

static gboolean
on_term(gpointer data)
{
  End *e = data;

  g_main_loop_quit(e->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_int(gpointer data)
{
  End *e = data;

  e->drain = true;
  g_main_loop_quit(e->loop);
  return G_SOURCE_CONTINUE;
}

/* A dozen systemd guests use up the kernel's default of inotify instances, keys and pids; raised, never lowered. */
static void
tune(void)
{
  static const struct {
    const char *path;
    long least;
  } wanted[] = {
    { "/proc/sys/fs/inotify/max_user_instances", 8192 },
    { "/proc/sys/fs/inotify/max_user_watches", 1048576 },
    { "/proc/sys/kernel/keys/maxkeys", 20000 },
    { "/proc/sys/kernel/keys/maxbytes", 2000000 },
  };

  for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
    g_autofree char *now = NULL;
    if (!g_file_get_contents(wanted[i].path, &now, NULL, NULL) || strtol(now, NULL, 10) >= wanted[i].least)
      continue;
    FILE *f = fopen(wanted[i].path, "we");
    if (!f || fprintf(f, "%ld\n", wanted[i].least) < 0 || fflush(f) != 0)
      pt_log_warn("portenad", "%s stays at %s", wanted[i].path, g_strchomp(now));
    if (f)
      fclose(f);
  }
}

/* sd_notify(3), where a service manager listens. Nothing depends on it here: a failure is its to notice. */
static void
tell_manager(const char *what)
{
  const char *path = g_getenv("NOTIFY_SOCKET");
  struct sockaddr_un to = { .sun_family = AF_UNIX };
  gsize n = path ? strlen(path) : 0;

  if (n < 2 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
    return;
  memcpy(to.sun_path, path, n);
  if (path[0] == '@')
    to.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
  if (fd < 0 || sendto(fd, what, strlen(what), MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0)
    pt_log_warn("portenad", "%s: %s", path, g_strerror(errno));
  if (fd >= 0)
    close(fd);
}

typedef struct {
  int home; /* of what outlives us, -1 = none */
  PtHost *host;
  PtStore *store;
  PtBus *bus;
  PtOps *ops;
  PtAgent *agent;
  PtApi *api;
} Daemon;

static bool
make_home(Daemon *d, GError **error)
{
  g_autoptr(GError) local = NULL;

  d->home = pt_cgroup_home(d->host, &local);
  pt_process_home(d->home);
  if (!local)
    return true;
  g_propagate_error(error, g_steal_pointer(&local));
  return false;
}

static bool
daemon_up(Daemon *d, const PtConfig *c, GError **error)
{
  g_autofree char *db = g_build_filename(c->state, "store.db", NULL);
  const struct passwd *gateway = getpwnam(c->gateway_user);
  const struct group *group = gateway ? getgrgid(gateway->pw_gid) : NULL; /* who may reach the socket: root and the gateway */
  PtApiConfig api = { .gateway_uid = gateway ? (gint64)gateway->pw_uid : -1, .group = group ? group->gr_name : NULL,
                      .url = c->url };
  bool adopted = false;

  if (!pt_dir_make(c->state, 0711, error) || !pt_dir_make(c->run, 0755, error) || !pt_host_enter_mounts(c->run, &adopted, error))
    return false;
  d->host = pt_host_new(c->state, c->run, c->libexec, c->node, c->uplink, c->cgroup, error);
  if (d->host)
    d->host->templates = c->templates;
  if (d->host && c->tune) {
    d->host->tune = true;
    pt_host_favour_moves(d->host);
  }
  if (!d->host || !make_home(d, error) || !(d->store = pt_store_open_sqlite(db, error)) || !(d->bus = pt_bus_new(d->store, error)))
    return false;
  d->ops = pt_ops_new(d->store, d->bus);
  if (!pt_ops_recover(d->ops, error) || !(d->agent = pt_agent_new(d->host, d->store, d->bus, d->ops, error)))
    return false;
  if (adopted)
    pt_log_info("portenad", "took over what a predecessor left running");
  d->api = pt_api_new(d->host, d->store, d->bus, d->ops, d->agent, &api, error);
  return d->api && pt_api_first_run(d->api, error) && pt_api_listen(d->api, error);
}

static bool
daemon_down(Daemon *d, bool drain, GError **error)
{
  bool ok = true;

  pt_api_free(d->api);
  if (drain && d->agent) {
    pt_log_info("portenad", "stopping the instances");
    ok = pt_agent_drain(d->agent, error);
  }
  pt_agent_free(d->agent);
  pt_ops_free(d->ops);
  if (d->bus)
    pt_bus_free(d->bus);
  if (d->store)
    pt_store_close(d->store);
  if (d->agent) { /* they were ours to make; where something still runs, or is in it, they stay */
    pt_cgroup_remove_own(d->host);
    pt_zram_remove(d->host, drain);
  }
  pt_host_free(d->host);
  return ok;
}

int
main(int argc, char **argv)
{
  g_autoptr(GError) err = NULL;
  g_autoptr(PtConfig) c = NULL;
  Daemon d = { .home = -1 };
  End end = { NULL, false };

  umask(0022);
  prctl(PR_SET_DUMPABLE, 0); /* passwords and keys are in our memory: no core file of it */
  mallopt(M_ARENA_MAX, 4); /* a thread a connection would else keep an arena each */
  c = pt_config_new(&argc, &argv, &err);
  if (!c)
    goto failed;
  if (geteuid() != 0) {
    PT_SET(&err, PT_ERR_FORBIDDEN, "portenad must run as root: it makes namespaces, mounts and networks");
    goto failed;
  }
  if (c->debug)
    pt_log_set_max(7);
  if (c->tune)
    tune();
  signal(SIGPIPE, SIG_IGN);
  if (!daemon_up(&d, c, &err))
    goto failed;
  end.loop = g_main_loop_new(NULL, FALSE);
  end.drain = false;
  g_unix_signal_add(SIGTERM, c->drain ? on_int : on_term, &end);
  g_unix_signal_add(SIGINT, on_int, &end);
  pt_log_info("portenad", "ready: %s/api.sock", c->run);
  tell_manager("READY=1");
  g_main_loop_run(end.loop);
  g_main_loop_unref(end.loop);
  tell_manager("STOPPING=1");
  if (!daemon_down(&d, end.drain, &err))
    goto failed_down;
  return 0;
failed:
  daemon_down(&d, false, NULL);
failed_down: {
  g_autofree char *summary = pt_error_summary(err);
  const char *hint = pt_error_get_hint(err);
  fprintf(stderr, "portenad: %s\n", summary);
  if (hint)
    fprintf(stderr, "  %s\n", hint);
  return g_error_matches(err, PT_ERROR, PT_ERR_INVALID) ? 2 : 1;
}
}
