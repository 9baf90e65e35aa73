// SPDX-License-Identifier: Apache-2.0
/* Disks of unmodified systems become images: disk.raw, sparse, and a manifest.
 *
 * Three programs look at what strangers made, all in the jail: portena-disk at the headers, so that what leans on other files
 * is refused before anything follows it, and at an OVA's table and description; qemu-img at the disk; sha*sum at what an OVA's
 * manifest promises. What they say is taken as hostile too: a few numbers within bounds, and texts made harmless. */
#include "drivers/image/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/image/make.h"
#include "model/instance.h"

#define SAID_MAX (64u << 10)

/* portena-disk's name and QEMU's of a format. */
static const struct { const char *name, *qemu; } formats[] = {
  [PT_SOURCE_QCOW2] = { "qcow2", "qcow2" }, [PT_SOURCE_RAW] = { "raw", "raw" },   [PT_SOURCE_VMDK] = { "vmdk", "vmdk" },
  [PT_SOURCE_VDI] = { "vdi", "vdi" },       [PT_SOURCE_VHDX] = { "vhdx", "vhdx" }, [PT_SOURCE_VHD] = { "vhd", "vpc" },
  [PT_SOURCE_OVA] = { "ova", NULL },        [PT_SOURCE_ISO] = { "iso", "raw" },
};
G_STATIC_ASSERT(G_N_ELEMENTS(formats) == PT_N_SOURCES);

typedef struct Sum {
  gint64 bits, offset, size;
  char hex[129];
} Sum;

/* What is known of the disk before it is converted. */
typedef struct Found {
  PtSourceKind kind; /* of the disk itself */
  gint64 offset, size;
  bool firmware;     /* … has been said */
  Sum sums[2];
  guint n_sums;
} Found;

/* Runs portena-disk; `with` (may be NULL) is more of its arguments. What it refuses is INVALID. */
static bool
look(PtImageWork *w, const char *path, const char *const *argv, char **ret_output, GError **error)
{
  g_autofree char *tool = g_strdup_printf("%s/portena-disk=/opt/portena-disk", w->host->libexec), *in = g_strconcat(path, "=/in", NULL);
  const char *options[] = { "--ro", tool, "--ro", in, "--memory", "268435456", NULL };

  if (pt_image_work_run(w, &(PtJailRun){ .options = options, .argv = argv, .timeout = 60 * G_USEC_PER_SEC }, ret_output, error))
    return true;
  if (error && pt_error_code(*error) == PT_ERR_INTERNAL) {
    const char *colon = strstr((*error)->message, "portena-disk: ");
    g_autofree char *said = g_strdup(colon ? colon + strlen("portena-disk: ") : (*error)->message);
    g_clear_error(error);
    PT_SET(error, PT_ERR_INVALID, "%s: %s", path, said);
    pt_error_hint(error, "nothing was changed");
  }
  return false;
}

static gint64
number(const char *text, gint64 max)
{
  char *end;
  gint64 n = g_ascii_strtoll(text, &end, 10);

  return *end || n < 0 || n > max ? -1 : n;
}

static bool
take_sum(Found *f, const char *value)
{
  Sum *s = &f->sums[f->n_sums];

  if (f->n_sums == G_N_ELEMENTS(f->sums) || sscanf(value, "%" G_GINT64_FORMAT " %128[0-9a-f] %" G_GINT64_FORMAT " %" G_GINT64_FORMAT,
                                                   &s->bits, s->hex, &s->offset, &s->size) != 4)
    return false;
  f->n_sums++;
  return s->offset >= 0 && s->size >= 0 && (s->bits == 1 || s->bits == 256 || s->bits == 512);
}

/* A line of portena-disk's. */
static bool
take(Found *f, PtImage *image, const char *key, const char *value)
{
  gint64 n = number(value, G_MAXINT64);

  if (strcmp(key, "format") == 0) {
    for (guint k = PT_SOURCE_QCOW2; k < PT_N_SOURCES; k++)
      if (k != PT_SOURCE_OVA && strcmp(value, formats[k].name) == 0)
        f->kind = (PtSourceKind)k;
    return f->kind != PT_SOURCE_OVA;
  }
  if (strcmp(key, "offset") == 0)
    return (f->offset = n) >= 0;
  if (strcmp(key, "size") == 0)
    return (f->size = n) > 0;
  if (strcmp(key, "cpus") == 0)
    image->cpu = CLAMP(n, 0, 1024) * 1000;
  else if (strcmp(key, "memory") == 0)
    image->memory = CLAMP(n, 0, G_GINT64_CONSTANT(1) << 50);
  else if (strcmp(key, "firmware") == 0)
    f->firmware = true, image->firmware = strcmp(value, "bios") == 0 ? PT_FIRMWARE_BIOS : PT_FIRMWARE_UEFI;
  else if (strcmp(key, "os") == 0 && !image->os)
    image->os = pt_text_safe(value, 200);
  else if (strcmp(key, "description") == 0 || (strcmp(key, "name") == 0 && !image->description))
    g_free(image->description), image->description = pt_text_safe(value, 500);
  else if (strcmp(key, "sum") == 0)
    return take_sum(f, value);
  return true;
}

static bool
take_all(Found *f, PtImage *image, const char *path, const char *out, GError **error)
{
  g_auto(GStrv) lines = g_strsplit(out, "\n", 64);

  for (char **l = lines; *l; l++) {
    char *blank = strchr(*l, ' ');
    if (!blank)
      continue;
    *blank = '\0';
    if (!take(f, image, *l, blank + 1)) {
      PT_SET(error, PT_ERR_INTERNAL, "%s: portena-disk said what cannot be: %s", path, *l);
      return false;
    }
  }
  return true;
}

/* The digests in the archive's own manifest. */
static bool
check_sums(PtImageWork *w, const char *path, const Found *f, GError **error)
{
  static const char script[] = "tail -c \"+$2\" /in | head -c \"$3\" | \"sha$1sum\"";
  g_autofree char *in = g_strconcat(path, "=/in", NULL);
  const char *options[] = { "--ro", in, NULL };

  for (guint i = 0; i < f->n_sums; i++) {
    const Sum *s = &f->sums[i];
    g_autofree char *bits = g_strdup_printf("%d", (int)s->bits), *from = g_strdup_printf("%" G_GINT64_FORMAT, s->offset + 1),
                    *size = g_strdup_printf("%" G_GINT64_FORMAT, s->size), *out = NULL;
    const char *argv[] = { "sh", "-c", script, "sh", bits, from, size, NULL };
    if (!pt_image_work_run(w, &(PtJailRun){ .options = options, .argv = argv }, &out, error))
      return false;
    if (strncmp(out, s->hex, strlen(s->hex)) == 0)
      continue;
    PT_SET(error, PT_ERR_INVALID, "%s: its contents do not match the digests in its manifest", path);
    pt_error_hint(error, "it was damaged on its way, or changed; nothing was changed here");
    return false;
  }
  return true;
}

static bool
inspect(PtImageWork *w, const PtSource *s, PtImage *image, Found *f, GError **error)
{
  static const char *const open_ova[] = { "/opt/portena-disk", "ova", "/in", NULL };
  g_autofree char *out = NULL;

  f->kind = s->kind;
  pt_image_work_step(w, "Checking", 0, 20, 0, NULL);
  if (s->kind == PT_SOURCE_OVA && (!look(w, s->path, open_ova, &out, error) || !take_all(f, image, s->path, out, error) ||
                                   !check_sums(w, s->path, f, error)))
    return false;
  if (f->kind == PT_SOURCE_OVA) {
    PT_SET(error, PT_ERR_INTERNAL, "%s: portena-disk said nothing of its disk", s->path);
    return false;
  }
  g_autofree char *offset = g_strdup_printf("%" G_GINT64_FORMAT, f->offset), *size = g_strdup_printf("%" G_GINT64_FORMAT, f->size);
  const char *check[] = { "/opt/portena-disk", "check", formats[f->kind].name, "/in", f->size ? offset : NULL, size, NULL };
  return look(w, s->path, check, NULL, error);
}

static bool
guess_firmware(PtImageWork *w, const char *file, PtImage *image, GError **error)
{
  const char *argv[] = { "/opt/portena-disk", "firmware", image->format == PT_FORMAT_ISO ? "iso" : "disk", "/in", NULL };
  g_autofree char *out = NULL;

  if (!look(w, file, argv, &out, error))
    return false;
  image->firmware = g_str_has_prefix(out, "firmware bios") ? PT_FIRMWARE_BIOS : PT_FIRMWARE_UEFI;
  return true;
}

static bool
seal(PtImageWork *w, const char *file, PtImage *image, GError **error)
{
  int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;

  if (fd < 0 || fstat(fd, &st) != 0 || fchmod(fd, 0444) != 0) {
    pt_error_errno(error, errno, "%s", file);
    if (fd >= 0)
      close(fd);
    return false;
  }
  pt_image_work_step(w, "Checking", 850, 990, (gint64)st.st_size, "bytes");
  image->disk = st.st_size;
  g_free(image->digest);
  image->digest = pt_disk_digest(w, fd, image->format == PT_FORMAT_ISO, &image->size, error);
  bool ok = image->digest != NULL;
  if (ok && fsync(fd) != 0) {
    pt_error_errno(error, errno, "%s", file);
    ok = false;
  }
  close(fd);
  return ok;
}

bool
pt_image_import_disk(PtImageWork *w, const PtSource *s, PtImage *image, GError **error)
{
  g_autofree char *file = g_build_filename(w->out, "disk.raw", NULL);
  Found found = { 0 };
  gint64 bytes = 0;
  struct stat st;

  if (stat(s->path, &st) != 0) {
    pt_error_errno(error, errno, "%s", s->path);
    return false;
  }
  if (!S_ISREG(st.st_mode)) {
    PT_SET(error, PT_ERR_INVALID, "%s: not a file", s->path);
    pt_error_hint(error, "nothing was changed");
    return false;
  }
  image->format = s->kind == PT_SOURCE_ISO ? PT_FORMAT_ISO : PT_FORMAT_DISK;
  /* What was made for QEMU or a cloud has drivers for virtio; what comes from elsewhere, or is yet to be installed, may have none. */
  image->hardware = s->kind == PT_SOURCE_QCOW2 || s->kind == PT_SOURCE_RAW ? PT_HARDWARE_VIRTIO : PT_HARDWARE_EMULATED;
  image->kinds = g_strdupv((char *[]){ (char *)"machine", NULL });
  if (!inspect(w, s, image, &found, error))
    return false;
  PtDiskSource disk = { .path = s->path, .format = formats[found.kind].qemu, .offset = found.offset, .size = found.size };
  if (!pt_disk_size(w, &disk, &bytes, error))
    return false;
  pt_image_work_step(w, "Converting", 20, 850, 1000, NULL);
  return pt_disk_convert(w, &disk, "raw", NULL, file, bytes, error) && (found.firmware || guess_firmware(w, file, image, error)) &&
         seal(w, file, image, error) && pt_image_manifest(w, image, error);
}
