// SPDX-License-Identifier: Apache-2.0
#pragma once
/* A client of QEMU's own guest agent (qemu-ga; QEMU's docs/interop/qemu-ga-ref), for unmodified systems. Plain C; part of portena-guestctl.
 *
 * The agent is the guest's, so every byte of it is foreign. Its answers are read by a push parser that keeps nothing but what was
 * asked for; what is too large, too long in coming or no JSON ends the session. An answer that belongs to somebody before us cannot
 * be taken for ours: a session begins with guest-sync-delimited and a random number, and all before its answer is dropped. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- qga_json.c ---- */

#define QGA_DEPTH 8
#define QGA_KEY 32

/* What of an object is wanted: a member of "return" (name "" = "return" itself) or of "error". Numbers and truth values go to `number`,
 * a string piece by piece to `text`, unescaped. */
struct qga_want {
  const char *name;
  void (*text)(void *data, const unsigned char *at, size_t size);
  void *data;
  long long number;
  bool seen;
};

/* JSON (RFC 8259), one value that is an object, fed in pieces. Strings and nesting are of any length and of QGA_DEPTH. */
struct qga_json {
  struct qga_want *want;   /* of "return", ended by a NULL name */
  struct qga_want *error;  /* of "error" */
  bool has_return, has_error, done;
  /* private */
  unsigned char state, after;     /* `after`: the state behind a string */
  unsigned depth, nibbles, code;
  bool is_array[QGA_DEPTH];
  char key[2][QGA_KEY];           /* of the outer two objects; one that does not fit is none that is looked for */
  size_t key_n;
  char word[32];                  /* a number or a literal */
  size_t word_n;
  struct qga_want *sink;          /* of the string that is read */
};

void qga_json_begin(struct qga_json *j, struct qga_want *want, struct qga_want *error);
/* Takes `size` bytes, or fewer where the value ends in them: how many it took. -1: this is no JSON, or too deep. */
long qga_json_feed(struct qga_json *j, const unsigned char *at, size_t size);

/* Base64 (RFC 4648), in pieces. */
struct qga_base64 {
  uint32_t bits;
  unsigned n;
  bool over, broken;
};
/* Decodes into `to`, which has room for size / 4 * 3 + 3 bytes; how many there are. What is no base64 sets `broken`. */
size_t qga_base64_feed(struct qga_base64 *b, const unsigned char *at, size_t size, unsigned char *to);

/* ---- qga.c ---- */

#define QGA_TEXT 512        /* of the agent's complaint that is kept */
#define QGA_ANSWER_MAX (64u << 20)

struct qga {
  int fd;
  bool lost;                /* the stream is in the middle of something, or has ended */
  unsigned args;            /* of the command that is written */
  unsigned char in[16384];
  size_t in_at, in_n;
  unsigned char out[16384];
  size_t out_n;
  char text[QGA_TEXT + 1];  /* of the last refusal, made harmless for a terminal */
  char class[64];
};

/* Finds the agent on the connected socket `fd`, which stays the caller's; `number` is a random one, positive. False: it does not answer
 * within `timeout` ms. */
bool qga_open(struct qga *q, int fd, long long number, int timeout);

/* A command is written in parts and then sent: begin, its arguments, run. Strings have to be UTF-8. */
void qga_begin(struct qga *q, const char *command);
void qga_arg_text(struct qga *q, const char *name, const char *value);
void qga_arg_number(struct qga *q, const char *name, long long value);
void qga_arg_true(struct qga *q, const char *name);
void qga_arg_list(struct qga *q, const char *name, const char *const *values, size_t n);
void qga_arg_base64(struct qga *q, const char *name, const unsigned char *at, size_t size);

enum qga_result { QGA_DONE, QGA_REFUSED /* it says so: q->text */, QGA_LOST };
/* Sends what was begun; and waits for the answer as long as the agent says something every `timeout` ms. */
void qga_send(struct qga *q);
enum qga_result qga_run(struct qga *q, struct qga_want *want, int timeout);
/* Whether it is UTF-8: what else there may be in a name, the agent cannot be told. */
bool qga_is_text(const char *text);

/* ---- qga_exec.c: a command in the guest ---- */

#define QGA_OUTPUT_MAX (16u << 20) /* of each stream; the agent's own bound */

struct qga_output {
  unsigned char *at;        /* NULL: dropped */
  size_t n, max;
  bool cut;                 /* there was more */
};
struct qga_command {
  const char *const *argv;  /* ended by NULL */
  size_t argc;
  const char *const *env;   /* all of it; NULL = the agent's own */
  size_t env_n;
  const unsigned char *in;
  size_t in_n;
  struct qga_output out, err;
  long long pid;
  bool exited;
  int status, sig;
};
enum qga_result qga_start(struct qga *q, struct qga_command *c);
enum qga_result qga_look(struct qga *q, struct qga_command *c); /* `exited` says whether it has ended; then its output is there */

/* ---- qga_entries.c: what a script in the guest says of files ---- */

/* For sh -c. Both take a path as $1: the list of a directory, and one file; a link is followed where $2 is not empty. */
extern const char qga_list_script[], qga_stat_script[];

struct qga_entry {
  unsigned mode;
  long long uid, gid, size, mtime;
  char *name;
  const char *target;       /* of a symbolic link; else NULL */
};
struct qga_entries {
  char *links, *at, *end;
  char stop;
};
/* Goes over what was said, `size` bytes, which stay the caller's and are changed. False: it is not understood. */
bool qga_entries_begin(struct qga_entries *s, unsigned char *said, size_t size);
bool qga_entries_next(struct qga_entries *s, struct qga_entry *e);
/* Writes it as base/guest.h's lines, without a name where it is NULL: how many bytes; `max` where there is no room. */
size_t qga_entry_lines(char *to, size_t max, const struct qga_entry *e, const char *name);

/* ---- qga_modes.c ---- */
/* portena-guestctl qga exec|ping|time|shutdown; argv[0] is the verb. The exit status. */
int qga_main(int argc, char **argv);

/* ---- qga_files.c ---- */
/* A request of base/guest.h, `lines`, over the connected agent; what it reads and writes, and where the answers go. Never returns
 * before it is over. */
struct qga_streams {
  int in, out, answers;
  unsigned tag;             /* a random number: of a name beside the file that is written */
};
void qga_request(struct qga *q, char *lines, size_t size, const struct qga_streams *s);
