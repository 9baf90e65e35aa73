// SPDX-License-Identifier: Apache-2.0
/* Volumes whose file a machine has. Theory of operation: the owner of the file is the record. Root's is ours: only our kernel has
 * written it since it was made or last checked. Anybody else's is foreign: a guest's kernel, or whoever has taken over the QEMU that
 * holds it, may have put any bytes into it, so neither our kernel nor a tool of root's reads it. While a QEMU has it open it holds
 * QEMU's own locks on it (open file description locks, fcntl(2), on the bytes of its block/file-posix.c). */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/volume/local.h"

bool
pt_local_foreign(int fd, uid_t *ret_owner)
{
  struct stat st;

  if (fstat(fd, &st) < 0 || st.st_uid == 0)
    return false;
  *ret_owner = st.st_uid;
  return true;
}

const PtExt4Guard *
pt_local_guard(const PtPool *pool, int fd, PtExt4Guard *guard)
{
  uid_t owner;

  if (!pt_local_foreign(fd, &owner))
    return NULL;
  *guard = (PtExt4Guard){ .jail = pool->jail, .ids = owner };
  return guard;
}

bool
pt_local_idle(const char *id, int fd, GError **error)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

  if (fcntl(fd, F_OFD_GETLK, &lock) < 0) {
    pt_error_errno(error, errno, "volume %s", id);
    return false;
  }
  if (lock.l_type == F_UNLCK)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "volume %s: a machine has it open", id);
  pt_error_hint(error, "nothing was changed; stop the machine first");
  return false;
}

bool
pt_local_reclaim(const PtPool *pool, const char *id, const char *path, int fd, GError **error)
{
  g_autoptr(GError) why = NULL;
  PtExt4Guard guard;

  if (!pt_local_guard(pool, fd, &guard))
    return true;
  if (!pt_local_idle(id, fd, error))
    return false;
  if (!pt_ext4_check_image(path, &guard, &why)) {
    PT_SET(error, PT_ERR_INVALID, "volume %s: the machine left its file system damaged: %s", id, why->message);
    pt_error_hint(error, "nothing was changed; it still starts as a machine, whose own kernel may read more of it");
    return false;
  }
  if (fsync(fd) == 0 && fchown(fd, 0, 0) == 0)
    return true;
  pt_error_errno(error, errno, "volume %s", id);
  return false;
}
