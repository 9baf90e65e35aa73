// SPDX-License-Identifier: Apache-2.0
/* Files of a machine that runs: its file system is its own kernel's, so the agent in it is asked (drivers/machine/agent.h). The same
 * answers as files.c gives for a tree that is mounted here. What the guest says of its files is shown and nothing more: here, nothing
 * is opened by a name that it gave. */
#include "api/files.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

#define WAIT (30 * G_USEC_PER_SEC)
#define COMMIT_WAIT (120 * G_USEC_PER_SEC) /* what was written is on the disk then */
#define LIST_MAX (32u << 20)

static GString *
request(const char *verb, const char *path)
{
  GString *lines = g_string_new(NULL);

  pt_guest_add(lines, "do", verb);
  pt_guest_add(lines, "path", path);
  return lines;
}

static PtGuestEntry *
first_entry(char *text, GError **error)
{
  g_autoptr(GPtrArray) rows = pt_guest_entries_parse(text, strlen(text), 1, error);

  if (rows && rows->len == 1)
    return g_ptr_array_steal_index(rows, 0);
  if (rows)
    PT_SET(error, PT_ERR_INVALID, "what the machine's agent says makes no sense");
  return NULL;
}

static PtGuestEntry *
look(PtRequest *r, const PtInstance *spec, const char *path, bool follow, GError **error)
{
  g_autoptr(GString) lines = request("stat", path);
  g_autofree char *text = NULL;

  if (follow)
    pt_guest_add(lines, "follow", "1");
  g_autoptr(PtGuestCall) call = pt_agent_call(r->api->agent, spec, lines->str, error);
  return call && pt_guest_call_answer(call, WAIT, &text, error) ? first_entry(text, error) : NULL;
}

static void
describe(PtRequest *r, const PtGuestEntry *e)
{
  g_autofree char *mode = g_strdup_printf("%04o", e->mode), *mtime = pt_time_format(e->mtime);
  g_autofree char *uid = g_strdup_printf("%" G_GINT64_FORMAT, e->uid), *gid = g_strdup_printf("%" G_GINT64_FORMAT, e->gid);

  pt_reply_header(r, "X-Portena-Mode", mode);
  pt_reply_header(r, "X-Portena-Uid", uid);
  pt_reply_header(r, "X-Portena-Gid", gid);
  pt_reply_header(r, "X-Portena-Type", e->type);
  pt_reply_header(r, "X-Portena-Mtime", mtime);
}

static gint
by_name(gconstpointer a, gconstpointer b)
{
  return strcmp((*(PtGuestEntry *const *)a)->name, (*(PtGuestEntry *const *)b)->name);
}

static json_t *
entry_view(const PtGuestEntry *e)
{
  g_autofree char *shown = g_utf8_make_valid(e->name, -1), *leads = e->target ? g_utf8_make_valid(e->target, -1) : NULL,
                  *mode = g_strdup_printf("%04o", e->mode), *mtime = pt_time_format(e->mtime);

  return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:s, s:s?}", "name", shown, "type", e->type, "size", (json_int_t)e->size, "mode", mode,
                   "uid", (json_int_t)e->uid, "gid", (json_int_t)e->gid, "mtime", mtime, "target",
                   strcmp(e->type, "symlink") == 0 ? leads : NULL);
}

static bool
get_directory(PtRequest *r, const PtInstance *spec, const char *path, const PtGuestEntry *self, GError **error)
{
  g_autoptr(GString) lines = request("list", path), out = g_string_new(NULL);
  g_autoptr(PtGuestCall) call = pt_agent_call(r->api->agent, spec, lines->str, error);

  if (!call || !pt_guest_call_output(call, WAIT, LIST_MAX, out, error) || !pt_guest_call_answer(call, WAIT, NULL, error))
    return false;
  g_autoptr(GPtrArray) rows = pt_guest_entries_parse(out->str, out->len, PT_FILES_ENTRIES_MAX, error);
  if (!rows) {
    g_prefix_error(error, "%s: ", path);
    return false;
  }
  json_t *items = json_array();
  g_ptr_array_sort(rows, by_name);
  for (guint i = 0; i < rows->len; i++)
    json_array_append_new(items, entry_view(g_ptr_array_index(rows, i)));
  describe(r, self);
  return pt_reply_json(r, 200, json_pack("{s:o}", "items", items));
}

static void
call_free(void *call)
{
  pt_guest_call_free(call);
}

static gssize
on_read(void *data, guint64 pos, char *buf, gsize size)
{
  PtGuestCall *call = data;
  struct pollfd p = { .fd = call->out, .events = POLLIN };
  ssize_t n;

  (void)pos; /* the length was said, so this is asked for bytes in their order and for no more */
  if (poll(&p, 1, (int)(WAIT / 1000)) <= 0)
    return -2;
  do
    n = read(call->out, buf, size);
  while (n < 0 && errno == EINTR);
  return n > 0 ? n : -2;
}

static bool
get_file(PtRequest *r, const PtInstance *spec, const char *path, GError **error)
{
  g_autoptr(GString) lines = request("get", path);
  g_autofree char *text = NULL;
  g_autoptr(PtGuestCall) call = pt_agent_call(r->api->agent, spec, lines->str, error);
  PtGuestEntry *e = call && pt_guest_call_answer(call, WAIT, &text, error) ? first_entry(text, error) : NULL;

  if (!e)
    return false;
  describe(r, e);
  gint64 size = e->size;
  pt_guest_entry_free(e);
  pt_reply_header(r, "Content-Disposition", "attachment");
  if (size == 0)
    return pt_reply_text(r, 200, "application/octet-stream", NULL, 0);
  r->reply.status = 200;
  r->reply.type = "application/octet-stream";
  r->reply.size = (gsize)size;
  r->reply.read = on_read;
  r->reply.read_data = g_steal_pointer(&call);
  r->reply.read_free = call_free;
  return true;
}

bool
pt_files_guest_get(PtRequest *r, const PtInstance *spec, const char *path, bool follow, GError **error)
{
  PtGuestEntry *e = look(r, spec, path, follow, error);
  bool ok = false;

  if (!e)
    return false;
  if (strcmp(e->type, "directory") == 0) {
    ok = get_directory(r, spec, path, e, error);
  } else if (strcmp(e->type, "file") == 0) {
    ok = get_file(r, spec, path, error);
  } else if (strcmp(e->type, "symlink") == 0 && e->target && *e->target) {
    describe(r, e);
    ok = pt_reply_text(r, 200, "application/octet-stream", g_strdup(e->target), strlen(e->target));
  } else {
    PT_SET(error, PT_ERR_INVALID, "%s: is neither a file nor a directory, so it cannot be copied", path);
  }
  pt_guest_entry_free(e);
  return ok;
}

static PtGuestCall *
start_put(PtRequest *r, const PtInstance *spec, const char *verb, const PtFilesPut *put, GError **error)
{
  g_autoptr(GString) lines = request(verb, put->path);

  g_string_append_printf(lines, "mode=%04o\nuid=%" G_GINT64_FORMAT "\ngid=%" G_GINT64_FORMAT "\n", (guint)put->mode, put->uid, put->gid);
  if (put->parents)
    pt_guest_add(lines, "parents", "1");
  pt_guest_add(lines, "target", put->target);
  return pt_agent_call(r->api->agent, spec, lines->str, error);
}

PtGuestCall *
pt_files_guest_write(PtRequest *r, const PtInstance *spec, const PtFilesPut *put, GError **error)
{
  const struct timeval wait = { .tv_sec = WAIT / G_USEC_PER_SEC };
  g_autoptr(PtGuestCall) call = start_put(r, spec, "put", put, error);

  if (!call || !pt_guest_call_answer(call, WAIT, NULL, error))
    return NULL;
  if (setsockopt(call->in, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0) { /* a guest that takes nothing holds nobody for ever */
    pt_error_errno(error, errno, "upload");
    return NULL;
  }
  return g_steal_pointer(&call);
}

bool
pt_files_guest_commit(PtGuestCall *call, GError **error)
{
  if (shutdown(call->in, SHUT_WR) < 0) {
    pt_error_errno(error, errno, "upload");
    return false;
  }
  return pt_guest_call_answer(call, COMMIT_WAIT, NULL, error);
}

bool
pt_files_guest_make(PtRequest *r, const PtInstance *spec, const PtFilesPut *put, GError **error)
{
  g_autoptr(PtGuestCall) call = start_put(r, spec, put->target ? "symlink" : "mkdir", put, error);

  return call && pt_guest_call_answer(call, WAIT, NULL, error);
}

bool
pt_files_guest_delete(PtRequest *r, const PtInstance *spec, const char *path, bool recursive, GError **error)
{
  g_autoptr(GString) lines = request("remove", path);

  if (recursive)
    pt_guest_add(lines, "recursive", "1");
  g_autoptr(PtGuestCall) call = pt_agent_call(r->api->agent, spec, lines->str, error);
  return call && pt_guest_call_answer(call, COMMIT_WAIT, NULL, error) && pt_reply_empty(r);
}
