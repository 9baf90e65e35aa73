// SPDX-License-Identifier: Apache-2.0
/* qemu-img, kept from doing what an image would like it to do.
 *
 * It is given a JSON description instead of a name, so that the format is the declared one and no backing file is ever opened,
 * whatever the image says; it runs in the jail with a limit of memory, of time and of the file's length. What no limit of the kernel's
 * holds back is how many blocks of the disk a sparse file takes, so a thread of ours looks at that while it runs, and not
 * a program in the jail, which a hostile image might have taken over. */
#include "drivers/image/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#define MEMORY_MAX (G_GINT64_CONSTANT(4) << 30) /* of address space, most of it the stacks of its threads */
#define RESERVE (G_GINT64_CONSTANT(512) << 20)  /* of the host's disk that stays free */
#define LOOK_EVERY (100 * 1000)                 /* µs */
#define CONVERT_TIME (G_GINT64_CONSTANT(6) * 3600 * G_USEC_PER_SEC)
#define CHECK_TIME (G_GINT64_CONSTANT(600) * G_USEC_PER_SEC)
#define INSPECT_TIME (60 * G_USEC_PER_SEC)

/* "json:{…}" of the disk at /in. */
static char *
describe(const PtDiskSource *s)
{
  g_autoptr(json_t) file = json_pack("{s:s, s:s, s:s}", "driver", "file", "filename", "/in", "locking", "off");

  if (s->size) {
    json_t *part = json_pack("{s:s, s:I, s:I, s:O}", "driver", "raw", "offset", (json_int_t)s->offset, "size", (json_int_t)s->size,
                             "file", file);
    json_decref(file);
    file = part;
  }
  g_autoptr(json_t) all = json_pack("{s:s, s:n, s:O}", "driver", s->format, "backing", "file", file);
  g_autofree char *text = pt_json_dump(all);
  return g_strconcat("json:", text, NULL);
}

/* What qemu-img said last, without our own description of the file. */
static void
judge(const PtDiskSource *s, GError **error)
{
  if (!error || pt_error_code(*error) != PT_ERR_INTERNAL)
    return;
  g_autofree char *text = g_strdup((*error)->message);
  const char *quoted = strstr(text, "}': "), *said = quoted ? quoted + 4 : text;
  if (g_str_has_prefix(said, "qemu-img: "))
    said += strlen("qemu-img: ");
  bool full = strstr(said, "No space left") != NULL;
  g_clear_error(error);
  PT_SET(error, full ? PT_ERR_NO_SPACE : PT_ERR_INVALID, "%s: %s", s->path, said);
  pt_error_hint(error, full ? "make room, then try again; nothing was changed"
                            : "it is damaged, or not of the format that was said; nothing was changed");
}

/* Whether its tables are sound: qemu-img would read what is cut off as zeros, and say nothing. Clusters that nothing refers to are no
 * damage (3), and formats without tables cannot be checked (63). */
static bool
check(PtImageWork *w, const PtDiskSource *s, const char *const *options, const char *what, GError **error)
{
  static const char script[] = "qemu-img check -q \"$1\"; s=$?; [ $s = 0 ] || [ $s = 3 ] || [ $s = 63 ] || exit $s";
  const char *argv[] = { "sh", "-c", script, "sh", what, NULL };
  g_autoptr(GError) err = NULL;

  if (pt_image_work_run(w, &(PtJailRun){ .options = options, .argv = argv, .timeout = CHECK_TIME }, NULL, &err))
    return true;
  if (pt_error_code(err) != PT_ERR_INTERNAL) {
    g_propagate_error(error, g_steal_pointer(&err));
    return false;
  }
  PT_SET(error, PT_ERR_INVALID, "%s: it is damaged or cut off: its tables do not fit together", s->path);
  pt_error_hint(error, "nothing was changed; where the original is, qemu-img check says more");
  return false;
}

bool
pt_disk_size(PtImageWork *w, const PtDiskSource *s, gint64 *ret_bytes, GError **error)
{
  g_autofree char *what = describe(s), *bind = g_strconcat(s->path, "=/in", NULL), *out = NULL,
                  *memory = g_strdup_printf("%" G_GINT64_FORMAT, MEMORY_MAX);
  const char *options[] = { "--ro", bind, "--memory", memory, NULL };
  const char *argv[] = { "qemu-img", "info", "--output=json", what, NULL };

  if (!pt_image_work_run(w, &(PtJailRun){ .options = options, .argv = argv, .timeout = INSPECT_TIME }, &out, error)) {
    judge(s, error);
    return false;
  }
  g_autoptr(json_t) info = pt_json_parse_object(out, strlen(out), error);
  gint64 bytes = info ? pt_json_int(info, "virtual-size", 0) : 0;
  if (!info)
    return false;
  if (json_object_get(info, "backing-filename") || bytes <= 0 || bytes > PT_DISK_MAX) {
    g_autofree char *size = pt_size_format(MAX(bytes, 0)), *max = pt_size_format(PT_DISK_MAX);
    if (json_object_get(info, "backing-filename"))
      PT_SET(error, PT_ERR_INVALID, "%s: it holds only the differences to another file", s->path);
    else
      PT_SET(error, PT_ERR_INVALID, "%s: a disk of %s cannot be imported, only of up to %s", s->path, size, max);
    pt_error_hint(error, "nothing was changed");
    return false;
  }
  *ret_bytes = bytes;
  return strcmp(s->format, "raw") == 0 || check(w, s, options, what, error);
}

/* ---- the thread that watches ---- */

typedef struct Watch {
  int fd;             /* of the output */
  gint64 room;        /* bytes that it may take */
  GCancellable *user; /* the operation's; may be NULL */
  GCancellable *tool;
  GMutex lock;
  GCond ended;
  bool over, full;
} Watch;

static gpointer
watch_run(gpointer data)
{
  Watch *v = data;
  struct stat st;

  g_mutex_lock(&v->lock);
  while (!v->over) {
    g_cond_wait_until(&v->ended, &v->lock, g_get_monotonic_time() + LOOK_EVERY);
    v->full = v->full || (fstat(v->fd, &st) == 0 && (gint64)st.st_blocks * 512 > v->room);
    if (v->full || (v->user && g_cancellable_is_cancelled(v->user)))
      g_cancellable_cancel(v->tool);
  }
  g_mutex_unlock(&v->lock);
  return NULL;
}

static bool
run_watched(PtImageWork *w, const PtJailRun *run, int fd, gint64 room, GError **error)
{
  Watch v = { .fd = fd, .room = room, .user = w->cancel, .tool = g_cancellable_new() };

  g_mutex_init(&v.lock);
  g_cond_init(&v.ended);
  GThread *thread = g_thread_new("disk", watch_run, &v);
  w->cancel = v.tool;
  bool ok = pt_image_work_run(w, run, NULL, error);
  w->cancel = v.user;
  g_mutex_lock(&v.lock);
  v.over = true;
  g_cond_signal(&v.ended);
  g_mutex_unlock(&v.lock);
  g_thread_join(thread);
  g_object_unref(v.tool);
  g_cond_clear(&v.ended);
  g_mutex_clear(&v.lock);
  if (v.full && !ok) {
    g_clear_error(error);
    PT_SET(error, PT_ERR_NO_SPACE, "there is no room for what is in it");
    pt_error_hint(error, "make room, then try again; nothing was changed");
  }
  return ok;
}

/* "    (12.34/100%)" */
static bool
on_progress(const char *line, void *data)
{
  double percent;

  if (sscanf(line, " (%lf/100%%)", &percent) != 1)
    return false;
  pt_image_work_done(data, (gint64)(percent * 10));
  return true;
}

static bool
free_bytes(const char *path, gint64 *ret, GError **error)
{
  struct statvfs v;

  if (statvfs(path, &v) != 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  *ret = (gint64)v.f_bavail * (gint64)v.f_frsize - RESERVE;
  return true;
}

bool
pt_disk_convert(PtImageWork *w, const PtDiskSource *s, const char *format, const char *options, const char *output, gint64 length,
                GError **error)
{
  g_autofree char *what = describe(s), *in = g_strconcat(s->path, "=/in", NULL), *out = g_strconcat(output, "=/out/disk", NULL),
                  *memory = g_strdup_printf("%" G_GINT64_FORMAT, MEMORY_MAX), *max = g_strdup_printf("%" G_GINT64_FORMAT, length);
  const char *jail[] = { "--ro", in, "--rw", out, "--file-max", max, "--memory", memory, NULL };
  const char *argv[12] = { "qemu-img", "convert", "-p", "-O", format };
  guint n = 5;
  gint64 room = 0;

  if (options) {
    argv[n++] = "-o";
    argv[n++] = options;
  }
  argv[n++] = what;
  argv[n++] = "/out/disk";
  int fd = open(output, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", output);
    return false;
  }
  PtJailRun run = { .options = jail, .argv = argv, .timeout = CONVERT_TIME, .line = on_progress, .line_data = w };
  bool ok = free_bytes(output, &room, error) && run_watched(w, &run, fd, room, error);
  if (ok && (fchown(fd, 0, 0) != 0 || fchmod(fd, 0600) != 0)) {
    pt_error_errno(error, errno, "%s", output);
    ok = false;
  }
  close(fd);
  if (!ok)
    judge(s, error);
  return ok;
}
