// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cli/cli.h"

/* `portena __complete INDEX WORD…`: completions of WORD number INDEX (0 = the one after "portena"), one a line; a line
 * ":files" asks the shell for file names. Never fails for the user: an unreachable server completes to nothing. */
int pt_complete_run(PtCli *cli, const PtArgs *args, GError **error);
