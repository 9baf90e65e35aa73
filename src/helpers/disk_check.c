// SPDX-License-Identifier: Apache-2.0
/* First looks at disk images: the fields that say what it is, and that it leans on no other file. QEMU's drivers would follow such a
 * reference, so it is refused before they see the image. Offsets are those of the formats' own documents: QEMU's
 * docs/interop/qcow2.txt, VMware's Virtual Disk Format 5.0, Microsoft's VHD and [MS-VHDX], ECMA-119, El Torito 1.0, UEFI 2.10 chapter 5. */
#include "helpers/disk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const disk_format_names[] = { "qcow2", "raw", "vmdk", "vdi", "vhdx", "vhd", "iso", NULL };
const char *const disk_firmware_names[] = { NULL, "uefi", "bios" };

bool
disk_refuse(struct disk_error *e, const char *fmt, ...)
{
  va_list ap;

  if (*e->text)
    return false;
  va_start(ap, fmt);
  vsnprintf(e->text, sizeof e->text, fmt, ap);
  va_end(ap);
  for (char *p = e->text; *p; p++)
    if ((unsigned char)*p < ' ' || *p == 0x7f)
      *p = '?';
  return false;
}

bool
disk_read(const struct disk_file *f, uint64_t at, void *buf, size_t size)
{
  if (at > f->size || size > f->size - at)
    return false;
  if (f->memory) {
    memcpy(buf, f->memory + f->offset + at, size);
    return true;
  }
  for (size_t done = 0; done < size;) {
    ssize_t n = pread(f->fd, (char *)buf + done, size - done, (off_t)(f->offset + at + done));
    if (n <= 0 && !(n < 0 && errno == EINTR))
      return false;
    done += n > 0 ? (size_t)n : 0;
  }
  return true;
}

static uint64_t
big(const unsigned char *p, unsigned bytes)
{
  uint64_t v = 0;

  for (unsigned i = 0; i < bytes; i++)
    v = v << 8 | p[i];
  return v;
}

static uint64_t
little(const unsigned char *p, unsigned bytes)
{
  uint64_t v = 0;

  while (bytes-- > 0)
    v = v << 8 | p[bytes];
  return v;
}

static bool
check_qcow2(const struct disk_file *f, struct disk_error *e)
{
  unsigned char h[104] = { 0 };

  if (!disk_read(f, 0, h, 72) || memcmp(h, "QFI\xfb", 4) != 0)
    return disk_refuse(e, "it is no qcow2 image");
  uint64_t version = big(h + 4, 4);
  if (version != 2 && version != 3)
    return disk_refuse(e, "it is qcow2 of version %llu, which is not known", (unsigned long long)version);
  if (version == 3 && !disk_read(f, 0, h, sizeof h))
    return disk_refuse(e, "it is cut off");
  if (big(h + 8, 8) != 0 || big(h + 16, 4) != 0)
    return disk_refuse(e, "it holds only the differences to another file, its backing file");
  if (big(h + 32, 4) != 0)
    return disk_refuse(e, "it is encrypted");
  if (version == 3 && (big(h + 72, 8) & 4))
    return disk_refuse(e, "its data is in another file, its data file");
  return true;
}

/* QEMU looks for a parent in these twenty sectors behind the header, whatever the header says. */
#define VMDK_DESCRIPTOR 0x200
#define VMDK_DESCRIPTOR_SIZE (20 * 512)

static bool
check_vmdk(const struct disk_file *f, struct disk_error *e)
{
  unsigned char h[77];
  char text[VMDK_DESCRIPTOR_SIZE];

  if (!disk_read(f, 0, h, sizeof h))
    return disk_refuse(e, "it is no VMDK image, or cut off");
  if (memcmp(h, "# Disk DescriptorFile", 21) == 0)
    return disk_refuse(e, "it is only the description of a disk, which is in other files");
  if (memcmp(h, "COWD", 4) == 0)
    return disk_refuse(e, "it is a part of a disk, as ESX writes them, and not a whole one");
  if (memcmp(h, "KDMV", 4) != 0)
    return disk_refuse(e, "it is no VMDK image");
  if (little(h + 12, 8) == 0)
    return disk_refuse(e, "it describes a disk that is in other files");
  size_t size = f->size - VMDK_DESCRIPTOR < sizeof text ? (size_t)(f->size - VMDK_DESCRIPTOR) : sizeof text;
  if (f->size < VMDK_DESCRIPTOR || !disk_read(f, VMDK_DESCRIPTOR, text, size))
    return disk_refuse(e, "it is cut off");
  static const char parent[] = "parentFileNameHint";
  if (memmem(text, size, parent, sizeof parent - 1))
    return disk_refuse(e, "it holds only the differences to another file, its parent");
  return true;
}

static bool
check_vhd(const struct disk_file *f, struct disk_error *e)
{
  unsigned char h[512];

  /* A copy of the footer comes first, but in a fixed disk; there it is at the end alone. */
  bool dynamic = disk_read(f, 0, h, sizeof h) && memcmp(h, "conectix", 8) == 0;
  if (!dynamic && (f->size < sizeof h || !disk_read(f, f->size - sizeof h, h, sizeof h) || memcmp(h, "conectix", 8) != 0))
    return disk_refuse(e, "it is no VHD image, or cut off");
  uint64_t type = big(h + 60, 4);
  if (type == 4)
    return disk_refuse(e, "it holds only the differences to another file, its parent");
  if (type != 2 && type != 3)
    return disk_refuse(e, "it is a VHD of a kind that is not known");
  return true;
}

static bool
check_vdi(const struct disk_file *f, struct disk_error *e)
{
  unsigned char h[392];

  if (!disk_read(f, 0, h, sizeof h) || little(h + 64, 4) != 0xbeda107f)
    return disk_refuse(e, "it is no VDI image");
  /* QEMU would read what is missing as zeros */
  if (little(h + 344, 4) + little(h + 388, 4) * little(h + 376, 4) > f->size)
    return disk_refuse(e, "it is cut off");
  uint64_t type = little(h + 76, 4);
  if (type != 1 && type != 2)
    return disk_refuse(e, "it holds only the differences to another file, its parent");
  return true;
}

static bool
check_vhdx(const struct disk_file *f, struct disk_error *e)
{
  char magic[8];

  return disk_read(f, 0, magic, sizeof magic) && memcmp(magic, "vhdxfile", 8) == 0 ? true : disk_refuse(e, "it is no VHDX image");
}

/* ECMA-119's descriptor, or the one that a disc with UDF alone has there. */
static bool
check_iso(const struct disk_file *f, struct disk_error *e)
{
  char d[5];

  if (disk_read(f, 32769, d, sizeof d) && (memcmp(d, "CD001", 5) == 0 || memcmp(d, "BEA01", 5) == 0))
    return true;
  return disk_refuse(e, "it is no ISO image");
}

static bool
check_raw(const struct disk_file *f, struct disk_error *e)
{
  return f->size > 0 ? true : disk_refuse(e, "it is empty");
}

bool
disk_check(const struct disk_file *f, enum disk_format format, struct disk_error *e)
{
  static bool (*const checks[DISK_N_FORMATS])(const struct disk_file *, struct disk_error *) = {
    [DISK_QCOW2] = check_qcow2, [DISK_RAW] = check_raw, [DISK_VMDK] = check_vmdk, [DISK_VDI] = check_vdi,
    [DISK_VHDX] = check_vhdx,   [DISK_VHD] = check_vhd, [DISK_ISO] = check_iso,
  };

  return checks[format](f, e);
}

enum disk_firmware
disk_guess_firmware(const struct disk_file *f)
{
  /* C12A7328-F81F-11D2-BA4B-00A0C93EC93B as it stands on disk */
  static const unsigned char esp[16] = { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b };
  unsigned char h[92], entry[16];

  for (uint64_t sector = 512; sector <= 4096; sector *= 8) {
    if (!disk_read(f, sector, h, sizeof h) || memcmp(h, "EFI PART", 8) != 0)
      continue;
    uint64_t first = little(h + 72, 8), n = little(h + 80, 4), size = little(h + 84, 4);
    if (first > f->size / sector || n > 1024 || size < 128 || size > 4096)
      return DISK_BIOS;
    for (uint64_t i = 0; i < n && disk_read(f, first * sector + i * size, entry, sizeof entry); i++)
      if (memcmp(entry, esp, sizeof esp) == 0)
        return DISK_UEFI;
  }
  return DISK_BIOS;
}

enum disk_firmware
disk_iso_firmware(const struct disk_file *f)
{
  unsigned char record[75], entry[32];
  bool bios = false;

  if (!disk_read(f, 17 * 2048, record, sizeof record) || memcmp(record + 1, "CD001", 5) != 0 || memcmp(record + 7, "EL TORITO", 9) != 0)
    return DISK_UEFI; /* no disc of that kind boots by BIOS; a UEFI may find a way */
  uint64_t at = little(record + 71, 4) * 2048;
  for (unsigned i = 0; i < 64 && disk_read(f, at + i * 32, entry, sizeof entry); i++) {
    bool header = i == 0 ? entry[0] == 1 : entry[0] == 0x90 || entry[0] == 0x91;
    if (header && entry[1] == 0xef)
      return DISK_UEFI;
    bios |= header && entry[1] == 0;
  }
  return bios ? DISK_BIOS : DISK_UEFI;
}
