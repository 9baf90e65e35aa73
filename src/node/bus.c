// SPDX-License-Identifier: Apache-2.0
#include "node/bus.h"

#include <string.h>

#include "base/clock.h"
#include "model/instance.h"
#include "model/space.h"

/* Theory of operation. All events go into one ring of the last 1,024. A subscriber is a place in it: who falls so far
 * behind that the place was overwritten gets one "lost" and goes on from the newest. Nothing waits for a subscriber, and a
 * slow one costs nothing.
 *
 * Sequence numbers begin at the time of the start in µs, so those of a predecessor are smaller than all of ours: a
 * client that comes back with one after a restart is told "lost" as well.
 *
 * One watch over the whole store keeps all changes in their order. Whether a record is new is known from `known`, the keys
 * seen so far. What goes out is made by the model's views, which leave out secrets; of tokens and sessions nothing goes out. */

#define REMEMBERED 1024

typedef struct Event {
  PtEvent base;
  gint refs;
} Event;

struct PtBus {
  gint refs; /* ours and one for each subscriber */
  PtStore *store;

  GMutex lock;
  GCond cond;
  PtEvent *ring[REMEMBERED];
  guint64 first, next; /* first: the oldest in the ring, next: that of the next event */
  bool closed;

  GPtrArray *watches; /* of PtWatch: one, and those that were lost */
  GHashTable *known;  /* keys that exist; the watch thread's */
};

struct PtSubscriber {
  PtBus *bus;
  guint64 next; /* what it gets next */
};

static PtEvent *
event_ref(PtEvent *e)
{
  g_atomic_int_inc(&((Event *)e)->refs);
  return e;
}

void
pt_event_unref(PtEvent *e)
{
  if (!e || !g_atomic_int_dec_and_test(&((Event *)e)->refs))
    return;
  g_free(e->type);
  g_free(e->space);
  g_free(e->object);
  g_free(e->action);
  g_free(e->data);
  g_free(e);
}

static PtEvent *
event_new(guint64 seq, const char *type)
{
  Event *e = g_new0(Event, 1);

  e->refs = 1;
  e->base.seq = seq;
  e->base.time = pt_now();
  e->base.type = g_strdup(type);
  return &e->base;
}

void
pt_bus_publish(PtBus *bus, const char *type, const char *space, const char *object, const char *action, const char *data)
{
  PtEvent *e = event_new(0, type);

  e->space = g_strdup(space);
  e->object = g_strdup(object);
  e->action = g_strdup(action);
  e->data = g_strdup(data);
  g_mutex_lock(&bus->lock);
  e->seq = bus->next++;
  PtEvent **slot = &bus->ring[e->seq % REMEMBERED];
  PtEvent *old = *slot;
  *slot = e;
  if (bus->next - bus->first > REMEMBERED)
    bus->first = bus->next - REMEMBERED;
  g_cond_broadcast(&bus->cond);
  g_mutex_unlock(&bus->lock);
  pt_event_unref(old);
}

/* From the store */

static void
publish_json(PtBus *bus, const char *type, const char *space, const char *object, const char *action, json_t *json)
{
  g_autofree char *data = json ? pt_json_dump(json) : NULL;

  pt_bus_publish(bus, type, space, object, action, data);
  json_decref(json);
}

/* An instance's spec changed (`revision`), or its status did (0): what is, of both. An unreadable record has no data,
 * which makes the watcher ask the API, where the reason is told. */
static void
on_instance(PtBus *bus, const char *type, const char *space, const char *name, const char *action, const PtChange *c)
{
  bool is_status = strcmp(type, "status") == 0;
  g_autofree char *key = pt_key_instance(space, name), *status_key = pt_key_status(space, name);
  g_autoptr(PtEntry) other = pt_store_get(bus->store, is_status ? key : status_key, NULL);

  if (is_status && (!other || !c->value))
    return; /* of an instance that is gone: that was said already */
  if (!c->value) {
    pt_bus_publish(bus, type, space, key, action, NULL);
    return;
  }
  g_autoptr(PtInstance) i = pt_record_read(&pt_instance_type, is_status ? other->value : c->value, NULL);
  const char *status_text = is_status ? c->value : other ? other->value : NULL;
  g_autoptr(PtStatus) s = status_text ? pt_record_read(&pt_status_type, status_text, NULL) : NULL;
  if (is_status && i && s && g_strcmp0(i->id, s->id) != 0)
    return; /* of an older namesake */
  publish_json(bus, type, space, key, action, i ? pt_instance_view(i, s, is_status ? other->revision : c->revision) : NULL);
}

/* A record of `type` as it may be shown; NULL where it is unreadable. */
static json_t *
view_of(const PtType *type, const PtChange *c, char **ret_space)
{
  void *record = c->value ? pt_record_read(type, c->value, NULL) : NULL;
  json_t *view = NULL;

  if (!record)
    return NULL;
  if (type == &pt_operation_type) {
    view = pt_operation_view(record);
    *ret_space = g_strdup(((PtOperation *)record)->space);
  } else if (type == &pt_user_type) {
    view = pt_user_view(record, c->revision);
  } else {
    view = pt_record_view(type, record, c->revision);
  }
  pt_record_free(type, record);
  return view;
}

static void
on_record(PtBus *bus, const char *event, const PtType *type, const char *in_space, const char *action, const PtChange *c)
{
  g_autofree char *space = g_strdup(in_space);
  json_t *view = view_of(type, c, &space);

  publish_json(bus, event, space, c->key, action, view);
}

static void
on_key(PtBus *bus, const PtChange *c, const char *action)
{
  g_auto(GStrv) part = g_strsplit(c->key, "/", 5);
  guint n = g_strv_length(part);

  if (n == 4 && strcmp(part[0], "spaces") == 0 && strcmp(part[2], "instances") == 0)
    on_instance(bus, "instance", part[1], part[3], action, c);
  else if (n == 4 && strcmp(part[0], "spaces") == 0 && strcmp(part[2], "status") == 0)
    on_instance(bus, "status", part[1], part[3], "changed", c);
  else if (n == 2 && strcmp(part[0], "spaces") == 0)
    on_record(bus, "space", &pt_space_type, part[1], action, c);
  else if (n == 2 && strcmp(part[0], "images") == 0)
    on_record(bus, "image", &pt_image_type, NULL, action, c);
  else if (n == 2 && strcmp(part[0], "users") == 0)
    on_record(bus, "user", &pt_user_type, NULL, action, c);
  else if (n == 2 && strcmp(part[0], "ops") == 0)
    on_record(bus, "operation", &pt_operation_type, NULL, action, c);
}

static bool start_watch(PtBus *bus, GError **error);

static void
on_change(const PtChange *change, bool lost, void *data)
{
  PtBus *bus = data;

  if (lost) {
    pt_bus_publish(bus, "lost", NULL, NULL, NULL, NULL);
    start_watch(bus, NULL); /* if the store cannot even be listed, nothing changes in it that could be told */
    return;
  }
  const char *action = "changed";
  if (!change->value) {
    g_hash_table_remove(bus->known, change->key);
    action = "deleted";
  } else if (g_hash_table_add(bus->known, g_strdup(change->key))) {
    action = "created";
  }
  on_key(bus, change, action);
}

static bool
start_watch(PtBus *bus, GError **error)
{
  gint64 revision = 0;
  g_autoptr(GPtrArray) all = pt_store_list(bus->store, "", &revision, error);

  if (!all)
    return false;
  g_hash_table_remove_all(bus->known);
  for (guint i = 0; i < all->len; i++)
    g_hash_table_add(bus->known, g_strdup(((PtEntry *)all->pdata[i])->key));
  PtWatch *w = pt_store_watch(bus->store, "", revision, on_change, bus, error);
  if (!w)
    return false;
  g_mutex_lock(&bus->lock);
  g_ptr_array_add(bus->watches, w);
  g_mutex_unlock(&bus->lock);
  return true;
}

static void
bus_unref(PtBus *bus)
{
  if (!g_atomic_int_dec_and_test(&bus->refs))
    return;
  for (guint i = 0; i < REMEMBERED; i++)
    pt_event_unref(bus->ring[i]);
  g_ptr_array_free(bus->watches, TRUE);
  g_hash_table_unref(bus->known);
  g_mutex_clear(&bus->lock);
  g_cond_clear(&bus->cond);
  g_free(bus);
}

PtBus *
pt_bus_new(PtStore *store, GError **error)
{
  PtBus *bus = g_new0(PtBus, 1);

  bus->refs = 1;
  bus->store = store;
  g_mutex_init(&bus->lock);
  g_cond_init(&bus->cond);
  bus->first = bus->next = (guint64)pt_now();
  bus->watches = g_ptr_array_new();
  bus->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  if (!start_watch(bus, error))
    g_clear_pointer(&bus, bus_unref);
  return bus;
}

void
pt_bus_free(PtBus *bus)
{
  if (!bus)
    return;
  /* A lost watch may add its successor while we cancel: until none is left. */
  for (;;) {
    g_mutex_lock(&bus->lock);
    PtWatch *w = bus->watches->len > 0 ? g_ptr_array_steal_index(bus->watches, 0) : NULL;
    bus->closed = true;
    g_cond_broadcast(&bus->cond);
    g_mutex_unlock(&bus->lock);
    if (!w)
      break;
    pt_watch_cancel(w);
  }
  bus_unref(bus);
}

PtSubscriber *
pt_bus_subscribe(PtBus *bus, guint64 since)
{
  PtSubscriber *s = g_new(PtSubscriber, 1);

  g_atomic_int_inc(&bus->refs);
  s->bus = bus;
  g_mutex_lock(&bus->lock);
  s->next = since == 0 ? bus->first : since >= bus->next ? bus->next : since + 1;
  g_mutex_unlock(&bus->lock);
  return s;
}

void
pt_bus_unsubscribe(PtSubscriber *s)
{
  if (!s)
    return;
  bus_unref(s->bus);
  g_free(s);
}

PtEvent *
pt_bus_next(PtSubscriber *s, gint64 timeout)
{
  PtBus *bus = s->bus;
  gint64 until = g_get_monotonic_time() + MAX(timeout, 0);
  PtEvent *e = NULL;

  g_mutex_lock(&bus->lock);
  while (!bus->closed && s->next == bus->next) {
    if (!g_cond_wait_until(&bus->cond, &bus->lock, until))
      break;
  }
  if (!bus->closed && s->next < bus->first) {
    s->next = bus->next;
    e = event_new(bus->next - 1, "lost");
  } else if (!bus->closed && s->next < bus->next) {
    e = event_ref(bus->ring[s->next++ % REMEMBERED]);
  }
  g_mutex_unlock(&bus->lock);
  return e;
}
