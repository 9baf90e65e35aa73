// SPDX-License-Identifier: Apache-2.0
/* Samples of what instances use: every 5 s, kept for an hour, for charts and lists. Rates are differences of counters that
 * start at zero with the instance, so a counter that fell back is a restart and its first step is skipped. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "node/agent_impl.h"

#define STEP (5 * G_USEC_PER_SEC)
#define KEEP 720
#define SOON (500 * G_TIME_SPAN_MILLISECOND) /* after a start: it is through with the most, and so are others that began with it */

static gint64
rate(gint64 now, gint64 before, gint64 us)
{
  return now >= before && us > 0 ? (gint64)((double)(now - before) * G_USEC_PER_SEC / (double)us) : 0;
}

static bool
take(PtAgent *a, PtUnit *u, const PtInstance *spec, const char *space_id, PtSample *s)
{
  PtContainerStats st = { 0 };
  guint64 rx = 0, tx = 0;
  gint64 now = pt_now(), us = now - u->last_time;

  if (!pt_container_stats(a->containers, spec->id, &st, NULL))
    return false;
  *s = (PtSample){ .time = now, .memory = st.memory, .pids = st.pids, .cpu_pressure = st.cpu_pressure,
                   .memory_pressure = st.memory_pressure, .io_pressure = st.io_pressure };
  if (space_id)
    pt_net_bridge.port_stats(a->net, space_id, spec->id, &rx, &tx, NULL);
  pt_pool_local.usage(a->pool, spec->volume, &s->disk_used, &s->disk_size, NULL);
  if (u->last_time && us < 60 * G_USEC_PER_SEC) {
    s->cpu = (double)rate(st.cpu_usec, u->last_cpu_usec, us) / 1000;
    s->rx = rate((gint64)rx, u->last_rx, us);
    s->tx = rate((gint64)tx, u->last_tx, us);
    s->io_read = rate(st.io_read, u->last_read, us);
    s->io_write = rate(st.io_write, u->last_write, us);
  }
  u->last_time = now;
  u->last_cpu_usec = st.cpu_usec;
  u->last_rx = (gint64)rx;
  u->last_tx = (gint64)tx;
  u->last_read = st.io_read;
  u->last_write = st.io_write;
  return true;
}

json_t *
pt_sample_format(const PtSample *s)
{
  g_autofree char *time = pt_time_format(s->time);

  return json_pack("{s:s,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f}", "time", time, "cpu", s->cpu / 1000, "memory",
                   (json_int_t)s->memory, "pids", (json_int_t)s->pids, "disk_used", (json_int_t)s->disk_used, "disk_size",
                   (json_int_t)s->disk_size, "rx", (json_int_t)s->rx, "tx", (json_int_t)s->tx, "io_read", (json_int_t)s->io_read,
                   "io_write", (json_int_t)s->io_write, "cpu_pressure", s->cpu_pressure, "memory_pressure", s->memory_pressure,
                   "io_pressure", s->io_pressure);
}

/* An unmodified system's agent comes and goes as it likes, and who was starting when we took over may be ready at last. Whoever holds the
 * lock is looking at the unit anyway. */
static void
look_for_news(PtAgent *a, PtUnit *u, const PtInstance *spec)
{
  if (!g_mutex_trylock(&u->lock))
    return;
  bool news = u->status && u->status->state == PT_RUN_RUNNING &&
              (u->status->agent != pt_unit_answers(a, spec) || (!u->status->ready && pt_container_ready(a->containers, spec->id, spec)));
  g_mutex_unlock(&u->lock);
  if (news)
    pt_unit_enqueue(a, u);
}

static void
sample_unit(PtAgent *a, PtUnit *u)
{
  g_autoptr(PtInstance) spec = pt_unit_load(a, u, NULL, NULL);
  g_autofree char *space_key = pt_key_space(u->space);
  PtSample s;

  if (!spec)
    return;
  look_for_news(a, u, spec);
  g_autoptr(PtSpace) space = pt_records_get(a->store, space_key, &pt_space_type, NULL, NULL);
  g_mutex_lock(&u->sample_lock);
  bool ok = take(a, u, spec, space ? space->id : NULL, &s);
  if (ok) {
    if (u->samples->len >= KEEP)
      g_array_remove_range(u->samples, 0, KEEP / 8);
    g_array_append_val(u->samples, s);
  }
  g_mutex_unlock(&u->sample_lock);
  if (!ok)
    return;
  g_autoptr(json_t) json = pt_sample_format(&s);
  g_autofree char *text = pt_json_dump(json), *object = g_strdup_printf("spaces/%s/instances/%s", u->space, u->name);
  pt_bus_publish(a->bus, "sample", u->space, object, NULL, text);
}

/* The units whose instance runs, as far as their last pass knows, or of these the ones not measured lately; references for the
 * caller. */
static GPtrArray *
running_units(PtAgent *a, bool new_only)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)pt_unit_unref);
  GHashTableIter it;
  gpointer value;

  g_mutex_lock(&a->lock);
  g_hash_table_iter_init(&it, a->units);
  while (g_hash_table_iter_next(&it, NULL, &value)) {
    PtUnit *u = value;
    if (u->watched && (!new_only || pt_now() - u->last_time >= STEP)) {
      g_atomic_int_inc(&u->refs);
      g_ptr_array_add(list, u);
    }
  }
  g_mutex_unlock(&a->lock);
  return list;
}

gpointer
pt_sampler_run(gpointer agent)
{
  PtAgent *a = agent;
  gint64 next = g_get_monotonic_time() + STEP;

  g_mutex_lock(&a->lock);
  while (!a->stopping) {
    gint64 now = g_get_monotonic_time(), until = a->sampler_soon ? MIN(a->sampler_soon, next) : next;
    if (now < until) {
      g_cond_wait_until(&a->sampler_wake, &a->lock, until);
      continue;
    }
    bool step = now >= next;
    next = step ? now + STEP : next;
    a->sampler_soon = 0;
    g_mutex_unlock(&a->lock);
    g_autoptr(GPtrArray) units = running_units(a, !step);
    g_autoptr(GHashTable) spaces = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < units->len; i++) {
      const PtUnit *u = g_ptr_array_index(units, i);
      sample_unit(a, g_ptr_array_index(units, i));
      if (g_hash_table_add(spaces, u->space))
        pt_agent_space_keep(a, u->space);
    }
    g_mutex_lock(&a->lock);
  }
  g_mutex_unlock(&a->lock);
  return NULL;
}

void
pt_sampler_hurry(PtAgent *a)
{
  g_mutex_lock(&a->lock);
  if (!a->sampler_soon) {
    a->sampler_soon = g_get_monotonic_time() + SOON;
    g_cond_signal(&a->sampler_wake);
  }
  g_mutex_unlock(&a->lock);
}

bool
pt_agent_sample(PtAgent *a, const PtInstance *spec, PtSample *ret, GError **error)
{
  PtUnit *u = pt_unit_get(a, spec->space, spec->name, false);
  bool found = false;

  if (u) {
    g_mutex_lock(&u->sample_lock);
    if (u->samples->len > 0) {
      *ret = g_array_index(u->samples, PtSample, u->samples->len - 1);
      found = u->watched && pt_now() - ret->time < 3 * STEP;
    }
    g_mutex_unlock(&u->sample_lock);
    pt_unit_unref(u);
  }
  if (!found)
    PT_SET(error, PT_ERR_NOT_FOUND, "%s: has not been measured yet", spec->name);
  return found;
}

GArray *
pt_agent_samples(PtAgent *a, const PtInstance *spec, gint64 since, GError **error)
{
  PtUnit *u = pt_unit_get(a, spec->space, spec->name, false);
  GArray *out = g_array_new(FALSE, FALSE, sizeof(PtSample));

  (void)error;
  if (!u)
    return out;
  g_mutex_lock(&u->sample_lock);
  for (guint i = 0; i < u->samples->len; i++) {
    if (g_array_index(u->samples, PtSample, i).time > since)
      g_array_append_vals(out, &g_array_index(u->samples, PtSample, i), 1);
  }
  g_mutex_unlock(&u->sample_lock);
  pt_unit_unref(u);
  return out;
}
