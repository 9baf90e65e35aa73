// SPDX-License-Identifier: Apache-2.0
#include "drivers/network/record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "base/text.h"

#define RECORD_MAX (256 * 1024)

bool
pt_net_file_put(const char *dir, const char *name, const char *text, gid_t gid, GError **error)
{
  g_autofree char *path = g_build_filename(dir, name, NULL);
  g_autofree char *hidden = g_strconcat(dir, "/.", name, NULL);
  int fd = open(hidden, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  gsize n = strlen(text);
  bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && fchown(fd, 0, gid) == 0;

  if (fd >= 0 && close(fd) < 0)
    ok = false;
  ok = ok && rename(hidden, path) == 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", path);
  return ok;
}

static bool
save(json_t *json, const char *path, GError **error)
{
  g_autofree char *dir = g_path_get_dirname(path);
  g_autofree char *name = g_path_get_basename(path);
  g_autofree char *text = pt_json_dump(json);

  return pt_net_file_put(dir, name, text, 0, error);
}

static json_t *
load(const char *path)
{
  g_autofree char *text = NULL;
  gsize n = 0;

  return g_file_get_contents(path, &text, &n, NULL) && n <= RECORD_MAX ? pt_json_parse_object(text, n, NULL) : NULL;
}

static void
set_string(json_t *obj, const char *key, const char *value)
{
  if (value)
    json_object_set_new(obj, key, json_string(value));
}

void
pt_net_link_name(const char *instance, char ret[16])
{
  g_autofree char *hex = pt_sha256_hex(instance, strlen(instance));

  g_snprintf(ret, 16, "p%.13s", hex);
}

void
pt_net_detour_name(const char *instance, char ret[16])
{
  pt_net_link_name(instance, ret);
  ret[0] = 'q';
}

guint
pt_net_card_number(const char *name)
{
  bool is = name && strlen(name) == 4 && g_str_has_prefix(name, "eth") && name[3] >= '1' && name[3] < '1' + PT_NET_CARDS;

  return is ? (guint)(name[3] - '0') : 0;
}

char *
pt_net_card_id(const char *instance, const char *card)
{
  return g_strconcat(instance, "-", card, NULL);
}

void
pt_net_card_free(PtNetCard *c)
{
  g_free(c->space);
  g_free(c->id);
  g_free(c->name);
  g_free(c->address);
  g_free(c->mac);
  g_free(c);
}

bool
pt_net_mac_parse(const char *text, guint8 ret[6])
{
  guint b[6];
  int end = 0;

  if (!text || strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17 ||
      sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6 || end != 17)
    return false;
  for (guint i = 0; i < 6; i++)
    ret[i] = (guint8)b[i];
  return (ret[0] & 1) == 0; /* not a group address */
}

static char *
dotted(guint32 address)
{
  return g_strdup_printf("%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

/* ---- spaces ---- */

static bool
parse_subnet(PtNetRecord *r, GError **error)
{
  const char *slash = r->subnet ? strchr(r->subnet, '/') : NULL;
  g_autofree char *address = slash ? g_strndup(r->subnet, (gsize)(slash - r->subnet)) : NULL;
  guint64 length = 0;
  struct in_addr a;

  if (!slash || inet_pton(AF_INET, address, &a) != 1 || !g_ascii_string_to_unsigned(slash + 1, 10, 8, 30, &length, NULL)) {
    PT_SET(error, PT_ERR_INVALID, "subnet '%s': is none like 10.83.0.0/24, with a length from 8 to 30", r->subnet ? r->subnet : "");
    return false;
  }
  guint32 mask = G_MAXUINT32 << (32 - length);
  r->length = (guint)length;
  r->first = ntohl(a.s_addr) & mask;
  r->network = dotted(r->first);
  r->netmask = dotted(mask);
  r->gateway = dotted(r->first + 1);
  return true;
}

static bool
parse_prefix6(PtNetRecord *r, GError **error)
{
  const char *slash = r->prefix6 ? strchr(r->prefix6, '/') : NULL;
  g_autofree char *address = slash ? g_strndup(r->prefix6, (gsize)(slash - r->prefix6)) : NULL;
  static const guint8 zero[8] = { 0 };
  char text[INET6_ADDRSTRLEN];
  struct in6_addr a;

  if (!r->prefix6)
    return true;
  if (!slash || strcmp(slash, "/64") != 0 || inet_pton(AF_INET6, address, &a) != 1 || memcmp(a.s6_addr + 8, zero, 8) != 0) {
    PT_SET(error, PT_ERR_INVALID, "prefix6 '%s': is none like fd12:3456:789a:1::/64", r->prefix6);
    return false;
  }
  a.s6_addr[15] = 1;
  r->gateway6 = g_strdup(inet_ntop(AF_INET6, &a, text, sizeof text));
  return true;
}

PtNetRecord *
pt_net_record_new(const PtNetSpace *space, GError **error)
{
  PtNetRecord *r = g_new0(PtNetRecord, 1);

  r->name = g_strdup(space->name);
  r->subnet = g_strdup(space->subnet);
  r->prefix6 = g_strdup(space->prefix6);
  r->domain = g_strconcat(space->name, ".internal", NULL);
  if (pt_name_check("space", space->name, error) && parse_subnet(r, error) && parse_prefix6(r, error))
    return r;
  pt_net_record_free(r);
  return NULL;
}

void
pt_net_record_free(PtNetRecord *r)
{
  if (!r)
    return;
  g_free(r->name);
  g_free(r->subnet);
  g_free(r->prefix6);
  g_free(r->domain);
  g_free(r->gateway);
  g_free(r->network);
  g_free(r->netmask);
  g_free(r->gateway6);
  g_free(r);
}

bool
pt_net_record_save(const PtNetRecord *r, const char *path, GError **error)
{
  g_autoptr(json_t) obj = json_object();

  set_string(obj, "name", r->name);
  set_string(obj, "subnet", r->subnet);
  set_string(obj, "prefix6", r->prefix6);
  return save(obj, path, error);
}

PtNetRecord *
pt_net_record_load(const char *path)
{
  g_autoptr(json_t) obj = load(path);

  if (!obj)
    return NULL;
  PtNetSpace space = { .name = pt_json_str(obj, "name", ""), .subnet = pt_json_str(obj, "subnet", ""),
                       .prefix6 = pt_json_str(obj, "prefix6", NULL) };
  return pt_net_record_new(&space, NULL);
}

bool
pt_net_record_matches(const PtNetRecord *r, const PtNetSpace *space, GError **error)
{
  if (g_strcmp0(r->name, space->name) == 0 && g_strcmp0(r->subnet, space->subnet) == 0 && g_strcmp0(r->prefix6, space->prefix6) == 0)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "is up as '%s' with %s, not as '%s' with %s", r->name, r->subnet, space->name, space->subnet);
  pt_error_hint(error, "nothing was changed; stop all its instances first, then the change takes effect");
  return false;
}

/* ---- ports ---- */

/* Names with dots between: each was checked where it was given. */
static bool
host_ok(const char *host)
{
  return host && *host && strlen(host) < 200 && strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(host);
}

static bool
check_port(const PtNetRecord *space, const PtNetPort *port, GError **error)
{
  gsize n = strspn(port->id, "abcdefghijklmnopqrstuvwxyz0123456789-");
  guint32 mask = G_MAXUINT32 << (32 - space->length);
  struct in_addr a = { 0 };
  struct in6_addr a6;
  guint8 mac[6];

  if (n == 0 || n > 64 || port->id[n] != '\0') {
    PT_SET(error, PT_ERR_INVALID, "'%s' is no id", port->id);
    return false;
  }
  bool v4 = port->address && inet_pton(AF_INET, port->address, &a) == 1;
  guint32 address = ntohl(a.s_addr);
  if (!v4 || (address & mask) != space->first || address == space->first || address == (space->first | ~mask) ||
      address == space->first + 1) {
    PT_SET(error, PT_ERR_INVALID, "address '%s': is none for an instance in %s", port->address ? port->address : "", space->subnet);
    return false;
  }
  if (port->address6 && inet_pton(AF_INET6, port->address6, &a6) != 1) {
    PT_SET(error, PT_ERR_INVALID, "address '%s': is no IPv6 address", port->address6);
    return false;
  }
  if (!pt_net_mac_parse(port->mac, mac)) {
    PT_SET(error, PT_ERR_INVALID, "'%s' is no MAC address of an interface", port->mac ? port->mac : "");
    return false;
  }
  if (port->card && (!pt_net_card_number(port->card) || !host_ok(port->host))) {
    PT_SET(error, PT_ERR_INVALID, "'%s' is no further card", port->card);
    return false;
  }
  return pt_name_check("instance", port->name, error);
}

static void
publish_clear(PtNetPublish *p)
{
  g_free((char *)(gpointer)p->address);
}

static PtNetPortRecord *
port_new(const PtNetPort *port)
{
  PtNetPortRecord *r = g_new0(PtNetPortRecord, 1);

  r->name = g_strdup(port->name);
  r->address = g_strdup(port->address);
  r->address6 = g_strdup(port->address6);
  r->mac = g_strdup(port->mac);
  r->card = g_strdup(port->card);
  r->host = g_strdup(port->host);
  r->publish = g_array_new(FALSE, FALSE, sizeof(PtNetPublish));
  g_array_set_clear_func(r->publish, (GDestroyNotify)publish_clear);
  for (guint i = 0; i < port->n_publish; i++) {
    PtNetPublish p = port->publish[i];
    p.address = g_strdup(p.address);
    g_array_append_val(r->publish, p);
  }
  return r;
}

PtNetPortRecord *
pt_net_port_record_new(const PtNetRecord *space, const PtNetPort *port, GError **error)
{
  return check_port(space, port, error) ? port_new(port) : NULL;
}

void
pt_net_port_record_free(PtNetPortRecord *r)
{
  if (!r)
    return;
  g_free(r->name);
  g_free(r->address);
  g_free(r->address6);
  g_free(r->mac);
  g_free(r->card);
  g_free(r->host);
  g_array_unref(r->publish);
  g_free(r);
}

bool
pt_net_port_record_save(const PtNetPortRecord *r, const char *path, GError **error)
{
  g_autoptr(json_t) obj = json_object();
  json_t *list = json_array();

  set_string(obj, "name", r->name);
  set_string(obj, "address", r->address);
  set_string(obj, "address6", r->address6);
  set_string(obj, "mac", r->mac);
  set_string(obj, "card", r->card);
  set_string(obj, "host", r->host);
  if (r->whole)
    json_object_set_new(obj, "whole", json_true());
  json_object_set_new(obj, "publish", list);
  for (guint i = 0; i < r->publish->len; i++) {
    const PtNetPublish *p = &g_array_index(r->publish, PtNetPublish, i);
    json_t *one = json_object();

    json_object_set_new(one, "udp", json_boolean(p->udp));
    json_object_set_new(one, "listen", json_integer(p->listen));
    json_object_set_new(one, "to", json_integer(p->to));
    set_string(one, "address", p->address);
    json_array_append_new(list, one);
  }
  return save(obj, path, error);
}

PtNetPortRecord *
pt_net_port_record_load(const char *path)
{
  g_autoptr(json_t) obj = load(path);
  g_autoptr(GArray) publish = g_array_new(FALSE, FALSE, sizeof(PtNetPublish));
  json_t *one;
  size_t i;

  if (!obj || !pt_json_str(obj, "name", NULL) || !pt_json_str(obj, "address", NULL) || !pt_json_str(obj, "mac", NULL))
    return NULL;
  json_array_foreach(json_object_get(obj, "publish"), i, one) {
    PtNetPublish p = { .udp = pt_json_bool(one, "udp", false), .listen = (guint16)pt_json_int(one, "listen", 0),
                       .to = (guint16)pt_json_int(one, "to", 0), .address = pt_json_str(one, "address", NULL) };
    g_array_append_val(publish, p);
  }
  PtNetPort port = { .name = pt_json_str(obj, "name", NULL), .address = pt_json_str(obj, "address", NULL),
                     .address6 = pt_json_str(obj, "address6", NULL), .mac = pt_json_str(obj, "mac", NULL),
                     .card = pt_json_str(obj, "card", NULL), .host = pt_json_str(obj, "host", NULL),
                     .publish = (const PtNetPublish *)(const void *)publish->data, .n_publish = publish->len };
  PtNetPortRecord *r = port_new(&port);
  r->whole = pt_json_bool(obj, "whole", false);
  return r;
}
