// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. Who waits for an answer of a FUSE cannot be killed, and a guest can arrange that the last process which holds
 * the device is the one that waits: then nothing in it ends. The kernel's way out is fusectl (Documentation/filesystems/
 * fuse.rst): a directory for each connection, which belongs to who mounted it. A guest's ids are its alone, so the owner says
 * whose it is, wherever the guest has hidden the mount. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/container/internal.h"

static void
abort_all(int dir, gint64 idbase)
{
  DIR *d = fdopendir(dup(dir));
  const struct dirent *e;
  struct stat st;

  while (d && (e = readdir(d))) {
    if (!g_ascii_isdigit(e->d_name[0]) || fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid < idbase ||
        st.st_uid >= idbase + PT_GUEST_IDS)
      continue;
    g_autofree char *file = g_build_filename(e->d_name, "abort", NULL);
    int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : write(fd, "1", 1);
    (void)n; /* gone meanwhile; if not, the guest is still there and is said to be */
    if (fd >= 0)
      close(fd);
  }
  if (d)
    closedir(d);
}

void
pt_ct_abort_fuse(const PtContainers *c, gint64 idbase)
{
  g_autofree char *where = g_build_filename(c->host->run, "mnt", "fusectl", NULL);

  if (idbase <= 0 || (mkdir(where, 0700) < 0 && errno != EEXIST))
    return;
  /* in our own mount namespace, for this moment; the host may have it elsewhere or not at all */
  if (mount("fusectl", where, "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0) {
    int dir = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir >= 0) {
      abort_all(dir, idbase);
      close(dir);
    }
    umount2(where, MNT_DETACH | UMOUNT_NOFOLLOW);
  }
  rmdir(where);
}
