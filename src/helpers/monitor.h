// SPDX-License-Identifier: Apache-2.0
#pragma once
/* portena-monitor's own parts. The theory of operation is in monitor.c. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/wire.h"

#define PATH_BYTES 128

struct monitor {
  const char *dir;      /* RUN/monitor/<id> */
  const char *id;
  const char *log;      /* console.log */
  const char *leaf;     /* cgroup.procs to be in for whoever starts something in the guest; NULL = the runtime does it */
  char *const *runtime; /* crun and its global options */
  int n_runtime;
  int start;            /* descriptor 3; -1 once it runs */
  pid_t init;           /* 0 = not created yet, or ended */
};
extern struct monitor m;

/* ---- monitor_io.c: text without stdio, messages, descriptors ---- */

/* A path or line put together in a fixed buffer. One that does not fit is cut and `full`. */
struct text {
  char at[PATH_BYTES * 2];
  size_t n;
  bool full;
};
void put(struct text *t, const char *s);
void put_number(struct text *t, unsigned long long n);
const char *in_dir(struct text *t, const char *name, const char *suffix, long number); /* DIR/name[number]suffix, number < 0 = none */

bool write_all(int fd, const char *data, size_t size);
bool write_file(const char *path, const char *data, size_t size); /* a new file of that name takes the place of the old one */
ssize_t read_file(const char *path, char *buf, size_t size);     /* NUL-ended */
long long usec_now(void);
unsigned long long starttime_of(pid_t pid);
int listen_at(const char *path, int type); /* an absent or stale path; -1 on failure */
int take_pty(int listener);                /* from who connects to a --console-socket; -1 = nobody or nothing yet */

bool wire_send(int fd, uint32_t type, uint32_t a, uint32_t b, const char *text, const int *fds, int n_fds);
/* False: closed, or not a message of ours (then *bad). Unwanted descriptors are closed by the caller. */
bool wire_recv(int fd, struct pt_wire *head, char text[PT_WIRE_TEXT_MAX + 1], int fds[PT_WIRE_FDS_MAX], int *n_fds);
void close_fd(int *fd);

/* ---- monitor.c: the loop ---- */

typedef void (*source_fn)(int fd, short revents, int arg);
bool source_add(int fd, short events, source_fn fn, int arg);
void source_events(int fd, short events);
void source_remove(int fd); /* does not close it */

/* ---- monitor_run.c: programs ---- */

/* Runs the runtime with `args` behind its global options, in the guest's leaf if `join`; `fds` become 0, 1, 2, … and nothing
 * else is open. The pid, or -1. */
pid_t runtime_start(const char *const *args, const int *fds, int n_fds, bool join);
/* Any program, in our own group. `more`: one more variable of its environment, or NULL. */
pid_t program_start(char *const *argv, const int *fds, int n_fds, char *more);
int log_file(void);                 /* an anonymous file for --log; the descriptor */
void log_text(int log, char text[PT_WIRE_TEXT_MAX], bool lines); /* its beginning, or (not `lines`) only its first line */

/* ---- monitor_console.c ---- */
void console_take(int pty);
void console_attach(int control, uint32_t history);
int console_wait(void);              /* ms until the console is read on, -1 = it is being read */
void console_end(int code, int sig); /* drains the pty and tells everybody */

/* ---- monitor_exec.c ---- */
void exec_start(int control, int process, bool tty, unsigned cols, unsigned rows);
bool exec_reaped(pid_t pid, int status); /* false: not one of these */

/* ---- monitor_restore.c: a first process that CRIU makes, in place of the runtime ---- */
bool restore_wanted(void);                   /* DIR/restore is there: what to run, one word a line */
pid_t restore_start(int log);                /* the pid, or -1 */
bool restore_stage(int fd, const struct pt_wire *head); /* a STAGE has come; true: `fd` is kept, portenad is to answer */
bool restore_go(void);                       /* portenad's START: answers the STAGE; true: the last one, it goes on now */
void restore_gone(int fd);                   /* that connection has ended */
void restore_end(void);                      /* CRIU has ended, or is to give up */
int restore_hook(const char *stage);         /* what CRIU calls: the exit status */
