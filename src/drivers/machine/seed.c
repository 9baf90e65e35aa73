// SPDX-License-Identifier: Apache-2.0
/* cloud-init's data source NoCloud: files user-data, meta-data and network-config on a small ISO 9660 file system labelled CIDATA. The
 * first is the user's word for word; the other two are ours, written as JSON, which is YAML too, so nothing in a name can become
 * a key. xorriso packs them; it reads nothing of what is in them.
 *
 * cloud-init does its work once for each instance-id. Ours changes with what the instance is told, so that a change of
 * user_data or ssh_keys takes effect at the next start, as the field promises. */
#include "drivers/machine/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "sys/path.h"
#include "sys/process.h"

#define EMPTY "#cloud-config\n{}\n"

static char *
instance_id(const PtInstance *spec)
{
  g_autoptr(GString) told = g_string_new(spec->user_data);

  for (char **k = spec->ssh_keys; k && *k; k++)
    g_string_append_printf(told, "%c%s", 0, *k);
  if (told->len == 0)
    return g_strdup(spec->id);
  g_autofree char *hash = pt_sha256_hex(told->str, told->len);
  explicit_bzero(told->str, told->len);
  return g_strdup_printf("%s-%.8s", spec->id, hash);
}

static char *
meta_data(const PtInstance *spec)
{
  g_autofree char *id = instance_id(spec);
  g_autoptr(json_t) meta = json_pack("{s:s, s:s}", "instance-id", id, "local-hostname", spec->name);

  if (spec->ssh_keys && spec->ssh_keys[0]) {
    json_t *keys = json_array();
    for (char **k = spec->ssh_keys; *k; k++)
      json_array_append_new(keys, json_string(*k));
    json_object_set_new(meta, "public-keys", keys);
  }
  return pt_json_dump(meta);
}

/* The card is told by its MAC: its name is the system's choice. DHCP gives it its IPv4 address; nothing gives it the other, which
 * leads nowhere beyond its space, so there is no route with it. */
static char *
network_config(const PtInstance *spec, const char *prefix6)
{
  const char *slash = prefix6 ? strchr(prefix6, '/') : NULL;
  g_autoptr(json_t) config = json_pack("{s:i, s:{}}", "version", 2, "ethernets");

  if (!spec->offline && spec->mac) {
    g_autoptr(json_t) card = json_pack("{s:{s:s}, s:b}", "match", "macaddress", spec->mac, "dhcp4", 1);
    if (spec->address6 && slash) {
      g_autofree char *address = g_strconcat(spec->address6, slash, NULL);
      json_object_set_new(card, "addresses", json_pack("[s]", address));
    }
    json_object_set(json_object_get(config, "ethernets"), "portena0", card);
  }
  return pt_json_dump(config);
}

static bool
write_files(int dir, const PtInstance *spec, const char *prefix6, GError **error)
{
  g_autofree char *meta = meta_data(spec), *network = network_config(spec, prefix6);
  const char *user = spec->user_data ? spec->user_data : EMPTY;
  const struct { const char *name, *text; } files[] = { { "user-data", user }, { "meta-data", meta }, { "network-config", network } };

  for (guint i = 0; i < G_N_ELEMENTS(files); i++)
    if (!pt_path_write(dir, files[i].name, files[i].text, strlen(files[i].text), 0644, 0, 0, error))
      return false;
  return true;
}

static bool
pack(const char *files, const char *iso, GError **error)
{
  const char *argv[] = { "xorriso", "-as", "mkisofs", "-quiet", "-V", "CIDATA", "-J", "-r", "-o", iso, files, NULL };
  int fd = open(iso, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600); /* before there is anything to read in it */

  if (fd < 0) {
    pt_error_errno(error, errno, "%s", iso);
    return false;
  }
  close(fd);
  return pt_run(argv, NULL, NULL, error);
}

char *
pt_seed_make(const PtInstance *spec, const char *prefix6, const char *dir, GError **error)
{
  g_autofree char *tag = pt_random_hex(6), *name = g_strconcat(".seed-", tag, NULL), *files = g_build_filename(dir, name, NULL),
                  *fresh = g_strconcat(files, ".iso", NULL), *iso = g_build_filename(dir, "seed.iso", NULL);
  int parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int below = parent >= 0 && mkdirat(parent, name, 0700) == 0 ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
  bool ok = below >= 0;

  if (!ok)
    pt_error_errno(error, errno, "%s", files);
  ok = ok && write_files(below, spec, prefix6, error) && pack(files, fresh, error);
  if (ok && rename(fresh, iso) != 0) {
    pt_error_errno(error, errno, "%s", iso);
    ok = false;
  }
  if (!ok)
    unlink(fresh);
  if (below >= 0)
    close(below);
  if (parent >= 0) {
    ok = pt_path_remove(parent, name, true, ok ? error : NULL) && ok;
    close(parent);
  }
  if (ok)
    return g_steal_pointer(&iso);
  g_prefix_error(error, "cloud-init's disc: ");
  return NULL;
}
