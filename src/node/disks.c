// SPDX-License-Identifier: Apache-2.0
/* Root volumes: an empty file system of ours, or a whole disk with an unmodified system's beginning. */
#include <string.h>

#include "base/error.h"
#include "node/agent_impl.h"

typedef struct {
  PtAgent *agent;
  const PtInstance *spec;
} Copying;

/* A large disk takes its time to come into the pool: the operation shows it, and a deletion ends it. */
static bool
on_copied(gint64 done, gint64 total, void *data)
{
  Copying *c = data;
  g_autofree char *key = pt_key_instance(c->spec->space, c->spec->name);
  g_autoptr(PtInstance) now = pt_records_get(c->agent->store, key, &pt_instance_type, NULL, NULL);

  if (c->spec->op)
    pt_ops_progress(c->agent->ops, c->spec->op, "Copying the image's disk", total > 0 ? (gint64)((double)done * 900 / (double)total) : -1,
                    done, total, "bytes");
  return now && strcmp(now->id, c->spec->id) == 0 && !now->deleting;
}

bool
pt_unit_volume_raw(PtAgent *a, const PtInstance *spec, bool *ret, GError **error)
{
  g_autofree char *key = pt_key_volume(spec->space, spec->volume);
  g_autoptr(PtVolume) v = pt_records_get(a->store, key, &pt_volume_type, NULL, error);

  if (v)
    *ret = v->format == PT_VOLUME_RAW;
  return v != NULL;
}

bool
pt_unit_volume_make(PtAgent *a, const PtInstance *spec, GError **error)
{
  bool raw = false;

  if (!pt_unit_volume_raw(a, spec, &raw, error))
    return false;
  if (!raw)
    return pt_pool_local.create(a->pool, spec->volume, spec->disk, error);
  g_autoptr(PtImage) image = pt_agent_image(a, spec->image, error);
  if (!image)
    return false;
  Copying copying = { a, spec };
  PtVolumeSource source = { .key = strchr(image->digest, ':') + 1, .report = on_copied, .data = &copying };
  g_autofree char *file = image->format == PT_FORMAT_DISK ? pt_images_file(a->images, image->digest, error) : NULL;
  if (image->format == PT_FORMAT_DISK && !file)
    return false;
  source.file = file;
  return pt_pool_local.create_from(a->pool, spec->volume, &source, spec->disk, error);
}
