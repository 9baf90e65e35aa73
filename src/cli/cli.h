// SPDX-License-Identifier: Apache-2.0
#pragma once
/* One run of portena: what it was asked in general, how its answer looks, and the way to the server. */
#include <stdio.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/config.h"
#include "cli/transport.h"

/* Exit statuses. PT_EXIT_FAILED stands for every refusal without a number of its own. */
enum {
  PT_EXIT_DONE = 0,
  PT_EXIT_FAILED = 1,
  PT_EXIT_USAGE = 2,
  PT_EXIT_NOT_FOUND = 3,
  PT_EXIT_NO_PERMISSION = 4,
  PT_EXIT_UNREACHABLE = 5,
  PT_EXIT_TIMED_OUT = 124,
};

typedef struct PtCli {
  bool json, quiet; /* --json, -q */
  bool in_tty, out_tty, err_tty;
  bool color;             /* standard output takes colours */
  guint width;            /* columns of the terminal; 0 = not a terminal, nothing is cut */
  const char *server;     /* --server, or NULL */
  const char *space;      /* --space, or NULL */
  char *default_space;    /* found out once */
  PtConfig *config;       /* read when first needed */
  PtTransport *transport; /* opened when first needed */
  bool failed;            /* it was an operation that failed: whatever the reason, nothing here was wrong */
  bool refused;           /* the last answer was a 400: a refusal, no mistake in the command line's form */
  char *missed_space, *missed_instance, *missed_image; /* last asked for: for suggestions when not found */
} PtCli;

PtCli *pt_cli_new(void);
void pt_cli_free(PtCli *cli);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtCli, pt_cli_free)
void pt_cli_use_args(PtCli *cli, const PtArgs *args);

/* The settings, read on first use. Borrowed. */
PtConfig *pt_cli_config(PtCli *cli, GError **error);
/* "local" or an https:// address: --server, $PORTENA_SERVER, $PORTENA_SOCKET (local), the last login, else "local". */
const char *pt_cli_server(PtCli *cli);

/* The space to work in: --space, $PORTENA_SPACE, `portena use`, else what the server says is the user's own. Borrowed. */
const char *pt_cli_space(PtCli *cli, GError **error);

/* An instance on the command line: NAME or SPACE/NAME. */
typedef struct PtTarget {
  char *space, *name;
} PtTarget;
bool pt_target_parse(PtCli *cli, const char *text, PtTarget *ret, GError **error);
void pt_target_clear(PtTarget *t);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtTarget, pt_target_clear)
/* "/v1/spaces/S/instances/N" and `suffix`. The caller's to free. */
char *pt_target_path(const PtTarget *t, const char *suffix);

/* Makes a request and takes the answer's JSON (a new reference; NULL of an answer without a body). A refusal becomes an
 * error with the server's own words. `body` may be NULL. Blocks. */
bool pt_cli_call(PtCli *cli, const char *method, const char *path, const json_t *body, json_t **ret, GError **error);
/* The whole answer, refusals included (pt_client_reply_check()). `headers` as in PtClientRequest, may be NULL. */
PtClientReply *pt_cli_request(PtCli *cli, const char *method, const char *path, const char *const *headers,
                              const json_t *body, GError **error);
PtTransport *pt_cli_transport(PtCli *cli, GError **error);

/* Prints the error the way portena does and returns the exit status of its code. */
int pt_cli_fail(PtCli *cli, const GError *error);

/* "[y/N]" on the terminal. True without asking where nobody can be asked. */
bool pt_cli_confirm(PtCli *cli, const char *question);
/* A line from the terminal without echo, or from standard input where that is no terminal. NULL at its end. The caller's:
 * pt_secret_free(). */
char *pt_cli_secret(PtCli *cli, const char *prompt, GError **error);
/* A visible line in answer to a prompt. The caller's. */
char *pt_cli_ask(PtCli *cli, const char *prompt, GError **error);

/* "https://server:8443" of the web console, for links. The caller's. */
char *pt_web_url(PtCli *cli);
