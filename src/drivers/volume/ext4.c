// SPDX-License-Identifier: Apache-2.0
#include "drivers/volume/ext4.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/process.h"

/* Kernel documentation, filesystems/ext4/super.rst: little-endian fields, offsets within the superblock. */
#define SUPER_OFFSET 1024
#define SUPER_BYTES 1024
#define S_BLOCKS_LO 0x04
#define S_LOG_BLOCK_SIZE 0x18
#define S_MAGIC 0x38
#define S_FEATURE_INCOMPAT 0x60
#define S_BLOCKS_HI 0x150
#define MAGIC 0xef53
#define INCOMPAT_64BIT 0x80

/* The kernel keeps this one to itself (fs/ext4/ext4.h); e2fsprogs defines it the same way. */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, __u64)

#define BLOCK 4096
#define CHECK_TIME (600 * G_USEC_PER_SEC) /* a large one on a slow disk */

/* Written out, so that a volume is the same whatever mke2fs.conf says, and kernels since 4.4 can mount it. */
static const char features[] = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,"
                               "large_file,huge_file,dir_nlink,extra_isize,metadata_csum,metadata_csum_seed";

/* mke2fs preallocates journal and reserved descriptors (unwritten extents): given back, they cost the
 * pool nothing until they are used. */
static bool
punch_holes(const char *path, GError **error)
{
  int fd = open(path, O_RDWR | O_CLOEXEC);
  off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
  off_t hole = 0, data = 0;
  bool ok = end >= 0;

  while (ok && data < end) {
    hole = lseek(fd, data, SEEK_HOLE);
    data = hole < 0 ? -1 : lseek(fd, hole, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
      data = end; /* nothing but hole up to the end */
    ok = hole >= 0 && data >= 0;
    if (ok && hole < data)
      ok = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole, data - hole) == 0;
  }
  if (ok)
    ok = fsync(fd) == 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", path);
  if (fd >= 0)
    close(fd);
  return ok;
}

bool
pt_ext4_make(const char *path, GError **error)
{
  GStatBuf st;

  if (g_stat(path, &st) < 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  /* 32 MiB of journal take any burst that one guest makes, and are all that a busy volume can cost on top. */
  const char *journal = st.st_size >= (gint64)1 << 30 ? "size=32" : "size=4";
  const char *const argv[] = {
    "mkfs.ext4", "-q", "-F", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0", "-e", "remount-ro", "-J", journal,
    "-E", "lazy_itable_init=0,lazy_journal_init=0", "-O", features, path, NULL,
  };
  return pt_run(argv, NULL, NULL, error) && punch_holes(path, error);
}

static guint32
le32(const guint8 *super, gsize at)
{
  guint32 v;

  memcpy(&v, super + at, sizeof v);
  return GUINT32_FROM_LE(v);
}

gint64
pt_ext4_size(int fd, GError **error)
{
  guint8 super[SUPER_BYTES];
  ssize_t n = pread(fd, super, sizeof super, SUPER_OFFSET);

  if (n < 0) {
    pt_error_errno(error, errno, "superblock");
    return -1;
  }
  guint32 log = n == (ssize_t)sizeof super ? le32(super, S_LOG_BLOCK_SIZE) : G_MAXUINT32;
  if (log > 6 || (le32(super, S_MAGIC) & 0xffff) != MAGIC) {
    PT_SET(error, PT_ERR_INVALID, "holds no ext4 file system");
    return -1;
  }
  guint64 blocks = le32(super, S_BLOCKS_LO);
  if (le32(super, S_FEATURE_INCOMPAT) & INCOMPAT_64BIT)
    blocks |= (guint64)le32(super, S_BLOCKS_HI) << 32;
  if (blocks > (guint64)G_MAXINT64 >> (10 + log)) {
    PT_SET(error, PT_ERR_INVALID, "its superblock gives an impossible size");
    return -1;
  }
  return (gint64)(blocks << (10 + log));
}

bool
pt_ext4_grow_mounted(const char *path, gint64 bytes, GError **error)
{
  guint64 blocks = (guint64)bytes / BLOCK;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && ioctl(fd, EXT4_IOC_RESIZE_FS, &blocks) == 0;
  int err = errno;

  if (fd >= 0)
    close(fd);
  if (!ok && err == EPERM)
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: growing it while it is mounted needs CAP_SYS_RESOURCE", path);
  else if (!ok)
    pt_error_errno(error, err, "%s: growing the file system", path);
  return ok;
}

/* `script` sees the image as $1. */
static bool
run_on(const char *path, const char *script, const PtExt4Guard *guard, GError **error)
{
  const char *const plain[] = { "sh", "-c", script, "sh", path, NULL };

  if (!guard)
    return pt_run(plain, &(PtRunOptions){ .timeout = CHECK_TIME }, NULL, error);
  g_autofree char *ids = g_strdup_printf("%u", guard->ids), *bind = g_strconcat(path, "=/volume", NULL);
  const char *const jailed[] = { guard->jail, "--ids", ids, "--rw", bind, "--", "sh", "-c", script, "sh", "/volume", NULL };
  return pt_run(jailed, &(PtRunOptions){ .timeout = CHECK_TIME }, NULL, error);
}

bool
pt_ext4_check_image(const char *path, const PtExt4Guard *guard, GError **error)
{
  /* Status 1 says "errors corrected", which is a success; the shell takes the path as an argument, never as text. */
  return run_on(path, "e2fsck -f -p \"$1\"; s=$?; [ $s -le 1 ] || exit $s", guard, error);
}

bool
pt_ext4_grow_image(const char *path, const PtExt4Guard *guard, GError **error)
{
  return run_on(path, "resize2fs \"$1\"", guard, error);
}
