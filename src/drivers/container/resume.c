// SPDX-License-Identifier: Apache-2.0
/* A container that goes on from what was saved of it. The start is that of any other (start.c) up to the monitor, which lets CRIU make
 * the first process instead of the runtime: so all that the runtime would have written, or have done to the namespaces from outside,
 * is done here. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/error.h"
#include "drivers/container/checkpoint.h"
#include "drivers/network/netlink.h"
#include "drivers/network/netns.h"
#include "sys/process.h"

#define PLAN_MAX (16 << 20)
#define TTY_GROUP 5 /* as devpts is mounted for every guest */

void
pt_ct_resume_clear(PtResume *r)
{
  g_clear_pointer(&r->words, g_free);
  g_clear_pointer(&r->name, g_free);
  if (r->pty > 0)
    close(r->pty);
  if (r->tty > 0)
    close(r->tty);
  r->pty = r->tty = 0;
}

static bool
damaged(const char *what, const PtInstance *spec, GError **error)
{
  PT_SET(error, PT_ERR_CONFLICT, "what was saved of it is damaged: %s", what);
  pt_error_hint(error, "its disk is whole; give up what it held in memory:  portena stop %s && portena start %s", spec->name, spec->name);
  return false;
}

static bool
files_whole(int dir, const char *path, const json_t *sums, const PtInstance *spec, GError **error)
{
  g_autoptr(GDir) files = g_dir_open(path, 0, error);
  const char *name, *key;
  json_t *value;

  while (files && (name = g_dir_read_name(files))) {
    if (strcmp(name, "plan") != 0 && !json_object_get(sums, name))
      return damaged(name, spec, error);
  }
  json_object_foreach((json_t *)sums, key, value)
  {
    g_autofree char *sum = pt_ct_saved_sum(dir, key, false, NULL);
    if (!sum || g_strcmp0(sum, json_string_value(value)) != 0)
      return damaged(key, spec, error);
  }
  return files != NULL;
}

bool
pt_ct_resume_check(const PtContainers *c, const PtContainerStart *start, PtResume *ret, GError **error)
{
  const PtInstance *spec = start->spec;
  g_autofree char *path = pt_ct_saved_path(c, spec->id, PT_CK_WHOLE), *plan = g_build_filename(path, "plan", NULL), *text = NULL;
  gsize size = 0;
  g_autoptr(json_t) json =
    g_file_get_contents(plan, &text, &size, NULL) && size < PLAN_MAX ? pt_json_parse_object(text, size, NULL) : NULL;
  const json_t *sums = json ? json_object_get(json, "files") : NULL;

  if (!json_is_object(sums))
    return damaged("plan", spec, error);
  int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool ok = dir >= 0 && files_whole(dir, path, sums, spec, error);
  if (dir < 0)
    pt_error_errno(error, errno, "%s", path);
  else
    close(dir);
  if (!ok)
    return false;
  ret->name = g_strdup(pt_json_str(json, "tty", ""));
  ret->systemd = pt_json_bool(json, "systemd", false);
  ret->ready = pt_json_bool(json, "ready", false);
  if (pt_json_int(json, "idbase", 0) == start->idbase && strcmp(pt_json_str(json, "cgroup", ""), c->host->cgroup) == 0)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "it was saved under other ids, or with portenad under another --cgroup");
  pt_error_hint(error, "set that back, or give up what it held in memory:  portena stop %s && portena start %s", spec->name, spec->name);
  return false;
}

/* ---- the console ---- */

static char *
make_console(PtResume *r, gint64 idbase, GError **error)
{
  int unlock = 0, number = 0;

  r->pty = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (r->pty >= 0 && ioctl(r->pty, TIOCSPTLCK, &unlock) == 0 && ioctl(r->pty, TIOCGPTN, &number) == 0)
    r->tty = ioctl(r->pty, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (r->tty > 0 && fchown(r->tty, (uid_t)idbase, (gid_t)idbase + TTY_GROUP) == 0 && fchmod(r->tty, 0620) == 0)
    return g_strdup_printf("/dev/pts/%d", number);
  pt_error_errno(error, errno, "a console");
  return NULL;
}

static void
add_outside(const char *path, const char *name, const char *source, void *data)
{
  (void)path;
  g_string_append_printf(data, "--external\nmnt[%s]:%s\n", name, source);
}

static bool
make_words(const PtContainers *c, const char *id, PtResume *r, const char *console, GError **error)
{
  g_autofree char *images = pt_ct_saved_path(c, id, PT_CK_WHOLE), *root = pt_ct_root(c, id), *work = pt_ct_dir(c, id, NULL);
  g_autofree char *notify = pt_ct_dir(c, id, "notify.sock"), *helper = pt_jail_helper(c, "portena-criu"), *criu = pt_container_criu(error);
  const char *const words[] = { helper, work, root, "--", criu, "restore", "--restore-detached", "--images-dir", images, "--work-dir", work,
                                "--root", root, "--manage-cgroups=soft", "--file-locks", "--tcp-established", "--ext-unix-sk",
                                "--link-remap", "--empty-ns", "net", "--network-lock", "skip", "-v1", "--action-script", c->monitor };
  g_autoptr(GString) all = g_string_new(NULL);

  if (!criu)
    return false;
  for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
    if (strchr(words[i], '\n')) {
      PT_SET(error, PT_ERR_UNSUPPORTED, "%s: there is a line break in this path", words[i]);
      return false;
    }
    g_string_append_printf(all, "%s\n", words[i]);
  }
  g_string_append_printf(all, "--inherit-fd\nfd[3]:%s\n", r->name);
  pt_ct_outside(add_outside, all, console, notify);
  r->words = g_strdup(all->str);
  return true;
}

/* ---- files ---- */

static bool
copy_to(const PtContainers *c, const char *id, const char *from, const char *to, GError **error)
{
  g_autofree char *dir = pt_ct_saved_path(c, id, PT_CK_WHOLE), *path = g_build_filename(dir, from, NULL), *text = NULL;
  gsize size;

  return g_file_get_contents(path, &text, &size, error) && g_file_set_contents_full(to, text, (gssize)size, 0, 0600, error);
}

bool
pt_ct_resume_prepare(const PtContainers *c, const PtContainerStart *start, PtResume *r, GError **error)
{
  const char *id = start->spec->id;
  g_autofree char *config = pt_ct_dir(c, id, "bundle/config.json"), *restore = pt_ct_dir(c, id, "restore");
  g_autofree char *ready = pt_ct_dir(c, id, "ready");
  g_autofree char *console = make_console(r, start->idbase, error);

  return console && make_words(c, id, r, console, error) && copy_to(c, id, PT_CK_CONFIG, config, error) &&
         (!r->ready || g_file_set_contents(ready, "", 0, error)) && g_file_set_contents(restore, r->words, -1, error);
}

/* The runtime's record of it, by which `crun exec` and the like find it: as it was, but for the process. */
static bool
tell_runtime(const PtContainers *c, const char *id, pid_t pid, GError **error)
{
  g_autofree char *dir = g_build_filename(c->crun_root, id, NULL), *status = g_build_filename(dir, "status", NULL);
  g_autofree char *config = g_build_filename(dir, "config.json", NULL), *saved = pt_ct_saved_path(c, id, PT_CK_WHOLE "/" PT_CK_STATUS);
  g_autofree char *filter = g_build_filename(dir, "seccomp.bpf", NULL), *kept = pt_ct_saved_path(c, id, PT_CK_WHOLE "/" PT_CK_FILTER);
  g_autofree char *text = NULL;
  gsize size;

  if (!pt_dir_make(dir, 0700, error) || (access(kept, F_OK) == 0 && !copy_to(c, id, PT_CK_FILTER, filter, error)) ||
      !g_file_get_contents(saved, &text, &size, error))
    return false;
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  if (!json)
    return false;
  json_object_set_new(json, "pid", json_integer(pid));
  json_object_set_new(json, "process-start-time", json_integer((json_int_t)pt_proc_starttime(pid)));
  g_autofree char *now = pt_json_dump(json);
  return copy_to(c, id, PT_CK_CONFIG, config, error) &&
         g_file_set_contents_full(status, now, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
}

/* Of the network only what concerns the namespace itself is described there. */
static bool
set_network(const PtContainers *c, const char *id, pid_t pid, GError **error)
{
  g_autofree char *path = pt_ct_dir(c, id, "bundle/config.json"), *text = NULL;
  gsize size;
  const char *key;
  json_t *value;

  if (!g_file_get_contents(path, &text, &size, error))
    return false;
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  int ns = json ? pt_netns_of(pid, error) : -1;
  if (ns < 0)
    return false;
  g_autoptr(PtNl) nl = pt_nl_open(ns, error);
  bool ok = nl && pt_nl_link_up(nl, "lo", error);
  json_object_foreach(json_object_get(json_object_get(json, "linux"), "sysctl"), key, value)
  {
    if (!ok || !g_str_has_prefix(key, "net."))
      continue;
    g_autofree char *file = g_strdelimit(g_strdup(key + strlen("net.")), ".", '/');
    ok = pt_netns_sysctl(ns, file, json_string_value(value), error);
  }
  close(ns);
  return ok;
}

bool
pt_ct_resume_made(const PtContainers *c, const PtContainerStart *start, pid_t pid, GError **error)
{
  return tell_runtime(c, start->spec->id, pid, error) && set_network(c, start->spec->id, pid, error);
}
