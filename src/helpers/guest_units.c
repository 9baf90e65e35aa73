// SPDX-License-Identifier: Apache-2.0
/* What a systemd of any image needs to know of this machine. Written below /run, so that nothing of it stays on the volume, which
 * may be a container's again tomorrow.
 *
 * The hardware is virtio alone and was found before the first unit starts, so nothing that looks for devices, loads modules or waits for
 * either has work to do; and there is no udev, so no unit may wait for a device unit (a getty on a serial line waits 90 s). */
#include "helpers/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNITS "/run/systemd/system/"

static const char *const masked[] = {
  /* devices and modules */
  "systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-udev-trigger.service",
  "systemd-udev-settle.service", "systemd-udev-load-credentials.service", "udev.service", "systemd-modules-load.service",
  "kmod-static-nodes.service", "modprobe@.service", "systemd-hwdb-update.service", "systemd-tmpfiles-setup-dev.service",
  "systemd-tmpfiles-setup-dev-early.service", "systemd-pstore.service", "systemd-rfkill.socket", "systemd-vconsole-setup.service",
  "keyboard-setup.service", "console-setup.service", "lvm2-monitor.service", "multipathd.service",
  /* consoles that are not there */
  "serial-getty@.service", "getty@tty1.service", "getty-static.service", "container-getty@.service",
  /* mounts that nothing here uses, and file systems that are mounted and checked already */
  "dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount",
  "sys-fs-fuse-connections.mount", "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount", "systemd-binfmt.service",
  "systemd-remount-fs.service", "systemd-fsck-root.service", "systemd-growfs-root.service",
  /* the first start's work, the clock's, the network's: done */
  "systemd-firstboot.service", "systemd-machine-id-commit.service", "systemd-random-seed.service",
  "systemd-boot-random-seed.service", "systemd-timesyncd.service", "systemd-networkd.service", "systemd-networkd.socket",
  "systemd-networkd-wait-online.service", "systemd-network-generator.service", "systemd-update-utmp.service",
  "systemd-update-utmp-runlevel.service", "systemd-journal-catalog-update.service", "systemd-update-done.service",
};

bool
is_systemd(void)
{
  char path[4096];
  ssize_t n;

  if (!realpath("/sbin/init", path))
    return false;
  n = (ssize_t)strlen(path);
  return n >= 8 && strcmp(path + n - 8, "/systemd") == 0;
}

static void
make(const char *path, const char *target)
{
  if (symlink(target, path) < 0 && errno != EEXIST)
    complain("%s: %s", path, strerror(errno));
}

void
units_prepare(void)
{
  char path[256], dirs[] = UNITS "getty.target.wants/";
  static const char getty[] = "/lib/systemd/system/console-getty.service";

  make_dirs(dirs, 0755, 0, 0);
  for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
    snprintf(path, sizeof path, UNITS "%s", masked[i]);
    make(path, "/dev/null");
  }
  /* The one getty that waits for no device unit. */
  if (access(getty, F_OK) == 0)
    make(UNITS "getty.target.wants/console-getty.service", getty);
}
