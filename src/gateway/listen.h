// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

/* A TCP address to listen on, from "0.0.0.0:8443", "[::]:8443" or "127.0.0.1:0". */
typedef struct PtListen {
  struct sockaddr_storage addr;
  socklen_t len;
  int fd;        /* -1 until opened; close-on-exec, never blocks */
  bool optional; /* a default: one can go on without it */
} PtListen;

/* Addresses are numbers: a name could mean another thing tomorrow. INVALID otherwise. */
bool pt_listen_parse(const char *text, PtListen *ret, GError **error);

/* Binds and listens; port 0 becomes the one the kernel chose. Errors by errno, with a hint for a port in use. */
bool pt_listen_open(PtListen *l, GError **error);

/* "0.0.0.0:8443", "[::1]:5900"; and the address alone. The caller's to free. */
char *pt_addr_format(const struct sockaddr_storage *addr);
char *pt_addr_host(const struct sockaddr_storage *addr);
