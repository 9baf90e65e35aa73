// SPDX-License-Identifier: Apache-2.0
/* Empty file systems, one of each size asked for so far, made once and cloned ever after. A template is finished and
 * on disk before it gets its name, so whatever has the name is whole. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/volume/ext4.h"
#include "drivers/volume/local.h"

/* Sizes are chosen by users: the ones unused for longest go first. */
#define KEEP 32

static void
prune(const char *dir)
{
  g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
  g_autofree char *oldest = NULL;
  gint64 oldest_time = G_MAXINT64;
  const char *name;
  guint n = 0;

  while (d && (name = g_dir_read_name(d))) {
    g_autofree char *path = g_build_filename(dir, name, NULL);
    GStatBuf st;

    if (!g_str_has_prefix(name, "ext4-") || g_stat(path, &st) < 0)
      continue;
    n++;
    if (st.st_mtime < oldest_time) {
      oldest_time = st.st_mtime;
      g_free(oldest);
      oldest = g_steal_pointer(&path);
    }
  }
  if (n > KEEP)
    unlink(oldest);
}

static bool
make(PtPool *pool, const char *path, gint64 bytes, GError **error)
{
  g_autofree char *dir = g_path_get_dirname(path);
  g_autofree char *base = g_path_get_basename(path);
  g_autofree char *fresh = g_build_filename(pool->dir, "tmp", base, NULL);
  int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool ok = fd >= 0 && ftruncate(fd, bytes) == 0;

  if (!ok)
    pt_error_errno(error, errno, "%s", fresh);
  if (fd >= 0)
    close(fd);
  ok = ok && pt_ext4_make(fresh, error);
  if (ok && rename(fresh, path) < 0) {
    pt_error_errno(error, errno, "%s", path);
    ok = false;
  }
  if (ok)
    prune(dir);
  else
    unlink(fresh);
  return ok;
}

int
pt_local_template(PtPool *pool, gint64 bytes, GError **error)
{
  g_autofree char *path = g_strdup_printf("%s/templates/ext4-%" G_GINT64_FORMAT, pool->dir, bytes);

  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) {
    g_mutex_lock(&pool->templates);
    bool made = g_file_test(path, G_FILE_TEST_EXISTS) || make(pool, path, bytes, error);
    fd = made ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    g_mutex_unlock(&pool->templates);
    if (!made)
      return -1;
  }
  if (fd < 0)
    pt_error_errno(error, errno, "%s", path);
  else
    futimens(fd, NULL); /* used now; failing costs no more than a template */
  return fd;
}
