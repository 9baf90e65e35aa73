// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What portena remembers between runs: $XDG_CONFIG_HOME/portena/servers.json, 0600 because it holds tokens.
 *   {"current":"https://…","servers":{"local":{"space":"home"},"https://…":{"user","token","expires","pin","fingerprint","ca","space"}}}
 */
#include <glib.h>
#include <stdbool.h>

typedef struct PtConfig PtConfig;

/* A missing file is an empty one. INVALID where it cannot be understood, FORBIDDEN where others may read it. */
PtConfig *pt_config_read(GError **error);
void pt_config_free(PtConfig *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtConfig, pt_config_free)

/* Written beside and renamed, so that a crash leaves the old one. */
bool pt_config_write(const PtConfig *c, GError **error);

const char *pt_config_current(const PtConfig *c);                                        /* NULL = the local socket */
void pt_config_set_current(PtConfig *c, const char *server);                             /* NULL likewise */
const char *pt_config_get(const PtConfig *c, const char *server, const char *key);       /* borrowed; NULL = not set */
void pt_config_set(PtConfig *c, const char *server, const char *key, const char *value); /* NULL removes */
