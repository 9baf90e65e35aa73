// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. What kind of mount a descriptor is on has to be known before its file system is asked anything, for
 * the question itself (stat, statfs) may be what hangs. The kernel's own list says it: the mount's number from our fdinfo,
 * its type and device from the guest's mountinfo. The number cannot be given to another mount while the descriptor holds it.
 *
 * A path is followed one name at a time by openat2(RESOLVE_NO_XDEV), links by hand; a name that is a mount point is opened
 * with O_PATH alone, which asks the file system nothing, and judged. */
#include "sys/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/major.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"

#define LINKS_MAX 40
#define DEPTH_MAX 128
#define MOUNTINFO_MAX (1u << 20) /* a guest that mounts more than fits is not looked into */
#define RETRIES 64

typedef struct Tree {
  int mounts; /* its mountinfo */
  dev_t device;
} Tree;

static GMutex lock;
static GHashTable *trees; /* root descriptor → Tree */

static void
tree_free(void *data)
{
  Tree *t = data;

  close(t->mounts);
  g_free(t);
}

static bool
tree_of(int root, Tree *ret)
{
  g_mutex_lock(&lock);
  const Tree *t = trees ? g_hash_table_lookup(trees, GINT_TO_POINTER(root)) : NULL;
  if (t)
    *ret = *t;
  g_mutex_unlock(&lock);
  return t != NULL;
}

bool
pt_guest_root_is(int root)
{
  Tree t;

  return tree_of(root, &t);
}

/* A whole file of procfs through a descriptor of it, read from its beginning by a descriptor of our own. */
static char *
read_again(int fd)
{
  char self[64];
  g_autoptr(GString) s = g_string_new(NULL);
  ssize_t n = 1;

  g_snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  int own = open(self, O_RDONLY | O_CLOEXEC);
  while (own >= 0 && n > 0 && s->len < MOUNTINFO_MAX) {
    char buf[8192];

    n = read(own, buf, sizeof buf);
    if (n > 0)
      g_string_append_len(s, buf, n);
  }
  if (own >= 0)
    close(own);
  return own >= 0 && n == 0 ? g_string_free(g_steal_pointer(&s), FALSE) : NULL;
}

static int
mount_number(int fd)
{
  char path[64], text[256];
  int number = -1;

  g_snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  int info = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = info < 0 ? -1 : read(info, text, sizeof text - 1);
  if (info >= 0)
    close(info);
  text[MAX(n, 0)] = '\0';
  const char *at = strstr(text, "mnt_id:");
  return at && sscanf(at, "mnt_id: %d", &number) == 1 ? number : -1;
}

/* proc_pid_mountinfo(5): "36 35 98:0 /root /mount options [optional…] - type source options" */
static bool
judge(const char *line, const Tree *t, bool root)
{
  unsigned dev_major, dev_minor;
  const char *type = strstr(line, " - ");

  if (!type || sscanf(line, "%*d %*d %u:%u ", &dev_major, &dev_minor) != 2)
    return false;
  if (g_str_has_prefix(type, " - overlay ") && makedev(dev_major, dev_minor) == t->device)
    return true;
  /* on a loop device: no guest can mount that, so it is a volume that we attached */
  return !root && (g_str_has_prefix(type, " - tmpfs ") || (g_str_has_prefix(type, " - ext4 ") && dev_major == LOOP_MAJOR));
}

/* Whether what `fd` is on may be asked anything. */
static bool
harmless(int fd, const Tree *t, bool root)
{
  int number = mount_number(fd);
  g_autofree char *info = number < 0 ? NULL : read_again(t->mounts);
  char *save = NULL;

  for (char *line = info ? strtok_r(info, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
    if (atoi(line) == number)
      return judge(line, t, root);
  }
  return false;
}

int
pt_guest_root_open(pid_t pid, dev_t device, GError **error)
{
  char path[64];
  Tree t = { .mounts = -1, .device = device };

  g_snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_snprintf(path, sizeof path, "/proc/%d/mountinfo", (int)pid);
  t.mounts = fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (t.mounts >= 0 && harmless(fd, &t, true)) {
    g_mutex_lock(&lock);
    if (!trees)
      trees = g_hash_table_new_full(NULL, NULL, NULL, tree_free);
    g_hash_table_insert(trees, GINT_TO_POINTER(fd), g_memdup2(&t, sizeof t));
    g_mutex_unlock(&lock);
    return fd;
  }
  if (t.mounts >= 0) {
    PT_SET(error, PT_ERR_FORBIDDEN, "its root directory is not the one it was started in");
    pt_error_hint(error, "restart the instance");
    close(t.mounts);
  } else {
    pt_error_errno(error, errno, "its root directory");
  }
  if (fd >= 0)
    close(fd);
  return -1;
}

void
pt_guest_root_close(int root)
{
  if (root < 0)
    return;
  g_mutex_lock(&lock);
  if (trees)
    g_hash_table_remove(trees, GINT_TO_POINTER(root));
  g_mutex_unlock(&lock);
  close(root);
}

/* ---- the walk ---- */

typedef struct Walk {
  Tree tree;
  int root;
  int held[DEPTH_MAX];
  guint n;
  char *rest; /* what is still to be followed */
  guint links;
} Walk;

static void
up(Walk *w, guint to)
{
  while (w->n > to)
    close(w->held[--w->n]);
}

static int
step(const Walk *w, const char *name)
{
  struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
  int at = w->n ? w->held[w->n - 1] : w->root, fd = -1;

  for (int i = 0; i < RETRIES; i++) {
    fd = (int)syscall(SYS_openat2, at, name, &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN)
      break;
  }
  if (fd >= 0 || errno != EXDEV)
    return fd;
  how.resolve = RESOLVE_NO_MAGICLINKS;
  fd = (int)syscall(SYS_openat2, at, name, &how, sizeof how);
  if (fd < 0 || harmless(fd, &w->tree, false))
    return fd;
  close(fd);
  errno = EXDEV;
  return -1;
}

/* Puts where the link leads in front of the rest. Closes `fd`. */
static bool
follow(Walk *w, int fd)
{
  char target[PATH_MAX];
  ssize_t n = readlinkat(fd, "", target, sizeof target - 1);

  close(fd);
  if (n <= 0 || ++w->links > LINKS_MAX || strlen(w->rest) > PATH_MAX) {
    errno = ELOOP;
    return false;
  }
  target[n] = '\0';
  char *rest = g_strconcat(target, "/", w->rest, NULL);
  /* "link" alone keeps its end: a file is not followed by a slash */
  if (!*w->rest)
    rest[strlen(rest) - 1] = '\0';
  g_free(w->rest);
  w->rest = rest;
  if (*target == '/')
    up(w, 0);
  return true;
}

/* Takes one name off the rest. False with an errno. */
static bool
advance(Walk *w, int flags, guint64 resolve)
{
  struct stat st;
  gsize skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");
  g_autofree char *name = g_strndup(w->rest + skip, len), *rest = g_strdup(w->rest + skip + len);

  g_free(w->rest);
  w->rest = g_steal_pointer(&rest);
  if (!*name || strcmp(name, ".") == 0)
    return true;
  if (strcmp(name, "..") == 0) {
    up(w, w->n ? w->n - 1 : 0);
    return true;
  }
  int fd = step(w, name);
  if (fd < 0 || fstat(fd, &st) < 0) {
    if (fd >= 0)
      close(fd);
    return false;
  }
  if (S_ISLNK(st.st_mode) && (*w->rest || !(flags & O_NOFOLLOW))) {
    if (!(resolve & RESOLVE_NO_SYMLINKS))
      return follow(w, fd);
    close(fd);
    errno = ELOOP;
    return false;
  }
  if (w->n == DEPTH_MAX || (*w->rest && !S_ISDIR(st.st_mode))) {
    close(fd);
    errno = w->n == DEPTH_MAX ? ENAMETOOLONG : ENOTDIR;
    return false;
  }
  w->held[w->n++] = fd;
  return true;
}

static int
arrive(const Walk *w, int flags)
{
  char self[64];
  struct stat st;
  int at = w->n ? w->held[w->n - 1] : w->root;

  if (fstat(at, &st) < 0)
    return -1;
  if ((flags & O_DIRECTORY || !(flags & O_PATH)) && !S_ISDIR(st.st_mode)) {
    errno = ENOTDIR;
    return -1;
  }
  if (flags & O_PATH)
    return fcntl(at, F_DUPFD_CLOEXEC, 3);
  g_snprintf(self, sizeof self, "/proc/self/fd/%d", at);
  return open(self, (flags & ~O_NOFOLLOW) | O_DIRECTORY | O_CLOEXEC);
}

int
pt_guest_walk(int root, const char *path, int flags, guint64 resolve)
{
  Walk w = { .root = root, .rest = g_strdup(path) };
  bool ok = tree_of(root, &w.tree);

  if (!ok)
    errno = EBADF;
  while (ok && *w.rest)
    ok = advance(&w, flags, resolve);
  int fd = ok ? arrive(&w, flags) : -1, err = errno;
  up(&w, 0);
  g_free(w.rest);
  errno = err;
  return fd;
}
