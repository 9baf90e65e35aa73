// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The calling thread's file-system ids. Files on an idmapped mount can only be made by an id that the mapping knows, so
 * whoever writes into a guest's tree takes the guest's ids for that moment, and keeps root's capabilities (setfsuid
 * drops them: capabilities(7)). */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct PtFsIds {
  uid_t uid;
  gid_t gid;
  guint32 effective[2];
  bool changed;
} PtFsIds;

#define PT_CAP_SYS_RESOURCE_MASK (G_GUINT64_CONSTANT(1) << 24)

/* Takes `uid` and `gid`, and gives up the capabilities in the mask `drop`; fills *saved for the way back. Ids and
 * capabilities are this thread's alone. Nothing happens where there is nothing to change. */
void pt_fsids_enter(PtFsIds *saved, uid_t uid, gid_t gid, guint64 drop);
void pt_fsids_leave(const PtFsIds *saved);
