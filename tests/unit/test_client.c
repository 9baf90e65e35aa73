// SPDX-License-Identifier: Apache-2.0
#include "base/client.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/wireio.h"

/* Parses `text` in steps of `step` bytes. "STATUS body", "STATUS body +rest", or the error's name; the caller's. */
static char *
parse(const char *method, const char *text, gsize size, gsize step)
{
  g_autoptr(PtHttpParser) p = pt_http_parser_new(method);
  g_autoptr(GString) body = g_string_new(NULL);
  g_autoptr(GError) err = NULL;
  gsize at = 0;

  for (;;) {
    const guint8 *data = (const guint8 *)text + at, *piece = NULL;
    gsize n = MIN(step, size - at), left = n, piece_size = 0;
    PtHttpEvent e = pt_http_parser_step(p, &data, &left, &piece, &piece_size, &err);
    at += n - left;
    if (e == PT_HTTP_DATA)
      g_string_append_len(body, (const char *)piece, (gssize)piece_size);
    if (e == PT_HTTP_BAD || (e == PT_HTTP_MORE && at == size && !pt_http_parser_eof(p, &err)))
      return g_strdup(pt_err_name(pt_error_code(err)));
    if (e == PT_HTTP_END || (e == PT_HTTP_MORE && at == size))
      return g_strdup_printf("%u %s%s%s", pt_http_parser_status(p), body->str, at < size ? " +" : "", text + at);
  }
}

static void
test_parser(void)
{
  static const struct {
    const char *method, *text, *result;
  } rows[] = {
    { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 hello" },
    { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 " },
    { "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nokHTTP", "200 ok +HTTP" },
    { "GET", "HTTP/1.0 200 OK\r\n\r\nall of it", "200 all of it" },
    { "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 " },
    { "GET", "HTTP/1.1 204 No\r\n\r\n", "204 " },
    { "GET", "HTTP/1.1 100 Go on\r\nx: y\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 1\r\n\r\nx", "404 x" },
    { "GET", "HTTP/1.1 101 Up\r\nUpgrade: portena-stream/1\r\n\r\nrest", "101  +rest" },
    { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nt: u\r\n\r\n",
      "200 abc0123456789" },
    { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "unreachable" },
    { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "unreachable" },
    { "GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "invalid" },
    { "GET", "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", "invalid" },
    { "GET", "HTTP/2 200 OK\r\n\r\n", "invalid" },
    { "GET", "HTTP/1.1 600 OK\r\n\r\n", "invalid" },
    { "GET", "ICY 200 OK\r\n\r\n", "invalid" },
    { "GET", "", "unreachable" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    for (gsize step = 1; step <= 64; step = step * 2 + 1) {
      g_autofree char *got = parse(rows[i].method, rows[i].text, strlen(rows[i].text), step);
      g_assert_cmpstr(got, ==, rows[i].result);
    }
  }
  g_autoptr(GString) huge = g_string_new("HTTP/1.1 200 OK\r\n");
  for (int i = 0; i < 101; i++)
    g_string_append_printf(huge, "a%d: b\r\n", i);
  g_string_append(huge, "\r\n");
  g_autofree char *many = parse("GET", huge->str, huge->len, huge->len);
  g_assert_cmpstr(many, ==, "too-large");
  g_autofree char *blank = g_strnfill(20000, 'x');
  g_autofree char *line = g_strconcat("HTTP/1.1 200 OK\r\na: ", blank, "\r\n\r\n", NULL);
  g_autofree char *longest = parse("GET", line, strlen(line), 100);
  g_assert_cmpstr(longest, ==, "too-large");
  g_autofree char *nul = parse("GET", "HTTP/1.1 200 OK\r\na: \0\r\n\r\n", 25, 25);
  g_assert_cmpstr(nul, ==, "invalid");
}

/* A server for one connection: reads until the request ends in `until`, sends `answer`, then a stream if asked to. */
typedef struct Server {
  char *dir, *path, *request;
  int listen_fd;
  const char *until, *answer;
  bool silent, stream;
  GThread *thread;
} Server;

static gpointer
serve(gpointer data)
{
  Server *s = data;
  int fd = accept(s->listen_fd, NULL, NULL);
  g_autoptr(GString) got = g_string_new(NULL);
  char buf[4096];

  while (!g_str_has_suffix(got->str, s->until)) {
    gssize n = read(fd, buf, sizeof buf);
    if (n <= 0)
      break;
    g_string_append_len(got, buf, n);
  }
  s->request = g_strdup(got->str);
  if (s->silent)
    while (read(fd, buf, sizeof buf) > 0)
      ;
  if (*s->answer)
    g_assert_cmpint(send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL), ==, strlen(s->answer));
  if (s->stream) {
    int p[2];
    g_assert_cmpint(pipe2(p, O_CLOEXEC), ==, 0);
    g_assert_cmpint(write(p[1], "through", 7), ==, 7);
    g_assert_true(pt_wire_send(fd, PT_WIRE_STREAM, 0, 0, NULL, p, 1, NULL));
    close(p[0]);
    close(p[1]);
  }
  close(fd);
  return NULL;
}

static PtClient *
server_start(Server *s)
{
  struct sockaddr_un sa = { .sun_family = AF_UNIX };

  s->dir = g_dir_make_tmp("pt-api-XXXXXX", NULL);
  s->path = g_build_filename(s->dir, "api.sock", NULL);
  g_strlcpy(sa.sun_path, s->path, sizeof sa.sun_path);
  s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint(bind(s->listen_fd, (struct sockaddr *)&sa, sizeof sa), ==, 0);
  g_assert_cmpint(listen(s->listen_fd, 1), ==, 0);
  s->thread = g_thread_new("server", serve, s);
  return pt_client_new(s->path);
}

static void
server_end(Server *s)
{
  g_thread_join(s->thread);
  close(s->listen_fd);
  g_unlink(s->path);
  g_rmdir(s->dir);
  g_free(s->path);
  g_free(s->dir);
  g_free(s->request);
}

static void
test_call(void)
{
  Server s = { .until = "{\"a\":1}", .answer = "HTTP/1.1 201 Made\r\nContent-Length: 9\r\nETag: \"17\"\r\n\r\n{\"ok\":17}" };
  g_autoptr(PtClient) api = server_start(&s);
  g_autoptr(GError) err = NULL;
  g_autoptr(json_t) body = json_pack("{s:i}", "a", 1);

  pt_client_set_header(api, "Authorization", "Bearer pt_x_y");
  g_autofree char *path = pt_client_path("/v1/spaces/%s/files?path=%s&n=%d", "höme", "/a b/&?", 3);
  g_autoptr(json_t) got = pt_client_call(api, "POST", path, body, &err);
  g_assert_no_error(err);
  g_assert_cmpint(pt_json_int(got, "ok", 0), ==, 17);
  server_end(&s);

  Server t = { .until = "\r\n\r\n", .answer = "HTTP/1.1 404 No\r\nContent-Type: application/problem+json\r\n\r\n"
                                              "{\"title\":\"not-found\",\"detail\":\"no web\",\"hint\":\"portena list\"}" };
  g_autoptr(PtClient) api2 = server_start(&t);
  g_assert_null(pt_client_call(api2, "GET", "/v1/x", NULL, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_NOT_FOUND);
  g_assert_cmpstr(err->message, ==, "no web\nportena list");
  server_end(&t);
}

static gssize
source(void *data, void *buf, gsize size, GError **error)
{
  int *left = data;

  (void)error;
  if (*left == 0)
    return 0;
  (*left)--;
  memset(buf, 'z', size);
  return (gssize)MIN(size, 1000);
}

static bool
sink(void *data, const void *buf, gsize size, GError **error)
{
  (void)error;
  g_string_append_len(data, buf, (gssize)size);
  return true;
}

static void
test_streams_of_bytes(void)
{
  Server s = { .until = "\r\n0\r\n\r\n", .answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nback\r\n0\r\n\r\n" };
  g_autoptr(PtClient) api = server_start(&s);
  g_autoptr(GString) out = g_string_new(NULL);
  g_autoptr(GError) err = NULL;
  int left = 300;
  PtClientRequest r = {
    .method = "PUT", .path = "/v1/f", .source = source, .source_data = &left, .sink = sink, .sink_data = out
  };

  g_autoptr(PtClientReply) reply = pt_client_send(api, &r, &err);
  g_assert_no_error(err);
  g_assert_cmpint(reply->status, ==, 200);
  g_assert_cmpstr(out->str, ==, "back");
  server_end(&s);
}

static void
test_upgrade(void)
{
  Server s = { .until = "\r\n\r\n", .answer = "HTTP/1.1 101 Up\r\nConnection: Upgrade\r\nUpgrade: portena-stream/1\r\n\r\n", .stream = true };
  g_autoptr(PtClient) api = server_start(&s);
  g_autoptr(GError) err = NULL;
  PtClientRequest r = { .method = "GET", .path = "/v1/spaces/home/instances/web/desktop" };
  guint32 type = 0;
  char buf[16] = "";

  int fd = pt_client_upgrade(api, &r, &type, NULL, &err);
  g_assert_no_error(err);
  g_assert_cmpint(type, ==, PT_WIRE_STREAM);
  g_assert_cmpint(read(fd, buf, sizeof buf), ==, 7);
  g_assert_cmpstr(buf, ==, "through");
  g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  close(fd);
  server_end(&s);

  Server t = { .until = "\r\n\r\n", .answer = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" };
  g_autoptr(PtClient) api2 = server_start(&t);
  g_autoptr(PtClientReply) refused = NULL;
  g_assert_cmpint(pt_client_upgrade(api2, &r, &type, &refused, &err), ==, -1);
  g_assert_error(err, PT_ERROR, PT_ERR_FORBIDDEN);
  g_assert_cmpint(refused->status, ==, 403);
  g_clear_error(&err);
  server_end(&t);

  Server u = { .until = "\r\n\r\n", .answer = "HTTP/1.1 101 Up\r\n\r\nthis is no message of ours at all" };
  g_autoptr(PtClient) api3 = server_start(&u);
  g_assert_cmpint(pt_client_upgrade(api3, &r, &type, NULL, &err), ==, -1);
  g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  server_end(&u);
}

static gpointer
cancel_later(gpointer data)
{
  g_usleep(30000);
  g_cancellable_cancel(data);
  return NULL;
}

static void
test_waits(void)
{
  Server s = { .until = "\r\n\r\n", .answer = "", .silent = true };
  g_autoptr(PtClient) api = server_start(&s);
  g_autoptr(GError) err = NULL;
  PtClientRequest r = { .method = "GET", .path = "/v1", .timeout = 50000 };

  g_assert_null(pt_client_send(api, &r, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_TIMEOUT);
  g_clear_error(&err);
  server_end(&s);

  Server t = { .until = "\r\n\r\n", .answer = "", .silent = true };
  g_autoptr(PtClient) api2 = server_start(&t);
  g_autoptr(GCancellable) cancel = g_cancellable_new();
  PtClientRequest r2 = { .method = "GET", .path = "/v1", .cancel = cancel };
  GThread *thread = g_thread_new("cancel", cancel_later, cancel);
  g_assert_null(pt_client_send(api2, &r2, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_CANCELLED);
  g_clear_error(&err);
  g_thread_join(thread);
  server_end(&t);

  g_autoptr(PtClient) nobody = pt_client_new("/nonexistent/api.sock");
  g_assert_null(pt_client_send(nobody, &r, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_UNREACHABLE);
}

static void
test_bad_requests(void)
{
  static const char *const evil[] = { "X: y\r\nZ", "a", "X", "a\r\nb", "", "a", NULL };
  static const char *const paths[] = { "x", "/a b", "/a\r\nX: y", "/\x80", "" };

  for (guint i = 0; evil[i]; i += 2) {
    Server s = { .until = "\r\n\r\n", .answer = "" };
    g_autoptr(PtClient) api = server_start(&s);
    g_autoptr(GError) err = NULL;
    const char *const headers[] = { evil[i], evil[i + 1], NULL };
    PtClientRequest r = { .method = "GET", .path = "/v1", .headers = headers };
    g_assert_null(pt_client_send(api, &r, &err));
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    server_end(&s);
  }
  for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
    Server s = { .until = "\r\n\r\n", .answer = "" };
    g_autoptr(PtClient) api = server_start(&s);
    g_autoptr(GError) err = NULL;
    PtClientRequest r = { .method = "GET", .path = paths[i] };
    g_assert_null(pt_client_send(api, &r, &err));
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    server_end(&s);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/client/parser", test_parser);
  g_test_add_func("/client/call", test_call);
  g_test_add_func("/client/streams-of-bytes", test_streams_of_bytes);
  g_test_add_func("/client/upgrade", test_upgrade);
  g_test_add_func("/client/waits", test_waits);
  g_test_add_func("/client/bad-requests", test_bad_requests);
  return g_test_run();
}
