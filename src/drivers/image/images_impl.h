// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What images.c and mount.c share. */
#include "drivers/image/image.h"

struct PtImages {
  const PtHost *host;
  char *dir;            /* STATE/images */
  GMutex lock;          /* of what follows */
  GHashTable *mounts;   /* hex → PtImageMount */
};

typedef struct PtImageMount {
  guint users;
  gint64 idle;          /* pt_mono() since when it has none */
} PtImageMount;

/* "sha256:…" → the hex digits, borrowed; NULL and INVALID. */
const char *pt_images_hex(const char *digest, GError **error);

/* mount.c. Mounts of a predecessor in this mount namespace are taken over as unused. */
void pt_images_mounts_adopt(PtImages *images);
/* Called with the lock held: unmounts it if nobody uses it. CONFLICT where somebody does. */
bool pt_images_mounts_drop(PtImages *images, const char *hex, GError **error);
