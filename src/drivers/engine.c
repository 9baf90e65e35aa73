// SPDX-License-Identifier: Apache-2.0
#include "drivers/engine.h"

#include <string.h>

#include "base/error.h"
#include "drivers/process/process.h"

void
pt_engine_tap(const char *card, char ret[8])
{
  g_snprintf(ret, 8, "tap%.2s", card + strlen("eth"));
}

static int
container_desktop(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error)
{
  (void)spec;
  return pt_container_desktop(c, id, image->desktop_socket, error);
}

static GPtrArray *
container_processes(PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  (void)spec;
  return pt_container_processes(c, id, error);
}

const PtEngine pt_engine_container = {
  .start = pt_container_start,
  .stop = pt_container_stop,
  .limits = pt_container_limits,
  .attach = pt_container_attach,
  .detach = pt_container_detach,
  .exec = pt_container_exec,
  .desktop = container_desktop,
  .processes = container_processes,
  .root = pt_container_root,
  .hibernate = pt_container_hibernate,
  .wake = pt_container_wake,
  .saved = pt_container_saved,
  .forget = pt_container_forget,
};

static const PtEngine process_engine = {
  .start = pt_proc_start,
  .stop = pt_container_stop,
  .limits = pt_container_limits,
  .attach = pt_container_attach,
  .detach = pt_container_detach,
  .exec = pt_proc_exec,
  .desktop = container_desktop, /* no program has one, and so none is asked for it */
  .processes = container_processes,
  .root = pt_container_root,
  .hibernate = pt_container_hibernate,
  .wake = pt_container_wake,
};

const PtEngine *
pt_engine_of(const PtInstance *spec, GError **error)
{
  static const PtEngine *const engines[PT_N_KINDS] = {
    [PT_KIND_CONTAINER] = &pt_engine_container,
    [PT_KIND_MACHINE] = &pt_engine_machine,
    [PT_KIND_PROCESS] = &process_engine,
  };
  const PtEngine *engine = spec->kind >= 0 && spec->kind < PT_N_KINDS ? engines[spec->kind] : NULL;

  if (!engine) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "kind: this node runs no instance of kind %s", pt_kind_names[spec->kind]);
    pt_error_hint(error, "use another kind: portena set %s kind=container", spec->name ? spec->name : "NAME");
  }
  return engine;
}
