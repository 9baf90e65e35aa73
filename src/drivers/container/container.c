// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. The driver keeps nothing in memory about an instance: what there is, is in RUN/monitor/<id> (written by us
 * before the start, by the monitor afterwards), in the mount table of our namespace and in the control groups. So a daemon that
 * was killed loses nothing, and adopting is reading. A process is known by pid and start time together, and acted upon
 * through a pidfd, so that a pid given to another is never mistaken for it. */
#include "drivers/container/container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "drivers/container/internal.h"
#include "sys/cgroup.h"
#include "sys/guest.h"
#include "sys/mounts.h"
#include "sys/path.h"
#include "sys/process.h"

char *
pt_ct_dir(const PtContainers *c, const char *id, const char *file)
{
  return g_build_filename(c->host->run, "monitor", id, file, NULL);
}

char *
pt_ct_root(const PtContainers *c, const char *id)
{
  return g_build_filename(c->host->run, "mnt", "root", id, NULL);
}

char *
pt_ct_log(const PtContainers *c, const char *id)
{
  return g_build_filename(c->host->state, "instances", id, "console.log", NULL);
}

/* A guest's first process walks down to its tree with the ids of its range. */
static bool
passable(const char *run, GError **error)
{
  g_autofree char *dir = g_strdup(run);
  struct stat st;

  while (stat(dir, &st) == 0) {
    if (!(st.st_mode & S_IXOTH)) {
      PT_SET(error, PT_ERR_INVALID, "run directory %s: %s lets nobody else pass, so no container could start", run, dir);
      pt_error_hint(error, "chmod o+x %s, or give another --run directory", dir);
      return false;
    }
    if (strcmp(dir, "/") == 0)
      return true;
    g_autofree char *below = g_steal_pointer(&dir);
    dir = g_path_get_dirname(below);
  }
  pt_error_errno(error, errno, "%s", dir);
  return false;
}

/* Starts the monitor's own binary as a container that does nothing: it needs no library, so no root file system. */
static bool
prove(const PtContainers *c, GError **error)
{
  g_autofree char *dir = g_build_filename(c->host->run, "probe", NULL);
  g_autofree char *root = g_build_filename(dir, "rootfs", NULL), *config = g_build_filename(dir, "config.json", NULL);
  g_autofree char *group = g_strdup_printf("/%s/probe", c->host->cgroup);
  g_autofree char *name = g_strdup_printf("probe-%d", (int)getpid());
  const char *const argv[] = { c->crun, "--root", c->crun_root, "--cgroup-manager", "cgroupfs", "run", "--bundle", dir, name, NULL };

  if (!pt_dir_make(root, 0700, error))
    return false;
  g_autoptr(json_t) json = json_pack(
    "{s:s, s:{s:s, s:b}, s:{s:[s,s], s:s, s:{s:i, s:i}}, s:[{s:s, s:s, s:s}, {s:s, s:s, s:s, s:[s,s]}], s:{s:s, s:[{s:s},{s:s}]}}",
    "ociVersion", "1.0.0", "root", "path", root, "readonly", 0, "process", "args", "/probe", "--probe", "cwd", "/", "user", "uid", 0,
    "gid", 0, "mounts", "destination", "/dev", "type", "tmpfs", "source", "tmpfs", "destination", "/probe", "type", "bind", "source",
    c->monitor, "options", "bind", "ro", "linux", "cgroupsPath", group, "namespaces", "type", "pid", "type", "mount");
  g_autofree char *text = json ? pt_json_dump(json) : NULL;
  bool ok = text && g_file_set_contents(config, text, -1, error) && pt_run(argv, NULL, NULL, error);
  if (!text)
    PT_SET(error, PT_ERR_INTERNAL, "the probe's description");
  pt_cgroup_remove(c->host, "probe", NULL);
  int run = open(c->host->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (run >= 0) {
    ok = pt_path_remove(run, "probe", true, ok ? error : NULL) && ok;
    close(run);
  }
  if (!ok) {
    g_prefix_error(error, "containers do not start on this host: ");
    pt_error_hint(error, "crun 1.8 or newer, root, and control groups are needed; see portena doctor");
  }
  return ok;
}

/* What lives without a monitor has no console and no exit status any more, and holds mounts of a namespace that may be lost. */
static void
end_orphans(PtContainers *c)
{
  g_autoptr(GPtrArray) ids = pt_containers_list(c, NULL);

  for (guint i = 0; i < ids->len; i++) {
    const char *id = g_ptr_array_index(ids, i);
    int fd = pt_ct_monitor(c, id, NULL);

    if (fd < 0 || !pt_pidfd_alive(fd))
      pt_cgroup_kill(c->host, id, NULL); /* what does not end is named when it is cleared */
    if (fd >= 0)
      close(fd);
  }
}

/* crun may be overwritten by whom it has become: a guest reaches what runs in it by /proc/self/exe (CVE-2019-5736). So wherever its file is
 * not on a read-only mount it makes a copy of itself first and runs that, each time, which takes longer than all else it does. Here it
 * is on one. Where that cannot be had it is run as it is found, and does as it always did. */
static char *
runtime_path(const char *run)
{
  g_autofree char *program = g_find_program_in_path("crun"), *file = g_build_filename(run, "mnt", "crun", NULL);

  if (!program || !pt_umount(file, NULL) || !g_file_set_contents(file, "", 0, NULL)) /* a predecessor's, perhaps of an older crun */
    return g_steal_pointer(&program);
  if (mount(program, file, NULL, MS_BIND, NULL) == 0 &&
      mount(NULL, file, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) == 0)
    return g_steal_pointer(&file);
  pt_umount(file, NULL);
  return g_steal_pointer(&program);
}

/* What a runtime that was killed left in RUN/clone (helpers/monitor_run.c). What is young may be in use. */
static void
sweep_clones(const char *run)
{
  g_autofree char *path = g_build_filename(run, "clone", NULL);
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  gint64 old = g_get_real_time() / G_USEC_PER_SEC - 60;
  struct stat st;

  for (const char *name; dir && (name = g_dir_read_name(dir));) {
    g_autofree char *file = g_build_filename(path, name, NULL);
    if (lstat(file, &st) == 0 && st.st_mtime < old)
      unlink(file);
  }
}

PtContainers *
pt_containers_open(const PtHost *host, GError **error)
{
  PtContainers *c = g_new0(PtContainers, 1);
  static const char *const dirs[] = { "monitor", "mnt", "mnt/root", "mnt/half", "crun", "clone" };

  c->host = host;
  c->monitor = g_build_filename(host->libexec, "portena-monitor", NULL);
  c->crun_root = g_build_filename(host->run, "crun", NULL);
  for (guint i = 0; i < G_N_ELEMENTS(dirs); i++) {
    g_autofree char *dir = g_build_filename(host->run, dirs[i], NULL);

    bool ours = strcmp(dirs[i], "crun") == 0 || strcmp(dirs[i], "clone") == 0;
    if (!pt_dir_make(dir, ours ? 0700 : 0711, error)) {
      pt_containers_close(c);
      return NULL;
    }
  }
  c->crun = runtime_path(host->run);
  if (!c->crun || access(c->monitor, X_OK) < 0) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: is not there", c->crun ? c->monitor : "crun");
    pt_error_hint(error, c->crun ? "give the right --libexec directory" : "apt-get install crun");
    pt_containers_close(c);
    return NULL;
  }
  if (!passable(host->run, error) || !prove(c, error)) {
    pt_containers_close(c);
    return NULL;
  }
  end_orphans(c);
  sweep_clones(host->run);
  return c;
}

void
pt_containers_close(PtContainers *c)
{
  if (!c)
    return;
  g_free(c->crun);
  g_free(c->monitor);
  g_free(c->crun_root);
  g_free(c);
}

const PtHost *
pt_containers_host(const PtContainers *c)
{
  return c->host;
}

static void
add_names(const char *path, GHashTable *ids)
{
  g_autoptr(GDir) d = g_dir_open(path, 0, NULL);

  for (const char *name; d && (name = g_dir_read_name(d));) {
    g_autofree char *full = g_build_filename(path, name, NULL);
    if (pt_id_valid(name) && g_file_test(full, G_FILE_TEST_IS_DIR))
      g_hash_table_add(ids, g_strdup(name));
  }
}

GPtrArray *
pt_containers_list(PtContainers *c, GError **error)
{
  g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *monitors = g_build_filename(c->host->run, "monitor", NULL);
  g_autofree char *roots = g_build_filename(c->host->run, "mnt", "root", NULL);
  g_autofree char *groups = g_build_filename(c->host->cgroup2, c->host->cgroup, NULL);
  g_autofree char *histories = g_build_filename(c->host->state, "instances", NULL);
  GHashTableIter it;
  gpointer id;

  (void)error;
  add_names(monitors, ids);
  add_names(roots, ids);
  add_names(groups, ids);
  add_names(histories, ids);
  add_names(c->crun_root, ids);
  g_hash_table_iter_init(&it, ids);
  while (g_hash_table_iter_next(&it, &id, NULL))
    g_ptr_array_add(list, g_strdup(id));
  return list;
}

bool
pt_ct_meta_write(const PtContainers *c, const char *id, const PtContainerMeta *meta, GError **error)
{
  g_autofree char *path = pt_ct_dir(c, id, "meta");
  g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT " %" G_GUINT64_FORMAT " %d\n", meta->idbase, meta->device, meta->systemd);

  return g_file_set_contents(path, text, -1, error);
}

bool
pt_ct_meta_read(const PtContainers *c, const char *id, PtContainerMeta *ret, GError **error)
{
  g_autofree char *path = pt_ct_dir(c, id, "meta");
  g_autofree char *text = NULL;

  *ret = (PtContainerMeta){ 0 };
  if (!g_file_get_contents(path, &text, NULL, NULL)) {
    PT_SET(error, PT_ERR_NOT_FOUND, "instance %s: has never been started here", id);
    return false;
  }
  g_auto(GStrv) f = g_strsplit(text, " ", 3);
  if (g_strv_length(f) != 3) {
    PT_SET(error, PT_ERR_INTERNAL, "%s: is damaged", path);
    return false;
  }
  ret->idbase = g_ascii_strtoll(f[0], NULL, 10);
  ret->device = g_ascii_strtoull(f[1], NULL, 10);
  ret->systemd = f[2][0] == '1';
  return true;
}

/* The exit file: "CODE SIGNAL USEC". */
static bool
read_exit(const PtContainers *c, const char *id, PtContainerState *ret)
{
  g_autofree char *path = pt_ct_dir(c, id, "exit");
  g_autofree char *text = NULL;
  PtContainerMeta meta;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return false;
  g_auto(GStrv) f = g_strsplit(text, " ", 3);
  if (g_strv_length(f) != 3)
    return false;
  ret->exit_code = (int)g_ascii_strtoll(f[0], NULL, 10);
  ret->exit_signal = (int)g_ascii_strtoll(f[1], NULL, 10);
  /* A guest that powers off is ended by SIGINT, one that reboots by SIGHUP: reboot(2), pid_namespaces(7). */
  if (ret->exit_signal == SIGINT && pt_ct_meta_read(c, id, &meta, NULL) && meta.systemd)
    ret->exit_signal = 0;
  ret->stopped = g_ascii_strtoll(f[2], NULL, 10);
  return true;
}

static bool
alive(pid_t pid, guint64 start)
{
  int fd = pid > 0 && start > 0 ? pt_pidfd(pid, start, NULL) : -1;
  bool yes = fd >= 0 && pt_pidfd_alive(fd);

  if (fd >= 0)
    close(fd);
  return yes;
}

bool
pt_container_state(PtContainers *c, const char *id, PtContainerState *ret, GError **error)
{
  PtMonitorState m;

  *ret = (PtContainerState){ 0 };
  if (!pt_monitor_state(c->host->run, id, &m, error)) {
    g_prefix_error(error, "instance %s: ", id);
    return false;
  }
  ret->started = m.started;
  if (read_exit(c, id, ret) || !m.started)
    return true;
  /* It has ended when its monitor says so, a moment after its first process. */
  if (alive(m.monitor, m.monitor_start)) {
    ret->running = true;
    ret->pid = m.init;
    ret->paused = pt_cgroup_frozen(c->host, id);
    ret->asleep = ret->paused && pt_ct_asleep(c, id, &ret->freed);
    return true;
  }
  if (read_exit(c, id, ret))
    return true;
  ret->lost = true;
  ret->exit_code = 255;
  return true;
}

int
pt_ct_init(const PtContainers *c, const char *id, pid_t *ret_pid, GError **error)
{
  PtMonitorState m;
  int fd = -1;

  if (pt_monitor_state(c->host->run, id, &m, NULL) && m.init > 0 && m.started)
    fd = pt_pidfd(m.init, m.init_start, NULL);
  if (fd >= 0 && !pt_pidfd_alive(fd)) {
    close(fd);
    fd = -1;
  }
  if (fd < 0) {
    PT_SET(error, PT_ERR_NOT_FOUND, "instance %s: does not run", id);
    pt_error_hint(error, "start it first: portena start NAME");
    return -1;
  }
  *ret_pid = m.init;
  return fd;
}

int
pt_ct_monitor(const PtContainers *c, const char *id, GError **error)
{
  PtMonitorState m;

  return pt_monitor_state(c->host->run, id, &m, error) ? pt_pidfd(m.monitor, m.monitor_start, error) : -1;
}

int
pt_container_watch(PtContainers *c, const char *id, GError **error)
{
  return pt_ct_monitor(c, id, error);
}

bool
pt_container_ready(PtContainers *c, const char *id, const PtInstance *spec)
{
  g_autofree char *path = pt_ct_dir(c, id, "ready");
  PtContainerState state;

  if (!pt_container_state(c, id, &state, NULL) || !state.running)
    return false;
  return !pt_instance_announces(spec) || access(path, F_OK) == 0;
}

int
pt_container_root(PtContainers *c, const char *id, GError **error)
{
  g_autofree char *tree = pt_ct_root(c, id);
  struct stat st;
  pid_t pid;
  int pidfd = pt_ct_init(c, id, &pid, error);

  if (pidfd < 0)
    return -1;
  int fd = -1;
  if (stat(tree, &st) < 0)
    pt_error_errno(error, errno, "instance %s: its tree", id);
  else
    fd = pt_guest_root_open(pid, st.st_dev, error);
  /* Had it ended meanwhile, the pid could be another's. */
  bool same = pt_pidfd_alive(pidfd);
  close(pidfd);
  if (fd >= 0 && !same) {
    pt_guest_root_close(fd);
    pt_error_errno(error, ESRCH, "its root directory");
    fd = -1;
  }
  if (fd < 0)
    g_prefix_error(error, "instance %s: ", id);
  return fd;
}
