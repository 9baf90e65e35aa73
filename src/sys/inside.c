// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. move_mount(2) and umount2(2) act in the caller's own mount namespace alone, so a thread enters the guest's. A thread
 * shares its root and working directory with all others (CLONE_FS), and cannot enter a mount namespace until it has its own; so it is
 * a thread of its own, which ends afterwards. In there it makes system calls upon descriptors and nothing else: any path that it looked up
 * would be the guest's. */
#include "sys/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define MOUNTINFO_MAX (1u << 20)
#define FDS_MAX 65536

int
pt_inside_tree(const char *source, int userns, bool readonly, GError **error)
{
  struct mount_attr attr = { .attr_set = (userns >= 0 ? MOUNT_ATTR_IDMAP : 0) | (readonly ? MOUNT_ATTR_RDONLY : 0),
                             .userns_fd = (guint64)MAX(userns, 0) };
  int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

  if (tree < 0) {
    pt_error_errno(error, errno, "%s", source);
    return -1;
  }
  if (!attr.attr_set || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0)
    return tree;
  int err = errno;
  close(tree);
  PT_SET(error, err == EINVAL || err == ENOSYS ? PT_ERR_UNSUPPORTED : PT_ERR_INTERNAL, "%s: shift its ids: %s", source, g_strerror(err));
  return -1;
}

typedef struct {
  int ns;
  int tree, target;     /* to mount; or … */
  int dir;              /* … to unmount */
  const char *name;
  int flags;
  int err;              /* the errno of what failed; 0 = done */
} Act;

static gpointer
act(gpointer data)
{
  Act *a = data;
  bool ok = unshare(CLONE_FS) == 0 && setns(a->ns, CLONE_NEWNS) == 0;

  if (ok && a->tree >= 0)
    ok = move_mount(a->tree, "", a->target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
  else if (ok)
    ok = fchdir(a->dir) == 0 && umount2(a->name, a->flags) == 0;
  a->err = ok ? 0 : errno;
  return NULL;
}

static bool
run(pid_t pid, Act *a)
{
  char path[64];

  g_snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
  a->ns = open(path, O_RDONLY | O_CLOEXEC);
  if (a->ns < 0) {
    a->err = errno;
    return false;
  }
  g_thread_join(g_thread_new("inside", act, a));
  close(a->ns);
  return a->err == 0;
}

bool
pt_inside_mount(pid_t pid, int tree, int target, GError **error)
{
  Act a = { .tree = tree, .target = target };

  if (run(pid, &a))
    return true;
  pt_error_errno(error, a.err, "mounting it inside");
  return false;
}

bool
pt_inside_umount(pid_t pid, int dir, const char *name, bool lazy, GError **error)
{
  Act a = { .tree = -1, .dir = dir, .name = name, .flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0) };

  if (run(pid, &a))
    return true;
  pt_error_errno(error, a.err, "unmounting it inside");
  return false;
}

/* ---- looking ---- */

static char *
read_some(const char *path, gsize max)
{
  g_autoptr(GString) s = g_string_new(NULL);
  char buf[8192];
  ssize_t n = 1;
  int fd = open(path, O_RDONLY | O_CLOEXEC);

  while (fd >= 0 && n > 0 && s->len < max) {
    n = read(fd, buf, sizeof buf);
    if (n > 0)
      g_string_append_len(s, buf, n);
  }
  if (fd >= 0)
    close(fd);
  return fd >= 0 && n == 0 ? g_string_free(g_steal_pointer(&s), FALSE) : NULL;
}

/* proc_pid_mountinfo(5) writes a blank, a tab, a line break and a backslash as three octal digits. In its place. */
static void
unescape(char *text)
{
  char *to = text;

  for (const char *p = text; *p; p++) {
    bool octal = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7';
    *to++ = octal ? (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')) : *p;
    p += octal ? 3 : 0;
  }
  *to = '\0';
}

/* "36 35 98:0 /root /mount options …" of `device`: the numbers of its mounts and the place of the last. Both may be NULL. */
static bool
mounts_of(pid_t pid, dev_t device, GArray *numbers, char **ret_path)
{
  char file[64];
  char *save = NULL;
  bool found = false;

  g_snprintf(file, sizeof file, "/proc/%d/mountinfo", (int)pid);
  g_autofree char *info = read_some(file, MOUNTINFO_MAX);
  for (char *line = info ? strtok_r(info, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
    g_auto(GStrv) part = g_strsplit(line, " ", 6);
    unsigned dev_major, dev_minor;
    if (g_strv_length(part) < 6 || sscanf(part[2], "%u:%u", &dev_major, &dev_minor) != 2 || makedev(dev_major, dev_minor) != device)
      continue;
    int number = atoi(part[0]);
    found = true;
    if (numbers)
      g_array_append_val(numbers, number);
    if (ret_path) {
      unescape(part[4]);
      g_free(*ret_path);
      *ret_path = g_strdup(part[4]);
    }
  }
  return found;
}

bool
pt_inside_mounted(pid_t pid, dev_t device, char **ret_path)
{
  if (ret_path)
    *ret_path = NULL;
  return mounts_of(pid, device, NULL, ret_path);
}

static bool
number_in(const char *fdinfo, const GArray *numbers)
{
  g_autofree char *text = read_some(fdinfo, 4096);
  const char *at = text ? strstr(text, "mnt_id:") : NULL;
  int number;

  if (!at || sscanf(at, "mnt_id: %d", &number) != 1)
    return false;
  for (guint i = 0; i < numbers->len; i++)
    if (g_array_index(numbers, int, i) == number)
      return true;
  return false;
}

/* A link of /proc/PID, opened without asking its file system anything. */
static bool
link_in(pid_t pid, const char *link, const GArray *numbers)
{
  char path[64];

  g_snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, link);
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0)
    return false;
  g_snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  bool is = number_in(path, numbers);
  close(fd);
  return is;
}

static bool
uses(pid_t pid, const GArray *numbers)
{
  char dir[64];

  if (link_in(pid, "cwd", numbers) || link_in(pid, "root", numbers) || link_in(pid, "exe", numbers))
    return true;
  g_snprintf(dir, sizeof dir, "/proc/%d/fdinfo", (int)pid);
  DIR *d = opendir(dir);
  bool is = false;
  guint n = 0;
  for (const struct dirent *e; d && !is && n < FDS_MAX && (e = readdir(d)); n++) {
    g_autofree char *path = g_build_filename(dir, e->d_name, NULL);
    is = g_ascii_isdigit(e->d_name[0]) && number_in(path, numbers);
  }
  if (d)
    closedir(d);
  return is;
}

char *
pt_inside_user(pid_t pid, dev_t device, const GArray *pids)
{
  g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(int));

  if (!mounts_of(pid, device, numbers, NULL))
    return NULL;
  for (guint i = 0; i < pids->len; i++) {
    pid_t one = g_array_index(pids, pid_t, i);
    char path[64];
    if (!uses(one, numbers))
      continue;
    g_snprintf(path, sizeof path, "/proc/%d/comm", (int)one);
    g_autofree char *comm = read_some(path, 64), *safe = pt_text_safe(comm ? g_strchomp(comm) : "?", 64);
    return g_strdup_printf("%s (%d)", safe, (int)one);
  }
  return NULL;
}
