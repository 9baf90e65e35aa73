// SPDX-License-Identifier: Apache-2.0
#include "sys/sparse.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define PIECE ((gint64)64 << 20) /* between two reports */

gssize
pt_sparse_read(int fd, guint8 *buf, gsize size, gint64 at)
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

gint64
pt_sparse_next(int fd, gint64 at, gint64 end)
{
  off_t data = lseek(fd, (off_t)at, SEEK_DATA);

  if (data >= 0)
    return data;
  return errno == ENXIO ? end : at; /* a file system that knows no holes */
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
    done = pt_sparse_read(from, buf, MIN(size, (gsize)n), in);
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
pt_sparse_copy(int from, int to, PtSparseReport report, void *data, GError **error)
{
  struct stat st;
  gint64 at = 0;

  if (ioctl(to, FICLONE, from) == 0)
    return true;
  if (fstat(from, &st) != 0 || ftruncate(to, st.st_size) != 0) {
    pt_error_errno(error, errno, "copying");
    return false;
  }
  while ((at = pt_sparse_next(from, at, st.st_size)) < st.st_size) {
    off_t hole = lseek(from, (off_t)at, SEEK_HOLE);
    gint64 n = MIN((hole > at ? hole : st.st_size) - at, PIECE);
    if (report && !report(at, st.st_size, data)) {
      PT_SET(error, PT_ERR_CANCELLED, "cancelled; nothing was changed");
      return false;
    }
    if (!copy_range(from, to, at, n)) {
      pt_error_errno(error, errno ? errno : EIO, "copying");
      return false;
    }
    at += n;
  }
  return true;
}
