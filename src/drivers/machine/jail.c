// SPDX-License-Identifier: Apache-2.0
/* The jail of a machine: what QEMU may see of the node. Its tree is the node's /usr (QEMU, its firmware, the C library), read-only,
 * and the very files that belong to this machine. It is root of its own range of ids without a capability, so a QEMU that its
 * guest has taken over can do less than an app in a container. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/guest.h"
#include "drivers/machine/internal.h"
#include "drivers/machine/seed.h"
#include "sys/path.h"

/* What stands beside /usr: links into it where the two are one (file-hierarchy(7)), else directories of their own. */
static const char *const beside_usr[] = { "bin", "sbin", "lib", "lib32", "lib64", "libx32" };

/* Helpers that run inside, each bound alone: where they are installed is none of the jail's business. */
static const char *const helpers[] = { "portena-vmm", "portena-guestctl" };

typedef struct Tree {
  const PtContainerStart *start;
  const PtJail *jail;
  json_t *mounts;
} Tree;

static bool
place(const Tree *t, const char *path, bool directory, GError **error)
{
  uid_t owner = (uid_t)t->start->idbase;

  return directory ? pt_path_mkdir(t->jail->root, path, 0755, owner, owner, error)
                   : pt_path_write(t->jail->root, path, "", 0, 0444, owner, owner, error);
}

/* `source` of the node is seen at `target`. */
static bool
bind(const Tree *t, const char *source, const char *target, const char *options, GError **error)
{
  struct stat st;

  if (stat(source, &st) < 0) {
    pt_error_errno(error, errno, "%s", source);
    return false;
  }
  if (!place(t, target, S_ISDIR(st.st_mode), error))
    return false;
  pt_jail_mount(t->mounts, target, "bind", source, options);
  return true;
}

static bool
system_tree(const Tree *t, GError **error)
{
  uid_t owner = (uid_t)t->start->idbase;

  if (!bind(t, "/usr", "/usr", "rbind,ro,nosuid,nodev", error))
    return false;
  pt_jail_mount(t->mounts, "/usr/local", "tmpfs", "tmpfs", "ro,nosuid,nodev,noexec,size=4k"); /* an administrator's own */
  for (guint i = 0; i < G_N_ELEMENTS(beside_usr); i++) {
    char path[16], target[64];
    struct stat st;

    g_snprintf(path, sizeof path, "/%s", beside_usr[i]);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[MAX(n, 0)] = '\0';
    bool ok = n > 0                 ? pt_path_symlink(t->jail->root, path, target, owner, owner, error)
              : stat(path, &st) < 0 ? true
                                    : bind(t, path, path, "rbind,ro,nosuid,nodev", error);
    if (!ok)
      return false;
  }
  return true;
}

static bool
own_tree(const Tree *t, GError **error)
{
  static const char *const places[] = { "/dev", "/proc", "/run", "/run/host", PT_MACHINE_HELPERS };
  g_autofree char *vm = g_build_filename(t->jail->rootfs, "vm", NULL);
  uid_t owner = (uid_t)t->start->idbase;

  for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
    if (!place(t, places[i], true, error))
      return false;
  }
  pt_jail_mount(t->mounts, "/proc", "proc", "proc", "nosuid,noexec,nodev");
  pt_jail_mount(t->mounts, "/dev", "tmpfs", "tmpfs", "nosuid,noexec,mode=755,size=64k");
  pt_jail_mount(t->mounts, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
  for (guint i = 0; i < G_N_ELEMENTS(helpers); i++) {
    g_autofree char *source = g_build_filename(t->jail->host->libexec, helpers[i], NULL);
    g_autofree char *target = g_build_filename(PT_MACHINE_HELPERS, helpers[i], NULL);

    if (!bind(t, source, target, "bind,ro,nosuid,nodev", error))
      return false;
  }
  /* The one place that can be written to: sockets and locks. It is as small as the tree. */
  if (!pt_path_mkdir(t->jail->root, "/vm", 0700, owner, owner, error) || !bind(t, vm, "/vm", "bind,rw,nosuid,nodev,noexec", error))
    return false;
  for (int i = 1; i < PT_GUEST_PORTS; i++) {
    g_autofree char *lock = g_strdup_printf("/vm/port.%d.lock", i);
    if (!pt_path_write(t->jail->root, lock, "", 0, 0600, owner, owner, error))
      return false;
  }
  pt_jail_mount(t->mounts, "/run/host/notify", "bind", t->jail->notify, "bind,nosuid,nodev,noexec");
  return place(t, "/run/host/notify", false, error);
}

/* A place for each data volume that there can be, and those that there are. */
static bool
disks_tree(const Tree *t, GError **error)
{
  const GArray *disks = t->start->disks;

  for (guint i = 0; i < PT_DISKS_MAX; i++) {
    g_autofree char *path = g_strdup_printf(PT_MACHINE_DISK, i);
    if (!place(t, path, false, error))
      return false;
  }
  for (guint i = 0; disks && i < disks->len; i++) {
    const PtDiskSource *d = &g_array_index(disks, PtDiskSource, i);
    g_autofree char *path = g_strdup_printf(PT_MACHINE_DISK, (guint)d->disk->slot);
    pt_jail_mount(t->mounts, path, "bind", d->source, d->disk->read_only ? "bind,ro,nosuid,nodev,noexec" : "bind,rw,nosuid,nodev,noexec");
  }
  return true;
}

static bool
memory(const Tree *t, GError **error)
{
  const PtContainerStart *s = t->start;
  g_autofree char *path = s->template_dir ? g_build_filename(s->template_dir, "memory", NULL) : NULL;

  return !path || bind(t, path, PT_MACHINE_MEMORY, s->template_make ? "bind,rw,nosuid,nodev,noexec" : "bind,ro,nosuid,nodev,noexec", error);
}

static bool
micro_tree(const Tree *t, GError **error)
{
  return bind(t, t->start->image_file, PT_MACHINE_IMAGE, "bind,ro,nosuid,nodev,noexec", error) &&
         bind(t, t->start->kernel, PT_MACHINE_KERNEL, "bind,ro,nosuid,nodev,noexec", error) &&
         pt_machine_initrd(t->start, t->jail, PT_MACHINE_INITRD, error) && memory(t, error);
}

/* A new file owned by the jail's root, once; what is there is the guest's by now. */
static bool
keep_vars(const Tree *t, const PtMachinePlan *plan, int dir, GError **error)
{
  uid_t owner = (uid_t)t->start->idbase;
  const char *name = pt_machine_vars(plan);
  g_autofree char *text = NULL;
  struct stat st;
  gsize size;

  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    return true;
  return g_file_get_contents(plan->vars, &text, &size, error) && pt_path_write(dir, name, text, size, 0600, owner, owner, error);
}

/* What survives a stop beside the volume. */
static bool
kept_tree(const Tree *t, const PtMachinePlan *plan, GError **error)
{
  g_autofree char *own = g_build_filename(t->jail->host->state, "instances", t->start->spec->id, NULL);
  g_autofree char *kept = g_build_filename(own, "machine", NULL);
  uid_t owner = (uid_t)t->start->idbase;
  int dir = open(own, O_PATH | O_DIRECTORY | O_CLOEXEC);
  bool ok = dir >= 0 && pt_path_mkdir(dir, "machine", 0700, owner, owner, error) &&
            (!plan->tpm || pt_path_mkdir(dir, "machine/tpm", 0700, owner, owner, error));
  if (dir >= 0)
    close(dir);
  else
    pt_error_errno(error, errno, "%s", own);
  dir = ok ? open(kept, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
  ok = dir >= 0 && (!plan->code || keep_vars(t, plan, dir, error));
  if (dir >= 0)
    close(dir);
  return ok && bind(t, kept, PT_MACHINE_KEPT, "bind,rw,nosuid,nodev,noexec", error);
}

static bool
seed_tree(const Tree *t, GError **error)
{
  g_autofree char *dir = g_path_get_dirname(t->jail->notify), *seed = pt_seed_make(t->start->spec, t->start->prefix6, dir, error);

  if (!seed)
    return false;
  if (chown(seed, (uid_t)t->start->idbase, (gid_t)t->start->idbase) == 0) /* in a directory that nobody else writes to */
    return bind(t, seed, PT_MACHINE_SEED, "bind,ro,nosuid,nodev,noexec", error);
  pt_error_errno(error, errno, "%s", seed);
  return false;
}

static bool
pc_tree(const Tree *t, const PtMachinePlan *plan, GError **error)
{
  uid_t owner = (uid_t)t->start->idbase;

  return pt_path_write(t->jail->root, "/" PT_MACHINE_AGENT_LOCK, "", 0, 0600, owner, owner, error) && kept_tree(t, plan, error) &&
         (!plan->seed || seed_tree(t, error)) &&
         (!plan->iso || bind(t, t->start->iso_file, PT_MACHINE_ISO, "bind,ro,nosuid,nodev,noexec", error));
}

/* The node's own /dev/kvm is often for one group alone: the jail gets a node of its own. */
static bool
kvm_device(const Tree *t, json_t *linux_json, GError **error)
{
  g_autofree char *path = g_build_filename(t->jail->rootfs, "kvm", NULL);
  uid_t owner = (uid_t)t->start->idbase;
  struct stat st;

  if (stat("/dev/kvm", &st) < 0 || mknod(path, S_IFCHR | 0600, st.st_rdev) < 0 || lchown(path, owner, owner) < 0) {
    pt_error_errno(error, errno, "/dev/kvm");
    return false;
  }
  pt_jail_mount(t->mounts, "/dev/kvm", "bind", path, "bind,rw,nosuid,noexec");
  json_array_append_new(json_object_get(json_object_get(linux_json, "resources"), "devices"),
                        json_pack("{s:b, s:s, s:s, s:i, s:i}", "allow", 1, "type", "c", "access", "rwm", "major",
                                  (int)major(st.st_rdev), "minor", (int)minor(st.st_rdev)));
  return true;
}

static json_t *
first_process(const PtMachinePlan *plan)
{
  g_auto(GStrv) qemu = pt_machine_args(plan);
  g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);

  g_ptr_array_add(args, g_strdup(PT_MACHINE_HELPERS "/portena-vmm"));
  if (plan->pc)
    g_ptr_array_add(args, g_strdup("--ready=qmp"));
  else
    g_ptr_array_add(args, g_strdup_printf("--agent=%d", PT_MACHINE_AGENT_FD));
  if (plan->tpm)
    g_ptr_array_add(args, g_strdup("--tpm=" PT_MACHINE_KEPT "/tpm"));
  g_ptr_array_add(args, g_strdup_printf("--qmp=%d", PT_MACHINE_QMP_FD));
  g_ptr_array_add(args, g_strdup("--"));
  for (char **q = qemu; *q; q++)
    g_ptr_array_add(args, g_strdup(*q));
  g_ptr_array_add(args, NULL);
  return pt_jail_process((const char *const *)args->pdata, NULL, true);
}

json_t *
pt_machine_describe(const PtContainerStart *start, const PtJail *jail, GError **error)
{
  g_autoptr(json_t) mounts = json_array();
  const Tree t = { start, jail, mounts };
  g_auto(PtMachinePlan) plan = { 0 };

  if (!pt_machine_plan(start, jail->host, &plan, error) || !pt_machine_plan_write(&plan, jail->host, error))
    return NULL;
  const char *u = jail->uuid;
  g_snprintf(plan.uuid, sizeof plan.uuid, "%.8s-%.4s-%.4s-%.4s-%.12s", u, u + 8, u + 12, u + 16, u + 20);
  if (!system_tree(&t, error) || !own_tree(&t, error) ||
      !bind(&t, start->volume_file, PT_MACHINE_VOLUME, "bind,rw,nosuid,nodev,noexec", error) ||
      !disks_tree(&t, error) || !pt_machine_disks_fit(start->spec, plan.emulated, error) ||
      !(plan.pc ? pc_tree(&t, &plan, error) : micro_tree(&t, error)))
    return NULL;
  g_autoptr(json_t) l = pt_jail_linux(jail->host, start);
  json_object_set_new(l, "seccomp", pt_jail_seccomp());
  pt_jail_device(l, "/dev/net/tun");
  if (plan.kvm && !kvm_device(&t, l, error))
    return NULL;
  json_t *config = json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:O, s:O}", "ociVersion", "1.0.0", "process", first_process(&plan), "root",
                             "path", jail->rootfs, "readonly", 1, "hostname", start->spec->name, "mounts", mounts, "linux", l);
  if (!config)
    PT_SET(error, PT_ERR_INVALID, "a path, argument or variable of it is not UTF-8");
  return config;
}
