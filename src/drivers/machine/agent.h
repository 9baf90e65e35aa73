// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Requests to the agent in a machine's guest (base/guest.h), of the kind that somebody waits for: files. Nothing that the guest says is
 * parsed here but lines: its frames are read by portena-guestctl, which holds no right. Blocking, with a deadline on everything; any
 * thread, several at once. Errors: NOT_FOUND, INVALID, … as the guest says; CONFLICT where all the ways in are in use; UNREACHABLE
 * where it does not answer. */
#include "drivers/container/container.h"

/* A request that is being done. */
typedef struct PtGuestCall {
  int in;        /* IN is written here: a socket, to be shut down for writing when all is written; closed before, the request breaks off */
  int out;       /* OUT comes from here */
  int answers;
  GString *said; /* of the answers, what has come and is not looked at yet */
} PtGuestCall;

/* Starts the request of these lines. */
PtGuestCall *pt_guest_call(PtContainers *c, const PtInstance *spec, const char *lines, GError **error);
/* Waits for the next OK, `wait` µs at most; its lines in *ret_lines (may be NULL), the caller's. */
bool pt_guest_call_answer(PtGuestCall *call, gint64 wait, char **ret_lines, GError **error);
/* All OUT up to its end, at most `max` bytes of it. */
bool pt_guest_call_output(PtGuestCall *call, gint64 wait, gsize max, GString *out, GError **error);
/* Ends it, whatever it is at. */
void pt_guest_call_free(PtGuestCall *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtGuestCall, pt_guest_call_free)

/* Adds "key=value", escaped, to a request; a value of NULL adds nothing. */
void pt_guest_add(GString *lines, const char *key, const char *value);

/* One entry of a directory, or a file (then `name` is NULL). Strings are as the guest has them: bytes without NUL. */
typedef struct PtGuestEntry {
  char *name, *type, *target;
  guint mode;
  gint64 uid, gid, size, mtime;
} PtGuestEntry;
void pt_guest_entry_free(PtGuestEntry *e);
/* Pure; `text` is changed. INVALID where the guest's words make no sense, TOO_LARGE where there are more than `max`. */
GPtrArray *pt_guest_entries_parse(char *text, gsize size, guint max, GError **error);
