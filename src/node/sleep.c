// SPDX-License-Identifier: Apache-2.0
/* Hibernation of one instance, whichever form its engine knows: it stands still in its jail, or what it held is saved and nothing
 * of it runs. In the second form all that it used on the node is put away as after a stop, and it is started from what was saved. */
#include "base/error.h"
#include "node/agent_impl.h"

bool
pt_agent_hibernates(const PtInstance *spec, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);

  if (!engine)
    return false;
  if (engine->hibernate)
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "%s: a %s cannot be hibernated", spec->name, pt_kind_names[spec->kind]);
  pt_error_hint(error, "let it stand still instead, with its memory kept:  portena pause %s", spec->name);
  return false;
}

bool
pt_agent_durable(PtAgent *a, const PtInstance *spec, GError **error)
{
  if (!pt_agent_hibernates(spec, error))
    return false;
  if (spec->kind == PT_KIND_MACHINE || pt_container_durable(a->host, spec, error))
    return true;
  g_prefix_error(error, "%s: ", spec->name);
  return false;
}

bool
pt_unit_saved(PtAgent *a, const PtInstance *spec)
{
  const PtEngine *engine = pt_engine_of(spec, NULL);

  return engine && engine->saved && engine->saved(a->containers, spec->id);
}

bool
pt_unit_forget(PtAgent *a, const PtInstance *spec, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, NULL);

  return !engine || !engine->forget || engine->forget(a->containers, spec->id, error);
}

bool
pt_unit_hibernate(PtAgent *a, const PtInstance *spec, PtSleep *ret, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);

  if (!engine || !pt_agent_hibernates(spec, error))
    return false;
  g_autoptr(PtImage) image = pt_agent_image(a, spec->image, error);
  if (!image)
    return false;
  if (engine->hibernate(a->containers, spec->id, spec, image, ret, error))
    return true;
  g_prefix_error(error, "%s: ", spec->name);
  return false;
}

bool
pt_unit_wake(PtAgent *a, PtUnit *u, const PtInstance *spec, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  g_autoptr(PtImage) image = engine ? pt_agent_image(a, spec->image, error) : NULL;

  u->limits_known = false; /* what was changed while it slept holds from now on */
  if (!image)
    return false;
  if (engine->wake(a->containers, spec->id, spec, image, error))
    return true;
  g_prefix_error(error, "%s: ", spec->name);
  return false;
}
