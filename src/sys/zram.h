// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Swap in compressed memory (zram), made where the host has no swap and we may tune it: what hibernated instances give back goes
 * there. RUN/zram names the device that is ours; another's is never touched. Any thread. */
#include "sys/host.h"

/* Makes one of half the host's memory and switches it on; ours is there already: success. UNSUPPORTED where the kernel has none. */
bool pt_zram_make(const PtHost *host, GError **error);
/* Takes ours away: where nothing is in it, or, with `drain`, where what is in it fits into half of the memory that is available. Else,
 * and where there is none, nothing happens. True where none of ours is left. */
bool pt_zram_remove(const PtHost *host, bool drain);
