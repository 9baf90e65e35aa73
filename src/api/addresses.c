// SPDX-License-Identifier: Apache-2.0
/* Two launches at the same moment must not get the same address, nor together overrun the quota. What is taken is
 * counted from the instances themselves, so nothing can drift; to make the count hold until the commit, every allocation of
 * a space requires and rewrites one record, its guard. Within this daemon a mutex keeps them from failing each other. */
#include "api/addresses.h"

#include <arpa/inet.h>
#include <string.h>

#include "api/view.h"
#include "base/clock.h"

/* ── the guard ── */

static char *
guard_key(const char *space)
{
  return g_strdup_printf("spaces/%s/allocation", space);
}

bool
pt_guard_read(PtApi *api, const char *space, gint64 *ret_revision, gint64 *ret_last, GError **error)
{
  g_autofree char *key = guard_key(space);
  g_autoptr(GError) err = NULL;
  g_autoptr(PtEntry) e = pt_store_get(api->store, key, &err);

  *ret_revision = *ret_last = 0;
  if (!e) {
    if (pt_error_code(err) == PT_ERR_NOT_FOUND)
      return true;
    g_propagate_error(error, g_steal_pointer(&err));
    return false;
  }
  g_autoptr(json_t) json = pt_json_parse_object(e->value, strlen(e->value), error);
  if (!json)
    return false;
  *ret_revision = e->revision;
  *ret_last = pt_json_int(json, "last", 0);
  return true;
}

void
pt_guard_write(PtTxn *txn, const char *space, gint64 revision, gint64 last)
{
  g_autofree char *key = guard_key(space), *text = g_strdup_printf("{\"last\":%" G_GINT64_FORMAT "}", last);

  pt_txn_require(txn, key, revision);
  pt_txn_put(txn, key, text);
}

/* ── addresses ── */

typedef struct {
  const char *space;
  GHashTable *addresses, *macs;
} Taken;

/* Instances of other spaces may have cards here. */
static void
note_taken(const PtInstance *spec, const PtStatus *status, void *data)
{
  Taken *t = data;

  (void)status;
  if (strcmp(spec->space, t->space) == 0) {
    if (spec->address)
      g_hash_table_add(t->addresses, g_strdup(spec->address));
    if (spec->mac)
      g_hash_table_add(t->macs, g_strdup(spec->mac));
  }
  for (guint i = 0; spec->nics && i < spec->nics->len; i++) {
    const PtNic *nic = g_ptr_array_index(spec->nics, i);
    if (strcmp(nic->space, t->space) == 0)
      g_hash_table_add(t->addresses, g_strdup(nic->address));
    g_hash_table_add(t->macs, g_strdup(nic->mac));
  }
}

static void
set_address(const PtSpace *space, gint64 host, const char *text, PtNic *card)
{
  card->address = g_strdup(text);
  if (!space->prefix6)
    return;
  g_autofree char *prefix = g_strndup(space->prefix6, strcspn(space->prefix6, "/"));
  card->address6 = host > 0xffff ? g_strdup_printf("%s%x:%x", prefix, (guint)(host >> 16), (guint)(host & 0xffff))
                                 : g_strdup_printf("%s%x", prefix, (guint)host);
}

static bool
parse_subnet(const PtSpace *space, guint32 *ret_first, gint64 *ret_hosts, GError **error)
{
  g_auto(GStrv) part = g_strsplit(space->subnet ? space->subnet : "", "/", 2);
  struct in_addr net;
  gint64 bits = part[0] && part[1] ? g_ascii_strtoll(part[1], NULL, 10) : 0;

  if (bits < 8 || bits > 30 || inet_pton(AF_INET, part[0], &net) != 1) {
    PT_SET(error, PT_ERR_INTERNAL, "space %s: its subnet cannot be used", space->name);
    return false;
  }
  *ret_first = ntohl(net.s_addr);
  *ret_hosts = (G_GINT64_CONSTANT(1) << (32 - bits)) - 3; /* 2 … 2^n - 2: the first is the gateway's, network and broadcast are nobody's */
  return true;
}

/* The next free host of the subnet behind the one given out last, so that an address does not come back at once under
 * another name. */
static bool
next_address(const PtSpace *space, const Taken *taken, gint64 *last, PtNic *card, GError **error)
{
  guint32 first;
  gint64 hosts;

  if (!parse_subnet(space, &first, &hosts, error))
    return false;
  for (gint64 i = 0; i < hosts; i++) {
    gint64 host = 2 + (MAX(*last - 1, 0) + i) % hosts;
    struct in_addr a = { .s_addr = htonl(first + (guint32)host) };
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &a, text, sizeof text);
    if (g_hash_table_contains(taken->addresses, text))
      continue;
    set_address(space, host, text, card);
    *last = host;
    return true;
  }
  PT_SET(error, PT_ERR_OVER_QUOTA,
         "space %s: no address of %s is free\ndelete an instance, or use a space with a larger subnet", space->name,
         space->subnet);
  return false;
}

static bool
this_address(const PtSpace *space, const Taken *taken, const char *wanted, PtNic *card, GError **error)
{
  struct in_addr a;
  guint32 first;
  gint64 hosts;
  char text[INET_ADDRSTRLEN];

  if (!parse_subnet(space, &first, &hosts, error))
    return false;
  gint64 host = inet_pton(AF_INET, wanted, &a) == 1 ? (gint64)ntohl(a.s_addr) - first : 0;
  if (host < 2 || host > hosts + 1) {
    PT_SET(error, PT_ERR_INVALID, "address: '%s' is none for a computer in space %s\n"
                                   "its network is %s, and the first address the gateway's",
           wanted, space->name, space->subnet);
    return false;
  }
  inet_ntop(AF_INET, &a, text, sizeof text);
  if (g_hash_table_contains(taken->addresses, text)) {
    PT_SET(error, PT_ERR_CONFLICT, "address: %s is taken in space %s\nwhich are:  portena network show %s", text, space->name, space->name);
    return false;
  }
  set_address(space, host, text, card);
  return true;
}

static void
choose_mac(const Taken *taken, PtNic *card)
{
  guint8 b[5];

  do {
    pt_random(b, sizeof b);
    g_free(card->mac);
    card->mac = g_strdup_printf("02:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4]);
  } while (g_hash_table_contains(taken->macs, card->mac));
}

bool
pt_address_choose(PtApi *api, const PtSpace *space, const char *wanted, gint64 *last, PtNic *card, GError **error)
{
  Taken taken = {
    space->name,
    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
  };

  pt_view_foreach(api->view, NULL, note_taken, &taken);
  bool ok = wanted ? this_address(space, &taken, wanted, card, error) : next_address(space, &taken, last, card, error);
  if (ok)
    choose_mac(&taken, card);
  g_hash_table_unref(taken.addresses);
  g_hash_table_unref(taken.macs);
  return ok;
}
