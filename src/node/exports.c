// SPDX-License-Identifier: Apache-2.0
/* Disks on their way out of the node. An export is an operation that leaves STATE/exports/<its id>.<format>, to be fetched and removed.
 * What nobody fetches goes after an hour, and at the daemon's start. One thread a running export. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "base/log.h"
#include "drivers/image/export.h"
#include "node/agent_impl.h"

#define KEEP (G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC)
#define FREEZE_WAIT (60 * G_USEC_PER_SEC)
#define AT_ONCE 8 /* that lie there */

typedef struct {
  PtAgent *agent;
  char *op, *format;
  char *digest;       /* of an image; or */
  char *space, *name; /* an instance */
} Job;

static void
job_free(Job *j)
{
  g_free(j->op);
  g_free(j->format);
  g_free(j->digest);
  g_free(j->space);
  g_free(j->name);
  g_free(j);
}

static char *
directory(PtAgent *a)
{
  return g_build_filename(a->host->state, "exports", NULL);
}

void
pt_exports_sweep(PtAgent *a, bool all)
{
  g_autofree char *dir = directory(a);
  g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
  const char *name;

  while (d && (name = g_dir_read_name(d))) {
    g_autofree char *path = g_build_filename(dir, name, NULL);
    GStatBuf st;
    if (g_lstat(path, &st) == 0 && (all || pt_now() - (gint64)st.st_mtime * G_USEC_PER_SEC > KEEP))
      unlink(path);
  }
}

static guint
waiting(PtAgent *a)
{
  g_autofree char *dir = directory(a);
  g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
  guint n = 0;

  while (d && g_dir_read_name(d))
    n++;
  return n;
}

char *
pt_agent_export_file(PtAgent *a, const char *op, const char **ret_format, GError **error)
{
  g_autofree char *dir = directory(a);

  for (const char *const *f = pt_export_formats; *f; f++) {
    g_autofree char *path = g_strdup_printf("%s/%s.%s", dir, op, *f);
    if (access(path, F_OK) != 0)
      continue;
    utimensat(AT_FDCWD, path, NULL, 0); /* it is being fetched: not now */
    *ret_format = *f;
    return g_steal_pointer(&path);
  }
  PT_SET(error, PT_ERR_NOT_FOUND, "there is no such export any more\nwhat is not fetched within an hour is removed; export it again");
  return NULL;
}

static void
on_progress(const char *step, gint64 permille, gint64 done, gint64 total, const char *unit, void *data)
{
  Job *j = data;

  pt_ops_progress(j->agent->ops, j->op, step, permille, done, total, unit);
}

static bool
export_image(Job *j, const char *to, GCancellable *cancel, GError **error)
{
  PtAgent *a = j->agent;
  g_autoptr(PtImage) image = pt_agent_image(a, j->digest, error);
  g_autofree char *disk = image ? pt_images_file(a->images, image->digest, error) : NULL;

  if (!disk)
    return false;
  PtExport e = { .disk = disk, .name = image->names && image->names[0] ? image->names[0] : "machine", .os = image->os, .cpu = image->cpu,
                 .memory = image->memory, .firmware = image->firmware };
  return pt_images_export(a->images, &e, j->format, to, on_progress, j, cancel, error);
}

/* The disk of a running machine, whose guest's agent has its file systems stand still for the moment that it takes. The unit's lock is
 * held. */
static char *
hold_running(PtAgent *a, const PtInstance *spec, GError **error)
{
  g_autoptr(PtGuestCall) call = pt_agent_call(a, spec, "do=freeze\n", error);
  g_autoptr(GError) err = NULL;

  if (!call || !pt_guest_call_answer(call, FREEZE_WAIT, NULL, error))
    return NULL;
  char *path = pt_pool_local.hold(a->pool, spec->volume, error);
  shutdown(call->in, SHUT_WR);
  if (!pt_guest_call_answer(call, FREEZE_WAIT, NULL, &err))
    pt_log_warn("node", "%s: after its disk was copied: %s", spec->name, err->message);
  return path;
}

/* The disk of a machine as it is at this moment: it may run, or start again, while it is converted. */
static char *
hold(Job *j, PtInstance **ret_spec, GError **error)
{
  PtAgent *a = j->agent;
  PtUnit *u = pt_unit_get(a, j->space, j->name, true);
  PtContainerState state;
  char *path = NULL;

  g_mutex_lock(&u->lock);
  g_autoptr(PtInstance) spec = pt_unit_load(a, u, NULL, error);
  if (spec && pt_unit_saved(a, spec))
    PT_SET(error, PT_ERR_CONFLICT, "%s: is hibernated, and its disk is whole with its memory alone\nportena resume %s", j->name, j->name);
  else if (spec && pt_container_state(a->containers, spec->id, &state, NULL) && state.running)
    path = hold_running(a, spec, error);
  else if (spec && pt_unit_volume_make(a, spec, error)) /* one that was never started has none yet */
    path = pt_pool_local.hold(a->pool, spec->volume, error);
  g_mutex_unlock(&u->lock);
  pt_unit_unref(u);
  if (path)
    *ret_spec = g_steal_pointer(&spec);
  return path;
}

static bool
export_instance(Job *j, const char *to, GCancellable *cancel, GError **error)
{
  g_autoptr(PtInstance) spec = NULL;
  g_autofree char *disk = hold(j, &spec, error);

  if (!disk)
    return false;
  g_autoptr(PtImage) image = pt_agent_image(j->agent, spec->image, NULL);
  PtExport e = { .disk = disk, .name = spec->name, .os = image ? image->os : NULL, .cpu = spec->cpu, .memory = spec->memory,
                 .firmware = spec->firmware };
  bool ok = pt_images_export(j->agent->images, &e, j->format, to, on_progress, j, cancel, error);
  unlink(disk);
  return ok;
}

static gpointer
job_run(gpointer data)
{
  Job *j = data;
  PtAgent *a = j->agent;
  g_autoptr(GError) err = NULL;
  g_autoptr(GCancellable) cancel = pt_ops_cancellable(a->ops, j->op);
  g_autofree char *dir = directory(a), *to = g_strdup_printf("%s/%s.%s", dir, j->op, j->format),
                  *result = g_strconcat("exports/", j->op, NULL);

  pt_exports_sweep(a, false);
  bool ok = pt_dir_make(dir, 0700, &err);
  if (ok && waiting(a) >= AT_ONCE) {
    PT_SET(&err, PT_ERR_CONFLICT, "%d exports are waiting to be fetched", AT_ONCE);
    pt_error_hint(&err, "fetch them, or try again in an hour, when they are removed");
    ok = false;
  }
  ok = ok && (j->digest ? export_image(j, to, cancel, &err) : export_instance(j, to, cancel, &err));
  pt_ops_end(a->ops, j->op, ok ? result : NULL, err);
  pt_agent_job_end(a, j->op);
  job_free(j);
  return NULL;
}

void
pt_agent_export(PtAgent *a, const char *op, const char *format, const char *digest, const char *space, const char *name)
{
  Job *j = g_new0(Job, 1);

  j->agent = a;
  j->op = g_strdup(op);
  j->format = g_strdup(format);
  j->digest = g_strdup(digest);
  j->space = g_strdup(space);
  j->name = g_strdup(name);
  pt_agent_job_start(a, op, "export", job_run, j);
}
