// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a text message of a stream, as a path, a listening address and a key: what is accepted is within its bounds. */
#include <string.h>

#include "base/error.h"
#include "gateway/endpoint.h"
#include "gateway/handshake.h"
#include "gateway/listen.h"
#include "gateway/message.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void
as_text(const char *text)
{
  g_autoptr(GError) err = NULL;
  g_auto(PtTarget) target = { 0 };
  g_autofree char *accept = pt_ws_accept(text);
  PtListen listen;

  bool ok = pt_target_parse(text, &target, &err);
  g_assert_true(ok == (err == NULL) && ok == (target.verb != NULL));
  if (ok)
    g_assert_null(strpbrk(target.space, "/.%\r\n "));
  g_assert_true(!accept || strlen(accept) == 28);
  pt_ws_names(text, "websocket");
  if (pt_listen_parse(text, &listen, NULL)) {
    g_autofree char *again = pt_addr_format(&listen.addr);
    g_assert_true(pt_listen_parse(again, &listen, NULL));
  }
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  g_autoptr(GError) err = NULL;
  g_autofree char *text = g_strndup((const char *)data, size);
  PtMessage m;

  bool ok = pt_message_parse((const char *)data, size, &m, &err);
  g_assert_true(ok == (err == NULL));
  if (ok && m.kind == PT_MESSAGE_RESIZE)
    g_assert_true(m.a >= 1 && m.a <= 4096 && m.b >= 1 && m.b <= 4096);
  if (ok && m.kind == PT_MESSAGE_SIGNAL)
    g_assert_true(m.a >= 1 && m.a < 32);
  if (err) {
    g_autofree char *answer = pt_message_error(err, size & 1);
    g_assert_true(g_utf8_validate(answer, -1, NULL));
  }
  as_text(text);
  return 0;
}
