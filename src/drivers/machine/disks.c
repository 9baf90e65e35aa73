// SPDX-License-Identifier: Apache-2.0
/* Data volumes of a machine. The disk of place N is the file /disk.N of the jail, the block node "diskN" of QEMU, of the throttle group of
 * the root volume, and the device "diskN": from the top of the machine's slots down, so that one that is hibernated has each where
 * it was. At a start all is in the jail's description and on the command line; later the file is mounted into the jail, and QEMU told.
 * In a guest that has our agent it is mounted by that; a pc's system does what it likes.
 *
 * Nothing is remembered: each step looks what is there, and so is done again by whoever finds it half done. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/guest.h"
#include "base/json.h"
#include "drivers/machine/agent.h"
#include "drivers/machine/internal.h"
#include "sys/inside.h"

#define MOUNT_WAIT (60 * G_USEC_PER_SEC)  /* for a guest to find the disk and mount it */
#define UNPLUG_WAIT (30 * G_USEC_PER_SEC)
#define LOOK 2000 /* µs */
#define FIRST_AHCI 3 /* ports before it have the root volume and the drives */

/* ---- what QEMU is told ---- */

static json_t *
node_json(const PtDisk *d)
{
  g_autofree char *name = g_strdup_printf("disk%u", (guint)d->slot), *file = g_strdup_printf(PT_MACHINE_DISK, (guint)d->slot);

  return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:{s:s, s:b, s:s, s:{s:s, s:s, s:s, s:s}}}", "driver", "throttle", "node-name", name,
                   "throttle-group", "io", "read-only", d->read_only, "discard", "unmap", "detect-zeroes", d->read_only ? "off" : "unmap",
                   "file", "driver", "raw", "read-only", d->read_only, "discard", "unmap", "file", "driver", "file", "filename", file,
                   "discard", "unmap", "locking", "on");
}

static json_t *
device_json(const PtDisk *d, bool emulated)
{
  g_autofree char *name = g_strdup_printf("disk%u", (guint)d->slot), *serial = g_strdup_printf(PT_GUEST_DISK_SERIAL, (guint)d->slot);
  g_autofree char *bus = emulated ? g_strdup_printf("ide.%u", FIRST_AHCI + (guint)d->slot)
                                  : g_strdup_printf("slot%u", PT_MACHINE_SLOTS - 1 - (guint)d->slot);

  json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", emulated ? "ide-hd" : "virtio-blk-pci", "id", name, "drive", name,
                           "serial", serial, "bus", bus);
  if (!emulated) /* whatever the processors were when it came: one that is resumed has to have as many */
    json_object_set_new(json, "num-queues", json_integer(1));
  return json;
}

void
pt_machine_args_disks(GPtrArray *args, const PtMachinePlan *plan)
{
  const GPtrArray *disks = plan->spec->disks;

  for (guint i = 0; disks && i < disks->len; i++) {
    const PtDisk *d = g_ptr_array_index(disks, i);
    g_autoptr(json_t) node = node_json(d), device = device_json(d, plan->emulated);
    g_autofree char *node_text = pt_json_dump(node), *device_text = pt_json_dump(device);
    pt_machine_add(args, "-blockdev", "%s", node_text);
    pt_machine_add(args, "-device", "%s", device_text);
  }
}

bool
pt_machine_disks_fit(const PtInstance *spec, bool emulated, GError **error)
{
  for (guint i = 0; emulated && spec->disks && i < spec->disks->len; i++) {
    const PtDisk *d = g_ptr_array_index(spec->disks, i);
    if (d->slot + FIRST_AHCI < 6)
      continue;
    PT_SET(error, PT_ERR_INVALID, "volume %s: a pc with emulated hardware (AHCI) has room for %d data volumes", d->volume, 6 - FIRST_AHCI);
    pt_error_hint(error, "detach it:  portena volume detach %s %s", spec->name, d->volume);
    return false;
  }
  return true;
}

/* ---- the file in the jail ---- */

/* The jail's root, of its first process; -1. */
static int
jail_root(PtContainers *c, const char *id, pid_t *ret_pid, GError **error)
{
  PtContainerState state;
  char path[64];

  if (!pt_container_state(c, id, &state, error))
    return -1;
  g_snprintf(path, sizeof path, "/proc/%d/root", (int)state.pid);
  int fd = state.running ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  if (fd < 0)
    PT_SET(error, PT_ERR_NOT_FOUND, "instance %s: does not run", id);
  *ret_pid = state.pid;
  return fd;
}

static int
open_below(int root, const char *name)
{
  struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                          .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

  return (int)syscall(SYS_openat2, root, name, &how, sizeof how);
}

/* Its place in the jail is an empty file; there already, or another: told by the file behind it. */
static bool
put_file(PtContainers *c, const char *id, const PtDisk *d, const char *source, GError **error)
{
  g_autofree char *path = g_strdup_printf(PT_MACHINE_DISK, (guint)d->slot);
  struct stat want, have;
  pid_t pid;
  int root = jail_root(c, id, &pid, error), at = root < 0 ? -1 : open_below(root, path + 1);
  bool ok = false;

  if (root >= 0 && (at < 0 || fstat(at, &have) < 0)) {
    PT_SET(error, PT_ERR_CONFLICT, "the machine was started without a place for more disks");
    pt_error_hint(error, "it has them from its next start on:  portena restart NAME");
  } else if (root >= 0 && stat(source, &want) < 0) {
    pt_error_errno(error, errno, "%s", source);
  } else if (root >= 0 && have.st_ino == want.st_ino && have.st_dev == want.st_dev) {
    ok = true;
  } else if (root >= 0) {
    int tree = pt_inside_tree(source, -1, d->read_only, error);
    ok = tree >= 0 && pt_inside_mount(pid, tree, at, error);
    if (tree >= 0)
      close(tree);
  }
  if (at >= 0)
    close(at);
  if (root >= 0)
    close(root);
  return ok;
}

static void
take_file(PtContainers *c, const char *id, const PtDisk *d)
{
  g_autofree char *path = g_strdup_printf(PT_MACHINE_DISK, (guint)d->slot);
  pid_t pid;
  int root = jail_root(c, id, &pid, NULL);

  if (root < 0)
    return;
  pt_inside_umount(pid, root, path + 1, true, NULL); /* nobody has it open any more; not there is fine */
  close(root);
}

/* ---- the node and the device ---- */

static bool
has_node(PtQmp *q, const char *name, bool *ret, GError **error)
{
  g_autoptr(json_t) list = pt_qmp_run(q, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), PT_QEMU_ANSWER, error);
  const json_t *node;
  size_t i;

  *ret = false;
  json_array_foreach (list, i, node)
    *ret = *ret || strcmp(pt_json_str(node, "node-name", ""), name) == 0;
  return list != NULL;
}

static bool
add_device(PtQmp *q, const PtDisk *d, GError **error)
{
  g_autofree char *name = g_strdup_printf("disk%u", (guint)d->slot);
  bool node = false, plugged = false;

  if (!has_node(q, name, &node, error) || (!node && !pt_qmp_do(q, "blockdev-add", node_json(d), PT_QEMU_ANSWER, error)) ||
      !pt_machine_plugged(q, name, &plugged, error))
    return false;
  if (plugged || pt_qmp_do(q, "device_add", device_json(d, false), PT_QEMU_ANSWER, error))
    return true;
  pt_error_hint(error, "where another device has come to its slot meanwhile: stop the machine, and attach the volume then");
  return false;
}

/* A device that QEMU names no longer is taken apart a little later (by RCU), and has its node until then. */
static bool
remove_node(PtQmp *q, const char *name, GError **error)
{
  gint64 end = pt_mono() + UNPLUG_WAIT;
  bool there = false;

  for (;; g_usleep(LOOK)) {
    g_autoptr(GError) why = NULL;
    if (!has_node(q, name, &there, error))
      return false;
    if (!there || pt_qmp_do(q, "blockdev-del", json_pack("{s:s}", "node-name", name), PT_QEMU_ANSWER, &why))
      return true;
    if (!strstr(why->message, "is in use") || pt_mono() >= end) {
      g_propagate_error(error, g_steal_pointer(&why));
      return false;
    }
  }
}

static bool
remove_device(PtQmp *q, const PtDisk *d, GError **error)
{
  g_autofree char *name = g_strdup_printf("disk%u", (guint)d->slot);

  return pt_machine_unplug(q, name, UNPLUG_WAIT, error) && remove_node(q, name, error);
}

/* ---- the guest ---- */

static bool
ask(PtContainers *c, const PtInstance *spec, const char *verb, const char *serial, const char *more, GError **error)
{
  g_autoptr(GString) lines = g_string_new(NULL);

  pt_guest_add(lines, "do", verb);
  pt_guest_add(lines, "serial", serial);
  g_string_append(lines, more);
  g_autoptr(PtGuestCall) call = pt_guest_call(c, spec, lines->str, error);
  return call && pt_guest_call_answer(call, MOUNT_WAIT, NULL, error);
}

static bool
mount_in_guest(PtContainers *c, const PtInstance *spec, const PtDisk *d, GError **error)
{
  g_autofree char *serial = g_strdup_printf(PT_GUEST_DISK_SERIAL, (guint)d->slot);
  g_autoptr(GString) more = g_string_new(NULL);

  pt_guest_add(more, "path", d->path);
  pt_guest_add(more, "readonly", d->read_only ? "1" : NULL);
  if (ask(c, spec, "mount", serial, more->str, error))
    return true;
  g_prefix_error(error, "volume %s at %s: ", d->volume, d->path);
  return false;
}

static bool
unmount_in_guest(PtContainers *c, const PtInstance *spec, const PtDisk *d, GError **error)
{
  g_autofree char *serial = g_strdup_printf(PT_GUEST_DISK_SERIAL, (guint)d->slot);
  g_autoptr(GError) why = NULL;

  if (ask(c, spec, "unmount", serial, d->force ? "force=1\n" : "", &why) || d->force) /* the disk is taken from it anyway */
    return true;
  bool busy = g_error_matches(why, PT_ERROR, PT_ERR_CONFLICT);
  g_propagate_prefixed_error(error, g_steal_pointer(&why), "volume %s: ", d->volume);
  if (busy)
    pt_error_hint(error, "it stays attached; end that first, or take it away all the same:  portena volume detach %s %s --force",
                  spec->name, d->volume);
  return false;
}

bool
pt_machine_attach(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *d, const char *source, GError **error)
{
  if (!pt_machine_plugs(spec, error) || !put_file(c, id, d, source, error))
    return false;
  {
    g_autoptr(PtQmp) q = pt_machine_qmp(c, id, PT_QEMU_ANSWER, error); /* it serves one at a time, and a guest takes its time */
    if (!q || !add_device(q, d, error)) {
      g_prefix_error(error, "volume %s: ", d->volume);
      return false;
    }
  }
  return !d->path || mount_in_guest(c, spec, d, error);
}

/* Before anything is touched: whether the guest could let go of it, unless it has none. */
static bool
may_go(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *d, GError **error)
{
  g_autofree char *name = g_strdup_printf("disk%u", (guint)d->slot);
  bool there = true;

  if (pt_machine_plugs(spec, NULL))
    return true;
  g_autoptr(PtQmp) q = pt_machine_qmp(c, id, PT_QEMU_ANSWER, error);
  return q && pt_machine_plugged(q, name, &there, error) && (!there || pt_machine_plugs(spec, error));
}

bool
pt_machine_detach(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *d, const char *source, GError **error)
{
  (void)source;
  if (!may_go(c, id, spec, d, error) || (d->path && !unmount_in_guest(c, spec, d, error)))
    return false;
  g_autoptr(PtQmp) q = pt_machine_qmp(c, id, PT_QEMU_ANSWER, error);
  if (!q || !remove_device(q, d, error)) {
    g_prefix_error(error, "volume %s: ", d->volume);
    return false;
  }
  take_file(c, id, d);
  return true;
}

/* The file system in it grows where our agent can tell its kernel; else somebody else has to, or the next start does. */
bool
pt_machine_disk(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *d, gint64 bytes, bool *ret_whole, GError **error)
{
  g_autofree char *node = d ? g_strdup_printf("disk%u", (guint)d->slot) : g_strdup("volume");
  g_autofree char *serial = d ? g_strdup_printf(PT_GUEST_DISK_SERIAL, (guint)d->slot) : g_strdup(PT_GUEST_VOLUME_SERIAL);
  g_autofree char *more = g_strdup_printf("size=%" G_GINT64_FORMAT "\n", bytes);

  *ret_whole = spec->model == PT_MODEL_PC;
  {
    g_autoptr(PtQmp) q = pt_machine_qmp(c, id, PT_QEMU_ANSWER, error);
    if (!q || !pt_qmp_do(q, "block_resize", json_pack("{s:s, s:I}", "node-name", node, "size", (json_int_t)bytes), PT_QEMU_ANSWER, error))
      return false;
  }
  if (!*ret_whole && !(d && d->read_only))
    *ret_whole = ask(c, spec, "grow", serial, more, NULL);
  return true;
}
