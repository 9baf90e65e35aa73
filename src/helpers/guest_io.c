// SPDX-License-Identifier: Apache-2.0
#include "helpers/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void
complain(const char *fmt, ...)
{
  char line[512];
  va_list ap;

  va_start(ap, fmt);
  int n = vsnprintf(line, sizeof line - 2, fmt, ap);
  va_end(ap);
  dprintf(2, "portena-guest: %.*s\r\n", n < (int)sizeof line - 2 ? n : (int)sizeof line - 3, line);
}

bool
write_whole(int fd, const void *data, size_t size)
{
  const char *at = data;

  while (size) {
    ssize_t n = write(fd, at, size);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    at += n;
    size -= (size_t)n;
  }
  return true;
}

ssize_t
read_whole(const char *path, char *buf, size_t size)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  size_t got = 0;
  ssize_t n = 0;

  if (fd < 0)
    return -1;
  while (got < size - 1 && (n = read(fd, buf + got, size - 1 - got)) > 0)
    got += (size_t)n;
  close(fd);
  buf[got] = '\0';
  return n < 0 ? -1 : (ssize_t)got;
}

bool
write_text(const char *path, const char *text)
{
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  bool ok = fd >= 0 && write_whole(fd, text, strlen(text));

  if (fd >= 0)
    close(fd);
  return ok;
}

/* A new file that takes the old one's place. */
static bool
replace(const char *path, const char *text, mode_t mode)
{
  char temp[256];

  snprintf(temp, sizeof temp, "%s.portena", path);
  unlink(temp);
  int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  bool ok = fd >= 0 && write_whole(fd, text, strlen(text)) && fchmod(fd, mode) == 0 && rename(temp, path) == 0;
  if (fd >= 0)
    close(fd);
  if (!ok)
    unlink(temp);
  return ok;
}

/* A file that is there is written to in its place: a rename makes ext4 write the new one's blocks at once, which takes a copy of a template
 * longer than all the rest of its new identity. Whatever a power cut leaves of it is written anew when the machine starts. */
bool
put_text(const char *path, const char *text, mode_t mode)
{
  static char have[64 * 1024];
  size_t size = strlen(text);
  struct stat st;

  if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
    return replace(path, text, mode);
  if ((size_t)st.st_size == size && read_whole(path, have, sizeof have) == (ssize_t)size && strcmp(have, text) == 0)
    return true;
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  bool ok = fd >= 0 && write_whole(fd, text, size) && ((size_t)st.st_size <= size || ftruncate(fd, (off_t)size) == 0) &&
            ((st.st_mode & 07777) == mode || fchmod(fd, mode) == 0);
  if (fd >= 0)
    close(fd);
  return ok || replace(path, text, mode);
}

bool
make_dirs(char *path, mode_t mode, uid_t uid, gid_t gid)
{
  bool ok = true;

  for (char *slash = strchr(path + 1, '/'); slash && ok; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    if (mkdir(path, mode) == 0)
      ok = chmod(path, mode) == 0 && lchown(path, uid, gid) == 0;
    else
      ok = errno == EEXIST;
    *slash = '/';
  }
  return ok;
}

bool
enter_root(int root)
{
  return fchdir(root) == 0 && chroot(".") == 0 && chdir("/") == 0;
}

long long
boot_usec(void)
{
  struct timespec t;

  clock_gettime(CLOCK_BOOTTIME, &t);
  return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
