// SPDX-License-Identifier: Apache-2.0
#include "drivers/process/process.h"

#include <string.h>

#include "base/error.h"

bool
pt_proc_start(PtContainers *c, const PtContainerStart *start, GError **error)
{
  PtContainerStart mine = *start;

  if (start->image->format != PT_FORMAT_PROGRAM) {
    PT_SET(error, PT_ERR_INVALID, "instance %s: its image is no program", start->spec->name);
    pt_error_hint(error, "bring a program in:  portena image import FILE NAME --format program");
    return false;
  }
  mine.describe = pt_proc_describe;
  return pt_container_start(c, &mine, error);
}

int
pt_proc_exec(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, const PtExec *exec, GError **error)
{
  static const char *const shell[] = { "/bin/sh", NULL };
  g_autoptr(GPtrArray) argv = g_ptr_array_new();
  PtExec mine = *exec;

  g_ptr_array_add(argv, (char *)"/portena/sandbox");
  if (spec->offline)
    g_ptr_array_add(argv, (char *)"--offline");
  g_ptr_array_add(argv, (char *)"--");
  for (char *const *word = exec->command ? exec->command : (char *const *)shell; *word; word++)
    g_ptr_array_add(argv, *word);
  g_ptr_array_add(argv, NULL);
  mine.command = (char *const *)argv->pdata;
  return pt_container_exec(c, id, spec, image, &mine, error);
}
