// SPDX-License-Identifier: Apache-2.0
#include "api/images.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "api/auth.h"
#include "api/bodies.h"
#include "api/handlers.h"
#include "api/view.h"
#include "base/id.h"
#include "base/text.h"
#include "model/field.h"
#include "sys/arch.h"

#define UPLOAD_MAX (G_GINT64_CONSTANT(64) << 30)
#define UPLOAD_RESERVE (G_GINT64_CONSTANT(1) << 30)
#define PREFIX_MIN 6 /* digits of a digest that may stand for it */

static PtImage *
parse(const PtEntry *e)
{
  return pt_record_read(&pt_image_type, e->value, NULL);
}

static bool
begins(const PtImage *image, const char *ref)
{
  const char *hex = strncmp(ref, "sha256:", 7) == 0 ? ref + 7 : ref;

  return strlen(hex) >= PREFIX_MIN && strspn(hex, "0123456789abcdef") == strlen(hex) &&
         g_str_has_prefix(image->digest, "sha256:") && g_str_has_prefix(image->digest + 7, hex);
}

static bool
named(const PtImage *image, const char *name)
{
  return image->names && g_strv_contains((const char *const *)image->names, name);
}

static bool
not_found(const char *ref, GError **error)
{
  g_autofree char *shown = pt_text_safe(ref, 80);

  PT_SET(error, PT_ERR_NOT_FOUND, "there is no image %s", shown);
  if (g_strv_contains(pt_images_recipes(), ref))
    pt_error_hint(error, "build it: portena image build %s", shown);
  else
    pt_error_hint(error, "those there are: portena image list");
  return false;
}

PtImage *
pt_image_find(PtApi *api, const char *ref, gint64 *ret_revision, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(api->store, "images/", NULL, error);
  g_autoptr(PtImage) found = NULL;
  guint n = 0;

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtImage) image = parse(e);
    bool by_name = image && named(image, ref);
    if (!image || (!by_name && !begins(image, ref)))
      continue;
    n++;
    pt_image_free(found);
    found = g_steal_pointer(&image);
    if (ret_revision)
      *ret_revision = e->revision;
    if (by_name) { /* a name is one image's alone, whatever it looks like */
      n = 1;
      break;
    }
  }
  if (!all)
    return NULL;
  if (n == 0) {
    not_found(ref, error);
    return NULL;
  }
  if (n > 1) {
    PT_SET(error, PT_ERR_CONFLICT, "%u images begin with %s\ngive more digits of the digest", n, ref);
    return NULL;
  }
  return g_steal_pointer(&found);
}

static bool
not_for(const char *ref, const PtArch *arch, GError **error)
{
  g_autofree char *shown = pt_text_safe(ref, 80);

  PT_SET(error, PT_ERR_NOT_FOUND, "there is no image %s for %s", shown, arch->name);
  if (g_strv_contains(pt_images_recipes(), ref))
    pt_error_hint(error, "build it: portena image build %s --arch %s", shown, arch->name);
  else
    pt_error_hint(error, "import it: portena image import docker://%s --arch %s; those there are: portena image list", shown, arch->name);
  return false;
}

PtImage *
pt_image_find_for(PtApi *api, const char *ref, const char *arch, gint64 *ret_revision, GError **error)
{
  const PtArch *a = pt_arch_find(arch);
  g_autofree char *other = pt_arch_image_name(ref, arch);
  GError *why = NULL;

  if (!arch)
    return pt_image_find(api, ref, ret_revision, error);
  if (!a) {
    g_autofree char *shown = pt_text_safe(arch, 16);
    PT_SET(error, PT_ERR_INVALID, "arch: %s is no architecture that is known here\nthose that are: portena doctor", shown);
    return NULL;
  }
  for (const char *const *name = (const char *const[]){ other, ref, NULL }; *name; name++) {
    g_autoptr(PtImage) image = pt_image_find(api, *name, ret_revision, &why);
    if (image && g_strcmp0(image->arch, a->name) == 0)
      return g_steal_pointer(&image);
    if (!image && pt_error_code(why) != PT_ERR_NOT_FOUND) {
      g_propagate_error(error, why);
      return NULL;
    }
    g_clear_error(&why);
  }
  not_for(ref, a, error);
  return NULL;
}

/* ── reading ── */

typedef struct {
  const char *digest;
  const PtRequest *r;
  GHashTable *mine; /* spaces the asker may see */
  json_t *list;
} Users;

static void
note_user(const PtInstance *spec, const PtStatus *status, void *data)
{
  Users *u = data;

  (void)status;
  if ((g_strcmp0(spec->image, u->digest) != 0 && g_strcmp0(spec->iso, u->digest) != 0) || !g_hash_table_contains(u->mine, spec->space))
    return;
  g_autofree char *name = g_strdup_printf("%s/%s", spec->space, spec->name);
  json_array_append_new(u->list, json_string(name));
}

/* Instances of spaces that one is no member of are not shown. */
static json_t *
image_view(PtRequest *r, const PtImage *image, gint64 revision)
{
  json_t *view = pt_record_view(&pt_image_type, image, revision);
  g_autoptr(GPtrArray) spaces = pt_view_spaces(r->api->view, &r->who, NULL);
  g_autoptr(GHashTable) mine = g_hash_table_new(g_str_hash, g_str_equal);
  Users u = { image->digest, r, mine, json_array() };

  for (guint i = 0; i < spaces->len; i++)
    g_hash_table_add(mine, ((PtSpace *)g_ptr_array_index(spaces, i))->name);
  pt_view_foreach(r->api->view, NULL, note_user, &u);
  json_object_set_new(view, "used_by", u.list);
  return view;
}

bool
pt_images_get_all(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(GPtrArray) all =
      pt_view_sync(r->api->view, NULL, error) ? pt_store_list(r->api->store, "images/", &revision, error) : NULL;

  if (!all)
    return false;
  json_t *items = json_array();
  for (guint i = 0; i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtImage) image = parse(e);
    if (image)
      json_array_append_new(items, image_view(r, image, e->revision));
  }
  return pt_reply_items(r, items, revision);
}

bool
pt_images_get_one(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtImage) image = pt_image_find_for(r->api, pt_param(r, "ref"), pt_query(r, "arch", NULL), &revision, error);

  if (!image || !pt_view_sync(r->api->view, NULL, error))
    return false;
  pt_reply_etag(r, revision);
  return pt_reply_json(r, 200, image_view(r, image, revision));
}

bool
pt_recipes_get(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(GPtrArray) all = pt_store_list(r->api->store, "images/", &revision, error);

  if (!all)
    return false;
  json_t *items = json_array();
  for (const char *const *name = pt_images_recipes(); *name; name++) {
    json_t *digest = json_null();
    for (guint i = 0; i < all->len; i++) {
      g_autoptr(PtImage) image = parse(g_ptr_array_index(all, i));
      if (image && named(image, *name))
        digest = json_string(image->digest);
    }
    json_array_append_new(
        items, json_pack("{s:s, s:s?, s:s, s:o}", "name", *name, "description", pt_images_recipe_help(*name), "format",
                         pt_format_names[pt_images_recipe_format(*name)], "image", digest));
  }
  return pt_reply_items(r, items, revision);
}

/* ── making ── */

typedef struct {
  char *path;
  const char *format;
} Upload;

static void
upload_free(void *data)
{
  Upload *u = data;

  if (u->path)
    unlink(u->path); /* nobody took it over */
  g_free(u->path);
  g_free(u);
}

/* An upload that says no size must not fill the disk that the store is on. */
static bool
upload_room(PtRequest *r, const char *dir, GError **error)
{
  struct statvfs v;
  gint64 room = statvfs(dir, &v) == 0 ? (gint64)v.f_bavail * (gint64)v.f_frsize - UPLOAD_RESERVE : 0;

  if (room <= 0 || r->body_size > room) {
    PT_SET(error, PT_ERR_NO_SPACE, "upload: there is no room for it below %s\nremove images that nothing uses: portena image prune", dir);
    return false;
  }
  r->upload_max = MIN(room, UPLOAD_MAX);
  return true;
}

bool
pt_images_upload(PtRequest *r, GError **error)
{
  static const char *const types[] = { "application/x-tar",
                                       "application/gzip",
                                       "application/x-gzip",
                                       "application/zstd",
                                       "application/x-xz",
                                       "application/octet-stream",
                                       NULL };
  static const char *const formats[] = { "rootfs", "docker-archive", "oci-archive", "program", "qcow2", "raw", "vmdk", "vdi",
                                         "vhdx",   "vhd",            "ova",         "iso",   NULL };
  const char *format = pt_query(r, "format", NULL), *name = pt_query(r, "name", NULL);

  if (!g_strv_contains(types, r->content_type))
    return true; /* JSON */
  if (!format || !g_strv_contains(formats, format)) {
    PT_SET(error, PT_ERR_INVALID,
           "format: rootfs, docker-archive, oci-archive, program, qcow2, raw, vmdk, vdi, vhdx, vhd, ova or iso is wanted with an upload");
    return false;
  }
  if (!name || !pt_check_image_name(name, error)) {
    if (!name)
      PT_SET(error, PT_ERR_INVALID, "name: an uploaded image needs one");
    return false;
  }
  g_autofree char *dir = g_build_filename(r->api->host->state, "uploads", NULL), *id = pt_id_new();
  Upload *u = g_new0(Upload, 1);
  u->format = format;
  u->path = g_strdup_printf("%s/%s", dir, id);
  r->upload_data = u;
  r->upload_free = upload_free;
  if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
    pt_error_errno(error, errno, "upload: %s", dir);
    return false;
  }
  if (!upload_room(r, dir, error))
    return false;
  r->upload_fd = open(u->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (r->upload_fd < 0)
    pt_error_errno(error, errno, "upload: %s", u->path);
  return r->upload_fd >= 0;
}

static bool
begin(PtRequest *r, const char *kind, const char *source, const char *name, const char *arch, const char *take,
      GError **error)
{
  g_autofree char *target = g_strdup_printf("images/%s", name ? name : source);
  PtOperation op = { .kind = (char *)kind, .target = target, .user = r->who.name };
  g_autofree char *id = pt_ops_begin_now(r->api->ops, &op, error);

  g_free(op.id);
  if (!id)
    return false;
  r->object = g_strdup(target);
  r->action = g_strdup(kind);
  pt_agent_image_make(r->api->agent, id, source, name, arch, take);
  return pt_reply_operation(r, id, NULL, error);
}

/* An administrator over the network manages Portena, and is not root: what lies on the node's disk is his only in one directory. */
static bool
may_read(PtRequest *r, const char *source, GError **error)
{
  const char *path = strchr(source, ':') + 1;
  g_autofree char *import = g_build_filename(r->api->host->state, "import", NULL), *below = g_strconcat(import, "/", NULL);

  if (r->who.root || *path != '/' || (g_str_has_prefix(path, below) && !strstr(path, "/..")))
    return true;
  PT_SET(error, PT_ERR_FORBIDDEN,
         "source: files of the server are taken from %s alone, but for root on the server\n"
         "put it there, or upload it:  portena image import FILE",
         import);
  return false;
}

static bool
from_source(PtRequest *r, const PtBodyImage *b, GError **error)
{
  static const char *const schemes[] = { "recipe:", "docker://", "oci:", "docker-archive:", "oci-archive:", "rootfs:", "program:",
                                         "qcow2:",  "raw:",      "vmdk:", "vdi:",           "vhdx:",        "vhd:",    "ova:", "iso:" };
  bool known = false;

  for (guint i = 0; i < G_N_ELEMENTS(schemes); i++)
    known |= g_str_has_prefix(b->source, schemes[i]) && b->source[strlen(schemes[i])];
  if (!known) {
    g_autofree char *shown = pt_text_safe(b->source, 80);
    PT_SET(error, PT_ERR_INVALID,
           "source '%s': recipe:NAME, docker://…, oci:…, docker-archive:…, oci-archive:…, rootfs:…, program:…, "
           "or of a disk qcow2:…, raw:…, vmdk:…, vdi:…, vhdx:…, vhd:…, ova:… or iso:… is wanted",
           shown);
    return false;
  }
  bool recipe = g_str_has_prefix(b->source, "recipe:"), registry = g_str_has_prefix(b->source, "docker://");
  if (!recipe && !registry && !may_read(r, b->source, error))
    return false;
  if (recipe && !g_strv_contains(pt_images_recipes(), b->source + 7)) {
    g_autofree char *all = g_strjoinv(", ", (char **)pt_images_recipes()), *shown = pt_text_safe(b->source + 7, 60);
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no recipe %s\nthose there are: %s", shown, all);
    return false;
  }
  return begin(r, recipe ? "image-build" : "image-import", b->source, b->name, b->arch, NULL, error);
}

bool
pt_images_create(PtRequest *r, GError **error)
{
  Upload *u = r->upload_data;

  if (u) {
    if (r->upload_size == 0) {
      PT_SET(error, PT_ERR_INVALID, "upload: it is empty");
      return false;
    }
    const char *program = strcmp(u->format, "program") == 0 ? pt_query(r, "main", NULL) : NULL;
    g_autofree char *path = g_strdup(u->path), *source = g_strconcat(u->format, ":", u->path, program ? ":" : NULL, program, NULL);
    if (!begin(r, "image-import", source, pt_query(r, "name", NULL), pt_query(r, "arch", NULL), path, error))
      return false;
    g_clear_pointer(&u->path, g_free); /* the agent's */
    return true;
  }
  PtBodyImage *b = pt_body_record(r, &pt_body_image, error);
  bool ok = b && from_source(r, b, error);
  if (b)
    pt_record_free(&pt_body_image, b);
  return ok;
}

/* ── changing and removing ── */

/* Takes the image's new names from every other image that has one of them. */
static bool
take_names(PtRequest *r, PtTxn *txn, const PtImage *mine, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(r->api->store, "images/", NULL, error);

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtImage) image = parse(e);
    if (!image || strcmp(image->digest, mine->digest) == 0)
      continue;
    for (char **n = image->names; n && *n; n++) {
      if (!named(mine, *n))
        continue;
      PT_SET(error, PT_ERR_CONFLICT, "name %s: is that of another image\ngive that another one first:  portena image rename %s OTHER", *n,
             *n);
      return false;
    }
    pt_txn_require(txn, e->key, e->revision);
  }
  return all != NULL;
}

bool
pt_images_change(PtRequest *r, GError **error)
{
  gint64 revision = 0, written = 0;
  const json_t *body = pt_body_object(r, false, error);
  g_autoptr(PtImage) image = body ? pt_image_find(r->api, pt_param(r, "ref"), &revision, error) : NULL;
  g_autoptr(PtTxn) txn = pt_txn_new();

  if (!image || !pt_if_match(r, "image", revision, error) ||
      !pt_record_patch(&pt_image_type, image, body, PT_F_LIVE, NULL, error) || !take_names(r, txn, image, error))
    return false;
  g_autofree char *key = pt_key_image(image->digest);
  pt_records_put(txn, key, revision, &pt_image_type, image);
  if (!pt_store_commit(r->api->store, txn, &written, error) || !pt_view_sync(r->api->view, NULL, error))
    return false;
  pt_reply_etag(r, written);
  return pt_reply_json(r, 200, image_view(r, image, written));
}

/* One of several names goes, and the image stays for those who know it by another. */
static bool
drop_name(PtRequest *r, PtImage *image, const char *name, gint64 revision, GError **error)
{
  g_autoptr(GStrvBuilder) left = g_strv_builder_new();
  g_autoptr(PtTxn) txn = pt_txn_new();

  for (char **n = image->names; *n; n++)
    if (strcmp(*n, name) != 0)
      g_strv_builder_add(left, *n);
  g_strfreev(image->names);
  image->names = g_strv_builder_end(left);
  g_autofree char *key = pt_key_image(image->digest), *text = pt_record_dump(&pt_image_type, image);
  pt_txn_require(txn, key, revision);
  pt_txn_put(txn, key, text);
  return pt_store_commit(r->api->store, txn, NULL, error);
}

bool
pt_images_delete(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  const char *ref = pt_param(r, "ref");
  g_autoptr(PtImage) image = pt_image_find(r->api, ref, &revision, error);

  if (!image || !pt_if_match(r, "image", revision, error))
    return false;
  bool name_only = named(image, ref) && g_strv_length(image->names) > 1;
  return (name_only ? drop_name(r, image, ref, revision, error) : pt_agent_image_remove(r->api->agent, image->digest, error)) &&
         pt_reply_empty(r);
}

static void
note_used(const PtInstance *spec, const PtStatus *status, void *data)
{
  (void)status;
  if (spec->image)
    g_hash_table_add(data, g_strdup(spec->image));
  if (spec->iso)
    g_hash_table_add(data, g_strdup(spec->iso));
}

/* What no instance uses and no name leads to. One that comes into use in between is refused by the agent, and stays. */
bool
pt_images_prune(PtRequest *r, GError **error)
{
  g_autoptr(GPtrArray) all =
      pt_view_sync(r->api->view, NULL, error) ? pt_store_list(r->api->store, "images/", NULL, error) : NULL;
  g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  gint64 freed = 0;

  if (!all)
    return false;
  pt_view_foreach(r->api->view, NULL, note_used, used);
  json_t *removed = json_array();
  for (guint i = 0; i < all->len; i++) {
    g_autoptr(PtImage) image = parse(g_ptr_array_index(all, i));
    if (!image || (image->names && image->names[0]) || g_hash_table_contains(used, image->digest))
      continue;
    if (!pt_agent_image_remove(r->api->agent, image->digest, NULL))
      continue;
    json_array_append_new(removed, json_string(image->digest));
    freed += image->size;
  }
  return pt_reply_json(r, 200, json_pack("{s:o, s:I}", "removed", removed, "freed", (json_int_t)freed));
}
