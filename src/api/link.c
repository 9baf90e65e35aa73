// SPDX-License-Identifier: Apache-2.0
/* Connections and their deadlines. libmicrohttpd's own timeout counts the time that a handler works, and spins through
 * the last second of an idle connection, so it is switched off and this does it: a thread that looks every few
 * seconds, as long as there are connections, and shuts down those whose time is over. */
#include "api/link.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"

#define LOOK_EVERY (2 * G_USEC_PER_SEC)

struct PtLink {
  PtLinks *links;
  int fd;
  guint uid;
  gint64 deadline; /* pt_mono(), 0 = none; under links->lock */
};

struct PtLinks {
  GMutex lock;
  GCond wake;
  GHashTable *all;     /* set of PtLink */
  GHashTable *at_work; /* user → count of requests (GUINT_TO_POINTER) */
  GThread *reaper;
  bool stopping;
};

static gpointer
reap(gpointer data)
{
  PtLinks *l = data;

  g_mutex_lock(&l->lock);
  while (!l->stopping) {
    if (g_hash_table_size(l->all) == 0) {
      g_cond_wait(&l->wake, &l->lock);
      continue;
    }
    g_cond_wait_until(&l->wake, &l->lock, g_get_monotonic_time() + LOOK_EVERY);
    gint64 now = pt_mono();
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, l->all);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
      PtLink *link = key;
      if (link->deadline && link->deadline <= now)
        shutdown(link->fd, SHUT_RDWR); /* still ours: the owner closes it only after pt_link_free() */
    }
  }
  g_mutex_unlock(&l->lock);
  return NULL;
}

PtLinks *
pt_links_new(void)
{
  PtLinks *l = g_new0(PtLinks, 1);

  g_mutex_init(&l->lock);
  g_cond_init(&l->wake);
  l->all = g_hash_table_new(NULL, NULL);
  l->at_work = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  l->reaper = g_thread_new("api-reaper", reap, l);
  return l;
}

void
pt_links_stop(PtLinks *l)
{
  g_mutex_lock(&l->lock);
  l->stopping = true;
  g_cond_broadcast(&l->wake);
  g_mutex_unlock(&l->lock);
}

void
pt_links_free(PtLinks *l)
{
  if (!l)
    return;
  pt_links_stop(l);
  g_thread_join(l->reaper);
  g_hash_table_unref(l->all);
  g_hash_table_unref(l->at_work);
  g_mutex_clear(&l->lock);
  g_cond_clear(&l->wake);
  g_free(l);
}

PtLink *
pt_link_new(PtLinks *l, int fd, gint64 timeout)
{
  PtLink *link = g_new0(PtLink, 1);
  struct ucred cred = { .uid = (uid_t)-1 };
  socklen_t n = sizeof cred;

  link->links = l;
  link->fd = fd;
  /* without credentials the peer is nobody: no rights come from it */
  link->uid = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 ? cred.uid : (guint)-1;
  link->deadline = pt_mono() + timeout;
  g_mutex_lock(&l->lock);
  g_hash_table_add(l->all, link);
  if (g_hash_table_size(l->all) == 1)
    g_cond_signal(&l->wake);
  g_mutex_unlock(&l->lock);
  return link;
}

void
pt_link_free(PtLink *link)
{
  g_mutex_lock(&link->links->lock);
  g_hash_table_remove(link->links->all, link);
  g_mutex_unlock(&link->links->lock);
  g_free(link);
}

guint
pt_link_uid(const PtLink *link)
{
  return link->uid;
}

guint
pt_links_count(PtLinks *l)
{
  g_mutex_lock(&l->lock);
  guint n = g_hash_table_size(l->all);
  g_mutex_unlock(&l->lock);
  return n;
}

void
pt_link_busy(PtLink *link)
{
  g_mutex_lock(&link->links->lock);
  link->deadline = 0;
  g_mutex_unlock(&link->links->lock);
}

void
pt_link_idle(PtLink *link, gint64 timeout)
{
  g_mutex_lock(&link->links->lock);
  link->deadline = pt_mono() + timeout;
  g_mutex_unlock(&link->links->lock);
}

bool
pt_link_gone(PtLink *link)
{
  struct pollfd p = { .fd = link->fd, .events = POLLRDHUP };

  g_mutex_lock(&link->links->lock);
  bool stopping = link->links->stopping;
  g_mutex_unlock(&link->links->lock);
  return stopping || (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)));
}

bool
pt_links_take(PtLinks *l, const char *user, guint max)
{
  g_mutex_lock(&l->lock);
  guint n = GPOINTER_TO_UINT(g_hash_table_lookup(l->at_work, user));
  if (n < max)
    g_hash_table_insert(l->at_work, g_strdup(user), GUINT_TO_POINTER(n + 1));
  g_mutex_unlock(&l->lock);
  return n < max;
}

void
pt_links_give(PtLinks *l, const char *user)
{
  g_mutex_lock(&l->lock);
  guint n = GPOINTER_TO_UINT(g_hash_table_lookup(l->at_work, user));
  if (n > 1)
    g_hash_table_insert(l->at_work, g_strdup(user), GUINT_TO_POINTER(n - 1));
  else
    g_hash_table_remove(l->at_work, user);
  g_mutex_unlock(&l->lock);
}
