// SPDX-License-Identifier: Apache-2.0
/* The local pool: raw sparse ext4 images on a reflinking file system, each mounted through a loop device.
 *
 * Theory of operation.
 *  - A volume is the file POOL/volumes/<id> and nothing else. Everything about it is read from that file and from the
 *    kernel, so there is no second record that could disagree with them:
 *      attached           RUN/mnt/vol/<id> is a mount
 *      in use at all      its flock is held: the loop device keeps the open file that we locked, until it is released
 *      growth is pending  the file is longer than the file system that its superblock describes
 *  - What is made gets its name last: as O_TMPFILE and linkat, or in POOL/tmp and rename. A killed creation leaves nothing
 *    (tmp/ is emptied at open).
 *  - A fresh volume is not synced: what a guest makes durable in it flushes the pool's log, which has the
 *    volume's creation before it. A crash before that leaves no volume, and creating it again is the answer.
 *    A clone's source and a grown image hold data already and are synced before the new one gets its name.
 *  - A clone of a volume that is in use is what a power cut at that moment would have left, and ext4's journal
 *    makes it whole at its first mount. It is not frozen for that: a freeze would outlive us if we were killed. */
#include "drivers/volume/local.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/error.h"
#include "base/id.h"
#include "base/text.h"
#include "drivers/volume/ext4.h"
#include "drivers/volume/loop.h"
#include "sys/mounts.h"

#define ALIGN ((gint64)1 << 20)
#define RESERVE ((gint64)64 << 20)    /* no new volume once the pool has less than this */
#define BUSY_WAIT (5 * G_USEC_PER_SEC) /* how long we wait for the last user of a volume */

/* A descriptor that closes itself. */
typedef int Fd;
static void
fd_clear(Fd *fd)
{
  if (*fd >= 0)
    close(*fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fd, fd_clear)

static bool
id_ok(const char *id, GError **error)
{
  gsize n = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-");

  if (n > 0 && n <= 64 && id[n] == '\0')
    return true;
  PT_SET(error, PT_ERR_INVALID, "volume: '%s' is no id", id);
  return false;
}

static char *
path_of(PtPool *pool, const char *id)
{
  return g_build_filename(pool->dir, "volumes", id, NULL);
}

static char *
mount_of(PtPool *pool, const char *id)
{
  return g_build_filename(pool->mounts, id, NULL);
}

static int
open_volume(PtPool *pool, const char *id, int flags, GError **error)
{
  g_autofree char *path = path_of(pool, id);
  int fd = id_ok(id, error) ? open(path, flags | O_CLOEXEC | O_NOFOLLOW) : -1;

  if (fd < 0 && !(error && *error))
    pt_error_errno(error, errno, "volume %s", id);
  return fd;
}

/* The size of the file, and how far its file system reaches. */
static bool
sizes(const char *id, int fd, gint64 *ret_file, gint64 *ret_fs, GError **error)
{
  struct stat st;

  if (fstat(fd, &st) < 0) {
    pt_error_errno(error, errno, "volume %s", id);
    return false;
  }
  *ret_file = *ret_fs = st.st_size;
  if (pt_local_is_raw(fd))
    return true;
  uid_t owner;
  g_autoptr(GError) why = NULL;
  *ret_fs = pt_ext4_size(fd, &why);
  if (*ret_fs < 0 && pt_local_foreign(fd, &owner)) { /* a guest has made something else of it: a disk of its own */
    *ret_fs = st.st_size;
    return true;
  }
  if (*ret_fs < 0) {
    g_propagate_error(error, g_steal_pointer(&why));
    g_prefix_error(error, "volume %s: ", id);
    return false;
  }
  return true;
}

/* ---- the pool ---- */

static void
pool_close(PtPool *pool)
{
  if (!pool)
    return;
  g_free(pool->jail);
  g_free(pool->dir);
  g_free(pool->backing);
  g_free(pool->mounts);
  g_mutex_clear(&pool->templates);
  g_mutex_clear(&pool->disks);
  g_free(pool);
}

/* What a killed predecessor was about to make. */
static void
empty_tmp(PtPool *pool)
{
  g_autofree char *dir = g_build_filename(pool->dir, "tmp", NULL);
  g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
  const char *name;

  while (d && (name = g_dir_read_name(d))) {
    g_autofree char *path = g_build_filename(dir, name, NULL);
    unlink(path);
  }
}

static PtPool *
pool_open(const PtHost *host, GError **error)
{
  static const char *const below[] = { "volumes", "templates", "tmp" };
  PtPool *pool = g_new0(PtPool, 1);
  bool ok;

  g_mutex_init(&pool->templates);
  g_mutex_init(&pool->disks);
  pool->jail = g_build_filename(host->libexec, "portena-jail", NULL);
  pool->mounts = g_build_filename(host->run, "mnt", "vol", NULL);
  pool->cap_sys_resource = host->cap_sys_resource;
  ok = pt_local_place(pool, host->state, host->run, error);
  for (guint i = 0; ok && i < G_N_ELEMENTS(below); i++) {
    g_autofree char *dir = g_build_filename(pool->dir, below[i], NULL);
    ok = pt_dir_make(dir, 0700, error);
  }
  ok = ok && pt_dir_make(pool->mounts, 0700, error);
  if (!ok) {
    pool_close(pool);
    return NULL;
  }
  empty_tmp(pool);
  return pool;
}

/* A full pool fails its guests' writes. So that nobody is handed a volume that is dead on arrival, the last bit is
 * kept for those that exist. */
static bool
room(PtPool *pool, GError **error)
{
  PtPoolInfo info;

  if (!pt_local_info(pool, &info, error))
    return false;
  if (info.available >= RESERVE)
    return true;
  g_autofree char *left = pt_size_format(info.available);
  PT_SET(error, PT_ERR_NO_SPACE, "pool: full, %s left of what new volumes need", left);
  pt_error_hint(error, "nothing was made; delete instances, volumes or images, or free space under %s",
                pool->backing ? pool->backing : pool->dir);
  return false;
}

/* ---- making and removing ---- */

/* Links the nameless `fd` as volume `id`; there already is success. */
static bool
publish(PtPool *pool, int fd, const char *id, GError **error)
{
  g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", fd);
  g_autofree char *path = path_of(pool, id);

  if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST)
    return true;
  pt_error_errno(error, errno, "volume %s", id);
  return false;
}

static int
nameless(PtPool *pool, GError **error)
{
  g_autofree char *dir = g_build_filename(pool->dir, "volumes", NULL);
  int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

  if (fd < 0)
    pt_error_errno(error, errno, "%s", dir);
  return fd;
}

static bool
copy(PtPool *pool, int from, const char *id, bool durable, GError **error)
{
  g_auto(Fd) fd = nameless(pool, error);

  if (fd < 0)
    return false;
  uid_t owner;
  if (!pt_local_reflink(from, fd) || (pt_local_is_raw(from) && !pt_local_mark_raw(fd)) ||
      (pt_local_foreign(from, &owner) && fchown(fd, owner, owner) < 0) || (durable && fsync(fd) < 0)) {
    pt_error_errno(error, errno, "volume %s", id);
    pt_error_hint(error, "nothing was made");
    return false;
  }
  return publish(pool, fd, id, error);
}

static bool
size_ok(const char *id, gint64 bytes, GError **error)
{
  if (bytes >= PT_EXT4_MIN && bytes <= PT_EXT4_MAX)
    return true;
  PT_SET(error, PT_ERR_INVALID, "volume %s: %" G_GINT64_FORMAT " bytes is no size for a volume", id, bytes);
  pt_error_hint(error, "nothing was changed; volumes have 16 MiB to 16 TiB");
  return false;
}

static bool
volume_create(PtPool *pool, const char *id, gint64 bytes, GError **error)
{
  g_autofree char *path = path_of(pool, id);

  if (!id_ok(id, error))
    return false;
  if (!size_ok(id, bytes, error))
    return false;
  if (g_file_test(path, G_FILE_TEST_EXISTS))
    return true;
  if (!room(pool, error)) {
    g_prefix_error(error, "volume %s: ", id);
    return false;
  }
  g_auto(Fd) from = pt_local_template(pool, (bytes + ALIGN - 1) / ALIGN * ALIGN, error);
  if (from < 0) {
    g_prefix_error(error, "volume %s: ", id);
    return false;
  }
  return copy(pool, from, id, false, error);
}

static bool
volume_create_from(PtPool *pool, const char *id, const PtVolumeSource *source, gint64 bytes, GError **error)
{
  g_autofree char *path = path_of(pool, id);

  if (!id_ok(id, error) || !size_ok(id, bytes, error))
    return false;
  if (g_file_test(path, G_FILE_TEST_EXISTS))
    return true;
  g_auto(Fd) fd = room(pool, error) ? nameless(pool, error) : -1;
  if (fd < 0 || !pt_local_fill(pool, fd, source, (bytes + ALIGN - 1) / ALIGN * ALIGN, error)) {
    g_prefix_error(error, "volume %s: ", id);
    return false;
  }
  return publish(pool, fd, id, error);
}

/* In tmp/: what a killed daemon held goes at the next open. */
static char *
volume_hold(PtPool *pool, const char *id, GError **error)
{
  g_autofree char *tag = pt_random_hex(8), *path = g_strdup_printf("%s/tmp/held-%s", pool->dir, tag);
  g_auto(Fd) from = open_volume(pool, id, O_RDONLY, error);
  g_auto(Fd) to = from < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (to >= 0 && pt_local_reflink(from, to))
    return g_steal_pointer(&path);
  if (from >= 0)
    pt_error_errno(error, errno, "volume %s", id);
  if (to >= 0)
    unlink(path);
  return NULL;
}

static bool
volume_clone(PtPool *pool, const char *from, const char *id, GError **error)
{
  g_autofree char *where = mount_of(pool, from);

  if (!id_ok(id, error) || !room(pool, error))
    return false;
  g_auto(Fd) fd = open_volume(pool, from, O_RDONLY, error);
  if (fd < 0)
    return false;
  if (pt_is_mounted(where)) {
    g_auto(Fd) root = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || syncfs(root) < 0) {
      pt_error_errno(error, errno, "volume %s", from);
      return false;
    }
  }
  /* With the source on the disk, the copy is as durable as a fresh volume is: the pool's log has it before all that is done to it. */
  if (fsync(fd) < 0) {
    pt_error_errno(error, errno, "volume %s", from);
    return false;
  }
  return copy(pool, fd, id, false, error);
}

static bool
volume_remove(PtPool *pool, const char *id, GError **error)
{
  g_autofree char *path = path_of(pool, id);
  g_autofree char *where = mount_of(pool, id);

  if (!id_ok(id, error))
    return false;
  g_auto(Fd) fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT)
    return true;
  if (fd >= 0 && (pt_is_mounted(where) || (!pt_local_lock(fd, 0) && errno == EWOULDBLOCK))) {
    PT_SET(error, PT_ERR_CONFLICT, "volume %s: in use on this node", id);
    pt_error_hint(error, "nothing was removed; stop the instance that has it attached first");
    return false;
  }
  if (fd >= 0 && !pt_local_idle(id, fd, error))
    return false;
  if (fd < 0 || (unlink(path) < 0 && errno != ENOENT)) {
    pt_error_errno(error, errno, "volume %s", id);
    return false;
  }
  rmdir(where);
  return true;
}

/* ---- growing ---- */

/* Grows a volume that nobody uses, on a clone that takes its place when it is whole: a crash half way leaves
 * the old one. `fd` is the volume. *ret_damaged: it failed because the file system needs a repair by hand. */
static bool
grow_offline(PtPool *pool, const char *id, int fd, bool *ret_damaged, GError **error)
{
  g_autofree char *path = path_of(pool, id);
  g_autofree char *tmp = g_build_filename(pool->dir, "tmp", id, NULL);
  g_auto(Fd) to = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool ok = to >= 0 && pt_local_reflink(fd, to);
  PtExt4Guard room;

  if (!ok)
    pt_error_errno(error, errno, "volume %s: growing it", id);
  const PtExt4Guard *guard = pt_local_guard(pool, fd, &room);
  if (ok && guard && fchown(to, guard->ids, guard->ids) < 0) {
    pt_error_errno(error, errno, "volume %s: growing it", id);
    ok = false;
  }
  *ret_damaged = ok && !pt_ext4_check_image(tmp, guard, error);
  if (ok && (*ret_damaged || !pt_ext4_grow_image(tmp, guard, error))) {
    g_prefix_error(error, "volume %s: growing it: ", id);
    ok = false;
  }
  if (ok && (fsync(to) < 0 || rename(tmp, path) < 0)) {
    pt_error_errno(error, errno, "volume %s: growing it", id);
    ok = false;
  }
  if (!ok)
    unlink(tmp);
  return ok;
}

static bool
grow_attached(PtPool *pool, const char *where, gint64 bytes, GError **error)
{
  struct stat st;

  if (stat(where, &st) < 0) {
    pt_error_errno(error, errno, "%s", where);
    return false;
  }
  g_auto(Fd) loop = pt_loop_open(st.st_dev, error);
  if (loop < 0 || !pt_loop_resized(loop, error))
    return false;
  if (!pool->cap_sys_resource) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: no CAP_SYS_RESOURCE", where);
    return false;
  }
  return pt_ext4_grow_mounted(where, bytes, error);
}

static bool
volume_resize(PtPool *pool, const char *id, gint64 bytes, gint64 *ret_actual, GError **error)
{
  g_autofree char *where = mount_of(pool, id);
  g_autoptr(GError) why = NULL;
  gint64 size = 0, fs = 0;
  g_auto(Fd) fd = open_volume(pool, id, O_RDWR, error);
  bool damaged;

  if (fd < 0 || !size_ok(id, bytes, error) || !sizes(id, fd, &size, &fs, error))
    return false;
  bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
  if (bytes < size) {
    g_autofree char *have = pt_size_format(size);
    PT_SET(error, PT_ERR_INVALID, "volume %s: has %s already, and volumes only grow", id, have);
    pt_error_hint(error, "nothing was changed; to shrink one, make a smaller one and copy");
    return false;
  }
  if (bytes > size && ftruncate(fd, bytes) < 0) {
    pt_error_errno(error, errno, "volume %s: growing it", id);
    return false;
  }
  if (pt_local_is_raw(fd)) {
    *ret_actual = bytes;
    return true;
  }
  uid_t owner;
  if (fs < bytes && pt_local_foreign(fd, &owner)) {
    /* A machine may have it: its file is long enough from its next start on. */
  } else if (fs < bytes && !pt_is_mounted(where)) {
    if (!grow_offline(pool, id, fd, &damaged, error)) {
      if (ftruncate(fd, size) < 0)
        pt_error_hint(error, "its file has grown all the same (%s)", g_strerror(errno));
      return false;
    }
    fs = bytes;
  } else if (fs < bytes) {
    if (grow_attached(pool, where, bytes, &why))
      fs = bytes;
    else if (!g_error_matches(why, PT_ERROR, PT_ERR_UNSUPPORTED)) {
      g_propagate_prefixed_error(error, g_steal_pointer(&why), "volume %s: ", id);
      return false;
    } /* else it waits for the next attach, and ret_actual says so */
  }
  *ret_actual = fs;
  return true;
}

/* ---- attaching ---- */

/* Locks the volume's file for the loop device to come; grown first where that had to wait. */
static int
open_for_attach(PtPool *pool, const char *id, GError **error)
{
  gint64 size = 0, fs = 0;
  bool damaged = false;
  g_autoptr(GError) why = NULL;
  g_auto(Fd) fd = open_volume(pool, id, O_RDWR, error);

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
  g_autofree char *path = path_of(pool, id);
  if (!pt_local_reclaim(pool, id, path, fd, error) || !sizes(id, fd, &size, &fs, error))
    return -1;
  if (fs >= size || pool->cap_sys_resource)
    return g_steal_fd(&fd);
  if (!grow_offline(pool, id, fd, &damaged, &why)) {
    /* A full pool, say. Its owner would rather have it as it was than not at all; usage() tells the size. */
    if (!damaged)
      return g_steal_fd(&fd);
    g_propagate_error(error, g_steal_pointer(&why));
    return -1;
  }
  g_auto(Fd) grown = open_volume(pool, id, O_RDWR, error); /* another file has the name now */
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
  if (!sizes(id, fd, &size, &fs, error))
    return false;
  return fs >= size || pt_ext4_grow_mounted(where, size, error);
}

static char *
attach(PtPool *pool, const char *id, unsigned long flags, GError **error)
{
  g_autofree char *where = mount_of(pool, id);
  g_autofree char *device = NULL;

  if (!id_ok(id, error))
    return NULL;
  if (pt_is_mounted(where))
    return g_steal_pointer(&where);
  g_auto(Fd) fd = open_for_attach(pool, id, error);
  if (fd < 0)
    return NULL;
  if (mkdir(where, 0700) < 0 && errno != EEXIST) {
    pt_error_errno(error, errno, "%s", where);
    return NULL;
  }
  g_auto(Fd) loop = pt_loop_bind(fd, &device, error);
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

static char *
volume_attach(PtPool *pool, const char *id, GError **error)
{
  return attach(pool, id, 0, error);
}

static char *
volume_attach_readonly(PtPool *pool, const char *id, GError **error)
{
  return attach(pool, id, MS_RDONLY, error);
}

static bool
volume_detach(PtPool *pool, const char *id, GError **error)
{
  g_autofree char *where = mount_of(pool, id);
  g_autofree char *path = path_of(pool, id);

  if (!id_ok(id, error))
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
  g_auto(Fd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
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
  if (!volume_detach(pool, id, error))
    return -1;
  g_auto(Fd) fd = open_volume(pool, id, O_RDWR, error);
  if (fd < 0 || !pt_local_idle(id, fd, error))
    return -1;
  if (!pt_local_lock(fd, BUSY_WAIT)) {
    pt_error_errno(error, errno == EWOULDBLOCK ? EBUSY : errno, "volume %s", id);
    return -1;
  }
  return g_steal_fd(&fd);
}

static char *
volume_show(PtPool *pool, const char *id, bool as_is, GError **error)
{
  g_auto(Fd) look = open_idle(pool, id, error);
  bool ext4 = look >= 0 && pt_ext4_size(look, NULL) >= 0;

  if (look < 0)
    return NULL;
  if (ext4 && !as_is) {
    close(g_steal_fd(&look)); /* with the lock */
    g_autofree char *where = volume_attach(pool, id, error);
    if (!where)
      return NULL;
  }
  g_auto(Fd) fd = look >= 0 ? g_steal_fd(&look) : open_idle(pool, id, error);
  if (fd < 0)
    return NULL;
  if (fchmod(fd, 0644) == 0) /* in a directory that is root's alone */
    return path_of(pool, id);
  pt_error_errno(error, errno, "volume %s", id);
  return NULL;
}

static char *
volume_expose(PtPool *pool, const char *id, uid_t uid, bool as_is, GError **error)
{
  gint64 size = 0, fs = 0;
  bool damaged = false;
  g_auto(Fd) fd = open_idle(pool, id, error);

  if (fd < 0 || !sizes(id, fd, &size, &fs, error))
    return NULL;
  bool grow = fs < size && !as_is;
  if (grow && !grow_offline(pool, id, fd, &damaged, error))
    return NULL;
  g_auto(Fd) now = grow ? open_volume(pool, id, O_RDWR, error) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (now >= 0 && fchown(now, uid, uid) == 0)
    return path_of(pool, id);
  if (now >= 0)
    pt_error_errno(error, errno, "volume %s", id);
  return NULL;
}

/* ---- looking ---- */

static bool
volume_usage(PtPool *pool, const char *id, gint64 *ret_used, gint64 *ret_size, GError **error)
{
  g_autofree char *where = mount_of(pool, id);
  struct statvfs vfs;
  struct stat st;
  gint64 size = 0;
  g_auto(Fd) fd = open_volume(pool, id, O_RDONLY, error);

  if (fd < 0 || !sizes(id, fd, &size, ret_size, error))
    return false;
  if (pt_is_mounted(where) && statvfs(where, &vfs) == 0) {
    *ret_used = (gint64)(vfs.f_blocks - vfs.f_bfree) * (gint64)vfs.f_frsize;
    return true;
  }
  if (fstat(fd, &st) < 0) {
    pt_error_errno(error, errno, "volume %s", id);
    return false;
  }
  *ret_used = (gint64)st.st_blocks * 512;
  return true;
}

static GPtrArray *
volume_list(PtPool *pool, GError **error)
{
  g_autofree char *dir = g_build_filename(pool->dir, "volumes", NULL);
  g_autoptr(GDir) d = g_dir_open(dir, 0, error);
  const char *name;

  if (!d)
    return NULL;
  GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
  while ((name = g_dir_read_name(d)))
    g_ptr_array_add(ids, g_strdup(name));
  return ids;
}

const PtPoolDriver pt_pool_local = {
  .name = "local",
  .open = pool_open,
  .close = pool_close,
  .info = pt_local_info,
  .create = volume_create,
  .create_from = volume_create_from,
  .forget = pt_local_forget,
  .hold = volume_hold,
  .clone = volume_clone,
  .remove = volume_remove,
  .attach = volume_attach,
  .attach_readonly = volume_attach_readonly,
  .detach = volume_detach,
  .expose = volume_expose,
  .show = volume_show,
  .resize = volume_resize,
  .usage = volume_usage,
  .list = volume_list,
};
