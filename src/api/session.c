// SPDX-License-Identifier: Apache-2.0
/* Logging in and out. Every way in which a login can be wrong gives the same answer after the same work, so nobody learns
 * which names exist; only the right password learns that a second factor is wanted. */
#include <string.h>

#include "api/auth.h"
#include "api/bodies.h"
#include "api/handlers.h"
#include "api/throttle.h"
#include "api/totp.h"
#include "api/users.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/text.h"

#define COOKIE_LIFE (7 * 86400 * (gint64)G_USEC_PER_SEC)
#define TOKEN_LIFE (30 * 86400 * (gint64)G_USEC_PER_SEC)
#define SESSIONS_MAX 32 /* of one user; the oldest goes */

static bool
wrong(PtRequest *r, GError **error)
{
  pt_throttle_failed(r->api->throttle, r->login_user, r->from);
  PT_SET(error, PT_ERR_UNAUTHENTICATED, "login: the name, the password or the code is wrong");
  return false;
}

/* The user, if the password is right. */
static PtUser *
check_password(PtRequest *r, const PtBodySession *b, gint64 *ret_revision, GError **error)
{
  g_autofree char *key = pt_user_name_check(b->user, NULL) ? pt_key_user(b->user) : NULL;
  g_autoptr(PtUser) u = key ? pt_load(r->api, key, &pt_user_type, "user", ret_revision, NULL) : NULL;
  bool right = false;

  if (!pt_password_verify(r->api, u ? u->password : NULL, b->password, &right, error))
    return NULL;
  if (!u || !right || u->disabled) {
    wrong(r, error);
    return NULL;
  }
  return g_steal_pointer(&u);
}

static bool
check_code(PtRequest *r, PtUser *u, const PtBodySession *b, GError **error)
{
  if (!u->totp)
    return true;
  if (!b->code || !*b->code) {
    r->problem = json_pack("{s:b}", "code_required", 1);
    PT_SET(error, PT_ERR_UNAUTHENTICATED, "login: the code of the second factor is wanted too");
    return false;
  }
  gint64 step = pt_totp_check(u->totp, b->code, pt_now(), u->totp_last);
  if (step < 0)
    return wrong(r, error);
  u->totp_last = step;
  return true;
}

/* Adds the deletion of what has ended, and of the user's oldest sessions above the limit, to `txn`. */
static bool
tidy(PtApi *api, PtTxn *txn, const char *user, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(api->store, "tokens/", NULL, error);
  gint64 now = pt_now();
  guint sessions = 0;

  if (!all)
    return false;
  for (guint i = all->len; i-- > 0;) { /* ids sort by time: newest first */
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtToken) t = pt_record_read(&pt_token_type, e->value, NULL);
    if (!t)
      continue;
    bool ended = t->expires && t->expires <= now;
    bool extra = t->kind == PT_TOKEN_SESSION && g_strcmp0(t->user, user) == 0 && ++sessions >= SESSIONS_MAX;
    if (ended || extra)
      pt_txn_delete(txn, e->key);
  }
  return true;
}

static void
set_cookie(PtRequest *r, const char *value, gint64 life)
{
  g_autofree char *cookie = g_strdup_printf(
      "portena=%s; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=%" G_GINT64_FORMAT, value, life / G_USEC_PER_SEC);

  pt_reply_header(r, "Set-Cookie", cookie);
}

static bool
begin(PtRequest *r, PtUser *u, gint64 revision, const PtBodySession *b, GError **error)
{
  gint64 life = b->token ? TOKEN_LIFE : COOKIE_LIFE, now = pt_now(), written = 0;
  g_autoptr(PtTxn) txn = pt_txn_new();
  PtToken token = {
    .user = u->name,
    .kind = PT_TOKEN_SESSION,
    .name = b->name,
    .expires = now + life,
    .last_used = now,
    .last_from = r->from,
  };

  u->last_login = now;
  if (!tidy(r->api, txn, u->name, error))
    return false;
  g_autofree char *text = pt_token_begin(txn, &token);
  g_free(token.id);
  g_free(token.hash);
  if (!pt_user_put(r->api, txn, u, revision, &written, error))
    return false;
  g_autofree char *expires = pt_time_format(token.expires);
  r->who.name = g_strdup(u->name);
  json_t *answer = json_object();
  json_object_set_new(answer, "user", pt_user_view(u, written));
  json_object_set_new(answer, "expires", json_string(expires));
  if (b->token)
    json_object_set_new(answer, "token", json_string(text));
  else
    set_cookie(r, text, life);
  return pt_reply_json(r, 201, answer);
}

/* The code is used up by the same transaction that makes the session, so of two requests with one code the later one
 * fails; two logins at the same moment without a code both succeed, after another try. */
static bool
attempt(PtRequest *r, const PtBodySession *b, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtUser) u = check_password(r, b, &revision, error);

  for (guint i = 0; u; i++) {
    g_autoptr(GError) err = NULL;
    g_autofree char *key = pt_key_user(u->name), *hash = g_strdup(u->password);
    if (!check_code(r, u, b, error))
      return false;
    if (begin(r, u, revision, b, &err))
      return true;
    if (!g_error_matches(err, PT_ERROR, PT_ERR_STALE) || i == 16) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    }
    pt_user_free(u);
    u = pt_load(r->api, key, &pt_user_type, "user", &revision, NULL);
    if (!u || u->disabled || g_strcmp0(u->password, hash) != 0)
      return wrong(r, error);
  }
  return false;
}

bool
pt_session_create(PtRequest *r, GError **error)
{
  PtBodySession *b = pt_body_record(r, &pt_body_session, error);
  bool ok = false;

  if (!b)
    return false;
  /* who the cookie of an older session named has nothing to do with who logs in now */
  pt_who_clear(&r->who);
  r->login_user = pt_text_safe(b->user, 64);
  r->action = g_strdup("login");
  r->object = g_strdup_printf("users/%s", r->login_user);
  guint wait = pt_throttle_wait(r->api->throttle, r->login_user, r->from);
  if (wait > 0) {
    r->retry_after = wait;
    PT_SET(error, PT_ERR_RATE, "login: too many attempts that failed\ntry again in %u s", wait);
  } else {
    ok = attempt(r, b, error);
  }
  if (ok)
    pt_throttle_succeeded(r->api->throttle, r->login_user, r->from);
  pt_record_free(&pt_body_session, b);
  return ok;
}

static json_t *
root_view(void)
{
  return json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:n, s:n, s:i}", "name", "root", "full_name",
                   "the server's administrator", "admin", 1, "disabled", 0, "totp", 0, "must_change", 0, "created",
                   "last_login", "revision", 0);
}

bool
pt_session_get(PtRequest *r, GError **error)
{
  g_autoptr(json_t) user = NULL;

  if (r->who.root) {
    user = root_view();
  } else {
    gint64 revision = 0;
    g_autofree char *key = pt_key_user(r->who.name);
    g_autoptr(PtUser) u = pt_load(r->api, key, &pt_user_type, "user", &revision, error);
    if (!u)
      return false;
    user = pt_user_view(u, revision);
  }
  if (!pt_view_sync(r->api->view, NULL, error))
    return false;
  g_autoptr(GPtrArray) spaces = pt_view_spaces(r->api->view, &r->who, NULL);
  json_t *list = json_array();
  for (guint i = 0; i < spaces->len; i++) {
    const PtSpace *s = g_ptr_array_index(spaces, i);
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", s->name, "role", pt_role_names[pt_who_role(&r->who, s)]));
  }
  json_t *answer = json_pack("{s:O, s:o, s:{s:s, s:s, s:s?, s:I}}", "user", user, "spaces", list, "server", "name",
                             r->api->host->node, "version", PORTENA_VERSION, "arch", r->api->host->arch, "cpus",
                             (json_int_t)r->api->host->cpus);
  return pt_reply_json(r, 200, answer);
}

bool
pt_session_delete(PtRequest *r, GError **error)
{
  g_autoptr(PtTxn) txn = pt_txn_new();

  r->action = g_strdup("logout");
  if (r->who.root) {
    PT_SET(error, PT_ERR_CONFLICT, "session: root on the server has none to end");
    return false;
  }
  g_autofree char *key = pt_key_token(r->who.token);
  pt_txn_delete(txn, key);
  if (!pt_store_commit(r->api->store, txn, NULL, error))
    return false;
  if (r->who.cookie)
    set_cookie(r, "", 0);
  return pt_reply_empty(r);
}
