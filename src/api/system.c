// SPDX-License-Identifier: Apache-2.0
/* The node: what it is and how it does; its audit log. */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/audit.h"
#include "api/handlers.h"
#include "api/view.h"
#include "base/id.h"

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

/* "192.0.2.1:8443", "[::]:8443" as the gateway writes what it listens on; any address is called by the host's name. NULL where
 * it is none: the gateway is not trusted to write what it likes here. */
static char *
url_of(const char *listen)
{
  const char *colon = listen ? strrchr(listen, ':') : NULL;
  char name[HOST_NAME_MAX + 1] = "localhost";
  guint64 port = 0;

  if (!colon || strlen(listen) > 64 || !g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &port, NULL))
    return NULL;
  g_autofree char *host = g_strndup(listen, (gsize)(colon - listen));
  bool v6 = host[0] == '[' && g_str_has_suffix(host, "]");
  g_autofree char *bare = v6 ? g_strndup(host + 1, strlen(host) - 2) : g_strdup(host);
  if (!g_hostname_is_ip_address(bare) || v6 != (strchr(bare, ':') != NULL))
    return NULL;
  bool any = strcmp(bare, "0.0.0.0") == 0 || strcmp(bare, "::") == 0;
  if (any)
    gethostname(name, sizeof name - 1);
  return port == 443 ? g_strdup_printf("https://%s", any ? name : host)
                     : g_strdup_printf("https://%s:%" G_GUINT64_FORMAT, any ? name : host, port);
}

/* Where browsers find this node: as it was set, or as the gateway that runs here says. NULL where there is none. */
static char *
public_url(const PtApi *api)
{
  g_autofree char *path = g_build_filename(api->host->run, "gateway", "status.json", NULL), *text = NULL;
  gsize size = 0;

  if (api->config.url)
    return g_strdup(api->config.url);
  if (!g_file_get_contents(path, &text, &size, NULL))
    return NULL;
  g_autoptr(json_t) json = pt_json_parse_object(text, size, NULL);
  gint64 pid = pt_json_int(json, "pid", 0);
  if (pid <= 1 || pid > G_MAXINT32 || kill((pid_t)pid, 0) < 0)
    return NULL;
  return url_of(json_string_value(json_array_get(json_object_get(json, "listen"), 0)));
}

bool
pt_node_get(PtRequest *r, GError **error)
{
  const PtHost *h = r->api->host;
  PtPoolInfo pool = { 0 };
  double load[3] = { 0 };

  if (!pt_view_sync(r->api->view, NULL, error) || !pt_agent_pool_info(r->api->agent, &pool, error))
    return false;
  PtViewCount c = pt_view_count(r->api->view);
  g_autofree char *url = public_url(r->api);
  if (getloadavg(load, 3) < 0)
    load[0] = -1;
  return pt_reply_json(
    r, 200,
    json_pack("{s:s, s:s?, s:s?, s:I, s:I, s:s, s:s?, s:{s:I, s:I, s:I}, s:I, s:I, s:f, s:{s:f, s:f, s:f}}", "name",
              h->node, "url", url, "arch", h->arch, "cpus", (json_int_t)h->cpus, "memory", (json_int_t)h->memory,
              "version", PORTENA_VERSION, "uplink", pt_agent_uplink(r->api->agent), "pool", "size",
              (json_int_t)pool.size, "used", (json_int_t)pool.used,
              "available", (json_int_t)pool.available, "instances", (json_int_t)c.all, "running", (json_int_t)c.running,
              "load", load[0], "pressure", "cpu", pressure("cpu"), "memory", pressure("memory"), "io", pressure("io")));
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
