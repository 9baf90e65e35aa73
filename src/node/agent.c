// SPDX-License-Identifier: Apache-2.0
/* The agent's life: opening the drivers, taking over from a predecessor, the queue of work, the end.
 *
 * Threads: a pool of workers (one pass over one unit at a time), the watcher (timers, ends of instances), the sampler, and the
 * store's watch thread, which only puts units into the queue. */
#include "node/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "drivers/machine/machine.h"
#include "node/agent_impl.h"

/* Passes mostly wait: for processes, for guests that stop, which may take as long as their owner says. So one space never has
 * all workers, and none waits for somebody's slow copy of a stopped one's files. */
#define WORKERS 96
#define WORKERS_OF_SPACE 24
#define LATER (50 * 1000)

/* With the agent's lock held. */
static bool
crowded(PtAgent *a, const char *space)
{
  GHashTableIter it;
  gpointer unit;
  guint n = 0;

  g_hash_table_iter_init(&it, a->units);
  while (g_hash_table_iter_next(&it, NULL, &unit)) {
    const PtUnit *u = unit;
    n += u->running && strcmp(u->space, space) == 0;
  }
  return n >= WORKERS_OF_SPACE;
}

/* Whoever waits for an instance whose files are being copied learns why nothing happens. */
static void
say_why_not(PtAgent *a, const PtUnit *u)
{
  g_autoptr(PtInstance) spec = g_atomic_int_get(&u->file_users) > 0 ? pt_unit_load(a, u, NULL, NULL) : NULL;

  if (spec && spec->op)
    pt_ops_progress(a->ops, spec->op, "waiting until its files have been copied", -1, 0, 0, NULL);
}

static void
run_unit(gpointer data, gpointer agent)
{
  PtUnit *u = data;
  PtAgent *a = agent;
  bool again = false;

  g_mutex_lock(&a->lock);
  u->queued = false;
  /* Forgotten by the pass before, as its instance had gone, while somebody who still knew it queued it for the next of that
   * name: that one has, or gets, a unit of its own, and two must never work on one instance. */
  bool stale = g_hash_table_lookup(a->units, u->key) != u;
  u->running = !stale && !crowded(a, u->space) && g_mutex_trylock(&u->lock);
  if (!u->running) {
    a->busy--;
    g_cond_broadcast(&a->idle);
  }
  g_mutex_unlock(&a->lock);
  if (stale) {
    PtUnit *now = pt_unit_get(a, u->space, u->name, true);
    pt_unit_enqueue(a, now);
    pt_unit_unref(now);
  } else if (!u->running) {
    say_why_not(a, u);
    pt_unit_enqueue_after(a, u, LATER);
  }
  if (!u->running) {
    pt_unit_unref(u);
    return;
  }
  pt_unit_reconcile(a, u);
  g_mutex_unlock(&u->lock);

  g_mutex_lock(&a->lock);
  u->running = false;
  again = u->again;
  u->again = false;
  a->busy--;
  g_cond_broadcast(&a->idle);
  g_mutex_unlock(&a->lock);
  if (again)
    pt_unit_enqueue(a, u);
  pt_unit_unref(u);
}

/* "spaces/S/instances/I" wakes the unit, "spaces/S" the space; everything else here is our own doing. */
static void
on_change(const PtChange *change, bool lost, void *data)
{
  PtAgent *a = data;

  if (lost) {
    pt_log_warn("node", "the store lost its history; looking at every instance anew");
    g_autoptr(GPtrArray) all = pt_store_list(a->store, "spaces/", NULL, NULL);
    for (guint i = 0; all && i < all->len; i++) {
      const PtEntry *e = g_ptr_array_index(all, i);
      on_change(&(PtChange){ .key = e->key, .value = e->value, .revision = e->revision }, false, a);
    }
    return;
  }
  g_auto(GStrv) part = g_strsplit(change->key, "/", 5);
  guint n = g_strv_length(part);
  if (n == 4 && strcmp(part[2], "instances") == 0 && change->value) {
    PtUnit *u = pt_unit_get(a, part[1], part[3], true);
    pt_unit_enqueue(a, u);
    pt_unit_unref(u);
  } else if (n == 2 && change->value) {
    pt_agent_space_check(a, part[1]);
  }
}

static gpointer
watcher_run(gpointer agent)
{
  PtAgent *a = agent;

  g_main_context_push_thread_default(a->context);
  g_main_loop_run(a->loop);
  g_main_context_pop_thread_default(a->context);
  return NULL;
}

static bool
put_node(PtAgent *a, GError **error)
{
  g_autofree char *key = pt_key_node(a->host->node);
  g_autoptr(PtNode) node = pt_records_get(a->store, key, &pt_node_type, NULL, NULL);

  if (!node) {
    node = pt_record_new(&pt_node_type);
    node->name = g_strdup(a->host->node);
    node->id = pt_id_new();
  }
  node->cpus = a->host->cpus;
  node->memory = a->host->memory;
  g_free(node->version);
  node->version = g_strdup(PORTENA_VERSION);
  node->started = pt_now();
  return pt_records_write(a->store, key, -1, &pt_node_type, node, error);
}

/* After the node itself started (not only the daemon), what ran before runs again, but not what is to be left stopped then. */
static void
leave_stopped(PtAgent *a, const PtEntry *e)
{
  g_autoptr(PtInstance) spec = pt_record_read(&pt_instance_type, e->value, NULL);
  g_autoptr(GError) err = NULL;

  if (!spec || spec->autostart || spec->deleting || spec->power == PT_POWER_STOPPED || g_strcmp0(spec->owner, a->host->node) != 0)
    return;
  if (spec->power == PT_POWER_HIBERNATED && pt_unit_saved(a, spec)) /* it does not run, and what it holds is not to be lost */
    return;
  spec->power = PT_POWER_STOPPED;
  spec->generation++;
  g_clear_pointer(&spec->op, g_free);
  if (!pt_records_write(a->store, e->key, e->revision, &pt_instance_type, spec, &err))
    pt_log_warn("node", "%s: not left stopped with the node's start: %s", spec->name, err->message);
}

/* RUN/booted holds the boot that RUN was last used in. On a disk, RUN can be of an earlier one: nothing in it is alive then,
 * and what ran there was lost with the host. */
static bool
node_has_started(PtAgent *a, const char *marker)
{
  g_autofree char *now = pt_boot_id(), *then = NULL;

  if (g_file_get_contents(marker, &then, NULL, NULL) && strcmp(then, now) == 0)
    return false;
  g_autoptr(GPtrArray) containers = pt_containers_list(a->containers, NULL);
  for (guint i = 0; i < containers->len; i++) {
    const char *id = g_ptr_array_index(containers, i);
    g_autoptr(GError) err = NULL;
    PtContainerState state;
    bool runs = pt_container_state(a->containers, id, &state, NULL) && state.running;
    if (!runs && !pt_container_clear(a->containers, id, false, &err))
      pt_log_warn("node", "%s", err->message);
  }
  return true;
}

static void
mark_idbase(PtAgent *a, const PtEntry *e)
{
  g_autoptr(json_t) json = pt_json_parse_object(e->value, strlen(e->value), NULL);
  gint64 base = json ? pt_json_int(json, "idbase", 0) : 0;
  gint64 i = (base - PT_IDBASE_FIRST) / PT_IDBASE_STEP;

  if (base && i >= 0 && i < PT_IDBASE_N)
    a->idbases[i] = 1;
}

/* What is on this node and belongs to no instance any more (its record was removed by a transaction that a predecessor
 * made just before it died, or the database was set back) is removed. */
static void
sweep_networks(PtAgent *a, GHashTable *spaces)
{
  g_autoptr(GPtrArray) up = pt_net_bridge.spaces(a->net, NULL);

  for (guint i = 0; up && i < up->len; i++) {
    const char *id = g_ptr_array_index(up, i);
    g_autoptr(GError) err = NULL;
    if (g_hash_table_contains(spaces, id))
      g_hash_table_add(a->spaces_up, g_strdup(id));
    else if (!pt_net_bridge.space_down(a->net, id, &err))
      pt_log_warn("node", "%s", err->message);
  }
}

static void
sweep(PtAgent *a, GHashTable *ids, GHashTable *volumes)
{
  g_autoptr(GPtrArray) containers = pt_containers_list(a->containers, NULL);
  for (guint i = 0; containers && i < containers->len; i++) {
    const char *id = g_ptr_array_index(containers, i);
    g_autoptr(GError) err = NULL;
    PtContainerState state;
    if (g_hash_table_contains(ids, id))
      continue;
    pt_log_info("node", "removing what is left of instance %s", id);
    if (pt_container_state(a->containers, id, &state, NULL) && state.running)
      pt_container_stop(a->containers, id, NULL, NULL, 0, NULL, NULL);
    if (!pt_container_clear(a->containers, id, true, &err))
      pt_log_warn("node", "%s", err->message);
  }
  g_autoptr(GPtrArray) vols = pt_pool_local.list(a->pool, NULL);
  for (guint i = 0; vols && i < vols->len; i++) {
    const char *id = g_ptr_array_index(vols, i);
    g_autoptr(GError) err = NULL;
    if (g_hash_table_contains(volumes, id) || pt_template_volume(a, id))
      continue;
    pt_log_info("node", "removing volume %s, which has no record", id);
    if (!pt_pool_local.detach(a->pool, id, &err) || !pt_pool_local.remove(a->pool, id, &err))
      pt_log_warn("node", "%s", err->message);
  }
}

/* Images from before there were machines say that they are for containers alone; every root file system is for both. */
static void
tell_kinds(PtAgent *a, const char *key)
{
  gint64 revision = 0;
  g_autoptr(PtImage) image = pt_records_get(a->store, key, &pt_image_type, &revision, NULL);

  if (!image || image->format != PT_FORMAT_ROOTFS || (image->kinds && g_strv_contains((const char *const *)image->kinds, "machine")))
    return;
  g_strfreev(image->kinds);
  image->kinds = g_strdupv((char *[]){ (char *)"container", (char *)"machine", NULL });
  pt_records_write(a->store, key, revision, &pt_image_type, image, NULL); /* STALE: then the next start does it */
}

/* An image whose file is here and whose record is not (a database that was set back, files brought from elsewhere). */
static void
register_images(PtAgent *a)
{
  g_autoptr(GPtrArray) all = pt_images_list(a->images, NULL);

  for (guint i = 0; all && i < all->len; i++) {
    PtImage *image = g_ptr_array_index(all, i);
    if ((!image->names || !*image->names) && image->source) {
      g_strfreev(image->names);
      image->names = g_new0(char *, 2);
      image->names[0] = pt_image_derive_name(image->source, image->arch);
    }
    g_autofree char *key = pt_key_image(image->digest);
    pt_records_write(a->store, key, 0, &pt_image_type, image, NULL); /* STALE: it has one */
    tell_kinds(a, key);
  }
}

static bool
take_over(PtAgent *a, gint64 *ret_revision, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(a->store, "spaces/", ret_revision, error);
  if (!all)
    return false;
  g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GHashTable) spaces = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GHashTable) volumes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *marker = g_build_filename(a->host->run, "booted", NULL), *boot = pt_boot_id();
  bool node_started = node_has_started(a, marker);

  for (guint i = 0; i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_auto(GStrv) part = g_strsplit(e->key, "/", 5);
    if (g_strv_length(part) == 2) {
      g_autoptr(json_t) json = pt_json_parse_object(e->value, strlen(e->value), NULL);
      if (json)
        g_hash_table_add(spaces, g_strdup(pt_json_str(json, "id", "")));
    }
    if (g_strv_length(part) != 4)
      continue;
    if (strcmp(part[2], "status") == 0) {
      mark_idbase(a, e);
    } else if (strcmp(part[2], "volumes") == 0) {
      g_hash_table_add(volumes, g_strdup(part[3]));
    } else if (strcmp(part[2], "instances") == 0) {
      g_autoptr(json_t) json = pt_json_parse_object(e->value, strlen(e->value), NULL);
      if (json)
        g_hash_table_add(ids, g_strdup(pt_json_str(json, "id", "")));
      if (node_started)
        leave_stopped(a, e);
    }
  }
  sweep(a, ids, volumes);
  sweep_networks(a, spaces);
  register_images(a);
  return g_file_set_contents(marker, boot, -1, error);
}

static void
enqueue_all(PtAgent *a)
{
  g_autoptr(GPtrArray) all = pt_store_list(a->store, "spaces/", NULL, NULL);

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    on_change(&(PtChange){ .key = e->key, .value = e->value, .revision = e->revision }, false, a);
  }
}

PtAgent *
pt_agent_new(const PtHost *host, PtStore *store, PtBus *bus, PtOps *ops, GError **error)
{
  PtAgent *a = g_new0(PtAgent, 1);
  gint64 revision = 0;

  a->host = host;
  a->store = store;
  a->bus = bus;
  a->ops = ops;
  g_mutex_init(&a->lock);
  g_mutex_init(&a->net_lock);
  g_mutex_init(&a->image_lock);
  g_mutex_init(&a->data_lock);
  g_cond_init(&a->idle);
  g_cond_init(&a->sampler_wake);
  a->units = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)pt_unit_unref);
  a->jobs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  a->spaces_up = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  a->context = g_main_context_new();
  a->loop = g_main_loop_new(a->context, FALSE);
  a->workers = g_thread_pool_new(run_unit, a, WORKERS, FALSE, NULL);
  /* In this order: where all monitors were killed, the mounts that the last daemon made are held by what is left of instances
   * and by their networks' dnsmasq, which these two end; the pool is free to be mounted anew only then. */
  a->containers = pt_containers_open(host, error);
  a->net = a->containers ? pt_net_bridge.open(host, error) : NULL;
  a->pool = a->net ? pt_pool_local.open(host, error) : NULL;
  a->images = a->pool ? pt_images_open(host, error) : NULL;
  pt_exports_sweep(a, true);
  a->templates = a->images ? pt_templates_new(a, error) : NULL;
  if (!a->templates || !put_node(a, error) || !take_over(a, &revision, error))
    goto failed;
  pt_machine_settle_left(a->containers);
  a->watcher = g_thread_new("watcher", watcher_run, a);
  a->watch = pt_store_watch(store, "spaces/", revision, on_change, a, error);
  if (!a->watch)
    goto failed;
  enqueue_all(a);
  pt_templates_renew(a);
  a->sampler = g_thread_new("sampler", pt_sampler_run, a);
  return a;
failed:
  pt_agent_free(a);
  return NULL;
}

void
pt_agent_job_start(PtAgent *a, const char *op, const char *thread, GThreadFunc run, gpointer job)
{
  g_mutex_lock(&a->lock);
  a->busy++;
  g_hash_table_add(a->jobs, g_strdup(op));
  g_mutex_unlock(&a->lock);
  g_thread_unref(g_thread_new(thread, run, job));
}

void
pt_agent_job_end(PtAgent *a, const char *op)
{
  g_mutex_lock(&a->lock);
  g_hash_table_remove(a->jobs, op);
  a->busy--;
  g_cond_broadcast(&a->idle);
  g_mutex_unlock(&a->lock);
}

/* No new work; what is under way is finished, but image builds, which take minutes, are cancelled. */
static void
quiesce(PtAgent *a)
{
  g_auto(GStrv) jobs = NULL;

  g_mutex_lock(&a->lock);
  a->stopping = true;
  jobs = (char **)g_hash_table_get_keys_as_array(a->jobs, NULL);
  for (char **j = jobs; *j; j++)
    *j = g_strdup(*j);
  g_mutex_unlock(&a->lock);
  for (char **j = jobs; *j; j++)
    pt_ops_cancel(a->ops, *j, NULL);

  g_mutex_lock(&a->lock);
  g_cond_broadcast(&a->sampler_wake);
  while (a->busy > 0)
    g_cond_wait(&a->idle, &a->lock);
  g_mutex_unlock(&a->lock);
}

void
pt_agent_free(PtAgent *a)
{
  if (!a)
    return;
  if (a->watch)
    pt_watch_cancel(a->watch);
  quiesce(a);
  if (a->sampler)
    g_thread_join(a->sampler);
  g_thread_pool_free(a->workers, FALSE, TRUE);
  if (a->watcher) {
    g_main_loop_quit(a->loop);
    g_thread_join(a->watcher);
  }
  pt_templates_free(a->templates);
  pt_machine_settle();
  g_hash_table_unref(a->units);
  g_hash_table_unref(a->spaces_up);
  g_hash_table_unref(a->jobs);
  if (a->containers)
    pt_containers_close(a->containers);
  if (a->images)
    pt_images_close(a->images);
  if (a->net)
    pt_net_bridge.close(a->net);
  if (a->pool)
    pt_pool_local.close(a->pool);
  g_main_loop_unref(a->loop);
  g_main_context_unref(a->context);
  g_mutex_clear(&a->lock);
  g_mutex_clear(&a->net_lock);
  g_mutex_clear(&a->image_lock);
  g_cond_clear(&a->idle);
  g_cond_clear(&a->sampler_wake);
  g_free(a);
}

/* Stops one for the drain. Its desired power stays; "boot -1" is what makes the next daemon start it again. */
static void
drain_one(gpointer data, gpointer agent)
{
  PtUnit *u = data;
  PtAgent *a = agent;
  PtContainerState state;
  g_autoptr(PtInstance) spec = NULL;
  g_autoptr(GError) err = NULL;

  g_mutex_lock(&u->lock);
  if (u->status && (spec = pt_unit_load(a, u, NULL, NULL)) &&
      pt_container_state(a->containers, spec->id, &state, NULL) && state.running) {
    if (!pt_unit_stop(a, u, spec, false, &err))
      pt_log_warn("node", "%s: %s", u->key, err->message);
    pt_unit_detach(a, u, spec);
    u->status->boot = -1;
    u->status->ready = false;
    u->status->pid = 0;
    u->status->stopped = pt_now();
    u->status->freed = 0;
    u->status->state = PT_RUN_STOPPED;
    pt_unit_put_status(a, u, NULL);
  }
  g_mutex_unlock(&u->lock);
}

bool
pt_agent_drain(PtAgent *a, GError **error)
{
  GHashTableIter it;
  gpointer unit;

  quiesce(a);
  GThreadPool *pool = g_thread_pool_new(drain_one, a, WORKERS, FALSE, NULL);
  g_hash_table_iter_init(&it, a->units);
  while (g_hash_table_iter_next(&it, NULL, &unit))
    g_thread_pool_push(pool, unit, NULL);
  g_thread_pool_free(pool, FALSE, TRUE);

  g_autoptr(GPtrArray) spaces = pt_net_bridge.spaces(a->net, error);
  if (!spaces)
    return false;
  for (guint i = 0; i < spaces->len; i++) {
    if (!pt_net_bridge.space_down(a->net, g_ptr_array_index(spaces, i), error))
      return false;
  }
  g_autofree char *marker = g_build_filename(a->host->run, "booted", NULL);
  if (unlink(marker) < 0 && errno != ENOENT) {
    pt_error_errno(error, errno, "%s", marker);
    return false;
  }
  return true;
}

bool
pt_agent_pool_info(PtAgent *a, PtPoolInfo *ret, GError **error)
{
  return pt_pool_local.info(a->pool, ret, error);
}

const char *
pt_agent_uplink(PtAgent *a)
{
  return pt_net_bridge.uplink(a->net);
}
