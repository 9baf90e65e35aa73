// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* A child process that is started again when it ends, later each time it ends early. It is the leader of its own process group,
 * all of which is killed with it (nginx's workers outlive their master otherwise), and gets SIGTERM when this process dies. */
typedef struct PtChild {
  const char *name;
  void (*main)(void *data); /* runs in the child, with an empty signal mask; returning is exit status 1 */
  void *data;
  pid_t pid; /* 0: not running */
  gint64 started, start_at; /* pt_mono(); start_at: when it is due */
  guint failures;           /* ends in a row within 10 s of the start */
} PtChild;

/* Forks where it is due. The caller has one thread. False with an error where fork fails; start_at is set then too. */
bool pt_child_start(PtChild *child, GError **error);

/* Tells the child that `pid` ended with `status` (waitpid). False where it is another's. Kills its group and plans the next start:
 * at once after a long life, else after 0.1, 0.2, 0.4 … 10 s. */
bool pt_child_ended(PtChild *child, pid_t pid, int status);

/* Asks it to end, and kills it where it has not in `ms`. Blocks until it is gone. NULL-safe on a child that does not run. */
void pt_child_stop(PtChild *child, guint ms);
