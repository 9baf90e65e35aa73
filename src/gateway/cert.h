// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* The certificate that HTTPS and VeNCrypt show. An administrator's own STATE/cert.pem and STATE/key.pem are used as
 * they are; else STATE/self-cert.pem and STATE/self-key.pem are made (ECDSA P-256, 397 days, for localhost, the host's
 * name and its addresses) and renewed 30 days before their end. A renewal keeps the key, so that a pinned public key
 * stays valid. */
typedef struct PtCert {
  char *cert_path, *key_path;
  char *fingerprint; /* SHA-256 of the certificate: "AB:CD:…" */
  char *pin;         /* SHA-256 of the public key, as curl's --pinnedpubkey takes it: "sha256//…" */
  gint64 expires;    /* µs since 1970 */
  bool own;          /* the administrator's */
  bool made;         /* pt_cert_ensure wrote it just now */
} PtCert;

void pt_cert_clear(PtCert *cert);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtCert, pt_cert_clear)

/* Sees to it that there is a usable certificate in `state` (a directory of our own, 0700) and describes it.
 * Blocks for a few ms. Errors: INVALID for an administrator's certificate that cannot be used, or by errno. */
bool pt_cert_ensure(const char *state, PtCert *ret, GError **error);
