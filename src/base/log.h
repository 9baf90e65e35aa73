// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>

/* Only the edges log (daemon/, api/, node/, gateway/): library code returns errors. One line on stderr:
 * "LEVEL area: text", with the journal's <N> prefix under systemd. Secrets never go here. */
#define pt_log_error(area, ...) pt_log(3, area, __VA_ARGS__)
#define pt_log_warn(area, ...) pt_log(4, area, __VA_ARGS__)
#define pt_log_info(area, ...) pt_log(6, area, __VA_ARGS__)
#define pt_log_debug(area, ...) pt_log(7, area, __VA_ARGS__)

void pt_log(int priority, const char *area, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
void pt_log_set_max(int priority); /* 6 unless told; 7 shows debug lines */
