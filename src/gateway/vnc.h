// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

#include "base/client.h"

/* The door for ordinary VNC viewers: RFB 3.8 with VeNCrypt X509Plain. The user name is USER@SPACE/INSTANCE, the password the
 * user's or an API token. A thread for each viewer; at most PT_VNC_MAX at once and PT_VNC_MAX_PER_ADDRESS from one address. */
#define PT_VNC_MAX 512
#define PT_VNC_MAX_PER_ADDRESS 64

typedef struct PtVnc PtVnc;

/* Accepts on the listening sockets (n of them, the server's from now on) on a thread of its own, for the life of the process.
 * The certificate is read now, and again when its file changes. Errors: INVALID for a certificate that cannot be loaded. */
PtVnc *pt_vnc_start(const int *listen_fds, guint n, const char *api_socket, const char *cert_path, const char *key_path,
                    GError **error);
