// SPDX-License-Identifier: Apache-2.0
#include "gateway/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

static bool
parse(const char *text, PtListen *l)
{
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)&l->addr;
  struct sockaddr_in *four = (struct sockaddr_in *)&l->addr;
  const char *colon = text ? strrchr(text, ':') : NULL;
  guint64 port = 0;

  if (!colon || colon == text || !g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &port, NULL))
    return false;
  bool bracket = text[0] == '[' && colon[-1] == ']';
  g_autofree char *host = bracket ? g_strndup(text + 1, (gsize)(colon - text) - 2) : g_strndup(text, (gsize)(colon - text));
  if (bracket && inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((guint16)port);
    l->len = sizeof *six;
    return true;
  }
  if (!bracket && inet_pton(AF_INET, host, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons((guint16)port);
    l->len = sizeof *four;
    return true;
  }
  return false;
}

bool
pt_listen_parse(const char *text, PtListen *ret, GError **error)
{
  memset(ret, 0, sizeof *ret);
  ret->fd = -1;
  if (parse(text, ret))
    return true;
  g_autofree char *shown = pt_text_safe(text ? text : "", 80);
  PT_SET(error, PT_ERR_INVALID, "address '%s': write a number and a port, such as 0.0.0.0:8443 or [::]:8443", shown);
  return false;
}

bool
pt_listen_open(PtListen *l, GError **error)
{
  /* nginx leaves a socket that it inherits as it is: of two of its workers that a connection wakes, one would wait in accept() */
  int on = 1, fd = socket(l->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      (l->addr.ss_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
      bind(fd, (struct sockaddr *)&l->addr, l->len) == 0 && listen(fd, 511) == 0 &&
      getsockname(fd, (struct sockaddr *)&l->addr, &l->len) == 0) {
    l->fd = fd;
    return true;
  }
  int err = errno;
  g_autofree char *text = pt_addr_format(&l->addr);
  if (fd >= 0)
    close(fd);
  pt_error_errno(error, err, "listening on %s", text);
  if (err == EADDRINUSE)
    pt_error_hint(error, "another program has that port (ss -ltnp shows which); choose another with --listen or --vnc");
  return false;
}

char *
pt_addr_host(const struct sockaddr_storage *addr)
{
  char host[INET6_ADDRSTRLEN] = "";

  if (addr->ss_family == AF_INET)
    inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, host, sizeof host);
  else if (addr->ss_family == AF_INET6)
    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)addr)->sin6_addr, host, sizeof host);
  return g_strdup(host);
}

char *
pt_addr_format(const struct sockaddr_storage *addr)
{
  g_autofree char *host = pt_addr_host(addr);

  if (addr->ss_family == AF_INET6)
    return g_strdup_printf("[%s]:%u", host, ntohs(((const struct sockaddr_in6 *)addr)->sin6_port));
  return g_strdup_printf("%s:%u", host, ntohs(((const struct sockaddr_in *)addr)->sin_port));
}
