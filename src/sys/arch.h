// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Processor architectures: what each is called by whom, and how this node runs programs of one that is not its own.
 *
 * A program of another architecture is run by QEMU's user emulator. The kernel starts it when it meets such a file, as told by
 * a rule in binfmt_misc. Since Linux 6.7 a user namespace can have rules of its own: so a jail or container that needs one
 * mounts binfmt_misc for itself, the node writes the rule into it, and nothing changes for the host or for anybody else. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct PtArch {
  const char *name;    /* as uname(2) has it, and we everywhere: "aarch64" */
  const char *oci;     /* "arm64" */
  const char *debian;  /* "arm64" */
  const char *qemu;    /* qemu-NAME and qemu-system-NAME */
  const char *package; /* Debian's, of qemu-system-NAME */
  bool machines;       /* there is a board for it: drivers/machine/args.c */
  guint8 bits;         /* 32, 64 */
  bool big_endian;
  guint8 machine;      /* e_machine in ELF */
} PtArch;

/* By any of its three names; NULL where it is unknown. */
const PtArch *pt_arch_find(const char *name);
const PtArch *pt_arch_nth(guint i); /* all of them; NULL behind the last */
const PtArch *pt_arch_host(void);   /* never NULL: an unknown one has only `name` */
/* Its programs run here without an emulator. NULL: false. */
bool pt_arch_native(const PtArch *arch);

/* What an image of a foreign architecture is called beside the node's own: "debian" for aarch64 is "debian-aarch64". The caller's; a
 * copy of `name` where `arch` is NULL, the host's or unknown. */
char *pt_arch_image_name(const char *name, const char *arch);

/* Where a jail or container that is to run foreign programs has binfmt_misc mounted. */
#define PT_FOREIGN_DIR "/proc/sys/fs/binfmt_misc"

/* Whether programs of `arch` can be run in a user namespace here. *ret_rule is the line for its binfmt_misc, the caller's; NULL where
 * none is needed: they are native, or the host itself has a rule that holds in every container (all that kernels before 6.7
 * know). UNSUPPORTED, with what to install. May block a moment, the first time. `arch` NULL: the node's own. */
bool pt_foreign_rule(const char *arch, char **ret_rule, GError **error);
/* Writes the rule into the binfmt_misc that is mounted in the tree of process `pid`, which has not run anything of the guest's yet.
 * The emulator is opened here and now, on the node, by the node's path: it need not be in the guest. */
bool pt_foreign_enter(pid_t pid, const char *rule, GError **error);
/* Where in a command line (arguments ended by zeros, `n` bytes, a zero behind them) that of an emulated program begins: behind the
 * emulator and the program's path, which the kernel puts before it. 0: it is not emulated. The line is the guest's word. */
gsize pt_foreign_skip(const char *line, gsize n);
/* For tests: the rule for `interpreter`. The caller's. */
char *pt_foreign_rule_format(const PtArch *arch, const char *interpreter);
