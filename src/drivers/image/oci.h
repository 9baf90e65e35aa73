// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The JSON of OCI images (github.com/opencontainers/image-spec v1.0) and Docker's schema 2, as far as an image of ours needs it. Pure;
 * all of it comes from strangers. Digests are returned as 64 hex digits. Errors are INVALID. */
#include "model/space.h"

#define PT_OCI_LAYERS_MAX 512

typedef struct PtOciManifest {
  char *config;    /* digest of the config; NULL: it is an index, and `next` is set */
  char *next;      /* index: digest of the manifest for the wanted architecture */
  gint64 bytes;    /* of all layers as they are transferred */
  guint layers;
} PtOciManifest;

/* A manifest, or an index of them (a manifest list) out of which the one for linux on `arch` ("x86_64") is chosen; an index of one
 * is that one. */
bool pt_oci_manifest_parse(const char *text, gsize size, const char *arch, PtOciManifest *ret, GError **error);
void pt_oci_manifest_clear(PtOciManifest *m);

/* Fills command, env, cwd, user, stop_signal and arch of `image` from a config. Refuses one for another architecture or system. */
bool pt_oci_config_parse(const char *text, gsize size, const char *arch, PtImage *image, GError **error);

/* "amd64" for "x86_64". Borrowed; other names are the same in both worlds. */
const char *pt_oci_arch(const char *arch);
