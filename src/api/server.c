// SPDX-License-Identifier: Apache-2.0
/* The glue between libmicrohttpd and the handlers.
 *
 * Theory of operation. A connection has a thread; libmicrohttpd calls on_request() on it first when the headers are there,
 * then for each piece of the body, then once more at its end. The first call does everything that can be done
 * without the body: limits, address, route, who asks, may that be. So what nobody may send is never received. The last call
 * parses the body and runs the handler, which may block for as long as it needs. Every request that changes something goes
 * to the audit log with its outcome, also one that was refused. */
#include "api/server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/audit.h"
#include "api/auth.h"
#include "api/link.h"
#include "api/parse.h"
#include "api/reply.h"
#include "base/log.h"
#include "base/text.h"

#define HEADERS_MAX 100
#define HEADERS_BYTES (16u << 10)
#define SMALL_BODY 65536 /* a refused one is read to its end */
#define BODY_MAX PT_JSON_MAX_BYTES
#define POOL (64u << 10) /* libmicrohttpd's memory for one connection: headers and buffers */
#define STACK (512u << 10)
#define CONNECTIONS 512
#define KEPT_FOR_ROOT 16
#define AT_WORK_MAX 128 /* requests of one user at the same time, event streams too */
#define T_HEADERS (10 * G_USEC_PER_SEC)
#define T_BODY (30 * G_USEC_PER_SEC) /* between two pieces */
#define T_IDLE (75 * G_USEC_PER_SEC) /* between two requests */

struct PtServer {
  PtApi *api;
  struct MHD_Daemon *mhd;
  PtLinks *links;
  char *path;
  guint max;
};

typedef struct Call { /* a request and its connection */
  PtRequest r;
  PtServer *server;
  struct MHD_Connection *conn;
  bool begun;      /* the first call has been made */
  char *counted;   /* user among whose requests at work it is; NULL = nobody's */
  bool done;       /* an answer is on its way, or will be: take no more */
  GError *failure; /* of the body, to be told at its end */
} Call;

static const char *
header(Call *c, const char *name)
{
  return MHD_lookup_connection_value(c->conn, MHD_HEADER_KIND, name);
}

/* First of all: keeps the address as it came, before libmicrohttpd decodes it in place. */
static void *
on_target(void *data, const char *target, struct MHD_Connection *conn)
{
  Call *c = g_new0(Call, 1);

  c->server = data;
  c->conn = conn;
  pt_request_init(&c->r, c->server->api, target);
  return c;
}

static size_t
no_unescape(void *data, struct MHD_Connection *conn, char *text)
{
  (void)data;
  (void)conn;
  return strlen(text);
}

typedef struct {
  guint count;
  gsize bytes;
} HeaderSum;

static enum MHD_Result
on_header(void *data, enum MHD_ValueKind kind, const char *key, const char *value)
{
  HeaderSum *sum = data;

  (void)kind;
  sum->count++;
  sum->bytes += strlen(key) + (value ? strlen(value) : 0) + 4;
  return MHD_YES;
}

static bool
check_headers(Call *c, GError **error)
{
  HeaderSum sum = { 0 };

  MHD_get_connection_values(c->conn, MHD_HEADER_KIND, on_header, &sum);
  if (sum.count <= HEADERS_MAX && sum.bytes <= HEADERS_BYTES)
    return true;
  c->r.status = 431;
  PT_SET(error, PT_ERR_TOO_LARGE, "headers: %u of them with %" G_GSIZE_FORMAT " bytes; at most %u with %u bytes are allowed",
         sum.count, sum.bytes, HEADERS_MAX, HEADERS_BYTES);
  return false;
}

/* Where it comes from: the gateway's word for it, if it is the gateway, else the peer of the socket. */
static char *
source(Call *c, guint uid)
{
  const char *forwarded = header(c, "X-Forwarded-For");

  if (forwarded && (gint64)uid == c->server->api->config.gateway_uid) {
    char *last = pt_forwarded_last(forwarded);
    if (last)
      return last;
  }
  return g_strdup_printf("unix:%u", uid);
}

static bool
check_body(Call *c, GError **error)
{
  const char *length = header(c, "Content-Length"), *type = header(c, "Content-Type");
  PtRequest *r = &c->r;
  bool some = (length && strcmp(length, "0") != 0) || header(c, "Transfer-Encoding");
  gint64 size = length ? g_ascii_strtoll(length, NULL, 10) : -1;

  r->content_type = g_strndup(type ? type : "", type ? strcspn(type, "; ") : 0);
  r->body_size = size;
  if (r->route->upload) {
    if (!r->route->upload(r, error))
      return false;
    if (r->upload_fd >= 0)
      return true;
  }
  if (!some)
    return true;
  if (!(r->route->flags & PT_R_BODY)) {
    PT_SET(error, PT_ERR_INVALID, "body: this request takes none");
    return false;
  }
  if (size > (gint64)BODY_MAX) {
    PT_SET(error, PT_ERR_TOO_LARGE, "body: %" G_GINT64_FORMAT " bytes, more than the %u allowed", size, BODY_MAX);
    return false;
  }
  /* text/plain and forms are what a foreign page can post without asking */
  if (*r->content_type && g_ascii_strcasecmp(r->content_type, "application/json") != 0) {
    PT_SET(error, PT_ERR_INVALID, "body: Content-Type application/json is wanted here");
    return false;
  }
  return true;
}

static bool
check_stream(Call *c, GError **error)
{
  const char *upgrade = header(c, "Upgrade");

  if (!(c->r.route->flags & PT_R_STREAM) || (upgrade && strcmp(upgrade, "portena-stream/1") == 0))
    return true;
  c->r.status = 426;
  PT_SET(error, PT_ERR_INVALID,
         "stream: this address gives a stream; send Upgrade: portena-stream/1 on the socket, or open a WebSocket");
  return false;
}

static bool
check_crowd(Call *c, guint uid, GError **error)
{
  if (uid == 0 || pt_links_count(c->server->links) + KEPT_FOR_ROOT <= c->server->max)
    return true;
  PT_SET(error, PT_ERR_UNREACHABLE, "server: too many connections\ntry again in a moment");
  c->r.retry_after = 1;
  return false;
}

static bool
check_share(Call *c, GError **error)
{
  if (!c->r.who.name || c->r.who.root)
    return true;
  if (pt_links_take(c->server->links, c->r.who.name, AT_WORK_MAX)) {
    c->counted = g_strdup(c->r.who.name); /* a login may make it somebody else's */
    return true;
  }
  c->r.retry_after = 1;
  PT_SET(error, PT_ERR_RATE, "user %s: %u requests are at work already\nwait for some of them to end", c->r.who.name,
         AT_WORK_MAX);
  return false;
}

/* All that can be said before the body is here. */
static bool
begin(Call *c, const char *method, GError **error)
{
  PtRequest *r = &c->r;
  guint uid = pt_link_uid(r->link);
  const char *if_match = header(c, "If-Match"), *last = header(c, "Last-Event-ID");

  r->from = source(c, uid);
  r->thumbnail =
    g_strcmp0(header(c, "X-Portena-Purpose"), "thumbnail") == 0 && (gint64)uid == c->server->api->config.gateway_uid;
  r->host = g_strdup(header(c, "Host"));
  r->origin = g_strdup(header(c, "Origin"));
  r->method = g_strdup(method);
  r->last_event = MAX(g_ascii_strtoll(last ? last : "0", NULL, 10), 0);
  return check_headers(c, error) && check_crowd(c, uid, error) &&
         pt_target_parse(r->target, &r->segments, &r->query, error) && pt_route(r, method, error) &&
         pt_auth(r, uid, header(c, "Authorization"), header(c, "Cookie"), header(c, "X-Portena"), error) &&
         check_share(c, error) && pt_authz(r, error) && (!if_match || pt_if_match_parse(if_match, &r->if_match, error)) &&
         pt_query_known(r, error) && check_stream(c, error) && check_body(c, error);
}

static bool
take_body(Call *c, const char *data, size_t size, GError **error)
{
  PtRequest *r = &c->r;

  if (r->upload_fd >= 0) {
    if (r->upload_max && r->upload_size + (gint64)size > r->upload_max) {
      PT_SET(error, PT_ERR_TOO_LARGE, "upload: more than %" G_GINT64_FORMAT " bytes", r->upload_max);
      return false;
    }
    for (size_t at = 0; at < size;) {
      ssize_t n = write(r->upload_fd, data + at, size - at);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0) {
        pt_error_errno(error, errno, "upload");
        return false;
      }
      at += (size_t)n;
    }
    r->upload_size += (gint64)size;
    return true;
  }
  if (r->body->len + size > BODY_MAX || !(r->route->flags & PT_R_BODY)) {
    PT_SET(error, PT_ERR_TOO_LARGE, "body: more than the %u bytes allowed", BODY_MAX);
    return false;
  }
  g_byte_array_append(r->body, (const guint8 *)data, (guint)size);
  return true;
}

static bool
run(Call *c, GError **error)
{
  PtRequest *r = &c->r;

  if (r->upload_fd < 0 && r->body->len > 0) {
    r->json = pt_json_parse((const char *)r->body->data, r->body->len, error);
    if (!r->json)
      return false;
  }
  if (!r->json && r->upload_fd < 0 && (r->route->flags & PT_R_BODY) && !(r->route->flags & PT_R_OPTIONAL)) {
    PT_SET(error, PT_ERR_INVALID, "body: a JSON object is wanted here");
    return false;
  }
  return r->route->handle(r, error);
}

/* What was changed: the place in the guest's tree, or the names of the fields. Never a value: it may be a secret. */
static char *
what_changed(const PtRequest *r)
{
  g_autoptr(GString) names = g_string_new(NULL);
  const char *key;
  json_t *value;

  if (g_str_has_suffix(r->route->path, "/files"))
    return g_strdup(pt_query(r, "path", NULL));
  if (strcmp(r->route->method, "PATCH") != 0 || !json_is_object(r->json))
    return NULL;
  json_object_foreach (r->json, key, value)
    if (names->len < 200)
      g_string_append_printf(names, "%s%s", names->len ? ", " : "", key);
  return names->len ? g_strdup(names->str) : NULL;
}

static void
audit(Call *c, const GError *error)
{
  PtRequest *r = &c->r;
  g_autoptr(GError) err = NULL;

  if (!r->route || (r->thumbnail && !error) || (strcmp(r->route->method, "GET") == 0 && !(r->route->flags & PT_R_AUDIT)))
    return;
  if (!r->who.name && !r->login_user) /* noise from outside that reached nothing */
    return;
  g_autofree char *object = r->object ? g_strdup(r->object) : pt_request_object(r);
  g_autofree char *detail = error ? pt_error_summary(error) : r->audit_detail ? g_strdup(r->audit_detail) : what_changed(r);
  const PtAuditEntry e = {
    .user = r->who.name ? r->who.name : r->login_user,
    .from = r->from,
    .method = r->method,
    .path = r->target,
    .object = object,
    .action = r->action ? r->action : pt_route_action(r->route),
    .outcome = error ? pt_err_name(pt_error_code(error)) : "ok",
    .detail = detail,
    .login = error && r->login_user,
  };
  if (!pt_audit_add(c->server->api->audit, &e, &err))
    pt_log_error("api", "%s", err->message);
}

static enum MHD_Result
answer(Call *c, GError *error)
{
  PtRequest *r = &c->r;

  if (error) {
    pt_reply_problem(r, error);
    if (pt_error_code(error) == PT_ERR_INTERNAL) {
      g_autofree char *safe = pt_text_safe(error->message, 500), *target = pt_text_safe(r->target, 200);
      pt_log_error("api", "%s %s: %s", r->method, target, safe);
    }
  }
  audit(c, error);
  c->done = true;
  pt_link_idle(r->link, PT_LINK_SEND);
  return pt_reply_queue(r, c->conn) ? MHD_YES : MHD_NO;
}

/* A refusal that comes before the body makes the library close the connection under a client that is still sending. One
 * whose body is small is let finish: it is thrown away. */
static bool
body_is_small(Call *c)
{
  const char *length = header(c, "Content-Length");
  guint64 n = 0;

  return length && g_ascii_string_to_unsigned(length, 10, 1, SMALL_BODY, &n, NULL) && !header(c, "Transfer-Encoding") &&
         !header(c, "Expect");
}

static enum MHD_Result
on_request(void *data, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
           const char *upload, size_t *upload_size, void **call)
{
  Call *c = *call;
  g_autoptr(GError) err = NULL;

  (void)data;
  (void)url;
  (void)version;
  if (!c)
    return MHD_NO;
  if (!c->begun) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    c->begun = true;
    c->r.link = info->socket_context;
    pt_link_busy(c->r.link);
    if (!begin(c, method, &err)) {
      if (!body_is_small(c))
        return answer(c, err);
      c->failure = g_steal_pointer(&err);
      c->done = true;
    }
    pt_link_idle(c->r.link, T_BODY);
    return MHD_YES;
  }
  if (*upload_size > 0) {
    size_t size = *upload_size;
    *upload_size = 0;
    if (c->done)
      return MHD_YES;
    pt_link_idle(c->r.link, T_BODY);
    if (take_body(c, upload, size, &err))
      return MHD_YES;
    c->failure = g_steal_pointer(&err);
    c->done = true; /* an answer can only be given at the end: what else comes is thrown away */
    return MHD_YES;
  }
  pt_link_busy(c->r.link);
  if (c->failure)
    return answer(c, c->failure);
  if (c->done)
    return MHD_NO;
  return run(c, &err) ? answer(c, NULL) : answer(c, err);
}

static void
on_completed(void *data, struct MHD_Connection *conn, void **call, enum MHD_RequestTerminationCode code)
{
  Call *c = *call;

  (void)data;
  (void)conn;
  (void)code;
  if (!c)
    return;
  if (c->counted)
    pt_links_give(c->server->links, c->counted);
  if (c->r.link)
    pt_link_idle(c->r.link, T_IDLE);
  pt_request_clear(&c->r);
  g_clear_error(&c->failure);
  g_free(c->counted);
  g_free(c);
  *call = NULL;
}

static void
on_connection(void *data, struct MHD_Connection *conn, void **context, enum MHD_ConnectionNotificationCode code)
{
  PtServer *s = data;

  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    *context = pt_link_new(s->links, info->connect_fd, T_HEADERS);
  } else if (*context) {
    pt_link_free(*context);
    *context = NULL;
  }
}

G_GNUC_PRINTF(2, 0)
static void
on_log(void *data, const char *fmt, va_list args)
{
  g_autofree char *text = g_strdup_vprintf(fmt, args);

  (void)data;
  g_strchomp(text);
  pt_log_debug("api", "http: %s", text);
}

/* The directory belongs to root; who may connect is said by the socket's group. */
static bool
set_access(PtServer *s, GError **error)
{
  const char *name = s->api->config.group ? s->api->config.group : "portena";
  const struct group *g = getgrnam(name);

  if (chmod(s->path, g ? 0660 : 0600) < 0 || (g && chown(s->path, (uid_t)-1, g->gr_gid) < 0)) {
    pt_error_errno(error, errno, "socket %s", s->path);
    return false;
  }
  return true;
}

static int
open_socket(PtServer *s, GError **error)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  int fd = -1;

  if (strlen(s->path) >= sizeof a.sun_path) {
    PT_SET(error, PT_ERR_INVALID, "socket %s: the path is too long\nchoose a shorter run directory", s->path);
    return -1;
  }
  strcpy(a.sun_path, s->path);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
    PT_SET(error, PT_ERR_CONFLICT, "socket %s: another daemon answers there\nstop it, or choose another run directory",
           s->path);
    close(fd);
    return -1;
  }
  if (fd >= 0)
    close(fd); /* a socket that has tried to connect cannot listen */
  unlink(s->path);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  mode_t old = umask(0177);
  int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&a, sizeof a);
  int err = errno;
  umask(old);
  if (rc < 0) {
    pt_error_errno(error, err, "socket %s", s->path);
  } else if (!set_access(s, error)) {
    rc = -1;
  } else if (listen(fd, 256) < 0) {
    pt_error_errno(error, errno, "socket %s", s->path);
    rc = -1;
  }
  if (rc < 0 && fd >= 0)
    close(fd);
  return rc < 0 ? -1 : fd;
}

PtServer *
pt_server_new(PtApi *api, const char *path, GError **error)
{
  PtServer *s = g_new0(PtServer, 1);

  s->api = api;
  s->path = g_strdup(path);
  s->max = api->config.max_connections ? api->config.max_connections : CONNECTIONS;
  int fd = open_socket(s, error);
  if (fd < 0) {
    g_free(s->path);
    g_free(s);
    return NULL;
  }
  s->links = pt_links_new();
  s->mhd = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                              MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG | MHD_USE_ITC,
                            0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET,
                            fd, MHD_OPTION_CONNECTION_LIMIT, s->max, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK,
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
                            MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
  if (!s->mhd) { /* it has closed the socket */
    PT_SET(error, PT_ERR_INTERNAL, "socket %s: the server could not be started", path);
    unlink(s->path);
    pt_links_free(s->links);
    g_free(s->path);
    g_free(s);
    return NULL;
  }
  return s;
}

void
pt_server_free(PtServer *s)
{
  if (!s)
    return;
  unlink(s->path);
  pt_links_stop(s->links);
  pt_bus_publish(s->api->bus, "lost", NULL, NULL, NULL, NULL); /* wakes event streams: they see that their link is gone */
  MHD_stop_daemon(s->mhd);
  pt_links_free(s->links);
  g_free(s->path);
  g_free(s);
}
