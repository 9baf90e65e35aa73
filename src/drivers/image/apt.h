// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Where this machine gets its own packages from, so that recipes use the same. sources.list(5): one-line and
 * deb822 formats. */
#include <glib.h>
#include <stdbool.h>

typedef struct PtApt {
  char *suite;        /* "bookworm" */
  bool newer;         /* than the one that this machine runs */
  GPtrArray *lines;   /* one-line entries (char *) of the distribution itself: "deb [signed-by=…] URI SUITE main" */
} PtApt;

/* Of the entries in `files` (text of them, with their names: ".sources" is deb822) those that belong to one suite of the distribution,
 * itself, -updates and -security; component main. The suite is the one with the code name `codename`, this machine's own, or, where
 * Debian did not release that for `arch` ("riscv64"; NULL: it did), the next that it did; then it takes what the entries name of
 * that, or else their mirrors of the own one. INVALID where none gives the suite itself, UNSUPPORTED where there is none, with what
 * helps. Pure. */
PtApt *pt_apt_parse(const char *const *names, const char *const *texts, const char *codename, const char *arch, GError **error);
/* Reads /etc/apt and /etc/os-release below `root` ("/"). UNSUPPORTED where this is no Debian. */
PtApt *pt_apt_read(const char *root, const char *arch, GError **error);
/* The parts of `apt-config dump` that reach a mirror (proxies, timeouts, validity checks) as "NAME \"VALUE\"". */
GPtrArray *pt_apt_options(const char *dump);
void pt_apt_free(PtApt *a);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtApt, pt_apt_free)
