// SPDX-License-Identifier: Apache-2.0
#include "api/spaces.h"

#include <string.h>

#include "api/auth.h"
#include "api/bodies.h"
#include "api/handlers.h"
#include "api/instances.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"

#define DEFAULT_SUBNET "10.83.0.0/24" /* every space has its own network: they may all use the same addresses */

PtSpace *
pt_space_new(const char *name, const char *created_by)
{
  PtSpace *s = pt_record_new(&pt_space_type);
  guint8 rnd[5]; /* RFC 4193: fd, 40 random bits, and a subnet of its own: 0 */

  pt_random(rnd, sizeof rnd);
  s->id = pt_id_new();
  s->name = g_strdup(name);
  s->subnet = g_strdup(DEFAULT_SUBNET);
  s->prefix6 = g_strdup_printf("fd%02x:%x:%x::/64", rnd[0], (guint)rnd[1] << 8 | rnd[2], (guint)rnd[3] << 8 | rnd[4]);
  s->created = pt_now();
  s->created_by = g_strdup(created_by);
  return s;
}

void
pt_use_add(const PtHost *host, const PtInstance *i, PtUse *use)
{
  use->instances++;
  use->cpu += i->cpu ? i->cpu : host->cpus * 1000;
  use->memory += i->memory ? i->memory : host->memory;
  use->disk += i->disk;
}

typedef struct {
  const PtHost *host;
  PtUse *use;
} Count;

static void
count(const PtInstance *spec, const PtStatus *status, void *data)
{
  const Count *c = data;

  (void)status;
  pt_use_add(c->host, spec, c->use);
}

void
pt_space_use(PtApi *api, const char *space, PtUse *ret)
{
  Count c = { api->host, ret };

  memset(ret, 0, sizeof *ret);
  pt_view_foreach(api->view, space, count, &c);
  ret->disk += pt_view_data(api->view, space);
}

bool
pt_quota_check(const PtSpace *space, const PtUse *use, GError **error)
{
  const PtQuota *q = space->quota;
  g_autofree char *text = NULL;

  if (!q)
    return true;
  if (q->instances && use->instances > q->instances)
    text = g_strdup_printf("%" G_GINT64_FORMAT " instances of %" G_GINT64_FORMAT, use->instances, q->instances);
  else if (q->cpu && use->cpu > q->cpu)
    text = g_strdup_printf("%g cpus of %g", (double)use->cpu / 1000, (double)q->cpu / 1000);
  else if (q->memory && use->memory > q->memory) {
    g_autofree char *a = pt_size_format(use->memory), *b = pt_size_format(q->memory);
    text = g_strdup_printf("%s of memory of %s", a, b);
  } else if (q->disk && use->disk > q->disk) {
    g_autofree char *a = pt_size_format(use->disk), *b = pt_size_format(q->disk);
    text = g_strdup_printf("%s of disk of %s", a, b);
  }
  if (!text)
    return true;
  PT_SET(error, PT_ERR_OVER_QUOTA,
         "space %s: this would be %s that its quota allows\nask for less, delete something, or have the quota raised",
         space->name, text);
  return false;
}

static json_t *
space_view(PtApi *api, const PtWho *who, const PtSpace *s, gint64 revision)
{
  json_t *view = pt_record_view(&pt_space_type, s, revision);
  PtUse use;

  pt_space_use(api, s->name, &use);
  const PtQuota used = { use.instances, use.cpu, use.memory, use.disk };
  json_object_set_new(view, "used", pt_record_format(&pt_quota_type, &used, false));
  json_object_set_new(view, "role", json_string(pt_role_names[pt_who_role(who, s)]));
  json_object_del(view, "op");
  if (!s->members)
    json_object_set_new(view, "members", json_object());
  return view;
}

static bool
answer(PtRequest *r, guint status, const PtSpace *s, gint64 revision, GError **error)
{
  if (!pt_view_sync(r->api->view, NULL, error))
    return false;
  pt_reply_etag(r, revision);
  return pt_reply_json(r, status, space_view(r->api, &r->who, s, revision));
}

bool
pt_spaces_list(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  GArray *revisions = NULL;

  if (!pt_view_sync(r->api->view, &revision, error))
    return false;
  g_autoptr(GPtrArray) spaces = pt_view_spaces(r->api->view, &r->who, &revisions);
  json_t *items = json_array();
  for (guint i = 0; i < spaces->len; i++)
    json_array_append_new(items,
                          space_view(r->api, &r->who, g_ptr_array_index(spaces, i), g_array_index(revisions, gint64, i)));
  g_array_unref(revisions);
  return pt_reply_items(r, items, revision);
}

bool
pt_spaces_create(PtRequest *r, GError **error)
{
  const json_t *body = pt_body_object(r, false, error);
  const char *name = body ? json_string_value(json_object_get(body, "name")) : NULL;
  gint64 revision = 0;
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(GError) err = NULL;

  if (!body || !pt_name_check("space", name, error))
    return false;
  r->object = g_strdup_printf("spaces/%s", name);
  g_autoptr(PtSpace) s = pt_space_new(name, r->who.name);
  if (!pt_record_patch(&pt_space_type, s, body, PT_F_USER | PT_F_ADMIN, NULL, error))
    return false;
  if (!s->subnet)
    s->subnet = g_strdup(DEFAULT_SUBNET);
  if (!r->who.root) {
    if (!s->members)
      s->members = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(s->members, g_strdup(r->who.name), g_strdup("owner"));
  }
  g_autofree char *key = pt_key_space(s->name);
  pt_records_put(txn, key, 0, &pt_space_type, s);
  if (!pt_store_commit(r->api->store, txn, &revision, &err)) {
    if (g_error_matches(err, PT_ERROR, PT_ERR_STALE))
      PT_SET(error, PT_ERR_CONFLICT, "there is a space called %s already\nchoose another name", name);
    else
      g_propagate_error(error, g_steal_pointer(&err));
    return false;
  }
  return answer(r, 201, s, revision, error);
}

bool
pt_spaces_get(PtRequest *r, GError **error)
{
  return answer(r, 200, r->space, r->space_revision, error);
}

static bool
alive(const PtSpace *s, GError **error)
{
  if (!s->deleting)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "space %s: it is being deleted", s->name);
  return false;
}

/* Writes the space back, if it is still as it was read. */
static bool
put(PtRequest *r, const PtSpace *s, gint64 *ret_revision, GError **error)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autofree char *key = pt_key_space(s->name);

  pt_records_put(txn, key, r->space_revision, &pt_space_type, s);
  return pt_store_commit(r->api->store, txn, ret_revision, error);
}

bool
pt_spaces_change(PtRequest *r, GError **error)
{
  const json_t *body = pt_body_object(r, false, error);
  guint allowed = PT_F_LIVE | PT_F_STOPPED;
  gint64 revision = 0;

  if (!body || !alive(r->space, error) || !pt_if_match(r, r->space->name, r->space_revision, error))
    return false;
  if (json_object_get(body, "quota") && !r->who.admin) {
    PT_SET(error, PT_ERR_FORBIDDEN, "quota: it is set by administrators");
    return false;
  }
  if (!pt_record_patch(&pt_space_type, r->space, body, allowed | PT_F_ADMIN, NULL, error))
    return false;
  return put(r, r->space, &revision, error) && answer(r, 200, r->space, revision, error);
}

bool
pt_spaces_delete(PtRequest *r, GError **error)
{
  PtSpace *s = r->space;
  bool force = false;
  PtUse use;
  g_autoptr(PtTxn) txn = pt_txn_new();

  if (!s) {
    g_autofree char *key = pt_name_check("space", pt_param(r, "space"), NULL) ? pt_key_space(pt_param(r, "space")) : NULL;
    s = r->space = key ? pt_load(r->api, key, &pt_space_type, "space of that name", &r->space_revision, error) : NULL;
    if (!key)
      PT_SET(error, PT_ERR_NOT_FOUND, "there is no space of that name");
    if (!s)
      return false;
  }
  if (!pt_query_bool(r, "force", false, &force, error) || !alive(s, error) ||
      !pt_if_match(r, s->name, r->space_revision, error) || !pt_view_sync(r->api->view, NULL, error))
    return false;
  pt_space_use(r->api, s->name, &use);
  if (use.instances > 0 && !force) {
    PT_SET(error, PT_ERR_CONFLICT,
           "space %s: has %" G_GINT64_FORMAT " instances\ndelete them first, or use --force: their data goes too", s->name,
           use.instances);
    return false;
  }
  if (use.disk > 0 && !force) {
    PT_SET(error, PT_ERR_CONFLICT,
           "space %s: has data volumes\nlook at them (portena volume list) and delete them first, or use --force: what is on them goes too",
           s->name);
    return false;
  }
  if (!pt_nics_none_of_others(r->api, s->name, error))
    return false;
  g_autofree char *target = g_strdup_printf("spaces/%s", s->name);
  PtOperation op = { .kind = (char *)"delete", .target = target, .space = s->name, .user = r->who.name };
  s->deleting = true;
  g_free(s->op);
  s->op = pt_ops_begin(r->api->ops, txn, &op);
  g_free(op.id);
  g_autofree char *key = pt_key_space(s->name);
  pt_records_put(txn, key, r->space_revision, &pt_space_type, s);
  return pt_store_commit(r->api->store, txn, NULL, error) && pt_reply_operation(r, s->op, NULL, error);
}

/* ── members ── */

static bool
user_exists(PtRequest *r, const char *name, GError **error)
{
  g_autofree char *key = pt_user_name_check(name, NULL) ? pt_key_user(name) : NULL;
  g_autoptr(PtEntry) e = key ? pt_store_get(r->api->store, key, NULL) : NULL;

  if (!e)
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no user of that name\nthose there are: portena user list");
  return e != NULL;
}

/* Members change each other at the same time; who lost the race tries again with what is there then. */
static bool
set_member(PtRequest *r, const char *user, const char *role, gint64 *ret_revision, GError **error)
{
  g_autofree char *key = pt_key_space(r->space->name), *name = g_strdup(r->space->name);

  for (guint i = 0;; i++) {
    g_autoptr(GError) err = NULL;
    if (!alive(r->space, error) || !pt_if_match(r, name, r->space_revision, error))
      return false;
    if (!r->space->members)
      r->space->members = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (role) {
      g_hash_table_insert(r->space->members, g_strdup(user), g_strdup(role));
    } else if (!g_hash_table_remove(r->space->members, user)) {
      PT_SET(error, PT_ERR_NOT_FOUND, "space %s: has no member of that name", name);
      return false;
    }
    if (put(r, r->space, ret_revision, &err))
      return true;
    if (!g_error_matches(err, PT_ERROR, PT_ERR_STALE) || i == 16) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    }
    pt_space_free(r->space);
    r->space = pt_load(r->api, key, &pt_space_type, "space", &r->space_revision, error);
    if (!r->space)
      return false;
  }
}

bool
pt_members_put(PtRequest *r, GError **error)
{
  PtBodyMember *b = pt_body_record(r, &pt_body_member, error);
  const char *user = pt_param(r, "user");
  int role = b ? b->role : PT_ROLE_NONE;
  gint64 revision = 0;

  if (!b)
    return false;
  pt_record_free(&pt_body_member, b);
  if (role == PT_ROLE_NONE) {
    PT_SET(error, PT_ERR_INVALID, "role: viewer, member or owner is wanted");
    return false;
  }
  r->audit_detail = g_strdup(pt_role_names[role]);
  return user_exists(r, user, error) && set_member(r, user, pt_role_names[role], &revision, error) &&
         answer(r, 200, r->space, revision, error);
}

bool
pt_members_delete(PtRequest *r, GError **error)
{
  gint64 revision = 0;

  return set_member(r, pt_param(r, "user"), NULL, &revision, error) && pt_reply_empty(r);
}
