// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* Names of spaces, instances, volumes and nodes are DNS labels (RFC 1123): 1 to 63 of a-z, 0-9 and
 * '-', no '-' at either end. Users' names may also hold '.' and '_' and are at most 32 long. The
 * error names `what` ("space", "instance", …) and the rule. */
bool pt_name_check(const char *what, const char *name, GError **error);
bool pt_user_name_check(const char *name, GError **error);

/* "512M", "2GiB", "1.5 G", "1073741824": bytes, binary multiples, K M G T with or without B or iB.
 * Refuses signs, more than 8 EiB, and anything after the unit. */
bool pt_size_parse(const char *text, gint64 *ret_bytes, GError **error);
/* "1.5 GiB", "512 MiB", "0 B": three figures at most. The caller's to free. */
char *pt_size_format(gint64 bytes);

/* "0.5", "2", "2.25" cpus as thousandths: 10 to 1,024,000. */
bool pt_cpu_parse(const char *text, gint64 *ret_milli, GError **error);

/* "90s", "5m", "2h", "7d", "250ms", plain seconds: microseconds, 0 to 100 years. */
bool pt_duration_parse(const char *text, gint64 *ret_us, GError **error);
/* "4 min", "3 d", "12 s" for tables. The caller's to free. */
char *pt_duration_format(gint64 us);

/* Copies `text` with control characters, invalid UTF-8 and bidi overrides replaced by '?', cut at
 * `max` bytes on a character's border: what may go to a terminal or a log. The caller's to free. */
char *pt_text_safe(const char *text, gsize max);
