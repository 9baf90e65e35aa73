// SPDX-License-Identifier: Apache-2.0
/* network attach, network detach: further network cards of a computer. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/output.h"

/* The answer's card that `before` has not; borrowed, or NULL. */
static const json_t *
new_card(const json_t *answer, const json_t *before)
{
  gsize n, k;
  json_t *card, *old;

  json_array_foreach (json_object_get(answer, "nics"), n, card) {
    bool had = false;
    json_array_foreach (json_object_get(before, "nics"), k, old)
      had |= strcmp(pt_json_str(card, "mac", ""), pt_json_str(old, "mac", "")) == 0;
    if (!had)
      return card;
  }
  return NULL;
}

static json_t *
wish(const PtArgs *args, GError **error)
{
  static const char *const options[] = { "name", "address" };
  const char *space = pt_args_nth(args, 1);
  g_autoptr(json_t) body = json_object();

  if (space && !pt_name_check("space", space, error))
    return NULL;
  if (space)
    json_object_set_new(body, "space", json_string(space));
  for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
    if (pt_args_has(args, options[i]))
      json_object_set_new(body, options[i], json_string(pt_args_get(args, options[i])));
  }
  return g_steal_pointer(&body);
}

static int
run_attach(PtCli *cli, const PtArgs *args, GError **error)
{
  g_auto(PtTarget) t = { 0 };
  g_autoptr(json_t) body = wish(args, error), before = NULL, answer = NULL;

  if (!body || !pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  g_autofree char *path = pt_target_path(&t, ""), *nics = pt_target_path(&t, "/nics");
  if (!pt_cli_call(cli, "GET", path, NULL, &before, error) || !pt_cli_call(cli, "POST", nics, body, &answer, error) ||
      !pt_operation_wait(cli, answer, t.name, 0, NULL, error))
    return -1;
  const json_t *card = new_card(answer, before);
  const char *name = pt_json_str(card, "name", "");
  if (cli->json)
    pt_print_json(cli, answer);
  else if (cli->quiet)
    pt_say("%s", name);
  else
    pt_say("%s has the network card %s in space %s: %s", t.name, name, pt_json_str(card, "space", ""), pt_json_str(card, "address", ""));
  return 0;
}

static int
run_detach(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = pt_args_nth(args, 1);
  g_auto(PtTarget) t = { 0 };
  g_autoptr(json_t) answer = NULL;

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  g_autofree char *card = pt_client_path("/nics/%s", name), *path = pt_target_path(&t, card);
  if (!pt_cli_call(cli, "DELETE", path, NULL, &answer, error) || !pt_operation_wait(cli, answer, t.name, 0, NULL, error))
    return -1;
  if (cli->json)
    pt_print_json(cli, answer);
  else
    pt_say(cli->quiet ? "%s" : "%s has the network card %s no more.", t.name, name);
  return 0;
}

static const PtOption attach_options[] = {
  { "name", 0, "ethN", "What it is called inside, eth1 to eth7; the first that is free if not given", false },
  { "address", 0, "ADDRESS", "Its IPv4 address in that network; the next free one if not given", false },
  { NULL, 0, NULL, NULL, false },
};

const PtCommand pt_cmds_nic[] = {
  { .name = "network attach",
    .args = "NAME [SPACE]",
    .summary = "Give a computer a further network card, while it runs too",
    .options = attach_options,
    .min = 1,
    .max = 2,
    .completes = "is",
    .run = run_attach,
    .text = "The card is in the network of SPACE, of which you have to be a member; of the computer's own space if not given.\n"
            "Its address stays the same for as long as the card exists. A computer in two networks does not lead from one to the other.",
    .examples = { { "portena network attach web lab", "reach space lab, and be reached from there" },
                  { "portena network attach web --address 10.83.0.50", "a second address in its own space" } } },
  { .name = "network detach",
    .args = "NAME CARD",
    .summary = "Take a further network card away, while it runs too",
    .min = 2,
    .max = 2,
    .completes = "ie",
    .run = run_detach,
    .examples = { { "portena network detach web eth1", "it is in that network no more" },
                  { "portena show web", "which cards it has" } } },
  { NULL },
};
