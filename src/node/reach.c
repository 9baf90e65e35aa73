// SPDX-License-Identifier: Apache-2.0
/* What only the node that runs an instance can do for a request: streams, logs, processes, files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/machine/machine.h"
#include "node/agent_impl.h"
#include "sys/arch.h"
#include "sys/guest.h"
#include "sys/mounts.h"

/* NOT_FOUND of the engine is, for a person, "it does not run". */
static void
not_running(const PtInstance *spec, GError **error)
{
  if (!error || !g_error_matches(*error, PT_ERROR, PT_ERR_NOT_FOUND))
    return;
  g_clear_error(error);
  PT_SET(error, PT_ERR_CONFLICT, "%s: is not running\nstart it first:  portena start %s", spec->name, spec->name);
}

static void
hibernated(const PtInstance *spec, GError **error)
{
  PT_SET(error, PT_ERR_CONFLICT, "%s: is hibernated\nwake it first:  portena resume %s", spec->name, spec->name);
}

static bool
runs(PtAgent *a, const PtInstance *spec, GError **error)
{
  PtContainerState state;
  bool found = pt_container_state(a->containers, spec->id, &state, error);

  if (found && state.running && !state.paused)
    return true;
  if ((found && state.asleep) || pt_unit_saved(a, spec)) {
    g_clear_error(error);
    hibernated(spec, error);
    return false;
  }
  if (found && state.running) {
    PT_SET(error, PT_ERR_CONFLICT, "%s: is paused\nlet it go on first:  portena resume %s", spec->name, spec->name);
    return false;
  }
  if (found)
    PT_SET(error, PT_ERR_NOT_FOUND, "%s", spec->name);
  not_running(spec, error);
  return false;
}

/* The image's architecture, where it is not the node's: a container's programs are emulated one by one, a machine as a whole. */
static bool
runs_arch(const PtInstance *spec, GError **error)
{
  const PtArch *arch = pt_arch_find(spec->arch);
  g_autofree char *rule = NULL;

  if (!spec->arch || strcmp(spec->arch, pt_arch_host()->name) == 0)
    return true;
  if (spec->kind == PT_KIND_CONTAINER)
    return pt_foreign_rule(spec->arch, &rule, error);
  if (spec->kind == PT_KIND_MACHINE && arch && arch->machines && spec->model == PT_MODEL_MICRO)
    return true;
  if (spec->kind == PT_KIND_PROCESS && pt_arch_native(arch))
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "this node, which is %s, cannot run one of %s like that", pt_arch_host()->name, spec->arch);
  pt_error_hint(error, "run it as a container%s: --kind container", arch && arch->machines ? ", or as a machine of model micro" : "");
  return false;
}

bool
pt_agent_runs_kind(const PtInstance *spec, GError **error)
{
  return pt_engine_of(spec, error) != NULL && runs_arch(spec, error);
}

int
pt_agent_exec(PtAgent *a, const PtInstance *spec, const PtExec *exec, GError **error)
{
  g_autoptr(PtImage) image = NULL;

  const PtEngine *engine = pt_engine_of(spec, error);

  if (!engine || !runs(a, spec, error) || !(image = pt_agent_image(a, spec->image, error)))
    return -1;
  return engine->exec(a->containers, spec->id, spec, image, exec, error);
}

int
pt_agent_console(PtAgent *a, const PtInstance *spec, bool history, GError **error)
{
  return runs(a, spec, error) ? pt_container_console(a->containers, spec->id, history, error) : -1;
}

int
pt_agent_desktop(PtAgent *a, const PtInstance *spec, GError **error)
{
  g_autoptr(PtImage) image = NULL;

  const PtEngine *engine = pt_engine_of(spec, error);

  if (!engine || !runs(a, spec, error) || !(image = pt_agent_image(a, spec->image, error)))
    return -1;
  bool screen = spec->kind == PT_KIND_MACHINE && spec->model == PT_MODEL_PC;
  if (!screen && (!image->desktop || !image->desktop_socket)) {
    PT_SET(error, PT_ERR_CONFLICT, "%s: its image %s has no desktop\nuse its terminal:  portena shell %s", spec->name,
           spec->image_name ? spec->image_name : spec->image, spec->name);
    return -1;
  }
  GError *err = NULL;
  int fd = engine->desktop(a->containers, spec->id, spec, image, &err);
  if (fd < 0 && g_error_matches(err, PT_ERROR, PT_ERR_NOT_FOUND)) {
    g_clear_error(&err);
    PT_SET(error, PT_ERR_NOT_FOUND,
           "%s: its desktop is not there yet\ntry again in a moment; if it does not come, look at:  portena shell %s",
           spec->name, spec->name);
  } else if (fd < 0) {
    g_propagate_prefixed_error(error, err, "%s: ", spec->name);
  }
  return fd;
}

char *
pt_agent_logs(PtAgent *a, const PtInstance *spec, gsize bytes, gsize *ret_size, GError **error)
{
  return pt_container_logs(a->containers, spec->id, bytes, ret_size, error);
}

int
pt_agent_log_open(PtAgent *a, const PtInstance *spec, GError **error)
{
  return pt_container_log_open(a->containers, spec->id, error);
}

GPtrArray *
pt_agent_processes(PtAgent *a, const PtInstance *spec, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);

  return engine && runs(a, spec, error) ? engine->processes(a->containers, spec->id, spec, error) : NULL;
}

static char *
files_mount(PtAgent *a, const PtInstance *spec)
{
  return g_build_filename(a->host->run, "mnt", "files", spec->id, NULL);
}

/* The overlay with ids as they are on disk. A volume that was never started has no upper directory yet. */
static bool
mount_files(const char *lower, const char *volume, const char *where, GError **error)
{
  g_autofree char *upper = g_build_filename(volume, "upper", NULL), *work = g_build_filename(volume, "work", NULL);
  PtOverlay o = { .lower = lower, .upper = upper, .work = work, .target = where, .base = 0 };

  if ((mkdir(upper, 0755) < 0 && errno != EEXIST) || (mkdir(work, 0755) < 0 && errno != EEXIST)) {
    pt_error_errno(error, errno, "%s", volume);
    return false;
  }
  return pt_mount_overlay(&o, error);
}

/* Mounts image and volume of a stopped instance for file work. The unit's lock is held. */
static int
open_stopped(PtAgent *a, PtUnit *u, const PtInstance *spec, GError **error)
{
  g_autofree char *lower = NULL, *volume = NULL, *where = files_mount(a, spec);

  if (u->file_users == 0) {
    if (!pt_unit_attach(a, u, spec, &lower, &volume, error))
      return -1;
    if (!mount_files(lower, volume, where, error)) {
      pt_unit_detach(a, u, spec);
      return -1;
    }
  }
  int fd = open(where, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    pt_error_errno(error, errno, "%s: its files", spec->name);
    return -1;
  }
  g_atomic_int_inc(&u->file_users);
  u->file_thread = g_thread_self();
  return fd;
}

int
pt_agent_root(PtAgent *a, const PtInstance *spec, gint64 *ret_idbase, GError **error)
{
  PtUnit *u = pt_unit_get(a, spec->space, spec->name, true);
  PtContainerState state = { 0 };
  int fd = -1;
  const PtEngine *engine = pt_engine_of(spec, error);

  if (!engine) {
    pt_unit_unref(u);
    return -1;
  }
  g_mutex_lock(&u->lock);
  if (pt_container_state(a->containers, spec->id, &state, NULL) && state.running && !engine->root) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: the files of a running %s are not reached from outside", spec->name, pt_kind_names[spec->kind]);
    pt_error_hint(error, "stop it first:  portena stop %s", spec->name);
    g_mutex_unlock(&u->lock);
  } else if (state.running) {
    fd = engine->root(a->containers, spec->id, error);
    *ret_idbase = u->status ? u->status->idbase : 0;
    g_mutex_unlock(&u->lock);
  } else if (pt_unit_saved(a, spec)) { /* its memory knows the disk as it is */
    hibernated(spec, error);
    g_mutex_unlock(&u->lock);
  } else {
    *ret_idbase = 0;
    fd = open_stopped(a, u, spec, error);
    if (fd < 0)
      g_mutex_unlock(&u->lock); /* else kept: no start while its files are open from outside */
  }
  pt_unit_unref(u);
  return fd;
}

void
pt_agent_root_done(PtAgent *a, const PtInstance *spec, int fd)
{
  PtUnit *u = pt_unit_get(a, spec->space, spec->name, true);

  pt_guest_root_close(fd);
  if (u->file_users > 0 && u->file_thread == g_thread_self()) { /* ours, so the lock is held by us */
    g_autofree char *where = files_mount(a, spec);
    g_atomic_int_set(&u->file_users, 0);
    u->file_thread = NULL;
    pt_umount(where, NULL);
    rmdir(where);
    pt_unit_detach(a, u, spec);
    g_mutex_unlock(&u->lock);
  }
  pt_unit_unref(u);
}

bool
pt_agent_calls(PtAgent *a, const PtInstance *spec)
{
  const PtEngine *engine = pt_engine_of(spec, NULL);
  PtContainerState state = { 0 };

  return engine && engine->call && pt_container_state(a->containers, spec->id, &state, NULL) && state.running;
}

PtGuestCall *
pt_agent_call(PtAgent *a, const PtInstance *spec, const char *lines, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);

  return engine && runs(a, spec, error) ? engine->call(a->containers, spec, lines, error) : NULL;
}

bool
pt_unit_answers(PtAgent *a, const PtInstance *spec)
{
  return spec->kind == PT_KIND_MACHINE && spec->model == PT_MODEL_PC && pt_machine_agent_up(a->containers, spec->id);
}
