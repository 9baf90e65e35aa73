// SPDX-License-Identifier: Apache-2.0
/* Further network cards of an instance: each in the network of a space, which may be another one than the instance's. */
#include <arpa/inet.h>
#include <string.h>

#include "api/addresses.h"
#include "api/auth.h"
#include "api/bodies.h"
#include "api/change.h"
#include "api/handlers.h"
#include "api/instances.h"
#include "api/view.h"
#include "base/text.h"

/* A computer that sleeps has the cards that it fell asleep with. */
static bool
awake(const PtSpecChange *c, GError **error)
{
  int state = pt_spec_state(c);
  g_autofree char *advice = g_strdup_printf("resume it first:  portena resume %s", c->spec->name);

  return (state != PT_RUN_HIBERNATED && state != PT_RUN_PAUSED) || pt_spec_wrong_state(c, advice, error);
}

static bool
choose_name(const PtInstance *s, const char *wanted, PtNic *card, GError **error)
{
  for (guint n = 1; n <= PT_NICS_MAX && !card->name; n++) {
    g_autofree char *name = g_strdup_printf("eth%u", n);
    if (wanted ? strcmp(wanted, name) == 0 : !pt_instance_nic(s, name))
      card->name = g_steal_pointer(&name);
  }
  if (card->name && !pt_instance_nic(s, card->name))
    return true;
  if (!wanted)
    PT_SET(error, PT_ERR_OVER_QUOTA, "%s: it has %d further network cards already, and more there cannot be", s->name, PT_NICS_MAX);
  else if (card->name)
    PT_SET(error, PT_ERR_CONFLICT, "%s: it has a network card called %s already\nchoose another name, or none", s->name, card->name);
  else
    PT_SET(error, PT_ERR_INVALID, "name: a further network card is called eth1 to eth%d", PT_NICS_MAX);
  return false;
}

/* The space whose network it is to be in. In another one than its own it takes the right to use that. */
static PtSpace *
target(PtRequest *r, const char *name, gint64 *ret_revision, GError **error)
{
  g_autofree char *key = pt_name_check("space", name, NULL) ? pt_key_space(name) : NULL, *shown = pt_text_safe(name, 63);
  g_autoptr(PtSpace) space = key ? pt_load(r->api, key, &pt_space_type, "space", ret_revision, NULL) : NULL;
  PtRole role = space ? pt_who_role(&r->who, space) : PT_ROLE_NONE;

  if (role == PT_ROLE_NONE)
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no space called %s\nthose you may use: portena space list", shown);
  else if (role < PT_ROLE_MEMBER)
    PT_SET(error, PT_ERR_FORBIDDEN, "space %s: as its viewer you may not put a network card into it; it takes member\n"
                                    "ask one of the space's owners", name);
  else if (space->deleting)
    PT_SET(error, PT_ERR_CONFLICT, "space %s: it is being deleted", name);
  else
    return g_steal_pointer(&space);
  return NULL;
}

static bool
overlap(const char *a, const char *b)
{
  g_auto(GStrv) one = g_strsplit(a ? a : "", "/", 2), two = g_strsplit(b ? b : "", "/", 2);
  struct in_addr x, y;

  if (!one[0] || !two[0] || !one[1] || !two[1] || inet_pton(AF_INET, one[0], &x) != 1 || inet_pton(AF_INET, two[0], &y) != 1)
    return false;
  guint bits = (guint)MIN(g_ascii_strtoull(one[1], NULL, 10), g_ascii_strtoull(two[1], NULL, 10));
  return bits == 0 || bits > 32 || (ntohl(x.s_addr) ^ ntohl(y.s_addr)) >> (32 - bits) == 0;
}

/* Spaces have networks of their own, which may have the same addresses; a computer in two of them could not tell them apart. */
static bool
can_tell_apart(PtSpecChange *c, const PtSpace *space, GError **error)
{
  const PtInstance *s = c->spec;
  guint n = s->nics ? s->nics->len : 0;

  for (guint i = 0; i <= n; i++) {
    const char *name = i == n ? s->space : ((const PtNic *)g_ptr_array_index(s->nics, i))->space;
    g_autofree char *key = pt_key_space(name);
    if (strcmp(name, space->name) == 0)
      continue;
    g_autoptr(PtSpace) other = pt_load(c->r->api, key, &pt_space_type, "space", NULL, error);
    if (!other)
      return false;
    if (!overlap(other->subnet, space->subnet))
      continue;
    PT_SET(error, PT_ERR_CONFLICT, "%s: it is in the network %s of space %s, and could not tell that of space %s (%s) from it\n"
                                   "a space is given another network when it is made:  portena space create NAME --subnet 10.84.0.0/24",
           s->name, other->subnet, other->name, space->name, space->subnet);
    return false;
  }
  return true;
}

static bool
attach(PtSpecChange *c, GError **error)
{
  const PtBodyNic *b = c->data;
  PtInstance *s = c->spec;
  gint64 guard = 0, last = 0, revision = 0;
  g_autoptr(PtNic) card = pt_record_new(&pt_nic_type);

  if (s->offline) {
    PT_SET(error, PT_ERR_INVALID, "%s: it has no network, so no further network card either\n"
                                  "give it one first:  portena set %s offline=false", s->name, s->name);
    return false;
  }
  if (!awake(c, error) || !choose_name(s, b->name, card, error))
    return false;
  g_autoptr(PtSpace) space = target(c->r, b->space ? b->space : s->space, &revision, error);
  if (!space || !can_tell_apart(c, space, error) || !pt_guard_read(c->r->api, space->name, &guard, &last, error) ||
      !pt_view_sync(c->r->api->view, NULL, error) || !pt_address_choose(c->r->api, space, b->address, &last, card, error))
    return false;
  g_autofree char *key = pt_key_space(space->name);
  pt_txn_require(c->txn, key, revision);
  pt_guard_write(c->txn, space->name, guard, last);
  card->space = g_strdup(space->name);
  if (!s->nics)
    s->nics = g_ptr_array_new();
  g_ptr_array_add(s->nics, g_steal_pointer(&card));
  return true;
}

bool
pt_nics_attach(PtRequest *r, GError **error)
{
  PtBodyNic *b = pt_body_record(r, &pt_body_nic, error);

  if (!b)
    return false;
  g_autofree char *op = pt_spec_change(r, "attach", false, attach, b, error);
  pt_record_free(&pt_body_nic, b);
  return op && pt_reply_operation(r, op, pt_instance_refresh, error);
}

static bool
detach(PtSpecChange *c, GError **error)
{
  const char *name = c->data;
  PtNic *card = pt_instance_nic(c->spec, name);
  g_autofree char *shown = pt_text_safe(name, 16);

  if (!card) {
    PT_SET(error, strcmp(name, "eth0") == 0 ? PT_ERR_INVALID : PT_ERR_NOT_FOUND, strcmp(name, "eth0") == 0
           ? "%s: its first network card %s stays\nto be without a network:  portena set %s offline=true"
           : "%s: it has no further network card called %s\nthose it has:  portena show %s", c->spec->name, shown, c->spec->name);
    return false;
  }
  if (!awake(c, error))
    return false;
  g_ptr_array_remove(c->spec->nics, card);
  pt_nic_free(card);
  return true;
}

bool
pt_nics_detach(PtRequest *r, GError **error)
{
  g_autofree char *op = pt_spec_change(r, "detach", false, detach, (void *)pt_param(r, "nic"), error);

  return op && pt_reply_operation(r, op, pt_instance_refresh, error);
}

typedef struct {
  const char *space;
  char *who; /* the first that was found */
} Guest;

static void
note_guest(const PtInstance *spec, const PtStatus *status, void *data)
{
  Guest *g = data;

  (void)status;
  for (guint i = 0; !g->who && strcmp(spec->space, g->space) != 0 && spec->nics && i < spec->nics->len; i++) {
    const PtNic *nic = g_ptr_array_index(spec->nics, i);
    if (strcmp(nic->space, g->space) == 0)
      g->who = g_strdup_printf("%s/%s %s", spec->space, spec->name, nic->name);
  }
}

bool
pt_nics_none_of_others(PtApi *api, const char *space, GError **error)
{
  Guest g = { .space = space };

  pt_view_foreach(api->view, NULL, note_guest, &g);
  g_autofree char *who = g.who;
  if (who)
    PT_SET(error, PT_ERR_CONFLICT, "space %s: a computer of another space has a network card in it\n"
                                   "take it out:  portena network detach %s", space, who);
  return who == NULL;
}
