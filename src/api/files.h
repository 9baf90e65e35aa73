// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Between files.c and files_guest.c: file work for a machine that runs. Each as the handler in files.c of that name; blocking. */
#include "api/handlers.h"
#include "drivers/machine/agent.h"

#define PT_FILES_ENTRIES_MAX 50000

typedef struct PtFilesPut {
  const char *path;
  const char *target; /* of a symbolic link; NULL: it is none */
  mode_t mode;
  gint64 uid, gid;    /* inside */
  bool parents;
} PtFilesPut;

bool pt_files_guest_get(PtRequest *r, const PtInstance *spec, const char *path, bool follow, GError **error);
/* A file that can be written: its bytes go to `in`. commit() gives it its name; freed without that, nothing has changed. */
PtGuestCall *pt_files_guest_write(PtRequest *r, const PtInstance *spec, const PtFilesPut *put, GError **error);
bool pt_files_guest_commit(PtGuestCall *call, GError **error);
bool pt_files_guest_make(PtRequest *r, const PtInstance *spec, const PtFilesPut *put, GError **error); /* a link or a directory */
bool pt_files_guest_delete(PtRequest *r, const PtInstance *spec, const char *path, bool recursive, GError **error);
