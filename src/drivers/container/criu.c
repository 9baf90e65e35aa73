// SPDX-License-Identifier: Apache-2.0
/* Which CRIU there is, and what it and a saved container have to agree on: everything in a container that comes from outside it has
 * a name, under which it is left out when it is saved and put in when it is restored. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/container/checkpoint.h"
#include "sys/process.h"

#define BUILT "/usr/lib/portena/criu" /* packaging/criu.sh */
#define OLDEST 4                     /* older ones do not know the vDSO of newer kernels */

/* What crun binds from the node; the masked ones of config.c are all /dev/null. */
static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full",   "/dev/tty", "/dev/random", "/dev/urandom",
                                       "/dev/fuse", "/dev/net/tun", NULL };

static int
version_of(const char *path)
{
  const char *const argv[] = { path, "--version", NULL };
  g_autofree char *text = NULL;

  return pt_run(argv, NULL, &text, NULL) && g_str_has_prefix(text, "Version: ") ? (int)g_ascii_strtoll(text + 9, NULL, 10) : 0;
}

/* *ret_old: the version of one that will not do; 0 = there is none. */
static char *
find(int *ret_old)
{
  g_autofree char *package = g_find_program_in_path("criu");

  *ret_old = 0;
  if (access(BUILT, X_OK) == 0 && version_of(BUILT) >= OLDEST)
    return g_strdup(BUILT);
  if (package && (*ret_old = version_of(package)) >= OLDEST)
    return g_steal_pointer(&package);
  return NULL;
}

char *
pt_container_criu(GError **error)
{
  static GMutex lock;
  static char *found;
  int old = 0;

  g_mutex_lock(&lock);
  if (!found || access(found, X_OK) < 0) {
    g_free(found);
    found = find(&old);
  }
  char *path = g_strdup(found);
  g_mutex_unlock(&lock);
  if (path)
    return path;
  if (old)
    PT_SET(error, PT_ERR_UNSUPPORTED, "a container is hibernated on disk by CRIU %d or newer, and here is %d", OLDEST, old);
  else
    PT_SET(error, PT_ERR_UNSUPPORTED, "a container is hibernated on disk by CRIU %d or newer, which is not here", OLDEST);
  pt_error_hint(error, "get it with packaging/criu.sh; without it, hibernate in memory, without --durable");
  return NULL;
}

static char *
cookie(const char *path)
{
  char *name = g_strdup(path + 1);

  return g_strdelimit(name, "/", '_');
}

static void
outside(PtOutsideFn fn, void *data, const char *path, const char *source)
{
  g_autofree char *name = cookie(path);

  fn(path, name, source, data);
}

void
pt_ct_outside(PtOutsideFn fn, void *data, const char *console, const char *notify)
{
  for (const char *const *d = devices; *d; d++) {
    if (access(*d, F_OK) == 0)
      outside(fn, data, *d, *d);
  }
  for (const char *const *m = pt_config_masked; *m; m++)
    outside(fn, data, *m, "/dev/null");
  outside(fn, data, "/dev/console", console);
  outside(fn, data, "/run/host/notify", notify);
}

/* "(00.012345) Error (criu/mount.c:12): mnt: what it is" */
char *
pt_ct_criu_reason(const char *text)
{
  const char *at = text, *end;

  if (at && strstr(at, "RLIMIT_NOFILE") && strchr(at, '\n')) /* without CAP_SYS_RESOURCE; it goes on all the same */
    at = strchr(at, '\n') + 1;
  if (strstr(at, "Error (") && (end = strstr(at, "): ")))
    at = end + 3;
  at += strspn(at, " ");
  g_autofree char *line = g_strndup(at, strcspn(at, "\n"));
  return pt_text_safe(*line ? line : "it gives no reason", 300);
}
