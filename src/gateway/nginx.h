// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* What the configuration of nginx is made of. All borrowed. */
typedef struct PtNginxSetup {
  const char *run;                /* nginx.conf, pid and temporary files */
  const char *web;                /* the built pages */
  const char *api;                /* portenad's socket */
  const char *streams;            /* our own socket: WebSocket and thumbnails */
  const char *cert, *key;         /* PEM files */
  const char *const *listen;      /* "0.0.0.0:8443", NULL-ended: must equal the inherited sockets' addresses */
  guint workers;
  bool http2_directive;           /* pt_nginx_http2_directive() */
} PtNginxSetup;

/* Whether this nginx has the directive "http2" (1.25.1), and finds fault with the older word in "listen". Runs it with -v, and
 * waits. False where it does not run: starting it will say why. */
bool pt_nginx_http2_directive(const char *program);

/* The whole text of nginx.conf; the caller's to free. INVALID where a path holds a character that could mean something to
 * nginx: it would not be a path then, but configuration. */
char *pt_nginx_conf(const PtNginxSetup *setup, GError **error);
