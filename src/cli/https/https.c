// SPDX-License-Identifier: Apache-2.0
/* The API over HTTPS, as a module that portena loads when it is needed. What a server has to prove: either an authority
 * vouches for its certificate (the system's, or --cert's), or its public key is the one that was pinned at login. No
 * redirects are followed, and nothing but https is spoken. */
#include "cli/https/https.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "base/error.h"

#define MAX_BODY (8u << 20)
#define MAX_HEADERS 100
#define CONNECT_WITHIN 10L /* seconds */

extern const PtHttpsModule pt_https_module;

/* One request on its way. */
typedef struct Call {
  const PtClientRequest *request;
  CURL *curl;
  GByteArray *body;
  GPtrArray *headers; /* name, value, … */
  GError *error;      /* the sink's, the source's, or ours */
} Call;

void
pt_https_prepare(const PtHttps *h, CURL *curl)
{
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_WITHIN);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "portena/" PORTENA_VERSION);
  if (h->pin) {
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, h->pin);
  } else if (h->ca) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, h->ca);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
  }
}

CURLcode
pt_https_perform(CURL *curl)
{
  CURLcode rc = curl_easy_perform(curl);

  return rc == CURLE_SSL_CONNECT_ERROR ? curl_easy_perform(curl) : rc;
}

void
pt_https_error(const PtHttps *h, CURLcode rc, GError **error)
{
  switch (rc) {
  case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    PT_SET(error, PT_ERR_FORBIDDEN,
           "%s: its key is another one than at your last login; nothing was sent\nif it was replaced on purpose:  portena "
           "login %s",
           h->url, h->url);
    break;
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE:
    PT_SET(error, PT_ERR_FORBIDDEN,
           "%s: no authority vouches for its certificate; nothing was sent\nlook at it and decide:  portena login %s",
           h->url, h->url);
    break;
  case CURLE_COULDNT_RESOLVE_HOST:
    PT_SET(error, PT_ERR_UNREACHABLE,
           "%s: there is no such host\nare you in the right network? another server: --server URL", h->url);
    break;
  case CURLE_COULDNT_CONNECT:
    PT_SET(error, PT_ERR_UNREACHABLE, "%s: nobody answers there\non the server:  systemctl status portena-gateway", h->url);
    break;
  case CURLE_OPERATION_TIMEDOUT:
    PT_SET(error, PT_ERR_TIMEOUT, "%s: it does not answer in time", h->url);
    break;
  default:
    PT_SET(error, PT_ERR_UNREACHABLE, "%s: %s", h->url, curl_easy_strerror(rc));
    break;
  }
}

static size_t
on_body(char *bytes, size_t size, size_t n, void *data)
{
  Call *call = data;
  long status = 0;

  n *= size;
  curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &status);
  if (call->request->sink && status < 300)
    return call->request->sink(call->request->sink_data, bytes, n, &call->error) ? n : 0;
  if (n > MAX_BODY - call->body->len) {
    PT_SET(&call->error, PT_ERR_TOO_LARGE, "the answer is longer than the %u bytes allowed", MAX_BODY);
    return 0;
  }
  g_byte_array_append(call->body, (const guint8 *)bytes, (guint)n);
  return n;
}

static size_t
on_header(char *line, size_t size, size_t n, void *data)
{
  Call *call = data;
  const char *colon = memchr(line, ':', n * size);

  n *= size;
  /* A new status line: the headers so far were those of an interim answer. */
  if (n > 5 && memcmp(line, "HTTP/", 5) == 0)
    g_ptr_array_set_size(call->headers, 0);
  if (!colon || call->headers->len >= 2 * MAX_HEADERS)
    return n;
  g_autofree char *name = g_strndup(line, (gsize)(colon - line));
  g_ptr_array_add(call->headers, g_ascii_strdown(name, -1));
  g_ptr_array_add(call->headers, g_strstrip(g_strndup(colon + 1, n - (gsize)(colon - line) - 1)));
  return n;
}

static size_t
on_read(char *buf, size_t size, size_t n, void *data)
{
  Call *call = data;
  gssize got = call->request->source(call->request->source_data, buf, size * n, &call->error);

  return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static struct curl_slist *
build_headers(const PtHttps *h, const PtClientRequest *r)
{
  struct curl_slist *list = curl_slist_append(NULL, "Expect:");
  bool typed = false;

  for (const char *const *p = r->headers; p && p[0]; p += 2) {
    g_autofree char *line = g_strdup_printf("%s: %s", p[0], p[1]);
    typed |= g_ascii_strcasecmp(p[0], "content-type") == 0;
    list = curl_slist_append(list, line);
  }
  if ((r->body || r->source) && !typed)
    list = curl_slist_append(list, "Content-Type: application/json");
  if (h->token) {
    g_autofree char *line = g_strconcat("Authorization: Bearer ", h->token, NULL);
    list = curl_slist_append(list, line);
    explicit_bzero(line, strlen(line));
  }
  return list;
}

static void
set_body(CURL *curl, const PtClientRequest *r, Call *call)
{
  if (r->source) {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(curl, CURLOPT_READDATA, call);
  } else if (r->body || strcmp(r->method, "GET") != 0) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_size);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body ? r->body : "");
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
}

/* Silence, not length, is what ends a request. */
static void
set_timeout(CURL *curl, gint64 timeout)
{
  long seconds = timeout == 0 ? 30 : (long)(timeout / G_USEC_PER_SEC);

  if (timeout < 0)
    return;
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, MAX(seconds, 1L));
}

static PtClientReply *
make_reply(Call *call)
{
  PtClientReply *reply = g_new0(PtClientReply, 1);
  long status = 0;

  curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &status);
  reply->status = (guint)status;
  reply->body_size = call->body->len;
  g_byte_array_append(call->body, (const guint8 *)"", 1);
  reply->body = (char *)g_byte_array_free(g_steal_pointer(&call->body), FALSE);
  g_ptr_array_add(call->headers, NULL);
  reply->headers = (char **)g_ptr_array_free(g_steal_pointer(&call->headers), FALSE);
  return reply;
}

static PtClientReply *
https_send(PtTransport *t, const PtClientRequest *request, GError **error)
{
  PtHttps *h = (PtHttps *)t;
  Call call = {
    .request = request, .curl = h->curl, .body = g_byte_array_new(), .headers = g_ptr_array_new_with_free_func(g_free)
  };
  g_autofree char *url = g_strconcat(h->url, request->path, NULL);
  struct curl_slist *headers = build_headers(h, request);
  PtClientReply *reply = NULL;

  curl_easy_reset(h->curl); /* settings; the connection stays */
  pt_https_prepare(h, h->curl);
  curl_easy_setopt(h->curl, CURLOPT_URL, url);
  curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &call);
  curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, &call);
  set_body(h->curl, request, &call);
  set_timeout(h->curl, request->timeout);
  CURLcode rc = pt_https_perform(h->curl);
  if (call.error)
    g_propagate_error(error, call.error);
  else if (rc != CURLE_OK)
    pt_https_error(h, rc, error);
  else
    reply = make_reply(&call);
  curl_slist_free_all(headers);
  if (call.body)
    g_byte_array_unref(call.body);
  if (call.headers)
    g_ptr_array_unref(call.headers);
  return reply;
}

static int
https_upgrade(PtTransport *t, const PtClientRequest *request, guint32 *ret_type, GError **error)
{
  g_autoptr(json_t) body = request->body ? pt_json_parse_object(request->body, request->body_size, NULL) : NULL;
  bool tty = !body || pt_json_bool(body, "tty", false);

  *ret_type = PT_WIRE_CONTROL;
  return pt_websocket_open((PtHttps *)t, request->path, request->body, !tty, error);
}

static void
https_free(PtTransport *t)
{
  PtHttps *h = (PtHttps *)t;

  curl_easy_cleanup(h->curl);
  if (h->token)
    explicit_bzero(h->token, strlen(h->token));
  g_free(h->token);
  g_free(h->url);
  g_free(h->pin);
  g_free(h->ca);
  g_free(h);
}

static PtTransport *
https_open(const PtHttpsSettings *settings, GError **error)
{
  static const PtTransportOps ops = { https_send, https_upgrade, https_free };
  PtHttps *h = g_new0(PtHttps, 1);

  h->base.ops = &ops;
  h->url = g_strdup(settings->url);
  h->token = g_strdup(settings->token);
  h->pin = g_strdup(settings->pin);
  h->ca = g_strdup(settings->ca);
  h->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
  if (h->curl)
    return &h->base;
  PT_SET(error, PT_ERR_UNSUPPORTED, "libcurl does not start");
  https_free(&h->base);
  return NULL;
}

/* --- the certificate, as it is shown at login --- */

static char *
hex_colons(const guint8 *bytes, gsize n)
{
  GString *s = g_string_new(NULL);

  for (gsize i = 0; i < n; i++)
    g_string_append_printf(s, "%s%02X", i ? ":" : "", bytes[i]);
  return g_string_free(s, FALSE);
}

/* RFC 7469's pin: the SHA-256 of the SubjectPublicKeyInfo. */
static char *
pin_of(gnutls_x509_crt_t crt)
{
  guint8 der[16384], sum[32];
  gsize size = sizeof der, len = sizeof sum;
  gnutls_pubkey_t key = NULL;
  char *pin = NULL;

  if (gnutls_pubkey_init(&key) == 0 && gnutls_pubkey_import_x509(key, crt, 0) == 0 &&
      gnutls_pubkey_export(key, GNUTLS_X509_FMT_DER, der, &size) == 0) {
    g_autoptr(GChecksum) c = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(c, der, (gssize)size);
    g_checksum_get_digest(c, sum, &len);
    g_autofree char *text = g_base64_encode(sum, len);
    pin = g_strconcat("sha256//", text, NULL);
  }
  if (key)
    gnutls_pubkey_deinit(key);
  return pin;
}

/* The leaf out of curl's certinfo. */
static bool
read_certificate(CURL *curl, char **ret_fingerprint, char **ret_pin, char **ret_subject)
{
  struct curl_certinfo *info = NULL;
  const char *pem = NULL;
  gnutls_x509_crt_t crt = NULL;
  guint8 sum[32];
  gsize len = sizeof sum;

  curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info);
  for (struct curl_slist *l = info && info->num_of_certs > 0 ? info->certinfo[0] : NULL; l; l = l->next)
    if (g_str_has_prefix(l->data, "Cert:"))
      pem = l->data + 5;
  if (!pem || gnutls_x509_crt_init(&crt) != 0)
    return false;
  gnutls_datum_t datum = { (unsigned char *)pem, (unsigned)strlen(pem) }, dn = { NULL, 0 };
  bool ok = gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_PEM) == 0 &&
            gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, sum, &len) == 0;
  if (ok) {
    *ret_fingerprint = hex_colons(sum, len);
    *ret_pin = pin_of(crt);
    *ret_subject = gnutls_x509_crt_get_dn3(crt, &dn, 0) == 0 ? g_strndup((char *)dn.data, dn.size) : g_strdup("");
    gnutls_free(dn.data);
    ok = *ret_pin != NULL;
  }
  gnutls_x509_crt_deinit(crt);
  return ok;
}

static bool
https_probe(const char *url, const char *ca, char **ret_fingerprint, char **ret_pin, char **ret_subject, bool *ret_trusted,
            GError **error)
{
  PtHttps h = { .url = (char *)url, .ca = (char *)ca };
  CURL *curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;

  if (!curl) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "libcurl does not start");
    return false;
  }
  pt_https_prepare(&h, curl);
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
  CURLcode rc = pt_https_perform(curl);
  *ret_trusted = rc == CURLE_OK;
  if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE) {
    /* Once more, only to see what it shows. */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    rc = curl_easy_perform(curl);
  }
  bool ok = rc == CURLE_OK && read_certificate(curl, ret_fingerprint, ret_pin, ret_subject);
  if (rc != CURLE_OK)
    pt_https_error(&h, rc, error);
  else if (!ok)
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: its certificate cannot be read", url);
  curl_easy_cleanup(curl);
  return ok;
}

const PtHttpsModule pt_https_module = { PT_HTTPS_VERSION, https_open, https_probe };
