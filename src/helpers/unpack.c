// SPDX-License-Identifier: Apache-2.0
/* portena-unpack DIRECTORY: unpacks a tarball of a root file system, of any compression, from stdin. Runs in
 * portena-jail, never elsewhere: libarchive reads what strangers made.
 *
 * libarchive's disk writer does the work, told to refuse "..", absolute names and anything that would go through a
 * symlink. On top of it: device nodes are left out (the jail may not make them, and no image needs them), so are whole
 * entries that are none of file, directory, link or FIFO; and there are bounds on entries and bytes.
 *
 * stdout: "P READ ENTRIES" a few times a second (bytes of the input so far). stderr: why it failed. Exit status: 0; 1 the
 * archive is malformed, hostile or too large (the caller's fault); 2 anything else. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES_MAX 2000000u
#define MEMORY_MAX (1u << 30) /* a compressor's window is the archive's choice */
#define BLOCK (256u << 10)
#define FLAGS                                                                                                          \
  (ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_ACL | ARCHIVE_EXTRACT_XATTR |   \
   ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_UNLINK)

enum { BAD_ARCHIVE = 1, BAD_HOST = 2 };

static noreturn void fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static noreturn void
fail(int status, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
  exit(status);
}

static void
progress(struct archive *in, uint64_t entries)
{
  static struct timespec last;
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  if (entries > 1 && (now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000 < 250)
    return;
  last = now;
  printf("P %lld %llu\n", (long long)archive_filter_bytes(in, -1), (unsigned long long)entries);
  fflush(stdout);
}

/* The name without leading "/" and "./"; NULL where it would leave the directory. "" is the directory itself. */
static const char *
inner(const char *path)
{
  while (*path == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == '\0')))
    path++;
  for (const char *p = path; p && *p; p = strchr(p, '/')) {
    p += *p == '/';
    if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
      return NULL;
  }
  return path;
}

/* Whether the entry is to be made; its names are made relative. */
static bool
accept_entry(struct archive_entry *e)
{
  const char *name = archive_entry_pathname(e);
  const char *link = archive_entry_hardlink(e);
  const char *path = name ? inner(name) : NULL;

  if (!path)
    fail(BAD_ARCHIVE, "it has an entry outside the root: %s", name ? name : "without a name");
  if (link) {
    const char *target = inner(link);
    if (!target || !*target)
      fail(BAD_ARCHIVE, "it has a hard link to outside the root: %s", link);
    char *copy = strdup(target);
    if (!copy)
      fail(BAD_HOST, "out of memory");
    archive_entry_copy_hardlink(e, copy);
    free(copy);
  }
  mode_t type = archive_entry_filetype(e);
  if (!link && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK && type != AE_IFIFO)
    return false;
  if (!*path)
    path = ".";
  char *copy = strdup(path);
  if (!copy)
    fail(BAD_HOST, "out of memory");
  archive_entry_copy_pathname(e, copy);
  free(copy);
  /* File flags (immutable and the like) cannot be set in the jail. */
  archive_entry_set_fflags(e, 0, 0);
  return true;
}

static void
copy_data(struct archive *in, struct archive *out, const char *name)
{
  const void *block;
  size_t size;
  la_int64_t offset;
  int r;

  while ((r = archive_read_data_block(in, &block, &size, &offset)) == ARCHIVE_OK) {
    if (archive_write_data_block(out, block, size, offset) < ARCHIVE_OK) {
      int err = archive_errno(out);
      fail(err == ENOSPC || err == EDQUOT || err == EFBIG ? BAD_ARCHIVE : BAD_HOST, "%s: %s", name, archive_error_string(out));
    }
  }
  if (r != ARCHIVE_EOF)
    fail(BAD_ARCHIVE, "%s: %s", name, archive_error_string(in) ? archive_error_string(in) : "damaged");
}

static void
unpack(struct archive *in, struct archive *out)
{
  struct archive_entry *e;
  uint64_t entries = 0;
  int r;

  while ((r = archive_read_next_header(in, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
    if (++entries > ENTRIES_MAX)
      fail(BAD_ARCHIVE, "it has more than %u files", ENTRIES_MAX);
    progress(in, entries);
    if (!accept_entry(e))
      continue;
    const char *name = archive_entry_pathname(e);
    r = archive_write_header(out, e);
    if (r < ARCHIVE_WARN)
      fail(archive_errno(out) == EIO ? BAD_HOST : BAD_ARCHIVE, "%s: %s", name, archive_error_string(out));
    if (archive_entry_size(e) > 0 && !archive_entry_hardlink(e))
      copy_data(in, out, name);
    r = archive_write_finish_entry(out);
    if (r < ARCHIVE_WARN)
      fail(BAD_ARCHIVE, "%s: %s", name, archive_error_string(out));
  }
  if (r != ARCHIVE_EOF)
    fail(BAD_ARCHIVE, "%s", archive_error_string(in) ? archive_error_string(in) : "damaged");
  if (entries == 0)
    fail(BAD_ARCHIVE, "it is empty, or no archive");
}

int
main(int argc, char **argv)
{
  struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
  struct archive *in = archive_read_new();
  struct archive *out = archive_write_disk_new();

  if (setrlimit(RLIMIT_AS, &memory))
    fail(BAD_HOST, "limit of memory: %s", strerror(errno));
  if (argc != 2 || argv[1][0] == '-')
    fail(BAD_HOST, "usage: portena-unpack DIRECTORY <TARBALL");
  if (!in || !out)
    fail(BAD_HOST, "out of memory");
  if (mkdir(argv[1], 0755) && errno != EEXIST)
    fail(BAD_HOST, "%s: %s", argv[1], strerror(errno));
  if (chdir(argv[1]))
    fail(BAD_HOST, "%s: %s", argv[1], strerror(errno));
  archive_read_support_filter_all(in);
  archive_read_support_format_tar(in);
  archive_read_support_format_cpio(in);
  archive_read_support_format_empty(in);
  archive_write_disk_set_options(out, FLAGS);
  if (archive_read_open_fd(in, STDIN_FILENO, BLOCK) != ARCHIVE_OK)
    fail(BAD_ARCHIVE, "%s", archive_error_string(in) ? archive_error_string(in) : "not an archive");
  unpack(in, out);
  if (archive_write_close(out) < ARCHIVE_WARN) /* directories' times and modes are set here */
    fail(BAD_HOST, "%s", archive_error_string(out));
  archive_write_free(out);
  archive_read_free(in);
  return 0;
}
