// SPDX-License-Identifier: Apache-2.0
/* Data volumes: their files in the pool, and the instances that have them.
 *
 * Which instance has which is in the instances' specs alone (PtDisk). What is asked for stands in an entry's `change` before anything
 * is done; a pass makes it true and then takes it back, or takes the entry off, in the same record. So whoever was killed in between is
 * followed by somebody who does it again: every step finds what is there already. What cannot be done is undone: one that could not be
 * attached leaves the list, one that could not be detached stays. An instance that does not run has its disks at its next start, so
 * both are done at once then.
 *
 * The pool's calls for data volumes come from instances' workers and from requests: `data_lock` keeps them apart. */
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "node/agent_impl.h"

#define TRIES 16
#define MIB ((gint64)1 << 20)

static PtVolume *
load(PtAgent *a, const char *space, const char *id, gint64 *ret_revision, GError **error)
{
  g_autofree char *key = pt_key_volume(space, id);

  return pt_records_get(a->store, key, &pt_volume_type, ret_revision, error);
}

static bool
save(PtAgent *a, const PtVolume *v, gint64 revision, GError **error)
{
  g_autofree char *key = pt_key_volume(v->space, v->id);

  return pt_records_write(a->store, key, revision, &pt_volume_type, v, error);
}

/* ---- for a start ---- */

static void
source_clear(void *data)
{
  g_free(((PtDiskSource *)data)->source);
}

/* The mount of the volume, or its file. `asleep`: for a guest that goes on with what it knows of it. */
static char *
make_ready(PtAgent *a, PtUnit *u, const PtInstance *spec, const PtDisk *d, bool asleep, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  g_autoptr(PtVolume) v = engine ? load(a, spec->space, d->id, NULL, error) : NULL;
  char *source = NULL;

  g_mutex_lock(&a->data_lock);
  if (v && pt_pool_local.create(a->pool, d->id, v->size, error)) {
    if (!engine->raw)
      source = d->read_only ? pt_pool_local.attach_readonly(a->pool, d->id, error) : pt_pool_local.attach(a->pool, d->id, error);
    else
      source = d->read_only ? pt_pool_local.show(a->pool, d->id, asleep, error)
                            : pt_pool_local.expose(a->pool, d->id, (uid_t)u->status->idbase, asleep, error);
  }
  g_mutex_unlock(&a->data_lock);
  if (!source)
    g_prefix_error(error, "data volume %s: ", d->volume);
  return source;
}

GArray *
pt_unit_disks_ready(PtAgent *a, PtUnit *u, const PtInstance *spec, GError **error)
{
  GArray *out = g_array_new(FALSE, FALSE, sizeof(PtDiskSource));
  bool asleep = pt_unit_saved(a, spec);

  g_array_set_clear_func(out, source_clear);
  for (guint i = 0; spec->disks && i < spec->disks->len; i++) {
    PtDiskSource s = { .disk = g_ptr_array_index(spec->disks, i) };
    s.source = make_ready(a, u, spec, s.disk, asleep, error);
    if (!s.source) {
      g_array_unref(out);
      return NULL;
    }
    g_array_append_val(out, s);
  }
  return out;
}

static bool
put_back(PtAgent *a, const PtDisk *d, GError **error)
{
  g_mutex_lock(&a->data_lock);
  bool ok = pt_pool_local.detach(a->pool, d->id, error);
  g_mutex_unlock(&a->data_lock);
  return ok;
}

void
pt_unit_disks_detach(PtAgent *a, PtUnit *u, const PtInstance *spec)
{
  for (guint i = 0; spec->disks && i < spec->disks->len; i++) {
    const PtDisk *d = g_ptr_array_index(spec->disks, i);
    g_autoptr(GError) err = NULL;
    if (!put_back(a, d, &err))
      pt_log_warn("node", "%s: data volume %s: %s", u->key, d->volume, err->message);
  }
}

/* ---- what is asked for ---- */

/* Takes the entry's change back, or the entry off, in the spec as it is by now, and in ours. */
static bool
settle(PtAgent *a, const PtUnit *u, PtInstance *spec, const char *id, bool keep, GError **error)
{
  g_autofree char *key = pt_key_instance(u->space, u->name);

  for (guint i = 0;; i++) {
    gint64 revision = 0;
    g_autoptr(GError) err = NULL;
    g_autoptr(PtInstance) now = pt_unit_load(a, u, &revision, error);
    PtDisk *d = now ? pt_instance_disk(now, id) : NULL;
    if (!now)
      return false;
    if (d && keep) {
      d->change = PT_DISK_STAYS;
      d->force = false;
    } else {
      pt_instance_disk_remove(now, id);
    }
    if (!d || pt_records_write(a->store, key, revision, &pt_instance_type, now, &err))
      break;
    if (!g_error_matches(err, PT_ERROR, PT_ERR_STALE) || i == TRIES) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    }
  }
  PtDisk *mine = pt_instance_disk(spec, id);
  if (mine && keep)
    mine->change = PT_DISK_STAYS;
  else
    pt_instance_disk_remove(spec, id);
  return true;
}

static bool
take_off(PtAgent *a, const PtInstance *spec, const PtDisk *d, const char *source, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);

  return engine && (!engine->detach || engine->detach(a->containers, spec->id, spec, d, source, error));
}

/* Into one that runs. */
static bool
put_on(PtAgent *a, PtUnit *u, const PtInstance *spec, const PtDisk *d, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  g_autofree char *source = engine ? make_ready(a, u, spec, d, false, error) : NULL;

  if (!source)
    return false;
  if (engine->attach(a->containers, spec->id, spec, d, source, error))
    return true;
  PtDisk whole = *d; /* what there is of it goes, whoever holds it */
  whole.force = true;
  if (take_off(a, spec, &whole, source, NULL))
    put_back(a, d, NULL);
  return false;
}

static bool
change_running(PtAgent *a, PtUnit *u, PtInstance *spec, const PtDisk *d, GError **error)
{
  g_autofree char *id = g_strdup(d->id), *source = g_build_filename(a->host->run, "mnt", "vol", d->id, NULL);
  g_autoptr(GError) err = NULL, late = NULL;
  bool attach = d->change == PT_DISK_ATTACH;
  bool done = attach ? put_on(a, u, spec, d, &err) : take_off(a, spec, d, source, &err);

  /* By force: whoever still has a file of it open is in the way of nobody but its next user, who is told. */
  if (done && !attach && !put_back(a, d, d->force ? NULL : &late))
    g_prefix_error(&late, "data volume %s: ", d->volume);
  if (!settle(a, u, spec, id, attach == done, error))
    return false;
  if (err || late)
    g_propagate_error(error, err ? g_steal_pointer(&err) : g_steal_pointer(&late));
  return done && !late;
}

/* The record says how large it is to be and how large it has become. */
static bool
grow(PtAgent *a, const PtInstance *spec, const PtDisk *d, bool running, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  gint64 revision = 0, actual = 0;
  g_autoptr(PtVolume) v = engine ? load(a, spec->space, d->id, &revision, error) : NULL;

  if (!v)
    return false;
  if (v->actual >= v->size || pt_unit_saved(a, spec))
    return true;
  g_mutex_lock(&a->data_lock);
  bool ok = pt_pool_local.resize(a->pool, d->id, v->size, &actual, error), whole = false;
  g_mutex_unlock(&a->data_lock);
  if (ok && running && engine->disk)
    ok = engine->disk(a->containers, spec->id, spec, d, (v->size + MIB - 1) / MIB * MIB, &whole, error);
  if (!ok) {
    g_prefix_error(error, "data volume %s: ", d->volume);
    return false;
  }
  v->actual = whole ? v->size : actual;
  return save(a, v, revision, error);
}

bool
pt_unit_disks(PtAgent *a, PtUnit *u, PtInstance *spec, bool running, GError **error)
{
  g_autoptr(GError) first = NULL;

  for (guint i = spec->disks ? spec->disks->len : 0; i-- > 0;) {
    const PtDisk *d = g_ptr_array_index(spec->disks, i);
    g_autoptr(GError) err = NULL;
    bool ok = true;
    if (d->change != PT_DISK_STAYS && running)
      ok = change_running(a, u, spec, d, &err);
    else if (d->change != PT_DISK_STAYS)
      ok = settle(a, u, spec, d->id, d->change == PT_DISK_ATTACH, &err);
    else
      ok = grow(a, spec, d, running, &err);
    if (!ok && !first)
      first = g_steal_pointer(&err);
  }
  if (!first)
    return true;
  g_propagate_error(error, g_steal_pointer(&first));
  return false;
}

/* ---- for requests ---- */

bool
pt_agent_volume_make(PtAgent *a, const PtVolume *v, GError **error)
{
  g_mutex_lock(&a->data_lock);
  bool ok = pt_pool_local.create(a->pool, v->id, v->size, error);
  g_mutex_unlock(&a->data_lock);
  return ok;
}

bool
pt_agent_volume_grow(PtAgent *a, PtVolume *v, GError **error)
{
  gint64 actual = 0;

  g_mutex_lock(&a->data_lock);
  bool ok = pt_pool_local.create(a->pool, v->id, v->size, error) && pt_pool_local.resize(a->pool, v->id, v->size, &actual, error);
  g_mutex_unlock(&a->data_lock);
  if (ok)
    v->actual = actual;
  return ok;
}

bool
pt_agent_volume_remove(PtAgent *a, const char *id, GError **error)
{
  g_mutex_lock(&a->data_lock);
  bool ok = pt_pool_local.detach(a->pool, id, error) && pt_pool_local.remove(a->pool, id, error);
  g_mutex_unlock(&a->data_lock);
  return ok;
}

bool
pt_agent_attaches(const PtInstance *spec, bool running, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  bool emulated = spec->kind == PT_KIND_MACHINE && spec->model == PT_MODEL_PC && spec->hardware == PT_HARDWARE_EMULATED;

  if (!engine || !running || !emulated)
    return engine != NULL;
  PT_SET(error, PT_ERR_UNSUPPORTED, "%s: the disks of a pc with emulated hardware (AHCI) stay as they are while it runs\n"
                                    "nothing was changed; stop it first:  portena stop %s", spec->name, spec->name);
  return false;
}

bool
pt_agent_volume_used(PtAgent *a, const char *id, gint64 *ret_used)
{
  gint64 size;

  return pt_pool_local.usage(a->pool, id, ret_used, &size, NULL);
}
