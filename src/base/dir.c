// SPDX-License-Identifier: Apache-2.0
#include "base/dir.h"

#include <errno.h>

#include "base/error.h"

bool
pt_dir_make(const char *path, mode_t mode, GError **error)
{
  if (g_mkdir_with_parents(path, (int)mode) == 0)
    return true;
  pt_error_errno(error, errno, "%s", path);
  return false;
}
