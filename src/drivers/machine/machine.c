// SPDX-License-Identifier: Apache-2.0
/* Machines: QEMU in a jail of the container driver's making, with portena-vmm as its first process (jail.c, args.c, helpers/vmm.c).
 * Where the guest has our agent, what is asked of it goes through portena-guestctl, which runs in the jail too. */
#include "drivers/machine/machine.h"

#include "drivers/machine/agent.h"
#include "drivers/machine/internal.h"

#define JAIL_BYTES ((gint64)72 << 20) /* the initrd and the sockets; what is not used costs nothing */

static bool
machine_start(PtContainers *c, const PtContainerStart *start, GError **error)
{
  PtInstance limits = pt_machine_limits(start->spec);
  PtContainerStart s = *start;

  s.describe = pt_machine_describe;
  s.bare = true;
  s.bare_size = JAIL_BYTES;
  s.bare_devices = true;
  s.limits = &limits;
  if (!pt_container_start(c, &s, error))
    return false;
  if (!start->resume || pt_machine_wake(c, start->spec->id, start->spec, start->image, error))
    return true;
  pt_container_stop(c, start->spec->id, NULL, NULL, 0, NULL, NULL);
  return false;
}

/* Our own first process takes SIGTERM, whatever the image's would. */
static bool
machine_stop(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, gint64 deadline, const PtPatience *patience,
             GError **error)
{
  (void)image;
  return pt_container_stop(c, id, spec, NULL, deadline, patience, error);
}

static bool
machine_limits(PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  PtInstance limits = pt_machine_limits(spec);

  return pt_container_limits(c, id, &limits, error);
}

PtQmp *
pt_machine_qmp(PtContainers *c, const char *id, gint64 timeout, GError **error)
{
  int fd = pt_jail_connect(c, id, "vm/qmp", error);

  return fd < 0 ? NULL : pt_qmp_open(fd, timeout, error);
}

static int
machine_desktop(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error)
{
  return spec->model == PT_MODEL_PC ? pt_jail_connect(c, id, "vm/vnc", error) : pt_machine_connect(c, id, image->desktop_socket, error);
}

static GPtrArray *
machine_processes(PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  (void)spec;
  return pt_machine_ps(c, id, error);
}

const PtEngine pt_engine_machine = {
  .raw = true,
  .start = machine_start,
  .stop = machine_stop,
  .limits = machine_limits,
  .exec = pt_machine_exec,
  .desktop = machine_desktop,
  .processes = machine_processes,
  .call = pt_guest_call,
  .hibernate = pt_machine_hibernate,
  .wake = pt_machine_wake,
  .saved = pt_machine_saved,
  .forget = pt_machine_forget,
};
