// SPDX-License-Identifier: Apache-2.0
/* What the kernel says of a group. The formats: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst,
 * cgroup-v1/blkio-controller.rst, accounting/psi.rst of the kernel. */
#include "sys/cgroup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define READ_MAX (64 * 1024)

char *
pt_cg_read(const char *dir, const char *file)
{
  g_autofree char *path = g_build_filename(dir, file, NULL);
  g_autoptr(GString) s = g_string_new(NULL);
  char buf[4096];
  ssize_t n;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  if (fd < 0)
    return NULL;
  while (s->len < READ_MAX && (n = read(fd, buf, sizeof buf)) > 0)
    g_string_append_len(s, buf, n);
  close(fd);
  return g_string_free(g_steal_pointer(&s), FALSE);
}

gint64
pt_cg_int(const char *dir, const char *file, gint64 fallback)
{
  g_autofree char *text = pt_cg_read(dir, file);

  return text && g_ascii_isdigit(text[0]) ? g_ascii_strtoll(text, NULL, 10) : fallback;
}

gint64
pt_cg_key(const char *text, const char *key, gint64 fallback)
{
  gsize n = strlen(key);

  for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
    if (strncmp(line, key, n) == 0 && line[n] == ' ')
      return g_ascii_strtoll(line + n + 1, NULL, 10);
  }
  return fallback;
}

gint64
pt_cg_io_sum(const char *text, const char *key)
{
  gint64 sum = 0;

  for (const char *at = text; at && (at = strstr(at, key)); at += strlen(key))
    sum += g_ascii_strtoll(at + strlen(key), NULL, 10);
  return sum;
}

double
pt_cg_pressure(const char *text)
{
  const char *at = text && g_str_has_prefix(text, "some ") ? strstr(text, "avg10=") : NULL;

  return at ? g_ascii_strtod(at + strlen("avg10="), NULL) : -1;
}

static void
pressures(const char *dir, PtCgroupUse *ret)
{
  static const char *const files[] = { "cpu.pressure", "memory.pressure", "io.pressure" };
  double *const to[] = { &ret->cpu_pressure, &ret->memory_pressure, &ret->io_pressure };

  for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *text = pt_cg_read(dir, files[i]);
    *to[i] = pt_cg_pressure(text);
  }
}

static void
use_v2(const char *dir, PtCgroupUse *ret)
{
  g_autofree char *cpu = pt_cg_read(dir, "cpu.stat"), *memory = pt_cg_read(dir, "memory.stat");
  g_autofree char *io = pt_cg_read(dir, "io.stat"), *events = pt_cg_read(dir, "memory.events");

  ret->cpu_usec = pt_cg_key(cpu, "usage_usec", 0);
  ret->memory = MAX(0, pt_cg_int(dir, "memory.current", 0) - pt_cg_key(memory, "inactive_file", 0));
  ret->memory_peak = pt_cg_int(dir, "memory.peak", 0);
  ret->swap = pt_cg_int(dir, "memory.swap.current", 0);
  ret->pids = pt_cg_int(dir, "pids.current", 0);
  ret->io_read = pt_cg_io_sum(io, " rbytes=");
  ret->io_write = pt_cg_io_sum(io, " wbytes=");
  ret->oom_kills = pt_cg_key(events, "oom_kill", 0);
}

static void
use_v1(const PtHost *host, const char *id, PtCgroupUse *ret)
{
  g_autofree char *cpuacct = pt_cg_dir(host, "cpuacct", id), *memory = pt_cg_dir(host, "memory", id);
  g_autofree char *blkio = pt_cg_dir(host, "blkio", id), *pids = pt_cg_dir(host, "pids", id);
  g_autofree char *stat = pt_cg_read(memory, "memory.stat"), *oom = pt_cg_read(memory, "memory.oom_control");
  g_autofree char *io = pt_cg_read(blkio, "blkio.throttle.io_service_bytes_recursive");

  ret->cpu_usec = pt_cg_int(cpuacct, "cpuacct.usage", 0) / 1000;
  ret->memory = MAX(0, pt_cg_int(memory, "memory.usage_in_bytes", 0) - pt_cg_key(stat, "total_inactive_file", 0));
  ret->memory_peak = pt_cg_int(memory, "memory.max_usage_in_bytes", 0);
  ret->swap = pt_cg_key(stat, "total_swap", 0);
  ret->pids = pt_cg_int(pids, "pids.current", 0);
  ret->io_read = pt_cg_io_sum(io, " Read ");
  ret->io_write = pt_cg_io_sum(io, " Write ");
  ret->oom_kills = pt_cg_key(oom, "oom_kill", 0);
}

bool
pt_cgroup_use(const PtHost *host, const char *id, PtCgroupUse *ret, GError **error)
{
  g_autofree char *dir = pt_cg_dir(host, NULL, id);

  *ret = (PtCgroupUse){ 0 };
  if (access(dir, F_OK) < 0) {
    PT_SET(error, PT_ERR_NOT_FOUND, "control group %s/%s: is not there", host->cgroup, id);
    return false;
  }
  if (host->cgroup_kind == PT_CGROUP_V2)
    use_v2(dir, ret);
  else
    use_v1(host, id, ret);
  pressures(dir, ret);
  return true;
}
