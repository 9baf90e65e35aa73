// SPDX-License-Identifier: Apache-2.0
/* nginx is driven, not administered: the whole configuration is made here and nothing of /etc/nginx is read. It terminates
 * TLS and HTTP/2, serves the pages, and passes /v1, /healthz and /metrics on. What clients choose is bounded: sizes, times,
 * requests. A location that has an add_header or proxy_set_header of its own inherits none, so each names the whole set. */
#include "gateway/nginx.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

static const char head[] =
  "daemon off;\n"
  "pid @RUN@/nginx.pid;\n"
  "worker_processes @WORKERS@;\n"
  "worker_shutdown_timeout 5s;\n"
  "error_log stderr error;\n"
  "events { worker_connections 2048; }\n"
  "http {\n"
  "  types {\n"
  "    text/html html; text/css css; text/javascript js mjs; application/json json map; image/svg+xml svg; image/png png;\n"
  "    image/jpeg jpg jpeg; image/webp webp; image/x-icon ico; font/woff2 woff2; application/wasm wasm; text/plain txt;\n"
  "    application/manifest+json webmanifest; audio/ogg oga ogg;\n"
  "  }\n"
  "  default_type application/octet-stream;\n"
  "  charset utf-8;\n"
  "  access_log off;\n"
  "  server_tokens off;\n"
  "  sendfile on;\n"
  "  tcp_nodelay on;\n"
  "  client_body_temp_path @RUN@/tmp/body;\n"
  "  proxy_temp_path @RUN@/tmp/proxy;\n"
  "  fastcgi_temp_path @RUN@/tmp/fastcgi;\n"
  "  uwsgi_temp_path @RUN@/tmp/uwsgi;\n"
  "  scgi_temp_path @RUN@/tmp/scgi;\n"
  "\n"
  "  # A client that dawdles is dropped; one that only waits (events, streams) is not.\n"
  "  client_header_timeout 10s;\n"
  "  client_body_timeout 30s;\n"
  "  send_timeout 60s;\n"
  "  keepalive_timeout 65s;\n"
  "  reset_timedout_connection on;\n"
  "  client_header_buffer_size 1k;\n"
  "  large_client_header_buffers 4 8k;\n"
  "  client_body_buffer_size 16k;\n"
  "  client_max_body_size 1m;\n"
  "  http2_max_concurrent_streams 64;\n"
  "  limit_conn_zone $binary_remote_addr zone=address:1m;\n"
  "  limit_conn_status 429;\n"
  "  limit_req_status 429;\n"
  "  limit_conn_log_level warn; # a client must not fill the log\n"
  "  limit_req_log_level warn;\n"
  "  map $request_method $login { POST $binary_remote_addr; default ''; }\n"
  "  limit_req_zone $login zone=login:1m rate=5r/s;\n"
  "  limit_conn address 1024;\n"
  "\n"
  "  ssl_certificate \"@CERT@\";\n"
  "  ssl_certificate_key \"@KEY@\";\n"
  "  ssl_protocols TLSv1.2 TLSv1.3;\n"
  "  ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
  "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384;\n"
  "  ssl_prefer_server_ciphers off;\n"
  "  ssl_session_cache shared:tls:1m;\n"
  "  ssl_session_tickets off;\n"
  "  ssl_session_timeout 1d;\n"
  "\n"
  "  # A browser must not learn to insist on HTTPS for every other server on localhost.\n"
  "  map $host $hsts { localhost ''; default 'max-age=31536000'; }\n"
  "  map $http_upgrade $connection_upgrade { '' ''; default upgrade; }\n"
  "\n"
  "  upstream api { server unix:@API@ max_fails=0; keepalive 8; keepalive_timeout 30s; }\n"
  "  upstream streams { server unix:@STREAMS@ max_fails=0; }\n"
  "\n"
  "  server {\n";

/* The headers of every answer of ours; the daemon's answers get them too. */
#define HEADERS \
  "add_header Strict-Transport-Security $hsts always;\n" \
  "      add_header X-Content-Type-Options nosniff always;\n" \
  "      add_header X-Frame-Options DENY always;\n" \
  "      add_header Referrer-Policy no-referrer always;\n" \
  "      add_header Cross-Origin-Opener-Policy same-origin always;\n" \
  "      add_header Cross-Origin-Resource-Policy same-origin always;\n" \
  "      add_header Permissions-Policy 'accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), " \
  "payment=(), usb=(), clipboard-read=(self), clipboard-write=(self), fullscreen=(self)' always;\n"

/* Pages may load from here alone, run nothing inline, and be framed by nobody; blob: is what a page made itself (a
 * downloaded file, a decoded picture). */
#define PAGE_HEADERS \
  HEADERS "      add_header Content-Security-Policy \"default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: " \
          "data:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action " \
          "'self'; frame-ancestors 'none'\" always;\n"
#define API_HEADERS HEADERS "      add_header Content-Security-Policy \"default-src 'none'; frame-ancestors 'none'\" always;\n"

/* What the client says about where it comes from is overwritten, never passed on. */
#define PROXY \
  "proxy_http_version 1.1;\n" \
  "      proxy_set_header Host $http_host;\n" \
  "      proxy_set_header X-Forwarded-For $remote_addr;\n" \
  "      proxy_set_header X-Forwarded-Proto https;\n" \
  "      proxy_set_header Forwarded '';\n" \
  "      proxy_set_header X-Real-IP '';\n" \
  "      proxy_set_header X-Portena-Purpose '';\n" \
  "      proxy_connect_timeout 5s;\n" \
  "      proxy_read_timeout 660s;\n" \
  "      proxy_max_temp_file_size 0;\n" \
  "      proxy_intercept_errors off;\n"
#define TO_API PROXY "      proxy_set_header Connection '';\n      proxy_pass http://api;\n"

#define PROBLEMS \
  "      error_page 502 504 = @down;\n      error_page 413 = @large;\n      error_page 429 = @rate;\n"

static const char body[] =
  "    server_name _;\n"
  "    root \"@WEB@\";\n"
  "    error_page 497 =301 https://$http_host$request_uri;\n"
  "\n"
  "    location / {\n      " PAGE_HEADERS
  "      add_header Cache-Control no-cache always;\n"
  "      gzip_static on;\n"
  "      index index.html;\n"
  "      try_files $uri $uri/index.html =404;\n"
  "    }\n"
  "    location /assets/ {\n      " PAGE_HEADERS
  "      add_header Cache-Control 'public, max-age=31536000, immutable';\n"
  "      gzip_static on;\n"
  "      try_files $uri =404;\n"
  "    }\n"
  "    location = /.well-known/portena/certificate.pem {\n      " API_HEADERS
  "      default_type application/x-pem-file;\n"
  "      alias \"@CERT@\";\n"
  "    }\n"
  "    location = /healthz {\n      " API_HEADERS PROBLEMS "      " TO_API "    }\n"
  "    location = /metrics {\n      " API_HEADERS PROBLEMS "      " TO_API "    }\n"
  "    location = /v1 {\n      " API_HEADERS PROBLEMS "      " TO_API "    }\n"
  "    location /v1/ {\n      " API_HEADERS PROBLEMS "      " TO_API "    }\n"
  "    location = /v1/session {\n      " API_HEADERS PROBLEMS
  "      limit_req zone=login burst=30 nodelay;\n      " TO_API "    }\n"
  "    location = /v1/events {\n      " API_HEADERS PROBLEMS "      proxy_buffering off;\n      " TO_API "    }\n"
  "    location = /v1/images {\n      " API_HEADERS PROBLEMS
  "      client_max_body_size 64g;\n      proxy_request_buffering off;\n      proxy_send_timeout 660s;\n      " TO_API "    }\n"
  "    location ~ ^/v1/spaces/[^/]+/instances/[^/]+/files$ {\n      " API_HEADERS PROBLEMS
  "      client_max_body_size 64g;\n      proxy_request_buffering off;\n      proxy_buffering off;\n"
  "      proxy_send_timeout 660s;\n      " TO_API "    }\n"
  "    location ~ ^/v1/spaces/[^/]+/instances/[^/]+/logs$ {\n      " API_HEADERS PROBLEMS
  "      proxy_buffering off;\n      " TO_API "    }\n"
  "    location ~ ^/v1/spaces/[^/]+/instances/[^/]+/(exec|console|desktop)$ {\n      " API_HEADERS PROBLEMS
  "      proxy_buffering off;\n      proxy_buffer_size 32k;\n      proxy_buffers 4 32k;\n      proxy_set_header Upgrade $http_upgrade;\n"
  "      proxy_set_header Connection $connection_upgrade;\n      proxy_send_timeout 90s;\n      " PROXY
  "      proxy_pass http://streams;\n    }\n"
  "    location ~ ^/v1/spaces/[^/]+/instances/[^/]+/thumbnail$ {\n      " API_HEADERS PROBLEMS
  "      proxy_set_header Connection close;\n      " PROXY "      proxy_pass http://streams;\n    }\n"
  "\n"
  "    location @down {\n      " API_HEADERS
  "      add_header Retry-After 2 always;\n"
  "      default_type application/problem+json;\n"
  "      return 503 '{\"type\":\"urn:portena:error:unreachable\",\"title\":\"unreachable\",\"status\":503,"
  "\"detail\":\"portenad does not answer on this server\",\"hint\":\"wait a moment; on the server: systemctl status portenad\"}';\n"
  "    }\n"
  "    location @large {\n      " API_HEADERS
  "      default_type application/problem+json;\n"
  "      return 413 '{\"type\":\"urn:portena:error:too-large\",\"title\":\"too-large\",\"status\":413,"
  "\"detail\":\"the request is larger than this server takes\"}';\n"
  "    }\n"
  "    location @rate {\n      " API_HEADERS
  "      add_header Retry-After 5 always;\n"
  "      default_type application/problem+json;\n"
  "      return 429 '{\"type\":\"urn:portena:error:rate\",\"title\":\"rate\",\"status\":429,"
  "\"detail\":\"too many requests from your address\",\"hint\":\"wait a few seconds\"}';\n"
  "    }\n"
  "  }\n"
  "}\n";

/* Between quotes and in unix:PATH alike, these mean nothing to nginx. */
static bool
path_ok(const char *path, GError **error)
{
  if (path && path[0] == '/' &&
      strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+@=,") == strlen(path))
    return true;
  g_autofree char *shown = pt_text_safe(path ? path : "", 100);
  PT_SET(error, PT_ERR_INVALID, "path '%s': the gateway's paths start with / and hold only letters, digits and / . _ - + @ = ,", shown);
  return false;
}

static void
append(GString *out, const char *text, const PtNginxSetup *s)
{
  g_autofree char *workers = g_strdup_printf("%u", s->workers);
  const char *const values[][2] = { { "@RUN@", s->run }, { "@WEB@", s->web },   { "@API@", s->api },
                                    { "@CERT@", s->cert }, { "@KEY@", s->key }, { "@STREAMS@", s->streams },
                                    { "@WORKERS@", workers } };
  GString *part = g_string_new(text);

  for (guint i = 0; i < G_N_ELEMENTS(values); i++)
    g_string_replace(part, values[i][0], values[i][1], 0);
  g_string_append_len(out, part->str, (gssize)part->len);
  g_string_free(part, TRUE);
}

bool
pt_nginx_http2_directive(const char *program)
{
  const char *argv[] = { program, "-v", NULL };
  g_autofree char *said = NULL;
  guint major = 0, minor = 0, patch = 0;

  if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &said, NULL, NULL))
    return false;
  const char *version = strstr(said, "nginx/");
  if (!version || sscanf(version, "nginx/%3u.%5u.%5u", &major, &minor, &patch) != 3)
    return false;
  return major != 1 ? major > 1 : minor != 25 ? minor > 25 : patch >= 1;
}

char *
pt_nginx_conf(const PtNginxSetup *s, GError **error)
{
  const char *const paths[] = { s->run, s->web, s->api, s->streams, s->cert, s->key };

  for (guint i = 0; i < G_N_ELEMENTS(paths); i++)
    if (!path_ok(paths[i], error))
      return NULL;
  GString *out = g_string_sized_new(16384);
  append(out, head, s);
  for (guint i = 0; s->listen[i]; i++)
    g_string_append_printf(out, "    listen %s ssl%s%s;\n", s->listen[i], s->http2_directive ? "" : " http2",
                           s->listen[i][0] == '[' ? " ipv6only=on" : "");
  if (s->http2_directive)
    g_string_append(out, "    http2 on;\n");
  append(out, body, s);
  return g_string_free(out, FALSE);
}
