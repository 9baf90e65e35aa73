// SPDX-License-Identifier: Apache-2.0
/* Swap in memory, of our own: made once, told from others', taken away. Root only, and only where the kernel has zram; otherwise skipped. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/zram.h"

#define MIB ((gint64)1 << 20)

static guint
swaps(void)
{
  g_autofree char *text = NULL;
  guint n = 0;

  g_assert_true(g_file_get_contents("/proc/swaps", &text, NULL, NULL));
  for (const char *at = text; (at = strchr(at, '\n')); at++)
    n++;
  return n;
}

static void
copy_record(const char *from, const char *to, char last)
{
  g_autofree char *a = g_build_filename(from, "zram", NULL), *b = g_build_filename(to, "zram", NULL), *text = NULL;
  gsize n = 0;

  g_assert_true(g_file_get_contents(a, &text, &n, NULL));
  text[n - 2] = text[n - 2] == last ? '0' : last; /* of the UUID */
  g_assert_true(g_file_set_contents(b, text, (gssize)n, NULL));
}

static void
test_zram(void)
{
  g_autofree char *run = g_dir_make_tmp("pt-zram-XXXXXX", NULL), *other = g_dir_make_tmp("pt-zram-XXXXXX", NULL);
  PtHost host = { .run = run, .memory = 64 * MIB }, stranger = { .run = other, .memory = 64 * MIB };
  g_autofree char *record = g_build_filename(run, "zram", NULL);
  g_autoptr(GError) error = NULL;
  guint before = swaps();

  g_assert_true(pt_zram_remove(&host, false)); /* there is none */
  g_assert_true(pt_zram_make(&host, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(swaps(), ==, before + 1);
  g_assert_true(pt_zram_make(&host, &error)); /* there already */
  g_assert_cmpuint(swaps(), ==, before + 1);

  copy_record(run, other, '1'); /* the same number, not the same device */
  g_assert_true(pt_zram_remove(&stranger, true));
  g_assert_cmpuint(swaps(), ==, before + 1);

  g_assert_true(pt_zram_remove(&host, true));
  g_assert_cmpuint(swaps(), ==, before);
  g_assert_cmpint(access(record, F_OK), <, 0);
  g_rmdir(run);
  g_rmdir(other);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  if (geteuid() != 0 || access("/sys/class/zram-control/hot_add", R_OK) < 0) {
    g_print("1..0 # SKIP needs root, and a kernel with zram\n");
    return 0;
  }
  g_test_add_func("/zram/own", test_zram);
  return g_test_run();
}
