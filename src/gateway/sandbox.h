// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* What holds the gateway's processes, from outside to inside: own user, no capability, no_new_privs; Landlock (files, and no
 * TCP bind or connect: all sockets are opened before); a list of denied system calls for all; and for the process that
 * parses streams a list of allowed ones, without exec, and threads only. What Landlock cannot hold is connect() to Unix
 * sockets: there the sockets' own permissions count. */

/* The user's ids; NOT_FOUND with a hint where there is none. */
bool pt_sandbox_user(const char *name, uid_t *ret_uid, gid_t *ret_gid, GError **error);

/* Becomes that user with its groups, for good, and sets no_new_privs. No-op but for no_new_privs when not root. */
bool pt_sandbox_drop(const char *user, GError **error);

/* A path and what may be done below it. Paths that do not exist are left out. */
typedef enum { PT_ALLOW_READ = 1, PT_ALLOW_WRITE = 2, PT_ALLOW_EXEC = 4 } PtAllow;
typedef struct PtPathRule {
  const char *path;
  guint allow;
} PtPathRule;

/* Confines this process and its children to the rules (ended by a NULL path), a further layer each time. *ret_abi is the
 * kernel's Landlock version, 0 where it has none, which is no error: the caller says so in the status. */
bool pt_sandbox_landlock(const PtPathRule *rules, int *ret_abi, GError **error);

/* System calls: what no part of the gateway nor nginx ever needs fails with EPERM. */
bool pt_sandbox_deny(GError **error);
/* Only what relaying needs; the rest fails with EPERM. Threads may be started, processes not; new sockets are Unix ones. */
bool pt_sandbox_allow_streams(GError **error);
