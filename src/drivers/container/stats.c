// SPDX-License-Identifier: Apache-2.0
/* Use and processes. Processes are those of the control group, as the node sees them, with pids and users told in the guest's
 * own numbers (proc(5): NSpid; the range of ids). */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/container/internal.h"
#include "sys/cgroup.h"
#include "sys/guest.h"

#define COMMAND_MAX 1024

bool
pt_container_stats(PtContainers *c, const char *id, PtContainerStats *ret, GError **error)
{
  PtCgroupUse use;

  if (!pt_cgroup_use(c->host, id, &use, error))
    return false;
  *ret = (PtContainerStats){ .cpu_usec = use.cpu_usec,
                             .memory = use.memory,
                             .memory_peak = use.memory_peak,
                             .swap = use.swap,
                             .pids = use.pids,
                             .io_read = use.io_read,
                             .io_write = use.io_write,
                             .cpu_pressure = use.cpu_pressure,
                             .memory_pressure = use.memory_pressure,
                             .io_pressure = use.io_pressure };
  return true;
}

void
pt_process_free(PtProcess *p)
{
  if (!p)
    return;
  g_free(p->user);
  g_free(p->command);
  g_free(p);
}

static char *
read_proc(pid_t pid, const char *file)
{
  char buf[8192];
  g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);

  if (fd >= 0)
    close(fd);
  if (n < 0)
    return NULL;
  buf[n] = '\0';
  return g_memdup2(buf, (gsize)n + 1);
}

/* What is behind "\nKEY:" of a status file, blanks skipped; "" where it is not there. */
static const char *
field(const char *status, const char *key)
{
  g_autofree char *needle = g_strconcat("\n", key, ":", NULL);
  const char *at = strstr(status, needle);

  if (!at)
    return "";
  at += strlen(needle);
  return at + strspn(at, " \t");
}

/* The innermost of "NSpid: 4711 23". */
static gint64
inner_pid(const char *nspid)
{
  gint64 last = 0;

  while (*nspid >= '0' && *nspid <= '9') {
    last = g_ascii_strtoll(nspid, (char **)&nspid, 10);
    nspid += strspn(nspid, " \t");
  }
  return last;
}

static gint64
boot_time(void)
{
  static gint64 boot; /* the same for ever; a race writes it twice */
  g_autofree char *text = NULL;

  if (!boot && g_file_get_contents("/proc/stat", &text, NULL, NULL)) {
    const char *at = strstr(text, "\nbtime ");
    boot = at ? g_ascii_strtoll(at + 7, NULL, 10) * G_USEC_PER_SEC : 0;
  }
  return boot;
}

/* What stands in the place of a command line that there is none of, as ps(1) has it. */
static char *
name_of(const char *status)
{
  const char *name = strlen(status) > 6 ? status + 6 : ""; /* "Name:\t" */
  g_autofree char *raw = g_strdup_printf("[%.*s]", (int)strcspn(name, "\n"), name);

  return pt_text_safe(raw, COMMAND_MAX);
}

static void
fill_times(PtProcess *p, const char *stat)
{
  const char *at = strrchr(stat, ')');
  gint64 tick = G_USEC_PER_SEC / sysconf(_SC_CLK_TCK);

  if (!at || strlen(at) < 3)
    return;
  g_auto(GStrv) f = g_strsplit(at + 2, " ", 24); /* from field 3 on */
  if (g_strv_length(f) < 22)
    return;
  p->cpu_usec = (g_ascii_strtoll(f[11], NULL, 10) + g_ascii_strtoll(f[12], NULL, 10)) * tick;
  p->started = boot_time() + g_ascii_strtoll(f[19], NULL, 10) * tick;
}

/* NULL where it ended meanwhile. *ret_parent is the node's pid of its parent. */
static PtProcess *
look_at(pid_t pid, const char *command, gint64 idbase, GHashTable *names, pid_t *ret_parent)
{
  g_autofree char *status = read_proc(pid, "status"), *stat = read_proc(pid, "stat");

  if (!status || !stat)
    return NULL;
  PtProcess *p = g_new0(PtProcess, 1);
  gint64 uid = g_ascii_strtoll(field(status, "Uid"), NULL, 10) - idbase;
  p->pid = inner_pid(field(status, "NSpid"));
  p->uid = uid >= 0 && uid < PT_GUEST_IDS ? (guint)uid : 65534;
  const char *name = g_hash_table_lookup(names, GUINT_TO_POINTER(p->uid));
  p->user = name ? g_strdup(name) : g_strdup_printf("%u", p->uid);
  p->command = command ? g_strdup(command) : name_of(status);
  p->memory = g_ascii_strtoll(field(status, "VmRSS"), NULL, 10) * 1024;
  p->state = field(status, "State")[0];
  fill_times(p, stat);
  *ret_parent = (pid_t)g_ascii_strtoll(field(status, "PPid"), NULL, 10);
  return p;
}

static int
by_pid(gconstpointer a, gconstpointer b)
{
  const PtProcess *x = *(PtProcess *const *)a, *y = *(PtProcess *const *)b;

  return x->pid < y->pid ? -1 : x->pid > y->pid;
}

GPtrArray *
pt_container_processes(PtContainers *c, const char *id, GError **error)
{
  PtContainerMeta meta;
  int root = pt_container_root(c, id, error);

  if (root < 0)
    return NULL;
  g_autoptr(GHashTable) names = pt_guest_user_names(root);
  pt_guest_root_close(root);
  g_autoptr(GArray) pids = pt_ct_meta_read(c, id, &meta, error) ? pt_cgroup_pids(c->host, id, error) : NULL;
  if (!pids)
    return NULL;
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)pt_process_free);
  g_autoptr(GPtrArray) commands = pt_ct_commands(id, pids);
  g_autoptr(GHashTable) inside = g_hash_table_new(g_direct_hash, g_direct_equal); /* the node's pid → inner pid */
  g_autoptr(GArray) parents = g_array_new(FALSE, FALSE, sizeof(pid_t));
  for (guint i = 0; i < pids->len; i++) {
    pid_t pid = g_array_index(pids, pid_t, i), parent = 0;
    PtProcess *p = look_at(pid, g_ptr_array_index(commands, i), meta.idbase, names, &parent);

    if (!p || p->pid <= 0) {
      pt_process_free(p);
      continue;
    }
    g_ptr_array_add(list, p);
    g_array_append_val(parents, parent);
    g_hash_table_insert(inside, GINT_TO_POINTER(pid), GINT_TO_POINTER((int)p->pid));
  }
  for (guint i = 0; i < list->len; i++) {
    PtProcess *p = g_ptr_array_index(list, i);
    p->ppid = GPOINTER_TO_INT(g_hash_table_lookup(inside, GINT_TO_POINTER(g_array_index(parents, pid_t, i))));
  }
  g_ptr_array_sort(list, by_pid);
  return list;
}
