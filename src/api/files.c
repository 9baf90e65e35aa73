// SPDX-License-Identifier: Apache-2.0
/* Files of an instance, in and out. Its tree is hostile: every path is resolved under its root by sys/path.h, nothing but
 * regular files and directories is opened, and the ids inside are those of the host shifted by the instance's base.
 *
 * A stopped instance's tree is mounted for as long as its root is held, and it cannot start meanwhile; so the root is let go
 * as soon as may be: for a running one at once after the open, for a stopped one when the transfer is over. */
#include "api/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "api/instances.h"
#include "base/clock.h"
#include "base/text.h"
#include "sys/path.h"

#define IDS 65536
#define NOBODY 65534
#define TARGET_MAX 4095
#define MEMORY_UNSAID (4 << 20) /* for an upload into memory that does not say its size */
#define MEMORY_KNOWN 10000

typedef struct Tree {
  PtAgent *agent;
  PtInstance *spec;
  int root; /* -1 = let go, or it is reached through its agent */
  gint64 idbase;
  bool calls; /* a machine that runs: files_guest.c */
} Tree;

static void
tree_clear(Tree *t)
{
  if (t->root >= 0)
    pt_agent_root_done(t->agent, t->spec, t->root);
  t->root = -1;
  g_clear_pointer(&t->spec, pt_instance_free);
}

static bool
tree_open(PtRequest *r, Tree *t, GError **error)
{
  t->agent = r->api->agent;
  t->root = -1;
  t->spec = pt_instance_load(r, NULL, NULL, error);
  t->calls = t->spec && pt_agent_calls(t->agent, t->spec);
  if (t->spec && !t->calls)
    t->root = pt_agent_root(t->agent, t->spec, &t->idbase, error);
  return t->root >= 0 || t->calls;
}

static const char *
path_of(PtRequest *r, GError **error)
{
  const char *path = pt_query(r, "path", NULL);

  if (!path || *path != '/' || strlen(path) >= PATH_MAX) {
    PT_SET(error, PT_ERR_INVALID, "path: an absolute path of at most %d bytes is wanted", PATH_MAX - 1);
    return NULL;
  }
  return path;
}

static gint64
inner(gint64 id, gint64 idbase)
{
  gint64 v = id - idbase;

  return v >= 0 && v < IDS ? v : NOBODY;
}

static const char *
type_name(mode_t mode)
{
  return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "symlink" : "special";
}

/* ── GET ── */

static void
describe(PtRequest *r, const struct stat *st, gint64 idbase)
{
  g_autofree char *mode = g_strdup_printf("%04o", st->st_mode & 07777),
                  *mtime = pt_time_format(st->st_mtim.tv_sec * G_USEC_PER_SEC);
  g_autofree char *uid = g_strdup_printf("%" G_GINT64_FORMAT, inner(st->st_uid, idbase)),
                  *gid = g_strdup_printf("%" G_GINT64_FORMAT, inner(st->st_gid, idbase));

  pt_reply_header(r, "X-Portena-Mode", mode);
  pt_reply_header(r, "X-Portena-Uid", uid);
  pt_reply_header(r, "X-Portena-Gid", gid);
  pt_reply_header(r, "X-Portena-Type", type_name(st->st_mode));
  pt_reply_header(r, "X-Portena-Mtime", mtime);
}

static void
tree_free(void *tree)
{
  tree_clear(tree);
  g_free(tree);
}

static bool
get_file(PtRequest *r, Tree *t, const char *path, GError **error)
{
  struct stat st;
  Tree *keep = NULL;
  int fd = pt_path_open_file(t->root, path, error);

  if (fd < 0)
    return false;
  if (fstat(fd, &st) < 0) {
    pt_error_errno(error, errno, "%s", path);
    close(fd);
    return false;
  }
  describe(r, &st, t->idbase);
  pt_reply_header(r, "Content-Disposition", "attachment");
  if (t->idbase == 0) { /* stopped: the mount has to stay until the last byte */
    keep = g_memdup2(t, sizeof *t);
    t->root = -1;
    t->spec = NULL;
  }
  return pt_reply_file(r, fd, st.st_size, keep, tree_free);
}

/* One name of the directory `path`. A mount point is looked at by its whole path: what may not be entered is "special". */
static bool
stat_entry(const Tree *t, const char *path, int dir, const char *name, struct stat *ret)
{
  if (pt_path_stat_entry(dir, name, ret))
    return true;
  if (errno != EXDEV)
    return false; /* gone meanwhile */
  g_autofree char *full = g_strconcat(path, "/", name, NULL);
  int fd = pt_path_open(t->root, full, O_PATH | O_NOFOLLOW, 0, 0, NULL);
  *ret = (struct stat){ .st_mode = S_IFCHR, .st_uid = (uid_t)t->idbase, .st_gid = (gid_t)t->idbase };
  bool ok = fd < 0 || fstat(fd, ret) == 0;
  if (fd >= 0)
    close(fd);
  return ok;
}

static json_t *
entry_view(const Tree *t, const char *path, int dir, const char *name)
{
  gint64 idbase = t->idbase;
  struct stat st;
  char target[TARGET_MAX + 1];
  ssize_t n = 0;

  if (!stat_entry(t, path, dir, name, &st))
    return NULL;
  if (S_ISLNK(st.st_mode))
    n = readlinkat(dir, name, target, TARGET_MAX);
  target[MAX(n, 0)] = '\0';
  g_autofree char *shown = g_utf8_make_valid(name, -1), *leads = g_utf8_make_valid(target, -1),
                  *mode = g_strdup_printf("%04o", st.st_mode & 07777),
                  *mtime = pt_time_format(st.st_mtim.tv_sec * G_USEC_PER_SEC);
  return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:s, s:s?}", "name", shown, "type", type_name(st.st_mode), "size",
                   (json_int_t)st.st_size, "mode", mode, "uid", (json_int_t)inner(st.st_uid, idbase), "gid",
                   (json_int_t)inner(st.st_gid, idbase), "mtime", mtime, "target", S_ISLNK(st.st_mode) ? leads : NULL);
}

static gint
by_name(gconstpointer a, gconstpointer b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
read_names(int fd, const char *path, GPtrArray *names, GError **error)
{
  DIR *dir = fdopendir(fd);
  const struct dirent *e;

  if (!dir) {
    pt_error_errno(error, errno, "%s", path);
    close(fd);
    return false;
  }
  while ((e = readdir(dir)) && names->len <= PT_FILES_ENTRIES_MAX) {
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
      g_ptr_array_add(names, g_strdup(e->d_name));
  }
  closedir(dir);
  if (names->len <= PT_FILES_ENTRIES_MAX)
    return true;
  PT_SET(error, PT_ERR_TOO_LARGE, "%s: has more than %d entries", path, PT_FILES_ENTRIES_MAX);
  return false;
}

static bool
get_directory(PtRequest *r, Tree *t, const char *path, const struct stat *st, GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  int dir = pt_path_open(t->root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0, 0, error);

  if (dir < 0 || !read_names(dup(dir), path, names, error)) {
    if (dir >= 0)
      close(dir);
    return false;
  }
  g_ptr_array_sort(names, by_name);
  json_t *items = json_array();
  for (guint i = 0; i < names->len; i++) {
    json_t *item = entry_view(t, path, dir, g_ptr_array_index(names, i));
    if (item)
      json_array_append_new(items, item);
  }
  close(dir);
  describe(r, st, t->idbase);
  return pt_reply_json(r, 200, json_pack("{s:o}", "items", items));
}

static bool
get(PtRequest *r, Tree *t, const char *path, bool follow, GError **error)
{
  struct stat st;
  char target[TARGET_MAX + 1];

  if (t->calls)
    return pt_files_guest_get(r, t->spec, path, follow, error);
  int at = pt_path_open(t->root, path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0, 0, error);

  if (at < 0)
    return false;
  bool ok = fstat(at, &st) == 0;
  ssize_t n = ok && S_ISLNK(st.st_mode) ? readlinkat(at, "", target, TARGET_MAX) : 0;
  close(at);
  if (!ok || n < 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  if (S_ISDIR(st.st_mode))
    return get_directory(r, t, path, &st, error);
  if (S_ISREG(st.st_mode))
    return get_file(r, t, path, error);
  if (!S_ISLNK(st.st_mode)) {
    PT_SET(error, PT_ERR_INVALID, "%s: is neither a file nor a directory, so it cannot be copied", path);
    return false;
  }
  describe(r, &st, t->idbase);
  return pt_reply_text(r, 200, "application/octet-stream", g_memdup2(target, (gsize)n), (gsize)n);
}

bool
pt_files_get(PtRequest *r, GError **error)
{
  const char *path = path_of(r, error);
  Tree t = { .root = -1 };
  bool follow = true;

  if (!path || !pt_query_bool(r, "follow", true, &follow, error))
    return false;
  bool ok = tree_open(r, &t, error) && get(r, &t, path, follow, error);
  tree_clear(&t);
  return ok;
}

/* ── PUT ── */

typedef struct {
  Tree tree;
  PtPathWrite write;
  PtGuestCall *call; /* in place of it, for a machine that runs */
  const char *path, *type;
  mode_t mode;
  uid_t uid; /* on the host */
  gid_t gid;
  bool parents;
} Put;

static void
put_free(void *data)
{
  Put *p = data;

  pt_path_write_abort(&p->write);
  pt_guest_call_free(p->call);
  tree_clear(&p->tree);
  g_free(p);
}

static bool
put_options(PtRequest *r, Put *p, GError **error)
{
  const char *mode = pt_query(r, "mode", NULL);
  guint64 bits = 0;
  gint64 uid = 0, gid = 0;

  p->type = pt_query(r, "type", "file");
  if (strcmp(p->type, "file") != 0 && strcmp(p->type, "directory") != 0 && strcmp(p->type, "symlink") != 0) {
    PT_SET(error, PT_ERR_INVALID, "type: file, directory or symlink is wanted");
    return false;
  }
  if (mode && !g_ascii_string_to_unsigned(mode, 8, 0, 07777, &bits, NULL)) {
    PT_SET(error, PT_ERR_INVALID, "mode: an octal number such as 0644 is wanted");
    return false;
  }
  p->mode = mode ? (mode_t)bits : strcmp(p->type, "directory") == 0 ? 0755 : 0644;
  if (!pt_query_int(r, "uid", 0, 0, IDS - 1, &uid, error) || !pt_query_int(r, "gid", 0, 0, IDS - 1, &gid, error))
    return false;
  p->uid = (uid_t)(p->tree.idbase + uid);
  p->gid = (gid_t)(p->tree.idbase + gid);
  return true;
}

/* Every directory above the path that is not there. */
static bool
make_parents(const Put *p, GError **error)
{
  for (const char *slash = strchr(p->path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    g_autofree char *part = g_strndup(p->path, (gsize)(slash - p->path));
    if (!pt_path_mkdir(p->tree.root, part, 0755, p->uid, p->gid, error))
      return false;
  }
  return true;
}

/* What we write into a guest's tmpfs is the node's memory and on no account of the guest's, nor do we see it go. So all that
 * is put there between two boots of an instance is counted, and bounded by half of the memory it has. */
static bool
memory_take(PtRequest *r, const PtInstance *spec, gint64 *ret_max, GError **error)
{
  gint64 limit = spec->memory ? spec->memory / 2 : r->api->host->memory / 8;
  gint64 wanted = r->body_size >= 0 ? r->body_size : MEMORY_UNSAID;
  g_autofree char *key = g_strdup_printf("%s %" G_GINT64_FORMAT, spec->id, spec->boot);

  g_mutex_lock(&r->api->memory_lock);
  gint64 *used = g_hash_table_lookup(r->api->memory_files, key);
  if (!used) {
    if (g_hash_table_size(r->api->memory_files) >= MEMORY_KNOWN)
      g_hash_table_remove_all(r->api->memory_files);
    used = g_new0(gint64, 1);
    g_hash_table_insert(r->api->memory_files, g_strdup(key), used);
  }
  bool ok = wanted <= limit - *used;
  if (ok)
    *used += wanted;
  g_mutex_unlock(&r->api->memory_lock);
  *ret_max = MAX(wanted, 1);
  if (!ok)
    PT_SET(error, PT_ERR_TOO_LARGE,
           "%s: is in memory (tmpfs), and too much was put there from outside since the instance started\n"
           "copy it to a directory on its disk, or write it by a program inside: portena exec %s -- …",
           pt_query(r, "path", "/"), spec->name);
  return ok;
}

static bool
in_memory(int fd)
{
  struct statfs s;

  return fstatfs(fd, &s) == 0 && s.f_type == TMPFS_MAGIC;
}

static int
text_file(void)
{
  return memfd_create("target", MFD_CLOEXEC);
}

static PtFilesPut
guest_put(const Put *p, const char *target)
{
  return (PtFilesPut){ .path = p->path, .target = target, .mode = p->mode, .uid = p->uid, .gid = p->gid, .parents = p->parents };
}

/* The file that the body is written to. */
static bool
open_upload(PtRequest *r, Put *p, GError **error)
{
  if (p->tree.calls) {
    const PtFilesPut put = guest_put(p, NULL);

    p->call = pt_files_guest_write(r, p->tree.spec, &put, error);
    r->upload_fd = p->call ? fcntl(p->call->in, F_DUPFD_CLOEXEC, 0) : -1;
    return p->call != NULL;
  }
  if (!pt_path_write_begin(&p->write, p->tree.root, p->path, p->uid, p->gid, error) ||
      (p->tree.idbase != 0 && in_memory(p->write.fd) && !memory_take(r, p->tree.spec, &r->upload_max, error)))
    return false;
  r->upload_fd = fcntl(p->write.fd, F_DUPFD_CLOEXEC, 0);
  if (p->tree.idbase != 0) /* running: the open directory is enough */
    tree_clear(&p->tree);
  return true;
}

bool
pt_files_upload(PtRequest *r, GError **error)
{
  Put *p = g_new0(Put, 1);

  p->write.fd = p->write.dir = p->tree.root = -1;
  r->upload_data = p;
  r->upload_free = put_free;
  p->path = path_of(r, error);
  if (!p->path || !tree_open(r, &p->tree, error) || !put_options(r, p, error) ||
      !pt_query_bool(r, "parents", false, &p->parents, error) || (p->parents && !p->tree.calls && !make_parents(p, error)))
    return false;
  bool file = strcmp(p->type, "file") == 0;
  r->upload_max = file ? p->tree.spec->disk : strcmp(p->type, "symlink") == 0 ? TARGET_MAX : 1;
  if (!file)
    r->upload_fd = text_file();
  else if (!open_upload(r, p, error))
    return false;
  if (r->upload_fd < 0)
    pt_error_errno(error, errno, "upload");
  return r->upload_fd >= 0;
}

static bool
put_symlink(PtRequest *r, const Put *p, GError **error)
{
  char target[TARGET_MAX + 1];
  ssize_t n = pread(r->upload_fd, target, TARGET_MAX, 0);

  if (n <= 0 || memchr(target, '\0', (gsize)n)) {
    PT_SET(error, PT_ERR_INVALID, "body: where the symbolic link leads is wanted");
    return false;
  }
  target[n] = '\0';
  const PtFilesPut put = guest_put(p, target);
  return p->tree.calls ? pt_files_guest_make(r, p->tree.spec, &put, error)
                       : pt_path_symlink(p->tree.root, p->path, target, p->uid, p->gid, error);
}

static bool
put_directory(PtRequest *r, const Put *p, GError **error)
{
  const PtFilesPut put = guest_put(p, NULL);

  return p->tree.calls ? pt_files_guest_make(r, p->tree.spec, &put, error)
                       : pt_path_mkdir(p->tree.root, p->path, p->mode, p->uid, p->gid, error);
}

bool
pt_files_put(PtRequest *r, GError **error)
{
  Put *p = r->upload_data;
  bool ok = false;

  if (p->call)
    ok = pt_files_guest_commit(p->call, error);
  else if (strcmp(p->type, "file") == 0)
    ok = pt_path_write_commit(&p->write, p->mode, error);
  else if (strcmp(p->type, "symlink") == 0)
    ok = put_symlink(r, p, error);
  else
    ok = put_directory(r, p, error);
  close(r->upload_fd); /* before the tree is let go: an open file would keep a stopped one's volume busy */
  r->upload_fd = -1;
  tree_clear(&p->tree);
  return ok && pt_reply_empty(r);
}

bool
pt_files_delete(PtRequest *r, GError **error)
{
  const char *path = path_of(r, error);
  Tree t = { .root = -1 };
  bool recursive = false;

  if (!path || !pt_query_bool(r, "recursive", false, &recursive, error) || !tree_open(r, &t, error))
    return false;
  if (t.calls) {
    bool done = pt_files_guest_delete(r, t.spec, path, recursive, error);
    tree_clear(&t);
    return done;
  }
  int at = pt_path_open(t.root, path, O_PATH | O_NOFOLLOW, 0, 0, error); /* removing what is not there is an error here */
  bool ok = at >= 0;
  if (ok)
    close(at);
  ok = ok && pt_path_remove(t.root, path, recursive, error);
  tree_clear(&t);
  return ok && pt_reply_empty(r);
}
