// SPDX-License-Identifier: Apache-2.0
#include "sys/creds.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

void
pt_fsids_enter(PtFsIds *saved, uid_t uid, gid_t gid, guint64 drop)
{
  struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct caps[2] = { 0 };

  saved->uid = (uid_t)setfsuid((uid_t)-1);
  saved->gid = (gid_t)setfsgid((gid_t)-1);
  saved->changed = saved->uid != uid || saved->gid != gid || drop;
  if (!saved->changed)
    return;
  syscall(SYS_capget, &head, caps);
  for (guint i = 0; i < 2; i++)
    saved->effective[i] = caps[i].effective;
  setfsgid(gid);
  setfsuid(uid);
  caps[0].effective = saved->effective[0] & ~(guint32)drop;
  caps[1].effective = saved->effective[1] & ~(guint32)(drop >> 32);
  syscall(SYS_capset, &head, caps);
}

void
pt_fsids_leave(const PtFsIds *saved)
{
  struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct caps[2] = { 0 };

  if (!saved->changed)
    return;
  setfsuid(saved->uid);
  setfsgid(saved->gid);
  syscall(SYS_capget, &head, caps);
  for (guint i = 0; i < 2; i++)
    caps[i].effective = saved->effective[i];
  syscall(SYS_capset, &head, caps);
}
