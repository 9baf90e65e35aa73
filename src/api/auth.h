// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Who asks: passwords, second factors, sessions, tokens. */
#include "api/request.h"

void pt_who_clear(PtWho *who);

/* Fills r->who from the connection's peer and the request's credential. UNAUTHENTICATED where there is none or it does
 * not hold; FORBIDDEN for a forged request. Without any credential on an OPEN route nobody is set. */
bool pt_auth(PtRequest *r, guint peer_uid, const char *authorization, const char *cookie, const char *x_portena,
             GError **error);

/* Whether r->who may use r->route; reads the space of the route. A space one may not see is NOT_FOUND. */
bool pt_authz(PtRequest *r, GError **error);
/* What r->who is in a space (record given), with the scope of the credential. Administrators are owners everywhere. */
PtRole pt_who_role(const PtWho *who, const PtSpace *space);

/* Argon2id; never more than two at once. RATE where too many wait. The string is the caller's. */
char *pt_password_hash(PtApi *api, const char *password, GError **error);
/* *ret_right says whether it matches; `hash` NULL takes as long and never does. */
bool pt_password_verify(PtApi *api, const char *hash, const char *password, bool *ret_right, GError **error);
bool pt_password_check(const char *password, GError **error); /* INVALID: too short, too long, too plain */
char *pt_password_readable(void);                             /* about 70 bits, to be typed. The caller's */

PtGate *pt_gate_new(guint at_once, guint waiting);
void pt_gate_free(PtGate *g);
bool pt_gate_enter(PtGate *g, GError **error);
void pt_gate_leave(PtGate *g);

/* Adds a new token to `txn`; the text for its bearer is the caller's. Fill user, kind, name, scope, expires. */
char *pt_token_begin(PtTxn *txn, PtToken *token);
/* Adds the deletion of all tokens of `user` to `txn`, of one kind or (-1) of all, but `except` (id or NULL). */
bool pt_tokens_revoke(PtApi *api, PtTxn *txn, const char *user, int kind, const char *except, GError **error);

/* Handlers. */
bool pt_session_create(PtRequest *r, GError **error);
bool pt_session_get(PtRequest *r, GError **error);
bool pt_session_delete(PtRequest *r, GError **error);
bool pt_tokens_get(PtRequest *r, GError **error);
bool pt_tokens_create(PtRequest *r, GError **error);
bool pt_tokens_delete(PtRequest *r, GError **error);
