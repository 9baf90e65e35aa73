// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* The HTTP side of the process that relays: a server behind nginx on a Unix socket, a thread for each connection. It answers
 * …/exec, …/console and …/desktop as WebSockets and …/thumbnail. */
typedef struct PtStreams PtStreams;

/* `listen_fd` listens already (pt_unix_listen) and is the server's from now on. `api_socket` is copied. */
PtStreams *pt_streams_start(int listen_fd, const char *api_socket, GError **error);
/* Waits for the relays that are running; call it when the process is to end anyway. */
void pt_streams_free(PtStreams *streams);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtStreams, pt_streams_free)

/* A listening Unix socket of mode 0600, replacing what was at `path`. -1 with an error. */
int pt_unix_listen(const char *path, GError **error);
