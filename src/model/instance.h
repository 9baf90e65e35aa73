// SPDX-License-Identifier: Apache-2.0
#pragma once
/* An instance: what is desired of it (PtInstance, written by the API) and what is (PtStatus, written by
 * its owner node alone). Keys: spaces/<space>/instances/<name> and spaces/<space>/status/<name>. */
#include "model/record.h"

typedef enum { PT_KIND_CONTAINER, PT_KIND_MACHINE, PT_KIND_PROCESS, PT_N_KINDS } PtKind;
typedef enum { PT_MODEL_MICRO, PT_MODEL_PC, PT_N_MODELS } PtModel;
typedef enum { PT_ACCEL_AUTO, PT_ACCEL_KVM, PT_ACCEL_TCG, PT_N_ACCELS } PtAccel;
typedef enum { PT_FIRMWARE_UEFI, PT_FIRMWARE_BIOS, PT_N_FIRMWARES } PtFirmware;
typedef enum { PT_HARDWARE_VIRTIO, PT_HARDWARE_EMULATED, PT_N_HARDWARES } PtHardware;
typedef enum { PT_INIT_SYSTEM, PT_INIT_APP, PT_N_INITS } PtInit;
typedef enum { PT_POWER_STOPPED, PT_POWER_RUNNING, PT_POWER_PAUSED, PT_POWER_HIBERNATED, PT_N_POWERS } PtPower;
typedef enum { PT_RESTART_NO, PT_RESTART_ON_FAILURE, PT_RESTART_ALWAYS, PT_N_RESTARTS } PtRestart;

/* A published port: the node's address:listen goes to the instance's `to`. */
typedef struct PtPort {
  int protocol; /* 0 tcp, 1 udp */
  gint64 listen;
  gint64 to;
  char *address; /* NULL: every address of the uplink */
} PtPort;

/* A data volume that an instance has. The node takes `change` back when it is made true, or could not be; a disk that could not be
 * attached, or has been detached, then leaves the list. */
typedef enum { PT_DISK_STAYS, PT_DISK_ATTACH, PT_DISK_DETACH, PT_N_DISK_CHANGES } PtDiskChange;
#define PT_DISKS_MAX 8

typedef struct PtDisk {
  char *volume;    /* its name in the space */
  char *id;        /* and its id */
  char *path;      /* where the guest sees it; NULL: a pc's system decides */
  bool read_only;
  gint64 slot;     /* 0 … PT_DISKS_MAX-1: its place in a machine, for as long as it is attached */
  int change;      /* PtDiskChange */
  bool force;      /* of the pending detach: not kept back by who uses it */
} PtDisk;

/* A further network card. */
typedef struct PtNic {
  char *name;  /* "eth1" … "eth7" */
  char *space; /* whose network it is in */
  char *address, *address6, *mac; /* fixed for the card's life */
} PtNic;

typedef struct PtInstance {
  char *id;    /* ULID: names of cgroups, volumes, monitors; never reused */
  char *name;
  char *space;
  char *description;
  int kind;    /* PtKind */
  int init;    /* PtInit */
  int model;   /* PtModel, of a machine */
  int accel;   /* PtAccel, of a machine */
  char *arch;  /* the image's; NULL = the node's own */
  int firmware;     /* PtFirmware, of a pc */
  bool secure_boot; /* of a pc with UEFI */
  bool tpm;         /* of a pc */
  int hardware;     /* PtHardware: what a pc's disk and network card look like */
  char *iso;        /* digest of the ISO image in a pc's CD-ROM drive, or NULL */
  char *iso_name;   /* as it was asked for */
  bool boot_iso;    /* the drive is booted from before the disk */
  char *user_data;  /* of a pc: cloud-init's user data, verbatim; secret */
  char **ssh_keys;  /* of a pc: public keys that cloud-init lets in */
  bool offline;     /* it has no network at all; a process has one only where this is false */
  char *image;      /* digest, "sha256:…" */
  char *image_name; /* as it was asked for */
  char *volume;     /* id of the root volume */

  char *owner;        /* node */
  gint64 epoch;       /* fencing epoch of the ownership */
  gint64 generation;  /* raised by every change the node has to act upon */
  int power;          /* PtPower */
  gint64 boot;        /* raised by "restart": the node restarts it when status.boot differs */
  bool force;         /* the pending stop may not wait for the guest */
  bool durable;       /* the pending hibernation is to outlive a restart of the node */
  gint64 deadline;    /* seconds the guest has for a graceful stop; 0 = 10, of a machine 30 */
  bool deleting;      /* to be removed with its volume; the record goes last */
  char *op;           /* the operation that waits for this generation */

  gint64 cpu;       /* thousandths, 0 = no limit */
  gint64 memory;    /* bytes, 0 = no limit */
  gint64 pids;      /* 0 = the default of 8192 */
  gint64 disk;      /* bytes of the root volume */
  gint64 io_read;   /* bytes a second, 0 = no limit */
  gint64 io_write;
  gint64 net_in;    /* bytes a second into it by its network, 0 = no limit */
  gint64 net_out;   /* and out of it */
  gint64 priority;  /* cpu and io weight 1 … 1000, 100 = normal */

  char **command;   /* app: what runs; system: NULL = the image's init */
  GHashTable *env;
  char *cwd;
  char *user;       /* name or uid[:gid] within the image */
  int restart;      /* PtRestart */
  bool autostart;   /* what ran comes back when the node starts */
  char *address;    /* IPv4 in the space's subnet, fixed for life */
  char *address6;
  char *mac;
  GPtrArray *ports; /* of PtPort */
  GPtrArray *disks; /* of PtDisk: data volumes, changed by attach and detach alone */
  GPtrArray *nics;  /* of PtNic: beside eth0 */
  bool desktop;     /* the image has one */
  gint64 created;
  char *created_by;
} PtInstance;

extern const PtType pt_port_type, pt_nic_type, pt_disk_type, pt_instance_type, pt_status_type;
extern const char *const pt_model_names[], *const pt_accel_names[], *const pt_firmware_names[], *const pt_hardware_names[];
extern const char *const pt_kind_names[], *const pt_init_names[], *const pt_power_names[], *const pt_restart_names[],
  *const pt_run_names[];

/* Run states. The drawing is in status.c above the table; pt_run_move() is the only writer. */
typedef enum {
  PT_RUN_STOPPED,
  PT_RUN_STARTING,
  PT_RUN_RUNNING,
  PT_RUN_PAUSED,
  PT_RUN_STOPPING,
  PT_RUN_FAILED,
  PT_RUN_HIBERNATED,
  PT_N_RUNS
} PtRun;

typedef struct PtStatus {
  char *name;
  char *space;
  char *id;           /* of the instance it speaks of: a record of an older namesake is void */
  char *node;
  gint64 epoch;
  gint64 generation;  /* of the spec it has reached */
  gint64 boot;
  int state;          /* PtRun */
  bool ready;         /* systemd running, or the app's first process runs */
  bool agent;         /* of a pc: QEMU's own guest agent answers in it */
  gint64 pid;         /* of init, on the node */
  gint64 idbase;      /* first host id of its range of 65,536; 0 = none yet */
  gint64 started;     /* time */
  gint64 stopped;     /* time */
  gint64 exit_code;   /* of the last run, -1 = none yet */
  gint64 exit_signal;
  gint64 restarts;    /* automatic ones since the last start by hand */
  gint64 freed;       /* hibernated: bytes of memory that it gave back */
  gint64 guest_cpus;  /* of a machine that runs: processors that its guest uses, and bytes of memory that it has; 0 = not known */
  gint64 guest_memory;
  bool durable;       /* hibernated: what it held is on disk, and outlives a restart of the node */
  char *error;        /* why it is failed; summary, newline, hint */
  char *step;         /* what is being done now, for a person */
} PtStatus;

#define PT_NICS_MAX 7 /* further cards */
/* Its card of that name; NULL where it has none. Borrowed. */
PtNic *pt_instance_nic(const PtInstance *i, const char *name);

/* Whether its guest itself says when it is up: a system's, and any machine's. Else it is up as soon as it runs. */
bool pt_instance_announces(const PtInstance *i);

bool pt_run_move(int *run, PtRun to, GError **error);

/* Its disk that is the data volume called so, or of that id; NULL. */
PtDisk *pt_instance_disk(const PtInstance *i, const char *volume);
/* Takes the disk of that id off the list; absent is fine. */
void pt_instance_disk_remove(PtInstance *i, const char *id);
/* Adds `d`, which it takes, with a slot of its own. Where a path is wanted and none is given it gets its kind's usual one. INVALID or
 * CONFLICT where the path cannot be, or too many are there; `d` is freed then. */
bool pt_instance_disk_add(PtInstance *i, PtDisk *d, GError **error);

PtInstance *pt_instance_parse(const json_t *json, GError **error);
void pt_instance_free(PtInstance *i);
void pt_nic_free(PtNic *nic);
PtStatus *pt_status_parse(const json_t *json, GError **error);
void pt_status_free(PtStatus *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtInstance, pt_instance_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtNic, pt_nic_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtStatus, pt_status_free)

/* What the API shows: spec and status in one object (docs of the API: Instance). `status` may be NULL
 * (not yet looked at by its node) or of another id (ignored). A new reference. */
json_t *pt_instance_view(const PtInstance *i, const PtStatus *status, gint64 revision);
