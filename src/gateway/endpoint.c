// SPDX-License-Identifier: Apache-2.0
#include "gateway/endpoint.h"

#include <string.h>

#include "base/error.h"
#include "base/id.h"
#include "base/text.h"

void
pt_caller_clear(PtCaller *caller)
{
  g_free(caller->authorization);
  g_free(caller->cookie);
  g_free(caller->origin);
  g_free(caller->host);
  g_free(caller->from);
  memset(caller, 0, sizeof *caller);
}

bool
pt_caller_check_origin(const PtCaller *caller, GError **error)
{
  if (caller->authorization && !caller->origin)
    return true;
  if (!caller->origin && !caller->cookie)
    return true; /* nobody yet: the API says so */
  if (caller->origin && caller->host && g_str_has_prefix(caller->origin, "https://") &&
      g_ascii_strcasecmp(caller->origin + strlen("https://"), caller->host) == 0)
    return true;
  PT_SET(error, PT_ERR_FORBIDDEN, "the page that asks is not one of this server's");
  return false;
}

char *
pt_caller_key(const PtCaller *caller)
{
  g_autofree char *all = g_strconcat(caller->authorization ? caller->authorization : "", "\n",
                                     caller->cookie ? caller->cookie : "", NULL);

  return pt_sha256_hex(all, strlen(all));
}

void
pt_target_clear(PtTarget *target)
{
  g_free(target->space);
  g_free(target->instance);
  g_free(target->verb);
  memset(target, 0, sizeof *target);
}

bool
pt_target_parse(const char *path, PtTarget *ret, GError **error)
{
  static const char *const verbs[] = { "exec", "console", "desktop", "thumbnail", NULL };
  g_auto(GStrv) p = g_strsplit(path, "/", 9);

  memset(ret, 0, sizeof *ret);
  if (g_strv_length(p) == 7 && *p[0] == '\0' && strcmp(p[1], "v1") == 0 && strcmp(p[2], "spaces") == 0 &&
      strcmp(p[4], "instances") == 0 && pt_name_check("space", p[3], NULL) && pt_name_check("instance", p[5], NULL) &&
      g_strv_contains(verbs, p[6])) {
    ret->space = g_strdup(p[3]);
    ret->instance = g_strdup(p[5]);
    ret->verb = g_strdup(p[6]);
    return true;
  }
  g_autofree char *shown = pt_text_safe(path, 120);
  PT_SET(error, PT_ERR_NOT_FOUND, "%s: there is no such stream", shown);
  return false;
}

#define MAX_HEADERS 8

static void
put(const char **headers, guint *n, const char *name, const char *value)
{
  if (!value)
    return;
  headers[(*n)++] = name;
  headers[(*n)++] = value;
}

/* The request's headers into room for 2 * MAX_HEADERS + 1. */
static void
caller_headers(const PtCaller *c, const char *purpose, const char **headers)
{
  guint n = 0;

  put(headers, &n, "Authorization", c->authorization);
  put(headers, &n, "Cookie", c->cookie);
  put(headers, &n, "Origin", c->origin);
  put(headers, &n, "Host", c->host);
  put(headers, &n, "X-Forwarded-For", c->from);
  put(headers, &n, "X-Portena-Purpose", purpose);
  put(headers, &n, "X-Portena", "1"); /* the Origin was checked here: a WebSocket cannot bring this header */
  headers[n] = NULL;
}

json_t *
pt_endpoint_instance(const PtClient *api, const PtCaller *caller, const PtTarget *target, PtClientReply **ret_refused,
                     GError **error)
{
  const char *headers[2 * MAX_HEADERS + 1];
  g_autofree char *path = pt_client_path("/v1/spaces/%s/instances/%s", target->space, target->instance);
  PtClientRequest request = { .method = "GET", .path = path, .headers = headers, .max_body = PT_JSON_MAX_BYTES };

  caller_headers(caller, NULL, headers);
  g_autoptr(PtClientReply) reply = pt_client_send(api, &request, error);
  if (!reply)
    return NULL;
  if (pt_client_reply_check(reply, error))
    return pt_json_parse_object(reply->body, reply->body_size, error);
  *ret_refused = g_steal_pointer(&reply);
  return NULL;
}

int
pt_endpoint_stream(const PtClient *api, const PtCaller *caller, const PtTarget *target, const char *query, const char *body,
                   const char *purpose, guint32 *ret_type, PtClientReply **ret_refused, GError **error)
{
  const char *headers[2 * MAX_HEADERS + 1];
  const char *verb = strcmp(target->verb, "thumbnail") == 0 ? "desktop" : target->verb;
  g_autofree char *plain = pt_client_path("/v1/spaces/%s/instances/%s/%s", target->space, target->instance, verb);
  g_autofree char *path = query ? g_strconcat(plain, "?", query, NULL) : g_strdup(plain);
  PtClientRequest request = { .method = body ? "POST" : "GET",
                              .path = path,
                              .headers = headers,
                              .body = body,
                              .body_size = body ? strlen(body) : 0,
                              .max_body = PT_JSON_MAX_BYTES };

  caller_headers(caller, purpose, headers);
  return pt_client_upgrade(api, &request, ret_type, ret_refused, error);
}

char *
pt_problem(const GError *error)
{
  PtErr code = pt_error_code(error);
  g_autofree char *summary = pt_error_summary(error);
  g_autofree char *detail = pt_text_safe(summary, 1000);
  g_autofree char *type = g_strconcat("urn:portena:error:", pt_err_name(code), NULL);
  const char *hint = pt_error_get_hint(error);
  g_autoptr(json_t) json = json_pack("{s:s, s:s, s:i, s:s}", "type", type, "title", pt_err_name(code), "status",
                                     (int)pt_err_http(code), "detail", detail);

  if (hint) {
    g_autofree char *safe = pt_text_safe(hint, 500);
    json_object_set_new(json, "hint", json_string(safe));
  }
  return pt_json_dump(json);
}
