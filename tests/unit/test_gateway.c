// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <glib/gstdio.h>
#include <gnutls/x509.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "gateway/cert.h"
#include "gateway/endpoint.h"
#include "gateway/frame.h"
#include "gateway/handshake.h"
#include "gateway/listen.h"
#include "gateway/message.h"
#include "gateway/nginx.h"
#include "gateway/rfb.h"

static void
test_messages(void)
{
  static const struct {
    const char *text;
    int kind; /* -1: refused */
    guint32 a, b;
  } rows[] = {
    { "{\"resize\":[80,24]}", PT_MESSAGE_RESIZE, 80, 24 },
    { "{\"resize\":[4096,1]}", PT_MESSAGE_RESIZE, 4096, 1 },
    { "{\"signal\":\"INT\"}", PT_MESSAGE_SIGNAL, 2, 0 },
    { "{\"signal\":\"KILL\"}", PT_MESSAGE_SIGNAL, 9, 0 },
    { "{\"eof\":true}", PT_MESSAGE_EOF, 0, 0 },
    { "{\"eof\":false}", -1, 0, 0 },
    { "{\"eof\":true,\"x\":1}", -1, 0, 0 },
    { "{\"resize\":[0,24]}", -1, 0, 0 },
    { "{\"resize\":[80,24,1]}", -1, 0, 0 },
    { "{\"resize\":[80.5,24]}", -1, 0, 0 },
    { "{\"resize\":[4294967297,24]}", -1, 0, 0 },
    { "{\"resize\":{\"0\":80}}", -1, 0, 0 },
    { "{\"signal\":\"SIGINT\"}", -1, 0, 0 },
    { "{\"signal\":9}", -1, 0, 0 },
    { "{\"signal\":\"\"}", -1, 0, 0 },
    { "{}", -1, 0, 0 },
    { "[]", -1, 0, 0 },
    { "", -1, 0, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) err = NULL;
    PtMessage m;
    bool ok = pt_message_parse(rows[i].text, strlen(rows[i].text), &m, &err);
    g_assert_true(ok == (rows[i].kind >= 0) && ok == (err == NULL));
    if (ok) {
      g_assert_cmpint(m.kind, ==, rows[i].kind);
      g_assert_cmpuint(m.a, ==, rows[i].a);
      g_assert_cmpuint(m.b, ==, rows[i].b);
    }
  }
  g_autoptr(GError) err = NULL;
  PT_SET(&err, PT_ERR_CONFLICT, "web: \"is\" stopped");
  pt_error_hint(&err, "portena start web");
  g_autofree char *text = pt_message_error(err, false), *theirs = pt_message_error(err, true), *problem = pt_problem(err);
  g_assert_cmpstr(text, ==, "{\"error\":{\"code\":\"conflict\",\"detail\":\"web: \\\"is\\\" stopped\",\"hint\":\"portena start web\"}}");
  g_assert_true(g_str_has_suffix(theirs, ",\"by\":\"instance\"}}"));
  g_assert_cmpstr(problem, ==,
                  "{\"type\":\"urn:portena:error:conflict\",\"title\":\"conflict\",\"status\":409,\"detail\":\"web: \\\"is\\\" "
                  "stopped\",\"hint\":\"portena start web\"}");
}

static void
test_handshake(void)
{
  static const char key[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* RFC 6455, 1.3 */
  static const char *const bad[] = { NULL, "", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZ===",
                                     "########################", "dGhlIHNhbXBsZSBub25jZR==" };

  g_autofree char *accept = pt_ws_check("h2c, WebSocket", "13", key);
  g_assert_cmpstr(accept, ==, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
    g_assert_null(pt_ws_accept(bad[i]));
  g_assert_null(pt_ws_check(NULL, "13", key));
  g_assert_null(pt_ws_check("websockets", "13", key));
  g_assert_null(pt_ws_check("websocket", "8", key));
  g_assert_null(pt_ws_check("websocket", NULL, key));
}

static void
test_targets(void)
{
  static const char *const bad[] = { "", "/", "/v1/spaces/home/instances/web", "/v1/spaces/home/instances/web/files",
                                     "/v1/spaces/home/instances/web/exec/", "/v1/spaces//instances/web/exec", "v1/spaces/home/instances/web/exec",
                                     "/v1/spaces/../instances/web/exec", "/v1/spaces/home/instances/we b/exec",
                                     "/v1/spaces/home/instances/web/exec/more", "//v1/spaces/home/instances/web/exec" };
  g_auto(PtTarget) t = { 0 };

  g_assert_true(pt_target_parse("/v1/spaces/home/instances/web-1/console", &t, NULL));
  g_assert_cmpstr(t.space, ==, "home");
  g_assert_cmpstr(t.instance, ==, "web-1");
  g_assert_cmpstr(t.verb, ==, "console");
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_auto(PtTarget) none = { 0 };
    g_autoptr(GError) err = NULL;
    g_assert_false(pt_target_parse(bad[i], &none, &err));
    g_assert_error(err, PT_ERROR, PT_ERR_NOT_FOUND);
  }
}

static void
test_origins(void)
{
  static const struct {
    const char *authorization, *cookie, *origin, *host;
    bool ok;
  } rows[] = {
    { "Bearer x", NULL, NULL, "a:8443", true },
    { NULL, "portena=x", "https://a:8443", "a:8443", true },
    { NULL, "portena=x", "https://A:8443", "a:8443", true },
    { "Bearer x", NULL, "https://a:8443", "a:8443", true },
    { NULL, NULL, NULL, "a:8443", true },
    { NULL, "portena=x", NULL, "a:8443", false },
    { NULL, "portena=x", "https://a", "a:8443", false },
    { NULL, "portena=x", "http://a:8443", "a:8443", false },
    { NULL, "portena=x", "https://a:8443.evil", "a:8443", false },
    { NULL, "portena=x", "null", "a:8443", false },
    { NULL, "portena=x", "https://a:8443", NULL, false },
    { "Bearer x", "portena=x", "https://evil", "a:8443", false },
    { NULL, NULL, "https://evil", "a:8443", false },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    PtCaller c = { (char *)rows[i].authorization, (char *)rows[i].cookie, (char *)rows[i].origin, (char *)rows[i].host, NULL };
    g_assert_true(pt_caller_check_origin(&c, NULL) == rows[i].ok);
  }
}

static void
test_listen(void)
{
  static const char *const good[] = { "0.0.0.0:8443", "[::]:8443", "127.0.0.1:0", "[fe80::1]:65535" };
  static const char *const bad[] = { "", ":1", "localhost:1", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "::1:1", "[::1]", "[]:1",
                                     "[1.2.3.4]:1", "1.2.3:1", "0.0.0.0:1 ", NULL };

  for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
    PtListen l;
    g_assert_true(pt_listen_parse(good[i], &l, NULL));
    g_autofree char *text = pt_addr_format(&l.addr);
    g_assert_cmpstr(text, ==, good[i]);
  }
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    PtListen l;
    g_autoptr(GError) err = NULL;
    g_assert_false(pt_listen_parse(bad[i], &l, &err));
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  }
  PtListen open;
  g_assert_true(pt_listen_parse("127.0.0.1:0", &open, NULL));
  g_assert_true(pt_listen_open(&open, NULL));
  g_assert_cmpint(fcntl(open.fd, F_GETFL) & O_NONBLOCK, !=, 0); /* nginx's workers race for what comes in */
  close(open.fd);
}

static void
test_nginx(void)
{
  static const char *const evil[] = { "relative", "/a b", "/a;b", "/a{", "/a\"", "/a'", "/a$host", "/a\n", "/a\\", "/\xc3\xa4", "/a#" };
  const char *const listen[] = { "0.0.0.0:8443", "[::]:8443", NULL };
  PtNginxSetup s = { "/run/p", "/usr/share/p", "/run/api.sock", "/run/s.sock", "/s/c.pem", "/s/k.pem", listen, 2, false };

  g_autofree char *conf = pt_nginx_conf(&s, NULL);
  g_assert_null(strchr(conf, '@') ? strstr(conf, "@RUN@") : NULL);
  g_assert_nonnull(strstr(conf, "listen [::]:8443 ssl http2 ipv6only=on;"));
  s.http2_directive = true;
  g_autofree char *newer = pt_nginx_conf(&s, NULL);
  g_assert_nonnull(strstr(newer, "listen [::]:8443 ssl ipv6only=on;\n    http2 on;"));
  g_assert_false(pt_nginx_http2_directive("/nonexistent/nginx"));
  g_assert_nonnull(strstr(conf, "server unix:/run/api.sock "));
  g_assert_null(strstr(conf, "unsafe-"));
  g_assert_null(strstr(conf, "$proxy_add_x_forwarded_for"));
  for (guint i = 0; i < G_N_ELEMENTS(evil); i++) {
    const char **fields[] = { &s.run, &s.web, &s.api, &s.streams, &s.cert, &s.key };
    for (guint f = 0; f < G_N_ELEMENTS(fields); f++) {
      g_autoptr(GError) err = NULL;
      const char *old = *fields[f];
      *fields[f] = evil[i];
      g_assert_null(pt_nginx_conf(&s, &err));
      g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
      *fields[f] = old;
    }
  }
}

static void
test_vnc_names(void)
{
  static const char *const bad[] = { "", "anna", "anna@home", "@home/web", "anna@/web", "anna@home/", "anna@home/web/x", "Anna@home/web",
                                     "anna@../web", "an na@home/web", "anna@home/web@x" };
  g_autofree char *user = NULL, *space = NULL, *instance = NULL;

  g_assert_true(pt_rfb_parse_name("anna.b@home/web", &user, &space, &instance, NULL));
  g_assert_cmpstr(user, ==, "anna.b");
  g_assert_cmpstr(space, ==, "home");
  g_assert_cmpstr(instance, ==, "web");
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    char *u = NULL, *s = NULL, *n = NULL;
    g_autoptr(GError) err = NULL;
    g_assert_false(pt_rfb_parse_name(bad[i], &u, &s, &n, &err));
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    g_assert_null(u);
  }
}

static void
test_rfb_join(void)
{
#define V "RFB 003.008\n"
  static const struct {
    const char *bytes;
    gsize size;
    const char *error; /* NULL: joined */
  } rows[] = {
    { V "\1\1\0\0\0\0", 18, NULL },
    { "RFB 004.001\n\2\x13\1\0\0\0\0", 19, NULL },
    { V "\1\2", 14, "password of its own" },
    { V "\0\0\0\0\4full", 21, "full" },
    { V "\0\xff\xff\xff\xff" "full", 21, "refuses" },
    { V "\1\1\0\0\0\1\0\0\0\2no", 24, "no" },
    { V "\1\1\0\0", 16, "closed" },
    { "RFB 003.003\n", 12, "3.8" },
    { "SSH-2.0-OpenSSH", 15, "3.8" },
    { "", 0, "closed" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) err = NULL;
    g_autoptr(GByteArray) sent = g_byte_array_new();
    PtIo io = pt_io_memory(rows[i].bytes, rows[i].size, sent);
    bool ok = pt_rfb_join(&io, &err);
    g_assert_true(ok == !rows[i].error);
    if (!ok)
      g_assert_nonnull(strstr(err->message, rows[i].error));
    else
      g_assert_cmpmem(sent->data, sent->len, V "\1", 13);
  }
}

/* A desktop of 4 by 2 in two updates with a bell and a clipboard between, scaled to 2 by 1. */
static void
test_frame(void)
{
  g_autoptr(GByteArray) in = g_byte_array_new();
  g_auto(PtFrame) frame = { 0 };
  g_autoptr(GError) err = NULL;

#define PUT(text) g_byte_array_append(in, (const guint8 *)(text), sizeof(text) - 1)
  PUT("\0\4\0\2" "0123456789abcdef" "\0\0\0\2hi");
  PUT("\2" "\3\0\0\0\0\0\0\3cut" "\1\0\0\0\0\1rrggbb");
  PUT("\0\0\0\1" "\0\0\0\0\0\4\0\1\0\0\0\0" "\x10\x20\x30\0" "\x20\x30\x40\0" "\0\0\xff\0" "\0\0\xff\0");
  PUT("\0\0\0\1" "\0\0\0\1\0\4\0\1\0\0\0\0" "\x10\x20\x30\0" "\x20\x30\x40\0" "\0\0\xff\0" "\0\0\xff\0");
  PtIo io = pt_io_memory(in->data, in->len, NULL);
  g_assert_true(pt_frame_grab(&io, 2, &frame, &err));
  g_assert_no_error(err);
  g_assert_cmpuint(frame.width, ==, 2);
  g_assert_cmpuint(frame.height, ==, 1);
  g_assert_cmpmem(frame.rgb, 6, "\x38\x28\x18\xff\0\0", 6);
  g_autoptr(GBytes) png = pt_frame_png(&frame, &err);
  g_assert_cmpmem(g_bytes_get_data(png, NULL), 8, "\x89PNG\r\n\x1a\n", 8);
  for (guint n = 0; n < in->len; n++) { /* cut off anywhere: an error, never a picture */
    g_auto(PtFrame) none = { 0 };
    PtIo cut = pt_io_memory(in->data, n, NULL);
    g_assert_false(pt_frame_grab(&cut, 2, &none, NULL));
    g_assert_null(none.rgb);
  }
}

static gint64 fake_time;

static gint64
fake_now(void *data)
{
  (void)data;
  return fake_time;
}

static void
fake_random(void *data, void *buf, gsize size)
{
  (void)data;
  memset(buf, 0x5a, size);
}

static void
test_certificate(void)
{
  const PtClock clock = { fake_now, fake_now, fake_random, NULL };
  g_autofree char *dir = g_dir_make_tmp("pt-cert-XXXXXX", NULL);
  g_autoptr(GError) err = NULL;
  g_auto(PtCert) a = { 0 }, b = { 0 }, c = { 0 };

  fake_time = g_get_real_time();
  pt_clock_set(&clock);
  g_assert_true(pt_cert_ensure(dir, &a, &err));
  g_assert_true(a.made && !a.own);
  GStatBuf st;
  g_assert_cmpint(g_stat(a.key_path, &st), ==, 0);
  g_assert_cmpint(st.st_mode & 0777, ==, 0600);
  fake_time += 300 * G_TIME_SPAN_DAY;
  g_assert_true(pt_cert_ensure(dir, &b, &err));
  g_assert_cmpstr(b.fingerprint, ==, a.fingerprint);
  fake_time += 70 * G_TIME_SPAN_DAY; /* 27 days left */
  g_assert_true(pt_cert_ensure(dir, &c, &err));
  g_assert_cmpstr(c.fingerprint, !=, a.fingerprint);
  g_assert_cmpstr(c.pin, ==, a.pin);
  g_assert_cmpint(c.expires - fake_time, >, 390 * G_TIME_SPAN_DAY);
  pt_clock_set(NULL);
  g_assert_true(g_file_set_contents(c.cert_path, "garbage", -1, NULL)); /* ours: made anew */
  g_auto(PtCert) d = { 0 }, own = { 0 };
  g_assert_true(pt_cert_ensure(dir, &d, &err));
  g_assert_cmpstr(d.pin, ==, a.pin);
  g_autofree char *cert = g_build_filename(dir, "cert.pem", NULL), *key = g_build_filename(dir, "key.pem", NULL);
  g_assert_true(g_file_set_contents(cert, "garbage", -1, NULL)); /* an administrator's: never touched */
  g_assert_false(pt_cert_ensure(dir, &own, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  g_unlink(cert);
  g_unlink(key);
  g_unlink(d.cert_path);
  g_unlink(d.key_path);
  g_assert_cmpint(g_rmdir(dir), ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gateway/messages", test_messages);
  g_test_add_func("/gateway/handshake", test_handshake);
  g_test_add_func("/gateway/targets", test_targets);
  g_test_add_func("/gateway/origins", test_origins);
  g_test_add_func("/gateway/listen", test_listen);
  g_test_add_func("/gateway/nginx", test_nginx);
  g_test_add_func("/gateway/vnc-names", test_vnc_names);
  g_test_add_func("/gateway/rfb-join", test_rfb_join);
  g_test_add_func("/gateway/frame", test_frame);
  g_test_add_func("/gateway/certificate", test_certificate);
  return g_test_run();
}
