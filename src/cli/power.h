// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cli/cli.h"

/* The same request for each instance named on the command line: all are sent before the first is waited for, so that twenty
 * take little longer than one. */
typedef struct PtEach {
  /* method, path with "?wait=%u" appended by the caller of it; body may be NULL */
  const char *method;
  const char *suffix;                                                /* after the instance's path, with '?' in it or not */
  const json_t *body;                                                /* or NULL */
  const char *doing;                                                 /* "Stopping" */
  bool ready;                                                        /* wait for the guest too */
  void (*done)(PtCli *cli, const PtTarget *t, const json_t *answer); /* tells the success */
} PtEach;

/* The exit status; -1 with `error` set for the one instance, else the errors are printed one by one. */
int pt_each_run(PtCli *cli, const PtArgs *args, const PtEach *each, GError **error);

/* "https://server:8443" of the web console, for links. The caller's. */
char *pt_web_url(PtCli *cli);
