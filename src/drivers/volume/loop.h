// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Loop devices by ioctl, loop(4). Internally locked; any thread; blocking. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Binds `file` (open for writing; the device keeps the open file, and any flock on it, until it is released) to
 * a free loop device with 4096-byte sectors, direct I/O where the file system allows it, and autoclear: the
 * device is released with its last user. Returns a descriptor of the device, which keeps it alive until the
 * mount does; *ret_path ("/dev/loop7") is the caller's. -1: NO_SPACE (no device left), UNSUPPORTED, INTERNAL. */
int pt_loop_bind(int file, char **ret_path, GError **error);

/* A descriptor of the loop device numbered `dev` (st_dev of a mount on it), or -1. */
int pt_loop_open(dev_t dev, GError **error);
/* Tells the device that its file has another size. */
bool pt_loop_resized(int loop, GError **error);
