// SPDX-License-Identifier: Apache-2.0
#include "api/reply.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/view.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/wire.h"

#define WAIT_SLICE G_USEC_PER_SEC /* how often a waiting request looks whether its client is still there */

bool
pt_reply_text(PtRequest *r, guint status, const char *type, char *text, gsize size)
{
  g_free(r->reply.text);
  r->reply.status = status;
  r->reply.type = type;
  r->reply.text = text;
  r->reply.size = size;
  return true;
}

typedef struct File {
  int fd;
  gint64 size;
  void *keep;
  GDestroyNotify keep_free;
} File;

static void
file_free(void *data)
{
  File *f = data;

  close(f->fd);
  if (f->keep)
    f->keep_free(f->keep);
  g_free(f);
}

static gssize
read_file(void *data, guint64 pos, char *buf, gsize size)
{
  File *f = data;
  ssize_t n;

  if ((gint64)pos >= f->size)
    return -1;
  do
    n = pread(f->fd, buf, MIN(size, (gsize)(f->size - (gint64)pos)), (off_t)pos);
  while (n < 0 && errno == EINTR);
  return n > 0 ? n : -2; /* the length that was promised cannot be kept */
}

bool
pt_reply_file(PtRequest *r, int fd, gint64 size, void *keep, GDestroyNotify keep_free)
{
  File *f = g_new(File, 1);

  *f = (File){ fd, size, keep, keep_free };
  if (size == 0) {
    file_free(f);
    return pt_reply_text(r, 200, "application/octet-stream", NULL, 0);
  }
  r->reply.status = 200;
  r->reply.type = "application/octet-stream";
  r->reply.size = (gsize)size;
  r->reply.read = read_file;
  r->reply.read_data = f;
  r->reply.read_free = file_free;
  return true;
}

bool
pt_reply_json(PtRequest *r, guint status, json_t *json)
{
  char *text = pt_json_dump(json);

  json_decref(json);
  return pt_reply_text(r, status, "application/json", text, strlen(text));
}

bool
pt_reply_empty(PtRequest *r)
{
  return pt_reply_text(r, 204, NULL, NULL, 0);
}

void
pt_reply_header(PtRequest *r, const char *name, const char *value)
{
  if (!r->reply.headers)
    r->reply.headers = g_ptr_array_new_with_free_func(g_free);
  g_ptr_array_add(r->reply.headers, g_strdup(name));
  g_ptr_array_add(r->reply.headers, g_strdup(value));
}

void
pt_reply_etag(PtRequest *r, gint64 revision)
{
  g_autofree char *tag = g_strdup_printf("\"%" G_GINT64_FORMAT "\"", revision);

  pt_reply_header(r, "ETag", tag);
}

bool
pt_reply_items(PtRequest *r, json_t *items, gint64 revision)
{
  json_t *o = json_object();

  json_object_set_new(o, "items", items);
  json_object_set_new(o, "revision", json_integer(revision));
  return pt_reply_json(r, 200, o);
}

static void
set_text(json_t *o, const char *key, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid(text, -1);

  json_object_set_new(o, key, json_string(valid));
}

void
pt_reply_problem(PtRequest *r, const GError *error)
{
  PtErr code = pt_error_code(error);
  json_t *o = json_object();
  g_autofree char *type = g_strconcat("urn:portena:error:", pt_err_name(code), NULL), *summary = pt_error_summary(error);
  g_autofree char *object = r->segments && r->route ? pt_request_object(r) : NULL;
  const char *hint = pt_error_get_hint(error);
  guint status = r->status ? r->status : pt_err_http(code);

  set_text(o, "type", type);
  set_text(o, "title", pt_err_name(code));
  json_object_set_new(o, "status", json_integer(status));
  set_text(o, "detail", summary);
  if (hint)
    set_text(o, "hint", hint);
  if (object && *object)
    set_text(o, "object", object);
  if (r->problem)
    json_object_update(o, r->problem);
  if (r->retry_after) {
    g_autofree char *seconds = g_strdup_printf("%u", r->retry_after);
    pt_reply_header(r, "Retry-After", seconds);
  }
  if (r->allow)
    pt_reply_header(r, "Allow", r->allow);
  if (code == PT_ERR_UNAUTHENTICATED)
    pt_reply_header(r, "WWW-Authenticate", "Bearer realm=\"portena\"");
  pt_reply_json(r, status, o);
  r->reply.type = "application/problem+json";
  r->reply.stream_fd = -1;
  r->reply.read = NULL;
}

static PtOperation *
wait_operation(PtRequest *r, const char *op, gint64 seconds, GError **error)
{
  gint64 end = pt_mono() + seconds * G_USEC_PER_SEC;

  for (;;) {
    gint64 left = end - pt_mono();
    g_autoptr(PtOperation) o =
        left > 0 ? pt_ops_wait(r->api->ops, op, MIN(left, WAIT_SLICE), error) : pt_ops_get(r->api->ops, op, error);
    if (!o || left <= 0 || o->state >= PT_OP_DONE || pt_link_gone(r->link))
      return g_steal_pointer(&o);
  }
}

static void
wait_ready(PtRequest *r, gint64 seconds)
{
  gint64 end = pt_mono() + seconds * G_USEC_PER_SEC;
  const char *space = pt_param(r, "space"), *name = pt_param(r, "instance");

  if (!name && r->json)
    name = pt_json_str(r->json, "name", NULL);
  while (space && name && pt_mono() < end && !pt_link_gone(r->link)) {
    if (pt_view_wait_ready(r->api->view, space, name, MIN(end - pt_mono(), WAIT_SLICE)))
      return;
  }
}

bool
pt_reply_operation(PtRequest *r, const char *op, PtRefresh refresh, GError **error)
{
  gint64 wait = 0, ready = 0, revision = 0;

  if (!pt_query_int(r, "wait", 0, 0, PT_WAIT_MAX, &wait, error) ||
      !pt_query_int(r, "wait_ready", 0, 0, PT_WAIT_MAX, &ready, error))
    return false;
  g_autoptr(PtOperation) o = wait_operation(r, op, MAX(wait, ready), error);
  if (!o)
    return false;
  if (ready > 0 && o->state == PT_OP_DONE)
    wait_ready(r, ready);
  json_t *answer = json_object();
  json_object_set_new(answer, "operation", pt_operation_view(o));
  g_autoptr(json_t) object = refresh ? refresh(r, &revision) : NULL;
  if (object) {
    json_object_update(answer, object);
    pt_reply_etag(r, revision);
  }
  if (r->extra)
    json_object_update(answer, r->extra);
  g_autofree char *location = g_strconcat("/v1/operations/", op, NULL);
  pt_reply_header(r, "Location", location);
  return pt_reply_json(r, 202, answer);
}

/* ── libmicrohttpd ── */

typedef struct {
  PtReply reply;
  PtLink *link;
} Stream;

static ssize_t
on_read(void *data, guint64 pos, char *buf, size_t max)
{
  Stream *s = data;

  pt_link_busy(s->link);
  gssize n = s->reply.read(s->reply.read_data, pos, buf, max);
  pt_link_idle(s->link, PT_LINK_SEND);
  if (n == -1)
    return MHD_CONTENT_READER_END_OF_STREAM;
  return n < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : n;
}

static void
on_read_free(void *data)
{
  Stream *s = data;

  if (s->reply.read_free)
    s->reply.read_free(s->reply.read_data);
  g_free(s);
}

/* Hands over a descriptor by one message (base/wire.h), which fits into any socket's buffer. */
static void
on_upgraded(void *data, struct MHD_Connection *conn, void *call, const char *extra, size_t extra_size, MHD_socket sock,
            struct MHD_UpgradeResponseHandle *urh)
{
  const PtReply *reply = data;
  struct pt_wire w = { .magic = PT_WIRE_MAGIC, .type = reply->stream_type };
  struct iovec io = { .iov_base = &w, .iov_len = sizeof w };
  union {
    char buf[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = { 0 };
  struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof control.buf };
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);

  (void)conn;
  (void)call;
  (void)extra;
  (void)extra_size;
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &reply->stream_fd, sizeof(int));
  ssize_t n;
  do
    n = sendmsg(sock, &m, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    pt_log_debug("api", "stream: %s", g_strerror(errno)); /* the client has gone: closing our end hangs up */
  MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
}

static struct MHD_Response *
make_response(PtRequest *r)
{
  PtReply *p = &r->reply;

  if (p->stream_fd >= 0) {
    struct MHD_Response *m = MHD_create_response_for_upgrade(on_upgraded, p);
    if (m)
      MHD_add_response_header(m, "Upgrade", "portena-stream/1");
    return m;
  }
  if (p->read) {
    Stream *s = g_new0(Stream, 1);
    s->reply = *p;
    s->link = r->link;
    p->read_free = NULL; /* the response's from here on */
    return MHD_create_response_from_callback(p->size ? p->size : MHD_SIZE_UNKNOWN, 64 << 10, on_read, s, on_read_free);
  }
  struct MHD_Response *m = p->text ? MHD_create_response_from_buffer(p->size, p->text, MHD_RESPMEM_MUST_FREE)
                                   : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
  if (m)
    p->text = NULL;
  return m;
}

bool
pt_reply_queue(PtRequest *r, struct MHD_Connection *conn)
{
  PtReply *p = &r->reply;
  struct MHD_Response *m = make_response(r);
  guint status = p->stream_fd >= 0 ? MHD_HTTP_SWITCHING_PROTOCOLS : p->status;

  if (!m)
    return false;
  if (p->type && p->stream_fd < 0)
    MHD_add_response_header(m, "Content-Type", p->type);
  for (guint i = 0; p->headers && i + 1 < p->headers->len; i += 2)
    MHD_add_response_header(m, g_ptr_array_index(p->headers, i), g_ptr_array_index(p->headers, i + 1));
  MHD_add_response_header(m, "Cache-Control", "no-store");
  MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");
  enum MHD_Result ok = MHD_queue_response(conn, status, m);
  MHD_destroy_response(m);
  return ok == MHD_YES;
}
