// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Inside of the local pool, shared by its files. */
#include <glib.h>
#include <stdbool.h>
#include <unistd.h>

#include "drivers/volume/ext4.h"
#include "drivers/volume/volume.h"

struct PtPool {
  char *jail;     /* portena-jail */
  char *dir;      /* volumes/ templates/ tmp/ live here */
  char *backing;  /* directory whose file system holds pool.xfs; NULL where the pool is a plain directory */
  char *mounts;   /* RUN/mnt/vol */
  bool cap_sys_resource;
  GMutex templates; /* one template is made at a time */
  GMutex disks;     /* one disk is copied into the pool at a time */
};

/* Finds or makes the place of the pool and mounts it: sets dir and backing. */
bool pt_local_place(PtPool *pool, const char *state, const char *run, GError **error);

/* An open template of an empty file system of `bytes`; made if it is not there yet. -1 on error. */
int pt_local_template(PtPool *pool, gint64 bytes, GError **error);

/* ---- local_disk.c: raw volumes ---- */
/* Whether the volume in `fd` is a whole disk. The file itself says so, in an extended attribute. */
bool pt_local_is_raw(int fd);
bool pt_local_mark_raw(int fd);
/* Fills the new file `to` with what the source has, growing it to `bytes`, and marks it. */
bool pt_local_fill(PtPool *pool, int to, const PtVolumeSource *source, gint64 bytes, GError **error);
bool pt_local_forget(PtPool *pool, const char *key, GError **error);

/* flock(fd, LOCK_EX), waiting at most `timeout` µs: false with errno, EWOULDBLOCK when it is held for longer. */
bool pt_local_lock(int fd, gint64 timeout);

/* FICLONE of `from` into the empty `to`. */
bool pt_local_reflink(int from, int to);

bool pt_local_info(PtPool *pool, PtPoolInfo *ret, GError **error);

/* Bytes free in the file system that holds `path`; -1 on error. */
gint64 pt_local_free(const char *path, GError **error);

/* A descriptor that closes itself. */
typedef int PtLocalFd;
static inline void
pt_local_fd_clear(PtLocalFd *fd)
{
  if (*fd >= 0)
    close(*fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtLocalFd, pt_local_fd_clear)

/* ---- local.c: what the others need of a volume ---- */
bool pt_local_id_ok(const char *id, GError **error);
/* Its file, and where it is mounted when it is. The caller's. */
char *pt_local_path(PtPool *pool, const char *id);
char *pt_local_mount(PtPool *pool, const char *id);
/* Opens its file, close-on-exec. -1 on error. */
int pt_local_open(PtPool *pool, const char *id, int flags, GError **error);
/* The size of the file in `fd`, and how far its file system reaches; of one that is none of ours both are the file's. */
bool pt_local_sizes(const char *id, int fd, gint64 *ret_file, gint64 *ret_fs, GError **error);
/* Grows a volume that nobody uses to the size of its file, on a clone that takes its place when it is whole: a crash half way leaves
 * the old one. `fd` is the volume. *ret_damaged: it failed because the file system needs a repair by hand. */
bool pt_local_grow_offline(PtPool *pool, const char *id, int fd, bool *ret_damaged, GError **error);

/* ---- local_attach.c: as in volume.h ---- */
char *pt_local_attach(PtPool *pool, const char *id, GError **error);
char *pt_local_attach_readonly(PtPool *pool, const char *id, GError **error);
bool pt_local_detach(PtPool *pool, const char *id, GError **error);
char *pt_local_show(PtPool *pool, const char *id, bool as_is, GError **error);
char *pt_local_expose(PtPool *pool, const char *id, uid_t uid, bool as_is, GError **error);

/* ---- local_raw.c: volumes that machines write themselves ---- */
/* Whether the file belongs to a machine's jail (pt_pool_local.expose). */
bool pt_local_foreign(int fd, uid_t *ret_owner);
/* What its tools need then; NULL where it is ours. `guard` is filled. */
const PtExt4Guard *pt_local_guard(const PtPool *pool, int fd, PtExt4Guard *guard);
/* CONFLICT where a QEMU has it open. */
bool pt_local_idle(const char *id, int fd, GError **error);
/* Makes a foreign volume ours again: checked and mended, root's. Of one that is ours already nothing is done. Its lock is held. */
bool pt_local_reclaim(const PtPool *pool, const char *id, const char *path, int fd, GError **error);
