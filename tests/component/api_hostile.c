// SPDX-License-Identifier: Apache-2.0
/* Two hundred bad requests: each has its status, a sentence that says what is wrong, and changes nothing. */
#include <string.h>

#include "api_fake.h"

#define SPACE "/v1/spaces/home"
#define LIST SPACE "/instances"
#define WEB LIST "/web"
#define NAME64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L(fields) "{\"name\":\"x\",\"image\":\"debian\"," fields "}"

typedef struct {
  const char *method, *path, *body;
  int status;
} Bad;

static const Bad addresses[] = {
  { "GET", "/", NULL, 404 },
  { "GET", "/v2", NULL, 404 },
  { "GET", "/v1/", NULL, 400 },
  { "GET", "//v1", NULL, 400 },
  { "GET", "/v1//spaces", NULL, 400 },
  { "GET", "/v1/spaces/", NULL, 400 },
  { "GET", "/v1/%", NULL, 400 },
  { "GET", "/v1/%2", NULL, 400 },
  { "GET", "/v1/%zz", NULL, 400 },
  { "GET", "/v1/spaces/%00", NULL, 400 },
  { "GET", "/v1/spaces/%0d%0a", NULL, 400 },
  { "GET", "/v1/spaces/%ff%fe", NULL, 400 },
  { "GET", "/v1/spaces/%c0%ae%c0%ae", NULL, 400 },
  { "GET", "/v1/spaces/%ed%a0%80", NULL, 400 },
  { "GET", "/v1/spaces/..", NULL, 404 },
  { "GET", "/v1/spaces/%2e%2e", NULL, 404 },
  { "GET", "/v1/spaces/..%2fhome", NULL, 404 },
  { "GET", "/v1/spaces/home%2finstances", NULL, 404 },
  { "GET", "/v1/spaces/HOME", NULL, 404 },
  { "GET", "/v1/spaces/" NAME64, NULL, 404 },
  { "GET", "/v1/spaces/-", NULL, 404 },
  { "GET", "/v1/spaces/home%20", NULL, 404 },
  { "GET", "/v1/spaces/h%c3%b6me", NULL, 404 },
  { "GET", "/v1/spaces/%e2%80%aehome", NULL, 404 },
  { "GET", "/v1/spaces?x=1", NULL, 400 },
  { "GET", "/v1/spaces?=1", NULL, 400 },
  { "GET", "/v1/instances?limit=1", NULL, 400 },
  { "GET", "/v1/events?since=x", NULL, 400 },
  { "GET", "/v1/events?since=-1", NULL, 400 },
  { "GET", "/v1/events?since=1&since=2", NULL, 400 },
  { "GET", "/v1/events?space=%2e%2e", NULL, 404 },
  { "GET", "/v1/audit?limit=0", NULL, 400 },
  { "GET", "/v1/audit?limit=1001", NULL, 400 },
  { "GET", "/v1/audit?limit=1e3", NULL, 400 },
  { "GET", "/v1/audit?limit=99999999999999999999", NULL, 400 },
  { "GET", "/v1/audit?before=1%27%20OR%201=1", NULL, 400 },
  { "GET", "/v1/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q", NULL, 400 },
  { "GET", "/v1/spaces?a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1&l=1&m=1&n=1&o=1&p=1&q=1&r=1&s=1&t=1&u=1&v=1&w=1&x=1&y=1", NULL, 400 },
  { "POST", "/v1", NULL, 405 },
  { "DELETE", "/v1/instances", NULL, 405 },
  { "OPTIONS", "/v1/spaces", NULL, 405 },
  { "TRACE", "/v1/spaces", NULL, 405 },
  { "BREW", "/v1/spaces", NULL, 405 },
  { "PUT", WEB, "{}", 405 },
  { "GET", "/v1/operations/x", NULL, 404 },
  { "GET", "/v1/operations/01m7vpr2nxqw9hgvg3mhqr8a09", NULL, 404 },
  { "GET", "/v1/operations/01m7vpr2nxqw9hgvg3mhqr8a09?wait=601", NULL, 400 },
  { "GET", "/v1/operations/01m7vpr2nxqw9hgvg3mhqr8a09?wait=-1", NULL, 400 },
  { "DELETE", "/v1/operations/..%2f..%2fusers%2fadmin", NULL, 404 },
  { "GET", "/v1/images/..%2f..%2fetc", NULL, 404 },
  { "GET", "/v1/images/sha256:a", NULL, 404 },
  { "GET", "/v1/images/aaaaa", NULL, 404 },
  { "GET", "/v1/users/..%2f", NULL, 404 },
  { "GET", "/v1/users/Admin", NULL, 404 },
  { "DELETE", "/v1/users/admin/tokens/..%2f..%2fusers%2fadmin", NULL, 404 },
  { "GET", WEB "/samples?since=yesterday", NULL, 400 },
  { "GET", WEB "/logs?bytes=-1", NULL, 400 },
  { "GET", WEB "/logs?bytes=99999999", NULL, 400 },
  { "GET", WEB "/logs?follow=maybe", NULL, 400 },
  { "GET", WEB "/files", NULL, 400 },
  { "GET", WEB "/files?path=etc", NULL, 400 },
  { "GET", WEB "/files?path=", NULL, 400 },
  { "GET", WEB "/files?path=/x&follow=2", NULL, 400 },
  { "PUT", WEB "/files?path=/x&mode=999", "", 400 },
  { "PUT", WEB "/files?path=/x&mode=-1", "", 400 },
  { "PUT", WEB "/files?path=/x&mode=10000", "", 400 },
  { "PUT", WEB "/files?path=/x&uid=65536", "", 400 },
  { "PUT", WEB "/files?path=/x&uid=-1", "", 400 },
  { "PUT", WEB "/files?path=/x&gid=root", "", 400 },
  { "PUT", WEB "/files?path=/x&type=device", "", 400 },
  { "PUT", WEB "/files?path=/x&type=symlink", "", 400 },
  { "PUT", WEB "/files?path=/", "", 400 },
  { "PUT", WEB "/files?path=/..", "", 400 },
  { "PUT", WEB "/files?path=/no/such/x", "", 404 },
  { "DELETE", WEB "/files?path=/", NULL, 400 },
  { "DELETE", WEB "/files?path=/nothing", NULL, 404 },
  { "GET", LIST "/..", NULL, 404 },
  { "GET", LIST "/WEB", NULL, 404 },
  { "GET", LIST "/no%0asuch", NULL, 400 },
  { "GET", SPACE "/volumes/x", NULL, 404 },
  { "GET", SPACE "/volumes/..%2f..%2f..", NULL, 404 },
  { "DELETE", WEB "?force=yes", NULL, 400 },
  { "DELETE", WEB "?wait=x", NULL, 400 },
  { "DELETE", SPACE "?force=please", NULL, 400 },
  { "DELETE", SPACE "/members/nobody", NULL, 404 },
  { "GET", "/v1/spaces", "{}", 400 },
  { "DELETE", SPACE "/members/nobody", "{}", 400 },
  { "DELETE", "/v1/users/admin/totp", "{\"code\":\"1\"}", 400 },
  { "DELETE", "/v1/users/admin/totp", "{\"password\":7}", 400 },
};

static const Bad bodies[] = {
  { "POST", LIST, "", 400 },
  { "POST", LIST, "null", 400 },
  { "POST", LIST, "[]", 400 },
  { "POST", LIST, "\"x\"", 400 },
  { "POST", LIST, "{", 400 },
  { "POST", LIST, "{}", 400 },
  { "POST", LIST, "{\"name\":\"x\"}", 400 },
  { "POST", LIST, "{\"name\":\"x\",\"image\":\"debian\",\"user\":\"www-data\"}", 400 },
  { "POST", LIST, "{\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"x\",\"image\":\"debian\"", 400 },
  { "POST", LIST, "{\"name\":\"x\",\"image\":\"debian\"} x", 400 },
  { "POST", LIST, "{\"name\":\"x\",\"name\":\"y\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{'name':'x'}", 400 },
  { "POST", LIST, "{\"name\":\"x\xff\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"\\ud800\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"a\\u0000b\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 400 },
  { "POST", LIST, "{\"name\":1,\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"X\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"-x\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"x-\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"a.b\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"../x\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"a/b\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"\xc3\xb6\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"" NAME64 "\",\"image\":\"debian\"}", 400 },
  { "POST", LIST, "{\"name\":\"x\",\"image\":7}", 400 },
  { "POST", LIST, "{\"name\":\"x\",\"image\":\"\"}", 404 },
  { "POST", LIST, "{\"name\":\"x\",\"image\":\"nothing\"}", 404 },
  { "POST", LIST, "{\"name\":\"x\",\"image\":\"../../etc\"}", 404 },
  { "POST", LIST, "{\"name\":\"web\",\"image\":\"debian\"}", 409 },
  { "POST", LIST, L("\"colour\":\"red\""), 400 },
  { "POST", LIST, L("\"id\":\"01m7vpr2nxqw9hgvg3mhqr8a09\""), 400 },
  { "POST", LIST, L("\"owner\":\"n2\""), 400 },
  { "POST", LIST, L("\"address\":\"10.83.0.9\""), 400 },
  { "POST", LIST, L("\"generation\":9"), 400 },
  { "POST", LIST, L("\"deleting\":true"), 400 },
  { "POST", LIST, L("\"start\":\"yes\""), 400 },
  { "POST", LIST, L("\"kind\":\"balloon\""), 400 },
  { "POST", LIST, L("\"kind\":\"machine\""), 501 },
  { "POST", LIST, L("\"init\":\"none\""), 400 },
  { "POST", LIST, L("\"init\":\"app\""), 400 },
  { "POST", LIST, L("\"memory\":-1"), 400 },
  { "POST", LIST, L("\"memory\":1"), 400 },
  { "POST", LIST, L("\"memory\":1.5"), 400 },
  { "POST", LIST, L("\"memory\":\"lots\""), 400 },
  { "POST", LIST, L("\"memory\":\"-2G\""), 400 },
  { "POST", LIST, L("\"memory\":\"1e30\""), 400 },
  { "POST", LIST, L("\"memory\":99999999999999999999999"), 400 },
  { "POST", LIST, L("\"memory\":true"), 400 },
  { "POST", LIST, L("\"memory\":[1]"), 400 },
  { "POST", LIST, L("\"cpu\":-1"), 400 },
  { "POST", LIST, L("\"cpu\":\"many\""), 400 },
  { "POST", LIST, L("\"cpu\":1e308"), 400 },
  { "POST", LIST, L("\"cpu\":100000"), 400 },
  { "POST", LIST, L("\"pids\":-1"), 400 },
  { "POST", LIST, L("\"pids\":1.5"), 400 },
  { "POST", LIST, L("\"disk\":0"), 400 },
  { "POST", LIST, L("\"disk\":-5"), 400 },
  { "POST", LIST, L("\"disk\":\"9E\""), 400 },
  { "POST", LIST, L("\"priority\":0"), 400 },
  { "POST", LIST, L("\"priority\":1001"), 400 },
  { "POST", LIST, L("\"io_read\":-1"), 400 },
  { "POST", LIST, L("\"command\":\"ls\""), 400 },
  { "POST", LIST, L("\"command\":[]"), 400 },
  { "POST", LIST, L("\"command\":[1]"), 400 },
  { "POST", LIST, L("\"command\":[\"\"]"), 400 },
  { "POST", LIST, L("\"command\":[\"a\\u0000\"]"), 400 },
  { "POST", LIST, L("\"env\":[]"), 400 },
  { "POST", LIST, L("\"env\":{\"A=B\":\"x\"}"), 400 },
  { "POST", LIST, L("\"env\":{\"\":\"x\"}"), 400 },
  { "POST", LIST, L("\"env\":{\"A\":1}"), 400 },
  { "POST", LIST, L("\"cwd\":\"relative\""), 400 },
  { "POST", LIST, L("\"cwd\":\"/a/../b\""), 400 },
  { "POST", LIST, L("\"user\":\"a b\""), 400 },
  { "POST", LIST, L("\"user\":\"-1\""), 400 },
  { "POST", LIST, L("\"restart\":\"sometimes\""), 400 },
  { "POST", LIST, L("\"autostart\":1"), 400 },
  { "POST", LIST, L("\"ports\":{}"), 400 },
  { "POST", LIST, L("\"ports\":[{}]"), 400 },
  { "POST", LIST, L("\"ports\":[{\"listen\":0,\"to\":80}]"), 400 },
  { "POST", LIST, L("\"ports\":[{\"listen\":65536,\"to\":80}]"), 400 },
  { "POST", LIST, L("\"ports\":[{\"listen\":80,\"to\":-1}]"), 400 },
  { "POST", LIST, L("\"ports\":[{\"listen\":80,\"to\":80,\"protocol\":\"sctp\"}]"), 400 },
  { "POST", LIST, L("\"ports\":[{\"listen\":80,\"to\":80,\"address\":\"host\"}]"), 400 },
  { "POST", LIST, L("\"ports\":[{\"listen\":80,\"to\":80},{\"listen\":80,\"to\":81}]"), 400 },
  { "POST", LIST, L("\"ports\":[{\"listen\":8099,\"to\":80}]"), 409 },
  { "POST", LIST, L("\"description\":\"a\\nb\""), 400 },
  { "POST", LIST, L("\"description\":7"), 400 },
  { "PATCH", WEB, "{}", 400 },
  { "PATCH", WEB, "{\"user\":\"www-data\"}", 400 },
  { "PATCH", WEB, "[]", 400 },
  { "PATCH", WEB, "{\"image\":\"debian\"}", 400 },
  { "PATCH", WEB, "{\"space\":\"other\"}", 400 },
  { "PATCH", WEB, "{\"name\":7}", 400 },
  { "PATCH", WEB, "{\"name\":\"new\"}", 409 },
  { "PATCH", WEB, "{\"disk\":\"1G\"}", 400 },
  { "PATCH", WEB, "{\"usage\":null}", 400 },
  { "POST", WEB "/actions", "{}", 400 },
  { "POST", WEB "/actions", "{\"action\":\"explode\"}", 400 },
  { "POST", WEB "/actions", "{\"action\":\"none\"}", 400 },
  { "POST", WEB "/actions", "{\"action\":7}", 400 },
  { "POST", WEB "/actions", "{\"action\":\"stop\",\"deadline\":-1}", 400 },
  { "POST", WEB "/actions", "{\"action\":\"stop\",\"deadline\":4000}", 400 },
  { "POST", WEB "/actions", "{\"action\":\"start\"}", 409 },
  { "POST", WEB "/actions", "{\"action\":\"resume\"}", 409 },
  { "POST", WEB "/exec", "{\"command\":[\"ls\"]}", 426 },
  { "POST", "/v1/session", "{\"user\":\"admin\"}", 400 },
  { "POST", "/v1/session", "{\"user\":\"admin\",\"password\":7}", 400 },
  { "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"x\",\"admin\":true}", 400 },
  { "POST", "/v1/session", "{\"user\":\"../admin\",\"password\":\"x\"}", 401 },
  { "POST", "/v1/session", "{\"user\":\"\",\"password\":\"\"}", 401 },
  { "POST", "/v1/users", "{\"name\":\"otto\"}", 400 },
  { "POST", "/v1/users", "{\"name\":\"otto\",\"password\":\"short\"}", 400 },
  { "POST", "/v1/users", "{\"name\":\"otto\",\"password\":\"aaaaaaaaaaaa\"}", 400 },
  { "POST", "/v1/users", "{\"name\":\"0tto\",\"password\":\"correct horse\"}", 400 },
  { "POST", "/v1/users", "{\"name\":\"ot/to\",\"password\":\"correct horse\"}", 400 },
  { "POST", "/v1/users", "{\"name\":\"root\",\"password\":\"correct horse\"}", 409 },
  { "POST", "/v1/users", "{\"name\":\"otto\",\"password\":\"correct horse\",\"totp\":\"x\"}", 400 },
  { "PATCH", "/v1/users/admin", "{\"name\":\"other\"}", 400 },
  { "PATCH", "/v1/users/admin", "{\"admin\":\"yes\"}", 400 },
  { "PATCH", "/v1/users/admin", "{\"disabled\":true}", 409 },
  { "PATCH", "/v1/users/admin", "{\"password\":\"correct horse 2\",\"current_password\":\"no\"}", 403 },
  { "PUT", "/v1/users/admin/totp", "{\"code\":\"000000\"}", 409 },
  { "POST", "/v1/users/admin/tokens", "{}", 400 },
  { "POST", "/v1/users/admin/tokens", "{\"name\":\"t\",\"expires_in\":\"0s\"}", 400 },
  { "POST", "/v1/users/admin/tokens", "{\"name\":\"t\",\"expires_in\":\"-5d\"}", 400 },
  { "POST", "/v1/users/admin/tokens", "{\"name\":\"t\",\"expires_in\":\"9999d\"}", 400 },
  { "POST", "/v1/users/admin/tokens", "{\"name\":\"t\",\"scope\":\"god\"}", 400 },
  { "POST", "/v1/users/admin/tokens", "{\"name\":\"t\",\"scope\":\"space:../x\"}", 400 },
  { "POST", "/v1/spaces", "{}", 400 },
  { "POST", "/v1/spaces", "{\"name\":\"home\"}", 409 },
  { "POST", "/v1/spaces", "{\"name\":\"a b\"}", 400 },
  { "POST", "/v1/spaces", "{\"name\":\"lab\",\"subnet\":\"10.0.0.1/24\"}", 400 },
  { "POST", "/v1/spaces", "{\"name\":\"lab\",\"subnet\":\"10.0.0.0/31\"}", 400 },
  { "POST", "/v1/spaces", "{\"name\":\"lab\",\"prefix6\":\"::/0\"}", 400 },
  { "POST", "/v1/spaces", "{\"name\":\"lab\",\"quota\":{\"cpu\":-1}}", 400 },
  { "POST", "/v1/spaces", "{\"name\":\"lab\",\"quota\":{\"gold\":1}}", 400 },
  { "POST", "/v1/spaces", "{\"name\":\"lab\",\"members\":{\"admin\":\"owner\"}}", 400 },
  { "PATCH", SPACE, "{\"name\":\"other\"}", 400 },
  { "PATCH", SPACE, "{\"subnet\":\"10.0.0.0/24\"}", 400 },
  { "PATCH", SPACE, "{\"members\":{}}", 400 },
  { "PUT", SPACE "/members/admin", "{\"role\":\"king\"}", 400 },
  { "PUT", SPACE "/members/admin", "{\"role\":\"none\"}", 400 },
  { "PUT", SPACE "/members/nobody", "{\"role\":\"viewer\"}", 404 },
  { "PUT", SPACE "/members/..%2f", "{\"role\":\"viewer\"}", 404 },
  { "POST", "/v1/images", "{\"source\":\"/etc/passwd\"}", 400 },
  { "POST", "/v1/images", "{\"source\":\"recipe:\"}", 400 },
  { "POST", "/v1/images", "{\"source\":\"recipe:nothing\"}", 404 },
  { "POST", "/v1/images", "{\"source\":\"http://x\"}", 400 },
  { "POST", "/v1/images", "{\"source\":\"docker://x\",\"name\":\"a b\"}", 400 },
  { "PATCH", "/v1/images/debian", "{\"digest\":\"sha256:0\"}", 400 },
  { "PATCH", "/v1/images/debian", "{\"names\":\"debian\"}", 400 },
  { "DELETE", SPACE, NULL, 409 },
  { "DELETE", WEB, NULL, 409 },
};

static void
check(Fixture *f, const Bad *b)
{
  g_autofree char *what = g_strdup_printf("%s %s %.120s", b->method, b->path, b->body ? b->body : "");
  g_autoptr(Reply) r = ask(f, f->admin, b->method, b->path, b->body, NULL);

  expect(r, b->status, what);
  g_autofree char *type = header_of(r, "Content-Type");
  g_assert_cmpstr(type, ==, "application/problem+json");
  g_assert_cmpint(json_integer_value(json_object_get(r->json, "status")), ==, b->status);
  const char *detail = text_of(r, "detail");
  if (!detail || strlen(detail) < 8)
    g_error("%s: says nothing: %s", what, r->body);
  if (b->status == 405) {
    g_autofree char *allow = header_of(r, "Allow");
    g_assert_nonnull(allow);
  }
}

static gint64
revision_of(Fixture *f)
{
  gint64 revision = 0;
  g_autoptr(GPtrArray) all = pt_store_list(f->store, "", &revision, NULL);

  g_assert_nonnull(all);
  return revision;
}

static void
up(Fixture *f)
{
  fixture_up(f, false);
  fixture_image(f, "debian", "a", PT_INIT_SYSTEM, false);
  g_autoptr(Reply) made = ask(f, f->admin, "POST", LIST "?wait=120",
                              "{\"name\":\"web\",\"image\":\"debian\",\"ports\":[{\"listen\":8099,\"to\":80}]}", NULL);
  expect(made, 202, "launch");
}

static void
test_table(void)
{
  Fixture f;

  up(&f);
  gint64 before = revision_of(&f);
  for (guint i = 0; i < G_N_ELEMENTS(addresses); i++)
    check(&f, &addresses[i]);
  for (guint i = 0; i < G_N_ELEMENTS(bodies); i++)
    check(&f, &bodies[i]);
  g_test_message("%zu bad requests", G_N_ELEMENTS(addresses) + G_N_ELEMENTS(bodies));
  g_assert_cmpuint(G_N_ELEMENTS(addresses) + G_N_ELEMENTS(bodies), >=, 200);
  g_assert_cmpint(revision_of(&f), ==, before); /* nothing was changed by any of them */
  fixture_down(&f);
}

/* ── below JSON: what is no proper HTTP, or too much of it ── */

static void
check_raw(Fixture *f, GString *request, int low, int high, const char *what)
{
  g_autoptr(Reply) r = ask_raw(f, request->str, request->len);

  if (r->status != 0 && (r->status < low || r->status > high))
    g_error("%s: %d: %s", what, r->status, r->body);
  g_autoptr(Reply) alive = ask(f, NULL, "GET", "/healthz", NULL, NULL);
  expect(alive, 200, what);
  g_string_free(request, TRUE);
}

static GString *
raw(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

static GString *
raw(const char *fmt, ...)
{
  GString *s = g_string_new(NULL);
  va_list args;

  va_start(args, fmt);
  g_string_append_vprintf(s, fmt, args);
  va_end(args);
  return s;
}

static void
test_http(void)
{
  Fixture f;
  const char *t = NULL;

  up(&f);
  t = f.admin;
  GString *many = raw("GET /v1/session HTTP/1.1\r\nHost: s\r\nConnection: close\r\n");
  for (guint i = 0; i < 200; i++)
    g_string_append_printf(many, "X-%u: 1\r\n", i);
  g_string_append(many, "\r\n");
  check_raw(&f, many, 413, 431, "200 headers");
  GString *large = raw("GET /v1/session HTTP/1.1\r\nHost: s\r\nConnection: close\r\nX-Large: ");
  for (guint i = 0; i < 20000; i++)
    g_string_append_c(large, 'a');
  g_string_append(large, "\r\n\r\n");
  check_raw(&f, large, 413, 431, "a header of 20,000 bytes");
  GString *huge = raw("GET /v1/session HTTP/1.1\r\nHost: s\r\nX-Huge: ");
  for (guint i = 0; i < 400000; i++)
    g_string_append_c(huge, 'a');
  g_string_append(huge, "\r\n\r\n");
  check_raw(&f, huge, 400, 431, "a header of 400,000 bytes");
  GString *target = raw("GET /v1/spaces/");
  for (guint i = 0; i < 12000; i++)
    g_string_append_c(target, 'a');
  g_string_append(target, " HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n");
  check_raw(&f, target, 400, 431, "an address of 12,000 bytes");
  check_raw(&f, raw("POST /v1/spaces HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer %s\r\nContent-Length: 99999999\r\n\r\n{", t), 413, 413, "a length over the limit");
  check_raw(&f, raw("POST /v1/spaces HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer %s\r\nContent-Length: -1\r\n\r\n", t), 400, 413, "a negative length");
  check_raw(&f, raw("POST /v1/spaces HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer %s\r\nContent-Length: ten\r\n\r\n", t), 400, 413, "no number");
  check_raw(&f, raw("POST /v1/spaces HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer %s\r\nContent-Length: 99999999999999999999999\r\n\r\n", t), 400, 413, "more than 64 bits");
  check_raw(&f, raw("POST /v1/spaces HTTP/1.1\r\nHost: s\r\nConnection: close\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", t), 400, 413, "a bad chunk");
  check_raw(&f, raw("GET /v1/session HTTP/9.9\r\nHost: s\r\n\r\n"), 400, 505, "another version");
  check_raw(&f, raw("GET\r\n\r\n"), 400, 505, "half a line");
  check_raw(&f, raw("\x16\x03\x01\x02%c\x01\r\n\r\n", 1), 400, 505, "TLS");
  check_raw(&f, raw("GET /v1/session HTTP/1.1\r\nHost: s\r\nConnection: close\r\nAuthorization: Bearer %s\r\nAuthorization: Bearer x\r\n\r\n", t), 200, 401, "two credentials");
  GString *body = raw("POST /v1/spaces HTTP/1.1\r\nHost: s\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", t);
  for (guint i = 0; i < 40; i++) {
    g_string_append(body, "8000\r\n");
    for (guint k = 0; k < 0x8000; k++)
      g_string_append_c(body, ' ');
    g_string_append(body, "\r\n");
  }
  g_string_append(body, "0\r\n\r\n");
  check_raw(&f, body, 413, 413, "1.25 MiB in chunks");
  g_autoptr(Reply) form = ask(&f, t, "POST", "/v1/spaces", "name=lab", "Content-Type: application/x-www-form-urlencoded\r\n");
  expect(form, 400, "a form");
  g_autoptr(Reply) text = ask(&f, t, "POST", "/v1/spaces", "{\"name\":\"lab\"}", "Content-Type: text/plain\r\n");
  expect(text, 400, "text");
  static const char *const credentials[] = { "Basic YWRtaW46eA==", "Bearer", "Bearer x", "Bearer pt_x_y", "bearer\tpt_", "Digest a=b", "" };
  for (guint i = 0; i < G_N_ELEMENTS(credentials); i++) {
    g_autofree char *head = g_strdup_printf("Authorization: %s\r\n", credentials[i]);
    g_autoptr(Reply) r = ask(&f, NULL, "GET", "/v1/session", NULL, head);
    expect(r, 401, head);
    g_assert_nonnull(text_of(r, "detail"));
  }
  fixture_down(&f);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/hostile/table", test_table);
  g_test_add_func("/hostile/http", test_http);
  return g_test_run();
}
