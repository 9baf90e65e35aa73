// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Shared by the cgroup files of this folder alone: paths and the tiny files at their ends. */
#include "sys/cgroup.h"

/* The directory of `id` in the v2 tree (controller NULL) or in a v1 hierarchy. `id` NULL: our own. The caller's. */
char *pt_cg_dir(const PtHost *host, const char *controller, const char *id);
/* One write(2) of the text to DIR/FILE. The error names both; EBUSY is CONFLICT, an absent file NOT_FOUND. */
bool pt_cg_write(const char *dir, const char *file, const char *text, GError **error);
/* The same, but a file that this kernel does not have is success. */
bool pt_cg_write_if(const char *dir, const char *file, const char *text, GError **error);
/* The text of DIR/FILE, at most 64 KiB; NULL where there is none. The caller's. */
char *pt_cg_read(const char *dir, const char *file);
/* Its first number; `fallback` where there is none ("max" too). */
gint64 pt_cg_int(const char *dir, const char *file, gint64 fallback);
/* The number behind `key` and a space at the beginning of a line of `text`. */
gint64 pt_cg_key(const char *text, const char *key, gint64 fallback);
/* The sum of the numbers behind each `key`, separators included, in `text`: over the devices of v2's io.stat ("8:0 rbytes=1
 * wbytes=2 …", key " rbytes=") and v1's blkio.throttle.io_service_bytes_recursive ("8:0 Read 1", key " Read "). */
gint64 pt_cg_io_sum(const char *text, const char *key);
/* avg10 of the line "some …" of a pressure file; -1 where there is none. */
double pt_cg_pressure(const char *text);
