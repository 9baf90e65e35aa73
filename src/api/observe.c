// SPDX-License-Identifier: Apache-2.0
/* Looking at what runs: samples, processes, logs, network. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/instances.h"
#include "api/view.h"
#include "base/clock.h"

#define LOG_MAX (4 << 20)
#define FOLLOW_READ 65536u
#define FOLLOW_STEP (200 * 1000) /* µs between two looks at a log that is followed */

bool
pt_samples_get(PtRequest *r, GError **error)
{
  const char *text = pt_query(r, "since", NULL);
  gint64 since = text ? pt_time_parse(text) : 0;

  if (since < 0) {
    PT_SET(error, PT_ERR_INVALID, "since: a time such as 2026-01-31T08:09:10Z is wanted");
    return false;
  }
  g_autoptr(PtInstance) spec = pt_instance_load(r, NULL, NULL, error);
  g_autoptr(GArray) samples = spec ? pt_agent_samples(r->api->agent, spec, since, error) : NULL;
  if (!samples)
    return false;
  json_t *items = json_array();
  for (guint i = 0; i < samples->len; i++)
    json_array_append_new(items, pt_sample_format(&g_array_index(samples, PtSample, i)));
  return pt_reply_json(r, 200, json_pack("{s:i, s:o}", "step", 5, "items", items));
}

/* ── processes ── */

static void
append_process(json_t *items, const PtInstance *spec, const PtProcess *p)
{
  g_autofree char *started = p->started ? pt_time_format(p->started) : NULL,
                  *user = g_utf8_make_valid(p->user ? p->user : "", -1),
                  *command = g_utf8_make_valid(p->command ? p->command : "", -1);
  const char state[2] = { p->state > ' ' && p->state < 127 ? p->state : '?', '\0' };

  json_array_append_new(items, json_pack("{s:s, s:I, s:I, s:s, s:s, s:I, s:I, s:s?, s:s}", "instance", spec->name, "pid",
                                         (json_int_t)p->pid, "ppid", (json_int_t)p->ppid, "user", user, "state", state,
                                         "cpu_usec", (json_int_t)p->cpu_usec, "memory", (json_int_t)p->memory, "started",
                                         started, "command", command));
}

static bool
append_processes(PtRequest *r, const PtInstance *spec, json_t *items, GError **error)
{
  g_autoptr(GPtrArray) all = pt_agent_processes(r->api->agent, spec, error);

  for (guint i = 0; all && i < all->len; i++)
    append_process(items, spec, g_ptr_array_index(all, i));
  return all != NULL;
}

bool
pt_processes_instance(PtRequest *r, GError **error)
{
  g_autoptr(PtInstance) spec = pt_instance_load(r, NULL, NULL, error);
  g_autoptr(json_t) items = json_array();

  return spec && append_processes(r, spec, items, error) && pt_reply_items(r, json_incref(items), 0);
}

static void
note_running(const PtInstance *spec, const PtStatus *status, void *data)
{
  if (status && (status->state == PT_RUN_RUNNING || status->state == PT_RUN_PAUSED))
    g_ptr_array_add(data, pt_record_copy(&pt_instance_type, spec));
}

static GPtrArray *
running(PtRequest *r, GError **error)
{
  GPtrArray *out =
      pt_view_sync(r->api->view, NULL, error) ? g_ptr_array_new_with_free_func((GDestroyNotify)pt_instance_free) : NULL;

  if (out)
    pt_view_foreach(r->api->view, r->space->name, note_running, out);
  return out;
}

bool
pt_processes_space(PtRequest *r, GError **error)
{
  g_autoptr(GPtrArray) specs = running(r, error);
  json_t *items = NULL;

  if (!specs)
    return false;
  items = json_array();
  for (guint i = 0; i < specs->len; i++)
    append_processes(r, g_ptr_array_index(specs, i), items, NULL); /* one that has just ended has none */
  return pt_reply_items(r, items, 0);
}

/* ── logs ── */

typedef struct {
  PtApi *api;
  PtLink *link;
  PtInstance *spec;
  int fd;     /* the file of the history of the moment; -1 = none yet */
  gint64 pos; /* in it */
  char *out;
  gsize out_size, sent;
} Follow;

static void
follow_free(void *data)
{
  Follow *f = data;

  pt_instance_free(f->spec);
  if (f->fd >= 0)
    close(f->fd);
  g_free(f->out);
  g_free(f);
}

static bool
same_file(int a, int b)
{
  struct stat one, two;

  return fstat(a, &one) == 0 && fstat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

/* What was written since; at the end of one file, the next. */
static void
look(Follow *f)
{
  if (!f->out)
    f->out = g_malloc(FOLLOW_READ);
  f->sent = f->out_size = 0;
  for (int i = 0; i < 2; i++) {
    int next = pt_agent_log_open(f->api->agent, f->spec, NULL); /* first: nothing more comes into a file that another has replaced */
    gssize n = f->fd >= 0 ? pread(f->fd, f->out, FOLLOW_READ, f->pos) : 0;
    bool moved = n <= 0 && next >= 0 && !(f->fd >= 0 && same_file(f->fd, next));
    if (n > 0) {
      f->out_size = (gsize)n;
      f->pos += n;
    }
    if (!moved) {
      if (next >= 0)
        close(next);
      return;
    }
    if (f->fd >= 0)
      close(f->fd);
    f->fd = next;
    f->pos = 0;
  }
}

static gint64
size_of(int fd)
{
  struct stat st;

  return fd >= 0 && fstat(fd, &st) == 0 ? st.st_size : 0;
}

/* The end of the history, and the place behind it: nothing may be written between the two looks. */
static char *
begin_follow(Follow *f, gsize bytes, gsize *ret_size, GError **error)
{
  char *text = NULL;

  f->fd = -1;
  for (int i = 0; i < 20; i++) {
    g_free(text);
    if (f->fd >= 0)
      close(f->fd);
    f->fd = pt_agent_log_open(f->api->agent, f->spec, NULL);
    f->pos = size_of(f->fd);
    text = pt_agent_logs(f->api->agent, f->spec, bytes, ret_size, error);
    int now = text ? pt_agent_log_open(f->api->agent, f->spec, NULL) : -1;
    bool still = !text || (f->fd < 0 && now < 0) || (f->fd >= 0 && now >= 0 && same_file(f->fd, now) && size_of(now) == f->pos);
    if (now >= 0)
      close(now);
    if (still)
      break;
  }
  return text;
}

static bool
is_gone(const Follow *f)
{
  g_autofree char *key = pt_key_instance(f->spec->space, f->spec->name);
  g_autoptr(PtInstance) now = pt_load(f->api, key, &pt_instance_type, "instance", NULL, NULL);

  return !now || g_strcmp0(now->id, f->spec->id) != 0;
}

static gssize
on_follow(void *data, guint64 pos, char *buf, gsize size)
{
  Follow *f = data;

  (void)pos;
  while (f->sent == f->out_size) {
    look(f);
    if (f->out_size > 0)
      break;
    if (pt_link_gone(f->link) || is_gone(f))
      return -1;
    g_usleep(FOLLOW_STEP);
  }
  gsize n = MIN(size, f->out_size - f->sent);
  memcpy(buf, f->out + f->sent, n);
  f->sent += n;
  return (gssize)n;
}

bool
pt_logs_get(PtRequest *r, GError **error)
{
  gint64 bytes = 0;
  bool follow = false;
  gsize size = 0;

  if (!pt_query_int(r, "bytes", 65536, 0, LOG_MAX, &bytes, error) || !pt_query_bool(r, "follow", false, &follow, error))
    return false;
  g_autoptr(PtInstance) spec = pt_instance_load(r, NULL, NULL, error);
  if (!spec)
    return false;
  if (!follow) {
    char *text = pt_agent_logs(r->api->agent, spec, (gsize)bytes, &size, error);
    return text && pt_reply_text(r, 200, "text/plain; charset=utf-8", text, size);
  }
  Follow *f = g_new0(Follow, 1);
  f->api = r->api;
  f->link = r->link;
  f->spec = g_steal_pointer(&spec);
  f->out = begin_follow(f, (gsize)bytes, &f->out_size, error);
  if (!f->out) {
    follow_free(f);
    return false;
  }
  f->out = g_realloc(f->out, MAX(f->out_size, FOLLOW_READ));
  r->reply.status = 200;
  r->reply.type = "text/plain; charset=utf-8";
  r->reply.read = on_follow;
  r->reply.read_data = f;
  r->reply.read_free = follow_free;
  return true;
}

/* ── network ── */

typedef struct {
  const char *space;
  json_t *leases, *ports;
} Net;

static void
note_lease(const Net *n, const char *name, const char *address, const char *address6, const char *mac, const PtStatus *status)
{
  int state = status ? status->state : PT_RUN_STOPPED;

  json_array_append_new(n->leases, json_pack("{s:s, s:s?, s:s?, s:s?, s:s}", "name", name, "address", address, "address6", address6, "mac",
                                             mac, "state", pt_run_names[state]));
}

/* Instances of the space, and further cards in it, of its own instances and of others'. */
static void
note_network(const PtInstance *spec, const PtStatus *status, void *data)
{
  Net *n = data;
  bool own = strcmp(spec->space, n->space) == 0;

  if (own)
    note_lease(n, spec->name, spec->address, spec->address6, spec->mac, status);
  for (guint i = 0; spec->nics && i < spec->nics->len; i++) {
    const PtNic *nic = g_ptr_array_index(spec->nics, i);
    g_autofree char *name = g_strdup_printf("%s.%s%s%s", nic->name, spec->name, own ? "" : ".", own ? "" : spec->space);
    if (strcmp(nic->space, n->space) == 0)
      note_lease(n, name, nic->address, nic->address6, nic->mac, status);
  }
  for (guint i = 0; own && spec->ports && i < spec->ports->len; i++) {
    json_t *port = pt_record_view(&pt_port_type, g_ptr_array_index(spec->ports, i), 0);
    json_object_set_new(port, "instance", json_string(spec->name));
    json_array_append_new(n->ports, port);
  }
}

bool
pt_network_get(PtRequest *r, GError **error)
{
  if (!pt_view_sync(r->api->view, NULL, error))
    return false;
  Net n = { r->space->name, json_array(), json_array() };
  pt_view_foreach(r->api->view, NULL, note_network, &n);
  return pt_reply_json(r, 200,
                       json_pack("{s:s?, s:s?, s:s?, s:o, s:o}", "subnet", r->space->subnet, "prefix6", r->space->prefix6,
                                 "uplink", pt_agent_uplink(r->api->agent), "leases", n.leases, "ports", n.ports));
}
