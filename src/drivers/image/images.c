// SPDX-License-Identifier: Apache-2.0
/* The images of this node: making, listing, removing. A directory that has its final name is whole: it gets it by
 * one rename, when everything in it is on disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/error.h"
#include "base/json.h"
#include "drivers/image/images_impl.h"
#include "drivers/image/make.h"
#include "sys/arch.h"
#include "sys/path.h"

#define MANIFEST_MAX (256u << 10)

const char *
pt_images_hex(const char *digest, GError **error)
{
  const char *hex = digest && g_str_has_prefix(digest, "sha256:") ? digest + 7 : "";

  if (strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64)
    return hex;
  PT_SET(error, PT_ERR_INVALID, "%s: not the digest of an image", digest ? digest : "(none)");
  return NULL;
}

PtImages *
pt_images_open(const PtHost *host, GError **error)
{
  g_autofree char *dir = g_build_filename(host->state, "images", NULL);

  if (!pt_dir_make(dir, 0755, error) || !pt_image_work_sweep(dir, error))
    return NULL;
  PtImages *images = g_new0(PtImages, 1);
  images->host = host;
  images->dir = g_steal_pointer(&dir);
  g_mutex_init(&images->lock);
  images->mounts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  pt_images_mounts_adopt(images);
  return images;
}

void
pt_images_close(PtImages *images)
{
  if (!images)
    return;
  g_hash_table_destroy(images->mounts);
  g_mutex_clear(&images->lock);
  g_free(images->dir);
  g_free(images);
}

PtImage *
pt_images_get(PtImages *images, const char *digest, GError **error)
{
  const char *hex = pt_images_hex(digest, error);
  g_autofree char *path = hex ? g_build_filename(images->dir, hex, "manifest.json", NULL) : NULL, *text = NULL;
  gsize size;

  if (!hex)
    return NULL;
  if (!g_file_get_contents(path, &text, &size, NULL) || size > MANIFEST_MAX) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no image %s on this node", digest);
    pt_error_hint(error, "portena image list");
    return NULL;
  }
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  PtImage *image = json ? pt_image_parse(json, error) : NULL;
  if (!image)
    g_prefix_error(error, "image %s: ", digest);
  return image;
}

GPtrArray *
pt_images_list(PtImages *images, GError **error)
{
  g_autoptr(GDir) d = g_dir_open(images->dir, 0, error);
  g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)pt_image_free);
  const char *name;

  if (!d)
    return NULL;
  while ((name = g_dir_read_name(d))) {
    g_autofree char *digest = g_strconcat("sha256:", name, NULL);
    /* What is no image, or has just been removed, is not in the list; a broken manifest is as good as none. */
    PtImage *image = pt_images_hex(digest, NULL) ? pt_images_get(images, digest, NULL) : NULL;
    if (image)
      g_ptr_array_add(list, image);
  }
  return g_steal_pointer(&list);
}

char *
pt_images_file(PtImages *images, const char *digest, GError **error)
{
  static const char *const names[] = { "rootfs.erofs", "disk.raw" };
  const char *hex = pt_images_hex(digest, error);

  for (guint i = 0; hex && i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = g_build_filename(images->dir, hex, names[i], NULL);
    if (access(path, F_OK) == 0)
      return g_steal_pointer(&path);
  }
  if (hex) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no image %s on this node", digest);
    pt_error_hint(error, "portena image list");
  }
  return NULL;
}

bool
pt_images_remove(PtImages *images, const char *digest, GError **error)
{
  const char *hex = pt_images_hex(digest, error);

  if (!hex)
    return false;
  /* Renamed first, so that no half-removed image ever has a valid name; a sweep at open does the rest if we die. */
  g_autofree char *gone = g_strdup_printf(".work-gone-%s", hex);
  int dir = open(images->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) {
    pt_error_errno(error, errno, "%s", images->dir);
    return false;
  }
  g_mutex_lock(&images->lock);
  bool ok = pt_images_mounts_drop(images, hex, error);
  if (ok && renameat(dir, hex, dir, gone) != 0 && errno != ENOENT) {
    pt_error_errno(error, errno, "image %s", digest);
    ok = false;
  }
  g_mutex_unlock(&images->lock);
  ok = ok && pt_path_remove(dir, gone, true, error);
  close(dir);
  return ok;
}

/* The rename that makes it an image. One that was there already is as good: its manifest is what the caller gets. */
static PtImage *
publish(PtImages *images, PtImageWork *w, PtImage *image, GError **error)
{
  const char *hex = pt_images_hex(image->digest, error);
  g_autofree char *final = hex ? g_build_filename(images->dir, hex, NULL) : NULL;
  int dir = hex ? open(images->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

  if (!hex || dir < 0) {
    if (hex)
      pt_error_errno(error, errno, "%s", images->dir);
    pt_image_free(image);
    return NULL;
  }
  bool ok = rename(w->out, final) == 0 && fsync(dir) == 0;
  int err = errno;
  close(dir);
  if (ok)
    return image;
  g_autofree char *digest = g_strdup(image->digest);
  pt_image_free(image);
  if (err == EEXIST || err == ENOTEMPTY)
    return pt_images_get(images, digest, error);
  pt_error_errno(error, err, "%s", final);
  return NULL;
}

/* An image of any known architecture may be kept: what this node cannot run, it says when it is to be run. */
static bool
check_arch(const char *arch, char **ret, GError **error)
{
  const PtArch *a = arch && *arch ? pt_arch_find(arch) : pt_arch_host();

  if (a) {
    *ret = g_strdup(a->name);
    return true;
  }
  g_autoptr(GString) known = g_string_new(NULL);
  for (guint i = 0; (a = pt_arch_nth(i)); i++)
    g_string_append_printf(known, "%s%s", i ? ", " : "", a->name);
  PT_SET(error, PT_ERR_INVALID, "arch: %s is no architecture that images are made for", arch);
  pt_error_hint(error, "one of %s", known->str);
  return false;
}

static bool
fill(PtImageWork *w, const PtSource *s, PtImage *image, GError **error)
{
  if (pt_source_is_disk(s->kind))
    return pt_image_import_disk(w, s, image, error);
  return (s->kind == PT_SOURCE_RECIPE ? pt_image_cook(w, s->name, image, error) : pt_image_import(w, s, image, error)) &&
         pt_image_finish(w, image, error);
}

PtImage *
pt_images_make(PtImages *images, const char *source, const char *arch, PtProgress progress, void *data, GCancellable *cancel,
               GError **error)
{
  g_autoptr(PtSource) s = pt_source_parse(source, error);
  g_autoptr(PtImage) image = NULL;
  PtImageWork w = { 0 };
  char *machine = NULL;

  if (!s)
    return NULL;
  image = pt_record_new(&pt_image_type);
  bool ok = check_arch(arch, &machine, error);
  image->arch = machine;
  image->source = g_strdup(source);
  ok = ok && pt_image_work_begin(&w, images->host, progress, data, cancel, error) && fill(&w, s, image, error) &&
       !pt_image_work_cancelled(&w, error);
  PtImage *made = ok ? publish(images, &w, g_steal_pointer(&image), error) : NULL;
  if (made)
    pt_image_work_step(&w, "Done", 1000, 1000, 0, NULL);
  pt_image_work_end(&w);
  return made;
}
