// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What requests carry, as tables of fields: parsed by the records' codec, described by the OpenAPI document. */
#include "model/record.h"

typedef struct PtBodySession {
  char *user, *password, *code, *name;
  bool token;
} PtBodySession;

typedef struct PtBodyUser { /* creation and change */
  char *name, *password, *current_password, *full_name;
  bool admin, disabled, must_change;
} PtBodyUser;

typedef struct PtBodyCode {
  char *code;
} PtBodyCode;

typedef struct PtBodyPassword {
  char *password;
} PtBodyPassword;

typedef struct PtBodyToken {
  char *name, *expires_in, *scope;
} PtBodyToken;

typedef struct PtBodyMember {
  int role; /* PtRole */
} PtBodyMember;

typedef struct PtBodyVolume {
  gint64 size;
} PtBodyVolume;

typedef struct PtBodyVolumeNew {
  char *name;
  gint64 size;
} PtBodyVolumeNew;

typedef struct PtBodyDisk {
  char *volume, *path;
  bool read_only;
} PtBodyDisk;

typedef enum {
  PT_ACTION_NONE,
  PT_ACTION_START,
  PT_ACTION_STOP,
  PT_ACTION_RESTART,
  PT_ACTION_PAUSE,
  PT_ACTION_RESUME,
  PT_ACTION_HIBERNATE,
  PT_N_ACTIONS
} PtAction;
extern const char *const pt_action_names[];

typedef struct PtBodyAction {
  int action; /* PtAction */
  bool force, durable;
  gint64 deadline;
} PtBodyAction;

typedef struct PtBodyNic {
  char *name, *space, *address;
} PtBodyNic;

typedef struct PtBodyExec {
  char **command;
  bool shell;
  GHashTable *env;
  char *cwd, *user;
  bool tty;
  gint64 cols, rows;
} PtBodyExec;

typedef struct PtBodyImage {
  char *source, *name, *arch;
} PtBodyImage;

typedef enum {
  PT_EXPORT_QCOW2,
  PT_EXPORT_RAW,
  PT_EXPORT_VMDK,
  PT_EXPORT_VDI,
  PT_EXPORT_VHDX,
  PT_EXPORT_VHD,
  PT_EXPORT_OVA,
  PT_EXPORT_ISO,
  PT_N_EXPORTS
} PtExportFormat;
extern const char *const pt_export_format_names[];

typedef struct PtBodyExport {
  int format; /* PtExportFormat */
} PtBodyExport;

typedef struct PtBodyNames {
  char **names;
} PtBodyNames;

typedef struct PtBodyLaunch { /* beside the user fields of an instance */
  char *image, *arch;
  bool start;
} PtBodyLaunch;

extern const PtType pt_body_session, pt_body_user_new, pt_body_user_change, pt_body_code, pt_body_password, pt_body_token, pt_body_member,
    pt_body_volume_new, pt_body_disk, pt_body_nic,
    pt_body_volume, pt_body_action, pt_body_exec, pt_body_image, pt_body_export, pt_body_names, pt_body_launch;
