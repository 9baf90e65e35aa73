// SPDX-License-Identifier: Apache-2.0
/* For compilers without libFuzzer: feeds each file named on the command line to the target. */
#include <glib.h>

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

int
main(int argc, char **argv)
{
  for (int i = 1; i < argc; i++) {
    g_autofree char *data = NULL;
    g_autoptr(GError) err = NULL;
    gsize size = 0;
    if (!g_file_get_contents(argv[i], &data, &size, &err))
      g_error("%s", err->message);
    LLVMFuzzerTestOneInput((const guint8 *)data, size);
  }
  g_print("%d inputs\n", argc - 1);
  return argc > 1 ? 0 : 1;
}
