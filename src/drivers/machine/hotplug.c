// SPDX-License-Identifier: Apache-2.0
/* Devices that come and go while a machine runs. Each takes one of the machine's slots, a PCI Express root port with room for one
 * device (args.c). What is in them is asked of QEMU every time: nothing is remembered here. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "drivers/machine/internal.h"
#include "sys/arch.h"

#define LOOK_MIN 2000 /* µs */
#define LOOK_MAX 100000
#define DEVICES "/machine/peripheral"

/* Members of the object at `path`, and whether one has a name that begins so. */
static bool
has_member(PtQmp *q, const char *path, const char *prefix, bool whole, bool *ret, GError **error)
{
  g_autoptr(json_t) list = pt_qmp_run(q, "qom-list", json_pack("{s:s}", "path", path), PT_QEMU_ANSWER, error);
  const json_t *member;
  size_t i;

  *ret = false;
  json_array_foreach (list, i, member) {
    const char *name = pt_json_str(member, "name", "");
    *ret = *ret || (whole ? strcmp(name, prefix) == 0 : g_str_has_prefix(name, prefix));
  }
  return list != NULL;
}

bool
pt_machine_plugs(const PtInstance *spec, GError **error)
{
  const char *arch = spec->arch ? spec->arch : pt_arch_host()->name;
  const PtMachineBoard *board = pt_machine_board(arch);

  if (!board || board->plugs)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "no device can come to a machine of %s, or leave it, while it runs: its kernel cannot", arch);
  pt_error_hint(error, "stop it first:  portena stop %s", spec->name);
  return false;
}

bool
pt_machine_plugged(PtQmp *q, const char *id, bool *ret, GError **error)
{
  return has_member(q, DEVICES, id, true, ret, error);
}

/* A bus is below the device that it belongs to, has its id, and a member "child[N]" for each device on it. */
static bool
free_slot(PtQmp *q, guint *ret, GError **error)
{
  for (guint i = 0; i < PT_MACHINE_SLOTS; i++) {
    g_autofree char *path = g_strdup_printf(DEVICES "/slot%u/slot%u", i, i);
    g_autoptr(GError) err = NULL;
    bool taken;

    if (has_member(q, path, "child[", false, &taken, &err)) {
      if (!taken) {
        *ret = i;
        return true;
      }
    } else if (!g_error_matches(err, PT_ERROR, PT_ERR_NOT_FOUND)) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    } else if (i == 0) {
      PT_SET(error, PT_ERR_CONFLICT, "the machine was started without slots for more devices");
      pt_error_hint(error, "it has them from its next start on:  portena restart NAME");
      return false;
    }
  }
  PT_SET(error, PT_ERR_CONFLICT, "all %d slots of the machine are taken", PT_MACHINE_SLOTS);
  pt_error_hint(error, "take a device away from it first, or stop it: what is attached before the start takes none");
  return false;
}

bool
pt_machine_plug(PtQmp *q, json_t *device, guint *ret_slot, GError **error)
{
  g_autoptr(json_t) arguments = device;
  char bus[16];
  guint slot;

  if (!arguments) {
    PT_SET(error, PT_ERR_INVALID, "device: a property is not UTF-8");
    return false;
  }
  if (!free_slot(q, &slot, error))
    return false;
  g_snprintf(bus, sizeof bus, "slot%u", slot);
  json_object_set_new(arguments, "bus", json_string(bus));
  if (!pt_qmp_do(q, "device_add", g_steal_pointer(&arguments), PT_QEMU_ANSWER, error))
    return false;
  if (ret_slot)
    *ret_slot = slot;
  return true;
}

/* The event of its end may have come to another client, or before we listened: what counts is whether QEMU still has it. The guest's
 * refusal is an event only. */
static bool
refused(PtQmp *q, const char *id)
{
  json_t *data;
  char *name;
  bool found = false;

  while ((name = pt_qmp_next(q, &data))) {
    found = found || (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 && strcmp(pt_json_str(data, "device", ""), id) == 0);
    json_decref(data);
    g_free(name);
  }
  return found;
}

bool
pt_machine_unplug(PtQmp *q, const char *id, gint64 timeout, GError **error)
{
  gint64 end = pt_mono() + timeout;
  gulong wait = LOOK_MIN;
  g_autoptr(GError) why = NULL;
  bool there = true;

  if (!pt_qmp_do(q, "device_del", json_pack("{s:s}", "id", id), PT_QEMU_ANSWER, &why)) {
    if (g_error_matches(why, PT_ERROR, PT_ERR_NOT_FOUND))
      return true;
    if (!g_error_matches(why, PT_ERROR, PT_ERR_INTERNAL) || !strstr(why->message, "already in the process")) {
      g_propagate_error(error, g_steal_pointer(&why));
      return false;
    }
  }
  for (;; g_usleep(wait), wait = MIN(2 * wait, LOOK_MAX)) {
    if (!pt_machine_plugged(q, id, &there, error))
      return false;
    if (!there)
      return true;
    if (refused(q, id) || pt_mono() >= end)
      break;
  }
  g_autofree char *shown = pt_text_safe(id, 60);
  PT_SET(error, PT_ERR_TIMEOUT, "%s: the machine's system does not let go of it", shown);
  pt_error_hint(error, "unmount it or end what uses it there, and ask again; or stop the machine first");
  return false;
}
