// SPDX-License-Identifier: Apache-2.0
/* How many of its processors the guest uses: the kernel's CPU hot-plugging (its docs: core-api/cpu_hotplug). One that the host has just
 * added is there a moment later, and off; one that it wants back is turned off: it stays, and costs nothing. */
#include "helpers/guest.h"

#include <stdio.h>
#include <unistd.h>

#define CPUS_MAX 256
#define PLUG_WAIT_USEC 5000000
#define PLUG_LOOK_USEC 5000

static bool
is_there(int cpu)
{
  char path[64];

  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d", cpu);
  return access(path, F_OK) == 0;
}

/* The first one often cannot be turned off, and has no file then. */
static bool
is_on(int cpu)
{
  char path[80], text[8];

  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online", cpu);
  return is_there(cpu) && (read_whole(path, text, sizeof text) <= 0 ? cpu == 0 : text[0] == '1');
}

static void
turn(int cpu, bool on)
{
  char path[80];

  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online", cpu);
  if (is_there(cpu) && is_on(cpu) != on)
    write_text(path, on ? "1" : "0"); /* what the kernel refuses is seen in the answer */
}

void
verb_cpus(const struct request *r)
{
  long long count = number_of(r->count, 10, CPUS_MAX, 0), end = boot_usec() + PLUG_WAIT_USEC;
  static struct lines out;
  int on = 0;

  if (count < 0)
    answer_error(CODE_INVALID, "count: a number of processors is wanted");
  while (count && !is_there((int)count - 1) && boot_usec() < end)
    usleep(PLUG_LOOK_USEC);
  for (int i = 0; count && i < count; i++)
    turn(i, true);
  for (int i = (int)count; count && i < CPUS_MAX; i++)
    turn(i, false);
  for (int i = 0; i < CPUS_MAX; i++)
    on += is_on(i);
  add_number(&out, "online", on);
  answer_ok(false, out.at, out.n, -1);
  _exit(0);
}
