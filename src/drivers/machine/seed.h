// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What cloud-init in an unmodified system is told at its start: a disc with the label CIDATA (its data source NoCloud). */
#include "model/instance.h"

/* Makes DIR/seed.iso (0600, root's) out of the instance's name, MAC, ssh_keys and user_data, and its IPv6 address where its space has a
 * prefix ("fd83::/64", else NULL); one of an earlier start is replaced. DIR is a directory that root alone enters, better not on
 * a disk: user data may hold secrets. Blocking, some 20 ms. The path is the caller's. UNSUPPORTED where xorriso is not installed. */
char *pt_seed_make(const PtInstance *spec, const char *prefix6, const char *dir, GError **error);
