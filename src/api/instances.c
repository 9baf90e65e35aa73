// SPDX-License-Identifier: Apache-2.0
/* Reading instances, and changing what is desired of them. Every change is one transaction that requires the revision
 * it was made from; the node does the rest and ends the operation.
 *
 * A spec carries one operation. A change that would push out one that is still at work waits for its end, except where it
 * undoes it (stop, restart, delete): then the older one is ended as cancelled. */
#include "api/instances.h"

#include <string.h>

#include "api/auth.h"
#include "api/bodies.h"
#include "api/handlers.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/text.h"

#define TRIES 16
#define BUSY_WAIT (10 * G_USEC_PER_SEC)
#define WAKE_WAIT (60 * G_USEC_PER_SEC)

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

/* ── changes ── */

typedef struct Change {
  PtRequest *r;
  PtInstance *spec;
  PtStatus *status; /* may be NULL */
  gint64 revision;
  const char *kind; /* of the operation */
  bool undoes;      /* need not wait for what is at work */
  PtTxn *txn;
  void *data;
  char *old_name; /* a rename: the record's name until now */
  char *op;       /* made by commit() */
} Change;

/* Changes c->spec (and adds to c->txn). */
typedef bool (*ChangeFunc)(Change *c, GError **error);

static bool
busy(Change *c, GError **error)
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
end_former(Change *c, const char *former)
{
  g_autoptr(GError) why = g_error_new(PT_ERROR, PT_ERR_CANCELLED, "%s: a %s came in between", c->spec->name, c->kind);

  if (former)
    pt_ops_end(c->r->api->ops, former, NULL, why);
}

static bool
commit(Change *c, GError **error)
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
change_clear(Change *c)
{
  g_clear_pointer(&c->spec, pt_instance_free);
  g_clear_pointer(&c->status, pt_status_free);
  g_clear_pointer(&c->txn, pt_txn_free);
  g_clear_pointer(&c->old_name, g_free);
}

/* What was waited for has changed the status, not the spec. */
static void
reread_status(Change *c)
{
  g_autofree char *key = pt_key_status(c->spec->space, c->spec->name);
  PtStatus *now = pt_load(c->r->api, key, &pt_status_type, "status", NULL, NULL);

  if (now && g_strcmp0(now->id, c->spec->id) == 0) {
    pt_status_free(c->status);
    c->status = g_steal_pointer(&now);
  }
  pt_status_free(now);
}

/* Reads, changes, writes; again where somebody else was faster, unless the client insisted on a revision. */
static char *
change(PtRequest *r, const char *kind, bool undoes, ChangeFunc func, void *data, GError **error)
{
  for (guint i = 0;; i++) {
    Change c = { .r = r, .kind = kind, .undoes = undoes, .data = data, .txn = pt_txn_new() };
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

static int
state_of(const Change *c)
{
  return c->status ? c->status->state : c->spec->power == PT_POWER_STOPPED ? PT_RUN_STOPPED : PT_RUN_STARTING;
}

static bool
wrong_state(const Change *c, const char *advice, GError **error)
{
  PT_SET(error, PT_ERR_CONFLICT, "%s: is %s\n%s", c->spec->name, pt_run_names[state_of(c)], advice);
  return false;
}

static bool
act(Change *c, GError **error)
{
  const PtBodyAction *b = c->data;
  PtInstance *s = c->spec;
  int state = state_of(c);
  bool still = state == PT_RUN_STOPPED || state == PT_RUN_FAILED;
  g_autofree char *resume = g_strdup_printf("portena resume %s", s->name),
                  *start = g_strdup_printf("portena start %s", s->name);

  switch ((PtAction)b->action) {
  case PT_ACTION_START:
    if (state == PT_RUN_PAUSED)
      return wrong_state(c, resume, error);
    if (!still && state != PT_RUN_HIBERNATED)
      return wrong_state(c, "nothing was changed", error);
    break;
  case PT_ACTION_STOP:
    if (still && s->power == PT_POWER_STOPPED)
      return wrong_state(c, "nothing was changed", error);
    break;
  case PT_ACTION_PAUSE:
    if (state != PT_RUN_RUNNING)
      return wrong_state(c, state == PT_RUN_HIBERNATED ? resume : start, error);
    break;
  case PT_ACTION_HIBERNATE:
    if (state == PT_RUN_HIBERNATED)
      return wrong_state(c, "nothing was changed", error);
    if (state != PT_RUN_RUNNING && state != PT_RUN_PAUSED)
      return wrong_state(c, start, error);
    if (!pt_agent_hibernates(s, error))
      return false;
    break;
  case PT_ACTION_RESUME:
    if (state != PT_RUN_PAUSED && state != PT_RUN_HIBERNATED)
      return wrong_state(c, "only what is paused or hibernated can be resumed", error);
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
    op = change(r, pt_action_names[b->action], undoes, act, b, error);
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
wake(Change *c, GError **error)
{
  if (state_of(c) != PT_RUN_HIBERNATED)
    return wrong_state(c, "nothing was changed", error);
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
  g_autofree char *op = change(r, "resume", false, wake, NULL, &err);
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
mark_deleting(Change *c, GError **error)
{
  const bool *force = c->data;
  int state = state_of(c);

  if (!*force && state != PT_RUN_STOPPED && state != PT_RUN_FAILED) {
    g_autofree char *advice =
        g_strdup_printf("stop it first (portena stop %s), or use --force: what it holds in memory is lost", c->spec->name);
    return wrong_state(c, advice, error);
  }
  c->spec->deleting = true;
  c->spec->force = *force;
  return true;
}

bool
pt_instances_delete(PtRequest *r, GError **error)
{
  bool force = false;

  if (!pt_query_bool(r, "force", false, &force, error))
    return false;
  g_autofree char *op = change(r, "delete", true, mark_deleting, &force, error);
  return op && pt_reply_operation(r, op, pt_instance_refresh, error);
}

/* ── PATCH ── */

typedef struct {
  json_t *patch;    /* without the name */
  const char *name; /* NULL = stays */
  guint flags;      /* of what changed */
  bool running;
  bool asleep;
} Edit;

static bool
grow_volume(Change *c, GError **error)
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
recheck_quota(Change *c, const PtInstance *before, GError **error)
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
rename_to(Change *c, const char *name, GError **error)
{
  PtInstance *s = c->spec;

  if (!pt_name_check("instance", name, error))
    return false;
  if (strcmp(name, s->name) == 0)
    return true;
  if (state_of(c) != PT_RUN_STOPPED && state_of(c) != PT_RUN_FAILED)
    return wrong_state(c, "it can be renamed while it is stopped", error);
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
  bool any = image->format == PT_FORMAT_ROOTFS && spec->kind == PT_KIND_MACHINE; /* also those made before there were machines */
  if (any || !image->kinds || g_strv_contains((const char *const *)image->kinds, pt_kind_names[spec->kind]))
    return true;
  g_autofree char *can = g_strjoinv(" or ", image->kinds);
  PT_SET(error, PT_ERR_INVALID, "image %s: cannot run as a %s", spec->image_name ? spec->image_name : spec->image,
         pt_kind_names[spec->kind]);
  pt_error_hint(error, "it runs as %s", can);
  return false;
}

/* Who runs it and how it is looked at depend on the kind, so it is not changed under a running one. */
static bool
kind_changed(Change *c, const PtInstance *before, bool running, GError **error)
{
  if (c->spec->kind == before->kind)
    return true;
  if (running)
    return wrong_state(c, "its kind can be changed while it is stopped", error);
  g_autofree char *key = pt_key_image(c->spec->image);
  g_autoptr(PtImage) image = pt_load(c->r->api, key, &pt_image_type, "image", NULL, error);
  return image && pt_kind_check(c->spec, image, error);
}

static bool
edit(Change *c, GError **error)
{
  Edit *e = c->data;
  PtInstance *before = pt_record_copy(&pt_instance_type, c->spec);
  int state = state_of(c);

  e->running = state != PT_RUN_STOPPED && state != PT_RUN_FAILED;
  if (state == PT_RUN_RUNNING && c->spec->power == PT_POWER_HIBERNATED) /* it could not be, and is not asked for again by this */
    c->spec->power = PT_POWER_RUNNING;
  e->asleep = state == PT_RUN_HIBERNATED;
  bool ok = pt_record_patch(&pt_instance_type, c->spec, e->patch, PT_F_LIVE | PT_F_STOPPED, &e->flags, error) &&
            kind_changed(c, before, e->running, error) && (!e->name || rename_to(c, e->name, error)) && recheck_quota(c, before, error) &&
            ((c->spec->disk == before->disk && !c->old_name) || grow_volume(c, error));
  pt_record_free(&pt_instance_type, before);
  return ok;
}

/* When each field takes effect. Where the kernel cannot grow a mounted ext4, more disk waits for the next start too. */
static json_t *
applies(PtRequest *r, const Edit *e)
{
  json_t *out = json_object(), *value;
  const char *now = e->asleep ? "when it is resumed" : "now";
  const char *key;

  json_object_foreach(e->patch, key, value)
  {
    const PtField *f = pt_field_find(&pt_instance_type, key);
    bool later =
        e->running && f && ((f->flags & PT_F_STOPPED) || (strcmp(key, "disk") == 0 && !r->api->host->cap_sys_resource));
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
  g_autofree char *op = change(r, "change", false, edit, &e, error);
  if (!op)
    return false;
  r->extra = json_pack("{s:o}", "applies", applies(r, &e));
  if (e.name) /* the object has it from now on */
    pt_param_set(r, "instance", e.name);
  return pt_reply_operation(r, op, pt_instance_refresh, error);
}

bool
pt_instance_grow(PtRequest *r, const char *name, gint64 size, GError **error)
{
  Edit e = { 0 };
  e.patch = json_pack("{s:I}", "disk", (json_int_t)size);

  r->param_names[1] = "instance}"; /* beside the volume's id, which has been read */
  r->params[1] = name;
  g_autofree char *op = change(r, "change", false, edit, &e, error);
  r->param_names[1] = "id}";
  r->params[1] = r->segments[4];
  json_decref(e.patch);
  return op != NULL;
}
