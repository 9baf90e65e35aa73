// SPDX-License-Identifier: Apache-2.0
#include "sys/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "base/text.h"
#include "sys/creds.h"
#include "sys/guest.h"

#define RETRIES 64      /* openat2 says EAGAIN while someone renames under it */
#define DEPTH_MAX 64    /* of directories that a removal holds open at once */

static int
open_under(int root, const char *path, int flags, mode_t mode, guint64 resolve)
{
  struct open_how how = { .flags = (guint64)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve };
  bool guest = pt_guest_root_is(root);
  int fd = -1;

  if (flags & (O_CREAT | O_TMPFILE))
    how.mode = mode;
  if (guest)
    how.resolve |= RESOLVE_NO_XDEV;
  for (int i = 0; i < RETRIES; i++) {
    fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN)
      break;
  }
  if (fd < 0 && errno == EXDEV && guest && !(resolve & RESOLVE_NO_XDEV) && !(flags & O_CREAT))
    return pt_guest_walk(root, path, flags, resolve);
  return fd;
}

static void
set_errno(GError **error, int err, const char *path)
{
  g_autofree char *shown = pt_text_safe(path, 256);

  if (err == EXDEV) {
    PT_SET(error, PT_ERR_FORBIDDEN, "%s: is in a file system that was mounted inside, which is not reached from outside", shown);
    pt_error_hint(error, "use a program inside: portena exec NAME -- cat %s", shown);
    return;
  }
  pt_error_errno(error, err, "%s", shown);
}

static bool
fail_errno(GError **error, const char *path)
{
  set_errno(error, errno, path);
  return false;
}

int
pt_path_open(int root, const char *path, int flags, mode_t mode, guint64 resolve, GError **error)
{
  int fd = open_under(root, *path ? path : "/", flags, mode, resolve);

  if (fd < 0)
    set_errno(error, errno, path);
  return fd;
}

int
pt_path_open_file(int root, const char *path, GError **error)
{
  char self[64];
  struct stat st;
  int at = pt_path_open(root, path, O_PATH, 0, 0, error);

  if (at < 0)
    return -1;
  if (fstat(at, &st) == 0 && !S_ISREG(st.st_mode)) {
    g_autofree char *shown = pt_text_safe(path, 256);
    PT_SET(error, PT_ERR_INVALID, "%s: is not a regular file", shown);
    close(at);
    return -1;
  }
  snprintf(self, sizeof self, "/proc/self/fd/%d", at);
  int fd = open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a lease (fcntl(2)) would else hold us up */
  if (fd < 0)
    set_errno(error, errno, path);
  close(at);
  return fd;
}

bool
pt_path_stat_entry(int dir, const char *name, struct stat *ret)
{
  struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
  int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
  bool ok = fd >= 0 && fstat(fd, ret) == 0;

  if (fd >= 0) {
    int err = errno;

    close(fd);
    errno = err;
  }
  return ok;
}

int
pt_path_parent(int root, const char *path, char **ret_name, GError **error)
{
  gsize end = strlen(path);

  while (end > 0 && path[end - 1] == '/')
    end--;
  gsize start = end;
  while (start > 0 && path[start - 1] != '/')
    start--;
  g_autofree char *name = g_strndup(path + start, end - start);
  g_autofree char *dir = g_strndup(path, start);
  if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
    g_autofree char *shown = pt_text_safe(path, 256);
    PT_SET(error, PT_ERR_INVALID, "%s: does not name a file", *shown ? shown : "the path");
    return -1;
  }
  int fd = open_under(root, *dir ? dir : "/", O_PATH | O_DIRECTORY, 0, 0);
  if (fd < 0) {
    set_errno(error, errno, path);
    return -1;
  }
  *ret_name = g_steal_pointer(&name);
  return fd;
}

bool
pt_path_read(int root, const char *path, gsize max, char **ret_text, gsize *ret_size, GError **error)
{
  int fd = pt_path_open_file(root, path, error);
  if (fd < 0)
    return false;
  g_autoptr(GString) s = g_string_new(NULL);
  for (;;) {
    char buf[8192];
    ssize_t n = read(fd, buf, sizeof buf);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      fail_errno(error, path);
    if (n <= 0) {
      close(fd);
      if (n < 0)
        return false;
      break;
    }
    if (s->len + (gsize)n > max) {
      g_autofree char *shown = pt_text_safe(path, 256);
      PT_SET(error, PT_ERR_TOO_LARGE, "%s: has more than %zu bytes", shown, max);
      close(fd);
      return false;
    }
    g_string_append_len(s, buf, n);
  }
  if (ret_size)
    *ret_size = s->len;
  *ret_text = g_string_free(g_steal_pointer(&s), FALSE);
  return true;
}

static char *
temp_name(void)
{
  g_autofree char *hex = pt_random_hex(8);

  return g_strconcat(".pt-", hex, NULL);
}

/* Without a name, where the file system can: then a daemon that is killed leaves nothing of it. Else under one that nobody has. */
static int
open_temp(PtPathWrite *w)
{
  int fd = openat(w->dir, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);

  w->unnamed = fd >= 0;
  return fd >= 0 ? fd : openat(w->dir, w->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* As the one whose it is, like any other change of the tree. */
static bool
name_it(PtPathWrite *w)
{
  g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", w->fd);
  PtFsIds ids;

  if (!w->unnamed)
    return true;
  pt_fsids_enter(&ids, w->uid, w->gid, 0);
  w->unnamed = linkat(AT_FDCWD, self, w->dir, w->temp, AT_SYMLINK_FOLLOW) < 0;
  int err = errno;
  pt_fsids_leave(&ids);
  errno = err;
  return !w->unnamed;
}

bool
pt_path_write_begin(PtPathWrite *w, int root, const char *path, uid_t uid, gid_t gid, GError **error)
{
  PtFsIds ids;

  *w = (PtPathWrite){ .fd = -1, .dir = -1, .uid = uid, .gid = gid };
  w->dir = pt_path_parent(root, path, &w->name, error);
  if (w->dir < 0)
    return false;
  w->temp = temp_name();
  pt_fsids_enter(&ids, uid, gid, 0);
  w->fd = open_temp(w);
  int err = errno;
  pt_fsids_leave(&ids);
  if (w->fd < 0) {
    set_errno(error, err, path);
    pt_path_write_abort(w);
    return false;
  }
  /* A set-group-id directory gives its own group: put that right. */
  struct stat st;
  if (fstat(w->fd, &st) < 0 || ((st.st_uid != uid || st.st_gid != gid) && fchown(w->fd, uid, gid) < 0)) {
    fail_errno(error, path);
    pt_path_write_abort(w);
    return false;
  }
  return true;
}

/* A guest's own tmpfs knows its ids alone: not even a rename there is for anybody else (EOVERFLOW). */
static bool
rename_as(int dir, const char *from, const char *to, uid_t uid, gid_t gid)
{
  PtFsIds ids;

  pt_fsids_enter(&ids, uid, gid, 0);
  bool ok = renameat(dir, from, dir, to) == 0;
  int err = errno;
  pt_fsids_leave(&ids);
  errno = err;
  return ok;
}

bool
pt_path_write_commit(PtPathWrite *w, mode_t mode, GError **error)
{
  bool ok = fchmod(w->fd, mode & 07777) == 0 && name_it(w) && rename_as(w->dir, w->temp, w->name, w->uid, w->gid);

  if (ok)
    g_clear_pointer(&w->temp, g_free);
  else
    fail_errno(error, w->name);
  pt_path_write_abort(w);
  return ok;
}

void
pt_path_write_abort(PtPathWrite *w)
{
  if (w->fd >= 0) {
    if (w->temp && !w->unnamed)
      unlinkat(w->dir, w->temp, 0);
    close(w->fd);
  }
  if (w->dir >= 0)
    close(w->dir);
  g_free(w->name);
  g_free(w->temp);
  *w = (PtPathWrite){ .fd = -1, .dir = -1 };
}

bool
pt_path_write(int root, const char *path, const char *text, gsize size, mode_t mode, uid_t uid, gid_t gid, GError **error)
{
  PtPathWrite w;

  if (!pt_path_write_begin(&w, root, path, uid, gid, error))
    return false;
  while (size > 0) {
    ssize_t n = write(w.fd, text, size);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      fail_errno(error, path);
      pt_path_write_abort(&w);
      return false;
    }
    text += n;
    size -= (gsize)n;
  }
  return pt_path_write_commit(&w, mode, error);
}

bool
pt_path_mkdir(int root, const char *path, mode_t mode, uid_t uid, gid_t gid, GError **error)
{
  g_autofree char *name = NULL;
  struct stat st;
  PtFsIds ids;
  int dir = pt_path_parent(root, path, &name, error);

  if (dir < 0)
    return false;
  pt_fsids_enter(&ids, uid, gid, 0);
  int rc = mkdirat(dir, name, 0700);
  int err = errno;
  pt_fsids_leave(&ids);
  bool ok = rc == 0;
  if (ok) {
    /* what the guest has put in its place meanwhile, a mount even, is not touched */
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV };
    int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
    ok = fd >= 0 && fstat(fd, &st) == 0 && ((st.st_uid == uid && st.st_gid == gid) || fchown(fd, uid, gid) == 0) &&
         fchmod(fd, mode & 07777) == 0;
    err = errno;
    if (fd >= 0)
      close(fd);
  } else if (err == EEXIST) {
    /* A symlink to a directory is one too, as for mkdir -p. */
    int fd = open_under(root, path, O_PATH | O_DIRECTORY, 0, 0);
    ok = fd >= 0;
    if (ok)
      close(fd);
  }
  close(dir);
  if (!ok)
    set_errno(error, err, path);
  return ok;
}

bool
pt_path_symlink(int root, const char *path, const char *target, uid_t uid, gid_t gid, GError **error)
{
  g_autofree char *name = NULL, *temp = temp_name();
  PtFsIds ids;
  int dir = pt_path_parent(root, path, &name, error);

  if (dir < 0)
    return false;
  pt_fsids_enter(&ids, uid, gid, 0);
  bool ok = symlinkat(target, dir, temp) == 0;
  int err = errno;
  pt_fsids_leave(&ids);
  if (ok && !rename_as(dir, temp, name, uid, gid)) {
    err = errno;
    unlinkat(dir, temp, 0);
    ok = false;
  }
  close(dir);
  if (!ok)
    set_errno(error, err, path);
  return ok;
}

/* Removal of a tree. A directory is entered without following a link and without leaving its mount. One that lies
 * deeper than DEPTH_MAX is moved up into the top, where a later round finds it, so that neither descriptors nor stack
 * depend on how deep a guest nests. */
typedef struct Removal {
  int top;
  guint moved;
  char *prefix; /* of what was moved up; not to be guessed by the guest */
} Removal;

static int remove_entry(Removal *r, int dir, const char *name, guint depth);

static int
remove_children(Removal *r, int fd, guint depth)
{
  int list = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a dup would go on where the last round stopped */
  DIR *d = list >= 0 ? fdopendir(list) : NULL;
  int err = 0;

  if (!d)
    return errno;
  for (struct dirent *e; !err && (e = readdir(d));) {
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
      err = remove_entry(r, fd, e->d_name, depth);
  }
  closedir(d);
  return err;
}

static int
remove_dir(Removal *r, int dir, const char *name, guint depth)
{
  struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
  int err = 0;

  if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return 0;
  if (errno != ENOTEMPTY && errno != EEXIST)
    return errno;
  if (depth >= DEPTH_MAX) {
    g_autofree char *up = g_strdup_printf("%s-%u", r->prefix, r->moved++);

    return renameat(dir, name, r->top, up) == 0 ? 0 : errno;
  }
  int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
  if (fd < 0)
    return errno == EXDEV ? EBUSY : errno;
  if (r->top < 0) {
    r->top = fd;
    for (int round = 0; !err && round < 1 << 20; round++) {
      guint before = r->moved;

      err = remove_children(r, fd, depth + 1);
      if (before == r->moved)
        break;
    }
  } else {
    err = remove_children(r, fd, depth + 1);
  }
  close(fd);
  if (!err && unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
    err = errno;
  return err;
}

static int
remove_entry(Removal *r, int dir, const char *name, guint depth)
{
  if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
    return 0;
  /* Linux says EISDIR for a directory, POSIX allows EPERM. */
  return errno == EISDIR || errno == EPERM ? remove_dir(r, dir, name, depth) : errno;
}

bool
pt_path_remove(int root, const char *path, bool recursive, GError **error)
{
  g_autofree char *name = NULL;
  g_autoptr(GError) local = NULL;
  g_autofree char *prefix = temp_name();
  Removal r = { .top = -1, .prefix = prefix };
  int err = 0;
  int dir = pt_path_parent(root, path, &name, &local);

  if (dir < 0) {
    if (g_error_matches(local, PT_ERROR, PT_ERR_NOT_FOUND))
      return true;
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
  }
  if (recursive)
    err = remove_entry(&r, dir, name, 0);
  else if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
    err = errno == EISDIR && unlinkat(dir, name, AT_REMOVEDIR) == 0 ? 0 : errno;
  close(dir);
  if (err)
    set_errno(error, err, path);
  return err == 0;
}
