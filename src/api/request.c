// SPDX-License-Identifier: Apache-2.0
#include "api/request.h"

#include <string.h>
#include <unistd.h>

#include "api/auth.h"
#include "base/text.h"

void
pt_request_init(PtRequest *r, PtApi *api, const char *target)
{
  r->api = api;
  r->target = g_strndup(target, 16384); /* what is longer is refused, but has to be seen as too long */
  r->if_match = -1;
  r->upload_fd = -1;
  r->body_size = -1;
  r->reply.stream_fd = -1;
  r->body = g_byte_array_new();
}

void
pt_request_clear(PtRequest *r)
{
  if (r->upload_fd >= 0)
    close(r->upload_fd);
  if (r->upload_free && r->upload_data)
    r->upload_free(r->upload_data);
  if (r->reply.stream_fd >= 0)
    close(r->reply.stream_fd);
  if (r->reply.read_free)
    r->reply.read_free(r->reply.read_data);
  if (r->reply.headers)
    g_ptr_array_unref(r->reply.headers);
  g_free(r->reply.text);
  g_free(r->method);
  g_free(r->target);
  g_strfreev(r->segments);
  g_clear_pointer(&r->query, g_hash_table_unref);
  pt_who_clear(&r->who);
  g_free(r->from);
  g_free(r->host);
  g_free(r->origin);
  g_byte_array_unref(r->body);
  json_decref(r->json);
  g_free(r->content_type);
  g_clear_pointer(&r->space, pt_space_free);
  g_free(r->object);
  g_free(r->action);
  g_free(r->audit_detail);
  g_free(r->login_user);
  json_decref(r->problem);
  json_decref(r->extra);
  g_free(r->allow);
}

/* What stands behind an object in an address is what is done to it. */
char *
pt_request_object(const PtRequest *r)
{
  static const char *const deeds[] = { "actions", "exec",      "console",   "desktop", "files", "logs",
                                       "samples", "processes", "thumbnail", "network", NULL };
  g_autoptr(GString) s = g_string_new(NULL);

  for (guint i = 1; r->segments && r->segments[i]; i++) {
    if (i > 2 && !r->segments[i + 1] && g_strv_contains(deeds, r->segments[i]))
      break;
    g_string_append_printf(s, "%s%s", s->len ? "/" : "", r->segments[i]);
  }
  return pt_text_safe(s->str, 300);
}

const char *
pt_param(const PtRequest *r, const char *name)
{
  gsize n = strlen(name);

  for (guint i = 0; i < PT_PARAMS_MAX && r->param_names[i]; i++) {
    if (strncmp(r->param_names[i], name, n) == 0 && r->param_names[i][n] == '}')
      return r->params[i];
  }
  return NULL;
}

void
pt_param_set(PtRequest *r, const char *name, const char *value)
{
  gsize n = strlen(name);

  for (guint i = 0; i < PT_PARAMS_MAX && r->param_names[i]; i++) {
    if (strncmp(r->param_names[i], name, n) == 0 && r->param_names[i][n] == '}')
      r->params[i] = value;
  }
}

const char *
pt_query(const PtRequest *r, const char *name, const char *fallback)
{
  const char *v = g_hash_table_lookup(r->query, name);

  return v ? v : fallback;
}

bool
pt_query_int(const PtRequest *r, const char *name, gint64 fallback, gint64 min, gint64 max, gint64 *ret, GError **error)
{
  const char *v = g_hash_table_lookup(r->query, name);

  *ret = fallback;
  if (!v || g_ascii_string_to_signed(v, 10, min, max, ret, NULL))
    return true;
  PT_SET(error, PT_ERR_INVALID, "%s: a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " is wanted", name, min,
         max);
  return false;
}

bool
pt_query_bool(const PtRequest *r, const char *name, bool fallback, bool *ret, GError **error)
{
  const char *v = g_hash_table_lookup(r->query, name);

  *ret = fallback;
  if (!v)
    return true;
  *ret = strcmp(v, "true") == 0 || strcmp(v, "1") == 0;
  if (*ret || strcmp(v, "false") == 0 || strcmp(v, "0") == 0)
    return true;
  PT_SET(error, PT_ERR_INVALID, "%s: true or false is wanted", name);
  return false;
}

bool
pt_query_known(const PtRequest *r, GError **error)
{
  g_auto(GStrv) known = g_strsplit(r->route->query ? r->route->query : "", " ", -1);
  GHashTableIter iter;
  gpointer key;
  gint64 seconds = 0;

  /* looked at before anything is done: a change must not happen and then be answered with an error */
  if ((r->route->flags & PT_R_OPERATION) && !(pt_query_int(r, "wait", 0, 0, PT_WAIT_MAX, &seconds, error) &&
                                              pt_query_int(r, "wait_ready", 0, 0, PT_WAIT_MAX, &seconds, error)))
    return false;
  g_hash_table_iter_init(&iter, r->query);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    if (g_strv_contains((const char *const *)known, key))
      continue;
    if ((r->route->flags & PT_R_OPERATION) && (strcmp(key, "wait") == 0 || strcmp(key, "wait_ready") == 0))
      continue;
    g_autofree char *shown = pt_text_safe(key, 40);
    PT_SET(error, PT_ERR_INVALID, "address: there is no parameter '%s' here", shown);
    if (known[0])
      pt_error_hint(error, "known here: %s", r->route->query);
    return false;
  }
  return true;
}

json_t *
pt_body_object(PtRequest *r, bool optional, GError **error)
{
  if (!r->json && optional)
    r->json = json_object();
  if (json_is_object(r->json))
    return r->json;
  PT_SET(error, PT_ERR_INVALID, "body: a JSON object { … } is wanted here");
  return NULL;
}

void *
pt_body_record(PtRequest *r, const PtType *type, GError **error)
{
  const json_t *body = pt_body_object(r, r->route->flags & PT_R_OPTIONAL, error);

  if (!body)
    return NULL;
  void *record = pt_record_new(type);
  if (pt_record_patch(type, record, body, PT_F_USER, NULL, error))
    return record;
  pt_record_free(type, record);
  return NULL;
}

bool
pt_if_match(const PtRequest *r, const char *what, gint64 revision, GError **error)
{
  if (r->if_match < 0 || r->if_match == revision)
    return true;
  PT_SET(error, PT_ERR_STALE,
         "%s: it was changed by somebody else meanwhile (revision %" G_GINT64_FORMAT ", not %" G_GINT64_FORMAT
         ")\nread it again and repeat the change",
         what, revision, r->if_match);
  return false;
}

void *
pt_load(PtApi *api, const char *key, const PtType *type, const char *what, gint64 *ret_revision, GError **error)
{
  g_autoptr(GError) err = NULL;
  void *record = pt_records_get(api->store, key, type, ret_revision, &err);

  if (!record && pt_error_code(err) == PT_ERR_NOT_FOUND)
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no %s", what);
  else if (!record)
    g_propagate_error(error, g_steal_pointer(&err));
  return record;
}
