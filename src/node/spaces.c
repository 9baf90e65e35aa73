// SPDX-License-Identifier: Apache-2.0
/* Spaces as this node sees them: their network goes when their last instance has gone, and a space that is being deleted
 * takes its instances with it. */
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "node/agent_impl.h"

/* Every instance of a space that is being deleted is marked to be deleted. False where there is still one. */
static bool
delete_instances(PtAgent *a, GPtrArray *entries)
{
  for (guint i = 0; i < entries->len; i++) {
    const PtEntry *e = g_ptr_array_index(entries, i);
    g_autoptr(PtInstance) spec = pt_record_read(&pt_instance_type, e->value, NULL);
    g_autoptr(GError) err = NULL;
    if (!spec || spec->deleting)
      continue;
    spec->deleting = true;
    spec->generation++;
    g_clear_pointer(&spec->op, g_free);
    if (!pt_records_write(a->store, e->key, e->revision, &pt_instance_type, spec,
                          &err)) /* somebody changed it: its own change wakes us again */
      pt_log_debug("node", "%s: %s", e->key, err->message);
  }
  return entries->len == 0;
}

/* Data volumes have a life of their own, but not beyond that of their space. */
static bool
remove_volumes(PtAgent *a, const char *space, GError **error)
{
  g_autofree char *prefix = g_strdup_printf("spaces/%s/volumes/", space);
  g_autoptr(GPtrArray) all = pt_store_list(a->store, prefix, NULL, error);

  for (guint i = 0; all && i < all->len; i++) {
    const char *id = ((const PtEntry *)g_ptr_array_index(all, i))->key + strlen(prefix);
    if (!pt_agent_volume_remove(a, id, error))
      return false;
  }
  return all != NULL;
}

static bool
remove_records(PtAgent *a, const char *space, GError **error)
{
  g_autofree char *prefix = g_strdup_printf("spaces/%s/", space), *key = pt_key_space(space);
  g_autoptr(GPtrArray) left = pt_store_list(a->store, prefix, NULL, error);
  if (!left)
    return false;
  g_autoptr(PtTxn) txn = pt_txn_new();
  for (guint i = 0; i < left->len; i++)
    pt_txn_delete(txn, ((const PtEntry *)g_ptr_array_index(left, i))->key);
  pt_txn_delete(txn, key);
  return pt_store_commit(a->store, txn, NULL, error);
}

/* Whether an instance of another space has a network card in this one. */
static bool
has_guests(PtAgent *a, const char *space, bool *ret, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(a->store, "spaces/", NULL, error);

  *ret = false;
  for (guint i = 0; all && !*ret && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtInstance) spec = strstr(e->key, "/instances/") ? pt_record_read(&pt_instance_type, e->value, NULL) : NULL;
    for (guint n = 0; spec && spec->nics && n < spec->nics->len; n++)
      *ret |= strcmp(((const PtNic *)g_ptr_array_index(spec->nics, n))->space, space) == 0;
  }
  return all != NULL;
}

/* Takes the network down where no instance is left. False where it is still needed, or cannot be. */
static bool
network_down(PtAgent *a, const PtSpace *s, bool *ret_left, GError **error)
{
  g_autofree char *prefix = g_strdup_printf("spaces/%s/instances/", s->name);
  bool ok = true;

  g_mutex_lock(&a->net_lock);
  g_autoptr(GPtrArray) instances = pt_store_list(a->store, prefix, NULL, error);
  *ret_left = instances && (s->deleting ? !delete_instances(a, instances) : instances->len > 0);
  bool guests = false;
  if (!instances || *ret_left || !has_guests(a, s->name, &guests, error) || (*ret_left = guests)) {
    ok = false;
  } else {
    g_mutex_lock(&a->lock);
    bool up = g_hash_table_remove(a->spaces_up, s->id);
    g_mutex_unlock(&a->lock);
    if (up || s->deleting)
      ok = pt_net_bridge.space_down(a->net, s->id, error);
  }
  g_mutex_unlock(&a->net_lock);
  return ok;
}

void
pt_agent_space_check(PtAgent *a, const char *space)
{
  g_autofree char *key = pt_key_space(space);
  g_autoptr(PtSpace) s = pt_records_get(a->store, key, &pt_space_type, NULL, NULL);
  g_autoptr(GError) err = NULL;
  bool left = false;

  if (!s || (!network_down(a, s, &left, &err) && left))
    return;
  if (!err && s->deleting && remove_volumes(a, space, &err))
    remove_records(a, space, &err);
  if (err)
    pt_log_warn("node", "space %s: %s", space, err->message);
  if (s->deleting && s->op)
    pt_ops_end(a->ops, s->op, NULL, err);
}

void
pt_agent_space_keep(PtAgent *a, const char *space)
{
  g_autofree char *id = NULL, *dns = NULL;
  g_autoptr(GError) err = NULL;

  if (!pt_agent_space_up(a, space, &id, &dns, &err) && !g_error_matches(err, PT_ERROR, PT_ERR_NOT_FOUND))
    pt_log_warn("node", "%s", err->message);
}

void
pt_agent_networks_check(PtAgent *a)
{
  g_autoptr(GPtrArray) all = pt_store_list(a->store, "spaces/", NULL, NULL);

  for (guint i = 0; all && i < all->len; i++) {
    const char *name = ((const PtEntry *)g_ptr_array_index(all, i))->key + strlen("spaces/");
    if (!strchr(name, '/'))
      pt_agent_space_check(a, name);
  }
}
