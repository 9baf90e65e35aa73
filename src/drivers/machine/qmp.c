// SPDX-License-Identifier: Apache-2.0
#include "drivers/machine/qmp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#define READ_BYTES 16384
#define SHOWN 200 /* of QEMU's own words */

typedef struct Event {
  char *name;
  json_t *data;
} Event;

struct PtQmp {
  int fd;
  GByteArray *in;   /* what has come and is no whole line yet */
  gsize looked;     /* so much of it holds no line break */
  GQueue *events;   /* of Event */
  gint64 id;        /* of the last command */
  guint major;
  GError *broken;   /* set once, then nothing works any more */
};

static void
event_free(gpointer data)
{
  Event *e = data;

  g_free(e->name);
  json_decref(e->data);
  g_free(e);
}

void
pt_qmp_close(PtQmp *q)
{
  if (!q)
    return;
  close(q->fd);
  g_byte_array_unref(q->in);
  g_queue_free_full(q->events, event_free);
  g_clear_error(&q->broken);
  g_free(q);
}

guint
pt_qmp_major(const PtQmp *q)
{
  return q->major;
}

static bool
still_whole(const PtQmp *q, GError **error)
{
  if (!q->broken)
    return true;
  g_propagate_error(error, g_error_copy(q->broken));
  return false;
}

/* Remembers an error that leaves the stream in the middle of something. Always false. */
static bool
give_up(PtQmp *q, GError *why, GError **error)
{
  g_prefix_error(&why, "QEMU: ");
  q->broken = why;
  return still_whole(q, error);
}

static bool
wait_for(PtQmp *q, short events, gint64 end, GError **error)
{
  for (;;) {
    struct pollfd p = { .fd = q->fd, .events = events };
    gint64 left = end - pt_mono();
    int n = poll(&p, 1, (int)CLAMP((left + 999) / 1000, 0, 3600 * 1000));

    if (n > 0)
      return true;
    if (n < 0 && errno != EINTR) {
      GError *why = NULL;
      pt_error_errno(&why, errno, "poll");
      return give_up(q, why, error);
    }
    if (left <= 0)
      return give_up(q, g_error_new(PT_ERROR, PT_ERR_TIMEOUT, "does not answer"), error);
  }
}

/* ---- writing ---- */

static ssize_t
send_some(int fd, const char *text, gsize size, int pass)
{
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = { { 0 } };
  struct iovec part = { (char *)text, size };
  struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };

  if (pass >= 0) {
    msg.msg_control = control.bytes;
    msg.msg_controllen = sizeof control.bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &pass, sizeof pass);
  }
  return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool
write_all(PtQmp *q, const char *text, int pass, gint64 end, GError **error)
{
  gsize size = strlen(text), done = 0;

  while (done < size) {
    ssize_t n = send_some(q->fd, text + done, size - done, done == 0 ? pass : -1);

    if (n > 0) {
      done += (gsize)n;
    } else if (n < 0 && errno == EAGAIN) {
      if (!wait_for(q, POLLOUT, end, error))
        return false;
    } else if (n < 0 && errno != EINTR) {
      return give_up(q, g_error_new(PT_ERROR, PT_ERR_UNREACHABLE, "is gone: %s", g_strerror(errno)), error);
    }
  }
  return true;
}

/* ---- reading ---- */

bool
pt_qmp_parse(const char *line, gsize size, PtQmpKind *ret_kind, json_t **ret, GError **error)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(json_t) json = pt_json_parse_object(line, size, &why);

  if (!json) {
    PT_SET(error, PT_ERR_INTERNAL, "what it says is no QMP: %s", why->message);
    return false;
  }
  const json_t *answer = json_object_get(json, "return"), *failure = json_object_get(json, "error");
  bool greeting = json_is_object(json_object_get(json, "QMP")), event = json_is_string(json_object_get(json, "event"));
  bool answered = (answer != NULL) != (failure != NULL) && (!failure || json_is_object(failure));

  if ((int)greeting + (int)event + (int)(answer || failure) != 1 || ((answer || failure) && !answered)) {
    PT_SET(error, PT_ERR_INTERNAL, "what it says is no QMP: neither greeting nor answer nor event");
    return false;
  }
  *ret_kind = greeting ? PT_QMP_GREETING : event ? PT_QMP_EVENT : PT_QMP_ANSWER;
  *ret = g_steal_pointer(&json);
  return true;
}

/* A whole line taken out of what has come; the caller's, NULL where there is none yet. */
static char *
take_line(PtQmp *q, gsize *ret_size)
{
  const guint8 *at = q->looked < q->in->len ? memchr(q->in->data + q->looked, '\n', q->in->len - q->looked) : NULL;

  if (!at) {
    q->looked = q->in->len;
    return NULL;
  }
  gsize size = (gsize)(at - q->in->data);
  char *line = g_strndup((const char *)q->in->data, size); /* NUL is no JSON, and found to be none */
  g_byte_array_remove_range(q->in, 0, (guint)size + 1);
  q->looked = 0;
  *ret_size = size;
  return line;
}

static void
keep_event(PtQmp *q, const json_t *message)
{
  json_t *data = json_object_get(message, "data");
  Event *e = g_new0(Event, 1);

  e->name = pt_text_safe(pt_json_str(message, "event", ""), SHOWN);
  e->data = json_is_object(data) ? json_incref(data) : json_object();
  if (g_queue_get_length(q->events) >= PT_QMP_EVENTS_MAX)
    event_free(g_queue_pop_head(q->events));
  g_queue_push_tail(q->events, e);
}

static bool
read_some(PtQmp *q, gint64 end, GError **error)
{
  guint8 buf[READ_BYTES];

  if (!wait_for(q, POLLIN, end, error))
    return false;
  ssize_t n = recv(q->fd, buf, sizeof buf, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return true;
  if (n <= 0)
    return give_up(q, g_error_new(PT_ERROR, PT_ERR_UNREACHABLE, "is gone%s%s", n < 0 ? ": " : "", n < 0 ? g_strerror(errno) : ""), error);
  g_byte_array_append(q->in, buf, (guint)n);
  return true;
}

/* The next message. Events are kept, and returned too. */
static json_t *
next_message(PtQmp *q, gint64 end, PtQmpKind *ret_kind, GError **error)
{
  for (;;) {
    GError *why = NULL;
    json_t *message;
    gsize size = 0;
    g_autofree char *line = take_line(q, &size);

    if (!line && q->in->len > PT_JSON_MAX_BYTES) {
      give_up(q, g_error_new(PT_ERROR, PT_ERR_INTERNAL, "says more in one line than anybody should"), error);
      return NULL;
    }
    if (!line) {
      if (!read_some(q, end, error))
        return NULL;
      continue;
    }
    if (!pt_qmp_parse(line, size, ret_kind, &message, &why)) {
      give_up(q, why, error);
      return NULL;
    }
    if (*ret_kind == PT_QMP_EVENT)
      keep_event(q, message);
    return message;
  }
}

PtQmp *
pt_qmp_open(int fd, gint64 timeout, GError **error)
{
  PtQmp *q = g_new0(PtQmp, 1);
  gint64 end = pt_mono() + timeout;
  PtQmpKind kind;

  q->fd = fd;
  q->in = g_byte_array_new();
  q->events = g_queue_new();
  json_t *message = next_message(q, end, &kind, error);
  if (message && kind != PT_QMP_GREETING) {
    give_up(q, g_error_new(PT_ERROR, PT_ERR_INTERNAL, "does not greet"), error);
    g_clear_pointer(&message, json_decref);
  }
  if (!message) {
    pt_qmp_close(q);
    return NULL;
  }
  const json_t *version = json_object_get(json_object_get(json_object_get(message, "QMP"), "version"), "qemu");
  q->major = (guint)CLAMP(json_integer_value(json_object_get(version, "major")), 0, 1000);
  json_decref(message);
  if (pt_qmp_do(q, "qmp_capabilities", NULL, MAX(end - pt_mono(), 1), error))
    return q;
  pt_qmp_close(q);
  return NULL;
}

/* ---- commands ---- */

static void
set_error(const json_t *message, const char *command, GError **error)
{
  const json_t *e = json_object_get(message, "error");
  const char *class = pt_json_str(e, "class", "");
  g_autofree char *desc = pt_text_safe(pt_json_str(e, "desc", "fails without a word"), SHOWN);
  PtErr code = strcmp(class, "DeviceNotFound") == 0    ? PT_ERR_NOT_FOUND
               : strcmp(class, "CommandNotFound") == 0 ? PT_ERR_UNSUPPORTED
                                                       : PT_ERR_INTERNAL;

  PT_SET(error, code, "QEMU: %s: %s", command, desc);
}

static json_t *
run(PtQmp *q, const char *command, json_t *arguments, int pass, gint64 timeout, GError **error)
{
  g_autoptr(json_t) request = json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments, "id", (json_int_t)++q->id);
  g_autofree char *text = request ? pt_json_dump(request) : NULL, *wire = text ? g_strconcat(text, "\r\n", NULL) : NULL;
  gint64 end = pt_mono() + timeout;

  if (!still_whole(q, error))
    return NULL;
  if (!wire) {
    PT_SET(error, PT_ERR_INVALID, "%s: an argument is not UTF-8", command);
    return NULL;
  }
  if (!write_all(q, wire, pass, end, error))
    return NULL;
  for (;;) {
    PtQmpKind kind;
    g_autoptr(json_t) message = next_message(q, end, &kind, error);

    if (!message)
      return NULL;
    if (kind == PT_QMP_EVENT)
      continue;
    if (kind != PT_QMP_ANSWER || pt_json_int(message, "id", -1) != q->id) {
      give_up(q, g_error_new(PT_ERROR, PT_ERR_INTERNAL, "%s: answers something else", command), error);
      return NULL;
    }
    json_t *result = json_object_get(message, "return");
    if (!result)
      set_error(message, command, error);
    return result ? json_incref(result) : NULL;
  }
}

json_t *
pt_qmp_run(PtQmp *q, const char *command, json_t *arguments, gint64 timeout, GError **error)
{
  return run(q, command, arguments, -1, timeout, error);
}

bool
pt_qmp_do_fd(PtQmp *q, const char *command, json_t *arguments, int fd, gint64 timeout, GError **error)
{
  g_autoptr(json_t) result = run(q, command, arguments, fd, timeout, error);

  return result != NULL;
}

bool
pt_qmp_do(PtQmp *q, const char *command, json_t *arguments, gint64 timeout, GError **error)
{
  return pt_qmp_do_fd(q, command, arguments, -1, timeout, error);
}

/* ---- events ---- */

static json_t *
take_event(PtQmp *q, const char *name)
{
  for (GList *l = q->events->head; l; l = l->next) {
    Event *e = l->data;

    if (strcmp(e->name, name) == 0) {
      json_t *data = json_incref(e->data);
      g_queue_delete_link(q->events, l);
      event_free(e);
      return data;
    }
  }
  return NULL;
}

json_t *
pt_qmp_wait(PtQmp *q, const char *event, gint64 timeout, GError **error)
{
  gint64 end = pt_mono() + timeout;
  json_t *data;

  while (!(data = take_event(q, event))) {
    PtQmpKind kind;
    g_autoptr(json_t) message = still_whole(q, error) ? next_message(q, end, &kind, error) : NULL;

    if (!message)
      return NULL;
    if (kind != PT_QMP_EVENT) {
      give_up(q, g_error_new(PT_ERROR, PT_ERR_INTERNAL, "answers what was not asked"), error);
      return NULL;
    }
  }
  return data;
}

char *
pt_qmp_next(PtQmp *q, json_t **ret_data)
{
  Event *e = g_queue_pop_head(q->events);

  if (!e)
    return NULL;
  char *name = g_steal_pointer(&e->name);
  *ret_data = json_incref(e->data);
  event_free(e);
  return name;
}
