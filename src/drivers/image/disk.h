// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Disk images through qemu-img, in the jail. Blocking. */
#include "drivers/image/work.h"

#define PT_DISK_MAX (G_GINT64_CONSTANT(8) << 40) /* bytes that a disk may be large: every file system below can hold it, sparsely */

/* A disk in a file: read as what it is declared to be, whatever is in it, and never with another file. */
typedef struct PtDiskSource {
  const char *path;    /* on the host: a regular file */
  const char *format;  /* QEMU's name: "qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc" */
  gint64 offset, size; /* where in the file it lies; size 0 = all of it */
} PtDiskSource;

/* How large the disk in it is, which is sound as far as its tables say. INVALID, also where it is larger than PT_DISK_MAX. */
bool pt_disk_size(PtImageWork *w, const PtDiskSource *source, gint64 *ret_bytes, GError **error);

/* Writes the disk as `format` into the new file `output`, which is the caller's to remove when it fails. Zeros become holes. The step
 * that is being done is reported on, as a whole of 1000. The file gets no longer than `length` bytes, and takes no more of the host's
 * disk than is free but a reserve: NO_SPACE. INVALID: the image is damaged. */
bool pt_disk_convert(PtImageWork *w, const PtDiskSource *source, const char *format, const char *options, const char *output,
                     gint64 length, GError **error);

/* SHA-256 of a raw disk's content ("sha256:…"), the same whatever of it is holes: docs/IMAGES.md says of what exactly. `ret_used`: bytes in
 * blocks that are not zero. A disc (`iso`) has another than a disk of the same bytes. The step is reported on in bytes. */
char *pt_disk_digest(PtImageWork *w, int fd, bool iso, gint64 *ret_used, GError **error);
