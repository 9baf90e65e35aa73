// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "api/auth.h"
#include "api/handlers.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/id.h"

/* One sees what one has begun, and what happens in one's spaces; what is the node's, only administrators. */
static PtRole
role_in(PtRequest *r, const PtOperation *o, GHashTable *roles)
{
  if (r->who.owner_everywhere && !r->who.only_space)
    return r->who.read_only ? PT_ROLE_VIEWER : PT_ROLE_OWNER;
  PtRole role = o->space ? (PtRole)GPOINTER_TO_INT(g_hash_table_lookup(roles, o->space)) : PT_ROLE_NONE;
  bool own = g_strcmp0(o->user, r->who.name) == 0 && (!r->who.only_space || g_strcmp0(r->who.only_space, o->space) == 0);
  return own ? MAX(role, PT_ROLE_VIEWER) : role;
}

static GHashTable *
my_roles(PtRequest *r, GError **error)
{
  GHashTable *roles = NULL;

  if (!pt_view_sync(r->api->view, NULL, error))
    return NULL;
  g_autoptr(GPtrArray) spaces = pt_view_spaces(r->api->view, &r->who, NULL);
  roles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < spaces->len; i++) {
    const PtSpace *s = g_ptr_array_index(spaces, i);
    g_hash_table_insert(roles, g_strdup(s->name), GINT_TO_POINTER(pt_who_role(&r->who, s)));
  }
  return roles;
}

bool
pt_operations_list(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(GHashTable) roles = my_roles(r, error);
  g_autoptr(GPtrArray) all = roles ? pt_store_list(r->api->store, "ops/", &revision, error) : NULL;

  if (!all)
    return false;
  json_t *items = json_array();
  for (guint i = all->len; i-- > 0;) { /* ids sort by their time */
    const PtEntry *e = g_ptr_array_index(all, i);
    const char *id = e->key + strlen("ops/");
    g_autoptr(PtOperation) o = pt_ops_get(r->api->ops, id, NULL); /* with its present progress */
    if (o && role_in(r, o, roles) != PT_ROLE_NONE)
      json_array_append_new(items, pt_operation_view(o));
  }
  return pt_reply_items(r, items, revision);
}

static PtOperation *
load(PtRequest *r, PtRole *ret_role, GError **error)
{
  const char *id = pt_param(r, "id");
  g_autoptr(GHashTable) roles = my_roles(r, error);
  g_autoptr(PtOperation) o = roles && pt_id_valid(id) ? pt_ops_get(r->api->ops, id, NULL) : NULL;

  if (!roles)
    return NULL;
  if (!o || (*ret_role = role_in(r, o, roles)) == PT_ROLE_NONE) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no such operation\nended ones are kept for a day");
    return NULL;
  }
  return g_steal_pointer(&o);
}

/* Answers with the operation, held back until it has ended or `wait` seconds are over. Takes `o`. */
static bool
reply_after(PtRequest *r, PtOperation *o, gint64 wait, guint status, GError **error)
{
  gint64 end = pt_mono() + wait * G_USEC_PER_SEC;
  g_autoptr(PtOperation) now = o;

  while (now->state < PT_OP_DONE && pt_mono() < end && !pt_link_gone(r->link)) {
    PtOperation *next = pt_ops_wait(r->api->ops, pt_param(r, "id"), MIN(end - pt_mono(), G_USEC_PER_SEC), error);
    if (!next)
      return false;
    pt_operation_free(now);
    now = next;
  }
  return pt_reply_json(r, status, pt_operation_view(now));
}

bool
pt_operations_get(PtRequest *r, GError **error)
{
  gint64 wait = 0;
  PtRole role = PT_ROLE_NONE;

  if (!pt_query_int(r, "wait", 0, 0, PT_WAIT_MAX, &wait, error))
    return false;
  PtOperation *o = load(r, &role, error);
  return o && reply_after(r, o, wait, 200, error);
}

bool
pt_operations_cancel(PtRequest *r, GError **error)
{
  gint64 wait = 0;
  PtRole role = PT_ROLE_NONE;

  if (!pt_query_int(r, "wait", 0, 0, PT_WAIT_MAX, &wait, error))
    return false;
  g_autoptr(PtOperation) o = load(r, &role, error);
  if (!o)
    return false;
  if (role < PT_ROLE_OWNER && g_strcmp0(o->user, r->who.name) != 0) {
    PT_SET(error, PT_ERR_FORBIDDEN, "operation: only who began it, and the space's owners, can cancel it");
    return false;
  }
  if (!pt_ops_cancel(r->api->ops, o->id, error))
    return false;
  PtOperation *now = pt_ops_get(r->api->ops, pt_param(r, "id"), error);
  return now && reply_after(r, now, wait, 202, error);
}
