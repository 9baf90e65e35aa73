// SPDX-License-Identifier: Apache-2.0
#pragma once
/* For system tests of the container driver: a root file system, a daemon's surroundings, and instances in them.
 *
 * Each test plays daemons: a forked process that enters the private mount namespace, opens the driver, does something and
 * ends or is killed. So a test can kill one and look at the world as its successor. */
#include "drivers/container/container.h"

typedef struct Bed {
  char *base, *state, *run, *cgroup; /* of this test alone */
  char *rootfs;                      /* a Debian with systemd and dbus */
  PtHost *host;                      /* the rest: within a daemon */
  PtContainers *c;
} Bed;

/* Skips the test and returns false without root. */
bool bed_init(Bed *bed);
/* Nothing may be left of it: processes, mounts, groups, files. */
void bed_clear(Bed *bed);

/* Runs `fn` as a daemon and expects it to end well. */
void as_daemon(Bed *bed, void (*fn)(Bed *bed, void *data), void *data);
/* The same, but it kills itself with SIGKILL. */
void as_killed_daemon(Bed *bed, void (*fn)(Bed *bed, void *data), void *data);

typedef struct Guest {
  PtInstance *spec;
  PtImage *image;
  PtContainerStart start;
  char *volume;
} Guest;

/* An instance that has not been started. `command` NULL: a system guest. */
Guest *guest_new(Bed *bed, const char *name, const char *const *command);
void guest_free(Guest *g);
void guest_start(Bed *bed, Guest *g);      /* and waits until it is ready */
void guest_stop(Bed *bed, Guest *g);       /* by force, and clears it */

typedef struct Said {
  GString *out, *err;
  int code, sig;      /* -1 where it never ran */
  int error;          /* PtErr, -1 = none */
  char text[1025];    /* of the error */
} Said;
void said_clear(Said *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Said, said_clear)

/* Runs a command in it to its end. `input` may be NULL. */
Said guest_exec(Bed *bed, Guest *g, const PtExec *exec, const char *input, gsize input_size);
/* sh -c SCRIPT, which must end with 0; what it said on stdout. */
char *guest_sh(Bed *bed, Guest *g, const char *script);
void guest_do(Bed *bed, Guest *g, const char *script); /* the same, whatever it said */

/* Reads a descriptor until `what` has come, 10 s at most. */
void read_until(int fd, GString *into, const char *what);
bool wait_for(bool (*condition)(void *data), void *data);
