// SPDX-License-Identifier: Apache-2.0
/* The tree a jailed tool sees: the host's programs and the few files they need of /etc, read-only; private /tmp, /run,
 * /dev, /proc; and what the caller named. Nothing else of the host has a name in there. */
#include "helpers/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* glibc's <sys/mount.h> cannot be included beside <linux/mount.h> in Debian 12, so the calls are made by number. */
#define MNT_DETACH 2

static const char *const roots[] = { "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" };
static const char *const shared[] = {
  "/usr", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
  "/etc/ca-certificates", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
  "/etc/services", "/etc/protocols", "/etc/localtime", "/etc/debian_version", "/etc/os-release", "/etc/perl", "/etc/dpkg",
  "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings", "/etc/containers/registries.conf", "/etc/containers/registries.conf.d",
  "/etc/mke2fs.conf",
};
static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };

static void
mount_fs(const char *type, const char *target, unsigned long flags, const char *data)
{
  if (syscall(SYS_mount, type, target, type, flags, data))
    jail_die(errno, "mount of %s at %s", type, target);
}

static void
add(struct jail *j, const char *source, const char *target)
{
  if (j->n_binds == JAIL_BINDS_MAX)
    jail_die(0, "more than %d paths", JAIL_BINDS_MAX);
  j->binds[j->n_binds++] = (struct jail_bind){ .source = source, .target = target, .optional = true, .tree = -1 };
}

void
jail_tree_system(struct jail *j)
{
  static char names[sizeof devices / sizeof *devices][32];
  struct stat st;

  for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
    add(j, shared[i], shared[i]);
  for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
    if (lstat(roots[i], &st) == 0 && S_ISDIR(st.st_mode))
      add(j, roots[i], roots[i]);
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
    snprintf(names[i], sizeof names[i], "/dev/%s", devices[i]);
    add(j, names[i], names[i]);
  }
}

static void
open_bind(struct jail *j, struct jail_bind *b, int userns)
{
  struct stat st;
  struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };
  int fd = open(b->source, O_PATH | O_CLOEXEC | (b->write ? O_NOFOLLOW : 0));

  if (fd < 0 && errno == ENOENT && b->optional)
    return;
  if (fd < 0 || fstat(fd, &st))
    jail_die(errno, "%s", b->source);
  if (b->write && !S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
    jail_die(0, "%s: neither a directory nor a file", b->source);
  if (b->write && fchownat(fd, "", j->base, j->base, AT_EMPTY_PATH))
    jail_die(errno, "chown of %s", b->source);
  b->dir = S_ISDIR(st.st_mode);
  b->tree = (int)syscall(SYS_open_tree, fd, "",
                         OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (b->dir && !b->write ? AT_RECURSIVE : 0));
  if (b->tree < 0)
    jail_die(errno, "bind of %s", b->source);
  close(fd);
  if (!S_ISCHR(st.st_mode))
    attr.attr_set |= MOUNT_ATTR_NODEV;
  if (!b->write)
    attr.attr_set |= MOUNT_ATTR_RDONLY;
  if (syscall(SYS_mount_setattr, b->tree, "", AT_EMPTY_PATH | (b->dir ? AT_RECURSIVE : 0), &attr, sizeof attr))
    jail_die(errno, "flags of %s", b->source);
  if (!b->shift)
    return;
  /* What the caller may read, the tool shall: root's files look like the jail's root's. A file system that cannot
   * (FUSE, network) shows them as they are, which is enough for what everybody may read. */
  struct mount_attr shift = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned long long)userns };
  if (syscall(SYS_mount_setattr, b->tree, "", AT_EMPTY_PATH, &shift, sizeof shift) && errno != EINVAL && errno != EOPNOTSUPP)
    jail_die(errno, "ids of %s", b->source);
}

void
jail_tree_open(struct jail *j, int userns)
{
  for (int i = 0; i < j->n_binds; i++)
    open_bind(j, &j->binds[i], userns);
}

/* Makes the target's parents, and the target, below the present directory. */
static void
make_target(const struct jail_bind *b)
{
  char path[PATH_MAX];

  if (snprintf(path, sizeof path, "%s", b->target + 1) >= (int)sizeof path || !*path)
    jail_die(0, "%s: cannot be a place in the jail", b->target);
  for (char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
    *p = '\0';
    if (mkdir(path, 0755) && errno != EEXIST)
      jail_die(errno, "%s", path);
    *p = '/';
  }
  if (b->dir) {
    if (mkdir(path, 0755) && errno != EEXIST)
      jail_die(errno, "%s", path);
    return;
  }
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0)
    jail_die(errno, "%s", path);
  close(fd);
}

static void
write_text(const char *path, const char *text)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
    jail_die(errno, "%s", path);
  close(fd);
}

static void
make_base(void)
{
  static const char *const dirs[] = { "etc", "dev", "dev/shm", "dev/pts", "proc", "sys", "tmp", "run", "var", "var/tmp", "var/lib" };
  char target[PATH_MAX];

  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
    if (mkdir(dirs[i], 0755))
      jail_die(errno, "%s", dirs[i]);
  for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
    ssize_t n = readlink(roots[i], target, sizeof target - 1);
    if (n <= 0)
      continue;
    target[n] = '\0';
    if (symlink(target, roots[i] + 1))
      jail_die(errno, "%s", roots[i]);
  }
  write_text("etc/passwd", "root:x:0:0:root:/tmp:/bin/sh\n_apt:x:100:65534::/nonexistent:/usr/sbin/nologin\n"
                           "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
  write_text("etc/group", "root:x:0:\nnogroup:x:65534:\n");
  write_text("etc/hostname", "jail\n");
}

static void
make_private(void)
{
  static const char *const links[][2] = {
    { "/proc/self/fd", "dev/fd" }, { "/proc/self/fd/0", "dev/stdin" }, { "/proc/self/fd/1", "dev/stdout" },
    { "/proc/self/fd/2", "dev/stderr" }, { "pts/ptmx", "dev/ptmx" },
  };

  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlink(links[i][0], links[i][1]))
      jail_die(errno, "%s", links[i][1]);
  mount_fs("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_fs("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  mount_fs("tmpfs", "dev/shm", MS_NOSUID | MS_NODEV, "size=64m,nr_inodes=4096,mode=1777");
  mount_fs("tmpfs", "tmp", MS_NOSUID | MS_NODEV, "size=64m,nr_inodes=16384,mode=1777");
  mount_fs("tmpfs", "run", MS_NOSUID | MS_NODEV, "size=16m,nr_inodes=4096,mode=755");
}

void
jail_tree_enter(struct jail *j)
{
  if (syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
    jail_die(errno, "private mounts");
  /* Any directory that is there will do as the place of the new root: it is ours alone in this namespace. */
  mount_fs("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "size=16m,nr_inodes=4096,mode=755");
  if (chdir("/tmp"))
    jail_die(errno, "/tmp");
  make_base();
  for (int i = 0; i < j->n_binds; i++) {
    struct jail_bind *b = &j->binds[i];

    if (b->tree < 0)
      continue;
    make_target(b);
    if (syscall(SYS_move_mount, b->tree, "", AT_FDCWD, b->target + 1, MOVE_MOUNT_F_EMPTY_PATH))
      jail_die(errno, "mount of %s at %s", b->source, b->target);
    close(b->tree);
  }
  make_private();
  if (syscall(SYS_mount, NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
    jail_die(errno, "read-only root");
  if (syscall(SYS_pivot_root, ".", ".") || syscall(SYS_umount2, ".", MNT_DETACH) || chdir("/"))
    jail_die(errno, "new root");
}
