// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The tree of a guest that runs, as its first process sees it.
 *
 * Beneath its root a guest mounts what it likes: procfs and sysfs, through which a caller with rights over the node would reach the
 * node itself (/proc/kcore is its memory), and file systems that the guest answers for (FUSE, or an overlay upon it), which
 * let a caller wait for ever. So from a root opened here, everything in sys/path.h goes into three kinds of mounts only: the
 * file system of the root itself, tmpfs, and volumes that the node has attached. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* An O_PATH descriptor of the root directory of process `pid`; FORBIDDEN unless that is an overlay on `device`. The caller makes
 * sure afterwards that the process still lived, and gives it back to pt_guest_root_close() alone. */
int pt_guest_root_open(pid_t pid, dev_t device, GError **error);
/* Closes any descriptor, -1 too. */
void pt_guest_root_close(int root);

/* For sys/path.c: whether `root` was opened here; and openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) that goes into the said
 * mounts, EXDEV for all others. Opens directories, or anything with O_PATH. */
bool pt_guest_root_is(int root);
int pt_guest_walk(int root, const char *path, int flags, guint64 resolve);
