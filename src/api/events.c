// SPDX-License-Identifier: Apache-2.0
/* Server-sent events (WHATWG HTML, "Server-sent events"): what the bus says, cut down to what the asker may see. What
 * that is, is looked up again whenever a space has changed, so who is put out of a space hears no more of it. */
#include <string.h>

#include "api/auth.h"
#include "api/handlers.h"
#include "api/view.h"
#include "base/clock.h"

#define QUIET (15 * G_USEC_PER_SEC)  /* then a comment keeps proxies from closing */
#define RECHECK (5 * G_USEC_PER_SEC) /* whether the credential still holds */

typedef struct {
  PtApi *api;
  PtLink *link;
  PtSubscriber *sub;
  PtWho who;
  char *only;         /* ?space= */
  GHashTable *spaces; /* names of those one may see; NULL = to be read */
  GString *out;       /* not yet sent */
  gsize sent;
  gint64 checked;
} Stream;

static void
stream_free(void *data)
{
  Stream *s = data;

  pt_bus_unsubscribe(s->sub);
  pt_who_clear(&s->who);
  g_free(s->only);
  g_clear_pointer(&s->spaces, g_hash_table_unref);
  g_string_free(s->out, TRUE);
  g_free(s);
}

static bool
in_my_space(Stream *s, const char *space)
{
  if (!s->spaces) {
    if (!pt_view_sync(s->api->view, NULL, NULL)) /* better silent than wrong; the next event asks again */
      return false;
    g_autoptr(GPtrArray) mine = pt_view_spaces(s->api->view, &s->who, NULL);
    s->spaces = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < mine->len; i++)
      g_hash_table_add(s->spaces, g_strdup(((PtSpace *)g_ptr_array_index(mine, i))->name));
  }
  return g_hash_table_contains(s->spaces, space);
}

static bool
visible(Stream *s, const PtEvent *e)
{
  bool all = s->who.owner_everywhere && !s->who.only_space;

  if (strcmp(e->type, "lost") == 0)
    return true;
  if (strcmp(e->type, "space") == 0) /* memberships may have changed with it */
    g_clear_pointer(&s->spaces, g_hash_table_unref);
  if (s->only && g_strcmp0(e->space, s->only) != 0)
    return false;
  if (e->space) {
    /* a space that has gone is in no list: its end is told to administrators, others see that their list is shorter */
    return all || in_my_space(s, e->space);
  }
  if (strcmp(e->type, "image") == 0)
    return true;
  g_autofree char *me = g_strconcat("users/", s->who.name, NULL);
  return all || g_strcmp0(e->object, me) == 0;
}

static void
append(Stream *s, const PtEvent *e)
{
  g_autofree char *time = pt_time_format(e->time);
  g_autoptr(json_t) head = json_pack("{s:s, s:s, s:s?, s:s?, s:s?}", "time", time, "type", e->type, "space", e->space,
                                     "object", e->object, "action", e->action);
  g_autofree char *text = pt_json_dump(head);

  text[strlen(text) - 1] = '\0';
  g_string_append_printf(s->out, "id: %" G_GUINT64_FORMAT "\nevent: %s\ndata: %s,\"data\":%s}\n\n", e->seq, e->type, text,
                         e->data && !strchr(e->data, '\n') ? e->data : "null");
}

/* A session that was ended, a user who was disabled: the stream ends too. */
static bool
still_allowed(Stream *s)
{
  if (s->who.root || pt_mono() - s->checked < RECHECK)
    return true;
  s->checked = pt_mono();
  g_autofree char *key = pt_key_token(s->who.token), *user_key = pt_key_user(s->who.name);
  g_autoptr(PtToken) t = pt_load(s->api, key, &pt_token_type, "token", NULL, NULL);
  g_autoptr(PtUser) u = t ? pt_load(s->api, user_key, &pt_user_type, "user", NULL, NULL) : NULL;
  return u && !u->disabled && (!t->expires || t->expires > pt_now()) && (u->admin || !s->who.owner_everywhere);
}

static gssize
on_read(void *data, guint64 pos, char *buf, gsize size)
{
  Stream *s = data;

  (void)pos;
  if (s->sent == s->out->len) {
    g_string_truncate(s->out, 0);
    s->sent = 0;
    gint64 quiet = pt_mono() + QUIET;
    while (s->out->len == 0) {
      if (pt_link_gone(s->link))
        return -1;
      g_autoptr(PtEvent) e = pt_bus_next(s->sub, MAX(quiet - pt_mono(), 0));
      if (pt_link_gone(s->link) || !still_allowed(s))
        return -1;
      if (e && visible(s, e))
        append(s, e);
      else if (pt_mono() >= quiet)
        g_string_append(s->out, ": quiet\n\n");
    }
  }
  gsize n = MIN(size, s->out->len - s->sent);
  memcpy(buf, s->out->str + s->sent, n);
  s->sent += n;
  return (gssize)n;
}

bool
pt_events_get(PtRequest *r, GError **error)
{
  gint64 since = 0;
  const char *only = pt_query(r, "space", NULL);

  /* a new listener gets what is to come: old events would overwrite what it has just read */
  if (!pt_query_int(r, "since", r->last_event > 0 ? r->last_event : G_MAXINT64, 0, G_MAXINT64, &since, error))
    return false;
  if (only) { /* the same answer for a space that is not there and one that is not yours */
    Stream probe = { .api = r->api, .who = r->who };
    bool mine = in_my_space(&probe, only);
    g_clear_pointer(&probe.spaces, g_hash_table_unref);
    if (!mine) {
      PT_SET(error, PT_ERR_NOT_FOUND, "there is no such space\nthose you may use: portena space list");
      return false;
    }
  }
  Stream *s = g_new0(Stream, 1);
  s->api = r->api;
  s->link = r->link;
  s->who = r->who;
  s->who.name = g_strdup(r->who.name);
  s->who.only_space = g_strdup(r->who.only_space);
  s->who.token = g_strdup(r->who.token);
  s->only = g_strdup(only);
  s->checked = pt_mono();
  s->out = g_string_new(": events\nretry: 1000\n\n");
  s->sub = pt_bus_subscribe(r->api->bus, (guint64)since);
  r->reply.status = 200;
  r->reply.type = "text/event-stream";
  r->reply.read = on_read;
  r->reply.read_data = s;
  r->reply.read_free = stream_free;
  pt_reply_header(r, "X-Accel-Buffering", "no");
  return true;
}
