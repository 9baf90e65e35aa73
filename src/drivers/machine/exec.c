// SPDX-License-Identifier: Apache-2.0
/* A command in the guest is, for everybody outside, the process of portena-guestctl in the jail: its terminal or pipes, its signals, its
 * end. The environment goes the same way, so that nothing secret stands in an argument. In an unmodified system that
 * is QEMU's own agent's doing, which has no terminal and no streams (helpers/qga_modes.c). */
#include "base/error.h"
#include "drivers/machine/internal.h"

static void
add_layer(GHashTable *all, GHashTable *layer)
{
  GHashTableIter it;
  gpointer key, value;

  if (!layer)
    return;
  g_hash_table_iter_init(&it, layer);
  while (g_hash_table_iter_next(&it, &key, &value))
    g_hash_table_insert(all, key, value);
}

static GPtrArray *
environment(const PtInstance *spec, const PtImage *image, const PtExec *exec)
{
  g_autoptr(GHashTable) all = g_hash_table_new(g_str_hash, g_str_equal);
  GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
  GHashTableIter it;
  gpointer key, value;

  if (exec->tty && spec->model != PT_MODEL_PC)
    g_hash_table_insert(all, (char *)"TERM", (char *)"xterm-256color");
  add_layer(all, image->env);
  add_layer(all, spec->env);
  add_layer(all, exec->env);
  g_hash_table_iter_init(&it, all);
  while (g_hash_table_iter_next(&it, &key, &value))
    g_ptr_array_add(list, g_strconcat(key, "=", value, NULL));
  g_ptr_array_add(list, NULL);
  return list;
}

int
pt_machine_exec(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, const PtExec *exec, GError **error)
{
  const char *who = exec->user ? exec->user : !exec->command && image->login ? image->login : NULL;
  g_autoptr(GPtrArray) args = g_ptr_array_new(), env = environment(spec, image, exec);
  bool pc = spec->model == PT_MODEL_PC;

  (void)id;
  if (!pt_machine_has_agent(c, spec, error))
    return -1;
  if (pc && !exec->command) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: its guest agent gives no terminal", spec->name);
    pt_error_hint(error, "run single commands:  portena exec %s -- COMMAND; or log in:  portena console %s", spec->name, spec->name);
    return -1;
  }
  g_ptr_array_add(args, (char *)PT_MACHINE_HELPERS "/portena-guestctl");
  if (pc)
    g_ptr_array_add(args, (char *)"qga");
  g_ptr_array_add(args, (char *)"exec");
  if (exec->tty)
    g_ptr_array_add(args, (char *)"--tty");
  if (who) {
    g_ptr_array_add(args, (char *)"--user");
    g_ptr_array_add(args, (char *)who);
  }
  if (exec->cwd) {
    g_ptr_array_add(args, (char *)"--cwd");
    g_ptr_array_add(args, (char *)exec->cwd);
  }
  /* Where there is none at all, crun would give it the jail's own. */
  if (env->len == 1 && pc)
    g_ptr_array_add(args, (char *)"--no-env");
  else if (env->len == 1)
    g_ptr_array_insert(env, 0, g_strdup("LANG=C.UTF-8"));
  g_ptr_array_add(args, (char *)"--");
  for (char *const *a = exec->command; a && *a; a++)
    g_ptr_array_add(args, *a);
  g_ptr_array_add(args, NULL);
  return pt_jail_exec(c, spec, (const char *const *)args->pdata, (const char *const *)env->pdata, exec, error);
}
