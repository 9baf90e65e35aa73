// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/creds.h"

#define STACK_BYTES (16 * 1024)

/* Lives only until its namespace has been opened. It shares our memory, so it does nothing but system calls that leave errno
 * alone. `parent` is looked at after the wish to die with it: it may have died before. */
static int
userns_holder(void *parent)
{
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  while (getppid() == GPOINTER_TO_INT(parent))
    pause();
  return 0;
}

static bool
write_map(pid_t pid, const char *file, gint64 base, gint64 count)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, file);
  g_autofree char *map = g_strdup_printf("0 %" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n", base, count);
  int fd = open(path, O_WRONLY | O_CLOEXEC);

  if (fd < 0)
    return false;
  ssize_t n = write(fd, map, strlen(map));
  int err = errno;
  close(fd);
  errno = err;
  return n == (ssize_t)strlen(map);
}

int
pt_userns_fd(gint64 base, gint64 count, GError **error)
{
  sigset_t all, old;
  int fd = -1;
  char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

  if (stack == MAP_FAILED) {
    pt_error_errno(error, errno, "user namespace");
    return -1;
  }
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &old); /* it must run no handler of ours */
  pid_t pid = clone(userns_holder, stack + STACK_BYTES, CLONE_VM | CLONE_NEWUSER | SIGCHLD, GINT_TO_POINTER(getpid()));
  int err = errno;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (pid > 0) {
    if (write_map(pid, "uid_map", base, count) && write_map(pid, "gid_map", base, count)) {
      g_autofree char *path = g_strdup_printf("/proc/%d/ns/user", (int)pid);
      fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    err = errno;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
      ;
  }
  munmap(stack, STACK_BYTES);
  if (fd < 0)
    pt_error_errno(error, err, "user namespace for ids %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, base, base + count - 1);
  return fd;
}

static bool
make_target(const char *target, GError **error)
{
  if (mkdir(target, 0700) == 0 || errno == EEXIST || g_mkdir_with_parents(target, 0711) == 0)
    return true;
  pt_error_errno(error, errno, "%s", target);
  return false;
}

bool
pt_mount_idmapped(const char *source, const char *target, int userns, bool readonly, GError **error)
{
  struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP | (readonly ? MOUNT_ATTR_RDONLY : 0), .userns_fd = (guint64)userns };

  if (!make_target(target, error))
    return false;
  int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) {
    pt_error_errno(error, errno, "%s: open", source);
    return false;
  }
  bool ok = mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0;
  if (!ok) {
    int err = errno;
    PT_SET(error, err == EINVAL || err == ENOSYS ? PT_ERR_UNSUPPORTED : PT_ERR_INTERNAL, "%s: shift its ids: %s", source,
           g_strerror(err));
    pt_error_hint(error, "the file system under it must know idmapped mounts: ext4, XFS, btrfs, erofs; see portena doctor");
  } else if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
    pt_error_errno(error, errno, "%s: mount", target);
    ok = false;
  }
  close(tree);
  return ok;
}

bool
pt_mount_overlay(const PtOverlay *o, GError **error)
{
  const char *const paths[] = { o->lower, o->upper, o->work };
  int fds[G_N_ELEMENTS(paths)] = { -1, -1, -1 };
  bool ok = make_target(o->target, error);
  PtFsIds ids;

  for (guint i = 0; i < G_N_ELEMENTS(paths) && ok; i++) {
    fds[i] = open(paths[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    ok = fds[i] >= 0;
    if (!ok)
      pt_error_errno(error, errno, "%s", paths[i]);
  }
  if (ok) {
    /* By descriptor: the guest sees these options in its /proc/mounts, and the node's paths are none of its business. */
    g_autofree char *options =
      g_strdup_printf("lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,redirect_dir=on,metacopy=off",
                      fds[0], fds[1], fds[2]);

    pt_fsids_enter(&ids, (uid_t)o->base, (gid_t)o->base, PT_CAP_SYS_RESOURCE_MASK);
    /* Whatever device nodes a machine has made on the volume, a container opens none of them, whoever sets up its device group. */
    ok = mount("overlay", o->target, "overlay", MS_NODEV, options) == 0;
    int err = errno;
    pt_fsids_leave(&ids);
    if (!ok)
      pt_error_errno(error, err, "%s: overlay", o->target);
  }
  for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
    if (fds[i] >= 0)
      close(fds[i]);
  }
  return ok;
}

bool
pt_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *options, GError **error)
{
  if (!make_target(target, error))
    return false;
  if (mount(source, target, type, flags, options) == 0)
    return true;
  pt_error_errno(error, errno, "%s: mount %s", target, type ? type : source);
  return false;
}

bool
pt_umount(const char *target, GError **error)
{
  for (int i = 0; i < 64; i++) {
    if (umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
      continue;
    if (errno == EINVAL || errno == ENOENT || errno == ENOTDIR)
      return true;
    pt_error_errno(error, errno, "%s: unmount", target);
    return false;
  }
  PT_SET(error, PT_ERR_INTERNAL, "%s: is mounted over and over", target);
  return false;
}

bool
pt_is_mounted(const char *path)
{
  struct statx stx;

  return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &stx) == 0 &&
         (stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) && (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}
