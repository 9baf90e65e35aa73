// SPDX-License-Identifier: Apache-2.0
/* What the parts of portena-jail share. Plain C, libc only: this program begins as root. */
#ifndef PT_JAIL_H
#define PT_JAIL_H
#include <stdbool.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#define JAIL_BINDS_MAX 64
#define JAIL_IDS 65536

struct jail_bind {
  const char *source;
  const char *target; /* absolute, in the jail */
  bool write;         /* belongs to the jail's root and may be written */
  bool shift;         /* the caller's own: read-only, with its ids mapped into the jail's */
  bool optional;      /* absent is no error */
  bool dir;
  int tree;           /* detached mount, -1 = absent */
};

struct jail {
  unsigned base; /* host id of the jail's root */
  bool net;      /* keeps the caller's network */
  bool build;    /* may mount and chroot inside: for debootstrap-like tools */
  unsigned long long file_max; /* RLIMIT_FSIZE, bytes; 0 = none */
  unsigned long long memory;   /* RLIMIT_AS, bytes; 0 = none */
  const char *input;
  const char *cwd;
  const char *env[32];
  int n_env;
  struct jail_bind binds[JAIL_BINDS_MAX];
  int n_binds;
  char **command;
};

/* Prints "portena-jail: …" (with strerror, where err is not 0) and exits 125. */
noreturn void jail_die(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* jail-tree.c. The first two run in the caller's namespaces, as root; the last one inside. */
void jail_tree_system(struct jail *j);            /* adds the binds of the host's programs */
void jail_tree_open(struct jail *j, int userns);  /* makes the detached mounts */
void jail_tree_enter(struct jail *j);             /* builds the tree and makes it the root */

/* jail-confine.c. In this order, inside; what follows runs confined. */
void jail_confine_limits(const struct jail *j);
void jail_confine_caps(bool build);
void jail_confine_syscalls(bool build);
#endif
