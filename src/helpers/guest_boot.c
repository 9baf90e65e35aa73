// SPDX-License-Identifier: Apache-2.0
/* From the kernel's first program to a root file system: modules, disks, mounts. */
#include "helpers/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DISK_WAIT_USEC 60000000 /* on a host that has much to do every driver takes its time */
#define DISK_LOOK_USEC 2000

static bool
mount_at(const char *type, const char *where, unsigned long flags, const char *options)
{
  if (mkdir(where, 0755) < 0 && errno != EEXIST)
    complain("%s: %s", where, strerror(errno));
  if (mount(type, where, type, flags, options) == 0 || errno == EBUSY)
    return true;
  complain("%s at %s: %s", type, where, strerror(errno));
  return false;
}

bool
boot_mounts(void)
{
  bool ok = mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
  int console = open("/dev/console", O_RDWR | O_NOCTTY);

  for (int fd = 0; fd < 3 && console >= 0; fd++)
    dup2(console, fd);
  if (console > 2)
    close(console);
  return mount_at("proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) &&
         mount_at("sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) && ok;
}

/* The words "virtio_mmio.device=…" of the kernel's command line, which only a built-in driver would read by itself. */
static const char *
mmio_devices(void)
{
  static char line[8192], devices[8192];
  static const char word[] = "virtio_mmio.";
  char *save = NULL;
  size_t n = 0;

  if (devices[0] || read_whole("/proc/cmdline", line, sizeof line) < 0)
    return devices;
  for (char *t = strtok_r(line, " \n", &save); t; t = strtok_r(NULL, " \n", &save)) {
    if (strncmp(t, word, sizeof word - 1) == 0)
      n += (size_t)snprintf(devices + n, sizeof devices - n, "%s ", t + sizeof word - 1);
  }
  return devices;
}

static bool
load_module(const char *name)
{
  char path[160];

  snprintf(path, sizeof path, "/modules/%s.ko", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  long r = fd < 0 ? -1 : syscall(SYS_finit_module, fd, strcmp(name, "virtio_mmio") == 0 ? mmio_devices() : "", 0);
  int err = errno;
  if (fd >= 0)
    close(fd);
  if (r == 0 || err == EEXIST)
    return true;
  complain("module %s: %s", name, strerror(err));
  return false;
}

bool
boot_modules(bool late)
{
  static char order[16384];
  char *save = NULL;

  if (read_whole("/modules/order", order, sizeof order) < 0) {
    if (!late)
      complain("/modules/order: %s", strerror(errno));
    return late;
  }
  /* One whose device is not there, or that this kernel has built in, is no reason not to start. */
  for (char *l = strtok_r(order, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
    bool is_late = *l == '+';

    if (is_late == late)
      load_module(is_late ? l + 1 : l);
  }
  return true;
}

/* Their order is no promise of anybody's. */
bool
boot_find_disk(const char *serial, char *path, size_t size)
{
  char file[300], have[64];
  DIR *dir = opendir("/sys/block");
  const struct dirent *e;
  bool found = false;

  while (dir && !found && (e = readdir(dir))) {
    snprintf(file, sizeof file, "/sys/block/%s/serial", e->d_name);
    ssize_t n = read_whole(file, have, sizeof have);
    if (n <= 0)
      continue;
    have[strcspn(have, "\n")] = '\0';
    found = strcmp(have, serial) == 0;
    if (found)
      snprintf(path, size, "/dev/%s", e->d_name);
  }
  if (dir)
    closedir(dir);
  return found && access(path, F_OK) == 0;
}

static bool
mount_disk(const char *serial, const char *type, const char *where, unsigned long flags, const char *options)
{
  char path[300];
  long long end = boot_usec() + DISK_WAIT_USEC;

  while (!boot_find_disk(serial, path, sizeof path)) {
    if (boot_usec() > end) {
      complain("there is no disk with the serial number %s", serial);
      return false;
    }
    usleep(DISK_LOOK_USEC);
  }
  mkdir(where, 0755);
  if (mount(path, where, type, flags, options) == 0)
    return true;
  complain("%s (%s) as %s: %s", serial, path, type, strerror(errno));
  return false;
}

static bool
plain_dir(const char *path, mode_t mode)
{
  struct stat st;

  if (mkdir(path, mode) < 0 && errno != EEXIST) {
    complain("%s: %s", path, strerror(errno));
    return false;
  }
  if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
    return true;
  complain("%s: is no directory", path);
  return false;
}

bool
boot_root(const struct config *c, int *ret_volume)
{
  /* As the container driver has it: the same volume is that of a container tomorrow. */
  static const char options[] = "lowerdir=/image,upperdir=/volume/upper,workdir=/volume/work,redirect_dir=on,metacopy=off";

  *ret_volume = -1;
  if (!mount_disk(c->image ? c->image : PT_GUEST_IMAGE_SERIAL, "erofs", "/image", MS_RDONLY, NULL))
    return false;
  if (c->volume) {
    if (!mount_disk(c->volume, "ext4", "/volume", MS_NODEV | MS_NOSUID | MS_NOATIME, "discard,noinit_itable"))
      return false;
    *ret_volume = open("/volume", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } else if (!mount_at("tmpfs", "/volume", MS_NODEV | MS_NOSUID, "mode=0755")) {
    return false;
  }
  if (!plain_dir("/volume/upper", 0755) || !plain_dir("/volume/work", 0700))
    return false;
  mkdir(ROOT_DIR, 0755);
  if (mount("overlay", ROOT_DIR, "overlay", 0, options) == 0)
    return true;
  complain("image and volume as one: %s", strerror(errno));
  return false;
}

bool
boot_system_mounts(bool app)
{
  const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  bool ok = mount_at("devtmpfs", ROOT_DIR "/dev", MS_NOSUID, "mode=0755") && mount_at("proc", ROOT_DIR "/proc", plain, NULL) &&
            mount_at("sysfs", ROOT_DIR "/sys", plain, NULL) &&
            mount_at("tmpfs", ROOT_DIR "/run", MS_NOSUID | MS_NODEV, "mode=0755,size=25%");

  if (!ok)
    return false;
  /* A terminal is wanted before an init has come to mounting this; whoever mounts it too finds it mounted. */
  mount_at("devpts", ROOT_DIR "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666");
  mount_at("tmpfs", ROOT_DIR "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
  if (!app)
    return true;
  mount_at("mqueue", ROOT_DIR "/dev/mqueue", plain, NULL);
  mount_at("cgroup2", ROOT_DIR "/sys/fs/cgroup", plain, "nsdelegate");
  static const char *const links[][2] = { { "/proc/self/fd", ROOT_DIR "/dev/fd" }, { "/proc/self/fd/0", ROOT_DIR "/dev/stdin" },
                                          { "/proc/self/fd/1", ROOT_DIR "/dev/stdout" }, { "/proc/self/fd/2", ROOT_DIR "/dev/stderr" } };
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
      complain("%s: %s", links[i][1], strerror(errno));
  return true;
}
