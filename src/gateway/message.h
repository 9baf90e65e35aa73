// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* The text messages of docs/API.md, "Streams over WebSocket". Pure. */
typedef enum { PT_MESSAGE_RESIZE, PT_MESSAGE_SIGNAL, PT_MESSAGE_EOF } PtMessageKind;
typedef struct PtMessage {
  PtMessageKind kind;
  guint32 a, b; /* RESIZE: columns and rows, 1 to 4096; SIGNAL: its number */
} PtMessage;

/* {"resize":[80,24]}, {"signal":"INT"}, {"eof":true}; INVALID for all else. */
bool pt_message_parse(const char *text, gsize size, PtMessage *ret, GError **error);

/* {"exit":0,"signal":0} and {"error":{"code","detail","hint","by"}}; the caller's to free. `by_instance`: the command could not
 * be run in it; else the server did not let it come to that. */
char *pt_message_exit(guint32 status, guint32 signal);
char *pt_message_error(const GError *error, bool by_instance);
