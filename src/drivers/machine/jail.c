// SPDX-License-Identifier: Apache-2.0
/* The jail of a machine: what QEMU may see of the node. Its tree is the node's /usr (QEMU, its firmware, the C library), read-only,
 * and the very files that belong to this machine. It is root of its own range of ids without a capability, so a QEMU that its
 * guest has taken over can do less than an app in a container. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/guest.h"
#include "drivers/machine/internal.h"
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

static bool
machine_tree(const Tree *t, GError **error)
{
  return bind(t, t->start->image_file, PT_MACHINE_IMAGE, "bind,ro,nosuid,nodev,noexec", error) &&
         bind(t, t->start->volume_file, PT_MACHINE_VOLUME, "bind,rw,nosuid,nodev,noexec", error) &&
         bind(t, t->start->kernel, PT_MACHINE_KERNEL, "bind,ro,nosuid,nodev,noexec", error) &&
         pt_machine_initrd(t->start, t->jail, PT_MACHINE_INITRD, error);
}

static json_t *
first_process(const PtMachinePlan *plan)
{
  g_auto(GStrv) qemu = pt_machine_args(plan);
  g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);

  g_ptr_array_add(args, g_strdup(PT_MACHINE_HELPERS "/portena-vmm"));
  g_ptr_array_add(args, g_strdup_printf("--agent=%d", PT_MACHINE_AGENT_FD));
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
  if (!system_tree(&t, error) || !own_tree(&t, error) || !machine_tree(&t, error))
    return NULL;
  json_t *l = pt_jail_linux(jail->host, start);
  json_object_set_new(l, "seccomp", pt_jail_seccomp());
  pt_jail_device(l, "/dev/net/tun");
  if (plan.kvm)
    pt_jail_device(l, "/dev/kvm");
  json_t *config = json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:O, s:o}", "ociVersion", "1.0.0", "process", first_process(&plan), "root",
                             "path", jail->rootfs, "readonly", 1, "hostname", start->spec->name, "mounts", mounts, "linux", l);
  if (!config)
    PT_SET(error, PT_ERR_INVALID, "a path, argument or variable of it is not UTF-8");
  return config;
}
