// SPDX-License-Identifier: Apache-2.0
#include "node/ops.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "node/records.h"

/* Theory of operation. The store has an operation's beginning and end; what happens in between is in `live`, by id: present
 * progress, the cancellable, and how many wait. An entry is made on first use, not by pt_ops_begin(), whose transaction may
 * yet fail, and goes at the end. An end that cannot be written (a full disk) stays in `live`, so that nobody
 * waits for ever; the next start finds the record unended and closes it.
 *
 * Ends written by others (another node, one day) arrive through a watch. Lock order: `lock` is never held over a call into the
 * store or the bus. */

#define PROGRESS_EVERY (G_USEC_PER_SEC / 4)
#define KEEP_FOR (24 * 3600 * (gint64)G_USEC_PER_SEC)
#define KEEP_MAX 1000
#define PRUNE_EVERY 200 /* ends */

typedef struct Live {
  PtOperation *progress; /* only step, progress, done, total, unit count; NULL = none yet. Or the unsaved end */
  GCancellable *cancel;
  guint waiters;
  bool ended;
  gint64 published;
} Live;

struct PtOps {
  PtStore *store;
  PtBus *bus;
  PtWatch *watch;
  GMutex lock;
  GCond cond;
  GHashTable *live; /* id → Live */
  guint ends;
};

static void
live_free(gpointer p)
{
  Live *l = p;

  pt_operation_free(l->progress);
  g_clear_object(&l->cancel);
  g_free(l);
}

/* With `lock` held. */
static Live *
live_of(PtOps *ops, const char *id)
{
  Live *l = g_hash_table_lookup(ops->live, id);

  if (!l) {
    l = g_new0(Live, 1);
    g_hash_table_insert(ops->live, g_strdup(id), l);
  }
  return l;
}

static bool
has_ended(const PtOperation *op)
{
  return op->state >= PT_OP_DONE;
}

/* With `lock` held: its end is in the store. Waiters hold the entry until they have seen it. */
static void
note_end(PtOps *ops, const char *id)
{
  Live *l = g_hash_table_lookup(ops->live, id);

  if (!l)
    return;
  l->ended = true;
  g_clear_pointer(&l->progress, pt_operation_free);
  if (l->waiters == 0)
    g_hash_table_remove(ops->live, id);
  g_cond_broadcast(&ops->cond);
}

static PtOperation *
load(PtOps *ops, const char *id, gint64 *ret_revision, GError **error)
{
  g_autofree char *key = pt_key_op(id);
  g_autoptr(PtEntry) e = pt_id_valid(id) ? pt_store_get(ops->store, key, error) : NULL;

  if (!e) {
    if (error && *error && pt_error_code(*error) != PT_ERR_NOT_FOUND)
      return NULL;
    g_clear_error(error);
    PT_SET(error, PT_ERR_NOT_FOUND, "operation %s: there is none, or it ended long ago", pt_id_valid(id) ? id : "?");
    return NULL;
  }
  if (ret_revision)
    *ret_revision = e->revision;
  return pt_record_read(&pt_operation_type, e->value, error);
}

static void
on_change(const PtChange *change, bool lost, void *data)
{
  PtOps *ops = data;

  if (lost) { /* waiters look for themselves every second */
    return;
  }
  g_autoptr(PtOperation) op = change->value ? pt_record_read(&pt_operation_type, change->value, NULL) : NULL;
  if (op && !has_ended(op))
    return;
  g_mutex_lock(&ops->lock);
  note_end(ops, change->key + strlen("ops/"));
  g_mutex_unlock(&ops->lock);
}

PtOps *
pt_ops_new(PtStore *store, PtBus *bus)
{
  PtOps *ops = g_new0(PtOps, 1);

  ops->store = store;
  ops->bus = bus;
  g_mutex_init(&ops->lock);
  g_cond_init(&ops->cond);
  ops->live = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, live_free);
  ops->watch = pt_store_watch(store, "ops/", 0, on_change, ops, NULL);
  return ops;
}

void
pt_ops_free(PtOps *ops)
{
  if (!ops)
    return;
  pt_watch_cancel(ops->watch);
  g_hash_table_unref(ops->live);
  g_mutex_clear(&ops->lock);
  g_cond_clear(&ops->cond);
  g_free(ops);
}

char *
pt_ops_begin(PtOps *ops, PtTxn *txn, PtOperation *template)
{
  (void)ops;
  g_free(template->id);
  template->id = pt_id_new();
  template->created = pt_now();
  template->state = PT_OP_PENDING;
  template->progress = -1;
  g_autofree char *key = pt_key_op(template->id);
  pt_records_put(txn, key, 0, &pt_operation_type, template);
  return g_strdup(template->id);
}

char *
pt_ops_begin_now(PtOps *ops, PtOperation *template, GError **error)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autofree char *id = pt_ops_begin(ops, txn, template);

  return pt_store_commit(ops->store, txn, NULL, error) ? g_steal_pointer(&id) : NULL;
}

/* The record with what is only in memory. */
static void
overlay(PtOps *ops, PtOperation *op)
{
  g_mutex_lock(&ops->lock);
  Live *l = g_hash_table_lookup(ops->live, op->id);
  const PtOperation *p = l ? l->progress : NULL;
  if (p && !has_ended(op)) {
    op->state = p->state;
    op->progress = p->progress;
    op->done = p->done;
    op->total = p->total;
    op->ended = p->ended;
    const struct {
      char **to;
      const char *from;
    } texts[] = { { &op->step, p->step }, { &op->unit, p->unit }, { &op->error_code, p->error_code }, { &op->error, p->error },
                  { &op->result, p->result } };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
      g_free(*texts[i].to);
      *texts[i].to = g_strdup(texts[i].from);
    }
  }
  g_mutex_unlock(&ops->lock);
}

PtOperation *
pt_ops_get(PtOps *ops, const char *id, GError **error)
{
  PtOperation *op = load(ops, id, NULL, error);

  if (op)
    overlay(ops, op);
  return op;
}

/* Takes the new progress into memory; true where it is time to tell. False for one that has ended. */
static bool
remember(PtOps *ops, const char *id, const PtOperation *now)
{
  gint64 mono = pt_mono();
  bool tell = false;

  g_mutex_lock(&ops->lock);
  Live *l = live_of(ops, id);
  if (!l->ended && !(l->progress && has_ended(l->progress))) {
    pt_operation_free(l->progress);
    l->progress = pt_record_copy(&pt_operation_type, now);
    tell = l->published == 0 || mono - l->published >= PROGRESS_EVERY;
    if (tell)
      l->published = mono;
  }
  g_mutex_unlock(&ops->lock);
  return tell;
}

void
pt_ops_progress(PtOps *ops, const char *id, const char *step, gint64 permille, gint64 done, gint64 total, const char *unit)
{
  g_mutex_lock(&ops->lock);
  bool known = g_hash_table_contains(ops->live, id);
  g_mutex_unlock(&ops->lock);
  if (!known) {
    g_autoptr(PtOperation) first = load(ops, id, NULL, NULL);
    if (!first || has_ended(first))
      return;
  }
  PtOperation now = { .id = (char *)id, .state = PT_OP_RUNNING, .step = (char *)step, .progress = CLAMP(permille, -1, 1000),
                      .done = MAX(done, 0), .total = MAX(total, 0), .unit = (char *)unit };
  if (!remember(ops, id, &now))
    return;
  g_autoptr(PtOperation) op = pt_ops_get(ops, id, NULL);
  if (!op || has_ended(op))
    return;
  g_autoptr(json_t) view = pt_operation_view(op);
  g_autofree char *data = pt_json_dump(view), *key = pt_key_op(id);
  pt_bus_publish(ops->bus, "progress", op->space, key, NULL, data);
}

static void
set_end(PtOperation *op, const char *result, const GError *error)
{
  op->ended = pt_now();
  g_free(op->result);
  op->result = g_strdup(result);
  if (!error) {
    op->state = PT_OP_DONE;
    op->progress = 1000;
    return;
  }
  PtErr code = pt_error_code(error);
  op->state = code == PT_ERR_CANCELLED ? PT_OP_CANCELLED : PT_OP_FAILED;
  g_free(op->error_code);
  op->error_code = g_strdup(pt_err_name(code));
  g_free(op->error);
  op->error = g_strdup(error->message);
}

/* Removes ended operations: older than a day, and the oldest above the limit. */
static bool
prune(PtOps *ops, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(ops->store, "ops/", NULL, error);
  g_autoptr(PtTxn) txn = pt_txn_new();
  gint64 oldest = pt_now() - KEEP_FOR;
  guint n = 0;

  for (guint i = 0; all && i < all->len && n < 500; i++) { /* ids sort by their time: the oldest come first */
    const PtEntry *e = all->pdata[i];
    g_autoptr(PtOperation) op = pt_record_read(&pt_operation_type, e->value, NULL);
    if (op && (!has_ended(op) || (op->ended >= oldest && all->len - n <= KEEP_MAX)))
      continue;
    pt_txn_delete(txn, e->key);
    n++;
  }
  return all && (n == 0 || pt_store_commit(ops->store, txn, NULL, error));
}

/* Writes the end; false where there is nothing to end or it could not be written. *ret_op is the record as it ended. */
static bool
save_end(PtOps *ops, const char *id, const char *result, const GError *error, PtOperation **ret_op)
{
  for (int tries = 0; tries < 10; tries++) {
    gint64 revision = 0;
    g_autoptr(GError) err = NULL;
    g_autoptr(PtOperation) op = load(ops, id, &revision, NULL);
    if (!op || has_ended(op))
      return true;
    overlay(ops, op);
    set_end(op, result, error);
    g_autoptr(PtTxn) txn = pt_txn_new();
    g_autofree char *key = pt_key_op(id);
    pt_records_put(txn, key, revision, &pt_operation_type, op);
    if (pt_store_commit(ops->store, txn, NULL, &err))
      return true;
    pt_operation_free(*ret_op);
    *ret_op = g_steal_pointer(&op);
    if (pt_error_code(err) != PT_ERR_STALE)
      return false;
  }
  return false;
}

void
pt_ops_end(PtOps *ops, const char *id, const char *result, const GError *error)
{
  g_autoptr(PtOperation) op = NULL;
  bool saved = save_end(ops, id, result, error, &op), full = false;

  g_mutex_lock(&ops->lock);
  if (saved) {
    note_end(ops, id);
  } else {
    Live *l = live_of(ops, id);
    pt_operation_free(l->progress);
    l->progress = g_steal_pointer(&op);
    g_cond_broadcast(&ops->cond);
  }
  full = ++ops->ends % PRUNE_EVERY == 0;
  g_mutex_unlock(&ops->lock);
  if (full)
    prune(ops, NULL); /* if not now, then the next time */
}

PtOperation *
pt_ops_wait(PtOps *ops, const char *id, gint64 timeout, GError **error)
{
  gint64 until = g_get_monotonic_time() + MAX(timeout, 0);
  PtOperation *op = NULL;

  g_mutex_lock(&ops->lock);
  live_of(ops, id)->waiters++;
  for (;;) {
    g_mutex_unlock(&ops->lock);
    pt_operation_free(op);
    op = pt_ops_get(ops, id, error);
    g_mutex_lock(&ops->lock);
    gint64 now = g_get_monotonic_time();
    if (!op || has_ended(op) || now >= until)
      break;
    Live *l = live_of(ops, id);
    if (!l->ended && !(l->progress && has_ended(l->progress)))
      g_cond_wait_until(&ops->cond, &ops->lock, MIN(until, now + G_USEC_PER_SEC));
  }
  Live *l = live_of(ops, id);
  if (--l->waiters == 0 && (l->ended || (!l->progress && !l->cancel)))
    g_hash_table_remove(ops->live, id);
  g_mutex_unlock(&ops->lock);
  return op;
}

bool
pt_ops_cancel(PtOps *ops, const char *id, GError **error)
{
  g_autoptr(PtOperation) op = pt_ops_get(ops, id, error);
  g_autoptr(GCancellable) cancel = NULL;

  if (!op)
    return false;
  if (has_ended(op)) {
    PT_SET(error, PT_ERR_CONFLICT, "operation %s: has ended already (%s)", id, pt_op_state_names[op->state]);
    return false;
  }
  g_mutex_lock(&ops->lock);
  Live *l = g_hash_table_lookup(ops->live, id);
  if (l && l->cancel)
    cancel = g_object_ref(l->cancel);
  g_mutex_unlock(&ops->lock);
  if (!cancel) {
    PT_SET(error, PT_ERR_CONFLICT, "operation %s: %s cannot be cancelled", id, op->kind);
    return false;
  }
  g_cancellable_cancel(cancel);
  return true;
}

GCancellable *
pt_ops_cancellable(PtOps *ops, const char *id)
{
  g_autoptr(PtOperation) op = load(ops, id, NULL, NULL);

  if (op && has_ended(op))
    return g_cancellable_new();
  g_mutex_lock(&ops->lock);
  Live *l = live_of(ops, id);
  if (!l->cancel)
    l->cancel = g_cancellable_new();
  GCancellable *cancel = g_object_ref(l->cancel);
  g_mutex_unlock(&ops->lock);
  return cancel;
}

typedef enum Fate { FATE_OPEN, FATE_DONE, FATE_CUT_OFF } Fate;

/* What became of an operation that the last daemon did not end. The reconciler ends those that their object still names; an object
 * that is gone, or waits for another by now, was deleted or changed in the moment before the daemon's end. */
static Fate
fate_of(PtOps *ops, const PtOperation *op)
{
  if (!op->target || !g_str_has_prefix(op->target, "spaces/"))
    return FATE_CUT_OFF;
  g_autoptr(PtEntry) e = pt_store_get(ops->store, op->target, NULL);
  g_autoptr(json_t) json = e ? pt_json_parse_object(e->value, strlen(e->value), NULL) : NULL;
  if (g_strcmp0(json ? pt_json_str(json, "op", NULL) : NULL, op->id) == 0)
    return FATE_OPEN;
  return g_strcmp0(op->kind, "delete") == 0 ? FATE_DONE : FATE_CUT_OFF;
}

bool
pt_ops_recover(PtOps *ops, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(ops->store, "ops/", NULL, error);
  g_autoptr(GError) restarted = NULL;

  PT_SET(&restarted, PT_ERR_INTERNAL, "portenad was started again in the middle of it\nnothing is left of it; ask for it again");
  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = all->pdata[i];
    g_autoptr(PtOperation) op = pt_record_read(&pt_operation_type, e->value, NULL);
    Fate fate = op && !has_ended(op) ? fate_of(ops, op) : FATE_OPEN;
    if (fate != FATE_OPEN)
      pt_ops_end(ops, op->id, NULL, fate == FATE_DONE ? NULL : restarted);
  }
  return all && prune(ops, error);
}
