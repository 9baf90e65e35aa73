// SPDX-License-Identifier: Apache-2.0
/* One pass over one instance: look at what is desired and at what is, take the steps between, write the status, end the
 * operation that waited for it. There is no other place where an instance is started or stopped.
 *
 * Theory of operation. `actual` is asked from the engine each time, never remembered, so a pass after a crash of ours is
 * the same as any other. A start happens when the desired power is running and either the spec's boot count was not
 * reached, or the instance was lost with the host, or its restart policy wants it; ending by itself is not undone. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "node/agent_impl.h"

#define BACKOFF_FIRST (1 * G_USEC_PER_SEC)
#define BACKOFF_LAST (60 * G_USEC_PER_SEC)
#define READY_POLL 200000            /* µs; for guests that were starting when we took over, whose word nobody waits for */
#define READY_LIMIT (120 * G_USEC_PER_SEC) /* after it the sampler looks, less often */

typedef struct {
  PtAgent *a;
  PtUnit *u;
  PtInstance *spec;
  gint64 revision;
  PtContainerState actual;
  bool known; /* the engine has a trace of it */
} Pass;

PtInstance *
pt_unit_load(PtAgent *a, const PtUnit *u, gint64 *ret_revision, GError **error)
{
  g_autofree char *key = pt_key_instance(u->space, u->name);

  return pt_records_get(a->store, key, &pt_instance_type, ret_revision, error);
}

static void
load_status(PtAgent *a, PtUnit *u, const PtInstance *spec)
{
  if (u->status && g_strcmp0(u->status->id, spec->id) == 0)
    return;
  g_clear_pointer(&u->status, pt_status_free);
  g_autofree char *key = pt_key_status(u->space, u->name);
  u->status = pt_records_get(a->store, key, &pt_status_type, NULL, NULL);
  if (u->status && g_strcmp0(u->status->id, spec->id) == 0)
    return;
  g_clear_pointer(&u->status, pt_status_free);
  u->status = pt_record_new(&pt_status_type);
  u->status->name = g_strdup(spec->name);
  u->status->space = g_strdup(spec->space);
  u->status->id = g_strdup(spec->id);
  u->status->node = g_strdup(a->host->node);
  u->status->exit_code = -1;
}

/* The one place that changes a status and makes it seen. A store that fails (a full disk) is not a reason to let go of
 * a running instance: it is said, and the next pass writes again. */
static void
put_state(Pass *p, PtRun to, const char *step)
{
  PtStatus *s = p->u->status;
  g_autoptr(GError) err = NULL;

  if (s->state != (int)to && !pt_run_move(&s->state, to, &err)) {
    pt_log_debug("node", "%s: %s", p->u->key, err->message); /* a state of a predecessor: reality wins */
    s->state = (int)to;
    g_clear_error(&err);
  }
  g_free(s->step);
  s->step = g_strdup(step);
  s->epoch = p->spec->epoch;
  if (!pt_unit_put_status(p->a, p->u, &err))
    pt_log_error("node", "%s: its status could not be written: %s", p->u->key, err->message);
}

static void
settle(Pass *p, PtRun state, const GError *error)
{
  PtStatus *s = p->u->status;

  g_clear_pointer(&s->error, g_free);
  if (error)
    s->error = g_strdup(error->message);
  s->generation = p->spec->generation;
  s->boot = p->spec->boot;
  if (state != PT_RUN_HIBERNATED) {
    s->freed = 0;
    s->durable = false;
  }
  put_state(p, state, NULL);
  if (p->spec->op)
    pt_ops_end(p->a->ops, p->spec->op, NULL, error);
}

static void
runs_no_more(PtStatus *s)
{
  s->pid = s->guest_cpus = s->guest_memory = 0;
  s->ready = s->agent = false;
}

/* Its data volumes. What could not be done with one ends the operation that asked for it, and is no reason to call the instance failed. */
static void
change_disks(Pass *p, bool running)
{
  g_autoptr(GError) err = NULL;

  if (pt_unit_disks(p->a, p->u, p->spec, running, &err))
    return;
  pt_log_warn("node", "%s: %s", p->u->key, err->message);
  if (p->spec->op)
    pt_ops_end(p->a->ops, p->spec->op, NULL, err);
}

/* Nothing of it runs any more: all that it used on the node but its volume and its history goes. */
static void
put_away(Pass *p)
{
  g_autoptr(GError) err = NULL;

  p->u->watched = false;
  runs_no_more(p->u->status);
  if (!pt_unit_release(p->a, p->u, p->spec->id, false, &err))
    pt_log_warn("node", "%s: %s", p->u->key, err->message);
  pt_unit_detach(p->a, p->u, p->spec);
}

/* It ended by itself, or was lost with the host: take note of how, and tidy up behind it. */
static void
note_end(Pass *p)
{
  PtStatus *s = p->u->status;

  if (p->known) {
    s->exit_code = p->actual.exit_code;
    s->exit_signal = p->actual.exit_signal;
    s->stopped = p->actual.stopped ? p->actual.stopped : pt_now();
  } else {
    s->stopped = pt_now();
  }
  put_away(p);
}

/* Says to a person what a killed monitor means. */
static void
say_lost(const Pass *p, GError **error)
{
  PT_SET(error, PT_ERR_INTERNAL, "%s: its monitor was killed, so it was ended", p->spec->name);
  pt_error_hint(error, "its files are whole; start it again:  portena start %s", p->spec->name);
}

static bool
policy_wants_restart(Pass *p)
{
  PtStatus *s = p->u->status;
  bool failed = s->exit_code != 0 || s->exit_signal != 0;
  bool reboot = p->spec->init == PT_INIT_SYSTEM && s->exit_signal == SIGHUP; /* drivers/container/container.h */

  if (!reboot && !(p->spec->restart == PT_RESTART_ALWAYS || (p->spec->restart == PT_RESTART_ON_FAILURE && failed)))
    return false;
  gint64 wait = BACKOFF_FIRST << MIN(s->restarts, 6);
  gint64 ran = s->stopped - s->started;
  if (ran > 10 * BACKOFF_LAST) /* it had been well for long: a fresh start */
    s->restarts = 0;
  s->restarts++;
  p->u->not_before = pt_mono() + MIN(wait, BACKOFF_LAST);
  return true;
}

/* Takes over what the engine says of one that runs. True where the status did not say so yet. */
static bool
note_running(Pass *p)
{
  PtStatus *s = p->u->status;
  gint64 started = p->actual.started ? p->actual.started : s->started;
  bool news = s->pid != p->actual.pid || s->started != started;

  s->pid = p->actual.pid;
  s->started = started;
  return news;
}

/* True where it is to be started again. */
static bool
ended(Pass *p)
{
  PtStatus *s = p->u->status;
  bool lost = !p->known;                /* with the host: nobody ended it */
  bool owed = s->boot != p->spec->boot; /* a start was asked for since, or a restart was cut off in its middle */
  g_autoptr(GError) err = NULL;

  note_end(p);
  if (!lost && !owed && !policy_wants_restart(p)) {
    if (p->actual.lost)
      say_lost(p, &err);
    settle(p, err ? PT_RUN_FAILED : PT_RUN_STOPPED, err);
    return false;
  }
  if (lost || !owed)
    s->boot = -1;
  if (!lost)
    put_state(p, PT_RUN_STOPPED, owed ? NULL : "waiting before it is started again");
  return true;
}

/* Started, and over before anybody could look: it is never said to run, because there is no process to name. */
static void
short_life(Pass *p)
{
  pt_run_move(&p->u->status->state, PT_RUN_RUNNING, NULL);
  p->u->status->generation = p->spec->generation;
  if (p->spec->op)
    pt_ops_end(p->a->ops, p->spec->op, NULL, NULL);
  if (ended(p))
    pt_unit_enqueue_after(p->a, p->u, MAX(p->u->not_before - pt_mono(), 0) + 1000);
}

static void
do_start(Pass *p)
{
  PtStatus *s = p->u->status;
  g_autoptr(GError) err = NULL;
  const char *step = pt_unit_saved(p->a, p->spec) ? "waking" : "starting";

  change_disks(p, false);
  s->ready = s->agent = false;
  s->boot = p->spec->boot; /* "starting" and running: a predecessor started this very one */
  put_state(p, PT_RUN_STARTING, step);
  if (p->spec->op)
    pt_ops_progress(p->a->ops, p->spec->op, step, -1, 0, 0, NULL);
  int ready = -1;
  if (!pt_unit_start(p->a, p->u, p->spec, &ready, &err)) {
    pt_log_warn("node", "%s does not start: %s", p->u->key, err->message);
    settle(p, pt_unit_saved(p->a, p->spec) ? PT_RUN_HIBERNATED : PT_RUN_FAILED, err);
    return;
  }
  p->known = pt_container_state(p->a->containers, p->spec->id, &p->actual, NULL);
  s->started = pt_now();
  note_running(p);
  if (!p->actual.running) {
    if (ready >= 0)
      close(ready);
    short_life(p);
    return;
  }
  s->ready = !pt_instance_announces(p->spec);
  settle(p, PT_RUN_RUNNING, NULL);
  p->u->watched = true;
  pt_sampler_hurry(p->a);
  pt_unit_watch_exit(p->a, p->u);
  if (ready >= 0)
    pt_unit_watch(p->a, p->u, ready);
  if (!s->ready)
    pt_unit_enqueue_after(p->a, p->u, READY_POLL);
}

static bool
do_stop(Pass *p, bool force, GError **error)
{
  put_state(p, PT_RUN_STOPPING, "stopping");
  if (!pt_unit_stop(p->a, p->u, p->spec, force, error))
    return false;
  p->u->watched = false;
  runs_no_more(p->u->status);
  p->u->status->stopped = pt_now();
  pt_unit_detach(p->a, p->u, p->spec);
  return true;
}

/* One that stands still in its jail, hibernated or on the way to it, or whose hibernation was cut off, goes on. */
static bool
do_wake(Pass *p)
{
  g_autoptr(GError) err = NULL;

  put_state(p, (PtRun)p->u->status->state, "waking");
  if (!pt_unit_wake(p->a, p->u, p->spec, &err)) {
    settle(p, PT_RUN_HIBERNATED, err);
    return false;
  }
  p->actual.paused = p->actual.asleep = false;
  return true;
}

/* Nothing of it runs, and what it held is saved: it goes on from there, but for a restart. What did not work is not tried again
 * before it is asked for again. */
static void
wake_saved(Pass *p)
{
  PtStatus *s = p->u->status;
  g_autoptr(GError) err = NULL;

  if (s->state == PT_RUN_HIBERNATED && s->error && s->generation == p->spec->generation)
    return;
  if (p->known) /* a predecessor saved it, and was killed before it had tidied up */
    put_away(p);
  if (s->boot != p->spec->boot && !pt_unit_forget(p->a, p->spec, &err))
    settle(p, PT_RUN_HIBERNATED, err);
  else
    do_start(p);
}

static void
want_running(Pass *p)
{
  PtStatus *s = p->u->status;
  g_autoptr(GError) err = NULL;
  bool saved = pt_unit_saved(p->a, p->spec);

  if (saved && !p->actual.running) {
    wake_saved(p);
    return;
  }
  if (p->actual.running) {
    if (s->boot != p->spec->boot) { /* restart */
      if (!do_stop(p, p->spec->force, &err)) {
        settle(p, PT_RUN_RUNNING, err);
        return;
      }
      do_start(p);
      return;
    }
    if ((p->actual.asleep || saved) && !do_wake(p))
      return;
    if (p->actual.paused && !pt_container_pause(p->a->containers, p->spec->id, false, &err)) {
      settle(p, PT_RUN_PAUSED, err);
      return;
    }
    bool was_ready = s->ready, answered = s->agent, resized = false;
    s->agent = pt_unit_answers(p->a, p->spec);
    if (!s->ready)
      s->ready = pt_container_ready(p->a->containers, p->spec->id, p->spec);
    if (pt_unit_apply(p->a, p->u, p->spec, &err))
      pt_unit_resize(p->a, p->u, p->spec, &resized, &err);
    change_disks(p, true);
    if (note_running(p) || s->state != PT_RUN_RUNNING || s->generation != p->spec->generation || s->ready != was_ready ||
        s->agent != answered || resized || err)
      settle(p, PT_RUN_RUNNING, err);
    if (!s->ready && pt_now() - s->started < READY_LIMIT)
      pt_unit_enqueue_after(p->a, p->u, READY_POLL);
    return;
  }
  bool had = s->state == PT_RUN_RUNNING || s->state == PT_RUN_PAUSED || s->state == PT_RUN_STOPPING || s->state == PT_RUN_HIBERNATED;
  if (had && !ended(p))
    return;
  if (s->boot == p->spec->boot && s->state != PT_RUN_STARTING) { /* it ended before, and that was that */
    if (s->generation != p->spec->generation) {
      change_disks(p, false);
      settle(p, s->state == PT_RUN_FAILED ? PT_RUN_FAILED : PT_RUN_STOPPED, NULL);
    }
    return;
  }
  gint64 wait = p->u->not_before - pt_mono();
  if (wait > 0) {
    pt_unit_enqueue_after(p->a, p->u, wait + 1000);
    return;
  }
  do_start(p);
}

static void
want_stopped(Pass *p)
{
  PtStatus *s = p->u->status;
  g_autoptr(GError) err = NULL;

  if (p->actual.running) {
    if (!do_stop(p, p->spec->force, &err)) {
      settle(p, p->actual.asleep ? PT_RUN_HIBERNATED : PT_RUN_RUNNING, err);
      return;
    }
  } else if (s->state != PT_RUN_STOPPED && s->state != PT_RUN_FAILED) {
    note_end(p);
  }
  if (!pt_unit_forget(p->a, p->spec, &err)) {
    settle(p, PT_RUN_HIBERNATED, err);
    return;
  }
  s->restarts = 0;
  change_disks(p, false);
  if (s->state != PT_RUN_STOPPED || s->generation != p->spec->generation)
    settle(p, PT_RUN_STOPPED, NULL);
}

static void
want_paused(Pass *p)
{
  g_autoptr(GError) err = NULL;

  if (!p->actual.running) {
    want_stopped(p);
    return;
  }
  if (p->actual.asleep && !do_wake(p))
    return;
  if (!p->actual.paused && !pt_container_pause(p->a->containers, p->spec->id, true, &err)) {
    settle(p, PT_RUN_RUNNING, err);
    return;
  }
  pt_unit_apply(p->a, p->u, p->spec, &err);
  if (note_running(p) || p->u->status->state != PT_RUN_PAUSED || p->u->status->generation != p->spec->generation)
    settle(p, PT_RUN_PAUSED, err);
}

static void
do_hibernate(Pass *p)
{
  PtStatus *s = p->u->status;
  PtSleep slept = { 0 };
  g_autoptr(GError) err = NULL;

  put_state(p, (PtRun)s->state, "hibernating");
  if (p->spec->op)
    pt_ops_progress(p->a->ops, p->spec->op, "hibernating", -1, 0, 0, NULL);
  if (!pt_unit_hibernate(p->a, p->spec, &slept, &err)) {
    pt_log_warn("node", "%s is not hibernated: %s", p->u->key, err->message);
    settle(p, p->actual.paused ? PT_RUN_PAUSED : PT_RUN_RUNNING, err);
    return;
  }
  s->freed = slept.freed;
  s->durable = slept.durable;
  if (slept.durable)
    put_away(p);
  settle(p, PT_RUN_HIBERNATED, NULL);
}

/* What could not be hibernated, or was lost with the host while it was, runs until it is asked for again. */
static void
want_hibernated(Pass *p)
{
  PtStatus *s = p->u->status;
  bool reached = s->generation == p->spec->generation;
  bool lost = !p->known && (s->state == PT_RUN_HIBERNATED || s->boot == -1);
  g_autoptr(GError) err = NULL;

  if (!p->actual.running && pt_unit_saved(p->a, p->spec)) {
    if (p->known)
      put_away(p);
    s->durable = true;
    if (p->known || s->state != PT_RUN_HIBERNATED || !reached)
      settle(p, PT_RUN_HIBERNATED, NULL);
  } else if (p->actual.asleep) {
    s->freed = p->actual.freed;
    if (note_running(p) || s->state != PT_RUN_HIBERNATED || !reached)
      settle(p, PT_RUN_HIBERNATED, NULL);
  } else if (p->actual.running && !(reached && (s->state == PT_RUN_RUNNING || s->state == PT_RUN_PAUSED))) {
    do_hibernate(p);
  } else if (!p->actual.paused) {
    want_running(p);
    if (lost && s->state == PT_RUN_RUNNING) {
      PT_SET(&err, PT_ERR_INTERNAL, "%s: the node was restarted while its memory was in swap, so it was started again", p->spec->name);
      pt_log_warn("node", "%s", err->message);
      settle(p, PT_RUN_RUNNING, err);
    }
  }
}

static void
forget(PtAgent *a, PtUnit *u)
{
  g_mutex_lock(&a->lock);
  if (g_hash_table_lookup(a->units, u->key) == u)
    g_hash_table_remove(a->units, u->key);
  g_mutex_unlock(&a->lock);
}

static bool
remove_all(Pass *p, GError **error)
{
  if (p->actual.running && !do_stop(p, true, error))
    return false;
  if (!pt_unit_forget(p->a, p->spec, error))
    return false;
  put_state(p, PT_RUN_STOPPED, "deleting");
  if (!pt_unit_release(p->a, p->u, p->spec->id, true, error))
    return false;
  pt_unit_detach(p->a, p->u, p->spec);
  if (!pt_pool_local.remove(p->a->pool, p->spec->volume, error))
    return false;
  g_autofree char *ki = pt_key_instance(p->spec->space, p->spec->name), *ks = pt_key_status(p->spec->space, p->spec->name),
                  *kv = pt_key_volume(p->spec->space, p->spec->volume);
  g_autoptr(PtTxn) txn = pt_txn_new();
  pt_txn_delete(txn, ki);
  pt_txn_delete(txn, ks);
  pt_txn_delete(txn, kv);
  return pt_store_commit(p->a->store, txn, NULL, error);
}

static void
do_delete(Pass *p)
{
  g_autoptr(GError) err = NULL;

  if (!remove_all(p, &err)) {
    g_prefix_error(&err, "%s could not be deleted: ", p->spec->name);
    pt_error_hint(&err, "what was in the way is named above; ask again:  portena delete %s --force", p->spec->name);
    settle(p, PT_RUN_FAILED, err);
    return;
  }
  pt_agent_release_ids(p->a, p->u->status->idbase);
  if (p->spec->op)
    pt_ops_end(p->a->ops, p->spec->op, NULL, NULL);
  forget(p->a, p->u);
  pt_agent_space_check(p->a, p->spec->space);
  if (p->spec->nics && p->spec->nics->len > 0)
    pt_agent_networks_check(p->a);
}

/* First sight of one that runs: a predecessor of ours started it. Its mounts are there; they are counted again. */
static void
adopt(Pass *p)
{
  g_autoptr(GError) err = NULL;

  const PtEngine *engine = pt_engine_of(p->spec, NULL);
  g_autofree char *lower = engine && engine->raw ? NULL : pt_images_mount(p->a->images, p->spec->image, &err);
  if (lower)
    p->u->image_mounted = g_strdup(p->spec->image);
  else if (err)
    pt_log_warn("node", "%s: %s", p->u->key, err->message);
  p->u->attached = true;
  p->u->watched = true;
  pt_sampler_hurry(p->a);
  pt_unit_watch_exit(p->a, p->u);
}

/* A predecessor may have been killed between the status that a change led to and the end of its operation. */
static void
end_left_open(PtAgent *a, PtUnit *u, const PtInstance *spec)
{
  const PtStatus *s = u->status;
  g_autoptr(GError) err = NULL;

  if (u->looked)
    return;
  u->looked = true;
  if (!spec->op || spec->deleting || s->generation != spec->generation || s->state == PT_RUN_STARTING || s->state == PT_RUN_STOPPING)
    return;
  if (s->error)
    PT_SET(&err, PT_ERR_INTERNAL, "%s", s->error);
  pt_ops_end(a->ops, spec->op, NULL, err);
}

void
pt_unit_reconcile(PtAgent *a, PtUnit *u)
{
  Pass p = { .a = a, .u = u };
  g_autoptr(GError) err = NULL;

  if (!(p.spec = pt_unit_load(a, u, &p.revision, &err))) {
    if (g_error_matches(err, PT_ERROR, PT_ERR_NOT_FOUND))
      forget(a, u);
    else
      pt_log_error("node", "%s: %s", u->key, err->message);
    return;
  }
  g_autoptr(PtInstance) spec = p.spec;
  if (g_strcmp0(spec->owner, a->host->node) != 0)
    return;
  load_status(a, u, spec);
  p.known = pt_container_state(a->containers, spec->id, &p.actual, NULL);
  if (p.actual.running && !u->watched)
    adopt(&p);
  if (spec->deleting)
    do_delete(&p);
  else if (spec->power == PT_POWER_RUNNING)
    want_running(&p);
  else if (spec->power == PT_POWER_PAUSED)
    want_paused(&p);
  else if (spec->power == PT_POWER_HIBERNATED)
    want_hibernated(&p);
  else
    want_stopped(&p);
  end_left_open(a, u, spec);
}
