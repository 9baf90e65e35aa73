// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* One WebSocket (RFC 6455; framing by wslay), from the handshake's end to the connection's. Everything happens on the
 * thread of the caller and blocks until it is over. */
#define PT_WS_MAX_MESSAGE (1u << 20)

typedef struct PtWs PtWs;
/* `fd` is borrowed and becomes non-blocking; `early` are bytes that came with the handshake. */
PtWs *pt_ws_new(int fd, const void *early, gsize early_size);
void pt_ws_free(PtWs *ws);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtWs, pt_ws_free)

/* Waits for the first message, which must be text: exec's request. The caller's to free; NULL with INVALID, TIMEOUT (10 s) or
 * UNREACHABLE (the peer left). */
char *pt_ws_first_text(PtWs *ws, GError **error);

/* Relays between the WebSocket and a stream of base/wire.h, `type` PT_WIRE_STREAM or PT_WIRE_CONTROL, whose descriptor it
 * closes. Returns when either side has ended, having closed the other properly. */
void pt_ws_relay(PtWs *ws, guint32 type, int fd);

/* Says {"error":…} and closes. */
void pt_ws_refuse(PtWs *ws, const GError *error);
