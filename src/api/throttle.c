// SPDX-License-Identifier: Apache-2.0
#include "api/throttle.h"

#include "base/clock.h"

#define FREE_TRIES_NAME 5
#define FREE_TRIES_SOURCE 20
#define MAX_WAIT_NAME (30 * G_USEC_PER_SEC)
#define MAX_WAIT_SOURCE (15 * 60 * (gint64)G_USEC_PER_SEC)
#define FORGET (60 * 60 * (gint64)G_USEC_PER_SEC)

typedef struct Entry {
  guint failures;
  gint64 last; /* pt_mono() of the newest failure */
  gint64 next; /* pt_mono() from which on the next attempt is let through */
} Entry;

struct PtThrottle {
  GMutex lock;
  GHashTable *entries; /* "u:name" and "s:address" → Entry */
  guint max;
};

PtThrottle *
pt_throttle_new(guint max_entries)
{
  PtThrottle *t = g_new0(PtThrottle, 1);

  g_mutex_init(&t->lock);
  t->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  t->max = max_entries;
  return t;
}

void
pt_throttle_free(PtThrottle *t)
{
  if (!t)
    return;
  g_hash_table_unref(t->entries);
  g_mutex_clear(&t->lock);
  g_free(t);
}

static gint64
wait_of(PtThrottle *t, char kind, const char *name, gint64 now)
{
  g_autofree char *key = g_strdup_printf("%c:%.64s", kind, name);
  const Entry *e = g_hash_table_lookup(t->entries, key);

  return e && now - e->last < FORGET ? MAX(e->next - now, 0) : 0;
}

guint
pt_throttle_wait(PtThrottle *t, const char *user, const char *from)
{
  gint64 now = pt_mono();

  g_mutex_lock(&t->lock);
  gint64 wait = MAX(wait_of(t, 'u', user, now), wait_of(t, 's', from, now));
  g_mutex_unlock(&t->lock);
  return (guint)((wait + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC);
}

/* The table is full: the entry that has been quiet for longest goes. Guessers who fill it from many addresses push out
 * each other's entries, not the name's they guess at: that one is the freshest. */
static void
make_room(PtThrottle *t)
{
  GHashTableIter iter;
  gpointer key, value, oldest = NULL;
  gint64 last = G_MAXINT64;

  g_hash_table_iter_init(&iter, t->entries);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    const Entry *e = value;
    if (e->last < last) {
      last = e->last;
      oldest = key;
    }
  }
  if (oldest)
    g_hash_table_remove(t->entries, oldest);
}

static void
count(PtThrottle *t, char kind, const char *name, guint free_tries, gint64 max_wait, gint64 now)
{
  char *key = g_strdup_printf("%c:%.64s", kind, name);
  Entry *e = g_hash_table_lookup(t->entries, key);

  if (!e) {
    if (g_hash_table_size(t->entries) >= t->max)
      make_room(t);
    e = g_new0(Entry, 1);
    g_hash_table_insert(t->entries, key, e);
  } else {
    g_free(key);
    if (now - e->last >= FORGET)
      e->failures = 0;
  }
  e->failures++;
  e->last = now;
  if (e->failures >= free_tries) {
    gint64 wait = (gint64)G_USEC_PER_SEC << MIN(e->failures - free_tries, 20);
    e->next = now + MIN(wait, max_wait);
  }
}

void
pt_throttle_failed(PtThrottle *t, const char *user, const char *from)
{
  gint64 now = pt_mono();

  g_mutex_lock(&t->lock);
  count(t, 'u', user, FREE_TRIES_NAME, MAX_WAIT_NAME, now);
  count(t, 's', from, FREE_TRIES_SOURCE, MAX_WAIT_SOURCE, now);
  g_mutex_unlock(&t->lock);
}

void
pt_throttle_succeeded(PtThrottle *t, const char *user)
{
  g_autofree char *key = g_strdup_printf("u:%.64s", user);

  g_mutex_lock(&t->lock);
  g_hash_table_remove(t->entries, key);
  g_mutex_unlock(&t->lock);
}
