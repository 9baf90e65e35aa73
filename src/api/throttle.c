// SPDX-License-Identifier: Apache-2.0
#include "api/throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/clock.h"

#define FREE_PAIR 5
#define FREE_SOURCE 20
#define FREE_NAME 100 /* one address comes to some 35 in an hour */
#define MAX_WAIT_PAIR (60 * (gint64)G_USEC_PER_SEC)
#define MAX_WAIT_SOURCE (15 * 60 * (gint64)G_USEC_PER_SEC)
#define MAX_WAIT_NAME (30 * (gint64)G_USEC_PER_SEC)
#define FORGET (60 * 60 * (gint64)G_USEC_PER_SEC)

typedef struct Entry {
  guint failures;
  gint64 last; /* pt_mono() of the newest failure */
  gint64 next; /* pt_mono() from which on the next attempt is let through */
} Entry;

struct PtThrottle {
  GMutex lock;
  GHashTable *entries; /* "p:name at address", "s:address" and "u:name" → Entry */
  GHashTable *known;   /* "p:name at address" → Entry: when the user last logged in there; a flood of failures leaves it alone */
  guint max;
};

PtThrottle *
pt_throttle_new(guint max_entries)
{
  PtThrottle *t = g_new0(PtThrottle, 1);

  g_mutex_init(&t->lock);
  t->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  t->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  t->max = max_entries;
  return t;
}

void
pt_throttle_free(PtThrottle *t)
{
  if (!t)
    return;
  g_hash_table_unref(t->entries);
  g_hash_table_unref(t->known);
  g_mutex_clear(&t->lock);
  g_free(t);
}

/* What counts as one address. */
static char *
source_of(const char *from)
{
  struct in6_addr six;

  if (inet_pton(AF_INET6, from, &six) != 1 || IN6_IS_ADDR_V4MAPPED(&six))
    return g_strdup_printf("%.64s", from);
  return g_strdup_printf("%02x%02x:%02x%02x:%02x%02x:%02x%02x::", six.s6_addr[0], six.s6_addr[1], six.s6_addr[2], six.s6_addr[3],
                         six.s6_addr[4], six.s6_addr[5], six.s6_addr[6], six.s6_addr[7]);
}

/* The three keys under which an attempt is counted. */
typedef struct Keys {
  char *pair, *source, *name;
} Keys;

static void
keys_clear(Keys *k)
{
  g_free(k->pair);
  g_free(k->source);
  g_free(k->name);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Keys, keys_clear)

static Keys
keys_of(const char *user, const char *from)
{
  g_autofree char *source = source_of(from);

  return (Keys){ g_strdup_printf("p:%.64s at %s", user, source), g_strdup_printf("s:%s", source), g_strdup_printf("u:%.64s", user) };
}

static gint64
wait_of(PtThrottle *t, const char *key, gint64 now)
{
  const Entry *e = g_hash_table_lookup(t->entries, key);

  return e && now - e->last < FORGET ? MAX(e->next - now, 0) : 0;
}

guint
pt_throttle_wait(PtThrottle *t, const char *user, const char *from)
{
  g_auto(Keys) k = keys_of(user, from);
  gint64 now = pt_mono();

  g_mutex_lock(&t->lock);
  gint64 wait = MAX(wait_of(t, k.pair, now), wait_of(t, k.source, now));
  if (!g_hash_table_contains(t->known, k.pair))
    wait = MAX(wait, wait_of(t, k.name, now));
  g_mutex_unlock(&t->lock);
  return (guint)((wait + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC);
}

/* The table is full: the entry that has been quiet for longest goes. Guessers who fill it from many addresses push out
 * each other's entries, not the name's they guess at: that one is the freshest. */
static void
make_room(GHashTable *entries)
{
  GHashTableIter iter;
  gpointer key, value, oldest = NULL;
  gint64 last = G_MAXINT64;

  g_hash_table_iter_init(&iter, entries);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    const Entry *e = value;
    if (e->last < last) {
      last = e->last;
      oldest = key;
    }
  }
  if (oldest)
    g_hash_table_remove(entries, oldest);
}

/* The entry of `key`, made where there is none; it happened now. */
static Entry *
touch(PtThrottle *t, GHashTable *entries, const char *key, gint64 now)
{
  Entry *e = g_hash_table_lookup(entries, key);

  if (!e) {
    if (g_hash_table_size(entries) >= t->max)
      make_room(entries);
    e = g_new0(Entry, 1);
    g_hash_table_insert(entries, g_strdup(key), e);
  } else if (now - e->last >= FORGET) {
    e->failures = 0;
  }
  e->last = now;
  return e;
}

static void
count(PtThrottle *t, const char *key, guint free_tries, gint64 max_wait, gint64 now)
{
  Entry *e = touch(t, t->entries, key, now);

  e->failures++;
  if (e->failures >= free_tries) {
    gint64 wait = (gint64)G_USEC_PER_SEC << MIN(e->failures - free_tries, 20);
    e->next = now + MIN(wait, max_wait);
  }
}

void
pt_throttle_failed(PtThrottle *t, const char *user, const char *from)
{
  g_auto(Keys) k = keys_of(user, from);
  gint64 now = pt_mono();

  g_mutex_lock(&t->lock);
  count(t, k.pair, FREE_PAIR, MAX_WAIT_PAIR, now);
  count(t, k.source, FREE_SOURCE, MAX_WAIT_SOURCE, now);
  count(t, k.name, FREE_NAME, MAX_WAIT_NAME, now);
  g_mutex_unlock(&t->lock);
}

void
pt_throttle_succeeded(PtThrottle *t, const char *user, const char *from)
{
  g_auto(Keys) k = keys_of(user, from);

  g_mutex_lock(&t->lock);
  g_hash_table_remove(t->entries, k.pair);
  touch(t, t->known, k.pair, pt_mono());
  g_mutex_unlock(&t->lock);
}
