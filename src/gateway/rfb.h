// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

#include "gateway/io.h"

/* The handshakes of RFB 3.8 (RFC 6143) and VeNCrypt 0.2, both sides, up to where the stream can be relayed: the client's
 * ClientInit comes next. Errors: those of PtIo, INVALID for a peer that breaks the protocol. */

/* To a desktop that asks for no password. */
bool pt_rfb_join(PtIo *io, GError **error);

/* As a server to a viewer: offers VeNCrypt with X509Plain and nothing else. After it the TLS handshake begins. A viewer that
 * cannot is told why before the error. */
bool pt_rfb_offer(PtIo *io, GError **error);

/* Inside TLS: the viewer's user name and password; at most 1 KiB each, UTF-8 without NUL. The caller's to free, the password
 * with pt_secret_free. */
bool pt_rfb_read_plain(PtIo *io, char **ret_user, char **ret_password, GError **error);

/* SecurityResult: OK where `reason` is NULL. */
bool pt_rfb_result(PtIo *io, const char *reason, GError **error);

/* "anna@home/studio": user, space, instance, each a valid name. INVALID saying what is expected. The caller's to free. */
bool pt_rfb_parse_name(const char *text, char **ret_user, char **ret_space, char **ret_instance, GError **error);
