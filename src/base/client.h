// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gio/gio.h>
#include <stdbool.h>

#include "base/http.h"
#include "base/json.h"
#include "base/wire.h"

/* A small HTTP/1.1 client of the API on its Unix socket, shared by portena and portena-gateway.
 *
 * All calls block. A PtClient is never changed after it was set up, and every request has a connection of
 * its own (60 µs on a Unix socket), so one PtClient may be used from any number of threads. */
typedef struct PtClient PtClient;

/* `socket_path` is copied. Nothing is connected yet. */
PtClient *pt_client_new(const char *socket_path);
void pt_client_free(PtClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtClient, pt_client_free)
/* A header sent with every request ("Authorization", …). Before the first request, from one thread. */
void pt_client_set_header(PtClient *client, const char *name, const char *value);

/* Fills up to `size` bytes of a request's body: 0 at its end, -1 with an error. */
typedef gssize (*PtClientSource)(void *data, void *buf, gsize size, GError **error);
/* Takes a piece of the answer's body, of a status below 300 only; false with an error ends the request. */
typedef bool (*PtClientSink)(void *data, const void *buf, gsize size, GError **error);

typedef struct PtClientRequest {
  const char *method;         /* "GET" */
  const char *path;           /* "/v1/spaces?x=y", percent-encoded (pt_client_path) */
  const char *const *headers; /* name, value, …, NULL; may be NULL */
  const void *body;           /* sent with its length, as application/json unless a header says otherwise; or: */
  gsize body_size;
  PtClientSource source; /* sent chunked */
  void *source_data;
  PtClientSink sink; /* else the body is gathered in the reply */
  void *sink_data;
  gint64 timeout;  /* µs of silence, of connecting, sending or receiving; 0: 30 s; -1: for ever */
  gsize max_body;  /* of a gathered body; 0: 8 MiB */
  GCancellable *cancel; /* borrowed, may be NULL; ends it with CANCELLED */
} PtClientRequest;

typedef struct PtClientReply {
  guint status;
  char **headers; /* name in lower case, value, …, NULL */
  char *body;     /* with a NUL behind it that is not counted; never NULL */
  gsize body_size;
} PtClientReply;

void pt_client_reply_free(PtClientReply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtClientReply, pt_client_reply_free)
/* A header's value or NULL; `name` in lower case. */
const char *pt_client_reply_header(const PtClientReply *reply, const char *name);
/* True for a status below 400; else the error that the problem details in the body describe (code by
 * `title`, else by the status; message; hint). */
bool pt_client_reply_check(const PtClientReply *reply, GError **error);

/* One request and its answer. An answer with an error status is an answer: see pt_client_reply_check. NULL only where there
 * is none. Errors: UNREACHABLE (with a hint) where nobody listens, TIMEOUT, INVALID, TOO_LARGE, CANCELLED, the sink's or
 * source's. */
PtClientReply *pt_client_send(const PtClient *client, const PtClientRequest *request, GError **error);

/* The common case: JSON in (may be NULL), JSON out, an error for a status of 400 and more. A new reference; an empty
 * object for an answer without a body. */
json_t *pt_client_call(const PtClient *client, const char *method, const char *path, const json_t *body, GError **error);

/* Asks for a stream (base/wire.h): adds Upgrade and Connection, and returns the descriptor that was handed over, the
 * caller's, with *ret_type PT_WIRE_STREAM or PT_WIRE_CONTROL. -1 with an error; where that is a refusal over HTTP,
 * *ret_refused (may be NULL) is the reply too, the caller's. */
int pt_client_upgrade(const PtClient *client, const PtClientRequest *request, guint32 *ret_type, PtClientReply **ret_refused,
                      GError **error);

/* printf for paths: every %s is percent-encoded (all but RFC 3986's unreserved characters). Knows %s, %d, %u
 * and %%. The caller's to free. */
char *pt_client_path(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
