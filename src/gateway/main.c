// SPDX-License-Identifier: Apache-2.0
/* portena-gateway: the face to the network.
 *
 * Theory of operation. Three processes, none of them root, none with a right of its own at the API:
 *
 *   supervisor   this one: makes the certificate and nginx.conf, starts the others again when they end. Parses nothing foreign.
 *     nginx      TLS, HTTP/2, the pages; passes /v1 to portenad's socket and streams to the next one.
 *     streams    WebSocket, VeNCrypt, thumbnails. The strictest sandbox: no files but the certificate, no exec, Unix sockets.
 *
 * Sockets are opened first, as root where started so; then the user is changed for good, then Landlock and seccomp close
 * in (sandbox.h), and only then anything that listens is started. nginx inherits its sockets the way its own upgrade
 * does (environment NGINX), so that ports below 1024 need no privilege and a port in use is our error, not its. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/cert.h"
#include "gateway/child.h"
#include "gateway/nginx.h"
#include "gateway/options.h"
#include "gateway/sandbox.h"
#include "gateway/streams.h"
#include "gateway/vnc.h"

#define CERT_CHECK G_TIME_SPAN_HOUR

typedef struct Gateway {
  PtOptions o;
  PtCert cert;
  int streams_fd, web_fd;
  char *web_path; /* "/proc/self/fd/5": leads to the pages even where a directory above them is closed to our user */
  char *streams_path, *conf_path, *inherit; /* inherit: "NGINX=3;4;" */
  int landlock;                             /* its version; 0: the kernel has none */
  bool http2_directive;
  PtChild nginx, streams;
} Gateway;

/* A directory of ours, made where it is missing and given to the user where we are root. */
static bool
own_directory(const char *path, mode_t mode, const char *user, GError **error)
{
  uid_t uid = geteuid();
  gid_t gid = getegid();

  if (uid == 0 && !pt_sandbox_user(user, &uid, &gid, error))
    return false;
  if (!pt_dir_make(path, 0755, error))
    return false;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool ok = fd >= 0 && (geteuid() != 0 || fchown(fd, uid, gid) == 0) && fchmod(fd, mode) == 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", path);
  if (fd >= 0)
    close(fd);
  return ok;
}

static bool
write_file(const char *path, const char *text, GError **error)
{
  g_autoptr(GError) why = NULL;

  if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, &why))
    return true;
  PT_SET(error, PT_ERR_INTERNAL, "%s", why->message);
  return false;
}

static char **
formatted(const GArray *all)
{
  GStrvBuilder *b = g_strv_builder_new();

  for (guint i = 0; i < all->len; i++) {
    g_autofree char *text = pt_addr_format(&g_array_index(all, PtListen, i).addr);
    g_strv_builder_add(b, text);
  }
  char **list = g_strv_builder_end(b);
  g_strv_builder_unref(b);
  return list;
}

/* What a doctor, and portena login, want to know. */
static bool
write_status(const Gateway *g, GError **error)
{
  g_autofree char *path = g_build_filename(g->o.run, "status.json", NULL), *expires = pt_time_format(g->cert.expires);
  g_auto(GStrv) listen = formatted(g->o.listen), vnc = formatted(g->o.vnc);
  g_autoptr(json_t) json = json_pack(
    "{s:s, s:i, s:i, s:i, s:[], s:[], s:{s:s, s:s, s:s, s:s, s:b}, s:{s:i, s:b, s:b, s:b, s:i, s:b}}", "version", PORTENA_VERSION, "pid",
    (int)getpid(), "nginx", (int)g->nginx.pid, "streams", (int)g->streams.pid, "listen", "vnc", "certificate", "path", g->cert.cert_path,
    "fingerprint", g->cert.fingerprint, "pin", g->cert.pin, "expires", expires, "own", (int)g->cert.own, "sandbox", "uid", (int)getuid(),
    "root", getuid() == 0, "no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "seccomp", 1, "landlock", g->landlock,
    "landlock_network", g->landlock >= 4);

  for (guint i = 0; listen[i]; i++)
    json_array_append_new(json_object_get(json, "listen"), json_string(listen[i]));
  for (guint i = 0; vnc[i]; i++)
    json_array_append_new(json_object_get(json, "vnc"), json_string(vnc[i]));
  g_autofree char *text = pt_json_dump(json);
  return write_file(path, text, error);
}

static bool
write_conf(Gateway *g, GError **error)
{
  g_auto(GStrv) listen = formatted(g->o.listen);
  PtNginxSetup setup = { .run = g->o.run, .web = g->web_path, .api = g->o.api, .streams = g->streams_path, .cert = g->cert.cert_path,
                         .key = g->cert.key_path, .listen = (const char *const *)listen,
                         .workers = MIN(2, g_get_num_processors()), .http2_directive = g->http2_directive };
  g_autofree char *text = pt_nginx_conf(&setup, error);
  g_autofree char *temp = g_build_filename(g->o.run, "tmp", NULL);

  if (!text || !write_file(g->conf_path, text, error))
    return false;
  if (g_mkdir_with_parents(temp, 0700) == 0)
    return true;
  pt_error_errno(error, errno, "%s", temp);
  return false;
}

/* Libraries, the loader and what they read at their start. */
#define LIBRARIES \
  { "/usr/lib", PT_ALLOW_READ }, { "/lib", PT_ALLOW_READ }, { "/lib64", PT_ALLOW_READ }, \
  { "/lib64/ld-linux-x86-64.so.2", PT_ALLOW_READ | PT_ALLOW_EXEC }, { "/lib/ld-linux-aarch64.so.1", PT_ALLOW_READ | PT_ALLOW_EXEC }, \
  { "/etc/ld.so.cache", PT_ALLOW_READ }, { "/etc/ssl/openssl.cnf", PT_ALLOW_READ }, { "/etc/gnutls", PT_ALLOW_READ }, \
  { "/etc/localtime", PT_ALLOW_READ }, { "/usr/share/zoneinfo", PT_ALLOW_READ }, { "/sys/devices/system/cpu", PT_ALLOW_READ }, \
  { "/dev/null", PT_ALLOW_READ | PT_ALLOW_WRITE }, { "/dev/urandom", PT_ALLOW_READ }

static bool
confine(Gateway *g, GError **error)
{
  const PtPathRule rules[] = { { g->o.state, PT_ALLOW_READ | PT_ALLOW_WRITE }, { g->o.run, PT_ALLOW_READ | PT_ALLOW_WRITE },
                               { g->web_path, PT_ALLOW_READ }, { g->o.nginx, PT_ALLOW_READ | PT_ALLOW_EXEC }, LIBRARIES, { NULL, 0 } };

  return pt_sandbox_landlock(rules, &g->landlock, error) && pt_sandbox_deny(error);
}

static void
die(const char *name, GError *error)
{
  pt_log_error("gateway", "%s: %s", name, error->message);
  _exit(1);
}

static void
nginx_main(void *data)
{
  Gateway *g = data;
  int abi;
  GError *err = NULL;
  const PtPathRule rules[] = { { g->o.state, PT_ALLOW_READ }, { g->o.run, PT_ALLOW_READ | PT_ALLOW_WRITE }, { g->web_path, PT_ALLOW_READ },
                               { g->o.nginx, PT_ALLOW_READ | PT_ALLOW_EXEC }, LIBRARIES, { NULL, 0 } };
  char *argv[] = { (char *)"nginx", (char *)"-p", g->o.run, (char *)"-c", g->conf_path, (char *)"-e", (char *)"stderr", NULL };
  char *envp[] = { g->inherit, NULL };

  for (guint i = 0; i < g->o.listen->len; i++)
    fcntl(g_array_index(g->o.listen, PtListen, i).fd, F_SETFD, 0);
  if (g->web_fd >= 0)
    fcntl(g->web_fd, F_SETFD, 0);
  if (!pt_sandbox_landlock(rules, &abi, &err))
    die("nginx", err);
  execve(g->o.nginx, argv, envp);
  pt_error_errno(&err, errno, "%s", g->o.nginx);
  pt_error_hint(&err, "install it:  apt-get install nginx");
  die("nginx", err);
}

static void
streams_main(void *data)
{
  Gateway *g = data;
  int abi;
  GError *err = NULL;
  const PtPathRule rules[] = { { g->o.state, PT_ALLOW_READ }, { "/dev/urandom", PT_ALLOW_READ }, { NULL, 0 } };
  g_autofree int *vnc = g_new(int, g->o.vnc->len + 1);

  prctl(PR_SET_NAME, "portena-streams");
  signal(SIGPIPE, SIG_IGN);
  mallopt(M_ARENA_MAX, 2); /* an arena for each thread would keep the memory of those that ended */
  for (guint i = 0; i < g->o.listen->len; i++)
    close(g_array_index(g->o.listen, PtListen, i).fd);
  if (g->web_fd >= 0)
    close(g->web_fd);
  for (guint i = 0; i < g->o.vnc->len; i++)
    vnc[i] = g_array_index(g->o.vnc, PtListen, i).fd;
  if (!pt_sandbox_landlock(rules, &abi, &err) || !pt_sandbox_allow_streams(&err) ||
      !pt_streams_start(g->streams_fd, g->o.api, &err) ||
      (g->o.vnc->len > 0 && !pt_vnc_start(vnc, g->o.vnc->len, g->o.api, g->cert.cert_path, g->cert.key_path, &err)))
    die("streams", err);
  for (;;)
    poll(NULL, 0, -1); /* pause() is not on the list of allowed calls */
}

/* Where there are no pages, all else works: that is said and not refused. */
static void
open_web(Gateway *g)
{
  g->web_fd = open(g->o.web, O_PATH | O_DIRECTORY | O_CLOEXEC);
  g->web_path = g->web_fd >= 0 ? g_strdup_printf("/proc/self/fd/%d", g->web_fd) : g_strdup(g->o.web);
}

static void
check_web(const Gateway *g)
{
  if (g->web_fd < 0 || faccessat(g->web_fd, "index.html", R_OK, 0) != 0)
    pt_log_warn("gateway", "%s/index.html cannot be read (%s): the API is served, the web console is not", g->o.web, g_strerror(errno));
}

/* Opens, drops, writes, confines: in this order. */
static bool
prepare(Gateway *g, GError **error)
{
  struct rlimit files;
  GString *inherit = g_string_new("NGINX=");

  g->streams_path = g_build_filename(g->o.run, "streams.sock", NULL);
  g->conf_path = g_build_filename(g->o.run, "nginx.conf", NULL);
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }); /* keys and passwords are in there */
  open_web(g);
  bool ok = pt_options_listen(&g->o, error) && own_directory(g->o.state, 0700, g->o.user, error) &&
            own_directory(g->o.run, 0755, g->o.user, error) && pt_sandbox_drop(g->o.user, error);
  prctl(PR_SET_DUMPABLE, 0);
  for (guint i = 0; ok && i < g->o.listen->len; i++)
    g_string_append_printf(inherit, "%d;", g_array_index(g->o.listen, PtListen, i).fd);
  g->inherit = g_string_free(inherit, FALSE);
  if (ok)
    check_web(g);
  g->http2_directive = ok && pt_nginx_http2_directive(g->o.nginx); /* not as root, and before nothing can be run any more */
  ok = ok && pt_cert_ensure(g->o.state, &g->cert, error) && write_conf(g, error);
  g->streams_fd = ok ? pt_unix_listen(g->streams_path, error) : -1;
  return g->streams_fd >= 0 && confine(g, error);
}

/* Once an hour: renews what is due. Both children read the files again, nginx when told. */
static void
check_certificate(Gateway *g)
{
  g_auto(PtCert) now = { 0 };
  g_autoptr(GError) err = NULL;

  if (!pt_cert_ensure(g->o.state, &now, &err)) {
    pt_log_error("gateway", "the certificate could not be renewed: %s", err->message);
    return;
  }
  if (strcmp(now.fingerprint, g->cert.fingerprint) == 0)
    return;
  pt_log_info("gateway", "new certificate, SHA-256 %s", now.fingerprint);
  bool moved = strcmp(now.cert_path, g->cert.cert_path) != 0;
  PtCert old = g->cert;
  g->cert = now;
  now = old;
  if (!write_conf(g, &err)) {
    pt_log_error("gateway", "%s", err->message);
    return;
  }
  if (g->nginx.pid > 0)
    kill(g->nginx.pid, SIGHUP);
  if (moved && g->streams.pid > 0) /* it knows the old path only */
    kill(g->streams.pid, SIGTERM);
}

static void
start_due(Gateway *g)
{
  PtChild *all[] = { &g->streams, &g->nginx };
  bool started = false;

  for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
    g_autoptr(GError) err = NULL;
    if (all[i]->pid != 0 || pt_mono() < all[i]->start_at)
      continue;
    if (!pt_child_start(all[i], &err))
      pt_log_error("gateway", "%s", err->message);
    started = true;
  }
  g_autoptr(GError) err = NULL;
  if (started && !write_status(g, &err))
    pt_log_error("gateway", "%s", err->message);
}

static void
reap(Gateway *g)
{
  int status;
  pid_t pid;

  while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
    if (!pt_child_ended(&g->nginx, pid, status))
      pt_child_ended(&g->streams, pid, status);
}

static void
supervise(Gateway *g, int signals)
{
  gint64 check = pt_mono() + CERT_CHECK;

  for (;;) {
    struct signalfd_siginfo info;
    start_due(g);
    gint64 now = pt_mono(), wake = check;
    if (g->nginx.pid == 0)
      wake = MIN(wake, g->nginx.start_at);
    if (g->streams.pid == 0)
      wake = MIN(wake, g->streams.start_at);
    struct pollfd p = { .fd = signals, .events = POLLIN };
    poll(&p, 1, (int)(MAX(0, wake - now) / 1000 + 1));
    while (read(signals, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
        return;
      if (info.ssi_signo == SIGHUP)
        check = 0;
    }
    reap(g);
    if (pt_mono() >= check) {
      check_certificate(g);
      check = pt_mono() + CERT_CHECK;
    }
  }
}

static int
block_signals(void)
{
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
main(int argc, char **argv)
{
  Gateway g = { .streams_fd = -1,
                .nginx = { .name = "nginx", .main = nginx_main },
                .streams = { .name = "streams", .main = streams_main } };
  g_autoptr(GError) err = NULL;

  g.nginx.data = g.streams.data = &g;
  umask(022);
  if (!pt_options_parse(&argc, &argv, &g.o, &err)) {
    pt_log_error("gateway", "%s", err->message);
    return 2;
  }
  if (g.o.version) {
    g_print("portena-gateway %s\n", PORTENA_VERSION);
    return 0;
  }
  int signals = block_signals();
  if (!prepare(&g, &err)) {
    pt_log_error("gateway", "%s", err->message);
    return 1;
  }
  g_auto(GStrv) listen = formatted(g.o.listen), vnc = formatted(g.o.vnc);
  g_autofree char *all = g_strjoinv(" ", listen), *all_vnc = g_strjoinv(" ", vnc);
  pt_log_info("gateway", "HTTPS on %s; VNC on %s; certificate SHA-256 %s", all, *all_vnc ? all_vnc : "nothing", g.cert.fingerprint);
  if (g.landlock == 0)
    pt_log_warn("gateway", "this kernel has no Landlock: files are held by permissions alone");
  supervise(&g, signals);
  pt_child_stop(&g.nginx, 3000);
  pt_child_stop(&g.streams, 500);
  unlink(g.streams_path);
  return 0;
}
