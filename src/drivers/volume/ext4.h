// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What the pool needs to know of ext4: making one, how large one is, growing one. Blocking; any thread. */
#include <glib.h>
#include <stdbool.h>

#define PT_EXT4_MIN ((gint64)16 << 20) /* bytes: smaller than this its journal would fill it */
#define PT_EXT4_MAX ((gint64)16 << 40) /* what e2fsprogs and every kernel handle with ease */

/* Makes a file system over the whole of the sparse file `path`, complete: no inode table or journal is left for
 * a kernel thread to initialise. Holes stay holes. */
bool pt_ext4_make(const char *path, GError **error);

/* Bytes that the file system in `fd` (an image or a device) spans, by its superblock; -1 and INVALID where it is none. */
gint64 pt_ext4_size(int fd, GError **error);

/* Grows the file system mounted at `path` to `bytes`. UNSUPPORTED where the kernel does not let us. */
bool pt_ext4_grow_mounted(const char *path, gint64 bytes, GError **error);

/* Where an image is not ours to believe: the tools run in portena-jail, as root of the 65,536 ids from `ids` on, which own it. */
typedef struct PtExt4Guard {
  const char *jail; /* the program */
  guint ids;
} PtExt4Guard;

/* Checks the unmounted image `path` and mends what needs no question; needed before it is grown. `guard` NULL: it is ours. */
bool pt_ext4_check_image(const char *path, const PtExt4Guard *guard, GError **error);
/* Grows the file system of an image just checked to the size of the file. On failure the image may be damaged: give
 * it a copy. */
bool pt_ext4_grow_image(const char *path, const PtExt4Guard *guard, GError **error);
