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

typedef struct PtEngine {
  /* It opens the volume's file and the image's file by itself (PtContainerStart's volume_file, image_file); neither is mounted on
   * the node while it runs. */
  bool raw;
  bool (*start)(PtContainers *c, const PtContainerStart *start, GError **error);
  bool (*stop)(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, gint64 deadline, const PtPatience *patience,
               GError **error);
  bool (*limits)(PtContainers *c, const char *id, const PtInstance *spec, GError **error);
  int (*exec)(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, const PtExec *exec, GError **error);
  int (*desktop)(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error);
  GPtrArray *(*processes)(PtContainers *c, const char *id, const PtInstance *spec, GError **error);
  /* NULL where a running guest's tree cannot be held by a descriptor. */
  int (*root)(PtContainers *c, const char *id, GError **error);
} PtEngine;

extern const PtEngine pt_engine_container;

/* The engine of an instance; NULL and UNSUPPORTED where this node has none for its kind. */
const PtEngine *pt_engine_of(const PtInstance *spec, GError **error);
