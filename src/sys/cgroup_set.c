// SPDX-License-Identifier: Apache-2.0
/* Limits, live. Memory goes first: it is the one that can be refused by what the group does, and then nothing else has
 * been changed yet. Controllers that only weigh (io) and that a kernel may lack are left out silently: they bound nothing. */
#include "sys/cgroup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#define PERIOD_USEC 100000
#define RECLAIM_WAIT (G_USEC_PER_SEC / 2)

bool
pt_cg_write(const char *dir, const char *file, const char *text, GError **error)
{
  g_autofree char *path = g_build_filename(dir, file, NULL);
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
  int err = errno;

  if (fd >= 0)
    close(fd);
  if (n >= 0)
    return true;
  pt_error_errno(error, err, "%s", path);
  return false;
}

bool
pt_cg_write_if(const char *dir, const char *file, const char *text, GError **error)
{
  g_autofree char *path = g_build_filename(dir, file, NULL);

  return access(path, F_OK) < 0 || pt_cg_write(dir, file, text, error);
}

static bool
write_number(const char *dir, const char *file, gint64 value, GError **error)
{
  g_autofree char *text = value > 0 ? g_strdup_printf("%" G_GINT64_FORMAT, value) : g_strdup("max");

  return pt_cg_write(dir, file, text, error);
}

static bool
refuse_memory(const char *id, gint64 limit, gint64 used, GError **error)
{
  g_autofree char *want = pt_size_format(limit), *use = pt_size_format(used);

  PT_SET(error, PT_ERR_CONFLICT, "memory of %s: %s are in use and cannot be brought below %s", id, use, want);
  pt_error_hint(error, "nothing was changed; end programs inside first, or ask for more than %s", use);
  return false;
}

/* v2 would kill at once to get below a smaller memory.max, so the group is squeezed through memory.high first. */
static bool
memory_v2(const char *dir, const char *id, gint64 limit, GError **error)
{
  gint64 used = pt_cg_int(dir, "memory.current", 0);

  if (limit > 0 && used > limit) {
    gint64 end = pt_mono() + RECLAIM_WAIT;

    if (!write_number(dir, "memory.high", limit, error))
      return false;
    while ((used = pt_cg_int(dir, "memory.current", 0)) > limit && pt_mono() < end)
      g_usleep(5000);
    if (!write_number(dir, "memory.high", 0, error))
      return false;
    if (used > limit)
      return refuse_memory(id, limit, used, error);
  }
  /* as much again in swap, where there is some: a limit that swap makes void is none, and a guest that sleeps has room */
  g_autofree char *swap = limit > 0 ? g_strdup_printf("%" G_GINT64_FORMAT, limit) : g_strdup("max");
  return write_number(dir, "memory.max", limit, error) && pt_cg_write_if(dir, "memory.swap.max", swap, error);
}

static bool
memory_v1(const char *dir, const char *id, gint64 limit, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autofree char *text = limit > 0 ? g_strdup_printf("%" G_GINT64_FORMAT, limit) : g_strdup("-1");
  g_autofree char *both = limit > 0 ? g_strdup_printf("%" G_GINT64_FORMAT, 2 * limit) : g_strdup("-1");
  gint64 used = pt_cg_int(dir, "memory.memsw.usage_in_bytes", 0);

  if (limit > 0 && used > 2 * limit)
    return refuse_memory(id, limit, used, error);
  /* The sum of memory and swap is never below that of memory alone, so it is out of the way meanwhile. */
  if (!pt_cg_write_if(dir, "memory.memsw.limit_in_bytes", "-1", error))
    return false;
  if (pt_cg_write(dir, "memory.limit_in_bytes", text, &local))
    return pt_cg_write_if(dir, "memory.memsw.limit_in_bytes", both, error);
  if (g_error_matches(local, PT_ERROR, PT_ERR_CONFLICT))
    return refuse_memory(id, limit, pt_cg_int(dir, "memory.usage_in_bytes", 0), error);
  g_propagate_error(error, g_steal_pointer(&local));
  return false;
}

static bool
io_v2(const char *dir, const PtCgroupLimits *l, GError **error)
{
  g_autofree char *rd = l->io_read > 0 ? g_strdup_printf("%" G_GINT64_FORMAT, l->io_read) : g_strdup("max");
  g_autofree char *wr = l->io_write > 0 ? g_strdup_printf("%" G_GINT64_FORMAT, l->io_write) : g_strdup("max");
  g_autofree char *io = g_strdup_printf("%u:%u rbps=%s wbps=%s", major(l->device), minor(l->device), rd, wr);

  return l->io_read > 0 || l->io_write > 0 ? pt_cg_write(dir, "io.max", io, error) : pt_cg_write_if(dir, "io.max", io, error);
}

static bool
limit_v2(const char *dir, const char *id, const PtCgroupLimits *l, GError **error)
{
  g_autofree char *cpu = l->cpu > 0 ? g_strdup_printf("%" G_GINT64_FORMAT " %d", l->cpu * PERIOD_USEC / 1000, PERIOD_USEC)
                                    : g_strdup_printf("max %d", PERIOD_USEC);
  g_autofree char *weight = g_strdup_printf("%" G_GINT64_FORMAT, l->weight > 0 ? l->weight : 100);
  g_autofree char *io_weight = g_strconcat("default ", weight, NULL);

  return memory_v2(dir, id, l->memory, error) && write_number(dir, "pids.max", l->pids, error) &&
         pt_cg_write(dir, "cpu.max", cpu, error) && pt_cg_write(dir, "cpu.weight", weight, error) &&
         pt_cg_write_if(dir, "io.weight", io_weight, error);
}

static bool
throttle_v1(const char *dir, const char *file, guint64 device, gint64 rate, GError **error)
{
  g_autofree char *text = g_strdup_printf("%u:%u %" G_GINT64_FORMAT, major(device), minor(device), MAX(rate, 0));

  return rate > 0 ? pt_cg_write(dir, file, text, error) : pt_cg_write_if(dir, file, text, error);
}

static bool
limit_v1(const PtHost *host, const char *id, const PtCgroupLimits *l, GError **error)
{
  g_autofree char *cpu = pt_cg_dir(host, "cpu", id), *memory = pt_cg_dir(host, "memory", id);
  g_autofree char *pids = pt_cg_dir(host, "pids", id), *blkio = pt_cg_dir(host, "blkio", id);
  gint64 weight = l->weight > 0 ? l->weight : 100;
  g_autofree char *quota = l->cpu > 0 ? g_strdup_printf("%" G_GINT64_FORMAT, l->cpu * PERIOD_USEC / 1000) : g_strdup("-1");
  g_autofree char *shares = g_strdup_printf("%" G_GINT64_FORMAT, CLAMP(weight * 1024 / 100, 2, 262144));
  g_autofree char *blk = g_strdup_printf("%" G_GINT64_FORMAT, CLAMP(weight, 10, 1000));

  return memory_v1(memory, id, l->memory, error) && write_number(pids, "pids.max", l->pids, error) &&
         pt_cg_write(cpu, "cpu.cfs_quota_us", quota, error) && pt_cg_write(cpu, "cpu.shares", shares, error) &&
         pt_cg_write_if(blkio, "blkio.bfq.weight", blk, error);
}

bool
pt_cgroup_limit_io(const PtHost *host, const char *id, const PtCgroupLimits *l, GError **error)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, id), *blkio = pt_cg_dir(host, "blkio", id);

  if (!l->device)
    return true;
  if (host->cgroup_kind == PT_CGROUP_V2)
    return io_v2(dir, l, error);
  return throttle_v1(blkio, "blkio.throttle.read_bps_device", l->device, l->io_read, error) &&
         throttle_v1(blkio, "blkio.throttle.write_bps_device", l->device, l->io_write, error);
}

bool
pt_cgroup_limit(const PtHost *host, const char *id, const PtCgroupLimits *limits, GError **error)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, id);
  bool ok = host->cgroup_kind == PT_CGROUP_V2 ? limit_v2(dir, id, limits, error) : limit_v1(host, id, limits, error);

  ok = ok && pt_cgroup_limit_io(host, id, limits, error);
  if (!ok)
    g_prefix_error(error, "limits: ");
  return ok;
}
