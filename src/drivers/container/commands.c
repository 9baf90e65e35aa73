// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. /proc/PID/cmdline is the memory of PID. A guest can lay a file of a FUSE of its own over it, and who reads
 * then waits until the guest answers, in a way that nothing but the guest's end or our own ends. So a thread reads, we wait for it
 * for a moment, and there is one such thread for an instance at most: while it hangs, its processes are shown by their names.
 * It ends with the guest. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "drivers/container/internal.h"
#include "sys/arch.h"

#define COMMAND_MAX 1024
#define WAIT (2 * G_USEC_PER_SEC)

typedef struct Reading {
  gint refs;
  char *id;
  GArray *pids;
  GPtrArray *texts; /* with the lock held; one for each pid read so far */
  bool done;
} Reading;

static GMutex lock;
static GCond changed;
static GHashTable *at_work; /* ids that have a thread */

static void
reading_unref(Reading *r)
{
  if (!g_atomic_int_dec_and_test(&r->refs))
    return;
  g_free(r->id);
  g_array_unref(r->pids);
  g_ptr_array_unref(r->texts);
  g_free(r);
}

static char *
read_one(pid_t pid)
{
  char path[64], line[8192];

  g_snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
  if (fd >= 0)
    close(fd);
  while (n > 0 && line[n - 1] == '\0')
    n--;
  if (n <= 0)
    return NULL;
  line[n] = '\0';
  gsize from = pt_foreign_skip(line, (gsize)n);
  for (ssize_t i = 0; i < n; i++) {
    if (line[i] == '\0')
      line[i] = ' ';
  }
  return pt_text_safe(line + from, COMMAND_MAX);
}

static gpointer
read_all(gpointer data)
{
  Reading *r = data;

  for (guint i = 0; i < r->pids->len; i++) {
    char *text = read_one(g_array_index(r->pids, pid_t, i));

    g_mutex_lock(&lock);
    g_ptr_array_add(r->texts, text);
    g_mutex_unlock(&lock);
  }
  g_mutex_lock(&lock);
  r->done = true;
  g_hash_table_remove(at_work, r->id);
  g_cond_broadcast(&changed);
  g_mutex_unlock(&lock);
  reading_unref(r);
  return NULL;
}

/* With the lock held: false where another's thread does not end in time. */
static bool
take_turn(const char *id, gint64 end)
{
  if (!at_work)
    at_work = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  while (g_hash_table_contains(at_work, id)) {
    if (!g_cond_wait_until(&changed, &lock, end))
      return false;
  }
  g_hash_table_add(at_work, g_strdup(id));
  return true;
}

GPtrArray *
pt_ct_commands(const char *id, GArray *pids)
{
  GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
  gint64 end = g_get_monotonic_time() + WAIT;

  g_mutex_lock(&lock);
  bool mine = take_turn(id, end);
  g_mutex_unlock(&lock);
  if (mine) {
    Reading *r = g_new0(Reading, 1);

    r->refs = 2;
    r->id = g_strdup(id);
    r->pids = g_array_ref(pids);
    r->texts = g_ptr_array_new_with_free_func(g_free);
    g_thread_unref(g_thread_new("commands", read_all, r));
    g_mutex_lock(&lock);
    while (!r->done && g_cond_wait_until(&changed, &lock, end))
      ;
    for (guint i = 0; i < r->texts->len; i++)
      g_ptr_array_add(texts, g_strdup(g_ptr_array_index(r->texts, i)));
    g_mutex_unlock(&lock);
    reading_unref(r);
  }
  while (texts->len < pids->len)
    g_ptr_array_add(texts, NULL);
  return texts;
}
