// SPDX-License-Identifier: Apache-2.0
/* Machines: QEMU in a jail of the container driver's making, with portena-vmm as its first process (jail.c, args.c, helpers/vmm.c).
 * Where the guest has our agent, what is asked of it goes through portena-guestctl, which runs in the jail too. */
#include "drivers/machine/machine.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "drivers/machine/agent.h"
#include "drivers/machine/internal.h"

#define WORDS_BYTES 4096
#define QEMU_TIME (30 * G_USEC_PER_SEC)
#define QEMU_LOOK 1000
#define JAIL_BYTES ((gint64)72 << 20) /* the initrd and the sockets; what is not used costs nothing */

/* What QEMU said last, on the console that it shares with the guest; the caller's. */
static char *
last_words(PtContainers *c, const char *id)
{
  gsize size = 0;
  g_autofree char *text = pt_container_logs(c, id, WORDS_BYTES, &size, NULL);
  g_auto(GStrv) lines = text ? g_strsplit_set(text, "\r\n", -1) : g_new0(char *, 1);
  const char *last = NULL;

  for (char **l = lines; *l; l++)
    last = **l && !(last && g_str_has_prefix(*l, "portena-vmm: ")) ? *l : last; /* which only says that it did */
  return pt_text_safe(last ? last : "it says nothing", 300);
}

/* Until QEMU has made the machine and answers. One that ends before has a reason that belongs to whoever asked for the start. */
static bool
await_qemu(PtContainers *c, const PtInstance *spec, GError **error)
{
  gint64 end = pt_mono() + QEMU_TIME;

  for (;;) {
    g_autoptr(GError) why = NULL;
    PtContainerState state;
    g_autoptr(PtQmp) q = pt_machine_qmp(c, spec->id, MAX(end - pt_mono(), 1), &why);

    if (q)
      return true;
    if (!pt_container_state(c, spec->id, &state, NULL) || !state.running) {
      g_autofree char *words = last_words(c, spec->id);
      PT_SET(error, PT_ERR_INTERNAL, "instance %s: QEMU ended at once: %s", spec->name, words);
      return false;
    }
    if (pt_mono() >= end) {
      PT_SET(error, PT_ERR_TIMEOUT, "instance %s: QEMU does not answer", spec->name);
      return false;
    }
    g_usleep(QEMU_LOOK);
  }
}

static bool
machine_start(PtContainers *c, const PtContainerStart *start, GError **error)
{
  PtInstance limits = pt_machine_limits(start->spec);
  PtContainerStart s = *start;

  s.describe = pt_machine_describe;
  s.bare = true;
  s.bare_size = JAIL_BYTES;
  s.bare_devices = true;
  s.limits = &limits;
  if (!pt_container_start(c, &s, error))
    return false;
  bool copy = start->template_dir && !start->template_make;
  if (await_qemu(c, start->spec, error) &&
      (!start->resume || pt_machine_wake(c, start->spec->id, start->spec, start->image, error)) &&
      (!copy || pt_machine_template_enter(c, start, error)))
    return true;
  if (start->ret_ready && *start->ret_ready >= 0) {
    close(*start->ret_ready);
    *start->ret_ready = -1;
  }
  pt_container_stop(c, start->spec->id, NULL, NULL, 0, NULL, NULL);
  return false;
}

/* Our own first process takes SIGTERM, whatever the image's would. */
static bool
machine_stop(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, gint64 deadline, const PtPatience *patience,
             GError **error)
{
  (void)image;
  return pt_container_stop(c, id, spec, NULL, deadline, patience, error);
}

PtQmp *
pt_machine_qmp(PtContainers *c, const char *id, gint64 timeout, GError **error)
{
  int fd = pt_jail_connect(c, id, "vm/qmp", error);

  return fd < 0 ? NULL : pt_qmp_open(fd, timeout, error);
}

static int
machine_desktop(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error)
{
  return spec->model == PT_MODEL_PC ? pt_jail_connect(c, id, "vm/vnc", error) : pt_machine_connect(c, id, image->desktop_socket, error);
}

static GPtrArray *
machine_processes(PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  if (spec->model == PT_MODEL_MICRO)
    return pt_machine_ps(c, id, error);
  PT_SET(error, PT_ERR_UNSUPPORTED, "%s: what runs in an unmodified system is not seen from outside", spec->name);
  pt_error_hint(error, "where its guest agent answers, ask it:  portena exec %s -- ps aux", spec->name);
  return NULL;
}

const PtEngine pt_engine_machine = {
  .raw = true,
  .start = machine_start,
  .stop = machine_stop,
  .limits = pt_machine_limit,
  .disk = pt_machine_disk,
  .attach = pt_machine_attach,
  .detach = pt_machine_detach,
  .nic_add = pt_machine_nic_add,
  .nic_remove = pt_machine_nic_remove,
  .exec = pt_machine_exec,
  .desktop = machine_desktop,
  .processes = machine_processes,
  .call = pt_guest_call,
  .hibernate = pt_machine_hibernate,
  .wake = pt_machine_wake,
  .saved = pt_machine_saved,
  .forget = pt_machine_forget,
  .resize = pt_machine_resize,
  .size = pt_machine_size,
  .resizes = pt_machine_resizes,
};
