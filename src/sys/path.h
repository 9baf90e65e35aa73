// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Paths inside a guest's tree are hostile. Everything here resolves with openat2(RESOLVE_IN_ROOT |
 * RESOLVE_NO_MAGICLINKS) under `root`, so neither a symlink nor ".." leads out of it. */
#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* As openat2 under root; extra RESOLVE_ flags may be added. -1 and an error that names the path. */
int pt_path_open(int root, const char *path, int flags, mode_t mode, guint64 resolve, GError **error);
/* The directory that holds the last component (O_PATH), and that component in *ret_name (the caller's). INVALID
 * for "/", "." and "..". */
int pt_path_parent(int root, const char *path, char **ret_name, GError **error);

/* A whole file from or into the tree. The write goes to a temporary name and is renamed; no symlink in the
 * last place is followed. `max` caps a read: TOO_LARGE. */
bool pt_path_read(int root, const char *path, gsize max, char **ret_text, gsize *ret_size, GError **error);
bool pt_path_write(int root, const char *path, const char *text, gsize size, mode_t mode, uid_t uid, gid_t gid, GError **error);
bool pt_path_mkdir(int root, const char *path, mode_t mode, uid_t uid, gid_t gid, GError **error); /* exists: success */
bool pt_path_remove(int root, const char *path, bool recursive, GError **error); /* absent: success; never crosses a mount */
