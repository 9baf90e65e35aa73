// SPDX-License-Identifier: Apache-2.0
/* From a raw disk to what leaves the node. The disk is foreign, so qemu-img converts it in the jail, as a raw one that it need not parse; a
 * raw copy and an OVA need no parser, and are made here. */
#include "drivers/image/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/image/disk.h"
#include "drivers/image/images_impl.h"
#include "sys/sparse.h"

static const struct { const char *name, *qemu, *options; } formats[] = {
  { "qcow2", "qcow2", NULL },
  { "raw", NULL, NULL },
  { "vmdk", "vmdk", NULL },
  { "vdi", "vdi", NULL },
  { "vhdx", "vhdx", "subformat=dynamic" },
  { "vhd", "vpc", "subformat=dynamic,force_size=on" }, /* else it would be rounded to what cylinders can say */
  { "ova", NULL, NULL },
  { "iso", NULL, NULL },
};
const char *const pt_export_formats[] = { "qcow2", "raw", "vmdk", "vdi", "vhdx", "vhd", "ova", "iso", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(formats) + 1 == G_N_ELEMENTS(pt_export_formats));

/* No format needs more than its data and some tables. */
static gint64
length_max(gint64 bytes)
{
  return bytes + bytes / 4 + ((gint64)64 << 20);
}

static bool
on_copied(gint64 done, gint64 total, void *data)
{
  PtImageWork *w = data;

  w->total = total;
  pt_image_work_done(w, done);
  return !w->cancel || !g_cancellable_is_cancelled(w->cancel);
}

static int
create(const char *path, GError **error)
{
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    pt_error_errno(error, errno, "%s", path);
  return fd;
}

static bool
copy_raw(PtImageWork *w, const char *from, const char *to, GError **error)
{
  int in = open(from, O_RDONLY | O_CLOEXEC), out = in < 0 ? -1 : create(to, error);

  if (in < 0)
    pt_error_errno(error, errno, "%s", from);
  pt_image_work_step(w, "Copying", 0, 990, 1, "bytes");
  bool ok = out >= 0 && pt_sparse_copy(in, out, on_copied, w, error);
  if (in >= 0)
    close(in);
  if (out >= 0)
    close(out);
  return ok;
}

static bool
pack_ova(PtImageWork *w, const PtExport *what, const char *vmdk, gint64 capacity, const char *to, GError **error)
{
  int disk = open(vmdk, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), out = disk < 0 ? -1 : create(to, error);

  if (disk < 0)
    pt_error_errno(error, errno, "%s", vmdk);
  pt_image_work_step(w, "Packing", 800, 990, 1, "bytes");
  bool ok = out >= 0 && pt_ova_write(out, what, disk, capacity, on_copied, w, error);
  if (disk >= 0)
    close(disk);
  if (out >= 0)
    close(out);
  return ok;
}

static bool
make_ova(PtImageWork *w, const PtExport *what, const char *file, GError **error)
{
  g_autofree char *vmdk = g_build_filename(w->out, "disk.vmdk", NULL);
  int in = open(what->disk, O_RDONLY | O_CLOEXEC), out = in < 0 ? -1 : create(vmdk, error);
  struct stat st;
  bool ok = out >= 0 && fstat(in, &st) == 0;

  if (in < 0 || (out >= 0 && !ok))
    pt_error_errno(error, errno, "%s", what->disk);
  pt_image_work_step(w, "Converting", 0, 800, 1, "bytes");
  ok = ok && pt_vmdk_stream(in, out, on_copied, w, error);
  if (in >= 0)
    close(in);
  if (out >= 0)
    close(out);
  return ok && pack_ova(w, what, vmdk, st.st_size, file, error);
}

static bool
make(PtImageWork *w, const PtExport *what, guint format, const char *file, GError **error)
{
  struct stat st;

  if (!formats[format].qemu)
    return strcmp(formats[format].name, "ova") == 0 ? make_ova(w, what, file, error) : copy_raw(w, what->disk, file, error);
  if (stat(what->disk, &st) != 0) {
    pt_error_errno(error, errno, "%s", what->disk);
    return false;
  }
  PtDiskSource raw = { .path = what->disk, .format = "raw" };
  pt_image_work_step(w, "Converting", 0, 990, 1000, NULL);
  return pt_disk_convert(w, &raw, formats[format].qemu, formats[format].options, file, length_max(st.st_size), error);
}

bool
pt_images_export(PtImages *images, const PtExport *what, const char *format, const char *to, PtProgress progress, void *data,
                 GCancellable *cancel, GError **error)
{
  PtImageWork w = { 0 };
  guint f = 0;

  while (f < G_N_ELEMENTS(formats) && strcmp(formats[f].name, format) != 0)
    f++;
  if (f == G_N_ELEMENTS(formats)) {
    PT_SET(error, PT_ERR_INVALID, "format: there is none like this to export to");
    return false;
  }
  bool ok = pt_image_work_begin(&w, images->host, progress, data, cancel, error);
  g_autofree char *file = ok ? g_build_filename(w.out, "export", NULL) : NULL;
  ok = ok && make(&w, what, f, file, error) && !pt_image_work_cancelled(&w, error);
  if (ok && rename(file, to) != 0) {
    pt_error_errno(error, errno, "%s", to);
    ok = false;
  }
  if (ok)
    pt_image_work_step(&w, "Done", 1000, 1000, 0, NULL);
  pt_image_work_end(&w);
  return ok;
}
