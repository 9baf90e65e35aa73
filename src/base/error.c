// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

G_DEFINE_QUARK(pt-error-quark, pt_error)

static const struct {
  const char *name;
  guint http;
} errs[] = {
  [PT_ERR_INVALID] = { "invalid", 400 },
  [PT_ERR_UNAUTHENTICATED] = { "unauthenticated", 401 },
  [PT_ERR_FORBIDDEN] = { "forbidden", 403 },
  [PT_ERR_NOT_FOUND] = { "not-found", 404 },
  [PT_ERR_CONFLICT] = { "conflict", 409 },
  [PT_ERR_GONE] = { "gone", 410 },
  [PT_ERR_STALE] = { "stale", 412 },
  [PT_ERR_TOO_LARGE] = { "too-large", 413 },
  [PT_ERR_OVER_QUOTA] = { "over-quota", 422 },
  [PT_ERR_RATE] = { "rate", 429 },
  [PT_ERR_CANCELLED] = { "cancelled", 499 },
  [PT_ERR_INTERNAL] = { "internal", 500 },
  [PT_ERR_UNSUPPORTED] = { "unsupported", 501 },
  [PT_ERR_UNREACHABLE] = { "unreachable", 503 },
  [PT_ERR_TIMEOUT] = { "timeout", 504 },
  [PT_ERR_NO_SPACE] = { "no-space", 507 },
};
G_STATIC_ASSERT(G_N_ELEMENTS(errs) == PT_N_ERRS);

const char *
pt_err_name(PtErr code)
{
  return code < PT_N_ERRS ? errs[code].name : "internal";
}

guint
pt_err_http(PtErr code)
{
  return code < PT_N_ERRS ? errs[code].http : 500;
}

bool
pt_err_from_name(const char *name, PtErr *ret)
{
  for (guint i = 0; i < PT_N_ERRS; i++) {
    if (g_strcmp0(name, errs[i].name) == 0) {
      *ret = (PtErr)i;
      return true;
    }
  }
  return false;
}

static PtErr
code_of_errno(int err)
{
  switch (err) {
  case ENOENT: case ESRCH: case ENXIO: return PT_ERR_NOT_FOUND;
  case EEXIST: case EBUSY: case ENOTEMPTY: case ETXTBSY: return PT_ERR_CONFLICT;
  case ENOSPC: case EDQUOT: return PT_ERR_NO_SPACE;
  case EINVAL: case ENAMETOOLONG: case ELOOP: case ENOTDIR: case EISDIR: case EXDEV: return PT_ERR_INVALID;
  case EFBIG: case E2BIG: return PT_ERR_TOO_LARGE;
  case ETIMEDOUT: return PT_ERR_TIMEOUT;
  case ECANCELED: return PT_ERR_CANCELLED;
  case ECONNREFUSED: case ECONNRESET: case EHOSTUNREACH: case ENETUNREACH: case EPIPE: return PT_ERR_UNREACHABLE;
  case ENOSYS: case EOPNOTSUPP: return PT_ERR_UNSUPPORTED;
  default: return PT_ERR_INTERNAL;
  }
}

PtErr
pt_error_code(const GError *error)
{
  if (error->domain == PT_ERROR)
    return error->code >= 0 && error->code < PT_N_ERRS ? (PtErr)error->code : PT_ERR_INTERNAL;
  /* Not G_IO_ERROR: it would link GIO into portena, which has no use for it and starts twice as fast without. */
  if (error->domain != g_quark_try_string("g-io-error-quark"))
    return PT_ERR_INTERNAL;
  switch (error->code) {
  case G_IO_ERROR_NOT_FOUND: return PT_ERR_NOT_FOUND;
  case G_IO_ERROR_EXISTS: case G_IO_ERROR_BUSY: return PT_ERR_CONFLICT;
  case G_IO_ERROR_NO_SPACE: return PT_ERR_NO_SPACE;
  case G_IO_ERROR_TIMED_OUT: return PT_ERR_TIMEOUT;
  case G_IO_ERROR_CANCELLED: return PT_ERR_CANCELLED;
  case G_IO_ERROR_CONNECTION_REFUSED: case G_IO_ERROR_CONNECTION_CLOSED: return PT_ERR_UNREACHABLE;
  default: return PT_ERR_INTERNAL;
  }
}

void
pt_error_errno(GError **error, int err, const char *fmt, ...)
{
  va_list args;

  va_start(args, fmt);
  g_autofree char *what = g_strdup_vprintf(fmt, args);
  va_end(args);
  PT_SET(error, code_of_errno(err), "%s: %s", what, g_strerror(err));
}

void
pt_error_hint(GError **error, const char *fmt, ...)
{
  va_list args;

  if (!error || !*error || strchr((*error)->message, '\n'))
    return;
  va_start(args, fmt);
  g_autofree char *hint = g_strdup_vprintf(fmt, args);
  va_end(args);
  char *all = g_strconcat((*error)->message, "\n", hint, NULL);
  g_free((*error)->message);
  (*error)->message = all;
}

char *
pt_error_summary(const GError *error)
{
  const char *nl = strchr(error->message, '\n');

  return nl ? g_strndup(error->message, (gsize)(nl - error->message)) : g_strdup(error->message);
}

const char *
pt_error_get_hint(const GError *error)
{
  const char *nl = strchr(error->message, '\n');

  return nl ? nl + 1 : NULL;
}
