// SPDX-License-Identifier: Apache-2.0
/* Hibernation of a machine: what it holds in memory goes into a file beside its console history, and QEMU ends.
 *
 *   running -> stopped in QEMU -> migrated into memory.part -> memory.new -> QEMU ends; on the disk -> memory   (hibernate)
 *   QEMU waits -> migrated in from memory -> memory is gone -> the guest goes on                                (resume, by a start)
 *
 * QEMU never sees the file's name: it gets a descriptor. The format is QEMU's "mapped-ram" (docs/devel/migration/mapped-ram): each
 * page has its place in the file, and pages of zeroes take none. `memory` is there only while it is whole and nothing has run since;
 * memory.plan says what the machine was made of, which the QEMU that goes on has to have too. A disk takes its time, and nobody
 * need wait for it: memory.new is whole in the page cache and as good as memory until the host restarts, which memory.plan's
 * "boot" tells; a thread writes it out and gives it its last name.
 *
 * Whoever finds QEMU standing still with `memory` present, because portenad was killed in between, calls wake(): whichever of the
 * two it was cut off in, the guest is let go on from what QEMU has, after `memory` is gone. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "drivers/machine/internal.h"
#include "drivers/machine/qmp.h"
#include "sys/cgroup.h"

#define BESIDE PT_CGROUP_SPARE /* what a file may have beside the memory: devices, a map of its pages */
#define LET_GO 250               /* looks, 20 ms apart, until QEMU has closed a file that it does not need any more */
#define IN_PEACE (G_USEC_PER_SEC / 2) /* what is said of an instance is flushed too, and would wait behind its memory's blocks */

static char *
saved_path(const PtHost *host, const char *id, const char *file)
{
  return g_build_filename(host->state, "instances", id, file, NULL);
}

char *
pt_machine_plan_path(const PtHost *host, const char *id)
{
  return g_build_filename(host->run, "monitor", id, "plan", NULL);
}

/* ---- what the machine was made of ---- */

/* A pc's devices, for as much as its settings can change them; the caller's. */
static char *
devices_of(const PtMachinePlan *p)
{
  return g_strdup_printf("%s%s%s%s%s %s", p->code ? "uefi" : "bios", p->secure ? " secure" : "", p->tpm ? " tpm" : "",
                         p->emulated ? " emulated" : "", !p->seed ? "" : p->emulated ? " seed" : " seed-disk", p->iso ? p->spec->iso : "");
}

bool
pt_machine_plan_write(const PtMachinePlan *plan, const PtHost *host, GError **error)
{
  g_autofree char *path = pt_machine_plan_path(host, plan->spec->id), *devices = devices_of(plan);
  g_autoptr(json_t) json =
    json_pack("{s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:i, s:i, s:s}", "cpus", (json_int_t)plan->cpus, "cpus_max", (json_int_t)plan->cpus_max,
              "memory", (json_int_t)plan->memory, "memory_max", (json_int_t)plan->memory_max, "kvm", plan->kvm, "network", plan->network,
              "pc", plan->pc, "slots", (int)plan->slots, "queues", (int)plan->queues, "devices", devices);
  g_autofree char *text = pt_json_dump(json);

  return g_file_set_contents(path, text, -1, error);
}

/* One that an older portenad started has nothing to grow into, and no slots. */
static void
take_numbers(PtMachinePlan *plan, const json_t *json)
{
  plan->cpus = (guint)CLAMP(pt_json_int(json, "cpus", 1), 1, 1024);
  plan->cpus_max = (guint)CLAMP(pt_json_int(json, "cpus_max", plan->cpus), plan->cpus, 1024);
  plan->memory = pt_json_int(json, "memory", plan->memory);
  plan->memory_max = MAX(pt_json_int(json, "memory_max", plan->memory), plan->memory);
  plan->kvm = pt_json_bool(json, "kvm", false);
  plan->queues = (guint)CLAMP(pt_json_int(json, "queues", plan->cpus), 1, 1024);
  plan->slots = (guint)CLAMP(pt_json_int(json, "slots", 0), 0, PT_MACHINE_SLOTS_MAX);
}

bool
pt_machine_plan_read(PtMachinePlan *ret, const PtHost *host, const char *id, GError **error)
{
  g_autofree char *runs = pt_machine_plan_path(host, id), *saved = saved_path(host, id, "memory.plan"), *text = NULL;
  gsize size;

  *ret = (PtMachinePlan){ 0 };
  if (!g_file_get_contents(runs, &text, &size, NULL) && !g_file_get_contents(saved, &text, &size, error))
    return false;
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  if (!json)
    return false;
  take_numbers(ret, json);
  ret->pc = pt_json_bool(json, "pc", false);
  return true;
}

/* The most that a guest of this machine may have had. */
static gint64
planned_memory(const PtHost *host, const char *id)
{
  g_auto(PtMachinePlan) plan = { 0 };

  return pt_machine_plan_read(&plan, host, id, NULL) ? plan.memory_max : 0;
}

bool
pt_machine_plan_resume(PtMachinePlan *plan, const PtHost *host, GError **error)
{
  g_autofree char *path = saved_path(host, plan->spec->id, "memory.plan"), *text = NULL;
  gsize size;

  if (!g_file_get_contents(path, &text, &size, error))
    return false;
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  if (!json)
    return false;
  take_numbers(plan, json);
  plan->version = g_strdup(pt_json_str(json, "board", NULL));
  pt_machine_nics_resume(plan, json);
  g_autofree char *devices = devices_of(plan);
  bool wired = pt_json_bool(json, "network", false) == plan->network;
  if (wired && strcmp(pt_json_str(json, "devices", devices), devices) == 0)
    return true;
  PT_SET(error, PT_ERR_CONFLICT, "%s has been changed since the machine was hibernated",
         wired ? "its firmware, TPM, disc or hardware" : "offline: it");
  pt_error_hint(error, "set it back, or give up what it held in memory:  portena stop %s", plan->spec->name);
  return false;
}

/* The board by its full name: "q35" may be another one after an upgrade of QEMU. The name is QEMU's word, so it is looked at. */
static char *
board_of(PtQmp *q, GError **error)
{
  g_autoptr(json_t) type =
    pt_qmp_run(q, "qom-get", json_pack("{s:s, s:s}", "path", "/machine", "property", "type"), PT_QEMU_ANSWER, error);
  const char *text = type ? json_string_value(type) : NULL;

  if (!type)
    return NULL;
  if (text && g_regex_match_simple("^[a-z0-9.-]{1,40}-machine$", text, 0, 0))
    return g_strndup(text, strlen(text) - strlen("-machine"));
  PT_SET(error, PT_ERR_INTERNAL, "QEMU does not say which machine it is");
  return NULL;
}

/* Beside the memory, with what only the running QEMU knows. */
static bool
keep_plan(const PtHost *host, const char *id, PtQmp *q, GError **error)
{
  g_autofree char *from = pt_machine_plan_path(host, id), *to = saved_path(host, id, "memory.plan"), *text = NULL;
  g_autofree char *board = board_of(q, error);
  guint cpus;
  gsize size;

  if (!board || !pt_machine_guest_cpus(q, &cpus, error) || !g_file_get_contents(from, &text, &size, error))
    return false;
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  if (!json)
    return false;
  g_autofree char *boot = pt_boot_id();
  json_t *nics = pt_machine_nics_keep(q, error);
  if (!nics)
    return false;
  json_object_set_new(json, "nics", nics);
  json_object_set_new(json, "board", json_string(board));
  json_object_set_new(json, "cpus", json_integer(cpus)); /* with those that have come since it was started */
  json_object_set_new(json, "boot", json_string(boot));
  g_autofree char *all = pt_json_dump(json);
  return g_file_set_contents_full(to, all, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error); /* write_out() waits for it */
}

/* ---- hibernate ---- */

/* One memory.new on its way to the disk. */
typedef struct Writing {
  int fd, dir;
} Writing;

static bool
on_disk(int fd)
{
  bool ok = fd >= 0 && fsync(fd) == 0;

  if (fd >= 0)
    close(fd);
  return ok;
}

/* A name is given, or taken away, by one at a time. */
static struct {
  GMutex lock;
  GCond none;
  guint writers;
} written;

/* Of the very file that was flushed: another hibernation may have made its own since. */
static bool
rename_written(const Writing *w)
{
  struct stat named, flushed;

  g_mutex_lock(&written.lock);
  bool ok = fstat(w->fd, &flushed) == 0 && fstatat(w->dir, "memory.new", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            named.st_ino == flushed.st_ino && named.st_dev == flushed.st_dev && renameat(w->dir, "memory.new", w->dir, "memory") == 0;
  g_mutex_unlock(&written.lock);
  return ok;
}

/* Where the disk fails, memory.new stays what it is. What is resumed within a moment is never written at all. */
static gpointer
write_out(gpointer data)
{
  Writing *w = data;

  g_usleep(IN_PEACE);
  if (on_disk(openat(w->dir, "memory.plan", O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) && fsync(w->fd) == 0 && rename_written(w))
    fsync(w->dir);
  close(w->fd);
  close(w->dir);
  g_free(w);
  g_mutex_lock(&written.lock);
  if (--written.writers == 0)
    g_cond_broadcast(&written.none);
  g_mutex_unlock(&written.lock);
  return NULL;
}

/* Takes `w`. */
static void
begin_writing(Writing *w)
{
  g_mutex_lock(&written.lock);
  written.writers++;
  g_mutex_unlock(&written.lock);
  g_thread_unref(g_thread_new("memory", write_out, w));
}

void
pt_machine_settle(void)
{
  g_mutex_lock(&written.lock);
  while (written.writers > 0)
    g_cond_wait(&written.none, &written.lock);
  g_mutex_unlock(&written.lock);
}

static bool
settle_file(const PtHost *host, const char *id, int fd, GError **error)
{
  g_autofree char *dir = saved_path(host, id, NULL);
  Writing *w = g_new(Writing, 1);

  w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  w->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (w->fd >= 0 && w->dir >= 0 && renameat(w->dir, "memory.part", w->dir, "memory.new") == 0) {
    begin_writing(w);
    return true;
  }
  pt_error_errno(error, errno, "%s", dir);
  if (w->fd >= 0)
    close(w->fd);
  if (w->dir >= 0)
    close(w->dir);
  g_free(w);
  return false;
}

/* Some devices cannot be saved. QEMU knows which, and is asked before anything has been touched. */
static bool
can_be_saved(PtQmp *q, GError **error)
{
  g_autoptr(json_t) m = pt_qmp_run(q, "query-migrate", NULL, PT_QEMU_ANSWER, error);
  const json_t *reasons = json_object_get(m, "blocked-reasons");

  if (!m || json_array_size(reasons) == 0)
    return m != NULL;
  const char *first = json_string_value(json_array_get(reasons, 0));
  g_autofree char *why = pt_text_safe(first ? first : "QEMU does not say why", 300);
  PT_SET(error, PT_ERR_UNSUPPORTED, "what it holds in memory cannot be saved: %s", why);
  pt_error_hint(error, "it runs on; let it stand still instead, with its memory kept: portena pause NAME");
  return false;
}

/* Whether a process of the machine has the file open. */
static bool
is_held(const PtHost *host, const char *id, const struct stat *file)
{
  g_autoptr(GArray) pids = pt_cgroup_pids(host, id, NULL);

  for (guint i = 0; pids && i < pids->len; i++) {
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)g_array_index(pids, pid_t, i));
    g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
    for (const char *name; d && (name = g_dir_read_name(d));) {
      g_autofree char *fd = g_build_filename(path, name, NULL);
      struct stat st;
      if (stat(fd, &st) == 0 && st.st_ino == file->st_ino && st.st_dev == file->st_dev)
        return true;
    }
  }
  return false;
}

/* It did not work out. A QEMU that is not its own master any more could go on writing into what it was given, name or no name, until the
 * node's disk is full: it has to close it. */
static bool
take_back(const PtHost *host, const char *id, PtQmp *q, const struct stat *file)
{
  pt_qmp_do(q, "migrate_cancel", NULL, PT_QEMU_ANSWER, NULL);
  pt_qmp_do(q, "remove-fd", json_pack("{s:i}", "fdset-id", PT_QEMU_FDSET), PT_QEMU_ANSWER, NULL);
  for (guint i = 0; i < LET_GO; i++, g_usleep(20000)) {
    if (!is_held(host, id, file))
      return true;
  }
  return false;
}

static bool
save(const PtHost *host, const char *id, PtQmp *q, gint64 most, struct stat *ret_file, GError **error)
{
  g_autofree char *part = saved_path(host, id, "memory.part");
  int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0 || fstat(fd, ret_file) < 0) {
    pt_error_errno(error, errno, "%s", part);
    if (fd >= 0)
      close(fd);
    return false;
  }
  bool ok = keep_plan(host, id, q, error) && pt_qemu_transfer(q, fd, PT_QEMU_WITH_MEMORY, error) &&
            pt_qmp_do(q, "stop", NULL, PT_QEMU_ANSWER, error) &&
            pt_qmp_do(q, "migrate", json_pack("{s:s}", "uri", PT_QEMU_FILE), PT_QEMU_ANSWER, error) &&
            pt_qemu_transferred(q, fd, most, error) && settle_file(host, id, fd, error);
  close(fd);
  return ok;
}

static bool
end_badly(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error)
{
  g_prefix_error(error, "QEMU was ended, as it keeps a file that it was to close: ");
  pt_container_stop(c, id, spec, image, 0, NULL, NULL);
  return false;
}

bool
pt_machine_hibernate(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, PtSleep *ret, GError **error)
{
  const PtHost *host = pt_containers_host(c);
  bool was = pt_cgroup_frozen(host, id);

  *ret = (PtSleep){ .durable = true };
  if (!pt_cgroup_storable(host, id, "it runs on; free space there, or pause it", &ret->freed, error) ||
      (was && !pt_container_pause(c, id, false, error)))
    return false;
  g_autoptr(PtQmp) q = pt_machine_qmp(c, id, PT_QEMU_ANSWER, error);
  struct stat file = { 0 };
  gint64 most = MAX(MAX(planned_memory(host, id), spec->memory), ret->freed) + BESIDE;
  bool asked = q && can_be_saved(q, error), ok = asked && save(host, id, q, most, &file, error);
  if (!ok) {
    pt_machine_forget(c, id, NULL);
    if (asked && !take_back(host, id, q, &file))
      return end_badly(c, id, spec, image, error);
    if (asked)
      pt_qmp_do(q, "cont", NULL, PT_QEMU_ANSWER, NULL); /* QEMU may be gone: then its end is what will be told */
    if (was)
      pt_container_pause(c, id, true, NULL);
    return false;
  }
  pt_qmp_do(q, "quit", NULL, PT_QEMU_ANSWER, NULL);
  return pt_container_stop(c, id, spec, image, 0, NULL, error);
}

/* ---- resume ---- */

static bool
status_is(json_t *answer, const char *status)
{
  return strcmp(pt_json_str(answer, "status", ""), status) == 0;
}

/* From here on nothing is saved any more. */
static bool
use_up(const PtHost *host, const char *id, GError **error)
{
  g_autofree char *dir = saved_path(host, id, NULL);
  int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  g_mutex_lock(&written.lock);
  bool ok = d >= 0 && (unlinkat(d, "memory.new", 0) == 0 || errno == ENOENT) && (unlinkat(d, "memory", 0) == 0 || errno == ENOENT);
  int err = errno;
  g_mutex_unlock(&written.lock);
  if (ok && fsync(d) < 0) {
    ok = false;
    err = errno;
  }
  if (!ok)
    pt_error_errno(error, err, "%s", dir);
  if (d >= 0)
    close(d);
  return ok;
}

/* What was saved; -1 and an error where it cannot be read. */
static int
open_saved(const PtHost *host, const char *id, GError **error)
{
  g_autofree char *path = saved_path(host, id, "memory"), *fresh = saved_path(host, id, "memory.new");
  int fd = open(fresh, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0) /* written out by now */
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    pt_error_errno(error, errno, "%s", path);
  return fd;
}

static gpointer
let_go(gpointer fd)
{
  g_usleep(IN_PEACE);
  close(GPOINTER_TO_INT(fd));
  return NULL;
}

/* The last one to close a large file that has no name any more waits for a file system that discards its blocks, half a second at times:
 * neither QEMU nor who waits for it is to be that one. */
static void
close_large(int fd)
{
  if (fd >= 0)
    g_thread_unref(g_thread_new("memory", let_go, GINT_TO_POINTER(fd)));
}

static bool
bring_in(PtQmp *q, int fd, GError **error)
{
  return fd >= 0 && pt_qemu_transfer(q, fd, PT_QEMU_WITH_MEMORY, error) &&
         pt_qmp_do(q, "migrate-incoming", json_pack("{s:s}", "uri", PT_QEMU_FILE), PT_QEMU_ANSWER, error);
}

/* QEMU waits for a memory, is at it, or stands still with one. */
static bool
go_on(const PtHost *host, const char *id, PtQmp *q, GError **error)
{
  g_autoptr(json_t) status = pt_qmp_run(q, "query-status", NULL, PT_QEMU_ANSWER, error);
  g_autoptr(json_t) transfer = status ? pt_qmp_run(q, "query-migrate", NULL, PT_QEMU_ANSWER, error) : NULL;
  bool waits = transfer && status_is(status, "inmigrate");
  bool begun = transfer && json_object_get(transfer, "status") && !status_is(transfer, "none");

  if (!transfer)
    return false;
  int fd = open_saved(host, id, waits && !begun ? error : NULL);
  bool ok = !waits || ((begun || bring_in(q, fd, error)) && pt_qemu_transferred(q, -1, 0, error));
  if (!waits && !status_is(status, "running") && (status_is(transfer, "active") || status_is(transfer, "setup")))
    pt_qmp_do(q, "migrate_cancel", NULL, PT_QEMU_ANSWER, NULL); /* a hibernation that was cut off */
  ok = ok && use_up(host, id, error) && pt_qmp_do(q, "cont", NULL, PT_QEMU_ANSWER, error);
  close_large(fd);
  return ok;
}

bool
pt_machine_wake(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error)
{
  const PtHost *host = pt_containers_host(c);
  g_autoptr(PtQmp) q = pt_machine_qmp(c, id, PT_QEMU_ANSWER, error);

  (void)spec;
  (void)image;
  if (!q || !go_on(host, id, q, error))
    return false;
  return pt_machine_forget(c, id, error);
}

/* Whether memory.new was made since the host started. */
static bool
of_this_boot(const PtHost *host, const char *id)
{
  g_autofree char *path = saved_path(host, id, "memory.plan"), *text = NULL, *boot = pt_boot_id();
  gsize size;

  if (!g_file_get_contents(path, &text, &size, NULL))
    return false;
  g_autoptr(json_t) json = pt_json_parse_object(text, size, NULL);
  return json && strcmp(pt_json_str(json, "boot", ""), boot) == 0;
}

bool
pt_machine_saved(PtContainers *c, const char *id)
{
  const PtHost *host = pt_containers_host(c);
  g_autofree char *path = saved_path(host, id, "memory"), *fresh = saved_path(host, id, "memory.new");

  return access(path, F_OK) == 0 || (access(fresh, F_OK) == 0 && of_this_boot(host, id));
}

/* memory.new of a killed predecessor. */
static void
write_left(const PtHost *host, const char *id)
{
  g_autofree char *dir = saved_path(host, id, NULL), *fresh = saved_path(host, id, "memory.new");
  Writing w = { .fd = open(fresh, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) };

  if (w.fd < 0)
    return;
  w.dir = of_this_boot(host, id) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (w.dir >= 0)
    begin_writing(g_memdup2(&w, sizeof w));
  else
    close(w.fd);
}

void
pt_machine_settle_left(PtContainers *c)
{
  const PtHost *host = pt_containers_host(c);
  g_autofree char *path = g_build_filename(host->state, "instances", NULL);
  g_autoptr(GDir) d = g_dir_open(path, 0, NULL);

  for (const char *id; d && (id = g_dir_read_name(d));)
    write_left(host, id);
}

bool
pt_machine_forget(PtContainers *c, const char *id, GError **error)
{
  static const char *const files[] = { "memory.part", "memory.new", "memory", "memory.plan" };

  for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *path = saved_path(pt_containers_host(c), id, files[i]);
    if (unlink(path) < 0 && errno != ENOENT) {
      pt_error_errno(error, errno, "%s", path);
      return false;
    }
  }
  return true;
}
