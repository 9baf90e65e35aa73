// SPDX-License-Identifier: Apache-2.0
/* Reading instances, and changing their settings. */
#include "api/instances.h"

#include <string.h>

#include "api/addresses.h"
#include "api/auth.h"
#include "api/bodies.h"
#include "api/change.h"
#include "api/disks.h"
#include "api/handlers.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/text.h"

PtInstance *
pt_instance_load(PtRequest *r, PtStatus **ret_status, gint64 *ret_revision, GError **error)
{
  const char *space = pt_param(r, "space"), *name = pt_param(r, "instance");
  g_autofree char *shown = pt_text_safe(name, 63);
  g_autofree char *what = g_strdup_printf("instance called %s in space %s", shown, space);

  if (!pt_name_check("instance", name, NULL)) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no %s", what);
    return NULL;
  }
  g_autofree char *key = pt_key_instance(space, name), *status_key = pt_key_status(space, name);
  g_autoptr(PtInstance) spec = pt_load(r->api, key, &pt_instance_type, what, ret_revision, error);
  if (!spec) {
    pt_error_hint(error, "those there are: portena list");
    return NULL;
  }
  if (ret_status) {
    *ret_status = pt_load(r->api, status_key, &pt_status_type, "status", NULL, NULL);
    if (*ret_status && g_strcmp0((*ret_status)->id, spec->id) != 0)
      g_clear_pointer(ret_status, pt_status_free);
  }
  return g_steal_pointer(&spec);
}

static json_t *
view_of(PtRequest *r, const PtInstance *spec, const PtStatus *status, gint64 revision)
{
  json_t *view = pt_instance_json(spec, status, revision);

  if (status && (status->state == PT_RUN_RUNNING || status->state == PT_RUN_PAUSED || status->state == PT_RUN_HIBERNATED)) {
    g_autofree char *usage = pt_usage_text(spec, r->api->agent);
    if (usage)
      json_object_set_new(view, "usage", pt_json_parse(usage, strlen(usage), NULL));
  }
  return view;
}

json_t *
pt_instance_refresh(PtRequest *r, gint64 *ret_revision)
{
  g_autoptr(PtStatus) status = NULL;
  g_autoptr(PtInstance) spec = pt_instance_load(r, &status, ret_revision, NULL);

  return spec ? view_of(r, spec, status, *ret_revision) : NULL;
}

/* ── lists ── */

static bool
reply_list(PtRequest *r, GString *items, gint64 revision)
{
  g_string_append_printf(items, "],\"revision\":%" G_GINT64_FORMAT "}", revision);
  gsize size = items->len;
  return pt_reply_text(r, 200, "application/json", g_string_free(items, FALSE), size);
}

bool
pt_instances_all(PtRequest *r, GError **error)
{
  gint64 revision = 0;

  if (!pt_view_sync(r->api->view, &revision, error))
    return false;
  g_autoptr(GPtrArray) spaces = pt_view_spaces(r->api->view, &r->who, NULL);
  GString *items = g_string_sized_new(64 << 10);
  g_string_append(items, "{\"items\":[");
  for (guint i = 0; i < spaces->len; i++)
    pt_view_instances(r->api->view, ((const PtSpace *)g_ptr_array_index(spaces, i))->name, pt_usage_text, r->api->agent,
                      items);
  return reply_list(r, items, revision);
}

bool
pt_instances_list(PtRequest *r, GError **error)
{
  gint64 revision = 0;

  if (!pt_view_sync(r->api->view, &revision, error))
    return false;
  GString *items = g_string_sized_new(16 << 10);
  g_string_append(items, "{\"items\":[");
  pt_view_instances(r->api->view, r->space->name, pt_usage_text, r->api->agent, items);
  return reply_list(r, items, revision);
}

bool
pt_instances_get(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtStatus) status = NULL;
  g_autoptr(PtInstance) spec = pt_instance_load(r, &status, &revision, error);

  if (!spec)
    return false;
  pt_reply_etag(r, revision);
  return pt_reply_json(r, 200, view_of(r, spec, status, revision));
}

/* ── PATCH ── */

typedef struct {
  json_t *patch;    /* without the name */
  const char *name; /* NULL = stays */
  guint flags;      /* of what changed */
  bool running;
  bool asleep;
  bool disk_now; /* a mounted file system can be grown, by the node's kernel or a machine's own */
  bool cpu_later, memory_later; /* a machine gets them by a start alone */
} Edit;

static bool
grow_volume(PtSpecChange *c, GError **error)
{
  gint64 revision = 0;
  g_autofree char *key = pt_key_volume(c->spec->space, c->spec->volume);
  g_autoptr(PtVolume) v = pt_load(c->r->api, key, &pt_volume_type, "root volume", &revision, error);

  if (!v)
    return false;
  v->size = c->spec->disk;
  g_free(v->instance);
  v->instance = g_strdup(c->spec->name);
  pt_records_put(c->txn, key, revision, &pt_volume_type, v);
  return true;
}

static bool
same_ports(const PtInstance *a, const PtInstance *b)
{
  g_autoptr(json_t) one = pt_record_view(&pt_instance_type, a, 0), two = pt_record_view(&pt_instance_type, b, 0);

  return json_equal(json_object_get(one, "ports"), json_object_get(two, "ports"));
}

/* The quota with `spec` in place of what it is now. The guard is in the transaction afterwards. */
static bool
recheck_quota(PtSpecChange *c, const PtInstance *before, GError **error)
{
  PtApi *api = c->r->api;
  PtUse use = { 0 }, was = { 0 }, now = { 0 };
  gint64 guard = 0, last = 0;

  if (!pt_guard_read(api, c->spec->space, &guard, &last, error) || !pt_view_sync(api->view, NULL, error))
    return false;
  pt_space_use(api, c->spec->space, &use);
  pt_use_add(api->host, before, &was);
  pt_use_add(api->host, c->spec, &now);
  /* somebody whose quota was lowered meanwhile can still ask for less */
  if (now.cpu > was.cpu || now.memory > was.memory || now.disk > was.disk) {
    const PtUse then = { use.instances, use.cpu - was.cpu + now.cpu, use.memory - was.memory + now.memory,
                         use.disk - was.disk + now.disk };
    if (!pt_quota_check(c->r->space, &then, error))
      return false;
  }
  pt_guard_write(c->txn, c->spec->space, guard, last);
  return same_ports(before, c->spec) || pt_ports_check(c->r, c->spec, before, error);
}

/* The records are keyed by the name; id, address and volume stay. */
static bool
rename_to(PtSpecChange *c, const char *name, GError **error)
{
  PtInstance *s = c->spec;

  if (!pt_name_check("instance", name, error))
    return false;
  if (strcmp(name, s->name) == 0)
    return true;
  if (pt_spec_state(c) != PT_RUN_STOPPED && pt_spec_state(c) != PT_RUN_FAILED)
    return pt_spec_wrong_state(c, "it can be renamed while it is stopped", error);
  g_autofree char *key = pt_key_instance(s->space, name), *old_status = pt_key_status(s->space, s->name),
                  *new_status = pt_key_status(s->space, name);
  g_autoptr(PtEntry) taken = pt_store_get(c->r->api->store, key, NULL);
  if (taken) {
    PT_SET(error, PT_ERR_CONFLICT, "space %s has an instance called %s already\nchoose another name", s->space, name);
    return false;
  }
  c->old_name = g_strdup(s->name);
  g_free(s->name);
  s->name = g_strdup(name);
  pt_txn_delete(c->txn, old_status);
  if (c->status) {
    g_free(c->status->name);
    c->status->name = g_strdup(name);
    g_autofree char *text = pt_record_dump(&pt_status_type, c->status);
    pt_txn_put(c->txn, new_status, text);
  }
  return true;
}

/* Whether its image can run as this, and this node can run it so. */
bool
pt_kind_check(const PtInstance *spec, const PtImage *image, GError **error)
{
  if (!pt_agent_runs_kind(spec, error))
    return false;
  if (!image->kinds || g_strv_contains((const char *const *)image->kinds, pt_kind_names[spec->kind]))
    return true;
  g_autofree char *can = g_strjoinv(" or ", image->kinds);
  PT_SET(error, PT_ERR_INVALID, "image %s: cannot run as a %s", spec->image_name ? spec->image_name : spec->image,
         pt_kind_names[spec->kind]);
  pt_error_hint(error, "it runs as %s", can);
  return false;
}

bool
pt_guest_user_check(const PtInstance *spec, GError **error)
{
  bool root = !spec->user || !*spec->user || strcmp(spec->user, "root") == 0 || strcmp(spec->user, "0") == 0;

  if (root || spec->init != PT_INIT_SYSTEM || spec->kind == PT_KIND_PROCESS)
    return true;
  PT_SET(error, PT_ERR_INVALID, "user: a whole system starts as root, whatever this says");
  pt_error_hint(error, "run a command as %s:  portena exec %s --user %s -- COMMAND", spec->user, spec->name, spec->user);
  return false;
}

/* Whether what this change says about users makes sense; what an older version let through does not stop other changes. */
static bool
user_changed(const PtSpecChange *c, const Edit *e, GError **error)
{
  return (!json_object_get(e->patch, "user") && !json_object_get(e->patch, "init")) || pt_guest_user_check(c->spec, error);
}

/* Who runs it and how it is looked at depend on the kind, so it is not changed under a running one. */
static bool
kind_changed(PtSpecChange *c, const PtInstance *before, bool running, GError **error)
{
  if (c->spec->kind == PT_KIND_PROCESS && c->spec->init != PT_INIT_APP) {
    PT_SET(error, PT_ERR_INVALID, "init: a process is one program, so it has no init system");
    pt_error_hint(error, "leave it out, or use another kind");
    return false;
  }
  if (c->spec->kind == before->kind)
    return true;
  if (running)
    return pt_spec_wrong_state(c, "its kind can be changed while it is stopped", error);
  g_autofree char *key = pt_key_image(c->spec->image);
  g_autoptr(PtImage) image = pt_load(c->r->api, key, &pt_image_type, "image", NULL, error);
  return image && pt_kind_check(c->spec, image, error);
}

static bool
edit(PtSpecChange *c, GError **error)
{
  Edit *e = c->data;
  PtInstance *before = pt_record_copy(&pt_instance_type, c->spec);
  int state = pt_spec_state(c);

  e->running = state != PT_RUN_STOPPED && state != PT_RUN_FAILED;
  if (state == PT_RUN_RUNNING && c->spec->power == PT_POWER_HIBERNATED) /* it could not be, and is not asked for again by this */
    c->spec->power = PT_POWER_RUNNING;
  e->asleep = state == PT_RUN_HIBERNATED;
  bool ok = pt_record_patch(&pt_instance_type, c->spec, e->patch, PT_F_LIVE | PT_F_STOPPED, &e->flags, error) &&
            user_changed(c, e, error) && kind_changed(c, before, e->running, error) &&
            pt_disks_changed(c->r->api, before, c->spec, error) &&
            (!e->name || rename_to(c, e->name, error)) && recheck_quota(c, before, error) &&
            ((c->spec->disk == before->disk && !c->old_name) || grow_volume(c, error));
  pt_record_free(&pt_instance_type, before);
  e->disk_now = c->r->api->host->cap_sys_resource || c->spec->kind == PT_KIND_MACHINE;
  e->cpu_later = e->running && !pt_agent_resizes(c->r->api->agent, c->spec, "cpu");
  e->memory_later = e->running && !pt_agent_resizes(c->r->api->agent, c->spec, "memory");
  return ok;
}

/* Whether a field waits for a start although its instance runs. */
static bool
waits(const Edit *e, const char *key)
{
  const PtField *f = pt_field_find(&pt_instance_type, key);

  return (f && (f->flags & PT_F_STOPPED)) || (strcmp(key, "disk") == 0 && !e->disk_now) ||
         (strcmp(key, "cpu") == 0 && e->cpu_later) || (strcmp(key, "memory") == 0 && e->memory_later);
}

/* When each field takes effect. */
static json_t *
applies(const Edit *e)
{
  json_t *out = json_object(), *value;
  const char *now = e->asleep ? "when it is resumed" : "now";
  const char *key;

  json_object_foreach(e->patch, key, value)
  {
    bool later = e->running && waits(e, key);
    json_object_set_new(out, key, json_string(later ? "at the next start" : now));
  }
  if (e->name)
    json_object_set_new(out, "name", json_string("now"));
  return out;
}

bool
pt_instances_change(PtRequest *r, GError **error)
{
  const json_t *body = pt_body_object(r, false, error);
  Edit e = { 0 };

  if (!body)
    return false;
  g_autoptr(json_t) patch = e.patch = json_copy((json_t *)body);
  if (!pt_json_get_string(body, "name", NULL, &e.name, error))
    return false;
  json_object_del(patch, "name");
  if (json_object_size(body) == 0) {
    PT_SET(error, PT_ERR_INVALID, "body: it changes nothing");
    return false;
  }
  g_autofree char *op = pt_spec_change(r, "change", false, edit, &e, error);
  if (!op)
    return false;
  r->extra = json_pack("{s:o}", "applies", applies(&e));
  if (e.name) /* the object has it from now on */
    pt_param_set(r, "instance", e.name);
  return pt_reply_operation(r, op, pt_instance_refresh, error);
}

char *
pt_instance_grow(PtRequest *r, const char *name, gint64 size, GError **error)
{
  Edit e = { 0 };
  e.patch = json_pack("{s:I}", "disk", (json_int_t)size);

  r->param_names[1] = "instance}"; /* beside the volume's id, which has been read */
  r->params[1] = name;
  char *op = pt_spec_change(r, "change", false, edit, &e, error);
  r->param_names[1] = "id}";
  r->params[1] = r->segments[4];
  json_decref(e.patch);
  return op;
}
