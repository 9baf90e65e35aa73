// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Bytes of the server's into a descriptor: files of an instance, exported disks. */
#include "cli/cli.h"

typedef struct PtFetch {
  const char *path; /* on the server */
  int fd;           /* where it goes, from where that stands */
  const char *name; /* of what is written, in errors */
  bool holes;       /* pieces of zeros become holes; the caller gives the file its length, `done`, afterwards */
  void (*tell)(void *data, gint64 more); /* so many bytes have come */
  void *data;
  gint64 done;
} PtFetch;

/* The caller's; NULL where it could not be fetched, or the server refused. Blocking. */
PtClientReply *pt_fetch(PtCli *cli, PtFetch *fetch, GError **error);
