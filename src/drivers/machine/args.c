// SPDX-License-Identifier: Apache-2.0
/* QEMU's command line, and nothing else: a function of the plan. What is in it was measured under TCG with QEMU 10. A pc's is in args_pc.c.
 *
 * On x86_64 the model micro is q35 with qboot in place of a BIOS: it starts the kernel 0.1 s later than the board "microvm" and,
 * unlike it, has PCI with hot-plugging and timers that a kernel can calibrate on a loaded host. */
#include <string.h>

#include "base/guest.h"
#include "drivers/machine/internal.h"

#define PC_OPTIONS ",usb=off,vmport=off"
#define TCG_CODE_MIB 128 /* translated code kept; guests of a usual size use less */

#define SLOTS_ADDRESS 0x10

/* Boards of the model micro. A kernel's last arguments on x86 are for a guest without a clock source that it trusts under
 * emulation. Pointer authentication is emulated in software, and an aarch64 guest that uses it takes seven times as long to boot.
 * The profile RVA23 is what newer distributions ask of a riscv64 processor; "max" takes twice as long to boot. Debian builds its kernel for
 * riscv64 without CONFIG_HOTPLUG_PCI. */
#define KERNEL_ARGS "loglevel=4 panic=-1"
/* Memory that comes later is used as it comes, and as much of it as is sound for what can be taken away again. That there may once be
 * memory above 4 GiB is no reason to set 64 MiB aside for devices that cannot reach it: there are none. Devices come and go by ACPI, so
 * slots need no driver of their own. */
#define GROW_ARGS "pcie_ports=compat memhp_default_state=online memory_hotplug.online_policy=auto-movable swiotlb=noforce"
static const PtMachineBoard boards[] = {
  { "x86_64", "q35,usb=off,sata=off,smbus=off,vmport=off", "Haswell-noTSX,-invpcid,-tsc-deadline,-pcid", "qboot.rom",
    "console=ttyS0 " KERNEL_ARGS " edd=off tsc=reliable no_timer_check " GROW_ARGS, true, true, false },
  { "aarch64", "virt,gic-version=3,usb=off,acpi=off", "max,pauth=off", NULL, "console=ttyAMA0 " KERNEL_ARGS, false, true, false },
  { "riscv64", "virt,usb=off,acpi=off", "rva23s64", "default", "console=ttyS1 " KERNEL_ARGS, false, false, true },
};

const PtMachineBoard *
pt_machine_board(const char *arch)
{
  for (guint i = 0; i < G_N_ELEMENTS(boards); i++)
    if (strcmp(boards[i].arch, arch) == 0)
      return &boards[i];
  return NULL;
}

void
pt_machine_add(GPtrArray *a, const char *option, const char *format, ...)
{
  va_list list;

  va_start(list, format);
  g_ptr_array_add(a, g_strdup(option));
  g_ptr_array_add(a, g_strdup_vprintf(format, list));
  va_end(list);
}

#define add pt_machine_add
typedef GPtrArray Args;

static void
board(Args *a, const PtMachinePlan *p)
{
  add(a, "-name", "guest=%s,debug-threads=on", p->spec->name);
  add(a, "-uuid", "%s", p->uuid);
  const char *options = p->pc ? PC_OPTIONS : p->board->machine + strcspn(p->board->machine, ",");
  /* A board is named before its first comma; one that was hibernated has to come back as it was. */
  g_autofree char *board = g_strndup(p->board->machine, strcspn(p->board->machine, ","));
  add(a, "-machine", "%s%s%s,dump-guest-core=off,memory-backend=ram", p->version ? p->version : board, options, p->secure ? ",smm=on" : "");
  if (p->kvm) {
    add(a, "-accel", "kvm");
    add(a, "-cpu", "host");
  } else {
    add(a, "-accel", "tcg,thread=multi,tb-size=%d", TCG_CODE_MIB);
    add(a, "-cpu", "%s", p->board->cpu);
  }
  if (p->cpus_max > p->cpus)
    add(a, "-smp", "%u,maxcpus=%u", p->cpus, p->cpus_max);
  else
    add(a, "-smp", "%u", p->cpus);
  if (pt_machine_room(p))
    add(a, "-m", "%" G_GINT64_FORMAT "M,slots=1,maxmem=%" G_GINT64_FORMAT "M", p->memory >> 20, p->memory_max >> 20);
  else
    add(a, "-m", "%" G_GINT64_FORMAT "M", p->memory >> 20);
  if (p->of_template || p->makes_template)
    add(a, "-object", "memory-backend-file,id=ram,mem-path=%s,size=%" G_GINT64_FORMAT "M,%s", PT_MACHINE_MEMORY, p->memory >> 20,
        p->makes_template ? "share=on" : "share=off,readonly=on,rom=off");
  else
    add(a, "-object", "memory-backend-ram,id=ram,size=%" G_GINT64_FORMAT "M", p->memory >> 20);
  add(a, "-rtc", "base=utc");
}

static void
kernel(Args *a, const PtMachinePlan *p)
{
  const PtMachineBoard *b = p->board;

  if (b->bios)
    add(a, "-bios", "%s", b->bios);
  add(a, "-kernel", "%s/vmlinuz", PT_MACHINE_KERNEL);
  add(a, "-initrd", "%s", PT_MACHINE_INITRD);
  if (p->tsc_khz)
    add(a, "-append", "%s tsc_early_khz=%u", b->append, p->tsc_khz);
  else
    add(a, "-append", "%s", b->append);
}

/* Its limits can be changed while it runs (limit.c); 0 is none. */
void
pt_machine_args_volume(Args *a, const PtMachinePlan *p)
{
  add(a, "-object",
      "{\"qom-type\":\"throttle-group\",\"id\":\"io\",\"limits\":{\"bps-read\":%" G_GINT64_FORMAT ",\"bps-write\":%" G_GINT64_FORMAT "}}",
      p->spec->io_read, p->spec->io_write);
  add(a, "-blockdev",
      "{\"driver\":\"throttle\",\"node-name\":\"volume\",\"throttle-group\":\"io\",\"discard\":\"unmap\",\"detect-zeroes\":\"unmap\","
      "\"file\":{\"driver\":\"raw\",\"node-name\":\"volume-raw\",\"discard\":\"unmap\","
      "\"file\":{\"driver\":\"file\",\"filename\":\"%s\",\"discard\":\"unmap\",\"locking\":\"on\"}}}",
      PT_MACHINE_VOLUME);
}

static void
micro_disks(Args *a, const PtMachinePlan *p)
{
  add(a, "-blockdev",
      "{\"driver\":\"raw\",\"node-name\":\"image\",\"read-only\":true,"
      "\"file\":{\"driver\":\"file\",\"filename\":\"%s\",\"locking\":\"off\"}}",
      PT_MACHINE_IMAGE);
  add(a, "-device", "virtio-blk-pci,id=image,drive=image,num-queues=%u,serial=%s", p->queues, PT_GUEST_IMAGE_SERIAL);
  pt_machine_args_volume(a, p);
  add(a, "-device", "virtio-blk-pci,id=volume,drive=volume,num-queues=%u,serial=%s", p->queues, PT_GUEST_VOLUME_SERIAL);
}

static void
ports(Args *a)
{
  add(a, "-device", "virtio-serial-pci,id=ports,max_ports=%d", PT_GUEST_PORTS + 1);
  for (int i = 0; i < PT_GUEST_PORTS; i++) {
    if (i == 0)
      add(a, "-chardev", "socket,id=port0,fd=%d", PT_MACHINE_AGENT_FD);
    else
      add(a, "-chardev", "socket,id=port%d,path=/vm/port.%d,server=on,wait=off", i, i);
    add(a, "-device", "virtserialport,bus=ports.0,nr=%d,chardev=port%d,name=%s%d", i + 1, i, PT_GUEST_PORT_NAME, i);
  }
}

static void
monitors(Args *a, const PtMachinePlan *p)
{
  add(a, "-chardev", "stdio,id=console,signal=off");
  if (p->board->firmware_talks) {
    add(a, "-serial", "null");
    add(a, "-device", "pci-serial,chardev=console");
  } else {
    add(a, "-serial", "chardev:console");
  }
  add(a, "-chardev", "socket,id=vmm,fd=%d", PT_MACHINE_QMP_FD);
  add(a, "-mon", "chardev=vmm,mode=control");
  add(a, "-chardev", "socket,id=qmp,path=/vm/qmp,server=on,wait=off");
  add(a, "-mon", "chardev=qmp,mode=control");
}

static void
micro(Args *a, const PtMachinePlan *p)
{
  add(a, "-display", "none");
  kernel(a, p);
  micro_disks(a, p);
  ports(a);
  if (p->network)
    add(a, "-device", "virtio-net-pci,id=net0,netdev=net,mac=%s,romfile=", p->spec->mac);
}

/* What it can grow by. It is memory of QEMU's own, also in a copy of a template, and only as it is used. */
static void
room(Args *a, const PtMachinePlan *p)
{
  if (!pt_machine_room(p))
    return;
  add(a, "-object", "memory-backend-ram,id=" PT_MACHINE_GROW "-ram,reserve=off,size=%" G_GINT64_FORMAT "M", pt_machine_room(p) >> 20);
  add(a, "-device", "virtio-mem-pci,id=" PT_MACHINE_GROW ",memdev=" PT_MACHINE_GROW "-ram,block-size=%dM", (int)(PT_MACHINE_BLOCK >> 20));
}

/* Root ports, because a device on the board itself cannot come or go. All are functions of one device, out of the way of those that
 * QEMU finds a place for. They stand last, so that nothing else has another place for them. */
static void
slots(Args *a, const PtMachinePlan *p)
{
  for (guint i = 0; i < p->slots; i++)
    add(a, "-device", "pcie-root-port,id=slot%u,bus=pcie.0,addr=%x.%u,chassis=%u%s", i, SLOTS_ADDRESS + i / 8, i % 8, i + 1,
        i % 8 == 0 ? ",multifunction=on" : "");
}

char **
pt_machine_args(const PtMachinePlan *p)
{
  Args *a = g_ptr_array_new();

  g_ptr_array_add(a, g_strdup(p->program));
  g_ptr_array_add(a, g_strdup("-nodefaults"));
  g_ptr_array_add(a, g_strdup("-no-user-config"));
  add(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  board(a, p);
  monitors(a, p);
  if (p->incoming) {
    add(a, "-incoming", "defer");
    g_ptr_array_add(a, g_strdup("-S"));
  }
  if (p->network)
    add(a, "-netdev", "tap,id=net,ifname=%s,script=no,downscript=no,vhost=off", PT_ENGINE_TAP);
  if (p->pc)
    pt_machine_args_pc(a, p);
  else
    micro(a, p);
  add(a, "-object", "rng-builtin,id=random");
  add(a, "-device", "virtio-rng-pci,rng=random");
  add(a, "-device", "virtio-balloon-pci,id=balloon,free-page-reporting=on");
  room(a, p);
  slots(a, p);
  pt_machine_args_disks(a, p);
  pt_machine_args_nics(a, p);
  g_ptr_array_add(a, NULL);
  return (char **)g_ptr_array_free(a, FALSE);
}
