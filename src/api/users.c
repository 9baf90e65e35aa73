// SPDX-License-Identifier: Apache-2.0
#include "api/users.h"

#include <string.h>
#include <unistd.h>

#include "api/auth.h"
#include "api/bodies.h"
#include "api/handlers.h"
#include "api/throttle.h"
#include "api/totp.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/text.h"

#define TOTP_BYTES 20

bool
pt_user_put(PtApi *api, PtTxn *txn, const PtUser *u, gint64 revision, gint64 *ret_revision, GError **error)
{
  g_autofree char *key = pt_key_user(u->name);

  pt_records_put(txn, key, revision, &pt_user_type, u);
  return pt_store_commit(api->store, txn, ret_revision, error);
}

static PtUser *
load(PtRequest *r, gint64 *ret_revision, GError **error)
{
  const char *name = pt_param(r, "user");

  if (!pt_user_name_check(name, NULL)) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no such user");
    return NULL;
  }
  g_autofree char *key = pt_key_user(name), *what = g_strdup_printf("user called %s", name);
  PtUser *u = pt_load(r->api, key, &pt_user_type, what, ret_revision, error);
  pt_error_hint(error, "those there are: portena user list");
  return u;
}

static bool
answer(PtRequest *r, guint status, const PtUser *u, gint64 revision)
{
  pt_reply_etag(r, revision);
  return pt_reply_json(r, status, pt_user_view(u, revision));
}

bool
pt_users_list(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(GPtrArray) all = pt_store_list(r->api->store, "users/", &revision, error);
  json_t *items = NULL;

  if (!all)
    return false;
  items = json_array();
  for (guint i = 0; i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtUser) u = pt_record_read(&pt_user_type, e->value, NULL);
    if (u)
      json_array_append_new(items, pt_user_view(u, e->revision));
  }
  return pt_reply_items(r, items, revision);
}

static bool
create(PtRequest *r, PtBodyUser *b, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(PtUser) u = pt_record_new(&pt_user_type);
  g_autoptr(GError) err = NULL;

  r->object = g_strdup_printf("users/%s", b->name);
  if (strcmp(b->name, "root") == 0) {
    PT_SET(error, PT_ERR_CONFLICT, "user root: the name is that of the server's own administrator\nchoose another name");
    return false;
  }
  if (!pt_password_check(b->password, error) || !(u->password = pt_password_hash(r->api, b->password, error)))
    return false;
  u->name = g_strdup(b->name);
  u->full_name = g_strdup(b->full_name);
  u->admin = b->admin;
  u->must_change = b->must_change;
  u->created = pt_now();
  if (!pt_user_put(r->api, txn, u, 0, &revision, &err)) {
    if (g_error_matches(err, PT_ERROR, PT_ERR_STALE))
      PT_SET(error, PT_ERR_CONFLICT, "there is a user called %s already\nchoose another name", b->name);
    else
      g_propagate_error(error, g_steal_pointer(&err));
    return false;
  }
  return answer(r, 201, u, revision);
}

bool
pt_users_create(PtRequest *r, GError **error)
{
  PtBodyUser *b = pt_body_record(r, &pt_body_user_new, error);
  bool ok = b && create(r, b, error);

  if (b)
    pt_record_free(&pt_body_user_new, b);
  return ok;
}

bool
pt_users_get(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtUser) u = load(r, &revision, error);

  return u && answer(r, 200, u, revision);
}

/* Somebody has to be left who can manage the others. */
static bool
other_admin(PtRequest *r, const char *but, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(r->api->store, "users/", NULL, error);

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtUser) u = pt_record_read(&pt_user_type, e->value, NULL);
    if (u && u->admin && !u->disabled && strcmp(u->name, but) != 0)
      return true;
  }
  if (all)
    PT_SET(error, PT_ERR_CONFLICT,
           "user %s: is the only administrator\nmake another one first: portena user set NAME admin=true", but);
  return false;
}

static bool
given(const PtRequest *r, const char *key)
{
  return json_object_get(r->json, key) != NULL;
}

static bool
may_change(PtRequest *r, const PtUser *u, const PtBodyUser *b, GError **error)
{
  bool self = g_strcmp0(r->who.name, u->name) == 0;
  bool rights = given(r, "admin") || given(r, "disabled") || given(r, "must_change");

  if (r->who.must_change && (!self || rights || !b->password)) {
    PT_SET(error, PT_ERR_FORBIDDEN, "user %s: the first password has to be changed before anything else", r->who.name);
    return false;
  }
  if (rights && !r->who.admin) {
    PT_SET(error, PT_ERR_FORBIDDEN, "user %s: admin, disabled and must_change are set by administrators", u->name);
    return false;
  }
  if (u->admin && !u->disabled && ((given(r, "admin") && !b->admin) || (given(r, "disabled") && b->disabled)))
    return other_admin(r, u->name, error);
  return true;
}

/* That whoever asks knows the password of `u`, themselves. Guessing is slowed down as it is at the login. */
static bool
prove_password(PtRequest *r, const PtUser *u, const char *field, const char *password, GError **error)
{
  bool right = false;
  guint wait = pt_throttle_wait(r->api->throttle, u->name, r->from);

  if (wait > 0) {
    r->retry_after = wait;
    PT_SET(error, PT_ERR_RATE, "password: too many attempts that failed\ntry again in %u s", wait);
    return false;
  }
  if (!pt_password_verify(r->api, u->password, password ? password : "", &right, error))
    return false;
  if (!right) {
    pt_throttle_failed(r->api->throttle, u->name, r->from);
    PT_SET(error, PT_ERR_FORBIDDEN, "%s: it is not the present password", field);
  }
  return right;
}

/* One's own password takes the present one, so that a session left open is not enough to take the account over. */
static bool
change_password(PtRequest *r, PtTxn *txn, PtUser *u, const PtBodyUser *b, GError **error)
{
  bool self = g_strcmp0(r->who.name, u->name) == 0;

  if (!pt_password_check(b->password, error))
    return false;
  if (self) {
    if (!prove_password(r, u, "current_password", b->current_password, error))
      return false;
    if (g_strcmp0(b->password, b->current_password) == 0) {
      PT_SET(error, PT_ERR_INVALID, "password: the new one is the present one");
      return false;
    }
  }
  char *hash = pt_password_hash(r->api, b->password, error);
  if (!hash)
    return false;
  g_free(u->password);
  u->password = hash;
  u->must_change = !self && given(r, "must_change") && b->must_change;
  return pt_tokens_revoke(r->api, txn, u->name, PT_TOKEN_SESSION, self ? r->who.token : NULL, error);
}

/* The first password was shown in a file; now it is nobody's any more. */
static void
forget_first_login(PtRequest *r, const PtUser *u)
{
  g_autofree char *path = g_build_filename(r->api->host->state, "first-login", NULL);

  if (strcmp(u->name, "admin") == 0)
    unlink(path);
}

static bool
change(PtRequest *r, const PtBodyUser *b, GError **error)
{
  gint64 revision = 0, written = 0;
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(PtUser) u = load(r, &revision, error);

  if (!u || !pt_if_match(r, u->name, revision, error) || !may_change(r, u, b, error))
    return false;
  r->action = g_strdup(b->password ? "password" : "change");
  if (b->password && !change_password(r, txn, u, b, error))
    return false;
  if (given(r, "full_name")) {
    g_free(u->full_name);
    u->full_name = g_strdup(b->full_name);
  }
  if (given(r, "admin"))
    u->admin = b->admin;
  if (given(r, "disabled"))
    u->disabled = b->disabled;
  if (given(r, "must_change") && !b->password)
    u->must_change = b->must_change;
  if (u->disabled && !pt_tokens_revoke(r->api, txn, u->name, PT_TOKEN_SESSION, NULL, error))
    return false;
  if (!pt_user_put(r->api, txn, u, revision, &written, error))
    return false;
  if (b->password)
    forget_first_login(r, u);
  return answer(r, 200, u, written);
}

bool
pt_users_change(PtRequest *r, GError **error)
{
  PtBodyUser *b = pt_body_record(r, &pt_body_user_change, error);
  bool ok = b && change(r, b, error);

  if (b)
    pt_record_free(&pt_body_user_change, b);
  return ok;
}

/* Takes the user out of every space. A space that loses its last owner is managed by the administrators. */
static bool
leave_spaces(PtRequest *r, PtTxn *txn, const char *name, GError **error)
{
  GArray *revisions = NULL;
  const PtWho all = { .owner_everywhere = true };

  if (!pt_view_sync(r->api->view, NULL, error))
    return false;
  g_autoptr(GPtrArray) spaces = pt_view_spaces(r->api->view, &all, &revisions);
  for (guint i = 0; i < spaces->len; i++) {
    PtSpace *s = g_ptr_array_index(spaces, i);
    if (!s->members || !g_hash_table_remove(s->members, name))
      continue;
    g_autofree char *key = pt_key_space(s->name);
    pt_records_put(txn, key, g_array_index(revisions, gint64, i), &pt_space_type, s);
  }
  g_array_unref(revisions);
  return true;
}

bool
pt_users_delete(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(PtUser) u = load(r, &revision, error);

  if (!u || !pt_if_match(r, u->name, revision, error))
    return false;
  if (g_strcmp0(r->who.name, u->name) == 0) {
    PT_SET(error, PT_ERR_CONFLICT, "user %s: nobody can delete himself\nlet another administrator do it", u->name);
    return false;
  }
  if (u->admin && !other_admin(r, u->name, error))
    return false;
  g_autofree char *key = pt_key_user(u->name);
  pt_txn_require(txn, key, revision);
  pt_txn_delete(txn, key);
  return pt_tokens_revoke(r->api, txn, u->name, -1, NULL, error) && leave_spaces(r, txn, u->name, error) &&
         pt_store_commit(r->api->store, txn, NULL, error) && pt_reply_empty(r);
}

/* ── the second factor ── */

bool
pt_totp_begin(PtRequest *r, GError **error)
{
  gint64 revision = 0;
  guint8 key[TOTP_BYTES];
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(PtUser) u = load(r, &revision, error);

  if (!u)
    return false;
  if (g_strcmp0(r->who.name, u->name) != 0) {
    PT_SET(error, PT_ERR_FORBIDDEN, "second factor: only the user can set it up");
    return false;
  }
  if (u->totp) {
    PT_SET(error, PT_ERR_CONFLICT, "second factor: there is one already\ntake it off first, with the password: portena user totp --off");
    return false;
  }
  pt_random(key, sizeof key);
  g_free(u->totp_pending);
  u->totp_pending = pt_base32(key, sizeof key);
  if (!pt_user_put(r->api, txn, u, revision, NULL, error))
    return false;
  g_autofree char *server = g_uri_escape_string(r->api->host->node, NULL, false);
  g_autofree char *uri = g_strdup_printf("otpauth://totp/Portena%%20%s:%s?secret=%s&issuer=Portena%%20%s", server, u->name,
                                         u->totp_pending, server);
  return pt_reply_json(r, 200, json_pack("{s:s, s:s}", "secret", u->totp_pending, "uri", uri));
}

static bool
prove(PtRequest *r, const char *code, GError **error)
{
  gint64 revision = 0, written = 0;
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(PtUser) u = load(r, &revision, error);

  if (!u)
    return false;
  if (!u->totp_pending || g_strcmp0(r->who.name, u->name) != 0) {
    PT_SET(error, PT_ERR_CONFLICT, "second factor: it has not been begun\nask for a secret first: POST to the same address");
    return false;
  }
  gint64 step = pt_totp_check(u->totp_pending, code, pt_now(), 0);
  if (step < 0) {
    PT_SET(error, PT_ERR_INVALID, "code: it is not the one that the app shows now\nis the clock of the phone right?");
    return false;
  }
  g_free(u->totp);
  u->totp = g_steal_pointer(&u->totp_pending);
  u->totp_last = step;
  return pt_user_put(r->api, txn, u, revision, &written, error) && answer(r, 200, u, written);
}

bool
pt_totp_prove(PtRequest *r, GError **error)
{
  PtBodyCode *b = pt_body_record(r, &pt_body_code, error);
  bool ok = b && prove(r, b->code, error);

  if (b)
    pt_record_free(&pt_body_code, b);
  return ok;
}

/* Who asks proves to be there by the own password: a session left open, or a token that leaked, is not enough. Root on the
 * server has none. */
static bool
may_remove(PtRequest *r, const PtUser *u, const char *password, GError **error)
{
  if (r->who.root)
    return true;
  if (g_strcmp0(r->who.name, u->name) == 0)
    return prove_password(r, u, "password", password, error);
  g_autofree char *key = pt_key_user(r->who.name);
  g_autoptr(PtUser) asker = pt_load(r->api, key, &pt_user_type, "user", NULL, error);
  return asker && prove_password(r, asker, "password", password, error);
}

static bool
totp_remove(PtRequest *r, const char *password, GError **error)
{
  gint64 revision = 0;
  g_autoptr(PtTxn) txn = pt_txn_new();
  g_autoptr(PtUser) u = load(r, &revision, error);

  if (!u || !may_remove(r, u, password, error))
    return false;
  g_clear_pointer(&u->totp, g_free);
  g_clear_pointer(&u->totp_pending, g_free);
  return pt_user_put(r->api, txn, u, revision, NULL, error) && pt_reply_empty(r);
}

bool
pt_totp_remove(PtRequest *r, GError **error)
{
  PtBodyPassword *b = pt_body_record(r, &pt_body_password, error);
  bool ok = b && totp_remove(r, b->password, error);

  if (b)
    pt_record_free(&pt_body_password, b);
  return ok;
}
