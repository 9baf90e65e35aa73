// SPDX-License-Identifier: Apache-2.0
/* Files of an unmodified system, as base/guest.h's requests. The agent opens, reads and writes files, and for all else it
 * runs the guest's own shell and what every Unix has (stat, readlink, mkdir, mv …). A script says why it failed by its exit
 * status: 200 and the errno. A guest without a shell (Windows) has single files read and written in their place, and no
 * more.
 *
 * This runs with the jail's ids and a seccomp filter that knows reading, writing and waiting (guestctl_confine.c). */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/guest.h"
#include "base/wire.h"
#include "helpers/qga.h"

#define ANSWER_MS 30000
#define SCRIPT_MS 110000
#define LOOK_MS 10
#define FROZEN_MS 30000 /* at most: a system whose disk stands still is soon of no use */
#define CHUNK (48u << 10)
#define LISTING (8u << 20)
#define ERR_FAILED 200

struct req {
  const char *verb, *path, *target, *mode, *uid, *gid;
  bool follow, parents, recursive;
};

static struct qga *q;
static struct qga_streams io;
static unsigned char listing[LISTING], complaint[2048], chunk[CHUNK + 4];
static size_t chunk_n;

/* ---- to portenad ---- */

static bool
write_all(int fd, const void *data, size_t size)
{
  const unsigned char *at = data;

  while (size) {
    ssize_t n = write(fd, at, size);
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    if (n < 0 && errno == EAGAIN)
      poll(&p, 1, -1);
    else if (n < 0 && errno != EINTR)
      return false;
    at += n > 0 ? n : 0;
    size -= n > 0 ? (size_t)n : 0;
  }
  return true;
}

static bool
answer_ok(const char *lines)
{
  char text[4 * PT_GUEST_TEXT_MAX];
  int n = snprintf(text, sizeof text, "answer=ok\n%send=\n", lines);

  return n < (int)sizeof text && write_all(io.answers, text, (size_t)n);
}

static bool
answer_error(int number, int code, const char *why)
{
  char text[PT_GUEST_TEXT_MAX + 128], safe[PT_GUEST_TEXT_MAX];
  size_t n = 0;

  for (; why[n] && n < sizeof safe - 1; n++)
    safe[n] = (char)((unsigned char)why[n] < 32 || why[n] == 127 || why[n] == '\\' ? '?' : why[n]);
  safe[n] = '\0';
  int size = snprintf(text, sizeof text, "answer=error\nerrno=%d\ncode=%d\ntext=%s\nend=\n", number, code, safe);
  write_all(io.answers, text, (size_t)size);
  return false;
}

/* What the agent refuses, it says in words alone. Always false. */
static bool
agent_refuses(const struct req *r)
{
  static const struct {
    const char *words;
    int number;
  } known[] = {
    { "No such file", ENOENT },     { "Permission denied", EACCES }, { "Is a directory", EISDIR },
    { "Not a directory", ENOTDIR }, { "No space left", ENOSPC },     { "Read-only file system", EROFS },
  };

  if (q->lost)
    return answer_error(ETIMEDOUT, 0, "the agent in the guest does not answer");
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strstr(q->text, known[i].words))
      return answer_error(known[i].number, 0, r->path);
  return answer_error(0, PT_WIRE_ERR_UNSUPPORTED, q->text);
}

/* ---- scripts ---- */

static long long
now_ms(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

enum script { SCRIPT_OK, SCRIPT_FAILED, NO_SHELL };

/* Runs it; what it said is in `listing`, whose size is in *ret. Where it failed portenad has been told. */
static enum script
run(const struct req *r, size_t *ret, const char *script, const char *one, const char *two, const char *three,
    const char *four)
{
  const char *const argv[] = { "/bin/sh", "-c", script, "sh", r->path, one, two, three, four, NULL };
  struct qga_command c = { .argv = argv,
                           .argc = 9,
                           .out = { listing, 0, sizeof listing, false },
                           .err = { complaint, 0, sizeof complaint - 1, false } };
  long long until = now_ms() + SCRIPT_MS;
  enum qga_result result = qga_start(q, &c);

  if (result == QGA_REFUSED)
    return NO_SHELL;
  while (result == QGA_DONE && !c.exited && now_ms() < until) {
    struct pollfd gone = { .fd = io.answers };

    if (poll(&gone, 1, LOOK_MS) > 0) /* nobody waits any more */
      return SCRIPT_FAILED;
    result = qga_look(q, &c);
  }
  if (result != QGA_DONE || !c.exited) {
    answer_error(ETIMEDOUT, 0, "the agent in the guest does not answer");
    return SCRIPT_FAILED;
  }
  if (ret)
    *ret = c.out.n;
  if (c.status == 0 && !c.sig && !c.out.cut)
    return SCRIPT_OK;
  complaint[c.err.n] = '\0';
  complaint[strcspn((char *)complaint, "\n")] = '\0';
  if (c.out.cut)
    answer_error(0, PT_WIRE_ERR_TOO_LARGE, "the directory is too large");
  else if (c.status > ERR_FAILED && c.status < ERR_FAILED + 50)
    answer_error(c.status - ERR_FAILED, 0, r->path);
  else
    answer_error(0, PT_WIRE_ERR_INTERNAL, *complaint ? (char *)complaint : "a command in the guest failed");
  return SCRIPT_FAILED;
}

/* Alone it is told apart where there is no shell. */
static bool
run_or_say(const struct req *r, size_t *ret, const char *script, const char *one, const char *two, const char *three,
           const char *four)
{
  enum script s = run(r, ret, script, one, two, three, four);

  if (s == NO_SHELL) {
    char text[QGA_TEXT + 128];
    snprintf(text, sizeof text, "the guest's agent runs no shell, so single files can be copied and no more (%s)", q->text);
    answer_error(0, PT_WIRE_ERR_UNSUPPORTED, text);
  }
  return s == SCRIPT_OK;
}

/* ---- without a shell ---- */

static bool
file_open(const char *path, const char *mode, long long *ret)
{
  struct qga_want want[] = { { .name = "" }, { .name = NULL } };

  qga_begin(q, "guest-file-open");
  qga_arg_text(q, "path", path);
  qga_arg_text(q, "mode", mode);
  enum qga_result r = qga_run(q, want, ANSWER_MS);
  q->lost |= r == QGA_DONE && !want[0].seen;
  *ret = want[0].number;
  return r == QGA_DONE && !q->lost;
}

static bool
file_close(long long handle)
{
  qga_begin(q, "guest-file-close");
  qga_arg_number(q, "handle", handle);
  return qga_run(q, NULL, ANSWER_MS) == QGA_DONE;
}

/* Its size is all that can be found out of a file. */
static bool
plain_stat(const struct req *r, struct qga_entry *e)
{
  struct qga_want want[] = { { .name = "position" }, { .name = NULL } };
  long long handle;

  if (!file_open(r->path, "r", &handle))
    return agent_refuses(r);
  qga_begin(q, "guest-file-seek");
  qga_arg_number(q, "handle", handle);
  qga_arg_number(q, "offset", 0);
  qga_arg_text(q, "whence", "end");
  bool ok = qga_run(q, want, ANSWER_MS) == QGA_DONE && want[0].seen;
  if (!ok)
    agent_refuses(r);
  if (!q->lost)
    file_close(handle);
  *e = (struct qga_entry){ .mode = S_IFREG | 0644, .size = want[0].number > 0 ? want[0].number : 0 };
  return ok;
}

/* ---- the requests ---- */

static bool
find(const struct req *r, bool follow, struct qga_entry *e)
{
  struct qga_entries s;
  size_t size = 0;

  switch (run(r, &size, qga_stat_script, follow ? "1" : "", "", "", "")) {
  case SCRIPT_OK:
    if (qga_entries_begin(&s, listing, size) && qga_entries_next(&s, e))
      return true;
    return answer_error(0, PT_WIRE_ERR_UNSUPPORTED, "the guest's stat(1) is not understood");
  case NO_SHELL:
    return plain_stat(r, e);
  default:
    return false;
  }
}

static void
do_stat(const struct req *r)
{
  char lines[2 * PT_GUEST_TEXT_MAX];
  struct qga_entry e;

  if (find(r, r->follow, &e)) {
    lines[qga_entry_lines(lines, sizeof lines - 1, &e, NULL)] = '\0';
    answer_ok(lines);
  }
}

static void
do_list(const struct req *r)
{
  char lines[3 * PT_GUEST_TEXT_MAX];
  struct qga_entries s;
  struct qga_entry e;
  size_t size = 0;

  if (!run_or_say(r, &size, qga_list_script, "", "", "", ""))
    return;
  if (!qga_entries_begin(&s, listing, size)) {
    answer_error(0, PT_WIRE_ERR_UNSUPPORTED, "the guest's stat(1) is not understood");
    return;
  }
  while (qga_entries_next(&s, &e)) {
    size_t n = qga_entry_lines(lines, sizeof lines, &e, e.name);
    if (n < sizeof lines && !write_all(io.out, lines, n))
      return;
  }
  close(io.out);
  answer_ok("");
}

static void
on_bytes(void *data, const unsigned char *at, size_t size)
{
  struct qga_base64 *b = data;

  /* The agent gives no more than it was asked for; who gives more is none. */
  if (chunk_n + size / 4 * 3 + 3 > sizeof chunk)
    b->broken = true;
  else
    chunk_n += qga_base64_feed(b, at, size, chunk + chunk_n);
}

/* The next part of an open file is in `chunk`; false at its end, or when something has gone wrong. */
static bool
read_chunk(long long handle)
{
  struct qga_base64 state = { 0 };
  struct qga_want want[] = { { .name = "buf-b64", .text = on_bytes, .data = &state }, { .name = NULL } };

  chunk_n = 0;
  qga_begin(q, "guest-file-read");
  qga_arg_number(q, "handle", handle);
  qga_arg_number(q, "count", CHUNK);
  enum qga_result r = qga_run(q, want, ANSWER_MS);
  q->lost |= state.broken;
  return r == QGA_DONE && !q->lost && chunk_n > 0;
}

static void
do_get(const struct req *r)
{
  char lines[2 * PT_GUEST_TEXT_MAX];
  struct qga_entry e;
  long long handle, left;

  if (!find(r, true, &e))
    return;
  if (!S_ISREG(e.mode)) {
    answer_error(S_ISDIR(e.mode) ? EISDIR : EINVAL, 0, r->path);
    return;
  }
  if (!file_open(r->path, "r", &handle)) {
    agent_refuses(r);
    return;
  }
  lines[qga_entry_lines(lines, sizeof lines - 1, &e, NULL)] = '\0';
  bool ok = answer_ok(lines);
  for (left = e.size; ok && left > 0 && read_chunk(handle); left -= (long long)chunk_n) {
    chunk_n = (long long)chunk_n < left ? chunk_n : (size_t)left;
    ok = write_all(io.out, chunk, chunk_n);
  }
  close(io.out);
  if (!q->lost)
    file_close(handle);
  if (ok && left == 0)
    answer_ok("");
}

static bool
write_chunk(long long handle, const unsigned char *at, size_t size)
{
  struct qga_want want[] = { { .name = "count" }, { .name = NULL } };

  while (size) {
    want[0].seen = false;
    qga_begin(q, "guest-file-write");
    qga_arg_number(q, "handle", handle);
    qga_arg_base64(q, "buf-b64", at, size);
    if (qga_run(q, want, ANSWER_MS) != QGA_DONE)
      return false;
    if (!want[0].seen || want[0].number <= 0 || want[0].number > (long long)size) {
      q->lost = true;
      return false;
    }
    at += want[0].number;
    size -= (size_t)want[0].number;
  }
  return true;
}

/* All that there is to be written. The socket's closing, other than for writing alone, breaks off. */
static bool
write_file(const struct req *r, long long handle)
{
  for (;;) {
    struct pollfd p = { .fd = io.in, .events = POLLIN };
    ssize_t n = read(io.in, chunk, CHUNK);

    if (n < 0 && errno == EAGAIN) {
      poll(&p, 1, -1);
    } else if (n == 0) {
      if (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
        return false;
      break;
    } else if (n < 0 && errno != EINTR) {
      return false;
    } else if (n > 0 && !write_chunk(handle, chunk, (size_t)n)) {
      return agent_refuses(r);
    }
  }
  qga_begin(q, "guest-file-flush");
  qga_arg_number(q, "handle", handle);
  return qga_run(q, NULL, SCRIPT_MS) == QGA_DONE || agent_refuses(r);
}

static const char before_put[] = "[ ! -d \"$1\" ] || exit 221; d=${1%/*}; d=${d:-/}; [ ! \"$3\" ] || mkdir -p -- \"$d\" || "
                                 "exit 1; [ -d \"$d\" ] || exit 202; "
                                 "umask 077; : > \"$2\"";
static const char after_put[] = "chown \"$3\" \"$2\" && chmod \"$4\" \"$2\" && mv -f -- \"$2\" \"$1\" && "
                                "sync -f \"$1\" 2>/dev/null || [ ! -e \"$2\" ]";

static void
do_put(const struct req *r)
{
  char fresh[PT_GUEST_TEXT_MAX * 5], owner[64];
  long long handle;

  snprintf(owner, sizeof owner, "%s:%s", r->uid ? r->uid : "0", r->gid ? r->gid : "0");
  if (snprintf(fresh, sizeof fresh, "%s.portena-%08x", r->path, io.tag) >= (int)sizeof fresh) {
    answer_error(ENAMETOOLONG, 0, r->path);
    return;
  }
  enum script s = run(r, NULL, before_put, fresh, r->parents ? "1" : "", "", "");
  if (s == SCRIPT_FAILED)
    return;
  if (!file_open(s == SCRIPT_OK ? fresh : r->path, "w", &handle)) {
    agent_refuses(r);
    return;
  }
  bool ok = answer_ok("") && write_file(r, handle);
  if (!q->lost)
    file_close(handle);
  if (ok && s == SCRIPT_OK)
    ok = run_or_say(r, NULL, after_put, fresh, owner, r->mode ? r->mode : "0644", "");
  if (ok)
    answer_ok("");
  else if (s == SCRIPT_OK && !q->lost)
    run(&(const struct req){ .path = fresh }, NULL, "rm -f -- \"$1\"", "", "", "", "");
}

static void
do_make(const struct req *r)
{
  static const char directory[] = "[ ! -d \"$1\" ] || exit 0; [ ! -e \"$1\" ] || exit 217; [ ! \"$2\" ] || p=-p; "
                                  "mkdir $p -- \"$1\" && chown \"$3\" \"$1\" && chmod \"$4\" \"$1\"";
  static const char link[] =
    "d=${1%/*}; [ ! \"$2\" ] || mkdir -p -- \"${d:-/}\" || exit 1; [ -L \"$1\" ] || [ ! -d \"$1\" ] || exit 221; "
    "ln -sfn -- \"$4\" \"$1\" && chown -h \"$3\" \"$1\"";
  char owner[64];

  snprintf(owner, sizeof owner, "%s:%s", r->uid ? r->uid : "0", r->gid ? r->gid : "0");
  const char *what = r->target ? r->target : r->mode ? r->mode : "0755";
  if (run_or_say(r, NULL, r->target ? link : directory, r->parents ? "1" : "", owner, what, ""))
    answer_ok("");
}

static void
do_remove(const struct req *r)
{
  static const char script[] =
    "[ -e \"$1\" ] || [ -L \"$1\" ] || exit 202; [ ! \"$2\" ] || exec rm -rf -- \"$1\"; "
    "[ -L \"$1\" ] || [ ! -d \"$1\" ] || { rmdir -- \"$1\" && exit 0; exit 239; }; rm -f -- \"$1\"";

  if (run_or_say(r, NULL, script, r->recursive ? "1" : "", "", "", ""))
    answer_ok("");
}

/* Its file systems write nothing until the request's input ends, however it does. */
static void
do_freeze(const struct req *r)
{
  struct pollfd p = { .fd = io.in, .events = POLLIN };
  long long until = now_ms() + FROZEN_MS;
  char byte;

  qga_begin(q, "guest-fsfreeze-freeze");
  if (qga_run(q, NULL, FROZEN_MS) != QGA_DONE) {
    agent_refuses(r);
    return;
  }
  answer_ok("");
  while (now_ms() < until && !(poll(&p, 1, 100) > 0 && read(io.in, &byte, 1) >= 0))
    ;
  qga_begin(q, "guest-fsfreeze-thaw");
  if (qga_run(q, NULL, FROZEN_MS) == QGA_DONE)
    answer_ok("");
  else
    agent_refuses(r);
}

static bool
parse(char *lines, size_t size, struct req *r)
{
  const char *key, *value;
  char *at = lines;
  int left;

  *r = (struct req){ .path = "" };
  while ((left = pt_guest_line(&at, lines + size, &key, &value)) > 0) {
    const struct {
      const char *key;
      const char **to;
    } words[] = {
      { "do", &r->verb },   { "path", &r->path }, { "target", &r->target },
      { "mode", &r->mode }, { "uid", &r->uid },   { "gid", &r->gid },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
      if (strcmp(words[i].key, key) == 0)
        *words[i].to = value;
    r->follow |= strcmp(key, "follow") == 0 && *value == '1';
    r->parents |= strcmp(key, "parents") == 0 && *value == '1';
    r->recursive |= strcmp(key, "recursive") == 0 && *value == '1';
  }
  return left == 0 && r->verb && (*r->path == '/' || strcmp(r->verb, "freeze") == 0);
}

void
qga_request(struct qga *agent, char *lines, size_t size, const struct qga_streams *s)
{
  static const struct {
    const char *verb;
    void (*run)(const struct req *r);
  } verbs[] = {
    { "stat", do_stat },  { "list", do_list },    { "get", do_get },       { "put", do_put },
    { "mkdir", do_make }, { "symlink", do_make }, { "remove", do_remove }, { "freeze", do_freeze },
  };
  struct req r;

  q = agent;
  io = *s;
  if (!parse(lines, size, &r)) {
    answer_error(EINVAL, 0, "request");
    return;
  }
  if (!qga_is_text(r.path) || (r.target && !qga_is_text(r.target))) {
    answer_error(0, PT_WIRE_ERR_UNSUPPORTED, "a name that is not UTF-8 cannot be given to an unmodified system");
    return;
  }
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (strcmp(verbs[i].verb, r.verb) == 0) {
      verbs[i].run(&r);
      return;
    }
  answer_error(0, PT_WIRE_ERR_UNSUPPORTED, "an unmodified system does not know that");
}
