// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Volumes: block images of a pool, mounted on this node. The local pool keeps raw sparse ext4 files on a
 * reflinking file system. Blocking; any thread; calls for one volume are serialised by the caller.
 * Directories: STATE/pool/ (an XFS or btrfs directory, else STATE/pool.xfs loop-mounted at RUN/pool). Mounts at
 * RUN/mnt/vol/<id>, in the daemon's private mount namespace. Loop devices are autoclear: nothing stays when
 * the namespace dies. */
#include "sys/host.h"

typedef struct PtPool PtPool;

typedef struct PtPoolInfo {
  gint64 size, used, available; /* bytes */
  bool reflink;
} PtPoolInfo;

/* What a volume with a whole disk is made from. */
typedef struct PtVolumeSource {
  const char *file; /* a raw disk, with holes; NULL: the volume is an empty disk */
  const char *key;  /* names what is in it, for the copy that the pool keeps */
  bool (*report)(gint64 done, gint64 total, void *data); /* while it is copied; false ends it: CANCELLED. May be NULL */
  void *data;
} PtVolumeSource;

typedef struct PtPoolDriver {
  const char *name; /* "local" */
  PtPool *(*open)(const PtHost *host, GError **error);
  void (*close)(PtPool *pool);
  bool (*info)(PtPool *pool, PtPoolInfo *ret, GError **error);
  /* A new empty ext4 volume of `bytes`, cloned from a prepared template; exists already: success. NO_SPACE. */
  bool (*create)(PtPool *pool, const char *id, gint64 bytes, GError **error);
  /* A new raw volume: the disk of an unmodified system, `bytes` long, with what `source` has at its beginning. It is never mounted
   * here, and nothing of ext4 is tried on it. Where the pool cannot refer to the source's blocks it copies them once, and keeps that copy
   * until forget(). Exists already: success. INVALID: the source is longer. */
  bool (*create_from)(PtPool *pool, const char *id, const PtVolumeSource *source, gint64 bytes, GError **error);
  bool (*forget)(PtPool *pool, const char *key, GError **error); /* absent is success */
  /* What is in a volume at this moment, as a file of its own that nobody else writes. Its path is the caller's, and so is removing it. */
  char *(*hold)(PtPool *pool, const char *id, GError **error);
  bool (*clone)(PtPool *pool, const char *from, const char *id, GError **error);
  bool (*remove)(PtPool *pool, const char *id, GError **error); /* absent is success; attached: CONFLICT */
  /* Mounts it and returns the mount point; attached already: the same. Applies a growth that had to wait.
   * The caller frees the path. */
  char *(*attach)(PtPool *pool, const char *id, GError **error);
  /* The same, and nothing can be written to it however it is mounted again: the file system itself is read-only. */
  char *(*attach_readonly)(PtPool *pool, const char *id, GError **error);
  bool (*detach)(PtPool *pool, const char *id, GError **error); /* not attached is success */
  /* Gives it to a machine: detached, and owned by `uid`, who may write into it. The path of its file, the caller's. A growth that had to
   * wait is applied, but not where `as_is`: a guest that sleeps remembers what is on it. From then on it is foreign, since a guest's own
   * kernel writes it: before it is attached here again it is checked and mended in portena-jail, and root's again. What cannot be mended
   * is INVALID. CONFLICT: a machine still has it open. */
  char *(*expose)(PtPool *pool, const char *id, uid_t uid, bool as_is, GError **error);
  /* The same to read only: it stays whose it was, and anybody who is shown the file may read it. What is still in its journal is written
   * back first, since a reader cannot. */
  char *(*show)(PtPool *pool, const char *id, bool as_is, GError **error);
  /* Grows the file and, attached, the file system while it is in use; *ret_actual says how large the file
   * system is now: where the kernel will not grow it mounted, less than `bytes`, and attach does it later.
   * Shrinking: INVALID. */
  bool (*resize)(PtPool *pool, const char *id, gint64 bytes, gint64 *ret_actual, GError **error);
  /* Used: inside if attached, else of the file. */
  bool (*usage)(PtPool *pool, const char *id, gint64 *ret_used, gint64 *ret_size, GError **error);
  GPtrArray *(*list)(PtPool *pool, GError **error); /* ids, char *; free with the array */
} PtPoolDriver;

extern const PtPoolDriver pt_pool_local;
