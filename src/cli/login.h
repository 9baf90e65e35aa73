// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cli/cli.h"

extern const PtOption pt_login_options[];
extern const char pt_login_text[];
int pt_login_run(PtCli *cli, const PtArgs *args, GError **error);
int pt_logout_run(PtCli *cli, const PtArgs *args, GError **error);
