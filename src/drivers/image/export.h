// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Disks on their way out: as a file that another hypervisor takes. Blocking; any thread. */
#include "drivers/image/image.h"

typedef struct PtExport {
  const char *disk;      /* path of the raw disk; nobody writes it meanwhile */
  const char *name;      /* of the machine */
  const char *os;        /* what is on it, for a person; may be NULL */
  gint64 cpu, memory;    /* thousandths, bytes; 0 = two cpus, 2 GiB */
  int firmware;          /* PtFirmware */
} PtExport;

/* "qcow2", "raw", "vmdk", "vdi", "vhdx", "vhd", "ova", "iso"; NULL-ended. */
extern const char *const pt_export_formats[];

/* Writes it in `format` to the new file `to`, which is on the file system of STATE and is whole once it has its name. Progress as with
 * pt_images_make(). INVALID (there is no such format), CANCELLED, NO_SPACE. */
bool pt_images_export(PtImages *images, const PtExport *what, const char *format, const char *to, PtProgress progress, void *data,
                      GCancellable *cancel, GError **error);

/* ---- export_vmdk.c: a raw disk as a stream-optimised VMDK. `report` as that of pt_sparse_copy() ---- */
bool pt_vmdk_stream(int from, int to, bool (*report)(gint64 done, gint64 total, void *data), void *data, GError **error);

/* ---- export_ova.c ---- */
/* The descriptor for one disk in `file` of `bytes`, which is `capacity` bytes large. New. */
char *pt_ovf_format(const PtExport *what, const char *file, gint64 bytes, gint64 capacity);
/* A name that any file system and hypervisor takes. New. */
char *pt_export_name(const char *name);
/* Writes the archive: descriptor, manifest, disk. `report` as that of pt_sparse_copy(). */
bool pt_ova_write(int to, const PtExport *what, int disk, gint64 capacity, bool (*report)(gint64 done, gint64 total, void *data),
                  void *data, GError **error);
