// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The two ways to a server behind one table: the Unix socket (local.c), linked in and fast, and HTTPS (https/, a
 * module that is loaded when it is needed, so that nobody waits for a TLS library to start). */
#include "base/client.h"

typedef struct PtTransport PtTransport;
typedef struct PtTransportOps {
  /* As pt_client_send() and pt_client_upgrade() of base/client.h. */
  PtClientReply *(*send)(PtTransport *t, const PtClientRequest *request, GError **error);
  int (*upgrade)(PtTransport *t, const PtClientRequest *request, guint32 *ret_type, GError **error);
  void (*free)(PtTransport *t);
} PtTransportOps;
struct PtTransport {
  const PtTransportOps *ops;
};

/* The Unix socket at `path`; `token` may be NULL. Connects with the first request. */
PtTransport *pt_local_new(const char *path, const char *token);

/* What the HTTPS module exports as "pt_https_module". */
typedef struct PtHttpsSettings {
  const char *url;   /* "https://host:port" */
  const char *token; /* or NULL */
  const char *pin;   /* "sha256//BASE64" of the server's public key: believed instead of any authority; or NULL */
  const char *ca;    /* file of authorities, or NULL for the system's */
} PtHttpsSettings;
typedef struct PtHttpsModule {
  guint version; /* PT_HTTPS_VERSION */
  PtTransport *(*open)(const PtHttpsSettings *settings, GError **error);
  /* Shakes hands without sending a request: the certificate's SHA-256 ("AB:CD:…"), the pin of its key, its subject,
   * and whether the authorities vouch for it. Strings are the caller's. */
  bool (*probe)(const char *url, const char *ca, char **ret_fingerprint, char **ret_pin, char **ret_subject,
                bool *ret_trusted, GError **error);
} PtHttpsModule;
#define PT_HTTPS_VERSION 1u

/* Loads the module. The errors say which package is missing. */
const PtHttpsModule *pt_https_load(GError **error);
