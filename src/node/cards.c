// SPDX-License-Identifier: Apache-2.0
/* Further network cards of an instance.
 *
 * What is desired is PtInstance.nics. What is, the network driver says (a port that it began to make it still knows after a crash) and, of
 * a raw engine, the engine. A card comes in the order port, device, guest, and goes the other way round, so that whatever there is of one
 * can be found by its port. */
#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"
#include "node/agent_impl.h"

/* A card's port, and the strings that it borrows. */
typedef struct Card {
  char *id, *host;
  char tap[8];
  PtNetPort port;
} Card;

static void
card_init(Card *c, const PtInstance *spec, const PtNic *nic, gint64 idbase)
{
  const PtEngine *engine = pt_engine_of(spec, NULL);
  bool own = strcmp(nic->space, spec->space) == 0;

  c->id = pt_net_card_id(spec->id, nic->name);
  c->host = g_strdup_printf("%s.%s%s%s", nic->name, spec->name, own ? "" : ".", own ? "" : spec->space);
  pt_engine_tap(nic->name, c->tap);
  c->port = (PtNetPort){ .id = c->id, .name = spec->name, .card = nic->name, .host = c->host, .address = nic->address,
                         .address6 = nic->address6, .mac = nic->mac, .tap = engine && engine->raw ? c->tap : NULL,
                         .tap_owner = (uid_t)idbase, .rate_in = (guint64)spec->net_in, .rate_out = (guint64)spec->net_out };
}

static void
card_clear(Card *c)
{
  g_free(c->id);
  g_free(c->host);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Card, card_clear)

/* "10.84.0.7" in "10.84.0.0/24" by "10.84.0.1" make " 10.84.0.7/24,10.84.0.1". */
static void
add_address(GString *line, const char *address, const char *network, const char *gateway)
{
  const char *slash = network ? strchr(network, '/') : NULL;

  if (address && slash && gateway)
    g_string_append_printf(line, " %s%s,%s", address, slash, gateway);
}

char *
pt_card_line(PtAgent *a, const PtNic *nic, GError **error)
{
  g_autofree char *key = pt_key_space(nic->space);
  g_autoptr(PtSpace) space = pt_records_get(a->store, key, &pt_space_type, NULL, error);
  g_autoptr(GString) line = g_string_new(NULL);
  char text[INET6_ADDRSTRLEN];
  struct in6_addr six;

  if (!space)
    return NULL;
  const char *prefix6 = space->prefix6 ? space->prefix6 : "";
  g_autofree char *gateway = pt_gateway_of(space->subnet), *prefix = g_strndup(prefix6, strcspn(prefix6, "/"));
  g_string_append_printf(line, "%s %s", nic->name, nic->mac);
  add_address(line, nic->address, space->subnet, gateway);
  if (inet_pton(AF_INET6, prefix, &six) == 1) {
    six.s6_addr[15] = 1;
    add_address(line, nic->address6, space->prefix6, inet_ntop(AF_INET6, &six, text, sizeof text));
  }
  return g_strdup(line->str);
}

char **
pt_card_lines(PtAgent *a, const PtInstance *spec, GError **error)
{
  g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; spec->nics && !spec->offline && i < spec->nics->len; i++) {
    char *line = pt_card_line(a, g_ptr_array_index(spec->nics, i), error);
    if (!line)
      return NULL;
    g_ptr_array_add(lines, line);
  }
  g_ptr_array_add(lines, NULL);
  return (char **)g_ptr_array_steal(lines, NULL);
}

static bool
plug(PtAgent *a, const PtInstance *spec, const PtNic *nic, gint64 idbase, pid_t pid, GError **error)
{
  g_autofree char *space = NULL, *dns = NULL;
  g_auto(Card) card = { 0 };

  card_init(&card, spec, nic, idbase);
  return pt_agent_space_up(a, nic->space, &space, &dns, error) && pt_net_bridge.port_up(a->net, space, &card.port, pid, error);
}

bool
pt_cards_plug(PtAgent *a, const PtInstance *spec, gint64 idbase, pid_t pid, GError **error)
{
  for (guint i = 0; spec->nics && i < spec->nics->len; i++) {
    if (!plug(a, spec, g_ptr_array_index(spec->nics, i), idbase, pid, error))
      return false;
  }
  return true;
}

bool
pt_cards_release(PtAgent *a, const char *id, GError **error)
{
  g_autoptr(GPtrArray) all = pt_net_bridge.cards(a->net, id);

  for (guint i = 0; i < all->len; i++) {
    const PtNetCard *c = g_ptr_array_index(all, i);
    if (!pt_net_bridge.port_down(a->net, c->space, c->id, error))
      return false;
  }
  return true;
}

/* The card of the record that this port is of; NULL where it is of none, or was not made to the end. */
static PtNic *
nic_of(const PtInstance *spec, const PtNetCard *c)
{
  PtNic *nic = pt_instance_nic(spec, c->name);

  return nic && c->whole && strcmp(nic->mac, c->mac) == 0 && strcmp(nic->address, c->address) == 0 ? nic : NULL;
}

static bool
take_out(PtAgent *a, const PtInstance *spec, const PtNetCard *c, pid_t pid, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  g_autoptr(GError) err = NULL;
  char tap[8];

  if (!engine)
    return false;
  /* A guest that does not let go of it keeps a card that leads nowhere. */
  if (engine->nic_remove && !engine->nic_remove(a->containers, spec, c->name, &err) && !g_error_matches(err, PT_ERROR, PT_ERR_TIMEOUT)) {
    g_propagate_error(error, g_steal_pointer(&err));
    return false;
  }
  pt_engine_tap(c->name, tap);
  const PtNetPort port = { .id = c->id, .name = spec->name, .card = c->name, .tap = engine->raw ? tap : NULL };
  if (!pt_net_bridge.card_down(a->net, c->space, &port, pid, error))
    return false;
  if (!err)
    return true;
  g_propagate_error(error, g_steal_pointer(&err));
  return false;
}

static bool
put_in(PtAgent *a, const PtInstance *spec, const PtNic *nic, bool there, const PtStatus *status, pid_t pid, GError **error)
{
  const PtEngine *engine = pt_engine_of(spec, error);
  g_autofree char *line = status->ready ? pt_card_line(a, nic, error) : NULL;
  gint64 idbase = status->idbase;

  if (!engine || (status->ready && !line))
    return false;
  if (there) { /* its rates may be others by now */
    g_autofree char *key = pt_key_space(nic->space);
    g_autoptr(PtSpace) space = pt_records_get(a->store, key, &pt_space_type, NULL, error);
    g_auto(Card) card = { 0 };
    card_init(&card, spec, nic, idbase);
    if (!space || !pt_net_bridge.port_rate(a->net, space->id, &card.port, error))
      return false;
  } else if (!plug(a, spec, nic, idbase, pid, error)) {
    return false;
  }
  return !engine->nic_add || engine->nic_add(a->containers, spec, nic, line, error);
}

bool
pt_cards_apply(PtAgent *a, const PtInstance *spec, const PtStatus *status, pid_t pid, GError **error)
{
  g_autoptr(GPtrArray) all = pt_net_bridge.cards(a->net, spec->id);
  g_autoptr(GHashTable) there = g_hash_table_new(g_str_hash, g_str_equal);
  bool gone = false;

  for (guint i = 0; i < all->len; i++) {
    const PtNetCard *c = g_ptr_array_index(all, i);
    const PtNic *nic = nic_of(spec, c);
    if (nic)
      g_hash_table_add(there, nic->name);
    else if (!take_out(a, spec, c, pid, error))
      return false;
    gone |= !nic;
  }
  for (guint i = 0; spec->nics && i < spec->nics->len; i++) {
    const PtNic *nic = g_ptr_array_index(spec->nics, i);
    if (!put_in(a, spec, nic, g_hash_table_contains(there, nic->name), status, pid, error))
      return false;
  }
  if (gone)
    pt_agent_networks_check(a);
  return true;
}
