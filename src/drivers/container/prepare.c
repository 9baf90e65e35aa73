// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. Image and volume carry the ids that the guest sees (root is 0), so that a machine can use the same
 * volume. For a container both are bound once more with their ids shifted to its range, at RUN/mnt/half/<id>.{lower,volume}, the
 * overlay is mounted from these, and they are unmounted again: the overlay keeps private copies of the two mounts.
 *
 * A volume may have been written by a machine's kernel, so its names are as hostile as any: upper and work must be plain
 * directories, or nothing is mounted. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "drivers/container/internal.h"
#include "sys/mounts.h"
#include "sys/path.h"

#define GUEST_FILE_MAX (64 * 1024)

static bool
plain_dir(int root, const char *name, mode_t mode, GError **error)
{
  if (!pt_path_mkdir(root, name, mode, 0, 0, error))
    return false;
  int fd = pt_path_open(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV, error);
  if (fd < 0)
    return false;
  close(fd);
  return true;
}

static bool
prepare_volume(const char *volume, GError **error)
{
  int root = open(volume, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (root < 0) {
    pt_error_errno(error, errno, "%s", volume);
    return false;
  }
  bool ok = plain_dir(root, "upper", 0755, error) && plain_dir(root, "work", 0700, error);
  close(root);
  if (!ok)
    g_prefix_error(error, "root volume: ");
  return ok;
}

static bool
mount_both(const PtContainerStart *start, const char *lower, const char *volume, GError **error)
{
  int userns = pt_userns_fd(start->idbase, PT_GUEST_IDS, error);

  if (userns < 0)
    return false;
  bool ok = pt_mount_idmapped(start->lower, lower, userns, true, error) &&
            pt_mount_idmapped(start->volume, volume, userns, false, error);
  close(userns);
  return ok;
}

bool
pt_ct_mount(const PtContainers *c, const PtContainerStart *start, GError **error)
{
  const char *id = start->spec->id;
  g_autofree char *lower = g_strdup_printf("%s/mnt/half/%s.lower", c->host->run, id);
  g_autofree char *volume = g_strdup_printf("%s/mnt/half/%s.volume", c->host->run, id);
  g_autofree char *upper = g_build_filename(volume, "upper", NULL), *work = g_build_filename(volume, "work", NULL);
  g_autofree char *target = pt_ct_root(c, id);

  if (!prepare_volume(start->volume, error))
    return false;
  bool ok = mount_both(start, lower, volume, error) &&
            pt_mount_overlay(&(PtOverlay){ lower, upper, work, target, start->idbase }, error);
  pt_umount(lower, NULL);
  pt_umount(volume, NULL);
  rmdir(lower);
  rmdir(volume);
  return ok;
}

bool
pt_ct_mount_bare(const PtContainers *c, const PtContainerStart *start, GError **error)
{
  g_autofree char *target = pt_ct_root(c, start->spec->id);
  g_autofree char *options = g_strdup_printf("mode=755,size=%" G_GINT64_FORMAT "k,nr_inodes=1k,uid=%" G_GINT64_FORMAT
                                             ",gid=%" G_GINT64_FORMAT, start->bare_size ? start->bare_size / 1024 + 1 : 1024,
                                             start->idbase, start->idbase);

  return pt_mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NOEXEC | (start->bare_devices ? 0 : MS_NODEV), options, error);
}

bool
pt_ct_unmount(const PtContainers *c, const char *id, GError **error)
{
  g_autofree char *target = pt_ct_root(c, id);

  /* Half-mounted ones are there only after a daemon was killed in pt_ct_mount(). */
  for (const char *const *half = (const char *const[]){ "lower", "volume", NULL }; *half; half++) {
    g_autofree char *path = g_strdup_printf("%s/mnt/half/%s.%s", c->host->run, id, *half);

    if (rmdir(path) < 0 && errno == EBUSY && (!pt_umount(path, error) || rmdir(path) < 0))
      return false;
  }
  if (!pt_umount(target, error))
    return false;
  if (rmdir(target) < 0 && errno != ENOENT) {
    pt_error_errno(error, errno, "%s", target);
    return false;
  }
  return true;
}

/* Only where it says something else already, so that a start copies nothing up that is right. */
static bool
put_file(int root, const char *path, const char *text, mode_t mode, gint64 base, GError **error)
{
  g_autofree char *have = NULL;

  if (pt_path_read(root, path, GUEST_FILE_MAX, &have, NULL, NULL) && strcmp(have, text) == 0)
    return true;
  return pt_path_write(root, path, text, strlen(text), mode, (uid_t)base, (gid_t)base, error);
}

char *
pt_ct_uuid(const char *id)
{
  g_autofree char *hex = pt_sha256_hex(id, strlen(id));
  char *uuid = g_strndup(hex, 32);

  uuid[12] = '4'; /* as systemd wants it: a version 4 UUID, RFC 9562 */
  uuid[16] = "89ab"[g_ascii_xdigit_value(uuid[16]) & 3];
  return uuid;
}

bool
pt_ct_write_files(const PtContainerStart *start, int root, const char *uuid, GError **error)
{
  const PtInstance *spec = start->spec;
  const char *domain = start->domain ? start->domain : "internal";
  g_autofree char *hostname = g_strdup_printf("%s\n", spec->name);
  g_autofree char *machine_id = g_strdup_printf("%s\n", uuid);
  g_autofree char *resolv = g_strdup_printf("# written by Portena at each start\nnameserver %s\nsearch %s\n", start->dns, domain);
  GString *hosts = g_string_new("# written by Portena at each start\n127.0.0.1 localhost\n::1 localhost ip6-localhost "
                                "ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n");

  if (spec->address)
    g_string_append_printf(hosts, "%s %s.%s %s\n", spec->address, spec->name, domain, spec->name);
  if (spec->address6)
    g_string_append_printf(hosts, "%s %s.%s %s\n", spec->address6, spec->name, domain, spec->name);
  g_autofree char *hosts_text = g_string_free(hosts, FALSE);
  bool ok = pt_path_mkdir(root, "/etc", 0755, (uid_t)start->idbase, (gid_t)start->idbase, error) &&
            put_file(root, "/etc/hostname", hostname, 0644, start->idbase, error) &&
            put_file(root, "/etc/hosts", hosts_text, 0644, start->idbase, error) &&
            (!start->dns || put_file(root, "/etc/resolv.conf", resolv, 0644, start->idbase, error)) &&
            (spec->init != PT_INIT_SYSTEM || put_file(root, "/etc/machine-id", machine_id, 0444, start->idbase, error));
  if (!ok)
    g_prefix_error(error, "the guest's files: ");
  return ok;
}

bool
pt_ct_is_systemd(int root)
{
  char self[64], target[4096];
  int fd = pt_path_open(root, "/sbin/init", O_PATH, 0, 0, NULL);

  if (fd < 0)
    return false;
  g_snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(self, target, sizeof target - 1);
  close(fd);
  target[MAX(n, 0)] = '\0';
  return g_str_has_suffix(target, "/systemd");
}
