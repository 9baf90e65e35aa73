// SPDX-License-Identifier: Apache-2.0
/* Who may what: every route of the table for every kind of asker, and the ways in. */
#include <glib/gstdio.h>
#include <string.h>

#include "api/parse.h"
#include "api/router.h"
#include "api/totp.h"
#include "api_fake.h"
#include "base/clock.h"

static gint64 shift; /* of the clock */
static gint64 stands, stands_at; /* not 0: it stands there, and moves by `shift` alone; since the start of the machine, and of the calendar */

static gint64
late_now(void *data)
{
  (void)data;
  return (stands ? stands_at : g_get_real_time()) + shift;
}

static gint64
late_mono(void *data)
{
  (void)data;
  return (stands ? stands : g_get_monotonic_time()) + shift;
}

static void
stand_still(void)
{
  stands_at = g_get_real_time();
  stands = g_get_monotonic_time();
}

static void
real_random(void *data, void *buf, gsize size)
{
  (void)data;
  for (gsize i = 0; i < size; i++)
    ((guint8 *)buf)[i] = (guint8)g_random_int_range(0, 256);
}

static const PtClock late = { late_now, late_mono, real_random, NULL };

/* The address of a route with things that are there; DELETEs name things that are not, to leave the rest in peace. */
static char *
fill(const PtRoute *route, const char *space)
{
  g_autoptr(GString) out = g_string_new(NULL);
  const char *p = route->path, *user = strstr(p, "/members/") ? "otto" : "mia";

  while (*p) {
    if (*p != '{') {
      g_string_append_c(out, *p++);
      continue;
    }
    const char *value = g_str_has_prefix(p, "{space}")      ? space
                        : g_str_has_prefix(p, "{instance}") ? "web"
                        : g_str_has_prefix(p, "{user}")     ? user
                        : g_str_has_prefix(p, "{ref}")      ? "nothing"
                                                            : "01m7vpr2nxqw9hgvg3mhqr8a09";
    g_string_append(out, value);
    p = strchr(p, '}') + 1;
  }
  return g_string_free(g_steal_pointer(&out), FALSE);
}

typedef enum { NOBODY, OUTSIDER, IS_VIEWER, IS_MEMBER, IS_OWNER, IS_ADMIN, READER, ONE_SPACE, ONE_SPACE_READ, N_ASKERS } Asker;
static const char *const asker_names[] = { "nobody", "outsider", "viewer", "member", "owner", "admin", "owner's read token",
                                           "owner's token for the space", "owner's read token for the space" };

/* What the table of routes says, said again in other words: 0 = allowed, else the status. */
static int
wanted(const PtRoute *r, Asker a, bool other_space)
{
  static const int level[N_ASKERS] = { 0, 0, 1, 2, 3, 4, 1, 3, 1 };
  bool reads = strcmp(r->method, "GET") == 0 && !(r->flags & PT_R_STREAM);
  bool read_only = a == READER || a == ONE_SPACE_READ, scoped = a == ONE_SPACE || a == ONE_SPACE_READ;

  if (r->access == PT_ACCESS_OPEN)
    return 0;
  if (a == NOBODY)
    return 401;
  if (r->access >= PT_ACCESS_VIEWER && r->access <= PT_ACCESS_OWNER) {
    int need = (int)r->access - (int)PT_ACCESS_VIEWER + 1;
    if (a == IS_ADMIN)
      return 0;
    if (other_space || level[a] == 0)
      return 404;
    return level[a] >= need ? 0 : 403;
  }
  if (read_only && !reads)
    return 403;
  if (r->access == PT_ACCESS_SELF && a == IS_ADMIN && strcmp(r->method, "POST") == 0)
    return 403; /* administrators do not act in others' names */
  if (r->access == PT_ACCESS_SELF)
    return a == IS_ADMIN || (a == IS_MEMBER && !scoped) ? 0 : 403; /* {user} is the member */
  if (r->access == PT_ACCESS_ADMIN)
    return a == IS_ADMIN ? 0 : 403;
  return 0;
}

static bool
changes_the_asker(const PtRoute *r)
{
  return (strcmp(r->method, "DELETE") == 0 && strcmp(r->path, "/v1/session") == 0) || strcmp(r->path, "/v1/events") == 0;
}

static char *
scoped_token(Fixture *f, const char *user, const char *token, const char *scope)
{
  g_autofree char *path = g_strdup_printf("/v1/users/%s/tokens", user), *body = g_strdup_printf("{\"name\":\"t\",\"scope\":\"%s\"}", scope);
  g_autoptr(Reply) r = ask(f, token, "POST", path, body, NULL);

  expect(r, 201, scope);
  return g_strdup(text_of(r, "token"));
}

static void
member(Fixture *f, const char *user, const char *role)
{
  g_autofree char *path = g_strdup_printf("/v1/spaces/home/members/%s", user), *body = g_strdup_printf("{\"role\":\"%s\"}", role);
  g_autoptr(Reply) r = ask(f, f->admin, "PUT", path, body, NULL);

  expect(r, 200, user);
}

/* An owner publishes what is nobody's; the node's own ports an administrator gives, and then the owner may change the rest. */
static void
test_ports(void)
{
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  g_autofree char *mia = fixture_user(&f, "mia", false);
  member(&f, "mia", "owner");
  static const char *const theirs[] = { "22", "443", "53", "8443", "5900", "1023" };
  for (guint i = 0; i < G_N_ELEMENTS(theirs); i++) {
    g_autofree char *body = g_strdup_printf("{\"name\":\"web\",\"image\":\"debian\",\"ports\":[{\"listen\":%s,\"to\":80}]}", theirs[i]);
    g_autoptr(Reply) r = ask(&f, mia, "POST", "/v1/spaces/home/instances", body, NULL);
    expect(r, 403, theirs[i]);
  }
  g_autoptr(Reply) made = ask(&f, mia, "POST", "/v1/spaces/home/instances?wait=120",
                              "{\"name\":\"web\",\"image\":\"debian\",\"ports\":[{\"listen\":8080,\"to\":80}]}", NULL);
  expect(made, 202, "8080");
  g_autoptr(Reply) patched = ask(&f, mia, "PATCH", "/v1/spaces/home/instances/web", "{\"ports\":[{\"listen\":8080,\"to\":80},{\"listen\":22,\"to\":22}]}", NULL);
  expect(patched, 403, "by a change");
  g_autoptr(Reply) given = ask(&f, f.admin, "PATCH", "/v1/spaces/home/instances/web?wait=120", "{\"ports\":[{\"listen\":443,\"to\":443}]}", NULL);
  expect(given, 202, "an administrator");
  g_autoptr(Reply) kept = ask(&f, mia, "PATCH", "/v1/spaces/home/instances/web?wait=120", "{\"ports\":[{\"listen\":443,\"to\":443},{\"listen\":8081,\"to\":80}]}", NULL);
  expect(kept, 202, "what was given stays");
  fixture_down(&f);
}

static void
check_route(Fixture *f, const PtRoute *route, Asker a, const char *token, const char *space)
{
  bool other = strcmp(space, "home") != 0;
  int want = wanted(route, a, other);
  g_autofree char *path = fill(route, space);
  /* a body that no route takes: who is let in gets 400 and changes nothing */
  const char *body = route->flags & PT_R_BODY ? "{\"no such field\":1}" : NULL;
  g_autoptr(Reply) r = ask(f, token, route->method, path, body, NULL);
  bool refused = r->status == 401 || r->status == 403;

  if (want == 0 ? refused || r->status == 0 : r->status != want)
    g_error("%s %s by %s: %d, not %d: %s", route->method, path, asker_names[a], r->status, want, r->body);
  if (r->status >= 400)
    g_assert_nonnull(text_of(r, "detail"));
}

static void
test_matrix(void)
{
  Fixture f;
  char *token[N_ASKERS] = { NULL };

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  token[OUTSIDER] = fixture_user(&f, "otto", false);
  token[IS_VIEWER] = fixture_user(&f, "vera", false);
  token[IS_MEMBER] = fixture_user(&f, "mia", false);
  token[IS_OWNER] = fixture_user(&f, "olga", false);
  token[IS_ADMIN] = fixture_user(&f, "ada", true);
  member(&f, "vera", "viewer");
  member(&f, "mia", "member");
  member(&f, "olga", "owner");
  token[READER] = scoped_token(&f, "olga", token[IS_OWNER], "read");
  token[ONE_SPACE] = scoped_token(&f, "olga", token[IS_OWNER], "space:home");
  token[ONE_SPACE_READ] = scoped_token(&f, "olga", token[IS_OWNER], "space:home:read");
  g_autoptr(Reply) den = ask(&f, f.admin, "POST", "/v1/spaces", "{\"name\":\"den\"}", NULL);
  expect(den, 201, "den");
  for (guint i = 0; i < pt_n_routes; i++) {
    const PtRoute *route = &pt_routes[i];
    if (changes_the_asker(route) || (strcmp(route->method, "DELETE") == 0 && strcmp(route->path, "/v1/users/{user}") == 0))
      continue;
    for (Asker a = 0; a < N_ASKERS; a++) {
      if (a == IS_ADMIN && route->access == PT_ACCESS_ADMIN && strcmp(route->path, "/v1/spaces/{space}") == 0)
        continue; /* it would delete the space */
      check_route(&f, route, a, token[a], "home");
      if (strstr(route->path, "{space}"))
        check_route(&f, route, a, token[a], "den");
    }
  }
  for (Asker a = 0; a < N_ASKERS; a++)
    g_free(token[a]);
  fixture_down(&f);
}

static void
test_lists(void)
{
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  g_autofree char *otto = fixture_user(&f, "otto", false);
  g_autoptr(Reply) made = ask(&f, f.admin, "POST", "/v1/spaces/home/instances?wait=120", "{\"name\":\"web\",\"image\":\"debian\"}", NULL);
  expect(made, 202, "launch");
  static const char *const lists[] = { "/v1/instances", "/v1/spaces", "/v1/operations" };
  for (guint i = 0; i < G_N_ELEMENTS(lists); i++) {
    g_autoptr(Reply) mine = ask(&f, f.admin, "GET", lists[i], NULL, NULL), his = ask(&f, otto, "GET", lists[i], NULL, NULL);
    g_assert_cmpuint(json_array_size(json_object_get(mine->json, "items")), ==, 1);
    g_assert_cmpuint(json_array_size(json_object_get(his->json, "items")), ==, 0);
  }
  g_autoptr(Reply) images = ask(&f, otto, "GET", "/v1/images/debian", NULL, NULL);
  expect(images, 200, "images are everybody's");
  g_assert_cmpuint(json_array_size(json_object_get(images->json, "used_by")), ==, 0);
  fixture_down(&f);
}

/* An export is its maker's: nobody else learns that it is there. */
static void
test_exports(void)
{
  static const char image[] = "{\"digest\":\"sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\",\"names\":[\"disk\"],"
                              "\"format\":\"disk\",\"kinds\":[\"machine\"],\"disk\":1048576}";
  g_autoptr(PtTxn) txn = pt_txn_new();
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  pt_txn_put(txn, "images/sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd", image);
  g_assert_true(pt_store_commit(f.store, txn, NULL, NULL));
  g_autofree char *otto = fixture_user(&f, "otto", false), *boss = fixture_user(&f, "boss", true), *reads = scoped_token(&f, "boss", boss, "read");
  g_autoptr(Reply) files = ask(&f, f.admin, "POST", "/v1/images/debian/exports", "{\"format\":\"ova\"}", NULL),
                   disc = ask(&f, f.admin, "POST", "/v1/images/disk/exports", "{\"format\":\"iso\"}", NULL),
                   his = ask(&f, otto, "POST", "/v1/images/disk/exports", "{\"format\":\"ova\"}", NULL),
                   made = ask(&f, f.admin, "POST", "/v1/images/disk/exports?wait=120", "{\"format\":\"qcow2\"}", NULL);
  expect(files, 400, "an image of files is no disk");
  expect(disc, 400, "a disk is no disc");
  expect(his, 403, "images are exported by administrators");
  expect(made, 202, "export");
  const char *id = json_string_value(json_object_get(json_object_get(made->json, "operation"), "id"));
  g_autofree char *path = g_strdup_printf("/v1/exports/%s", id);
  g_autoptr(Reply) not_his = ask(&f, otto, "GET", path, NULL, NULL), never = ask(&f, otto, "DELETE", path, NULL, NULL),
                   only_reads = ask(&f, reads, "GET", path, NULL, NULL), mine = ask(&f, f.admin, "GET", path, NULL, NULL);
  expect(not_his, 404, "somebody else's export");
  expect(never, 404, "somebody else's export");
  expect(only_reads, 404, "a token that only reads takes no disk away");
  expect(mine, 200, "one's own export");
  g_assert_cmpuint(mine->size, ==, strlen("a disk"));
  g_autoptr(Reply) gone = ask(&f, f.admin, "DELETE", path, NULL, NULL), again = ask(&f, f.admin, "GET", path, NULL, NULL);
  expect(gone, 204, "removed");
  expect(again, 404, "removed");
  fixture_down(&f);
}

/* ── credentials ── */

static void
test_disabled(void)
{
  Fixture f;

  fixture_up(&f, false);
  g_autofree char *otto = fixture_user(&f, "otto", false), *api = scoped_token(&f, "otto", otto, "full");
  g_autoptr(Reply) off = ask(&f, f.admin, "PATCH", "/v1/users/otto", "{\"disabled\":true}", NULL);
  expect(off, 200, "disable");
  g_autoptr(Reply) a = ask(&f, otto, "GET", "/v1/session", NULL, NULL), b = ask(&f, api, "GET", "/v1/session", NULL, NULL);
  expect(a, 401, "session of a disabled user");
  expect(b, 401, "token of a disabled user");
  g_autoptr(Reply) in = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"otto\",\"password\":\"correct horse\"}", NULL);
  g_autoptr(Reply) no = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"nobody\",\"password\":\"correct horse\"}", NULL);
  g_autoptr(Reply) bad = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"wrong horse\"}", NULL);
  expect(in, 401, "disabled");
  g_assert_cmpstr(in->body, ==, no->body); /* one text for all */
  g_assert_cmpstr(in->body, ==, bad->body);
  fixture_down(&f);
}

static void
test_expired(void)
{
  Fixture f;

  shift = 0;
  pt_clock_set(&late);
  fixture_up(&f, false);
  g_autoptr(Reply) made = ask(&f, f.admin, "POST", "/v1/users/admin/tokens", "{\"name\":\"t\",\"expires_in\":\"1h\"}", NULL);
  expect(made, 201, "token");
  g_autofree char *token = g_strdup(text_of(made, "token"));
  shift = 3599 * (gint64)G_USEC_PER_SEC;
  g_autoptr(Reply) before = ask(&f, token, "GET", "/v1/session", NULL, NULL);
  expect(before, 200, "before it ends");
  shift = 3601 * (gint64)G_USEC_PER_SEC;
  g_autoptr(Reply) after = ask(&f, token, "GET", "/v1/session", NULL, NULL);
  expect(after, 401, "after");
  shift = 6 * 86400 * (gint64)G_USEC_PER_SEC;
  g_autoptr(Reply) used = ask(&f, f.admin, "GET", "/v1/session", NULL, NULL); /* a session lives on by being used */
  expect(used, 200, "a session in use");
  shift = 200 * 86400 * (gint64)G_USEC_PER_SEC;
  g_autoptr(Reply) old = ask(&f, f.admin, "GET", "/v1/session", NULL, NULL);
  expect(old, 401, "a session for ever");
  fixture_down(&f);
  pt_clock_set(NULL);
}

static void
test_guessing(void)
{
  Fixture f;

  shift = 0;
  stand_still();
  pt_clock_set(&late);
  fixture_up(&f, false);
  for (guint i = 0; i < 5; i++) {
    g_autoptr(Reply) r = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"guess\"}", "X-Forwarded-For: 192.0.2.7\r\n");
    expect(r, 401, "a guess");
  }
  /* the first wait is one second: not yet over */
  g_autoptr(Reply) slow = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"correct horse\"}", "X-Forwarded-For: 192.0.2.7\r\n");
  expect(slow, 429, "too many guesses");
  g_autofree char *wait = header_of(slow, "Retry-After");
  g_assert_cmpstr(wait, ==, "1");
  g_autoptr(Reply) elsewhere = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"correct horse\"}", NULL);
  expect(elsewhere, 201, "the right user is not held up by a stranger");
  shift = 2 * G_USEC_PER_SEC;
  g_autoptr(Reply) in =
      ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"correct horse\"}", "X-Forwarded-For: 192.0.2.7\r\n");
  expect(in, 201, "after the wait");
  g_autoptr(Reply) audit = ask(&f, f.admin, "GET", "/v1/audit?object=users/admin&limit=20", NULL, NULL);
  expect(audit, 200, "audit");
  g_assert_nonnull(strstr(audit->body, "\"from\":\"192.0.2.7\""));
  g_assert_nonnull(strstr(audit->body, "unauthenticated"));
  g_assert_null(strstr(audit->body, "horse"));
  fixture_down(&f);
  stands = 0;
  pt_clock_set(NULL);
}

static char *
code_at(const char *secret, gint64 at)
{
  gsize n = 0;
  g_autofree guint8 *key = pt_base32_decode(secret, &n);

  return g_strdup_printf("%06u", pt_totp_code(key, n, (guint64)(at / (30 * G_USEC_PER_SEC)), 6));
}

static Reply *
login_with(Fixture *f, const char *code)
{
  g_autofree char *body = g_strdup_printf("{\"user\":\"admin\",\"password\":\"correct horse\"%s%s%s}", code ? ",\"code\":\"" : "", code ? code : "",
                                          code ? "\"" : "");

  return ask(f, NULL, "POST", "/v1/session", body, NULL);
}

static void
test_second_factor(void)
{
  Fixture f;

  shift = 0;
  stand_still(); /* a code is good for a minute */
  pt_clock_set(&late);
  fixture_up(&f, false);
  g_autoptr(Reply) begun = ask(&f, f.admin, "POST", "/v1/users/admin/totp", NULL, NULL);
  expect(begun, 200, "begin");
  g_autofree char *secret = g_strdup(text_of(begun, "secret")), *first = code_at(secret, pt_now());
  g_autofree char *proof = g_strdup_printf("{\"code\":\"%s\"}", first);
  g_autoptr(Reply) early = login_with(&f, NULL);
  expect(early, 201, "not yet in force");
  g_autoptr(Reply) wrong = ask(&f, f.admin, "PUT", "/v1/users/admin/totp", "{\"code\":\"000000\"}", NULL);
  expect(wrong, 400, "wrong proof");
  g_autoptr(Reply) proved = ask(&f, f.admin, "PUT", "/v1/users/admin/totp", proof, NULL);
  expect(proved, 200, "proof");
  g_assert_true(json_is_true(json_object_get(proved->json, "totp")));
  g_assert_null(strstr(proved->body, secret));
  g_autoptr(Reply) without = login_with(&f, NULL);
  expect(without, 401, "without a code");
  g_assert_true(json_is_true(json_object_get(without->json, "code_required")));
  g_autoptr(Reply) again = login_with(&f, first);
  expect(again, 401, "the code of the proof is used up");
  g_assert_null(json_object_get(again->json, "code_required"));
  shift = 60 * G_USEC_PER_SEC;
  g_autofree char *next = code_at(secret, pt_now());
  g_autoptr(Reply) in = login_with(&f, next), twice = login_with(&f, next);
  expect(in, 201, "a fresh code");
  expect(twice, 401, "the same code again");
  g_autoptr(Reply) bad = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"wrong horse\"}", NULL);
  g_assert_null(json_object_get(bad->json, "code_required")); /* only the right password learns of it */
  g_autoptr(Reply) anew = ask(&f, f.admin, "POST", "/v1/users/admin/totp", NULL, NULL);
  expect(anew, 409, "another one is not simply put in its place");
  g_autoptr(Reply) bare = ask(&f, f.admin, "DELETE", "/v1/users/admin/totp", NULL, NULL);
  expect(bare, 403, "remove without the password");
  g_autoptr(Reply) guess = ask(&f, f.admin, "DELETE", "/v1/users/admin/totp", "{\"password\":\"wrong horse\"}", NULL);
  expect(guess, 403, "remove with a wrong password");
  g_autoptr(Reply) still = login_with(&f, NULL);
  expect(still, 401, "it is still in force");
  g_autoptr(Reply) off = ask(&f, f.admin, "DELETE", "/v1/users/admin/totp", "{\"password\":\"correct horse\"}", NULL);
  expect(off, 204, "remove");
  g_autoptr(Reply) alone = login_with(&f, NULL);
  expect(alone, 201, "the password alone");
  fixture_down(&f);
  stands = 0;
  pt_clock_set(NULL);
}

static void
test_forged(void)
{
  static const struct {
    const char *method, *path, *headers;
    int status;
  } t[] = {
    { "GET", "/v1/session", "", 200 },
    { "GET", "/v1/session", "Origin: https://evil\r\n", 200 }, /* it cannot read the answer */
    { "POST", "/v1/users/admin/totp", "", 403 },
    { "POST", "/v1/users/admin/totp", "X-Portena: 1\r\n", 200 },
    { "POST", "/v1/users/admin/totp", "X-Portena: 1\r\nOrigin: https://server\r\n", 200 },
    { "POST", "/v1/users/admin/totp", "X-Portena: 1\r\nOrigin: https://evil\r\n", 403 },
    { "POST", "/v1/users/admin/totp", "Origin: https://server\r\n", 403 },
    { "POST", "/v1/users/admin/totp", "X-Portena: yes\r\n", 403 },
    { "GET", "/v1/spaces/home/instances/web/desktop", "Upgrade: portena-stream/1\r\n", 403 },
    { "GET", "/v1/spaces/home/instances/web/desktop", "Upgrade: portena-stream/1\r\nOrigin: https://evil\r\n", 403 },
    { "GET", "/v1/spaces/home/instances/web/desktop", "Upgrade: portena-stream/1\r\nOrigin: https://server\r\n", 404 }, /* let through */
    { "GET", "/v1/spaces/home/instances/web/desktop", "Upgrade: portena-stream/1\r\nOrigin: null\r\n", 403 },
  };
  Fixture f;

  fixture_up(&f, false);
  g_autoptr(Reply) in = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"correct horse\"}", NULL);
  expect(in, 201, "login");
  g_assert_null(text_of(in, "token"));
  g_autofree char *set = header_of(in, "Set-Cookie");
  g_assert_nonnull(strstr(set, "HttpOnly; Secure; SameSite=Strict"));
  set[strcspn(set, ";")] = '\0';
  for (guint i = 0; i < G_N_ELEMENTS(t); i++) {
    g_autofree char *headers = g_strdup_printf("Cookie: %s\r\n%s", set, t[i].headers);
    g_autoptr(Reply) r = ask(&f, NULL, t[i].method, t[i].path, NULL, headers);
    expect(r, t[i].status, t[i].headers);
  }
  g_autofree char *out = g_strdup_printf("Cookie: %s\r\nX-Portena: 1\r\n", set);
  g_autoptr(Reply) bye = ask(&f, NULL, "DELETE", "/v1/session", NULL, out), dead = ask(&f, NULL, "GET", "/v1/session", NULL, out);
  expect(bye, 204, "logout");
  expect(dead, 401, "after it");
  /* a stale cookie does not keep from logging in */
  g_autoptr(Reply) back = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"correct horse\"}", out);
  expect(back, 201, "again");
  fixture_down(&f);
}

static void
test_root(void)
{
  Fixture f;

  if (g_get_user_name() == NULL || strcmp(g_get_user_name(), "root") != 0) {
    g_test_skip("needs root");
    return;
  }
  fixture_up(&f, true);
  g_autoptr(Reply) me = ask(&f, NULL, "GET", "/v1/session", NULL, "X-Forwarded-For: 192.0.2.1\r\n");
  expect(me, 200, "root on the socket");
  g_assert_cmpstr(json_string_value(json_object_get(json_object_get(me->json, "user"), "name")), ==, "root");
  g_autoptr(Reply) name = ask(&f, NULL, "POST", "/v1/users", "{\"name\":\"root\",\"password\":\"correct horse\"}", NULL);
  expect(name, 409, "the name root");
  g_autoptr(Reply) audit = ask(&f, NULL, "GET", "/v1/audit", NULL, NULL);
  g_assert_null(strstr(audit->body, "192.0.2.1")); /* not the gateway: not believed */
  g_assert_nonnull(strstr(audit->body, "\"from\":\"unix:0\""));
  fixture_down(&f);
}

static void
test_passwords(void)
{
  Fixture f;

  fixture_up(&f, false);
  g_autofree char *otto = fixture_user(&f, "otto", false);
  g_autoptr(Reply) second = ask(&f, NULL, "POST", "/v1/session", "{\"user\":\"otto\",\"password\":\"correct horse\",\"token\":true}", NULL);
  g_autoptr(Reply) blind = ask(&f, otto, "PATCH", "/v1/users/otto", "{\"password\":\"new password\"}", NULL);
  expect(blind, 403, "without the present one");
  g_autoptr(Reply) rights = ask(&f, otto, "PATCH", "/v1/users/otto", "{\"admin\":true}", NULL);
  expect(rights, 403, "own rights");
  g_autoptr(Reply) ok = ask(&f, otto, "PATCH", "/v1/users/otto", "{\"password\":\"new password\",\"current_password\":\"correct horse\"}", NULL);
  expect(ok, 200, "with it");
  g_autoptr(Reply) mine = ask(&f, otto, "GET", "/v1/session", NULL, NULL), other = ask(&f, text_of(second, "token"), "GET", "/v1/session", NULL, NULL);
  expect(mine, 200, "this session goes on");
  expect(other, 401, "the others end");
  g_autoptr(Reply) last = ask(&f, f.admin, "PATCH", "/v1/users/admin", "{\"admin\":false}", NULL);
  expect(last, 409, "the last administrator");
  g_autoptr(Reply) self = ask(&f, f.admin, "DELETE", "/v1/users/admin", NULL, NULL);
  expect(self, 409, "oneself");
  member(&f, "otto", "owner");
  g_autoptr(Reply) gone = ask(&f, f.admin, "DELETE", "/v1/users/otto", NULL, NULL);
  expect(gone, 204, "delete");
  g_autoptr(Reply) space = ask(&f, f.admin, "GET", "/v1/spaces/home", NULL, NULL);
  g_assert_null(json_object_get(json_object_get(space->json, "members"), "otto"));
  g_autoptr(Reply) dead = ask(&f, otto, "GET", "/v1/session", NULL, NULL);
  expect(dead, 401, "a deleted user");
  fixture_down(&f);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/rights/ports", test_ports);
  g_test_add_func("/rights/matrix", test_matrix);
  g_test_add_func("/rights/lists", test_lists);
  g_test_add_func("/rights/exports", test_exports);
  g_test_add_func("/rights/disabled", test_disabled);
  g_test_add_func("/rights/expired", test_expired);
  g_test_add_func("/rights/guessing", test_guessing);
  g_test_add_func("/rights/second-factor", test_second_factor);
  g_test_add_func("/rights/forged", test_forged);
  g_test_add_func("/rights/root", test_root);
  g_test_add_func("/rights/passwords", test_passwords);
  return g_test_run();
}
