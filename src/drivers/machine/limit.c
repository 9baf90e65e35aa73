// SPDX-License-Identifier: Apache-2.0
/* What changes about a running machine: what its group may take, how fast its disk is, how large. What its guest has of processors and
 * memory is resize.c's. */
#include "base/error.h"
#include "drivers/machine/internal.h"

#define ANSWER (5 * G_USEC_PER_SEC)

/* A group's weights hold what QEMU does for the guest, but its disk's speed they do not: the node's page cache stands between. */
static bool
limit_disk(PtQmp *q, const PtInstance *spec, GError **error)
{
  json_t *limits = json_pack("{s:I, s:I}", "bps-read", (json_int_t)spec->io_read, "bps-write", (json_int_t)spec->io_write);

  return pt_qmp_do(q, "qom-set", json_pack("{s:s, s:s, s:o}", "path", "/objects/io", "property", "limits", "value", limits), ANSWER, error);
}

bool
pt_machine_limit(PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  PtInstance limits = pt_machine_limits(spec);
  g_auto(PtMachinePlan) plan = { 0 };
  PtContainerState state;

  if (!pt_machine_plan_read(&plan, pt_containers_host(c), id, error))
    return false;
  /* One that stands still answers nobody: asked again when it goes on. */
  bool paused = pt_container_state(c, id, &state, NULL) && state.paused;
  gint64 has = plan.memory_max;
  g_autoptr(PtQmp) q = paused ? NULL : pt_machine_qmp(c, id, ANSWER, error);
  if (!paused && (!q || !pt_machine_guest_memory(q, &plan, &has, error)))
    return false;
  /* Less than the guest has would be the end of QEMU the moment the guest uses it. */
  limits.memory = MAX(limits.memory, has + limits.memory - pt_machine_memory(spec));
  return pt_container_limits(c, id, &limits, error) && (paused || limit_disk(q, spec, error));
}
