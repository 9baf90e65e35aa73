// SPDX-License-Identifier: Apache-2.0
#include "drivers/network/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"

static int
open_ns(const char *path, GError **error)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    pt_error_errno(error, errno, "%s", path);
  return fd;
}

int
pt_netns_current(GError **error)
{
  return open_ns("/proc/thread-self/ns/net", error);
}

int
pt_netns_of(pid_t pid, GError **error)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/ns/net", pid);

  return open_ns(path, error);
}

int
pt_netns_open(const char *path, GError **error)
{
  struct statfs fs;
  int fd = open_ns(path, error);

  if (fd >= 0 && (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC)) {
    PT_SET(error, PT_ERR_NOT_FOUND, "%s: no namespace is bound there", path);
    close(fd);
    return -1;
  }
  return fd;
}

int
pt_netns_enter(int ns, GError **error)
{
  int back = pt_netns_current(error);

  if (back >= 0 && setns(ns, CLONE_NEWNET) < 0) {
    pt_error_errno(error, errno, "entering a network namespace");
    close(back);
    return -1;
  }
  return back;
}

void
pt_netns_leave(int back)
{
  if (setns(back, CLONE_NEWNET) < 0)
    g_error("cannot come back from a network namespace: %s", g_strerror(errno));
  close(back);
}

int
pt_netns_create(const char *path, GError **error)
{
  int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  int back = file < 0 ? -1 : pt_netns_current(error);
  int ns = -1;

  if (file < 0) {
    pt_error_errno(error, errno, "%s", path);
    return -1;
  }
  close(file);
  if (back < 0)
    return -1;
  if (unshare(CLONE_NEWNET) < 0) {
    pt_error_errno(error, errno, "making a network namespace");
    close(back);
    return -1;
  }
  if (mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0)
    pt_error_errno(error, errno, "binding a network namespace at %s", path);
  else
    ns = pt_netns_current(error);
  pt_netns_leave(back);
  return ns;
}

bool
pt_netns_sysctl(int ns, const char *path, const char *value, GError **error)
{
  g_autofree char *file = g_strconcat("/proc/sys/net/", path, NULL);
  int back = pt_netns_enter(ns, error);

  if (back < 0)
    return false;
  int fd = open(file, O_WRONLY | O_CLOEXEC);
  bool ok = fd < 0 ? errno == ENOENT : write(fd, value, strlen(value)) >= 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", file);
  if (fd >= 0)
    close(fd);
  pt_netns_leave(back);
  return ok;
}

int
pt_netns_sysctl_get(int ns, const char *path)
{
  g_autofree char *file = g_strconcat("/proc/sys/net/", path, NULL);
  g_autofree char *text = NULL;
  int back = pt_netns_enter(ns, NULL);

  if (back < 0)
    return -1;
  bool ok = g_file_get_contents(file, &text, NULL, NULL);
  pt_netns_leave(back);
  return ok ? atoi(text) : -1;
}
