// SPDX-License-Identifier: Apache-2.0
/* What a file is, from its first bytes. */
#include "drivers/image/program.h"
#include "model/space.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  g_autofree guint8 *head = g_memdup2(data, MIN(size, PT_PROGRAM_HEAD)); /* of just that size, so that a step too far is seen */
  int runtime = -1;
  PtProgramIs is = pt_program_sniff(head, MIN(size, PT_PROGRAM_HEAD), &runtime);

  g_assert_cmpint(runtime, >=, 0);
  g_assert_cmpint(runtime, <, PT_N_RUNTIMES);
  g_assert_true(is != PT_PROGRAM_COMPONENT || runtime == PT_RUNTIME_WASM);
  g_assert_true(is != PT_PROGRAM_FOREIGN || runtime == PT_RUNTIME_NATIVE);
  return 0;
}
