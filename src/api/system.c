// SPDX-License-Identifier: Apache-2.0
/* The node: what it is, how it does, figures for Prometheus. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/audit.h"
#include "api/handlers.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"

bool
pt_health_get(PtRequest *r, GError **error)
{
  g_autoptr(GPtrArray) any = pt_store_list(r->api->store, "leader/", NULL, error); /* is the store well? */

  return any && pt_reply_json(r, 200, json_pack("{s:s}", "status", "ok"));
}

bool
pt_server_get(PtRequest *r, GError **error)
{
  (void)error;
  return pt_reply_json(r, 200,
                       json_pack("{s:s, s:s, s:i}", "name", r->api->host->node, "version", PORTENA_VERSION, "api", 1));
}

typedef struct {
  gint64 all, running, failed;
} Count;

static void
count(const PtInstance *spec, const PtStatus *status, void *data)
{
  Count *c = data;

  (void)spec;
  c->all++;
  if (status && (status->state == PT_RUN_RUNNING || status->state == PT_RUN_PAUSED))
    c->running++;
  if (status && status->state == PT_RUN_FAILED)
    c->failed++;
}

/* PSI's "some avg10" of one of /proc/pressure; -1 = unknown. */
static double
pressure(const char *what)
{
  g_autofree char *path = g_strconcat("/proc/pressure/", what, NULL), *text = NULL;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return -1;
  const char *p = strstr(text, "avg10=");
  return p ? g_ascii_strtod(p + 6, NULL) : -1;
}

bool
pt_node_get(PtRequest *r, GError **error)
{
  const PtHost *h = r->api->host;
  PtPoolInfo pool = { 0 };
  Count c = { 0 };
  double load[3] = { 0 };

  if (!pt_view_sync(r->api->view, NULL, error) || !pt_agent_pool_info(r->api->agent, &pool, error))
    return false;
  pt_view_foreach(r->api->view, NULL, count, &c);
  if (getloadavg(load, 3) < 0)
    load[0] = -1;
  return pt_reply_json(
      r, 200,
      json_pack("{s:s, s:I, s:I, s:s, s:s?, s:{s:I, s:I, s:I}, s:I, s:I, s:f, s:{s:f, s:f, s:f}}", "name", h->node, "cpus",
                (json_int_t)h->cpus, "memory", (json_int_t)h->memory, "version", PORTENA_VERSION, "uplink",
                pt_agent_uplink(r->api->agent), "pool", "size", (json_int_t)pool.size, "used", (json_int_t)pool.used,
                "available", (json_int_t)pool.available, "instances", (json_int_t)c.all, "running", (json_int_t)c.running,
                "load", load[0], "pressure", "cpu", pressure("cpu"), "memory", pressure("memory"), "io", pressure("io")));
}

/* ── doctor ── */

typedef enum { OK, WARN, BAD } Verdict;

static void
check(json_t *items, const char *name, Verdict verdict, const char *detail, const char *hint)
{
  static const char *const verdicts[] = { "ok", "warn", "bad" };

  json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s?}", "check", name, "state", verdicts[verdict], "detail",
                                         detail, "hint", verdict == OK ? NULL : hint));
}

static void
check_pool(PtApi *api, json_t *items)
{
  PtPoolInfo p = { 0 };
  g_autoptr(GError) err = NULL;

  if (!pt_agent_pool_info(api->agent, &p, &err)) {
    check(items, "pool", BAD, err->message, "look into the daemon's log");
    return;
  }
  g_autofree char *free = pt_size_format(p.available), *size = pt_size_format(p.size);
  g_autofree char *detail =
      g_strdup_printf("%s of %s free, %s", free, size, p.reflink ? "clones by reflink" : "clones by copying");
  bool full = p.size > 0 && p.available < p.size / 20;
  check(items, "pool",
        full        ? BAD
        : p.reflink ? OK
                    : WARN,
        detail, full ? "make room, or give the pool more" : "put the state directory on XFS or btrfs");
}

static void
check_programs(json_t *items)
{
  static const struct {
    const char *name, *use, *package;
    Verdict missing;
  } programs[] = {
    { "crun", "runs containers", "crun", BAD },
    { "dnsmasq", "gives addresses and names in spaces", "dnsmasq-base", BAD }, /* dnsmasq is a service that takes port 53 */
    { "mkfs.erofs", "makes images", "erofs-utils", BAD },
    { "mkfs.ext4", "makes volumes", "e2fsprogs", BAD },
    { "mkfs.xfs", "makes the pool", "xfsprogs", WARN },
    { "mmdebstrap", "builds the recipes", "mmdebstrap", WARN },
    { "skopeo", "fetches images from registries", "skopeo", WARN },
    { "umoci", "unpacks what was fetched", "umoci", WARN },
  };

  for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
    g_autofree char *path = g_find_program_in_path(programs[i].name);
    g_autofree char *detail = g_strdup_printf("%s: %s", programs[i].use, path ? path : "not installed");
    g_autofree char *hint = g_strdup_printf("install it: apt install --no-install-recommends %s", programs[i].package);
    check(items, programs[i].name, path ? OK : programs[i].missing, detail, hint);
  }
}

static void
check_host(PtApi *api, json_t *items)
{
  const PtHost *h = api->host;
  g_autofree char *memory = pt_size_format(h->memory);
  g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT " cpus, %s of memory", h->cpus, memory);
  const char *uplink = pt_agent_uplink(api->agent);
  bool isolated = !uplink || strcmp(uplink, "none") == 0;

  check(items, "host", OK, size, NULL);
  check(items, "cgroups", h->cgroup_kind == PT_CGROUP_V2 ? OK : WARN,
        h->cgroup_kind == PT_CGROUP_V2 ? "version 2" : "version 1: limits hold, pressure is known for the whole host only",
        "boot with systemd.unified_cgroup_hierarchy=1");
  check(items, "disks", h->cap_sys_resource ? OK : WARN,
        h->cap_sys_resource ? "grow while they are used" : "grow at the next start: this daemon lacks CAP_SYS_RESOURCE",
        "give the service CAP_SYS_RESOURCE");
  check(items, "uplink", isolated ? WARN : OK, isolated ? "none: instances reach nothing outside" : uplink,
        "set the uplink in portena.conf if they should");
  bool sockets = access("/proc/pressure/cpu", R_OK) == 0;
  check(items, "pressure", sockets ? OK : WARN, sockets ? "the kernel tells it (PSI)" : "the kernel does not tell it",
        "boot with psi=1");
  check(items, "gateway", api->config.gateway_uid >= 0 ? OK : WARN,
        api->config.gateway_uid >= 0 ? "its user exists" : "there is no user for it: addresses of clients are not believed",
        "install the package, or make the user portena-gateway");
}

bool
pt_doctor_get(PtRequest *r, GError **error)
{
  json_t *items = json_array();

  (void)error;
  check_host(r->api, items);
  check_pool(r->api, items);
  check_programs(items);
  return pt_reply_items(r, items, 0);
}

bool
pt_audit_get(PtRequest *r, GError **error)
{
  gint64 limit = 0;
  const char *before = pt_query(r, "before", NULL);

  if (!pt_query_int(r, "limit", 100, 1, 1000, &limit, error))
    return false;
  if (before && !pt_id_valid(before)) {
    PT_SET(error, PT_ERR_INVALID, "before: the id of an entry is wanted");
    return false;
  }
  json_t *items = pt_audit_list(r->api->audit, limit, before, pt_query(r, "user", NULL), pt_query(r, "object", NULL), error);
  return items && pt_reply_items(r, items, 0);
}

/* ── Prometheus' text format 0.0.4 ── */

static void
metric(GString *out, const char *name, const char *type, const char *help, double value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %s\n", name, help, name, type, name,
                         g_ascii_formatd(number, sizeof number, "%.15g", value));
}

typedef struct {
  GString *cpu, *memory, *disk, *rx, *tx, *running;
  PtAgent *agent;
} Rows;

static void
row(GString *out, const char *name, const PtInstance *spec, double value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf(out, "%s{space=\"%s\",instance=\"%s\"} %s\n", name, spec->space, spec->name,
                         g_ascii_formatd(number, sizeof number, "%.15g", value));
}

static void
add_instance(const PtInstance *spec, const PtStatus *status, void *data)
{
  Rows *m = data;
  PtSample s;

  row(m->running, "portena_instance_running", spec, status && status->state == PT_RUN_RUNNING);
  if (!status || !pt_agent_sample(m->agent, spec, &s, NULL))
    return;
  row(m->cpu, "portena_instance_cpu_cores", spec, s.cpu / 1000);
  row(m->memory, "portena_instance_memory_bytes", spec, (double)s.memory);
  row(m->disk, "portena_instance_disk_used_bytes", spec, (double)s.disk_used);
  row(m->rx, "portena_instance_receive_bytes_per_second", spec, (double)s.rx);
  row(m->tx, "portena_instance_transmit_bytes_per_second", spec, (double)s.tx);
}

static void
add_rows(GString *out, const char *name, const char *help, GString *rows)
{
  if (rows->len)
    g_string_append_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s", name, help, name, rows->str);
  g_string_free(rows, TRUE);
}

static gint64
resident(void)
{
  g_autofree char *text = NULL;
  gint64 pages = 0;

  if (g_file_get_contents("/proc/self/statm", &text, NULL, NULL)) {
    const char *second = strchr(text, ' ');
    pages = second ? g_ascii_strtoll(second + 1, NULL, 10) : 0;
  }
  return pages * sysconf(_SC_PAGESIZE);
}

bool
pt_metrics_get(PtRequest *r, GError **error)
{
  PtApi *api = r->api;
  PtPoolInfo pool = { 0 };
  Count c = { 0 };
  Rows m = { g_string_new(NULL), g_string_new(NULL), g_string_new(NULL), g_string_new(NULL),
             g_string_new(NULL), g_string_new(NULL), api->agent };
  GString *out = g_string_new(NULL);

  (void)error;
  if (pt_view_sync(api->view, NULL, NULL)) { /* late figures are better than none */
    pt_view_foreach(api->view, NULL, count, &c);
    pt_view_foreach(api->view, NULL, add_instance, &m);
  }
  metric(out, "portena_instances", "gauge", "Instances of this store.", (double)c.all);
  metric(out, "portena_instances_running", "gauge", "Instances that run or are paused.", (double)c.running);
  metric(out, "portena_instances_failed", "gauge", "Instances that have failed.", (double)c.failed);
  if (pt_agent_pool_info(api->agent, &pool, NULL)) {
    metric(out, "portena_pool_size_bytes", "gauge", "Size of the local pool.", (double)pool.size);
    metric(out, "portena_pool_used_bytes", "gauge", "What is used of it.", (double)pool.used);
  }
  metric(out, "portena_daemon_resident_bytes", "gauge", "Memory of portenad.", (double)resident());
  add_rows(out, "portena_instance_running", "Whether it runs.", m.running);
  add_rows(out, "portena_instance_cpu_cores", "Cpus in use over the last step.", m.cpu);
  add_rows(out, "portena_instance_memory_bytes", "Memory in use.", m.memory);
  add_rows(out, "portena_instance_disk_used_bytes", "Used of its root volume.", m.disk);
  add_rows(out, "portena_instance_receive_bytes_per_second", "Received over the last step.", m.rx);
  add_rows(out, "portena_instance_transmit_bytes_per_second", "Sent over the last step.", m.tx);
  gsize size = out->len;
  return pt_reply_text(r, 200, "text/plain; version=0.0.4", g_string_free(out, FALSE), size);
}
