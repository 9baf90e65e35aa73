// SPDX-License-Identifier: Apache-2.0
/* QMP (qemu's docs/interop/qmp-spec.rst) as far as this process needs it: one JSON object a line. Lines are not parsed: QEMU puts an
 * event's name into a member "event", and a line is compared for that. A line that does not fit is dropped. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helpers/vmm.h"

#define RESETS_MAX 5 /* before it was ever up */

static char line[8192];
static size_t have;
static bool dropping, greeted;

static void
command(const char *text)
{
  send_all(&v.qmp, text, strlen(text));
}

void
qmp_powerdown(void)
{
  if (greeted)
    command("{\"execute\":\"system_powerdown\"}\r\n");
}

static bool
is_event(const char *name)
{
  char text[64] = "\"event\": \"";

  strncat(text, name, 40);
  strcat(text, "\"");
  return strstr(line, text) != NULL;
}

/* The agent that knew us is gone. A kernel that panics starts anew at once, and would for ever. */
static void
on_reset(void)
{
  static int resets;

  if (v.agent < 0)
    return;
  if (!v.ready && ++resets >= RESETS_MAX) {
    v.failed = true;
    complain("the guest starts again and again and never comes up");
    command("{\"execute\":\"quit\"}\r\n");
    return;
  }
  agent_hello();
}

static void
on_line(void)
{
  if (!greeted && strstr(line, "\"QMP\"")) {
    greeted = true;
    command("{\"execute\":\"qmp_capabilities\"}\r\n");
    if (v.ready_by_qmp)
      say_ready();
    if (v.stopping)
      qmp_powerdown();
  } else if (is_event("RESET")) {
    on_reset();
  } else if (is_event("RESUME")) {
    agent_time();
    if (v.ready_by_qmp)
      qga_time();
  } else if (is_event("VSERPORT_CHANGE") && strstr(line, "\"id\": \"agent\"")) {
    qga_opened(strstr(line, "\"open\": true") != NULL);
  }
}

void
qmp_read(void)
{
  char buf[4096];
  ssize_t n = recv(v.qmp, buf, sizeof buf, MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    close(v.qmp);
    v.qmp = -1;
    return;
  }
  for (ssize_t i = 0; i < n && v.qmp >= 0; i++) {
    if (buf[i] == '\n') {
      line[have] = '\0';
      if (!dropping)
        on_line();
      have = 0;
      dropping = false;
    } else if (have < sizeof line - 1) {
      line[have++] = buf[i] ? buf[i] : ' ';
    } else {
      dropping = true;
    }
  }
}
