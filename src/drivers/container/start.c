// SPDX-License-Identifier: Apache-2.0
/* From nothing to a running first process:
 *
 *   group -> tree mounted, files written -> config.json -> monitor (create) -> CREATED -> limits -> plug -> START -> OK
 *
 * Nothing of the guest runs before OK. A failure at any point, and the death of this daemon, end with the monitor gone: it watches
 * the other end of its descriptor 3. What is left then is swept away by pt_container_clear(). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/error.h"
#include "base/wireio.h"
#include "drivers/container/checkpoint.h"
#include "sys/arch.h"
#include "sys/cgroup.h"
#include "sys/process.h"

#define ANSWER_MSEC 60000
#define RESTORE_MSEC 600000 /* all that it held is read again */

G_STATIC_ASSERT((int)PT_WIRE_ERR_NOT_FOUND == (int)PT_ERR_NOT_FOUND);
G_STATIC_ASSERT((int)PT_WIRE_ERR_CONFLICT == (int)PT_ERR_CONFLICT);
G_STATIC_ASSERT((int)PT_WIRE_ERR_TOO_LARGE == (int)PT_ERR_TOO_LARGE);
G_STATIC_ASSERT((int)PT_WIRE_ERR_INTERNAL == (int)PT_ERR_INTERNAL);
G_STATIC_ASSERT((int)PT_WIRE_ERR_UNSUPPORTED == (int)PT_ERR_UNSUPPORTED);

static void
limits_of(const PtInstance *spec, guint64 device, PtCgroupLimits *ret)
{
  *ret = (PtCgroupLimits){ .cpu = spec->cpu,
                           .memory = spec->memory,
                           .pids = spec->pids > 0 ? spec->pids : 8192,
                           .io_read = spec->io_read,
                           .io_write = spec->io_write,
                           .device = device,
                           .weight = spec->priority > 0 ? spec->priority : 100 };
}

bool
pt_container_limits(PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  PtContainerMeta meta;
  PtCgroupLimits limits;

  if (!pt_ct_meta_read(c, id, &meta, error))
    return false;
  limits_of(spec, meta.device, &limits);
  return pt_cgroup_limit(c->host, id, &limits, error) && pt_ct_disks_limit(c, id, spec, error);
}

static bool
make_dirs(const PtContainers *c, const char *id, GError **error)
{
  g_autofree char *dir = pt_ct_dir(c, id, NULL), *bundle = pt_ct_dir(c, id, "bundle");
  g_autofree char *log = pt_ct_log(c, id), *instance = g_path_get_dirname(log);

  return pt_dir_make(dir, 0711, error) && pt_dir_make(bundle, 0700, error) && pt_dir_make(instance, 0700, error);
}

/* A container's own description. */
static json_t *
describe(const PtContainerStart *start, const PtJail *jail, bool systemd, const char *rule, GError **error)
{
  const char *who = start->spec->user ? start->spec->user : start->spec->init == PT_INIT_APP ? start->image->user : NULL;
  g_auto(PtGuestUser) user = { 0 };

  if (!pt_guest_user(jail->root, start->spec->init == PT_INIT_SYSTEM ? NULL : who, &user, error))
    return NULL;
  return pt_config_build(&(PtConfigInput){ jail->host, start, jail->rootfs, systemd ? jail->notify : NULL, jail->uuid, &user, rule },
                         error);
}

static bool
write_config(const PtContainers *c, const PtContainerStart *start, int root, const char *uuid, bool systemd, const char *rule,
             GError **error)
{
  const char *id = start->spec->id;
  g_autofree char *rootfs = pt_ct_root(c, id), *notify = pt_ct_dir(c, id, "notify.sock");
  g_autofree char *path = pt_ct_dir(c, id, "bundle/config.json");
  const PtJail jail = { c->host, rootfs, root, notify, uuid };
  g_autoptr(json_t) json =
    start->describe ? start->describe(start, &jail, error) : describe(start, &jail, systemd, rule, error);

  if (!json)
    return false;
  g_autofree char *text = pt_json_dump(json);
  return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, error);
}

/* All that must be there before the monitor is started. */
static bool
prepare(const PtContainers *c, const PtContainerStart *start, const char *rule, GError **error)
{
  const char *id = start->spec->id;
  g_autofree char *rootfs = pt_ct_root(c, id), *uuid = pt_ct_uuid(id), *ready = pt_ct_dir(c, id, "ready");
  PtContainerMeta meta = { .idbase = start->idbase };
  struct stat st;

  if (!make_dirs(c, id, error) || !pt_cgroup_make(c->host, id, error) ||
      !(start->bare ? pt_ct_mount_bare(c, start, error) : pt_ct_mount(c, start, error)))
    return false;
  bool system = start->spec->init == PT_INIT_SYSTEM && !start->describe;
  if (system && !pt_cgroup_delegate(c->host, id, (uid_t)start->idbase, error))
    return false;
  const char *volume = start->volume ? start->volume : start->volume_file;
  if (volume && stat(volume, &st) == 0)
    meta.device = st.st_dev;
  int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) {
    pt_error_errno(error, errno, "%s", rootfs);
    return false;
  }
  meta.systemd = system && pt_ct_is_systemd(root);
  bool ok = (start->bare || pt_ct_write_files(start, root, uuid, error)) && write_config(c, start, root, uuid, meta.systemd, rule, error);
  close(root);
  /* An init that does not say when it is up, is up. */
  if (ok && !meta.systemd && system)
    ok = g_file_set_contents(ready, "", 0, error);
  return ok && pt_ct_meta_write(c, id, &meta, error);
}

/* CRIU gives a group that it makes the state which the old one had when it was saved, and that was frozen; one that is there it leaves
 * alone. */
static bool
make_freezer(const PtHost *host, const char *id, GError **error)
{
  g_autofree char *all = g_build_filename(host->cgroup1, "freezer", NULL), *ours = g_build_filename(all, host->cgroup, id, NULL);

  return host->cgroup_kind != PT_CGROUP_V1 || access(all, F_OK) < 0 || pt_dir_make(ours, 0755, error);
}

/* The same for one that goes on: all its files are as it left them. */
static bool
prepare_resume(const PtContainers *c, const PtContainerStart *start, PtResume *r, GError **error)
{
  const char *id = start->spec->id;
  PtContainerMeta meta = { .idbase = start->idbase };
  struct stat st;

  if (!pt_ct_resume_check(c, start, r, error) || !make_dirs(c, id, error) || !pt_cgroup_make(c->host, id, error) ||
      !make_freezer(c->host, id, error) || !pt_ct_mount(c, start, error) ||
      (start->spec->init == PT_INIT_SYSTEM && !pt_cgroup_delegate(c->host, id, (uid_t)start->idbase, error)))
    return false;
  if (stat(start->volume, &st) == 0)
    meta.device = st.st_dev;
  meta.systemd = r->systemd;
  return pt_ct_resume_prepare(c, start, r, error) && pt_ct_meta_write(c, id, &meta, error);
}

/* The other end of the monitor's descriptor 3, or -1. `r` may be NULL. */
static int
spawn_monitor(const PtContainers *c, const char *id, const PtResume *r, GError **error)
{
  g_autofree char *dir = pt_ct_dir(c, id, NULL), *log = pt_ct_log(c, id);
  g_autofree char *leaf = g_build_filename(c->host->cgroup2, c->host->cgroup, id, "cgroup.procs", NULL);
  const char *const argv[] = { c->monitor,   dir, id, log, c->host->cgroup_kind == PT_CGROUP_V1 ? leaf : "-", c->crun, "--root",
                               c->crun_root, "--cgroup-manager=cgroupfs", NULL };
  int pair[2], status = 0;

  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
    pt_error_errno(error, errno, "monitor");
    return -1;
  }
  const int fds[] = { -1, -1, -1, pair[1], r ? r->pty : -1, r ? r->tty : -1 };
  pid_t pid = pt_spawn(&(PtSpawn){ .argv = argv, .fds = fds, .n_fds = r ? 6 : 4, .outlive = true }, error);
  close(pair[1]);
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (pid < 0 || status != 0) {
    if (pid > 0)
      PT_SET(error, PT_ERR_INTERNAL, "the monitor did not start");
    close(pair[0]);
    return -1;
  }
  return pair[0];
}

/* Waits for a message of `type`. What the monitor says instead is the error. */
static bool
expect(int sock, guint32 type, int wait_msec, guint32 *ret_a, GError **error)
{
  g_auto(PtWireMsg) msg = { 0 };
  struct pollfd p = { .fd = sock, .events = POLLIN };
  int n;

  while ((n = poll(&p, 1, wait_msec)) < 0 && errno == EINTR)
    ;
  if (n == 0) {
    PT_SET(error, PT_ERR_TIMEOUT, "the runtime did not answer within %d s", wait_msec / 1000);
    return false;
  }
  n = pt_wire_recv(sock, &msg, error);
  if (n < 0)
    return false;
  if (n == 1 && msg.head.type == type) {
    *ret_a = msg.head.a;
    return true;
  }
  if (n == 1 && msg.head.type == PT_WIRE_ERROR) {
    bool absent = strstr(msg.text, "not found in $PATH") || strstr(msg.text, "No such file");

    PT_SET(error, absent ? PT_ERR_INVALID : PT_ERR_INTERNAL, "%s", msg.text);
  } else {
    PT_SET(error, PT_ERR_INTERNAL, "the monitor ended without a word");
  }
  return false;
}

/* One whose root is bare opens files, which are in its description. */
static bool
mount_disks(const PtContainers *c, const PtContainerStart *start, pid_t pid, GError **error)
{
  for (guint i = 0; start->disks && !start->bare && i < start->disks->len; i++) {
    const PtDiskSource *d = &g_array_index(start->disks, PtDiskSource, i);
    if (!pt_ct_disk(c, pid, start->spec, start->idbase, d->disk, d->source, error))
      return false;
  }
  return true;
}

static bool
give_groups(const PtContainers *c, const PtContainerStart *start, GError **error)
{
  return start->spec->init != PT_INIT_SYSTEM || pt_cgroup_own_below(c->host, start->spec->id, (uid_t)start->idbase, error);
}

/* CRIU has made its namespaces and groups, and goes on to open what its processes had open, by the guest's ids: its init has files of
 * its groups open (memory.pressure). */
static bool
give_back(const PtContainers *c, const PtContainerStart *start, pid_t pid, GError **error)
{
  return pt_ct_resume_made(c, start, pid, error) && give_groups(c, start, error);
}

/* All of one that goes on is there, and nothing of it runs: what was saved of it is used up by that. */
static bool
let_go_on(PtContainers *c, const PtContainerStart *start, int sock, GError **error)
{
  guint32 pid = 0;

  return expect(sock, PT_WIRE_RESTORED, RESTORE_MSEC, &pid, error) &&
         pt_ct_saved_remove(c, start->spec->id, PT_CK_USED, error) &&
         pt_ct_saved_rename(c, start->spec->id, PT_CK_WHOLE, PT_CK_USED, error) &&
         pt_wire_send(sock, PT_WIRE_START, 0, 0, NULL, NULL, 0, error);
}

static bool
bring_up(PtContainers *c, const PtContainerStart *start, const char *rule, const PtResume *r, GError **error)
{
  guint32 pid = 0;

  if (start->ret_ready)
    *start->ret_ready = -1;
  int sock = spawn_monitor(c, start->spec->id, r, error);

  if (sock < 0)
    return false;
  /* Limits come after the runtime's own settings: on v1 it takes a group's memory limit away when it enters the group. */
  const PtInstance *limits = start->limits ? start->limits : start->spec;
  bool ok = expect(sock, PT_WIRE_CREATED, ANSWER_MSEC, &pid, error) && pt_container_limits(c, start->spec->id, limits, error) &&
            (!rule || pt_foreign_enter((pid_t)pid, rule, error)) && mount_disks(c, start, (pid_t)pid, error) &&
            (!r || give_back(c, start, (pid_t)pid, error)) &&
            (!start->plug || start->plug((pid_t)pid, start->plug_data, error)) &&
            pt_wire_send(sock, PT_WIRE_START, 0, 0, NULL, NULL, 0, error) && (!r || let_go_on(c, start, sock, error)) &&
            expect(sock, PT_WIRE_OK, ANSWER_MSEC, &pid, error);
  if (ok && start->ret_ready && pt_instance_announces(start->spec))
    *start->ret_ready = sock; /* the monitor closes its end when the guest is up */
  else
    close(sock); /* not running yet: this is what ends the monitor */
  return ok;
}

static bool
resume(PtContainers *c, const PtContainerStart *start, GError **error)
{
  g_auto(PtResume) r = { 0 };
  g_autoptr(GError) err = NULL;

  if (prepare_resume(c, start, &r, error) && bring_up(c, start, NULL, &r, &err)) {
    pt_container_forget(c, start->spec->id, NULL); /* used up already: only its place on the disk */
    return true;
  }
  if (!err)
    return false;
  g_autofree char *why = pt_ct_criu_reason(err->message);
  bool saved = pt_container_saved(c, start->spec->id);
  PT_SET(error, pt_error_code(err), "it could not go on from what was saved of it: %s", why);
  pt_error_hint(error, saved ? "its disk is whole; give up what it held in memory:  portena stop %s && portena start %s"
                             : "its disk is whole, but what it held in memory is lost; start it again:  portena start %.0s%s",
                start->spec->name, start->spec->name);
  return false;
}

bool
pt_container_start(PtContainers *c, const PtContainerStart *start, GError **error)
{
  const char *id = start->spec->id;
  g_autofree char *rule = NULL;
  PtContainerState state;

  if (pt_container_state(c, id, &state, NULL) && state.running) {
    PT_SET(error, PT_ERR_CONFLICT, "instance %s: runs already", start->spec->name);
    return false;
  }
  pt_ct_abandon(c, id); /* of the run before; its exit status has been read by now */
  /* A jail of another kind runs the node's own programs. */
  if (start->resume && !start->describe
        ? resume(c, start, error)
        : (start->describe || pt_foreign_rule(start->image->arch, &rule, error)) && prepare(c, start, rule, error) &&
            bring_up(c, start, rule, NULL, error))
    return true;
  pt_ct_abandon(c, id);
  g_prefix_error(error, "instance %s: ", start->spec->name);
  return false;
}
