// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Mounts in another process's mount namespace: what is attached to a guest while it runs. Blocking, any thread. What a guest has in the
 * way is asked nothing; paths are resolved before, by sys/path.h. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* A copy of the mount (or file) `source` that is mounted nowhere yet: with the ids of `userns` shifted (-1: as they are), read-only
 * if so. The caller's. UNSUPPORTED where ids cannot be shifted. */
int pt_inside_tree(const char *source, int userns, bool readonly, GError **error);

/* Mounts `tree` onto `target`, a descriptor (O_PATH) of a directory or file in the mount namespace of `pid`. */
bool pt_inside_mount(pid_t pid, int tree, int target, GError **error);
/* Unmounts what is mounted at `name` of the directory `dir`, a descriptor in that namespace. CONFLICT where it is in use; `lazy`: whoever
 * uses it keeps it until they are done. */
bool pt_inside_umount(pid_t pid, int dir, const char *name, bool lazy, GError **error);

/* Whether a file system of this device is mounted in the namespace of `pid`; the path of the last such mount as its root sees it in
 * *ret_path (may be NULL; the caller's). */
bool pt_inside_mounted(pid_t pid, dev_t device, char **ret_path);
/* Which of `pids` has a file or its working directory on a mount of the device that `pid` has: its name, harmless, and pid
 * ("postgres (231)", a pid of the node); NULL where none is found. The caller's. */
char *pt_inside_user(pid_t pid, dev_t device, const GArray *pids);
