// SPDX-License-Identifier: Apache-2.0
/* Mounted images. The count of users is this process's: after a restart the reconciler mounts again what its instances use. An
 * overlay keeps its lower file system alive by itself, so unmounting ours under a running guest does no harm. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "drivers/image/images_impl.h"
#include "drivers/volume/loop.h"
#include "sys/mounts.h"

/* A stopped instance is often started again: its image stays mounted for so long. */
#define IDLE_KEPT (60 * G_USEC_PER_SEC)

static char *
mount_dir(PtImages *images)
{
  return g_build_filename(images->host->run, "mnt", "img", NULL);
}

static bool
do_mount(PtImages *images, const char *hex, const char *where, GError **error)
{
  g_autofree char *file = g_build_filename(images->dir, hex, "rootfs.erofs", NULL), *device = NULL;
  int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0 && errno == ENOENT) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no image sha256:%s on this node", hex);
    return false;
  }
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", file);
    return false;
  }
  /* Opened for reading alone, so the device is read-only too. */
  int loop = pt_loop_bind(fd, &device, error);
  close(fd);
  if (loop < 0)
    return false;
  bool ok = mount(device, where, "erofs", MS_RDONLY | MS_NODEV | MS_NOATIME, NULL) == 0;
  if (!ok)
    pt_error_errno(error, errno, "image sha256:%s: mount", hex);
  close(loop);
  return ok;
}

static bool
unmount(PtImages *images, const char *hex)
{
  g_autofree char *dir = mount_dir(images), *where = g_build_filename(dir, hex, NULL);

  if (umount2(where, UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT)
    return false;
  rmdir(where);
  g_hash_table_remove(images->mounts, hex);
  return true;
}

/* With the lock held. One that something still holds open is tried again the next time. */
static void
tidy(PtImages *images)
{
  g_autoptr(GList) all = g_hash_table_get_keys(images->mounts);
  gint64 now = pt_mono();

  for (GList *l = all; l; l = l->next) {
    const PtImageMount *m = g_hash_table_lookup(images->mounts, l->data);
    g_autofree char *hex = g_strdup(l->data);
    if (!m->users && now - m->idle >= IDLE_KEPT)
      unmount(images, hex);
  }
}

void
pt_images_mounts_adopt(PtImages *images)
{
  g_autofree char *dir = mount_dir(images);
  g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
  const char *name;

  while (d && (name = g_dir_read_name(d))) {
    g_autofree char *path = g_build_filename(dir, name, NULL);
    if (pt_is_mounted(path)) {
      PtImageMount *m = g_new0(PtImageMount, 1);
      m->idle = pt_mono();
      g_hash_table_insert(images->mounts, g_strdup(name), m);
    } else {
      rmdir(path);
    }
  }
}

bool
pt_images_mounts_drop(PtImages *images, const char *hex, GError **error)
{
  const PtImageMount *m = g_hash_table_lookup(images->mounts, hex);

  if (!m)
    return true;
  if (m->users == 0 && unmount(images, hex))
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "image sha256:%s is in use on this node", hex);
  pt_error_hint(error, "stop the instances that use it, then try again");
  return false;
}

char *
pt_images_mount(PtImages *images, const char *digest, GError **error)
{
  const char *hex = pt_images_hex(digest, error);

  if (!hex)
    return NULL;
  g_autofree char *dir = mount_dir(images), *where = g_build_filename(dir, hex, NULL);
  g_mutex_lock(&images->lock);
  tidy(images);
  PtImageMount *m = g_hash_table_lookup(images->mounts, hex);
  bool ok = m != NULL;
  if (!m) {
    ok = pt_dir_make(where, 0755, error) && do_mount(images, hex, where, error);
    if (ok) {
      m = g_new0(PtImageMount, 1);
      g_hash_table_insert(images->mounts, g_strdup(hex), m);
    } else {
      rmdir(where);
    }
  }
  if (ok)
    m->users++;
  g_mutex_unlock(&images->lock);
  return ok ? g_steal_pointer(&where) : NULL;
}

void
pt_images_unmount(PtImages *images, const char *digest)
{
  const char *hex = pt_images_hex(digest, NULL);

  if (!hex)
    return;
  g_mutex_lock(&images->lock);
  PtImageMount *m = g_hash_table_lookup(images->mounts, hex);
  if (m && m->users && --m->users == 0)
    m->idle = pt_mono();
  tidy(images);
  g_mutex_unlock(&images->lock);
}
