// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What the node asks of machines beside the engine's table (drivers/engine.h). */
#include "drivers/container/container.h"
#include "drivers/machine/qmp.h"

/* Whether KVM runs a guest here. The first call tries: it boots the mounted kernel image `kernel`; where that is NULL, it is
 * content with a processor that can be made. Later ones know. Blocks for 10 s at most. UNSUPPORTED says why not, and a hint what to do. */
bool pt_machine_kvm(const char *kernel, GError **error);

/* Whether QEMU's own guest agent answers in a running machine of model pc, as far as is known. Never blocks. */
bool pt_machine_agent_up(PtContainers *c, const char *id);

/* QMP of a running machine, for the node alone; it serves one client at a time. Within `timeout` µs. */
PtQmp *pt_machine_qmp(PtContainers *c, const char *id, gint64 timeout, GError **error);

/* What hibernated machines held is on its way to the disk for a moment after they are said to be. At the start of a daemon: lets what a
 * killed predecessor left go on its way. At its end: waits until all of it is there, or the disk has failed. */
void pt_machine_settle_left(PtContainers *c);
void pt_machine_settle(void);
