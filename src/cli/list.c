// SPDX-License-Identifier: Apache-2.0
#include "cli/list.h"

#include "base/text.h"

int
pt_list_show(PtCli *cli, const char *path, const PtList *list, GError **error)
{
  g_autoptr(PtTable) t = pt_table_new(list->headings);
  g_autoptr(json_t) answer = NULL;
  gsize n;
  json_t *item;

  if (!pt_cli_call(cli, "GET", path, NULL, &answer, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, answer);
    return 0;
  }
  json_array_foreach (json_object_get(answer, "items"), n, item) {
    if (cli->quiet) {
      g_autofree char *name = list->name ? list->name(item) : pt_safe(pt_json_str(item, list->key, ""));
      pt_say("%s", name);
    } else {
      list->row(t, item);
    }
  }
  if (cli->quiet)
    return 0;
  if (list->none && pt_table_rows(t) == 0)
    pt_note(cli, "%s", list->none);
  else
    pt_table_print(t, cli);
  return 0;
}
