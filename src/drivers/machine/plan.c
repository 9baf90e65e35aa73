// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/machine/internal.h"
#include "sys/arch.h"

#define MIB ((gint64)1 << 20)
#define MEMORY_MIN (128 * MIB)
#define MEMORY_DEFAULT (512 * MIB)
#define MEMORY_DESKTOP (1024 * MIB)
/* QEMU beside its guest's memory: its own, and the code that TCG has translated (args.c). */
#define OVERHEAD (384 * MIB)
#define CPUS_DEFAULT 2
#define CPUS_MAX 64

gint64
pt_machine_memory(const PtInstance *spec)
{
  return spec->memory ? spec->memory / MIB * MIB : spec->desktop ? MEMORY_DESKTOP : MEMORY_DEFAULT;
}

PtInstance
pt_machine_limits(const PtInstance *spec)
{
  PtInstance limits = *spec;

  limits.memory = pt_machine_memory(spec) + OVERHEAD;
  limits.pids = 0; /* of the guest's processes; QEMU's threads are few */
  return limits;
}

void
pt_machine_plan_clear(PtMachinePlan *plan)
{
  g_clear_pointer(&plan->version, g_free);
}

static bool
check_kernel(const PtContainerStart *start, const PtArch *arch, GError **error)
{
  if (start->kernel)
    return true;
  if (arch == pt_arch_host()) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no kernel for machines of model micro on this node");
    pt_error_hint(error, "make it once:  portena image build kernel");
  } else {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no kernel for machines of model micro and %s on this node", arch->name);
    pt_error_hint(error, "make it once:  portena image build kernel --arch %s", arch->name);
  }
  return false;
}

/* What a machine for its image's architecture is run by. */
static bool
check_board(const PtMachinePlan *plan, const PtArch *arch, const char *name, GError **error)
{
  if (!plan->board) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "machines for %s cannot be run here", name);
    pt_error_hint(error, "run it as a container:  portena set %s kind=container", plan->spec->name);
    return false;
  }
  if (access(plan->program, X_OK) == 0)
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "%s: is not there", plan->program);
  pt_error_hint(error, "install it: apt install --no-install-recommends %s", arch->package);
  return false;
}

bool
pt_machine_plan(const PtContainerStart *start, const PtHost *host, PtMachinePlan *ret, GError **error)
{
  const PtInstance *spec = start->spec;
  gint64 cpus = spec->cpu ? (spec->cpu + 999) / 1000 : MIN(CPUS_DEFAULT, host->cpus);
  const char *name = start->image->arch ? start->image->arch : host->arch;
  const PtArch *arch = pt_arch_find(name);
  const PtMachineBoard *board = arch ? pt_machine_board(arch->name) : NULL;

  *ret = (PtMachinePlan){ .spec = spec, .board = board,
                          .cpus = (guint)CLAMP(cpus, 1, CPUS_MAX), .memory = pt_machine_memory(spec), .network = start->plug != NULL };
  g_snprintf(ret->program, sizeof ret->program, "/usr/bin/qemu-system-%s", arch ? arch->qemu : "");
  if (ret->memory < MEMORY_MIN) {
    PT_SET(error, PT_ERR_INVALID, "memory: a machine needs 128 MiB at least");
    pt_error_hint(error, "give it more:  portena set %s memory=512M", spec->name);
    return false;
  }
  return check_board(ret, arch, name, error) && check_kernel(start, arch, error) &&
         (!start->resume || pt_machine_plan_resume(ret, host, error));
}
