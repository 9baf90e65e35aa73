// SPDX-License-Identifier: Apache-2.0
/* Every change is one transaction that requires the revision it was made from; the node does the rest and ends the operation.
 *
 * A spec carries one operation. A change that would push out one that is still at work waits for its end, except where it
 * undoes it (stop, restart, delete): then the older one is ended as cancelled. */
#include "api/change.h"

#include "api/auth.h"
#include "api/instances.h"
#include "base/clock.h"

#define TRIES 16
#define BUSY_WAIT (10 * G_USEC_PER_SEC)

static bool
busy(PtSpecChange *c, GError **error)
{
  gint64 end = pt_mono() + BUSY_WAIT;
  g_autofree char *op = g_strdup(c->spec->op);

  if (!op || c->undoes)
    return true;
  for (;;) {
    g_autoptr(PtOperation) o = pt_ops_wait(c->r->api->ops, op, MIN(end - pt_mono(), G_USEC_PER_SEC), NULL);
    if (!o || o->state >= PT_OP_DONE)
      return true;
    if (pt_mono() < end && !pt_link_gone(c->r->link))
      continue;
    PT_SET(error, PT_ERR_CONFLICT, "%s: a %s is at work\nwait for its end:  portena op show %s", c->spec->name,
           o->kind, op);
    return false;
  }
}

/* The operation that this change pushed out has no one left to end it. */
static void
end_former(PtSpecChange *c, const char *former)
{
  g_autoptr(GError) why = g_error_new(PT_ERROR, PT_ERR_CANCELLED, "%s: a %s came in between", c->spec->name, c->kind);

  if (former)
    pt_ops_end(c->r->api->ops, former, NULL, why);
}

static bool
commit(PtSpecChange *c, GError **error)
{
  PtApi *api = c->r->api;
  PtInstance *s = c->spec;
  g_autofree char *target = g_strdup_printf("spaces/%s/instances/%s", s->space, s->name);
  g_autofree char *key = pt_key_instance(s->space, s->name), *former = g_steal_pointer(&s->op);
  PtOperation op = { .kind = (char *)c->kind, .target = target, .space = s->space, .user = c->r->who.name };

  s->generation++;
  s->op = pt_ops_begin(api->ops, c->txn, &op);
  g_free(op.id);
  g_autofree char *text = pt_record_dump(&pt_instance_type, s);
  if (c->old_name) {
    g_autofree char *old = pt_key_instance(s->space, c->old_name);
    pt_txn_require(c->txn, old, c->revision);
    pt_txn_delete(c->txn, old);
    pt_txn_require(c->txn, key, 0);
  } else {
    pt_txn_require(c->txn, key, c->revision);
  }
  pt_txn_put(c->txn, key, text);
  if (!pt_store_commit(api->store, c->txn, NULL, error))
    return false;
  c->op = g_strdup(s->op);
  end_former(c, former);
  return true;
}

static void
change_clear(PtSpecChange *c)
{
  g_clear_pointer(&c->spec, pt_instance_free);
  g_clear_pointer(&c->status, pt_status_free);
  g_clear_pointer(&c->txn, pt_txn_free);
  g_clear_pointer(&c->old_name, g_free);
}

/* What was waited for has changed the status, not the spec. */
static void
reread_status(PtSpecChange *c)
{
  g_autofree char *key = pt_key_status(c->spec->space, c->spec->name);
  PtStatus *now = pt_load(c->r->api, key, &pt_status_type, "status", NULL, NULL);

  if (now && g_strcmp0(now->id, c->spec->id) == 0) {
    pt_status_free(c->status);
    c->status = g_steal_pointer(&now);
  }
  pt_status_free(now);
}

char *
pt_spec_change(PtRequest *r, const char *kind, bool undoes, PtSpecFunc func, void *data, GError **error)
{
  for (guint i = 0;; i++) {
    PtSpecChange c = { .r = r, .kind = kind, .undoes = undoes, .data = data, .txn = pt_txn_new() };
    g_autoptr(GError) err = NULL;
    c.spec = pt_instance_load(r, &c.status, &c.revision, &err);
    bool ok = c.spec && pt_if_match(r, c.spec->name, c.revision, &err);
    if (ok && c.spec->deleting) {
      PT_SET(&err, PT_ERR_CONFLICT, "%s: it is being deleted", c.spec->name);
      ok = false;
    }
    ok = ok && busy(&c, &err);
    if (ok)
      reread_status(&c);
    /* what takes part of a quota is done one after the other, so that they do not make each other try again */
    g_mutex_lock(&r->api->allocation);
    ok = ok && func(&c, &err) && commit(&c, &err);
    g_mutex_unlock(&r->api->allocation);
    change_clear(&c);
    if (ok)
      return c.op;
    if (!g_error_matches(err, PT_ERROR, PT_ERR_STALE) || r->if_match >= 0 || i == TRIES) {
      g_propagate_error(error, g_steal_pointer(&err));
      return NULL;
    }
  }
}

int
pt_spec_state(const PtSpecChange *c)
{
  return c->status ? c->status->state : c->spec->power == PT_POWER_STOPPED ? PT_RUN_STOPPED : PT_RUN_STARTING;
}

bool
pt_spec_wrong_state(const PtSpecChange *c, const char *advice, GError **error)
{
  PT_SET(error, PT_ERR_CONFLICT, "%s: is %s\n%s", c->spec->name, pt_run_names[pt_spec_state(c)], advice);
  return false;
}
