// SPDX-License-Identifier: Apache-2.0
/* Further network cards of a machine. Each sits in a slot, so that it can go while the machine runs: one that is there from the start in
 * one that the machine has for it, beyond the usual ones, one that comes later in the first free one. Which it is and what MAC it has is
 * asked of QEMU when the machine is hibernated, as the QEMU that goes on has to have the same in the same place. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "drivers/machine/agent.h"
#include "drivers/machine/internal.h"
#include "drivers/network/network.h"

#define LET_GO (15 * G_USEC_PER_SEC)
#define TOLD (20 * G_USEC_PER_SEC)
#define DEVICES "/machine/peripheral/"

/* ---- what it is made of ---- */

static PtMachineNic *
add_nic(PtMachinePlan *p, const char *name, const char *mac, guint slot)
{
  PtMachineNic *n = &p->nics[p->n_nics++];

  g_strlcpy(n->name, name, sizeof n->name);
  g_strlcpy(n->mac, mac, sizeof n->mac);
  n->slot = slot;
  return n;
}

void
pt_machine_nics_plan(PtMachinePlan *p)
{
  for (guint i = 0; p->network && p->spec->nics && i < p->spec->nics->len && p->n_nics < PT_NICS_MAX; i++) {
    const PtNic *nic = g_ptr_array_index(p->spec->nics, i);
    add_nic(p, nic->name, nic->mac, p->slots++)->wired = true;
  }
}

/* Its former QEMU wrote it down. One that the guest had not let go of is of nobody any more, and leads nowhere. */
void
pt_machine_nics_resume(PtMachinePlan *p, const json_t *saved)
{
  const json_t *one;
  size_t i;

  p->n_nics = 0;
  json_array_foreach (json_object_get(saved, "nics"), i, one) {
    const char *name = pt_json_str(one, "name", ""), *mac = pt_json_str(one, "mac", "");
    const PtNic *nic = pt_instance_nic(p->spec, name);
    if (p->n_nics < PT_NICS_MAX && pt_net_card_number(name))
      add_nic(p, name, mac, (guint)CLAMP(pt_json_int(one, "slot", 0), 0, PT_MACHINE_SLOTS_MAX - 1))->wired =
        p->network && nic && g_ascii_strcasecmp(nic->mac, mac) == 0;
  }
}

void
pt_machine_args_nics(GPtrArray *a, const PtMachinePlan *p)
{
  for (guint i = 0; i < p->n_nics; i++) {
    const PtMachineNic *n = &p->nics[i];
    char tap[8];

    pt_engine_tap(n->name, tap);
    if (n->wired)
      pt_machine_add(a, "-netdev", "tap,id=%s,ifname=%s,script=no,downscript=no,vhost=off", n->name, tap);
    pt_machine_add(a, "-device", "%s,id=%s,%s%s%smac=%s,romfile=,bus=slot%u", p->emulated ? "e1000e" : "virtio-net-pci", n->name,
                   n->wired ? "netdev=" : "", n->wired ? n->name : "", n->wired ? "," : "", n->mac, n->slot);
  }
}

/* ---- what QEMU says ---- */

/* A property that is a string, as far as it looks like one of ours; the caller's. */
static char *
property(PtQmp *q, const char *card, const char *name, const char *form, GError **error)
{
  g_autofree char *path = g_strconcat(DEVICES, card, NULL);
  g_autoptr(json_t) value = pt_qmp_run(q, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", name), PT_QEMU_ANSWER, error);
  const char *text = value ? json_string_value(value) : NULL;

  if (text && g_regex_match_simple(form, text, 0, 0))
    return g_strdup(text);
  if (value)
    PT_SET(error, PT_ERR_INTERNAL, "QEMU does not say the %s of %s", name, card);
  return NULL;
}

static char *
mac_of(PtQmp *q, const char *card, GError **error)
{
  return property(q, card, "mac", "^[0-9a-fA-F:]{17}$", error);
}

json_t *
pt_machine_nics_keep(PtQmp *q, GError **error)
{
  g_autoptr(json_t) list = json_array();

  for (guint n = 1; n <= PT_NICS_MAX; n++) {
    char name[8];
    bool there;
    guint slot;

    g_snprintf(name, sizeof name, "eth%u", n);
    if (!pt_machine_plugged(q, name, &there, error))
      return NULL;
    if (!there)
      continue;
    g_autofree char *mac = mac_of(q, name, error), *bus = mac ? property(q, name, "parent_bus", "/slot[0-9]{1,2}$", error) : NULL;
    if (!bus)
      return NULL;
    if (sscanf(strrchr(bus, '/'), "/slot%u", &slot) != 1 || slot >= PT_MACHINE_SLOTS_MAX) {
      PT_SET(error, PT_ERR_INTERNAL, "QEMU does not say which slot %s is in", name);
      return NULL;
    }
    json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "name", name, "mac", mac, "slot", (int)slot));
  }
  return g_steal_pointer(&list);
}

/* ---- one that runs ---- */

/* A back end alone; absent is success. */
static void
unwire(PtQmp *q, const char *name)
{
  pt_qmp_do(q, "netdev_del", json_pack("{s:s}", "id", name), PT_QEMU_ANSWER, NULL);
}

static bool
plug(PtQmp *q, const PtInstance *spec, const PtNic *nic, GError **error)
{
  bool emulated = spec->model == PT_MODEL_PC && spec->hardware == PT_HARDWARE_EMULATED;
  char tap[8];

  pt_engine_tap(nic->name, tap);
  if (!pt_machine_plugs(spec, error))
    return false;
  unwire(q, nic->name); /* of one that was cut off in between */
  if (!pt_qmp_do(q, "netdev_add", json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "type", "tap", "id", nic->name, "ifname", tap, "script", "no",
                                            "downscript", "no", "vhost", 0), PT_QEMU_ANSWER, error))
    return false;
  if (pt_machine_plug(q, json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", emulated ? "e1000e" : "virtio-net-pci", "id", nic->name, "netdev",
                                   nic->name, "mac", nic->mac, "romfile", ""), NULL, error))
    return true;
  unwire(q, nic->name);
  return false;
}

/* What the guest of a machine without our agent does with a new card is its own matter. */
static bool
tell(PtContainers *c, const PtInstance *spec, const char *line, GError **error)
{
  g_autoptr(GString) lines = g_string_new("do=card\n");

  if (spec->model != PT_MODEL_MICRO)
    return true;
  pt_guest_add(lines, "card", line);
  g_autoptr(PtGuestCall) call = pt_guest_call(c, spec, lines->str, error);
  return call && pt_guest_call_answer(call, TOLD, NULL, error);
}

bool
pt_machine_nic_add(PtContainers *c, const PtInstance *spec, const PtNic *nic, const char *line, GError **error)
{
  g_autoptr(PtQmp) q = pt_machine_qmp(c, spec->id, PT_QEMU_ANSWER, error);
  bool there;

  if (!q || !pt_machine_plugged(q, nic->name, &there, error))
    return false;
  if (there) { /* a former one of that name, which the guest did not let go of? */
    g_autofree char *mac = mac_of(q, nic->name, error);
    if (!mac)
      return false;
    if (g_ascii_strcasecmp(mac, nic->mac) != 0) {
      if (!pt_machine_unplug(q, nic->name, LET_GO, error))
        return false;
      there = false;
    }
  }
  return (there || plug(q, spec, nic, error)) && (!line || tell(c, spec, line, error));
}

bool
pt_machine_nic_remove(PtContainers *c, const PtInstance *spec, const char *name, GError **error)
{
  g_autoptr(PtQmp) q = pt_machine_qmp(c, spec->id, PT_QEMU_ANSWER, error);

  if (!q)
    return false;
  bool gone = pt_machine_unplug(q, name, LET_GO, error);
  unwire(q, name); /* in any case: nothing comes or goes by it any more */
  return gone;
}
