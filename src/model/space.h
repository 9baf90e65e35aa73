// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Spaces, users, tokens, volumes, nodes, operations. Keys:
 *   nodes/<name>  spaces/<name>  spaces/<space>/volumes/<id>  users/<name>  tokens/<id>  ops/<id>  pools/<name> */
#include "model/record.h"

typedef enum { PT_ROLE_NONE, PT_ROLE_VIEWER, PT_ROLE_MEMBER, PT_ROLE_OWNER, PT_N_ROLES } PtRole;

typedef struct PtQuota { /* 0 = no limit */
  gint64 instances;
  gint64 cpu;    /* thousandths, sum over instances; one without a limit counts as the node's */
  gint64 memory; /* bytes */
  gint64 disk;   /* bytes, sum of the volumes' sizes */
} PtQuota;

typedef struct PtSpace {
  char *id;
  char *name;
  char *description;
  char *subnet;          /* "10.83.0.0/24" */
  char *prefix6;         /* "fdxx:…::/64" */
  GHashTable *members;   /* user name → role name */
  PtQuota *quota;
  bool deleting;         /* its instances are deleted, then its network, then this record */
  char *op;              /* the operation that waits for the deletion */
  gint64 created;
  char *created_by;
} PtSpace;

typedef struct PtUser {
  char *name;
  char *full_name;
  bool admin;
  bool disabled;
  char *password;        /* Argon2id string of libsodium, secret */
  char *totp;            /* base32, secret; NULL = not used */
  char *totp_pending;    /* enrolment begun, not yet proved; secret */
  gint64 totp_last;      /* last time step used: a code works once */
  bool must_change;      /* first login: the password is to be changed */
  gint64 created;
  gint64 last_login;
} PtUser;

typedef enum { PT_TOKEN_SESSION, PT_TOKEN_API, PT_N_TOKENS } PtTokenKind;

typedef struct PtToken { /* "pt_<id>_<secret>"; only the secret's hash is stored */
  char *id;
  char *user;
  int kind;              /* PtTokenKind */
  char *hash;            /* SHA-256 hex of the secret, secret */
  char *name;            /* what it is for; a session: the browser */
  char *scope;           /* NULL or "full"; "read"; "space:NAME"; "space:NAME:read" */
  gint64 created;
  gint64 expires;
  gint64 last_used;
  char *last_from;
} PtToken;

typedef enum { PT_VOLUME_EXT4, PT_VOLUME_RAW, PT_N_VOLUME_FORMATS } PtVolumeFormat;

typedef struct PtVolume {
  char *id;
  char *name;
  char *space;
  char *pool;
  char *instance;        /* whose root it is; NULL = a data volume, which instances have by their `disks` */
  char *image;           /* digest it belongs over, or NULL */
  int format;            /* PtVolumeFormat: a file system of ours, or a whole disk of an unmodified system, which is never mounted here */
  gint64 size;           /* bytes wanted */
  gint64 actual;         /* bytes the file system (raw: the disk) has now; grows behind `size` */
  char *owner;           /* node */
  gint64 epoch;
  gint64 created;
} PtVolume;

typedef struct PtNode {
  char *name;
  char *id;
  gint64 cpus;
  gint64 memory;
  char *version;
  gint64 started;
} PtNode;

typedef enum { PT_OP_PENDING, PT_OP_RUNNING, PT_OP_DONE, PT_OP_FAILED, PT_OP_CANCELLED, PT_N_OPS } PtOpState;

typedef struct PtOperation {
  char *id;
  char *kind;            /* "launch", "start", "stop", "restart", "pause", "resume", "delete", "image-build", "image-import", … */
  char *target;          /* "spaces/home/instances/studio", "images/desktop" */
  char *space;           /* NULL: the node's */
  char *user;
  int state;             /* PtOpState */
  gint64 progress;       /* per mille, -1 = unknown */
  gint64 done, total;    /* in `unit`s, 0 = unknown */
  char *unit;            /* "bytes", "packages" */
  char *step;            /* what is being done now, for a person */
  gint64 created, ended;
  char *error_code;      /* pt_err_name() */
  char *error;           /* summary, newline, hint */
  char *result;          /* "images/sha256:…", … */
} PtOperation;

/* rootfs: rootfs.erofs, a root file system for containers and machines of model micro. disk: disk.raw, an unmodified system's disk.
 * iso: disk.raw too, a CD-ROM. program: rootfs.erofs with one program and what belongs to it, in /app. kernel: rootfs.erofs with
 * /vmlinuz and /initrd, what machines of model micro start from; not for users. */
typedef enum { PT_FORMAT_ROOTFS, PT_FORMAT_DISK, PT_FORMAT_ISO, PT_FORMAT_PROGRAM, PT_FORMAT_KERNEL, PT_N_FORMATS } PtFormat;
typedef enum { PT_RUNTIME_NATIVE, PT_RUNTIME_WASM, PT_RUNTIME_JAVA, PT_N_RUNTIMES } PtRuntime;

typedef struct PtImage { /* images/<digest> */
  char *digest;          /* "sha256:" and 64 hex digits: of the erofs file; of a disk's content (docs/IMAGES.md) */
  char **names;          /* "desktop", "docker.io/library/alpine:3.20" */
  char *source;          /* "recipe:desktop", "docker://…", "file:NAME" */
  char *arch;            /* "x86_64", "aarch64" */
  char *os;              /* pretty name out of os-release */
  char *description;
  gint64 size;           /* bytes of the file */
  int format;            /* PtFormat */
  int runtime;           /* PtRuntime, of a program */
  int firmware;          /* PtFirmware, of a disk */
  int hardware;          /* PtHardware, of a disk: what it is sure to have drivers for */
  gint64 disk;           /* of a disk: its size, bytes */
  gint64 cpu, memory;    /* of a disk: thousandths and bytes that its maker proposes; 0 = nothing is known */
  gint64 created;
  int init;              /* PtInit: what a container of it runs as unless told otherwise */
  char **command;        /* app images: entrypoint and cmd together */
  GHashTable *env;
  char *cwd;
  char *user;
  char *login;           /* user that a shell opens as; NULL = root */
  char *stop_signal;     /* "SIGTERM", "RTMIN+3" */
  bool desktop;
  char *desktop_socket;  /* path of the RFB socket inside, "/run/portena/rfb.sock" */
  char **kinds;          /* what it can run as: "container" */
} PtImage;

extern const PtType pt_quota_type, pt_space_type, pt_user_type, pt_token_type, pt_volume_type, pt_node_type, pt_operation_type,
  pt_image_type;
extern const char *const pt_format_names[], *const pt_runtime_names[], *const pt_volume_format_names[];
extern const char *const pt_role_names[], *const pt_token_kind_names[], *const pt_op_state_names[];

/* NONE where the user is no member. */
PtRole pt_space_role(const PtSpace *s, const char *user);

#define PT_RECORD_DECLARE(Type, prefix)                                                                                \
  Type *prefix##_parse(const json_t *json, GError **error);                                                            \
  void prefix##_free(Type *r);                                                                                         \
  G_DEFINE_AUTOPTR_CLEANUP_FUNC(Type, prefix##_free)
PT_RECORD_DECLARE(PtSpace, pt_space)
PT_RECORD_DECLARE(PtUser, pt_user)
PT_RECORD_DECLARE(PtToken, pt_token)
PT_RECORD_DECLARE(PtVolume, pt_volume)
PT_RECORD_DECLARE(PtNode, pt_node)
PT_RECORD_DECLARE(PtOperation, pt_operation)
PT_RECORD_DECLARE(PtImage, pt_image)

/* What the API shows of them (docs/API.md: Operation, User), with every member, null where absent; no secret. New references. */
json_t *pt_operation_view(const PtOperation *op);
json_t *pt_user_view(const PtUser *user, gint64 revision);

/* Keys. The caller's to free. */
char *pt_key_space(const char *space);
char *pt_key_instance(const char *space, const char *name);
char *pt_key_status(const char *space, const char *name);
char *pt_key_volume(const char *space, const char *id);
char *pt_key_user(const char *user);
char *pt_key_token(const char *id);
char *pt_key_op(const char *id);
char *pt_key_image(const char *digest);
char *pt_key_node(const char *node);
