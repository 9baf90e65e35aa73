// SPDX-License-Identifier: Apache-2.0
#include "gateway/cert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

#define DAY (G_TIME_SPAN_DAY / G_USEC_PER_SEC)
#define LIFE (397 * DAY) /* what browsers accept of a server certificate */
#define RENEW (30 * DAY)

typedef struct Pair {
  gnutls_x509_privkey_t key;
  gnutls_x509_crt_t crt;
} Pair;

static void
pair_clear(Pair *p)
{
  if (p->key)
    gnutls_x509_privkey_deinit(p->key);
  if (p->crt)
    gnutls_x509_crt_deinit(p->crt);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Pair, pair_clear)

void
pt_cert_clear(PtCert *cert)
{
  g_free(cert->cert_path);
  g_free(cert->key_path);
  g_free(cert->fingerprint);
  g_free(cert->pin);
  memset(cert, 0, sizeof *cert);
}

static bool
tls_ok(int rc, const char *what, GError **error)
{
  if (rc >= 0)
    return true;
  PT_SET(error, PT_ERR_INVALID, "%s: %s", what, gnutls_strerror(rc));
  return false;
}

/* Writes a file whole or not at all; a key is never readable by others, not even for a moment. */
static bool
write_file(const char *path, mode_t mode, const gnutls_datum_t *data, GError **error)
{
  g_autofree char *temp = g_strconcat(path, ".new", NULL);
  int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

  if (fd >= 0 && fchmod(fd, mode) == 0 && write(fd, data->data, data->size) == (gssize)data->size && fsync(fd) == 0 &&
      close(fd) == 0 && rename(temp, path) == 0)
    return true;
  pt_error_errno(error, errno, "%s", path);
  unlink(temp);
  return false;
}

static bool
load_file(const char *path, gnutls_datum_t *ret, GError **error)
{
  char *text = NULL;
  gsize size = 0;
  g_autoptr(GError) why = NULL;

  if (!g_file_get_contents(path, &text, &size, &why)) {
    PT_SET(error, PT_ERR_INVALID, "certificate: %s", why->message);
    pt_error_hint(error, "cert.pem and key.pem belong together, both readable by the gateway's user; remove both to have one made");
    return false;
  }
  ret->data = (guchar *)text;
  ret->size = (guint)size;
  return true;
}

static bool
load_key(const char *path, Pair *p, GError **error)
{
  gnutls_datum_t pem = { 0 };

  if (!load_file(path, &pem, error))
    return false;
  bool ok = tls_ok(gnutls_x509_privkey_init(&p->key), path, error) &&
            tls_ok(gnutls_x509_privkey_import2(p->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0), path, error);
  gnutls_memset(pem.data, 0, pem.size);
  g_free(pem.data);
  return ok;
}

/* The first certificate of the file: the others are its issuers. */
static bool
load_crt(const char *path, Pair *p, GError **error)
{
  gnutls_datum_t pem = { 0 };

  if (!load_file(path, &pem, error))
    return false;
  bool ok = tls_ok(gnutls_x509_crt_init(&p->crt), path, error) &&
            tls_ok(gnutls_x509_crt_import(p->crt, &pem, GNUTLS_X509_FMT_PEM), path, error);
  g_free(pem.data);
  return ok;
}

static bool
key_id(int rc, guchar *id, gsize *size)
{
  return rc == 0 && *size == 32 && id;
}

static bool
pair_matches(const Pair *p)
{
  guchar a[32] = { 0 }, b[32] = { 1 };
  gsize na = sizeof a, nb = sizeof b;

  return key_id(gnutls_x509_privkey_get_key_id(p->key, GNUTLS_KEYID_USE_SHA256, a, &na), a, &na) &&
         key_id(gnutls_x509_crt_get_key_id(p->crt, GNUTLS_KEYID_USE_SHA256, b, &nb), b, &nb) && memcmp(a, b, sizeof a) == 0;
}

static bool
describe(const Pair *p, PtCert *ret, GError **error)
{
  guchar sum[32], id[32];
  gsize n = sizeof sum, nid = sizeof id;

  if (!tls_ok(gnutls_x509_crt_get_fingerprint(p->crt, GNUTLS_DIG_SHA256, sum, &n), "certificate", error) ||
      !tls_ok(gnutls_x509_crt_get_key_id(p->crt, GNUTLS_KEYID_USE_SHA256, id, &nid), "certificate", error))
    return false;
  GString *s = g_string_new(NULL);
  for (gsize i = 0; i < n; i++)
    g_string_append_printf(s, "%s%02X", i ? ":" : "", sum[i]);
  g_autofree char *base64 = g_base64_encode(id, nid);
  ret->fingerprint = g_string_free(s, FALSE);
  ret->pin = g_strconcat("sha256//", base64, NULL);
  ret->expires = (gint64)gnutls_x509_crt_get_expiration_time(p->crt) * G_USEC_PER_SEC;
  return true;
}

static bool
set_names(gnutls_x509_crt_t crt, GError **error)
{
  char host[256] = "";
  struct ifaddrs *all = NULL;
  bool ok = true;

  if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
    g_strlcpy(host, "localhost", sizeof host);
  g_autofree char *cn = g_strndup(host, 64); /* X.520's bound of a common name */
  ok = tls_ok(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (guint)strlen(cn)), "name", error) &&
       tls_ok(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9, GNUTLS_FSAN_SET), "name", error);
  if (ok && strcmp(host, "localhost") != 0)
    ok = tls_ok(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, host, (guint)strlen(host), GNUTLS_FSAN_APPEND),
                "name", error);
  if (getifaddrs(&all) != 0)
    all = NULL; /* the names alone will do */
  for (struct ifaddrs *i = all; ok && i; i = i->ifa_next) {
    const void *ip = NULL;
    guint size = 0;
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
      continue;
    if (i->ifa_addr->sa_family == AF_INET) {
      ip = &((struct sockaddr_in *)i->ifa_addr)->sin_addr;
      size = 4;
    } else if (i->ifa_addr->sa_family == AF_INET6 &&
               !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr)) {
      ip = &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
      size = 16;
    }
    if (ip)
      ok = tls_ok(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, size, GNUTLS_FSAN_APPEND), "name", error);
  }
  if (all)
    freeifaddrs(all);
  return ok;
}

static bool
make_crt(Pair *p, GError **error)
{
  time_t now = (time_t)(pt_now() / G_USEC_PER_SEC);
  guchar serial[16];

  pt_random(serial, sizeof serial);
  serial[0] &= 0x7f; /* RFC 5280: positive */
  serial[0] |= 0x01;
  return tls_ok(gnutls_x509_crt_init(&p->crt), "certificate", error) && set_names(p->crt, error) &&
         tls_ok(gnutls_x509_crt_set_version(p->crt, 3), "certificate", error) &&
         tls_ok(gnutls_x509_crt_set_serial(p->crt, serial, sizeof serial), "certificate", error) &&
         tls_ok(gnutls_x509_crt_set_activation_time(p->crt, now - 3600), "certificate", error) &&
         tls_ok(gnutls_x509_crt_set_expiration_time(p->crt, now + LIFE - 3600), "certificate", error) &&
         tls_ok(gnutls_x509_crt_set_basic_constraints(p->crt, 0, -1), "certificate", error) &&
         tls_ok(gnutls_x509_crt_set_key_usage(p->crt, GNUTLS_KEY_DIGITAL_SIGNATURE), "certificate", error) &&
         tls_ok(gnutls_x509_crt_set_key_purpose_oid(p->crt, GNUTLS_KP_TLS_WWW_SERVER, 0), "certificate", error) &&
         tls_ok(gnutls_x509_crt_set_key(p->crt, p->key), "certificate", error) &&
         tls_ok(gnutls_x509_crt_sign2(p->crt, p->crt, p->key, GNUTLS_DIG_SHA256, 0), "certificate", error);
}

static bool
make_key(const char *path, Pair *p, GError **error)
{
  gnutls_datum_t pem = { 0 };
  bool ok = tls_ok(gnutls_x509_privkey_init(&p->key), "key", error) &&
            tls_ok(gnutls_x509_privkey_generate2(p->key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0,
                                                 NULL, 0),
                   "key", error) &&
            tls_ok(gnutls_x509_privkey_export2_pkcs8(p->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem), "key", error) &&
            write_file(path, 0600, &pem, error);

  if (pem.data) {
    gnutls_memset(pem.data, 0, pem.size);
    gnutls_free(pem.data);
  }
  return ok;
}

/* Ours: loaded where it is good for a while yet, else made, with the key that is there. */
static bool
ensure_self(PtCert *ret, Pair *p, GError **error)
{
  gint64 soon = pt_now() / G_USEC_PER_SEC + RENEW;

  if (g_file_test(ret->key_path, G_FILE_TEST_EXISTS) ? !load_key(ret->key_path, p, error) : !make_key(ret->key_path, p, error))
    return false;
  if (g_file_test(ret->cert_path, G_FILE_TEST_EXISTS) && load_crt(ret->cert_path, p, NULL) && pair_matches(p) &&
      gnutls_x509_crt_get_expiration_time(p->crt) > soon)
    return true;
  if (p->crt)
    gnutls_x509_crt_deinit(g_steal_pointer(&p->crt));
  gnutls_datum_t pem = { 0 };
  bool ok = make_crt(p, error) && tls_ok(gnutls_x509_crt_export2(p->crt, GNUTLS_X509_FMT_PEM, &pem), "certificate", error) &&
            write_file(ret->cert_path, 0644, &pem, error);
  gnutls_free(pem.data);
  ret->made = ok;
  return ok;
}

bool
pt_cert_ensure(const char *state, PtCert *ret, GError **error)
{
  g_auto(Pair) p = { 0 };

  memset(ret, 0, sizeof *ret);
  ret->cert_path = g_build_filename(state, "cert.pem", NULL);
  ret->key_path = g_build_filename(state, "key.pem", NULL);
  ret->own = g_file_test(ret->cert_path, G_FILE_TEST_EXISTS) || g_file_test(ret->key_path, G_FILE_TEST_EXISTS);
  if (ret->own) {
    if (!load_key(ret->key_path, &p, error) || !load_crt(ret->cert_path, &p, error))
      goto fail;
    if (!pair_matches(&p)) {
      PT_SET(error, PT_ERR_INVALID, "certificate: %s is not the key of %s", ret->key_path, ret->cert_path);
      goto fail;
    }
  } else {
    g_free(ret->cert_path);
    g_free(ret->key_path);
    ret->cert_path = g_build_filename(state, "self-cert.pem", NULL);
    ret->key_path = g_build_filename(state, "self-key.pem", NULL);
    if (!ensure_self(ret, &p, error))
      goto fail;
  }
  if (describe(&p, ret, error))
    return true;
fail:
  pt_cert_clear(ret);
  return false;
}
