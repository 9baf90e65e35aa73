// SPDX-License-Identifier: Apache-2.0
#include "drivers/machine/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/guest.h"
#include "base/text.h"
#include "drivers/machine/internal.h"

#define ANSWERS_MAX (64 * 1024)
#define END_TAG "end=\n"

void
pt_guest_add(GString *lines, const char *key, const char *value)
{
  if (!value)
    return;
  g_string_append_printf(lines, "%s=", key);
  for (; *value; value++) {
    if (*value == '\\' || *value == '\n')
      g_string_append(lines, *value == '\n' ? "\\n" : "\\\\");
    else
      g_string_append_c(lines, *value);
  }
  g_string_append_c(lines, '\n');
}

bool
pt_machine_has_agent(PtContainers *c, const PtInstance *spec, GError **error)
{
  if (spec->model == PT_MODEL_MICRO || pt_machine_agent_up(c, spec->id))
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "%s: no guest agent answers in it", spec->name);
  pt_error_hint(error, "it may still be starting; if it has none, install qemu-guest-agent in the guest; or use its console:  "
                "portena console %s", spec->name);
  return false;
}

PtGuestCall *
pt_guest_call(PtContainers *c, const PtInstance *spec, const char *lines, GError **error)
{
  int in[2] = { -1, -1 }, out[2] = { -1, -1 };
  g_autoptr(PtGuestCall) call = g_new0(PtGuestCall, 1);

  call->in = call->out = call->answers = -1;
  call->said = g_string_new(NULL);
  if (!pt_machine_has_agent(c, spec, error))
    return NULL;
  if (strlen(lines) > PT_GUEST_REQUEST_MAX) {
    PT_SET(error, PT_ERR_TOO_LARGE, "the request is too long for a machine");
    return NULL;
  }
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 || pipe2(out, O_CLOEXEC) < 0) {
    pt_error_errno(error, errno, "request");
    for (int i = 0; i < 2; i++)
      if (in[i] >= 0)
        close(in[i]);
    return NULL;
  }
  call->in = in[1];
  call->out = out[0];
  bool ok = pt_machine_ask(c, spec->id, spec->model == PT_MODEL_PC, lines, in[0], out[1], &call->answers, error);
  close(in[0]);
  close(out[1]);
  return ok ? g_steal_pointer(&call) : NULL;
}

void
pt_guest_call_free(PtGuestCall *call)
{
  if (!call)
    return;
  if (call->in >= 0)
    close(call->in);
  if (call->out >= 0)
    close(call->out);
  if (call->answers >= 0)
    close(call->answers);
  g_string_free(call->said, TRUE);
  g_free(call);
}

/* What the guest says of a failure, as an error of ours. */
static void
set_error(const char *number, const char *code, const char *text, GError **error)
{
  gint64 err = number ? g_ascii_strtoll(number, NULL, 10) : 0, ours = code ? g_ascii_strtoll(code, NULL, 10) : PT_ERR_INTERNAL;
  g_autofree char *safe = pt_text_safe(text ? text : "", PT_GUEST_TEXT_MAX);

  if (err > 0 && err < 4096)
    pt_error_errno(error, (int)err, "%s", safe);
  else
    PT_SET(error, ours >= 0 && ours < PT_N_ERRS ? ours : PT_ERR_INTERNAL, "%s", safe);
}

/* One answer off the front of what was said. 1: OK, its lines in *ret; 0: not whole yet; -1: an error. */
static int
take_answer(GString *said, char **ret, GError **error)
{
  const char *mark = g_str_has_prefix(said->str, END_TAG) ? said->str : strstr(said->str, "\n" END_TAG);
  const char *key, *value, *what = "", *number = NULL, *code = NULL, *text = NULL;

  if (!mark)
    return 0;
  gsize size = (gsize)(mark - said->str) + 1;
  g_autofree char *all = g_strndup(said->str, size), *copy = g_strdup(all);
  char *at = copy;
  g_string_erase(said, 0, (gssize)(size + strlen(END_TAG)));
  while (pt_guest_line(&at, copy + size, &key, &value) > 0) {
    const char **slot = strcmp(key, "answer") == 0  ? &what
                        : strcmp(key, "errno") == 0 ? &number
                        : strcmp(key, "code") == 0  ? &code
                        : strcmp(key, "text") == 0  ? &text
                                                    : NULL;
    if (slot && (slot != &what || !*what))
      *slot = value;
  }
  if (strcmp(what, "ok") == 0) {
    if (ret)
      *ret = g_steal_pointer(&all);
    return 1;
  }
  if (strcmp(what, "error") == 0)
    set_error(number, code, text, error);
  else
    PT_SET(error, PT_ERR_UNREACHABLE, "the machine's connection has ended");
  return -1;
}

bool
pt_guest_call_answer(PtGuestCall *call, gint64 wait, char **ret_lines, GError **error)
{
  gint64 end = pt_mono() + wait;
  char buf[4096];

  for (;;) {
    int got = take_answer(call->said, ret_lines, error);
    if (got != 0)
      return got > 0;
    struct pollfd p = { .fd = call->answers, .events = POLLIN };
    gint64 left = end - pt_mono();
    ssize_t n = left > 0 && poll(&p, 1, (int)MIN(left / 1000 + 1, 3600 * 1000)) > 0 ? read(call->answers, buf, sizeof buf) : -1;
    if (n > 0 && call->said->len + (gsize)n <= ANSWERS_MAX) {
      g_string_append_len(call->said, buf, n);
      continue;
    }
    if (n < 0 && pt_mono() < end)
      continue;
    PT_SET(error, PT_ERR_UNREACHABLE, "the machine does not answer");
    pt_error_hint(error, "it may still be starting, or its system is no longer in order: portena console NAME");
    return false;
  }
}

bool
pt_guest_call_output(PtGuestCall *call, gint64 wait, gsize max, GString *out, GError **error)
{
  gint64 end = pt_mono() + wait;
  char buf[16384];

  for (;;) {
    struct pollfd p = { .fd = call->out, .events = POLLIN };
    gint64 left = end - pt_mono();
    bool in_time = left > 0 && poll(&p, 1, (int)(left / 1000 + 1)) > 0;
    ssize_t n = in_time ? read(call->out, buf, sizeof buf) : -1;

    if (n == 0)
      return true;
    if (n < 0 || out->len + (gsize)n > max) {
      if (n < 0)
        PT_SET(error, PT_ERR_UNREACHABLE, "the machine does not answer");
      else
        PT_SET(error, PT_ERR_TOO_LARGE, "the machine's answer is too long");
      return false;
    }
    g_string_append_len(out, buf, n);
  }
}

/* ---- what it lists ---- */

static gint64
number(const char *text, gint64 max)
{
  gint64 n = 0;

  return g_ascii_string_to_signed(text, 10, 0, max, &n, NULL) ? n : 0;
}

void
pt_guest_entry_free(PtGuestEntry *e)
{
  if (!e)
    return;
  g_free(e->name);
  g_free(e->type);
  g_free(e->target);
  g_free(e);
}

static const char *
known_type(const char *value)
{
  static const char *const types[] = { "file", "directory", "symlink" };

  for (guint i = 0; i < G_N_ELEMENTS(types); i++)
    if (strcmp(types[i], value) == 0)
      return types[i];
  return "special";
}

static void
fill(PtGuestEntry *e, const char *key, const char *value)
{
  guint64 mode = 0;

  if (strcmp(key, "type") == 0) {
    g_free(e->type);
    e->type = g_strdup(known_type(value));
  } else if (strcmp(key, "mode") == 0) {
    e->mode = g_ascii_string_to_unsigned(value, 8, 0, 07777, &mode, NULL) ? (guint)mode : 0;
  } else if (strcmp(key, "uid") == 0) {
    e->uid = number(value, G_MAXUINT32);
  } else if (strcmp(key, "gid") == 0) {
    e->gid = number(value, G_MAXUINT32);
  } else if (strcmp(key, "size") == 0) {
    e->size = number(value, G_MAXINT64);
  } else if (strcmp(key, "mtime") == 0) {
    e->mtime = number(value, G_MAXINT64 / 2);
  } else if (strcmp(key, "target") == 0) {
    g_free(e->target);
    e->target = g_strdup(value);
  }
}

/* A name that could be one in a directory. */
static bool
plain_name(const char *name)
{
  return *name && strlen(name) < 256 && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

GPtrArray *
pt_guest_entries_parse(char *text, gsize size, guint max, GError **error)
{
  g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)pt_guest_entry_free);
  const char *key, *value;
  char *at = text;
  PtGuestEntry *e = NULL;
  int more;

  while ((more = pt_guest_line(&at, text + size, &key, &value)) > 0 && rows->len <= max) {
    bool named = strcmp(key, "name") == 0;

    if (named || !e) {
      e = g_new0(PtGuestEntry, 1);
      e->type = g_strdup("special");
      e->name = named ? g_strdup(value) : NULL;
      g_ptr_array_add(rows, e);
    }
    if (named && !plain_name(value)) {
      more = -1;
      break;
    }
    fill(e, key, value);
  }
  if (more < 0)
    PT_SET(error, PT_ERR_INVALID, "what the machine's agent says makes no sense");
  else if (rows->len > max)
    PT_SET(error, PT_ERR_TOO_LARGE, "has more than %u entries", max);
  return more < 0 || rows->len > max ? NULL : g_steal_pointer(&rows);
}
