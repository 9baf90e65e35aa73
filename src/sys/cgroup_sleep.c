// SPDX-License-Identifier: Apache-2.0
/* Memory given back by a group that stands still. cgroup-v2.rst: memory.reclaim, memory.high; cgroup-v1/memory.rst:
 * memory.force_empty, which works with processes inside, and memory.limit_in_bytes. */
#include "sys/cgroup_file.h"

#include <errno.h>
#include <sys/sysinfo.h>

#include "base/error.h"
#include "base/text.h"

#define ROUNDS 8          /* of reclaim: what is being written back in one is free in the next */
#define SLACK (1 << 20)   /* bytes: what others look at in a held group (its command lines) is charged to it */

typedef struct {
  char *dir;
  const char *usage, *anon, *shmem;
  bool v2;
} Memory;

static Memory
memory_of(const PtHost *host, const char *id)
{
  if (host->cgroup_kind == PT_CGROUP_V2)
    return (Memory){ pt_cg_dir(host, NULL, id), "memory.current", "anon", "shmem", true };
  return (Memory){ pt_cg_dir(host, "memory", id), "memory.usage_in_bytes", "total_rss", "total_shmem", false };
}

bool
pt_cgroup_swappable(const PtHost *host, const char *id, GError **error)
{
  Memory m = memory_of(host, id);
  g_autofree char *dir = m.dir, *stat = pt_cg_read(dir, "memory.stat");
  gint64 need = pt_cg_key(stat, m.anon, 0) + pt_cg_key(stat, m.shmem, 0);
  struct sysinfo s;

  if (sysinfo(&s) < 0) {
    pt_error_errno(error, errno, "swap");
    return false;
  }
  gint64 free = (gint64)s.freeswap * s.mem_unit;
  if (free >= need)
    return true;
  g_autofree char *want = pt_size_format(need), *have = pt_size_format(free);
  if (s.totalswap == 0)
    PT_SET(error, PT_ERR_UNSUPPORTED, "memory: this node has no swap that %s could go to", want);
  else
    PT_SET(error, PT_ERR_CONFLICT, "memory: %s would have to go to swap, where %s are free", want, have);
  return false;
}

static gint64
reclaim_v2(const char *dir, gint64 used, GError **error)
{
  for (guint i = 0; i < ROUNDS && used > 0; i++) {
    g_autofree char *all = g_strdup_printf("%" G_GINT64_FORMAT, used);
    g_autoptr(GError) local = NULL;
    gint64 before = used;

    /* EAGAIN: not all of it could be had, which nobody expected */
    if (!pt_cg_write(dir, "memory.reclaim", all, &local) && (used = pt_cg_int(dir, "memory.current", before)) == before && i == 0) {
      g_propagate_error(error, g_steal_pointer(&local));
      return -1;
    }
    used = pt_cg_int(dir, "memory.current", before);
    if (used > before - before / 16)
      break;
  }
  return used;
}

static gint64
reclaim_v1(const char *dir, gint64 used, GError **error)
{
  for (guint i = 0; i < ROUNDS && used > 0; i++) {
    gint64 before = used;

    if (!pt_cg_write(dir, "memory.force_empty", "0", error))
      return -1;
    used = pt_cg_int(dir, "memory.usage_in_bytes", before);
    if (used > before - before / 16)
      break;
  }
  return used;
}

bool
pt_cgroup_reclaim(const PtHost *host, const char *id, gint64 *ret_before, gint64 *ret_after, GError **error)
{
  Memory m = memory_of(host, id);
  g_autofree char *dir = m.dir;

  *ret_before = pt_cg_int(dir, m.usage, 0);
  *ret_after = m.v2 ? reclaim_v2(dir, *ret_before, error) : reclaim_v1(dir, *ret_before, error);
  return *ret_after >= 0;
}

bool
pt_cgroup_hold(const PtHost *host, const char *id, bool held, GError **error)
{
  Memory m = memory_of(host, id);
  g_autofree char *dir = m.dir;

  if (!held)
    return !m.v2 || pt_cg_write(dir, "memory.high", "max", error);
  g_autofree char *bytes = g_strdup_printf("%" G_GINT64_FORMAT, pt_cg_int(dir, m.usage, 0) + SLACK);
  return pt_cg_write(dir, m.v2 ? "memory.high" : "memory.limit_in_bytes", bytes, error);
}
