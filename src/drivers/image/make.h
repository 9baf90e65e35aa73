// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The steps of making an image: a root file system below /job/root in the jail, then an erofs file and a manifest. Each
 * fills what it knows of `image`. Blocking. */
#include "drivers/image/source.h"
#include "drivers/image/work.h"
#include "sys/arch.h"

/* import.c: everything but recipes. */
bool pt_image_import(PtImageWork *w, const PtSource *source, PtImage *image, GError **error);
/* Unpacks the tarball at source->path into `into` (in the jail: below /job; its parent is there). */
bool pt_image_unpack(PtImageWork *w, const PtSource *source, const char *into, GError **error);
/* recipe.c. */
bool pt_image_cook(PtImageWork *w, const char *recipe, PtImage *image, GError **error);
/* disk.c: any source of a disk, from the file to disk.raw, digest and manifest; out/ is whole and on disk then. */
bool pt_image_import_disk(PtImageWork *w, const PtSource *source, PtImage *image, GError **error);
/* finish.c: detects what it can run as, packs it, sets digest and size and writes manifest.json; out/ is whole and on disk then. */
bool pt_image_finish(PtImageWork *w, PtImage *image, GError **error);

/* Writes manifest.json of what is whole by now, and syncs out/. */
bool pt_image_manifest(PtImageWork *w, PtImage *image, GError **error);

/* kernel.c: the program that becomes a kernel's first, the caller's string (UNSUPPORTED where it was not built); and what the manifest
 * says of a kernel that has been made. */
char *pt_kernel_guest(const PtHost *host, const PtArch *arch, GError **error);
bool pt_kernel_describe(PtImageWork *w, PtImage *image, const char *guest, GError **error);

/* A file of the tree that was made, through no symlink that leads out of it. At most `max` bytes. NULL where it is not there. */
char *pt_image_read(PtImageWork *w, const char *path, gsize max, gsize *ret_size);
