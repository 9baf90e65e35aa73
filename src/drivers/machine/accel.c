// SPDX-License-Identifier: Apache-2.0
/* That /dev/kvm is there says little: a node may be a virtual machine whose host lends KVM but half. So a guest is tried, the very kernel
 * that machines start with, up to where it finds that it has no root file system. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/machine/machine.h"
#include "sys/process.h"

#define TRIAL_TIME (10 * G_USEC_PER_SEC)

static GMutex lock;
static bool known;
static GError *trouble; /* NULL where it runs */

static void
on_line(const char *line, void *data)
{
  bool *seen = data;

  *seen |= strstr(line, "Kernel panic") != NULL;
}

static bool
try_guest(const char *kernel, GError **error)
{
  static const char sandbox[] = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
  g_autofree char *vmlinuz = kernel ? g_build_filename(kernel, "vmlinuz", NULL) : NULL;
  const char *const boot[] = { "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-sandbox", sandbox, "-display", "none",
                               "-machine", "q35,usb=off,sata=off,smbus=off,vmport=off", "-accel", "kvm", "-cpu", "host", "-m", "128M",
                               "-bios", "qboot.rom", "-no-reboot", "-serial", "stdio", "-kernel", vmlinuz, "-append",
                               "console=ttyS0 panic=-1", NULL };
  /* Without a kernel at hand: whether a virtual processor can be made at all. */
  const char *const make[] = { "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-sandbox", sandbox, "-display", "none",
                               "-machine", "q35,usb=off,sata=off,smbus=off,vmport=off", "-accel", "kvm", "-cpu", "host", "-m", "128M",
                               "-bios", "qboot.rom", "-S", "-monitor", "stdio", NULL };
  bool seen = false;
  PtRunOptions options = { .input = kernel ? NULL : "quit\n", .timeout = TRIAL_TIME, .line = on_line, .line_data = &seen };

  if (!pt_run(kernel ? boot : make, &options, NULL, error))
    return false;
  if (seen || !kernel)
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "a guest ends before its kernel has started");
  return false;
}

static void
try_it(const char *kernel)
{
  g_autoptr(GError) why = NULL;

  if (access("/dev/kvm", R_OK | W_OK) < 0) {
    trouble = g_error_new(PT_ERROR, PT_ERR_UNSUPPORTED, "KVM: /dev/kvm: %s", g_strerror(errno));
    pt_error_hint(&trouble, "switch virtualization on in the server's firmware, and load the module kvm_intel or kvm_amd");
  } else if (!try_guest(kernel, &why)) {
    g_autofree char *first = pt_error_summary(why), *said = pt_text_safe(first, 200);
    trouble = g_error_new(PT_ERROR, PT_ERR_UNSUPPORTED, "KVM: it is there, but runs no guest: %s", said);
    pt_error_hint(&trouble, "inside a virtual machine its host has to allow nested virtualization; else use accel=tcg");
  }
}

bool
pt_machine_kvm(const char *kernel, GError **error)
{
  g_mutex_lock(&lock);
  if (!known)
    try_it(kernel);
  known = true;
  bool runs = trouble == NULL;
  if (!runs && error)
    *error = g_error_copy(trouble);
  g_mutex_unlock(&lock);
  return runs;
}
