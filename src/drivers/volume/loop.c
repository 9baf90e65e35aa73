// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. LOOP_CTL_GET_FREE only names a device that is free at that moment; others, in this process
 * or not, may take it before LOOP_CONFIGURE does, which then says EBUSY. Our own threads take turns (a mutex:
 * the pair takes well under a millisecond), so that retries are left for strangers. */
#include "drivers/volume/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"

#define SECTOR 4096
#define TRIES 64

static GMutex lock;

static bool
configure(int loop, int file, guint32 flags)
{
  struct loop_config config = { .fd = (guint32)file, .block_size = SECTOR, .info.lo_flags = flags };

  return ioctl(loop, LOOP_CONFIGURE, &config) == 0;
}

/* One attempt: a descriptor, or -1 with errno. EBUSY means that another was faster. */
static int
bind_once(int control, int file, int *ret_number)
{
  char path[32];
  int number = ioctl(control, LOOP_CTL_GET_FREE);

  if (number < 0)
    return -1;
  g_snprintf(path, sizeof path, "/dev/loop%d", number);
  int loop = open(path, O_RDWR | O_CLOEXEC);
  if (loop < 0)
    return -1;
  /* A file system without direct I/O says EINVAL; it is slower there, but sound. */
  if (!configure(loop, file, LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO) &&
      (errno != EINVAL || !configure(loop, file, LO_FLAGS_AUTOCLEAR))) {
    int err = errno;
    close(loop);
    errno = err;
    return -1;
  }
  *ret_number = number;
  return loop;
}

int
pt_loop_bind(int file, char **ret_path, GError **error)
{
  int number = -1, loop = -1;
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

  if (control < 0) {
    pt_error_errno(error, errno, "/dev/loop-control");
    pt_error_hint(error, "volumes need the kernel's loop driver: modprobe loop");
    return -1;
  }
  for (guint i = 0; i < TRIES && loop < 0; i++) {
    g_mutex_lock(&lock);
    loop = bind_once(control, file, &number);
    g_mutex_unlock(&lock);
    if (loop < 0 && errno != EBUSY && errno != EAGAIN)
      break;
    if (loop < 0)
      g_usleep(200 * (i + 1));
  }
  int err = errno;
  close(control);
  if (loop < 0) {
    pt_error_errno(error, err, "loop device");
    return -1;
  }
  *ret_path = g_strdup_printf("/dev/loop%d", number);
  return loop;
}

int
pt_loop_open(dev_t dev, GError **error)
{
  char link[64], target[256];

  /* The minor is not always the number (loop.max_part), so sysfs is asked for the name. */
  g_snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(dev), minor(dev));
  ssize_t n = readlink(link, target, sizeof target - 1);
  if (n < 0) {
    pt_error_errno(error, errno, "%s", link);
    return -1;
  }
  target[n] = '\0';
  g_autofree char *name = g_path_get_basename(target);
  g_autofree char *path = g_build_filename("/dev", name, NULL);
  if (!g_str_has_prefix(name, "loop")) {
    PT_SET(error, PT_ERR_INTERNAL, "%s is not a loop device", path);
    return -1;
  }
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    pt_error_errno(error, errno, "%s", path);
  return fd;
}

bool
pt_loop_resized(int loop, GError **error)
{
  if (ioctl(loop, LOOP_SET_CAPACITY) == 0)
    return true;
  pt_error_errno(error, errno, "loop device: new size");
  return false;
}
