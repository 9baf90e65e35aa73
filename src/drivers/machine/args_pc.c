// SPDX-License-Identifier: Apache-2.0
/* What a machine of model pc has beside a micro one: firmware, a disk and a card that its system knows, drives, a screen, a TPM. An
 * unmodified system looks for nothing of ours, so there is nothing of ours but the channel of QEMU's own guest agent. */
#include "drivers/machine/internal.h"

#define add pt_machine_add

/* The file that the firmware keeps its variables in; secure boot's hold keys that the other's do not. */
const char *
pt_machine_vars(const PtMachinePlan *p)
{
  return p->secure ? "vars-secure.fd" : "vars.fd";
}

static void
firmware(GPtrArray *a, const PtMachinePlan *p)
{
  if (!p->code)
    return; /* QEMU's own BIOS */
  if (p->secure)
    add(a, "-global", "driver=cfi.pflash01,property=secure,value=on");
  add(a, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=%s", p->code);
  add(a, "-drive", "if=pflash,unit=1,format=raw,file=%s/%s", PT_MACHINE_KEPT, pt_machine_vars(p));
}

static void
disks(GPtrArray *a, const PtMachinePlan *p)
{
  int disk = p->spec->boot_iso ? 2 : 1, disc = p->spec->boot_iso ? 1 : 2;
  g_autofree char *blk = g_strdup_printf("virtio-blk-pci,num-queues=%u", p->queues);

  pt_machine_args_volume(a, p);
  add(a, "-device", "%s,id=volume,drive=volume,bootindex=%d", p->emulated ? "ide-hd,bus=ide.0" : blk, disk);
  static const char *const discs[] = { PT_MACHINE_ISO, PT_MACHINE_SEED };
  for (guint i = 0; i < G_N_ELEMENTS(discs); i++) {
    if (!(i == 0 ? p->iso : p->seed))
      continue;
    add(a, "-blockdev",
        "{\"driver\":\"raw\",\"node-name\":\"disc%u\",\"read-only\":true,"
        "\"file\":{\"driver\":\"file\",\"filename\":\"%s\",\"locking\":\"off\"}}",
        i, discs[i]);
    g_autofree char *index = i == 0 ? g_strdup_printf(",bootindex=%d", disc) : g_strdup("");
    /* cloud-init decides before anything else has started whether it is wanted: a drive that its kernel finds later, or has no
     * driver for, as those made for clouds, tells it nothing. It is seen as early as the disk that the system starts from. */
    if (i == 1 && !p->emulated)
      add(a, "-device", "virtio-blk-pci,num-queues=1,id=disc%u,drive=disc%u,serial=" PT_MACHINE_SEED_SERIAL, i, i);
    else
      add(a, "-device", "ide-cd,id=disc%u,bus=ide.%u,drive=disc%u%s", i, i + 1, i, index);
  }
}

void
pt_machine_args_pc(GPtrArray *a, const PtMachinePlan *p)
{
  firmware(a, p);
  disks(a, p);
  add(a, "-vga", "std");
  add(a, "-display", "none");
  add(a, "-vnc", "unix:/vm/vnc,share=force-shared");
  /* A pointer that says where it is: a relative one drifts away from the viewer's. */
  add(a, "-device", "qemu-xhci,id=usb");
  add(a, "-device", "usb-tablet,bus=usb.0");
  if (p->network)
    add(a, "-device", "%s,id=net0,netdev=net,mac=%s,romfile=", p->emulated ? "e1000e" : "virtio-net-pci", p->spec->mac);
  if (p->tpm) {
    add(a, "-chardev", "socket,id=tpm,path=/vm/tpm");
    add(a, "-tpmdev", "emulator,id=tpm0,chardev=tpm");
    add(a, "-device", "tpm-crb,tpmdev=tpm0");
  }
  add(a, "-device", "virtio-serial-pci,id=ports");
  add(a, "-chardev", "socket,id=agent,path=/vm/agent,server=on,wait=off");
  add(a, "-device", "virtserialport,id=agent,bus=ports.0,chardev=agent,name=org.qemu.guest_agent.0");
}
