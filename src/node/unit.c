// SPDX-License-Identifier: Apache-2.0
/* Units and their queue. Every unit is worked on by at most one worker at a time; what happens meanwhile sets `again`,
 * so nothing is missed and nothing is done twice at once. */
#include <glib-unix.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "node/agent_impl.h"

static PtUnit *
unit_new(const char *space, const char *name)
{
  PtUnit *u = g_new0(PtUnit, 1);

  u->refs = 1;
  u->space = g_strdup(space);
  u->name = g_strdup(name);
  u->key = g_strdup_printf("%s/%s", space, name);
  g_mutex_init(&u->lock);
  g_mutex_init(&u->sample_lock);
  u->samples = g_array_new(FALSE, FALSE, sizeof(PtSample));
  return u;
}

void
pt_unit_unref(PtUnit *u)
{
  if (!u || !g_atomic_int_dec_and_test(&u->refs))
    return;
  pt_status_free(u->status);
  g_array_unref(u->samples);
  g_mutex_clear(&u->lock);
  g_mutex_clear(&u->sample_lock);
  g_free(u->image_mounted);
  g_free(u->space);
  g_free(u->name);
  g_free(u->key);
  g_free(u);
}

PtUnit *
pt_unit_get(PtAgent *a, const char *space, const char *name, bool create)
{
  g_autofree char *key = g_strdup_printf("%s/%s", space, name);

  g_mutex_lock(&a->lock);
  PtUnit *u = g_hash_table_lookup(a->units, key);
  if (!u && create) {
    u = unit_new(space, name);
    g_hash_table_insert(a->units, u->key, u);
  }
  if (u)
    g_atomic_int_inc(&u->refs);
  g_mutex_unlock(&a->lock);
  return u;
}

void
pt_unit_enqueue(PtAgent *a, PtUnit *u)
{
  g_mutex_lock(&a->lock);
  if (a->stopping) {
    /* the successor looks at everything anew */
  } else if (u->running) {
    u->again = true;
  } else if (!u->queued) {
    u->queued = true;
    a->busy++;
    g_atomic_int_inc(&u->refs);
    g_thread_pool_push(a->workers, u, NULL);
  }
  g_mutex_unlock(&a->lock);
}

typedef struct {
  PtAgent *agent;
  PtUnit *unit;
} Later;

static void
later_free(gpointer data)
{
  Later *l = data;

  pt_unit_unref(l->unit);
  g_free(l);
}

static gboolean
on_later(gpointer data)
{
  Later *l = data;

  pt_unit_enqueue(l->agent, l->unit);
  return G_SOURCE_REMOVE;
}

static Later *
later_new(PtAgent *a, PtUnit *u)
{
  Later *l = g_new(Later, 1);

  l->agent = a;
  l->unit = u;
  g_atomic_int_inc(&u->refs);
  return l;
}

void
pt_unit_enqueue_after(PtAgent *a, PtUnit *u, gint64 delay_us)
{
  GSource *s = g_timeout_source_new((guint)(delay_us / 1000));

  g_source_set_callback(s, on_later, later_new(a, u), later_free);
  g_source_attach(s, a->context);
  g_source_unref(s);
}

static gboolean
on_readable(gint fd, GIOCondition condition, gpointer data)
{
  Later *l = data;

  (void)condition;
  close(fd);
  pt_unit_enqueue(l->agent, l->unit);
  return G_SOURCE_REMOVE;
}

void
pt_unit_watch(PtAgent *a, PtUnit *u, int fd)
{
  GSource *s = g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP);

  g_source_set_callback(s, G_SOURCE_FUNC(on_readable), later_new(a, u), later_free);
  g_source_attach(s, a->context);
  g_source_unref(s);
}

void
pt_unit_watch_exit(PtAgent *a, PtUnit *u)
{
  int fd = pt_container_watch(a->containers, u->status->id, NULL);

  if (fd < 0) { /* it has ended already */
    pt_unit_enqueue_after(a, u, 1000);
    return;
  }
  pt_unit_watch(a, u, fd);
}

bool
pt_unit_put_status(PtAgent *a, PtUnit *u, GError **error)
{
  g_autofree char *key = pt_key_status(u->space, u->name);

  return pt_records_write(a->store, key, -1, &pt_status_type, u->status, error);
}
