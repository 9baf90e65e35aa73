// SPDX-License-Identifier: Apache-2.0
/* What the host and the guest of a micro machine say to each other. Plain C without any other include of ours: portena-guest
 * (/init in the guest, and its agent), portena-guestctl, portena-vmm (helpers/) and portenad (drivers/machine/) all speak it. In either
 * direction everything that comes from the other side is bounded; the host takes nothing of it for true.
 *
 * Ports. The machine has PT_GUEST_PORTS virtio-serial ports named "portena.0" … ; on the host each is the Unix stream socket
 * vm/port.N of the jail, which serves one connection at a time. All speak the same. Port 0 is portena-vmm's alone, which keeps it open;
 * the others belong to whoever holds an exclusive flock(2) on vm/port.N.lock, for as long as the connection lives.
 *
 * Frames. PT_GUEST_HEAD bytes: 'P' 'G' type 0, and the size of what follows as 32 bits; that many bytes, at most
 * PT_GUEST_DATA_MAX; one byte PT_GUEST_END. All numbers are little endian. Zero bytes between frames are skipped.
 *
 * A session. The host sends PT_GUEST_PAD zero bytes and HELLO, and drops what comes until it has found the WELCOME frame with its own
 * nonce. A predecessor that went away within a frame can so neither be taken for the new session (its last frame ends in a zero), nor
 * leave anything behind. The guest ends whatever an earlier session of that port began: its command gets SIGHUP, what it froze is thawed.
 *
 * Requests. The host sends the request's lines in REQUEST frames, PT_GUEST_REQUEST_MAX in all, and GO. At last the guest answers
 * with EXIT, OK or ERROR, and then another request may follow. Between them go IN (to the command or file), OUT, ERR. An
 * empty one of these ends its direction. Nobody sends more of one than was granted: PT_GUEST_WINDOW at first, then
 * what CREDIT gives. So a slow reader of one stream holds up nothing else on the port.
 *
 * Lines. A request, an answer and /config are lines "key=value\n"; in a value a backslash is written "\\" and a line break "\n". A key
 * that may be there more than once makes a list, in the order of its lines. What is not known is ignored.
 *
 *   do=exec      arg=… (none: the login shell, as a login) env=NAME=VALUE cwd=… user=NAME|UID[:GID] tty=1 cols=… rows=…
 *                HOME, USER, LOGNAME, SHELL and PATH are the user's own where env has none. Ends in EXIT, or ERROR.
 *   do=connect   path=…   a Unix stream socket. OK once it is connected; IN and OUT are then its bytes; ends in EXIT 0.
 *   do=ps        OUT lines, each process from pid= on: pid= ppid= uid= user= command= cpu=(µs) memory=(bytes) started=(µs since
 *                1970) state=(a letter). Ends in OK.
 *   do=stat      path=… follow=1. OK with type=file|directory|symlink|special mode=(octal) uid= gid= size= mtime=(µs) target=…
 *   do=list      path=…   OUT lines, each entry from name= on, as stat's. Ends in OK.
 *   do=get       path=…   a regular file. OK with stat's lines, OUT with its bytes, and OK.
 *   do=put       path=… mode= uid= gid= parents=1 size=(if known). OK when it can be written; IN are its bytes; OK when it has its
 *                name. It takes the place of what was there in one step; a session that ends before changes nothing.
 *   do=mkdir     path=… mode= uid= gid= parents=1; there already: OK.   do=symlink  path=… target=… uid= gid= parents=1
 *   do=remove    path=… recursive=1
 *   do=freeze    the volume's file system writes nothing until do=thaw or the end of the session.
 *   do=card      card=NAME MAC ADDR/PREFIX,GATEWAY …   a further network card, which may come a moment later: the one with this MAC gets
 *                the name and these addresses. What is sent from one of them leaves by the card, beyond its network by the gateway.
 *   do=cpus      count=…   the guest uses its first `count` processors, no others; none: as they are. It waits for one that is just being
 *                added. OK with online=(how many it uses).
 *   do=mount     serial=… path=… readonly=1   a disk with an ext4, once it has appeared, at a place that is made; it is there already: OK.
 *   do=unmount   serial=… force=1   wherever it is mounted. In use: ERROR with a PtErr of conflict, which says by whom; by force it goes
 *                all the same, and whoever uses it keeps it until they are done. Absent: OK.
 *   do=grow      serial=… size=(bytes)   waits until the disk has that size, and lets the mounted ext4 on it, or the volume's, grow to it.
 *   do=identity  the lines of /config from hostname to seed, what a clone has to become. OK when it is that.
 *
 * Events, to a session that asked with PT_GUEST_EVENTS (portena-vmm): READY, and at the end STATUS. To it, too: SHUTDOWN, TIME.
 *
 * /config in the initramfs (a second cpio behind the kernel image's /initrd), mode 0600:
 *   hostname= domain= machine-id=(32 hex digits)   mac=   address=ADDR/PREFIX (one or more, IPv4 and IPv6)  gateway=ADDR (of each family)
 *   card=…   a further network card, as above
 *   dns=ADDR (none: resolv.conf stays as it is)   mtu=   seed=(hex, up to 64 bytes, for the random generator)
 *   time=(µs since 1970 when the machine was started)
 *   init=system|app   command=WORD …   env=NAME=VALUE …   cwd=   user=   (system: command replaces the image's init)
 *   stop=NUMBER      of the signal that ends an app's command (15)
 *   image=SERIAL   volume=SERIAL   of the virtio-blk disks: the image (erofs, read-only), the volume (ext4; without it a tmpfs).
 *   disk=SERIAL rw|ro PATH   a data volume (ext4) and where it is mounted; any number. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PT_GUEST_PORTS 9
#define PT_GUEST_PORT_NAME "portena."
#define PT_GUEST_VERSION 1
#define PT_GUEST_HEAD 8
#define PT_GUEST_END 0xA5
#define PT_GUEST_NONCE 16
#define PT_GUEST_DATA_MAX 8192
#define PT_GUEST_FRAME_MAX (PT_GUEST_HEAD + PT_GUEST_DATA_MAX + 1)
#define PT_GUEST_PAD PT_GUEST_FRAME_MAX
#define PT_GUEST_REQUEST_MAX (256 * 1024)
#define PT_GUEST_WINDOW (64 * 1024)
#define PT_GUEST_TEXT_MAX 1024           /* of an ERROR */
#define PT_GUEST_IMAGE_SERIAL "portena-image"
#define PT_GUEST_VOLUME_SERIAL "portena-volume"
#define PT_GUEST_DISK_SERIAL "portena-disk-%u" /* of a data volume, with the number of its place among them */

enum {
  PT_GUEST_HELLO = 1,    /* host: nonce, u32 version, u32 PT_GUEST_EVENTS or 0 */
  PT_GUEST_WELCOME = 2,  /* guest: nonce, u32 version, u32 PT_GUEST_IS_READY or 0 */
  PT_GUEST_REQUEST = 3,  /* host: lines, or a part of them */
  PT_GUEST_GO = 4,       /* host: the request is whole */
  PT_GUEST_OK = 5,       /* guest: lines or nothing */
  PT_GUEST_ERROR = 6,    /* guest: u32 an errno of Linux (then the text is its object) or 0, u32 a PtErr, text: why */
  PT_GUEST_EXIT = 7,     /* guest: u32 exit status, u32 signal that ended the command or 0 */
  PT_GUEST_IN = 8,       /* host: bytes */
  PT_GUEST_OUT = 9,      /* guest: bytes */
  PT_GUEST_ERR = 10,     /* guest: bytes */
  PT_GUEST_CREDIT = 11,  /* both: u32 PT_GUEST_IN, OUT or ERR; u32 bytes more that may be sent of it */
  PT_GUEST_RESIZE = 12,  /* host: u32 columns, u32 rows */
  PT_GUEST_SIGNAL = 13,  /* host: u32 signal number, to the command */
  PT_GUEST_READY = 14,   /* guest, event: the system is up (systemd says so), or the app's command runs */
  PT_GUEST_STATUS = 15,  /* guest, event: u32 exit status, u32 signal of an app's command. Answered by SHUTDOWN; the machine then powers
                          * off, and without an answer after two seconds too */
  PT_GUEST_SHUTDOWN = 16,/* host: the guest is to end politely; no answer but its end */
  PT_GUEST_TIME = 17,    /* host: u64 µs since 1970; no answer */
  PT_GUEST_N_TYPES
};
enum { PT_GUEST_EVENTS = 1 };
enum { PT_GUEST_IS_READY = 1 };

static inline uint32_t
pt_guest_u32(const unsigned char *p)
{
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void
pt_guest_put32(unsigned char *p, uint32_t v)
{
  for (int i = 0; i < 4; i++)
    p[i] = (unsigned char)(v >> (8 * i));
}

/* The head of a frame; behind it go `size` bytes and PT_GUEST_END. */
static inline void
pt_guest_head(unsigned char head[PT_GUEST_HEAD], int type, size_t size)
{
  head[0] = 'P';
  head[1] = 'G';
  head[2] = (unsigned char)type;
  head[3] = 0;
  pt_guest_put32(head + 4, (uint32_t)size);
}

/* Looks for a frame at the beginning of the `n` bytes at `at`. More than 0: so many bytes are one frame, or (type 0) are to be
 * skipped; *data and *size are within it. 0: more bytes are needed. -1: this is no frame, so the peer is not to be talked to. */
static inline int
pt_guest_frame(const unsigned char *at, size_t n, int *type, const unsigned char **data, size_t *size)
{
  size_t skip = 0;

  *type = 0;
  *data = at;
  *size = 0;
  while (skip < n && skip < PT_GUEST_FRAME_MAX && !at[skip])
    skip++;
  if (skip)
    return (int)skip;
  if (n < PT_GUEST_HEAD)
    return (n > 0 && at[0] != 'P') || (n > 1 && at[1] != 'G') || (n > 3 && at[3]) ? -1 : 0;
  size_t len = pt_guest_u32(at + 4);
  if (at[0] != 'P' || at[1] != 'G' || at[3] || !at[2] || at[2] >= PT_GUEST_N_TYPES || len > PT_GUEST_DATA_MAX)
    return -1;
  if (n < PT_GUEST_HEAD + len + 1)
    return 0;
  if (at[PT_GUEST_HEAD + len] != PT_GUEST_END)
    return -1;
  *type = at[2];
  *data = at + PT_GUEST_HEAD;
  *size = len;
  return (int)(PT_GUEST_HEAD + len + 1);
}

/* The next line of the text at *at (which it changes: the value is unescaped in its place). 1: a line; 0: the text is over;
 * -1: a line without "=", with an unknown escape, or without an end. */
static inline int
pt_guest_line(char **at, char *end, const char **key, const char **value)
{
  char *line = *at, *stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
  char *equal = stop ? memchr(line, '=', (size_t)(stop - line)) : NULL, *to;

  if (line >= end)
    return 0;
  if (!equal || equal == line || memchr(line, '\0', (size_t)(stop - line)))
    return -1;
  to = equal + 1;
  for (const char *p = to; p < stop; p++) {
    char c = *p;

    if (c == '\\') {
      if (++p == stop || (*p != '\\' && *p != 'n'))
        return -1;
      c = *p == 'n' ? '\n' : '\\';
    }
    *to++ = c;
  }
  *equal = *to = '\0'; /* to <= stop: an escape takes more than what it stands for */
  *key = line;
  *value = equal + 1;
  *at = stop + 1;
  return 1;
}
