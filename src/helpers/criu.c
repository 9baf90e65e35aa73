// SPDX-License-Identifier: Apache-2.0
/* portena-criu WRITABLE… -- PROGRAM ARGS…: runs CRIU, which takes guests' processes apart and makes them anew, and has to be root
 * for it, with no more than that takes: in a mount namespace of its own where all is read-only but what is named first, /dev, /proc
 * and /sys (the kernel lets nobody mount new ones who sees only read-only ones) and a /tmp of its own; and without the capabilities by
 * which root changes the machine itself (modules, hardware, time, booting, auditing, the kernel's log). What it restores gets its
 * own namespaces from here, and with them its own full set over these. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const int dropped[] = { CAP_SYS_MODULE,  CAP_SYS_RAWIO,    CAP_SYS_BOOT,      CAP_SYS_TIME,     CAP_SYS_PACCT,
                               CAP_SYSLOG,      CAP_WAKE_ALARM,   CAP_BLOCK_SUSPEND, CAP_AUDIT_CONTROL, CAP_AUDIT_READ,
                               CAP_AUDIT_WRITE, CAP_MAC_OVERRIDE, CAP_MAC_ADMIN,     CAP_BPF,          CAP_PERFMON,
                               CAP_SYS_TTY_CONFIG, CAP_LINUX_IMMUTABLE };

static int
fail(const char *what)
{
  perror(what);
  return 126;
}

static int
writable(const char *path)
{
  struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };
  const unsigned all = AT_EMPTY_PATH | (strcmp(path, "/dev") == 0 ? AT_RECURSIVE : 0); /* with the terminals */
  int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLOEXEC);

  if (tree < 0)
    return -1;
  if (mount_setattr(tree, "", all, &attr, sizeof attr) < 0) {
    close(tree);
    /* no mount point yet: a mount of its own, over itself */
    tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0 || mount_setattr(tree, "", all, &attr, sizeof attr) < 0 ||
        move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
      return -1;
  }
  close(tree);
  return 0;
}

/* CRIU mounts in /tmp what it puts together, as the guest's ids too: so it is open to all, as /tmp is anywhere. What we were given may
 * itself be there, in a trial: then it stays as it is. */
static int
scratch(int argc, char **argv)
{
  for (int i = 1; i < argc; i++) {
    if (strncmp(argv[i], "/tmp/", 5) == 0)
      return writable("/tmp");
  }
  return mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=16m");
}

int
main(int argc, char **argv)
{
  struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
  int at = 1;

  while (at < argc && strcmp(argv[at], "--") != 0)
    at++;
  if (at + 1 >= argc)
    return 2;
  if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return fail("a mount namespace of its own");
  if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof attr) < 0)
    return fail("mounts read-only");
  for (int i = 1; i < at; i++) {
    if (writable(argv[i]) < 0)
      return fail(argv[i]);
  }
  if (writable("/proc") < 0 || writable("/sys") < 0 || writable("/dev") < 0 || scratch(argc, argv) < 0)
    return fail("/proc, /sys, /dev and /tmp");
  for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++) {
    if (prctl(PR_CAPBSET_READ, dropped[i]) == 1 && prctl(PR_CAPBSET_DROP, dropped[i]) < 0)
      return fail("capabilities");
  }
  umask(022); /* what it writes it reads again with a guest's ids */
  execv(argv[at + 1], argv + at + 1);
  return fail(argv[at + 1]);
}
