// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. The kernel hands out a device by a read of hot_add and takes it back by a write to hot_remove
 * (Documentation/admin-guide/blockdev/zram.rst). A swap area's first page is its header: union swap_header of the kernel's
 * linux/swap.h. It gets a UUID, which RUN/zram has beside the device's number: the number alone could be another's by the time a
 * successor of ours reads it. */
#include "sys/zram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "sys/process.h"

#define CONTROL "/sys/class/zram-control"
#define UUID_AT 1036
#define PRIORITY 100 /* before a slower one that is added later */
#define REMOVE_TRIES 50 /* of 20 ms: whoever watches new devices may have it open */

typedef struct {
  int number;
  char uuid[33];
} Ours;

static GMutex lock;

static char *
record_path(const PtHost *host)
{
  return g_build_filename(host->run, "zram", NULL);
}

static bool
put(const char *path, const char *text, GError **error)
{
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  int err = errno;

  if (fd >= 0)
    close(fd);
  if (!ok)
    pt_error_errno(error, err, "%s", path);
  return ok;
}

static bool
put_attribute(int number, const char *name, const char *text, GError **error)
{
  g_autofree char *path = g_strdup_printf("/sys/block/zram%d/%s", number, name);

  return put(path, text, error);
}

/* Bytes in use of a swap device, -1 where it is none: proc(5), /proc/swaps, in KiB. */
static gint64
used(int number)
{
  g_autofree char *text = NULL, *name = g_strdup_printf("/dev/zram%d", number);

  if (!g_file_get_contents("/proc/swaps", &text, NULL, NULL))
    return -1;
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (char **l = lines; *l; l++) {
    char device[64], type[32];
    long long size, kib;

    if (sscanf(*l, "%63s %31s %lld %lld", device, type, &size, &kib) == 4 && strcmp(device, name) == 0)
      return kib * 1024;
  }
  return -1;
}

static void
hex(const guint8 *bytes, char out[33])
{
  for (guint i = 0; i < 16; i++)
    snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* False where we have none, or what the record names is somebody else's by now. */
static bool
find(const PtHost *host, Ours *ret)
{
  g_autofree char *path = record_path(host), *text = NULL;
  guint8 uuid[16];
  char now[33];

  if (!g_file_get_contents(path, &text, NULL, NULL) || sscanf(text, "%d %32s", &ret->number, ret->uuid) != 2)
    return false;
  g_autofree char *device = g_strdup_printf("/dev/zram%d", ret->number);
  int fd = used(ret->number) >= 0 ? open(device, O_RDONLY | O_CLOEXEC) : -1;
  bool same = fd >= 0 && pread(fd, uuid, sizeof uuid, UUID_AT) == sizeof uuid;
  if (fd >= 0)
    close(fd);
  if (same)
    hex(uuid, now);
  return same && strcmp(now, ret->uuid) == 0;
}

static bool
write_header(const char *device, gint64 bytes, char ret_uuid[33], GError **error)
{
  gsize page = (gsize)sysconf(_SC_PAGESIZE);
  g_autofree guint8 *header = g_malloc0(page);
  const guint32 version = 1, last = (guint32)(bytes / (gint64)page - 1);

  memcpy(header + 1024, &version, sizeof version);
  memcpy(header + 1028, &last, sizeof last);
  pt_random(header + UUID_AT, 16);
  memcpy(header + 1052, "portena", 7);
  memcpy(header + page - 10, "SWAPSPACE2", 10);
  hex(header + UUID_AT, ret_uuid);
  int fd = open(device, O_WRONLY | O_CLOEXEC);
  bool ok = fd >= 0 && pwrite(fd, header, page, 0) == (ssize_t)page && fsync(fd) == 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", device);
  if (fd >= 0)
    close(fd);
  return ok;
}

static void
hand_back(int number)
{
  g_autofree char *text = g_strdup_printf("%d", number);

  for (guint i = 0; i < REMOVE_TRIES && !(put_attribute(number, "reset", "1", NULL) && put(CONTROL "/hot_remove", text, NULL)); i++)
    g_usleep(20000);
}

static int
add_device(GError **error)
{
  static const char *const modprobe[] = { "modprobe", "zram", "num_devices=0", NULL };
  g_autofree char *text = NULL;

  if (access(CONTROL, F_OK) < 0)
    pt_run(modprobe, NULL, NULL, NULL); /* what matters is whether it is there now */
  if (g_file_get_contents(CONTROL "/hot_add", &text, NULL, NULL))
    return (int)g_ascii_strtoll(text, NULL, 10);
  PT_SET(error, PT_ERR_UNSUPPORTED, "zram: this kernel has none");
  return -1;
}

bool
pt_zram_make(const PtHost *host, GError **error)
{
  gint64 bytes = host->memory / 2 / (1 << 20) * (1 << 20);
  g_autofree char *path = record_path(host);
  Ours ours = { -1, "" };
  bool ok = false;

  g_mutex_lock(&lock);
  if (find(host, &ours)) {
    ok = true;
  } else if ((ours.number = add_device(error)) >= 0) {
    g_autofree char *device = g_strdup_printf("/dev/zram%d", ours.number), *size = g_strdup_printf("%" G_GINT64_FORMAT, bytes);
    put_attribute(ours.number, "comp_algorithm", "lz4", NULL); /* the fastest, where it is built in; else the kernel's default */
    ok = put_attribute(ours.number, "disksize", size, error) && write_header(device, bytes, ours.uuid, error);
    g_autofree char *text = g_strdup_printf("%d %s\n", ours.number, ours.uuid);
    ok = ok && g_file_set_contents(path, text, -1, error);
    if (ok && swapon(device, SWAP_FLAG_PREFER | PRIORITY) < 0) {
      pt_error_errno(error, errno, "swapon %s", device);
      ok = false;
    }
    if (!ok) {
      unlink(path);
      hand_back(ours.number);
    }
  }
  g_mutex_unlock(&lock);
  return ok;
}

static gint64
available(void)
{
  g_autofree char *text = NULL;
  const char *at = g_file_get_contents("/proc/meminfo", &text, NULL, NULL) ? strstr(text, "MemAvailable:") : NULL;

  return at ? g_ascii_strtoll(at + 13, NULL, 10) * 1024 : 0;
}

bool
pt_zram_remove(const PtHost *host, bool drain)
{
  g_autofree char *path = record_path(host);
  Ours ours;
  bool gone = true;

  g_mutex_lock(&lock);
  if (find(host, &ours)) {
    g_autofree char *device = g_strdup_printf("/dev/zram%d", ours.number);
    gint64 in_it = used(ours.number);
    gone = (in_it == 0 || (drain && in_it < available() / 2)) && swapoff(device) == 0;
    if (gone)
      hand_back(ours.number);
  }
  if (gone)
    unlink(path);
  g_mutex_unlock(&lock);
  return gone;
}
