// SPDX-License-Identifier: Apache-2.0
/* Where the local pool lives. A directory of the administrator's on XFS or btrfs is used as it is. Everywhere
 * else (ext4, as most servers have) we make one sparse file with an XFS in it; it takes from the host only what
 * its volumes hold, and gives back what they delete (discard).
 *
 * The file is locked (flock) through the very descriptor that the loop device keeps, so the lock lives exactly as long as
 * the mount, whoever dies in between, and a second daemon over the same state is refused before it can do harm. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "base/text.h"
#include "drivers/volume/local.h"
#include "drivers/volume/loop.h"
#include "sys/mounts.h"
#include "sys/process.h"

#define GIB ((gint64)1 << 30)
#define POOL_MIN (4 * GIB)       /* of the file system: sparse, so it need not be there yet */
#define FREE_MIN (GIB / 2)       /* of the host's disk: below this a pool would be of no use */
#define POOL_SHARE 80            /* per cent of what is free */
#define RELEASE_WAIT (15 * G_USEC_PER_SEC) /* a dead predecessor's mount namespace goes when all of it is written */

bool
pt_local_lock(int fd, gint64 timeout)
{
  gint64 end = pt_mono() + timeout;

  while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK || pt_mono() >= end)
      return false;
    g_usleep(2000);
  }
  return true;
}

bool
pt_local_reflink(int from, int to)
{
  return ioctl(to, FICLONE, from) == 0;
}

gint64
pt_local_free(const char *path, GError **error)
{
  struct statvfs vfs;

  if (statvfs(path, &vfs) < 0) {
    pt_error_errno(error, errno, "%s", path);
    return -1;
  }
  return (gint64)vfs.f_bavail * (gint64)vfs.f_frsize;
}

static bool
can_reflink(const char *dir)
{
  int from = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  int to = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  bool ok = from >= 0 && to >= 0 && ftruncate(from, 65536) == 0 && pwrite(from, "x", 1, 0) == 1 && pt_local_reflink(from, to);

  if (from >= 0)
    close(from);
  if (to >= 0)
    close(to);
  return ok;
}

/* Makes `file` whole under another name first: what a killed mkfs left is overwritten by the next. */
static bool
make_file(const char *state, const char *file, GError **error)
{
  g_autofree char *fresh = g_strconcat(file, ".new", NULL);
  gint64 space = pt_local_free(state, error);
  gint64 size = MAX(space / 100 * POOL_SHARE, POOL_MIN) / 4096 * 4096;

  if (space < 0)
    return false;
  if (space < FREE_MIN) {
    g_autofree char *have = pt_size_format(space);
    PT_SET(error, PT_ERR_NO_SPACE, "pool: only %s are free in %s", have, state);
    pt_error_hint(error, "free at least 512 MiB there, or mount an XFS or btrfs file system at %s/pool", state);
    return false;
  }
  int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, size) < 0) {
    pt_error_errno(error, errno, "%s", fresh);
    if (fd >= 0)
      close(fd);
    return false;
  }
  /* 4096-byte sectors, so that direct I/O passes through both loop devices whatever the disk's sector size. */
  const char *const argv[] = { "mkfs.xfs", "-q", "-f", "-m", "reflink=1", "-s", "size=4096", "-l", "size=64m", fresh, NULL };
  bool ok = pt_run(argv, NULL, NULL, error);
  if (ok && (fsync(fd) < 0 || rename(fresh, file) < 0)) {
    pt_error_errno(error, errno, "%s", file);
    ok = false;
  }
  close(fd);
  if (!ok)
    unlink(fresh);
  return ok;
}

static bool
mount_file(const char *file, const char *where, GError **error)
{
  g_autofree char *device = NULL;
  int fd = open(file, O_RDWR | O_CLOEXEC);

  if (fd < 0) {
    pt_error_errno(error, errno, "%s", file);
    return false;
  }
  if (!pt_local_lock(fd, RELEASE_WAIT)) {
    pt_error_errno(error, errno == EWOULDBLOCK ? EBUSY : errno, "%s", file);
    pt_error_hint(error, "another portenad has this pool mounted: stop it, or give this one a state directory of its own");
    close(fd);
    return false;
  }
  int loop = pt_loop_bind(fd, &device, error);
  bool ok = loop >= 0;
  if (ok && mount(device, where, "xfs", MS_NODEV | MS_NOSUID | MS_NOEXEC | MS_NOATIME, "discard") < 0) {
    pt_error_errno(error, errno, "%s: mounting it at %s", file, where);
    pt_error_hint(error, "the kernel log says more; xfs_repair %s mends a damaged pool", file);
    ok = false;
  }
  if (loop >= 0)
    close(loop);
  close(fd);
  return ok;
}

bool
pt_local_place(PtPool *pool, const char *state, const char *run, GError **error)
{
  g_autofree char *dir = g_build_filename(state, "pool", NULL);
  g_autofree char *file = g_build_filename(state, "pool.xfs", NULL);
  g_autofree char *where = g_build_filename(run, "pool", NULL);
  bool have_file = g_file_test(file, G_FILE_TEST_EXISTS);

  if (!have_file && can_reflink(g_file_test(dir, G_FILE_TEST_IS_DIR) ? dir : state)) {
    pool->dir = g_steal_pointer(&dir);
    return true;
  }
  if ((!have_file && !make_file(state, file, error)) || !pt_dir_make(where, 0700, error))
    return false;
  if (!pt_is_mounted(where) && !mount_file(file, where, error))
    return false;
  pool->dir = g_steal_pointer(&where);
  pool->backing = g_strdup(state);
  return true;
}

bool
pt_local_info(PtPool *pool, PtPoolInfo *ret, GError **error)
{
  struct statvfs vfs;

  if (statvfs(pool->dir, &vfs) < 0) {
    pt_error_errno(error, errno, "%s", pool->dir);
    return false;
  }
  gint64 unit = (gint64)vfs.f_frsize;
  ret->size = (gint64)vfs.f_blocks * unit;
  ret->used = (gint64)(vfs.f_blocks - vfs.f_bfree) * unit;
  ret->available = (gint64)vfs.f_bavail * unit;
  ret->reflink = true;
  if (pool->backing) {
    gint64 below = pt_local_free(pool->backing, error);
    if (below < 0)
      return false;
    ret->available = MIN(ret->available, below); /* the pool's file is sparse: the disk under it may be fuller */
  }
  return true;
}
