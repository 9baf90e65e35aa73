// SPDX-License-Identifier: Apache-2.0
/* Templates: a machine that was booted once, kept at its idle point, to be copied.
 *
 * A directory: memory (the guest's, as it was), state (of all devices), key (what it is of). What makes it runs with `memory` as its
 * shared memory, so saving it is saving the devices alone (QEMU's x-ignore-shared); a copy has the same file as its private memory, of
 * which the kernel copies what it writes to. Its disk is a copy of the template's volume, which the caller has made. Before anybody hears
 * of it, the guest is told who it is now: names, address, MAC, machine-id, and randomness that no other copy has. */
#include "drivers/machine/template.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "drivers/machine/agent.h"
#include "drivers/machine/internal.h"

#define IDENTITY_WAIT (30 * G_USEC_PER_SEC)
#define STATE_MOST ((gint64)64 << 20)

static bool
plain(const PtInstance *i)
{
  return i->kind == PT_KIND_MACHINE && i->model == PT_MODEL_MICRO && i->init == PT_INIT_SYSTEM && !i->offline && !i->user && !i->cwd &&
         (!i->command || !*i->command) && (!i->env || g_hash_table_size(i->env) == 0) && (!i->nics || i->nics->len == 0);
}

char *
pt_machine_template_key(const PtContainerStart *start, const PtHost *host, const char *kernel, const char *space)
{
  g_auto(PtMachinePlan) plan = { 0 };
  struct stat st;

  if (!plain(start->spec) || !kernel || !pt_machine_plan(start, host, &plan, NULL) || stat(plan.program, &st) < 0)
    return NULL;
  g_autofree char *text = g_strdup_printf("2 %s %s %s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %u %" G_GINT64_FORMAT
                                          " %" G_GINT64_FORMAT " %d %s %u %" G_GINT64_FORMAT,
                                          start->spec->image, kernel, plan.program, (gint64)st.st_mtime, (gint64)st.st_size, plan.cpus,
                                          plan.memory, start->spec->disk, plan.kvm, space ? space : "", plan.cpus_max, plan.memory_max);
  g_autofree char *hex = pt_sha256_hex(text, strlen(text));
  return g_strndup(hex, 32);
}

bool
pt_machine_template_begin(const PtContainerStart *start, const PtHost *host, const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename(dir, "memory", NULL);
  g_auto(PtMachinePlan) plan = { 0 };

  if (!pt_machine_plan(start, host, &plan, error))
    return false;
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  bool ok = fd >= 0 && ftruncate(fd, plan.memory) == 0 && fchown(fd, (uid_t)start->idbase, (gid_t)start->idbase) == 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", path);
  if (fd >= 0)
    close(fd);
  return ok;
}

/* The memory is everybody's to read from now on, in jails that have it bound, and nobody's to write. */
static bool
close_memory(const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename(dir, "memory", NULL);
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  bool ok = fd >= 0 && fchown(fd, 0, 0) == 0 && fchmod(fd, 0444) == 0 && fsync(fd) == 0;

  if (!ok)
    pt_error_errno(error, errno, "%s", path);
  if (fd >= 0)
    close(fd);
  return ok;
}

bool
pt_machine_template_save(PtContainers *c, const char *id, const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename(dir, "state", NULL);
  g_autoptr(PtQmp) q = pt_machine_qmp(c, id, PT_QEMU_ANSWER, error);
  int fd = q ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;

  if (!q)
    return false;
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  bool ok = pt_qemu_transfer(q, fd, PT_QEMU_WITHOUT_MEMORY, error) && pt_qmp_do(q, "stop", NULL, PT_QEMU_ANSWER, error) &&
            pt_qmp_do(q, "migrate", json_pack("{s:s}", "uri", PT_QEMU_FILE), PT_QEMU_ANSWER, error) &&
            pt_qemu_transferred(q, fd, STATE_MOST, error);
  if (ok && fsync(fd) < 0) {
    pt_error_errno(error, errno, "%s", path);
    ok = false;
  }
  close(fd);
  if (ok)
    pt_qmp_do(q, "quit", NULL, PT_QEMU_ANSWER, NULL);
  return ok && pt_container_stop(c, id, NULL, NULL, 0, NULL, error) && close_memory(dir, error);
}

/* Its clock is set by portena-vmm as it goes on; /config's time is that of a boot. */
static char *
without_time(const char *config)
{
  g_auto(GStrv) lines = g_strsplit(config, "\n", -1);
  GString *s = g_string_new("do=identity\n");

  for (char **l = lines; *l; l++) {
    if (**l && !g_str_has_prefix(*l, "time="))
      g_string_append_printf(s, "%s\n", *l);
  }
  return g_string_free(s, FALSE);
}

/* The guest is asked while it still stands: it has the question when it goes on. */
static bool
become(PtContainers *c, const PtContainerStart *start, PtQmp *q, GError **error)
{
  g_autofree char *uuid = pt_jail_uuid(start->spec->id), *config = pt_machine_config(start, uuid);
  g_autofree char *lines = without_time(config);
  g_autoptr(PtGuestCall) call = pt_guest_call(c, start->spec, lines, error);

  return call && pt_qmp_do(q, "cont", NULL, PT_QEMU_ANSWER, error) && pt_guest_call_answer(call, IDENTITY_WAIT, NULL, error);
}

bool
pt_machine_template_enter(PtContainers *c, const PtContainerStart *start, GError **error)
{
  g_autofree char *path = g_build_filename(start->template_dir, "state", NULL);
  g_autoptr(PtQmp) q = pt_machine_qmp(c, start->spec->id, PT_QEMU_ANSWER, error);
  int fd = q ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;

  if (!q)
    return false;
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  bool ok = pt_qemu_transfer(q, fd, PT_QEMU_WITHOUT_MEMORY, error) &&
            pt_qmp_do(q, "migrate-incoming", json_pack("{s:s}", "uri", PT_QEMU_FILE), PT_QEMU_ANSWER, error) &&
            pt_qemu_transferred(q, -1, 0, error) && become(c, start, q, error);
  close(fd);
  if (!ok)
    g_prefix_error(error, "a copy of its image's template: ");
  return ok;
}
