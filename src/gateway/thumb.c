// SPDX-License-Identifier: Apache-2.0
/* An entry for each desktop, by the instance's id, so that a new instance of an old name starts without a picture. One thread
 * fetches, the others who want the same wait for it. */
#include "gateway/thumb.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "gateway/frame.h"
#include "gateway/rfb.h"

#define WIDTH 480
#define FRESH (4 * G_USEC_PER_SEC)
#define TRUSTED (60 * G_USEC_PER_SEC)
#define GRAB (3 * G_USEC_PER_SEC)
#define WAIT (6 * G_USEC_PER_SEC)
#define MAX_ENTRIES 256
#define MAX_CALLERS 64
#define MAX_GRABS 4 /* at a time: a picture costs some 10 ms of a cpu */

typedef struct Entry {
  GBytes *png;
  char *etag;
  gint64 taken;        /* pt_mono() of the picture */
  gint64 asked;        /* of the last request */
  bool busy;           /* some thread fetches it */
  GHashTable *callers; /* key of credentials -> gint64* of when they last opened this desktop */
} Entry;

struct PtThumbs {
  const PtClient *api;
  GMutex lock;
  GCond changed;
  GHashTable *entries; /* instance id -> Entry */
  guint grabs;
};

static void
entry_free(gpointer data)
{
  Entry *e = data;

  g_clear_pointer(&e->png, g_bytes_unref);
  g_free(e->etag);
  g_hash_table_unref(e->callers);
  g_free(e);
}

PtThumbs *
pt_thumbs_new(const PtClient *api)
{
  PtThumbs *t = g_new0(PtThumbs, 1);

  t->api = api;
  g_mutex_init(&t->lock);
  g_cond_init(&t->changed);
  t->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entry_free);
  return t;
}

void
pt_thumbs_free(PtThumbs *t)
{
  if (!t)
    return;
  g_hash_table_unref(t->entries);
  g_mutex_clear(&t->lock);
  g_cond_clear(&t->changed);
  g_free(t);
}

/* Makes room: the entry that nobody asked for the longest goes. */
static void
evict(PtThumbs *t)
{
  GHashTableIter iter;
  gpointer key, value, oldest = NULL;
  gint64 when = G_MAXINT64;

  g_hash_table_iter_init(&iter, t->entries);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    Entry *e = value;
    if (!e->busy && e->asked < when) {
      when = e->asked;
      oldest = key;
    }
  }
  if (oldest)
    g_hash_table_remove(t->entries, oldest);
}

static Entry *
entry_for(PtThumbs *t, const char *id)
{
  Entry *e = g_hash_table_lookup(t->entries, id);

  if (!e) {
    if (g_hash_table_size(t->entries) >= MAX_ENTRIES)
      evict(t);
    e = g_new0(Entry, 1);
    e->callers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(t->entries, g_strdup(id), e);
  }
  e->asked = pt_mono();
  return e;
}

static bool
fresh(const Entry *e)
{
  return e->png && pt_mono() - e->taken < FRESH;
}

static bool
trusted(const Entry *e, const char *key)
{
  const gint64 *when = g_hash_table_lookup(e->callers, key);

  return when && pt_mono() - *when < TRUSTED;
}

static void
trust(Entry *e, const char *key)
{
  gint64 now = pt_mono();

  if (g_hash_table_size(e->callers) >= MAX_CALLERS)
    g_hash_table_remove_all(e->callers);
  g_hash_table_insert(e->callers, g_strdup(key), g_memdup2(&now, sizeof now));
}

/* Reads one picture from the stream. An empty screen is none: whoever asks keeps what there was. */
static GBytes *
grab(int fd, GError **error)
{
  g_auto(PtFrame) frame = { 0 };
  PtIo io = pt_io_fd(fd, pt_mono() + GRAB);

  if (!pt_rfb_join(&io, error) || !pt_frame_grab(&io, WIDTH, &frame, error))
    return NULL;
  if (pt_frame_plain(&frame)) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is nothing on this desktop yet");
    return NULL;
  }
  return pt_frame_png(&frame, error);
}

static char *
etag_of(GBytes *png)
{
  g_autofree char *sum = pt_sha256_hex(g_bytes_get_data(png, NULL), g_bytes_get_size(png));

  return g_strdup_printf("\"%.32s\"", sum);
}

/* What one fetch gave. */
typedef struct Fetched {
  bool opened; /* the caller may look at this desktop */
  GBytes *png;
} Fetched;

/* Opens the desktop with the caller's rights, and looks at it unless `only_open`. */
static Fetched
fetch(PtThumbs *t, const PtCaller *caller, const PtTarget *target, bool only_open, PtClientReply **ret_refused,
      GError **error)
{
  Fetched f = { 0 };
  guint32 type = 0;
  int fd = pt_endpoint_stream(t->api, caller, target, NULL, NULL, "thumbnail", &type, ret_refused, error);

  if (fd < 0)
    return f;
  f.opened = true;
  if (!only_open)
    f.png = grab(fd, error);
  close(fd);
  return f;
}

/* With the lock held: waits until this thread may fetch (true: e->busy is ours), or there is nothing to fetch any more. */
static bool
take_turn(PtThumbs *t, const char *id, const char *key, Entry **ret, GError **error)
{
  gint64 end = g_get_monotonic_time() + WAIT;

  for (;;) {
    Entry *e = *ret = entry_for(t, id);
    if (fresh(e) && trusted(e, key))
      return false;
    if (!e->busy && t->grabs < MAX_GRABS) {
      e->busy = true;
      t->grabs++;
      return true;
    }
    if (!g_cond_wait_until(&t->changed, &t->lock, end)) {
      PT_SET(error, PT_ERR_TIMEOUT, "there is no picture of this desktop yet");
      *ret = NULL;
      return false;
    }
  }
}

static GBytes *
cached_or_fetched(PtThumbs *t, const char *id, const char *key, const PtCaller *caller, const PtTarget *target,
                  char **ret_etag, PtClientReply **ret_refused, GError **error)
{
  Entry *e = NULL;
  GBytes *result = NULL;

  g_mutex_lock(&t->lock);
  bool ours = take_turn(t, id, key, &e, error);
  if (ours) {
    bool only_open = fresh(e);
    g_mutex_unlock(&t->lock);
    Fetched f = fetch(t, caller, target, only_open, ret_refused, error);
    g_autofree char *etag = f.png ? etag_of(f.png) : NULL;
    g_mutex_lock(&t->lock); /* a busy entry is never evicted */
    e->busy = false;
    t->grabs--;
    if (f.opened)
      trust(e, key);
    if (f.png) {
      g_clear_pointer(&e->png, g_bytes_unref);
      g_free(e->etag);
      e->png = f.png;
      e->etag = g_steal_pointer(&etag);
      e->taken = pt_mono();
    }
    if (!f.opened || (!f.png && !only_open))
      e = NULL;
    g_cond_broadcast(&t->changed);
  }
  if (e) {
    result = g_bytes_ref(e->png);
    *ret_etag = g_strdup(e->etag);
  }
  g_mutex_unlock(&t->lock);
  return result;
}

GBytes *
pt_thumbs_get(PtThumbs *t, const PtCaller *caller, const PtTarget *target, char **ret_etag, PtClientReply **ret_refused,
              GError **error)
{
  g_autoptr(json_t) instance = pt_endpoint_instance(t->api, caller, target, ret_refused, error);

  if (!instance)
    return NULL;
  const char *id = pt_json_str(instance, "id", "");
  if (!pt_json_bool(instance, "desktop", false) || strcmp(pt_json_str(instance, "state", ""), "running") != 0) {
    PT_SET(error, PT_ERR_NOT_FOUND, "%s: has no desktop that runs", target->instance);
    return NULL;
  }
  g_autofree char *key = pt_caller_key(caller);
  return cached_or_fetched(t, id, key, caller, target, ret_etag, ret_refused, error);
}
