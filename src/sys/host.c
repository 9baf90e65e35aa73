// SPDX-License-Identifier: Apache-2.0
#include "sys/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/error.h"
#include "base/text.h"
#include "sys/mounts.h"
#include "sys/process.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define UNIFIED CGROUP_ROOT "/unified"

static bool
is_cgroup2(const char *path)
{
  struct statfs fs;

  return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* v2 only where it has the controllers we limit by; a unified tree beside v1 is not that. */
static bool
controllers_in_v2(const char *root)
{
  g_autofree char *path = g_build_filename(root, "cgroup.controllers", NULL);
  g_autofree char *text = NULL;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return false;
  g_auto(GStrv) names = g_strsplit_set(text, " \n", -1);
  return g_strv_contains((const char *const *)names, "memory") && g_strv_contains((const char *const *)names, "cpu") &&
         g_strv_contains((const char *const *)names, "pids");
}

static bool
probe_cgroups(PtHost *h, GError **error)
{
  g_autofree char *own = g_build_filename(h->run, "cgroup2", NULL);

  h->cgroup1 = g_strdup(CGROUP_ROOT);
  if (is_cgroup2(CGROUP_ROOT) && controllers_in_v2(CGROUP_ROOT)) {
    h->cgroup_kind = PT_CGROUP_V2;
    h->cgroup2 = g_strdup(CGROUP_ROOT);
    return true;
  }
  h->cgroup_kind = PT_CGROUP_V1;
  if (access(CGROUP_ROOT "/memory/cgroup.procs", F_OK) < 0) {
    PT_SET(error, PT_ERR_UNSUPPORTED, CGROUP_ROOT ": neither cgroup v2 with memory, cpu and pids nor v1 is mounted");
    pt_error_hint(error, "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or mount the v1 controllers");
    return false;
  }
  if (is_cgroup2(own))
    h->cgroup2 = g_steal_pointer(&own);
  else if (is_cgroup2(UNIFIED))
    h->cgroup2 = g_strdup(UNIFIED);
  else if (pt_mount("cgroup2", own, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, error))
    h->cgroup2 = g_steal_pointer(&own);
  return h->cgroup2 != NULL;
}

/* Every move of a process into a group waits for an RCU grace period, 10 to 20 ms, unless the tree is mounted with
 * "favordynmods" (cgroup-v2.rst), and a guest's boot is a series of such moves: measured here, starts take half and stops two thirds
 * of the time with it. It is a property of the whole tree, so the other options stay as they are; older kernels do without. */
void
pt_host_favour_moves(const PtHost *h)
{
  const char *cgroup2 = h->cgroup2;
  g_autofree char *text = NULL;
  g_autofree char *at = g_strdup_printf(" %s ", cgroup2);

  if (!g_file_get_contents("/proc/self/mounts", &text, NULL, NULL))
    return;
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (char **l = lines; *l; l++) {
    g_auto(GStrv) f = g_strsplit(*l, " ", 6);

    if (!strstr(*l, at) || g_strv_length(f) < 4 || strcmp(f[2], "cgroup2") != 0 || strstr(f[3], "favordynmods"))
      continue;
    g_autoptr(GString) options = g_string_new("favordynmods");
    static const char *const kept[] = { "nsdelegate", "memory_recursiveprot", "memory_localevents", "memory_hugetlb_accounting",
                                        "pids_localevents" };
    for (guint i = 0; i < G_N_ELEMENTS(kept); i++) {
      if (strstr(f[3], kept[i]))
        g_string_append_printf(options, ",%s", kept[i]);
    }
    if (mount(NULL, cgroup2, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, options->str) == 0)
      return;
  }
}

static bool
has_capability(guint cap)
{
  struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct caps[2] = { 0 };

  return syscall(SYS_capget, &head, caps) == 0 && (caps[cap / 32].effective & (1u << (cap % 32)));
}

static bool
make_dir(const char *base, const char *name, mode_t mode, GError **error)
{
  g_autofree char *path = g_build_filename(base, name, NULL);

  return pt_dir_make(path, mode, error);
}

static bool
check_path(const char *what, const char *path, GError **error)
{
  /* 48: a socket's path in RUN/monitor/<id>/ has 107 bytes at most. */
  if (g_path_is_absolute(path) && !strpbrk(path, ",:\\\n\t ") && strlen(path) <= 48)
    return true;
  g_autofree char *shown = pt_text_safe(path, 128);
  PT_SET(error, PT_ERR_INVALID, "%s directory \"%s\": not an absolute path of at most 48 bytes without ',' ':' '\\' or spaces", what,
         shown);
  return false;
}

PtHost *
pt_host_new(const char *state, const char *run, const char *libexec, const char *node, const char *uplink, const char *cgroup,
            GError **error)
{
  g_autoptr(PtHost) h = g_new0(PtHost, 1);

  if (!check_path("state", state, error) || !check_path("run", run, error))
    return NULL;
  if (!pt_name_check("cgroup", cgroup, error))
    return NULL;
  h->state = g_strdup(state);
  h->run = g_strdup(run);
  h->libexec = g_strdup(libexec);
  h->node = g_strdup(node);
  h->cgroup = g_strdup(cgroup);
  h->uplink = g_strdup(uplink);
  /* Guests' first processes walk through RUN/mnt with the ids of their range: they may pass, not look. */
  if (!make_dir(run, "", 0755, error) || !make_dir(run, "monitor", 0711, error) || !make_dir(run, "mnt", 0711, error) ||
      !make_dir(state, "", 0711, error) || !make_dir(state, "instances", 0700, error))
    return NULL;
  if (!probe_cgroups(h, error))
    return NULL;
  h->cap_sys_resource = has_capability(CAP_SYS_RESOURCE);
  struct utsname u;
  uname(&u); /* fails for a bad pointer alone */
  h->arch = g_strdup(u.machine);
  h->cpus = sysconf(_SC_NPROCESSORS_ONLN);
  h->memory = (gint64)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  return g_steal_pointer(&h);
}

void
pt_host_free(PtHost *h)
{
  if (!h)
    return;
  g_free(h->state);
  g_free(h->run);
  g_free(h->libexec);
  g_free(h->node);
  g_free(h->cgroup);
  g_free(h->uplink);
  g_free(h->cgroup1);
  g_free(h->cgroup2);
  g_free(h->arch);
  g_free(h);
}

bool
pt_monitor_state(const char *run, const char *id, PtMonitorState *ret, GError **error)
{
  g_autofree char *path = g_build_filename(run, "monitor", id, "state", NULL);
  g_autofree char *text = NULL;
  g_autoptr(GError) local = NULL;

  *ret = (PtMonitorState){ 0 };
  if (!g_file_get_contents(path, &text, NULL, &local)) {
    PT_SET(error, g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT) ? PT_ERR_NOT_FOUND : PT_ERR_INTERNAL, "%s",
           local->message);
    return false;
  }
  g_auto(GStrv) lines = g_strsplit(text, "\n", 8);
  for (char **l = lines; *l; l++) {
    g_auto(GStrv) f = g_strsplit(*l, " ", 4);

    guint n = g_strv_length(f);

    if (n == 2 && strcmp(f[0], "started") == 0)
      ret->started = g_ascii_strtoll(f[1], NULL, 10);
    if (n != 3)
      continue;
    pid_t pid = (pid_t)g_ascii_strtoll(f[1], NULL, 10);
    guint64 start = g_ascii_strtoull(f[2], NULL, 10);
    if (strcmp(f[0], "monitor") == 0) {
      ret->monitor = pid;
      ret->monitor_start = start;
    } else if (strcmp(f[0], "init") == 0) {
      ret->init = pid;
      ret->init_start = start;
    }
  }
  return true;
}

/* True if the monitor lives and we are in its mount namespace now. */
static bool
join_monitor(const char *run, const char *id)
{
  PtMonitorState state;
  bool joined = false;

  if (!pt_monitor_state(run, id, &state, NULL) || !state.monitor || !state.monitor_start)
    return false;
  int pidfd = pt_pidfd(state.monitor, state.monitor_start, NULL);
  if (pidfd < 0)
    return false;
  if (pt_pidfd_alive(pidfd)) /* a dead one that waits to be reaped has no namespaces any more */
    joined = setns(pidfd, CLONE_NEWNS) == 0;
  close(pidfd);
  return joined;
}

/* A mount namespace that whoever is not root has made belongs to a user namespace of theirs. */
static bool
is_roots(int mnt)
{
  struct stat theirs, ours;
  int owner = ioctl(mnt, NS_GET_USERNS);
  bool same = owner >= 0 && fstat(owner, &theirs) == 0 && stat("/proc/self/ns/user", &ours) == 0 && theirs.st_dev == ours.st_dev &&
              theirs.st_ino == ours.st_ino;

  if (owner >= 0)
    close(owner);
  return same;
}

/* A space's network outlives its last instance's monitor for a moment, and a daemon may be killed in it. The pid file is
 * dnsmasq's own, and it holds no privilege: what it says counts only where the process was started by us, in a namespace of root's. */
static bool
join_dnsmasq(const char *run, const char *space)
{
  g_autofree char *file = g_build_filename(run, "net", space, "dns", "pid", NULL), *text = NULL, *args = NULL;
  g_autofree char *conf = g_strdup_printf("--conf-file=%s/net/%s/dns/dnsmasq.conf", run, space);
  gsize n = 0;

  if (!g_file_get_contents(file, &text, NULL, NULL))
    return false;
  pid_t pid = (pid_t)g_ascii_strtoll(text, NULL, 10);
  g_autofree char *cmdline = g_strdup_printf("/proc/%d/cmdline", pid), *ns = g_strdup_printf("/proc/%d/ns/mnt", pid);
  int pidfd = pid > 1 ? pt_pidfd(pid, 0, NULL) : -1;
  int mnt = pidfd >= 0 ? open(ns, O_RDONLY | O_CLOEXEC) : -1;
  bool joined = mnt >= 0 && is_roots(mnt) && /* a guest's could let us wait for ever */
                g_file_get_contents(cmdline, &args, &n, NULL) && memmem(args, n, conf, strlen(conf) + 1) &&
                pt_pidfd_alive(pidfd) && setns(mnt, CLONE_NEWNS) == 0;

  if (mnt >= 0)
    close(mnt);
  if (pidfd >= 0)
    close(pidfd);
  return joined;
}

/* One of RUN/`what`/ will do. */
static bool
join_any(const char *run, const char *what, bool (*join)(const char *run, const char *name))
{
  g_autofree char *dir = g_build_filename(run, what, NULL);
  g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
  const char *name;

  while (d && (name = g_dir_read_name(d))) {
    if (join(run, name))
      return true;
  }
  return false;
}

bool
pt_host_enter_mounts(const char *run, bool *ret_adopted, GError **error)
{
  g_autofree char *own = g_build_filename(run, "cgroup2", NULL);

  *ret_adopted = join_any(run, "monitor", join_monitor) || join_any(run, "net", join_dnsmasq);
  if (*ret_adopted)
    return true;
  if (!check_path("run", run, error) || !make_dir(run, "", 0755, error))
    return false;
  if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
    pt_error_errno(error, errno, "private mount namespace");
    pt_error_hint(error, "portenad must run as root with CAP_SYS_ADMIN");
    return false;
  }
  if (is_cgroup2(CGROUP_ROOT) || !is_cgroup2(UNIFIED))
    return true;
  return pt_umount(UNIFIED, error) &&
         pt_mount("cgroup2", own, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, error);
}

char *
pt_boot_id(void)
{
  char *id = NULL;

  if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &id, NULL, NULL))
    return g_strdup("unknown");
  return g_strchomp(id);
}
