// SPDX-License-Identifier: Apache-2.0
/* Disks on their way out: an operation makes the file, whoever began it fetches it by the operation's id, and removes it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/bodies.h"
#include "api/disks.h"
#include "api/handlers.h"
#include "api/images.h"
#include "api/instances.h"
#include "base/id.h"
#include "base/text.h"

#define KIND "export"

static bool
begin(PtRequest *r, const char *target, const char *digest, const char *name, const char *format, GError **error)
{
  const char *space = digest ? NULL : pt_param(r, "space");
  PtOperation op = { .kind = (char *)KIND, .target = (char *)target, .space = (char *)space, .user = r->who.name };
  g_autofree char *id = pt_ops_begin_now(r->api->ops, &op, error);

  g_free(op.id);
  if (!id)
    return false;
  r->object = g_strdup(target);
  r->audit_detail = g_strdup(format);
  pt_agent_export(r->api->agent, id, format, digest, space, name);
  return pt_reply_operation(r, id, NULL, error);
}

/* The format that the body asks for; NULL with an error. Constant. */
static const char *
wanted(PtRequest *r, bool iso, GError **error)
{
  PtBodyExport *b = pt_body_record(r, &pt_body_export, error);
  const char *format = b ? pt_export_format_names[b->format] : NULL;

  if (b)
    pt_record_free(&pt_body_export, b);
  if (!format || strcmp(format, "raw") == 0 || (strcmp(format, "iso") == 0) == iso)
    return format;
  PT_SET(error, PT_ERR_INVALID, iso ? "format: this is a disc, which is exported as iso" : "format: this is a disk, and no disc");
  return NULL;
}

bool
pt_images_export_post(PtRequest *r, GError **error)
{
  g_autoptr(PtImage) image = pt_image_find(r->api, pt_param(r, "ref"), NULL, error);

  if (!image)
    return false;
  if (!pt_disks_raw(image)) {
    PT_SET(error, PT_ERR_INVALID, "image %s: holds files and no disk, so it cannot be exported as one\n"
                                  "images of disks and discs can", pt_param(r, "ref"));
    return false;
  }
  const char *format = wanted(r, image->format == PT_FORMAT_ISO, error);
  g_autofree char *target = g_strdup_printf("images/%s", image->names && image->names[0] ? image->names[0] : image->digest);
  return format && begin(r, target, image->digest, NULL, format, error);
}

bool
pt_instances_export_post(PtRequest *r, GError **error)
{
  g_autoptr(PtStatus) status = NULL;
  g_autoptr(PtInstance) spec = pt_instance_load(r, &status, NULL, error);
  g_autofree char *key = spec && spec->volume ? pt_key_volume(spec->space, spec->volume) : NULL;
  g_autoptr(PtVolume) volume = key ? pt_load(r->api, key, &pt_volume_type, "root volume", NULL, error) : NULL;

  if (!volume)
    return false;
  if (volume->format != PT_VOLUME_RAW) {
    PT_SET(error, PT_ERR_INVALID, "%s: its volume holds what differs from its image, and is no disk that another hypervisor could start\n"
                                  "copy its files: portena cp %s:/PATH .", spec->name, spec->name);
    return false;
  }
  bool whole = !status || status->state == PT_RUN_STOPPED || status->state == PT_RUN_FAILED ||
               (status->state == PT_RUN_RUNNING && status->agent);
  if (!whole) {
    PT_SET(error, PT_ERR_CONFLICT, "%s: its disk can be exported while it is stopped, or while a guest agent answers in it", spec->name);
    pt_error_hint(error, "portena stop %s", spec->name);
    return false;
  }
  const char *format = wanted(r, false, error);
  g_autofree char *target = g_strdup_printf("spaces/%s/instances/%s", spec->space, spec->name);
  return format && begin(r, target, NULL, spec->name, format, error);
}

/* ---- fetching ---- */

/* The file of the route's export; only for who began it, and for administrators. */
static char *
find(PtRequest *r, PtOperation **ret_op, const char **ret_format, GError **error)
{
  const char *id = pt_param(r, "id");
  g_autoptr(PtOperation) op = pt_id_valid(id) ? pt_ops_get(r->api->ops, id, NULL) : NULL;
  bool mine = op && strcmp(op->kind, KIND) == 0 && !r->who.read_only &&
              (r->who.only_space ? g_strcmp0(r->who.only_space, op->space) == 0 && g_strcmp0(op->user, r->who.name) == 0
                                 : r->who.owner_everywhere || g_strcmp0(op->user, r->who.name) == 0);

  if (!mine || op->state != PT_OP_DONE) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no such export\nbegin one: portena export NAME FILE");
    return NULL;
  }
  char *path = pt_agent_export_file(r->api->agent, id, ret_format, error);
  if (path)
    *ret_op = g_steal_pointer(&op);
  return path;
}

bool
pt_exports_get(PtRequest *r, GError **error)
{
  g_autoptr(PtOperation) op = NULL;
  const char *format = NULL;
  g_autofree char *path = find(r, &op, &format, error);
  struct stat st;

  if (!path)
    return false;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0) {
    pt_error_errno(error, fd < 0 ? errno : EIO, "export");
    if (fd >= 0)
      close(fd);
    return false;
  }
  const char *slash = strrchr(op->target, '/');
  g_autofree char *name = g_strdup(slash + 1);
  g_strcanon(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", '_');
  g_autofree char *disposition = g_strdup_printf("attachment; filename=\"%s.%s\"", name, format);
  pt_reply_header(r, "Content-Disposition", disposition);
  return pt_reply_file(r, fd, st.st_size, NULL, NULL);
}

bool
pt_exports_delete(PtRequest *r, GError **error)
{
  g_autoptr(PtOperation) op = NULL;
  const char *format = NULL;
  g_autofree char *path = find(r, &op, &format, error);

  if (!path)
    return false;
  if (unlink(path) < 0 && errno != ENOENT) {
    pt_error_errno(error, errno, "export");
    return false;
  }
  return pt_reply_empty(r);
}
