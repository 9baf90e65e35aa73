// SPDX-License-Identifier: Apache-2.0
/* Events and operations over a real store in a temporary directory, with a clock that the tests move. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "model/instance.h"
#include "node/bus.h"
#include "node/ops.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID "01hzzzzzzzzzzzzzzzzzzzzzzz"
#define SECOND ((gint64)G_USEC_PER_SEC)

static gint64 shift;  /* µs that the fake clock is ahead */
static gint64 stands; /* not 0: where it stands, but for that */

static gint64
fake_now(void *data)
{
  (void)data;
  return g_get_real_time() + __atomic_load_n(&shift, __ATOMIC_SEQ_CST);
}

static gint64
fake_mono(void *data)
{
  (void)data;
  gint64 at = __atomic_load_n(&stands, __ATOMIC_SEQ_CST);

  return (at ? at : g_get_monotonic_time()) + __atomic_load_n(&shift, __ATOMIC_SEQ_CST);
}

static void
fake_random(void *data, void *buf, gsize size)
{
  (void)data;
  for (gsize i = 0; i < size; i++)
    ((guint8 *)buf)[i] = (guint8)g_random_int();
}

static const PtClock fake = { fake_now, fake_mono, fake_random, NULL };

typedef struct Fixture {
  char *dir;
  PtStore *store;
  PtBus *bus;
  PtOps *ops;
} Fixture;

static void
open_all(Fixture *f)
{
  g_autofree char *path = g_build_filename(f->dir, "store.db", NULL);
  g_autoptr(GError) err = NULL;

  f->store = pt_store_open_sqlite(path, &err);
  g_assert_no_error(err);
  f->bus = pt_bus_new(f->store, &err);
  g_assert_no_error(err);
  f->ops = pt_ops_new(f->store, f->bus);
}

static void
close_all(Fixture *f)
{
  pt_ops_free(f->ops);
  pt_bus_free(f->bus);
  pt_store_close(f->store);
}

static void
up(Fixture *f, gconstpointer data)
{
  (void)data;
  shift = 0;
  f->dir = g_dir_make_tmp("pt-bus-XXXXXX", NULL);
  open_all(f);
}

static void
down(Fixture *f, gconstpointer data)
{
  static const char *const files[] = { "store.db", "store.db-wal", "store.db-shm", "store.db-lock" };
  (void)data;

  close_all(f);
  for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *path = g_build_filename(f->dir, files[i], NULL);
    g_unlink(path);
  }
  g_assert_cmpint(g_rmdir(f->dir), ==, 0);
  g_free(f->dir);
}

static void
put(Fixture *f, const char *key, const char *value)
{
  g_autoptr(PtTxn) txn = pt_txn_new();

  if (value)
    pt_txn_put(txn, key, value);
  else
    pt_txn_delete(txn, key);
  g_assert_true(pt_store_commit(f->store, txn, NULL, NULL));
}

/* "TYPE SPACE OBJECT ACTION", '-' where absent; *ret_data (may be NULL) is the event's data. */
static char *
next(PtSubscriber *s, json_t **ret_data)
{
  g_autoptr(PtEvent) e = pt_bus_next(s, 5 * SECOND);

  g_assert_nonnull(e);
  if (ret_data)
    *ret_data = e->data ? pt_json_parse_object(e->data, strlen(e->data), NULL) : NULL;
  return g_strdup_printf("%s %s %s %s", e->type, e->space ? e->space : "-", e->object ? e->object : "-", e->action ? e->action : "-");
}

static void
expect(PtSubscriber *s, const char *want, json_t **ret_data)
{
  g_autofree char *got = next(s, ret_data);

  g_assert_cmpstr(got, ==, want);
}

#define INSTANCE "spaces/home/instances/web"
static const char spec[] = "{\"id\":\"" ID "\",\"name\":\"web\",\"space\":\"home\",\"image\":\"" DIGEST "\"}";
static const char status[] = "{\"id\":\"" ID "\",\"name\":\"web\",\"space\":\"home\",\"state\":\"running\",\"ready\":true}";

static void
test_store_events(Fixture *f, gconstpointer data)
{
  PtSubscriber *s = pt_bus_subscribe(f->bus, G_MAXUINT64);
  (void)data;

  put(f, "spaces/home", "{\"id\":\"" ID "\",\"name\":\"home\"}");
  put(f, INSTANCE, spec);
  put(f, "spaces/home/status/web", status);
  put(f, "spaces/home/volumes/" ID, "{}");
  put(f, "leases/n1", "{}");
  put(f, INSTANCE, spec);
  put(f, INSTANCE, NULL);
  put(f, "spaces/home/status/web", NULL);
  put(f, INSTANCE, spec);
  put(f, "images/" DIGEST, "{\"digest\":\"" DIGEST "\"}");
  put(f, "images/broken", "{\"digest\":7}");

  g_autoptr(json_t) space = NULL, made = NULL, ran = NULL, changed = NULL, gone = NULL, image = NULL, broken = NULL;
  expect(s, "space home spaces/home created", &space);
  g_assert_cmpstr(pt_json_str(space, "name", NULL), ==, "home");
  g_assert_cmpint(pt_json_int(space, "revision", 0), >, 0);
  expect(s, "instance home " INSTANCE " created", &made);
  g_assert_cmpstr(pt_json_str(made, "id", NULL), ==, ID);
  g_autofree char *second = next(s, &ran);
  if (g_str_has_prefix(second, "status")) { /* by then the instance may have been deleted again, and then nothing is said of its status */
    g_assert_cmpstr(second, ==, "status home " INSTANCE " changed");
    g_assert_cmpstr(pt_json_str(ran, "state", NULL), ==, "running");
    g_assert_cmpstr(pt_json_str(ran, "name", NULL), ==, "web");
    g_assert_true(pt_json_int(ran, "revision", 0) > 0);
    expect(s, "instance home " INSTANCE " changed", &changed);
  }
  expect(s, "instance home " INSTANCE " deleted", &gone);
  g_assert_null(gone);
  expect(s, "instance home " INSTANCE " created", NULL);
  expect(s, "image - images/" DIGEST " created", &image);
  g_assert_nonnull(image);
  expect(s, "image - images/broken created", &broken);
  g_assert_null(broken);
  pt_bus_unsubscribe(s);
}

/* What existed before the daemon started is changed, not created. A status of a namesake is nobody's. */
static void
test_restart(Fixture *f, gconstpointer data)
{
  (void)data;
  put(f, INSTANCE, spec);
  close_all(f);
  open_all(f);
  PtSubscriber *s = pt_bus_subscribe(f->bus, 0);
  put(f, "spaces/home/status/web", "{\"id\":\"01hyyyyyyyyyyyyyyyyyyyyyyy\",\"name\":\"web\",\"space\":\"home\"}");
  put(f, INSTANCE, spec);
  expect(s, "instance home " INSTANCE " changed", NULL);
  pt_bus_unsubscribe(s);
}

static void
test_no_secrets(Fixture *f, gconstpointer data)
{
  PtSubscriber *s = pt_bus_subscribe(f->bus, 0);
  (void)data;

  put(f, "tokens/abc", "{\"id\":\"abc\",\"user\":\"anna\",\"hash\":\"SECRET\"}");
  put(f, "users/anna", "{\"name\":\"anna\",\"password\":\"SECRET\",\"totp\":\"SECRET\",\"totp_pending\":\"SECRET\"}");
  put(f, "users/anna", NULL);
  for (int i = 0; i < 2; i++) {
    g_autoptr(PtEvent) e = pt_bus_next(s, 5 * SECOND);
    g_assert_cmpstr(e->type, ==, "user");
    g_assert_cmpstr(e->object, ==, "users/anna");
    g_assert_true(!e->data || !strstr(e->data, "SECRET"));
    g_assert_true((e->data != NULL) == (i == 0));
  }
  g_assert_null(pt_bus_next(s, 10000)); /* nothing about the token */
  pt_bus_unsubscribe(s);
}

static void
test_subscribers(Fixture *f, gconstpointer data)
{
  PtSubscriber *slow = pt_bus_subscribe(f->bus, 0), *fresh = pt_bus_subscribe(f->bus, G_MAXUINT64);
  guint64 middle = 0;
  (void)data;

  for (int i = 0; i < 1500; i++) {
    g_autofree char *object = g_strdup_printf("o/%d", i);
    pt_bus_publish(f->bus, "sample", "home", object, NULL, "{}");
    g_autoptr(PtEvent) e = pt_bus_next(fresh, 0);
    g_assert_cmpstr(e->object, ==, object);
    if (i == 1400)
      middle = e->seq;
  }
  g_assert_null(pt_bus_next(fresh, 0));

  expect(slow, "lost - - -", NULL); /* once, and then it is up to date */
  pt_bus_publish(f->bus, "sample", "home", "o/next", NULL, NULL);
  expect(slow, "sample home o/next -", NULL);

  PtSubscriber *back = pt_bus_subscribe(f->bus, middle), *all = pt_bus_subscribe(f->bus, 0), *old = pt_bus_subscribe(f->bus, 5);
  expect(back, "sample home o/1401 -", NULL);
  expect(all, "sample home o/477 -", NULL); /* 1,024 are remembered */
  expect(old, "lost - - -", NULL);          /* a predecessor's number */
  expect(fresh, "sample home o/next -", NULL);
  pt_bus_unsubscribe(slow);
  pt_bus_unsubscribe(fresh);
  pt_bus_unsubscribe(back);
  pt_bus_unsubscribe(all);
  pt_bus_unsubscribe(old);
  pt_bus_unsubscribe(NULL);
}

static gpointer
wait_for_end(gpointer s)
{
  return pt_bus_next(s, 60 * SECOND);
}

static void
test_bus_end(Fixture *f, gconstpointer data)
{
  PtSubscriber *s = pt_bus_subscribe(f->bus, G_MAXUINT64);
  GThread *t = g_thread_new("waiter", wait_for_end, s);
  (void)data;

  g_usleep(20000);
  pt_ops_free(g_steal_pointer(&f->ops));
  pt_bus_free(g_steal_pointer(&f->bus));
  g_assert_null(g_thread_join(t));
  g_assert_null(pt_bus_next(s, SECOND)); /* from then on */
  pt_bus_unsubscribe(s);
}

static char *
begin(Fixture *f, const char *kind, const char *target)
{
  g_autoptr(PtOperation) op = pt_record_new(&pt_operation_type);
  g_autoptr(GError) err = NULL;

  op->kind = g_strdup(kind);
  op->target = g_strdup(target);
  op->space = g_strdup("home");
  op->user = g_strdup("anna");
  char *id = pt_ops_begin_now(f->ops, op, &err);
  g_assert_no_error(err);
  g_assert_cmpstr(id, ==, op->id);
  return id;
}

static void
test_operation(Fixture *f, gconstpointer data)
{
  PtSubscriber *s = pt_bus_subscribe(f->bus, G_MAXUINT64);
  g_autofree char *id = begin(f, "image-build", "images/desktop"), *object = g_strconcat("ops/", id, NULL);
  g_autofree char *created = g_strdup_printf("operation home %s created", object), *changed = g_strdup_printf("operation home %s changed", object),
                  *progress = g_strdup_printf("progress home %s -", object);
  g_autoptr(json_t) one = NULL, two = NULL, end = NULL;
  (void)data;

  expect(s, created, &one);
  g_assert_cmpstr(pt_json_str(one, "state", NULL), ==, "pending");
  __atomic_store_n(&stands, g_get_monotonic_time(), __ATOMIC_SEQ_CST);
  for (int i = 0; i < 100; i++) /* only the first of these is told: less than a quarter of a second */
    pt_ops_progress(f->ops, id, "unpacking", 5 + i, i, 100, "packages");
  g_autoptr(json_t) first = NULL;
  expect(s, progress, &first);
  g_assert_cmpint(pt_json_int(first, "progress", -1), ==, 5);
  g_assert_cmpstr(pt_json_str(first, "state", NULL), ==, "running");
  g_assert_null(pt_bus_next(s, 0));
  __atomic_store_n(&stands, 0, __ATOMIC_SEQ_CST);
  g_autoptr(PtOperation) now = pt_ops_get(f->ops, id, NULL);
  g_assert_cmpint(now->progress, ==, 104);
  g_assert_cmpint(now->state, ==, PT_OP_RUNNING);
  g_assert_cmpstr(now->step, ==, "unpacking");
  __atomic_add_fetch(&shift, SECOND / 4, __ATOMIC_SEQ_CST);
  pt_ops_progress(f->ops, id, "packing", 5000, -3, 0, NULL);
  expect(s, progress, &two);
  g_assert_cmpint(pt_json_int(two, "progress", -1), ==, 1000);

  pt_ops_end(f->ops, id, "images/" DIGEST, NULL);
  expect(s, changed, &end);
  g_assert_cmpstr(pt_json_str(end, "state", NULL), ==, "done");
  g_assert_cmpstr(pt_json_str(end, "result", NULL), ==, "images/" DIGEST);
  pt_ops_end(f->ops, id, NULL, NULL);
  pt_ops_progress(f->ops, id, "late", 1, 0, 0, NULL);
  pt_ops_progress(f->ops, ID, "unknown", 1, 0, 0, NULL);
  pt_ops_progress(f->ops, "../x", "unknown", 1, 0, 0, NULL);
  g_assert_null(pt_bus_next(s, 20000));
  g_autoptr(PtOperation) then = pt_ops_get(f->ops, id, NULL);
  g_assert_cmpint(then->state, ==, PT_OP_DONE);
  g_assert_cmpint(then->ended, >=, then->created);
  g_assert_cmpint(then->progress, ==, 1000);
  pt_bus_unsubscribe(s);
}

typedef struct Waiter {
  PtOps *ops;
  const char *id;
} Waiter;

static gpointer
wait_op(gpointer data)
{
  const Waiter *w = data;

  return pt_ops_wait(w->ops, w->id, 30 * SECOND, NULL);
}

/* How long four that wait have to, once the operation has ended. */
static gint64
wake_all(Fixture *f)
{
  g_autofree char *id = begin(f, "launch", INSTANCE);
  Waiter w = { f->ops, id };
  GThread *t[4];
  g_autoptr(GError) why = NULL;

  for (guint i = 0; i < G_N_ELEMENTS(t); i++)
    t[i] = g_thread_new("waiter", wait_op, &w);
  g_usleep(20000);
  PT_SET(&why, PT_ERR_NO_SPACE, "web: the pool is full\nmake room");
  gint64 start = g_get_monotonic_time();
  pt_ops_end(f->ops, id, NULL, why);
  for (guint i = 0; i < G_N_ELEMENTS(t); i++) {
    g_autoptr(PtOperation) op = g_thread_join(t[i]);
    g_assert_cmpint(op->state, ==, PT_OP_FAILED);
    g_assert_cmpstr(op->error_code, ==, "no-space");
    g_assert_cmpstr(op->error, ==, why->message);
  }
  return g_get_monotonic_time() - start;
}

/* The same for an end that another node writes. */
static gint64
wake_by_another(Fixture *f)
{
  g_autofree char *id = begin(f, "launch", INSTANCE), *key = pt_key_op(id), *text = NULL;
  Waiter w = { f->ops, id };

  g_autoptr(PtOperation) not_yet = pt_ops_wait(f->ops, id, 30000, NULL);
  g_assert_cmpint(not_yet->state, ==, PT_OP_PENDING);
  GThread *other = g_thread_new("waiter", wait_op, &w);
  g_usleep(20000);
  not_yet->state = PT_OP_DONE;
  text = pt_record_dump(&pt_operation_type, not_yet);
  gint64 start = g_get_monotonic_time();
  put(f, key, text);
  g_autoptr(PtOperation) ended = g_thread_join(other);
  g_assert_cmpint(ended->state, ==, PT_OP_DONE);
  return g_get_monotonic_time() - start;
}

/* Woken, and not by looking again, which is once in a second: on a busy machine one of some tries shows it. */
static void
test_wait(Fixture *f, gconstpointer data)
{
  static gint64 (*const ways[])(Fixture *) = { wake_all, wake_by_another };
  g_autoptr(GError) err = NULL;
  (void)data;

  for (guint i = 0; i < G_N_ELEMENTS(ways); i++) {
    gint64 took = SECOND;
    for (guint tries = 0; tries < 20 && took >= SECOND / 2; tries++)
      took = ways[i](f);
    g_assert_cmpint(took, <, SECOND / 2);
  }
  g_assert_null(pt_ops_wait(f->ops, ID, SECOND, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_NOT_FOUND);
}

static void
test_cancel(Fixture *f, gconstpointer data)
{
  g_autofree char *id = begin(f, "image-build", "images/x"), *firm = begin(f, "start", INSTANCE);
  g_autoptr(GCancellable) c = pt_ops_cancellable(f->ops, id), same = pt_ops_cancellable(f->ops, id);
  g_autoptr(GError) err = NULL, err2 = NULL, err3 = NULL, why = NULL;
  (void)data;

  g_assert_true(c == same);
  g_assert_false(g_cancellable_is_cancelled(c));
  g_assert_true(pt_ops_cancel(f->ops, id, NULL));
  g_assert_true(g_cancellable_set_error_if_cancelled(c, &why));
  pt_ops_end(f->ops, id, NULL, why);
  g_autoptr(PtOperation) op = pt_ops_get(f->ops, id, NULL);
  g_assert_cmpint(op->state, ==, PT_OP_CANCELLED);
  g_assert_false(pt_ops_cancel(f->ops, id, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_CONFLICT);
  g_assert_false(pt_ops_cancel(f->ops, firm, &err2));
  g_assert_error(err2, PT_ERROR, PT_ERR_CONFLICT);
  g_assert_false(pt_ops_cancel(f->ops, ID, &err3));
  g_assert_error(err3, PT_ERROR, PT_ERR_NOT_FOUND);
  g_autoptr(GCancellable) late = pt_ops_cancellable(f->ops, id);
  g_assert_false(g_cancellable_is_cancelled(late));
}

/* In the transaction of what it is about: with it or not at all. */
static void
test_begin_fails(Fixture *f, gconstpointer data)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(PtOperation) op = pt_record_new(&pt_operation_type);
  g_autoptr(GError) err = NULL;
  (void)data;

  op->kind = g_strdup("launch");
  g_autofree char *id = pt_ops_begin(f->ops, txn, op);
  pt_txn_require(txn, "spaces/none", 7);
  g_assert_false(pt_store_commit(f->store, txn, NULL, NULL));
  g_assert_null(pt_ops_get(f->ops, id, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_NOT_FOUND);
}

static void
test_recover(Fixture *f, gconstpointer data)
{
  g_autofree char *old = begin(f, "image-build", "images/x");
  (void)data;

  pt_ops_end(f->ops, old, NULL, NULL);
  __atomic_add_fetch(&shift, 25 * 3600 * SECOND, __ATOMIC_SEQ_CST);
  g_autofree char *build = begin(f, "image-build", "images/y"), *launch = begin(f, "launch", INSTANCE), *done = begin(f, "stop", INSTANCE);
  g_autofree char *deletion = begin(f, "delete", "spaces/home/instances/gone"), *lost = begin(f, "start", "spaces/home/instances/gone");
  g_autofree char *waits = g_strdup_printf("{\"op\":\"%s\"}", launch);
  g_autoptr(PtTxn) txn = pt_txn_new();
  pt_txn_put(txn, INSTANCE, waits);
  g_assert_true(pt_store_commit(f->store, txn, NULL, NULL));
  pt_ops_end(f->ops, done, NULL, NULL);
  close_all(f);
  open_all(f);
  g_assert_true(pt_ops_recover(f->ops, NULL));
  g_autoptr(PtOperation) b = pt_ops_get(f->ops, build, NULL);
  g_autoptr(PtOperation) l = pt_ops_get(f->ops, launch, NULL);
  g_autoptr(PtOperation) d = pt_ops_get(f->ops, done, NULL);
  g_autoptr(PtOperation) gone = pt_ops_get(f->ops, deletion, NULL);
  g_autoptr(PtOperation) cut = pt_ops_get(f->ops, lost, NULL);
  g_assert_cmpint(gone->state, ==, PT_OP_DONE);
  g_assert_cmpint(cut->state, ==, PT_OP_FAILED);
  g_assert_cmpint(b->state, ==, PT_OP_FAILED);
  g_assert_nonnull(strstr(b->error, "ask for it again"));
  g_assert_cmpint(l->state, ==, PT_OP_PENDING);
  g_assert_cmpint(d->state, ==, PT_OP_DONE);
  g_assert_null(pt_ops_get(f->ops, old, NULL));
}

/* More than the limit: the oldest ended ones go, those that run stay. */
static void
test_prune(Fixture *f, gconstpointer data)
{
  g_autofree char *running = begin(f, "start", INSTANCE), *waits = g_strdup_printf("{\"op\":\"%s\"}", running);
  g_autoptr(PtTxn) txn = pt_txn_new();
  (void)data;

  pt_txn_put(txn, INSTANCE, waits);

  for (int i = 0; i < 1100; i++) {
    g_autoptr(PtOperation) op = pt_record_new(&pt_operation_type);
    if (!txn)
      txn = pt_txn_new();
    __atomic_add_fetch(&shift, 1000, __ATOMIC_SEQ_CST); /* ids sort by milliseconds */
    op->kind = g_strdup("stop");
    g_free(pt_ops_begin(f->ops, txn, op));
    op->state = PT_OP_DONE;
    op->ended = op->created;
    g_autofree char *key = pt_key_op(op->id), *text = pt_record_dump(&pt_operation_type, op);
    pt_txn_put(txn, key, text);
    if (i % 200 == 99) {
      g_assert_true(pt_store_commit(f->store, txn, NULL, NULL));
      g_clear_pointer(&txn, pt_txn_free);
    }
  }
  g_assert_true(pt_ops_recover(f->ops, NULL));
  g_autoptr(GPtrArray) left = pt_store_list(f->store, "ops/", NULL, NULL);
  g_assert_cmpuint(left->len, ==, 1000);
  g_autoptr(PtOperation) still = pt_ops_get(f->ops, running, NULL);
  g_assert_cmpint(still->state, ==, PT_OP_PENDING);
}

int
main(int argc, char **argv)
{
  pt_clock_set(&fake);
  g_test_init(&argc, &argv, NULL);
  g_test_add("/bus/store-events", Fixture, NULL, up, test_store_events, down);
  g_test_add("/bus/restart", Fixture, NULL, up, test_restart, down);
  g_test_add("/bus/no-secrets", Fixture, NULL, up, test_no_secrets, down);
  g_test_add("/bus/subscribers", Fixture, NULL, up, test_subscribers, down);
  g_test_add("/bus/end", Fixture, NULL, up, test_bus_end, down);
  g_test_add("/ops/operation", Fixture, NULL, up, test_operation, down);
  g_test_add("/ops/wait", Fixture, NULL, up, test_wait, down);
  g_test_add("/ops/cancel", Fixture, NULL, up, test_cancel, down);
  g_test_add("/ops/begin-fails", Fixture, NULL, up, test_begin_fails, down);
  g_test_add("/ops/recover", Fixture, NULL, up, test_recover, down);
  g_test_add("/ops/prune", Fixture, NULL, up, test_prune, down);
  return g_test_run();
}
