// SPDX-License-Identifier: Apache-2.0
/* What a QEMU that its guest has taken over says on its QMP socket: a stream of any bytes. Whatever it is, the client ends with an
 * error or an answer, within bounds, and says the same again afterwards. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "drivers/machine/qmp.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void
lines(const char *text, gsize size)
{
  while (size > 0) {
    const char *stop = memchr(text, '\n', size);
    gsize n = stop ? (gsize)(stop - text) : size;
    g_autoptr(GError) err = NULL;
    g_autoptr(json_t) message = NULL;
    PtQmpKind kind = PT_N_QMP_MESSAGES;

    bool ok = pt_qmp_parse(text, n, &kind, &message, &err);
    g_assert_true(ok == (err == NULL));
    g_assert_true(ok == (message != NULL));
    g_assert_true(!ok || kind < PT_N_QMP_MESSAGES);
    text += stop ? n + 1 : n;
    size -= stop ? n + 1 : n;
  }
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  g_autoptr(GError) err = NULL;
  int pair[2];

  lines((const char *)data, size);
  if (size > 65536 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    return 0;
  if (write(pair[1], data, size) < 0)
    return 0;
  shutdown(pair[1], SHUT_WR);
  g_autoptr(PtQmp) q = pt_qmp_open(pair[0], G_USEC_PER_SEC, &err);
  g_assert_true((q == NULL) == (err != NULL));
  if (q) {
    g_autoptr(GError) first = NULL, second = NULL;
    g_autoptr(json_t) answer = pt_qmp_run(q, "query-status", NULL, G_USEC_PER_SEC, &first);
    g_assert_true((answer == NULL) == (first != NULL));
    g_autoptr(json_t) event = pt_qmp_wait(q, "STOP", G_USEC_PER_SEC, &second);
    g_assert_true((event == NULL) == (second != NULL));
  }
  close(pair[1]);
  return 0;
}
