// SPDX-License-Identifier: Apache-2.0
#pragma once
/* One group of ours in every hierarchy: v2 where it owns the controllers, v1 otherwise (field-tested: cpu, cpuacct,
 * memory, blkio, pids, freezer, devices). `id` is a name below host->cgroup. Paths are built from our own ids only. */
#include "sys/host.h"

typedef struct PtCgroupLimits { /* 0 = no limit */
  gint64 cpu;      /* thousandths */
  gint64 memory;   /* bytes */
  gint64 pids;
  gint64 io_read, io_write; /* bytes a second on `device` */
  guint64 device;  /* dev_t of the disk under the volume; 0 = do not set io */
  gint64 weight;   /* 1 … 1000, 100 = normal */
} PtCgroupLimits;

typedef struct PtCgroupUse {
  gint64 cpu_usec, memory, memory_peak, swap, pids, io_read, io_write;
  double cpu_pressure, memory_pressure, io_pressure; /* some avg10, -1 = unknown */
  gint64 oom_kills;
} PtCgroupUse;

/* Makes it, empty, there already: success. Bounds how many groups may be made below it. */
bool pt_cgroup_make(const PtHost *host, const char *id, GError **error);
/* Gives the inside of the v2 leaf to `uid` (a guest's root), so that its init may make groups of its own there. The limits stay
 * root's. */
bool pt_cgroup_delegate(const PtHost *host, const char *id, uid_t uid, GError **error);
/* Gives groups that were made anew below a leaf which is `uid`'s to their owners, with all their files. Nothing of the guest runs
 * meanwhile. */
bool pt_cgroup_own_below(const PtHost *host, const char *id, uid_t uid, GError **error);
/* Lowering memory below what is used reclaims first and fails with CONFLICT if that is not enough, changing nothing. */
bool pt_cgroup_limit(const PtHost *host, const char *id, const PtCgroupLimits *limits, GError **error);
/* Of all of them, io on `device` alone. */
bool pt_cgroup_limit_io(const PtHost *host, const char *id, const PtCgroupLimits *limits, GError **error);
bool pt_cgroup_use(const PtHost *host, const char *id, PtCgroupUse *ret, GError **error);
bool pt_cgroup_freeze(const PtHost *host, const char *id, bool frozen, GError **error); /* waits until it is so */
bool pt_cgroup_frozen(const PtHost *host, const char *id);
/* Whether swap has room for what only swap can take of it: UNSUPPORTED where there is none at all, CONFLICT where it is too small. */
bool pt_cgroup_swappable(const PtHost *host, const char *id, GError **error);
/* Whether STATE has room for a file of all that it holds, in memory and in swap, and for PT_CGROUP_SPARE beside: NO_SPACE with `way_out`
 * as the hint. *ret_memory: what of it is in memory. */
#define PT_CGROUP_SPARE ((gint64)64 << 20)
bool pt_cgroup_storable(const PtHost *host, const char *id, const char *way_out, gint64 *ret_memory, GError **error);
/* Takes from a frozen one all memory that the kernel can put elsewhere; blocks while that takes. Tells the bytes charged to it
 * before and after. */
bool pt_cgroup_reclaim(const PtHost *host, const char *id, gint64 *ret_before, gint64 *ret_after, GError **error);
/* It may not be charged with more than it is now, until it is not held any more; v1: and until pt_cgroup_limit() was called again. */
bool pt_cgroup_hold(const PtHost *host, const char *id, bool held, GError **error);
bool pt_cgroup_kill(const PtHost *host, const char *id, GError **error);  /* SIGKILL to all in it and below, until empty */
GArray *pt_cgroup_pids(const PtHost *host, const char *id, GError **error); /* of pid_t, with those below */
bool pt_cgroup_remove(const PtHost *host, const char *id, GError **error); /* with all below; absent is success */
/* Makes the group of what is no instance's and outlives this daemon (monitors, dnsmasq): a descriptor of its cgroup.procs, for
 * pt_process_home(). -1 without an error where v2 has not the controllers: there nothing asks where they are. */
int pt_cgroup_home(const PtHost *host, GError **error);
/* Removes the group that holds all of them, in each hierarchy where it is empty: for a daemon that leaves nothing running. */
void pt_cgroup_remove_own(const PtHost *host);
