// SPDX-License-Identifier: Apache-2.0
/* Data volumes of a container or process: the mounted volume, with its ids shifted, in the guest's mount namespace, at a place of the
 * guest's tree. At a start that is done when the namespaces are there and nothing of the guest has run; later in the same way.
 *
 * The guest's tree is hostile (sys/guest.h), and a guest that manages mounts can move or unmount it: so what is attached is told by the
 * device, never by the place. Read-only is the file system itself, which no guest can change. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/container/internal.h"
#include "sys/cgroup.h"
#include "sys/guest.h"
#include "sys/inside.h"
#include "sys/mounts.h"
#include "sys/path.h"

#define LAYERS_MAX 32 /* a guest may have mounted it again elsewhere */

/* Every directory of the path, made where it is not there; then the last, opened. */
static int
make_place(int root, const char *path, gint64 idbase, GError **error)
{
  for (const char *at = strchr(path + 1, '/');; at = strchr(at + 1, '/')) {
    g_autofree char *part = at ? g_strndup(path, (gsize)(at - path)) : g_strdup(path);
    if (!pt_path_mkdir(root, part, 0755, (uid_t)idbase, (gid_t)idbase, error))
      return -1;
    if (!at)
      break;
  }
  return pt_path_open(root, path, O_PATH | O_DIRECTORY, 0, 0, error);
}

static bool
mount_at(pid_t pid, int root, gint64 idbase, const PtDisk *disk, const char *source, GError **error)
{
  int target = make_place(root, disk->path, idbase, error);
  int userns = target < 0 ? -1 : pt_userns_fd(idbase, PT_GUEST_IDS, error);
  int tree = userns < 0 ? -1 : pt_inside_tree(source, userns, disk->read_only, error);
  bool ok = tree >= 0 && pt_inside_mount(pid, tree, target, error);

  if (target >= 0)
    close(target);
  if (userns >= 0)
    close(userns);
  if (tree >= 0)
    close(tree);
  return ok;
}

/* As its root volume: what holds for one disk of it holds for each. */
static bool
limit_io(const PtContainers *c, const char *id, dev_t device, gint64 rd, gint64 wr, GError **error)
{
  const PtCgroupLimits l = { .io_read = rd, .io_write = wr, .device = device };

  return pt_cgroup_limit_io(c->host, id, &l, error);
}

bool
pt_ct_disk(const PtContainers *c, pid_t pid, const PtInstance *spec, gint64 idbase, const PtDisk *disk, const char *source, GError **error)
{
  g_autofree char *tree = pt_ct_root(c, spec->id);
  struct stat own, st;

  if (stat(tree, &own) < 0 || stat(source, &st) < 0) {
    pt_error_errno(error, errno, "volume %s", disk->volume);
    return false;
  }
  if (pt_inside_mounted(pid, st.st_dev, NULL))
    return true;
  int root = pt_guest_root_open(pid, own.st_dev, error);
  bool ok = root >= 0 && mount_at(pid, root, idbase, disk, source, error);
  pt_guest_root_close(root);
  ok = ok && limit_io(c, spec->id, st.st_dev, spec->io_read, spec->io_write, error);
  if (!ok)
    g_prefix_error(error, "volume %s at %s: ", disk->volume, disk->path);
  return ok;
}

bool
pt_container_attach(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, const char *source, GError **error)
{
  PtContainerMeta meta;
  pid_t pid;

  if (!pt_ct_meta_read(c, id, &meta, error))
    return false;
  int pidfd = pt_ct_init(c, id, &pid, error);
  bool ok = pidfd >= 0 && pt_ct_disk(c, pid, spec, meta.idbase, disk, source, error);
  if (pidfd >= 0)
    close(pidfd);
  return ok;
}

static bool
busy(const PtContainers *c, const char *id, pid_t pid, dev_t device, const PtInstance *spec, const PtDisk *disk, GError **error)
{
  g_autoptr(GArray) pids = pt_cgroup_pids(c->host, id, NULL);
  g_autofree char *who = pids ? pt_inside_user(pid, device, pids) : NULL;

  PT_SET(error, PT_ERR_CONFLICT, "volume %s: in use in %s at %s, by %s", disk->volume, spec->name, disk->path,
         who ? who : "something that cannot be seen from here");
  pt_error_hint(error, "it stays attached; end that first, or take it away all the same:  portena volume detach %s %s --force", spec->name,
                disk->volume);
  return false;
}

/* One mount of it less. */
static bool
unmount_one(pid_t pid, int root, const char *path, bool force, GError **error)
{
  g_autofree char *name = NULL;
  int dir = pt_path_parent(root, path, &name, error);
  bool ok = dir >= 0 && pt_inside_umount(pid, dir, name, force, error);

  if (dir >= 0)
    close(dir);
  return ok;
}

static bool
unmount_all(PtContainers *c, const char *id, pid_t pid, const PtInstance *spec, const PtDisk *disk, dev_t device, GError **error)
{
  int root = pt_container_root(c, id, error);
  g_autoptr(GError) why = NULL;
  bool ok = root >= 0;
  char *path = NULL;

  for (int i = 0; ok && pt_inside_mounted(pid, device, &path); i++) {
    ok = i < LAYERS_MAX && unmount_one(pid, root, path, disk->force, &why);
    g_clear_pointer(&path, g_free);
  }
  pt_guest_root_close(root);
  if (ok || root < 0)
    return ok;
  if (!why || g_error_matches(why, PT_ERROR, PT_ERR_CONFLICT))
    return busy(c, id, pid, device, spec, disk, error);
  g_propagate_prefixed_error(error, g_steal_pointer(&why), "volume %s: ", disk->volume);
  return false;
}

bool
pt_container_detach(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, const char *source, GError **error)
{
  struct stat st;
  pid_t pid;

  if (!pt_is_mounted(source) || stat(source, &st) < 0)
    return true;
  int pidfd = pt_ct_init(c, id, &pid, error);
  bool ok = pidfd >= 0 && unmount_all(c, id, pid, spec, disk, st.st_dev, error);
  if (pidfd >= 0)
    close(pidfd);
  if (ok)
    limit_io(c, id, st.st_dev, 0, 0, NULL);
  return ok;
}

bool
pt_ct_disks_limit(const PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  for (guint i = 0; spec->disks && i < spec->disks->len; i++) {
    const PtDisk *d = g_ptr_array_index(spec->disks, i);
    g_autofree char *where = g_build_filename(c->host->run, "mnt", "vol", d->id, NULL); /* drivers/volume/volume.h */
    struct stat st;
    if (pt_is_mounted(where) && stat(where, &st) == 0 && !limit_io(c, id, st.st_dev, spec->io_read, spec->io_write, error))
      return false;
  }
  return true;
}
