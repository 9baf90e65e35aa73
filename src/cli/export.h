// SPDX-License-Identifier: Apache-2.0
#pragma once
/* `portena image export`: stands in the table of images' commands, and works as `portena export` does. */
#include "cli/args.h"
#include "cli/cli.h"

int pt_image_export(PtCli *cli, const PtArgs *args, GError **error);
extern const PtOption pt_export_options[];
extern const char pt_export_text[];
