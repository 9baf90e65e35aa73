// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Child processes of ours: short ones that are run to their end, and pidfds. */
#include <gio/gio.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct PtRunOptions {
  const char *input;       /* to its stdin, or NULL = /dev/null */
  gsize output_max;        /* of what is kept of stdout; 0 = 1 MiB; more is thrown away */
  gint64 timeout;          /* µs; 0 = 60 s; then SIGKILL and TIMEOUT */
  const char *const *env;  /* NULL = a small clean one: PATH, LANG=C.UTF-8 */
  const char *cwd;
  GCancellable *cancel;    /* SIGKILL to its process group, and CANCELLED */
  void (*line)(const char *line, void *data); /* each line of stdout and stderr as it comes; may be NULL */
  void *line_data;
  bool outlive;            /* what it leaves in the background outlives us: it is in pt_process_home() */
} PtRunOptions;

/* Runs argv[0] (looked up in PATH) to its end, in a process group of its own that dies with us
 * (PDEATHSIG), nothing inherited but stdio. Blocking, any thread. A start that fails, a signal or a non-zero status is an
 * error that carries the first line of what it said on stderr; *ret_output (may be NULL) is its stdout. */
bool pt_run(const char *const *argv, const PtRunOptions *options, char **ret_output, GError **error);

#define PT_SPAWN_FDS_MAX 8
typedef struct PtSpawn {
  const char *const *argv; /* argv[0] as in pt_run() */
  const char *const *env;  /* NULL = the clean one */
  const char *cwd;
  const int *fds;          /* become 0, 1, 2, …; -1 = /dev/null. Everything else is closed. At most PT_SPAWN_FDS_MAX */
  guint n_fds;             /* 0 = /dev/null for stdio */
  bool outlive;            /* a session of its own that outlives us; else a process group that dies with this thread */
} PtSpawn;

/* Whatever is started to outlive us joins the group of this cgroup.procs file from now on, or its start fails. Before threads start. Else
 * it stays in our own group, where a service manager takes it for ours: for something left over, or to be killed with us. The
 * descriptor stays the caller's, and open. -1 = off. */
void pt_process_home(int procs);

/* Starts it and returns its pid; the caller waits for it. The error is that of the exec itself too: when this
 * returns, the program runs. */
pid_t pt_spawn(const PtSpawn *spawn, GError **error);

/* pidfd_open that also checks that the process started at `starttime` (field 22 of /proc/PID/stat; 0 = do not check):
 * a pid that was given to another is NOT_FOUND. */
int pt_pidfd(pid_t pid, guint64 starttime, GError **error);
guint64 pt_proc_starttime(pid_t pid); /* 0 = gone */
bool pt_pidfd_alive(int pidfd);       /* false once it has ended, reaped or not */
