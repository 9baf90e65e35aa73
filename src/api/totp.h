// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Time-based one-time passwords: RFC 6238 with HMAC-SHA-1, steps of 30 s, six digits; secrets in base 32 (RFC 4648). */
#include <glib.h>
#include <stdbool.h>

guint32 pt_totp_code(const guint8 *key, gsize size, guint64 step, guint digits);
char *pt_base32(const guint8 *data, gsize size);             /* without padding. The caller's */
guint8 *pt_base32_decode(const char *text, gsize *ret_size); /* NULL where it is none. The caller's */
/* Checks `code` for the time `now` (µs), one step early or late; steps up to `last` are used up. The step, or -1. */
gint64 pt_totp_check(const char *secret, const char *code, gint64 now, gint64 last);
