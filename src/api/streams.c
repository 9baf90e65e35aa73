// SPDX-License-Identifier: Apache-2.0
/* Exec, console, desktop: the agent gives a descriptor, and the client gets it after the 101 (base/wire.h). From then on the
 * daemon has no part in the stream. */
#include "api/bodies.h"
#include "api/handlers.h"
#include "api/instances.h"
#include "base/clock.h"
#include "base/wire.h"

#define DESKTOP_WAIT (8 * G_USEC_PER_SEC)
#define DESKTOP_STEP (G_USEC_PER_SEC / 100)

static bool
hand_over(PtRequest *r, int fd, guint type)
{
  r->reply.stream_fd = fd;
  r->reply.stream_type = type;
  return fd >= 0;
}

static bool
exec(PtRequest *r, const PtBodyExec *b, GError **error)
{
  const PtExec e = {
    .command = b->shell ? NULL : b->command,
    .env = b->env,
    .cwd = b->cwd,
    .user = b->user,
    .tty = b->tty,
    .cols = (guint)b->cols,
    .rows = (guint)b->rows,
  };

  if (b->shell ? b->command != NULL : !b->command || !b->command[0] || !*b->command[0]) {
    PT_SET(error, PT_ERR_INVALID, "command: either a command or \"shell\": true is wanted");
    return false;
  }
  g_autoptr(PtInstance) spec = pt_instance_load(r, NULL, NULL, error);
  if (!spec)
    return false;
  /* the program's name alone: arguments may hold secrets */
  r->audit_detail = g_strdup(b->shell ? "shell" : b->command[0]);
  if (!pt_instance_wake(r, error))
    return false;
  int fd = pt_agent_exec(r->api->agent, spec, &e, error);
  return fd >= 0 && hand_over(r, fd, PT_WIRE_CONTROL);
}

bool
pt_exec_post(PtRequest *r, GError **error)
{
  PtBodyExec *b = pt_body_record(r, &pt_body_exec, error);
  bool ok = b && exec(r, b, error);

  r->action = g_strdup("exec");
  if (b)
    pt_record_free(&pt_body_exec, b);
  return ok;
}

bool
pt_console_get(PtRequest *r, GError **error)
{
  bool history = false;

  r->action = g_strdup("console");
  if (!pt_query_bool(r, "history", false, &history, error))
    return false;
  g_autoptr(PtInstance) spec = pt_instance_load(r, NULL, NULL, error);
  int fd = spec && pt_instance_wake(r, error) ? pt_agent_console(r->api->agent, spec, history, error) : -1;
  return fd >= 0 && hand_over(r, fd, PT_WIRE_CONTROL);
}

/* Somebody who opens a desktop that is only just starting gets it the moment it listens, and asks once. A picture of it
 * waits for nothing: there will be a next one. */
static int
open_desktop(PtRequest *r, const PtInstance *spec, GError **error)
{
  gint64 end = pt_mono() + (r->thumbnail ? 0 : DESKTOP_WAIT);

  for (;;) {
    GError *err = NULL;
    int fd = pt_agent_desktop(r->api->agent, spec, &err);
    if (fd >= 0)
      return fd;
    if (!g_error_matches(err, PT_ERROR, PT_ERR_NOT_FOUND) || pt_mono() >= end || pt_link_gone(r->link)) {
      g_propagate_error(error, err);
      return -1;
    }
    g_error_free(err);
    g_usleep(DESKTOP_STEP);
  }
}

bool
pt_desktop_get(PtRequest *r, GError **error)
{
  r->action = g_strdup("desktop");
  g_autoptr(PtInstance) spec = pt_instance_load(r, NULL, NULL, error);
  int fd = spec && pt_instance_wake(r, error) ? open_desktop(r, spec, error) : -1;
  return fd >= 0 && hand_over(r, fd, PT_WIRE_STREAM);
}

/* What a desktop sends is hostile, and this process is root: the gateway, which is nobody, draws the picture and answers
 * this address itself. */
bool
pt_thumbnail_get(PtRequest *r, GError **error)
{
  g_autoptr(PtInstance) spec = pt_instance_load(r, NULL, NULL, error);

  if (spec)
    PT_SET(error, PT_ERR_NOT_FOUND, "%s: there is no picture of it here\nask the gateway over HTTPS: it makes them",
           spec->name);
  return false;
}
