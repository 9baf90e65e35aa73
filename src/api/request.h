// SPDX-License-Identifier: Apache-2.0
#pragma once
/* One request on its way through: server.c fills it, router.c finds its route, auth.c says who asks, authz.c whether
 * that may be, a handler answers into `reply`. It lives on its connection's thread alone. */
#include <jansson.h>

#include "api/api.h"
#include "api/link.h"
#include "api/router.h"
#include "base/error.h"
#include "base/json.h"
#include "model/instance.h"
#include "model/space.h"
#include "node/records.h"

typedef struct PtAudit PtAudit;
typedef struct PtThrottle PtThrottle;
typedef struct PtView PtView;
typedef struct PtServer PtServer;
typedef struct PtGate PtGate;

struct PtApi {
  const PtHost *host;
  PtStore *store;
  PtBus *bus;
  PtOps *ops;
  PtAgent *agent;
  PtApiConfig config; /* its strings are owned */
  PtAudit *audit;
  PtThrottle *throttle; /* logins */
  PtGate *hashing;      /* how many Argon2id computations run at once */
  PtView *view;         /* instances and spaces as the API shows them */
  PtServer *server;     /* NULL until pt_api_listen() */
  GMutex memory_lock;
  GHashTable *memory_files; /* instance → bytes put into its tmpfs from outside: files.c */
  GMutex allocation;    /* launches and resizes of this node one after the other, so that they do not fail each other */
  char *dummy_hash;     /* verified for users that do not exist, so that they take as long */
  gint stopping;        /* atomic */
};

/* Who asks, with what the credential's scope leaves of the user's rights. */
typedef struct PtWho {
  char *name; /* "root" or a user; NULL = nobody has been authenticated */
  bool root;  /* uid 0 on the socket, without a credential */
  bool admin;
  bool owner_everywhere; /* the user is an administrator, whatever is left of that by the scope */
  bool must_change;      /* the password is to be changed before anything else */
  bool cookie;           /* came as a cookie: the rules against forged requests hold */
  bool read_only;        /* scope "read" or "space:NAME:read" */
  char *only_space;      /* scope "space:…" */
  char *token;           /* id; NULL for root */
  int token_kind;        /* PtTokenKind */
} PtWho;

typedef gssize (*PtReplyRead)(void *data, guint64 pos, char *buf, gsize size); /* 0 = later, -1 = end, -2 = broken */

typedef struct PtReply {
  guint status;
  const char *type; /* Content-Type */
  char *text;       /* the body; or … */
  gsize size;
  PtReplyRead read; /* … a stream, of `size` bytes or (0) of unknown length; or … */
  void *read_data;
  GDestroyNotify read_free;
  int stream_fd;      /* … a descriptor to hand over after a 101 */
  guint stream_type;  /* PT_WIRE_* */
  GPtrArray *headers; /* char *: name, value, name, value … */
} PtReply;

#define PT_PARAMS_MAX 4

typedef struct PtRequest {
  PtApi *api;
  PtLink *link; /* its connection */
  const PtRoute *route;
  char *method;
  char *target; /* as it came */
  char **segments;
  GHashTable *query;
  const char *param_names[PT_PARAMS_MAX]; /* of the route's pattern, ended by '}' */
  const char *params[PT_PARAMS_MAX];      /* borrowed from segments */
  PtWho who;
  char *from; /* address or "unix:UID" */
  char *host; /* Host header */
  char *origin;
  bool thumbnail;  /* the gateway looks at a desktop to draw its picture, every few seconds: not worth a line in the log */
  gint64 if_match; /* -1 = none */
  GByteArray *body;
  gint64 body_size; /* as announced; -1 = not */
  json_t *json;     /* NULL where the body was empty */
  int upload_fd;    /* where an upload's bytes go; -1 = none */
  gint64 upload_size;
  gint64 upload_max; /* 0 = none */
  void *upload_data; /* of the route's upload function */
  GDestroyNotify upload_free;
  gint64 last_event;  /* Last-Event-ID of an event stream that comes back */
  char *content_type; /* without parameters */
  PtSpace *space;     /* of the route's {space}, read by authz.c */
  gint64 space_revision;
  PtRole role;  /* in that space */
  char *object; /* for the audit log; NULL = from the address */
  char *action; /* what an action was, for the audit log */
  char *audit_detail;
  char *login_user;  /* who tried to log in */
  guint status;      /* instead of what the error's code says; 0 = that */
  json_t *problem;   /* more members of the problem details */
  json_t *extra;     /* more members of an operation's answer */
  guint retry_after; /* seconds; 0 = none */
  char *allow;       /* methods, with a 405 */
  PtReply reply;
} PtRequest;

void pt_request_init(PtRequest *r, PtApi *api, const char *target);
void pt_request_clear(PtRequest *r);
/* "spaces/home/instances/web": what the address is about, for the audit log. The caller's. */
char *pt_request_object(const PtRequest *r);

/* A path parameter by name; a query parameter or its fallback. Borrowed. */
const char *pt_param(const PtRequest *r, const char *name);
void pt_param_set(PtRequest *r, const char *name, const char *value); /* borrowed */
const char *pt_query(const PtRequest *r, const char *name, const char *fallback);
/* INVALID, naming the parameter, where it is no such value or outside. */
bool pt_query_int(const PtRequest *r, const char *name, gint64 fallback, gint64 min, gint64 max, gint64 *ret,
                  GError **error);
bool pt_query_bool(const PtRequest *r, const char *name, bool fallback, bool *ret, GError **error);

#define PT_WAIT_MAX 600 /* seconds */

/* INVALID where there is a parameter that the route does not know, or ?wait= is no time. */
bool pt_query_known(const PtRequest *r, GError **error);

/* Answers. `json` is taken. */
bool pt_reply_json(PtRequest *r, guint status, json_t *json);
bool pt_reply_text(PtRequest *r, guint status, const char *type, char *text, gsize size); /* text is taken */
/* 200 and the first `size` bytes of a regular file, read as they are sent; one that becomes shorter meanwhile breaks the answer off. Takes
 * `fd`. `keep` is freed after the last byte, or when the client has gone. */
bool pt_reply_file(PtRequest *r, int fd, gint64 size, void *keep, GDestroyNotify keep_free);
bool pt_reply_empty(PtRequest *r);                                                        /* 204 */
void pt_reply_header(PtRequest *r, const char *name, const char *value);
void pt_reply_etag(PtRequest *r, gint64 revision);
/* {"items":[…],"revision":N}: `items` is taken. */
bool pt_reply_items(PtRequest *r, json_t *items, gint64 revision);
/* 202 with the operation and what `object` (taken, may be NULL) holds; waits first where ?wait= asks for it. `refresh`
 * is called after the waiting for the object as it is then (NULL where it is gone), with `r`. */
typedef json_t *(*PtRefresh)(PtRequest *r, gint64 *ret_revision);
bool pt_reply_operation(PtRequest *r, const char *op, PtRefresh refresh, GError **error);

/* The body as a record of `type`: unknown and missing fields are refused. The caller's, by pt_record_free(). */
void *pt_body_record(PtRequest *r, const PtType *type, GError **error);
/* The body as an object (an empty one where there was none and `optional`). Borrowed. */
json_t *pt_body_object(PtRequest *r, bool optional, GError **error);

/* STALE where the request has an If-Match of another revision. */
bool pt_if_match(const PtRequest *r, const char *what, gint64 revision, GError **error);

/* The record behind `key`, parsed; NOT_FOUND says `what`. */
void *pt_load(PtApi *api, const char *key, const PtType *type, const char *what, gint64 *ret_revision, GError **error);
