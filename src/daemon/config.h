// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* What portenad is told: by /etc/portena/portena.conf (portena.conf(5)), then by its options, which win. */
typedef struct PtConfig {
  char *state, *run, *libexec, *node, *uplink, *cgroup;
  char *gateway_user; /* whose X-Forwarded-For is believed */
  char *url;          /* where browsers find this node; NULL = what the gateway says */
  char *templates;    /* of machines: "shared", "space" or "off" */
  bool tune;          /* may raise the sysctls that many instances need */
  bool drain;         /* on SIGTERM stop the instances too */
  bool debug;
} PtConfig;

/* Parses argv; `--help` and `--version` print and exit. INVALID names the option or the line. */
PtConfig *pt_config_new(int *argc, char ***argv, GError **error);
void pt_config_free(PtConfig *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtConfig, pt_config_free)
