// SPDX-License-Identifier: Apache-2.0
#include "api/router.h"

#include <string.h>

#include "api/auth.h"
#include "api/bodies.h"
#include "api/handlers.h"
#include "api/request.h"
#include "base/text.h"

#define OPEN PT_ACCESS_OPEN
#define USER PT_ACCESS_USER
#define VIEWER PT_ACCESS_VIEWER
#define MEMBER PT_ACCESS_MEMBER
#define OWNER PT_ACCESS_OWNER
#define SELF PT_ACCESS_SELF
#define ADMIN PT_ACCESS_ADMIN
#define BODY PT_R_BODY
#define OP PT_R_OPERATION
#define NEW PT_R_CREATES
#define S "/v1/spaces/{space}"
#define I S "/instances/{instance}"

const char *const pt_access_names[] = { "open", "user", "viewer", "member", "owner", "self", "admin", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(pt_access_names) == PT_N_ACCESS + 1);

/* clang-format off */
const PtRoute pt_routes[] = {
  { "GET", "/healthz", OPEN, 0, pt_health_get, .answer = "Health", .summary = "Whether the daemon answers" },
  { "GET", "/metrics", ADMIN, 0, pt_metrics_get, .answer = "text/plain; version=0.0.4", .summary = "Figures for Prometheus" },
  { "GET", "/v1", OPEN, 0, pt_server_get, .answer = "Server", .summary = "Which server this is" },
  { "GET", "/v1/openapi.json", OPEN, 0, pt_openapi_get, .answer = "application/json", .summary = "This description" },

  { "POST", "/v1/session", OPEN, BODY | NEW | PT_R_UNCHANGED, pt_session_create, .body = &pt_body_session, .answer = "Login", .summary = "Log in" },
  { "GET", "/v1/session", USER, PT_R_UNCHANGED, pt_session_get, .answer = "Session", .summary = "Who I am and what I may" },
  { "DELETE", "/v1/session", USER, PT_R_UNCHANGED, pt_session_delete, .answer = "", .summary = "Log out" },

  { "GET", "/v1/users", ADMIN, 0, pt_users_list, .answer = "[User]", .summary = "All users" },
  { "POST", "/v1/users", ADMIN, BODY | NEW, pt_users_create, .body = &pt_body_user_new, .answer = "User", .summary = "Make a user" },
  { "GET", "/v1/users/{user}", SELF, PT_R_UNCHANGED, pt_users_get, .answer = "User", .summary = "One user" },
  { "PATCH", "/v1/users/{user}", SELF, BODY | PT_R_UNCHANGED, pt_users_change, .body = &pt_body_user_change, .answer = "User", .summary = "Change a user, or the own password" },
  { "DELETE", "/v1/users/{user}", ADMIN, 0, pt_users_delete, .answer = "", .summary = "Delete a user with all tokens and memberships" },
  { "POST", "/v1/users/{user}/totp", SELF, 0, pt_totp_begin, .action = "totp-begin", .answer = "Totp", .summary = "Begin to set up a second factor" },
  { "PUT", "/v1/users/{user}/totp", SELF, BODY, pt_totp_prove, .body = &pt_body_code, .action = "totp-confirm", .answer = "User", .summary = "Prove the second factor; it holds from then on" },
  { "DELETE", "/v1/users/{user}/totp", SELF, BODY | PT_R_OPTIONAL, pt_totp_remove, .body = &pt_body_password, .action = "totp-remove", .answer = "", .summary = "Do without the second factor; takes the password of who asks" },
  { "GET", "/v1/users/{user}/tokens", SELF, 0, pt_tokens_get, .answer = "[Token]", .summary = "Sessions and API tokens of a user" },
  { "POST", "/v1/users/{user}/tokens", SELF, BODY | NEW, pt_tokens_create, .body = &pt_body_token, .action = "token-create", .answer = "NewToken", .summary = "Make an API token; its text is shown once" },
  { "DELETE", "/v1/users/{user}/tokens/{id}", SELF, 0, pt_tokens_delete, .action = "token-revoke", .answer = "", .summary = "Revoke a session or token" },

  { "GET", "/v1/spaces", USER, 0, pt_spaces_list, .answer = "[Space]", .summary = "Spaces that I may use" },
  { "POST", "/v1/spaces", ADMIN, BODY | NEW, pt_spaces_create, .body = &pt_space_type, .answer = "Space", .summary = "Make a space" },
  { "GET", S, VIEWER, 0, pt_spaces_get, .answer = "Space", .summary = "One space" },
  { "PATCH", S, OWNER, BODY, pt_spaces_change, .body = &pt_space_type, .answer = "Space", .summary = "Change a space; its quota by administrators only" },
  { "DELETE", S, ADMIN, OP, pt_spaces_delete, .query = "force", .answer = "Accepted", .summary = "Delete a space; with force its instances and their data too" },
  { "PUT", S "/members/{user}", OWNER, BODY, pt_members_put, .body = &pt_body_member, .action = "member-set", .answer = "Space", .summary = "Give a user a role in the space" },
  { "DELETE", S "/members/{user}", OWNER, 0, pt_members_delete, .action = "member-remove", .answer = "", .summary = "Take a user out of the space" },
  { "GET", S "/network", VIEWER, 0, pt_network_get, .answer = "Network", .summary = "The space's network: addresses and published ports" },
  { "GET", S "/processes", VIEWER, 0, pt_processes_space, .answer = "[Process]", .summary = "Every process of the space" },
  { "GET", S "/volumes", VIEWER, 0, pt_volumes_list, .answer = "[Volume]", .summary = "Volumes of the space" },
  { "POST", S "/volumes", OWNER, BODY | NEW, pt_volumes_create, .body = &pt_body_volume_new, .answer = "Volume", .summary = "Make a data volume" },
  { "GET", S "/volumes/{id}", VIEWER, 0, pt_volumes_get, .answer = "Volume", .summary = "One volume" },
  { "PATCH", S "/volumes/{id}", OWNER, BODY, pt_volumes_change, .body = &pt_body_volume, .action = "grow", .answer = "Volume", .summary = "Grow a volume" },
  { "DELETE", S "/volumes/{id}", OWNER, 0, pt_volumes_delete, .answer = "", .summary = "Delete a data volume with all that is on it; refused while an instance has it" },

  { "GET", "/v1/instances", USER, 0, pt_instances_all, .answer = "[Instance]", .summary = "All instances that I may see" },
  { "GET", S "/instances", VIEWER, 0, pt_instances_list, .answer = "[Instance]", .summary = "Instances of a space" },
  { "POST", S "/instances", OWNER, BODY | OP, pt_launch, .answer = "Instance+Accepted", .summary = "Launch an instance" },
  { "GET", I, VIEWER, 0, pt_instances_get, .answer = "Instance", .summary = "One instance" },
  { "PATCH", I, OWNER, BODY | OP, pt_instances_change, .answer = "Instance+Changed", .summary = "Change an instance; \"applies\" says when each field takes effect" },
  { "DELETE", I, OWNER, OP, pt_instances_delete, .query = "force", .answer = "Deleted", .summary = "Delete an instance with its root volume; with force also a running one. Data volumes are kept" },
  { "POST", I "/actions", MEMBER, BODY | OP, pt_actions_post, .body = &pt_body_action, .answer = "Instance+Accepted", .summary = "Start, stop, restart, pause, hibernate or resume" },
  { "POST", I "/disks", OWNER, BODY | OP, pt_disks_attach, .body = &pt_body_disk, .action = "attach", .answer = "Instance+Accepted", .summary = "Attach a data volume, while it runs or for its next start" },
  { "DELETE", I "/disks/{volume}", OWNER, OP, pt_disks_detach, .query = "force", .action = "detach", .answer = "Instance+Accepted", .summary = "Detach a data volume; with force also one that is in use inside" },
  { "POST", I "/nics", OWNER, BODY | OP, pt_nics_attach, .body = &pt_body_nic, .action = "attach", .answer = "Instance+Accepted", .summary = "Give an instance a further network card, while it runs too" },
  { "DELETE", I "/nics/{nic}", OWNER, OP, pt_nics_detach, .action = "detach", .answer = "Instance+Accepted", .summary = "Take a further network card away, while it runs too" },
  { "GET", I "/samples", VIEWER, 0, pt_samples_get, .query = "since", .answer = "Samples", .summary = "What it used, in steps of five seconds, for an hour" },
  { "GET", I "/processes", VIEWER, 0, pt_processes_instance, .answer = "[Process]", .summary = "Its processes" },
  { "GET", I "/logs", VIEWER, 0, pt_logs_get, .query = "bytes follow", .answer = "text/plain; charset=utf-8", .summary = "The end of its console's history" },
  { "POST", I "/exec", MEMBER, BODY | PT_R_STREAM, pt_exec_post, .body = &pt_body_exec, .answer = "", .summary = "Run a command or a shell inside" },
  { "GET", I "/console", MEMBER, PT_R_STREAM | PT_R_AUDIT, pt_console_get, .query = "history", .answer = "", .summary = "Attach to the console" },
  { "GET", I "/desktop", MEMBER, PT_R_STREAM | PT_R_AUDIT, pt_desktop_get, .answer = "", .summary = "Connect to the desktop (RFB)" },
  { "GET", I "/thumbnail", VIEWER, 0, pt_thumbnail_get, .answer = "image/png", .summary = "A small picture of the desktop; the gateway makes it" },
  { "GET", I "/files", MEMBER, 0, pt_files_get, .query = "path follow", .answer = "application/octet-stream", .summary = "Read a file, or list a directory" },
  { "PUT", I "/files", MEMBER, 0, pt_files_put, .upload = pt_files_upload, .query = "path mode uid gid type parents", .action = "file-write", .answer = "", .summary = "Write a file, directory or symbolic link" },
  { "DELETE", I "/files", MEMBER, 0, pt_files_delete, .query = "path recursive", .action = "file-delete", .answer = "", .summary = "Remove a file or directory" },

  { "GET", "/v1/images", USER, 0, pt_images_get_all, .answer = "[Image]", .summary = "Images of this node" },
  { "POST", "/v1/images", ADMIN, BODY | OP, pt_images_create, .upload = pt_images_upload, .body = &pt_body_image, .query = "name format arch main", .answer = "Accepted", .summary = "Build a recipe, fetch from a registry, or upload" },
  { "GET", "/v1/images/recipes", USER, 0, pt_recipes_get, .answer = "[Recipe]", .summary = "Built-in recipes" },
  { "POST", "/v1/images/prune", ADMIN, 0, pt_images_prune, .action = "prune", .answer = "Pruned", .summary = "Remove images that nothing uses or names" },
  { "GET", "/v1/images/{ref}", USER, 0, pt_images_get_one, .query = "arch", .answer = "Image", .summary = "One image, by name or digest" },
  { "PATCH", "/v1/images/{ref}", ADMIN, BODY, pt_images_change, .body = &pt_body_names, .action = "rename", .answer = "Image", .summary = "Change an image's names" },
  { "DELETE", "/v1/images/{ref}", ADMIN, 0, pt_images_delete, .answer = "", .summary = "Remove an image; refused while instances use it" },

  { "POST", "/v1/images/{ref}/exports", ADMIN, BODY | OP, pt_images_export_post, .body = &pt_body_export, .action = "export", .answer = "Accepted", .summary = "Make a file of a disk image, to be fetched; its id is the operation's" },
  { "POST", I "/exports", OWNER, BODY | OP, pt_instances_export_post, .body = &pt_body_export, .action = "export", .answer = "Accepted", .summary = "Make a file of a stopped pc's disk, to be fetched; its id is the operation's" },
  { "GET", "/v1/exports/{id}", USER, PT_R_AUDIT, pt_exports_get, .answer = "application/octet-stream", .summary = "Fetch an export that one has begun; it stays for an hour" },
  { "DELETE", "/v1/exports/{id}", USER, 0, pt_exports_delete, .action = "export-remove", .answer = "", .summary = "Remove an export that was fetched" },

  { "GET", "/v1/operations", USER, 0, pt_operations_list, .answer = "[Operation]", .summary = "Operations, newest first" },
  { "GET", "/v1/operations/{id}", USER, 0, pt_operations_get, .query = "wait", .answer = "Operation", .summary = "One operation; waits for its end if asked to" },
  { "DELETE", "/v1/operations/{id}", USER, 0, pt_operations_cancel, .query = "wait", .action = "cancel", .answer = "Operation", .summary = "Cancel an operation" },
  { "GET", "/v1/events", USER, 0, pt_events_get, .query = "space since", .answer = "text/event-stream", .summary = "What happens, as it happens" },
  { "GET", "/v1/audit", ADMIN, 0, pt_audit_get, .query = "limit before user object", .answer = "[Audit]", .summary = "Who changed what, newest first" },
  { "GET", "/v1/node", USER, 0, pt_node_get, .answer = "Node", .summary = "This node" },
  { "GET", "/v1/doctor", ADMIN, 0, pt_doctor_get, .answer = "[Check]", .summary = "What this host offers and what is wrong with it" },
};
/* clang-format on */
const guint pt_n_routes = G_N_ELEMENTS(pt_routes);

const char *
pt_route_action(const PtRoute *route)
{
  static const char *const by_method[][2] = { { "POST", "create" }, { "PATCH", "change" }, { "PUT", "set" }, { "DELETE", "delete" } };

  for (guint i = 0; !route->action && i < G_N_ELEMENTS(by_method); i++) {
    if (strcmp(route->method, by_method[i][0]) == 0)
      return by_method[i][1];
  }
  return route->action ? route->action : "read";
}

/* Compares one part of a pattern with one of an address. */
static bool
match(PtRequest *r, const char *pattern)
{
  guint at = 0, n = 0;

  memset(r->param_names, 0, sizeof r->param_names);
  for (const char *p = pattern; *p == '/'; at++) {
    const char *part = ++p;
    p += strcspn(p, "/");
    if (!r->segments[at])
      return false;
    if (*part == '{') {
      r->param_names[n] = part + 1;
      r->params[n++] = r->segments[at];
    } else if (strlen(r->segments[at]) != (gsize)(p - part) || strncmp(r->segments[at], part, (gsize)(p - part)) != 0) {
      return false;
    }
  }
  return r->segments[at] == NULL;
}

bool
pt_route(PtRequest *r, const char *method, GError **error)
{
  const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
  g_autoptr(GString) allow = g_string_new(NULL);

  for (guint i = 0; i < pt_n_routes; i++) {
    if (!match(r, pt_routes[i].path))
      continue;
    if (strcmp(pt_routes[i].method, wanted) == 0) {
      r->route = &pt_routes[i];
      return true;
    }
    /* "/v1/images/prune" is also an image's name for another method: what was matched first keeps its meaning */
    g_string_append_printf(allow, "%s%s", allow->len ? ", " : "", pt_routes[i].method);
  }
  memset(r->param_names, 0, sizeof r->param_names);
  g_autofree char *shown = pt_text_safe(r->target, 120);
  if (allow->len == 0) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is nothing at %s\nthe addresses are in /v1/openapi.json", shown);
    return false;
  }
  g_autofree char *verb = pt_text_safe(method, 20);
  r->allow = g_strdup(allow->str);
  r->status = 405;
  PT_SET(error, PT_ERR_INVALID, "%s cannot be used with %s\nwhat can: %s", shown, verb, allow->str);
  return false;
}
