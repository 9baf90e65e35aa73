// SPDX-License-Identifier: Apache-2.0
/* The kernel unpacks one archive after the other into its first root (its documentation, driver-api/early-userspace/buffer-format):
 * the kernel image's own, and behind it a small one in cpio's "newc" format with /config alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/guest.h"
#include "base/id.h"
#include "drivers/machine/internal.h"
#include "sys/path.h"

#define INITRD_MAX (64u << 20)
#define ALIGN 4

static void
line(GString *s, const char *key, const char *value)
{
  if (!value)
    return;
  g_string_append_printf(s, "%s=", key);
  for (const char *c = value; *c; c++) {
    if (*c == '\\' || *c == '\n')
      g_string_append(s, *c == '\n' ? "\\n" : "\\\\");
    else
      g_string_append_c(s, *c);
  }
  g_string_append_c(s, '\n');
}

static void
lines(GString *s, const char *key, char *const *values)
{
  for (; values && *values; values++)
    line(s, key, *values);
}

static void
add_env(GString *s, const PtContainerStart *start)
{
  g_autoptr(GHashTable) all = g_hash_table_new(g_str_hash, g_str_equal);
  GHashTable *const layers[] = { start->image->env, start->spec->env };
  GHashTableIter it;
  gpointer key, value;

  for (guint i = 0; i < G_N_ELEMENTS(layers); i++) {
    if (!layers[i])
      continue;
    g_hash_table_iter_init(&it, layers[i]);
    while (g_hash_table_iter_next(&it, &key, &value))
      g_hash_table_insert(all, key, value);
  }
  g_hash_table_iter_init(&it, all);
  while (g_hash_table_iter_next(&it, &key, &value)) {
    g_autofree char *pair = g_strconcat(key, "=", value, NULL);
    line(s, "env", pair);
  }
}

/* "10.83.0.0/24" and "10.83.0.7" make "10.83.0.7/24". */
static void
add_address(GString *s, const char *address, const char *network)
{
  const char *slash = network ? strchr(network, '/') : NULL;
  g_autofree char *text = address && slash ? g_strconcat(address, slash, NULL) : NULL;

  line(s, "address", text);
}

static void
add_network(GString *s, const PtContainerStart *start)
{
  const PtInstance *spec = start->spec;
  g_auto(GStrv) prefix = start->prefix6 ? g_strsplit(start->prefix6, "/", 2) : NULL;
  char text[INET6_ADDRSTRLEN];
  struct in6_addr a;

  if (!start->plug)
    return;
  line(s, "mac", spec->mac);
  add_address(s, spec->address, start->subnet);
  add_address(s, spec->address6, start->prefix6);
  line(s, "gateway", start->dns); /* the bridge is both */
  if (spec->address6 && prefix && inet_pton(AF_INET6, prefix[0], &a) == 1) {
    a.s6_addr[15] = 1;
    line(s, "gateway", inet_ntop(AF_INET6, &a, text, sizeof text));
  }
  line(s, "dns", start->dns);
  lines(s, "card", start->cards);
}

static void
add_disks(GString *s, const PtInstance *spec)
{
  for (guint i = 0; spec->disks && i < spec->disks->len; i++) {
    const PtDisk *d = g_ptr_array_index(spec->disks, i);
    const char *path = d->path ? d->path : "/";
    g_autofree char *text = g_strdup_printf(PT_GUEST_DISK_SERIAL " %s %s", (guint)d->slot, d->read_only ? "ro" : "rw", path);

    if (d->path)
      line(s, "disk", text);
  }
}

char *
pt_machine_config(const PtContainerStart *start, const char *uuid)
{
  const PtInstance *spec = start->spec;
  const PtImage *image = start->image;
  GString *s = g_string_new(NULL);
  g_autofree char *seed = pt_random_hex(32), *now = g_strdup_printf("%" G_GINT64_FORMAT, pt_now());

  line(s, "hostname", spec->name);
  line(s, "domain", start->domain);
  line(s, "machine-id", uuid);
  add_network(s, start);
  line(s, "seed", seed);
  line(s, "time", now);
  line(s, "init", spec->init == PT_INIT_SYSTEM ? "system" : "app");
  lines(s, "command", spec->command && *spec->command ? spec->command : image->command);
  add_env(s, start);
  line(s, "cwd", spec->cwd ? spec->cwd : spec->init == PT_INIT_APP ? image->cwd : NULL);
  line(s, "user", spec->user ? spec->user : spec->init == PT_INIT_APP ? image->user : NULL);
  line(s, "image", PT_GUEST_IMAGE_SERIAL);
  line(s, "volume", PT_GUEST_VOLUME_SERIAL);
  add_disks(s, spec);
  return g_string_free(s, FALSE);
}

static void
pad(GString *s)
{
  while (s->len % ALIGN)
    g_string_append_c(s, '\0');
}

static void
entry(GString *s, const char *name, guint mode, const char *data, gsize size)
{
  g_string_append_printf(s, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1u, mode, 0u, 0u, 1u, 0u, (guint)size, 0u, 0u, 0u,
                         0u, (guint)strlen(name) + 1, 0u);
  g_string_append_len(s, name, (gssize)strlen(name) + 1);
  pad(s);
  g_string_append_len(s, data, (gssize)size);
  pad(s);
}

static bool
write_all(int fd, const char *data, gsize size)
{
  while (size > 0) {
    ssize_t n = write(fd, data, size);

    if (n <= 0)
      return false;
    data += n;
    size -= (gsize)n;
  }
  return true;
}

/* All of `from`, by the kernel: it is in the page cache already. */
static bool
append_file(int to, int from, gsize size)
{
  while (size > 0) {
    ssize_t n = sendfile(to, from, NULL, size);

    if (n <= 0)
      return false;
    size -= (gsize)n;
  }
  return true;
}

/* The kernel image's initrd; -1 and an error. */
static int
open_base(const char *kernel, gsize *ret_size, GError **error)
{
  g_autofree char *path = g_build_filename(kernel, "initrd", NULL);
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;

  if (fd < 0 || fstat(fd, &st) < 0)
    pt_error_errno(error, errno, "%s", path);
  else if (!S_ISREG(st.st_mode) || st.st_size > INITRD_MAX)
    PT_SET(error, PT_ERR_INVALID, "the kernel image's initrd is too large");
  else {
    *ret_size = (gsize)st.st_size;
    return fd;
  }
  if (fd >= 0)
    close(fd);
  return -1;
}

bool
pt_machine_initrd(const PtContainerStart *start, const PtJail *jail, const char *path, GError **error)
{
  static const char zero[ALIGN];
  uid_t owner = (uid_t)start->idbase;
  g_autofree char *config = pt_machine_config(start, jail->uuid);
  g_autoptr(GString) cpio = g_string_new(NULL);
  gsize size;
  PtPathWrite w;
  int base = open_base(start->kernel, &size, error);

  if (base < 0)
    return false;
  entry(cpio, "config", 0100600, config, strlen(config));
  entry(cpio, "TRAILER!!!", 0, "", 0);
  bool begun = pt_path_write_begin(&w, jail->root, path, owner, owner, error);
  bool ok = begun && append_file(w.fd, base, size) && write_all(w.fd, zero, (ALIGN - size % ALIGN) % ALIGN) &&
            write_all(w.fd, cpio->str, cpio->len);
  if (begun && !ok) {
    pt_error_errno(error, errno, "the machine's initrd");
    pt_path_write_abort(&w);
  }
  close(base);
  return ok && pt_path_write_commit(&w, 0400, error);
}
