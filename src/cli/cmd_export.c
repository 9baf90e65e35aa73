// SPDX-License-Identifier: Apache-2.0
/* export: disks of machines and images to files that other hypervisors take. The server makes the file, we fetch it and let it go there. */
#include "cli/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/fetch.h"
#include "cli/operation.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/upload.h"

typedef struct Shown {
  PtProgress *progress;
  gint64 done;
} Shown;

static void
tell(void *data, gint64 more)
{
  Shown *s = data;

  s->done += more;
  pt_progress_set(s->progress, -1, s->done, 0, "bytes", NULL);
}

/* Zeros become holes: most of a disk is empty. */
static bool
fetch(PtCli *cli, const char *path, const char *temp, const char *file, gint64 *ret_bytes, GError **error)
{
  g_autofree char *title = g_strdup_printf("Fetching %s", file);
  g_autoptr(PtProgress) progress = pt_progress_new(cli, title);
  Shown shown = { progress, 0 };
  PtFetch f = { .path = path, .fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), .name = file, .holes = true, .tell = tell,
                .data = &shown };

  if (f.fd < 0) {
    pt_error_errno(error, errno, "%s", temp);
    return false;
  }
  g_autoptr(PtClientReply) reply = pt_fetch(cli, &f, error);
  bool ok = reply != NULL;
  if (ok && (ftruncate(f.fd, (off_t)f.done) != 0 || fsync(f.fd) != 0)) {
    pt_error_errno(error, errno, "%s", file);
    ok = false;
  }
  close(f.fd);
  *ret_bytes = f.done;
  return ok;
}

/* Begins at `path`, waits, fetches, and tells the server that it need not keep it. */
static int
run(PtCli *cli, const PtArgs *args, const char *path, GError **error)
{
  const char *what = pt_args_nth(args, 0), *file = pt_args_nth(args, 1), *given = pt_args_get(args, "format");
  const char *format = given ? given : pt_upload_disk_format(file);
  g_autoptr(json_t) body = json_pack("{s:s?}", "format", format), answer = NULL, op = NULL, gone = NULL;
  g_autofree char *title = g_strdup_printf("Exporting %s", what), *temp = g_strconcat(file, ".part", NULL);
  gint64 bytes = 0;

  if (!format) {
    PT_SET(error, PT_ERR_INVALID, "export: the name %s does not say what it is to be", file);
    pt_error_hint(error, "end it in .ova, .qcow2, .vmdk, .vdi, .vhdx, .vhd, .raw or .iso, or say --format");
    return -1;
  }
  if (!pt_cli_call(cli, "POST", path, body, &answer, error) || !pt_operation_wait(cli, answer, title, 0, &op, error))
    return -1;
  const char *result = pt_json_str(op ? op : answer, "result", "");
  g_autofree char *url = g_str_has_prefix(result, "exports/") ? pt_client_path("/v1/exports/%s", result + 8) : NULL;
  if (!url) {
    PT_SET(error, PT_ERR_INTERNAL, "export: the server's answer names no file");
    return -1;
  }
  bool ok = fetch(cli, url, temp, file, &bytes, error);
  if (ok && rename(temp, file) != 0) {
    pt_error_errno(error, errno, "%s", file);
    ok = false;
  }
  if (!ok) {
    if (!error || !*error || pt_error_code(*error) != PT_ERR_CONFLICT) /* that one was there before us */
      unlink(temp);
    return -1;
  }
  pt_cli_call(cli, "DELETE", url, NULL, &gone, NULL); /* else it goes by itself, in an hour */
  g_autofree char *size = pt_size_format(bytes), *safe = pt_safe(file);
  if (cli->json)
    pt_print_json(cli, op ? op : answer);
  else if (cli->quiet)
    pt_say("%s", safe);
  else
    pt_say("%s: %s, %s.", safe, format, size);
  return 0;
}

static int
run_export(PtCli *cli, const PtArgs *args, GError **error)
{
  PtTarget t = { 0 };

  if (!pt_target_parse(cli, pt_args_nth(args, 0), &t, error))
    return -1;
  g_autofree char *path = pt_client_path("/v1/spaces/%s/instances/%s/exports", t.space, t.name);
  int status = run(cli, args, path, error);
  pt_target_clear(&t);
  return status;
}

int
pt_image_export(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autofree char *path = pt_client_path("/v1/images/%s/exports", pt_args_nth(args, 0));

  return run(cli, args, path, error);
}

const PtOption pt_export_options[] = {
  { "format", 0, "FORMAT", "ova, qcow2, vmdk, vdi, vhdx, vhd, raw, iso (by the file's name)", false },
  { NULL, 0, NULL, NULL, false },
};
#define FORMATS_TEXT                                                                                                                  \
  "The file's name says what it becomes: an OVA is what VirtualBox and VMware import whole, the others are the disk alone; iso is for " \
  "discs. A raw disk comes with all its zeros, however empty it is: a qcow2 is as long as what is on it."
const char pt_export_text[] = FORMATS_TEXT;

const PtCommand pt_cmds_export[] = {
  { .name = "export",
    .args = "NAME FILE",
    .summary = "Take the disk of a pc away in a file",
    .options = pt_export_options,
    .min = 2,
    .max = 2,
    .completes = "if",
    .run = run_export,
    .text = FORMATS_TEXT "\nA running one needs qemu-guest-agent in it, which lets its file systems stand still for a moment; else stop "
                         "it.",
    .examples = { { "portena export office office.ova", "for VirtualBox or VMware" },
                  { "portena export office disk --format qcow2", "for QEMU" } } },
  { NULL },
};
