// SPDX-License-Identifier: Apache-2.0
/* network … */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/output.h"
#include "model/instance.h"

static void
print_leases(PtCli *cli, const json_t *leases)
{
  static const char *const headings[] = { "NAME", "ADDRESS", "MAC", "STATE", NULL };
  g_autoptr(PtTable) t = pt_table_new(headings);
  gsize n;
  json_t *l;

  json_array_foreach ((json_t *)leases, n, l) {
    const char *cells[] = { pt_json_str(l, "name", ""), pt_json_str(l, "address", ""), pt_json_str(l, "mac", ""),
                            pt_json_str(l, "state", "") };
    pt_table_add(t, cells);
    pt_table_look(t, 3, pt_look_of_state(cells[3]));
  }
  if (pt_table_rows(t) > 0) {
    putchar('\n');
    pt_table_print(t, cli);
  }
}

static void
print_ports(PtCli *cli, const json_t *ports)
{
  static const char *const headings[] = { "PUBLISHED", "TO", "PORT", NULL };
  g_autoptr(PtTable) t = pt_table_new(headings);
  gsize n;
  json_t *p;

  json_array_foreach ((json_t *)ports, n, p) {
    const char *address = pt_json_str(p, "address", NULL);
    g_autofree char *listen = g_strdup_printf("%s:%" G_GINT64_FORMAT "/%s", address ? address : "*",
                                              pt_json_int(p, "listen", 0), pt_json_str(p, "protocol", "tcp"));
    g_autofree char *to = g_strdup_printf("%" G_GINT64_FORMAT, pt_json_int(p, "to", 0));
    const char *cells[] = { listen, pt_json_str(p, "instance", ""), to };
    pt_table_add(t, cells);
  }
  if (pt_table_rows(t) > 0) {
    putchar('\n');
    pt_table_print(t, cli);
  }
}

static int
run_show(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = pt_args_nth(args, 0) ? pt_args_nth(args, 0) : pt_cli_space(cli, error);
  g_autoptr(PtFacts) f = pt_facts_new();
  g_autoptr(json_t) net = NULL;

  if (!name || !pt_name_check("space", name, error))
    return -1;
  g_autofree char *path = pt_client_path("/v1/spaces/%s/network", name);
  if (!pt_cli_call(cli, "GET", path, NULL, &net, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, net);
    return 0;
  }
  pt_facts_add(f, "space", name);
  pt_facts_add(f, "subnet", pt_json_str(net, "subnet", NULL));
  pt_facts_add(f, "prefix6", pt_json_str(net, "prefix6", NULL));
  pt_facts_add(f, "uplink", pt_json_str(net, "uplink", "none"));
  pt_facts_print(f, cli);
  print_leases(cli, json_object_get(net, "leases"));
  print_ports(cli, json_object_get(net, "ports"));
  return 0;
}

/* --- publish, unpublish: the list of ports is one field of the instance, so it is changed against its revision --- */

typedef bool (*PortsChange)(json_t *ports, const json_t *wanted, const char *text, const char *name, GError **error);

static bool
same_place(const json_t *a, const json_t *b)
{
  return pt_json_int(a, "listen", 0) == pt_json_int(b, "listen", 0) &&
         strcmp(pt_json_str(a, "protocol", "tcp"), pt_json_str(b, "protocol", "tcp")) == 0 &&
         g_strcmp0(pt_json_str(a, "address", NULL), pt_json_str(b, "address", NULL)) == 0;
}

static bool
add_port(json_t *ports, const json_t *wanted, const char *text, const char *name, GError **error)
{
  gsize n;
  json_t *p;

  (void)text;
  json_array_foreach (ports, n, p) {
    if (!same_place(p, wanted))
      continue;
    PT_SET(error, PT_ERR_CONFLICT, "%s: port %" G_GINT64_FORMAT " is published already, to %" G_GINT64_FORMAT, name,
           pt_json_int(wanted, "listen", 0), pt_json_int(p, "to", 0));
    pt_error_hint(error, "take it back first:  portena network unpublish %s %" G_GINT64_FORMAT, name,
                  pt_json_int(wanted, "listen", 0));
    return false;
  }
  json_array_append(ports, (json_t *)wanted);
  return true;
}

static bool
remove_port(json_t *ports, const json_t *wanted, const char *text, const char *name, GError **error)
{
  for (gsize n = 0; n < json_array_size(ports); n++) {
    const json_t *p = json_array_get(ports, n);
    if (pt_json_int(p, "listen", 0) == pt_json_int(wanted, "listen", 0) &&
        strcmp(pt_json_str(p, "protocol", "tcp"), pt_json_str(wanted, "protocol", "tcp")) == 0) {
      json_array_remove(ports, n);
      return true;
    }
  }
  PT_SET(error, PT_ERR_NOT_FOUND, "%s: port %s is not published", name, text);
  pt_error_hint(error, "what is:  portena network show");
  return false;
}

static bool
change_ports(PtCli *cli, const PtTarget *t, const json_t *wanted, const char *text, PortsChange change, json_t **ret,
             GError **error)
{
  g_autofree char *path = pt_target_path(t, "");
  g_autoptr(PtClientReply) read = pt_cli_request(cli, "GET", path, NULL, NULL, error);

  if (!read || !pt_client_reply_check(read, error))
    return false;
  g_autoptr(json_t) i = pt_json_parse_object(read->body, read->body_size, error);
  if (!i)
    return false;
  json_t *old = json_object_get(i, "ports");
  g_autoptr(json_t) ports = json_is_array(old) ? json_deep_copy(old) : json_array();
  if (!change(ports, wanted, text, t->name, error))
    return false;
  g_autoptr(json_t) patch = json_pack("{s:O}", "ports", ports);
  const char *etag = pt_client_reply_header(read, "etag");
  const char *headers[] = { etag ? "If-Match" : NULL, etag, NULL };
  g_autoptr(PtClientReply) reply = pt_cli_request(cli, "PATCH", path, headers, patch, error);
  if (!reply || !pt_client_reply_check(reply, error))
    return false;
  *ret = pt_json_parse_object(reply->body, reply->body_size, error);
  return *ret && pt_operation_wait(cli, *ret, t->name, 0, NULL, error);
}

static int
tell_ports(PtCli *cli, const PtTarget *t, const json_t *answer, const char *text)
{
  if (cli->json)
    pt_print_json(cli, answer);
  else
    pt_say("%s", cli->quiet ? t->name : text);
  return 0;
}

/* The port as the model reads it, with the range that the model checks only in a whole record. */
static json_t *
parse_port(const char *text, GError **error)
{
  g_autoptr(json_t) port = pt_port_type.from_text(text, error);
  gint64 listen = pt_json_int(port, "listen", 0), to = pt_json_int(port, "to", 0);

  if (!port || (listen >= 1 && listen <= 65535 && to >= 1 && to <= 65535))
    return g_steal_pointer(&port);
  g_autofree char *shown = pt_safe(text);
  PT_SET(error, PT_ERR_INVALID, "'%s': a port is a number from 1 to 65535", shown);
  return NULL;
}

static int
run_publish(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *text = pt_args_nth(args, 1);
  g_auto(PtTarget) t = { 0 };
  g_autoptr(json_t) answer = NULL;

  g_autoptr(json_t) port = parse_port(text, error);
  if (!port || !pt_target_parse(cli, pt_args_nth(args, 0), &t, error) ||
      !change_ports(cli, &t, port, text, add_port, &answer, error))
    return -1;
  g_autofree char *said = g_strdup_printf("Port %" G_GINT64_FORMAT "/%s of the node leads to %s:%" G_GINT64_FORMAT " now.",
                                          pt_json_int(port, "listen", 0), pt_json_str(port, "protocol", "tcp"), t.name,
                                          pt_json_int(port, "to", 0));
  return tell_ports(cli, &t, answer, said);
}

/* "8080" or "53/udp"; "8080:80" will do as well. */
static json_t *
parse_listen(const char *text, GError **error)
{
  g_autofree char *listen = g_strndup(text, strspn(text, "0123456789"));
  const char *rest = text + strlen(listen), *slash = strchr(rest, '/');

  if (*rest == ':')
    return pt_port_type.from_text(text, error);
  g_autofree char *whole = g_strdup_printf("%s:1%s", listen, slash ? slash : "");
  json_t *port = *rest == '\0' || *rest == '/' ? pt_port_type.from_text(whole, NULL) : NULL;
  if (!port) {
    g_autofree char *shown = pt_safe(text);
    PT_SET(error, PT_ERR_INVALID, "'%s': a published port is a number, such as 8080, or 53/udp", shown);
  }
  return port;
}

static int
run_unpublish(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *text = pt_args_nth(args, 1);
  g_auto(PtTarget) t = { 0 };
  g_autoptr(json_t) answer = NULL, port = parse_listen(text, error);

  if (!port || !pt_target_parse(cli, pt_args_nth(args, 0), &t, error) ||
      !change_ports(cli, &t, port, text, remove_port, &answer, error))
    return -1;
  g_autofree char *said = g_strdup_printf("Port %" G_GINT64_FORMAT "/%s of the node does not lead to %s any more.",
                                          pt_json_int(port, "listen", 0), pt_json_str(port, "protocol", "tcp"), t.name);
  return tell_ports(cli, &t, answer, said);
}

const PtCommand pt_cmds_network[] = {
  { .name = "network show",
    .args = "[SPACE]",
    .summary = "Show a space's network: addresses, ports, the way out",
    .max = 1,
    .completes = "s",
    .run = run_show,
    .examples = { { "portena network show", "of the space you work in" }, { "portena network show lab", "of another" } } },
  { .name = "network publish",
    .args = "NAME [ADDRESS:]LISTEN:TO[/udp]",
    .summary = "Let a port of the node lead to a computer",
    .min = 2,
    .max = 2,
    .completes = "i",
    .run = run_publish,
    .examples = { { "portena network publish web 8080:80", "http://node:8080 reaches web" },
                  { "portena network publish dns 10.0.0.5:53:53/udp", "on one address only" } } },
  { .name = "network unpublish",
    .args = "NAME LISTEN[/udp]",
    .summary = "Take a published port back",
    .min = 2,
    .max = 2,
    .completes = "in",
    .run = run_unpublish,
    .examples = { { "portena network unpublish web 8080", "nobody reaches it there any more" },
                  { "portena network unpublish dns 53/udp", "a UDP port" } } },
  { NULL },
};
