// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Inside of the HTTPS module: one server, how it is believed, and WebSocket streams to it. */
#include <curl/curl.h>

#include "cli/transport.h"

typedef struct PtHttps {
  PtTransport base;
  char *url; /* "https://host:port" */
  char *token, *pin, *ca;
  CURL *curl; /* of plain requests, kept for its connection */
} PtHttps;

/* Address, trust, protocols and connect timeout of every handle. */
void pt_https_prepare(const PtHttps *h, CURL *curl);
/* curl_easy_perform(), and once more where the handshake was cut short: nothing was asked yet, so that is harmless. */
CURLcode pt_https_perform(CURL *curl);
/* The error of a curl result. */
void pt_https_error(const PtHttps *h, CURLcode rc, GError **error);

/* A WebSocket stream that looks to its taker like one of the Unix socket: the descriptor is a control socket of base/wire.h,
 * served by a thread of this module. `body` is the first message, or NULL. -1 with an error. */
int pt_websocket_open(const PtHttps *h, const char *path, const char *body, bool channels, GError **error);

/* The thread's work: frames over `curl`, which it takes, and the peer end `control` of the control socket, which it takes
 * too. With `channels` the first byte of a message says which of the three standard streams it belongs to; else one
 * terminal. `early` are bytes that came behind the handshake's answer. */
bool pt_bridge_start(CURL *curl, int socket, int control, const char *body, bool channels, GByteArray *early,
                     GError **error);
