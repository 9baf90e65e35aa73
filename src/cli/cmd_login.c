// SPDX-License-Identifier: Apache-2.0
/* login, logout. Trust on first use: where no authority vouches for the server's certificate, its fingerprint is shown and
 * the key is pinned before the password leaves this machine. */
#include <string.h>

#include "base/error.h"
#include "base/id.h"
#include "base/text.h"
#include "cli/login.h"
#include "cli/output.h"

const char pt_login_text[] =
  "Where no authority vouches for the server's certificate, its fingerprint is shown and has to be confirmed; portenad "
  "prints the same one when it starts. It is remembered in ~/.config/portena/servers.json, and another one is refused "
  "from "
  "then on. The password is asked for, or read from standard input. Without an address: the server on this machine.";

const PtOption pt_login_options[] = {
  { "user", 'u', "USER", "Your name there (asked for)", false },
  { "cert", 0, "FILE", "Believe the authorities in this file (PEM)", false },
  { "fingerprint", 0, "SHA256", "Believe the certificate with this fingerprint, without asking", false },
  { NULL, 0, NULL, NULL, false },
};

/* A host's name or address as it may stand in a header: no escapes, which GUri has undone already. */
static bool
is_host(const char *host)
{
  return host && *host && strlen(host) <= 253 &&
         strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") == strlen(host);
}

char *
pt_login_url(const char *text, GError **error)
{
  g_autofree char *with = strstr(text, "://") ? g_strdup(text) : g_strconcat("https://", text, NULL);
  g_autoptr(GUri) uri = g_uri_parse(with, G_URI_FLAGS_NONE, NULL);

  if (uri && strcmp(g_uri_get_scheme(uri), "https") == 0 && is_host(g_uri_get_host(uri)) && !g_uri_get_userinfo(uri)) {
    const char *host = g_uri_get_host(uri);
    bool six = strchr(host, ':') != NULL;
    int port = g_uri_get_port(uri);
    return g_strdup_printf("https://%s%s%s:%d", six ? "[" : "", host, six ? "]" : "", port > 0 ? port : 8443);
  }
  g_autofree char *shown = pt_safe(text);
  PT_SET(error, PT_ERR_INVALID, "'%s': a server's address is https://NAME or https://NAME:PORT\nsuch as https://server:8443",
         shown);
  return NULL;
}

static bool
same_fingerprint(const char *a, const char *b)
{
  while (*a && *b) {
    if (*a == ':' || *a == ' ')
      a++;
    else if (*b == ':' || *b == ' ')
      b++;
    else if (g_ascii_tolower(*a++) != g_ascii_tolower(*b++))
      return false;
  }
  return *a == *b;
}

static bool
believe(PtCli *cli, const PtArgs *args, const char *url, const char *fingerprint, const char *subject, const char *known,
        GError **error)
{
  const char *wanted = pt_args_get(args, "fingerprint");
  g_autofree char *safe = pt_safe(subject);

  if (wanted) {
    if (same_fingerprint(wanted, fingerprint))
      return true;
    PT_SET(error, PT_ERR_FORBIDDEN, "%s: its certificate is another one: %s\nnothing was sent there", url, fingerprint);
    return false;
  }
  if (known && strcmp(known, fingerprint) == 0)
    return true;
  if (known)
    fprintf(stderr, "The certificate of %s has CHANGED since your last login. Somebody may be in between.\n  before  %s\n",
            url, known);
  else
    fprintf(stderr, "No authority that this machine knows vouches for %s (%s).\n", url, safe);
  fprintf(stderr, "  SHA-256 %s\n", fingerprint);
  if (!cli->in_tty || !cli->err_tty) {
    PT_SET(
      error, PT_ERR_FORBIDDEN,
      "%s: nobody is here to say whether its certificate is the right one\nif it is:  portena login %s --fingerprint %s",
      url, url, fingerprint);
    return false;
  }
  if (pt_cli_confirm(cli, "Is that what the server shows (sudo portena doctor there)? Believe it from now on?"))
    return true;
  PT_SET(error, PT_ERR_CANCELLED, "%s: not believed\nnothing was sent there", url);
  return false;
}

/* Finds out how to believe the server, and notes it in the settings. */
static bool
establish_trust(PtCli *cli, const PtArgs *args, const PtHttpsModule *module, PtConfig *config, const char *url,
                GError **error)
{
  g_autofree char *fingerprint = NULL, *pin = NULL, *subject = NULL;
  const char *ca = pt_args_get(args, "cert");
  bool trusted = false;

  if (!module->probe(url, ca, &fingerprint, &pin, &subject, &trusted, error))
    return false;
  if (ca && !trusted) {
    PT_SET(error, PT_ERR_FORBIDDEN, "%s: the authorities in %s do not vouch for its certificate\nnothing was sent there",
           url, ca);
    return false;
  }
  if (!trusted && !believe(cli, args, url, fingerprint, subject, pt_config_get(config, url, "fingerprint"), error))
    return false;
  g_autofree char *absolute = ca ? g_canonicalize_filename(ca, NULL) : NULL;
  pt_config_set(config, url, "ca", absolute);
  pt_config_set(config, url, "pin", trusted ? NULL : pin);
  pt_config_set(config, url, "fingerprint", trusted ? NULL : fingerprint);
  return true;
}

static PtTransport *
bare_transport(PtCli *cli, const PtArgs *args, PtConfig *config, const char *url, GError **error)
{
  if (strcmp(url, "local") == 0) {
    const char *path = g_getenv("PORTENA_SOCKET");
    return pt_local_new(path && *path ? path : "/run/portena/api.sock", NULL);
  }
  const PtHttpsModule *module = pt_https_load(error);
  if (!module || !establish_trust(cli, args, module, config, url, error))
    return NULL;
  PtHttpsSettings s = { .url = url, .pin = pt_config_get(config, url, "pin"), .ca = pt_config_get(config, url, "ca") };
  return module->open(&s, error);
}

/* Asks for a token; once more with a code where one is wanted. */
static json_t *
ask_token(PtCli *cli, json_t *body, GError **error)
{
  for (int round = 0; round < 2; round++) {
    g_autoptr(PtClientReply) reply = pt_cli_request(cli, "POST", "/v1/session", NULL, body, error);
    if (!reply)
      return NULL;
    g_autoptr(json_t) o = pt_json_parse_object(reply->body, reply->body_size, NULL);
    if (reply->status == 401 && round == 0 && pt_json_bool(o, "code_required", false)) {
      g_autofree char *code = pt_cli_ask(cli, "Code from your app", error);
      if (!code)
        return NULL;
      json_object_set_new(body, "code", json_string(code));
      continue;
    }
    if (!pt_client_reply_check(reply, error)) {
      const char *after = pt_client_reply_header(reply, "retry-after");
      if (reply->status == 429 && after)
        pt_error_hint(error, "too many attempts: try again in %s s", after);
      return NULL;
    }
    if (o && pt_json_str(o, "token", NULL))
      return g_steal_pointer(&o);
    PT_SET(error, PT_ERR_INTERNAL, "the server let you in, but gave no token");
    return NULL;
  }
  PT_SET(error, PT_ERR_UNAUTHENTICATED, "the server did not accept the code");
  return NULL;
}

static json_t *
credentials(PtCli *cli, const PtArgs *args, char **ret_user, GError **error)
{
  g_autofree char *user = pt_args_get(args, "user") ? g_strdup(pt_args_get(args, "user")) : pt_cli_ask(cli, "User", error);

  if (!user || !pt_user_name_check(user, error))
    return NULL;
  char *password = pt_cli_secret(cli, "Password", error);
  if (!password)
    return NULL;
  g_autofree char *label = g_strdup_printf("portena on %s", g_get_host_name());
  json_t *body = json_pack("{s:s, s:s, s:b, s:s}", "user", user, "password", password, "token", 1, "name", label);
  pt_secret_free(password);
  if (!body)
    PT_SET(error, PT_ERR_INVALID, "password: it is not valid UTF-8");
  *ret_user = g_steal_pointer(&user);
  return body;
}

int
pt_login_run(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *where = pt_args_nth(args, 0);
  g_autofree char *url = !where || strcmp(where, "local") == 0 ? g_strdup("local") : pt_login_url(where, error),
                  *user = NULL;
  PtConfig *config = pt_cli_config(cli, error);

  if (!url || !config)
    return -1;
  cli->transport = bare_transport(cli, args, config, url, error);
  g_autoptr(json_t) body = cli->transport ? credentials(cli, args, &user, error) : NULL;
  g_autoptr(json_t) answer = body ? ask_token(cli, body, error) : NULL;
  if (!answer)
    return -1;
  pt_config_set(config, url, "token", pt_json_str(answer, "token", NULL));
  pt_config_set(config, url, "user", user);
  pt_config_set(config, url, "expires", pt_json_str(answer, "expires", NULL));
  pt_config_set_current(config, strcmp(url, "local") == 0 ? NULL : url);
  if (!pt_config_write(config, error))
    return -1;
  g_autofree char *until = pt_when(pt_json_str(answer, "expires", NULL));
  if (!cli->quiet)
    pt_say("You are %s at %s until %s.", user, strcmp(url, "local") == 0 ? "this machine" : url, until);
  if (pt_json_bool(json_object_get(answer, "user"), "must_change", false))
    pt_note(cli, "Your password has to be changed:  portena user password");
  return 0;
}

int
pt_logout_run(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *where = pt_args_nth(args, 0);
  PtConfig *config = pt_cli_config(cli, error);
  g_autoptr(GError) why = NULL;

  if (!config)
    return -1;
  g_autofree char *url = g_strdup(where ? where : pt_cli_server(cli));
  if (!pt_config_get(config, url, "token")) {
    g_autofree char *shown = pt_safe(url);
    PT_SET(error, PT_ERR_CONFLICT, "you are not logged in at %s", shown);
    return -1;
  }
  /* The server forgets the session if it can be told; the token goes from here in any case. */
  cli->server = url;
  bool told = pt_cli_call(cli, "DELETE", "/v1/session", NULL, NULL, &why);
  pt_config_set(config, url, "token", NULL);
  pt_config_set(config, url, "user", NULL);
  pt_config_set(config, url, "expires", NULL);
  if (g_strcmp0(pt_config_current(config), url) == 0)
    pt_config_set_current(config, NULL);
  if (!pt_config_write(config, error))
    return -1;
  pt_say("You are logged out of %s.", url);
  if (!told) {
    g_autofree char *summary = pt_error_summary(why);
    pt_note(cli, "The server could not be told (%s); the token is gone from here.", summary);
  }
  cli->server = NULL;
  return 0;
}
