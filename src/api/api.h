// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The API of docs/API.md on the Unix socket RUN/api.sock: authentication, authorisation, operations, events, streams.
 * It writes desired state into the store and never calls a driver; what only the node knows it asks the agent.
 *
 * Threads: one for each connection, made by libmicrohttpd. All of them end within pt_api_free(). Call pt_bus_free() and
 * pt_ops_free() after it. */
#include "node/agent.h"
#include "node/bus.h"
#include "node/ops.h"
#include "store/store.h"
#include "sys/host.h"

typedef struct PtApi PtApi;

typedef struct PtApiConfig {
  gint64 gateway_uid;    /* whose X-Forwarded-For is believed; -1 = nobody's */
  const char *group;     /* who may connect besides root; NULL = "portena", if that exists */
  const char *url;       /* where browsers find this node; NULL = what the gateway at RUN/gateway says of itself */
  guint max_connections; /* 0 = 512; a few of them are kept for root */
  guint hash_memory;     /* Argon2id memory in bytes; 0 = 64 MiB. For tests */
} PtApiConfig;

/* Reads the store; serves nothing yet. All arguments are borrowed for the life of the result, `config` is copied. */
PtApi *pt_api_new(const PtHost *host, PtStore *store, PtBus *bus, PtOps *ops, PtAgent *agent, const PtApiConfig *config,
                  GError **error);

/* Makes the socket (an old one is replaced) and serves from then on. CONFLICT where another daemon answers there. */
bool pt_api_listen(PtApi *api, GError **error);

/* Stops accepting, ends event streams and waiting requests, waits for the connections' threads, removes the socket.
 * Safe on NULL. Streams that were handed over go on: they are not ours any more. */
void pt_api_free(PtApi *api);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtApi, pt_api_free)

/* On a store without users: makes the user "admin" with a random readable password that is to be changed, written to
 * STATE/first-login (mode 0600: "admin PASSWORD\n"; removed when it has been changed), and the space "home" with admin as
 * its owner. Otherwise nothing. Call it before pt_api_listen(). */
bool pt_api_first_run(PtApi *api, GError **error);
