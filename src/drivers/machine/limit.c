// SPDX-License-Identifier: Apache-2.0
/* What changes about a running machine: what its group may take, how fast its disk is, how large. Memory and processors wait for the
 * next start. */
#include "base/error.h"
#include "drivers/machine/internal.h"

#define ANSWER (5 * G_USEC_PER_SEC)

/* A group's weights hold what QEMU does for the guest, but its disk's speed they do not: the node's page cache stands between. */
static bool
limit_disk(PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  g_autoptr(PtQmp) q = pt_machine_qmp(c, id, ANSWER, error);
  json_t *limits = json_pack("{s:I, s:I}", "bps-read", (json_int_t)spec->io_read, "bps-write", (json_int_t)spec->io_write);

  if (!q) {
    json_decref(limits);
    return false;
  }
  return pt_qmp_do(q, "qom-set", json_pack("{s:s, s:s, s:o}", "path", "/objects/io", "property", "limits", "value", limits), ANSWER, error);
}

bool
pt_machine_limit(PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  PtInstance limits = pt_machine_limits(spec);
  gint64 has = pt_machine_plan_memory(c, id);
  PtContainerState state;

  /* Less than the guest has would be the end of QEMU the moment the guest uses it. */
  limits.memory = MAX(limits.memory, has + limits.memory - pt_machine_memory(spec));
  if (!pt_container_limits(c, id, &limits, error))
    return false;
  /* One that stands still answers nobody: asked again when it goes on. */
  return (pt_container_state(c, id, &state, NULL) && state.paused) || limit_disk(c, id, spec, error);
}

bool
pt_machine_disk(PtContainers *c, const char *id, gint64 bytes, GError **error)
{
  g_autoptr(PtQmp) q = pt_machine_qmp(c, id, ANSWER, error);

  return q && pt_qmp_do(q, "block_resize", json_pack("{s:s, s:I}", "node-name", "volume", "size", (json_int_t)bytes), ANSWER, error);
}
