// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Processes: one program (an image of format program) in the jail that containers have, made narrower: its tree is the node's
 * /usr, the program at /app and the instance's volume at /data; no capability, an allow list of system calls, Landlock
 * (helpers/sandbox.c), and no network where the instance is offline. Blocking; any thread. */
#include "drivers/container/container.h"

/* As pt_container_start(). UNSUPPORTED where the node has not what runs the program, with the package's name. */
bool pt_proc_start(PtContainers *c, const PtContainerStart *start, GError **error);
/* As pt_container_exec(): whatever is run is confined as the program is. */
int pt_proc_exec(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, const PtExec *exec, GError **error);

/* What runs programs of this runtime: a path below /usr, the caller's; "" for native, which needs nothing. NULL and UNSUPPORTED
 * where the node has none. Looks at the disk. */
char *pt_runtime_find(int runtime, GError **error);
/* The program's whole command line: what runs it, set to the instance's limits, the image's command, and the instance's own as
 * arguments behind it. `runner` is what pt_runtime_find() gave. Pure; new. INVALID where the image names no program or the
 * memory is too little for the runtime. */
char **pt_runtime_argv(const PtInstance *spec, const PtImage *image, const char *runner, GError **error);
/* The Landlock version of this kernel; 0 = none. */
int pt_landlock_abi(void);

/* The OCI description; pt_proc_start() gives it to the container driver. */
json_t *pt_proc_describe(const PtContainerStart *start, const PtJail *jail, GError **error);
/* The allow list, as the "seccomp" object of an OCI description. New. */
json_t *pt_proc_seccomp(bool offline);
