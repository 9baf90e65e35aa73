// SPDX-License-Identifier: Apache-2.0
/* What it takes to start, change and stop one instance. The order is that of the design: image present, volume attached,
 * network up, engine started; and backwards. Each step finds what is there already, so that a start that a killed daemon
 * left half done is simply done again. */
#include <arpa/inet.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "drivers/machine/machine.h"
#include "node/agent_impl.h"

#define MIB ((gint64)1 << 20) /* volumes are made of them */

PtImage *
pt_agent_image(PtAgent *a, const char *digest, GError **error)
{
  g_autofree char *key = pt_key_image(digest);

  g_mutex_lock(&a->image_lock);
  PtImage *image = pt_records_get(a->store, key, &pt_image_type, NULL, error);
  g_mutex_unlock(&a->image_lock);
  if (!image)
    g_prefix_error(error, "image: ");
  return image;
}

char *
pt_gateway_of(const char *subnet)
{
  g_auto(GStrv) parts = g_strsplit(subnet, "/", 2);
  struct in_addr in;
  char text[INET_ADDRSTRLEN];

  if (!parts[0] || inet_pton(AF_INET, parts[0], &in) != 1)
    return NULL;
  in.s_addr = htonl(ntohl(in.s_addr) + 1);
  return g_strdup(inet_ntop(AF_INET, &in, text, sizeof text));
}

bool
pt_agent_space_up(PtAgent *a, const char *space, char **ret_id, char **ret_dns, GError **error)
{
  g_autofree char *key = pt_key_space(space);
  g_autoptr(PtSpace) s = pt_records_get(a->store, key, &pt_space_type, NULL, error);
  if (!s)
    return false;
  PtNetSpace net = { .id = s->id, .name = s->name, .subnet = s->subnet, .prefix6 = s->prefix6 };
  g_mutex_lock(&a->net_lock);
  bool up = pt_net_bridge.space_up(a->net, &net, error);
  g_mutex_unlock(&a->net_lock);
  if (!up) {
    g_prefix_error(error, "network of space %s: ", space);
    return false;
  }
  g_mutex_lock(&a->lock);
  g_hash_table_add(a->spaces_up, g_strdup(s->id));
  g_mutex_unlock(&a->lock);
  *ret_dns = pt_gateway_of(s->subnet);
  *ret_id = g_steal_pointer(&s->id);
  return true;
}

/* The network's description of an instance; `publish` is the caller's array of at least the ports' number. */
static PtNetPort
net_port(const PtInstance *spec, gint64 idbase, PtNetPublish *publish)
{
  const PtEngine *engine = pt_engine_of(spec, NULL);
  guint n = spec->ports ? spec->ports->len : 0;

  for (guint i = 0; i < n; i++) {
    const PtPort *p = g_ptr_array_index(spec->ports, i);
    publish[i] = (PtNetPublish){ .udp = p->protocol == 1, .listen = (guint16)p->listen, .to = (guint16)p->to, .address = p->address };
  }
  return (PtNetPort){ .id = spec->id, .name = spec->name, .address = spec->address, .address6 = spec->address6, .mac = spec->mac,
                      .publish = publish, .n_publish = n, .tap = engine && engine->raw ? PT_ENGINE_TAP : NULL,
                      .tap_owner = (uid_t)idbase, .rate_in = (guint64)spec->net_in, .rate_out = (guint64)spec->net_out };
}

typedef struct {
  PtAgent *agent;
  const PtInstance *spec;
  const char *space_id;
  gint64 idbase;
} Plug;

static bool
plug(pid_t pid, void *data, GError **error)
{
  Plug *p = data;
  g_autofree PtNetPublish *publish = g_new0(PtNetPublish, p->spec->ports ? p->spec->ports->len + 1 : 1);
  PtNetPort port = net_port(p->spec, p->idbase, publish);

  return pt_net_bridge.port_up(p->agent->net, p->space_id, &port, pid, error) &&
         pt_cards_plug(p->agent, p->spec, p->idbase, pid, error);
}

/* The volume's record says how large it is to be and how large it has become. */
static bool
grow_volume(PtAgent *a, const PtInstance *spec, GError **error)
{
  g_autofree char *key = pt_key_volume(spec->space, spec->volume);
  gint64 revision = 0;
  g_autoptr(PtVolume) v = pt_records_get(a->store, key, &pt_volume_type, &revision, error);
  if (!v)
    return false;
  if ((v->actual >= spec->disk && v->size == spec->disk) || pt_unit_saved(a, spec)) /* saved: it knows the disk as it is */
    return true;
  const PtEngine *engine = pt_engine_of(spec, NULL);
  PtContainerState state = { 0 };
  bool raw = engine && engine->disk && pt_container_state(a->containers, spec->id, &state, NULL) && state.running;
  if (raw && state.paused) /* nobody there to be told: when it goes on */
    return true;
  gint64 actual = v->actual;
  if (!pt_pool_local.resize(a->pool, spec->volume, spec->disk, &actual, error)) {
    g_prefix_error(error, "disk: ");
    return false;
  }
  bool whole = false;
  if (raw && !engine->disk(a->containers, spec->id, spec, NULL, (spec->disk + MIB - 1) / MIB * MIB, &whole, error)) {
    g_prefix_error(error, "disk: ");
    return false;
  }
  v->size = spec->disk;
  v->actual = whole ? spec->disk : actual;
  return pt_records_write(a->store, key, revision, &pt_volume_type, v, error);
}

bool
pt_unit_attach(PtAgent *a, PtUnit *u, const PtInstance *spec, char **ret_lower, char **ret_volume, GError **error)
{
  bool raw = false;
  if (!pt_unit_volume_raw(a, spec, &raw, error))
    return false;
  if (raw) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: its disk is an unmodified system's own, and cannot be looked into from here", spec->name);
    pt_error_hint(error, "start it and use its own tools, or take the disk away:  portena export %s FILE", spec->name);
    return false;
  }
  g_autofree char *lower = pt_images_mount(a->images, spec->image, error);
  if (!lower) {
    g_prefix_error(error, "image %s: ", spec->image_name ? spec->image_name : spec->image);
    return false;
  }
  if (u->image_mounted) /* counted already */
    pt_images_unmount(a->images, spec->image);
  else
    u->image_mounted = g_strdup(spec->image);
  g_autofree char *volume = NULL;
  if (pt_unit_volume_make(a, spec, error) && grow_volume(a, spec, error))
    volume = pt_pool_local.attach(a->pool, spec->volume, error);
  if (!volume) {
    g_prefix_error(error, "root volume: ");
    pt_unit_detach(a, u, spec);
    return false;
  }
  u->attached = true;
  *ret_lower = g_steal_pointer(&lower);
  *ret_volume = g_steal_pointer(&volume);
  return true;
}

void
pt_unit_detach(PtAgent *a, PtUnit *u, const PtInstance *spec)
{
  g_autoptr(GError) err = NULL;

  if (spec->volume && !pt_pool_local.detach(a->pool, spec->volume, &err))
    pt_log_warn("node", "%s: %s", u->key, err->message);
  pt_unit_disks_detach(a, u, spec);
  u->attached = false;
  if (u->image_mounted) {
    pt_images_unmount(a->images, u->image_mounted);
    g_clear_pointer(&u->image_mounted, g_free);
  }
}

gint64
pt_agent_take_ids(PtAgent *a)
{
  gint64 base = 0;

  g_mutex_lock(&a->lock);
  for (gint64 i = 0; i < PT_IDBASE_N && !base; i++) {
    if (!a->idbases[i]) {
      a->idbases[i] = 1;
      base = PT_IDBASE_FIRST + i * PT_IDBASE_STEP;
    }
  }
  g_mutex_unlock(&a->lock);
  return base;
}

void
pt_agent_release_ids(PtAgent *a, gint64 base)
{
  gint64 i = (base - PT_IDBASE_FIRST) / PT_IDBASE_STEP;

  g_mutex_lock(&a->lock);
  if (base && i >= 0 && i < PT_IDBASE_N)
    a->idbases[i] = 0;
  g_mutex_unlock(&a->lock);
}

/* What a start is given, and the strings that it borrows. */
typedef struct Needs {
  char *lower, *volume;           /* mounted */
  char *image_file, *volume_file; /* or as they are */
  char *iso_file;                 /* of the disc in the drive */
  char *kernel;                   /* mounted */
  char *kernel_digest;
  char *key, *template_dir;       /* of the template that it is a copy of, or could have been */
  GArray *disks;                  /* of PtDiskSource: its data volumes */
} Needs;

static void
needs_clear(PtAgent *a, Needs *n)
{
  if (n->kernel_digest) /* the jail holds its own mount of it by now */
    pt_images_unmount(a->images, n->kernel_digest);
  g_free(n->lower);
  g_free(n->volume);
  g_free(n->image_file);
  g_free(n->volume_file);
  g_free(n->iso_file);
  g_free(n->kernel);
  g_free(n->kernel_digest);
  g_free(n->key);
  g_free(n->template_dir);
  if (n->disks)
    g_array_unref(n->disks);
}

bool
pt_agent_kernel(PtAgent *a, const char *arch, char **ret_path, char **ret_digest, GError **error)
{
  g_autoptr(GPtrArray) all = pt_images_list(a->images, error);
  const PtImage *best = NULL;

  for (guint i = 0; all && i < all->len; i++) {
    const PtImage *image = g_ptr_array_index(all, i);
    if (image->format == PT_FORMAT_KERNEL && g_strcmp0(image->arch, arch) == 0 && (!best || image->created > best->created))
      best = image;
  }
  if (!best)
    return all != NULL;
  *ret_path = pt_images_mount(a->images, best->digest, error);
  if (*ret_path)
    *ret_digest = g_strdup(best->digest);
  return *ret_path != NULL;
}

/* One that has no disk yet is made as a copy of its template, where there is one; with data volumes, which a template has not, it boots. */
static void
copy_template(PtAgent *a, const PtInstance *spec, const PtImage *image, Needs *n)
{
  gint64 used, size;

  if ((spec->disks && spec->disks->len) || pt_pool_local.usage(a->pool, spec->volume, &used, &size, NULL))
    return;
  n->key = pt_template_key(a, spec, image, n->kernel, n->kernel_digest);
  if (n->key)
    n->template_dir = pt_template_take(a, n->key, spec);
}

bool
pt_agent_kvm(PtAgent *a, GError **error)
{
  Needs n = { 0 };
  bool runs = pt_agent_kernel(a, a->host->arch, &n.kernel, &n.kernel_digest, error) && pt_machine_kvm(n.kernel, error);

  needs_clear(a, &n);
  return runs;
}

/* Image and volume for an engine that opens them itself. */
static bool
expose(PtAgent *a, PtUnit *u, const PtInstance *spec, const PtImage *image, Needs *n, GError **error)
{
  pt_unit_detach(a, u, spec);
  n->image_file = pt_images_file(a->images, spec->image, error);
  if (!n->image_file) {
    g_prefix_error(error, "image %s: ", spec->image_name ? spec->image_name : spec->image);
    return false;
  }
  if (!pt_agent_kernel(a, image->arch, &n->kernel, &n->kernel_digest, error))
    return false;
  copy_template(a, spec, image, n);
  if (pt_unit_volume_make(a, spec, error) && grow_volume(a, spec, error))
    n->volume_file = pt_pool_local.expose(a->pool, spec->volume, (uid_t)u->status->idbase, pt_unit_saved(a, spec), error);
  if (!n->volume_file) {
    g_prefix_error(error, "root volume: ");
    return false;
  }
  u->attached = true;
  if (spec->iso && !(n->iso_file = pt_images_file(a->images, spec->iso, error))) {
    g_prefix_error(error, "disc %s: ", spec->iso_name ? spec->iso_name : spec->iso);
    return false;
  }
  return true;
}

static bool
take_ids(PtAgent *a, PtUnit *u, const PtInstance *spec, GError **error)
{
  if (u->status->idbase || (u->status->idbase = pt_agent_take_ids(a)))
    return true;
  PT_SET(error, PT_ERR_OVER_QUOTA, "%s: this node has no range of user ids left (%d instances hold one)", spec->name, PT_IDBASE_N);
  pt_error_hint(error, "delete instances that are not needed:  portena list");
  return false;
}

/* All is there: the network comes up and the engine starts. */
static bool
start_with(PtAgent *a, PtUnit *u, const PtEngine *engine, const PtImage *image, const PtInstance *spec, const Needs *n, int *ret_ready,
           GError **error)
{
  g_autofree char *space_id = NULL, *dns = NULL, *domain = g_strdup_printf("%s.internal", spec->space), *key = pt_key_space(spec->space);
  g_autoptr(PtSpace) space = pt_records_get(a->store, key, &pt_space_type, NULL, error);

  if (!space || (!spec->offline && !pt_agent_space_up(a, spec->space, &space_id, &dns, error)))
    return false;
  g_auto(GStrv) cards = pt_card_lines(a, spec, error);
  if (!cards)
    return false;
  Plug p = { a, spec, space_id, u->status->idbase };
  PtContainerStart start = { .spec = spec, .image = image, .lower = n->lower, .volume = n->volume, .idbase = u->status->idbase,
                             .image_file = n->image_file, .volume_file = n->volume_file, .kernel = n->kernel,
                             .template_dir = n->template_dir, .disks = n->disks, .iso_file = n->iso_file,
                             .cards = cards, .subnet = space->subnet, .prefix6 = space->prefix6,
                             .dns = dns, .domain = domain, .plug = spec->offline ? NULL : plug, .plug_data = &p,
                             .ret_ready = ret_ready, .resume = pt_unit_saved(a, spec) };
  if (engine->start(a->containers, &start, error))
    return true;
  if (space_id)
    pt_net_bridge.port_down(a->net, space_id, spec->id, NULL);
  pt_cards_release(a, spec->id, NULL);
  pt_container_clear(a->containers, spec->id, false, NULL);
  return false;
}

/* *ret_copied: as a copy of a template. */
static bool
try_start(PtAgent *a, PtUnit *u, const PtEngine *engine, const PtImage *image, const PtInstance *spec, int *ret_ready, bool *ret_copied,
          GError **error)
{
  Needs n = { 0 };
  bool ok = engine->raw ? expose(a, u, spec, image, &n, error) : pt_unit_attach(a, u, spec, &n.lower, &n.volume, error);

  ok = ok && (n.disks = pt_unit_disks_ready(a, u, spec, error)) && start_with(a, u, engine, image, spec, &n, ret_ready, error);
  *ret_copied = n.template_dir != NULL;
  if (n.template_dir)
    pt_template_done(a, n.key, ok);
  else if (ok && n.key)
    pt_template_want(a, n.key, spec);
  needs_clear(a, &n);
  if (!ok)
    pt_unit_detach(a, u, spec);
  return ok;
}

bool
pt_unit_start(PtAgent *a, PtUnit *u, const PtInstance *spec, int *ret_ready, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  if (!engine)
    return false;
  g_autoptr(PtImage) image = pt_agent_image(a, spec->image, error);
  if (!image || !take_ids(a, u, spec, error))
    return false;
  g_autoptr(GError) err = NULL;
  bool copied = false, resumed = pt_unit_saved(a, spec);
  bool ok = try_start(a, u, engine, image, spec, ret_ready, &copied, &err);
  if (!ok && copied && pt_pool_local.remove(a->pool, spec->volume, NULL)) { /* there is nothing of its own on it yet */
    pt_log_warn("node", "%s: %s; it boots instead", u->key, err->message);
    g_clear_error(&err);
    ok = try_start(a, u, engine, image, spec, ret_ready, &copied, &err);
  }
  if (!ok) {
    g_propagate_error(error, g_steal_pointer(&err));
    return false;
  }
  u->limits_known = !resumed; /* it goes on with what it had */
  u->limits_generation = spec->generation;
  pt_unit_sized(a, u, spec, resumed);
  return true;
}

/* What may be changed of its network while it runs. */
static bool
apply_network(PtAgent *a, const PtInstance *spec, const PtStatus *status, const PtContainerState *state, bool cards, GError **error)
{
  g_autofree char *space_id = NULL, *dns = NULL;

  if (!pt_agent_space_up(a, spec->space, &space_id, &dns, error))
    return false;
  g_autofree PtNetPublish *publish = g_new0(PtNetPublish, spec->ports ? spec->ports->len + 1 : 1);
  PtNetPort port = net_port(spec, 0, publish);
  g_autoptr(GError) err = NULL;
  if (pt_net_bridge.port_publish(a->net, space_id, &port, &err))
    return pt_net_bridge.port_rate(a->net, space_id, &port, error) && (!cards || pt_cards_apply(a, spec, status, (pid_t)state->pid, error));
  if (g_error_matches(err, PT_ERROR, PT_ERR_NOT_FOUND))
    return true; /* without a port it was started offline, and gets its network and its ports when it starts again */
  g_propagate_error(error, g_steal_pointer(&err));
  return false;
}

bool
pt_unit_apply(PtAgent *a, PtUnit *u, const PtInstance *spec, GError **error)
{
  if (!grow_volume(a, spec, error))
    return false;
  if (u->limits_known && u->limits_generation == spec->generation)
    return true;
  pt_unit_resize_want(u, spec, !u->limits_known);
  const PtEngine *engine = pt_engine_of(spec, error);
  if (!engine || !engine->limits(a->containers, spec->id, spec, error))
    return false;
  PtContainerState state = { 0 };
  pt_container_state(a->containers, spec->id, &state, NULL);
  bool still = engine->raw && state.paused; /* some of it is for somebody who stands still, or does not answer yet */
  if (!spec->offline && !apply_network(a, spec, u->status, &state, !still, error))
    return false;
  u->limits_known = !still && !(engine->raw && !u->status->ready && spec->nics && spec->nics->len > 0);
  u->limits_generation = spec->generation;
  return true;
}

typedef struct Stopping {
  PtAgent *agent;
  const PtUnit *unit;
} Stopping;

/* A stop by force, or a deletion, may be asked for while the guest has its time. */
static bool
patience_over(void *data)
{
  const Stopping *s = data;
  g_autoptr(PtInstance) now = pt_unit_load(s->agent, s->unit, NULL, NULL);

  return now && (now->force || now->deleting);
}

bool
pt_unit_stop(PtAgent *a, PtUnit *u, const PtInstance *spec, bool force, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  if (!engine)
    return false;
  g_autoptr(PtImage) image = pt_agent_image(a, spec->image, NULL);
  gint64 deadline = force ? 0 : (spec->deadline > 0 ? spec->deadline : spec->kind == PT_KIND_MACHINE ? 30 : 10) * G_USEC_PER_SEC;
  PtContainerState state;

  if (pt_container_state(a->containers, spec->id, &state, NULL) && state.paused && !(state.asleep && force) &&
      !(state.asleep ? pt_unit_wake(a, u, spec, error) : pt_container_pause(a->containers, spec->id, false, error)))
    return false;
  Stopping stopping = { a, u };
  const PtPatience patience = { patience_over, &stopping };
  if (!engine->stop(a->containers, spec->id, spec, image, deadline, &patience, error))
    return false;
  if (pt_container_state(a->containers, spec->id, &state, NULL)) { /* releasing it forgets how it ended */
    u->status->exit_code = state.exit_code;
    u->status->exit_signal = state.exit_signal;
  }
  return pt_unit_release(a, u, spec->id, false, error);
}

bool
pt_unit_release(PtAgent *a, PtUnit *u, const char *id, bool history, GError **error)
{
  g_autofree char *key = pt_key_space(u->space);
  g_autoptr(GError) err = NULL;
  g_autoptr(PtSpace) space = pt_records_get(a->store, key, &pt_space_type, NULL, &err);

  if (!space && !g_error_matches(err, PT_ERROR, PT_ERR_NOT_FOUND)) { /* its port would be left behind */
    g_propagate_error(error, g_steal_pointer(&err));
    return false;
  }
  if ((space && !pt_net_bridge.port_down(a->net, space->id, id, error)) || !pt_cards_release(a, id, error))
    return false;
  return pt_container_clear(a->containers, id, history, error);
}
