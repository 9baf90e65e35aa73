// SPDX-License-Identifier: Apache-2.0
/* What the two sides of a machine say as lines: /config and requests, read by portena-guest; lists, read by portenad. The first byte chooses. */
#include <glib.h>
#include <string.h>

#include "drivers/machine/agent.h"
#include "helpers/guest.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void
check_list(const struct list *l)
{
  g_assert_cmpuint(l->n, <=, LIST_MAX);
  for (unsigned i = 0; i < l->n; i++)
    g_assert_nonnull(l->at[i]);
  g_assert_null(l->at[l->n]);
}

static void
entries(char *text, size_t size)
{
  g_autoptr(GError) err = NULL;
  g_autoptr(GPtrArray) rows = pt_guest_entries_parse(text, size, 100, &err);

  g_assert_true((rows == NULL) == (err != NULL));
  for (guint i = 0; rows && i < rows->len; i++) {
    const PtGuestEntry *e = g_ptr_array_index(rows, i);
    g_assert_true(!e->name || (*e->name && !strchr(e->name, '/')));
    g_assert_nonnull(e->type);
    g_assert_cmpuint(e->mode, <=, 07777);
    g_assert_true(e->size >= 0 && e->uid >= 0 && e->gid >= 0 && e->mtime >= 0);
  }
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  static struct config c;
  static struct request r;
  g_autofree char *text = size ? g_memdup2(data + 1, size - 1) : NULL;

  if (size < 2)
    return 0;
  if (data[0] % 3 == 0 && config_parse(text, size - 1, &c)) {
    check_list(&c.command);
    check_list(&c.env);
    check_list(&c.address);
    number_of(c.time, 10, 1000000, 0);
  } else if (data[0] % 3 == 1 && request_parse(text, size - 1, &r)) {
    check_list(&r.arg);
    long long mode = number_of(r.mode, 8, 07777, 0644);
    g_assert_true(mode >= -1 && mode <= 07777);
  } else if (data[0] % 3 == 2) {
    entries(text, size - 1);
  }
  return 0;
}
