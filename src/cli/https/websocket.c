// SPDX-License-Identifier: Apache-2.0
/* The WebSocket handshake (RFC 6455) over a connection of libcurl's. libcurl 7.88 has WebSocket frames as an experiment that
 * Debian does not build, so it gives the TLS connection alone. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/http.h"
#include "cli/https/https.h"

#define ANSWER_WITHIN (30 * G_USEC_PER_SEC)
#define MAX_REFUSAL (1u << 20)

static bool
wait_for(int fd, short events, gint64 end)
{
  struct pollfd p = { .fd = fd, .events = events };
  gint64 left = end - pt_mono();

  return left > 0 && (poll(&p, 1, (int)(left / 1000) + 1) > 0 || errno == EINTR);
}

static bool
send_all(const PtHttps *h, CURL *curl, int fd, const char *data, gsize size, GError **error)
{
  gint64 end = pt_mono() + ANSWER_WITHIN;

  while (size > 0) {
    size_t n = 0;
    CURLcode rc = curl_easy_send(curl, data, size, &n);
    if (rc == CURLE_AGAIN && wait_for(fd, POLLOUT, end))
      continue;
    if (rc != CURLE_OK) {
      pt_https_error(h, rc == CURLE_AGAIN ? CURLE_OPERATION_TIMEDOUT : rc, error);
      return false;
    }
    data += n;
    size -= n;
  }
  return true;
}

static char *
build_request(const PtHttps *h, const char *path, const char *key)
{
  GString *s = g_string_new(NULL);

  g_string_append_printf(
    s,
    "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: binary\r\nUser-Agent: portena/" PORTENA_VERSION "\r\n",
    path, h->url + strlen("https://"), key);
  if (h->token)
    g_string_append_printf(s, "Authorization: Bearer %s\r\n", h->token);
  g_string_append(s, "\r\n");
  return g_string_free(s, FALSE);
}

static bool
accepted(PtHttpParser *parser, const char *key)
{
  g_autofree char *both = g_strconcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", NULL);
  g_autoptr(GChecksum) c = g_checksum_new(G_CHECKSUM_SHA1);
  guint8 sum[20];
  gsize len = sizeof sum;

  g_checksum_update(c, (const guint8 *)both, -1);
  g_checksum_get_digest(c, sum, &len);
  g_autofree char *wanted = g_base64_encode(sum, len);
  return g_strcmp0(pt_http_header(pt_http_parser_headers(parser), "sec-websocket-accept"), wanted) == 0;
}

/* The refusal's problem details as our error. */
static void
refused(PtHttpParser *parser, const GByteArray *body, const char *path, GError **error)
{
  PtClientReply reply = { .status = pt_http_parser_status(parser), .headers = (char **)pt_http_parser_headers(parser) };
  g_autofree char *text = g_strndup((const char *)body->data, body->len);

  reply.body = text;
  reply.body_size = body->len;
  if (pt_client_reply_check(&reply, error))
    PT_SET(error, PT_ERR_INTERNAL, "%s: the server gave an answer where a stream was asked for", path);
}

/* Feeds the parser. END: all of the answer is there; what follows it goes to `early`. */
static PtHttpEvent
feed(PtHttpParser *parser, const guint8 *data, gsize size, GByteArray *body, GByteArray *early, GError **error)
{
  for (;;) {
    const guint8 *piece = NULL;
    gsize n = 0;
    PtHttpEvent e = pt_http_parser_step(parser, &data, &size, &piece, &n, error);
    if (e == PT_HTTP_DATA && n <= MAX_REFUSAL - body->len)
      g_byte_array_append(body, piece, (guint)n);
    if (e == PT_HTTP_END)
      g_byte_array_append(early, data, (guint)size);
    if (e == PT_HTTP_END || e == PT_HTTP_BAD || e == PT_HTTP_MORE)
      return e;
  }
}

static bool
handshake(const PtHttps *h, CURL *curl, int fd, const char *path, GByteArray *early, GError **error)
{
  guint8 nonce[16], buf[8192];
  gint64 end = pt_mono() + ANSWER_WITHIN;
  g_autoptr(PtHttpParser) parser = pt_http_parser_new("GET");
  g_autoptr(GByteArray) body = g_byte_array_new();
  PtHttpEvent e = PT_HTTP_MORE;

  pt_random(nonce, sizeof nonce);
  g_autofree char *key = g_base64_encode(nonce, sizeof nonce), *request = build_request(h, path, key);
  if (!pt_http_is_target(path) || !send_all(h, curl, fd, request, strlen(request), error))
    return false;
  while (e == PT_HTTP_MORE) {
    size_t n = 0;
    CURLcode rc = curl_easy_recv(curl, buf, sizeof buf, &n);
    if (rc == CURLE_AGAIN && wait_for(fd, POLLIN, end))
      continue;
    if (rc != CURLE_OK || n == 0) {
      pt_https_error(h, rc == CURLE_AGAIN ? CURLE_OPERATION_TIMEDOUT : rc == CURLE_OK ? CURLE_GOT_NOTHING : rc, error);
      return false;
    }
    e = feed(parser, buf, n, body, early, error);
  }
  if (e == PT_HTTP_BAD)
    return false;
  if (pt_http_parser_status(parser) == 101 && accepted(parser, key))
    return true;
  if (pt_http_parser_status(parser) == 101)
    PT_SET(error, PT_ERR_INTERNAL, "%s: its answer to the WebSocket handshake is wrong", h->url);
  else
    refused(parser, body, path, error);
  return false;
}

static CURL *
connect_only(const PtHttps *h, int *ret_fd, GError **error)
{
  CURL *curl = curl_easy_init();
  curl_socket_t fd = CURL_SOCKET_BAD;

  pt_https_prepare(h, curl);
  curl_easy_setopt(curl, CURLOPT_URL, h->url);
  curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  CURLcode rc = pt_https_perform(curl);
  if (rc == CURLE_OK)
    rc = curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd);
  if (rc == CURLE_OK && fd != CURL_SOCKET_BAD) {
    *ret_fd = fd;
    return curl;
  }
  pt_https_error(h, rc == CURLE_OK ? CURLE_COULDNT_CONNECT : rc, error);
  curl_easy_cleanup(curl);
  return NULL;
}

int
pt_websocket_open(const PtHttps *h, const char *path, const char *body, bool channels, GError **error)
{
  g_autoptr(GByteArray) early = g_byte_array_new();
  int fd = -1, pair[2];
  CURL *curl = connect_only(h, &fd, error);

  if (!curl)
    return -1;
  if (!handshake(h, curl, fd, path, early, error)) {
    curl_easy_cleanup(curl);
    return -1;
  }
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
    pt_error_errno(error, errno, "socketpair");
    curl_easy_cleanup(curl);
    return -1;
  }
  if (pt_bridge_start(curl, fd, pair[1], body, channels, early, error))
    return pair[0];
  close(pair[0]);
  return -1;
}
