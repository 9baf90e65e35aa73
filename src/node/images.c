// SPDX-License-Identifier: Apache-2.0
/* Making and removing images: the work is the driver's, the records are ours. One thread a running build. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "node/agent_impl.h"
#include "sys/arch.h"

typedef struct {
  PtAgent *agent;
  char *op, *source, *name, *arch, *unlink;
} Job;

static void
job_free(Job *j)
{
  g_free(j->op);
  g_free(j->source);
  g_free(j->name);
  g_free(j->arch);
  g_free(j->unlink);
  g_free(j);
}

static void
on_progress(const char *step, gint64 permille, gint64 done, gint64 total, const char *unit, void *data)
{
  Job *j = data;

  pt_ops_progress(j->agent->ops, j->op, step, permille, done, total, unit);
}

/* What an image is called unless told otherwise: "recipe:desktop" → "desktop", "docker://host/library/alpine:3.20" →
 * "alpine:3.20", "rootfs:/x/web.tar.gz" → "web"; one for a foreign architecture has that behind it. */
char *
pt_image_derive_name(const char *source, const char *arch)
{
  const char *colon = strchr(source, ':');
  const char *rest = colon ? colon + 1 : source;
  g_autofree char *base = g_path_get_basename(rest);

  static const char *const disks[] = { "qcow2:", "raw:", "vmdk:", "vdi:", "vhdx:", "vhd:", "ova:", "iso:" };
  for (guint i = 0; i < G_N_ELEMENTS(disks); i++) {
    char *dot = g_str_has_prefix(source, disks[i]) ? strrchr(base, '.') : NULL; /* "debian-12.4.qcow2": only the last is the format's */
    if (dot && dot != base)
      *dot = '\0';
  }
  if (g_str_has_prefix(source, "rootfs:") || g_str_has_prefix(source, "program:") ||
      g_str_has_prefix(source, "docker-archive:") || g_str_has_prefix(source, "oci-archive:"))
    base[strcspn(base, ".")] = '\0';
  return pt_arch_image_name(base, arch);
}

/* Takes `name` from every other image; what has no name left stays, and is prune's. */
static bool
take_name(PtAgent *a, PtTxn *txn, const char *name, const char *digest, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(a->store, "images/", NULL, error);

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtImage) image = pt_record_read(&pt_image_type, e->value, NULL);
    if (!image || strcmp(image->digest, digest) == 0 || !image->names || !g_strv_contains((const char *const *)image->names, name))
      continue;
    GPtrArray *left = g_ptr_array_new();
    for (char **n = image->names; *n; n++) {
      if (strcmp(*n, name) == 0)
        g_free(*n);
      else
        g_ptr_array_add(left, *n);
    }
    g_ptr_array_add(left, NULL);
    g_free(image->names);
    image->names = (char **)g_ptr_array_free(left, FALSE);
    pt_records_put(txn, e->key, e->revision, &pt_image_type, image);
  }
  return all != NULL;
}

static bool
record(PtAgent *a, PtImage *image, const char *name, GError **error)
{
  g_autoptr(PtImage) there = pt_images_get(a->images, image->digest, error); /* not removed since it was made */
  if (!there)
    return false;
  g_autofree char *key = pt_key_image(image->digest);
  g_autoptr(PtEntry) old = pt_store_get(a->store, key, NULL);
  g_autoptr(PtImage) before = old ? pt_record_read(&pt_image_type, old->value, NULL) : NULL;
  g_autoptr(GPtrArray) names = g_ptr_array_new();

  g_ptr_array_add(names, g_strdup(name));
  for (char **n = before ? before->names : NULL; n && *n; n++) {
    if (strcmp(*n, name) != 0)
      g_ptr_array_add(names, g_strdup(*n));
  }
  g_ptr_array_add(names, NULL);
  g_strfreev(image->names);
  image->names = (char **)g_ptr_array_steal(names, NULL);
  g_autofree char *text = pt_record_dump(&pt_image_type, image);
  g_autoptr(PtTxn) txn = pt_txn_new();
  pt_txn_put(txn, key, text);
  return take_name(a, txn, name, image->digest, error) && pt_store_commit(a->store, txn, NULL, error);
}

/* Where the server put what was sent is nobody's business, and gone by now. */
static void
hide_upload(const Job *j, PtImage *image, GError **error)
{
  if (image) {
    g_free(image->source);
    image->source = g_strdup("upload");
  }
  if (!*error || !strstr((*error)->message, j->unlink))
    return;
  g_auto(GStrv) parts = g_strsplit((*error)->message, j->unlink, -1);
  g_autofree char *message = g_strjoinv("the file that was sent", parts);
  g_free((*error)->message);
  (*error)->message = g_steal_pointer(&message);
}

static gpointer
job_run(gpointer data)
{
  Job *j = data;
  PtAgent *a = j->agent;
  g_autoptr(GError) err = NULL;
  g_autoptr(GCancellable) cancel = pt_ops_cancellable(a->ops, j->op);
  g_autofree char *result = NULL;

  g_autoptr(PtImage) image = pt_images_make(a->images, j->source, j->arch, on_progress, j, cancel, &err);
  if (j->unlink)
    hide_upload(j, image, &err);
  if (image) {
    g_autofree char *name = j->name ? g_strdup(j->name) : pt_image_derive_name(j->source, image->arch);
    bool ok = false;
    for (int i = 0; i < 5 && !ok; i++) { /* another build may have renamed at the same moment */
      g_clear_error(&err);
      g_mutex_lock(&a->image_lock);
      ok = record(a, image, name, &err);
      g_mutex_unlock(&a->image_lock);
    }
    if (ok) {
      result = pt_key_image(image->digest);
      pt_templates_renew(a);
    }
  }
  if (j->unlink)
    unlink(j->unlink);
  pt_ops_end(a->ops, j->op, result, err);
  pt_agent_job_end(a, j->op);
  job_free(j);
  return NULL;
}

void
pt_agent_image_make(PtAgent *a, const char *op, const char *source, const char *name, const char *arch, const char *unlink_path)
{
  Job *j = g_new0(Job, 1);

  j->agent = a;
  j->op = g_strdup(op);
  j->source = g_strdup(source);
  j->name = g_strdup(name);
  j->arch = g_strdup(arch);
  j->unlink = g_strdup(unlink_path);
  pt_agent_job_start(a, op, "image", job_run, j);
}

/* Who uses an image: "home/web, home/db"; empty where nobody does. NULL with an error. */
static char *
image_users(PtAgent *a, const char *digest, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(a->store, "spaces/", NULL, error);
  g_autoptr(GString) users = g_string_new(NULL);

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_auto(GStrv) part = g_strsplit(e->key, "/", 5);
    if (g_strv_length(part) != 4 || strcmp(part[2], "instances") != 0)
      continue;
    g_autoptr(json_t) json = pt_json_parse_object(e->value, strlen(e->value), NULL);
    if (json && (g_strcmp0(pt_json_str(json, "image", NULL), digest) == 0 || g_strcmp0(pt_json_str(json, "iso", NULL), digest) == 0))
      g_string_append_printf(users, "%s%s/%s", users->len ? ", " : "", part[1], part[3]);
  }
  return all ? g_strdup(users->str) : NULL;
}

/* Its first name, else the beginning of its digest. */
static char *
known_as(PtAgent *a, const char *digest)
{
  g_autofree char *key = pt_key_image(digest);
  g_autoptr(PtImage) image = pt_records_get(a->store, key, &pt_image_type, NULL, NULL);

  return image && image->names && *image->names ? g_strdup(image->names[0]) : g_strdup_printf("%.19s…", digest);
}

static bool
unused(PtAgent *a, const char *digest, GError **error)
{
  g_autofree char *users = image_users(a, digest, error);

  if (users && *users) {
    g_autofree char *name = known_as(a, digest);
    PT_SET(error, PT_ERR_CONFLICT, "image %s: is used by %s\ndelete those first, or keep it", name, users);
  }
  return users && !*users;
}

static void
put_back(PtAgent *a, const PtEntry *e)
{
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(GError) err = NULL;

  pt_txn_require(txn, e->key, 0);
  pt_txn_put(txn, e->key, e->value);
  if (!pt_store_commit(a->store, txn, NULL, &err)) /* its file is there: the next start of the daemon makes a record */
    pt_log_error("node", "%s: its record could not be put back: %s", e->key, err->message);
}

/* The record goes first. A launch requires it to be as it has read it, so none can follow its end, and one that came before
 * it is seen by the second look. Then, and where the file cannot be removed, the record comes back. With the lock held. */
static bool
remove_image(PtAgent *a, const char *digest, GError **error)
{
  g_autofree char *key = pt_key_image(digest);
  g_autoptr(PtEntry) e = unused(a, digest, error) ? pt_store_get(a->store, key, error) : NULL;
  g_autoptr(PtTxn) txn = pt_txn_new();

  if (!e)
    return false;
  pt_txn_require(txn, key, e->revision);
  pt_txn_delete(txn, key);
  if (!pt_store_commit(a->store, txn, NULL, error))
    return false;
  if (unused(a, digest, error) && pt_images_remove(a->images, digest, error)) {
    g_autoptr(GError) err = NULL;
    pt_templates_forget(a, digest);
    if (!pt_pool_local.forget(a->pool, strchr(digest, ':') + 1, &err)) /* its space is lost until somebody looks, no more */
      pt_log_warn("node", "%s: the pool's copy of its disk: %s", digest, err->message);
    return true;
  }
  g_autoptr(PtImage) left = pt_images_get(a->images, digest, NULL);
  if (left)
    put_back(a, e);
  return false;
}

bool
pt_agent_image_remove(PtAgent *a, const char *digest, GError **error)
{
  g_mutex_lock(&a->image_lock);
  bool ok = remove_image(a, digest, error);
  g_mutex_unlock(&a->image_lock);
  return ok;
}
