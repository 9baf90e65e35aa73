// SPDX-License-Identifier: Apache-2.0
/* From a request to a new instance: image, checks, addresses, and one transaction that writes spec, root volume and
 * operation together. */
#include <string.h>

#include "api/addresses.h"
#include "api/bodies.h"
#include "api/disks.h"
#include "api/handlers.h"
#include "api/images.h"
#include "api/instances.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"
#include "sys/arch.h"

#define TRIES 16

/* ── published ports are the node's: nobody else may have them ── */

typedef struct {
  const PtInstance *mine;
  const char *space, *name; /* who has it; copies */
  gint64 listen;
  int protocol;
} Clash;

static bool
overlap(const PtPort *a, const PtPort *b)
{
  return a->protocol == b->protocol && a->listen == b->listen &&
         (!a->address || !b->address || g_ascii_strcasecmp(a->address, b->address) == 0);
}

static void
look_for_clash(const PtInstance *other, const PtStatus *status, void *data)
{
  Clash *c = data;

  (void)status;
  if (c->space || !other->ports || g_strcmp0(other->id, c->mine->id) == 0)
    return;
  for (guint i = 0; i < c->mine->ports->len; i++) {
    for (guint j = 0; j < other->ports->len; j++) {
      const PtPort *p = g_ptr_array_index(c->mine->ports, i);
      if (!overlap(p, g_ptr_array_index(other->ports, j)))
        continue;
      c->space = g_strdup(other->space);
      c->name = g_strdup(other->name);
      c->listen = p->listen;
      c->protocol = p->protocol;
      return;
    }
  }
}

/* Those below 1024 the node's administrator gives out, as on any Unix; and with those where people log in, an owner of a space
 * could, after a reboot and before the gateway is there, take its place. */
static bool
reserved(gint64 port)
{
  static const gint64 gateway[] = { 8443, 5900 };
  bool is = port < 1024;

  for (guint i = 0; i < G_N_ELEMENTS(gateway); i++)
    is |= port == gateway[i];
  return is;
}

static bool
had(const PtInstance *before, const PtPort *p)
{
  for (guint i = 0; before && before->ports && i < before->ports->len; i++) {
    const PtPort *b = g_ptr_array_index(before->ports, i);
    if (b->protocol == p->protocol && b->listen == p->listen && g_strcmp0(b->address, p->address) == 0)
      return true;
  }
  return false;
}

bool
pt_ports_check(PtRequest *r, const PtInstance *spec, const PtInstance *before, GError **error)
{
  Clash c = { .mine = spec };

  if (!spec->ports || spec->ports->len == 0)
    return true;
  if (spec->offline) {
    PT_SET(error, PT_ERR_INVALID, "ports: none can be published of an instance without a network\n"
                                  "give it one first:  portena set %s offline=false", spec->name);
    return false;
  }
  for (guint i = 0; !r->who.admin && i < spec->ports->len; i++) {
    const PtPort *p = g_ptr_array_index(spec->ports, i);
    if (!reserved(p->listen) || had(before, p))
      continue;
    PT_SET(error, PT_ERR_FORBIDDEN,
           "ports: port %" G_GINT64_FORMAT " of the node is given out by its administrators alone\nchoose another one from 1024 on",
           p->listen);
    return false;
  }
  if (strcmp(pt_agent_uplink(r->api->agent), "none") == 0) {
    PT_SET(error, PT_ERR_CONFLICT, "ports: none can be published, this node's uplink is 'none'\n"
                                   "nothing was changed; start portenad with --uplink auto or --uplink INTERFACE");
    return false;
  }
  pt_view_foreach(r->api->view, NULL, look_for_clash, &c);
  g_autofree const char *space = c.space, *name = c.name;
  if (!space)
    return true;
  /* whose it is, is said only to those who could see it anyway */
  if (r->who.owner_everywhere || strcmp(space, spec->space) == 0)
    PT_SET(error, PT_ERR_CONFLICT,
           "ports: port %" G_GINT64_FORMAT "/%s of the node leads to %s in space %s already\nchoose another port", c.listen,
           c.protocol ? "udp" : "tcp", name, space);
  else
    PT_SET(error, PT_ERR_CONFLICT, "ports: port %" G_GINT64_FORMAT "/%s of the node is taken\nchoose another port", c.listen,
           c.protocol ? "udp" : "tcp");
  return false;
}

/* ── launch ── */

static bool
choose(PtApi *api, const PtSpace *space, gint64 *last, PtInstance *spec, GError **error)
{
  PtNic card = { 0 };

  if (!pt_address_choose(api, space, NULL, last, &card, error))
    return false;
  g_free(spec->address);
  g_free(spec->address6);
  g_free(spec->mac);
  spec->address = card.address;
  spec->address6 = card.address6;
  spec->mac = card.mac;
  return true;
}

typedef struct {
  const char *image, *arch;
  bool start;
  bool init_given, kind_given, offline_given;
} Wanted;

/* The request's own fields and the instance's apart. */
static PtInstance *
parse(PtRequest *r, Wanted *w, GError **error)
{
  const json_t *body = pt_body_object(r, false, error);
  g_autoptr(json_t) rest = body ? json_copy((json_t *)body) : NULL;
  g_autoptr(PtInstance) spec = NULL;

  if (!rest || !pt_json_get_string(body, "image", NULL, &w->image, error) || !pt_json_get_string(body, "arch", NULL, &w->arch, error) ||
      !pt_json_get_bool(body, "start", true, &w->start, error))
    return NULL;
  const char *name = json_string_value(json_object_get(body, "name"));
  if (name)
    r->object = g_strdup_printf("spaces/%s/instances/%.63s", r->space->name, name);
  if (!w->image) {
    PT_SET(error, PT_ERR_INVALID, "image: is required\nthose there are: portena image list");
    return NULL;
  }
  w->init_given = json_object_get(body, "init") != NULL;
  w->kind_given = json_object_get(body, "kind") != NULL;
  w->offline_given = json_object_get(body, "offline") != NULL;
  json_object_del(rest, "image");
  json_object_del(rest, "arch");
  json_object_del(rest, "start");
  spec = pt_record_new(&pt_instance_type);
  if (!pt_record_patch(&pt_instance_type, spec, rest, PT_F_USER, NULL, error))
    return NULL;
  return g_steal_pointer(&spec);
}

/* What was not said is what the image is for: a program runs as a process, and a process has no network unless one
 * is asked for, by name or by a port of it. */
static void
fit_kind(PtInstance *spec, const PtImage *image, const Wanted *w)
{
  for (int kind = 0; !w->kind_given && image->kinds && image->kinds[0] && kind < PT_N_KINDS; kind++)
    if (!g_strv_contains((const char *const *)image->kinds, pt_kind_names[spec->kind]))
      spec->kind = kind;
  if (spec->kind == PT_KIND_PROCESS && !w->offline_given)
    spec->offline = !spec->ports || spec->ports->len == 0;
}

static bool
fit_image(PtApi *api, PtInstance *spec, const Wanted *w, const json_t *given, GError **error)
{
  g_autoptr(PtImage) image = pt_image_find_for(api, w->image, w->arch, NULL, error);

  if (!image)
    return false;
  /* One that was found by its architecture bears another name than it was asked for. */
  g_autofree char *other = pt_arch_image_name(w->image, w->arch);
  spec->image_name = g_strdup(image->names && g_strv_contains((const char *const *)image->names, other) ? other : w->image);
  fit_kind(spec, image, w);
  spec->arch = g_strdup(image->arch);
  if (!pt_kind_check(spec, image, error))
    return false;
  if (!w->init_given || spec->kind == PT_KIND_PROCESS)
    spec->init = image->init;
  if (!pt_guest_user_check(spec, error))
    return false;
  if (!pt_disks_fit(api, spec, image, given, error))
    return false;
  if (spec->init == PT_INIT_APP && !spec->command && !image->command) {
    PT_SET(error, PT_ERR_INVALID, "command: the image %s names none, so an app of it needs one", w->image);
    return false;
  }
  spec->image = g_strdup(image->digest);
  spec->desktop = pt_disks_raw(image) || (image->desktop && spec->init == PT_INIT_SYSTEM); /* a pc has a screen */
  return true;
}

static void
complete(PtRequest *r, PtInstance *spec, const Wanted *w)
{
  spec->id = pt_id_new();
  spec->space = g_strdup(r->space->name);
  spec->volume = pt_id_new();
  spec->owner = g_strdup(r->api->host->node);
  spec->epoch = 1;
  spec->generation = 1;
  spec->power = w->start ? PT_POWER_RUNNING : PT_POWER_STOPPED;
  spec->boot = w->start ? 1 : 0;
  spec->created = pt_now();
  spec->created_by = g_strdup(r->who.name);
}

static void
put_volume(PtTxn *txn, const PtInstance *spec, const PtImage *image)
{
  const PtVolume v = {
    .id = spec->volume,
    .name = spec->name,
    .space = spec->space,
    .pool = (char *)"local",
    .instance = spec->name,
    .image = spec->image,
    .format = pt_disks_raw(image) ? PT_VOLUME_RAW : PT_VOLUME_EXT4,
    .size = spec->disk,
    .owner = spec->owner,
    .epoch = spec->epoch,
    .created = spec->created,
  };
  g_autofree char *key = pt_key_volume(v.space, v.id);

  pt_records_put(txn, key, 0, &pt_volume_type, &v);
}

/* The record of the instance goes last: who sees it, sees the rest. */
static bool
write_all(PtRequest *r, PtInstance *spec, gint64 guard, gint64 last, GError **error)
{
  gint64 image_revision = 0;
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(PtImage) image = pt_image_find(r->api, spec->image, &image_revision, error); /* still there? */
  if (!image)
    return false;
  g_autofree char *image_key = pt_key_image(spec->image);
  g_autofree char *space_key = pt_key_space(spec->space), *key = pt_key_instance(spec->space, spec->name);
  g_autofree char *target = g_strdup_printf("spaces/%s/instances/%s", spec->space, spec->name);
  PtOperation op = { .kind = (char *)"launch", .target = target, .space = spec->space, .user = r->who.name };

  pt_txn_require(txn, space_key, r->space_revision);
  pt_txn_require(txn, image_key, image_revision);
  pt_guard_write(txn, spec->space, guard, last);
  put_volume(txn, spec, image);
  g_free(spec->op);
  spec->op = pt_ops_begin(r->api->ops, txn, &op);
  g_free(op.id);
  pt_records_put(txn, key, 0, &pt_instance_type, spec);
  return pt_store_commit(r->api->store, txn, NULL, error);
}

static bool
name_free(PtRequest *r, const PtInstance *spec, GError **error)
{
  g_autofree char *key = pt_key_instance(spec->space, spec->name);
  g_autoptr(PtEntry) e = pt_store_get(r->api->store, key, NULL);

  if (e)
    PT_SET(error, PT_ERR_CONFLICT,
           "space %s has an instance called %s already\nchoose another name, or remove it first: portena delete %s",
           spec->space, spec->name, spec->name);
  return !e;
}

static bool
try_once(PtRequest *r, PtInstance *spec, GError **error)
{
  PtApi *api = r->api;
  gint64 guard = 0, last = 0;
  PtUse use;

  if (r->space->deleting) {
    PT_SET(error, PT_ERR_CONFLICT, "space %s: it is being deleted", spec->space);
    return false;
  }
  if (!name_free(r, spec, error) || !pt_guard_read(api, spec->space, &guard, &last, error) ||
      !pt_view_sync(api->view, NULL, error))
    return false;
  pt_space_use(api, spec->space, &use);
  pt_use_add(api->host, spec, &use);
  return pt_quota_check(r->space, &use, error) && pt_ports_check(r, spec, NULL, error) &&
         choose(api, r->space, &last, spec, error) && write_all(r, spec, guard, last, error);
}

/* Again, where another node allocated in the same space, or the space was changed, in between. */
static bool
allocate(PtRequest *r, PtInstance *spec, GError **error)
{
  g_autofree char *space_key = pt_key_space(r->space->name);

  for (guint i = 0;; i++) {
    g_autoptr(GError) err = NULL;
    if (try_once(r, spec, &err))
      return true;
    if (!g_error_matches(err, PT_ERROR, PT_ERR_STALE) || i == TRIES) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    }
    pt_space_free(r->space);
    r->space = pt_load(r->api, space_key, &pt_space_type, "space of that name", &r->space_revision, error);
    if (!r->space)
      return false;
  }
}

bool
pt_launch(PtRequest *r, GError **error)
{
  Wanted w = { 0 };
  g_autoptr(PtInstance) spec = parse(r, &w, error);

  if (!spec || !fit_image(r->api, spec, &w, r->json, error))
    return false;
  r->action = g_strdup("launch");
  complete(r, spec, &w);
  g_mutex_lock(&r->api->allocation);
  bool ok = allocate(r, spec, error);
  g_mutex_unlock(&r->api->allocation);
  if (!ok)
    return false;
  r->param_names[1] = "instance}";
  r->params[1] = pt_json_str(r->json, "name", NULL);
  return pt_reply_operation(r, spec->op, pt_instance_refresh, error);
}
