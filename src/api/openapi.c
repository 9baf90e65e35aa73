// SPDX-License-Identifier: Apache-2.0
/* /v1/openapi.json (OpenAPI 3.1): paths from the table of routes, schemas from the records' tables of fields, so that
 * neither can say something else than what is served. Only what is no record is written down here. Made once, on first use.
 */
#include <string.h>

#include "api/bodies.h"
#include "api/handlers.h"
#include "api/view.h"

/* Schemas of what is no record: name, and "field type" words; "?" behind a type: may be null. */
static const struct {
  const char *name, *fields;
} plain[] = {
  { "Health", "status string" },
  { "Server", "name string version string api integer" },
  { "Login", "user User expires string token string?" },
  { "Session", "user User spaces array server object" },
  { "Totp", "secret string uri string" },
  { "Network", "subnet string? prefix6 string? uplink string? leases array ports array" },
  { "Process",
    "instance string pid integer ppid integer user string state string cpu_usec integer memory integer started string? "
    "command string" },
  { "Samples", "step integer items array" },
  { "Recipe", "name string description string? format string image string?" },
  { "Pruned", "removed array freed integer" },
  { "Audit", "id string time string user string? from string? method string? path string? object string? action string? "
             "outcome string "
             "detail string?" },
  { "Node",
    "name string url string? arch string? cpus integer memory integer version string uplink string? pool object instances integer "
    "running integer load number pressure object" },
  { "Check", "check string state string detail string hint string?" },
  { "Usage", "cpu number memory integer disk integer rx integer tx integer" },
  { "OperationError", "code string detail string hint string?" },
  { "Problem", "type string title string status integer detail string" },
};

static json_t *
reference(const char *name)
{
  g_autofree char *ref = g_strconcat("#/components/schemas/", name, NULL);

  return json_pack("{s:s}", "$ref", ref);
}

static json_t *
scalar(const char *type, bool nullable)
{
  if (!nullable)
    return g_ascii_isupper(*type) ? reference(type) : json_pack("{s:s}", "type", type);
  if (g_ascii_isupper(*type))
    return json_pack("{s:[o,{s:s}]}", "anyOf", reference(type), "type", "null");
  return json_pack("{s:[s,s]}", "type", type, "null");
}

static json_t *
plain_schema(const char *fields)
{
  g_auto(GStrv) word = g_strsplit(fields, " ", -1);
  json_t *properties = json_object(), *required = json_array();

  for (guint i = 0; word[i] && word[i + 1]; i += 2) {
    bool nullable = g_str_has_suffix(word[i + 1], "?");
    g_autofree char *type = g_strndup(word[i + 1], strcspn(word[i + 1], "?"));
    json_object_set_new(properties, word[i], scalar(type, nullable));
    if (!nullable)
      json_array_append_new(required, json_string(word[i]));
  }
  return json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
}

/* ── from the tables ── */

static json_t *type_schema(const PtType *type, guint flags);

static json_t *
enum_schema(const PtField *f)
{
  json_t *values = json_array();

  for (const char *const *n = f->names; *n; n++)
    json_array_append_new(values, json_string(*n));
  return json_pack("{s:s, s:o}", "type", "string", "enum", values);
}

/* `in`: of a request, where sizes and cpus may be text too, as people write them. */
static json_t *
field_schema(const PtField *f, bool in)
{
  switch (f->kind) {
  case PT_FIELD_BOOL:
    return json_pack("{s:s}", "type", "boolean");
  case PT_FIELD_INT:
    return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)f->min, "maximum", (json_int_t)f->max);
  case PT_FIELD_SIZE:
    return in ? json_pack("{s:[s,s]}", "type", "integer", "string") : json_pack("{s:s}", "type", "integer");
  case PT_FIELD_CPU:
    return in ? json_pack("{s:[s,s]}", "type", "number", "string") : json_pack("{s:s}", "type", "number");
  case PT_FIELD_TIME:
    return json_pack("{s:[s,s], s:s}", "type", "string", "null", "format", "date-time");
  case PT_FIELD_ENUM:
    return enum_schema(f);
  case PT_FIELD_STRINGS:
    return json_pack("{s:[s,s], s:{s:s}}", "type", "array", "null", "items", "type", "string");
  case PT_FIELD_MAP:
    return json_pack("{s:[s,s], s:{s:s}}", "type", "object", "null", "additionalProperties", "type", "string");
  case PT_FIELD_OBJECT:
    return type_schema(f->type, in ? PT_F_USER : 0);
  case PT_FIELD_LIST:
    return json_pack("{s:s, s:o}", "type", "array", "items", type_schema(f->type, in ? PT_F_USER : 0));
  default:
    return json_pack("{s:[s,s]}", "type", "string", "null");
  }
}

static void
add_field(json_t *properties, const PtField *f, bool in)
{
  json_t *schema = field_schema(f, in);

  if (f->help)
    json_object_set_new(schema, "description", json_string(f->help));
  if (!in && (f->flags & (PT_F_LIVE | PT_F_STOPPED)))
    json_object_set_new(schema, "x-portena-applies", json_string(f->flags & PT_F_LIVE ? "now" : "at the next start"));
  json_object_set_new(properties, f->name, schema);
}

/* flags 0: what is shown; otherwise what a request may have. */
static json_t *
type_schema(const PtType *type, guint flags)
{
  json_t *properties = json_object(), *required = json_array();

  for (guint i = 0; i < type->n_fields; i++) {
    const PtField *f = &type->fields[i];
    if (flags ? !(f->flags & flags) : (f->flags & PT_F_SECRET) != 0) /* what is secret may be given, and is not shown */
      continue;
    add_field(properties, f, flags != 0);
    if (!flags || (f->flags & PT_F_REQUIRED))
      json_array_append_new(required, json_string(f->name));
  }
  json_t *schema = json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
  if (flags)
    json_object_set_new(schema, "additionalProperties", json_false());
  return schema;
}

/* A view has other fields than its record: what an empty one shows is what there is. */
static json_t *
instance_schema(void)
{
  g_autoptr(PtInstance) empty = pt_record_new(&pt_instance_type);
  g_autoptr(json_t) view = pt_instance_json(empty, NULL, 1);
  json_t *properties = json_object(), *required = json_array(), *value;
  const char *key;

  json_object_foreach(view, key, value)
  {
    const PtField *f = pt_field_find(&pt_instance_type, key);
    if (!f)
      f = pt_field_find(&pt_status_type, key);
    if (strcmp(key, "usage") == 0)
      json_object_set_new(properties, key, scalar("Usage", true));
    else if (strcmp(key, "exit_code") == 0) /* null before the first end */
      json_object_set_new(properties, key, scalar("integer", true));
    else if (strcmp(key, "actions") == 0)
      json_object_set_new(properties, key, json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string"));
    else if (strcmp(key, "node") == 0)
      json_object_set_new(properties, key, scalar("string", true));
    else if (f)
      add_field(properties, f, false);
    else
      json_object_set_new(properties, key, json_pack("{s:s}", "type", "integer"));
    json_array_append_new(required, json_string(key));
  }
  return json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
}

static json_t *
launch_schema(void)
{
  json_t *schema = type_schema(&pt_instance_type, PT_F_USER), *more = type_schema(&pt_body_launch, PT_F_USER);

  json_object_update(json_object_get(schema, "properties"), json_object_get(more, "properties"));
  json_array_append_new(json_object_get(schema, "required"), json_string("image"));
  json_decref(more);
  return schema;
}

static json_t *
with(json_t *schema, const char *fields)
{
  json_t *more = plain_schema(fields);

  json_object_update(json_object_get(schema, "properties"), json_object_get(more, "properties"));
  json_array_extend(json_object_get(schema, "required"), json_object_get(more, "required"));
  json_decref(more);
  return schema;
}

static void
without(json_t *schema, const char *field)
{
  json_t *required = json_object_get(schema, "required");

  json_object_del(json_object_get(schema, "properties"), field);
  for (size_t i = json_array_size(required); i-- > 0;) {
    if (strcmp(json_string_value(json_array_get(required, i)), field) == 0)
      json_array_remove(required, i);
  }
}

static json_t *
schemas(void)
{
  json_t *out = json_object();
  json_t *operation = type_schema(&pt_operation_type, 0), *space = type_schema(&pt_space_type, 0);

  for (guint i = 0; i < G_N_ELEMENTS(plain); i++)
    json_object_set_new(out, plain[i].name, plain_schema(plain[i].fields));
  without(operation, "error_code");
  without(operation, "error");
  without(space, "op");
  json_object_set_new(out, "Instance", instance_schema());
  json_object_set_new(out, "Launch", launch_schema());
  json_object_set_new(out, "Change", type_schema(&pt_instance_type, PT_F_LIVE | PT_F_STOPPED));
  json_object_set_new(json_object_get(json_object_get(out, "Change"), "properties"), "name",
                      json_pack("{s:s}", "type", "string"));
  json_object_set_new(out, "Operation", with(operation, "error OperationError?"));
  json_object_set_new(out, "Space", with(space, "used object role string revision integer"));
  json_object_set_new(out, "User", with(type_schema(&pt_user_type, 0), "totp boolean revision integer"));
  json_object_set_new(out, "Token", type_schema(&pt_token_type, 0));
  json_object_set_new(out, "NewToken", with(type_schema(&pt_token_type, 0), "token string"));
  json_object_set_new(out, "Volume", with(type_schema(&pt_volume_type, 0), "used integer? attached string? path string? revision integer"));
  json_object_set_new(out, "Image", with(type_schema(&pt_image_type, 0), "used_by array revision integer"));
  json_object_set_new(out, "Accepted", plain_schema("operation Operation"));
  json_object_set_new(out, "Deleted", plain_schema("operation Operation kept array"));
  json_object_set_new(out, "Changed", plain_schema("operation Operation applies object"));
  return out;
}

/* ── paths ── */

static json_t *
answer_schema(const char *answer)
{
  const char *plus = strchr(answer, '+');

  if (*answer == '[') {
    g_autofree char *name = g_strndup(answer + 1, strlen(answer) - 2);
    return json_pack("{s:s, s:{s:{s:s, s:o}, s:{s:s}}, s:[s]}", "type", "object", "properties", "items", "type", "array",
                     "items", reference(name), "revision", "type", "integer", "required", "items");
  }
  if (plus) {
    g_autofree char *first = g_strndup(answer, (gsize)(plus - answer));
    return json_pack("{s:[o,o]}", "allOf", reference(first), reference(plus + 1));
  }
  return reference(answer);
}

static json_t *
responses(const PtRoute *route)
{
  json_t *out = json_object(), *ok = json_pack("{s:s}", "description", route->summary);
  const char *status = route->flags & PT_R_STREAM      ? "101"
                       : route->flags & PT_R_OPERATION ? "202"
                       : route->flags & PT_R_CREATES   ? "201"
                       : *route->answer == '\0'        ? "204"
                                                       : "200";

  if (strchr(route->answer, '/'))
    json_object_set_new(ok, "content", json_pack("{s:{}}", route->answer));
  else if (*route->answer)
    json_object_set_new(ok, "content", json_pack("{s:{s:o}}", "application/json", "schema", answer_schema(route->answer)));
  json_object_set_new(
      out, strcmp(route->path, "/v1/operations/{id}") == 0 && strcmp(route->method, "DELETE") == 0 ? "202" : status, ok);
  json_object_set_new(out, "default",
                      json_pack("{s:s, s:{s:{s:o}}}", "description", "A problem", "content", "application/problem+json",
                                "schema", reference("Problem")));
  return out;
}

static void
add_parameter(json_t *list, const char *name, const char *in)
{
  json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", name, "in", in, "required",
                                        strcmp(in, "path") == 0, "schema", "type", "string"));
}

static json_t *
parameters(const PtRoute *route)
{
  json_t *list = json_array();
  g_auto(GStrv) query = g_strsplit(route->query ? route->query : "", " ", -1);

  for (const char *p = strchr(route->path, '{'); p; p = strchr(p + 1, '{')) {
    g_autofree char *name = g_strndup(p + 1, strcspn(p + 1, "}"));
    add_parameter(list, name, "path");
  }
  for (guint i = 0; query[i] && *query[i]; i++)
    add_parameter(list, query[i], "query");
  if (route->flags & PT_R_OPERATION) {
    add_parameter(list, "wait", "query");
    add_parameter(list, "wait_ready", "query");
  }
  return list;
}

static json_t *
body_schema(const PtRoute *route)
{
  if (route->body == &pt_space_type)
    return type_schema(route->body, strcmp(route->method, "POST") == 0 ? PT_F_USER | PT_F_ADMIN : PT_F_LIVE | PT_F_ADMIN);
  if (route->body == &pt_body_names)
    return type_schema(&pt_image_type, PT_F_LIVE);
  if (route->body)
    return type_schema(route->body, PT_F_USER);
  return reference(strcmp(route->method, "POST") == 0 ? "Launch" : "Change");
}

static json_t *
operation_of(const PtRoute *route)
{
  json_t *op = json_pack("{s:s, s:s, s:o, s:o}", "summary", route->summary, "x-portena-access",
                         pt_access_names[route->access], "parameters", parameters(route), "responses", responses(route));

  if (route->flags & PT_R_BODY)
    json_object_set_new(op, "requestBody",
                        json_pack("{s:b, s:{s:{s:o}}}", "required", !(route->flags & PT_R_OPTIONAL), "content",
                                  "application/json", "schema", body_schema(route)));
  else if (route->upload)
    json_object_set_new(op, "requestBody", json_pack("{s:{s:{}}}", "content", "application/octet-stream"));
  if (route->access == PT_ACCESS_OPEN)
    json_object_set_new(op, "security", json_array());
  return op;
}

static char *
document(void)
{
  g_autoptr(json_t) paths = json_object();

  for (guint i = 0; i < pt_n_routes; i++) {
    const PtRoute *route = &pt_routes[i];
    g_autofree char *method = g_ascii_strdown(route->method, -1);
    json_t *path = json_object_get(paths, route->path);
    if (!path) {
      path = json_object();
      json_object_set_new(paths, route->path, path);
    }
    json_object_set_new(path, method, operation_of(route));
  }
  g_autoptr(json_t) doc =
      json_pack("{s:s, s:{s:s, s:s, s:s}, s:O, s:{s:o, s:{s:{s:s, s:s}, s:{s:s, s:s, s:s}}}, s:[{s:[]},{s:[]}]}", "openapi",
                "3.1.0", "info", "title", "Portena", "version", PORTENA_VERSION, "description",
                "Virtual personal computers on one's own servers.", "paths", paths, "components", "schemas", schemas(),
                "securitySchemes", "token", "type", "http", "scheme", "bearer", "cookie", "type", "apiKey", "in", "cookie",
                "name", "portena", "security", "token", "cookie");
  return pt_json_dump(doc);
}

bool
pt_openapi_get(PtRequest *r, GError **error)
{
  static char *text;
  static gsize done;

  (void)error;
  if (g_once_init_enter(&done)) {
    text = document();
    g_once_init_leave(&done, 1);
  }
  return pt_reply_text(r, 200, "application/json", g_strdup(text), strlen(text));
}
