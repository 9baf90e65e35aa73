// SPDX-License-Identifier: Apache-2.0
/* What is: the run states, the status record, and spec and status seen together. */
#include "model/instance.h"

#include <string.h>

#include "base/error.h"
#include "model/field.h"

/* The drawing is the code; pt_run_move() is the only writer of a run state.
 *
 *      .------------------------- (ended by itself, or given up) --.
 *      v                                                           |
 *   stopped --> starting --> running <--> paused                   |
 *      ^          |  |          |            |                     |
 *      |          |  '--------->|<-----------'                     |
 *      |          |             v                                  |
 *      |          |         stopping ----------> stopped           |
 *      |          v             |                                  |
 *      '------ failed <---------'  <-- running, paused (died) -----'
 *                 '--> starting
 *
 *   running, paused --> hibernated --> running     stood still in its jail, goes on there
 *                           |  ^-----> starting    what it held was saved, is started from it (or could not be: back again)
 *                           '--------> stopping, stopped, failed
 *
 * starting -> stopping: the user changed their mind. stopping -> failed: it could not be stopped.
 * Everything that may have a process may be found ended: starting, running, paused, hibernated, stopping -> stopped, failed. */
#define TO(s) (1u << PT_RUN_##s)
static const guint run_next[] = {
  [PT_RUN_STOPPED] = TO(STARTING),
  [PT_RUN_STARTING] = TO(RUNNING) | TO(STOPPING) | TO(STOPPED) | TO(FAILED) | TO(HIBERNATED),
  [PT_RUN_RUNNING] = TO(PAUSED) | TO(HIBERNATED) | TO(STOPPING) | TO(STOPPED) | TO(FAILED),
  [PT_RUN_PAUSED] = TO(RUNNING) | TO(HIBERNATED) | TO(STOPPING) | TO(STOPPED) | TO(FAILED),
  [PT_RUN_STOPPING] = TO(STOPPED) | TO(FAILED),
  [PT_RUN_FAILED] = TO(STARTING) | TO(STOPPED),
  [PT_RUN_HIBERNATED] = TO(RUNNING) | TO(STARTING) | TO(STOPPING) | TO(STOPPED) | TO(FAILED),
};
#undef TO
const char *const pt_run_names[] = { "stopped", "starting", "running", "paused", "stopping", "failed", "hibernated", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(run_next) == PT_N_RUNS);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_run_names) == PT_N_RUNS + 1);

bool
pt_run_move(int *run, PtRun to, GError **error)
{
  if (run_next[*run] & (1u << to)) {
    *run = (int)to;
    return true;
  }
  PT_SET(error, PT_ERR_CONFLICT, "cannot go from %s to %s", pt_run_names[*run], pt_run_names[to]);
  return false;
}

static const PtField fields[] = {
  PT_STR(PtStatus, name, PT_F_REQUIRED, 63, pt_check_instance, "The instance's name."),
  PT_STR(PtStatus, space, PT_F_REQUIRED, 63, pt_check_space, "Its space."),
  PT_STR(PtStatus, id, PT_F_REQUIRED, 26, pt_check_id, "The id of the instance it speaks of."),
  PT_STR(PtStatus, node, 0, 63, pt_check_node, "The node that says so."),
  PT_INT(PtStatus, epoch, 0, 0, G_MAXINT64, "The epoch of that node's ownership."),
  PT_INT(PtStatus, generation, 0, 0, G_MAXINT64, "The generation it has reached."),
  PT_INT(PtStatus, boot, 0, -1, G_MAXINT64, "The restarts done; -1 = it is to be started again."),
  PT_ENUM(PtStatus, state, 0, pt_run_names, "What it is: stopped, starting, running, paused, stopping, failed or hibernated."),
  PT_BOOL(PtStatus, ready, 0, "The guest answers."),
  PT_BOOL(PtStatus, agent, 0, "Of a machine of model pc: QEMU's own guest agent answers in it."),
  PT_INT(PtStatus, pid, 0, 0, G_MAXINT32, "Its first process on the node."),
  PT_INT(PtStatus, idbase, 0, 0, G_MAXUINT32, "The first of its 65,536 ids on the node."),
  PT_TIME(PtStatus, started, 0, "When it last started."),
  PT_TIME(PtStatus, stopped, 0, "When it last ended."),
  PT_INT(PtStatus, exit_code, 0, -1, G_MAXINT32, "The exit status of its last run; -1 before the first end."),
  PT_INT(PtStatus, exit_signal, 0, 0, 128, "The signal that ended its last run."),
  PT_INT(PtStatus, restarts, 0, 0, G_MAXINT64, "Automatic restarts since it was last started by hand."),
  PT_SIZE(PtStatus, freed, 0, 0, G_MAXINT64, "While it is hibernated: the bytes of memory that it gave back."),
  PT_INT(PtStatus, guest_cpus, 0, 0, G_MAXINT32, "While a machine runs: the processors that its guest has."),
  PT_SIZE(PtStatus, guest_memory, 0, 0, G_MAXINT64, "While a machine runs: the bytes of memory that its guest has."),
  PT_BOOL(PtStatus, durable, 0, "While it is hibernated: what it held is on disk, and outlives a restart of the node."),
  PT_TEXT(PtStatus, error, 0, 4096, "Why it failed."),
  PT_STR(PtStatus, step, 0, 200, NULL, "What is being done now."),
};

static void
status_defaults(void *record)
{
  PtStatus *s = record;

  s->exit_code = -1;
}

const PtType pt_status_type = {
  .name = "status", .size = sizeof(PtStatus), .fields = fields, .n_fields = G_N_ELEMENTS(fields), .defaults = status_defaults,
};

PtStatus *
pt_status_parse(const json_t *json, GError **error)
{
  return pt_record_parse(&pt_status_type, json, error);
}

void
pt_status_free(PtStatus *s)
{
  pt_record_free(&pt_status_type, s);
}

/* The object of docs/API.md, in its order: what is kept in the spec and what in the status. */
static const struct {
  const char *name;
  bool status;
} shown[] = {
  { "name", false },       { "space", false },    { "id", false },         { "description", false }, { "kind", false },
  { "init", false },       { "image", false },    { "image_name", false }, { "volume", false },      { "power", false },
  { "state", true },       { "ready", true },     { "agent", true },        { "freed", true },       { "durable", true },
  { "guest_cpus", true },  { "guest_memory", true },
  { "step", true },        { "error", true },        { "cpu", false },
  { "memory", false },     { "pids", false },     { "disk", false },       { "io_read", false },     { "io_write", false },
  { "net_in", false },     { "net_out", false },  { "priority", false },   { "command", false },  { "env", false },
  { "cwd", false },        { "user", false },
  { "restart", false },    { "autostart", false }, { "address", false },   { "address6", false },    { "mac", false },
  { "model", false },      { "accel", false },    { "arch", false },       { "firmware", false },    { "secure_boot", false },
  { "tpm", false },        { "hardware", false }, { "iso", false },        { "iso_name", false },    { "boot_iso", false },
  { "offline", false },    { "disks", false },    { "nics", false },
  { "ports", false },      { "desktop", false },  { "pid", true },         { "started", true },      { "stopped", true },
  { "exit_code", true },   { "exit_signal", true }, { "restarts", true },  { "deleting", false },    { "created", false },
  { "created_by", false }, { "generation", false },
};

/* The tables' entries for `shown`, looked up once. */
static const PtField *const *
shown_fields(void)
{
  static const PtField *found[G_N_ELEMENTS(shown)];
  static gsize done;

  if (g_once_init_enter(&done)) {
    for (guint n = 0; n < G_N_ELEMENTS(shown); n++) {
      found[n] = pt_field_find(shown[n].status ? &pt_status_type : &pt_instance_type, shown[n].name);
      g_assert(found[n] != NULL);
    }
    g_once_init_leave(&done, 1);
  }
  return found;
}

/* What stands for an absent value, so that every instance has the same members. */
static json_t *
absent(const PtField *f)
{
  if (f->kind == PT_FIELD_MAP)
    return json_object();
  return f->kind == PT_FIELD_LIST ? json_array() : json_null();
}

json_t *
pt_instance_view(const PtInstance *i, const PtStatus *status, gint64 revision)
{
  static const PtStatus none = { .exit_code = -1 };
  const PtField *const *f = shown_fields();
  json_t *view = json_object();

  if (!status || g_strcmp0(status->id, i->id) != 0)
    status = &none;
  for (guint n = 0; n < G_N_ELEMENTS(shown); n++) {
    json_t *v = pt_field_format(f[n], shown[n].status ? (const void *)status : i, false);
    json_object_set_new_nocheck(view, shown[n].name, v ? v : absent(f[n]));
  }
  if (status->exit_code < 0)
    json_object_set_new_nocheck(view, "exit_code", json_null());
  if (i->deleting && !status->step)
    json_object_set_new_nocheck(view, "step", json_string("deleting"));
  json_object_set_new_nocheck(view, "node", i->owner ? json_string(i->owner) : json_null());
  json_object_set_new_nocheck(view, "usage", json_null());
  json_object_set_new_nocheck(view, "revision", json_integer(revision));
  return view;
}
