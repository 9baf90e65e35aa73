// SPDX-License-Identifier: Apache-2.0
/* Processors and memory of guests that have their own kernel (drivers/engine.h: resize). A guest gives and takes as it can, so it is
 * asked until it has what it is to have: soon at first, then once a minute. */
#include "base/error.h"
#include "node/agent_impl.h"

#define AGAIN_FIRST (1 * G_USEC_PER_SEC)
#define AGAIN_LAST (60 * G_USEC_PER_SEC)

void
pt_unit_resize_want(PtUnit *u, const PtInstance *spec, bool unknown)
{
  if (!unknown && u->sized_cpu == spec->cpu && u->sized_memory == spec->memory)
    return;
  u->resize = true;
  u->resize_wait = AGAIN_FIRST;
  u->sized_cpu = spec->cpu;
  u->sized_memory = spec->memory;
}

bool
pt_unit_resize(PtAgent *a, PtUnit *u, const PtInstance *spec, bool *ret_news, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  PtContainerState state = { 0 };
  PtStatus *s = u->status;
  PtGuestSize size;

  *ret_news = false;
  if (!engine)
    return false;
  if (!u->resize || !engine->resize || !s->ready || (pt_container_state(a->containers, spec->id, &state, NULL) && state.paused))
    return true;
  if (!engine->resize(a->containers, spec->id, spec, &size, error))
    return false;
  u->resize = !size.reached;
  if (u->resize) {
    pt_unit_enqueue_after(a, u, u->resize_wait);
    u->resize_wait = MIN(2 * u->resize_wait, AGAIN_LAST);
  }
  if (!size.cpus)
    size.cpus = s->guest_cpus;
  *ret_news = s->guest_cpus != size.cpus || s->guest_memory != size.memory;
  s->guest_cpus = size.cpus;
  s->guest_memory = size.memory;
  return true;
}

void
pt_unit_sized(PtAgent *a, PtUnit *u, const PtInstance *spec, bool resumed)
{
  const PtEngine *engine = pt_engine_of(spec, NULL);
  PtGuestSize size = { 0 };

  if (engine && engine->size && !resumed && !engine->size(a->containers, spec->id, &size, NULL))
    size = (PtGuestSize){ 0 };
  u->status->guest_cpus = size.cpus;
  u->status->guest_memory = size.memory;
  pt_unit_resize_want(u, spec, true);
  u->resize = false;
}

bool
pt_agent_resizes(PtAgent *a, const PtInstance *spec, const char *field)
{
  const PtEngine *engine = pt_engine_of(spec, NULL);

  return !engine || !engine->resizes || engine->resizes(a->containers, spec, field);
}
