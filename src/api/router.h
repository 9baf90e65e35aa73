// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The table of routes: the one source of what is served, who may, and of the paths in /v1/openapi.json. */
#include "model/record.h"

typedef struct PtRequest PtRequest;

/* The least that one must be. Roles are those in the space of {space}. */
typedef enum {
  PT_ACCESS_OPEN, /* no credential */
  PT_ACCESS_USER, /* anybody who is authenticated; the handler shows what that user may see */
  PT_ACCESS_VIEWER,
  PT_ACCESS_MEMBER,
  PT_ACCESS_OWNER,
  PT_ACCESS_SELF, /* the user {user}, or an administrator; never by a scoped token */
  PT_ACCESS_ADMIN,
  PT_N_ACCESS
} PtAccess;
extern const char *const pt_access_names[];

enum {
  PT_R_AUDIT = 1u << 0,     /* a GET that goes to the audit log; whatever is no GET does anyway */
  PT_R_STREAM = 1u << 1,    /* wants "Upgrade: portena-stream/1" */
  PT_R_BODY = 1u << 2,      /* takes a JSON body */
  PT_R_OPTIONAL = 1u << 3,  /* … which may be absent */
  PT_R_OPERATION = 1u << 4, /* 202, understands ?wait= and ?wait_ready= */
  PT_R_UNCHANGED = 1u << 5, /* a user who has to change the password may still use it */
  PT_R_CREATES = 1u << 6,   /* 201 */
};

typedef struct PtRoute {
  const char *method;
  const char *path; /* "/v1/spaces/{space}" */
  PtAccess access;
  guint flags;
  bool (*handle)(PtRequest *r, GError **error);
  /* Takes the body as it comes, instead of JSON: sets r->upload_fd. NULL = JSON only. Called once authorised. With
   * `upload_fd` still -1 after success the body is JSON. */
  bool (*upload)(PtRequest *r, GError **error);
  const char *action; /* its word in the audit log; NULL = by its method: create, change, delete, set */
  const char *query;  /* names of the parameters it knows, blanks between; beside wait, wait_ready */
  const PtType *body; /* of the JSON body; NULL with PT_R_BODY = the user fields of an instance */
  const char *answer; /* name of a schema of openapi.c, "[Name]" for a list, "" = none, else a media type */
  const char *summary;
} PtRoute;

/* What a request of that route does, in a word, unless its handler knows better. Constant. */
const char *pt_route_action(const PtRoute *route);

extern const PtRoute pt_routes[];
extern const guint pt_n_routes;

/* Finds the route and sets r->route and the parameters. NOT_FOUND; INVALID with r->allow set where the path exists
 * but not with this method. HEAD is GET. */
bool pt_route(PtRequest *r, const char *method, GError **error);
