// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* One domain; one code per different reaction of the caller. The names are the
 * `type` of the API's problem details, the numbers its HTTP status.
 *
 * A message reads "OBJECT: what is wrong", and may carry one hint after a
 * newline: what was (not) changed and the next step. A prefix is added on the
 * way up with g_prefix_error(). */
typedef enum {
  PT_ERR_INVALID,          /* the request makes no sense: 400 */
  PT_ERR_UNAUTHENTICATED,  /* who are you: 401 */
  PT_ERR_FORBIDDEN,        /* you may not: 403 */
  PT_ERR_NOT_FOUND,        /* 404 */
  PT_ERR_CONFLICT,         /* exists, in use, wrong state: 409 */
  PT_ERR_GONE,             /* compacted history, ended operation: 410 */
  PT_ERR_STALE,            /* If-Match or compare failed, read again: 412 */
  PT_ERR_TOO_LARGE,        /* 413 */
  PT_ERR_OVER_QUOTA,       /* 422: would be over the space's quota */
  PT_ERR_RATE,             /* too many attempts, wait: 429 */
  PT_ERR_CANCELLED,        /* 499: someone cancelled the operation */
  PT_ERR_INTERNAL,         /* 500 */
  PT_ERR_UNSUPPORTED,      /* this host cannot: 501 */
  PT_ERR_UNREACHABLE,      /* a peer, a registry, the daemon: 503 */
  PT_ERR_TIMEOUT,          /* 504 */
  PT_ERR_NO_SPACE,         /* disk or pool full: 507 */
  PT_N_ERRS
} PtErr;

#define PT_ERROR (pt_error_quark())
GQuark pt_error_quark(void);

/* "not-found" and 404 of a code. Constant strings; never NULL. */
const char *pt_err_name(PtErr code);
guint pt_err_http(PtErr code);

/* The code of that name; false where there is none. */
bool pt_err_from_name(const char *name, PtErr *ret);

/* The code of an error of any domain: ours as it is, GIOError and errno-like
 * ones by their nearest meaning, everything else INTERNAL. */
PtErr pt_error_code(const GError *error);

/* Sets `error` from an errno: "FMT: strerror". The code follows the errno
 * (ENOENT not-found, ENOSPC no-space, EEXIST/EBUSY conflict, …). */
void pt_error_errno(GError **error, int err, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/* Adds "\nhint" to an error that has none yet. NULL-safe. */
void pt_error_hint(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* The part of the message before, and after, the newline. The first is the
 * caller's to free; the second is borrowed and may be NULL. */
char *pt_error_summary(const GError *error);
const char *pt_error_get_hint(const GError *error);

#define PT_SET(error, code, ...) g_set_error((error), PT_ERROR, (int)(code), __VA_ARGS__)
