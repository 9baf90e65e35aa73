// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Network namespaces, by descriptor. A thread enters one for a moment and comes back; sockets made meanwhile
 * stay inside, and processes started meanwhile start inside. Any thread; blocking only for the kernel. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Of the calling thread, and of a process. The caller's; -1 on error. */
int pt_netns_current(GError **error);
int pt_netns_of(pid_t pid, GError **error);
/* A new one, bound at `path` (made if it is not there) so that it lives without a process. */
int pt_netns_create(const char *path, GError **error);
/* The one bound at `path`; -1 and NOT_FOUND where nothing is bound. */
int pt_netns_open(const char *path, GError **error);

/* Enters; returns what pt_netns_leave() needs to come back, -1 on error. A thread that could not come back would act on the
 * wrong network, so that ends the process. */
int pt_netns_enter(int ns, GError **error);
void pt_netns_leave(int back);

/* Writes /proc/sys/net/<path> of a namespace. A file that is not there (its module is not loaded) is success. */
bool pt_netns_sysctl(int ns, const char *path, const char *value, GError **error);
/* The number in it, or -1. */
int pt_netns_sysctl_get(int ns, const char *path);
