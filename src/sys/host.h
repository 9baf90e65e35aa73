// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What this host is and where this daemon keeps its things. Filled once at start by pt_host_new(), then
 * read-only; passed to every driver. Several daemons can live on one machine side by side: everything they
 * make is named by `run`, `state` and `cgroup`. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef enum { PT_CGROUP_V2, PT_CGROUP_V1 } PtCgroupKind;

typedef struct PtHost {
  char *state;       /* "/var/lib/portena": store.db, images/, pool/, instances/ */
  char *run;         /* "/run/portena": api.sock, monitor/, net/, mnt/ */
  char *libexec;     /* where portena-monitor and portena-jail are */
  char *node;        /* this node's name */
  char *cgroup;      /* name of our directory in every hierarchy: "portena" */
  char *uplink;      /* interface name, "auto" or "none" */
  PtCgroupKind cgroup_kind;
  char *cgroup1;     /* where the v1 hierarchies are mounted, by controller: "/sys/fs/cgroup" */
  char *cgroup2;     /* a mounted cgroup2 tree, always there: v2 itself, or a private mount of it beside v1 */
  const char *templates; /* of machines: "shared", "space" (each space has its own) or "off"; NULL is off. Set by whoever made this */
  bool tune;         /* the host itself may be changed (--no-tune: not); set by whoever made this */
  bool cap_sys_resource; /* without it ext4 cannot grow while mounted */
  char *arch;        /* of its processors, as uname has it: "x86_64" */
  gint64 cpus;
  gint64 memory;     /* bytes */
} PtHost;

/* Probes the host, and makes the directories RUN, RUN/monitor, RUN/mnt and STATE. In the daemon's private mount namespace, before
 * threads start: call pt_host_enter_mounts() first. Strings are copied. INVALID where state or run is not an absolute path that
 * can be used in a mount option. */
PtHost *pt_host_new(const char *state, const char *run, const char *libexec, const char *node, const char *uplink,
                    const char *cgroup, GError **error);
void pt_host_free(PtHost *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtHost, pt_host_free)

/* Tells one run of the kernel from another; "unknown" where it does not say. The caller's. */
char *pt_boot_id(void);

/* Remounts the cgroup2 tree, with all options it has, so that moving a process into a group does not wait for an RCU grace
 * period. It is a property of the whole host and stays after us: only where the administrator lets us tune the host. */
void pt_host_favour_moves(const PtHost *h);

/* Enters the private mount namespace that a living monitor or dnsmasq of `run` holds (a predecessor was killed), or
 * makes a new one with all propagation private. Single-threaded callers only. Sets *ret_adopted.
 * In a namespace of ours on a hybrid layout the unified cgroup tree is unmounted from its usual place,
 * because crun refuses that layout, and mounted at RUN/cgroup2. */
bool pt_host_enter_mounts(const char *run, bool *ret_adopted, GError **error);

/* Reads what a monitor wrote of itself and its instance's first process (RUN/monitor/<id>/state): lines "monitor PID
 * START" and "init PID START", times as pt_proc_starttime() has them, and "started USEC", when init began to run. 0 where there is none.
 * NOT_FOUND without the file. */
typedef struct PtMonitorState {
  pid_t monitor, init;
  guint64 monitor_start, init_start;
  gint64 started; /* µs since 1970 */
} PtMonitorState;
bool pt_monitor_state(const char *run, const char *id, PtMonitorState *ret, GError **error);
