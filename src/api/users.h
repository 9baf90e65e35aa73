// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "api/request.h"

/* Writes a user's record back if it still has `revision`. STALE otherwise. */
bool pt_user_put(PtApi *api, PtTxn *txn, const PtUser *u, gint64 revision, gint64 *ret_revision, GError **error);
