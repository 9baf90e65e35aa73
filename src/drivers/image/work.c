// SPDX-License-Identifier: Apache-2.0
#include "drivers/image/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/text.h"
#include "drivers/volume/loop.h"
#include "sys/path.h"
#include "sys/process.h"

#define SCRATCH_MAX (G_GINT64_CONSTANT(64) << 30)
#define SCRATCH_MIN (G_GINT64_CONSTANT(512) << 20)
#define RESERVE (G_GINT64_CONSTANT(512) << 20) /* of the host's disk that a build leaves free */
#define INODES 2000000
#define HOUR (G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC)
#define REPORT_EVERY (G_USEC_PER_SEC / 4)

/* Host ids of builds: 96 ranges behind those of instances (node/agent_impl.h), below 2^31. One that is taken twice at a time
 * does no harm: two builds' tools share no namespace, so they cannot name each other's processes or files. */
#define IDS_FIRST 0x7fa00000u
#define IDS_RANGES 96u

static bool
make_dir(const char *path, mode_t mode, GError **error)
{
  if (mkdir(path, mode) == 0)
    return true;
  pt_error_errno(error, errno, "%s", path);
  return false;
}

static gint64
scratch_size(const char *dir, GError **error)
{
  struct statvfs v;

  if (statvfs(dir, &v) != 0) {
    pt_error_errno(error, errno, "%s", dir);
    return -1;
  }
  gint64 room = (gint64)v.f_bavail * (gint64)v.f_frsize - RESERVE;
  if (room < SCRATCH_MIN) {
    PT_SET(error, PT_ERR_NO_SPACE, "the disk below %s is nearly full", dir);
    pt_error_hint(error,
                  "an image needs at least 1 GiB while it is made; remove images that nothing uses: portena image prune");
    return -1;
  }
  return MIN(room, SCRATCH_MAX) / 4096 * 4096;
}

static bool
scratch_format(PtImageWork *w, gint64 size, GError **error)
{
  g_autofree char *inodes = g_strdup_printf("%d", (int)MIN((gint64)INODES, size / 4096));
  /* A fixed seed of the directory hash: the order in which a directory is read depends on its names alone. */
  const char *argv[] = { "mkfs.ext4",
                         "-q",
                         "-F",
                         "-b",
                         "4096",
                         "-N",
                         inodes,
                         "-m",
                         "0",
                         "-O",
                         "^has_journal,^resize_inode,metadata_csum,uninit_bg",
                         "-E",
                         "lazy_itable_init=1,nodiscard,hash_seed=6f2d1f3c-6c1e-4d0a-9a55-0a4c7b1f2e11",
                         w->scratch,
                         NULL };
  int fd = open(w->scratch, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0 || ftruncate(fd, size) != 0) {
    pt_error_errno(error, errno, "%s", w->scratch);
    if (fd >= 0)
      close(fd);
    return false;
  }
  close(fd);
  return pt_run(argv, &(PtRunOptions){ .cancel = w->cancel }, NULL, error);
}

static bool
scratch_mount(PtImageWork *w, GError **error)
{
  g_autofree char *device = NULL;
  int fd = open(w->scratch, O_RDWR | O_CLOEXEC);
  int loop = fd < 0 ? -1 : pt_loop_bind(fd, &device, error);
  bool ok = loop >= 0;

  if (fd < 0)
    pt_error_errno(error, errno, "%s", w->scratch);
  if (ok && mount(device, w->mnt, "ext4", MS_NODEV | MS_NOSUID | MS_NOATIME, "noinit_itable,nobarrier") != 0) {
    pt_error_errno(error, errno, "%s: mount", w->mnt);
    ok = false;
  }
  if (loop >= 0)
    close(loop);
  if (fd >= 0)
    close(fd);
  return ok;
}

bool
pt_image_work_begin(PtImageWork *w, const PtHost *host, PtProgress progress, void *data, GCancellable *cancel,
                    GError **error)
{
  g_autofree char *tag = pt_random_hex(8);
  guint32 pick;

  pt_random(&pick, sizeof pick);
  *w = (PtImageWork){ .host = host, .progress = progress, .data = data, .cancel = cancel };
  w->started = pt_now() / G_USEC_PER_SEC;
  w->ids = IDS_FIRST + pick % IDS_RANGES * 65536u;
  w->dir = g_strdup_printf("%s/images/.work-%s", host->state, tag);
  w->scratch = g_build_filename(w->dir, "scratch", NULL);
  w->mnt = g_build_filename(w->dir, "mnt", NULL);
  w->tools = g_build_filename(w->mnt, "tools", NULL);
  w->out = g_build_filename(w->dir, "out", NULL);
  if (!make_dir(w->dir, 0700, error))
    return false;
  gint64 size = scratch_size(w->dir, error);
  return size > 0 && make_dir(w->mnt, 0700, error) && make_dir(w->out, 0755, error) && scratch_format(w, size, error) &&
         scratch_mount(w, error) && make_dir(w->tools, 0700, error);
}

/* Absent is success. The tools' tree goes with the scratch file, so what is left is a handful of our own files. */
static bool
remove_dir(const char *images, const char *name, GError **error)
{
  g_autofree char *mnt = g_build_filename(images, name, "mnt", NULL);
  /* Detached: a tool that is just being killed may still be in it. The loop device goes with its last user. */
  while (umount2(mnt, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
    ;
  int fd = open(images, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", images);
    return false;
  }
  bool ok = pt_path_remove(fd, name, true, error);
  close(fd);
  return ok;
}

void
pt_image_work_end(PtImageWork *w)
{
  if (w->dir) {
    g_autofree char *images = g_path_get_dirname(w->dir);
    g_autofree char *name = g_path_get_basename(w->dir);

    /* What cannot be removed now is removed at the next start; there is nobody here to tell. */
    (void)remove_dir(images, name, NULL);
  }
  g_free(w->dir);
  g_free(w->scratch);
  g_free(w->mnt);
  g_free(w->tools);
  g_free(w->out);
  g_free(w->last);
  g_free(w->fatal);
  *w = (PtImageWork){ 0 };
}

bool
pt_image_work_sweep(const char *images, GError **error)
{
  g_autoptr(GDir) d = g_dir_open(images, 0, error);
  const char *name;

  if (!d)
    return false;
  while ((name = g_dir_read_name(d)))
    if (g_str_has_prefix(name, ".work-") && !remove_dir(images, name, error))
      return false;
  return true;
}

static void
report(PtImageWork *w, gint64 done)
{
  gint64 part = w->total > 0 ? MIN(done, w->total) * (w->to - w->from) / w->total : 0;

  if (w->progress)
    w->progress(w->step, w->from + part, w->total > 0 ? MIN(done, w->total) : done, w->total, w->unit, w->data);
  w->said = pt_mono();
}

void
pt_image_work_step(PtImageWork *w, const char *step, gint64 from, gint64 to, gint64 total, const char *unit)
{
  w->step = step;
  w->from = from;
  w->to = to;
  w->total = total;
  w->unit = unit;
  report(w, 0);
}

void
pt_image_work_done(PtImageWork *w, gint64 done)
{
  if (pt_mono() - w->said >= REPORT_EVERY)
    report(w, done);
}

bool
pt_image_work_cancelled(PtImageWork *w, GError **error)
{
  if (!w->cancel || !g_cancellable_is_cancelled(w->cancel))
    return false;
  PT_SET(error, PT_ERR_CANCELLED, "cancelled");
  return true;
}

typedef struct Listen {
  PtImageWork *work;
  const PtJailRun *run;
  gint64 base; /* bytes of the scratch in use when the tool began */
} Listen;

/* Lines "@TICK BLOCKS FREE SIZE" come from the loop beside the tool; all others are the tool's own. */
static void
on_line(const char *line, void *data)
{
  Listen *l = data;
  PtImageWork *w = l->work;
  gint64 blocks, free_blocks, size;

  if (sscanf(line, "@TICK %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT, &blocks, &free_blocks, &size) == 3) {
    gint64 used = (blocks - free_blocks) * size;
    if (l->base < 0)
      l->base = used;
    pt_image_work_done(w, used - l->base);
    return;
  }
  if (l->run->line && l->run->line(line, l->run->line_data))
    return;
  /* A hook that failed has said why in the line before. */
  bool hook = strstr(line, "command failed:") && w->last;
  g_autofree char *before = g_steal_pointer(&w->last);
  w->last = pt_text_safe(line, 400);
  /* apt's and Go's verdicts count more than a maintainer script's grumbling before them. */
  bool verdict = strstr(line, "level=fatal") || g_str_has_prefix(line, "E: ");
  if ((verdict && !w->verdict) || (!w->fatal && strstr(line, "rror: "))) {
    g_free(w->fatal);
    w->fatal = g_strdup(hook ? before : w->last);
    w->verdict = verdict;
  }
}

/* The reason in one line: out of the structured log lines of skopeo and umoci, the message. */
static char *
reason(const PtImageWork *w, const GError *error)
{
  const char *text = w->fatal ? w->fatal : w->last;
  const char *msg = text ? strstr(text, "msg=\"") : NULL;

  if (!text)
    return g_strdup(error->message);
  if (!msg)
    return g_strdup(text);
  g_autofree char *inner = g_strdup(msg + strlen("msg=\""));
  char *end = strrchr(inner, '"');
  if (end)
    *end = '\0';
  return g_strcompress(inner);
}

static void
judge(PtImageWork *w, const char *tool, GError **error)
{
  struct statvfs v;

  if (g_error_matches(*error, PT_ERROR, PT_ERR_CANCELLED)) {
    g_clear_error(error);
    PT_SET(error, PT_ERR_CANCELLED, "cancelled; nothing was changed");
  }
  if (!g_error_matches(*error, PT_ERROR, PT_ERR_INTERNAL))
    return;
  g_autofree char *text = reason(w, *error);
  g_autofree char *safe = pt_text_safe(text, 400);
  g_clear_error(error);
  if (statvfs(w->mnt, &v) == 0 && (v.f_bavail < 64 || v.f_favail == 0)) {
    bool small = (gint64)v.f_blocks * (gint64)v.f_frsize < SCRATCH_MAX - SCRATCH_MAX / 16;
    if (v.f_favail == 0 || !small)
      PT_SET(error, PT_ERR_TOO_LARGE, "it is larger than an image may be (%d GiB, %d files)", (int)(SCRATCH_MAX >> 30),
             INODES);
    else
      PT_SET(error, PT_ERR_NO_SPACE, "the disk is too full to make it");
    pt_error_hint(error, small ? "make room, then try again; nothing was changed" : "nothing was changed");
    return;
  }
  const char *slash = strrchr(tool, '/');
  const char *name = slash ? slash + 1 : tool,
             *said = g_str_has_prefix(safe, tool) && safe[strlen(tool)] == ':' ? safe + strlen(tool) + 2 : safe;
  PT_SET(error, PT_ERR_INTERNAL, "%s: %s", name, said);
}

bool
pt_image_work_run(PtImageWork *w, const PtJailRun *run, char **ret_output, GError **error)
{
  static const char *const growth[] = {
    "sh", "-c", "while :; do sleep 0.25; stat -f -c '@TICK %b %f %S' /job 2>/dev/null; done & exec \"$@\"", "sh"
  };
  g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GError) err = NULL;
  Listen listen = { .work = w, .run = run, .base = -1 };

  g_ptr_array_add(argv, g_build_filename(w->host->libexec, "portena-jail", NULL));
  g_ptr_array_add(argv, g_strdup("--ids"));
  g_ptr_array_add(argv, g_strdup_printf("%u", w->ids));
  g_ptr_array_add(argv, g_strdup("--rw"));
  g_ptr_array_add(argv, g_strdup_printf("%s=/job", w->tools));
  g_ptr_array_add(argv, g_strdup("--cwd"));
  g_ptr_array_add(argv, g_strdup("/job"));
  g_ptr_array_add(argv, g_strdup("--env"));
  g_ptr_array_add(argv, g_strdup("TMPDIR=/job"));
  if (run->flags & PT_JAIL_NET)
    g_ptr_array_add(argv, g_strdup("--net"));
  if (run->flags & PT_JAIL_BUILD)
    g_ptr_array_add(argv, g_strdup("--build"));
  if (run->flags & PT_JAIL_OUT) {
    g_ptr_array_add(argv, g_strdup("--rw"));
    g_ptr_array_add(argv, g_strdup_printf("%s/rootfs.erofs=/out/rootfs.erofs", w->out));
    g_ptr_array_add(argv, g_strdup("--file-max"));
    g_ptr_array_add(argv, g_strdup_printf("%" G_GINT64_FORMAT, SCRATCH_MAX));
  }
  for (guint i = 0; run->options && run->options[i]; i++)
    g_ptr_array_add(argv, g_strdup(run->options[i]));
  g_ptr_array_add(argv, g_strdup("--"));
  if (run->flags & PT_JAIL_GROWTH)
    for (guint i = 0; i < G_N_ELEMENTS(growth); i++)
      g_ptr_array_add(argv, g_strdup(growth[i]));
  for (guint i = 0; run->argv[i]; i++)
    g_ptr_array_add(argv, g_strdup(run->argv[i]));
  g_ptr_array_add(argv, NULL);

  g_clear_pointer(&w->last, g_free);
  g_clear_pointer(&w->fatal, g_free);
  w->verdict = false;
  PtRunOptions options = {
    .timeout = run->timeout ? run->timeout : HOUR, .cancel = w->cancel, .line = on_line, .line_data = &listen
  };
  if (pt_run((const char *const *)argv->pdata, &options, ret_output, &err))
    return true;
  judge(w, run->argv[0], &err);
  g_propagate_error(error, g_steal_pointer(&err));
  return false;
}
