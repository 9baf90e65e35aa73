// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What runs an instance: one const table for each kind.
 *
 * Every kind runs in a jail of the same making: a crun container with ids, namespaces, seccomp and a control group of its own,
 * under a portena-monitor. A container's first process is the guest's own; a machine's is portena-vmm, which keeps QEMU; a
 * process's is the program itself. So whether it runs, how it ended, its console, its history, its limits, pause, statistics and
 * what is left of it are the container driver's for every kind, and only what differs is here. Contracts are those of
 * the function of the same name in drivers/container/container.h, unless said otherwise. */
#include "drivers/container/container.h"

/* The name of a raw engine's network port in its jail. */
#define PT_ENGINE_TAP "tap0"
/* Of a further card, "tap1" for "eth1". */
void pt_engine_tap(const char *card, char ret[8]);

/* What a guest has of processors and memory. */
typedef struct PtGuestSize {
  gint64 cpus;   /* 0: it does not say */
  gint64 memory; /* bytes */
  bool reached;  /* it is what the spec says, as far as it can be without a start */
} PtGuestSize;

typedef struct PtEngine {
  /* It opens the volume's file and the image's file by itself (PtContainerStart's volume_file, image_file); neither is mounted on
   * the node while it runs. Its network port is a tap, and its guest sets it up. */
  bool raw;
  bool (*start)(PtContainers *c, const PtContainerStart *start, GError **error);
  bool (*stop)(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, gint64 deadline, const PtPatience *patience,
               GError **error);
  bool (*limits)(PtContainers *c, const char *id, const PtInstance *spec, GError **error);
  /* Raw: tells a running one that the file of its volume (`disk` NULL), or of a data volume of it, is `bytes` long now. *ret_whole:
   * whether what is on it has grown as well. Others: NULL. */
  bool (*disk)(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, gint64 bytes, bool *ret_whole, GError **error);
  /* A data volume, while it runs (drivers/container/container.h). */
  bool (*attach)(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, const char *source, GError **error);
  bool (*detach)(PtContainers *c, const char *id, const PtInstance *spec, const PtDisk *disk, const char *source, GError **error);
  /* Raw: a running one has the further network card `nic`, whose tap is there, and its guest is told of it (`line`: base/guest.h, card=);
   * there already: success. And it has it no more: the guest is asked to let go of it, absent is success. Others: NULL. */
  bool (*nic_add)(PtContainers *c, const PtInstance *spec, const PtNic *nic, const char *line, GError **error);
  bool (*nic_remove)(PtContainers *c, const PtInstance *spec, const char *name, GError **error);
  int (*exec)(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, const PtExec *exec, GError **error);
  int (*desktop)(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error);
  GPtrArray *(*processes)(PtContainers *c, const char *id, const PtInstance *spec, GError **error);
  /* NULL where a running guest's tree cannot be held by a descriptor. */
  int (*root)(PtContainers *c, const char *id, GError **error);
  /* Where `root` is NULL: a request to the agent in the guest, pt_guest_call() (drivers/machine/agent.h). */
  struct PtGuestCall *(*call)(PtContainers *c, const PtInstance *spec, const char *lines, GError **error);

  /* Hibernation. NULL, all four or the last two: it cannot, or saves nothing. */

  /* Puts one that runs or is paused to sleep: either it stands still in its jail (PtContainerState says asleep), or all that it
   * held is saved and its jail has ended. On failure it runs as before, and nothing is saved. Called again after it was cut off. */
  bool (*hibernate)(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, PtSleep *ret, GError **error);
  /* Lets one go on that stands still in its jail, also one whose hibernate() was cut off; nothing is saved any more then. */
  bool (*wake)(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error);
  /* Whether start() would go on from something saved: it is given PtContainerStart's `resume` then. Before the guest goes on, what
   * was saved must have gone (or be unusable), so that no crash lets it go on twice from the same memory over a changed disk;
   * where start() fails before that, it stays. The guest says anew that it is ready. Never blocks. */
  bool (*saved)(PtContainers *c, const char *id);
  /* Drops what was saved; absent is success. */
  bool (*forget)(PtContainers *c, const char *id, GError **error);

  /* Processors and memory of a guest that has its own kernel. NULL, all three: what the group may take is all there is. */

  /* Brings what the guest has nearer to what the spec says, as far as that goes without a start, and waits a few seconds for it. What it
   * has then is in *ret. Called again until it is reached. Of one that runs, is not paused and has said that it is ready. */
  bool (*resize)(PtContainers *c, const char *id, const PtInstance *spec, PtGuestSize *ret, GError **error);
  /* What it was started with. Never blocks. */
  bool (*size)(PtContainers *c, const char *id, PtGuestSize *ret, GError **error);
  /* Whether resize() of one that runs or is hibernated brings the field, "cpu" or "memory", to what the spec says. Blocks for two
   * seconds at most. */
  bool (*resizes)(PtContainers *c, const PtInstance *spec, const char *field);
} PtEngine;

extern const PtEngine pt_engine_container, pt_engine_machine;

/* The engine of an instance; NULL and UNSUPPORTED where this node has none for its kind. */
const PtEngine *pt_engine_of(const PtInstance *spec, GError **error);
