// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Containers by crun, each under a portena-monitor of its own, which holds the console, waits for the exit
 * status and survives us. Blocking; any thread; calls for one instance are serialised by the caller, but
 * exec, console, stats and files may run beside them.
 *
 * RUN/monitor/<id>/  ctl.sock (SEQPACKET), bundle/config.json, state (pid, start time), exit (status, once it ended)
 * RUN/mnt/root/<id>  the overlay; STATE/instances/<id>/console.log  history, bounded, rotated
 * cgroup <host->cgroup>/<id> in each hierarchy. */
#include "model/instance.h"
#include "model/space.h"
#include "sys/host.h"

typedef struct PtContainers PtContainers;
typedef struct PtContainerStart PtContainerStart;
typedef struct PtExec PtExec;

/* What a start has made ready for the kind that describes its jail itself. */
typedef struct PtJail {
  const PtHost *host;
  const char *rootfs; /* the jail's root directory on the node */
  int root;           /* a descriptor of it, for sys/path.h */
  const char *notify; /* the monitor's notify socket: who writes READY=1 to it makes the instance ready */
  const char *uuid;   /* of this instance: 32 hex digits */
} PtJail;

/* A data volume of an instance, made ready. */
typedef struct PtDiskSource {
  const PtDisk *disk;
  char *source; /* where it is mounted, ids unshifted; for an engine that opens files itself: its file */
} PtDiskSource;

struct PtContainerStart {
  const PtInstance *spec;
  const PtImage *image;
  const char *lower;      /* mounted image, ids unshifted */
  const char *volume;     /* mounted root volume, ids unshifted: upper and work go into VOLUME/upper, VOLUME/work */
  const char *image_file, *volume_file; /* in place of these two, for an engine that opens files itself (drivers/engine.h); else NULL */
  const GArray *disks;    /* of PtDiskSource; NULL = none */
  bool resume;            /* goes on from what hibernate() saved (drivers/engine.h) */
  gint64 idbase;
  const char *dns;        /* address of the space's DNS server, or NULL */
  const char *domain;     /* "home.internal" */
  /* Called when the namespaces exist and the guest's first instruction has not run: the network is put in. */
  bool (*plug)(pid_t pid, void *data, GError **error);
  void *plug_data;
  /* Where not NULL, set by a start that went well: a descriptor that becomes readable once the guest has said that it is up
   * (ask pt_container_ready() then), the caller's; -1 where nothing is to be waited for. */
  int *ret_ready;
  /* Of a kind that is no container (NULL otherwise): the OCI description of its jail, a new reference. root.path has to be
   * jail->rootfs, and cgroupsPath and mappings have to be those that pt_jail_linux() makes. */
  json_t *(*describe)(const PtContainerStart *start, const PtJail *jail, GError **error);
  /* With it: the root is an empty tmpfs, for mount points alone, in place of the overlay of `lower` and `volume`; of `bare_size`
   * bytes, 0 = 1 MiB. */
  bool bare;
  gint64 bare_size;
  bool bare_devices; /* device nodes in it can be opened */
  const PtInstance *limits; /* what its group may take; NULL = the spec's */
  /* For a machine's guest, which sets up its network itself: the space's subnet and prefix, or NULL; and the mounted image of
   * format kernel, or NULL. */
  const char *subnet, *prefix6, *kernel;
  char *const *cards;   /* its further network cards, each as in base/guest.h */
  const char *iso_file; /* of the disc in its drive, or NULL */
  /* A machine of model micro: the template it is made as a copy of, or (`template_make`) that it becomes; NULL = neither. A directory
   * with the file "memory", as large as the guest's. */
  const char *template_dir;
  bool template_make;
};

/* The "linux" object of a jail of this instance: group, all seven namespaces, ids, a device group that lets nothing in but
 * /dev/null and its like, masked and read-only paths. No seccomp: the caller adds it. A new reference. */
json_t *pt_jail_linux(const PtHost *host, const PtContainerStart *start);
/* Lets it have a device node of the node's, mode 0666; one that is not there is left out. */
void pt_jail_device(json_t *linux_json, const char *path);
/* Seccomp for a jail that runs the node's own programs: as an app's, and no socket but Unix ones. A new reference. */
json_t *pt_jail_seccomp(void);
/* What identifies the guest of an instance: 32 hex digits, the same for ever. The caller's. */
char *pt_jail_uuid(const char *id);
/* A path of the node below a running jail's root, "vm/qmp"; the caller's. What is there belongs to the jail. */
char *pt_jail_path(const PtContainers *c, const char *id, const char *below);
/* The path of one of our own helpers on the node; the caller's. */
char *pt_jail_helper(const PtContainers *c, const char *name);
/* pt_container_exec() of a program of the node in the jail itself: as the jail's root, without any capability. `env` is all
 * its environment, "NAME=VALUE"; NULL = a small clean one. Of `exec` only tty and size count. */
int pt_jail_exec(PtContainers *c, const PtInstance *spec, const char *const *args, const char *const *env, const PtExec *exec,
                 GError **error);
/* A connection to the Unix stream socket `below` of the jail; NOT_FOUND where nobody listens, INVALID where it is something else. */
int pt_jail_connect(PtContainers *c, const char *id, const char *below, GError **error);
/* An OCI process object for a jail: the jail's root, no capability; `env` as above. A new reference. */
json_t *pt_jail_process(const char *const *args, const char *const *env, bool tty);

/* Appends a mount to an OCI "mounts" array; `options` divided by commas. */
void pt_jail_mount(json_t *mounts, const char *to, const char *type, const char *source, const char *options);

typedef struct PtContainerState {
  bool running;       /* its monitor has not said yet that it ended */
  bool lost;          /* its monitor was killed: how it ended is unknown, and what is left of it is to be cleared */
  bool paused;        /* stands still, asleep or not */
  bool asleep;        /* hibernated in its jail */
  gint64 freed;       /* asleep: bytes of memory that it gave back */
  pid_t pid;
  gint64 started;     /* µs since 1970 */
  gint64 stopped;     /* of the last end; 0 = has not ended */
  int exit_code;      /* of the last end */
  int exit_signal;    /* of a system guest: SIGHUP = it asked for a reboot; powering off is 0 */
} PtContainerState;

typedef struct PtContainerStats {
  gint64 cpu_usec;       /* used since it started */
  gint64 memory, memory_peak, swap; /* bytes; memory without reclaimable page cache */
  gint64 pids;
  gint64 io_read, io_write; /* bytes */
  double cpu_pressure, memory_pressure, io_pressure; /* PSI some avg10, -1 = unknown */
} PtContainerStats;

typedef struct PtProcess {
  gint64 pid;       /* inside */
  gint64 ppid;
  guint uid;        /* inside */
  char *user;       /* name inside, or the number */
  char *command;
  gint64 cpu_usec, memory, started;
  char state;
} PtProcess;
void pt_process_free(PtProcess *p);

struct PtExec {
  char *const *command;  /* NULL: the login shell */
  GHashTable *env;       /* added to the instance's; may be NULL */
  const char *cwd;       /* NULL: the user's home or / */
  const char *user;      /* NULL: root, or the image's login for a shell */
  bool tty;
  guint cols, rows;
};

/* Finds crun and proves that it can start something. Adopts monitors that run; the caller asks state() of each. What lives
 * without a monitor is killed, so that it holds no volume any more: call it before pools are opened. */
PtContainers *pt_containers_open(const PtHost *host, GError **error);
const PtHost *pt_containers_host(const PtContainers *c);
void pt_containers_close(PtContainers *c);
GPtrArray *pt_containers_list(PtContainers *c, GError **error); /* ids (char *) with anything of theirs on this node */

/* From nothing to a running first process. On failure everything made is removed again. */
bool pt_container_start(PtContainers *c, const PtContainerStart *start, GError **error);
/* NOT_FOUND where there is no trace of it. Never blocks. */
bool pt_container_state(PtContainers *c, const char *id, PtContainerState *ret, GError **error);
/* A descriptor that becomes readable when the instance ends (a pidfd of its monitor). The caller's. */
int pt_container_watch(PtContainers *c, const char *id, GError **error);
/* True once the guest answers: systemd says running or degraded, or it is an app. Asks it, so it may take a moment. */
bool pt_container_ready(PtContainers *c, const char *id, const PtInstance *spec);
/* Whether whoever wanted a graceful stop wants it at once by now; asked a few times a second while the guest is waited for. */
typedef struct PtPatience {
  bool (*over)(void *data);
  void *data;
} PtPatience;
/* The polite signal, then after `deadline` µs, or when patience is over (may be NULL), SIGKILL to the cgroup. Blocks until it has
 * ended. With a deadline of 0 spec and image may be NULL. */
bool pt_container_stop(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, gint64 deadline,
                       const PtPatience *patience, GError **error);
bool pt_container_pause(PtContainers *c, const char *id, bool paused, GError **error);

typedef struct PtSleep {
  gint64 freed;       /* bytes of memory given back */
  bool durable;       /* what it held was saved, and its jail has ended; else it stands still in there */
} PtSleep;
/* Freezes one that runs or is paused and takes its memory from it, as far as swap has room: else UNSUPPORTED or CONFLICT, and
 * nothing was changed. Blocks for about a second for each 300 MiB. Lost with the host; but where spec->durable is set, CRIU puts all that
 * it holds on the disk and it ends: UNSUPPORTED or CONFLICT where that cannot be done with it, which runs on then. */
bool pt_container_hibernate(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, PtSleep *ret, GError **error);
/* It has its limits again, and goes on; its memory comes back as it is touched. */
bool pt_container_wake(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error);
/* Whether one like this can be hibernated on disk here, as far as that can be told without a look at it; else UNSUPPORTED. */
bool pt_container_durable(const PtHost *host, const PtInstance *spec, GError **error);
/* The path of the CRIU that does it, the caller's; UNSUPPORTED says why there is none. */
char *pt_container_criu(GError **error);
/* saved and forget of drivers/engine.h. */
bool pt_container_saved(PtContainers *c, const char *id);
bool pt_container_forget(PtContainers *c, const char *id, GError **error);
bool pt_container_limits(PtContainers *c, const char *id, const PtInstance *spec, GError **error); /* live */
/* A data volume for one that runs, `source` as in PtDiskSource. Attached already, or not attached: success. detach() is CONFLICT where
 * it is in use inside, and says by whom, unless disk->force. */
bool pt_container_attach(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, const char *source, GError **error);
bool pt_container_detach(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, const char *source, GError **error);
/* Unmounts and removes all that a stopped one has on this node but its volume; absent is success.
 * `history`: its console history too. */
bool pt_container_clear(PtContainers *c, const char *id, bool history, GError **error);

bool pt_container_stats(PtContainers *c, const char *id, PtContainerStats *ret, GError **error);
GPtrArray *pt_container_processes(PtContainers *c, const char *id, GError **error); /* of PtProcess */

/* A control descriptor for the client (base/wire.h): STREAM and EXIT or ERROR follow on it. */
int pt_container_exec(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, const PtExec *exec, GError **error);
/* The same for the console; history first, if asked. Several may be attached. */
int pt_container_console(PtContainers *c, const char *id, bool history, GError **error);
/* The last `bytes` of the history, also of a stopped one. The caller's. */
char *pt_container_logs(PtContainers *c, const char *id, gsize bytes, gsize *ret_size, GError **error);
/* The file that the history is being written to, to read on in as it grows; the caller's. When it is full it is renamed and
 * another takes its place: who has come to the end asks again. NOT_FOUND where nothing has been written yet. */
int pt_container_log_open(PtContainers *c, const char *id, GError **error);
/* A connected RFB stream. NOT_FOUND until the desktop listens. `path` is resolved inside the guest's tree, never through it. */
int pt_container_desktop(PtContainers *c, const char *id, const char *path, GError **error);

/* A descriptor of the running guest's root directory, for sys/path.h alone; pt_guest_root_close() ends it (sys/guest.h).
 * NOT_FOUND where it does not run. */
int pt_container_root(PtContainers *c, const char *id, GError **error);
