// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Shared by the files of this folder alone. */
#include "drivers/container/container.h"

#define PT_GUEST_IDS 65536

struct PtContainers {
  const PtHost *host;
  char *crun;      /* absolute */
  char *monitor;   /* absolute */
  char *crun_root; /* RUN/crun */
};

/* ---- container.c: names of things; strings are the caller's ---- */
char *pt_ct_dir(const PtContainers *c, const char *id, const char *file);   /* RUN/monitor/<id>[/file] */
char *pt_ct_root(const PtContainers *c, const char *id);                    /* RUN/mnt/root/<id> */
char *pt_ct_log(const PtContainers *c, const char *id);                     /* STATE/instances/<id>/console.log */
/* A pidfd of the first process, and the pid. NOT_FOUND, with a hint, where it does not run. */
int pt_ct_init(const PtContainers *c, const char *id, pid_t *ret_pid, GError **error);
/* A pidfd of the monitor; NOT_FOUND where it has ended. */
int pt_ct_monitor(const PtContainers *c, const char *id, GError **error);

/* What the start decided and later calls need: RUN/monitor/<id>/meta. */
typedef struct PtContainerMeta {
  gint64 idbase;
  guint64 device; /* dev_t of the volume's block device */
  bool systemd;   /* the first process is systemd */
} PtContainerMeta;
bool pt_ct_meta_write(const PtContainers *c, const char *id, const PtContainerMeta *meta, GError **error);
bool pt_ct_meta_read(const PtContainers *c, const char *id, PtContainerMeta *ret, GError **error);

/* ---- user.c: users of a guest, read safely from its tree ---- */
typedef struct PtGuestUser {
  char *name;  /* NULL = the number is in no passwd */
  char *home;  /* "/" where unknown */
  char *shell; /* "/bin/sh" where unknown */
  guint32 uid, gid;
  GArray *groups; /* of guint32, the supplementary ones */
} PtGuestUser;
void pt_guest_user_clear(PtGuestUser *u);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtGuestUser, pt_guest_user_clear)
/* `who`: "name", "uid", with ":group" or ":gid"; NULL or "" is root. `root` is a descriptor of the guest's root. NOT_FOUND names
 * the user or group. */
bool pt_guest_user(int root, const char *who, PtGuestUser *ret, GError **error);
/* The whole of passwd: uid (GUINT_TO_POINTER) to name. Never NULL; empty where it cannot be read. */
GHashTable *pt_guest_user_names(int root);

/* ---- disks.c ---- */
/* Mounts a data volume in the namespaces of `pid`, at its place; there already: success. Once its first process runs, or before. */
bool pt_ct_disk(const PtContainers *c, pid_t pid, const PtInstance *spec, gint64 idbase, const PtDisk *disk, const char *source,
                GError **error);
/* The limits of io for those that are mounted. */
bool pt_ct_disks_limit(const PtContainers *c, const char *id, const PtInstance *spec, GError **error);

/* ---- commands.c: command lines of processes, one for each pid; NULL where there is none, or it could not be had in time.
 * Blocks for 2 s at most. New; `pids` is kept. ---- */
GPtrArray *pt_ct_commands(const char *id, GArray *pids);

/* ---- fuse.c: ends every FUSE connection of a guest with these ids, and with it what waits for their answers. ---- */
void pt_ct_abort_fuse(const PtContainers *c, gint64 idbase);

/* ---- config.c: the OCI description (opencontainers.org runtime-spec 1.0) ---- */
typedef struct PtConfigInput {
  const PtHost *host;
  const PtContainerStart *start;
  const char *root;    /* the overlay */
  const char *notify;  /* the monitor's notify socket, or NULL */
  const char *uuid;    /* of this instance */
  const PtGuestUser *user;
  const char *rule;    /* how another architecture's programs are run (sys/arch.h), or NULL */
} PtConfigInput;
json_t *pt_config_build(const PtConfigInput *in, GError **error);
/* The process object of an exec. `env` as pt_config_env() made it. */
json_t *pt_config_exec(const PtInstance *spec, const PtGuestUser *user, char *const *args, GHashTable *env, const char *cwd,
                       bool tty, guint cols, guint rows);
/* Environment for whatever runs as `user`: defaults, the image's, the instance's, in rising order. New. */
GHashTable *pt_config_env(const PtInstance *spec, const PtImage *image, const PtGuestUser *user);
/* The same as a list of "NAME=VALUE". A new reference. */
json_t *pt_config_env_json(GHashTable *env);
json_t *pt_config_seccomp(bool system);
extern const char *const pt_config_masked[]; /* paths that an app does not see, as far as the node has them; ends with NULL */

/* ---- prepare.c: the tree that the guest starts in ---- */
bool pt_ct_mount(const PtContainers *c, const PtContainerStart *start, GError **error);
/* An empty tmpfs instead, the guest's root's own: crun makes mount points in it. */
bool pt_ct_mount_bare(const PtContainers *c, const PtContainerStart *start, GError **error);
bool pt_ct_unmount(const PtContainers *c, const char *id, GError **error);
/* hostname, hosts, resolv.conf, machine-id in the mounted tree. */
bool pt_ct_write_files(const PtContainerStart *start, int root, const char *uuid, GError **error);
char *pt_ct_uuid(const char *id); /* 32 hex digits, the same for ever */
bool pt_ct_is_systemd(int root);

/* ---- sleep.c: whether it is marked as hibernated, and what it gave back ---- */
bool pt_ct_asleep(const PtContainers *c, const char *id, gint64 *ret_freed);

/* ---- checkpoint.c ---- */
/* pt_container_hibernate() on disk, by CRIU. */
bool pt_ct_checkpoint(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, PtSleep *ret, GError **error);
/* Waits until no CRIU of a predecessor is at work on it, and drops what was saved. */
bool pt_ct_await_dump(PtContainers *c, const char *id, GError **error);

/* ---- exec.c: shared with jail.c ---- */
/* Runs the OCI process object `text` beside the first process; refuses one that is paused. The client's control socket. */
int pt_ct_exec(PtContainers *c, const PtInstance *spec, const char *text, const PtExec *exec, GError **error);
/* connect(2) that gives up after a while; -1 and errno. */
int pt_ct_connect(const char *path, int type);

/* ---- stop.c ---- */
/* The number of "SIGTERM", "TERM", "RTMIN+3", "15"; 0 = no such signal. */
int pt_signal_parse(const char *name);
/* Kills whatever is left of a start that failed, and takes everything away. */
void pt_ct_abandon(PtContainers *c, const char *id);
