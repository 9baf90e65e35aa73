// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cli/cli.h"

extern const PtOption pt_login_options[];
extern const char pt_login_text[];
/* "https://host:port" of what a person writes for a server, port 8443 unless told; INVALID. The caller's. */
char *pt_login_url(const char *text, GError **error);
int pt_login_run(PtCli *cli, const PtArgs *args, GError **error);
int pt_logout_run(PtCli *cli, const PtArgs *args, GError **error);
