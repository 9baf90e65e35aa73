// SPDX-License-Identifier: Apache-2.0
/* A hostile viewer, and a hostile desktop: the first byte says at which point of the conversation. */
#include <string.h>

#include "base/error.h"
#include "gateway/frame.h"
#include "base/id.h"
#include "gateway/rfb.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void
plain(PtIo *io, GError **err)
{
  char *user = NULL, *password = NULL;
  g_autofree char *name = NULL, *space = NULL, *instance = NULL;

  if (pt_rfb_read_plain(io, &user, &password, err)) {
    g_assert_true(g_utf8_validate(user, -1, NULL) && strlen(user) <= 1024 && strlen(password) <= 1024);
    if (pt_rfb_parse_name(user, &name, &space, &instance, err))
      g_assert_null(strpbrk(space, "/.@"));
  }
  g_free(user);
  pt_secret_free(password);
}

static void
picture(PtIo *io, GError **err)
{
  g_auto(PtFrame) frame = { 0 };

  if (!pt_frame_grab(io, 64, &frame, err))
    return;
  g_assert_true(frame.width >= 1 && frame.width <= 64 && frame.height >= 1 && frame.height <= 960);
  g_autoptr(GBytes) png = pt_frame_png(&frame, err);
  g_assert_nonnull(png);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  g_autoptr(GError) err = NULL;
  g_autoptr(GByteArray) sent = g_byte_array_new();

  if (size == 0)
    return 0;
  PtIo io = pt_io_memory(data + 1, size - 1, sent);
  switch (data[0] & 3) {
  case 0: g_assert_true(pt_rfb_join(&io, &err) == (err == NULL)); break;
  case 1: g_assert_true(pt_rfb_offer(&io, &err) == (err == NULL)); break;
  case 2: plain(&io, &err); break;
  default: picture(&io, &err); break;
  }
  g_assert_cmpuint(sent->len, <, 4096);
  g_assert_true(!err || g_utf8_validate(err->message, -1, NULL));
  return 0;
}
