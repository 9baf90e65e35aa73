// SPDX-License-Identifier: Apache-2.0
#include "store_contract.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"

void
store_fixture_up(StoreFixture *f, gconstpointer factory)
{
  g_autoptr(GError) err = NULL;

  f->factory = factory;
  f->place = f->factory->make();
  f->store = f->factory->open(f->place, &err);
  g_assert_no_error(err);
}

void
store_fixture_down(StoreFixture *f, gconstpointer factory)
{
  (void)factory;
  pt_store_close(f->store);
  f->factory->drop(f->place);
}

gint64
store_put(PtStore *store, const char *key, const char *value)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(GError) err = NULL;
  gint64 revision = 0;

  pt_txn_put(txn, key, value);
  g_assert_true(pt_store_commit(store, txn, &revision, &err));
  g_assert_no_error(err);
  return revision;
}

static gint64
del(PtStore *store, const char *key)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  gint64 revision = 0;

  pt_txn_delete(txn, key);
  g_assert_true(pt_store_commit(store, txn, &revision, NULL));
  return revision;
}

void
seen_init(Seen *s)
{
  g_mutex_init(&s->lock);
  g_cond_init(&s->cond);
  s->text = g_string_new(NULL);
  s->n = s->last = 0;
}

void
seen_clear(Seen *s)
{
  g_string_free(s->text, TRUE);
  g_mutex_clear(&s->lock);
  g_cond_clear(&s->cond);
}

void
seen_on_change(const PtChange *c, bool lost, void *data)
{
  Seen *s = data;

  g_assert_true(lost == (c == NULL));
  g_mutex_lock(&s->lock);
  if (lost)
    g_string_append(s->text, "lost\n");
  else if (c->value)
    g_string_append_printf(s->text, "%" G_GINT64_FORMAT " %s=%s\n", c->revision, c->key, c->value);
  else
    g_string_append_printf(s->text, "%" G_GINT64_FORMAT " %s deleted\n", c->revision, c->key);
  s->n++;
  s->last += c && c->last;
  g_cond_broadcast(&s->cond);
  g_mutex_unlock(&s->lock);
}

bool
seen_wait(Seen *s, guint n)
{
  gint64 until = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;

  g_mutex_lock(&s->lock);
  while (s->n < n && g_cond_wait_until(&s->cond, &s->lock, until))
    ;
  bool ok = s->n >= n;
  g_mutex_unlock(&s->lock);
  return ok;
}

static void
test_get(StoreFixture *f, gconstpointer data)
{
  g_autoptr(GError) err = NULL;
  (void)data;

  g_assert_null(pt_store_get(f->store, "a/b", &err));
  g_assert_error(err, PT_ERROR, PT_ERR_NOT_FOUND);
  g_assert_cmpstr(err->message, ==, "a/b");

  gint64 one = store_put(f->store, "a/b", "{\"ä\":1}"), two = store_put(f->store, "a/b", "2");
  g_autoptr(PtEntry) e = pt_store_get(f->store, "a/b", NULL);
  g_assert_cmpstr(e->key, ==, "a/b");
  g_assert_cmpstr(e->value, ==, "2");
  g_assert_cmpint(e->revision, ==, two);
  g_assert_cmpint(e->created, ==, one);
  g_assert_cmpint(e->lease, ==, 0);
  g_assert_cmpint(two, ==, one + 1);
  g_assert_cmpint(one, >, 0);

  del(f->store, "a/b");
  gint64 again = store_put(f->store, "a/b", "3");
  g_autoptr(PtEntry) e2 = pt_store_get(f->store, "a/b", NULL);
  g_assert_cmpint(e2->created, ==, again);
}

static char *
list_text(PtStore *store, const char *prefix)
{
  gint64 revision = 0;
  g_autoptr(GPtrArray) list = pt_store_list(store, prefix, &revision, NULL);
  GString *s = g_string_new(NULL);

  g_assert_nonnull(list);
  g_assert_cmpint(revision, >, 0);
  for (guint i = 0; i < list->len; i++)
    g_string_append_printf(s, "%s%s", i ? " " : "", ((PtEntry *)list->pdata[i])->key);
  return g_string_free(s, FALSE);
}

static void
test_list(StoreFixture *f, gconstpointer data)
{
  static const char *const keys[] = { "b/1", "a/2", "a/1/x", "a/1", "a0", "a.b", "a", "a/~", "ab/1" };
  (void)data;

  for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
    store_put(f->store, keys[i], "v");
  g_autofree char *a = list_text(f->store, "a/"), *deep = list_text(f->store, "a/1/"), *all = list_text(f->store, ""),
                  *none = list_text(f->store, "zz/");
  g_assert_cmpstr(a, ==, "a/1 a/1/x a/2 a/~");
  g_assert_cmpstr(deep, ==, "a/1/x");
  g_assert_cmpstr(all, ==, "a a.b a/1 a/1/x a/2 a/~ a0 ab/1 b/1");
  g_assert_cmpstr(none, ==, "");

  gint64 revision = 0, put = store_put(f->store, "z", "v");
  g_autoptr(GPtrArray) list = pt_store_list(f->store, "zz/", &revision, NULL);
  g_assert_cmpuint(list->len, ==, 0);
  g_assert_cmpint(revision, ==, put); /* the store's, not that of what is listed */
}

static void
test_compare(StoreFixture *f, gconstpointer data)
{
  gint64 have = store_put(f->store, "x", "1"), before = have;
  const struct {
    const char *key;
    gint64 revision;
    bool ok;
  } rows[] = { { "x", have, true }, { "x", have + 1, false }, { "x", 0, false }, { "new", 0, true }, { "none", 1, false } };
  (void)data;

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(PtTxn) txn = pt_txn_new();
    g_autoptr(GError) err = NULL;
    gint64 revision = -7;
    pt_txn_require(txn, rows[i].key, rows[i].revision);
    bool ok = pt_store_commit(f->store, txn, &revision, &err);
    g_assert_true(ok == rows[i].ok);
    if (ok) {
      g_assert_cmpint(revision, ==, before); /* nothing written, nothing counted */
      continue;
    }
    g_assert_error(err, PT_ERROR, PT_ERR_STALE);
    g_assert_true(g_str_has_prefix(err->message, rows[i].key));
    g_assert_cmpint(revision, ==, -7);
  }
}

static void
test_atomic(StoreFixture *f, gconstpointer data)
{
  g_autoptr(PtTxn) txn = pt_txn_new(), good = pt_txn_new();
  g_autoptr(GError) err = NULL;
  gint64 one = store_put(f->store, "a", "1"), revision = 0;
  (void)data;

  pt_txn_put(txn, "b", "2");
  pt_txn_delete(txn, "a");
  pt_txn_require(txn, "c", 5); /* compares count wherever they stand */
  g_assert_false(pt_store_commit(f->store, txn, NULL, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_STALE);
  g_autofree char *left = list_text(f->store, "");
  g_assert_cmpstr(left, ==, "a");

  pt_txn_require(good, "a", one);
  pt_txn_put(good, "b", "2");
  pt_txn_put(good, "b", "3"); /* in their order */
  pt_txn_delete(good, "a");
  pt_txn_delete(good, "never");
  g_assert_true(pt_store_commit(f->store, good, &revision, NULL));
  g_assert_cmpint(revision, ==, one + 1);
  g_autoptr(PtEntry) b = pt_store_get(f->store, "b", NULL);
  g_assert_cmpstr(b->value, ==, "3");
  g_assert_cmpint(b->revision, ==, revision);
  g_autofree char *rest = list_text(f->store, "");
  g_assert_cmpstr(rest, ==, "b");
  g_assert_cmpint(del(f->store, "never"), ==, revision);
}

static void
test_bad_arguments(StoreFixture *f, gconstpointer data)
{
  g_autofree char *longest = g_strnfill(512, 'k'), *longer = g_strnfill(513, 'k');
  const char *const bad[] = { "", "/a", "a/", "a//b", "a\tb", "a\nb", "\x7f", "\xc3\xa4", "a\x01", longer, "/", "//", NULL };
  const char *const bad_prefix[] = { "a", "/", "//", "a//", "/a/", "a/b", "\x01/", NULL };
  (void)data;

  store_put(f->store, longest, "v");
  store_put(f->store, "A b.c-d_e~!@/{}", "v");
  for (guint i = 0; bad[i]; i++) {
    for (int how = 0; how < 4; how++) {
      g_autoptr(PtTxn) txn = pt_txn_new();
      g_autoptr(GError) err = NULL;
      if (how == 0)
        pt_txn_put(txn, bad[i], "v");
      else if (how == 1)
        pt_txn_delete(txn, bad[i]);
      else if (how == 2)
        pt_txn_require(txn, bad[i], 0);
      g_assert_false(how == 3 ? pt_store_get(f->store, bad[i], &err) != NULL : pt_store_commit(f->store, txn, NULL, &err));
      g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    }
  }
  for (guint i = 0; bad_prefix[i]; i++) {
    g_autoptr(GError) err = NULL, err2 = NULL;
    g_assert_null(pt_store_list(f->store, bad_prefix[i], NULL, &err));
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    g_assert_null(pt_store_watch(f->store, bad_prefix[i], 0, seen_on_change, NULL, &err2));
    g_assert_error(err2, PT_ERROR, PT_ERR_INVALID);
  }
}

static void
test_bad_values(StoreFixture *f, gconstpointer data)
{
  g_autofree char *largest = g_strnfill(1 << 20, 'v'), *larger = g_strnfill((1 << 20) + 1, 'v');
  const struct {
    const char *value;
    int code;
  } rows[] = { { larger, PT_ERR_TOO_LARGE }, { NULL, PT_ERR_INVALID }, { "\xff", PT_ERR_INVALID }, { "\xed\xa0\x80", PT_ERR_INVALID } };
  (void)data;

  store_put(f->store, "large", largest);
  g_autoptr(PtEntry) e = pt_store_get(f->store, "large", NULL);
  g_assert_cmpstr(e->value, ==, largest);
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(PtTxn) txn = pt_txn_new();
    g_autoptr(GError) err = NULL;
    pt_txn_put(txn, "good", "v");
    pt_txn_put(txn, "bad", rows[i].value);
    g_assert_false(pt_store_commit(f->store, txn, NULL, &err));
    g_assert_error(err, PT_ERROR, rows[i].code);
  }
  g_autofree char *left = list_text(f->store, "");
  g_assert_cmpstr(left, ==, "large");

  g_autoptr(PtTxn) many = pt_txn_new();
  g_autoptr(GError) err = NULL;
  for (int i = 0; i < 513; i++)
    pt_txn_put(many, "k", "v");
  g_assert_false(pt_store_commit(f->store, many, NULL, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_TOO_LARGE);
}

static void
test_watch(StoreFixture *f, gconstpointer data)
{
  Seen now, past, other;
  gint64 one = store_put(f->store, "a/1", "x"), two = store_put(f->store, "b/1", "x");
  (void)data;

  seen_init(&now);
  seen_init(&past);
  seen_init(&other);
  PtWatch *w1 = pt_store_watch(f->store, "a/", 0, seen_on_change, &now, NULL);
  PtWatch *w2 = pt_store_watch(f->store, "", one, seen_on_change, &past, NULL);
  PtWatch *w3 = pt_store_watch(f->store, "c/", one, seen_on_change, &other, NULL);
  g_autoptr(PtTxn) txn = pt_txn_new();
  pt_txn_put(txn, "a/2", "y");
  pt_txn_delete(txn, "a/1");
  pt_txn_put(txn, "ab", "z");
  g_assert_true(pt_store_commit(f->store, txn, NULL, NULL));
  store_put(f->store, "a/2", "y"); /* an equal value is a change: somebody wrote it */
  g_assert_true(seen_wait(&now, 3) && seen_wait(&past, 5));
  pt_watch_cancel(w1);
  pt_watch_cancel(w2);
  pt_watch_cancel(w3);
  store_put(f->store, "a/3", "late");
  g_autofree char *want_now = g_strdup_printf("%ld a/2=y\n%ld a/1 deleted\n%ld a/2=y\n", (long)two + 1, (long)two + 1, (long)two + 2);
  g_autofree char *want_past = g_strdup_printf("%ld b/1=x\n%ld a/2=y\n%ld a/1 deleted\n%ld ab=z\n%ld a/2=y\n", (long)two, (long)two + 1,
                                               (long)two + 1, (long)two + 1, (long)two + 2);
  g_assert_cmpstr(now.text->str, ==, want_now);
  g_assert_cmpstr(past.text->str, ==, want_past);
  g_assert_cmpuint(other.n, ==, 0);
  g_assert_cmpuint(now.last, ==, 2); /* of its transaction as far as the watch sees it */
  g_assert_cmpuint(past.last, ==, 3);
  seen_clear(&now);
  seen_clear(&past);
  seen_clear(&other);
}

static void
on_last(const PtChange *c, bool lost, void *data)
{
  g_autofree char *value = g_strdup_printf("%s%s", c->value ? c->value : "-", c->last ? "." : "");
  const PtChange shown = { c->key, value, c->revision, c->last };

  seen_on_change(&shown, lost, data);
}

/* The last change of a transaction that a watch sees says so: then its revision has been reached. */
static void
test_watch_last(StoreFixture *f, gconstpointer data)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  gint64 revision = 0;
  Seen a, b;
  (void)data;

  seen_init(&a);
  seen_init(&b);
  PtWatch *w1 = pt_store_watch(f->store, "a/", 0, on_last, &a, NULL), *w2 = pt_store_watch(f->store, "b/", 0, on_last, &b, NULL);
  pt_txn_put(txn, "a/1", "x");
  pt_txn_put(txn, "b/1", "x");
  pt_txn_put(txn, "a/2", "x");
  pt_txn_delete(txn, "a/1");
  pt_txn_put(txn, "c/1", "x");
  g_assert_true(pt_store_commit(f->store, txn, &revision, NULL));
  g_assert_true(seen_wait(&a, 3) && seen_wait(&b, 1));
  pt_watch_cancel(w1);
  pt_watch_cancel(w2);
  g_autofree char *want_a = g_strdup_printf("%ld a/1=x\n%ld a/2=x\n%ld a/1=-.\n", (long)revision, (long)revision, (long)revision);
  g_autofree char *want_b = g_strdup_printf("%ld b/1=x.\n", (long)revision);
  g_assert_cmpstr(a.text->str, ==, want_a);
  g_assert_cmpstr(b.text->str, ==, want_b);
  seen_clear(&a);
  seen_clear(&b);
}

/* 2,000 changes in transactions of 500, more than one reading: whole, in order, nothing twice. */
static void
test_watch_many(StoreFixture *f, gconstpointer data)
{
  Seen seen;
  gint64 start = store_put(f->store, "start", "x");
  g_autoptr(GString) want = g_string_new(NULL);
  (void)data;

  for (int t = 0; t < 4; t++) {
    g_autoptr(PtTxn) txn = pt_txn_new();
    for (int i = 0; i < 500; i++) {
      g_autofree char *key = g_strdup_printf("k/%d", (i * 7919) % 500);
      pt_txn_put(txn, key, "v");
      g_string_append_printf(want, "%ld %s=v\n", (long)start + 1 + t, key);
    }
    g_assert_true(pt_store_commit(f->store, txn, NULL, NULL));
  }
  seen_init(&seen);
  PtWatch *w = pt_store_watch(f->store, "k/", start, seen_on_change, &seen, NULL);
  g_assert_true(seen_wait(&seen, 2000));
  store_put(f->store, "k/end", "v");
  g_assert_true(seen_wait(&seen, 2001));
  pt_watch_cancel(w);
  g_string_append_printf(want, "%ld k/end=v\n", (long)start + 5);
  g_assert_cmpuint(seen.last, ==, 5); /* also where a reading ended within a transaction */
  g_assert_cmpstr(seen.text->str, ==, want->str);
  seen_clear(&seen);
}

typedef struct Slow {
  PtStore *store;
  gint running, calls, leaving;
} Slow;

static void
on_slow(const PtChange *c, bool lost, void *data)
{
  Slow *s = data;
  (void)lost;

  g_atomic_int_set(&s->running, 1);
  g_autoptr(PtEntry) e = pt_store_get(s->store, c->key, NULL); /* it may call the store */
  g_assert_nonnull(e);
  while (!g_atomic_int_get(&s->leaving))
    g_usleep(1000);
  g_usleep(50000); /* pt_watch_cancel() is waiting by now, or will be: both are right */
  g_atomic_int_inc(&s->calls);
  g_atomic_int_set(&s->running, 0);
}

static void
test_watch_cancel(StoreFixture *f, gconstpointer data)
{
  Slow slow = { .store = f->store };
  (void)data;

  PtWatch *w = pt_store_watch(f->store, "", 0, on_slow, &slow, NULL);
  for (int i = 0; i < 100; i++)
    store_put(f->store, "k", "v");
  while (!g_atomic_int_get(&slow.running))
    g_usleep(1000);
  g_atomic_int_set(&slow.leaving, 1);
  pt_watch_cancel(w);
  g_assert_cmpint(g_atomic_int_get(&slow.running), ==, 0);
  int calls = g_atomic_int_get(&slow.calls);
  g_usleep(120000);
  g_assert_cmpint(g_atomic_int_get(&slow.calls), ==, calls);
  g_assert_cmpint(calls, <, 100);
  pt_watch_cancel(NULL);
}

static void
test_watch_lost(StoreFixture *f, gconstpointer data)
{
  Seen old, future, fresh;
  gint64 first = store_put(f->store, "k", "0"), last = 0;
  (void)data;

  if (!f->factory->keep_history) {
    g_test_skip("this back end's history cannot be shortened");
    return;
  }
  f->factory->keep_history(f->store, 10);
  for (int i = 0; i < 600; i++)
    last = store_put(f->store, "k", "v");
  seen_init(&old);
  seen_init(&future);
  seen_init(&fresh);
  PtWatch *w1 = pt_store_watch(f->store, "", first, seen_on_change, &old, NULL);
  PtWatch *w2 = pt_store_watch(f->store, "", last + 100, seen_on_change, &future, NULL);
  PtWatch *w3 = pt_store_watch(f->store, "", last, seen_on_change, &fresh, NULL);
  gint64 next = store_put(f->store, "k", "next");
  g_assert_true(seen_wait(&old, 1) && seen_wait(&future, 1) && seen_wait(&fresh, 1));
  store_put(f->store, "k", "more");
  g_assert_true(seen_wait(&fresh, 2));
  pt_watch_cancel(w1);
  pt_watch_cancel(w2);
  pt_watch_cancel(w3);
  g_assert_cmpstr(old.text->str, ==, "lost\n"); /* once, and nothing after it */
  g_assert_cmpstr(future.text->str, ==, "lost\n");
  g_autofree char *want = g_strdup_printf("%ld k=next\n%ld k=more\n", (long)next, (long)next + 1);
  g_assert_cmpstr(fresh.text->str, ==, want);
  seen_clear(&old);
  seen_clear(&future);
  seen_clear(&fresh);
}

#define LEASE (2 * G_USEC_PER_SEC)

/* Two keys on a lease that is kept alive past its time: it; 0 where the machine held us up for so long that it may have run out.
 * *ret_kept: when it was last kept, or a moment before; *ret_revision: the store's, since when only its end can have changed anything. */
static gint64
kept_alive(StoreFixture *f, gint64 other, gint64 *ret_kept, gint64 *ret_revision)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  gint64 lease = 0;
  bool ok;

  *ret_kept = g_get_monotonic_time();

  g_assert_true(pt_store_lease_grant(f->store, LEASE, &lease, NULL));
  g_assert_cmpint(lease, !=, other);
  g_assert_cmpint(lease, >, 0);
  pt_txn_put_leased(txn, "l/a", "1", lease);
  pt_txn_put_leased(txn, "l/b", "1", lease);
  pt_txn_put_leased(txn, "l/c", "1", other);
  pt_txn_put_leased(txn, "l/free", "1", lease);
  ok = pt_store_commit(f->store, txn, NULL, NULL);
  if (ok)
    *ret_revision = store_put(f->store, "l/free", "2"); /* a plain put takes it off the lease */
  for (int i = 0; ok && i < 5; i++) {
    g_autoptr(PtEntry) e = pt_store_get(f->store, "l/a", NULL);

    ok = e && e->lease == lease;
    g_usleep(500000);
    gint64 now = g_get_monotonic_time();
    ok = ok && pt_store_lease_keep(f->store, lease, NULL);
    if (ok)
      *ret_kept = now;
  }
  g_assert_true(ok || g_get_monotonic_time() - *ret_kept >= LEASE);
  return ok ? lease : 0;
}

static void
test_lease(StoreFixture *f, gconstpointer data)
{
  g_autoptr(GError) err = NULL, err2 = NULL, err3 = NULL;
  g_autoptr(PtTxn) late = pt_txn_new();
  gint64 lease = 0, other = 0, kept = 0, revision = 0;
  Seen seen;
  (void)data;

  g_assert_true(pt_store_lease_grant(f->store, 1800 * G_USEC_PER_SEC, &other, NULL));
  for (int i = 0; i < 60 && !lease; i++)
    lease = kept_alive(f, other, &kept, &revision);
  g_assert_cmpint(lease, >, 0);
  seen_init(&seen);
  PtWatch *w = pt_store_watch(f->store, "l/", revision, seen_on_change, &seen, NULL);
  g_assert_true(seen_wait(&seen, 2));
  g_assert_cmpint(g_get_monotonic_time() - kept, >=, LEASE - 10000);
  g_autofree char *left = list_text(f->store, "l/");
  g_assert_cmpstr(left, ==, "l/c l/free");

  g_assert_false(pt_store_lease_keep(f->store, lease, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_NOT_FOUND);
  pt_txn_put_leased(late, "l/a", "1", lease);
  pt_txn_put(late, "l/too", "1");
  g_assert_false(pt_store_commit(f->store, late, NULL, &err2));
  g_assert_error(err2, PT_ERROR, PT_ERR_NOT_FOUND);
  g_assert_true(pt_store_lease_revoke(f->store, other, NULL));
  g_assert_false(pt_store_lease_revoke(f->store, other, &err3));
  g_assert_error(err3, PT_ERROR, PT_ERR_NOT_FOUND);
  g_assert_true(seen_wait(&seen, 3));
  pt_watch_cancel(w);
  g_autofree char *rest = list_text(f->store, "l/");
  g_assert_cmpstr(rest, ==, "l/free");
  seen_clear(&seen);
}

static void
test_lease_bad(StoreFixture *f, gconstpointer data)
{
  static const gint64 bad[] = { 0, -1, G_MININT64, G_MAXINT64 };
  gint64 lease = 0;
  (void)data;

  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) err = NULL, err2 = NULL;
    g_assert_false(pt_store_lease_grant(f->store, bad[i], &lease, &err));
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    g_assert_false(pt_store_lease_keep(f->store, bad[i], &err2));
    g_assert_error(err2, PT_ERROR, PT_ERR_NOT_FOUND);
  }
}

static void
test_reopen(StoreFixture *f, gconstpointer data)
{
  gint64 lease = 0, revision = 0, last = 0;
  Seen seen;
  (void)data;

  if (!f->factory->durable) {
    g_test_skip("not durable");
    return;
  }
  gint64 one = store_put(f->store, "a", "1");
  for (gint64 usec = 100000; last == 0; usec *= 2) { /* a disk may take longer than that */
    g_autoptr(PtTxn) txn = pt_txn_new();

    g_assert_true(pt_store_lease_grant(f->store, usec, &lease, NULL));
    pt_txn_put_leased(txn, "leased", "1", lease);
    pt_store_commit(f->store, txn, &last, NULL);
  }
  pt_store_close(f->store);
  f->store = f->factory->open(f->place, NULL);
  g_assert_nonnull(f->store);
  seen_init(&seen);
  PtWatch *w = pt_store_watch(f->store, "", one, seen_on_change, &seen, NULL);
  g_assert_true(seen_wait(&seen, 2)); /* the put again, and the lease runs out though its holder is gone */
  pt_watch_cancel(w);
  g_autofree char *want = g_strdup_printf("%ld leased=1\n%ld leased deleted\n", (long)last, (long)last + 1);
  g_assert_cmpstr(seen.text->str, ==, want);
  g_autoptr(GPtrArray) list = pt_store_list(f->store, "", &revision, NULL);
  g_assert_cmpint(revision, ==, last + 1);
  g_assert_cmpuint(list->len, ==, 1);
  seen_clear(&seen);
}

void
store_contract_add(const StoreFactory *factory)
{
  STORE_TEST(factory, "get", test_get);
  STORE_TEST(factory, "list", test_list);
  STORE_TEST(factory, "compare", test_compare);
  STORE_TEST(factory, "atomic", test_atomic);
  STORE_TEST(factory, "bad-arguments", test_bad_arguments);
  STORE_TEST(factory, "bad-values", test_bad_values);
  STORE_TEST(factory, "watch", test_watch);
  STORE_TEST(factory, "watch-last", test_watch_last);
  STORE_TEST(factory, "watch-many", test_watch_many);
  STORE_TEST(factory, "watch-cancel", test_watch_cancel);
  STORE_TEST(factory, "watch-lost", test_watch_lost);
  STORE_TEST(factory, "lease", test_lease);
  STORE_TEST(factory, "lease-bad", test_lease_bad);
  STORE_TEST(factory, "reopen", test_reopen);
}
