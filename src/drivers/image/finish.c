// SPDX-License-Identifier: Apache-2.0
/* From a tree to an image: mkfs.erofs in the jail, so that ids are unshifted in it; then, outside, its digest and manifest.
 *
 * Equal content gives an equal digest: erofs sorts names; the times that unpacking itself set are all clamped to the newest
 * time that came with the content (SOURCE_DATE_EPOCH, reproducible-builds.org/specs/source-date-epoch); and the UUID is made of what the
 * manifest says about running it, so that two images that differ in their command alone have two digests. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "base/text.h"
#include "drivers/image/make.h"
#include "model/instance.h"
#include "sys/path.h"

#define READ_CHUNK (1u << 20)

char *
pt_image_read(PtImageWork *w, const char *path, gsize max, gsize *ret_size)
{
  int root = open(w->tools, O_PATH | O_DIRECTORY | O_CLOEXEC);
  char *text = NULL;
  gsize size;

  if (root < 0)
    return NULL;
  if (!pt_path_read(root, path, max, &text, ret_size ? ret_size : &size, NULL))
    text = NULL;
  close(root);
  return text;
}

static int
open_root(PtImageWork *w, GError **error)
{
  g_autofree char *path = g_build_filename(w->tools, "root", NULL);
  int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    PT_SET(error, PT_ERR_INVALID, "it holds no files at all");
  return fd;
}

/* Where a path inside leads in the end, as a path inside; NULL where it leads nowhere. */
static char *
resolve(int root, const char *path)
{
  char self[64], top[4096], full[4096];
  int fd = pt_path_open(root, path, O_PATH, 0, 0, NULL);

  if (fd < 0)
    return NULL;
  g_snprintf(self, sizeof self, "/proc/self/fd/%d", root);
  ssize_t n = readlink(self, top, sizeof top - 1);
  g_snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  ssize_t m = readlink(self, full, sizeof full - 1);
  close(fd);
  if (n <= 0 || m <= n || strncmp(full, top, (gsize)n) != 0)
    return NULL;
  return g_strndup(full + n, (gsize)(m - n));
}

static bool
is_systemd(const char *path)
{
  return path && g_str_has_suffix(path, "/lib/systemd/systemd");
}

/* One value out of /etc/os-release, os-release(5); NULL where it has none. */
static char *
os_name(int root)
{
  static const char key[] = "PRETTY_NAME=";
  g_autofree char *text = NULL;
  gsize size;

  if (!pt_path_read(root, "etc/os-release", 65536, &text, &size, NULL))
    return NULL;
  const char *at = g_str_has_prefix(text, key) ? text : strstr(text, "\nPRETTY_NAME=");
  if (!at)
    return NULL;
  at += *at == '\n';
  g_autofree char *line = g_strndup(at + strlen(key), strcspn(at + strlen(key), "\r\n"));
  g_autofree char *plain = g_shell_unquote(line, NULL);
  return pt_text_safe(plain ? plain : line, 100);
}

/* Whether it is a whole system or one command, and what that needs. */
static bool
detect(PtImageWork *w, PtImage *image, GError **error)
{
  int root = open_root(w, error);

  if (root < 0)
    return false;
  if (image->format == PT_FORMAT_KERNEL) {
    close(root);
    return true;
  }
  g_autofree char *init = resolve(root, "sbin/init");
  g_autofree char *first = image->command && image->command[0][0] == '/' ? resolve(root, image->command[0]) : NULL;
  bool shell = faccessat(root, "bin/sh", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  if (is_systemd(first) || (!image->command && is_systemd(init))) {
    image->init = PT_INIT_SYSTEM;
    g_free(image->stop_signal);
    image->stop_signal = g_strdup("RTMIN+3");
    if (image->command && !image->command[1])
      g_clear_pointer(&image->command, g_strfreev);
  } else {
    image->init = PT_INIT_APP;
    if (!image->command && shell)
      image->command = g_strdupv((char *[]){ (char *)"/bin/sh", NULL });
    if (!image->stop_signal)
      image->stop_signal = g_strdup("SIGTERM");
  }
  if (!image->os)
    image->os = os_name(root);
  close(root);
  if (!image->kinds)
    image->kinds = g_strdupv((char *[]){ (char *)"container", (char *)"machine", NULL });
  return true;
}

/* The newest time that came with the content: what unpacking set itself is as new as this build. */
static bool
newest(PtImageWork *w, gint64 *ret_time, gint64 *ret_bytes, GError **error)
{
  /* -printf alone prints: a name, which may hold anything, never reaches the pipe. */
  static const char script[] = "find /job/root -xdev ! -newermt \"@$1\" -printf '%Ts %b\\n' | "
                               "awk '{ if ($1 > m) m = $1; s += $2 } END { printf \"%d %.0f\\n\", m, s * 512 }'";
  g_autofree char *before = g_strdup_printf("%" G_GINT64_FORMAT, w->started - 1);
  const char *argv[] = { "sh", "-c", script, "sh", before, NULL };
  g_autofree char *out = NULL;

  if (!pt_image_work_run(w, &(PtJailRun){ .argv = argv }, &out, error))
    return false;
  char *rest = out;
  *ret_time = g_ascii_strtoll(out, &rest, 10);
  *ret_bytes = g_ascii_strtoll(rest, NULL, 10);
  return true;
}

static int
by_text(gconstpointer a, gconstpointer b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* RFC 4122's form over a hash of how it runs: the environment's order in its table is none, so it is sorted. */
static char *
make_uuid(const PtImage *image)
{
  g_autoptr(GString) text = g_string_new("portena-image 1");
  g_autoptr(GPtrArray) env = g_ptr_array_new_with_free_func(g_free);
  GHashTableIter iter;
  gpointer key, value;

  g_string_append_printf(text, "%c%d%c%d", 0, image->init, 0, image->desktop);
  const char *const parts[] = { image->arch, image->cwd, image->user, image->login, image->stop_signal, image->desktop_socket };
  for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
    g_string_append_printf(text, "%c%s", 0, parts[i] ? parts[i] : "");
  for (char **c = image->command; c && *c; c++)
    g_string_append_printf(text, "%c%s", 1, *c);
  if (image->env) {
    g_hash_table_iter_init(&iter, image->env);
    while (g_hash_table_iter_next(&iter, &key, &value))
      g_ptr_array_add(env, g_strdup_printf("%s=%s", (char *)key, (char *)value));
  }
  g_ptr_array_sort(env, by_text);
  for (guint i = 0; i < env->len; i++)
    g_string_append_printf(text, "%c%s", 2, (char *)g_ptr_array_index(env, i));
  g_autofree char *hex = pt_sha256_hex(text->str, text->len);
  return g_strdup_printf("%.8s-%.4s-4%.3s-8%.3s-%.12s", hex, hex + 8, hex + 13, hex + 17, hex + 20);
}

static bool
on_size(const char *line, void *data)
{
  gint64 bytes;

  if (sscanf(line, "@SIZE %" G_GINT64_FORMAT, &bytes) != 1)
    return false;
  pt_image_work_done(data, bytes);
  return true;
}

static bool
pack(PtImageWork *w, const PtImage *image, GError **error)
{
  static const char script[] =
    "while :; do sleep 0.25; stat -c '@SIZE %s' /out/rootfs.erofs; done & exec mkfs.erofs --quiet "
    "-U \"$1\" /out/rootfs.erofs /job/root";
  g_autofree char *uuid = make_uuid(image), *file = g_build_filename(w->out, "rootfs.erofs", NULL);
  gint64 epoch, bytes;

  if (!newest(w, &epoch, &bytes, error))
    return false;
  g_autofree char *env = g_strdup_printf("SOURCE_DATE_EPOCH=%" G_GINT64_FORMAT, epoch);
  int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", file);
    return false;
  }
  close(fd);
  pt_image_work_step(w, "Packing", 750, 920, bytes, "bytes");
  const char *options[] = { "--env", env, NULL };
  const char *argv[] = { "sh", "-c", script, "sh", uuid, NULL };
  return pt_image_work_run(
    w, &(PtJailRun){ .flags = PT_JAIL_OUT, .options = options, .argv = argv, .line = on_size, .line_data = w }, NULL, error);
}

static bool
seal(PtImageWork *w, PtImage *image, GError **error)
{
  g_autofree char *file = g_build_filename(w->out, "rootfs.erofs", NULL);
  g_autofree guint8 *buf = g_malloc(READ_CHUNK);
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
  int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  ssize_t n = -1;
  struct stat st;

  if (fd < 0 || fstat(fd, &st) != 0 || fchown(fd, 0, 0) != 0 || fchmod(fd, 0444) != 0) {
    pt_error_errno(error, errno, "%s", file);
    if (fd >= 0)
      close(fd);
    return false;
  }
  pt_image_work_step(w, "Checking", 920, 990, (gint64)st.st_size, "bytes");
  image->size = 0;
  bool cancelled = false;
  while (!(cancelled = pt_image_work_cancelled(w, error)) && (n = read(fd, buf, READ_CHUNK)) > 0) {
    g_checksum_update(sum, buf, n);
    image->size += n;
    pt_image_work_done(w, image->size);
  }
  bool ok = !cancelled && n == 0 && image->size > 0 && fsync(fd) == 0;
  if (!ok && !cancelled)
    pt_error_errno(error, n == 0 ? EIO : errno, "%s", file);
  close(fd);
  g_free(image->digest);
  image->digest = g_strconcat("sha256:", g_checksum_get_string(sum), NULL);
  return ok;
}

bool
pt_image_manifest(PtImageWork *w, PtImage *image, GError **error)
{
  int dir = open(w->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  image->created = pt_now();
  g_autofree char *text = pt_record_dump(&pt_image_type, image);
  g_autoptr(json_t) json = pt_json_parse_object(text, strlen(text), error);
  g_autoptr(PtImage) again = json ? pt_image_parse(json, error) : NULL;
  bool ok = again && dir >= 0 && pt_path_write(dir, "manifest.json", text, strlen(text), 0444, 0, 0, error);
  if (ok && fsync(dir) != 0) {
    pt_error_errno(error, errno, "%s", w->out);
    ok = false;
  }
  if (dir >= 0)
    close(dir);
  return ok;
}

bool
pt_image_finish(PtImageWork *w, PtImage *image, GError **error)
{
  return detect(w, image, error) && pack(w, image, error) && seal(w, image, error) && pt_image_manifest(w, image, error);
}
