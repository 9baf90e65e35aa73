// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Waiting for work that takes time. */
#include "cli/cli.h"

/* How many seconds a request itself should wait (?wait=): long where nobody watches, one second where a progress line is to
 * appear when it takes longer. */
guint pt_operation_first_wait(const PtCli *cli);

/* Sees the operation in `answer` (an answer with "operation", or an operation itself) to its end, drawing progress under
 * `title`. At once if it has ended, or if there is none. Its failure is an error with the operation's own words; TIMEOUT
 * after `timeout` seconds (0 = never). `ret_operation` may be NULL; a new reference, NULL where the answer held none. */
bool pt_operation_wait(PtCli *cli, const json_t *answer, const char *title, gint64 timeout, json_t **ret_operation,
                       GError **error);

/* Until the guest is ready, as the server sees it; *answer is the instance as it was last seen, and is replaced. CONFLICT
 * where it ended before, TIMEOUT after `timeout` seconds (0 = 600). */
bool pt_operation_wait_ready(PtCli *cli, const PtTarget *t, json_t **answer, gint64 timeout, GError **error);

/* --timeout of the arguments in seconds, 0 where it is not given. */
bool pt_operation_timeout(const PtArgs *args, gint64 *ret_seconds, GError **error);
