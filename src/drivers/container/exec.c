// SPDX-License-Identifier: Apache-2.0
/* Streams. The client gets one end of a socket pair, the monitor the other, and all else happens between them: this daemon
 * is not in the way and need not live. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/wireio.h"
#include "drivers/container/internal.h"
#include "sys/cgroup.h"
#include "sys/guest.h"
#include "sys/path.h"

#define HISTORY_BYTES (128 * 1024)
#define LOGS_MAX (1u << 20)
#define CONNECT_SECONDS 2

/* A listener that accepts nothing lets a connection wait for ever once its queue is full: not for longer than this. */
int
pt_ct_connect(const char *path, int type)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  const struct timeval wait = { .tv_sec = CONNECT_SECONDS }, none = { 0 };

  if (g_strlcpy(addr.sun_path, path, sizeof addr.sun_path) >= sizeof addr.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0 ||
                  connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
                  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none) < 0)) {
    int err = errno;

    close(fd);
    errno = err;
    return -1;
  }
  return fd;
}

/* Asks the monitor for a stream; the client's end of it. `extra` is one more descriptor, or -1. */
static int
ask(PtContainers *c, const char *id, guint32 type, guint32 a, guint32 b, int extra, GError **error)
{
  g_autofree char *path = pt_ct_dir(c, id, "ctl.sock");
  int pair[2], result = -1;
  int ctl = pt_ct_connect(path, SOCK_SEQPACKET);

  if (ctl < 0) {
    PT_SET(error, PT_ERR_UNREACHABLE, "instance %s: its monitor does not answer: %s", id, g_strerror(errno));
    pt_error_hint(error, "restart the instance");
    return -1;
  }
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
    pt_error_errno(error, errno, "instance %s", id);
  } else {
    const int fds[] = { pair[1], extra };

    if (pt_wire_send(ctl, type, a, b, NULL, fds, extra >= 0 ? 2 : 1, error))
      result = pair[0];
    else
      close(pair[0]);
    close(pair[1]);
  }
  close(ctl);
  return result;
}

int
pt_container_console(PtContainers *c, const char *id, bool history, GError **error)
{
  pid_t pid;
  int init = pt_ct_init(c, id, &pid, error);

  if (init < 0)
    return -1;
  close(init);
  return ask(c, id, PT_WIRE_CONSOLE, history ? HISTORY_BYTES : 0, 0, -1, error);
}

/* A sealed anonymous file: environments may hold secrets, and those do not belong in an argv or on a disk. */
static int
memory_file(const char *text, GError **error)
{
  int fd = memfd_create("process", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  gsize size = strlen(text);

  if (fd >= 0 && write(fd, text, size) == (gssize)size && lseek(fd, 0, SEEK_SET) == 0 &&
      fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
    return fd;
  pt_error_errno(error, errno, "process description");
  if (fd >= 0)
    close(fd);
  return -1;
}

static bool
is_dir(int root, const char *path)
{
  int fd = pt_path_open(root, path, O_PATH | O_DIRECTORY, 0, 0, NULL);

  if (fd >= 0)
    close(fd);
  return fd >= 0;
}

/* Of the command, in the guest's words; NULL and an error. */
static char *
exec_description(const PtInstance *spec, const PtImage *image, const PtExec *exec, int root, GError **error)
{
  const char *who = exec->user ? exec->user : !exec->command && image->login ? image->login : NULL;
  g_auto(PtGuestUser) user = { 0 };
  GHashTableIter it;
  gpointer key, value;

  if (!pt_guest_user(root, who, &user, error))
    return NULL;
  g_autoptr(GHashTable) env = pt_config_env(spec, image, &user);
  if (exec->env) {
    g_hash_table_iter_init(&it, exec->env);
    while (g_hash_table_iter_next(&it, &key, &value))
      g_hash_table_insert(env, g_strdup(key), g_strdup(value));
  }
  char *const shell[] = { user.shell, (char *)"-l", NULL };
  const char *cwd = exec->cwd ? exec->cwd : is_dir(root, user.home) ? user.home : "/";
  g_autoptr(json_t) json =
    pt_config_exec(spec, &user, exec->command ? exec->command : shell, env, cwd, exec->tty, exec->cols, exec->rows);
  if (!json) {
    PT_SET(error, PT_ERR_INVALID, "instance %s: the command, a variable or the directory is not UTF-8", spec->name);
    return NULL;
  }
  return pt_json_dump(json);
}

int
pt_ct_exec(PtContainers *c, const PtInstance *spec, const char *text, const PtExec *exec, GError **error)
{
  if (pt_cgroup_frozen(c->host, spec->id)) {
    PT_SET(error, PT_ERR_CONFLICT, "instance %s: is paused", spec->name);
    pt_error_hint(error, "resume it first: portena resume %s", spec->name);
    return -1;
  }
  int process = memory_file(text, error);
  if (process < 0)
    return -1;
  int fd = ask(c, spec->id, PT_WIRE_EXEC, exec->tty ? PT_WIRE_TTY : 0, MIN(exec->cols, 9999) << 16 | MIN(exec->rows, 9999), process, error);
  close(process);
  return fd;
}

int
pt_container_exec(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, const PtExec *exec, GError **error)
{
  int root = pt_container_root(c, id, error);

  if (root < 0)
    return -1;
  g_autofree char *text = exec_description(spec, image, exec, root, error);
  pt_guest_root_close(root);
  return text ? pt_ct_exec(c, spec, text, exec, error) : -1;
}

char *
pt_container_logs(PtContainers *c, const char *id, gsize bytes, gsize *ret_size, GError **error)
{
  g_autofree char *log = pt_ct_log(c, id), *old = g_strconcat(log, ".1", NULL);
  const char *const files[] = { log, old };
  g_autofree char *text[2] = { NULL };
  gsize size[2] = { 0 };

  bytes = MIN(bytes, LOGS_MAX);
  for (guint i = 0; i < 2; i++) { /* each bounded by its writer */
    g_autoptr(GError) local = NULL;

    if (!g_file_get_contents(files[i], &text[i], &size[i], &local) && !g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
      PT_SET(error, PT_ERR_INTERNAL, "%s", local->message);
      return NULL;
    }
  }
  gsize recent = MIN(size[0], bytes), before = MIN(size[1], bytes - recent);
  char *all = g_malloc(recent + before + 1);
  if (before)
    memcpy(all, text[1] + size[1] - before, before);
  if (recent)
    memcpy(all + before, text[0] + size[0] - recent, recent);
  all[before + recent] = '\0';
  *ret_size = before + recent;
  g_free(text[1]);
  return all;
}

int
pt_container_log_open(PtContainers *c, const char *id, GError **error)
{
  g_autofree char *log = pt_ct_log(c, id);
  int fd = open(log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    pt_error_errno(error, errno, "instance %s: console history", id);
  return fd;
}

int
pt_container_desktop(PtContainers *c, const char *id, const char *path, GError **error)
{
  char self[64];
  struct stat st;
  int root = pt_container_root(c, id, error);

  if (root < 0)
    return -1;
  /* The socket itself is held before it is looked at and connected to: the name can be changed by the guest at any time. */
  int at = pt_path_open(root, path, O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS, error);
  pt_guest_root_close(root);
  if (at < 0)
    return -1;
  if (fstat(at, &st) < 0 || !S_ISSOCK(st.st_mode)) {
    PT_SET(error, PT_ERR_INVALID, "instance %s: its desktop's socket is something else", id);
    close(at);
    return -1;
  }
  g_snprintf(self, sizeof self, "/proc/self/fd/%d", at);
  int fd = pt_ct_connect(self, SOCK_STREAM);
  int err = errno;
  close(at);
  if (fd < 0)
    PT_SET(error, PT_ERR_NOT_FOUND, "instance %s: its desktop does not listen yet: %s", id, g_strerror(err));
  return fd;
}
