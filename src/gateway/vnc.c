// SPDX-License-Identifier: Apache-2.0
/* Theory of operation, one viewer:
 *
 *   viewer            this thread                            API                 desktop
 *     RFB 3.8, VeNCrypt  (rfb.c)
 *     TLS handshake      (GnuTLS)
 *     name, password --> POST /v1/session, or a token as it is
 *                        GET …/desktop, Upgrade ----------> descriptor
 *                        RFB 3.8, None -------------------------------------> (pt_rfb_join)
 *     <- SecurityResult
 *     <==================== relay, until either side ends ==================>
 *                        DELETE /v1/session
 *
 * All of the handshake has one deadline. A viewer that fails learns the reason in SecurityResult, inside TLS. */
#include "gateway/vnc.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/endpoint.h"
#include "gateway/io.h"
#include "gateway/listen.h"
#include "gateway/rfb.h"

#define HANDSHAKE (20 * G_USEC_PER_SEC)
#define LINGER (G_USEC_PER_SEC / 2)
#define LINGER_BYTES (64u << 10)
#define BUFFER (16u << 10) /* a TLS record */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* Loaded credentials, shared by the sessions that use them (g_atomic_rc_box). */
typedef struct Tls {
  gnutls_certificate_credentials_t cred;
} Tls;

struct PtVnc {
  PtClient *api;
  int *fds;
  guint n_fds;
  char *cert_path, *key_path;
  GMutex lock;
  Tls *tls;
  struct timespec tls_time; /* of the certificate's file when it was loaded */
  GHashTable *addresses;    /* text -> count of viewers */
  guint viewers;
};

typedef struct Viewer {
  PtVnc *vnc;
  int fd, desktop;
  char *from;
  Tls *tls;
  gnutls_session_t session;
  char *token; /* the API's session, ended with the connection */
} Viewer;

static void
tls_clear(gpointer data)
{
  gnutls_certificate_free_credentials(((Tls *)data)->cred);
}

static Tls *
tls_load(PtVnc *v, GError **error)
{
  Tls *tls = g_atomic_rc_box_new0(Tls);
  int rc = gnutls_certificate_allocate_credentials(&tls->cred);

  if (rc == 0)
    rc = gnutls_certificate_set_x509_key_file(tls->cred, v->cert_path, v->key_path, GNUTLS_X509_FMT_PEM);
  if (rc >= 0)
    return tls;
  g_atomic_rc_box_release_full(tls, tls_clear);
  PT_SET(error, PT_ERR_INVALID, "%s: %s", v->cert_path, gnutls_strerror(rc));
  return NULL;
}

/* The current credentials, a reference. A certificate that was renewed is taken; one that cannot be read is not. */
static Tls *
tls_current(PtVnc *v)
{
  struct stat st;

  g_mutex_lock(&v->lock);
  if (stat(v->cert_path, &st) == 0 && memcmp(&st.st_mtim, &v->tls_time, sizeof v->tls_time) != 0) {
    g_autoptr(GError) err = NULL;
    Tls *fresh = tls_load(v, &err);
    if (fresh) {
      g_atomic_rc_box_release_full(v->tls, tls_clear);
      v->tls = fresh;
    } else {
      pt_log_warn("vnc", "the new certificate is not used: %s", err->message);
    }
    v->tls_time = st.st_mtim;
  }
  Tls *tls = g_atomic_rc_box_acquire(v->tls);
  g_mutex_unlock(&v->lock);
  return tls;
}

/* Counts a viewer in; false where there are too many. */
static bool
enter(PtVnc *v, const char *from)
{
  g_mutex_lock(&v->lock);
  guint n = GPOINTER_TO_UINT(g_hash_table_lookup(v->addresses, from));
  bool ok = v->viewers < PT_VNC_MAX && n < PT_VNC_MAX_PER_ADDRESS;
  if (ok) {
    v->viewers++;
    g_hash_table_insert(v->addresses, g_strdup(from), GUINT_TO_POINTER(n + 1));
  }
  g_mutex_unlock(&v->lock);
  return ok;
}

static void
leave(PtVnc *v, const char *from)
{
  g_mutex_lock(&v->lock);
  guint n = GPOINTER_TO_UINT(g_hash_table_lookup(v->addresses, from));
  v->viewers--;
  if (n > 1)
    g_hash_table_insert(v->addresses, g_strdup(from), GUINT_TO_POINTER(n - 1));
  else
    g_hash_table_remove(v->addresses, from);
  g_mutex_unlock(&v->lock);
}

static bool
handshake(Viewer *w, gint64 deadline, GError **error)
{
  PtIo wait = pt_io_fd(w->fd, deadline);
  int rc = gnutls_init(&w->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

  if (rc == 0)
    rc = gnutls_priority_set_direct(w->session, PRIORITY, NULL);
  if (rc == 0)
    rc = gnutls_credentials_set(w->session, GNUTLS_CRD_CERTIFICATE, w->tls->cred);
  if (rc == 0) {
    gnutls_transport_set_int(w->session, w->fd);
    do {
      rc = gnutls_handshake(w->session);
      if (rc == GNUTLS_E_AGAIN &&
          !pt_io_wait(&wait, gnutls_record_get_direction(w->session) ? POLLOUT : POLLIN, error))
        return false;
    } while (rc < 0 && !gnutls_error_is_fatal(rc));
  }
  if (rc >= 0)
    return true;
  PT_SET(error, PT_ERR_INVALID, "TLS: %s", gnutls_strerror(rc));
  return false;
}

/* Asks the API for a session: the token, or NULL. */
static char *
log_in(Viewer *w, const char *user, const char *password, GError **error)
{
  g_autoptr(json_t) body = json_pack("{s:s, s:s, s:b, s:s}", "user", user, "password", password, "token", 1, "name", "VNC viewer");
  char *text = pt_json_dump(body);
  const char *const headers[] = { "X-Forwarded-For", w->from, NULL };
  PtClientRequest r = {
    .method = "POST", .path = "/v1/session", .headers = headers, .body = text, .body_size = strlen(text)
  };
  g_autoptr(PtClientReply) reply = pt_client_send(w->vnc->api, &r, error);

  pt_secret_free(text);
  if (!reply)
    return NULL;
  g_autoptr(json_t) json = pt_json_parse_object(reply->body, reply->body_size, NULL);
  if (json && pt_json_bool(json, "code_required", false)) {
    PT_SET(error, PT_ERR_UNAUTHENTICATED, "this account asks for a one-time code: use an API token as the password");
    return NULL;
  }
  if (!pt_client_reply_check(reply, error))
    return NULL;
  const char *token = json ? pt_json_str(json, "token", NULL) : NULL;
  if (!token)
    PT_SET(error, PT_ERR_INTERNAL, "the server gave no session");
  return g_strdup(token);
}

static void
log_out(Viewer *w)
{
  if (!w->token)
    return;
  g_autofree char *bearer = g_strconcat("Bearer ", w->token, NULL);
  const char *const headers[] = { "Authorization", bearer, "X-Forwarded-For", w->from, NULL };
  PtClientRequest r = { .method = "DELETE", .path = "/v1/session", .headers = headers, .timeout = 5 * G_USEC_PER_SEC };
  g_autoptr(GError) err = NULL;
  g_autoptr(PtClientReply) reply = pt_client_send(w->vnc->api, &r, &err);

  if (!reply)
    pt_log_warn("vnc", "a viewer's session could not be ended, it expires by itself: %s", err->message);
}

/* From name and password to a desktop that waits for ClientInit. */
static bool
open_desktop(Viewer *w, const char *name, const char *password, gint64 deadline, GError **error)
{
  g_autofree char *user = NULL, *token = NULL;
  g_auto(PtTarget) target = { .verb = g_strdup("desktop") };
  guint32 type = 0;

  if (!pt_rfb_parse_name(name, &user, &target.space, &target.instance, error))
    return false;
  if (g_str_has_prefix(password, "pt_"))
    token = g_strdup(password);
  else
    token = w->token = log_in(w, user, password, error);
  if (!token)
    return false;
  g_auto(PtCaller) caller = { .authorization = g_strconcat("Bearer ", token, NULL), .from = g_strdup(w->from) };
  if (token == w->token)
    token = NULL; /* the viewer's */
  w->desktop = pt_endpoint_stream(w->vnc->api, &caller, &target, NULL, NULL, NULL, &type, NULL, error);
  if (w->desktop < 0)
    return false;
  PtIo io = pt_io_fd(w->desktop, deadline);
  return pt_rfb_join(&io, error);
}

/* Inside TLS: credentials and SecurityResult. */
static bool
authenticate(Viewer *w, gint64 deadline, GError **error)
{
  PtIo io = pt_io_tls(w->session, w->fd, deadline);
  g_autofree char *name = NULL;
  g_autoptr(GError) err = NULL;
  char *password = NULL;

  if (!pt_rfb_read_plain(&io, &name, &password, error))
    return false;
  bool ok = open_desktop(w, name, password, deadline, &err);
  pt_secret_free(password);
  if (ok)
    return pt_rfb_result(&io, NULL, error);
  g_autofree char *summary = pt_error_summary(err);
  pt_rfb_result(&io, summary, NULL);
  g_propagate_error(error, g_steal_pointer(&err));
  return false;
}

/* One direction of the relay: bytes that were read and not yet written. */
typedef struct Half {
  guint8 data[BUFFER];
  gsize size, done;
} Half;

/* 1: progress; 0: it would block; -1: the end. */
static int
fill(Half *h, PtIo *io)
{
  gssize n = io->read(io, h->data, sizeof h->data);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return 0;
  if (n <= 0)
    return -1;
  h->size = (gsize)n;
  h->done = 0;
  return 1;
}

static int
drain(Half *h, PtIo *io)
{
  gssize n = io->write(io, h->data + h->done, h->size - h->done);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return 0;
  if (n <= 0)
    return -1;
  h->done += (gsize)n;
  if (h->done == h->size)
    h->size = h->done = 0;
  return 1;
}

static void
relay(Viewer *w)
{
  PtIo viewer = pt_io_tls(w->session, w->fd, 0), desktop = pt_io_fd(w->desktop, 0);
  Half up = { .size = 0 }, down = { .size = 0 };

  for (;;) {
    int a, b;
    do { /* as long as something moves; TLS may hold bytes that poll does not see */
      a = up.size ? drain(&up, &desktop) : fill(&up, &viewer);
      b = down.size ? drain(&down, &viewer) : fill(&down, &desktop);
      if (a < 0 || b < 0)
        return;
    } while (a > 0 || b > 0);
    struct pollfd p[2] = {
      { .fd = w->fd, .events = (short)((up.size ? 0 : POLLIN) | (down.size ? POLLOUT : 0)) },
      { .fd = w->desktop, .events = (short)((down.size ? 0 : POLLIN) | (up.size ? POLLOUT : 0)) },
    };
    if (poll(p, 2, -1) < 0 && errno != EINTR)
      return;
    if (((p[0].revents & (POLLHUP | POLLERR)) && up.size) || ((p[1].revents & (POLLHUP | POLLERR)) && down.size))
      return; /* gone, and what waits for it has nowhere to go */
  }
}

static bool
converse(Viewer *w, GError **error)
{
  gint64 deadline = pt_mono() + HANDSHAKE;
  PtIo io = pt_io_fd(w->fd, deadline);

  if (!pt_rfb_offer(&io, error) || !handshake(w, deadline, error) || !authenticate(w, deadline, error))
    return false;
  relay(w);
  return true;
}

static gpointer
viewer_main(gpointer data)
{
  Viewer *w = data;
  g_autoptr(GError) err = NULL;

  bool relayed = converse(w, &err);
  if (!relayed) {
    g_autofree char *summary = pt_error_summary(err);
    g_autofree char *safe = pt_text_safe(summary, 300);
    pt_log_info("vnc", "viewer from %s: %s", w->from, safe);
  }
  if (w->session) {
    gnutls_bye(w->session, GNUTLS_SHUT_WR);
    gnutls_deinit(w->session);
  }
  if (!relayed) {
    shutdown(w->fd, SHUT_WR);
    pt_io_discard(w->fd, LINGER_BYTES, pt_mono() + LINGER);
  }
  close(w->fd);
  if (w->desktop >= 0)
    close(w->desktop);
  log_out(w);
  pt_secret_free(w->token);
  g_atomic_rc_box_release_full(w->tls, tls_clear);
  leave(w->vnc, w->from);
  g_free(w->from);
  g_free(w);
  return NULL;
}

static void
accept_one(PtVnc *v, int listen_fd)
{
  struct sockaddr_storage addr = { 0 };
  socklen_t len = sizeof addr;
  int on = 1, idle = 60, fd = accept4(listen_fd, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
      g_usleep(100000); /* out of descriptors: do not spin on a listener that stays readable */
    return;
  }
  g_autofree char *from = pt_addr_host(&addr);
  if (!enter(v, from)) {
    pt_log_warn("vnc", "viewer from %s: too many connections", from);
    close(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  Viewer *w = g_new0(Viewer, 1);
  w->vnc = v;
  w->fd = fd;
  w->desktop = -1;
  w->from = g_steal_pointer(&from);
  w->tls = tls_current(v);
  GThread *thread = g_thread_try_new("viewer", viewer_main, w, NULL);
  if (thread) {
    g_thread_unref(thread);
    return;
  }
  close(fd);
  g_atomic_rc_box_release_full(w->tls, tls_clear);
  leave(v, w->from);
  g_free(w->from);
  g_free(w);
}

static gpointer
accept_main(gpointer data)
{
  PtVnc *v = data;
  g_autofree struct pollfd *p = g_new0(struct pollfd, v->n_fds);

  for (guint i = 0; i < v->n_fds; i++)
    p[i] = (struct pollfd){ .fd = v->fds[i], .events = POLLIN };
  for (;;) {
    if (poll(p, v->n_fds, -1) < 0)
      continue;
    for (guint i = 0; i < v->n_fds; i++)
      if (p[i].revents & POLLIN)
        accept_one(v, v->fds[i]);
  }
  return NULL;
}

PtVnc *
pt_vnc_start(const int *listen_fds, guint n, const char *api_socket, const char *cert_path, const char *key_path, GError **error)
{
  PtVnc *v = g_new0(PtVnc, 1);
  struct stat st = { 0 };

  v->cert_path = g_strdup(cert_path);
  v->key_path = g_strdup(key_path);
  if (stat(cert_path, &st) == 0)
    v->tls_time = st.st_mtim;
  v->tls = tls_load(v, error);
  if (!v->tls) {
    g_free(v->cert_path);
    g_free(v->key_path);
    g_free(v);
    return NULL;
  }
  v->api = pt_client_new(api_socket);
  v->n_fds = n;
  v->fds = g_memdup2(listen_fds, n * sizeof *listen_fds);
  for (guint i = 0; i < n; i++)
    fcntl(v->fds[i], F_SETFL, fcntl(v->fds[i], F_GETFL) | O_NONBLOCK);
  g_mutex_init(&v->lock);
  v->addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_thread_unref(g_thread_new("vnc", accept_main, v));
  return v;
}
