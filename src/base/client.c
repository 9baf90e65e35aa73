// SPDX-License-Identifier: Apache-2.0
/* One connection a request, non-blocking, with a poll before every wait so that timeouts and
 * cancellation hold everywhere. Bytes are received by recvmsg throughout an upgrade, because the kernel
 * may glue the 101's last bytes to the message that carries the descriptor. */
#include "base/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wireio.h"

/* Whoever has a GCancellable links GIO; portena has neither, and starts twice as fast for it. */
#pragma weak g_cancellable_make_pollfd
#pragma weak g_cancellable_release_fd

#define DEFAULT_TIMEOUT (30 * G_USEC_PER_SEC)
#define DEFAULT_MAX_BODY (8u << 20)
#define CHUNK (64u << 10)

struct PtClient {
  char *path;
  GPtrArray *headers; /* name, value, … */
};

/* One request on its way. */
typedef struct Call {
  const PtClient *client;
  const PtClientRequest *request;
  int fd;
  bool upgrade;
  PtHttpParser *parser;
  GByteArray *body;
  PtWireMsg wire; /* descriptors received so far; its head and text are filled at the end */
} Call;

PtClient *
pt_client_new(const char *socket_path)
{
  PtClient *client = g_new0(PtClient, 1);

  client->path = g_strdup(socket_path);
  client->headers = g_ptr_array_new_with_free_func(g_free);
  return client;
}

void
pt_client_free(PtClient *client)
{
  if (!client)
    return;
  g_free(client->path);
  g_ptr_array_unref(client->headers);
  g_free(client);
}

void
pt_client_set_header(PtClient *client, const char *name, const char *value)
{
  g_ptr_array_add(client->headers, g_strdup(name));
  g_ptr_array_add(client->headers, g_strdup(value));
}

void
pt_client_reply_free(PtClientReply *reply)
{
  if (!reply)
    return;
  g_strfreev(reply->headers);
  g_free(reply->body);
  g_free(reply);
}

const char *
pt_client_reply_header(const PtClientReply *reply, const char *name)
{
  return pt_http_header((const char *const *)reply->headers, name);
}

char *
pt_client_path(const char *fmt, ...)
{
  GString *s = g_string_new(NULL);
  va_list args;

  va_start(args, fmt);
  for (const char *p = fmt; *p; p++) {
    if (*p != '%') {
      g_string_append_c(s, *p);
      continue;
    }
    switch (*++p) {
    case 's': {
      g_autofree char *escaped = g_uri_escape_string(va_arg(args, const char *), NULL, FALSE);
      g_string_append(s, escaped);
      break;
    }
    case 'd': g_string_append_printf(s, "%d", va_arg(args, int)); break;
    case 'u': g_string_append_printf(s, "%u", va_arg(args, unsigned)); break;
    case '%': g_string_append_c(s, '%'); break;
    default:
      g_error("pt_client_path: unknown conversion in '%s'", fmt); /* a bug of ours, found by any test */
    }
  }
  va_end(args);
  return g_string_free(s, FALSE);
}

static gint64
timeout_of(const PtClientRequest *request)
{
  return request->timeout == 0 ? DEFAULT_TIMEOUT : request->timeout;
}

/* Waits for `events` of the connection. */
static bool
wait_for(Call *call, short events, short *ret, GError **error)
{
  gint64 timeout = timeout_of(call->request), end = pt_mono() + timeout;
  GPollFD gfd;
  bool cancellable = call->request->cancel && g_cancellable_make_pollfd(call->request->cancel, &gfd);

  for (;;) {
    struct pollfd fds[2] = { { .fd = call->fd, .events = events }, { .fd = cancellable ? gfd.fd : -1, .events = POLLIN } };
    gint64 left = timeout < 0 ? -1 : MAX(0, end - pt_mono());
    int n = poll(fds, 2, left < 0 ? -1 : (int)MIN(left / 1000 + 1, G_MAXINT));
    int err = errno;
    if (n < 0 && err == EINTR)
      continue;
    if (n > 0 && fds[1].revents)
      PT_SET(error, PT_ERR_CANCELLED, "the request was cancelled");
    else if (n < 0)
      pt_error_errno(error, err, "%s", call->client->path);
    else if (n == 0)
      PT_SET(error, PT_ERR_TIMEOUT, "portenad has not answered for %d s", (int)(timeout / G_USEC_PER_SEC));
    else
      *ret = fds[0].revents;
    if (cancellable)
      g_cancellable_release_fd(call->request->cancel);
    return n > 0 && !fds[1].revents;
  }
}

static bool
connect_to(Call *call, GError **error)
{
  struct sockaddr_un sa = { .sun_family = AF_UNIX };
  const char *path = call->client->path;
  gint64 timeout = timeout_of(call->request);
  struct timeval tv = { timeout < 0 ? 0 : timeout / G_USEC_PER_SEC, timeout < 0 ? 0 : timeout % G_USEC_PER_SEC };

  if (strlen(path) >= sizeof sa.sun_path) {
    PT_SET(error, PT_ERR_INVALID, "%s: a socket's path has at most %d bytes", path, (int)sizeof sa.sun_path - 1);
    return false;
  }
  memcpy(sa.sun_path, path, strlen(path));
  call->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (call->fd < 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  /* Non-blocking, connect() would fail at once with a full backlog; SO_SNDTIMEO bounds the wait instead. */
  setsockopt(call->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
  int rc;
  do
    rc = connect(call->fd, (struct sockaddr *)&sa, sizeof sa);
  while (rc < 0 && errno == EINTR);
  if (rc == 0 && fcntl(call->fd, F_SETFL, O_NONBLOCK) == 0)
    return true;
  int err = errno;
  if (err == EAGAIN)
    PT_SET(error, PT_ERR_TIMEOUT, "portenad has not answered for %d s", (int)(timeout / G_USEC_PER_SEC));
  else if (err == EACCES || err == EPERM)
    PT_SET(error, PT_ERR_FORBIDDEN, "%s: you may not connect to it", path);
  else
    PT_SET(error, PT_ERR_UNREACHABLE, "portenad is not running (%s: %s)", path, g_strerror(err));
  if (err == EACCES || err == EPERM)
    pt_error_hint(error, "use sudo, or log in:  portena login https://SERVER:8443");
  else if (err != EAGAIN)
    pt_error_hint(error, "start it:  systemctl start portenad\nor, for another machine's:  portena login https://SERVER:8443");
  return false;
}

/* 1: all is sent; 0: the peer answers already, or is gone (its answer may say why); -1: error. */
static int
send_all(Call *call, const void *data, gsize size, GError **error)
{
  const char *p = data;

  while (size > 0) {
    short events = 0;
    gssize n = send(call->fd, p, size, MSG_NOSIGNAL);
    if (n >= 0) {
      p += n;
      size -= (gsize)n;
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return 0;
    } else if (errno == EAGAIN) {
      if (!wait_for(call, POLLIN | POLLOUT, &events, error))
        return -1;
      if (events & POLLIN)
        return 0;
    } else if (errno != EINTR) {
      pt_error_errno(error, errno, "%s", call->client->path);
      return -1;
    }
  }
  return 1;
}

static bool
add_header(GString *s, const char *name, const char *value, GError **error)
{
  if (!pt_http_is_token(name, strlen(name)) || !pt_http_is_value(value, strlen(value))) {
    PT_SET(error, PT_ERR_INVALID, "a header of the request holds a character that no header may hold");
    return false;
  }
  g_string_append_printf(s, "%s: %s\r\n", name, value);
  return true;
}

/* The request's head, or NULL. */
static GString *
build_head(Call *call, GError **error)
{
  const PtClientRequest *r = call->request;
  GString *s = g_string_sized_new(512);
  bool typed = false, hosted = false;

  if (!pt_http_is_token(r->method, strlen(r->method)) || !pt_http_is_target(r->path)) {
    PT_SET(error, PT_ERR_INVALID, "the request's method or path holds a character that it may not hold");
    goto fail;
  }
  g_string_append_printf(s, "%s %s HTTP/1.1\r\n", r->method, r->path);
  for (guint i = 0; i + 1 < call->client->headers->len; i += 2)
    if (!add_header(s, call->client->headers->pdata[i], call->client->headers->pdata[i + 1], error))
      goto fail;
  for (const char *const *h = r->headers; h && h[0]; h += 2) {
    typed |= g_ascii_strcasecmp(h[0], "content-type") == 0;
    hosted |= g_ascii_strcasecmp(h[0], "host") == 0;
    if (!add_header(s, h[0], h[1], error))
      goto fail;
  }
  if (!hosted)
    g_string_append(s, "Host: localhost\r\n");
  if ((r->body || r->source) && !typed)
    g_string_append(s, "Content-Type: application/json\r\n");
  if (r->source)
    g_string_append(s, "Transfer-Encoding: chunked\r\n");
  else if (r->body || strcmp(r->method, "GET") != 0)
    g_string_append_printf(s, "Content-Length: %" G_GSIZE_FORMAT "\r\n", r->body ? r->body_size : 0);
  g_string_append(s, call->upgrade ? "Connection: Upgrade\r\nUpgrade: portena-stream/1\r\n\r\n" : "Connection: close\r\n\r\n");
  return s;
fail:
  g_string_free(s, TRUE);
  return NULL;
}

/* The source's bytes as chunks. As send_all. */
static int
send_source(Call *call, GError **error)
{
  const PtClientRequest *r = call->request;
  g_autofree char *buf = g_malloc(CHUNK);

  for (;;) {
    gssize n = r->source(r->source_data, buf, CHUNK, error);
    if (n < 0)
      return -1;
    char head[24];
    g_snprintf(head, sizeof head, "%x\r\n", (guint)n);
    int rc = send_all(call, head, strlen(head), error);
    if (rc == 1 && n > 0)
      rc = send_all(call, buf, (gsize)n, error);
    if (rc == 1)
      rc = send_all(call, "\r\n", 2, error);
    if (rc != 1 || n == 0)
      return rc;
  }
}

static bool
send_request(Call *call, GError **error)
{
  const PtClientRequest *r = call->request;
  GString *head = build_head(call, error);

  if (!head)
    return false;
  if (r->body && r->body_size <= CHUNK) /* one packet, one wake-up */
    g_string_append_len(head, r->body, (gssize)r->body_size);
  int rc = send_all(call, head->str, head->len, error);
  g_string_free(head, TRUE);
  if (rc == 1 && r->body && r->body_size > CHUNK)
    rc = send_all(call, r->body, r->body_size, error);
  else if (rc == 1 && r->source)
    rc = send_source(call, error);
  return rc >= 0;
}

static bool
on_body(Call *call, const guint8 *data, gsize size, GError **error)
{
  const PtClientRequest *r = call->request;
  gsize max = r->max_body ? r->max_body : DEFAULT_MAX_BODY;

  if (r->sink && pt_http_parser_status(call->parser) < 300)
    return r->sink(r->sink_data, data, size, error);
  if (size > max - call->body->len) {
    PT_SET(error, PT_ERR_TOO_LARGE, "the answer is longer than the %" G_GSIZE_FORMAT " bytes allowed", max);
    return false;
  }
  g_byte_array_append(call->body, data, (guint)size);
  return true;
}

/* Feeds the parser. END, or HEAD of a 101, ends the receiving; *data and *size are then what was left over. */
static PtHttpEvent
feed(Call *call, const guint8 **data, gsize *size, GError **error)
{
  for (;;) {
    const guint8 *piece = NULL;
    gsize n = 0;
    PtHttpEvent e = pt_http_parser_step(call->parser, data, size, &piece, &n, error);
    if (e == PT_HTTP_DATA && !on_body(call, piece, n, error))
      return PT_HTTP_BAD;
    if (e == PT_HTTP_HEAD && pt_http_parser_status(call->parser) == 101 && !call->upgrade) {
      PT_SET(error, PT_ERR_INVALID, "HTTP answer: an upgrade that nobody asked for");
      return PT_HTTP_BAD;
    }
    if (e == PT_HTTP_END || e == PT_HTTP_BAD || e == PT_HTTP_MORE)
      return e;
  }
}

/* Bytes and descriptors. 0 at the end, -1 with an error. */
static gssize
receive(Call *call, void *buf, gsize size, GError **error)
{
  for (;;) {
    short events = 0;
    gssize n = pt_wire_recv_bytes(call->fd, buf, size, 0, call->wire.fds, &call->wire.n_fds);
    if (n >= 0)
      return n;
    if (errno != EAGAIN) {
      pt_error_errno(error, errno, "%s", call->client->path);
      return -1;
    }
    if (!wait_for(call, POLLIN, &events, error))
      return -1;
  }
}

/* Receives the answer; bytes behind a 101 go to `rest`. */
static bool
receive_reply(Call *call, GByteArray *rest, GError **error)
{
  g_autofree guint8 *buf = g_malloc(CHUNK);

  for (;;) {
    gssize n = receive(call, buf, CHUNK, error);
    if (n < 0)
      return false;
    if (n == 0)
      return pt_http_parser_eof(call->parser, error);
    const guint8 *p = buf;
    gsize size = (gsize)n;
    PtHttpEvent e = feed(call, &p, &size, error);
    if (e == PT_HTTP_BAD)
      return false;
    if (e == PT_HTTP_END) {
      g_byte_array_append(rest, p, (guint)size);
      return true;
    }
  }
}

static PtClientReply *
make_reply(Call *call)
{
  PtClientReply *reply = g_new0(PtClientReply, 1);

  reply->status = pt_http_parser_status(call->parser);
  reply->headers = g_strdupv((char **)pt_http_parser_headers(call->parser));
  reply->body_size = call->body->len;
  g_byte_array_append(call->body, (const guint8 *)"", 1);
  reply->body = (char *)g_byte_array_free(g_steal_pointer(&call->body), FALSE);
  return reply;
}

static void
call_clear(Call *call)
{
  if (call->fd >= 0)
    close(call->fd);
  pt_http_parser_free(call->parser);
  if (call->body)
    g_byte_array_unref(call->body);
  pt_wire_msg_clear(&call->wire);
}

static PtClientReply *
perform(Call *call, GByteArray *rest, GError **error)
{
  call->parser = pt_http_parser_new(call->request->method);
  call->body = g_byte_array_new();
  if (!connect_to(call, error) || !send_request(call, error) || !receive_reply(call, rest, error))
    return NULL;
  return make_reply(call);
}

PtClientReply *
pt_client_send(const PtClient *client, const PtClientRequest *request, GError **error)
{
  Call call = { .client = client, .request = request, .fd = -1 };
  g_autoptr(GByteArray) rest = g_byte_array_new();
  PtClientReply *reply = perform(&call, rest, error);

  call_clear(&call);
  return reply;
}

static PtErr
code_of_status(guint status)
{
  for (guint i = 0; i < PT_N_ERRS; i++)
    if (pt_err_http((PtErr)i) == status)
      return (PtErr)i;
  return status == 502 ? PT_ERR_UNREACHABLE : status < 500 ? PT_ERR_INVALID : PT_ERR_INTERNAL;
}

bool
pt_client_reply_check(const PtClientReply *reply, GError **error)
{
  if (reply->status < 400)
    return true;
  g_autoptr(json_t) problem = pt_json_parse_object(reply->body, reply->body_size, NULL);
  PtErr code;
  if (!problem || !pt_err_from_name(pt_json_str(problem, "title", ""), &code))
    code = code_of_status(reply->status);
  const char *detail = problem ? pt_json_str(problem, "detail", NULL) : NULL;
  const char *hint = problem ? pt_json_str(problem, "hint", NULL) : NULL;
  if (detail)
    PT_SET(error, code, "%s", detail);
  else
    PT_SET(error, code, "the server answered with status %u", reply->status);
  if (hint)
    pt_error_hint(error, "%s", hint);
  return false;
}

json_t *
pt_client_call(const PtClient *client, const char *method, const char *path, const json_t *body, GError **error)
{
  g_autofree char *text = body ? pt_json_dump(body) : NULL;
  PtClientRequest request = { .method = method, .path = path, .body = text, .body_size = text ? strlen(text) : 0 };
  g_autoptr(PtClientReply) reply = pt_client_send(client, &request, error);

  if (!reply || !pt_client_reply_check(reply, error))
    return NULL;
  if (reply->body_size == 0)
    return json_object();
  return pt_json_parse(reply->body, reply->body_size, error);
}

/* The message with the descriptor that follows the 101. */
static bool
receive_wire(Call *call, GByteArray *bytes, GError **error)
{
  const gsize head_size = sizeof call->wire.head;
  guint8 buf[sizeof(struct pt_wire) + PT_WIRE_TEXT_MAX];

  for (;;) {
    if (bytes->len >= head_size) {
      memcpy(&call->wire.head, bytes->data, head_size);
      const struct pt_wire *h = &call->wire.head;
      if (h->magic != PT_WIRE_MAGIC || h->len > PT_WIRE_TEXT_MAX || bytes->len >= head_size + h->len)
        break;
    }
    gssize n = receive(call, buf, sizeof buf, error);
    if (n < 0)
      return false;
    if (n == 0) {
      PT_SET(error, PT_ERR_UNREACHABLE, "portenad closed the connection before it handed over the stream");
      return false;
    }
    g_byte_array_append(bytes, buf, (guint)n);
  }
  if (!pt_wire_check(&call->wire.head, bytes->len, error))
    return false;
  memcpy(call->wire.text, bytes->data + head_size, call->wire.head.len);
  return true;
}

int
pt_client_upgrade(const PtClient *client, const PtClientRequest *request, guint32 *ret_type, PtClientReply **ret_refused,
                  GError **error)
{
  Call call = { .client = client, .request = request, .fd = -1, .upgrade = true };
  g_autoptr(GByteArray) rest = g_byte_array_new();
  g_autoptr(PtClientReply) reply = perform(&call, rest, error);
  int fd = -1;

  if (reply && reply->status != 101) {
    if (pt_client_reply_check(reply, error))
      PT_SET(error, PT_ERR_INVALID, "%s: the server gave an answer where a stream was asked for", request->path);
    if (ret_refused)
      *ret_refused = g_steal_pointer(&reply);
  } else if (reply && receive_wire(&call, rest, error)) {
    const struct pt_wire *h = &call.wire.head;
    if (h->type == PT_WIRE_ERROR)
      PT_SET(error, h->a < PT_N_ERRS ? h->a : PT_ERR_INTERNAL, "%s", call.wire.text);
    else if ((h->type != PT_WIRE_STREAM && h->type != PT_WIRE_CONTROL) || call.wire.n_fds != 1)
      PT_SET(error, PT_ERR_INVALID, "%s: a stream without its descriptor", request->path);
    else
      fd = pt_wire_take_fd(&call.wire, 0);
    *ret_type = h->type;
  }
  call_clear(&call);
  return fd;
}
