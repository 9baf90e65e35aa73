// SPDX-License-Identifier: Apache-2.0
/* A list of a thousand instances has to come in a few milliseconds, so nothing is parsed or formatted for it: the watch
 * of the store keeps the parsed records, and their JSON text is made when it is asked for and kept until the next change.
 *
 * The watch is on everything, so that the revision it has reached can be compared with the store's: a reader waits
 * until the view is as new as the store was when it asked. */
#include "api/view.h"

#include <string.h>

#include "api/auth.h"

#define SYNC_MAX (2 * G_USEC_PER_SEC)

typedef struct {
  PtInstance *spec;
  PtStatus *status; /* may be NULL, or of an older namesake */
  gint64 revision;
  char *text; /* rendered without its closing brace and usage; NULL = to be made again */
} Row;

typedef struct {
  PtSpace *space; /* NULL: its instances were seen before it */
  gint64 revision;
  GTree *rows; /* name → Row */
  GHashTable *data; /* id of a data volume → its size */
} Group;

struct PtView {
  PtStore *store;
  PtWatch *watch; /* under `loading` */
  GMutex loading;
  GMutex lock; /* what follows; taken after `loading` */
  GCond changed;
  GTree *groups;  /* space's name → Group */
  gint64 reached; /* revision of the newest change seen */
  bool lost;      /* to be read anew */
};

static void
row_free(gpointer data)
{
  Row *row = data;

  pt_instance_free(row->spec);
  pt_status_free(row->status);
  g_free(row->text);
  g_free(row);
}

static void
group_free(gpointer data)
{
  Group *g = data;

  pt_space_free(g->space);
  g_tree_unref(g->rows);
  g_hash_table_unref(g->data);
  g_free(g);
}

static gint
by_name(gconstpointer a, gconstpointer b, gpointer data)
{
  (void)data;
  return strcmp(a, b);
}

static Group *
group_of(PtView *v, const char *space)
{
  Group *g = g_tree_lookup(v->groups, space);

  if (!g) {
    g = g_new0(Group, 1);
    g->rows = g_tree_new_full(by_name, NULL, g_free, row_free);
    g->data = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_tree_insert(v->groups, g_strdup(space), g);
  }
  return g;
}

static Row *
row_of(PtView *v, const char *space, const char *name)
{
  Group *g = group_of(v, space);
  Row *row = g_tree_lookup(g->rows, name);

  if (!row) {
    row = g_new0(Row, 1);
    g_tree_insert(g->rows, g_strdup(name), row);
  }
  g_clear_pointer(&row->text, g_free);
  return row;
}

static void
drop_empty(PtView *v, const char *space, const char *name)
{
  Group *g = group_of(v, space);
  const Row *row = name ? g_tree_lookup(g->rows, name) : NULL;

  if (row && !row->spec && !row->status)
    g_tree_remove(g->rows, name);
  if (!g->space && g_tree_nnodes(g->rows) == 0 && g_hash_table_size(g->data) == 0)
    g_tree_remove(v->groups, space);
}

static void
apply_volume(PtView *v, const char *space, const char *id, const json_t *json)
{
  g_autoptr(PtVolume) volume = json ? pt_volume_parse(json, NULL) : NULL;
  Group *g = group_of(v, space);

  if (volume && !volume->instance)
    g_hash_table_insert(g->data, g_strdup(id), g_memdup2(&volume->size, sizeof volume->size));
  else
    g_hash_table_remove(g->data, id);
}

/* A record that cannot be parsed is left out: it was written by a newer version, and reading it singly says so. */
static void
apply(PtView *v, const char *key, const char *value, gint64 revision)
{
  if (!g_str_has_prefix(key, "spaces/"))
    return;
  g_auto(GStrv) part = g_strsplit(key, "/", 5);
  guint n = g_strv_length(part);
  bool spec = n == 4 && strcmp(part[2], "instances") == 0, status = n == 4 && strcmp(part[2], "status") == 0;
  bool volume = n == 4 && strcmp(part[2], "volumes") == 0;
  if (n != 2 && !spec && !status && !volume)
    return;
  g_autoptr(json_t) json = value ? pt_json_parse_object(value, strlen(value), NULL) : NULL;
  if (n == 2) {
    Group *g = group_of(v, part[1]);
    g_clear_pointer(&g->space, pt_space_free);
    g->space = json ? pt_space_parse(json, NULL) : NULL;
    g->revision = revision;
  } else if (volume) {
    apply_volume(v, part[1], part[3], json);
  } else if (spec) {
    Row *row = row_of(v, part[1], part[3]);
    g_clear_pointer(&row->spec, pt_instance_free);
    row->spec = json ? pt_instance_parse(json, NULL) : NULL;
    row->revision = revision;
  } else {
    Row *row = row_of(v, part[1], part[3]);
    g_clear_pointer(&row->status, pt_status_free);
    row->status = json ? pt_status_parse(json, NULL) : NULL;
  }
  if (!json)
    drop_empty(v, part[1], spec || status ? part[3] : NULL);
}

static void
on_change(const PtChange *change, bool lost, void *data)
{
  PtView *v = data;

  g_mutex_lock(&v->lock);
  if (lost) {
    v->lost = true;
  } else {
    apply(v, change->key, change->value, change->revision);
    if (change->last) /* a transaction that has been seen in part is one that has not been seen */
      v->reached = MAX(v->reached, change->revision);
  }
  g_cond_broadcast(&v->changed);
  g_mutex_unlock(&v->lock);
}

/* Reads everything and watches from there. Without the lock: the watch's function takes it. */
static bool
load(PtView *v, GError **error)
{
  gint64 revision = 0;

  if (v->watch)
    pt_watch_cancel(v->watch);
  v->watch = NULL;
  g_autoptr(GPtrArray) all = pt_store_list(v->store, "spaces/", &revision, error);
  if (!all)
    return false;
  g_mutex_lock(&v->lock);
  g_clear_pointer(&v->groups, g_tree_unref);
  v->groups = g_tree_new_full(by_name, NULL, g_free, group_free);
  for (guint i = 0; i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    apply(v, e->key, e->value, e->revision);
  }
  v->reached = revision;
  v->lost = false;
  g_mutex_unlock(&v->lock);
  v->watch = pt_store_watch(v->store, "", revision, on_change, v, error);
  return v->watch != NULL;
}

PtView *
pt_view_new(PtStore *store, GError **error)
{
  PtView *v = g_new0(PtView, 1);

  v->store = store;
  g_mutex_init(&v->lock);
  g_cond_init(&v->changed);
  g_mutex_init(&v->loading);
  if (!load(v, error)) {
    pt_view_free(v);
    return NULL;
  }
  return v;
}

void
pt_view_free(PtView *v)
{
  if (!v)
    return;
  if (v->watch)
    pt_watch_cancel(v->watch);
  g_clear_pointer(&v->groups, g_tree_unref);
  g_mutex_clear(&v->lock);
  g_mutex_clear(&v->loading);
  g_cond_clear(&v->changed);
  g_free(v);
}

static bool
reload_if_lost(PtView *v, GError **error)
{
  bool ok = true;

  g_mutex_lock(&v->loading);
  g_mutex_lock(&v->lock);
  bool lost = v->lost;
  g_mutex_unlock(&v->lock);
  if (lost)
    ok = load(v, error);
  g_mutex_unlock(&v->loading);
  return ok;
}

bool
pt_view_sync(PtView *v, gint64 *ret_revision, GError **error)
{
  gint64 now = 0, end = g_get_monotonic_time() + SYNC_MAX;
  g_autoptr(GPtrArray) none = pt_store_list(v->store, "leader/", &now, error);
  bool ok = none && reload_if_lost(v, error);

  if (!ok)
    return false;
  g_mutex_lock(&v->lock);
  while (v->reached < now && !v->lost && ok)
    ok = g_cond_wait_until(&v->changed, &v->lock, end);
  if (ret_revision)
    *ret_revision = MAX(now, v->reached);
  g_mutex_unlock(&v->lock);
  if (!ok)
    PT_SET(error, PT_ERR_TIMEOUT, "store: its changes are late\ntry again in a moment");
  return ok;
}

/* ── reading ── */

static void
render(Row *row)
{
  g_autoptr(json_t) json = pt_instance_json(row->spec, row->status, row->revision);

  json_object_del(json, "usage");
  row->text = pt_json_dump(json);
  row->text[strlen(row->text) - 1] = '\0'; /* the usage and the brace are put behind it each time */
}

typedef struct {
  PtUsageFunc usage;
  void *usage_data;
  PtViewFunc func;
  void *func_data;
  GString *out;
} Visit;

static gboolean
visit_row(gpointer key, gpointer value, gpointer data)
{
  Row *row = value;
  Visit *visit = data;

  (void)key;
  if (!row->spec)
    return FALSE;
  bool ours = row->status && g_strcmp0(row->status->id, row->spec->id) == 0;
  if (visit->func) {
    visit->func(row->spec, ours ? row->status : NULL, visit->func_data);
    return FALSE;
  }
  if (!row->text)
    render(row);
  bool alive = ours && (row->status->state == PT_RUN_RUNNING || row->status->state == PT_RUN_PAUSED ||
                        row->status->state == PT_RUN_HIBERNATED);
  g_autofree char *usage = alive && visit->usage ? visit->usage(row->spec, visit->usage_data) : NULL;
  if (visit->out->len && visit->out->str[visit->out->len - 1] == '}')
    g_string_append_c(visit->out, ',');
  g_string_append(visit->out, row->text);
  g_string_append(visit->out, ",\"usage\":");
  g_string_append(visit->out, usage ? usage : "null");
  g_string_append_c(visit->out, '}');
  return FALSE;
}

void
pt_view_instances(PtView *v, const char *space, PtUsageFunc usage, void *data, GString *out)
{
  Visit visit = { .usage = usage, .usage_data = data, .out = out };

  g_mutex_lock(&v->lock);
  const Group *g = g_tree_lookup(v->groups, space);
  if (g)
    g_tree_foreach(g->rows, visit_row, &visit);
  g_mutex_unlock(&v->lock);
}

gint64
pt_view_data(PtView *v, const char *space)
{
  gint64 sum = 0;
  GHashTableIter it;
  gpointer size;

  g_mutex_lock(&v->lock);
  const Group *g = g_tree_lookup(v->groups, space);
  if (g) {
    g_hash_table_iter_init(&it, g->data);
    while (g_hash_table_iter_next(&it, NULL, &size))
      sum += *(const gint64 *)size;
  }
  g_mutex_unlock(&v->lock);
  return sum;
}

static gboolean
visit_group(gpointer key, gpointer value, gpointer data)
{
  (void)key;
  g_tree_foreach(((Group *)value)->rows, visit_row, data);
  return FALSE;
}

void
pt_view_foreach(PtView *v, const char *space, PtViewFunc func, void *data)
{
  Visit visit = { .func = func, .func_data = data };

  g_mutex_lock(&v->lock);
  Group *g = space ? g_tree_lookup(v->groups, space) : NULL;
  if (g)
    g_tree_foreach(g->rows, visit_row, &visit);
  else if (!space)
    g_tree_foreach(v->groups, visit_group, &visit);
  g_mutex_unlock(&v->lock);
}

static void
count(const PtInstance *spec, const PtStatus *status, void *data)
{
  PtViewCount *c = data;

  (void)spec;
  c->all++;
  if (status && (status->state == PT_RUN_RUNNING || status->state == PT_RUN_PAUSED))
    c->running++;
  if (status && status->state == PT_RUN_HIBERNATED)
    c->hibernated++;
  if (status && status->state == PT_RUN_FAILED)
    c->failed++;
}

PtViewCount
pt_view_count(PtView *v)
{
  PtViewCount c = { 0 };

  pt_view_foreach(v, NULL, count, &c);
  return c;
}

typedef struct {
  const PtWho *who;
  GPtrArray *out;
  GArray *revisions;
} Mine;

static gboolean
visit_space(gpointer key, gpointer value, gpointer data)
{
  const Group *g = value;
  Mine *mine = data;

  (void)key;
  if (!g->space || pt_who_role(mine->who, g->space) == PT_ROLE_NONE)
    return FALSE;
  g_ptr_array_add(mine->out, pt_record_copy(&pt_space_type, g->space));
  if (mine->revisions)
    g_array_append_val(mine->revisions, g->revision);
  return FALSE;
}

GPtrArray *
pt_view_spaces(PtView *v, const PtWho *who, GArray **ret_revisions)
{
  Mine mine = { who, g_ptr_array_new_with_free_func((GDestroyNotify)pt_space_free), NULL };

  if (ret_revisions)
    mine.revisions = *ret_revisions = g_array_new(FALSE, FALSE, sizeof(gint64));
  g_mutex_lock(&v->lock);
  g_tree_foreach(v->groups, visit_space, &mine);
  g_mutex_unlock(&v->lock);
  return mine.out;
}

static bool
settled(PtView *v, const char *space, const char *name)
{
  const Group *g = g_tree_lookup(v->groups, space);
  const Row *row = g ? g_tree_lookup(g->rows, name) : NULL;

  if (!row || !row->spec)
    return true; /* it is gone: there is nothing to wait for */
  if (!row->status || g_strcmp0(row->status->id, row->spec->id) != 0)
    return false;
  int state = row->status->state;
  return state == PT_RUN_RUNNING ? row->status->ready : state == PT_RUN_FAILED || state == PT_RUN_STOPPED || state == PT_RUN_HIBERNATED;
}

bool
pt_view_wait_ready(PtView *v, const char *space, const char *name, gint64 timeout)
{
  gint64 end = g_get_monotonic_time() + timeout;
  bool in_time = true, done = false;

  if (!pt_view_sync(v, NULL, NULL)) /* it would have to be right at once, and is not: wait for the next change */
    return false;
  g_mutex_lock(&v->lock);
  while (!(done = settled(v, space, name)) && in_time)
    in_time = g_cond_wait_until(&v->changed, &v->lock, end);
  g_mutex_unlock(&v->lock);
  return done;
}
