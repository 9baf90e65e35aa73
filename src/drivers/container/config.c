// SPDX-License-Identifier: Apache-2.0
/* The OCI description of a container. Every guest has a user namespace with a range of its own, so its root is nobody on the
 * node; capabilities below are those over its own namespaces. A system guest (its own init) manages mounts, devices and
 * groups inside; an app gets what a program needs and no more, and can gain nothing by executing something. */
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "drivers/container/internal.h"
#include "sys/arch.h"

static const char *const app_caps[] = { "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
                                        "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
                                        "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE", NULL };
static const char *const system_caps[] = { "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_NET_BROADCAST", "CAP_SYS_ADMIN",
                                           "CAP_SYS_PTRACE", "CAP_IPC_OWNER", "CAP_IPC_LOCK", "CAP_LINUX_IMMUTABLE", "CAP_LEASE",
                                           "CAP_SYS_NICE", "CAP_SYS_BOOT", "CAP_SYS_TTY_CONFIG", NULL };

const char *const pt_config_masked[] = { "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                      "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/proc/interrupts",
                                      "/sys/firmware", "/sys/devices/virtual/powercap", NULL };
static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL };

static const struct {
  int major, minor; /* -1 = all */
} devices[] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 }, { 1, 9 }, { 5, 0 }, { 5, 1 }, { 5, 2 }, { 136, -1 } };

/* Given to system guests where the node has them: both act within the guest's own namespaces. */
static const char *const extra_devices[] = { "/dev/fuse", "/dev/net/tun" };

static json_t *
strings(const char *const *list)
{
  json_t *a = json_array();

  for (; list && *list; list++)
    json_array_append_new(a, json_string(*list));
  return a;
}

static json_t *
capabilities(bool system, const PtGuestUser *user)
{
  json_t *all = strings(app_caps);

  for (const char *const *c = system_caps; system && *c; c++)
    json_array_append_new(all, json_string(*c));
  json_t *mine = user->uid == 0 ? json_incref(all) : json_array();
  return json_pack("{s:o, s:O, s:o}", "bounding", all, "effective", mine, "permitted", mine);
}

GHashTable *
pt_config_env(const PtInstance *spec, const PtImage *image, const PtGuestUser *user)
{
  GHashTable *env = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  GHashTable *const layers[] = { image->env, spec->env };
  GHashTableIter it;
  gpointer key, value;

  g_hash_table_insert(env, g_strdup("PATH"), g_strdup("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
  g_hash_table_insert(env, g_strdup("HOME"), g_strdup(user->home));
  g_hash_table_insert(env, g_strdup("TERM"), g_strdup("xterm-256color"));
  if (user->name)
    g_hash_table_insert(env, g_strdup("USER"), g_strdup(user->name));
  for (guint i = 0; i < G_N_ELEMENTS(layers); i++) {
    if (!layers[i])
      continue;
    g_hash_table_iter_init(&it, layers[i]);
    while (g_hash_table_iter_next(&it, &key, &value))
      g_hash_table_insert(env, g_strdup(key), g_strdup(value));
  }
  return env;
}

json_t *
pt_config_env_json(GHashTable *env)
{
  json_t *a = json_array();
  GHashTableIter it;
  gpointer key, value;

  g_hash_table_iter_init(&it, env);
  while (g_hash_table_iter_next(&it, &key, &value)) {
    g_autofree char *line = g_strconcat(key, "=", value, NULL);
    json_array_append_new(a, json_string(line));
  }
  return a;
}

static json_t *
process_json(bool system, const PtGuestUser *user, json_t *args, GHashTable *env, const char *cwd, bool tty)
{
  json_t *groups = json_array();

  for (guint i = 0; user->groups && i < user->groups->len; i++)
    json_array_append_new(groups, json_integer(g_array_index(user->groups, guint32, i)));
  return json_pack("{s:b, s:{s:I, s:I, s:o}, s:o, s:o, s:s, s:b, s:o}", "terminal", tty, "user", "uid", (json_int_t)user->uid, "gid",
                   (json_int_t)user->gid, "additionalGids", groups, "args", args, "env", pt_config_env_json(env), "cwd", cwd,
                   "noNewPrivileges", !system, "capabilities", capabilities(system, user));
}

json_t *
pt_config_exec(const PtInstance *spec, const PtGuestUser *user, char *const *args, GHashTable *env, const char *cwd, bool tty,
               guint cols, guint rows)
{
  json_t *p =
    process_json(spec->init == PT_INIT_SYSTEM, user, strings((const char *const *)args), env, cwd, tty);

  if (p && spec->kind == PT_KIND_PROCESS) /* what runs beside a process may no more than it */
    json_object_set_new(p, "capabilities", json_pack("{s:[], s:[], s:[]}", "bounding", "effective", "permitted"));
  if (p && tty && cols && rows)
    json_object_set_new(p, "consoleSize", json_pack("{s:i, s:i}", "width", (int)cols, "height", (int)rows));
  return p;
}

void
pt_jail_mount(json_t *list, const char *to, const char *type, const char *source, const char *options)
{
  g_auto(GStrv) split = g_strsplit(options, ",", -1);

  json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "destination", to, "type", type, "source", source, "options",
                                        strings((const char *const *)split)));
}

static json_t *
mounts(const PtConfigInput *in)
{
  const PtInstance *spec = in->start->spec;
  json_t *l = json_array();
  bool system = spec->init == PT_INIT_SYSTEM;

  pt_jail_mount(l, "/proc", "proc", "proc", "nosuid,noexec,nodev");
  pt_jail_mount(l, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
  /* max: of the node's kernel.pty.max (4096), one guest must not take what the others need */
  pt_jail_mount(l, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5,max=256");
  pt_jail_mount(l, "/dev/shm", "tmpfs", "shm", "nosuid,nodev,mode=1777");
  pt_jail_mount(l, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
  pt_jail_mount(l, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro");
  pt_jail_mount(l, "/sys/fs/cgroup", "cgroup2", "cgroup2", system ? "rw,nosuid,nodev,noexec" : "ro,nosuid,nodev,noexec");
  if (in->rule) /* written into when the container is there, and nothing runs in it yet: start.c */
    pt_jail_mount(l, PT_FOREIGN_DIR, "binfmt_misc", "binfmt_misc", "rw,nosuid,nodev,noexec");
  if (!system)
    return l;
  /* Their pages count as the guest's memory; the sizes only keep a runaway log from taking all of it. */
  g_autofree char *run = g_strdup_printf("nosuid,nodev,mode=755,size=%" G_GINT64_FORMAT "k",
                                         spec->memory ? MAX(spec->memory / 4 / 1024, 16384) : 524288);
  g_autofree char *tmp = g_strdup_printf("nosuid,nodev,mode=1777,size=%" G_GINT64_FORMAT "k",
                                         spec->memory ? MAX(spec->memory / 2 / 1024, 16384) : 2097152);
  pt_jail_mount(l, "/run", "tmpfs", "tmpfs", run);
  pt_jail_mount(l, "/run/lock", "tmpfs", "tmpfs", "nosuid,nodev,noexec,mode=1777,size=5120k");
  pt_jail_mount(l, "/tmp", "tmpfs", "tmpfs", tmp);
  if (in->notify)
    pt_jail_mount(l, "/run/host/notify", "bind", in->notify, "bind,nosuid,nodev,noexec");
  return l;
}

static json_t *
device_rule(bool allow, int dev_major, int dev_minor)
{
  json_t *r = json_pack("{s:b, s:s, s:s, s:i}", "allow", allow, "type", "c", "access", "rwm", "major", dev_major);

  if (dev_minor >= 0)
    json_object_set_new(r, "minor", json_integer(dev_minor));
  return r;
}

void
pt_jail_device(json_t *linux_json, const char *path)
{
  json_t *nodes = json_object_get(linux_json, "devices"), *rules = json_object_get(json_object_get(linux_json, "resources"), "devices");
  struct stat st;

  if (stat(path, &st) < 0 || !S_ISCHR(st.st_mode))
    return;
  json_array_append_new(rules, device_rule(true, (int)major(st.st_rdev), (int)minor(st.st_rdev)));
  json_array_append_new(nodes, json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i}", "path", path, "type", "c", "major", (int)major(st.st_rdev),
                                         "minor", (int)minor(st.st_rdev), "fileMode", 0666, "uid", 0, "gid", 0));
}

static void
add_devices(json_t *linux_json, bool system)
{
  json_t *rules = json_array();

  json_array_append_new(rules, json_pack("{s:b, s:s}", "allow", 0, "access", "rwm"));
  for (guint i = 0; i < G_N_ELEMENTS(devices); i++)
    json_array_append_new(rules, device_rule(true, devices[i].major, devices[i].minor));
  json_object_set_new(linux_json, "devices", json_array());
  json_object_set_new(linux_json, "resources", json_pack("{s:o}", "devices", rules));
  for (guint i = 0; system && i < G_N_ELEMENTS(extra_devices); i++)
    pt_jail_device(linux_json, extra_devices[i]);
}

static json_t *
confines(const PtHost *host, const PtContainerStart *start, bool system)
{
  static const char *const types[] = { "pid", "mount", "uts", "ipc", "cgroup", "network", "user" };
  g_autofree char *group = g_strdup_printf("/%s/%s", host->cgroup, start->spec->id);
  json_t *namespaces = json_array();
  json_t *map = json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID", (json_int_t)start->idbase, "size", PT_GUEST_IDS);

  for (guint i = 0; i < G_N_ELEMENTS(types); i++)
    json_array_append_new(namespaces, json_pack("{s:s}", "type", types[i]));
  return json_pack("{s:s, s:o, s:O, s:o, s:o, s:o}", "cgroupsPath", group, "namespaces", namespaces, "uidMappings", map,
                   "gidMappings", map, "maskedPaths", strings(system ? NULL : pt_config_masked), "readonlyPaths",
                   strings(system ? NULL : readonly));
}

json_t *
pt_jail_linux(const PtHost *host, const PtContainerStart *start)
{
  json_t *l = confines(host, start, false);

  add_devices(l, false);
  return l;
}

static json_t *
linux_json(const PtConfigInput *in, bool system)
{
  json_t *l = confines(in->host, in->start, system);

  json_object_set_new(l, "seccomp", pt_config_seccomp(system));
  if (!system)
    json_object_set_new(l, "sysctl", json_pack("{s:s, s:s}", "net.ipv4.ip_unprivileged_port_start", "0", "net.ipv4.ping_group_range",
                                               "0 65535"));
  add_devices(l, system);
  return l;
}

static json_t *
args_json(const PtInstance *spec, const PtImage *image, GError **error)
{
  static const char *const init[] = { "/sbin/init", NULL };
  const char *const *args = (const char *const *)spec->command;

  if (!args || !*args)
    args = (const char *const *)image->command;
  if ((!args || !*args) && spec->init == PT_INIT_SYSTEM)
    args = init;
  if (args && *args)
    return strings(args);
  PT_SET(error, PT_ERR_INVALID, "instance %s: neither it nor its image says which command to run", spec->name);
  pt_error_hint(error, "give one: portena set %s command=/path/to/program", spec->name);
  return NULL;
}

json_t *
pt_config_build(const PtConfigInput *in, GError **error)
{
  const PtInstance *spec = in->start->spec;
  const PtImage *image = in->start->image;
  bool system = spec->init == PT_INIT_SYSTEM;
  json_t *args = args_json(spec, image, error);

  if (!args)
    return NULL;
  g_autoptr(GHashTable) env = pt_config_env(spec, image, in->user);
  if (system) {
    g_hash_table_insert(env, g_strdup("container"), g_strdup("oci"));
    g_hash_table_insert(env, g_strdup("container_uuid"), g_strdup(in->uuid));
    if (in->notify)
      g_hash_table_insert(env, g_strdup("NOTIFY_SOCKET"), g_strdup("/run/host/notify"));
  }
  const char *cwd = spec->cwd ? spec->cwd : !system && image->cwd && *image->cwd ? image->cwd : "/";
  json_t *process = process_json(system, in->user, args, env, cwd, true);
  json_t *config = process ? json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.0", "process", process, "root",
                                       "path", in->root, "readonly", 0, "hostname", spec->name, "mounts", mounts(in), "linux",
                                       linux_json(in, system))
                           : NULL;
  if (!config)
    PT_SET(error, PT_ERR_INVALID, "instance %s: a command, variable or path of it is not UTF-8", spec->name);
  return config;
}
