// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Shared between the files of the agent; nobody else includes it. */
#include "drivers/network/network.h"
#include "node/agent.h"
#include "node/records.h"

#define PT_IDBASE_FIRST 0x70000000LL /* above what systemd gives to nspawn, below 2^31 for tools that think ids are signed */
#define PT_IDBASE_STEP 65536LL
#define PT_IDBASE_N 4000

/* What this node knows of one instance. `lock` serialises all work on it: reconciling, and file work while it is
 * stopped. The fields below `lock` are touched with it held, those above with the agent's. */
typedef struct PtUnit {
  int refs;
  char *space, *name, *key; /* key: "space/name" */
  bool queued;              /* in the pool's queue */
  bool running;             /* a worker is at it */
  bool again;               /* something changed meanwhile */
  gint64 not_before;        /* monotonic: restart back-off */

  GMutex lock;
  PtStatus *status;         /* what was last written; NULL before the first look */
  char *image_mounted;      /* digest whose mount is counted for us */
  bool attached;            /* the root volume is mounted */
  bool watched;             /* its end will be noticed */
  bool looked;              /* there was a pass since we (re)started */
  int file_users;           /* a descriptor was handed out for the stopped instance; read without the lock, too … */
  GThread *file_thread;     /* … to this thread, which holds `lock` until it gives it back */
  bool limits_known;        /* limits were applied since we (re)started */
  gint64 limits_generation;
  bool resize;              /* its guest may not have the processors and the memory that it is to have */
  gint64 resize_wait;       /* µs until it is asked again */
  gint64 sized_cpu, sized_memory; /* … which are these of the spec */

  GMutex sample_lock;
  GArray *samples;          /* of PtSample, at most an hour */
  gint64 last_cpu_usec, last_rx, last_tx, last_read, last_write, last_time;
} PtUnit;

typedef struct PtTemplates PtTemplates;

struct PtAgent {
  const PtHost *host;
  PtStore *store;
  PtBus *bus;
  PtOps *ops;
  PtPool *pool;
  PtNet *net;
  PtImages *images;
  PtContainers *containers;
  PtTemplates *templates;   /* NULL until all else is there */

  GMutex lock;
  GCond idle;
  GHashTable *units;        /* key → PtUnit */
  GHashTable *spaces_up;    /* ids of the spaces whose network is up */
  GHashTable *jobs;         /* ids of the operations of image builds under way */
  GMutex net_lock;          /* a network is not taken down between somebody's look and its going up: an instance's record is
                               there before its network is asked for, so who takes it down under this lock sees it */
  GMutex image_lock;        /* of the records of images that have a file here, and of their removal */
  GMutex data_lock;         /* of the pool's data volumes */
  guint8 idbases[PT_IDBASE_N];
  GThreadPool *workers;
  guint busy;               /* queued or running work */
  bool stopping;            /* no new work */
  bool draining;

  PtWatch *watch;
  GMainContext *context;    /* of the watcher thread: exits and timers */
  GMainLoop *loop;
  GThread *watcher;
  GThread *sampler;
  GCond sampler_wake;
  gint64 sampler_soon; /* g_get_monotonic_time() by which what has begun to run is measured for the first time; 0: nothing has */
};

/* unit.c */
PtUnit *pt_unit_get(PtAgent *a, const char *space, const char *name, bool create);
void pt_unit_unref(PtUnit *u);
void pt_unit_enqueue(PtAgent *a, PtUnit *u); /* agent's lock not held */
void pt_unit_enqueue_after(PtAgent *a, PtUnit *u, gint64 delay_us);
bool pt_unit_put_status(PtAgent *a, PtUnit *u, GError **error);
void pt_unit_watch_exit(PtAgent *a, PtUnit *u);
void pt_unit_watch(PtAgent *a, PtUnit *u, int fd); /* queues the unit once `fd`, which it takes, is readable */

/* reconcile.c: one pass over one instance; the unit's lock is held */
void pt_unit_reconcile(PtAgent *a, PtUnit *u);
PtInstance *pt_unit_load(PtAgent *a, const PtUnit *u, gint64 *ret_revision, GError **error);

/* start.c */
bool pt_unit_start(PtAgent *a, PtUnit *u, const PtInstance *spec, int *ret_ready, GError **error); /* *ret_ready: pt_container_start() */
bool pt_unit_stop(PtAgent *a, PtUnit *u, const PtInstance *spec, bool force, GError **error);
bool pt_unit_release(PtAgent *a, PtUnit *u, const char *id, bool history, GError **error);
bool pt_unit_apply(PtAgent *a, PtUnit *u, const PtInstance *spec, GError **error);
PtImage *pt_agent_image(PtAgent *a, const char *digest, GError **error);
bool pt_unit_attach(PtAgent *a, PtUnit *u, const PtInstance *spec, char **ret_lower, char **ret_volume, GError **error);
/* The space's network is there afterwards; its id, and the address of its DNS server. The strings are the caller's. */
bool pt_agent_space_up(PtAgent *a, const char *space, char **ret_id, char **ret_dns, GError **error);
void pt_unit_detach(PtAgent *a, PtUnit *u, const PtInstance *spec);

/* resize.c */
/* The guest is to be asked where its size in the spec has changed, or where what it has is `unknown`. */
void pt_unit_resize_want(PtUnit *u, const PtInstance *spec, bool unknown);
/* Asks the guest of a ready machine for what is still missing, and again later while something is. What it has stands in the unit's status
 * afterwards, which the caller writes; *ret_news: that is something else than before. */
bool pt_unit_resize(PtAgent *a, PtUnit *u, const PtInstance *spec, bool *ret_news, GError **error);
/* It has just been started with all that the spec says, or goes on with what it had: that is not known then. */
void pt_unit_sized(PtAgent *a, PtUnit *u, const PtInstance *spec, bool resumed);

/* The subnet's first address: the bridge, the router and the DNS server. The caller's; NULL where it is no subnet. */
char *pt_gateway_of(const char *subnet);

/* cards.c: further network cards */
/* What a guest is told of a card, and of all (base/guest.h: card=). The caller's. */
char *pt_card_line(PtAgent *a, const PtNic *nic, GError **error);
char **pt_card_lines(PtAgent *a, const PtInstance *spec, GError **error);
/* At a start; of one that runs: as its record says; of one that does not: all go. */
bool pt_cards_plug(PtAgent *a, const PtInstance *spec, gint64 idbase, pid_t pid, GError **error);
bool pt_cards_apply(PtAgent *a, const PtInstance *spec, const PtStatus *status, pid_t pid, GError **error);
bool pt_cards_release(PtAgent *a, const char *id, GError **error);

/* disks.c */
bool pt_unit_volume_raw(PtAgent *a, const PtInstance *spec, bool *ret, GError **error); /* whether its root volume is a whole disk */
bool pt_unit_volume_make(PtAgent *a, const PtInstance *spec, GError **error);           /* exists already: success */

/* attach.c: data volumes */
/* For a start: those of the spec, mounted or as files; of PtDiskSource, the caller's. They are put back by pt_unit_disks_detach(). */
GArray *pt_unit_disks_ready(PtAgent *a, PtUnit *u, const PtInstance *spec, GError **error);
void pt_unit_disks_detach(PtAgent *a, PtUnit *u, const PtInstance *spec); /* of one that does not run */
/* Makes true what is asked for of them, here and in the spec's record, and lets those grow that are to. All are tried; the first error. */
bool pt_unit_disks(PtAgent *a, PtUnit *u, PtInstance *spec, bool running, GError **error);

/* exports.c */
void pt_exports_sweep(PtAgent *a, bool all); /* removes those that nobody has fetched for an hour, or all */

/* sleep.c: as their namesakes of drivers/engine.h */
bool pt_unit_hibernate(PtAgent *a, const PtInstance *spec, PtSleep *ret, GError **error);
bool pt_unit_wake(PtAgent *a, PtUnit *u, const PtInstance *spec, GError **error);
bool pt_unit_saved(PtAgent *a, const PtInstance *spec); /* false too where its engine saves nothing */
bool pt_unit_forget(PtAgent *a, const PtInstance *spec, GError **error);

/* The newest kernel image for machines of `arch` is mounted: its path and digest, the caller's, who unmounts it. Both NULL where there is
 * none, which is no error. */
bool pt_agent_kernel(PtAgent *a, const char *arch, char **ret_path, char **ret_digest, GError **error);
gint64 pt_agent_take_ids(PtAgent *a); /* the first of a range; 0 where none is left */
void pt_agent_release_ids(PtAgent *a, gint64 base);

/* Work for operation `op` in a thread of its own: counted, so that the agent's end waits for it and cancels it. The last that run(job)
 * does with the agent is to say that it has ended. */
void pt_agent_job_start(PtAgent *a, const char *op, const char *thread, GThreadFunc run, gpointer job);
void pt_agent_job_end(PtAgent *a, const char *op);

/* template.c */
PtTemplates *pt_templates_new(PtAgent *a, GError **error);
void pt_templates_free(PtTemplates *t); /* waits for what is being made, which is given up */
/* Removes those of an image or kernel that has gone, unless somebody copies them. */
void pt_templates_forget(PtAgent *a, const char *digest);
void pt_templates_renew(PtAgent *a); /* makes anew, in the background, what image, kernel, QEMU or rule have outdated */
bool pt_template_volume(PtAgent *a, const char *volume); /* whether a volume without a record is a template's */
/* What a template for this start is called; the caller's, NULL where none can serve. */
char *pt_template_key(PtAgent *a, const PtInstance *spec, const PtImage *image, const char *kernel, const char *kernel_digest);
/* Makes the instance's volume as a copy of the template's: the template's directory, the caller's; NULL where there is none. done() says
 * that the start is over, and whether it went well. */
char *pt_template_take(PtAgent *a, const char *key, const PtInstance *spec);
void pt_template_done(PtAgent *a, const char *key, bool works);
/* Makes one in the background, of what this instance is of; once. */
void pt_template_want(PtAgent *a, const char *key, const PtInstance *like);

/* images.c */
char *pt_image_derive_name(const char *source, const char *arch);

/* spaces.c */
void pt_agent_space_check(PtAgent *a, const char *space); /* deletion, and networks nobody needs */
void pt_agent_networks_check(PtAgent *a);                 /* the latter, of all spaces: an instance left one that is not its own */
void pt_agent_space_keep(PtAgent *a, const char *space);  /* what should be up and is not (a dnsmasq that died) comes up again */

/* reach.c: whether QEMU's own guest agent answers in it, of a pc that runs. Never blocks. */
bool pt_unit_answers(PtAgent *a, const PtInstance *spec);

/* sample.c */
gpointer pt_sampler_run(gpointer agent);
/* Something has begun to run: it is measured in a moment, not at the next step. */
void pt_sampler_hurry(PtAgent *a);
