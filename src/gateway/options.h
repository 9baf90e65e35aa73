// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

#include "gateway/listen.h"

/* The command line of portena-gateway. */
typedef struct PtOptions {
  char *api, *state, *run, *web, *user, *nginx;
  GArray *listen, *vnc; /* PtListen */
  bool version;
} PtOptions;

/* Fills in the defaults, makes paths absolute. INVALID for a command line that makes no sense. */
bool pt_options_parse(int *argc, char ***argv, PtOptions *ret, GError **error);
void pt_options_clear(PtOptions *o);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtOptions, pt_options_clear)

/* Opens all sockets. Of an address that was not asked for but is a default, IPv6 may be missing and VNC's port taken. */
bool pt_options_listen(PtOptions *o, GError **error);
