// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Makes a directory of our own with those above it; there already: success, whatever its mode. Blocks for a moment. The error
 * names the path, its code follows the errno. Never for a path inside a guest's tree: see sys/path.h. */
bool pt_dir_make(const char *path, mode_t mode, GError **error);
