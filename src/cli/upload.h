// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Files of this machine that become images on the server. */
#include "cli/cli.h"

/* The format of a disk, by the end of its file's name and never by what is in it: a guest has written that. NULL where it says none. */
const char *pt_upload_disk_format(const char *file);
/* What the server is to take a file for: a disk ("qcow2", …) by its name's end; "program" where its first bytes are those of ELF,
 * WebAssembly, a Java archive or a script, and for directories; else "rootfs", a tarball, as standard input ("-") is. Constant. */
const char *pt_upload_format(const char *file);
/* Whether `image`, where the name of an image is wanted, is meant to be a program here: it leads there (./x, /x, ../x), or ends in
 * .wasm or .jar and is there. */
bool pt_upload_is_program(const char *image);
/* The name that the image of a program gets without another: "program/x.wasm" for "./x.wasm". The caller's. */
char *pt_upload_name(const char *file);
typedef struct PtUpload {
  const char *file;   /* or a directory, or "-" */
  const char *name, *format;
  const char *arch;   /* NULL: the server's */
  const char *main;   /* of a program's directory or tarball: the file of it that is run; NULL: the only one */
} PtUpload;
/* Sends it; the server's answer, with the operation, in *ret. */
bool pt_upload(PtCli *cli, const PtUpload *upload, json_t **ret, GError **error);
