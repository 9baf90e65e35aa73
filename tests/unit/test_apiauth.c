// SPDX-License-Identifier: Apache-2.0
/* The API's pure parts: addresses, credentials, one-time codes, the slowing down of guesses. */
#include <string.h>

#include "api/auth.h"
#include "api/parse.h"
#include "api/throttle.h"
#include "api/totp.h"
#include "base/clock.h"
#include "base/error.h"

static gint64 now;

static gint64
fake_now(void *data)
{
  (void)data;
  return now;
}

static void
fake_random(void *data, void *buf, gsize size)
{
  (void)data;
  memset(buf, 7, size);
}

static const PtClock clock_ = { fake_now, fake_now, fake_random, NULL };

/* RFC 6238, appendix B, with SHA-1 and eight digits. */
static void
test_totp_vectors(void)
{
  static const struct {
    guint64 time;
    guint32 code;
  } v[] = {
    { 59, 94287082 },         { 1111111109, 7081804 },  { 1111111111, 14050471 },
    { 1234567890, 89005924 }, { 2000000000, 69279037 }, { 20000000000, 65353130 },
  };

  for (guint i = 0; i < G_N_ELEMENTS(v); i++)
    g_assert_cmpuint(pt_totp_code((const guint8 *)"12345678901234567890", 20, v[i].time / 30, 8), ==, v[i].code);
}

static void
test_totp_once(void)
{
  g_autofree char *secret = pt_base32((const guint8 *)"12345678901234567890", 20);
  gint64 t = (gint64)59 * G_USEC_PER_SEC;

  g_assert_cmpstr(secret, ==, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
  g_assert_cmpint(pt_totp_check(secret, "287082", t, 0), ==, 1);
  g_assert_cmpint(pt_totp_check(secret, "287082", t, 1), ==, -1);                       /* used */
  g_assert_cmpint(pt_totp_check(secret, "287082", t + 30 * G_USEC_PER_SEC, 0), ==, 1);  /* late by one */
  g_assert_cmpint(pt_totp_check(secret, "287082", t + 61 * G_USEC_PER_SEC, 0), ==, -1); /* by two */
  g_assert_cmpint(pt_totp_check(secret, "28708", t, 0), ==, -1);
  g_assert_cmpint(pt_totp_check("not base 32!", "287082", t, 0), ==, -1);
}

static void
test_throttle(void)
{
  PtThrottle *t = pt_throttle_new(8);

  now = 1000 * G_USEC_PER_SEC;
  pt_clock_set(&clock_);
  for (guint i = 0; i < 4; i++)
    pt_throttle_failed(t, "anna", "1.2.3.4");
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "1.2.3.4"), ==, 0);
  pt_throttle_failed(t, "anna", "1.2.3.4");
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "1.2.3.4"), ==, 1);
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "5.6.7.8"), ==, 0); /* she herself, elsewhere */
  g_assert_cmpuint(pt_throttle_wait(t, "bert", "1.2.3.4"), ==, 0);
  now += G_USEC_PER_SEC;
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "1.2.3.4"), ==, 0);
  pt_throttle_failed(t, "anna", "1.2.3.4");
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "1.2.3.4"), ==, 2);
  for (guint i = 0; i < 10; i++)
    pt_throttle_failed(t, "anna", "1.2.3.4");
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "1.2.3.4"), ==, 60);
  g_assert_cmpuint(pt_throttle_wait(t, "bert", "1.2.3.4"), ==, 0);
  pt_throttle_succeeded(t, "anna", "1.2.3.4");
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "1.2.3.4"), ==, 0);
  for (guint i = 0; i < 20; i++)
    pt_throttle_failed(t, "anna", "1.2.3.4");
  g_assert_cmpuint(pt_throttle_wait(t, "bert", "1.2.3.4"), ==, 900); /* an address that fails whoever it says it is */
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "5.6.7.8"), ==, 0);
  now += 3600 * (gint64)G_USEC_PER_SEC;
  g_assert_cmpuint(pt_throttle_wait(t, "bert", "1.2.3.4"), ==, 0); /* forgotten */
  for (guint i = 0; i < 1000; i++) {                               /* bounded: a flood of names makes no entry stay */
    g_autofree char *name = g_strdup_printf("u%u", i);
    pt_throttle_failed(t, name, "9.9.9.9");
    now++;
  }
  g_assert_cmpuint(pt_throttle_wait(t, "nobody", "9.9.9.9"), >, 0); /* the busiest entry does */
  pt_throttle_free(t);
  pt_clock_set(NULL);
}

/* Guessing from many addresses at once, a try or two from each. */
static void
test_throttle_crowd(void)
{
  PtThrottle *t = pt_throttle_new(64);

  now = 1000 * G_USEC_PER_SEC;
  pt_clock_set(&clock_);
  pt_throttle_succeeded(t, "anna", "5.6.7.8");
  pt_throttle_succeeded(t, "anna", "2001:db8:1:2::77");
  for (guint i = 0; i < 1000; i++) {
    g_autofree char *from = g_strdup_printf("10.1.%u.%u", i / 250, i % 250);
    pt_throttle_failed(t, "anna", from);
    g_assert_cmpuint(pt_throttle_wait(t, "anna", "10.9.9.9"), <=, 30); /* nobody is locked out */
    now += 1000;
  }
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "10.9.9.9"), ==, 30);
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "5.6.7.8"), ==, 0);          /* she was here before */
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "2001:db8:1:2:3::4"), ==, 0); /* the same /64 */
  g_assert_cmpuint(pt_throttle_wait(t, "anna", "2001:db8:1:3::77"), ==, 30);
  g_assert_cmpuint(pt_throttle_wait(t, "bert", "10.9.9.9"), ==, 0);
  for (guint i = 0; i < 40; i++) { /* one customer's addresses */
    g_autofree char *from = g_strdup_printf("2001:db8:7:7::%x", i + 1);
    pt_throttle_failed(t, "carl", from);
  }
  g_assert_cmpuint(pt_throttle_wait(t, "dora", "2001:db8:7:7:ffff::1"), ==, 900);
  pt_throttle_free(t);
  pt_clock_set(NULL);
}

static gint inside, most, refused;

static gpointer
compute(gpointer data)
{
  if (!pt_gate_enter(data, NULL)) {
    g_atomic_int_inc(&refused);
    return NULL;
  }
  gint n = g_atomic_int_add(&inside, 1) + 1;
  if (n > g_atomic_int_get(&most))
    g_atomic_int_set(&most, n);
  while (g_atomic_int_get(&refused) < 7) /* until all that find no place have asked for one */
    g_usleep(1000);
  g_atomic_int_add(&inside, -1);
  pt_gate_leave(data);
  return data;
}

/* Two at once, three wait, the rest is sent away. */
static void
test_gate(void)
{
  PtGate *gate = pt_gate_new(2, 3);
  GThread *t[12];
  guint let_in = 0;

  for (guint i = 0; i < G_N_ELEMENTS(t); i++)
    t[i] = g_thread_new("gate", compute, gate);
  for (guint i = 0; i < G_N_ELEMENTS(t); i++)
    let_in += g_thread_join(t[i]) != NULL;
  g_assert_cmpint(most, <=, 2);
  g_assert_cmpuint(let_in, ==, 5);
  pt_gate_free(gate);
}

static void
test_target(void)
{
  static const char *const bad[] = { "",           "v1",
                                     "//",         "/v1//x",
                                     "/v1/",       "/%",
                                     "/%1",        "/%zz",
                                     "/%00",       "/%0a",
                                     "/a%7fb",     "/%ff",
                                     "/%c3",       "/x?a=1&a=2",
                                     "/x?a=%",     "/x?%=1",
                                     "/x#frag",    "/a?b=%C0%80",
                                     "/\xff",      "/x?y=\x01",
                                     "/%ed%a0%80", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q" };
  g_auto(GStrv) s = NULL;
  g_autoptr(GHashTable) q = NULL;

  g_assert_true(pt_target_parse("/v1/spaces/a%20b/x%2fy?path=%2Fetc%2F&q=a+b&flag&&e=", &s, &q, NULL));
  g_assert_cmpuint(g_strv_length(s), ==, 4);
  g_assert_cmpstr(s[2], ==, "a b");
  g_assert_cmpstr(s[3], ==, "x/y");
  g_assert_cmpstr(g_hash_table_lookup(q, "path"), ==, "/etc/");
  g_assert_cmpstr(g_hash_table_lookup(q, "q"), ==, "a b");
  g_assert_cmpstr(g_hash_table_lookup(q, "flag"), ==, "");
  g_assert_cmpstr(g_hash_table_lookup(q, "e"), ==, "");
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) error = NULL;
    char **segments = NULL;
    GHashTable *query = NULL;
    g_test_message("bad address %u", i);
    g_assert_false(pt_target_parse(bad[i], &segments, &query, &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
    g_assert_null(segments);
    g_assert_null(query);
  }
}

#define ID "01m7vpr2nxqw9hgvg3mhqr8a09"
#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_credentials(void)
{
  static const char *const bad[] = { "",
                                     "Bearer",
                                     "Bearer ",
                                     "Basic YTpi",
                                     "Bearer pt_" ID,
                                     "Bearer pt_" ID "_" HEX "0",
                                     "Bearer pt_" ID "_G123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
                                     "Bearer pt_01m7vpr2nxqw9hgvg3mhqr8a0i_" HEX,
                                     "Bearer pt_../../../../../../../a_" HEX };
  g_autofree char *id = NULL, *secret = NULL;

  g_assert_true(pt_credential_bearer("bearer   pt_" ID "_" HEX " ", &id, &secret, NULL));
  g_assert_cmpstr(id, ==, ID);
  g_assert_cmpstr(secret, ==, HEX);
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    char *a = NULL, *b = NULL;
    g_autoptr(GError) error = NULL;
    g_assert_false(pt_credential_bearer(bad[i], &a, &b, &error));
    g_assert_error(error, PT_ERROR, PT_ERR_UNAUTHENTICATED);
    g_assert_null(a);
  }
  char *a = NULL, *b = NULL;
  GError *error = NULL;
  g_assert_false(pt_credential_cookie("theme=dark; other=1", &a, &b, &error));
  g_assert_no_error(error);
  g_assert_true(pt_credential_cookie("theme=dark;portena=pt_" ID "_" HEX "; x=y", &a, &b, &error));
  g_assert_cmpstr(a, ==, ID);
  g_free(a);
  g_free(b);
  a = b = NULL;
  g_assert_false(pt_credential_cookie("portena=pt_" ID "_" HEX "; portena=pt_" ID "_" HEX, &a, &b, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_UNAUTHENTICATED);
  g_clear_error(&error);
}

static void
test_headers(void)
{
  gint64 v = 0;
  g_autofree char *a = pt_forwarded_last("evil, 10.1.2.3"), *b = pt_forwarded_last("2001:db8::1"),
                  *c = pt_forwarded_last("10.0.0.1, <script>");

  g_assert_cmpstr(a, ==, "10.1.2.3");
  g_assert_cmpstr(b, ==, "2001:db8::1");
  g_assert_null(c);
  g_assert_true(pt_origin_matches("https://server:8443", "server:8443"));
  g_assert_true(pt_origin_matches("https://Server", "server:443"));
  g_assert_false(pt_origin_matches("https://server.evil", "server"));
  g_assert_false(pt_origin_matches("https://evil", "server"));
  g_assert_false(pt_origin_matches("null", "server"));
  g_assert_false(pt_origin_matches("https://", ""));
  g_assert_true(pt_if_match_parse("\"17\"", &v, NULL));
  g_assert_cmpint(v, ==, 17);
  g_assert_true(pt_if_match_parse("*", &v, NULL));
  g_assert_cmpint(v, ==, -1);
  g_assert_false(pt_if_match_parse("17", &v, NULL));
  g_assert_false(pt_if_match_parse("\"-1\"", &v, NULL));
  g_assert_false(pt_if_match_parse("W/\"1\"", &v, NULL));
  g_assert_false(pt_if_match_parse("\"99999999999999999999\"", &v, NULL));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/totp/vectors", test_totp_vectors);
  g_test_add_func("/totp/once", test_totp_once);
  g_test_add_func("/throttle", test_throttle);
  g_test_add_func("/throttle/crowd", test_throttle_crowd);
  g_test_add_func("/gate", test_gate);
  g_test_add_func("/target", test_target);
  g_test_add_func("/credentials", test_credentials);
  g_test_add_func("/headers", test_headers);
  return g_test_run();
}
