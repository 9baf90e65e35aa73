// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What an image is made from, taken apart. Pure. */
#include <glib.h>
#include <stdbool.h>

typedef enum {
  PT_SOURCE_RECIPE,
  PT_SOURCE_DOCKER,
  PT_SOURCE_OCI,
  PT_SOURCE_DOCKER_ARCHIVE,
  PT_SOURCE_OCI_ARCHIVE,
  PT_SOURCE_ROOTFS,
  PT_SOURCE_PROGRAM,
  /* Disks of unmodified systems, from here on: */
  PT_SOURCE_QCOW2,
  PT_SOURCE_RAW,
  PT_SOURCE_VMDK,
  PT_SOURCE_VDI,
  PT_SOURCE_VHDX,
  PT_SOURCE_VHD,
  PT_SOURCE_OVA,
  PT_SOURCE_ISO,
  PT_N_SOURCES
} PtSourceKind;

typedef struct PtSource {
  PtSourceKind kind;
  char *name;      /* recipe; or "REGISTRY/REPO[:TAG|@DIGEST]" */
  char *path;      /* of the kinds with a file: absolute */
  char *tag;       /* of layouts and archives: NULL = the only one; of a program with files: which of them it is */
  bool plain_http; /* the registry is on this machine's loopback: without TLS */
} PtSource;

static inline bool
pt_source_is_disk(PtSourceKind kind)
{
  return kind >= PT_SOURCE_QCOW2;
}

/* INVALID: says which kinds there are, or what is wrong with this one. */
PtSource *pt_source_parse(const char *text, GError **error);
void pt_source_free(PtSource *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtSource, pt_source_free)
