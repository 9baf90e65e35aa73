// SPDX-License-Identifier: Apache-2.0
#pragma once
/* A stream between this terminal (or these files) and an instance. */
#include "cli/cli.h"

typedef struct PtStreamOptions {
  bool raw;         /* put the terminal into raw mode */
  bool view;        /* nothing of ours runs there: a signal ends the looking, and goes to nobody */
  int detach;       /* the byte that ends it from this side (0x1d = Ctrl-]); 0 = none */
  const char *name; /* the instance, for messages */
} PtStreamOptions;

/* Runs a stream to its end. Takes `fd` (what the server handed over, of wire type `type`). Returns the exit status of the
 * command, 128 + n when a signal ended it, 0 after a detach or the end of a console; with an error -1, or, as shells have
 * it, 127 where there is no such command and 126 where it may not be run. */
int pt_stream_run(PtCli *cli, int fd, guint32 type, const PtStreamOptions *options, GError **error);
