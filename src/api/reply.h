// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Between a handler's answer and libmicrohttpd. */
#include <microhttpd.h>

#include "api/request.h"

#define PT_LINK_SEND (60 * G_USEC_PER_SEC) /* without the client taking anything */

/* The error as problem details (RFC 9457). */
void pt_reply_problem(PtRequest *r, const GError *error);
/* Hands r->reply to the connection; takes what it holds. */
bool pt_reply_queue(PtRequest *r, struct MHD_Connection *conn);
