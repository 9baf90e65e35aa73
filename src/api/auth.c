// SPDX-License-Identifier: Apache-2.0
/* From a connection and its headers to a user: the peer's uid on the socket, a bearer token, or the browser's cookie.
 *
 * A token's secret is 256 random bits, so its SHA-256 is enough to store; it is looked up by its id and compared in
 * constant time. A user is read anew for every request: disabling one ends what that user does at once. */
#include "api/auth.h"

#include <string.h>

#include "api/bodies.h"
#include "api/parse.h"
#include "api/throttle.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"

#define USED_STEP (5 * 60 * (gint64)G_USEC_PER_SEC)        /* last_used is written this often at most */
#define SESSION_IDLE (7 * 86400 * (gint64)G_USEC_PER_SEC)  /* a session ends after so long without use … */
#define SESSION_LIFE (90 * 86400 * (gint64)G_USEC_PER_SEC) /* … and after this at the latest */

void
pt_who_clear(PtWho *who)
{
  g_clear_pointer(&who->name, g_free);
  g_clear_pointer(&who->only_space, g_free);
  g_clear_pointer(&who->token, g_free);
}

static bool
refuse(GError **error)
{
  PT_SET(error, PT_ERR_UNAUTHENTICATED, "credential: it is not one of ours, or it has ended\nlog in again: portena login");
  return false;
}

static void
apply_scope(PtWho *who, const char *scope)
{
  if (!scope || strcmp(scope, "full") == 0)
    return;
  who->read_only = strcmp(scope, "read") == 0 || g_str_has_suffix(scope, ":read");
  if (g_str_has_prefix(scope, "space:")) {
    const char *name = scope + strlen("space:");
    who->only_space = g_strndup(name, strcspn(name, ":"));
  }
}

/* Notes the use, once in a while. Somebody else's change in between is as good as ours. */
static void
touch(PtApi *api, const PtEntry *e, PtToken *t, const char *from)
{
  gint64 now = pt_now();

  if (now - t->last_used < USED_STEP)
    return;
  t->last_used = now;
  g_free(t->last_from);
  t->last_from = g_strdup(from);
  if (t->kind == PT_TOKEN_SESSION)
    t->expires = MIN(MAX(t->expires, now + SESSION_IDLE), t->created + SESSION_LIFE);
  g_autoptr(PtTxn) txn = pt_txn_new();
  pt_records_put(txn, e->key, e->revision, &pt_token_type, t);
  pt_store_commit(api->store, txn, NULL, NULL);
}

static bool
by_token(PtRequest *r, const char *id, const char *secret, GError **error)
{
  g_autofree char *key = pt_key_token(id), *hash = pt_sha256_hex(secret, strlen(secret));
  g_autoptr(PtEntry) e = pt_store_get(r->api->store, key, NULL);
  g_autoptr(PtToken) t = e ? pt_record_read(&pt_token_type, e->value, NULL) : NULL;

  if (!t || !pt_secret_equal(t->hash, hash) || (t->expires && t->expires <= pt_now()))
    return refuse(error);
  g_autofree char *user_key = pt_key_user(t->user);
  g_autoptr(PtUser) u = pt_load(r->api, user_key, &pt_user_type, "user", NULL, NULL);
  if (!u || u->disabled)
    return refuse(error);
  r->who.name = g_strdup(u->name);
  r->who.admin = r->who.owner_everywhere = u->admin;
  r->who.must_change = u->must_change;
  r->who.token = g_strdup(t->id);
  r->who.token_kind = t->kind;
  apply_scope(&r->who, t->scope);
  if (r->who.only_space)
    r->who.admin = false;
  touch(r->api, e, t, r->from);
  return true;
}

/* A page of somebody else's can make a browser send our cookie; it cannot make it send our header, nor another Origin
 * than its own. A WebSocket cannot carry the header, so there the Origin has to be present. */
static bool
check_forged(const PtRequest *r, const char *x_portena, GError **error)
{
  bool stream = r->route->flags & PT_R_STREAM;
  bool changes = strcmp(r->route->method, "GET") != 0 || stream;

  if (!changes)
    return true;
  if (r->origin && !pt_origin_matches(r->origin, r->host)) {
    g_autofree char *shown = pt_text_safe(r->origin, 80);
    PT_SET(error, PT_ERR_FORBIDDEN, "origin: a page of %s may not act here", shown);
    return false;
  }
  if (g_strcmp0(x_portena, "1") == 0 || (stream && r->origin))
    return true;
  PT_SET(error, PT_ERR_FORBIDDEN,
         "cookie: a request that changes something needs the header X-Portena: 1 beside the cookie");
  return false;
}

bool
pt_auth(PtRequest *r, guint peer_uid, const char *authorization, const char *cookie, const char *x_portena, GError **error)
{
  g_autofree char *id = NULL, *secret = NULL;
  GError *bad = NULL;

  if (authorization) {
    if (!pt_credential_bearer(authorization, &id, &secret, error))
      return false;
    return by_token(r, id, secret, error);
  }
  if (cookie && pt_credential_cookie(cookie, &id, &secret, &bad)) {
    r->who.cookie = true;
    /* a stale cookie must not keep anybody from logging in again */
    if (by_token(r, id, secret, &bad))
      return r->route->access == PT_ACCESS_OPEN || check_forged(r, x_portena, error);
  }
  if (r->route->access == PT_ACCESS_OPEN) {
    g_clear_error(&bad);
    return true;
  }
  if (bad) {
    g_propagate_error(error, bad);
    return false;
  }
  if (peer_uid == 0 && r->api->config.gateway_uid != 0) {
    r->who.name = g_strdup("root");
    r->who.root = r->who.admin = r->who.owner_everywhere = true;
    return true;
  }
  PT_SET(error, PT_ERR_UNAUTHENTICATED, "this needs a credential\nlog in: portena login, or run it as root on the server");
  return false;
}

char *
pt_token_begin(PtTxn *txn, PtToken *token)
{
  g_autofree char *secret = pt_random_hex(32);

  token->id = pt_id_new();
  token->hash = pt_sha256_hex(secret, strlen(secret));
  token->created = pt_now();
  g_autofree char *key = pt_key_token(token->id);
  pt_records_put(txn, key, 0, &pt_token_type, token);
  return g_strdup_printf("pt_%s_%s", token->id, secret);
}

bool
pt_tokens_revoke(PtApi *api, PtTxn *txn, const char *user, int kind, const char *except, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(api->store, "tokens/", NULL, error);

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtToken) t = pt_record_read(&pt_token_type, e->value, NULL);
    if (t && g_strcmp0(t->user, user) == 0 && (kind < 0 || t->kind == kind) && g_strcmp0(t->id, except) != 0)
      pt_txn_delete(txn, e->key);
  }
  return all != NULL;
}
