// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. Every group exists in the v2 tree, also where v1 has the controllers: a v2 leaf freezes, kills and
 * measures pressure without any controller, and a guest's systemd lives in it. So life and death are the same code on both
 * layouts, and only limits and use ask which it is (cgroup_set.c, cgroup_read.c).
 *
 * A guest owns the inside of its leaf. How many groups it can make there is bounded, and nothing here follows links or
 * trusts what its files say beyond numbers. */
#include "sys/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "sys/cgroup_file.h"

#define HOME "monitors" /* no instance's id is like that */
#define GUEST_GROUPS "4096"
#define GUEST_DEPTH "16"
#define FREEZE_WAIT (5 * G_USEC_PER_SEC)
#define KILL_WAIT (30 * G_USEC_PER_SEC)
#define REMOVE_WAIT (20 * G_USEC_PER_SEC)

/* Those that we limit by. */
static const char *const v1_controllers[] = { "cpu", "cpuacct", "memory", "blkio", "pids", NULL };

char *
pt_cg_dir(const PtHost *host, const char *controller, const char *id)
{
  g_autofree char *root = controller ? g_build_filename(host->cgroup1, controller, NULL) : g_strdup(host->cgroup2);

  return g_build_filename(root, host->cgroup, id, NULL);
}

/* Hands the controllers down from the root to our children. */
static bool
delegate_v2(const PtHost *host, GError **error)
{
  static const char *const wanted[] = { "+cpu", "+memory", "+pids", "+io", NULL };
  g_autofree char *ours = pt_cg_dir(host, NULL, NULL);
  const char *dirs[] = { host->cgroup2, ours };

  for (guint i = 0; i < G_N_ELEMENTS(dirs); i++) {
    g_autofree char *have = pt_cg_read(dirs[i], "cgroup.subtree_control");

    for (const char *const *c = wanted; *c; c++) {
      g_autoptr(GError) local = NULL;

      if (have && strstr(have, *c + 1))
        continue;
      /* io is optional; the others were seen by pt_host_new(). */
      if (!pt_cg_write(dirs[i], "cgroup.subtree_control", *c, &local) && strcmp(*c, "+io") != 0) {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
      }
    }
  }
  return true;
}

bool
pt_cgroup_make(const PtHost *host, const char *id, GError **error)
{
  g_autofree char *leaf = pt_cg_dir(host, NULL, id);
  g_autofree char *ours = pt_cg_dir(host, NULL, NULL);

  if (!pt_dir_make(ours, 0755, error) || (host->cgroup_kind == PT_CGROUP_V2 && !delegate_v2(host, error)) ||
      !pt_dir_make(leaf, 0755, error))
    return false;
  if (!pt_cg_write_if(leaf, "cgroup.max.descendants", GUEST_GROUPS, error) ||
      !pt_cg_write_if(leaf, "cgroup.max.depth", GUEST_DEPTH, error))
    return false;
  for (const char *const *c = v1_controllers; host->cgroup_kind == PT_CGROUP_V1 && *c; c++) {
    g_autofree char *dir = pt_cg_dir(host, *c, id);

    if (!pt_dir_make(dir, 0755, error))
      return false;
  }
  return true;
}

bool
pt_cgroup_delegate(const PtHost *host, const char *id, uid_t uid, GError **error)
{
  static const char *const files[] = { "", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads" };
  g_autofree char *leaf = pt_cg_dir(host, NULL, id);

  for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *path = g_build_filename(leaf, files[i], NULL);

    if (lchown(path, uid, uid) < 0) {
      pt_error_errno(error, errno, "%s", path);
      return false;
    }
  }
  return true;
}

/* Below the leaf `fd`: all files of a group belong to whoever made it. Groups without a process have lost their owner; they get that of
 * the one above, `uid`. The errno, or 0. */
static int
own_below(int fd, bool leaf, uid_t uid)
{
  DIR *d = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  struct stat st = { 0 };
  int err = !d || fstat(fd, &st) < 0 ? errno : 0;

  if (!err && st.st_uid != 0)
    uid = st.st_uid;
  else if (!err && !leaf && fchown(fd, uid, uid) < 0)
    err = errno;
  for (struct dirent *e; !err && (e = readdir(d));) {
    if (e->d_type == DT_REG && !leaf && fchownat(fd, e->d_name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
      err = errno;
    if (e->d_type != DT_DIR || e->d_name[0] == '.')
      continue;
    int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    err = sub < 0 ? errno : own_below(sub, false, uid);
    if (sub >= 0)
      close(sub);
  }
  if (d)
    closedir(d);
  return err;
}

bool
pt_cgroup_own_below(const PtHost *host, const char *id, uid_t uid, GError **error)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, id);
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), err = fd < 0 ? errno : own_below(fd, true, uid);

  if (fd >= 0)
    close(fd);
  if (err)
    pt_error_errno(error, err, "%s", dir);
  return err == 0;
}

/* Waits until `key` of cgroup.events is `value`; the kernel wakes us on each change of that file. False on the deadline. */
static bool
wait_event(const char *dir, const char *key, gint64 value, gint64 wait)
{
  g_autofree char *path = g_build_filename(dir, "cgroup.events", NULL);
  gint64 end = pt_mono() + wait;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool reached = fd < 0; /* the group is gone: it is neither frozen nor populated */

  while (!reached) {
    char buf[256];
    ssize_t n = pread(fd, buf, sizeof buf - 1, 0);

    buf[MAX(n, 0)] = '\0';
    reached = n < 0 || pt_cg_key(buf, key, !value) == value;
    if (reached || pt_mono() >= end)
      break;
    struct pollfd p = { .fd = fd, .events = POLLPRI };
    poll(&p, 1, (int)CLAMP((end - pt_mono()) / 1000, 1, 100));
  }
  if (fd >= 0)
    close(fd);
  return reached;
}

bool
pt_cgroup_freeze(const PtHost *host, const char *id, bool frozen, GError **error)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, id);

  if (!pt_cg_write(dir, "cgroup.freeze", frozen ? "1" : "0", error))
    return false;
  if (wait_event(dir, "frozen", frozen, FREEZE_WAIT))
    return true;
  PT_SET(error, PT_ERR_TIMEOUT, "%s: a process does not %s", id, frozen ? "freeze" : "thaw");
  if (frozen) { /* half a freeze helps nobody */
    pt_error_hint(error, "nothing was changed; a process waits for a device, try again later");
    pt_cg_write(dir, "cgroup.freeze", "0", NULL);
  }
  return false;
}

bool
pt_cgroup_frozen(const PtHost *host, const char *id)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, id);

  return pt_cg_int(dir, "cgroup.freeze", 0) == 1;
}

bool
pt_cgroup_kill(const PtHost *host, const char *id, GError **error)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, id);
  g_autoptr(GError) local = NULL;

  if (!pt_cg_write(dir, "cgroup.kill", "1", &local)) {
    if (g_error_matches(local, PT_ERROR, PT_ERR_NOT_FOUND) && access(dir, F_OK) < 0)
      return true;
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
  }
  if (wait_event(dir, "populated", 0, KILL_WAIT))
    return true;
  PT_SET(error, PT_ERR_TIMEOUT, "%s: a killed process does not end", id);
  pt_error_hint(error, "it waits for a device or file system; look for processes in state D");
  return false;
}

static void
collect_pids(int fd, GArray *pids)
{
  int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  FILE *f = procs >= 0 ? fdopen(procs, "r") : NULL;
  DIR *d = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  int pid;

  while (f && fscanf(f, "%d", &pid) == 1) {
    pid_t one = pid;
    g_array_append_val(pids, one);
  }
  if (f)
    fclose(f);
  for (struct dirent *e; d && (e = readdir(d));) {
    if (e->d_type != DT_DIR || e->d_name[0] == '.')
      continue;
    int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (sub >= 0) {
      collect_pids(sub, pids);
      close(sub);
    }
  }
  if (d)
    closedir(d);
}

GArray *
pt_cgroup_pids(const PtHost *host, const char *id, GError **error)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, id);
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0) {
    pt_error_errno(error, errno, "control group %s/%s", host->cgroup, id);
    return NULL;
  }
  GArray *pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
  collect_pids(fd, pids);
  close(fd);
  return pids;
}

/* 0, or the errno of what stands in the way. A group is empty a moment after its last process has ended. */
static int
remove_group(int parent, const char *name)
{
  int err = 0;

  if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return 0;
  if (errno != EBUSY && errno != ENOTEMPTY)
    return errno;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return errno == ENOENT ? 0 : errno;
  DIR *d = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  for (struct dirent *e; d && (e = readdir(d));) {
    if (e->d_type == DT_DIR && e->d_name[0] != '.' && !err)
      err = remove_group(fd, e->d_name);
  }
  if (d)
    closedir(d);
  close(fd);
  return err || unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? err : errno;
}

static bool
remove_in(const char *ours, const char *id, gint64 end, GError **error)
{
  int fd = open(ours, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int err;

  if (fd < 0)
    return true;
  while ((err = remove_group(fd, id)) == EBUSY && pt_mono() < end)
    g_usleep(1000);
  close(fd);
  if (err)
    pt_error_errno(error, err, "%s/%s: remove", ours, id);
  return err == 0;
}

/* Our groups in the v1 hierarchies, a path each. The runtime enters every one there is, not only those that we limit by. */
static GPtrArray *
v1_groups(const PtHost *host)
{
  g_autoptr(GDir) d = host->cgroup_kind == PT_CGROUP_V1 ? g_dir_open(host->cgroup1, 0, NULL) : NULL;
  GPtrArray *all = g_ptr_array_new_with_free_func(g_free);

  for (const char *name; d && (name = g_dir_read_name(d));)
    g_ptr_array_add(all, g_build_filename(host->cgroup1, name, host->cgroup, NULL));
  return all;
}

bool
pt_cgroup_remove(const PtHost *host, const char *id, GError **error)
{
  g_autofree char *ours = pt_cg_dir(host, NULL, NULL);
  g_autoptr(GPtrArray) others = v1_groups(host);
  gint64 end = pt_mono() + REMOVE_WAIT;
  bool ok = remove_in(ours, id, end, error);

  for (guint i = 0; i < others->len; i++) {
    const char *dir = g_ptr_array_index(others, i);
    g_autofree char *plain = g_build_filename(dir, id, "cgroup.procs", NULL);
    struct statfs fs;

    /* Where the unified tree is unmounted, the runtime leaves a plain file in the directory it was on. */
    if (statfs(dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
      unlink(plain);
    ok = remove_in(dir, id, end, ok ? error : NULL) && ok;
  }
  return ok;
}

int
pt_cgroup_home(const PtHost *host, GError **error)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, HOME), *ours = pt_cg_dir(host, NULL, NULL);
  g_autofree char *procs = g_build_filename(dir, "cgroup.procs", NULL);
  int fd;

  if (host->cgroup_kind != PT_CGROUP_V2 || !pt_dir_make(ours, 0755, error) || !pt_dir_make(dir, 0755, error))
    return -1;
  if ((fd = open(procs, O_WRONLY | O_CLOEXEC)) < 0)
    pt_error_errno(error, errno, "%s", procs);
  return fd;
}

void
pt_cgroup_remove_own(const PtHost *host)
{
  g_autofree char *ours = pt_cg_dir(host, NULL, NULL), *home = pt_cg_dir(host, NULL, HOME);
  g_autoptr(GPtrArray) others = v1_groups(host);

  rmdir(home);
  rmdir(ours);
  for (guint i = 0; i < others->len; i++)
    rmdir(g_ptr_array_index(others, i));
}
