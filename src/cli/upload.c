// SPDX-License-Identifier: Apache-2.0
#include "cli/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/progress.h"

const char *
pt_upload_disk_format(const char *file)
{
  static const char *const known[][2] = { { ".qcow2", "qcow2" }, { ".raw", "raw" }, { ".vmdk", "vmdk" },
                                          { ".vdi", "vdi" },     { ".vhd", "vhd" }, { ".vhdx", "vhdx" },
                                          { ".vpc", "vhd" },     { ".ova", "ova" }, { ".iso", "iso" } };
  g_autofree char *lower = g_ascii_strdown(file, -1);

  for (guint i = 0; i < G_N_ELEMENTS(known); i++)
    if (g_str_has_suffix(lower, known[i][0]))
      return known[i][1];
  return NULL;
}

const char *
pt_upload_format(const char *file)
{
  static const struct { const char *magic; gsize size; } magics[] = { { "\177ELF", 4 }, { "\0asm", 4 }, { "PK\3\4", 4 }, { "#!", 2 } };
  const char *disk = pt_upload_disk_format(file);
  char head[4] = { 0 };
  struct stat st;
  int fd = strcmp(file, "-") == 0 ? -1 : open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool program = fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
  ssize_t n = fd < 0 || program ? 0 : pread(fd, head, sizeof head, 0);

  for (guint i = 0; i < G_N_ELEMENTS(magics); i++)
    program |= n == (ssize_t)sizeof head && memcmp(head, magics[i].magic, magics[i].size) == 0;
  if (fd >= 0)
    close(fd);
  return disk ? disk : program ? "program" : "rootfs";
}

bool
pt_upload_is_program(const char *image)
{
  if (g_str_has_prefix(image, "./") || g_str_has_prefix(image, "../") || image[0] == '/')
    return true;
  return (g_str_has_suffix(image, ".wasm") || g_str_has_suffix(image, ".jar")) && access(image, R_OK) == 0;
}

char *
pt_upload_name(const char *file)
{
  g_autofree char *base = g_path_get_basename(file);

  g_strcanon(base, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-", '-');
  for (char *dots; (dots = strstr(base, ".."));) /* no part of a name */
    *dots = '-';
  return g_strdup_printf("program/%.200s", base);
}

typedef struct Sending {
  int fd;
  GPid tar; /* packs a directory; 0 = none */
  gint64 done, total;
  PtProgress *progress;
} Sending;

/* Half a tarball must not be taken for a whole one. */
static bool
tar_ended_well(Sending *u, GError **error)
{
  int status = 0;

  while (waitpid(u->tar, &status, 0) < 0 && errno == EINTR)
    ;
  u->tar = 0;
  if (status == 0)
    return true;
  PT_SET(error, PT_ERR_INVALID, "the directory could not be read whole");
  pt_error_hint(error, "tar has said above what stood in its way");
  return false;
}

static gssize
read_upload(void *data, void *buf, gsize size, GError **error)
{
  Sending *u = data;
  gssize n = read(u->fd, buf, size);

  if (n < 0) {
    pt_error_errno(error, errno, "reading the file");
    return -1;
  }
  if (n == 0 && u->tar && !tar_ended_well(u, error))
    return -1;
  u->done += n;
  pt_progress_set(u->progress, -1, u->done, u->total, "bytes", NULL);
  return n;
}

static bool
open_upload(Sending *u, const char *file, GError **error)
{
  struct stat st;

  u->fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
  if (u->fd < 0 || fstat(u->fd, &st) < 0) {
    pt_error_errno(error, errno, "%s", file);
    return false;
  }
  if (!S_ISDIR(st.st_mode)) {
    u->total = S_ISREG(st.st_mode) ? st.st_size : 0;
    return true;
  }
  const char *const argv[] = { "tar", "--create", "--file=-", "--directory", file, ".", NULL };
  g_autoptr(GError) why = NULL;
  close(u->fd);
  u->fd = -1;
  if (g_spawn_async_with_pipes(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &u->tar, NULL,
                               &u->fd, NULL, &why))
    return true;
  PT_SET(error, PT_ERR_INTERNAL, "%s: %s", file, why->message);
  return false;
}

/* However it ended, nothing of ours runs on. */
static void
close_upload(Sending *u)
{
  pt_progress_free(u->progress);
  if (u->fd >= 0)
    close(u->fd);
  if (u->tar)
    tar_ended_well(u, NULL); /* nobody reads any more, so it ends */
}

static void
add_query(GString *path, const char *format, const char *value)
{
  g_autofree char *part = value ? pt_client_path(format, value) : NULL;

  if (part)
    g_string_append(path, part);
}

bool
pt_upload(PtCli *cli, const PtUpload *upload, json_t **ret, GError **error)
{
  static const char *const headers[] = { "Content-Type", "application/octet-stream", NULL };
  g_autofree char *title = g_strdup_printf("Sending %s", upload->file);
  g_autoptr(GString) path = g_string_new(NULL);
  Sending u = { .fd = -1 };

  add_query(path, "/v1/images?name=%s", upload->name);
  add_query(path, "&format=%s", upload->format);
  add_query(path, "&arch=%s", upload->arch);
  add_query(path, "&main=%s", upload->main);
  if (!open_upload(&u, upload->file, error)) {
    close_upload(&u);
    return false;
  }
  u.progress = pt_progress_new(cli, title);
  PtClientRequest r = {
    .method = "POST", .path = path->str, .headers = headers, .source = read_upload, .source_data = &u, .timeout = -1
  };
  PtTransport *t = pt_cli_transport(cli, error);
  g_autoptr(PtClientReply) reply = t ? t->ops->send(t, &r, error) : NULL;
  close_upload(&u);
  if (!reply || !pt_client_reply_check(reply, error))
    return false;
  *ret = pt_json_parse_object(reply->body, reply->body_size, error);
  return *ret != NULL;
}
