// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Connections: who is at the other end, and until when it has to do something. Any thread. */
#include <glib.h>
#include <stdbool.h>

typedef struct PtLink PtLink;
typedef struct PtLinks PtLinks;

PtLinks *pt_links_new(void);
void pt_links_stop(PtLinks *l); /* every link is gone from now on */
void pt_links_free(PtLinks *l); /* after the last pt_link_free() */
guint pt_links_count(PtLinks *l);

/* `fd` is borrowed until pt_link_free(). Timeouts are µs. */
PtLink *pt_link_new(PtLinks *l, int fd, gint64 timeout);
void pt_link_free(PtLink *link);
guint pt_link_uid(const PtLink *link);

/* While a thread of ours works or sleeps for a request its connection has no deadline; otherwise an idle peer is cut off. */
void pt_link_busy(PtLink *link);
void pt_link_idle(PtLink *link, gint64 timeout);
/* The client has hung up, or the daemon ends: what waits for it may stop. Never blocks. */
bool pt_link_gone(PtLink *link);

/* One more, or one fewer, request of that user's at work; false where it has `max` already. */
bool pt_links_take(PtLinks *l, const char *user, guint max);
void pt_links_give(PtLinks *l, const char *user);
