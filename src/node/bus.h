// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Events for watchers. The bus follows the store (instances, status, spaces, images, users, operations) and takes
 * what is too fleeting for it (progress, samples). Each subscriber has a bounded queue; one that does not keep up
 * gets a single "lost" event and must read anew. Any thread. */
#include <jansson.h>

#include "store/store.h"

typedef struct PtBus PtBus;
typedef struct PtSubscriber PtSubscriber;

typedef struct PtEvent {
  guint64 seq;      /* counts up; begins at the time of the daemon's start in µs, so a predecessor's are all smaller */
  gint64 time;
  char *type;       /* "instance", "status", "operation", "image", "space", "user", "progress", "sample", "lost" */
  char *space;      /* NULL: the node's */
  char *object;     /* "spaces/home/instances/studio" */
  char *action;     /* "created", "changed", "deleted" or NULL */
  char *data;       /* JSON text of what there is to say, or NULL; never holds a secret */
} PtEvent;
void pt_event_unref(PtEvent *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtEvent, pt_event_unref)

PtBus *pt_bus_new(PtStore *store, GError **error);
void pt_bus_free(PtBus *bus); /* wakes every waiting subscriber; they get NULL from then on */

void pt_bus_publish(PtBus *bus, const char *type, const char *space, const char *object, const char *action, const char *data);

/* Events after `since` that are still remembered (1,024 of them), then all new ones. 0: all that are remembered; a number not
 * reached yet (G_MAXUINT64): only new ones; one that is no longer remembered: "lost" first, then only new ones. */
PtSubscriber *pt_bus_subscribe(PtBus *bus, guint64 since);
void pt_bus_unsubscribe(PtSubscriber *s);
/* The next one, or NULL after `timeout` µs or at the bus's end. Blocking. */
PtEvent *pt_bus_next(PtSubscriber *s, gint64 timeout);
