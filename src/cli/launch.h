// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cli/cli.h"

extern const PtOption pt_launch_options[];
extern const char pt_launch_text[];
int pt_launch_run(PtCli *cli, const PtArgs *args, GError **error);

/* Builds the recipe, for the server's architecture or `arch`, and waits, with progress; the operation in *ret (may be NULL). */
bool pt_image_build(PtCli *cli, const char *recipe, const char *arch, json_t **ret, GError **error);
