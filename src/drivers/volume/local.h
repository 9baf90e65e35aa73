// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Inside of the local pool, shared by its three files. */
#include <glib.h>
#include <stdbool.h>

#include "drivers/volume/volume.h"

struct PtPool {
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

/* Bytes free in the file system that holds `path`; -1 on error. */
gint64 pt_local_free(const char *path, GError **error);
