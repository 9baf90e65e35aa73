// SPDX-License-Identifier: Apache-2.0
/* Data volumes in the guest: disks with a serial number of ours and an ext4 on them, which come and go. All of it happens in the guest's
 * root. A disk is known by its number alone: whoever is root here can mount it elsewhere, too. */
#include "helpers/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DISK_WAIT_USEC 20000000
#define DISK_LOOK_USEC 5000
#define LAYERS_MAX 32

/* The kernel keeps this one to itself (fs/ext4/ext4.h); e2fsprogs defines it the same way. */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, __u64)
#define BLOCK 4096

static bool
await_disk(const char *serial, char *path, size_t size)
{
  long long end = boot_usec() + DISK_WAIT_USEC;

  while (!boot_find_disk(serial, path, size)) {
    if (boot_usec() > end)
      return false;
    usleep(DISK_LOOK_USEC);
  }
  return true;
}

static dev_t
number_of_disk(const char *path)
{
  struct stat st;

  return stat(path, &st) == 0 && S_ISBLK(st.st_mode) ? st.st_rdev : 0;
}

/* proc_pid_mountinfo(5) writes a blank and its like as three octal digits. */
static void
unescape(char *text)
{
  char *to = text;

  for (const char *p = text; *p; p++) {
    bool octal = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7';
    *to++ = octal ? (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')) : *p;
    p += octal ? 3 : 0;
  }
  *to = '\0';
}

/* Where the disk is mounted last; false: nowhere. */
static bool
find_mount(dev_t disk, char path[4096])
{
  FILE *f = fopen("/proc/self/mountinfo", "re");
  static char line[8192];
  char at[4096];
  unsigned dev_major, dev_minor;
  bool found = false;

  while (f && fgets(line, sizeof line, f)) {
    if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &dev_major, &dev_minor, at) != 3 || makedev(dev_major, dev_minor) != disk)
      continue;
    strcpy(path, at); /* as large */
    unescape(path);
    found = true;
  }
  if (f)
    fclose(f);
  return found;
}

/* NULL where it is mounted now; else what failed, with errno. */
static const char *
mount_disk(const char *device, const char *path, bool readonly)
{
  const unsigned long flags = MS_NODEV | MS_NOSUID | MS_NOATIME;
  struct stat st;
  char copy[4096];

  if (strlen(path) + 2 > sizeof copy) {
    errno = ENAMETOOLONG;
    return "its place";
  }
  snprintf(copy, sizeof copy, "%s/", path); /* every directory before the last slash */
  if (!make_dirs(copy, 0755, 0, 0))
    return path;
  if (stat(path, &st) == 0 && st.st_dev == number_of_disk(device))
    return NULL;
  return mount(device, path, "ext4", flags | (readonly ? MS_RDONLY : 0), readonly ? NULL : "discard,noinit_itable") == 0 ? NULL : device;
}

bool
disks_mount(const struct config *c)
{
  for (unsigned i = 0; i < c->disk.n; i++) {
    char serial[64], how[8], path[4096], device[300];
    const char *failed = serial;

    if (sscanf(c->disk.at[i], "%63s %7s %4095[^\n]", serial, how, path) != 3) {
      complain("disk=%s: makes no sense", c->disk.at[i]);
      return false;
    }
    errno = ENODEV;
    if (!await_disk(serial, device, sizeof device) || (failed = mount_disk(device, path, strcmp(how, "ro") == 0))) {
      complain("data volume at %s: %s: %s", path, failed, strerror(errno));
      return false;
    }
  }
  return true;
}

void
verb_mount(const struct request *r)
{
  char device[300];

  if (!r->serial || !r->path || r->path[0] != '/')
    answer_error(CODE_INVALID, "mount: a disk and a place are wanted");
  if (!await_disk(r->serial, device, sizeof device))
    answer_error(CODE_NOT_FOUND, "the disk has not appeared in the machine");
  const char *failed = mount_disk(device, r->path, r->readonly);
  if (failed && errno == EINVAL)
    answer_error(CODE_INVALID, "there is no file system on it that could be mounted here");
  if (failed)
    answer_errno(errno, failed);
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}

/* ---- who uses it ---- */

static bool
link_on(const char *path, dev_t disk)
{
  struct stat st;

  return stat(path, &st) == 0 && st.st_dev == disk;
}

static bool
uses(const char *pid, dev_t disk)
{
  static const char *const links[] = { "cwd", "root", "exe" };
  char path[600];
  bool is = false;

  for (size_t i = 0; i < sizeof links / sizeof *links && !is; i++) {
    snprintf(path, sizeof path, "/proc/%s/%s", pid, links[i]);
    is = link_on(path, disk);
  }
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  DIR *d = opendir(path);
  for (const struct dirent *e; d && !is && (e = readdir(d));) {
    snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, e->d_name);
    is = e->d_name[0] != '.' && link_on(path, disk);
  }
  if (d)
    closedir(d);
  return is;
}

static void
answer_busy(dev_t disk) __attribute__((noreturn));

static void
answer_busy(dev_t disk)
{
  DIR *d = opendir("/proc");

  for (const struct dirent *e; d && (e = readdir(d));) {
    char path[300], name[64] = "?";
    if (e->d_name[0] < '1' || e->d_name[0] > '9' || !uses(e->d_name, disk))
      continue;
    snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
    if (read_whole(path, name, sizeof name) > 0)
      name[strcspn(name, "\n")] = '\0';
    answer_error(CODE_CONFLICT, "in use by %s (%.20s)", name, e->d_name);
  }
  answer_error(CODE_CONFLICT, "in use by something that cannot be seen");
}

void
verb_unmount(const struct request *r)
{
  char device[300], path[4096];
  bool there = r->serial && boot_find_disk(r->serial, device, sizeof device);
  dev_t disk = there ? number_of_disk(device) : 0;

  for (int i = 0; disk && find_mount(disk, path); i++) {
    if (i < LAYERS_MAX && umount2(path, UMOUNT_NOFOLLOW | (r->force ? MNT_DETACH : 0)) == 0)
      continue;
    if (i == LAYERS_MAX || errno == EBUSY)
      answer_busy(disk);
    answer_errno(errno, path);
  }
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}

/* ---- growing ---- */

/* A disk is told of its new size, and takes note a moment later. */
static uint64_t
await_size(const char *device, uint64_t want)
{
  long long end = boot_usec() + DISK_WAIT_USEC;
  uint64_t size = 0;
  int fd = open(device, O_RDONLY | O_CLOEXEC);

  while (fd >= 0 && ioctl(fd, BLKGETSIZE64, &size) == 0 && size < want && boot_usec() < end)
    usleep(DISK_LOOK_USEC);
  if (fd >= 0)
    close(fd);
  return size;
}

void
verb_grow(const struct request *r)
{
  char device[300], path[4096];
  long long want = number_of(r->size, 10, INT64_MAX, -1);

  if (!r->serial || want < 0 || !boot_find_disk(r->serial, device, sizeof device))
    answer_error(CODE_NOT_FOUND, "there is no such disk in the machine");
  uint64_t size = await_size(device, (uint64_t)want), blocks = size / BLOCK;
  bool root = strcmp(r->serial, PT_GUEST_VOLUME_SERIAL) == 0;
  if (size < (uint64_t)want)
    answer_error(CODE_CONFLICT, "the machine does not take note of the disk's new size");
  if (!root && !find_mount(number_of_disk(device), path))
    answer_error(CODE_CONFLICT, "it is not mounted in the machine, so its file system does not grow");
  int fd = root ? agent.volume : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || (ioctl(fd, EXT4_IOC_RESIZE_FS, &blocks) < 0))
    answer_errno(errno, "growing its file system");
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}
