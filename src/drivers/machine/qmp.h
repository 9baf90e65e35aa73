// SPDX-License-Identifier: Apache-2.0
#pragma once
/* A client of QMP (QEMU's docs/interop/qmp-spec.rst) over a stream socket. Blocking with deadlines; one thread at a time per PtQmp.
 *
 * QEMU is not trusted: its guest may have taken it over. A message is one line of at most PT_JSON_MAX_BYTES, strict JSON; what is
 * neither the answer that is waited for nor an event, an answer that takes too long, and an end of the stream break the connection,
 * and every later call fails at once with what broke it. Whatever an answer holds is the caller's to look at with the same distrust.
 *
 * Errors: UNREACHABLE (QEMU is gone), TIMEOUT (it does not answer), INTERNAL (what it says is no QMP; or QEMU's own error, with its
 * words), NOT_FOUND (its DeviceNotFound), UNSUPPORTED (its CommandNotFound). */
#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct PtQmp PtQmp;

#define PT_QMP_EVENTS_MAX 256 /* kept until somebody waits for them; then the oldest go */

/* Takes `fd`, also on failure. Reads the greeting and leaves the negotiation, within `timeout` µs. */
PtQmp *pt_qmp_open(int fd, gint64 timeout, GError **error);
void pt_qmp_close(PtQmp *q); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtQmp, pt_qmp_close)

/* QEMU's version, from the greeting: 10 of 10.0.2. */
guint pt_qmp_major(const PtQmp *q);

/* Runs a command. `arguments` (an object) is taken and may be NULL. What it returned, a new reference; NULL and an error. Events that come
 * meanwhile are kept. */
json_t *pt_qmp_run(PtQmp *q, const char *command, json_t *arguments, gint64 timeout, GError **error);
/* The same where the answer does not matter. */
bool pt_qmp_do(PtQmp *q, const char *command, json_t *arguments, gint64 timeout, GError **error);
/* The same, with a descriptor beside it (getfd, add-fd); it stays the caller's. */
bool pt_qmp_do_fd(PtQmp *q, const char *command, json_t *arguments, int fd, gint64 timeout, GError **error);

/* The next event of that name, kept or yet to come; what was before it in the order of their coming stays kept. Its data, a new reference
 * (an empty object where it has none); NULL and TIMEOUT where none comes. */
json_t *pt_qmp_wait(PtQmp *q, const char *event, gint64 timeout, GError **error);
/* The first of the kept events, for who wants them all: the name (the caller's) and its data (a new reference). NULL where none is kept. */
char *pt_qmp_next(PtQmp *q, json_t **ret_data);

/* ---- the stream alone, for tests ---- */

typedef enum { PT_QMP_GREETING, PT_QMP_ANSWER, PT_QMP_EVENT, PT_N_QMP_MESSAGES } PtQmpKind;
/* What one line says. `line` need not end in NUL. INTERNAL where it is none of the three. *ret is a new reference of the whole message. */
bool pt_qmp_parse(const char *line, gsize size, PtQmpKind *ret_kind, json_t **ret, GError **error);
