// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Shared by the files that save a container's processes by CRIU and let them go on: criu.c, checkpoint.c, resume.c.
 *
 * STATE/instances/<id>/checkpoint.part   being made
 *                      checkpoint        whole and on the disk, and nothing of it has run since: what pt_container_saved() asks for
 *                      checkpoint.used   used up, to be removed
 * All are root's alone. In it: CRIU's images, the jail's config.json, and `plan`: what it was made of, and a sum of each other file. */
#include "drivers/container/internal.h"

#define PT_CK_PART "checkpoint.part"
#define PT_CK_WHOLE "checkpoint"
#define PT_CK_USED "checkpoint.used"
#define PT_CK_CONFIG "config.json"
#define PT_CK_STATUS "crun.status" /* the runtime's record */
#define PT_CK_FILTER "crun.seccomp" /* what it filters exec'd commands with, where it has written that */

/* ---- criu.c ---- */
/* Calls `fn` for each path where something from outside can be mounted in a container: the name it has in the images, and what is
 * to be mounted there on the node. */
typedef void (*PtOutsideFn)(const char *path, const char *name, const char *source, void *data);
void pt_ct_outside(PtOutsideFn fn, void *data, const char *console, const char *notify);
char *pt_ct_criu_reason(const char *text); /* of what it wrote on stderr; the caller's */

/* ---- checkpoint.c ---- */
char *pt_ct_saved_path(const PtContainers *c, const char *id, const char *name); /* of STATE/instances/<id>; the caller's */
/* BLAKE2b of a file, in hex; the caller's. Brings it to the disk first, if asked. */
char *pt_ct_saved_sum(int dir, const char *name, bool sync, GError **error);
/* Renames within STATE/instances/<id>, on the disk when it returns. */
bool pt_ct_saved_rename(const PtContainers *c, const char *id, const char *from, const char *to, GError **error);
bool pt_ct_saved_remove(const PtContainers *c, const char *id, const char *name, GError **error);

/* ---- resume.c ---- */
typedef struct PtResume {
  char *words;     /* what the monitor runs, a word a line */
  char *name;      /* of the console, CRIU's */
  bool systemd, ready;
  int pty, tty;    /* both ends of the console; 0 = not there yet */
} PtResume;
void pt_ct_resume_clear(PtResume *r);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtResume, pt_ct_resume_clear)
/* Looks the images over: CONFLICT where they are not what was saved, or were made under other circumstances. */
bool pt_ct_resume_check(const PtContainers *c, const PtContainerStart *start, PtResume *ret, GError **error);
/* Writes what the monitor and the runtime need to know, once RUN/monitor/<id> and the tree are there, and makes the console. */
bool pt_ct_resume_prepare(const PtContainers *c, const PtContainerStart *start, PtResume *r, GError **error);
/* Its namespaces are there: sets in its network what the runtime would have set, and tells the runtime of it. */
bool pt_ct_resume_made(const PtContainers *c, const PtContainerStart *start, pid_t pid, GError **error);
