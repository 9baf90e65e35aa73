// SPDX-License-Identifier: Apache-2.0
#include "gateway/streams.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "gateway/endpoint.h"
#include "gateway/handshake.h"
#include "gateway/thumb.h"
#include "gateway/websocket.h"

#define MAX_CONNECTIONS 2048
#define STACK (256u << 10) /* a relay's buffer of 64 KiB lives on it */

struct PtStreams {
  struct MHD_Daemon *daemon;
  PtClient *api;
  PtThumbs *thumbs;
};

/* What the thread of an upgraded connection needs. */
typedef struct Session {
  PtStreams *streams;
  PtCaller caller;
  PtTarget target;
  guint32 type;
  int fd; /* the stream; -1 for exec, which asks for it later */
} Session;

static void
session_free(Session *s)
{
  if (!s)
    return;
  if (s->fd >= 0)
    close(s->fd);
  pt_caller_clear(&s->caller);
  pt_target_clear(&s->target);
  g_free(s);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Session, session_free)

static char *
header(struct MHD_Connection *c, const char *name)
{
  return g_strdup(MHD_lookup_connection_value(c, MHD_HEADER_KIND, name));
}

static enum MHD_Result
reply(struct MHD_Connection *c, guint status, const char *type, const char *const *headers, const void *body, gsize size)
{
  struct MHD_Response *r = MHD_create_response_from_buffer(size, (void *)body, MHD_RESPMEM_MUST_COPY);

  if (!r)
    return MHD_NO;
  if (type)
    MHD_add_response_header(r, "Content-Type", type);
  for (; headers && headers[0]; headers += 2)
    MHD_add_response_header(r, headers[0], headers[1]);
  enum MHD_Result rc = MHD_queue_response(c, status, r);
  MHD_destroy_response(r);
  return rc;
}

static enum MHD_Result
reply_error(struct MHD_Connection *c, guint status, const GError *error)
{
  /* RFC 9110 wants Upgrade here, but nginx would pass it on into HTTP/2, where it is forbidden */
  static const char *const upgrade[] = { "Sec-WebSocket-Version", "13", NULL };
  g_autofree char *body = pt_problem(error);

  return reply(c, status ? status : pt_err_http(pt_error_code(error)), "application/problem+json", status == 426 ? upgrade : NULL,
               body, strlen(body));
}

/* The API's refusal, word for word; where it gave none, ours. */
static enum MHD_Result
reply_refused(struct MHD_Connection *c, const PtClientReply *refused, const GError *error)
{
  const char *headers[5] = { NULL }, *v;
  guint n = 0;

  if (!refused || refused->status < 400)
    return reply_error(c, 0, error);
  if ((v = pt_client_reply_header(refused, "retry-after"))) {
    headers[n++] = "Retry-After";
    headers[n++] = v;
  }
  if ((v = pt_client_reply_header(refused, "www-authenticate"))) {
    headers[n++] = "WWW-Authenticate";
    headers[n++] = v;
  }
  return reply(c, refused->status, pt_client_reply_header(refused, "content-type"), headers, refused->body,
               refused->body_size);
}

/* exec: its request comes first, then the API is asked. */
static void
serve_exec(Session *s, PtWs *ws)
{
  g_autoptr(GError) err = NULL;
  g_autoptr(PtClientReply) refused = NULL;
  g_autofree char *request = pt_ws_first_text(ws, &err);
  g_autoptr(json_t) json = request ? pt_json_parse_object(request, strlen(request), &err) : NULL;

  if (json)
    s->fd = pt_endpoint_stream(s->streams->api, &s->caller, &s->target, NULL, request, NULL, &s->type, &refused, &err);
  if (s->fd < 0)
    pt_ws_refuse(ws, err);
  else
    pt_ws_relay(ws, s->type, g_steal_fd(&s->fd));
}

static void
on_upgraded(void *cls, struct MHD_Connection *c, void *con_cls, const char *extra, size_t extra_size, MHD_socket sock,
            struct MHD_UpgradeResponseHandle *urh)
{
  g_autoptr(Session) s = cls;
  g_autoptr(PtWs) ws = pt_ws_new(sock, extra, extra_size);

  (void)c;
  (void)con_cls;
  if (s->fd >= 0)
    pt_ws_relay(ws, s->type, g_steal_fd(&s->fd));
  else
    serve_exec(s, ws);
  MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
}

static enum MHD_Result
queue_upgrade(struct MHD_Connection *c, const char *accept, Session *s)
{
  struct MHD_Response *r = MHD_create_response_for_upgrade(on_upgraded, s);

  if (!r) {
    session_free(s);
    return MHD_NO;
  }
  MHD_add_response_header(r, "Upgrade", "websocket");
  MHD_add_response_header(r, "Sec-WebSocket-Accept", accept);
  if (pt_ws_names(MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Sec-WebSocket-Protocol"), "binary"))
    MHD_add_response_header(r, "Sec-WebSocket-Protocol", "binary");
  enum MHD_Result rc = MHD_queue_response(c, MHD_HTTP_SWITCHING_PROTOCOLS, r);
  MHD_destroy_response(r);
  if (rc != MHD_YES)
    session_free(s);
  return rc;
}

/* Authorizes before the handshake: who may not gets the HTTP error. */
static bool
authorize(Session *s, const char *query, PtClientReply **ret_refused, GError **error)
{
  if (strcmp(s->target.verb, "exec") == 0) {
    g_autoptr(json_t) instance = pt_endpoint_instance(s->streams->api, &s->caller, &s->target, ret_refused, error);
    return instance != NULL;
  }
  s->fd = pt_endpoint_stream(s->streams->api, &s->caller, &s->target, query, NULL, NULL, &s->type, ret_refused, error);
  return s->fd >= 0;
}

static enum MHD_Result
serve_websocket(struct MHD_Connection *c, Session *session)
{
  g_autoptr(Session) s = session;
  g_autoptr(GError) err = NULL;
  g_autoptr(PtClientReply) refused = NULL;
  const char *history = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "history");
  const char *query = history ? (strcmp(history, "true") == 0 ? "history=true" : "history=false") : NULL;
  g_autofree char *accept = pt_ws_check(MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Upgrade"),
                                        MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Sec-WebSocket-Version"),
                                        MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Sec-WebSocket-Key"));

  if (!accept) {
    PT_SET(&err, PT_ERR_INVALID, "%s: is reached over HTTPS by a WebSocket (version 13)", s->target.verb);
    return reply_error(c, 426, err);
  }
  if (!pt_caller_check_origin(&s->caller, &err))
    return reply_error(c, 0, err);
  if (!authorize(s, query, &refused, &err))
    return reply_refused(c, refused, err);
  return queue_upgrade(c, accept, g_steal_pointer(&s));
}

static enum MHD_Result
serve_thumbnail(struct MHD_Connection *c, Session *s)
{
  g_autoptr(GError) err = NULL;
  g_autoptr(PtClientReply) refused = NULL;
  g_autofree char *etag = NULL;
  const char *known = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-None-Match");
  g_autoptr(GBytes) png = pt_thumbs_get(s->streams->thumbs, &s->caller, &s->target, &etag, &refused, &err);

  if (!png)
    return reply_refused(c, refused, err);
  const char *const headers[] = { "ETag", etag, "Cache-Control", "private, max-age=3", "Vary", "Cookie, Authorization", NULL };
  if (g_strcmp0(known, etag) == 0)
    return reply(c, MHD_HTTP_NOT_MODIFIED, NULL, headers, "", 0);
  return reply(c, MHD_HTTP_OK, "image/png", headers, g_bytes_get_data(png, NULL), g_bytes_get_size(png));
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method, const char *version, const char *upload,
           size_t *upload_size, void **con_cls)
{
  static char seen;
  g_autoptr(GError) err = NULL;

  (void)version;
  (void)upload;
  if (!*con_cls) { /* MHD calls once with the headers alone; an answer in that call would end the connection */
    *con_cls = &seen;
    return MHD_YES;
  }
  if (*upload_size > 0)
    return MHD_NO; /* nothing here takes a body */
  g_autoptr(Session) s = g_new0(Session, 1);
  s->streams = cls;
  s->fd = -1;
  if (!pt_target_parse(url, &s->target, &err))
    return reply_error(c, 0, err);
  if (strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
    PT_SET(&err, PT_ERR_INVALID, "%s: takes GET only, over HTTPS", s->target.verb);
    return reply_error(c, MHD_HTTP_METHOD_NOT_ALLOWED, err);
  }
  s->caller = (PtCaller){ header(c, "Authorization"), header(c, "Cookie"), header(c, "Origin"), header(c, "Host"),
                          header(c, "X-Forwarded-For") };
  if (strcmp(s->target.verb, "thumbnail") == 0)
    return serve_thumbnail(c, s);
  return serve_websocket(c, g_steal_pointer(&s));
}

int
pt_unix_listen(const char *path, GError **error)
{
  struct sockaddr_un sa = { .sun_family = AF_UNIX };
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (strlen(path) >= sizeof sa.sun_path) {
    PT_SET(error, PT_ERR_INVALID, "%s: a socket's path has at most %d bytes", path, (int)sizeof sa.sun_path - 1);
  } else if (fd >= 0) {
    memcpy(sa.sun_path, path, strlen(path));
    unlink(path);
    mode_t old = umask(0177);
    bool ok = bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
    umask(old);
    if (ok && listen(fd, 511) == 0)
      return fd;
    pt_error_errno(error, errno, "%s", path);
  } else {
    pt_error_errno(error, errno, "%s", path);
  }
  if (fd >= 0)
    close(fd);
  return -1;
}

PtStreams *
pt_streams_start(int listen_fd, const char *api_socket, GError **error)
{
  PtStreams *s = g_new0(PtStreams, 1);

  s->api = pt_client_new(api_socket);
  s->thumbs = pt_thumbs_new(s->api);
  s->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_UPGRADE, 0, NULL, NULL,
                               on_request, s, MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
                               (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, 30u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                               (size_t)(48u << 10), MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK, MHD_OPTION_END);
  if (s->daemon)
    return s;
  PT_SET(error, PT_ERR_INTERNAL, "the server for streams could not start");
  pt_streams_free(s);
  return NULL;
}

void
pt_streams_free(PtStreams *s)
{
  if (!s)
    return;
  if (s->daemon)
    MHD_stop_daemon(s->daemon);
  pt_thumbs_free(s->thumbs);
  pt_client_free(s->api);
  g_free(s);
}
