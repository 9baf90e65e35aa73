// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "api/auth.h"
#include "api/bodies.h"
#include "api/handlers.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"

#define LIFE_DEFAULT (90 * 86400 * (gint64)G_USEC_PER_SEC)
#define LIFE_MAX (3650 * 86400 * (gint64)G_USEC_PER_SEC)
#define LIFE_MIN (60 * (gint64)G_USEC_PER_SEC)
#define TOKENS_MAX 100 /* of one user */

static bool
user_exists(PtRequest *r, GError **error)
{
  const char *name = pt_param(r, "user");

  if (!pt_user_name_check(name, NULL)) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no such user");
    return false;
  }
  g_autofree char *key = pt_key_user(name), *what = g_strdup_printf("user called %s", name);
  g_autoptr(PtUser) u = pt_load(r->api, key, &pt_user_type, what, NULL, error);
  return u != NULL;
}

/* Tokens of the route's user that have not ended, newest first. */
static GPtrArray *
tokens_of(PtRequest *r, gint64 *ret_revision, GError **error)
{
  g_autoptr(GPtrArray) all = pt_store_list(r->api->store, "tokens/", ret_revision, error);
  GPtrArray *out = all ? g_ptr_array_new_with_free_func((GDestroyNotify)pt_token_free) : NULL;

  for (guint i = all ? all->len : 0; i-- > 0;) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtToken) t = pt_record_read(&pt_token_type, e->value, NULL);
    if (t && g_strcmp0(t->user, pt_param(r, "user")) == 0 && (!t->expires || t->expires > pt_now()))
      g_ptr_array_add(out, g_steal_pointer(&t));
  }
  return out;
}

bool
pt_tokens_get(PtRequest *r, GError **error)
{
  gint64 revision = 0;

  if (!user_exists(r, error))
    return false;
  g_autoptr(GPtrArray) tokens = tokens_of(r, &revision, error);
  if (!tokens)
    return false;
  json_t *items = json_array();
  for (guint i = 0; i < tokens->len; i++)
    json_array_append_new(items, pt_record_view(&pt_token_type, g_ptr_array_index(tokens, i), 0));
  return pt_reply_items(r, items, revision);
}

static bool
create(PtRequest *r, const PtBodyToken *b, GError **error)
{
  gint64 life = LIFE_DEFAULT;
  g_autoptr(PtTxn) txn = pt_txn_new();
  PtToken token = {
    .user = (char *)pt_param(r, "user"),
    .kind = PT_TOKEN_API,
    .name = b->name,
    .scope = b->scope ? b->scope : (char *)"full",
  };

  if (b->expires_in && !pt_duration_parse(b->expires_in, &life, error))
    return false;
  if (life < LIFE_MIN || life > LIFE_MAX) {
    PT_SET(error, PT_ERR_INVALID, "expires_in: from 60s to 3650d");
    return false;
  }
  g_autoptr(GPtrArray) present = tokens_of(r, NULL, error);
  if (!present)
    return false;
  if (present->len >= TOKENS_MAX) {
    PT_SET(error, PT_ERR_CONFLICT, "user %s: has %u tokens and sessions already\nrevoke some: portena token list",
           token.user, present->len);
    return false;
  }
  token.expires = pt_now() + life;
  g_autofree char *text = pt_token_begin(txn, &token);
  bool ok = pt_store_commit(r->api->store, txn, NULL, error);
  if (ok) {
    r->object = g_strdup_printf("users/%s/tokens/%s", token.user, token.id);
    json_t *answer = pt_record_view(&pt_token_type, &token, 0);
    json_object_set_new(answer, "token", json_string(text));
    pt_reply_json(r, 201, answer);
  }
  g_free(token.id);
  g_free(token.hash);
  return ok;
}

bool
pt_tokens_create(PtRequest *r, GError **error)
{
  PtBodyToken *b = NULL;
  bool ok = false;

  if (!user_exists(r, error))
    return false;
  /* an administrator manages others' tokens, but does not act in their name */
  if (g_strcmp0(r->who.name, pt_param(r, "user")) != 0) {
    PT_SET(error, PT_ERR_FORBIDDEN, "tokens: only the user can make one");
    return false;
  }
  b = pt_body_record(r, &pt_body_token, error);
  if (!b)
    return false;
  ok = create(r, b, error);
  pt_record_free(&pt_body_token, b);
  return ok;
}

bool
pt_tokens_delete(PtRequest *r, GError **error)
{
  const char *id = pt_param(r, "id");
  g_autofree char *key = pt_id_valid(id) ? pt_key_token(id) : NULL;
  g_autoptr(PtToken) t = key ? pt_load(r->api, key, &pt_token_type, "token", NULL, NULL) : NULL;
  g_autoptr(PtTxn) txn = pt_txn_new();

  if (!t || g_strcmp0(t->user, pt_param(r, "user")) != 0) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no such token");
    return false;
  }
  pt_txn_delete(txn, key);
  return pt_store_commit(r->api->store, txn, NULL, error) && pt_reply_empty(r);
}
