// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Images of format program: one program, with what belongs to it, in /app, for instances of kind process. */
#include "drivers/image/source.h"
#include "drivers/image/work.h"

#define PT_PROGRAM_HEAD 64 /* bytes that tell what a file is */

typedef enum {
  PT_PROGRAM_NONE,      /* nothing that can be run */
  PT_PROGRAM_RUNS,      /* *ret_runtime says by what */
  PT_PROGRAM_COMPONENT, /* WebAssembly, but of the component model */
  PT_PROGRAM_FOREIGN,   /* native, for another processor or of 32 bits */
} PtProgramIs;

/* What a file that begins with `head` is; *ret_runtime is a PtRuntime. A zip archive counts as a Java archive. Pure. */
PtProgramIs pt_program_sniff(const guint8 *head, gsize size, int *ret_runtime);

/* Fills /job/root and what the manifest says of it: format, runtime, kinds, command. The source is a file, a tarball, or a directory;
 * its tag is the program in it. Errors as pt_image_import(). Blocking. */
bool pt_image_import_program(PtImageWork *w, const PtSource *source, PtImage *image, GError **error);
