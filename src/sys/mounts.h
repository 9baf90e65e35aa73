// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Not "mount.h": <sys/mount.h> would find it. */
/* Mounts in the daemon's private mount namespace. Blocking (a moment), any thread. Targets are directories of our own,
 * never inside a guest's tree. */
#include <glib.h>
#include <stdbool.h>

/* A descriptor of a user namespace that maps ids 0 … count-1 to base …; for idmapped mounts. The caller's. */
int pt_userns_fd(gint64 base, gint64 count, GError **error);

/* Binds `source` at `target` (made if missing, 0700) with the ids of `userns` shifted. Not recursive. UNSUPPORTED where the
 * file system or kernel knows no idmapped mounts. */
bool pt_mount_idmapped(const char *source, const char *target, int userns, bool readonly, GError **error);

/* An overlay whose own accesses to upper and work happen as `base`:`base` (needed where they are idmapped), with
 * root's capabilities but CAP_SYS_RESOURCE, so that the volume's reserved blocks and quotas hold. None of the three may be a
 * symlink. `target` is made if missing. */
typedef struct PtOverlay {
  const char *lower, *upper, *work, *target;
  gint64 base;
} PtOverlay;
bool pt_mount_overlay(const PtOverlay *o, GError **error);

/* As mount(2), `target` made if missing; the error names the target. */
bool pt_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *options, GError **error);
/* Detaches lazily whatever is mounted there, all layers. Not mounted, or not there: success. */
bool pt_umount(const char *target, GError **error);
bool pt_is_mounted(const char *path); /* something is, right there; links are not followed */
