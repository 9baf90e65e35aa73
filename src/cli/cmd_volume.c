// SPDX-License-Identifier: Apache-2.0
/* volume … */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/list.h"
#include "cli/operation.h"
#include "cli/output.h"

/* "40 GiB", "40 GiB (20 GiB until the next start)" where the host cannot grow what is in use */
static char *
volume_size(const json_t *v)
{
  g_autofree char *size = pt_member_size(v, "size"), *actual = pt_member_size(v, "actual");
  gint64 now = pt_json_int(v, "actual", 0);

  if (now == 0 || now >= pt_json_int(v, "size", 0))
    return g_steal_pointer(&size);
  return g_strdup_printf("%s (%s until the next start)", size, actual);
}

static void
volume_row(PtTable *t, const json_t *v)
{
  g_autofree char *size = volume_size(v), *used = pt_member_size(v, "used"), *age = pt_since(pt_json_str(v, "created", NULL)),
                  *id = pt_safe(pt_json_str(v, "id", ""));
  const char *root = pt_json_str(v, "instance", NULL), *has = pt_json_str(v, "attached", NULL);
  const char *cells[] = { pt_json_str(v, "name", ""), root ? "root" : "data",     root ? root : has, size,
                          used,                       pt_json_str(v, "pool", ""), age,               id };

  pt_table_add(t, cells);
}

static int
run_volumes(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "NAME", "KIND", "COMPUTER", "SIZE", "USED", "POOL", "AGE", "ID", NULL };
  const char *space = pt_args_nth(args, 0) ? pt_args_nth(args, 0) : pt_cli_space(cli, error);

  if (!space || !pt_name_check("space", space, error))
    return -1;
  g_autofree char *path = pt_client_path("/v1/spaces/%s/volumes", space), *none = g_strdup_printf("Space %s has no volumes.", space);
  const PtList list = { .headings = headings, .key = "id", .row = volume_row, .none = none };
  return pt_list_show(cli, path, &list, error);
}

/* A volume by id, by a data volume's name, or by the computer whose root it is. A new reference. */
static json_t *
find_volume(PtCli *cli, const char *space, const char *word, GError **error)
{
  g_autofree char *path = pt_client_path("/v1/spaces/%s/volumes", space);
  g_autoptr(json_t) answer = NULL;
  json_t *found = NULL, *v;
  gsize n;

  if (!pt_cli_call(cli, "GET", path, NULL, &answer, error))
    return NULL;
  json_array_foreach (json_object_get(answer, "items"), n, v) {
    const char *root = pt_json_str(v, "instance", NULL);
    if (strcmp(pt_json_str(v, "id", ""), word) == 0 || (!root && strcmp(pt_json_str(v, "name", ""), word) == 0))
      return json_incref(v);
    if (g_strcmp0(root, word) == 0)
      found = v;
  }
  if (found)
    return json_incref(found);
  g_autofree char *shown = pt_safe(word);
  PT_SET(error, PT_ERR_NOT_FOUND, "space %s has no volume called %s\nsee them:  portena volume list", space, shown);
  return NULL;
}

static int
run_volume_show(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *space = pt_cli_space(cli, error);
  g_autoptr(json_t) v = space ? find_volume(cli, space, pt_args_nth(args, 0), error) : NULL;
  g_autoptr(PtFacts) f = pt_facts_new();

  if (!v)
    return -1;
  if (cli->json) {
    pt_print_json(cli, v);
    return 0;
  }
  g_autofree char *size = volume_size(v), *used = pt_member_size(v, "used"),
                  *created = pt_when(pt_json_str(v, "created", NULL));
  pt_facts_add(f, "name", pt_json_str(v, "name", NULL));
  pt_facts_add(f, "id", pt_json_str(v, "id", NULL));
  pt_facts_add(f, "space", pt_json_str(v, "space", NULL));
  const char *root = pt_json_str(v, "instance", NULL), *has = pt_json_str(v, "attached", NULL), *where = pt_json_str(v, "path", NULL);
  pt_facts_add(f, "kind", root ? "root" : "data");
  if (where)
    pt_facts_addf(f, "computer", "%s, at %s", has, where);
  else
    pt_facts_add(f, "computer", root ? root : has ? has : "–");
  pt_facts_add(f, "pool", pt_json_str(v, "pool", NULL));
  pt_facts_add(f, "size", size);
  pt_facts_add(f, "used", used);
  pt_facts_add(f, "created", created);
  pt_facts_print(f, cli);
  return 0;
}

static int
run_volume_grow(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *text = pt_args_nth(args, 1), *space = NULL;
  bool more = text[0] == '+';
  gint64 bytes = 0;

  if (!pt_size_parse(text + more, &bytes, error) || !(space = pt_cli_space(cli, error)))
    return -1;
  g_autoptr(json_t) v = find_volume(cli, space, pt_args_nth(args, 0), error), answer = NULL;
  if (!v)
    return -1;
  gint64 now = pt_json_int(v, "size", 0);
  g_autofree char *name = pt_safe(pt_json_str(v, "instance", pt_json_str(v, "name", "the volume"))),
                  *was = pt_size_format(now);
  if (more && bytes > G_MAXINT64 - now)
    bytes = G_MAXINT64 - now;
  bytes += more ? now : 0;
  if (bytes <= now) {
    PT_SET(error, PT_ERR_INVALID, "%s: it has %s, and a volume only grows\nnothing was changed", name, was);
    return -1;
  }
  g_autoptr(json_t) body = json_pack("{s:I}", "size", (json_int_t)bytes);
  g_autofree char *path = pt_client_path("/v1/spaces/%s/volumes/%s", space, pt_json_str(v, "id", ""));
  if (!pt_cli_call(cli, "PATCH", path, body, &answer, error) || !pt_operation_wait(cli, answer, name, 0, NULL, error))
    return -1;
  g_autoptr(json_t) grown = find_volume(cli, space, pt_json_str(v, "id", ""), NULL);
  gint64 actual = grown ? pt_json_int(grown, "actual", 0) : 0;
  g_autofree char *size = pt_size_format(bytes), *until = pt_size_format(actual);
  if (cli->json)
    pt_print_json(cli, answer);
  else if (cli->quiet)
    pt_say("%s", name);
  else if (actual > 0 && actual < bytes)
    pt_say("%s has %s from the next start on; until then it has %s, because this server cannot grow it while it is in use.",
           name, size, until);
  else
    pt_say("%s has %s now (it had %s).", name, size, was);
  return 0;
}

static int
run_volume_create(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *name = pt_args_nth(args, 0), *size = pt_args_get(args, "size"), *space = NULL;
  g_autoptr(json_t) body = json_pack("{s:s}", "name", name), v = NULL;
  gint64 bytes = 0;

  if (!pt_name_check("volume", name, error) || (size && !pt_size_parse(size, &bytes, error)) || !(space = pt_cli_space(cli, error)))
    return -1;
  if (size)
    json_object_set_new(body, "size", json_integer(bytes));
  g_autofree char *path = pt_client_path("/v1/spaces/%s/volumes", space);
  if (!pt_cli_call(cli, "POST", path, body, &v, error))
    return -1;
  g_autofree char *has = pt_member_size(v, "size");
  if (cli->json)
    pt_print_json(cli, v);
  else if (cli->quiet)
    pt_say("%s", name);
  else
    pt_say("%s is there, with %s. Attach it with:  portena volume attach COMPUTER %s", name, has, name);
  return 0;
}

static int
run_volume_delete(PtCli *cli, const PtArgs *args, GError **error)
{
  bool sure = pt_args_has(args, "yes"), ask = !sure && cli->in_tty && cli->err_tty && !cli->json;
  const char *space = pt_cli_space(cli, error);
  g_autoptr(json_t) v = space ? find_volume(cli, space, pt_args_nth(args, 0), error) : NULL;

  if (!v)
    return -1;
  g_autofree char *name = pt_safe(pt_json_str(v, "name", "")), *used = pt_member_size(v, "used");
  g_autofree char *question = g_strdup_printf("Delete %s and all that is on it (%s)?", name, used);
  if (ask && !pt_cli_confirm(cli, question)) {
    pt_note(cli, "Nothing was deleted.");
    return PT_EXIT_FAILED;
  }
  if (!ask && !sure) { /* a computer that runs is refused by the server; nothing stands up for a volume */
    PT_SET(error, PT_ERR_INVALID, "volume %s: deleted with all that is on it (%s), and nobody is here to be asked", name, used);
    pt_error_hint(error, "nothing was changed; if it shall go:  portena volume delete %s --yes", name);
    return -1;
  }
  g_autofree char *path = pt_client_path("/v1/spaces/%s/volumes/%s", space, pt_json_str(v, "id", ""));
  if (!pt_cli_call(cli, "DELETE", path, NULL, NULL, error))
    return -1;
  if (!cli->json)
    pt_say(cli->quiet ? "%s" : "%s is deleted.", name);
  return 0;
}

/* Sends it, waits for its end; the instance as it is then. */
static bool
change_disks(PtCli *cli, const PtTarget *t, const char *method, const char *path, const json_t *body, const char *doing, json_t **ret,
             GError **error)
{
  g_autofree char *waiting = g_strdup_printf("%s%cwait=%u", path, strchr(path, '?') ? '&' : '?', pt_operation_first_wait(cli));
  g_autofree char *title = g_strdup_printf("%s %s", doing, t->name);
  g_autoptr(json_t) answer = NULL;

  if (!pt_cli_call(cli, method, waiting, body, &answer, error) || !pt_operation_wait(cli, answer, title, 0, NULL, error))
    return false;
  *ret = g_steal_pointer(&answer);
  return true;
}

static const char *
path_in(const json_t *instance, const char *volume)
{
  gsize n;
  json_t *d;

  json_array_foreach (json_object_get(instance, "disks"), n, d)
    if (strcmp(pt_json_str(d, "volume", ""), volume) == 0 || strcmp(pt_json_str(d, "id", ""), volume) == 0)
      return pt_json_str(d, "path", NULL);
  return NULL;
}

static int
run_volume_attach(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *volume = pt_args_nth(args, 1), *at = pt_args_get(args, "at");
  g_autoptr(json_t) body = json_pack("{s:s, s:b}", "volume", volume, "read_only", pt_args_has(args, "read-only")), i = NULL;
  g_auto(PtTarget) t = { 0 };

  if (!body || !pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  if (at)
    json_object_set_new(body, "path", json_string(at));
  g_autofree char *path = pt_target_path(&t, "/disks");
  if (!change_disks(cli, &t, "POST", path, body, "Attaching a volume to", &i, error))
    return -1;
  g_autofree char *name = pt_safe(volume), *where = pt_safe(path_in(i, volume));
  bool now = strcmp(pt_json_str(i, "state", ""), "running") == 0;
  if (cli->json)
    pt_print_json(cli, i);
  else if (cli->quiet)
    pt_say("%s", t.name);
  else if (*where)
    pt_say("%s has %s at %s%s.", t.name, name, where, now ? " now" : " when it starts");
  else
    pt_say("%s has %s as a disk%s.", t.name, name, now ? " now" : " when it starts");
  return 0;
}

static int
run_volume_detach(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *volume = pt_args_nth(args, 1);
  g_autoptr(json_t) i = NULL;
  g_auto(PtTarget) t = { 0 };

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  g_autofree char *below = pt_client_path("/disks/%s", volume);
  g_autofree char *whole = g_strconcat(below, pt_args_has(args, "force") ? "?force=true" : "", NULL), *path = pt_target_path(&t, whole);
  if (!change_disks(cli, &t, "DELETE", path, NULL, "Detaching a volume from", &i, error))
    return -1;
  g_autofree char *name = pt_safe(volume);
  if (cli->json)
    pt_print_json(cli, i);
  else if (cli->quiet)
    pt_say("%s", t.name);
  else
    pt_say("%s has %s no longer. What is on it is kept.", t.name, name);
  return 0;
}

static const PtOption create_options[] = {
  { "size", 0, "SIZE", "How large it is (10GiB)", false },
  { NULL },
};

static const PtOption delete_options[] = {
  { "yes", 'y', NULL, "Do not ask", false },
  { NULL },
};

static const PtOption attach_options[] = {
  { "at", 0, "PATH", "Where it is seen inside (/mnt/VOLUME; of a process /data/VOLUME)", false },
  { "read-only", 0, NULL, "Nothing can be written to it", false },
  { NULL },
};

static const PtOption detach_options[] = {
  { "force", 'f', NULL, "Also while it is in use inside: what is not written is lost", false },
  { NULL },
};

const PtCommand pt_cmds_volume[] = {
  { .name = "volume list",
    .args = "[SPACE]",
    .summary = "Show the volumes of a space: roots of computers, and data",
    .max = 1,
    .completes = "s",
    .run = run_volumes,
    .examples = { { "portena volume list", "of the space you work in" },
                  { "portena volume list lab --json", "of another, for programs" } } },
  { .name = "volume show",
    .args = "VOLUME",
    .summary = "Tell all about a disk",
    .min = 1,
    .max = 1,
    .completes = "v",
    .run = run_volume_show,
    .examples = { { "portena volume show studio", "the disk of studio" },
                  { "portena volume show studio --json", "for programs" } } },
  { .name = "volume grow",
    .alias = "volume resize",
    .args = "VOLUME SIZE",
    .summary = "Make a disk larger, while it is in use",
    .min = 2,
    .max = 2,
    .completes = "v",
    .run = run_volume_grow,
    .examples = { { "portena volume grow studio 40GiB", "to 40 GiB" },
                  { "portena volume grow studio +10G", "by 10 GiB" } } },
  { .name = "volume create",
    .args = "VOLUME",
    .summary = "Make a volume for data, to be attached to a computer",
    .text = "It counts in the space's quota, belongs to one computer at a time, and outlives it.",
    .min = 1,
    .max = 1,
    .options = create_options,
    .run = run_volume_create,
    .examples = { { "portena volume create data --size 10GiB", "10 GiB for data" },
                  { "portena volume create data && portena volume attach studio data", "and give it to studio" } } },
  { .name = "volume attach",
    .args = "NAME VOLUME",
    .summary = "Give a computer a volume for data, while it runs",
    .text = "It is there at each start from then on. A machine of model pc gets a disk, and its own system decides what to do with it.",
    .min = 2,
    .max = 2,
    .completes = "iv",
    .options = attach_options,
    .run = run_volume_attach,
    .examples = { { "portena volume attach studio data", "at /mnt/data" },
                  { "portena volume attach web pages --at /srv/www --read-only", "at a place of one's own" } } },
  { .name = "volume detach",
    .args = "NAME VOLUME",
    .summary = "Take a volume from a computer; what is on it is kept",
    .min = 2,
    .max = 2,
    .completes = "iv",
    .options = detach_options,
    .run = run_volume_detach,
    .examples = { { "portena volume detach studio data", "refused while something inside uses it" },
                  { "portena volume detach studio data --force", "all the same" } } },
  { .name = "volume delete",
    .alias = "volume rm",
    .args = "VOLUME",
    .summary = "Delete a volume and all that is on it",
    .min = 1,
    .max = 1,
    .completes = "v",
    .options = delete_options,
    .run = run_volume_delete,
    .examples = { { "portena volume delete data", "refused while a computer has it" },
                  { "portena volume delete data --yes", "without a question; in scripts" } } },
  { NULL },
};
