// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/copy.h"
#include "cli/fetch.h"
#include "cli/output.h"

#define MAX_DEPTH 100

typedef struct Shown {
  PtCopy *copy;
  const char *name;
} Shown;

static void
tell(void *data, gint64 more)
{
  Shown *s = data;

  s->copy->bytes += more;
  pt_copy_progress(s->copy, s->name);
}

/* The bytes of a remote object into `fd`. The answer tells what it is. */
static PtClientReply *
fetch(PtCopy *c, const PtTarget *t, const char *path, bool follow, int fd, const char *shown, GError **error)
{
  g_autofree char *url = pt_copy_path(t, path, follow ? "" : "&follow=false");
  Shown s = { c, shown };
  PtFetch f = { .path = url, .fd = fd, .name = shown, .tell = tell, .data = &s };
  PtClientReply *reply = pt_fetch(c->cli, &f, error);

  if (!reply && error && *error && !strstr((*error)->message, path))
    g_prefix_error(error, "%s:%s: ", t->name, path);
  return reply;
}

static mode_t
mode_of(const char *text, mode_t fallback)
{
  guint64 m = 0;

  return text && g_ascii_string_to_unsigned(text, 8, 0, 07777, &m, NULL) ? (mode_t)m : fallback;
}

/* Set-id bits of a guest's files mean nothing good here. */
static mode_t
local_mode(mode_t mode)
{
  return mode & 0777;
}

static bool get_tree(PtCopy *c, const PtTarget *t, const char *path, int dirfd, const char *name, json_t *listing,
                     mode_t mode, GError **error);

/* What was fetched into the file `temp` beside it becomes `name`. */
static bool
place_file(int dirfd, const char *temp, const char *name, mode_t mode, GError **error)
{
  if (fchmodat(dirfd, temp, local_mode(mode), 0) == 0 && renameat(dirfd, temp, dirfd, name) == 0)
    return true;
  pt_error_errno(error, errno, "%s", name);
  return false;
}

static bool
place_link(int dirfd, const char *target, const char *name, GError **error)
{
  struct stat st;

  if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
    unlinkat(dirfd, name, 0);
  if (symlinkat(target, dirfd, name) == 0)
    return true;
  pt_error_errno(error, errno, "%s", name);
  return false;
}

static char *
read_back(int fd, gsize max, gsize *ret_size)
{
  char *text = g_malloc(max + 1);
  gsize n = 0;

  for (gssize r = 0; n < max && (r = pread(fd, text + n, max - n, (off_t)n)) > 0;)
    n += (gsize)r;
  text[n] = '\0';
  *ret_size = n;
  return text;
}

static bool
settle(PtCopy *c, const PtTarget *t, const char *path, const PtClientReply *reply, int fd, int dirfd, const char *temp,
       const char *name, GError **error)
{
  const char *type = pt_client_reply_header(reply, "x-portena-type");
  mode_t mode = mode_of(pt_client_reply_header(reply, "x-portena-mode"), 0644);
  gsize size = 0;

  if (g_strcmp0(type, "symlink") == 0) {
    g_autofree char *target = read_back(fd, 4096, &size);
    c->files++;
    return place_link(dirfd, target, name, error);
  }
  if (g_strcmp0(type, "directory") == 0) {
    g_autofree char *text = read_back(fd, PT_JSON_MAX_BYTES, &size);
    g_autoptr(json_t) listing = pt_json_parse_object(text, size, error);
    c->bytes -= (gint64)size;
    return listing &&
           get_tree(c, t, path, dirfd, name, listing, mode_of(pt_client_reply_header(reply, "x-portena-mode"), 0755), error);
  }
  c->files++;
  return place_file(dirfd, temp, name, mode, error);
}

static bool
get_object(PtCopy *c, const PtTarget *t, const char *path, bool follow, int dirfd, const char *name, GError **error)
{
  g_autofree char *temp = g_strdup_printf(".portena-%u-%08x", (guint)getpid(), g_random_int());
  int fd = openat(dirfd, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

  if (fd < 0) {
    pt_error_errno(error, errno, "%s", name);
    return false;
  }
  g_autoptr(PtClientReply) reply = fetch(c, t, path, follow, fd, name, error);
  bool ok = reply && settle(c, t, path, reply, fd, dirfd, temp, name, error);
  unlinkat(dirfd, temp, 0); /* gone already where it became the file */
  close(fd);
  return ok;
}

/* A name out of a listing, which a guest wrote. */
static bool
check_component(const char *name, const char *path, GError **error)
{
  if (*name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strlen(name) <= 255)
    return true;
  g_autofree char *shown = pt_text_safe(name, 80);
  PT_SET(error, PT_ERR_INVALID, "%s: it lists '%s', which is no name of a file\nnothing was written for it", path, shown);
  return false;
}

static int
make_directory(int dirfd, const char *name, GError **error)
{
  if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST) {
    pt_error_errno(error, errno, "%s", name);
    return -1;
  }
  int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    pt_error_errno(error, errno, "%s", name);
  return fd;
}

static bool
get_tree(PtCopy *c, const PtTarget *t, const char *path, int dirfd, const char *name, json_t *listing, mode_t mode,
         GError **error)
{
  bool ok = true;
  gsize n;
  json_t *i;

  if (++c->depth > MAX_DEPTH) {
    PT_SET(error, PT_ERR_TOO_LARGE, "%s: directories are nested deeper than %d", path, MAX_DEPTH);
    return false;
  }
  int fd = make_directory(dirfd, name, error);
  if (fd < 0)
    return false;
  json_array_foreach (json_object_get(listing, "items"), n, i) {
    const char *inner = pt_json_str(i, "name", ""), *type = pt_json_str(i, "type", "");
    static const char *const known[] = { "file", "directory", "symlink", NULL };
    if (!check_component(inner, path, error)) {
      ok = false;
      break;
    }
    if (!g_strv_contains(known, type)) {
      g_autofree char *shown = pt_safe(inner);
      pt_note(c->cli, "%s is a device, socket or pipe: left out.", shown);
      continue;
    }
    if (!pt_copy_name(c, inner))
      continue;
    g_autofree char *below = g_build_filename(path, inner, NULL);
    ok = get_object(c, t, below, false, fd, inner, error);
    if (!ok)
      break;
  }
  if (ok && fchmod(fd, local_mode(mode)) < 0) {
    pt_error_errno(error, errno, "%s", name);
    ok = false;
  }
  close(fd);
  c->depth--;
  return ok;
}

/* Straight to standard output: "-" as the destination. */
static bool
get_to_stdout(PtCopy *c, const PtPlace *from, GError **error)
{
  g_autoptr(PtClientReply) reply = fetch(c, &from->target, from->path, true, STDOUT_FILENO, "standard output", error);

  c->files++;
  return reply != NULL;
}

bool
pt_copy_get(PtCopy *c, const PtPlace *from, const char *dest, GError **error)
{
  g_autofree char *parent = g_path_get_dirname(dest), *name = g_path_get_basename(dest);

  if (strcmp(dest, "-") == 0)
    return get_to_stdout(c, from, error);
  int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", parent);
    return false;
  }
  bool ok = get_object(c, &from->target, from->path, true, fd, name, error);
  close(fd);
  return ok;
}

static void
remove_in(int dirfd, const char *name)
{
  int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

  for (const struct dirent *e; dir && (e = readdir(dir));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
      continue;
    if (unlinkat(fd, e->d_name, 0) < 0)
      remove_in(fd, e->d_name);
  }
  if (dir)
    closedir(dir);
  unlinkat(dirfd, name, AT_REMOVEDIR);
}

void
pt_copy_remove_tree(const char *path)
{
  remove_in(AT_FDCWD, path);
}
