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
} PtNginxSetup;

/* The whole text of nginx.conf; the caller's to free. INVALID where a path holds a character that could mean something to
 * nginx: it would not be a path then, but configuration. */
char *pt_nginx_conf(const PtNginxSetup *setup, GError **error);
