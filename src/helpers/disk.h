// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What the parts of portena-disk share: it looks into disk images and OVAs that strangers made, and runs in portena-jail, never
 * elsewhere. Plain C, libc and expat only. Nothing here keeps a pointer into what it was given. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why something was refused, for a person: "it …". Empty = nothing was. */
struct disk_error {
  char text[320];
};
/* Sets the text, control characters made harmless, unless there is one already; false, for a return. */
bool disk_refuse(struct disk_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A part of a file; or, in tests, of memory. */
struct disk_file {
  int fd;
  const unsigned char *memory; /* NULL: fd */
  uint64_t offset, size;
};
/* All of it or nothing: false beyond the end and where it cannot be read. */
bool disk_read(const struct disk_file *f, uint64_t at, void *buf, size_t size);

enum disk_format { DISK_QCOW2, DISK_RAW, DISK_VMDK, DISK_VDI, DISK_VHDX, DISK_VHD, DISK_ISO, DISK_N_FORMATS };
extern const char *const disk_format_names[DISK_N_FORMATS + 1];

/* That it is what it is said to be and needs no other file. Not that it is whole: qemu-img says that. */
bool disk_check(const struct disk_file *f, enum disk_format format, struct disk_error *e);

enum disk_firmware { DISK_FIRMWARE_UNKNOWN, DISK_UEFI, DISK_BIOS };
extern const char *const disk_firmware_names[]; /* NULL for unknown */
/* Of a raw disk: UEFI where a GPT has an EFI system partition, else BIOS. */
enum disk_firmware disk_guess_firmware(const struct disk_file *f);
/* Of an ISO: BIOS where its El Torito catalogue knows no other. */
enum disk_firmware disk_iso_firmware(const struct disk_file *f);

#define OVF_MAX (4u << 20)
/* What an OVF descriptor says, as far as Portena asks. Texts are printable UTF-8, "" where there is none. */
struct ovf {
  char disk[256]; /* name of the file with the one disk */
  uint64_t disk_bytes; /* of that file, as the descriptor says; 0 = it does not */
  enum disk_format format;
  unsigned cpus;   /* 0 = not said */
  uint64_t memory; /* bytes; 0 = not said */
  enum disk_firmware firmware;
  char name[128], os[128], description[512];
};
bool ovf_parse(const char *text, size_t size, struct ovf *ovf, struct disk_error *e);

#define OVA_SUMS_MAX 2
struct ova {
  struct ovf ovf;
  uint64_t offset, size; /* of the disk, in the archive */
  struct ova_sum {       /* what the archive's manifest says of the descriptor and the disk */
    int bits;            /* 1, 256, 512: SHA-1, SHA-256, SHA-512 */
    char hex[129];       /* lower case */
    uint64_t offset, size;
  } sums[OVA_SUMS_MAX];
  unsigned n_sums;
};
bool ova_open(const struct disk_file *f, struct ova *ova, struct disk_error *e);
