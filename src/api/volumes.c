// SPDX-License-Identifier: Apache-2.0
/* Volumes of a space: root volumes, which come and go with their instances, and data volumes, which have a life of their own. Which
 * instance has a data volume is said by the instances (PtDisk), so nothing here can disagree with them; to hold until the
 * commit, whatever looks that up, or takes of the quota, goes through the space's guard (launch.c). */
#include "api/volumes.h"

#include <string.h>

#include "api/addresses.h"
#include "api/bodies.h"
#include "api/change.h"
#include "api/handlers.h"
#include "api/instances.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"

#define TRIES 16
#define GROW_WAIT (60 * G_USEC_PER_SEC)

typedef struct {
  const char *id;
  char *name; /* of the instance that has it */
  char *path;
} Holder;

static void
find_holder(const PtInstance *spec, const PtStatus *status, void *data)
{
  Holder *h = data;
  const PtDisk *d = h->name ? NULL : pt_instance_disk(spec, h->id);

  (void)status;
  if (d) {
    h->name = g_strdup(spec->name);
    h->path = g_strdup(d->path);
  }
}

char *
pt_volume_holder(PtRequest *r, const PtVolume *v, char **ret_path)
{
  Holder h = { .id = v->id };

  pt_view_foreach(r->api->view, r->space->name, find_holder, &h);
  if (ret_path)
    *ret_path = h.path;
  else
    g_free(h.path);
  return h.name;
}

static json_t *
volume_view(PtRequest *r, const PtVolume *v, gint64 revision)
{
  json_t *view = pt_record_view(&pt_volume_type, v, revision);
  g_autofree char *path = NULL, *holder = v->instance ? NULL : pt_volume_holder(r, v, &path);
  json_t *used = json_null();
  gint64 bytes;

  if (v->instance) {
    const PtInstance key = { .space = v->space, .name = v->instance };
    PtSample s;
    if (pt_agent_sample(r->api->agent, &key, &s, NULL))
      used = json_integer(s.disk_used);
  } else if (pt_agent_volume_used(r->api->agent, v->id, &bytes)) {
    used = json_integer(bytes);
  }
  json_object_set_new(view, "used", used);
  json_object_set_new(view, "attached", holder ? json_string(holder) : json_null());
  json_object_set_new(view, "path", path ? json_string(path) : json_null());
  return view;
}

bool
pt_volumes_list(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autofree char *prefix = g_strdup_printf("spaces/%s/volumes/", r->space->name);
  g_autoptr(GPtrArray) all = pt_view_sync(r->api->view, NULL, error) ? pt_store_list(r->api->store, prefix, &revision, error) : NULL;

  if (!all)
    return false;
  json_t *items = json_array();
  for (guint i = 0; i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtVolume) v = pt_record_read(&pt_volume_type, e->value, NULL);
    if (v)
      json_array_append_new(items, volume_view(r, v, e->revision));
  }
  return pt_reply_items(r, items, revision);
}

/* By its name, data volumes before those of instances. */
static PtVolume *
by_name(PtRequest *r, const char *name, gint64 *ret_revision, GError **error)
{
  g_autofree char *prefix = g_strdup_printf("spaces/%s/volumes/", r->space->name);
  g_autoptr(GPtrArray) all = pt_store_list(r->api->store, prefix, NULL, error);
  PtVolume *found = NULL;

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    PtVolume *v = pt_record_read(&pt_volume_type, e->value, NULL);
    bool is = v && g_strcmp0(v->instance ? v->instance : v->name, name) == 0;
    if (is && (!found || !v->instance)) {
      pt_volume_free(found);
      found = g_steal_pointer(&v);
      *ret_revision = e->revision;
    }
    pt_volume_free(v);
  }
  return found;
}

PtVolume *
pt_volume_load(PtRequest *r, const char *word, gint64 *ret_revision, GError **error)
{
  bool id = pt_id_valid(word);
  g_autofree char *key = id ? pt_key_volume(r->space->name, word) : NULL, *shown = pt_text_safe(word, 63);
  g_autoptr(GError) why = NULL;
  PtVolume *v = id ? pt_load(r->api, key, &pt_volume_type, "volume of that id", ret_revision, NULL)
                : pt_name_check("volume", word, NULL) ? by_name(r, word, ret_revision, &why)
                                                      : NULL;

  if (why)
    g_propagate_error(error, g_steal_pointer(&why));
  else if (!v)
    PT_SET(error, PT_ERR_NOT_FOUND, "space %s has no volume called %s\nthose there are: portena volume list", r->space->name, shown);
  return v;
}

static bool
answer(PtRequest *r, guint status, const char *id, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtVolume) v = pt_view_sync(r->api->view, NULL, error) ? pt_volume_load(r, id, &revision, error) : NULL;

  if (!v)
    return false;
  pt_reply_etag(r, revision);
  return pt_reply_json(r, status, volume_view(r, v, revision));
}

bool
pt_volumes_get(PtRequest *r, GError **error)
{
  return answer(r, 200, pt_param(r, "id"), error);
}

/* ── making ── */

/* Whether the space may have `more` bytes of disk; the guard, which holds that until the commit, is in `txn` then. */
static bool
allowed(PtRequest *r, PtTxn *txn, gint64 more, GError **error)
{
  PtApi *api = r->api;
  gint64 guard = 0, last = 0;
  PtUse use;

  if (!pt_guard_read(api, r->space->name, &guard, &last, error) || !pt_view_sync(api->view, NULL, error))
    return false;
  pt_space_use(api, r->space->name, &use);
  use.disk += more;
  pt_guard_write(txn, r->space->name, guard, last);
  return more <= 0 || pt_quota_check(r->space, &use, error);
}

static bool
create_once(PtRequest *r, const PtVolume *v, GError **error)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autofree char *space = pt_key_space(v->space), *key = pt_key_volume(v->space, v->id);
  gint64 revision = 0;

  if (r->space->deleting) {
    PT_SET(error, PT_ERR_CONFLICT, "space %s: it is being deleted", v->space);
    return false;
  }
  if (!allowed(r, txn, v->size, error))
    return false;
  g_autoptr(PtVolume) other = by_name(r, v->name, &revision, NULL);
  if (other && !other->instance) {
    PT_SET(error, PT_ERR_CONFLICT, "space %s has a volume called %s already\nchoose another name", v->space, v->name);
    return false;
  }
  pt_txn_require(txn, space, r->space_revision);
  pt_records_put(txn, key, 0, &pt_volume_type, v);
  return pt_store_commit(r->api->store, txn, NULL, error);
}

/* Again, where somebody else allocated in the same space, or changed it, in between. */
static bool
create_record(PtRequest *r, const PtVolume *v, GError **error)
{
  g_autofree char *key = pt_key_space(v->space);

  for (guint i = 0;; i++) {
    g_autoptr(GError) err = NULL;
    if (create_once(r, v, &err))
      return true;
    if (!g_error_matches(err, PT_ERROR, PT_ERR_STALE) || i == TRIES) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    }
    pt_space_free(r->space);
    r->space = pt_load(r->api, key, &pt_space_type, "space of that name", &r->space_revision, error);
    if (!r->space)
      return false;
  }
}

bool
pt_volumes_create(PtRequest *r, GError **error)
{
  PtBodyVolumeNew *b = pt_body_record(r, &pt_body_volume_new, error);

  if (!b)
    return false;
  g_autofree char *id = pt_id_new(), *key = pt_key_volume(r->space->name, id), *name = g_strdup(b->name), *space = g_strdup(r->space->name);
  const PtVolume v = { .id = id, .name = name, .space = space, .pool = (char *)"local", .size = b->size, .actual = b->size,
                       .owner = r->api->host->node, .epoch = 1, .created = pt_now() };
  pt_record_free(&pt_body_volume_new, b);
  r->object = g_strdup_printf("spaces/%s/volumes/%s", space, name);
  g_mutex_lock(&r->api->allocation);
  bool ok = create_record(r, &v, error);
  g_mutex_unlock(&r->api->allocation);
  if (!ok)
    return false;
  if (pt_agent_volume_make(r->api->agent, &v, error))
    return answer(r, 201, id, error);
  g_autoptr(PtTxn) txn = pt_txn_new();
  pt_txn_delete(txn, key);
  pt_store_commit(r->api->store, txn, NULL, NULL);
  return false;
}

/* ── growing ── */

typedef struct {
  PtVolume *volume;
  gint64 revision, size;
} Grow;

/* The size is recorded; who has it makes it true. */
static bool
put_size(PtRequest *r, PtTxn *txn, Grow *g, GError **error)
{
  PtVolume *v = g->volume;
  g_autofree char *key = pt_key_volume(v->space, v->id);
  gint64 had = v->size;

  if (g->size < had) {
    g_autofree char *has = pt_size_format(had);
    PT_SET(error, PT_ERR_INVALID, "size: volume %s has %s, and a volume only grows\nnothing was changed; make a smaller one and copy",
           v->name, has);
    return false;
  }
  if (!allowed(r, txn, g->size - had, error))
    return false;
  v->size = g->size;
  pt_records_put(txn, key, g->revision, &pt_volume_type, v);
  v->size = had;
  return true;
}

static bool
grow_attached(PtSpecChange *c, GError **error)
{
  return put_size(c->r, c->txn, c->data, error);
}

static bool
went_well(PtRequest *r, const char *id, GError **error)
{
  g_autoptr(PtOperation) op = pt_ops_wait(r->api->ops, id, GROW_WAIT, error);
  PtErr code = PT_ERR_INTERNAL;

  if (!op || op->state != PT_OP_FAILED)
    return op != NULL;
  if (op->error_code)
    pt_err_from_name(op->error_code, &code);
  PT_SET(error, code, "%s", op->error ? op->error : "it was not grown");
  return false;
}

/* By the instance that has it: it may be running. */
static bool
grow_by(PtRequest *r, const char *name, Grow *g, GError **error)
{
  r->param_names[1] = "instance}"; /* beside the volume, which has been read */
  r->params[1] = name;
  r->if_match = -1; /* it was the volume's revision */
  g_autofree char *op = pt_spec_change(r, "change", false, grow_attached, g, error);
  r->param_names[1] = "id}";
  r->params[1] = r->segments[4];
  return op && went_well(r, op, error);
}

static bool
grow_alone(PtRequest *r, Grow *g, GError **error)
{
  PtVolume *v = g->volume;
  g_autofree char *key = pt_key_volume(v->space, v->id);
  g_autoptr(PtTxn) txn = pt_txn_new();
  gint64 had = v->size, revision = 0;

  g_mutex_lock(&r->api->allocation);
  bool ok = put_size(r, txn, g, error) && pt_store_commit(r->api->store, txn, &revision, error);
  g_mutex_unlock(&r->api->allocation);
  if (!ok)
    return false;
  v->size = g->size;
  ok = pt_agent_volume_grow(r->api->agent, v, error);
  if (!ok)
    v->size = had;
  return pt_records_write(r->api->store, key, revision, &pt_volume_type, v, ok ? error : NULL) && ok;
}

/* A root volume's size is its instance's `disk`: one rule, one quota, one place where it is changed. */
static bool
grow(PtRequest *r, Grow *g, GError **error)
{
  if (g->volume->instance) {
    r->if_match = -1; /* it was the volume's revision */
    g_autofree char *op = pt_instance_grow(r, g->volume->instance, g->size, error);
    return op && went_well(r, op, error);
  }
  if (!pt_view_sync(r->api->view, NULL, error))
    return false;
  g_autofree char *holder = pt_volume_holder(r, g->volume, NULL);
  return holder ? grow_by(r, holder, g, error) : grow_alone(r, g, error);
}

bool
pt_volumes_change(PtRequest *r, GError **error)
{
  Grow g = { 0 };
  g_autoptr(PtVolume) v = g.volume = pt_volume_load(r, pt_param(r, "id"), &g.revision, error);
  PtBodyVolume *b = v ? pt_body_record(r, &pt_body_volume, error) : NULL;

  if (!b)
    return false;
  g.size = b->size;
  pt_record_free(&pt_body_volume, b);
  return pt_if_match(r, "volume", g.revision, error) && grow(r, &g, error) && answer(r, 200, v->id, error);
}

/* ── deleting ── */

static bool
unused(PtRequest *r, const PtVolume *v, GError **error)
{
  if (v->instance) {
    PT_SET(error, PT_ERR_CONFLICT, "volume %s: is the disk of %s, and goes with it\ndelete that:  portena delete %s", v->name,
           v->instance, v->instance);
    return false;
  }
  g_autofree char *holder = pt_volume_holder(r, v, NULL);
  if (!holder)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "volume %s: %s has it\nnothing was removed; detach it first:  portena volume detach %s %s", v->name,
         holder, holder, v->name);
  return false;
}

bool
pt_volumes_delete(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtVolume) v = pt_volume_load(r, pt_param(r, "id"), &revision, error);
  g_autoptr(PtTxn) txn = pt_txn_new();

  if (!v || !pt_if_match(r, "volume", revision, error))
    return false;
  g_autofree char *key = pt_key_volume(v->space, v->id);
  g_mutex_lock(&r->api->allocation);
  pt_txn_require(txn, key, revision);
  pt_txn_delete(txn, key);
  bool ok = allowed(r, txn, 0, error) && unused(r, v, error) && pt_store_commit(r->api->store, txn, NULL, error);
  g_mutex_unlock(&r->api->allocation);
  /* What is left of it where a killed guest still has it open goes when the daemon starts the next time: it has no record any more. */
  if (ok)
    pt_agent_volume_remove(r->api->agent, v->id, NULL);
  return ok && pt_reply_empty(r);
}
