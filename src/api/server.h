// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The HTTP server: libmicrohttpd on a Unix socket, one thread a connection. */
#include "api/request.h"

/* Serves from then on. CONFLICT where somebody answers at `path`. */
PtServer *pt_server_new(PtApi *api, const char *path, GError **error);
/* Ends connections, waits for their threads, removes the socket. Safe on NULL. */
void pt_server_free(PtServer *s);
