// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Files with holes. Blocking. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Reads `size` bytes at `at`: fewer at the file's end alone. -1 with errno. */
gssize pt_sparse_read(int fd, guint8 *buf, gsize size, gint64 at);
/* Where the next data is, at or behind `at`; `end` where there is none. */
gint64 pt_sparse_next(int fd, gint64 at, gint64 end);

/* Copies what is data in the one file to the other, which becomes as long and is empty before; by reference where the file systems can.
 * `report` may be NULL; false from it ends the copy: CANCELLED. */
typedef bool (*PtSparseReport)(gint64 done, gint64 total, void *data);
bool pt_sparse_copy(int from, int to, PtSparseReport report, void *data, GError **error);
