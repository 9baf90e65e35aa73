// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cli/commands.h"

/* The overview, one command, and all commands of an object, on standard output. */
void pt_help_overview(const PtCli *cli);
void pt_help_command(const PtCli *cli, const PtCommand *c);
