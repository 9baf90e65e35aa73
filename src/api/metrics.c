// SPDX-License-Identifier: Apache-2.0
/* Figures for Prometheus, in its text format 0.0.4. */
#include <string.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/view.h"

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
  PtViewCount c = { 0 };
  Rows m = { g_string_new(NULL), g_string_new(NULL), g_string_new(NULL), g_string_new(NULL),
             g_string_new(NULL), g_string_new(NULL), api->agent };
  GString *out = g_string_new(NULL);

  (void)error;
  if (pt_view_sync(api->view, NULL, NULL)) { /* late figures are better than none */
    c = pt_view_count(api->view);
    pt_view_foreach(api->view, NULL, add_instance, &m);
  }
  metric(out, "portena_instances", "gauge", "Instances of this store.", (double)c.all);
  metric(out, "portena_instances_running", "gauge", "Instances that run or are paused.", (double)c.running);
  metric(out, "portena_instances_hibernated", "gauge", "Instances that are hibernated.", (double)c.hibernated);
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
