// SPDX-License-Identifier: Apache-2.0
/* Files in and out. The guest's root is the root of this process, so no name leads out of it; what may wait for ever when it is opened
 * (devices, pipes) is looked at first, and not opened. The same answers as those for a container: src/api/files.c. */
#include "helpers/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IDS 65536
#define TEMP_TRIES 100
#define DEPTH_MAX 500

void
lines_flush(struct lines *l)
{
  if (l->n && !write_whole(1, l->at, l->n))
    _exit(1);
  l->n = 0;
}

void
add(struct lines *l, const char *key, const char *value)
{
  if (l->n + strlen(key) + 2 * strlen(value) + 2 > sizeof l->at)
    lines_flush(l);
  if (strlen(key) + 2 * strlen(value) + 2 > sizeof l->at) /* what is not kept would be a lie */
    value = "";
  for (; *key; key++)
    l->at[l->n++] = *key;
  l->at[l->n++] = '=';
  for (; *value; value++) {
    if (*value == '\\' || *value == '\n')
      l->at[l->n++] = '\\';
    l->at[l->n++] = *value == '\n' ? 'n' : *value;
  }
  l->at[l->n++] = '\n';
}

void
add_number(struct lines *l, const char *key, long long value)
{
  char text[24];

  snprintf(text, sizeof text, "%lld", value);
  add(l, key, text);
}

static void
describe(struct lines *l, int dir, const char *name, const struct stat *st)
{
  char text[PATH_MAX];

  add(l, "type", S_ISREG(st->st_mode) ? "file" : S_ISDIR(st->st_mode) ? "directory" : S_ISLNK(st->st_mode) ? "symlink" : "special");
  snprintf(text, sizeof text, "%04o", st->st_mode & 07777);
  add(l, "mode", text);
  add_number(l, "uid", st->st_uid);
  add_number(l, "gid", st->st_gid);
  add_number(l, "size", st->st_size);
  add_number(l, "mtime", (long long)st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000);
  if (!S_ISLNK(st->st_mode))
    return;
  ssize_t n = readlinkat(dir, name, text, sizeof text - 1);
  text[n > 0 ? n : 0] = '\0';
  add(l, "target", text);
}

static const char *
path_of(const struct request *r)
{
  if (!r->path || *r->path != '/' || strlen(r->path) >= PATH_MAX)
    answer_error(CODE_INVALID, "path: an absolute path of at most %d bytes is wanted", PATH_MAX - 1);
  return r->path;
}

void
verb_stat(const struct request *r)
{
  static struct lines out;
  const char *path = path_of(r);
  struct stat st;

  if (r->follow ? stat(path, &st) : lstat(path, &st))
    answer_errno(errno, path);
  describe(&out, AT_FDCWD, path, &st);
  answer_ok(false, out.at, out.n, -1);
  _exit(0);
}

void
verb_list(const struct request *r)
{
  static struct lines out;
  const char *path = path_of(r);
  DIR *dir = opendir(path);
  const struct dirent *e;
  struct stat st;

  if (!dir)
    answer_errno(errno, path);
  while ((e = readdir(dir))) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
      continue;
    add(&out, "name", e->d_name);
    describe(&out, dirfd(dir), e->d_name, &st);
  }
  lines_flush(&out);
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}

void
verb_get(const struct request *r)
{
  static char buf[65536];
  static struct lines out;
  const char *path = path_of(r);
  struct stat st;
  ssize_t n;

  if (stat(path, &st) < 0)
    answer_errno(errno, path);
  int fd = S_ISREG(st.st_mode) ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
  if (!S_ISREG(st.st_mode) || (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))))
    answer_error(CODE_INVALID, "%s: is no regular file", path);
  if (fd < 0)
    answer_errno(errno, path);
  describe(&out, AT_FDCWD, path, &st);
  answer_ok(true, out.at, out.n, -1);
  for (long long left = st.st_size; left > 0; left -= n) {
    n = read(fd, buf, left < (long long)sizeof buf ? (size_t)left : sizeof buf);
    if (n < 0)
      answer_errno(errno, path);
    if (n == 0)
      answer_error(CODE_CONFLICT, "%s: became shorter while it was read", path);
    if (!write_whole(1, buf, (size_t)n))
      _exit(1);
  }
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}

struct owner {
  mode_t mode;
  uid_t uid;
  gid_t gid;
};

static struct owner
owner_of(const struct request *r, mode_t mode)
{
  long long bits = number_of(r->mode, 8, 07777, mode), uid = number_of(r->uid, 10, IDS - 1, 0), gid = number_of(r->gid, 10, IDS - 1, 0);
  static char copy[PATH_MAX];

  if (bits < 0 || uid < 0 || gid < 0)
    answer_error(CODE_INVALID, "mode, uid or gid is none");
  umask(0);
  snprintf(copy, sizeof copy, "%s", r->path);
  if (r->parents && !make_dirs(copy, 0755, (uid_t)uid, (gid_t)gid))
    answer_errno(errno, r->path);
  return (struct owner){ (mode_t)bits, (uid_t)uid, (gid_t)gid };
}

/* A new name beside `path`; `make` is tried with several. */
static void
temp_name(const char *path, char temp[PATH_MAX], int try)
{
  const char *name = strrchr(path, '/') + 1;

  if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    answer_error(CODE_INVALID, "%s: does not name a file", path);
  if (snprintf(temp, PATH_MAX, "%.*s.portena-%d-%d", (int)(name - path), path, getpid(), try) >= PATH_MAX)
    answer_errno(ENAMETOOLONG, path);
}

static const char *put_temp;

static void
forget_put(int number)
{
  unlink(put_temp);
  _exit(128 + number);
}

/* The bytes up to their end, which only an end of file tells from a host that went away: the agent then sends SIGHUP first. */
static void
receive(int fd, const char *path)
{
  static char buf[65536];
  ssize_t n;

  while ((n = read(0, buf, sizeof buf)) > 0) {
    if (write_whole(fd, buf, (size_t)n))
      continue;
    int err = errno;
    unlink(put_temp);
    answer_errno(err, path);
  }
}

void
verb_put(const struct request *r)
{
  const char *path = path_of(r);
  struct owner o = owner_of(r, 0644);
  static char temp[PATH_MAX];
  struct stat st;
  int fd = -1;

  for (int i = 0; fd < 0 && i < TEMP_TRIES; i++) {
    temp_name(path, temp, i);
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
      break;
  }
  if (fd < 0)
    answer_errno(errno, path);
  put_temp = temp;
  signal(SIGHUP, forget_put);
  signal(SIGTERM, forget_put);
  bool dir = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
  if (!dir) {
    answer_ok(true, NULL, 0, -1);
    receive(fd, path);
  }
  if (!dir && fchown(fd, o.uid, o.gid) == 0 && fchmod(fd, o.mode) == 0 && fdatasync(fd) == 0 && rename(temp, path) == 0) {
    answer_ok(false, NULL, 0, -1);
    _exit(0);
  }
  int err = dir ? EISDIR : errno;
  unlink(temp);
  answer_errno(err, path);
}

void
verb_mkdir(const struct request *r)
{
  const char *path = path_of(r);
  struct owner o = owner_of(r, 0755);
  struct stat st;
  bool made = mkdir(path, o.mode) == 0;

  if (!made && (errno != EEXIST || stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
    answer_errno(errno == ENOENT ? ENOENT : EEXIST, path);
  if (made && (lchown(path, o.uid, o.gid) < 0 || chmod(path, o.mode) < 0))
    answer_errno(errno, path);
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}

void
verb_symlink(const struct request *r)
{
  const char *path = path_of(r);
  struct owner o = owner_of(r, 0777);
  static char temp[PATH_MAX];

  if (!r->target || !*r->target)
    answer_error(CODE_INVALID, "%s: where the symbolic link leads is wanted", path);
  temp_name(path, temp, 0);
  if (symlink(r->target, temp) < 0)
    answer_errno(errno, path);
  if (lchown(temp, o.uid, o.gid) < 0 || rename(temp, path) < 0) {
    int err = errno;
    unlink(temp);
    answer_errno(err, path);
  }
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}

/* All that is in a directory, but nothing of what is mounted there. 0 or an errno. */
static int
empty(int at, const char *name, int depth)
{
  const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                                .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS };
  int fd = depth > DEPTH_MAX ? -1 : (int)syscall(SYS_openat2, at, name, &how, sizeof how), err = 0;
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  const struct dirent *e;
  struct stat st;

  if (!dir)
    return depth > DEPTH_MAX ? ELOOP : errno;
  while (!err && (e = readdir(dir))) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
      continue;
    bool is_dir = fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    err = is_dir ? empty(fd, e->d_name, depth + 1) : 0;
    if (!err && unlinkat(fd, e->d_name, is_dir ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
      err = errno;
  }
  closedir(dir);
  return err;
}

/* The whole root, or what a name stands for that is none, is removed by nobody. */
static bool
names_itself(const char *path)
{
  size_t n = strlen(path);

  while (n && path[n - 1] == '/')
    n--;
  return n == 0 || (path[n - 1] == '.' && (path[n - 2] == '/' || (path[n - 2] == '.' && path[n - 3] == '/')));
}

void
verb_remove(const struct request *r)
{
  const char *path = path_of(r);
  struct stat st;

  if (names_itself(path))
    answer_error(CODE_INVALID, "%s: does not name a file", path);
  if (lstat(path, &st) < 0)
    answer_errno(errno, path);
  int err = r->recursive && S_ISDIR(st.st_mode) ? empty(AT_FDCWD, path, 0) : 0;
  if (!err && remove(path) < 0)
    err = errno;
  if (err)
    answer_errno(err, path);
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}
