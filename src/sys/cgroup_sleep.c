// SPDX-License-Identifier: Apache-2.0
/* Memory given back by a group that stands still. cgroup-v2.rst: memory.reclaim, memory.high; cgroup-v1/memory.rst:
 * memory.force_empty, which works with processes inside, and memory.limit_in_bytes. */
#include "sys/cgroup_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define ROUNDS 8          /* of reclaim: what is being written back in one is free in the next */
#define RANGES_MAX 65536 /* of all processes together: how many there are is the guest's choice */
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

bool
pt_cgroup_storable(const PtHost *host, const char *id, const char *way_out, gint64 *ret_memory, GError **error)
{
  struct statvfs vfs;
  PtCgroupUse use = { 0 };

  if (!pt_cgroup_use(host, id, &use, error))
    return false;
  *ret_memory = use.memory;
  if (statvfs(host->state, &vfs) < 0) {
    pt_error_errno(error, errno, "%s", host->state);
    return false;
  }
  gint64 need = use.memory + use.swap + PT_CGROUP_SPARE;
  if ((gint64)(vfs.f_bavail * vfs.f_frsize) >= need)
    return true;
  g_autofree char *size = pt_size_format(need);
  PT_SET(error, PT_ERR_NO_SPACE, "%s has no room for what it holds in memory, up to %s", host->state, size);
  pt_error_hint(error, "%s", way_out);
  return false;
}

typedef struct {
  const char *dir, *file;
  char *text;
  GError *error;
} Push;

static gpointer
push(gpointer data)
{
  Push *p = data;

  pt_cg_write(p->dir, p->file, p->text, &p->error);
  return NULL;
}

/* Tells the kernel that a process that stands still has no use for its own memory, as far as *budget reaches. */
static void
cool(pid_t pid, guint *budget)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/maps", (int)pid);
  FILE *maps = fopen(path, "re");
  int fd = maps ? pidfd_open(pid, 0) : -1;
  char line[512], mode[5];
  guintptr from, to;

  while (fd >= 0 && *budget > 0 && fgets(line, sizeof line, maps)) {
    /* proc(5); of a line longer than ours, the rest is no range either */
    if (sscanf(line, "%" G_GINTPTR_MODIFIER "x-%" G_GINTPTR_MODIFIER "x %4s", &from, &to, mode) != 3 || strcmp(mode, "rw-p") != 0)
      continue;
    const struct iovec range = { (void *)from, to - from };
    syscall(SYS_process_madvise, fd, &range, 1, MADV_COLD, 0);
    (*budget)--;
  }
  if (fd >= 0)
    close(fd);
  if (maps)
    fclose(maps);
}

/* Reclaim takes a page's writers away and tells every processor that may have one of them in its TLB, page by page: a third of its time
 * goes into these interrupts. Of a process that stands still no processor has anything, but the kernel notes that only when it flushes
 * the whole of it, as for this advice (6.13, where a processor stays noted after a switch to another process). Besides, pages that were
 * used a moment ago need no second look then. Nothing depends on it: a kernel without (5.10) reclaims as it always did. */
static void
cool_all(const PtHost *host, const char *id)
{
  g_autoptr(GArray) pids = pt_cgroup_pids(host, id, NULL);
  guint budget = RANGES_MAX;

  for (guint i = 0; pids && i < pids->len; i++)
    cool(g_array_index(pids, pid_t, i), &budget);
}

/* One round, by several threads: most of the time goes into compressing what goes to a swap in memory. The first error, if
 * any; EAGAIN of memory.reclaim says that not all could be had, which nobody expected. */
static GError *
reclaim_round(const Memory *m, gint64 used, guint threads)
{
  g_autofree Push *p = g_new0(Push, threads);
  g_autofree GThread **t = g_new0(GThread *, threads);
  GError *error = NULL;

  for (guint i = 0; i < threads; i++) {
    p[i] = (Push){ m->dir, m->v2 ? "memory.reclaim" : "memory.force_empty", NULL, NULL };
    p[i].text = m->v2 ? g_strdup_printf("%" G_GINT64_FORMAT, used / threads + 1) : g_strdup("0");
    t[i] = g_thread_new("reclaim", push, &p[i]);
  }
  for (guint i = 0; i < threads; i++) {
    g_thread_join(t[i]);
    g_free(p[i].text);
    if (error)
      g_clear_error(&p[i].error);
    else
      error = p[i].error;
  }
  return error;
}

bool
pt_cgroup_reclaim(const PtHost *host, const char *id, gint64 *ret_before, gint64 *ret_after, GError **error)
{
  Memory m = memory_of(host, id);
  g_autofree char *dir = m.dir;
  guint threads = (guint)CLAMP(host->cpus, 1, 4);
  gint64 used = pt_cg_int(dir, m.usage, 0), last = G_MAXINT64;

  *ret_before = used;
  cool_all(host, id);
  for (guint i = 0; i < ROUNDS && used > 0 && used < last - last / 16; i++) {
    last = used;
    g_autoptr(GError) err = reclaim_round(&m, used, threads);
    used = pt_cg_int(dir, m.usage, last);
    if (err && used >= last && i == 0) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    }
  }
  *ret_after = used;
  return true;
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
