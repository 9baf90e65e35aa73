// SPDX-License-Identifier: Apache-2.0
/* Hibernation on disk. The group is frozen, CRIU takes its processes down into files, and only when these are on the disk, whole, and
 * named so, it is killed; so until then any failure, also that of this daemon, leaves one that merely stands still.
 *
 *   frozen -> CRIU writes checkpoint.part, group frozen again -> sums, sync -> renamed: checkpoint -> killed
 *
 * CRIU is not ended with us: in the middle of its work it has code of its own in the guest's processes. It holds a lock on
 * RUN/monitor/<id>/dump.lock while it runs, for which the next daemon waits before it touches the group. */
#include "drivers/container/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "base/text.h"
#include "sys/arch.h"
#include "sys/cgroup.h"
#include "sys/path.h"
#include "sys/process.h"

#define DUMP_MAX (10 * 60 * G_USEC_PER_SEC) /* a disk that takes longer is none to hibernate on */
#define LOCK_LOOK (20 * 1000)
#define TRIES 3 /* a message on its way to a process cannot be saved; a moment later it has arrived */
#define REASON_MAX 8192

/* ---- files ---- */

char *
pt_ct_saved_path(const PtContainers *c, const char *id, const char *name)
{
  return g_build_filename(c->host->state, "instances", id, name, NULL);
}

static int
instance_dir(const PtContainers *c, const char *id, GError **error)
{
  g_autofree char *path = pt_ct_saved_path(c, id, NULL);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    pt_error_errno(error, errno, "%s", path);
  return fd;
}

bool
pt_ct_saved_rename(const PtContainers *c, const char *id, const char *from, const char *to, GError **error)
{
  int dir = instance_dir(c, id, error);
  bool ok = dir >= 0 && renameat(dir, from, dir, to) == 0 && fsync(dir) == 0;

  if (dir >= 0 && !ok)
    pt_error_errno(error, errno, "instance %s: %s", id, to);
  if (dir >= 0)
    close(dir);
  return ok;
}

bool
pt_ct_saved_remove(const PtContainers *c, const char *id, const char *name, GError **error)
{
  g_autofree char *path = pt_ct_saved_path(c, id, NULL);
  int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (dir < 0 && errno == ENOENT)
    return true;
  bool ok = dir >= 0 && pt_path_remove(dir, name, true, error);
  if (dir < 0)
    pt_error_errno(error, errno, "%s", path);
  else
    close(dir);
  return ok;
}

char *
pt_ct_saved_sum(int dir, const char *name, bool sync, GError **error)
{
  int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  g_autofree guint8 *buf = g_malloc(1 << 20);
  guint8 sum[crypto_generichash_BYTES];
  char hex[sizeof sum * 2 + 1];
  crypto_generichash_state state;
  ssize_t n = -1;

  crypto_generichash_init(&state, NULL, 0, sizeof sum);
  while (fd >= 0 && (n = read(fd, buf, 1 << 20)) > 0)
    crypto_generichash_update(&state, buf, (gsize)n);
  if (fd < 0 || n < 0 || (sync && fsync(fd) < 0)) {
    pt_error_errno(error, errno, "%s", name);
    if (fd >= 0)
      close(fd);
    return NULL;
  }
  close(fd);
  crypto_generichash_final(&state, sum, sizeof sum);
  return g_strdup(sodium_bin2hex(hex, sizeof hex, sum, sizeof sum));
}

/* ---- what cannot be saved ---- */

/* Whoever a command was begun for waits for its end, and that cannot be saved. */
static bool
no_commands(const PtContainers *c, const char *id, pid_t init, GError **error)
{
  PtMonitorState m;

  if (!pt_monitor_state(c->host->run, id, &m, error))
    return false;
  g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", (int)m.monitor, (int)m.monitor), *text = NULL;
  if (!g_file_get_contents(path, &text, NULL, NULL)) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "this kernel does not tell a process's children (CONFIG_PROC_CHILDREN), which CRIU needs");
    return false;
  }
  g_auto(GStrv) pids = g_strsplit(g_strstrip(text), " ", -1);
  for (guint i = 0; pids[i] && *pids[i]; i++) {
    if (g_ascii_strtoll(pids[i], NULL, 10) == init)
      continue;
    PT_SET(error, PT_ERR_CONFLICT, "a command or a terminal is open in it, and cannot be hibernated on disk");
    pt_error_hint(error, "nothing was changed; end what portena exec, portena shell or the browser's terminal began, then ask again");
    return false;
  }
  return true;
}

static char *
mounts_of(pid_t init, GError **error)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/mountinfo", (int)init);
  char *text = NULL;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    pt_error_errno(error, ESRCH, "its first process");
  return text;
}

/* A file system that a process answers for is gone with it. Fields 5 and on of proc_pid_mountinfo(5); the guest chooses the names. */
static bool
no_fuse(pid_t init, GError **error)
{
  g_autofree char *text = mounts_of(init, error);

  if (!text)
    return false;
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (guint i = 0; lines[i]; i++) {
    const char *type = strstr(lines[i], " - ");
    g_auto(GStrv) f = g_strsplit(lines[i], " ", 6);

    if (!type || !g_str_has_prefix(type, " - fuse") || g_strv_length(f) < 6)
      continue;
    g_autofree char *where = pt_text_safe(f[4], 100);
    PT_SET(error, PT_ERR_CONFLICT, "%s: a file system of its own (FUSE) is mounted there, which cannot be hibernated on disk", where);
    pt_error_hint(error, "nothing was changed; unmount it inside, or hibernate without --durable");
    return false;
  }
  return true;
}

bool
pt_container_durable(const PtHost *host, const PtInstance *spec, GError **error)
{
  g_autofree char *criu = NULL;
  const char *why = NULL;

  if (spec->kind != PT_KIND_CONTAINER)
    why = "a process cannot be hibernated on disk";
  else if (spec->arch && strcmp(spec->arch, host->arch) != 0)
    why = "what runs by an emulator of another architecture cannot be hibernated on disk";
  else if (spec->disks && spec->disks->len)
    why = "one with data volumes attached cannot be hibernated on disk";
  if (!why)
    return (criu = pt_container_criu(error)) != NULL;
  PT_SET(error, PT_ERR_UNSUPPORTED, "%s", why);
  pt_error_hint(error, "nothing was changed; hibernate it in memory, without --durable");
  return false;
}

/* ---- CRIU ---- */

/* A descriptor that keeps others away while it or a copy of it is open. */
static int
take_lock(const PtContainers *c, const char *id, GError **error)
{
  g_autofree char *path = pt_ct_dir(c, id, "dump.lock");
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  gint64 end = pt_mono() + DUMP_MAX;

  if (fd < 0) {
    pt_error_errno(error, errno, "%s", path);
    return -1;
  }
  while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    if (pt_mono() > end) {
      PT_SET(error, PT_ERR_TIMEOUT, "CRIU is still at work on it");
      close(fd);
      return -1;
    }
    g_usleep(LOCK_LOOK);
  }
  return fd;
}

/* Waits for CRIU; true where it went well. */
static bool
criu_ended(pid_t pid, int log, GError **error)
{
  int fd = pt_pidfd(pid, 0, NULL), status = 0;
  struct pollfd p = { .fd = fd, .events = POLLIN };
  char text[REASON_MAX + 1];

  if (fd >= 0 && poll(&p, 1, (int)(DUMP_MAX / 1000)) == 0)
    kill(-pid, SIGKILL);
  if (fd >= 0)
    close(fd);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return true;
  ssize_t n = pread(log, text, REASON_MAX, 0);
  text[MAX(n, 0)] = '\0';
  g_autofree char *why = pt_ct_criu_reason(text);
  PT_SET(error, PT_ERR_UNSUPPORTED, "CRIU cannot save it: %s", why);
  pt_error_hint(error, "it runs on as before; hibernate it in memory, without --durable");
  return false;
}

typedef struct Outside {
  GPtrArray *words;
  const char *mounts; /* mountinfo of the first process */
} Outside;

/* Masked files have /dev/null over them, which comes from outside; masked directories a file system of the container's own. */
static bool
is_own(const char *mounts, const char *path)
{
  g_autofree char *as_file = g_strdup_printf(" /null %s ", path);

  return !g_str_has_prefix(path, "/dev/") && !g_str_has_prefix(path, "/run/") && !strstr(mounts, as_file);
}

static void
add_outside(const char *path, const char *name, const char *source, void *data)
{
  const Outside *o = data;

  (void)source;
  if (is_own(o->mounts, path))
    return;
  g_ptr_array_add(o->words, g_strdup("--external"));
  g_ptr_array_add(o->words, g_strdup_printf("mnt[%s]:%s", path, name));
}

/* Where watched files (inotify) are looked for by their numbers, in this order; CRIU itself knows a few of these. */
static const char *const watched[] = { "/etc", "/home", "/root", "/usr/share", "/usr/local", "/var/lib", "/usr/lib", "/opt", "/srv" };

static GPtrArray *
dump_words(const PtContainers *c, const char *id, pid_t init, const char *part, const char *tty, GError **error)
{
  g_autofree char *criu = pt_container_criu(error), *work = pt_ct_dir(c, id, NULL), *mounts = criu ? mounts_of(init, error) : NULL;
  g_autofree char *group = g_build_filename(c->host->cgroup2, c->host->cgroup, id, NULL);
  GPtrArray *a = g_ptr_array_new_with_free_func(g_free);

  if (!mounts) {
    g_ptr_array_unref(a);
    return NULL;
  }
  const char *const words[] = { part, work, group, "--", criu, "dump", "--images-dir", part, "--work-dir", work, "--freeze-cgroup",
                                group, "--leave-running", "--manage-cgroups=soft", "--file-locks", "--tcp-established",
                                "--network-lock", "skip", "--ext-unix-sk", "--link-remap", "--force-irmap", "--empty-ns", "net", "-v1",
                                "--external", tty };
  g_ptr_array_add(a, pt_jail_helper(c, "portena-criu"));
  for (guint i = 0; i < G_N_ELEMENTS(words); i++)
    g_ptr_array_add(a, g_strdup(words[i]));
  for (guint i = 0; i < G_N_ELEMENTS(watched); i++) {
    g_ptr_array_add(a, g_strdup("--irmap-scan-path"));
    g_ptr_array_add(a, g_strdup(watched[i]));
  }
  g_ptr_array_add(a, g_strdup("--tree"));
  g_ptr_array_add(a, g_strdup_printf("%d", (int)init));
  pt_ct_outside(add_outside, &(Outside){ a, mounts }, "", "");
  g_ptr_array_add(a, NULL);
  return a;
}

static bool
dump(const PtContainers *c, const char *id, pid_t init, const char *part, const char *tty, int lock, GError **error)
{
  g_autoptr(GPtrArray) words = dump_words(c, id, init, part, tty, error);

  if (!words)
    return false;
  int log = memfd_create("criu", MFD_CLOEXEC);
  const int fds[] = { -1, -1, log, lock };
  pid_t pid = pt_spawn(&(PtSpawn){ .argv = (const char *const *)words->pdata, .cwd = "/", .fds = fds, .n_fds = 4, .outlive = true }, error);
  bool ok = pid > 0 && criu_ended(pid, log, error);

  if (log >= 0)
    close(log);
  return ok;
}

/* The console by CRIU's name for it; NULL where the guest has put something else in its place. */
static char *
console_name(pid_t init, GError **error)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/root", (int)init);
  int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int fd = root < 0 ? -1 : pt_path_open(root, "/dev/console", O_PATH | O_NOFOLLOW, 0, 0, error);
  struct stat st;
  char *name = NULL;

  if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode))
    name = g_strdup_printf("tty[%" G_GINT64_MODIFIER "x:%" G_GINT64_MODIFIER "x]", (guint64)st.st_rdev, (guint64)st.st_dev);
  else if (fd >= 0 || root < 0)
    PT_SET(error, PT_ERR_CONFLICT, "its /dev/console is not the one it was given");
  if (fd >= 0)
    close(fd);
  if (root >= 0)
    close(root);
  return name;
}

/* ---- the whole ---- */

static bool
copy_from(const char *from, const char *part, const char *name, GError **error)
{
  g_autofree char *to = g_build_filename(part, name, NULL), *text = NULL;
  gsize size;

  return g_file_get_contents(from, &text, &size, error) && g_file_set_contents_full(to, text, (gssize)size, 0, 0600, error);
}

static bool
write_plan(const PtContainers *c, const char *id, int dir, const char *part, const char *tty, GError **error)
{
  g_autofree char *config = pt_ct_dir(c, id, "bundle/config.json"), *status = g_build_filename(c->crun_root, id, "status", NULL),
                  *filter = g_build_filename(c->crun_root, id, "seccomp.bpf", NULL);
  g_autofree char *plan = g_build_filename(part, "plan", NULL), *ready = pt_ct_dir(c, id, "ready");
  g_autoptr(GDir) files = NULL;
  PtContainerMeta meta;

  if (!copy_from(config, part, PT_CK_CONFIG, error) || !copy_from(status, part, PT_CK_STATUS, error) ||
      (access(filter, F_OK) == 0 && !copy_from(filter, part, PT_CK_FILTER, error)) || !pt_ct_meta_read(c, id, &meta, error) ||
      !(files = g_dir_open(part, 0, error)))
    return false;
  g_autoptr(json_t) sums = json_object();
  for (const char *name; (name = g_dir_read_name(files));) {
    g_autofree char *sum = pt_ct_saved_sum(dir, name, true, error);
    if (!sum)
      return false;
    json_object_set_new(sums, name, json_string(sum));
  }
  g_autoptr(json_t) json = json_pack("{s:s, s:I, s:s, s:b, s:b, s:O}", "tty", tty, "idbase", (json_int_t)meta.idbase, "cgroup",
                                     c->host->cgroup, "systemd", meta.systemd, "ready", access(ready, F_OK) == 0, "files", sums);
  g_autofree char *all = pt_json_dump(json);
  return g_file_set_contents_full(plan, all, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, error);
}

static bool
save(const PtContainers *c, const char *id, pid_t init, int lock, GError **error)
{
  g_autofree char *part = pt_ct_saved_path(c, id, PT_CK_PART), *tty = console_name(init, error);

  if (!tty || !pt_dir_make(part, 0700, error))
    return false;
  int dir = open(part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  /* CRIU reads them again with the guest's ids, by a descriptor of this directory; by its path only root comes here. */
  bool ok = dir >= 0 && fchmod(dir, 0711) == 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", part);
  ok = ok && dump(c, id, init, part, tty, lock, error) && write_plan(c, id, dir, part, tty, error);
  if (ok && fsync(dir) < 0) {
    pt_error_errno(error, errno, "%s", part);
    ok = false;
  }
  if (dir >= 0)
    close(dir);
  return ok && pt_ct_saved_rename(c, id, PT_CK_PART, PT_CK_WHOLE, error);
}

/* What cannot be saved now may be a moment later, when it has run on a little. */
static bool
save_somehow(PtContainers *c, const char *id, pid_t init, int lock, GError **error)
{
  for (guint i = 1;; i++) {
    g_autoptr(GError) err = NULL;

    if (!pt_container_pause(c, id, true, error) || !pt_container_forget(c, id, error))
      return false;
    if (save(c, id, init, lock, &err))
      return true;
    if (i == TRIES || !pt_container_pause(c, id, false, NULL)) {
      g_propagate_error(error, g_steal_pointer(&err));
      return false;
    }
    g_usleep(100 * 1000);
  }
}

bool
pt_ct_checkpoint(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, PtSleep *ret, GError **error)
{
  bool was = pt_cgroup_frozen(c->host, id);
  pid_t init = 0;

  *ret = (PtSleep){ .durable = true };
  int lock = take_lock(c, id, error), fd = lock < 0 ? -1 : pt_ct_init(c, id, &init, error);
  bool ok = fd >= 0 && pt_container_durable(c->host, spec, error) && no_commands(c, id, init, error) && no_fuse(init, error) &&
            pt_cgroup_storable(c->host, id, "it runs on; free space there, or hibernate it without --durable", &ret->freed, error) &&
            save_somehow(c, id, init, lock, error) && pt_container_stop(c, id, spec, image, 0, NULL, error);
  if (!ok) {
    pt_container_forget(c, id, NULL);
    if (fd >= 0)
      pt_container_pause(c, id, was, NULL);
  }
  if (fd >= 0)
    close(fd);
  if (lock >= 0)
    close(lock);
  return ok;
}

bool
pt_container_saved(PtContainers *c, const char *id)
{
  g_autofree char *path = pt_ct_saved_path(c, id, PT_CK_WHOLE);

  return access(path, F_OK) == 0;
}

bool
pt_container_forget(PtContainers *c, const char *id, GError **error)
{
  /* It takes a while to remove: unusable it is at once. */
  if (pt_container_saved(c, id) && (!pt_ct_saved_remove(c, id, PT_CK_USED, error) ||
                                    !pt_ct_saved_rename(c, id, PT_CK_WHOLE, PT_CK_USED, error)))
    return false;
  return pt_ct_saved_remove(c, id, PT_CK_USED, error) && pt_ct_saved_remove(c, id, PT_CK_PART, error);
}

bool
pt_ct_await_dump(PtContainers *c, const char *id, GError **error)
{
  int lock = take_lock(c, id, error);

  if (lock < 0)
    return false;
  close(lock);
  return pt_container_forget(c, id, error);
}
