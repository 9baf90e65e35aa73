// SPDX-License-Identifier: Apache-2.0
/* A volume in use: mounted on the node, or in the hands of a machine's QEMU; and out of use again. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/volume/ext4.h"
#include "drivers/volume/local.h"
#include "drivers/volume/loop.h"
#include "sys/mounts.h"

#define BUSY_WAIT (30 * G_USEC_PER_SEC) /* how long we wait for the last user of a volume, who may have much to write yet */

/* Locks the volume's file for the loop device to come; grown first where that had to wait. */
static int
open_for_attach(PtPool *pool, const char *id, GError **error)
{
  gint64 size = 0, fs = 0;
  bool damaged = false;
  g_autoptr(GError) why = NULL;
  g_auto(PtLocalFd) fd = pt_local_open(pool, id, O_RDWR, error);

  if (fd < 0)
    return -1;
  if (pt_local_is_raw(fd)) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "volume %s: the disk of an unmodified system, which is not mounted on the node", id);
    return -1;
  }
  if (!pt_local_lock(fd, BUSY_WAIT)) {
    pt_error_errno(error, errno == EWOULDBLOCK ? EBUSY : errno, "volume %s", id);
    pt_error_hint(error, "something on this node still has it open: an instance that is being stopped, or a daemon "
                         "that was killed; try again when it is gone");
    return -1;
  }
  g_autofree char *path = pt_local_path(pool, id);
  if (!pt_local_reclaim(pool, id, path, fd, error) || !pt_local_sizes(id, fd, &size, &fs, error))
    return -1;
  if (fs >= size || pool->cap_sys_resource)
    return g_steal_fd(&fd);
  if (!pt_local_grow_offline(pool, id, fd, &damaged, &why)) {
    /* A full pool, say. Its owner would rather have it as it was than not at all; usage() tells the size. */
    if (!damaged)
      return g_steal_fd(&fd);
    g_propagate_error(error, g_steal_pointer(&why));
    return -1;
  }
  g_auto(PtLocalFd) grown = pt_local_open(pool, id, O_RDWR, error); /* another file has the name now */
  if (grown >= 0 && !pt_local_lock(grown, 0)) {
    pt_error_errno(error, errno, "volume %s", id);
    return -1;
  }
  return g_steal_fd(&grown);
}

/* With the capability, a growth that waited is made up for after the mount, while it is in use. */
static bool
catch_up(PtPool *pool, const char *id, int fd, const char *where, GError **error)
{
  gint64 size = 0, fs = 0;

  if (!pool->cap_sys_resource)
    return true;
  if (!pt_local_sizes(id, fd, &size, &fs, error))
    return false;
  return fs >= size || pt_ext4_grow_mounted(where, size, error);
}

static char *
attach(PtPool *pool, const char *id, unsigned long flags, GError **error)
{
  g_autofree char *where = pt_local_mount(pool, id);
  g_autofree char *device = NULL;

  if (!pt_local_id_ok(id, error))
    return NULL;
  if (pt_is_mounted(where))
    return g_steal_pointer(&where);
  g_auto(PtLocalFd) fd = open_for_attach(pool, id, error);
  if (fd < 0)
    return NULL;
  if (mkdir(where, 0700) < 0 && errno != EEXIST) {
    pt_error_errno(error, errno, "%s", where);
    return NULL;
  }
  g_auto(PtLocalFd) loop = pt_loop_bind(fd, &device, error);
  if (loop < 0) {
    g_prefix_error(error, "volume %s: ", id);
    rmdir(where);
    return NULL;
  }
  /* discard: what a guest deletes goes back to the pool. nodev, nosuid: the overlay above has its own say; nobody
   * should run or open anything through this mount. */
  if (mount(device, where, "ext4", MS_NODEV | MS_NOSUID | MS_NOATIME | flags, "discard,noinit_itable") < 0) {
    pt_error_errno(error, errno, "volume %s: mounting it", id);
    pt_error_hint(error, "the kernel log says more; e2fsck -f on %s/volumes/%s mends a damaged one", pool->dir, id);
    rmdir(where);
    return NULL;
  }
  if (!(flags & MS_RDONLY) && !catch_up(pool, id, fd, where, error)) {
    umount2(where, MNT_DETACH);
    rmdir(where);
    return NULL;
  }
  return g_steal_pointer(&where);
}

char *
pt_local_attach(PtPool *pool, const char *id, GError **error)
{
  return attach(pool, id, 0, error);
}

char *
pt_local_attach_readonly(PtPool *pool, const char *id, GError **error)
{
  return attach(pool, id, MS_RDONLY, error);
}

bool
pt_local_detach(PtPool *pool, const char *id, GError **error)
{
  g_autofree char *where = pt_local_mount(pool, id);
  g_autofree char *path = pt_local_path(pool, id);

  if (!pt_local_id_ok(id, error))
    return false;
  if (!pt_is_mounted(where)) {
    rmdir(where);
    return true;
  }
  if (umount2(where, 0) < 0 && (errno != EBUSY || umount2(where, MNT_DETACH) < 0)) {
    pt_error_errno(error, errno, "volume %s: unmounting it", id);
    return false;
  }
  rmdir(where);
  /* The kernel releases the loop device with the last user; its file's lock tells when that was. */
  g_auto(PtLocalFd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0 && !pt_local_lock(fd, BUSY_WAIT)) {
    pt_error_errno(error, errno == EWOULDBLOCK ? EBUSY : errno, "volume %s", id);
    pt_error_hint(error, "it is detached, but a process still has a file of it open; it can be used again when that ends");
    return false;
  }
  return true;
}

/* Its file, opened, that nobody has in use. -1 on error. */
static int
open_idle(PtPool *pool, const char *id, GError **error)
{
  if (!pt_local_detach(pool, id, error))
    return -1;
  g_auto(PtLocalFd) fd = pt_local_open(pool, id, O_RDWR, error);
  if (fd < 0 || !pt_local_idle(id, fd, error))
    return -1;
  if (!pt_local_lock(fd, BUSY_WAIT)) {
    pt_error_errno(error, errno == EWOULDBLOCK ? EBUSY : errno, "volume %s", id);
    return -1;
  }
  return g_steal_fd(&fd);
}

char *
pt_local_show(PtPool *pool, const char *id, bool as_is, GError **error)
{
  g_auto(PtLocalFd) look = open_idle(pool, id, error);
  bool ext4 = look >= 0 && pt_ext4_size(look, NULL) >= 0;

  if (look < 0)
    return NULL;
  if (ext4 && !as_is) {
    close(g_steal_fd(&look)); /* with the lock */
    g_autofree char *where = pt_local_attach(pool, id, error);
    if (!where)
      return NULL;
  }
  g_auto(PtLocalFd) fd = look >= 0 ? g_steal_fd(&look) : open_idle(pool, id, error);
  if (fd < 0)
    return NULL;
  if (fchmod(fd, 0644) == 0) /* in a directory that is root's alone */
    return pt_local_path(pool, id);
  pt_error_errno(error, errno, "volume %s", id);
  return NULL;
}

char *
pt_local_expose(PtPool *pool, const char *id, uid_t uid, bool as_is, GError **error)
{
  gint64 size = 0, fs = 0;
  bool damaged = false;
  g_auto(PtLocalFd) fd = open_idle(pool, id, error);

  if (fd < 0 || !pt_local_sizes(id, fd, &size, &fs, error))
    return NULL;
  bool grow = fs < size && !as_is;
  if (grow && !pt_local_grow_offline(pool, id, fd, &damaged, error))
    return NULL;
  g_auto(PtLocalFd) now = grow ? pt_local_open(pool, id, O_RDWR, error) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (now >= 0 && fchown(now, uid, uid) == 0)
    return pt_local_path(pool, id);
  if (now >= 0)
    pt_error_errno(error, errno, "volume %s", id);
  return NULL;
}
