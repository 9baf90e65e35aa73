// SPDX-License-Identifier: Apache-2.0
/* The digest of a raw disk, whatever of it is holes. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/image/disk.h"
#include "sys/sparse.h"

#define BLOCK ((gsize)64 << 10) /* of the digest: part of its definition */

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
  while ((at = pt_sparse_next(fd, at, st.st_size) / (gint64)BLOCK * (gint64)BLOCK) < st.st_size) {
    ssize_t n = pt_sparse_read(fd, buf, BLOCK, at);
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
