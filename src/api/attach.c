// SPDX-License-Identifier: Apache-2.0
/* Data volumes come to an instance and go from it. The wish is written into its spec (PtDisk); its node makes it true, at once or at the
 * next start, and says so by ending the operation. */
#include "api/addresses.h"
#include "api/bodies.h"
#include "api/change.h"
#include "api/handlers.h"
#include "api/instances.h"
#include "api/view.h"
#include "api/volumes.h"
#include "base/text.h"

static bool
at_rest(int state)
{
  return state == PT_RUN_STOPPED || state == PT_RUN_FAILED;
}

/* What stands still cannot be given anything, and what sleeps remembers the disks it had. */
static bool
awake(PtSpecChange *c, GError **error)
{
  int state = pt_spec_state(c);
  g_autofree char *advice = g_strdup_printf("let it go on first:  portena resume %s", c->spec->name);

  return (state != PT_RUN_PAUSED && state != PT_RUN_HIBERNATED) || pt_spec_wrong_state(c, advice, error);
}

/* Takes the space's guard: whoever looks for a volume's holder at this moment sees this, or we see them. */
static bool
guard(PtSpecChange *c, GError **error)
{
  gint64 revision = 0, last = 0;

  if (!pt_guard_read(c->r->api, c->spec->space, &revision, &last, error) || !pt_view_sync(c->r->api->view, NULL, error))
    return false;
  pt_guard_write(c->txn, c->spec->space, revision, last);
  return true;
}

static bool
free_volume(PtRequest *r, const PtVolume *v, GError **error)
{
  if (v->instance) {
    PT_SET(error, PT_ERR_CONFLICT, "volume %s: is the disk that %s starts from\nmake one for data:  portena volume create NAME", v->name,
           v->instance);
    return false;
  }
  g_autofree char *holder = pt_volume_holder(r, v, NULL);
  if (!holder)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "volume %s: %s has it already\ndetach it there first:  portena volume detach %s %s", v->name, holder,
         holder, v->name);
  return false;
}

static bool
attach(PtSpecChange *c, GError **error)
{
  const PtBodyDisk *b = c->data;
  gint64 revision = 0;
  g_autoptr(PtVolume) v = awake(c, error) && guard(c, error) ? pt_volume_load(c->r, b->volume, &revision, error) : NULL;

  if (!v || !free_volume(c->r, v, error))
    return false;
  PtDisk *d = pt_record_new(&pt_disk_type);
  d->volume = g_strdup(v->name);
  d->id = g_strdup(v->id);
  d->path = g_strdup(b->path);
  d->read_only = b->read_only;
  d->change = PT_DISK_ATTACH;
  g_autofree char *key = pt_key_volume(v->space, v->id);
  pt_txn_require(c->txn, key, revision); /* it is not deleted in between */
  return pt_instance_disk_add(c->spec, d, error) && pt_agent_attaches(c->spec, !at_rest(pt_spec_state(c)), error);
}

bool
pt_disks_attach(PtRequest *r, GError **error)
{
  PtBodyDisk *b = pt_body_record(r, &pt_body_disk, error);

  if (!b)
    return false;
  r->audit_detail = g_strdup(b->volume);
  g_autofree char *op = pt_spec_change(r, "attach", false, attach, b, error);
  pt_record_free(&pt_body_disk, b);
  return op && pt_reply_operation(r, op, pt_instance_refresh, error);
}

static bool
detach(PtSpecChange *c, GError **error)
{
  const bool *force = c->data;
  const char *word = pt_param(c->r, "volume");
  PtDisk *d = pt_instance_disk(c->spec, word);

  if (!d) {
    g_autofree char *shown = pt_text_safe(word, 63);
    PT_SET(error, PT_ERR_NOT_FOUND, "%s: has no volume called %s\nthose it has:  portena show %s", c->spec->name, shown, c->spec->name);
    return false;
  }
  d->change = PT_DISK_DETACH;
  d->force = *force;
  return awake(c, error) && guard(c, error) && pt_agent_attaches(c->spec, !at_rest(pt_spec_state(c)), error);
}

bool
pt_disks_detach(PtRequest *r, GError **error)
{
  bool force = false;

  if (!pt_query_bool(r, "force", false, &force, error))
    return false;
  r->audit_detail = g_strdup(pt_param(r, "volume"));
  g_autofree char *op = pt_spec_change(r, "detach", false, detach, &force, error);
  return op && pt_reply_operation(r, op, pt_instance_refresh, error);
}
