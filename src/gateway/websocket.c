// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. A relay has two sides:
 *
 *     browser <-> nginx <-> [socket | wslay | out buffer]  <->  [stream: in, out, err | control]
 *
 * One poll waits for all. Back-pressure is kept by not asking: the stream is read only while nothing waits to be sent to the
 * browser, the browser only while nothing waits to be written to the stream and few answers to pings are queued. So a relay
 * holds at most one message from each side (1 MiB and 64 KiB). wslay's output is gathered and sent in one go, because a frame
 * split in two packets costs the reader a wake-up.
 *
 * Ends: the stream's EOF (or EXIT on its control socket) closes the WebSocket with 1000; the browser's close, an error of
 * the protocol (1002, 1007, 1009 by wslay) or silence of 75 s closes the stream. */
#include "gateway/websocket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wireio.h"
#include "gateway/io.h"
#include "gateway/message.h"

#define READ_SIZE (64u << 10)
#define OUT_MAX (256u << 10)
#define MAX_QUEUED 16
#define PING_EVERY (30 * G_USEC_PER_SEC)
#define DEAD_AFTER (75 * G_USEC_PER_SEC)
#define FIRST_TEXT (10 * G_USEC_PER_SEC)
#define CLOSING (3 * G_USEC_PER_SEC)
#define LINGER_BYTES (16u << 20)
#define DRAIN_MS 50 /* a terminal's last bytes may come a little after its exit */

enum { IN, OUT, ERR, CONTROL, N_FDS }; /* IN: where we write; OUT and ERR: what we read */

/* FIRST: exec's request is awaited; WAIT: the stream is, and the browser not read; RELAY: both are there. */
typedef enum { WAIT, FIRST, RELAY } Phase;

/* A message that came in one packet with exec's request; what it means depends on the stream. At most a few, because
 * wslay reads 4 KiB at a time and no more are read in this phase. */
typedef struct Held {
  guint8 opcode;
  gsize size;
  guint8 data[];
} Held;

struct PtWs {
  int fd;
  wslay_event_context_ptr ctx;
  GByteArray *early;  /* came with the handshake, not yet read by wslay */
  GByteArray *out;    /* frames on their way to the browser */
  GByteArray *to_in;  /* bytes on their way to the stream */
  gsize to_in_done;
  int fds[N_FDS]; /* -1 where there is none; IN may equal OUT */
  bool channels;  /* exec without a terminal: the first byte of a message is the channel */
  bool want_eof;  /* close IN when to_in is written */
  bool exited, gone, closing, stuck; /* stuck: the last send did not go through */
  guint16 close_code;
  const char *close_reason; /* while the close waits to be queued */
  guint32 exit_status, exit_signal;
  Phase phase;
  char *first;          /* the first text message, while it is awaited */
  GQueue held;          /* Held: came before the stream did */
  gint64 heard, pinged; /* when the browser was last heard, and asked */
};

/* Whether the browser may be read. */
static bool
hungry(const PtWs *ws)
{
  bool ready = ws->phase == RELAY || (ws->phase == FIRST && !ws->first) || ws->closing;

  return ready && ws->to_in->len == 0 && wslay_event_get_queued_msg_count(ws->ctx) <= MAX_QUEUED;
}

static ssize_t
on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
  PtWs *ws = user;

  (void)flags;
  if (!hungry(ws)) {
    wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
    return -1;
  }
  if (ws->early->len > 0) {
    gsize n = MIN(len, ws->early->len);
    memcpy(buf, ws->early->data, n);
    g_byte_array_remove_range(ws->early, 0, (guint)n);
    return (ssize_t)n;
  }
  ssize_t n;
  do
    n = recv(ws->fd, buf, len, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n > 0) {
    ws->heard = pt_mono();
    return n;
  }
  bool later = n < 0 && errno == EAGAIN;
  if (!later)
    ws->gone = true;
  wslay_event_set_error(ctx, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
  return -1;
}

static ssize_t
on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *user)
{
  PtWs *ws = user;

  (void)flags;
  if (ws->out->len >= OUT_MAX) {
    wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
    return -1;
  }
  gsize n = MIN(len, OUT_MAX - ws->out->len);
  g_byte_array_append(ws->out, data, (guint)n);
  return (ssize_t)n;
}

/* Closes, once all that was said is sent. `reason` is a constant. */
static void
ws_close(PtWs *ws, guint16 code, const char *reason)
{
  if (ws->closing)
    return;
  ws->closing = true;
  ws->close_code = code;
  ws->close_reason = reason;
}

/* wslay sends a close before the messages that wait, so it is queued when none does. */
static void
queue_close(PtWs *ws)
{
  if (!ws->close_reason || wslay_event_get_queued_msg_count(ws->ctx) > 0)
    return;
  wslay_event_queue_close(ws->ctx, ws->close_code, (const uint8_t *)ws->close_reason, strlen(ws->close_reason));
  ws->close_reason = NULL;
}

/* For a text that must fit in a close frame: "invalid", never foreign bytes. */
static void
protocol_error(PtWs *ws, const char *reason)
{
  ws_close(ws, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, reason);
}

static void
on_text(PtWs *ws, const char *text, gsize size)
{
  PtMessage m;

  if (!pt_message_parse(text, size, &m, NULL))
    protocol_error(ws, "not a message of this protocol");
  else if (m.kind == PT_MESSAGE_EOF)
    ws->want_eof = true;
  else if (ws->fds[CONTROL] >= 0 &&
           !pt_wire_send(ws->fds[CONTROL], m.kind == PT_MESSAGE_RESIZE ? PT_WIRE_RESIZE : PT_WIRE_SIGNAL, m.a, m.b, NULL, NULL, 0,
                         NULL))
    ws_close(ws, WSLAY_CODE_GOING_AWAY, "the instance has gone");
}

static void
on_binary(PtWs *ws, const guint8 *data, gsize size)
{
  if (ws->channels && size > 0) {
    if (data[0] != 0) {
      protocol_error(ws, "only channel 0 can be written to");
      return;
    }
    data++;
    size--;
  }
  if (ws->fds[IN] >= 0 && !ws->want_eof)
    g_byte_array_append(ws->to_in, data, (guint)size);
}

static void
take_message(PtWs *ws, guint8 opcode, const guint8 *data, gsize size)
{
  if (opcode == WSLAY_TEXT_FRAME)
    on_text(ws, (const char *)data, size);
  else if (opcode == WSLAY_BINARY_FRAME)
    on_binary(ws, data, size);
}

static void
on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
  PtWs *ws = user;

  (void)ctx;
  if (ws->closing || wslay_is_ctrl_frame(arg->opcode))
    return;
  if (ws->phase == RELAY) {
    take_message(ws, arg->opcode, arg->msg, arg->msg_length);
  } else if (ws->phase == FIRST && !ws->first) {
    if (arg->opcode == WSLAY_TEXT_FRAME)
      ws->first = g_strndup((const char *)arg->msg, arg->msg_length);
    else
      protocol_error(ws, "the first message must be text");
  } else {
    Held *h = g_malloc(sizeof *h + arg->msg_length);
    h->opcode = arg->opcode;
    h->size = arg->msg_length;
    if (h->size > 0)
      memcpy(h->data, arg->msg, h->size);
    g_queue_push_tail(&ws->held, h);
  }
}

/* The stream is there. */
static void
begin(PtWs *ws)
{
  Held *h;

  ws->phase = RELAY;
  while ((h = g_queue_pop_head(&ws->held))) {
    take_message(ws, h->opcode, h->data, h->size);
    g_free(h);
  }
}

PtWs *
pt_ws_new(int fd, const void *early, gsize early_size)
{
  static const struct wslay_event_callbacks callbacks = { .recv_callback = on_recv, .send_callback = on_send,
                                                          .on_msg_recv_callback = on_message };
  PtWs *ws = g_new0(PtWs, 1);

  ws->fd = fd;
  ws->early = g_byte_array_new();
  if (early_size > 0)
    g_byte_array_append(ws->early, early, (guint)early_size);
  ws->out = g_byte_array_new();
  ws->to_in = g_byte_array_new();
  for (guint i = 0; i < N_FDS; i++)
    ws->fds[i] = -1;
  ws->heard = ws->pinged = pt_mono();
  if (wslay_event_context_server_init(&ws->ctx, &callbacks, ws) != 0)
    g_error("wslay: out of memory");
  wslay_event_config_set_max_recv_msg_length(ws->ctx, PT_WS_MAX_MESSAGE);
  return ws;
}

static void
close_fd(PtWs *ws, guint which)
{
  int fd = ws->fds[which];

  ws->fds[which] = -1;
  for (guint i = 0; i < N_FDS; i++)
    if (ws->fds[i] == fd)
      return; /* still used for the other direction */
  if (fd >= 0)
    close(fd);
}

void
pt_ws_free(PtWs *ws)
{
  if (!ws)
    return;
  for (guint i = 0; i < N_FDS; i++)
    close_fd(ws, i);
  wslay_event_context_free(ws->ctx);
  g_byte_array_unref(ws->early);
  g_byte_array_unref(ws->out);
  g_byte_array_unref(ws->to_in);
  g_free(ws->first);
  g_queue_clear_full(&ws->held, g_free);
  g_free(ws);
}

static void
queue(PtWs *ws, guint8 opcode, const void *data, gsize size)
{
  struct wslay_event_msg m = { opcode, data, size };

  if (wslay_event_queue_msg(ws->ctx, &m) == WSLAY_ERR_NOMEM)
    g_error("wslay: out of memory");
}

/* Moves frames from wslay to the socket as far as it takes them. */
static void
flush(PtWs *ws)
{
  do {
    if (!ws->gone && wslay_event_want_write(ws->ctx) && wslay_event_send(ws->ctx) != 0)
      ws->gone = true;
    if (ws->gone || ws->out->len == 0)
      return;
    gssize n = send(ws->fd, ws->out->data, ws->out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      g_byte_array_remove_range(ws->out, 0, (guint)n);
      if (ws->stuck) /* slow, but alive */
        ws->heard = pt_mono();
      ws->stuck = false;
    } else if (n < 0 && errno == EAGAIN) {
      ws->stuck = true;
      return;
    } else if (n < 0 && errno != EINTR) {
      ws->gone = true;
    }
  } while (ws->out->len > 0 || wslay_event_want_write(ws->ctx));
}

static void
read_browser(PtWs *ws)
{
  /* A broken frame has wslay queue a close, and read no more: that is sent yet, then the relay is over. */
  if (wslay_event_get_read_enabled(ws->ctx) && wslay_event_recv(ws->ctx) == WSLAY_ERR_NOMEM)
    ws->gone = true;
}

/* Bytes from the stream to the browser. False at its end. */
static bool
read_stream(PtWs *ws, guint which)
{
  guint8 buf[READ_SIZE + 1];
  gssize n = read(ws->fds[which], buf + 1, READ_SIZE);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return true;
  if (n <= 0)
    return false; /* also EIO: a terminal whose other side is closed */
  buf[0] = which == ERR ? 2 : 1;
  if (ws->channels)
    queue(ws, WSLAY_BINARY_FRAME, buf, (gsize)n + 1);
  else
    queue(ws, WSLAY_BINARY_FRAME, buf + 1, (gsize)n);
  return true;
}

static void
write_stream(PtWs *ws)
{
  gsize left = ws->to_in->len - ws->to_in_done;
  gssize n = write(ws->fds[IN], ws->to_in->data + ws->to_in_done, MIN(left, READ_SIZE));

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  ws->to_in_done += n > 0 ? (gsize)n : 0;
  if (n >= 0 && ws->to_in_done < ws->to_in->len)
    return;
  ws->to_in_done = 0;
  if (ws->to_in->len > READ_SIZE) { /* a rare large paste shall not keep its memory */
    g_byte_array_unref(ws->to_in);
    ws->to_in = g_byte_array_new();
  }
  g_byte_array_set_size(ws->to_in, 0);
  if (n < 0)
    close_fd(ws, IN); /* the command closed its input: what else comes is for nobody */
}

static void
nonblocking(int fd)
{
  struct stat st;

  /* A terminal's description may be shared with the monitor, whose reads must go on blocking. */
  if (fstat(fd, &st) == 0 && (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode)))
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void
on_control_stream(PtWs *ws, PtWireMsg *m)
{
  if (ws->fds[OUT] >= 0 || m->n_fds != ((m->head.a & PT_WIRE_TTY) ? 1 : 3)) {
    ws_close(ws, WSLAY_CODE_INTERNAL_SERVER_ERROR, "the monitor sent no stream");
    return;
  }
  ws->fds[IN] = pt_wire_take_fd(m, 0);
  ws->channels = !(m->head.a & PT_WIRE_TTY);
  ws->fds[OUT] = ws->channels ? pt_wire_take_fd(m, 1) : ws->fds[IN];
  ws->fds[ERR] = ws->channels ? pt_wire_take_fd(m, 2) : -1;
  for (guint i = IN; i <= ERR; i++)
    if (ws->fds[i] >= 0)
      nonblocking(ws->fds[i]);
  begin(ws);
}

static void
refuse(PtWs *ws, const GError *error, bool by_instance)
{
  g_autofree char *text = pt_message_error(error, by_instance);
  guint status = pt_err_http(pt_error_code(error));

  queue(ws, WSLAY_TEXT_FRAME, text, strlen(text));
  ws_close(ws, status < 500 ? WSLAY_CODE_POLICY_VIOLATION : WSLAY_CODE_INTERNAL_SERVER_ERROR, pt_err_name(pt_error_code(error)));
}

static void
read_control(PtWs *ws)
{
  g_auto(PtWireMsg) m;
  g_autoptr(GError) err = NULL;
  int got = pt_wire_recv(ws->fds[CONTROL], &m, &err);

  if (got <= 0) {
    close_fd(ws, CONTROL);
    if (!ws->exited)
      ws_close(ws, WSLAY_CODE_GOING_AWAY, "the instance has gone");
    return;
  }
  switch (m.head.type) {
  case PT_WIRE_STREAM:
    on_control_stream(ws, &m);
    break;
  case PT_WIRE_EXIT:
    ws->exited = true;
    ws->exit_status = m.head.a;
    ws->exit_signal = m.head.b;
    break;
  case PT_WIRE_ERROR:
    PT_SET(&err, m.head.a < PT_N_ERRS ? m.head.a : PT_ERR_INTERNAL, "%s", m.text);
    refuse(ws, err, true);
    break;
  default:
    break; /* of a newer monitor */
  }
}

/* Whether the relay is over: nothing more to say, or nobody to say it to. */
static bool
over(PtWs *ws, gint64 now)
{
  bool said = !wslay_event_want_write(ws->ctx) && ws->out->len == 0 && !ws->close_reason;

  return ws->gone || (said && (wslay_event_get_close_received(ws->ctx) || !wslay_event_get_read_enabled(ws->ctx))) ||
         now - ws->heard > DEAD_AFTER;
}

static void
keep_alive(PtWs *ws, gint64 now)
{
  if (now - ws->pinged < PING_EVERY || ws->closing)
    return;
  ws->pinged = now;
  queue(ws, WSLAY_PING, NULL, 0);
}

static void
finish_exit(PtWs *ws)
{
  g_autofree char *text = pt_message_exit(ws->exit_status, ws->exit_signal);

  queue(ws, WSLAY_TEXT_FRAME, text, strlen(text));
  ws_close(ws, WSLAY_CODE_NORMAL_CLOSURE, "ended");
}

/* One wait and what came of it. `timeout` in ms; *ret_idle: nothing came. */
static bool
step(PtWs *ws, int timeout, bool *ret_idle)
{
  bool room = ws->out->len == 0 && wslay_event_get_queued_msg_count(ws->ctx) == 0 && !ws->closing;
  bool listens = hungry(ws);
  bool pending = ws->to_in->len > 0;
  struct pollfd p[N_FDS + 1] = {
    [IN] = { .fd = pending ? ws->fds[IN] : -1, .events = POLLOUT },
    [OUT] = { .fd = room ? ws->fds[OUT] : -1, .events = POLLIN },
    [ERR] = { .fd = room ? ws->fds[ERR] : -1, .events = POLLIN },
    [CONTROL] = { .fd = ws->exited ? -1 : ws->fds[CONTROL], .events = POLLIN },
    [N_FDS] = { .fd = ws->fd, .events = (short)((listens ? POLLIN : 0) | (ws->out->len > 0 ? POLLOUT : 0)) },
  };
  int n = poll(p, G_N_ELEMENTS(p), timeout);

  if (!listens)
    ws->heard = pt_mono(); /* who is not listened to cannot be heard */
  *ret_idle = n == 0;
  if (n < 0)
    return errno == EINTR;
  if (p[CONTROL].revents)
    read_control(ws);
  for (guint i = OUT; i <= ERR; i++)
    if (p[i].revents && ws->fds[i] >= 0 && !read_stream(ws, i)) {
      close_fd(ws, i);
      if (ws->fds[CONTROL] < 0)
        ws_close(ws, WSLAY_CODE_NORMAL_CLOSURE, "ended");
    }
  if (p[IN].revents && ws->fds[IN] >= 0)
    write_stream(ws);
  if (p[N_FDS].revents & (POLLIN | POLLHUP | POLLERR))
    read_browser(ws);
  if ((p[N_FDS].revents & (POLLHUP | POLLERR)) && !listens)
    ws->gone = true;
  return true;
}

/* What has to follow from the state before the next wait. */
static void
advance(PtWs *ws, bool idle)
{
  if (ws->fds[IN] < 0)
    g_byte_array_set_size(ws->to_in, 0);
  if (ws->want_eof && ws->to_in->len == 0 && ws->fds[IN] >= 0) {
    ws->want_eof = false;
    if (ws->channels)
      close_fd(ws, IN);
    else
      g_byte_array_append(ws->to_in, (const guint8 *)"\x04", 1); /* a terminal's end of file */
  }
  bool drained = ws->fds[OUT] < 0 && ws->fds[ERR] < 0;
  if (ws->exited && !ws->closing && (drained || (idle && ws->out->len == 0)))
    finish_exit(ws);
}

static void
run(PtWs *ws, gint64 end, bool (*done)(const PtWs *))
{
  gint64 close_by = 0;
  bool idle = false;

  while (!done || !done(ws)) {
    gint64 now = pt_mono();
    keep_alive(ws, now);
    advance(ws, idle);
    if (wslay_event_get_read_enabled(ws->ctx) && ws->early->len > 0)
      read_browser(ws);
    flush(ws);
    if (ws->close_reason) {
      queue_close(ws);
      flush(ws);
    }
    if (ws->closing && close_by == 0)
      close_by = now + CLOSING;
    if (over(ws, now) || (close_by && now > close_by) || (end && now > end))
      return;
    gint64 wake = MIN(ws->pinged + PING_EVERY, ws->heard + DEAD_AFTER);
    wake = close_by ? MIN(wake, close_by) : wake;
    wake = end ? MIN(wake, end) : wake;
    int timeout = (int)(MAX(0, wake - now) / 1000 + 1);
    if (!step(ws, ws->exited && !ws->closing ? DRAIN_MS : timeout, &idle))
      return;
  }
}

/* The last run: the stream is let go. After an error of the protocol wslay reads no more, and the close that says which one it
 * was may still be on its way. */
static void
finish(PtWs *ws)
{
  run(ws, 0, NULL);
  for (guint i = 0; i < N_FDS; i++)
    close_fd(ws, i);
  if (!ws->gone && !wslay_event_get_read_enabled(ws->ctx) && !wslay_event_get_close_received(ws->ctx))
    pt_io_discard(ws->fd, LINGER_BYTES, pt_mono() + CLOSING);
}

static bool
have_first(const PtWs *ws)
{
  return ws->first != NULL;
}

char *
pt_ws_first_text(PtWs *ws, GError **error)
{
  ws->phase = FIRST;
  run(ws, pt_mono() + FIRST_TEXT, have_first);
  ws->phase = WAIT;
  if (ws->first)
    return g_steal_pointer(&ws->first);
  if (ws->gone || wslay_event_get_close_received(ws->ctx))
    PT_SET(error, PT_ERR_UNREACHABLE, "the peer closed the connection");
  else if (ws->closing || !wslay_event_get_read_enabled(ws->ctx))
    PT_SET(error, PT_ERR_INVALID, "the first message must be exec's request, as text");
  else
    PT_SET(error, PT_ERR_TIMEOUT, "exec's request did not come");
  return NULL;
}

void
pt_ws_refuse(PtWs *ws, const GError *error)
{
  refuse(ws, error, false);
  finish(ws);
}

void
pt_ws_relay(PtWs *ws, guint32 type, int fd)
{
  if (type == PT_WIRE_CONTROL) {
    ws->fds[CONTROL] = fd;
  } else {
    ws->fds[IN] = ws->fds[OUT] = fd;
    nonblocking(fd);
    begin(ws);
  }
  finish(ws);
}
