// SPDX-License-Identifier: Apache-2.0
#include "cli/fetch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define QUIET (120 * G_USEC_PER_SEC) /* without a byte: nobody sends any more */

static bool
write_all(const PtFetch *f, const char *p, gsize size, GError **error)
{
  while (size > 0) {
    gssize n = write(f->fd, p, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      pt_error_errno(error, errno, "%s", f->name);
      return false;
    }
    p += n;
    size -= (gsize)n;
  }
  return true;
}

static bool
on_bytes(void *data, const void *bytes, gsize size, GError **error)
{
  PtFetch *f = data;
  const char *p = bytes;
  bool zero = f->holes && size > 0 && p[0] == '\0' && memcmp(p, p + 1, size - 1) == 0;

  if (zero && lseek(f->fd, (off_t)size, SEEK_CUR) < 0) {
    pt_error_errno(error, errno, "%s", f->name);
    return false;
  }
  if (!zero && !write_all(f, p, size, error))
    return false;
  f->done += (gint64)size;
  f->tell(f->data, (gint64)size);
  return true;
}

PtClientReply *
pt_fetch(PtCli *cli, PtFetch *fetch, GError **error)
{
  PtClientRequest r = { .method = "GET", .path = fetch->path, .sink = on_bytes, .sink_data = fetch, .timeout = QUIET };
  PtTransport *way = pt_cli_transport(cli, error);
  g_autoptr(PtClientReply) reply = way ? way->ops->send(way, &r, error) : NULL;

  return reply && pt_client_reply_check(reply, error) ? g_steal_pointer(&reply) : NULL;
}
