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
#define RESERVE ((gint64)64 << 20) /* no new volume once the pool has less than this */

bool
pt_local_id_ok(const char *id, GError **error)
{
  gsize n = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-");

  if (n > 0 && n <= 64 && id[n] == '\0')
    return true;
  PT_SET(error, PT_ERR_INVALID, "volume: '%s' is no id", id);
  return false;
}

char *
pt_local_path(PtPool *pool, const char *id)
{
  return g_build_filename(pool->dir, "volumes", id, NULL);
}

char *
pt_local_mount(PtPool *pool, const char *id)
{
  return g_build_filename(pool->mounts, id, NULL);
}

int
pt_local_open(PtPool *pool, const char *id, int flags, GError **error)
{
  g_autofree char *path = pt_local_path(pool, id);
  int fd = pt_local_id_ok(id, error) ? open(path, flags | O_CLOEXEC | O_NOFOLLOW) : -1;

  if (fd < 0 && !(error && *error))
    pt_error_errno(error, errno, "volume %s", id);
  return fd;
}

bool
pt_local_sizes(const char *id, int fd, gint64 *ret_file, gint64 *ret_fs, GError **error)
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
  g_autofree char *path = pt_local_path(pool, id);

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
  g_auto(PtLocalFd) fd = nameless(pool, error);

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
  g_autofree char *path = pt_local_path(pool, id);

  if (!pt_local_id_ok(id, error))
    return false;
  if (!size_ok(id, bytes, error))
    return false;
  if (g_file_test(path, G_FILE_TEST_EXISTS))
    return true;
  if (!room(pool, error)) {
    g_prefix_error(error, "volume %s: ", id);
    return false;
  }
  g_auto(PtLocalFd) from = pt_local_template(pool, (bytes + ALIGN - 1) / ALIGN * ALIGN, error);
  if (from < 0) {
    g_prefix_error(error, "volume %s: ", id);
    return false;
  }
  return copy(pool, from, id, false, error);
}

static bool
volume_create_from(PtPool *pool, const char *id, const PtVolumeSource *source, gint64 bytes, GError **error)
{
  g_autofree char *path = pt_local_path(pool, id);

  if (!pt_local_id_ok(id, error) || !size_ok(id, bytes, error))
    return false;
  if (g_file_test(path, G_FILE_TEST_EXISTS))
    return true;
  g_auto(PtLocalFd) fd = room(pool, error) ? nameless(pool, error) : -1;
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
  g_auto(PtLocalFd) from = pt_local_open(pool, id, O_RDONLY, error);
  g_auto(PtLocalFd) to = from < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

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
  g_autofree char *where = pt_local_mount(pool, from);

  if (!pt_local_id_ok(id, error) || !room(pool, error))
    return false;
  g_auto(PtLocalFd) fd = pt_local_open(pool, from, O_RDONLY, error);
  if (fd < 0)
    return false;
  if (pt_is_mounted(where)) {
    g_auto(PtLocalFd) root = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
  g_autofree char *path = pt_local_path(pool, id);
  g_autofree char *where = pt_local_mount(pool, id);

  if (!pt_local_id_ok(id, error))
    return false;
  g_auto(PtLocalFd) fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
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

bool
pt_local_grow_offline(PtPool *pool, const char *id, int fd, bool *ret_damaged, GError **error)
{
  g_autofree char *path = pt_local_path(pool, id);
  g_autofree char *tmp = g_build_filename(pool->dir, "tmp", id, NULL);
  g_auto(PtLocalFd) to = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
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
  g_auto(PtLocalFd) loop = pt_loop_open(st.st_dev, error);
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
  g_autofree char *where = pt_local_mount(pool, id);
  g_autoptr(GError) why = NULL;
  gint64 size = 0, fs = 0;
  g_auto(PtLocalFd) fd = pt_local_open(pool, id, O_RDWR, error);
  bool damaged;

  if (fd < 0 || !size_ok(id, bytes, error) || !pt_local_sizes(id, fd, &size, &fs, error))
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
    if (!pt_local_grow_offline(pool, id, fd, &damaged, error)) {
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

/* ---- looking ---- */

static bool
volume_usage(PtPool *pool, const char *id, gint64 *ret_used, gint64 *ret_size, GError **error)
{
  g_autofree char *where = pt_local_mount(pool, id);
  struct statvfs vfs;
  struct stat st;
  gint64 size = 0;
  g_auto(PtLocalFd) fd = pt_local_open(pool, id, O_RDONLY, error);

  if (fd < 0 || !pt_local_sizes(id, fd, &size, ret_size, error))
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
  .attach = pt_local_attach,
  .attach_readonly = pt_local_attach_readonly,
  .detach = pt_local_detach,
  .expose = pt_local_expose,
  .show = pt_local_show,
  .resize = volume_resize,
  .usage = volume_usage,
  .list = volume_list,
};
