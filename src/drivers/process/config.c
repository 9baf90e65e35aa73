// SPDX-License-Identifier: Apache-2.0
/* The jail of a process. Its root is the overlay that a container has, over an image that holds the program in /app and else only
 * mount points (drivers/image/program.c), and it is mounted read-only: what the program writes goes to /data, which is the
 * overlay's directory of that name, so to the volume. Of the node it sees /usr without /usr/local, and of the node's /etc
 * the dynamic linker's cache, certificates, and what links below /usr lead to. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/container/internal.h"
#include "drivers/process/process.h"
#include "sys/path.h"

#define RO "bind,ro,nosuid,nodev"

static json_t *
words(char *const *list)
{
  json_t *a = json_array();

  for (; list && *list; list++)
    json_array_append_new(a, json_string(*list));
  return a;
}

/* /data is bound by its path on the node, so nothing in it may lead elsewhere; it is the volume's, and a person can have put a link there
 * while the instance stood still. */
static bool
make_data(const PtContainerStart *start, int root, const PtGuestUser *user, GError **error)
{
  uid_t uid = (uid_t)(start->idbase + user->uid);
  gid_t gid = (gid_t)(start->idbase + user->gid);
  struct stat st;

  if (!pt_path_mkdir(root, "/data", 0755, uid, gid, error))
    return false;
  int fd = pt_path_open(root, "/data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS, error);
  if (fd < 0)
    return false;
  bool ok = fstat(fd, &st) == 0 && (st.st_uid == uid || fchown(fd, uid, gid) == 0);
  if (!ok)
    pt_error_errno(error, errno, "/data");
  close(fd);
  return ok;
}

static void
bind_if(json_t *list, const char *path)
{
  if (access(path, F_OK) == 0)
    pt_jail_mount(list, path, "bind", path, RO);
}

/* The JVM's own settings are links from /usr/lib/jvm to /etc/java-17-openjdk and its like. */
static void
bind_java(json_t *list)
{
  g_autoptr(GDir) d = g_dir_open("/etc", 0, NULL);

  for (const char *name; d && (name = g_dir_read_name(d));) {
    g_autofree char *path = g_build_filename("/etc", name, NULL);
    if (g_str_has_prefix(name, "java") && g_file_test(path, G_FILE_TEST_IS_DIR))
      pt_jail_mount(list, path, "bind", path, RO);
  }
}

static json_t *
mounts(const PtContainerStart *start, const PtJail *jail)
{
  const PtInstance *spec = start->spec;
  g_autofree char *data = g_build_filename(jail->rootfs, "data", NULL);
  g_autofree char *sandbox = g_build_filename(jail->host->libexec, "portena-sandbox", NULL);
  g_autofree char *wasi = g_build_filename(jail->host->libexec, "wasi.mjs", NULL);
  g_autofree char *tmp = g_strdup_printf("nosuid,nodev,mode=1777,size=%" G_GINT64_FORMAT "k",
                                         spec->memory ? MAX(spec->memory / 2 / 1024, 16384) : 2097152);
  json_t *l = json_array();

  pt_jail_mount(l, "/proc", "proc", "proc", "nosuid,noexec,nodev");
  pt_jail_mount(l, "/dev", "tmpfs", "tmpfs", "nosuid,noexec,strictatime,mode=755,size=64k");
  pt_jail_mount(l, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
  pt_jail_mount(l, "/dev/shm", "tmpfs", "shm", "nosuid,nodev,mode=1777");
  pt_jail_mount(l, "/usr", "bind", "/usr", RO);
  pt_jail_mount(l, "/usr/local", "tmpfs", "tmpfs", "ro,nosuid,nodev,noexec,mode=755,size=4k");
  bind_if(l, "/etc/ld.so.cache");
  bind_if(l, "/etc/alternatives");
  bind_if(l, "/etc/ssl/certs");
  if (start->image->runtime == PT_RUNTIME_JAVA)
    bind_java(l);
  pt_jail_mount(l, "/tmp", "tmpfs", "tmpfs", tmp);
  pt_jail_mount(l, "/data", "bind", data, "bind,nosuid,nodev");
  pt_jail_mount(l, "/portena/sandbox", "bind", sandbox, RO);
  if (start->image->runtime == PT_RUNTIME_WASM)
    pt_jail_mount(l, "/portena/wasi.mjs", "bind", wasi, RO ",noexec");
  return l;
}

static json_t *
env_json(const PtInstance *spec, const PtImage *image, const PtGuestUser *user)
{
  g_autoptr(GHashTable) env = pt_config_env(spec, image, user);
  return pt_config_env_json(env);
}

static json_t *
process_json(const PtContainerStart *start, const PtGuestUser *user, char *const *argv)
{
  json_t *args = json_pack("[s, s]", "/portena/sandbox", "--init");
  json_t *command = words(argv);
  const char *cwd = start->spec->cwd ? start->spec->cwd : start->image->cwd && *start->image->cwd ? start->image->cwd : "/data";

  if (start->spec->offline)
    json_array_append_new(args, json_string("--offline"));
  json_array_append_new(args, json_string("--"));
  json_array_extend(args, command);
  json_decref(command);
  return json_pack("{s:b, s:{s:I, s:I}, s:o, s:o, s:s, s:b, s:{s:[], s:[], s:[], s:[], s:[]}, s:[{s:s, s:i, s:i}]}", "terminal", 1,
                   "user", "uid", (json_int_t)user->uid, "gid", (json_int_t)user->gid, "args", args, "env",
                   env_json(start->spec, start->image, user), "cwd", cwd, "noNewPrivileges", 1, "capabilities", "bounding", "effective",
                   "permitted", "inheritable", "ambient", "rlimits", "type", "RLIMIT_CORE", "hard", 0, "soft", 0);
}

json_t *
pt_proc_describe(const PtContainerStart *start, const PtJail *jail, GError **error)
{
  g_auto(PtGuestUser) user = { 0 };
  g_autofree char *runner = pt_runtime_find(start->image->runtime, error);
  g_auto(GStrv) argv = runner ? pt_runtime_argv(start->spec, start->image, runner, error) : NULL;

  if (!argv || !pt_guest_user(jail->root, start->spec->user, &user, error) || !make_data(start, jail->root, &user, error))
    return NULL;
  json_t *process = process_json(start, &user, argv), *linux_json = process ? pt_jail_linux(jail->host, start) : NULL;
  if (process)
    json_object_set_new(linux_json, "seccomp", pt_proc_seccomp(start->spec->offline));
  json_t *config = process ? json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.0", "process", process, "root",
                                       "path", jail->rootfs, "readonly", 1, "hostname", start->spec->name, "mounts",
                                       mounts(start, jail), "linux", linux_json)
                           : NULL;
  if (!config)
    PT_SET(error, PT_ERR_INVALID, "an argument, variable or path of it is not UTF-8");
  return config;
}
