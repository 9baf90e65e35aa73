// SPDX-License-Identifier: Apache-2.0
#include "api/disks.h"

#include <string.h>

#include "api/images.h"
#include "base/text.h"

#define ALIGN ((gint64)1 << 20) /* volumes have whole MiB */

bool
pt_disks_raw(const PtImage *image)
{
  return image->format == PT_FORMAT_DISK || image->format == PT_FORMAT_ISO;
}

static bool
model_ok(const PtInstance *spec, const PtImage *image, GError **error)
{
  if (!pt_disks_raw(image) || spec->kind != PT_KIND_MACHINE || spec->model == PT_MODEL_PC)
    return true;
  PT_SET(error, PT_ERR_INVALID, "model: an unmodified system has a kernel and drivers of its own and needs model pc\nuse it: model=pc");
  return false;
}

/* The digest of the disc that iso_name names; none where it is NULL. */
static bool
find_disc(PtApi *api, PtInstance *spec, GError **error)
{
  g_clear_pointer(&spec->iso, g_free);
  if (!spec->iso_name)
    return true;
  g_autoptr(PtImage) disc = pt_image_find(api, spec->iso_name, NULL, error);
  if (!disc) {
    g_prefix_error(error, "iso_name: ");
    return false;
  }
  if (disc->format != PT_FORMAT_ISO) {
    g_autofree char *shown = pt_text_safe(spec->iso_name, 80);
    PT_SET(error, PT_ERR_INVALID, "iso_name: %s is no disc\nimport one: portena image import iso:PATH, or a file that ends in .iso", shown);
    return false;
  }
  if (spec->kind != PT_KIND_MACHINE || spec->model != PT_MODEL_PC) {
    PT_SET(error, PT_ERR_INVALID, "iso_name: only a machine of model pc has a drive");
    return false;
  }
  spec->iso = g_strdup(disc->digest);
  return true;
}

static bool
fit_size(PtInstance *spec, const PtImage *image, bool given, GError **error)
{
  gint64 least = (image->disk + ALIGN - 1) / ALIGN * ALIGN;

  if (image->format != PT_FORMAT_DISK || spec->disk >= least)
    return true;
  if (!given) {
    spec->disk = least;
    return true;
  }
  g_autofree char *has = pt_size_format(least);
  PT_SET(error, PT_ERR_INVALID, "disk: the image's disk has %s\ngive it at least as much: disk=%" G_GINT64_FORMAT, has, least);
  return false;
}

bool
pt_disks_fit(PtApi *api, PtInstance *spec, const PtImage *image, const json_t *given, GError **error)
{
  if (!pt_disks_raw(image))
    return find_disc(api, spec, error);
  if (!json_object_get(given, "model"))
    spec->model = PT_MODEL_PC;
  if (!json_object_get(given, "firmware"))
    spec->firmware = image->firmware;
  if (!json_object_get(given, "hardware"))
    spec->hardware = image->hardware;
  if (!json_object_get(given, "cpu"))
    spec->cpu = image->cpu;
  if (!json_object_get(given, "memory"))
    spec->memory = image->memory;
  if (image->format == PT_FORMAT_ISO && !json_object_get(given, "iso_name"))
    spec->iso_name = g_strdup(spec->image_name);
  spec->init = PT_INIT_SYSTEM;
  return model_ok(spec, image, error) && find_disc(api, spec, error) &&
         fit_size(spec, image, json_object_get(given, "disk") != NULL, error);
}

bool
pt_disks_changed(PtApi *api, const PtInstance *before, PtInstance *spec, GError **error)
{
  bool model = spec->kind != before->kind || spec->model != before->model, disc = g_strcmp0(spec->iso_name, before->iso_name) != 0;

  if (model) {
    g_autofree char *key = pt_key_image(spec->image);
    g_autoptr(PtImage) image = pt_load(api, key, &pt_image_type, "image", NULL, error);
    if (!image || !model_ok(spec, image, error))
      return false;
  }
  return !disc || find_disc(api, spec, error);
}
