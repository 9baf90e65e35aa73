// SPDX-License-Identifier: Apache-2.0
#pragma once
/* A fake QEMU for tests of QMP: a thread that says, one after the other, what a script of lines tells it. A line that begins with '<'
 * is waited for (a part of what the client sends); one with '~' is a time of silence until the client closes; others are sent as they
 * are. A script ends in NULL; then the fake closes. */
#include "drivers/machine/qmp.h"

#define SECOND ((gint64)G_USEC_PER_SEC)
#define LONG (120 * SECOND) /* never reached where all is well */
#define HELLO "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}}, \"capabilities\": [\"oob\"]}}\r\n"
#define READY HELLO, "<\"execute\":\"qmp_capabilities\"", "{\"return\": {}, \"id\": 1}\r\n"

typedef struct Fake {
  const char *const *script;
  int fd, passed; /* a descriptor that the client sent, or -1 */
  GThread *thread;
} Fake;

gpointer fake_play(gpointer fake);                        /* the thread's function */
int fake_begin(Fake *f, const char *const *script);       /* the client's end of the connection */
PtQmp *fake_begin_ready(Fake *f, const char *const *script); /* the script begins with READY */
void fake_end(Fake *f, PtQmp *q);                         /* closes the client; the script has to have come to its end */
