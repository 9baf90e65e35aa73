// SPDX-License-Identifier: Apache-2.0
/* portena: a client of the API. */
#include <signal.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/help.h"

static int
run(PtCli *cli, const PtArgs *args)
{
  const PtCommand *c = pt_args_command(args);
  g_autoptr(GError) error = NULL;

  if (pt_args_has(args, "help") || !c) {
    if (c)
      pt_help_command(cli, c);
    else
      pt_help_overview(cli);
    return c || pt_args_has(args, "help") ? PT_EXIT_DONE : PT_EXIT_USAGE;
  }
  int status = c->run(cli, args, &error);
  if (!error)
    return status;
  int code = pt_cli_fail(cli, error);
  return status > 0 ? status : code;
}

int
main(int argc, char **argv)
{
  g_autoptr(PtCli) cli = NULL;
  g_autoptr(PtArgs) args = NULL;
  g_autoptr(GError) error = NULL;

  signal(SIGPIPE, SIG_IGN);
  cli = pt_cli_new();
  args = pt_args_parse(argc - 1, argv + 1, false, &error);
  if (!args)
    return pt_cli_fail(cli, error);
  pt_cli_use_args(cli, args);
  int status = run(cli, args);
  if (fflush(stdout) != 0 && status == PT_EXIT_DONE)
    status = PT_EXIT_FAILED;
  return status;
}
