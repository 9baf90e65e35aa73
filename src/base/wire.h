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
  PT_WIRE_ERROR = 4,   /* a: a PtErr code; b: 1 where it is the server's word and not the instance's; text: "why" */
  PT_WIRE_RESIZE = 5,  /* a: columns, b: rows */
  PT_WIRE_SIGNAL = 6,  /* a: signal number */

  /* Between portenad and a monitor: on RUN/monitor/<id>/ctl.sock (SEQPACKET, uid 0 alone), and on the monitor's descriptor
   * 3 until the instance runs. A monitor whose descriptor 3 is closed before that kills what it made and ends. */
  PT_WIRE_CREATED = 16, /* monitor -> daemon, on descriptor 3. a: pid of init, which has not run yet */
  PT_WIRE_START = 17,   /* daemon -> monitor, on descriptor 3: let it run. OK or ERROR is the answer */
  PT_WIRE_OK = 18,      /* a: pid of init */
  PT_WIRE_EXEC = 19,    /* a: PT_WIRE_TTY or 0, b: columns << 16 | rows; descriptors: the client's control socket, the OCI process
                         * object as a file. No answer: all else goes to the client */
  PT_WIRE_CONSOLE = 20, /* a: bytes of history first; descriptor: the client's control socket. No answer */
  PT_WIRE_PING = 21,    /* OK is the answer */
  PT_WIRE_STAGE = 22,   /* what CRIU calls -> its monitor, on ctl.sock; a: pid of init, b: PT_WIRE_MADE or PT_WIRE_WHOLE. OK lets CRIU go
                         * on, the end of the connection makes it give up */
  PT_WIRE_RESTORED = 23, /* monitor -> daemon, on descriptor 3, of one that is restored: CREATED came when its namespaces were there, and
                          * was answered by START; now all of it is there, and a second START lets it go on. a: pid of init */
};
enum { PT_WIRE_TTY = 1 };
enum { PT_WIRE_MADE = 1, PT_WIRE_WHOLE = 2 };

/* The PtErr codes that a monitor gives, or another helper; held against base/error.h where both are known. */
enum {
  PT_WIRE_ERR_NOT_FOUND = 3,
  PT_WIRE_ERR_CONFLICT = 4,
  PT_WIRE_ERR_TOO_LARGE = 7,
  PT_WIRE_ERR_INTERNAL = 11,
  PT_WIRE_ERR_UNSUPPORTED = 12,
};

struct pt_wire {
  uint32_t magic;
  uint32_t type;
  uint32_t a;
  uint32_t b;
  uint32_t len; /* of the text that follows, at most PT_WIRE_TEXT_MAX */
};
#endif
