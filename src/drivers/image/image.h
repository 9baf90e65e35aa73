// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Images on this node: STATE/images/<64 hex>/{rootfs.erofs,manifest.json}, or disk.raw instead of rootfs.erofs. Named by the
 * SHA-256 of the erofs file, or of what is in the disk (docs/IMAGES.md). A build
 * or import works in STATE/images/.work-<random>/ and is renamed into place at the very end; what a killed
 * one left is removed at open. Everything foreign is fetched, parsed and unpacked by programs in the jail
 * (helpers/jail.c): their own ids, namespaces, no capability over the host. Blocking; any thread. */
#include <gio/gio.h>

#include "model/space.h"
#include "sys/host.h"

typedef struct PtImages PtImages;

/* Called from the working thread, a few times a second at most. permille -1 = unknown; `step` is for a person. */
typedef void (*PtProgress)(const char *step, gint64 permille, gint64 done, gint64 total, const char *unit, void *data);

PtImages *pt_images_open(const PtHost *host, GError **error);
void pt_images_close(PtImages *images);

/* Names of the built-in recipes (constant, NULL-ended) and the sentence that describes one; NULL where there is none. Their data
 * is in DATADIR/images, or in $PORTENA_DATADIR/images where that is set. */
const char *const *pt_images_recipes(void);
const char *pt_images_recipe_help(const char *recipe);
int pt_images_recipe_format(const char *recipe); /* PtFormat of what it makes */

/* The recipe, and so the name, of the image that machines of model micro start from. */
#define PT_KERNEL_RECIPE "kernel"
/* Whether a kernel's image has the portena-guest in it that this installation has: another version's works, but knows less. */
bool pt_images_kernel_current(const PtHost *host, const PtImage *image);

/* Makes an image and its manifest. `source` is one of
 *   "recipe:NAME"                       built-in
 *   "docker://REGISTRY/REPO[:TAG|@…]"   a registry, through skopeo ("http://" registries only on loopback)
 *   "oci:PATH[:TAG]"  "docker-archive:PATH[:TAG]"  "oci-archive:PATH[:TAG]"  a layout or archive on this node
 *   "rootfs:PATH"                       a tarball of a root file system, any compression libarchive reads
 *   "program:PATH[:MAIN]"               a program for kind process: a file, or a tarball or directory with MAIN in it
 *   "qcow2:PATH" "raw:PATH" "vmdk:PATH" "vdi:PATH" "vhdx:PATH" "vhd:PATH" "ova:PATH"  the disk of an unmodified system
 *   "iso:PATH"                          a disc, to install from
 * `arch` NULL = the host's. The manifest is the caller's. An equal image that exists already is success.
 * Errors: INVALID (the source is malformed or hostile), UNREACHABLE (registry), CANCELLED, NO_SPACE. */
PtImage *pt_images_make(PtImages *images, const char *source, const char *arch, PtProgress progress, void *data,
                        GCancellable *cancel, GError **error);

/* Manifests of all images present: GPtrArray of PtImage with its free function. */
GPtrArray *pt_images_list(PtImages *images, GError **error);
PtImage *pt_images_get(PtImages *images, const char *digest, GError **error);
bool pt_images_remove(PtImages *images, const char *digest, GError **error); /* mounted: CONFLICT; absent is success */

/* The file of an image on this node, for who opens it himself: its rootfs.erofs or disk.raw. The caller's. NOT_FOUND. */
char *pt_images_file(PtImages *images, const char *digest, GError **error);

/* Mounts it read-only, once for all its users: RUN/mnt/img/<hex>. The path is the caller's. Counted: one unmount for
 * each mount; the last one really unmounts, after a while. */
char *pt_images_mount(PtImages *images, const char *digest, GError **error);
void pt_images_unmount(PtImages *images, const char *digest);
