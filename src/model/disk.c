// SPDX-License-Identifier: Apache-2.0
/* The data volumes of an instance: where they may be seen inside, and their places in a machine. */
#include <string.h>

#include "base/error.h"
#include "model/instance.h"

PtDisk *
pt_instance_disk(const PtInstance *i, const char *volume)
{
  for (guint n = 0; i->disks && volume && n < i->disks->len; n++) {
    PtDisk *d = g_ptr_array_index(i->disks, n);
    if (strcmp(d->volume, volume) == 0 || strcmp(d->id, volume) == 0)
      return d;
  }
  return NULL;
}

void
pt_instance_disk_remove(PtInstance *i, const char *id)
{
  for (guint n = 0; i->disks && n < i->disks->len; n++) {
    PtDisk *d = g_ptr_array_index(i->disks, n);
    if (strcmp(d->id, id) != 0)
      continue;
    g_ptr_array_remove_index(i->disks, n);
    pt_record_free(&pt_disk_type, d);
    return;
  }
}

/* Without doubled slashes and one at the end: so two names of one directory are one. The caller's. */
static char *
plain(const char *path)
{
  g_auto(GStrv) parts = g_strsplit(path, "/", -1);
  GString *s = g_string_new(NULL);

  for (char **p = parts; *p; p++)
    if (**p && strcmp(*p, ".") != 0)
      g_string_append_printf(s, "/%s", *p);
  if (!s->len)
    g_string_append_c(s, '/');
  return g_string_free(s, FALSE);
}

static bool
below(const char *path, const char *dir)
{
  gsize n = strlen(dir);

  return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool
place_ok(const PtInstance *i, const char *path, GError **error)
{
  static const char *const taken[] = { "/proc", "/sys", "/dev", "/run", "/tmp" };

  for (guint n = 0; n < G_N_ELEMENTS(taken); n++) {
    if (!below(path, taken[n]))
      continue;
    PT_SET(error, PT_ERR_INVALID, "path: %s is made anew at each start, so no disk can be there\nchoose another place, such as /mnt/data",
           taken[n]);
    return false;
  }
  if (i->kind == PT_KIND_PROCESS && (!below(path, "/data") || strcmp(path, "/data") == 0)) {
    PT_SET(error, PT_ERR_INVALID, "path: a process writes below /data alone\nchoose a place there, such as /data/more");
    return false;
  }
  if (strcmp(path, "/") == 0) {
    PT_SET(error, PT_ERR_INVALID, "path: / is its root\nchoose a directory, such as /mnt/data");
    return false;
  }
  for (guint n = 0; i->disks && n < i->disks->len; n++) {
    const PtDisk *d = g_ptr_array_index(i->disks, n);
    if (!d->path || (!below(path, d->path) && !below(d->path, path)))
      continue;
    PT_SET(error, PT_ERR_CONFLICT, "path: volume %s is at %s\nchoose a place that is neither below nor above it", d->volume, d->path);
    return false;
  }
  return true;
}

static bool
choose_slot(const PtInstance *i, PtDisk *d, GError **error)
{
  guint used = 0;

  for (guint n = 0; i->disks && n < i->disks->len; n++)
    used |= 1u << ((const PtDisk *)g_ptr_array_index(i->disks, n))->slot;
  for (d->slot = 0; d->slot < PT_DISKS_MAX; d->slot++)
    if (!(used & 1u << d->slot))
      return true;
  PT_SET(error, PT_ERR_CONFLICT, "%s: has %d data volumes, and more are not possible\ndetach one first", i->name, PT_DISKS_MAX);
  return false;
}

bool
pt_instance_disk_add(PtInstance *i, PtDisk *d, GError **error)
{
  bool pc = i->kind == PT_KIND_MACHINE && i->model == PT_MODEL_PC;

  if (pc && d->path) {
    PT_SET(error, PT_ERR_INVALID, "path: a pc's own system decides where its disks are seen\nleave it out");
    pt_record_free(&pt_disk_type, d);
    return false;
  }
  if (!pc) {
    char *path = d->path ? plain(d->path) : g_strconcat(i->kind == PT_KIND_PROCESS ? "/data/" : "/mnt/", d->volume, NULL);
    g_free(d->path);
    d->path = path;
  }
  if ((d->path && !place_ok(i, d->path, error)) || !choose_slot(i, d, error)) {
    pt_record_free(&pt_disk_type, d);
    return false;
  }
  if (!i->disks)
    i->disks = g_ptr_array_new();
  g_ptr_array_add(i->disks, d);
  return true;
}
