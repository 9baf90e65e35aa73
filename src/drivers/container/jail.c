// SPDX-License-Identifier: Apache-2.0
/* What jails of other kinds than a container have in common beside their start: programs of ours in them, and their sockets. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "drivers/container/internal.h"
#include "sys/path.h"

char *
pt_jail_uuid(const char *id)
{
  return pt_ct_uuid(id);
}

char *
pt_jail_path(const PtContainers *c, const char *id, const char *below)
{
  return g_build_filename(c->host->run, "mnt", "root", id, below, NULL);
}

char *
pt_jail_helper(const PtContainers *c, const char *name)
{
  return g_build_filename(c->host->libexec, name, NULL);
}

static json_t *
strings(const char *const *list)
{
  json_t *a = json_array();

  for (; list && *list; list++)
    json_array_append_new(a, json_string(*list));
  return a;
}

json_t *
pt_jail_process(const char *const *args, const char *const *env, bool tty)
{
  static const char *const always[] = { "PATH=/usr/sbin:/usr/bin", "HOME=/", "LANG=C.UTF-8", "TERM=xterm-256color", NULL };
  json_t *all = strings(env ? env : always);

  return json_pack("{s:b, s:{s:i, s:i}, s:o, s:o, s:s, s:b, s:{s:[], s:[], s:[], s:[], s:[]}}", "terminal", tty, "user", "uid", 0, "gid",
                   0, "args", strings(args), "env", all, "cwd", "/", "noNewPrivileges", 1, "capabilities", "bounding", "effective",
                   "permitted", "inheritable", "ambient");
}

int
pt_jail_exec(PtContainers *c, const PtInstance *spec, const char *const *args, const char *const *env, const PtExec *exec, GError **error)
{
  g_autoptr(json_t) json = pt_jail_process(args, env, exec->tty);

  if (json && exec->tty && exec->cols && exec->rows)
    json_object_set_new(json, "consoleSize", json_pack("{s:i, s:i}", "width", (int)exec->cols, "height", (int)exec->rows));
  if (!json) {
    PT_SET(error, PT_ERR_INVALID, "instance %s: the command, a variable or the directory is not UTF-8", spec->name);
    return -1;
  }
  g_autofree char *text = pt_json_dump(json);
  return pt_ct_exec(c, spec, text, exec, error);
}

int
pt_jail_connect(PtContainers *c, const char *id, const char *below, GError **error)
{
  g_autofree char *tree = pt_ct_root(c, id);
  char self[64];
  struct stat st;
  int root = open(tree, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (root < 0) {
    pt_error_errno(error, errno, "instance %s: its jail", id);
    return -1;
  }
  /* Held before it is looked at and connected to: the jail can change the name at any time. */
  int at = pt_path_open(root, below, O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV, error);
  close(root);
  if (at < 0)
    return -1;
  if (fstat(at, &st) < 0 || !S_ISSOCK(st.st_mode)) {
    PT_SET(error, PT_ERR_INVALID, "instance %s: %s is no socket", id, below);
    close(at);
    return -1;
  }
  g_snprintf(self, sizeof self, "/proc/self/fd/%d", at);
  int fd = pt_ct_connect(self, SOCK_STREAM);
  int err = errno;
  close(at);
  if (fd < 0)
    PT_SET(error, PT_ERR_NOT_FOUND, "instance %s: nobody listens at %s: %s", id, below, g_strerror(err));
  return fd;
}
