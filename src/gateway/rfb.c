// SPDX-License-Identifier: Apache-2.0
#include "gateway/rfb.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/id.h"
#include "base/text.h"

#define VERSION "RFB 003.008\n"
#define VERSION_SIZE 12
#define SEC_NONE 1
#define SEC_VENCRYPT 19
#define VENCRYPT_X509_PLAIN 262
#define MAX_PLAIN 1024
#define MAX_REASON 1024

static guint32
get32(const guint8 *p)
{
  return (guint32)p[0] << 24 | (guint32)p[1] << 16 | (guint32)p[2] << 8 | p[3];
}

static void
put32(guint8 *p, guint32 v)
{
  p[0] = (guint8)(v >> 24);
  p[1] = (guint8)(v >> 16);
  p[2] = (guint8)(v >> 8);
  p[3] = (guint8)v;
}

/* "RFB 003.008\n": the minor version, or -1. What is above 3.8 (some viewers say 003.889 or 004.001) speaks 3.8 with us. */
static int
minor_version(const char *text)
{
  for (guint i = 0; i < VERSION_SIZE; i++) {
    bool digit = (i >= 4 && i <= 6) || (i >= 8 && i <= 10);
    if (digit ? !g_ascii_isdigit(text[i]) : text[i] != VERSION[i])
      return -1;
  }
  int major = atoi(text + 4), minor = atoi(text + 8);
  if (major > 3)
    return 8;
  return major < 3 ? -1 : MIN(minor, 8);
}

static bool
refusal(PtIo *io, GError **error)
{
  guint8 n[4];
  char why[MAX_REASON + 1] = "";

  if (!pt_io_read(io, n, sizeof n, error))
    return false;
  if (get32(n) <= MAX_REASON && !pt_io_read(io, why, get32(n), error))
    return false;
  g_autofree char *safe = pt_text_safe(why, 200);
  PT_SET(error, PT_ERR_INVALID, "the desktop refuses: %s", safe);
  return false;
}

bool
pt_rfb_join(PtIo *io, GError **error)
{
  char version[VERSION_SIZE + 1] = "";
  guint8 n, types[255], result[4], none = SEC_NONE;

  if (!pt_io_read(io, version, VERSION_SIZE, error))
    return false;
  if (minor_version(version) < 8) {
    PT_SET(error, PT_ERR_INVALID, "the desktop does not speak RFB 3.8");
    return false;
  }
  if (!pt_io_write(io, VERSION, VERSION_SIZE, error) || !pt_io_read(io, &n, 1, error))
    return false;
  if (n == 0)
    return refusal(io, error);
  if (!pt_io_read(io, types, n, error))
    return false;
  if (!memchr(types, SEC_NONE, n)) {
    PT_SET(error, PT_ERR_INVALID, "the desktop asks for a password of its own");
    return false;
  }
  if (!pt_io_write(io, &none, 1, error) || !pt_io_read(io, result, sizeof result, error))
    return false;
  return get32(result) == 0 || refusal(io, error);
}

/* Tells a viewer that cannot do what we need, in the way of its version, and sets the error. */
static bool
too_old(PtIo *io, int minor, GError **error)
{
  static const char why[] = "This server needs a viewer with VeNCrypt (X509Plain) over RFB 3.8";
  guint8 head[5] = { 0 };
  gsize n = minor >= 7 ? 1 : 4; /* no security types: a byte, or in 3.3 a word */

  if (pt_io_write(io, head, n, NULL)) {
    put32(head, sizeof why - 1);
    if (pt_io_write(io, head, 4, NULL))
      pt_io_write(io, why, sizeof why - 1, NULL);
  }
  PT_SET(error, PT_ERR_INVALID, "the viewer does not speak RFB 3.8 with VeNCrypt");
  return false;
}

bool
pt_rfb_offer(PtIo *io, GError **error)
{
  static const guint8 types[] = { 1, SEC_VENCRYPT }, vencrypt[] = { 0, 2 };
  static const guint8 accepted[] = { 0 }, refused[] = { 255 }, go[] = { 1 }, no[] = { 0 };
  guint8 subtypes[5] = { 1 }, chosen[4], version[2], type;
  char text[VERSION_SIZE + 1] = "";

  if (!pt_io_write(io, VERSION, VERSION_SIZE, error) || !pt_io_read(io, text, VERSION_SIZE, error))
    return false;
  int minor = minor_version(text);
  if (minor < 0) {
    PT_SET(error, PT_ERR_INVALID, "the peer is no viewer");
    return false;
  }
  if (minor < 8)
    return too_old(io, minor, error);
  if (!pt_io_write(io, types, sizeof types, error) || !pt_io_read(io, &type, 1, error))
    return false;
  if (type != SEC_VENCRYPT) {
    pt_rfb_result(io, "This server offers VeNCrypt only", NULL);
    PT_SET(error, PT_ERR_INVALID, "the viewer chose what was not offered");
    return false;
  }
  if (!pt_io_write(io, vencrypt, sizeof vencrypt, error) || !pt_io_read(io, version, sizeof version, error))
    return false;
  if (version[0] != 0 || version[1] != 2) {
    pt_io_write(io, refused, 1, NULL);
    PT_SET(error, PT_ERR_INVALID, "the viewer does not speak VeNCrypt 0.2");
    return false;
  }
  put32(subtypes + 1, VENCRYPT_X509_PLAIN);
  if (!pt_io_write(io, accepted, 1, error) || !pt_io_write(io, subtypes, sizeof subtypes, error) ||
      !pt_io_read(io, chosen, sizeof chosen, error))
    return false;
  if (get32(chosen) != VENCRYPT_X509_PLAIN) {
    pt_io_write(io, no, 1, NULL);
    PT_SET(error, PT_ERR_INVALID, "the viewer does not take X509Plain");
    return false;
  }
  return pt_io_write(io, go, 1, error);
}

static char *
read_text(PtIo *io, gsize size, GError **error)
{
  char *text = g_malloc0(size + 1);

  if (pt_io_read(io, text, size, error)) {
    if (strlen(text) == size && g_utf8_validate(text, (gssize)size, NULL))
      return text;
    PT_SET(error, PT_ERR_INVALID, "the name or password is not UTF-8");
  }
  explicit_bzero(text, size);
  g_free(text);
  return NULL;
}

bool
pt_rfb_read_plain(PtIo *io, char **ret_user, char **ret_password, GError **error)
{
  guint8 n[8];

  if (!pt_io_read(io, n, sizeof n, error))
    return false;
  if (get32(n) > MAX_PLAIN || get32(n + 4) > MAX_PLAIN) {
    PT_SET(error, PT_ERR_TOO_LARGE, "the name or password is longer than %d bytes", MAX_PLAIN);
    return false;
  }
  g_autofree char *user = read_text(io, get32(n), error);
  char *password = user ? read_text(io, get32(n + 4), error) : NULL;
  if (!password)
    return false;
  *ret_user = g_steal_pointer(&user);
  *ret_password = password;
  return true;
}

bool
pt_rfb_result(PtIo *io, const char *reason, GError **error)
{
  guint8 head[8] = { 0 };
  gsize size = reason ? MIN(strlen(reason), MAX_REASON) : 0;

  if (!reason)
    return pt_io_write(io, head, 4, error);
  put32(head, 1);
  put32(head + 4, (guint32)size);
  return pt_io_write(io, head, sizeof head, error) && pt_io_write(io, reason, size, error);
}

bool
pt_rfb_parse_name(const char *text, char **ret_user, char **ret_space, char **ret_instance, GError **error)
{
  const char *at = strrchr(text, '@'), *slash = at ? strchr(at, '/') : NULL;
  g_autofree char *user = at ? g_strndup(text, (gsize)(at - text)) : NULL;
  g_autofree char *space = slash ? g_strndup(at + 1, (gsize)(slash - at) - 1) : NULL;

  if (!slash) {
    PT_SET(error, PT_ERR_INVALID, "the user name must be USER@SPACE/INSTANCE, such as anna@home/studio");
    return false;
  }
  if (!pt_user_name_check(user, error) || !pt_name_check("space", space, error) || !pt_name_check("instance", slash + 1, error))
    return false;
  *ret_user = g_steal_pointer(&user);
  *ret_space = g_steal_pointer(&space);
  *ret_instance = g_strdup(slash + 1);
  return true;
}
