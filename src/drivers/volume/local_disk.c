// SPDX-License-Identifier: Apache-2.0
/* Volumes that are the whole disk of an unmodified system.
 *
 * They are clones of an image's disk. Where images and pool share a file system that can, a clone refers to the image's own blocks.
 * Where they do not (the pool is a file system in a file of its own, mostly), the first clone copies the disk to
 * POOL/templates/disk-<key>, holes left out, and it and all later ones refer to that. The copy has its name only once it is whole and
 * on disk, and goes with the image. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/volume/local.h"
#include "sys/sparse.h"

#define ATTRIBUTE "user.portena.format"
#define RAW "raw"
#define RESERVE ((gint64)256 << 20) /* of the pool, left when a disk has been copied into it */

bool
pt_local_is_raw(int fd)
{
  char value[8];

  return fgetxattr(fd, ATTRIBUTE, value, sizeof value) == (ssize_t)strlen(RAW) && memcmp(value, RAW, strlen(RAW)) == 0;
}

bool
pt_local_mark_raw(int fd)
{
  return fsetxattr(fd, ATTRIBUTE, RAW, strlen(RAW), 0) == 0;
}

static char *
path_of(PtPool *pool, const char *key, GError **error)
{
  gsize n = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-");

  if (n > 0 && n <= 128 && !key[n])
    return g_strdup_printf("%s/templates/disk-%s", pool->dir, key);
  PT_SET(error, PT_ERR_INVALID, "'%s' names no disk", key);
  return NULL;
}

static bool
room_for(PtPool *pool, int from, GError **error)
{
  struct stat st;
  gint64 available = pt_local_free(pool->backing ? pool->backing : pool->dir, error), inside = pt_local_free(pool->dir, error);

  if (available < 0 || inside < 0)
    return false;
  available = MIN(available, inside) - RESERVE;
  if (fstat(from, &st) == 0 && (gint64)st.st_blocks * 512 <= available)
    return true;
  g_autofree char *wanted = pt_size_format((gint64)st.st_blocks * 512), *left = pt_size_format(MAX(available, 0));
  PT_SET(error, PT_ERR_NO_SPACE, "pool: a copy of its image needs %s, and %s are left", wanted, left);
  pt_error_hint(error, "nothing was made; delete instances, volumes or images, or free space under %s",
                pool->backing ? pool->backing : pool->dir);
  return false;
}

/* With the lock of disks held. */
static bool
copy_in(PtPool *pool, int from, const char *path, const PtVolumeSource *source, GError **error)
{
  g_autofree char *base = g_path_get_basename(path), *fresh = g_build_filename(pool->dir, "tmp", base, NULL);

  if (!room_for(pool, from, error))
    return false;
  int to = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (to < 0) {
    pt_error_errno(error, errno, "%s", fresh);
    return false;
  }
  bool ok = pt_sparse_copy(from, to, source->report, source->data, error);
  if (ok && (fsync(to) != 0 || rename(fresh, path) != 0)) {
    pt_error_errno(error, errno, "%s", path);
    ok = false;
  }
  close(to);
  if (!ok)
    unlink(fresh);
  return ok;
}

/* The pool's own copy, opened; made first where it is not there. -1 on error. */
static int
open_copy(PtPool *pool, int from, const PtVolumeSource *source, GError **error)
{
  g_autofree char *path = path_of(pool, source->key, error);
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

  if (!path || fd >= 0)
    return fd;
  g_mutex_lock(&pool->disks);
  bool there = access(path, F_OK) == 0 || copy_in(pool, from, path, source, error);
  fd = there ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (there && fd < 0)
    pt_error_errno(error, errno, "%s", path);
  g_mutex_unlock(&pool->disks);
  return fd;
}

static bool
fill_from(PtPool *pool, int to, const PtVolumeSource *source, gint64 bytes, GError **error)
{
  int from = open(source->file, O_RDONLY | O_CLOEXEC);
  struct stat st;

  if (from < 0 || fstat(from, &st) != 0) {
    pt_error_errno(error, errno, "%s", source->file);
    if (from >= 0)
      close(from);
    return false;
  }
  bool ok = st.st_size <= bytes;
  if (!ok) {
    g_autofree char *have = pt_size_format(st.st_size);
    PT_SET(error, PT_ERR_INVALID, "its image's disk has %s, and it would be smaller", have);
    pt_error_hint(error, "give it at least as much: disk=%" G_GINT64_FORMAT, (gint64)st.st_size);
  } else if (!pt_local_reflink(from, to)) {
    int copy = open_copy(pool, from, source, error);
    ok = copy >= 0 && pt_local_reflink(copy, to);
    if (copy >= 0 && !ok)
      pt_error_errno(error, errno, "disk");
    if (copy >= 0)
      close(copy);
  }
  close(from);
  return ok;
}

bool
pt_local_fill(PtPool *pool, int to, const PtVolumeSource *source, gint64 bytes, GError **error)
{
  if (source->file && !fill_from(pool, to, source, bytes, error))
    return false;
  if (pt_local_mark_raw(to) && ftruncate(to, bytes) == 0 && fsync(to) == 0)
    return true;
  pt_error_errno(error, errno, "disk");
  return false;
}

bool
pt_local_forget(PtPool *pool, const char *key, GError **error)
{
  g_autofree char *path = path_of(pool, key, error);

  if (!path)
    return false;
  if (unlink(path) == 0 || errno == ENOENT)
    return true;
  pt_error_errno(error, errno, "%s", path);
  return false;
}
