// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/machine/internal.h"
#include "sys/arch.h"

#define MIB ((gint64)1 << 20)
#define MEMORY_DEFAULT (512 * MIB)
#define MEMORY_DESKTOP (1024 * MIB)
/* QEMU beside its guest's memory: its own, and the code that TCG has translated (args.c). */
#define OVERHEAD (384 * MIB)
#define CPUS_DEFAULT 2
#define CPUS_MAX 64
/* What a machine can grow to while it runs. Each processor that may come costs its kernel 150 KiB from the start, and memory that may come
 * costs 1.6 percent of it once it is there, which has to come out of what there was at the start. */
#define CPUS_ROOM 16
#define MEMORY_ROOM 8
#define ROOM_STEP (128 * MIB) /* what Linux plugs memory by */

gint64
pt_machine_memory(const PtInstance *spec)
{
  return spec->memory ? spec->memory / MIB * MIB : spec->desktop ? MEMORY_DESKTOP : MEMORY_DEFAULT;
}

guint
pt_machine_cpus(const PtInstance *spec, const PtHost *host)
{
  gint64 cpus = spec->cpu ? (spec->cpu + 999) / 1000 : MIN(CPUS_DEFAULT, host->cpus);

  return (guint)CLAMP(cpus, 1, CPUS_MAX);
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
  if (start->kernel || start->spec->model != PT_MODEL_MICRO)
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

/* UEFI as Debian builds it (package ovmf): the program, and its variables as they are at first. */
static bool
choose_firmware(PtMachinePlan *p, GError **error)
{
  const PtInstance *spec = p->spec;

  if (spec->firmware != PT_FIRMWARE_UEFI)
    return true;
  p->secure = spec->secure_boot;
  p->code = p->secure ? "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd" : "/usr/share/OVMF/OVMF_CODE_4M.fd";
  p->vars = p->secure ? "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" : "/usr/share/OVMF/OVMF_VARS_4M.fd";
  if (access(p->code, R_OK) == 0 && access(p->vars, R_OK) == 0)
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "%s: is not there, so there is no UEFI", p->code);
  pt_error_hint(error, "install it: apt install --no-install-recommends ovmf; or:  portena set %s firmware=bios", spec->name);
  return false;
}

static bool
choose_pc(const PtContainerStart *start, PtMachinePlan *p, const PtArch *arch, GError **error)
{
  const PtInstance *spec = start->spec;

  if (start->image->format != PT_FORMAT_DISK && start->image->format != PT_FORMAT_ISO) {
    PT_SET(error, PT_ERR_INVALID, "model: a pc starts a system's own disk or disc, and %s is neither",
           spec->image_name ? spec->image_name : "its image");
    pt_error_hint(error, "it runs with the kernel of ours:  portena set %s model=micro", spec->name);
    return false;
  }
  if (strcmp(arch->name, "x86_64") != 0) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "model: a pc has a processor of x86_64, and %s is for %s",
           spec->image_name ? spec->image_name : "its image", arch->name);
    return false;
  }
  p->pc = true;
  p->emulated = spec->hardware == PT_HARDWARE_EMULATED;
  p->iso = start->iso_file != NULL;
  p->seed = spec->user_data || (spec->ssh_keys && *spec->ssh_keys) ||
            (start->image->format == PT_FORMAT_DISK && access("/usr/bin/xorriso", X_OK) == 0);
  p->tpm = spec->tpm;
  if (p->tpm && access(PT_MACHINE_SWTPM, X_OK) < 0) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: is not there, so there is no TPM", PT_MACHINE_SWTPM);
    pt_error_hint(error, "install it: apt install --no-install-recommends swtpm; or:  portena set %s tpm=false", spec->name);
    return false;
  }
  return choose_firmware(p, error);
}

static bool
choose_accel(const PtContainerStart *start, PtMachinePlan *p, const PtArch *arch, GError **error)
{
  if (arch != pt_arch_host() && start->spec->accel == PT_ACCEL_KVM) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "accel: KVM runs no machine for %s on this node", arch->name);
    pt_error_hint(error, "let it be emulated:  portena set %s accel=auto", start->spec->name);
    return false;
  }
  if (start->spec->accel == PT_ACCEL_TCG || arch != pt_arch_host())
    return true;
  p->kvm = pt_machine_kvm(start->kernel, start->spec->accel == PT_ACCEL_KVM ? error : NULL);
  return p->kvm || start->spec->accel == PT_ACCEL_AUTO;
}

/* By its board alone, so that a machine and the template that it is a copy of agree. */
static void
choose_room(PtMachinePlan *p, const PtHost *host)
{
  p->cpus_max = p->queues = p->cpus;
  p->memory_max = p->memory;
  if (!p->board || !p->board->grows || p->spec->model != PT_MODEL_MICRO)
    return;
  p->cpus_max = MAX(p->cpus, (guint)CLAMP(host->cpus, CPUS_ROOM / 2, CPUS_ROOM));
  gint64 room = MIN(host->memory, MEMORY_ROOM * p->memory) - p->memory;
  if (room > 0)
    p->memory_max += room / ROOM_STEP * ROOM_STEP;
}

bool
pt_machine_plan(const PtContainerStart *start, const PtHost *host, PtMachinePlan *ret, GError **error)
{
  const PtInstance *spec = start->spec;
  const char *name = start->image->arch ? start->image->arch : host->arch;
  const PtArch *arch = pt_arch_find(name);
  const PtMachineBoard *board = arch ? pt_machine_board(arch->name) : NULL;

  *ret = (PtMachinePlan){ .spec = spec, .board = board,
                          .cpus = pt_machine_cpus(spec, host), .memory = pt_machine_memory(spec), .network = start->plug != NULL,
                          .slots = PT_MACHINE_SLOTS };
  g_snprintf(ret->program, sizeof ret->program, "/usr/bin/qemu-system-%s", arch ? arch->qemu : "");
  if (ret->memory < PT_MACHINE_MEMORY_MIN) {
    PT_SET(error, PT_ERR_INVALID, "memory: a machine needs 128 MiB at least");
    pt_error_hint(error, "give it more:  portena set %s memory=512M", spec->name);
    return false;
  }
  choose_room(ret, host);
  pt_machine_nics_plan(ret);
  ret->makes_template = start->template_dir && start->template_make;
  ret->of_template = start->template_dir && !start->template_make;
  ret->incoming = start->resume || ret->of_template;
  bool ok = check_board(ret, arch, name, error) && check_kernel(start, arch, error) && choose_accel(start, ret, arch, error) &&
         (spec->model != PT_MODEL_PC || choose_pc(start, ret, arch, error)) && (!start->resume || pt_machine_plan_resume(ret, host, error));

  if (ok && !ret->kvm && strcmp(arch->name, "x86_64") == 0)
    ret->tsc_khz = pt_machine_tsc();
  return ok;
}
