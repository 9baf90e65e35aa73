// SPDX-License-Identifier: Apache-2.0
/* Raw disks as files with holes: their digest, and copies that keep the holes. */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/image/disk.h"

#define BLOCK ((gsize)64 << 10)              /* of the digest: part of its definition */
#define PIECE ((gint64)64 << 20)             /* of a copy, between two reports */

static bool
is_zero(const guint8 *p, gsize n)
{
  return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static void
add_number(GChecksum *sum, guint64 n)
{
  guint64 be = GUINT64_TO_BE(n);

  g_checksum_update(sum, (const guchar *)&be, sizeof be);
}

/* Reads up to `size` bytes at `at`: fewer at the end alone. -1 with errno. */
static ssize_t
read_block(int fd, guint8 *buf, gsize size, gint64 at)
{
  gsize done = 0;

  while (done < size) {
    ssize_t n = pread(fd, buf + done, size - done, (off_t)at + (off_t)done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    done += (gsize)n;
  }
  return (ssize_t)done;
}

/* From where on there is data, at or behind `at`; `end` where there is none. */
static gint64
next_data(int fd, gint64 at, gint64 end)
{
  off_t data = lseek(fd, (off_t)at, SEEK_DATA);

  if (data >= 0)
    return data;
  return errno == ENXIO ? end : at; /* a file system that knows no holes */
}

char *
pt_disk_digest(PtImageWork *w, int fd, bool iso, gint64 *ret_used, GError **error)
{
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
  g_autofree guint8 *buf = g_malloc(BLOCK);
  const char *magic = iso ? "portena-iso 1\n" : "portena-disk 1\n";
  struct stat st;
  gint64 at = 0;

  if (fstat(fd, &st) != 0) {
    pt_error_errno(error, errno, "disk");
    return NULL;
  }
  *ret_used = 0;
  g_checksum_update(sum, (const guchar *)magic, (gssize)strlen(magic));
  add_number(sum, (guint64)st.st_size);
  while ((at = next_data(fd, at, st.st_size) / (gint64)BLOCK * (gint64)BLOCK) < st.st_size) {
    ssize_t n = read_block(fd, buf, BLOCK, at);
    if (n <= 0) {
      pt_error_errno(error, n == 0 ? EIO : errno, "disk");
      return NULL;
    }
    if (pt_image_work_cancelled(w, error))
      return NULL;
    if (!is_zero(buf, (gsize)n)) {
      add_number(sum, (guint64)at);
      g_checksum_update(sum, buf, n);
      *ret_used += n;
    }
    at += n;
    pt_image_work_done(w, at);
    if (n < (ssize_t)BLOCK)
      break;
  }
  return g_strconcat("sha256:", g_checksum_get_string(sum), NULL);
}

/* One stretch of data, by the kernel where it can. */
static bool
copy_range(int from, int to, gint64 at, gint64 n)
{
  static const gsize size = 1 << 20;
  off_t in = (off_t)at, out = (off_t)at;

  while (n > 0) {
    ssize_t done = copy_file_range(from, &in, to, &out, (gsize)n, 0);
    if (done > 0) {
      n -= done;
      continue;
    }
    if (done == 0 || (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS))
      return false;
    g_autofree guint8 *buf = g_malloc(size);
    done = read_block(from, buf, MIN(size, (gsize)n), in);
    if (done <= 0)
      return false;
    for (ssize_t put = 0, m; put < done; put += m)
      if ((m = pwrite(to, buf + put, (gsize)(done - put), out + put)) <= 0)
        return false;
    in += done;
    out += done;
    n -= done;
  }
  return true;
}

bool
pt_disk_copy(int from, int to, PtDiskReport report, void *data, GError **error)
{
  struct stat st;
  gint64 at = 0;

  if (ioctl(to, FICLONE, from) == 0)
    return true;
  if (fstat(from, &st) != 0 || ftruncate(to, st.st_size) != 0) {
    pt_error_errno(error, errno, "copying a disk");
    return false;
  }
  while ((at = next_data(from, at, st.st_size)) < st.st_size) {
    off_t hole = lseek(from, (off_t)at, SEEK_HOLE);
    gint64 n = MIN((hole > at ? hole : st.st_size) - at, PIECE);
    if (report && !report(at, st.st_size, data)) {
      PT_SET(error, PT_ERR_CANCELLED, "cancelled; nothing was changed");
      return false;
    }
    if (!copy_range(from, to, at, n)) {
      pt_error_errno(error, errno ? errno : EIO, "copying a disk");
      return false;
    }
    at += n;
  }
  return true;
}
