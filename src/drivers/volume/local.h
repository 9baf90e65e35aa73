// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Inside of the local pool, shared by its files. */
#include <glib.h>
#include <stdbool.h>

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

/* Whether something is mounted at `path` in our mount namespace; false also where there is no such path. */

/* FICLONE of `from` into the empty `to`. */
bool pt_local_reflink(int from, int to);

bool pt_local_info(PtPool *pool, PtPoolInfo *ret, GError **error);

/* Bytes free in the file system that holds `path`; -1 on error. */
gint64 pt_local_free(const char *path, GError **error);

/* ---- local_raw.c: volumes that machines write themselves ---- */
/* Whether the file belongs to a machine's jail (pt_pool_local.expose). */
bool pt_local_foreign(int fd, uid_t *ret_owner);
/* What its tools need then; NULL where it is ours. `guard` is filled. */
const PtExt4Guard *pt_local_guard(const PtPool *pool, int fd, PtExt4Guard *guard);
/* CONFLICT where a QEMU has it open. */
bool pt_local_idle(const char *id, int fd, GError **error);
/* Makes a foreign volume ours again: checked and mended, root's. Of one that is ours already nothing is done. Its lock is held. */
bool pt_local_reclaim(const PtPool *pool, const char *id, const char *path, int fd, GError **error);
