// SPDX-License-Identifier: Apache-2.0
/* Processors and memory of a running machine.
 *
 * Theory of operation. What a machine was started with is its base; what it can grow to was settled at its start (plan.c) and costs
 * nothing until it is used. Beyond the base memory is virtio-mem's: the guest plugs and unplugs it in blocks, as far as it can. Below the
 * base a balloon takes what the guest can spare. Processors are plugged in the order of their numbers and never unplugged (QEMU does
 * not survive that under TCG); the guest is asked to turn off those that it is not to use. So a machine that was hibernated is made
 * again by the number of its processors alone; what virtio-mem and the balloon hold is in the saved state.
 *
 * The guest is asked, not forced: what it has is read back, and pt_machine_resize() is called again until that is what was wanted. The
 * group's limit on memory is raised before the guest gets any, and lowered to what it really has. What only a new start can
 * do (PtMachinePlan) is not tried here. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/guest.h"
#include "base/json.h"
#include "drivers/machine/agent.h"
#include "drivers/machine/internal.h"

#define SETTLE (5 * G_USEC_PER_SEC) /* how long somebody waits for the guest; it may take longer */
#define LOOK 5000
#define SOON (2 * G_USEC_PER_SEC) /* somebody waits for an answer of the API */
#define AGENT_WAIT (8 * G_USEC_PER_SEC)
#define GROW "/machine/peripheral/" PT_MACHINE_GROW

static bool
number_of(PtQmp *q, const char *command, json_t *arguments, const char *member, gint64 *ret, GError **error)
{
  g_autoptr(json_t) answer = pt_qmp_run(q, command, arguments, PT_QEMU_ANSWER, error);
  const json_t *number = member ? json_object_get(answer, member) : answer;

  if (!answer)
    return false;
  *ret = json_integer_value(number);
  if (json_is_integer(number) && *ret >= 0)
    return true;
  PT_SET(error, PT_ERR_INTERNAL, "QEMU: %s: answers with no number", command);
  return false;
}

static bool
property(PtQmp *q, const char *name, gint64 *ret, GError **error)
{
  return number_of(q, "qom-get", json_pack("{s:s, s:s}", "path", GROW, "property", name), NULL, ret, error);
}

/* The bytes that the guest has of both kinds. */
static bool
measure(PtQmp *q, const PtMachinePlan *plan, gint64 *ret_base, gint64 *ret_more, GError **error)
{
  *ret_more = 0;
  return number_of(q, "query-balloon", NULL, "actual", ret_base, error) &&
         (!pt_machine_room(plan) || property(q, "size", ret_more, error));
}

bool
pt_machine_guest_memory(PtQmp *q, const PtMachinePlan *plan, gint64 *ret, GError **error)
{
  gint64 base, more;

  if (!measure(q, plan, &base, &more, error))
    return false;
  *ret = MIN(base, plan->memory) + MIN(more, pt_machine_room(plan)); /* a QEMU that says more has gone over to its guest */
  return true;
}

bool
pt_machine_set_memory(PtQmp *q, const PtMachinePlan *plan, gint64 want, gint64 wait, bool *ret_reached, GError **error)
{
  gint64 end = pt_mono() + wait, base = MIN(want, plan->memory);
  gint64 more = CLAMP(want - plan->memory, 0, pt_machine_room(plan)) / PT_MACHINE_BLOCK * PT_MACHINE_BLOCK;
  gint64 has_base, has_more, asked = 0;

  if (!measure(q, plan, &has_base, &has_more, error) ||
      (pt_machine_room(plan) && !property(q, "requested-size", &asked, error)) ||
      (asked != more && !pt_qmp_do(q, "qom-set", json_pack("{s:s, s:s, s:I}", "path", GROW, "property", "requested-size", "value",
                                                           (json_int_t)more), PT_QEMU_ANSWER, error)) ||
      (has_base != base && !pt_qmp_do(q, "balloon", json_pack("{s:I}", "value", (json_int_t)base), PT_QEMU_ANSWER, error)))
    return false;
  for (;;) {
    if (!measure(q, plan, &has_base, &has_more, error))
      return false;
    *ret_reached = has_base == base && has_more == more;
    if (*ret_reached || pt_mono() >= end)
      return true;
    g_usleep(LOOK);
  }
}

/* ---- processors ---- */

/* The place of a processor among all, as one number: sockets hold dies, these cores, these threads. */
static gint64
place_of(const json_t *cpu)
{
  static const char *const levels[] = { "socket-id", "die-id", "cluster-id", "module-id", "core-id", "thread-id" };
  gint64 place = 0;

  for (guint i = 0; i < G_N_ELEMENTS(levels); i++)
    place = place * 1024 + CLAMP(pt_json_int(json_object_get(cpu, "props"), levels[i], 0), 0, 1023);
  return place;
}

/* How many processors there are, and where the next one goes (borrowed of `list`; NULL where there is no room). */
static guint
plugged_of(const json_t *list, const json_t **ret_next)
{
  const json_t *cpu;
  guint plugged = 0;
  size_t i;

  *ret_next = NULL;
  json_array_foreach (list, i, cpu) {
    if (json_object_get(cpu, "qom-path"))
      plugged++;
    else if (!*ret_next || place_of(cpu) < place_of(*ret_next))
      *ret_next = cpu;
  }
  return plugged;
}

bool
pt_machine_guest_cpus(PtQmp *q, guint *ret, GError **error)
{
  g_autoptr(json_t) list = pt_qmp_run(q, "query-cpus-fast", NULL, PT_QEMU_ANSWER, error); /* any board knows that one */

  if (!list)
    return false;
  *ret = (guint)json_array_size(list);
  return true;
}

bool
pt_machine_plug_cpus(PtQmp *q, const PtMachinePlan *plan, guint want, guint *ret_plugged, GError **error)
{
  *ret_plugged = plan->cpus; /* a board that knows no plugging has those that it was started with */
  if (plan->cpus_max <= plan->cpus)
    return true;
  for (guint tries = 0; tries <= plan->cpus_max; tries++) {
    const json_t *next;
    g_autoptr(json_t) list = pt_qmp_run(q, "query-hotpluggable-cpus", NULL, PT_QEMU_ANSWER, error);
    if (!list)
      return false;
    *ret_plugged = plugged_of(list, &next);
    if (*ret_plugged >= want || !next)
      return true;
    json_t *device = json_object_get(next, "props") ? json_copy(json_object_get(next, "props")) : json_object();
    g_autofree char *id = g_strdup_printf("cpu%u", *ret_plugged);
    json_object_set_new(device, "driver", json_string(pt_json_str(next, "type", "")));
    json_object_set_new(device, "id", json_string(id));
    if (!pt_qmp_do(q, "device_add", device, PT_QEMU_ANSWER, error))
      return false;
  }
  return true;
}

/* How many it uses, of the first `want` if that is not 0. 0 where the guest does not say, with *ret_later: it may say so later. */
static gint64
use_cpus(PtContainers *c, const PtInstance *spec, guint want, bool *ret_later)
{
  g_autofree char *lines = want ? g_strdup_printf("do=cpus\ncount=%u\n", want) : g_strdup("do=cpus\n"), *said = NULL;
  g_autoptr(GError) err = NULL;
  g_autoptr(PtGuestCall) call = pt_guest_call(c, spec, lines, &err);
  const char *key, *value;
  gint64 online = 0;

  *ret_later = false;
  if (!call || !pt_guest_call_answer(call, AGENT_WAIT, &said, &err)) {
    /* An agent of an older kernel image does not know the question. */
    *ret_later = !g_error_matches(err, PT_ERROR, PT_ERR_INVALID) && !g_error_matches(err, PT_ERROR, PT_ERR_UNSUPPORTED);
    return 0;
  }
  for (char *at = said, *end = said + strlen(said); pt_guest_line(&at, end, &key, &value) > 0;)
    if (strcmp(key, "online") == 0 && !g_ascii_string_to_signed(value, 10, 1, 1024, &online, NULL))
      online = 0;
  return online;
}

static bool
set_cpus(PtContainers *c, PtQmp *q, const PtInstance *spec, const PtMachinePlan *plan, PtGuestSize *ret, GError **error)
{
  guint plugged, want = pt_machine_cpus(spec, pt_containers_host(c));

  if (plan->pc) { /* nothing of ours is in there that would turn one on or off */
    ret->cpus = plan->cpus;
    return true;
  }
  if (want > plan->cpus_max) /* by a start alone: until then it has what it has */
    want = 0;
  if (!pt_machine_plug_cpus(q, plan, want, &plugged, error)) {
    g_prefix_error(error, "processors: ");
    return false;
  }
  bool later;
  ret->cpus = use_cpus(c, spec, want, &later);
  ret->reached = ret->reached && !later && (!want || !ret->cpus || ret->cpus == want);
  return true;
}

/* ---- both ---- */

/* What `want` bytes need is there: room to grow into, and in a pc, whose system is not ours, a driver for its balloon. QEMU tells that
 * by a command that it calls unstable, so one that does not know it counts as a yes. */
static bool
can_have(PtQmp *q, const PtMachinePlan *plan, gint64 want)
{
  static const char path[] = "/machine/peripheral/balloon/virtio-backend", ready[] = "VIRTIO_CONFIG_S_DRIVER_OK";
  const json_t *list, *word;
  bool found = false;
  size_t i;

  if (want < PT_MACHINE_MEMORY_MIN || want > plan->memory_max || !plan->pc || !q)
    return want >= PT_MACHINE_MEMORY_MIN && want <= plan->memory_max;
  g_autoptr(json_t) answer = pt_qmp_run(q, "x-query-virtio-status", json_pack("{s:s}", "path", path), SOON, NULL);
  list = json_object_get(json_object_get(answer, "status"), "statuses");
  json_array_foreach (list, i, word)
    found = found || g_str_has_prefix(json_is_string(word) ? json_string_value(word) : "", ready);
  return found || !json_is_array(list);
}

/* Not below what is in use there: the guest has given it back, but not yet QEMU, and it is tried again. */
static bool
lower_limit(PtContainers *c, const PtInstance *spec, PtGuestSize *ret, GError **error)
{
  PtInstance limits = pt_machine_limits(spec);
  g_autoptr(GError) err = NULL;

  limits.memory = MAX(limits.memory, limits.memory - pt_machine_memory(spec) + ret->memory);
  if (pt_container_limits(c, spec->id, &limits, &err))
    return true;
  if (!g_error_matches(err, PT_ERROR, PT_ERR_CONFLICT)) {
    g_propagate_error(error, g_steal_pointer(&err));
    return false;
  }
  ret->reached = false;
  return true;
}

bool
pt_machine_resize(PtContainers *c, const char *id, const PtInstance *spec, PtGuestSize *ret, GError **error)
{
  g_auto(PtMachinePlan) plan = { 0 };
  gint64 want = pt_machine_memory(spec);

  *ret = (PtGuestSize){ .reached = true };
  if (!pt_machine_plan_read(&plan, pt_containers_host(c), id, error))
    return false;
  g_autoptr(PtQmp) q = pt_machine_qmp(c, id, PT_QEMU_ANSWER, error);
  if (!q || (can_have(q, &plan, want) && !pt_machine_set_memory(q, &plan, want, SETTLE, &ret->reached, error)) ||
      !pt_machine_guest_memory(q, &plan, &ret->memory, error) || !set_cpus(c, q, spec, &plan, ret, error))
    return false;
  return lower_limit(c, spec, ret, error);
}

bool
pt_machine_size(PtContainers *c, const char *id, PtGuestSize *ret, GError **error)
{
  g_auto(PtMachinePlan) plan = { 0 };

  if (!pt_machine_plan_read(&plan, pt_containers_host(c), id, error))
    return false;
  *ret = (PtGuestSize){ .cpus = plan.cpus, .memory = plan.memory, .reached = true };
  return true;
}

bool
pt_machine_resizes(PtContainers *c, const PtInstance *spec, const char *field)
{
  const PtHost *host = pt_containers_host(c);
  g_auto(PtMachinePlan) plan = { 0 };

  if (!pt_machine_plan_read(&plan, host, spec->id, NULL))
    return false;
  if (strcmp(field, "memory") == 0) {
    g_autoptr(PtQmp) q = plan.pc ? pt_machine_qmp(c, spec->id, SOON, NULL) : NULL;
    return can_have(q, &plan, pt_machine_memory(spec));
  }
  guint want = pt_machine_cpus(spec, host);
  return plan.pc ? want == plan.cpus : want <= plan.cpus_max;
}
