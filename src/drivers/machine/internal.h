// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Shared by the files of this folder alone. */
#include <jansson.h>

#include "drivers/engine.h"
#include "drivers/machine/machine.h"
#include "drivers/machine/qmp.h"

/* What a machine of model micro of one architecture is for QEMU. */
typedef struct PtMachineBoard {
  const char *arch;    /* "x86_64" */
  const char *machine; /* of -machine */
  const char *cpu;     /* of -cpu, under TCG */
  const char *bios;    /* what starts the kernel; NULL: QEMU itself */
  const char *append;  /* the kernel's arguments */
  bool grows;          /* it can be given processors and memory while it runs */
  bool plugs;          /* its kernel finds devices that come while it runs */
  bool firmware_talks; /* on the board's own serial line, so the guest's console is another one */
} PtMachineBoard;

/* A further network card. */
typedef struct PtMachineNic {
  char name[8], mac[18];
  guint slot;
  bool wired; /* its tap is there */
} PtMachineNic;

/* What a machine is made of once every default is settled. Strings are borrowed from the start's spec and image, or constant. */
typedef struct PtMachinePlan {
  const PtInstance *spec;
  const PtMachineBoard *board;
  char program[48];    /* "/usr/bin/qemu-system-x86_64" */
  guint cpus;          /* at its start */
  gint64 memory;       /* bytes of the guest at its start */
  guint cpus_max;      /* what it can be given while it runs; not less than these two */
  gint64 memory_max;
  bool kvm;
  bool network;        /* a tap named PT_ENGINE_TAP is there */
  bool pc;             /* of model pc, with: */
  const char *code, *vars; /* UEFI's program and its empty variables; NULL = BIOS */
  bool secure;         /* UEFI with secure boot */
  bool tpm;
  bool emulated;       /* hardware that any system knows */
  bool iso, seed;      /* discs in its drives */
  PtMachineNic nics[PT_NICS_MAX];
  guint n_nics;
  char uuid[37];       /* RFC 9562's form */
  guint tsc_khz;       /* of the guest's time stamp counter, where it is emulated; 0 = it finds out itself */
  bool incoming;       /* QEMU waits for a state to go on from: a hibernated one's, or a template's */
  bool of_template, makes_template; /* its memory is the template's, copied as it is written to; or becomes it */
  char *version;       /* its board by the full name; NULL = the newest. The plan's own */
  guint queues;        /* of each of its disks: as many as it had processors at its first start, and not as it has when it is resumed */
  guint slots;         /* for devices that come while it runs: PT_MACHINE_SLOTS, or as many as it had when it was hibernated */
} PtMachinePlan;

/* Numbers of the descriptors that portena-vmm gives QEMU. */
#define PT_MACHINE_SWTPM "/usr/bin/swtpm"
#define PT_MACHINE_AGENT_FD 10
#define PT_MACHINE_QMP_FD 11
/* Where things are inside the jail. */
#define PT_MACHINE_IMAGE "/image"
#define PT_MACHINE_VOLUME "/volume"
#define PT_MACHINE_DISK "/disk.%u" /* a data volume's file, by its slot */
#define PT_MACHINE_KERNEL "/kernel"
#define PT_MACHINE_MEMORY "/memory"
#define PT_MACHINE_INITRD "/initrd"
#define PT_MACHINE_HELPERS "/helpers"
#define PT_MACHINE_ISO "/iso"
#define PT_MACHINE_SEED "/seed"
#define PT_MACHINE_SEED_SERIAL "cidata" /* of the disk that it is to the guest */
#define PT_MACHINE_KEPT "/kept" /* STATE/instances/<id>/machine: the firmware's variables, the TPM's state */

/* ---- plan.c ---- */
bool pt_machine_plan(const PtContainerStart *start, const PtHost *host, PtMachinePlan *ret, GError **error);
void pt_machine_plan_clear(PtMachinePlan *plan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtMachinePlan, pt_machine_plan_clear)
/* Bytes of a guest of this instance, and its processors: what it asks for, else the default. */
gint64 pt_machine_memory(const PtInstance *spec);
guint pt_machine_cpus(const PtInstance *spec, const PtHost *host);
#define PT_MACHINE_MEMORY_MIN ((gint64)128 << 20)
/* tsc.c: kHz of the counter that an emulated x86 guest reads; 0 where that is not known. Takes 50 ms, once. */
guint pt_machine_tsc(void);
/* A copy of the spec's limits for its control group, with what QEMU itself needs beside the guest's memory. The strings stay the spec's. */
PtInstance pt_machine_limits(const PtInstance *spec);

/* ---- limit.c: the engine's limits ---- */
bool pt_machine_limit(PtContainers *c, const char *id, const PtInstance *spec, GError **error);

/* ---- disks.c: data volumes, and the engine's disk ---- */
bool pt_machine_attach(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, const char *source, GError **error);
bool pt_machine_detach(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, const char *source, GError **error);
bool pt_machine_disk(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, gint64 bytes, bool *ret_whole,
                     GError **error);
void pt_machine_args_disks(GPtrArray *args, const PtMachinePlan *plan);
/* INVALID where there is no port for one of them. */
bool pt_machine_disks_fit(const PtInstance *spec, bool emulated, GError **error);

/* ---- args.c, args_pc.c: QEMU's command line. New, NULL-ended. The board for an architecture; NULL where there is none ---- */
const PtMachineBoard *pt_machine_board(const char *arch);
char **pt_machine_args(const PtMachinePlan *plan);
void pt_machine_add(GPtrArray *args, const char *option, const char *format, ...) G_GNUC_PRINTF(3, 4);
void pt_machine_args_volume(GPtrArray *args, const PtMachinePlan *plan); /* the node "volume", of the throttle group "io" */
void pt_machine_args_pc(GPtrArray *args, const PtMachinePlan *plan);
const char *pt_machine_vars(const PtMachinePlan *plan); /* the name of the file of the firmware's variables */

/* ---- initrd.c: the kernel image's initrd with the guest's /config behind it (base/guest.h) ---- */
char *pt_machine_config(const PtContainerStart *start, const char *uuid);
/* Into the file `path` of the jail, readable by its root alone. */
bool pt_machine_initrd(const PtContainerStart *start, const PtJail *jail, const char *path, GError **error);

/* QEMU's own guest agent, in a pc: its socket, what is locked by who speaks to it, and what is there while it answers (vmm_qga.c). */
#define PT_MACHINE_AGENT "vm/agent"
#define PT_MACHINE_AGENT_LOCK "vm/agent.lock"
#define PT_MACHINE_AGENT_UP "vm/agent.up"

/* ---- request.c: the guest's agent, through portena-guestctl ---- */
/* Starts `lines` (base/guest.h) on a free port, or (`qga`) with QEMU's own agent: what it reads and writes are `in` and `out`
 * (-1: nothing), which stay the caller's. The answers come as lines on the descriptor in *ret_answers, the caller's, which ends with
 * the request; NULL where nobody wants them. The request goes on without us. */
bool pt_machine_ask(PtContainers *c, const char *id, bool qga, const char *lines, int in, int out, int *ret_answers, GError **error);
/* A connection to the Unix stream socket `path` in the guest; the caller's. It is closed at once where nobody listens there. */
int pt_machine_connect(PtContainers *c, const char *id, const char *path, GError **error);
/* What its processes are; of PtProcess. */
GPtrArray *pt_machine_ps(PtContainers *c, const char *id, GError **error);
GPtrArray *pt_machine_ps_parse(GString *text); /* which it changes */

/* agent.c: whether there is an agent in its guest to be asked; UNSUPPORTED says what to do about it. */
bool pt_machine_has_agent(PtContainers *c, const PtInstance *spec, GError **error);

/* ---- exec.c ---- */
int pt_machine_exec(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, const PtExec *exec, GError **error);

/* ---- save.c: hibernation; the members of PtEngine ---- */
bool pt_machine_hibernate(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, PtSleep *ret, GError **error);
bool pt_machine_wake(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error);
bool pt_machine_saved(PtContainers *c, const char *id);
bool pt_machine_forget(PtContainers *c, const char *id, GError **error);
/* What a running machine is made of, for as long as it runs; and what a hibernated one was, into `plan`. */
char *pt_machine_plan_path(const PtHost *host, const char *id);
/* What a running or a hibernated machine is made of: its numbers and whether it is a pc, nothing borrowed. */
bool pt_machine_plan_read(PtMachinePlan *ret, const PtHost *host, const char *id, GError **error);
bool pt_machine_plan_write(const PtMachinePlan *plan, const PtHost *host, GError **error);
bool pt_machine_plan_resume(PtMachinePlan *plan, const PtHost *host, GError **error);

/* ---- template.c ---- */
/* QEMU, started as a copy of start->template_dir, has its state and becomes the one it is to be. */
bool pt_machine_template_enter(PtContainers *c, const PtContainerStart *start, GError **error);

/* ---- resize.c: the engine's resize, size and resizes ---- */
#define PT_MACHINE_GROW "grow" /* the virtio-mem device of what is beyond the memory at the start; of blocks of this size */
#define PT_MACHINE_BLOCK ((gint64)2 << 20)
bool pt_machine_resize(PtContainers *c, const char *id, const PtInstance *spec, PtGuestSize *ret, GError **error);
bool pt_machine_size(PtContainers *c, const char *id, PtGuestSize *ret, GError **error);
bool pt_machine_resizes(PtContainers *c, const PtInstance *spec, const char *field);
/* Bytes that it can be given beyond those at its start. */
static inline gint64
pt_machine_room(const PtMachinePlan *plan)
{
  return MAX(plan->memory_max - plan->memory, 0);
}
/* What its guest has now, as QEMU says. */
bool pt_machine_guest_memory(PtQmp *q, const PtMachinePlan *plan, gint64 *ret, GError **error);
bool pt_machine_guest_cpus(PtQmp *q, guint *ret, GError **error); /* plugged ones */
/* Asks the guest to have `want` bytes, as far as the plan has room, and waits for it, `wait` µs at most. */
bool pt_machine_set_memory(PtQmp *q, const PtMachinePlan *plan, gint64 want, gint64 wait, bool *ret_reached, GError **error);
/* Plugs processors until there are `want`, or no room is left; there are *ret_plugged then. */
bool pt_machine_plug_cpus(PtQmp *q, const PtMachinePlan *plan, guint want, guint *ret_plugged, GError **error);

/* ---- hotplug.c: devices that come and go while it runs ---- */
/* Its slots, the buses "slot0" …: PCI Express root ports with room for one device each. */
#define PT_MACHINE_SLOTS 8
#define PT_MACHINE_SLOTS_MAX 16 /* with those of the network cards that it was started with */
/* Puts a device into a free slot. `device`: the arguments of QEMU's device_add but its bus, with an id; taken, also on failure.
 * *ret_slot, may be NULL: which one it was; one that is hibernated has to get the same again (-device …,bus=slotN). The guest finds it a
 * moment later. CONFLICT where none is free. What QEMU would choose by the number of processors (num-queues) has to be said, or it could
 * not be resumed with more of them. */
bool pt_machine_plug(PtQmp *q, json_t *device, guint *ret_slot, GError **error);
/* Takes the device with this id away, and waits until the guest has let go of it; absent is success. TIMEOUT, also where the guest refuses:
 * it is still there then, and may go later. */
bool pt_machine_unplug(PtQmp *q, const char *id, gint64 timeout, GError **error);
/* Whether devices can come and go at all; CONFLICT, with what helps. */
bool pt_machine_plugs(const PtInstance *spec, GError **error);
/* Whether a device with this id is there. */
bool pt_machine_plugged(PtQmp *q, const char *id, bool *ret, GError **error);

/* ---- qemu.c: what several have to ask of a running QEMU ---- */
#define PT_QEMU_ANSWER (10 * G_USEC_PER_SEC)
/* Its state goes to or comes from the file `fd` by PT_QEMU_FILE, with this capability of QEMU's migration. */
bool pt_qemu_transfer(PtQmp *q, int fd, const char *capability, GError **error);
#define PT_QEMU_FILE "file:/dev/fdset/1"
#define PT_QEMU_FDSET 1 /* of that */
#define PT_QEMU_WITH_MEMORY "mapped-ram"
#define PT_QEMU_WITHOUT_MEMORY "x-ignore-shared"
/* Until the transfer has ended; it may take as long as it goes on. `fd` is what QEMU writes to (-1: it reads), and `most` what that
 * may take of the disk: TOO_LARGE where it is more, which only a QEMU that is not its own master any more would write. */
bool pt_qemu_transferred(PtQmp *q, int fd, gint64 most, GError **error);

/* ---- nic.c: further network cards; the last two the engine's nic_add and nic_remove ---- */
void pt_machine_nics_plan(PtMachinePlan *plan);                       /* of a start: the spec's */
void pt_machine_nics_resume(PtMachinePlan *plan, const json_t *saved); /* as they were when it was hibernated */
void pt_machine_args_nics(GPtrArray *args, const PtMachinePlan *plan);
json_t *pt_machine_nics_keep(PtQmp *q, GError **error); /* what the running QEMU has, for the latter: a new reference */
bool pt_machine_nic_add(PtContainers *c, const PtInstance *spec, const PtNic *nic, const char *line, GError **error);
bool pt_machine_nic_remove(PtContainers *c, const PtInstance *spec, const char *name, GError **error);

/* ---- jail.c: PtContainerStart's `describe` ---- */
json_t *pt_machine_describe(const PtContainerStart *start, const PtJail *jail, GError **error);
