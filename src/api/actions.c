// SPDX-License-Identifier: Apache-2.0
/* Start, stop, restart, pause, hibernate, resume and delete; and waking for whoever connects. */
#include "api/auth.h"
#include "api/bodies.h"
#include "api/change.h"
#include "api/handlers.h"
#include "api/instances.h"
#include "base/clock.h"

#define WAKE_WAIT (60 * G_USEC_PER_SEC)

static bool
act(PtSpecChange *c, GError **error)
{
  const PtBodyAction *b = c->data;
  PtInstance *s = c->spec;
  int state = pt_spec_state(c);
  bool still = state == PT_RUN_STOPPED || state == PT_RUN_FAILED;
  g_autofree char *resume = g_strdup_printf("portena resume %s", s->name),
                  *start = g_strdup_printf("portena start %s", s->name);

  switch ((PtAction)b->action) {
  case PT_ACTION_START:
    if (state == PT_RUN_PAUSED)
      return pt_spec_wrong_state(c, resume, error);
    if (!still && state != PT_RUN_HIBERNATED)
      return pt_spec_wrong_state(c, "nothing was changed", error);
    break;
  case PT_ACTION_STOP:
    if (still && s->power == PT_POWER_STOPPED)
      return pt_spec_wrong_state(c, "nothing was changed", error);
    break;
  case PT_ACTION_PAUSE:
    if (state == PT_RUN_PAUSED)
      return pt_spec_wrong_state(c, "nothing was changed", error);
    if (state != PT_RUN_RUNNING)
      return pt_spec_wrong_state(c, state == PT_RUN_HIBERNATED ? resume : start, error);
    break;
  case PT_ACTION_HIBERNATE:
    if (state == PT_RUN_HIBERNATED)
      return pt_spec_wrong_state(c, "nothing was changed", error);
    if (state != PT_RUN_RUNNING && state != PT_RUN_PAUSED)
      return pt_spec_wrong_state(c, start, error);
    if (!pt_agent_hibernates(s, error) || (b->durable && !pt_agent_durable(c->r->api->agent, s, error)))
      return false;
    break;
  case PT_ACTION_RESUME:
    if (state != PT_RUN_PAUSED && state != PT_RUN_HIBERNATED)
      return pt_spec_wrong_state(c, "only what is paused or hibernated can be resumed", error);
    break;
  default:
    break;
  }
  if ((b->action == PT_ACTION_START && still) || b->action == PT_ACTION_RESTART) /* a hibernated one is started by going on */
    s->boot++;
  s->power = b->action == PT_ACTION_STOP        ? PT_POWER_STOPPED
             : b->action == PT_ACTION_PAUSE     ? PT_POWER_PAUSED
             : b->action == PT_ACTION_HIBERNATE ? PT_POWER_HIBERNATED
                                                : PT_POWER_RUNNING;
  s->force = b->force;
  s->durable = b->durable && b->action == PT_ACTION_HIBERNATE;
  s->deadline = b->deadline;
  return true;
}

bool
pt_actions_post(PtRequest *r, GError **error)
{
  PtBodyAction *b = pt_body_record(r, &pt_body_action, error);
  g_autofree char *op = NULL;

  if (!b)
    return false;
  r->action = g_strdup(pt_action_names[b->action]);
  if (b->action == PT_ACTION_NONE) {
    PT_SET(error, PT_ERR_INVALID, "action: start, stop, restart, pause, hibernate or resume is wanted");
  } else {
    bool undoes = b->action == PT_ACTION_STOP || b->action == PT_ACTION_RESTART;
    op = pt_spec_change(r, pt_action_names[b->action], undoes, act, b, error);
  }
  pt_record_free(&pt_body_action, b);
  return op && pt_reply_operation(r, op, pt_instance_refresh, error);
}

/* ── resume on connect ── */

static bool
asleep(const PtInstance *spec, const PtStatus *status)
{
  return status && (status->state == PT_RUN_HIBERNATED || (spec->power == PT_POWER_HIBERNATED && status->generation != spec->generation));
}

static bool
wake(PtSpecChange *c, GError **error)
{
  if (pt_spec_state(c) != PT_RUN_HIBERNATED)
    return pt_spec_wrong_state(c, "nothing was changed", error);
  c->spec->power = PT_POWER_RUNNING;
  return true;
}

/* What the operation failed with, in its own words. */
static bool
went_well(PtRequest *r, const char *id, GError **error)
{
  gint64 end = pt_mono() + WAKE_WAIT;
  g_autoptr(PtOperation) op = NULL;
  PtErr code = PT_ERR_INTERNAL;

  do {
    g_clear_pointer(&op, pt_operation_free);
    op = pt_ops_wait(r->api->ops, id, MIN(end - pt_mono(), G_USEC_PER_SEC), error);
  } while (op && op->state < PT_OP_DONE && pt_mono() < end && !pt_link_gone(r->link));
  if (!op || op->state == PT_OP_DONE)
    return op != NULL;
  if (op->state < PT_OP_DONE) {
    PT_SET(error, PT_ERR_TIMEOUT, "it does not wake\nlook at its operation:  portena op show %s", id);
    return false;
  }
  if (op->error_code)
    pt_err_from_name(op->error_code, &code);
  PT_SET(error, code, "%s", op->error ? op->error : "it was not woken");
  return false;
}

bool
pt_instance_wake(PtRequest *r, GError **error)
{
  g_autoptr(PtStatus) status = NULL, now = NULL;
  g_autoptr(PtInstance) spec = pt_instance_load(r, &status, NULL, error);
  g_autoptr(GError) err = NULL;

  if (!spec)
    return false;
  if (!asleep(spec, status) || r->thumbnail)
    return true;
  g_autofree char *op = pt_spec_change(r, "resume", false, wake, NULL, &err);
  if (op && !r->audit_detail)
    r->audit_detail = g_strdup("woke it");
  if (op && went_well(r, op, &err))
    return true;
  g_autoptr(PtInstance) again = pt_instance_load(r, &now, NULL, NULL);
  if (again && !asleep(again, now)) /* somebody else was faster */
    return true;
  g_propagate_error(error, g_steal_pointer(&err));
  return false;
}

static bool
mark_deleting(PtSpecChange *c, GError **error)
{
  const bool *force = c->data;
  int state = pt_spec_state(c);

  if (!*force && state != PT_RUN_STOPPED && state != PT_RUN_FAILED) {
    g_autofree char *advice =
        g_strdup_printf("stop it first (portena stop %s), or use --force: what it holds in memory is lost", c->spec->name);
    return pt_spec_wrong_state(c, advice, error);
  }
  c->spec->deleting = true;
  c->spec->force = *force;
  json_t *kept = json_array();
  for (guint i = 0; c->spec->disks && i < c->spec->disks->len; i++)
    json_array_append_new(kept, json_string(((const PtDisk *)g_ptr_array_index(c->spec->disks, i))->volume));
  json_decref(c->r->extra);
  c->r->extra = json_pack("{s:o}", "kept", kept);
  return true;
}

bool
pt_instances_delete(PtRequest *r, GError **error)
{
  bool force = false;

  if (!pt_query_bool(r, "force", false, &force, error))
    return false;
  g_autofree char *op = pt_spec_change(r, "delete", true, mark_deleting, &force, error);
  return op && pt_reply_operation(r, op, pt_instance_refresh, error);
}
