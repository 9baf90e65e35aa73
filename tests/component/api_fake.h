// SPDX-License-Identifier: Apache-2.0
#pragma once
/* A server of the API over the real store, with an agent that only pretends: linked in the place of node/. */
#include <jansson.h>

#include "api/api.h"
#include "base/json.h"

struct PtAgent {
  PtStore *store;
  PtOps *ops;
  PtWatch *watch;
  char *tree;    /* what instances have as their root directory */
  gint64 idbase; /* 0 = as if stopped */
  bool idle;     /* does not bring anything to its state */
  gint ignored;  /* changes of instances that came while it was idle */
  gint roots;    /* opened and not yet released */
};

typedef struct Fixture {
  char *dir;
  PtHost host;
  PtStore *store;
  PtBus *bus;
  PtOps *ops;
  PtAgent agent;
  PtApi *api;
  char *admin; /* token */
} Fixture;

/* `root`: the tests' own uid is root on the socket; else it is the gateway. */
void fixture_up(Fixture *f, bool root);
void fixture_down(Fixture *f);
/* An image with a name, as if it had been built. */
void fixture_image(Fixture *f, const char *name, const char *digest_digit, PtInit init, bool desktop);
/* A user with a session: the token is the caller's. */
char *fixture_user(Fixture *f, const char *name, bool admin);

typedef struct Reply {
  int status;
  char *head;
  char *body;
  gsize size;
  json_t *json; /* of the body, or NULL */
} Reply;
void reply_free(Reply *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reply, reply_free)

/* One request on a connection of its own. `token` NULL = none. `body` may be NULL; it is JSON unless `more` headers
 * ("Name: value\r\n…") say otherwise. */
Reply *ask(Fixture *f, const char *token, const char *method, const char *path, const char *body, const char *more);
/* Bytes as they are; the answer up to the end of the connection. */
Reply *ask_raw(Fixture *f, const void *bytes, gsize size);
int dial(Fixture *f);
char *header_of(const Reply *r, const char *name); /* the caller's; NULL = none */
const char *text_of(const Reply *r, const char *key);
void expect(const Reply *r, int status, const char *what);
