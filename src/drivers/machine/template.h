// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Templates of machines: node/template.c keeps them, these make one and go on from it. Blocking. */
#include "drivers/container/container.h"

/* What a template has to have been made of to serve this start: a name of 32 hex digits, the caller's; NULL where none can (more
 * than the image's own system is wanted). `kernel` is the kernel image's digest; `space` is part of the key where it is not NULL. */
char *pt_machine_template_key(const PtContainerStart *start, const PtHost *host, const char *kernel, const char *space);
/* Makes the file that is the memory of the machine which becomes the template `dir`; before it is started with template_make. */
bool pt_machine_template_begin(const PtContainerStart *start, const PtHost *host, const char *dir, GError **error);
/* Stops that machine where it is, and saves it; it has ended afterwards. */
bool pt_machine_template_save(PtContainers *c, const char *id, const char *dir, GError **error);
