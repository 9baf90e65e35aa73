// SPDX-License-Identifier: Apache-2.0
/* A thread that stands in for an instance's monitor: frames of a WebSocket on one side, the descriptors and messages of
 * base/wire.h on the other, as docs/API.md has both. So the stream's user does not know where it comes from. The thread owns
 * everything in Bridge. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wireio.h"
#include "cli/https/https.h"

#define MESSAGE_MAX (1u << 20)
#define QUEUE_MAX (256u << 10) /* bytes on their way before input is taken no more */
#define PIECE (32u << 10)

typedef struct Bridge {
  CURL *curl;
  int socket;
  int control;
  bool channels;
  int in;     /* what the user types; -1 = at its end */
  int out[3]; /* 1 and 2, or 1 alone for a terminal */
  GByteArray *early;
  gsize early_used;
  wslay_event_context_ptr ws;
  bool ended; /* the exit was told, or the other side is gone */
} Bridge;

static gssize
on_recv(wslay_event_context_ptr ws, uint8_t *buf, size_t len, int flags, void *data)
{
  Bridge *b = data;
  gsize n = MIN(len, b->early->len - b->early_used);

  (void)flags;
  if (n > 0) {
    memcpy(buf, b->early->data + b->early_used, n);
    b->early_used += n;
    return (gssize)n;
  }
  CURLcode rc = curl_easy_recv(b->curl, buf, len, &n);
  if (rc == CURLE_OK && n > 0)
    return (gssize)n;
  wslay_event_set_error(ws, rc == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
  return -1;
}

static gssize
on_send(wslay_event_context_ptr ws, const uint8_t *bytes, size_t len, int flags, void *data)
{
  Bridge *b = data;
  size_t n = 0;
  CURLcode rc = curl_easy_send(b->curl, bytes, len, &n);

  (void)flags;
  if (rc == CURLE_OK)
    return (gssize)n;
  wslay_event_set_error(ws, rc == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
  return -1;
}

static int
on_mask(wslay_event_context_ptr ws, uint8_t *buf, size_t len, void *data)
{
  (void)ws;
  (void)data;
  pt_random(buf, len);
  return 0;
}

/* The user's end may be slow, and holds everything up then: that is what it should do. */
static void
write_out(Bridge *b, int channel, const uint8_t *p, gsize size)
{
  while (size > 0 && b->out[channel] >= 0) {
    gssize n = write(b->out[channel], p, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      if (b->out[channel] != b->in)
        close(b->out[channel]);
      b->out[channel] = -1;
      return;
    }
    p += n;
    size -= (gsize)n;
  }
}

static void
on_text(Bridge *b, const uint8_t *bytes, gsize size)
{
  g_autoptr(json_t) o = pt_json_parse_object((const char *)bytes, size, NULL);
  const json_t *why = json_object_get(o, "error");
  PtErr code = PT_ERR_INTERNAL;

  if (json_is_object(why)) {
    const char *hint = pt_json_str(why, "hint", NULL);
    g_autofree char *text = g_strdup_printf("%s%s%s", pt_json_str(why, "detail", "the server refused, and did not say why"),
                                            hint ? "\n" : "", hint ? hint : "");
    pt_err_from_name(pt_json_str(why, "code", ""), &code);
    pt_wire_send(b->control, PT_WIRE_ERROR, code, strcmp(pt_json_str(why, "by", ""), "instance") != 0, text, NULL, 0, NULL);
    b->ended = true;
  } else if (json_is_integer(json_object_get(o, "exit"))) {
    pt_wire_send(b->control, PT_WIRE_EXIT, (guint32)pt_json_int(o, "exit", 0), (guint32)pt_json_int(o, "signal", 0), NULL,
                 NULL, 0, NULL);
    b->ended = true;
  }
}

static void
on_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *m, void *data)
{
  Bridge *b = data;

  (void)ws;
  if (m->opcode == WSLAY_TEXT_FRAME)
    on_text(b, m->msg, m->msg_length);
  else if (m->opcode == WSLAY_BINARY_FRAME && !b->channels)
    write_out(b, 1, m->msg, m->msg_length);
  else if (m->opcode == WSLAY_BINARY_FRAME && m->msg_length > 1 && (m->msg[0] == 1 || m->msg[0] == 2))
    write_out(b, m->msg[0], m->msg + 1, m->msg_length - 1);
}

static void
queue(Bridge *b, uint8_t opcode, const void *bytes, gsize size)
{
  struct wslay_event_msg m = { opcode, bytes, size };

  if (wslay_event_queue_msg(b->ws, &m) != 0)
    b->ended = true;
}

static void
queue_json(Bridge *b, json_t *json)
{
  g_autoptr(json_t) o = json;
  g_autofree char *text = pt_json_dump(o);

  queue(b, WSLAY_TEXT_FRAME, text, strlen(text));
}

static void
take_input(Bridge *b)
{
  uint8_t buf[PIECE + 1] = { 0 };
  gssize n = read(b->in, buf + 1, PIECE);

  if (n > 0 && b->channels)
    queue(b, WSLAY_BINARY_FRAME, buf, (gsize)n + 1);
  else if (n > 0)
    queue(b, WSLAY_BINARY_FRAME, buf + 1, (gsize)n);
  if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
    return;
  if (b->channels)
    queue_json(b, json_pack("{s:b}", "eof", 1));
  if (b->in != b->out[1])
    close(b->in);
  b->in = -1;
}

/* "INT" of SIGINT */
static const char *
signal_name(int sig)
{
  return sigabbrev_np(sig);
}

static void
take_control(Bridge *b)
{
  g_auto(PtWireMsg) m = { 0 };
  int rc = pt_wire_recv(b->control, &m, NULL);

  if (rc <= 0)
    b->ended = true; /* the user hung up */
  else if (m.head.type == PT_WIRE_RESIZE)
    queue_json(b, json_pack("{s:[i,i]}", "resize", (int)m.head.a, (int)m.head.b));
  else if (m.head.type == PT_WIRE_SIGNAL && signal_name((int)m.head.a))
    queue_json(b, json_pack("{s:s}", "signal", signal_name((int)m.head.a)));
}

/* One turn; false when it is over. */
static bool
turn(Bridge *b)
{
  bool room = wslay_event_get_queued_msg_length(b->ws) < QUEUE_MAX;
  struct pollfd f[] = {
    { .fd = b->socket, .events = (short)(POLLIN | (wslay_event_want_write(b->ws) ? POLLOUT : 0)) },
    { .fd = b->control, .events = POLLIN },
    { .fd = room ? b->in : -1, .events = POLLIN },
  };

  if (poll(f, 3, -1) < 0)
    return errno == EINTR;
  if (f[1].revents)
    take_control(b);
  if (f[2].revents)
    take_input(b);
  /* Always, because TLS may hold bytes that the socket no longer shows. */
  if (wslay_event_recv(b->ws) != 0 || (wslay_event_want_write(b->ws) && wslay_event_send(b->ws) != 0))
    return false;
  return !b->ended && (wslay_event_want_read(b->ws) || wslay_event_want_write(b->ws));
}

static void
bridge_free(Bridge *b)
{
  if (b->ws)
    wslay_event_context_free(b->ws);
  if (b->in >= 0)
    close(b->in);
  for (int i = 1; i < 3; i++)
    if (b->out[i] >= 0 && b->out[i] != b->in)
      close(b->out[i]);
  close(b->control);
  curl_easy_cleanup(b->curl);
  g_byte_array_unref(b->early);
  g_free(b);
}

static void *
bridge_main(void *data)
{
  Bridge *b = data;

  /* Frames may have come with the handshake already, before the socket shows anything. */
  bool going = wslay_event_recv(b->ws) == 0 && !b->ended;
  while (going)
    going = turn(b);
  /* Politeness; the other side may be gone. */
  if (wslay_event_queue_close(b->ws, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == 0)
    wslay_event_send(b->ws);
  bridge_free(b);
  return NULL;
}

/* Makes the stream's descriptors and hands the user's ends over. */
static bool
hand_over(Bridge *b, GError **error)
{
  int fds[3][2], give[3];
  guint n = b->channels ? 3 : 1;

  for (guint i = 0; i < n; i++) {
    int rc = b->channels ? pipe2(fds[i], O_CLOEXEC) : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds[i]);
    if (rc < 0) {
      pt_error_errno(error, errno, "descriptors for the stream");
      return false;
    }
    /* A pipe's [0] is read from: the user writes the first and reads the others. */
    give[i] = fds[i][i == 0 ? 1 : 0];
  }
  b->in = fds[0][0];
  b->out[1] = b->channels ? fds[1][1] : b->in;
  b->out[2] = b->channels ? fds[2][1] : -1;
  bool ok = pt_wire_send(b->control, PT_WIRE_STREAM, b->channels ? 0 : PT_WIRE_TTY, 0, NULL, give, n, error);
  for (guint i = 0; i < n; i++)
    close(give[i]);
  return ok;
}

bool
pt_bridge_start(CURL *curl, int sock, int control, const char *body, bool channels, GByteArray *early, GError **error)
{
  static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv, .send_callback = on_send, .genmask_callback = on_mask, .on_msg_recv_callback = on_message
  };
  Bridge *b = g_new0(Bridge, 1);
  g_autoptr(GThread) thread = NULL;

  *b = (Bridge){ .curl = curl,
                 .socket = sock,
                 .control = control,
                 .channels = channels,
                 .in = -1,
                 .out = { -1, -1, -1 },
                 .early = g_byte_array_ref(early) };
  if (wslay_event_context_client_init(&b->ws, &callbacks, b) != 0) {
    PT_SET(error, PT_ERR_INTERNAL, "no memory for the stream");
    bridge_free(b);
    return false;
  }
  wslay_event_config_set_max_recv_msg_length(b->ws, MESSAGE_MAX);
  if (body)
    queue(b, WSLAY_TEXT_FRAME, body, strlen(body));
  if (!hand_over(b, error)) {
    bridge_free(b);
    return false;
  }
  /* Signals are for the thread that waits for them. */
  sigset_t all, was;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &was);
  thread = g_thread_try_new("stream", bridge_main, b, error);
  pthread_sigmask(SIG_SETMASK, &was, NULL);
  if (!thread)
    bridge_free(b);
  return thread != NULL;
}
