// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Paths inside a guest's tree are hostile. Everything here resolves with openat2(RESOLVE_IN_ROOT |
 * RESOLVE_NO_MAGICLINKS) under `root`, so neither a symlink nor ".." leads out of it.
 *
 * What is made gets its owner from the call, by taking those ids while it is made: on a tree with shifted
 * ids (idmapped, a running guest's) give the shifted ones, else the kernel refuses with EOVERFLOW.
 *
 * A `root` of sys/guest.h is a running guest's: then no mount that the guest made is entered but tmpfs; FORBIDDEN says so. */
#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* As openat2 under root; extra RESOLVE_ flags may be added. -1 and an error that names the path. Do not open what may
 * be a device or FIFO this way: pt_path_open_file(). */
int pt_path_open(int root, const char *path, int flags, mode_t mode, guint64 resolve, GError **error);
/* A regular file for reading, looked at before it is opened. INVALID where it is anything else. */
int pt_path_open_file(int root, const char *path, GError **error);
/* The directory that holds the last component (O_PATH), and that component in *ret_name (the caller's). INVALID
 * for "/", "." and "..". */
int pt_path_parent(int root, const char *path, char **ret_name, GError **error);

/* As lstat of one name in a directory. False with an errno: EXDEV for a mount point, of which nothing is asked. */
bool pt_path_stat_entry(int dir, const char *name, struct stat *ret);

/* A whole file from or into the tree. The write goes to a temporary name and is renamed; no symlink in the
 * last place is followed. `max` caps a read: TOO_LARGE. */
bool pt_path_read(int root, const char *path, gsize max, char **ret_text, gsize *ret_size, GError **error);
bool pt_path_write(int root, const char *path, const char *text, gsize size, mode_t mode, uid_t uid, gid_t gid, GError **error);
bool pt_path_mkdir(int root, const char *path, mode_t mode, uid_t uid, gid_t gid, GError **error); /* exists: success */
bool pt_path_symlink(int root, const char *path, const char *target, uid_t uid, gid_t gid, GError **error); /* replaces a file */
bool pt_path_remove(int root, const char *path, bool recursive, GError **error); /* absent: success; never crosses a mount */

/* The same write in pieces, for what does not fit in memory: write to `fd`, then commit() or abort(). Both end it. */
typedef struct PtPathWrite {
  int fd;
  int dir;
  char *name, *temp;
  bool unnamed; /* so far: `temp` is not there */
  uid_t uid;
  gid_t gid;
} PtPathWrite;
bool pt_path_write_begin(PtPathWrite *w, int root, const char *path, uid_t uid, gid_t gid, GError **error);
bool pt_path_write_commit(PtPathWrite *w, mode_t mode, GError **error);
void pt_path_write_abort(PtPathWrite *w);
