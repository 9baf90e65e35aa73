// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/output.h"

#define SOCKET_PATH "/run/portena/api.sock"
#define ANSWER_WITHIN (660 * G_USEC_PER_SEC) /* the longest ?wait= and a minute */
#define ANSWER_MAX ((gsize)64 << 20)         /* bytes; a list has about one KiB for each instance */

static guint
terminal_width(void)
{
  struct winsize ws = { 0 };

  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col >= 20)
    return ws.ws_col;
  return 80;
}

PtCli *
pt_cli_new(void)
{
  PtCli *cli = g_new0(PtCli, 1);
  const char *no_color = g_getenv("NO_COLOR"), *term = g_getenv("TERM");

  cli->in_tty = isatty(STDIN_FILENO);
  cli->out_tty = isatty(STDOUT_FILENO);
  cli->err_tty = isatty(STDERR_FILENO);
  cli->color = cli->out_tty && !(no_color && *no_color) && g_strcmp0(term, "dumb") != 0;
  cli->width = cli->out_tty ? terminal_width() : 0;
  return cli;
}

void
pt_cli_use_args(PtCli *cli, const PtArgs *args)
{
  cli->json = pt_args_has(args, "json");
  cli->quiet = pt_args_has(args, "quiet");
  cli->space = pt_args_get(args, "space");
  cli->server = pt_args_get(args, "server");
}

void
pt_cli_free(PtCli *cli)
{
  if (!cli)
    return;
  if (cli->transport)
    cli->transport->ops->free(cli->transport);
  pt_config_free(cli->config);
  g_free(cli->default_space);
  g_free(cli->missed_space);
  g_free(cli->missed_instance);
  g_free(cli->missed_image);
  g_free(cli);
}

PtConfig *
pt_cli_config(PtCli *cli, GError **error)
{
  if (!cli->config)
    cli->config = pt_config_read(error);
  return cli->config;
}

/* The current server is looked up leniently here: a damaged settings file is told by whoever needs more from it. */
const char *
pt_cli_server(PtCli *cli)
{
  const char *env = g_getenv("PORTENA_SERVER"), *current = NULL;

  if (cli->server)
    return cli->server;
  if (env && *env)
    return env;
  env = g_getenv("PORTENA_SOCKET");
  if (env && *env)
    return "local";
  if (pt_cli_config(cli, NULL))
    current = pt_config_current(cli->config);
  return current ? current : "local";
}

static PtTransport *
open_https(PtCli *cli, const char *url, GError **error)
{
  PtHttpsSettings s = { .url = url };

  if (!g_str_has_prefix(url, "https://")) {
    g_autofree char *shown = pt_safe(url);
    PT_SET(error, PT_ERR_INVALID, "server '%s': an address starts with https://\nsuch as https://server:8443, or 'local'",
           shown);
    return NULL;
  }
  s.token = pt_config_get(cli->config, url, "token");
  s.pin = pt_config_get(cli->config, url, "pin");
  s.ca = pt_config_get(cli->config, url, "ca");
  if (!s.token) {
    PT_SET(error, PT_ERR_UNAUTHENTICATED, "%s: you are not logged in there\nlog in first:  portena login %s", url, url);
    return NULL;
  }
  const PtHttpsModule *module = pt_https_load(error);
  return module ? module->open(&s, error) : NULL;
}

PtTransport *
pt_cli_transport(PtCli *cli, GError **error)
{
  if (cli->transport)
    return cli->transport;
  if (!pt_cli_config(cli, error))
    return NULL;
  const char *server = pt_cli_server(cli);
  if (strcmp(server, "local") != 0) {
    cli->transport = open_https(cli, server, error);
  } else {
    const char *path = g_getenv("PORTENA_SOCKET");
    cli->transport = pt_local_new(path && *path ? path : SOCKET_PATH, pt_config_get(cli->config, "local", "token"));
  }
  return cli->transport;
}

PtClientReply *
pt_cli_request(PtCli *cli, const char *method, const char *path, const char *const *headers, const json_t *body,
               GError **error)
{
  g_autofree char *text = body ? pt_json_dump(body) : NULL;
  PtClientRequest r = { .method = method,
                        .path = path,
                        .headers = headers,
                        .body = text,
                        .body_size = text ? strlen(text) : 0,
                        .timeout = ANSWER_WITHIN,
                        .max_body = ANSWER_MAX };
  PtTransport *t = pt_cli_transport(cli, error);

  PtClientReply *reply = t ? t->ops->send(t, &r, error) : NULL;
  cli->refused = reply && reply->status == 400;
  /* Nonsense from the other side is no mistake on the command line. */
  if (!reply && t && error && g_error_matches(*error, PT_ERROR, PT_ERR_INVALID)) {
    (*error)->code = PT_ERR_INTERNAL;
    pt_error_hint(error, "is that a portenad?  portena version");
  }
  return reply;
}

bool
pt_cli_call(PtCli *cli, const char *method, const char *path, const json_t *body, json_t **ret, GError **error)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(PtClientReply) reply = pt_cli_request(cli, method, path, NULL, body, &why);

  if (!reply) {
    /* One without a way out broke in the middle: a server that was not reached at all has said what helps. */
    if (strcmp(method, "GET") != 0 && g_error_matches(why, PT_ERROR, PT_ERR_UNREACHABLE) && !strchr(why->message, '\n'))
      pt_error_hint(&why, "what was asked for may be done all the same; see:  portena op list");
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
  }
  if (!pt_client_reply_check(reply, error))
    return false;
  if (!ret)
    return true;
  *ret = NULL;
  if (reply->body_size == 0)
    return true;
  *ret = pt_json_parse_max(reply->body, reply->body_size, ANSWER_MAX, error);
  if (*ret)
    return true;
  g_prefix_error(error, "the server's answer to %s makes no sense: ", path);
  return false;
}

/* --- where the user works --- */

/* The space of the user's own name, else the only one, else "home" where there is one. */
static char *
own_space(const json_t *session)
{
  const json_t *spaces = json_object_get(session, "spaces");
  const char *user = pt_json_str(json_object_get(session, "user"), "name", ""), *home = NULL;

  for (gsize i = 0; i < json_array_size(spaces); i++) {
    const char *name = pt_json_str(json_array_get(spaces, i), "name", "");
    if (strcmp(name, user) == 0)
      return g_strdup(name);
    if (strcmp(name, "home") == 0)
      home = name;
  }
  if (!home && json_array_size(spaces) == 1)
    home = pt_json_str(json_array_get(spaces, 0), "name", NULL);
  return g_strdup(home);
}

const char *
pt_cli_space(PtCli *cli, GError **error)
{
  const char *env = g_getenv("PORTENA_SPACE"), *set = cli->space ? cli->space : env && *env ? env : NULL;

  if (set)
    return pt_name_check("space", set, error) ? set : NULL;
  if (cli->default_space)
    return cli->default_space;
  if (!pt_cli_config(cli, error))
    return NULL;
  set = pt_config_get(cli->config, pt_cli_server(cli), "space");
  if (set)
    return pt_name_check("space", set, error) ? set : NULL;
  g_autoptr(json_t) session = NULL;
  if (!pt_cli_call(cli, "GET", "/v1/session", NULL, &session, error))
    return NULL;
  g_autofree char *own = own_space(session);
  if (own && !pt_name_check("space", own, error))
    return NULL;
  if (own) {
    cli->default_space = g_steal_pointer(&own);
    return cli->default_space;
  }
  if (json_array_size(json_object_get(session, "spaces")) == 0)
    PT_SET(error, PT_ERR_NOT_FOUND,
           "there is no space that you may use\nan administrator makes one:  portena space create NAME");
  else
    PT_SET(error, PT_ERR_INVALID,
           "you have several spaces: say which\nonce: --space NAME, or from now on:  portena use NAME");
  return NULL;
}

bool
pt_target_parse(PtCli *cli, const char *text, PtTarget *ret, GError **error)
{
  const char *slash = strchr(text, '/');
  g_autofree char *prefix = slash ? g_strndup(text, (gsize)(slash - text)) : NULL;
  const char *name = slash ? slash + 1 : text;

  if ((prefix && !pt_name_check("space", prefix, error)) || !pt_name_check("instance", name, error))
    return false;
  const char *space = prefix ? prefix : pt_cli_space(cli, error);
  if (!space)
    return false;
  ret->space = g_strdup(space);
  ret->name = g_strdup(name);
  g_free(cli->missed_space);
  g_free(cli->missed_instance);
  cli->missed_space = g_strdup(space);
  cli->missed_instance = g_strdup(name);
  return true;
}

void
pt_target_clear(PtTarget *t)
{
  g_clear_pointer(&t->space, g_free);
  g_clear_pointer(&t->name, g_free);
}

char *
pt_target_path(const PtTarget *t, const char *suffix)
{
  return g_strdup_printf("/v1/spaces/%s/instances/%s%s", t->space, t->name, suffix);
}

char *
pt_web_url(PtCli *cli)
{
  const char *server = pt_cli_server(cli);
  g_autoptr(json_t) node = NULL;

  if (strcmp(server, "local") != 0)
    return g_strdup(server);
  if (!pt_cli_call(cli, "GET", "/v1/node", NULL, &node, NULL))
    return g_strdup("https://localhost:8443");
  g_autofree char *url = pt_safe(pt_json_str(node, "url", NULL)), *name = pt_safe(pt_json_str(node, "name", "localhost"));
  return *url ? g_steal_pointer(&url) : g_strdup_printf("https://%s:8443", name);
}
