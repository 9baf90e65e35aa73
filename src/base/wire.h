// SPDX-License-Identifier: Apache-2.0
/* The little protocol by which a stream (console, exec, desktop) is handed over by descriptor. Plain C
 * without any other include of ours, because the monitor in helpers/ speaks it too.
 *
 * Theory of operation. A client (portena, portena-gateway) asks the API on the Unix socket for a stream
 * with "Upgrade: portena-stream/1". After the 101 the daemon sends exactly one message on that
 * connection, with one descriptor attached, and closes it; portenad is out of the path from then on, so
 * the stream survives its death:
 *
 *   PT_WIRE_STREAM   the descriptor is the stream itself (a desktop's RFB connection)
 *   PT_WIRE_CONTROL  the descriptor is a SEQPACKET socket to the instance's monitor, on which follow
 *        monitor -> client   STREAM (1 descriptor when PT_WIRE_TTY, else stdin, stdout, stderr),
 *                            then at the end EXIT; or ERROR with a text, and nothing more
 *        client -> monitor   RESIZE, SIGNAL
 *   Closing the control socket hangs up: the command gets SIGHUP, its process is not awaited.
 *
 * One message is one struct pt_wire and `len` bytes of text behind it, sent by one sendmsg. */
#ifndef PT_WIRE_H
#define PT_WIRE_H
#include <stdint.h>

#define PT_WIRE_MAGIC 0x31575450u /* "PTW1" */
#define PT_WIRE_TEXT_MAX 1024
#define PT_WIRE_FDS_MAX 4

enum {
  PT_WIRE_CONTROL = 1,
  PT_WIRE_STREAM = 2,  /* a: PT_WIRE_TTY or 0 */
  PT_WIRE_EXIT = 3,    /* a: exit status, b: signal that ended it or 0 */
  PT_WIRE_ERROR = 4,   /* a: a PtErr code; text: "why" */
  PT_WIRE_RESIZE = 5,  /* a: columns, b: rows */
  PT_WIRE_SIGNAL = 6,  /* a: signal number */
};
enum { PT_WIRE_TTY = 1 };

struct pt_wire {
  uint32_t magic;
  uint32_t type;
  uint32_t a;
  uint32_t b;
  uint32_t len; /* of the text that follows, at most PT_WIRE_TEXT_MAX */
};
#endif
