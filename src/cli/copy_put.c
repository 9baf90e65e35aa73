// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/copy.h"
#include "cli/output.h"
#include "model/field.h"

#define MAX_DEPTH 100
#define LINK_MAX_BYTES 4096

char *
pt_copy_path(const PtTarget *t, const char *path, const char *more)
{
  g_autofree char *query = pt_client_path("/files?path=%s", path), *base = pt_target_path(t, query);

  return g_strconcat(base, more, NULL);
}

bool
pt_copy_name(PtCopy *c, const char *name)
{
  /* U+FFFD is what the server shows of bytes that are not UTF-8. */
  if (pt_text_check(name, PATH_MAX, false, NULL) && !strstr(name, "\xef\xbf\xbd"))
    return true;
  g_autofree char *shown = pt_safe(name);
  pt_note(c->cli, "%s: its name cannot be written in an address: left out.", shown);
  c->left_out++;
  return false;
}

void
pt_copy_progress(PtCopy *c, const char *step)
{
  if (!c->cli->err_tty)
    return;
  if (!c->progress)
    c->progress = pt_progress_new(c->cli, c->title);
  pt_progress_set(c->progress, -1, c->bytes, 0, "bytes", step);
}

typedef struct Source {
  PtCopy *copy;
  int fd;
  const char *name;
} Source;

static gssize
read_source(void *data, void *buf, gsize size, GError **error)
{
  Source *s = data;
  gssize n = read(s->fd, buf, size);

  if (n < 0) {
    pt_error_errno(error, errno, "%s", s->name);
    return -1;
  }
  s->copy->bytes += n;
  pt_copy_progress(s->copy, s->name);
  return n;
}

static bool
send_object(PtCopy *c, const PtTarget *t, const char *path, const char *more, const PtClientRequest *how, GError **error)
{
  static const char *const headers[] = { "Content-Type", "application/octet-stream", NULL };
  g_autofree char *url = pt_copy_path(t, path, more);
  PtClientRequest r = *how;
  PtTransport *way = pt_cli_transport(c->cli, error);

  r.method = "PUT";
  r.path = url;
  r.headers = headers;
  r.timeout = 120 * G_USEC_PER_SEC;
  g_autoptr(PtClientReply) reply = way ? way->ops->send(way, &r, error) : NULL;
  if (reply && pt_client_reply_check(reply, error))
    return true;
  g_prefix_error(error, "%s:%s: ", t->name, path);
  return false;
}

static bool
put_file(PtCopy *c, int fd, const char *shown, mode_t mode, const PtTarget *t, const char *dest, GError **error)
{
  g_autofree char *more = g_strdup_printf("&type=file&mode=%04o", (guint)mode & 07777);
  Source s = { c, fd, shown };
  PtClientRequest r = { .source = read_source, .source_data = &s };

  c->files++;
  return send_object(c, t, dest, more, &r, error);
}

static bool
put_link(PtCopy *c, int dirfd, const char *name, const PtTarget *t, const char *dest, GError **error)
{
  char target[LINK_MAX_BYTES + 1];
  gssize n = readlinkat(dirfd, name, target, sizeof target - 1);

  if (n < 0) {
    pt_error_errno(error, errno, "%s", name);
    return false;
  }
  PtClientRequest r = { .body = target, .body_size = (gsize)n };
  c->files++;
  return send_object(c, t, dest, "&type=symlink", &r, error);
}

static bool put_object(PtCopy *c, int dirfd, const char *name, const PtTarget *t, const char *dest, bool follow,
                       GError **error);

static bool
put_directory(PtCopy *c, int fd, mode_t mode, const PtTarget *t, const char *dest, GError **error)
{
  g_autofree char *more = g_strdup_printf("&type=directory&mode=%04o", (guint)mode & 07777);
  PtClientRequest none = { .body = "", .body_size = 0 };
  int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = again >= 0 ? fdopendir(again) : NULL;
  bool ok = dir && send_object(c, t, dest, more, &none, error);

  if (!dir)
    pt_error_errno(error, errno, "%s", dest);
  for (const struct dirent *e; ok && (e = readdir(dir));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
      continue;
    g_autofree char *inner = g_build_filename(dest, e->d_name, NULL);
    ok = put_object(c, fd, e->d_name, t, inner, false, error);
  }
  if (dir)
    closedir(dir);
  return ok;
}

/* One object of any type; a link at the top is followed, one inside a tree is copied as a link. */
static bool
put_object(PtCopy *c, int dirfd, const char *name, const PtTarget *t, const char *dest, bool follow, GError **error)
{
  struct stat st;

  if (fstatat(dirfd, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
    pt_error_errno(error, errno, "%s", name);
    return false;
  }
  if (!pt_copy_name(c, name))
    return true;
  if (S_ISLNK(st.st_mode))
    return put_link(c, dirfd, name, t, dest, error);
  if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
    pt_note(c->cli, "%s is a device, socket or pipe: left out.", name);
    return true;
  }
  if (++c->depth > MAX_DEPTH) {
    PT_SET(error, PT_ERR_TOO_LARGE, "%s: directories are nested deeper than %d", name, MAX_DEPTH);
    return false;
  }
  int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
  bool ok = fd >= 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", name);
  else if (S_ISDIR(st.st_mode))
    ok = put_directory(c, fd, st.st_mode, t, dest, error);
  else
    ok = put_file(c, fd, name, st.st_mode, t, dest, error);
  if (fd >= 0)
    close(fd);
  c->depth--;
  return ok;
}

/* Whether there is a directory at the remote path already. Anything unclear is none. */
static bool
is_remote_directory(PtCopy *c, const PtTarget *t, const char *path)
{
  g_autofree char *parent = g_path_get_dirname(path), *base = g_path_get_basename(path), *url = pt_copy_path(t, parent, "");
  g_autoptr(json_t) listing = NULL;
  gsize n;
  json_t *i;

  if (strcmp(base, "/") == 0)
    return true;
  if (!pt_cli_call(c->cli, "GET", url, NULL, &listing, NULL))
    return false;
  json_array_foreach (json_object_get(listing, "items"), n, i)
    if (strcmp(pt_json_str(i, "name", ""), base) == 0)
      return strcmp(pt_json_str(i, "type", ""), "directory") == 0 || strcmp(pt_json_str(i, "type", ""), "symlink") == 0;
  return false;
}

static bool
put_input(PtCopy *c, const PtPlace *to, bool into, GError **error)
{
  if (into) {
    PT_SET(error, PT_ERR_INVALID, "%s:%s: is a directory, and what comes from standard input has no name", to->target.name, to->path);
    pt_error_hint(error, "name the file: %s:%s/NAME", to->target.name, strcmp(to->path, "/") == 0 ? "" : to->path);
    return false;
  }
  return put_file(c, STDIN_FILENO, "standard input", 0644, &to->target, to->path, error);
}

bool
pt_copy_put(PtCopy *c, const char *from, const PtPlace *to, const char *base, GError **error)
{
  bool slash = g_str_has_suffix(to->path, "/");
  bool into = slash || c->into || is_remote_directory(c, &to->target, to->path);
  g_autofree char *trimmed = g_strdup(to->path);

  if (strcmp(from, "-") == 0)
    return put_input(c, to, into, error);
  while (strlen(trimmed) > 1 && g_str_has_suffix(trimmed, "/"))
    trimmed[strlen(trimmed) - 1] = '\0';
  g_autofree char *dest =
    into && strcmp(base, "/") != 0 && strcmp(base, ".") != 0 ? g_build_filename(trimmed, base, NULL) : g_strdup(trimmed);
  return put_object(c, AT_FDCWD, from, &to->target, dest, true, error);
}
