// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The agent of this node: makes the instances it owns be what the store says, and answers what only the node
 * that runs an instance can answer. The only caller of drivers/. Calls come from any thread and block.
 *
 * What the API writes and how it is read here: every change of a spec raises `generation`; "start" and "restart" also raise
 * `boot` (a new instance that shall run has boot 1), and the node starts or restarts whatever runs under another boot than
 * that. An instance that ends by itself is thus not started again, unless its restart policy says so. `op` is ended when
 * the status has reached the generation. Deletion sets `deleting`; the node removes the records last. */
#include "drivers/engine.h"
#include "drivers/image/image.h"
#include "drivers/machine/agent.h"
#include "drivers/volume/volume.h"
#include "node/bus.h"
#include "node/ops.h"
#include "store/store.h"

typedef struct PtAgent PtAgent;

/* Opens drivers, writes nodes/<name>, adopts what runs, starts what should run (after a reboot: what ran and has autostart). */
PtAgent *pt_agent_new(const PtHost *host, PtStore *store, PtBus *bus, PtOps *ops, GError **error);
/* Stops reconciling; instances go on. */
void pt_agent_free(PtAgent *a);
/* Stops every instance gracefully (their desired power stays as it is, so they come back), networks and mounts
 * too. For the end of `make run` and the host's shutdown. */
bool pt_agent_drain(PtAgent *a, GError **error);

/* Builds or imports an image in the background for operation `op` (pt_images_make()'s `source`), gives it `name`
 * (NULL: one derived from the source) and ends the operation. An image that had the name loses it. `unlink`,
 * if not NULL, is an uploaded file that is removed afterwards. */
void pt_agent_image_make(PtAgent *a, const char *op, const char *source, const char *name, const char *arch, const char *unlink);
/* Makes a file of a disk in the background, for operation `op`, and ends that: of the image `digest`, or, where that is NULL, of the
 * stopped instance `name` of `space`. Its place is asked for by the operation's id; it goes an hour after it was last asked for. */
void pt_agent_export(PtAgent *a, const char *op, const char *format, const char *digest, const char *space, const char *name);
/* The caller's; the format is constant. NOT_FOUND. */
char *pt_agent_export_file(PtAgent *a, const char *op, const char **ret_format, GError **error);
/* Removes record and file; CONFLICT names the instances that use it. */
bool pt_agent_image_remove(PtAgent *a, const char *digest, GError **error);
bool pt_agent_pool_info(PtAgent *a, PtPoolInfo *ret, GError **error);
const char *pt_agent_uplink(PtAgent *a);
/* Whether machines of the node's own architecture run by KVM; UNSUPPORTED says why not. The first call tries it: 10 s at most. */
bool pt_agent_kvm(PtAgent *a, GError **error);

/* Data volumes that no instance has: the file; CONFLICT where something still has it open. make(): there already is success. grow():
 * to v->size, and v->actual says how far. remove(): absent is success. used(): false where that is not known. */
bool pt_agent_volume_make(PtAgent *a, const PtVolume *v, GError **error);
bool pt_agent_volume_grow(PtAgent *a, PtVolume *v, GError **error);
bool pt_agent_volume_remove(PtAgent *a, const char *id, GError **error);
bool pt_agent_volume_used(PtAgent *a, const char *id, gint64 *ret_used); /* of any */

/* Whether data volumes can come to an instance like this, and go; `running`: while it runs. UNSUPPORTED says what can be done instead. */
bool pt_agent_attaches(const PtInstance *spec, bool running, GError **error);

/* Whether this node has an engine for an instance of its kind; UNSUPPORTED says which it has. */
bool pt_agent_runs_kind(const PtInstance *spec, GError **error);

/* Whether instances of its kind can be hibernated here; UNSUPPORTED says what can be done instead. */
bool pt_agent_hibernates(const PtInstance *spec, GError **error);
/* The same for the form that outlives a restart of the node. */
bool pt_agent_durable(PtAgent *a, const PtInstance *spec, GError **error);

/* Whether one that runs or is hibernated gets this field of its spec, "cpu" or "memory", without a start. Blocks for two seconds
 * at most. */
bool pt_agent_resizes(PtAgent *a, const PtInstance *spec, const char *field);

/* Of one instance of this node; `spec` names it. NOT_FOUND or CONFLICT ("is stopped", with the hint how to start it). */
int pt_agent_exec(PtAgent *a, const PtInstance *spec, const PtExec *exec, GError **error);
int pt_agent_console(PtAgent *a, const PtInstance *spec, bool history, GError **error);
int pt_agent_desktop(PtAgent *a, const PtInstance *spec, GError **error); /* NOT_FOUND: runs, but does not listen yet */
char *pt_agent_logs(PtAgent *a, const PtInstance *spec, gsize bytes, gsize *ret_size, GError **error);
int pt_agent_log_open(PtAgent *a, const PtInstance *spec, GError **error); /* as pt_container_log_open() */
GPtrArray *pt_agent_processes(PtAgent *a, const PtInstance *spec, GError **error);

/* A sample: kept for an hour at 5 s steps for charts. */
typedef struct PtSample {
  gint64 time;
  double cpu;        /* thousandths of a cpu in use, over the last step */
  gint64 memory, pids, disk_used, disk_size;
  gint64 rx, tx, io_read, io_write; /* bytes a second over the last step */
  double cpu_pressure, memory_pressure, io_pressure;
} PtSample;
bool pt_agent_sample(PtAgent *a, const PtInstance *spec, PtSample *ret, GError **error);       /* the newest; fresh within 5 s */
GArray *pt_agent_samples(PtAgent *a, const PtInstance *spec, gint64 since, GError **error);    /* of PtSample */
/* As the API shows it: cpu in cpus. A new reference. */
json_t *pt_sample_format(const PtSample *s);

/* A descriptor of the instance's root directory for file work, running or stopped (then its volume is mounted
 * for as long as the lock is held). Release with pt_agent_root_done(). ids inside are shifted by `ret_idbase` when it
 * runs, else unshifted (0). */
int pt_agent_root(PtAgent *a, const PtInstance *spec, gint64 *ret_idbase, GError **error);
void pt_agent_root_done(PtAgent *a, const PtInstance *spec, int fd);

/* Whether it runs and its files are reached through the agent in it alone, not by a descriptor; and a request to that agent
 * (drivers/machine/agent.h). */
bool pt_agent_calls(PtAgent *a, const PtInstance *spec);
PtGuestCall *pt_agent_call(PtAgent *a, const PtInstance *spec, const char *lines, GError **error);
