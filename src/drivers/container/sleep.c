// SPDX-License-Identifier: Apache-2.0
/* Hibernation in the jail. Its processes are frozen, and all memory that the kernel can put elsewhere is taken from them: what
 * can be read again is dropped, the rest goes to swap. RUN/monitor/<id>/asleep says that it was wanted so, and what it gave back:
 * without that file a frozen one is paused. The file is there before the limit is lowered and goes after it was lifted, so that
 * whoever lets a merely paused one go on never does so under a limit that would kill it. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/container/internal.h"
#include "sys/cgroup.h"
#include "sys/zram.h"

bool
pt_ct_asleep(const PtContainers *c, const char *id, gint64 *ret_freed)
{
  g_autofree char *path = pt_ct_dir(c, id, "asleep"), *text = NULL;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return false;
  *ret_freed = g_ascii_strtoll(text, NULL, 10);
  return true;
}

static bool
mark(const PtContainers *c, const char *id, gint64 freed, GError **error)
{
  g_autofree char *path = pt_ct_dir(c, id, "asleep"), *text = g_strdup_printf("%" G_GINT64_FORMAT "\n", freed);

  return g_file_set_contents(path, text, -1, error);
}

static bool
unmark(const PtContainers *c, const char *id, GError **error)
{
  g_autofree char *path = pt_ct_dir(c, id, "asleep");

  if (unlink(path) == 0 || errno == ENOENT)
    return true;
  pt_error_errno(error, errno, "%s", path);
  return false;
}

/* Where the host has no swap at all and may be tuned, it gets some. */
static bool
room(const PtContainers *c, const char *id, const PtInstance *spec, GError **error)
{
  g_autoptr(GError) err = NULL, zram = NULL;

  if (pt_cgroup_swappable(c->host, id, &err))
    return true;
  bool none = g_error_matches(err, PT_ERROR, PT_ERR_UNSUPPORTED);
  if (none && c->host->tune && pt_zram_make(c->host, &zram))
    return pt_cgroup_swappable(c->host, id, error);
  g_propagate_error(error, g_steal_pointer(&err));
  if (none && !c->host->tune)
    pt_error_hint(error, "nothing was changed; give the host swap, or start portenad without --no-tune; or pause it:  portena pause %s",
                  spec->name);
  else
    pt_error_hint(error, "nothing was changed; give the host more swap, or pause it:  portena pause %s", spec->name);
  return false;
}

bool
pt_container_hibernate(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, PtSleep *ret, GError **error)
{
  bool was = pt_cgroup_frozen(c->host, id);
  gint64 before = 0, after = 0;

  if (spec->durable)
    return pt_ct_checkpoint(c, id, spec, image, ret, error);
  *ret = (PtSleep){ 0 };
  if (!room(c, id, spec, error) || !pt_container_pause(c, id, true, error))
    return false;
  if (pt_cgroup_reclaim(c->host, id, &before, &after, error) && mark(c, id, MAX(before - after, 0), error) &&
      pt_cgroup_hold(c->host, id, true, error)) {
    ret->freed = MAX(before - after, 0);
    return true;
  }
  pt_container_wake(c, id, spec, NULL, NULL);
  if (was)
    pt_container_pause(c, id, true, NULL);
  return false;
}

bool
pt_container_wake(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, GError **error)
{
  (void)image;
  return pt_ct_await_dump(c, id, error) && pt_cgroup_hold(c->host, id, false, error) && pt_container_limits(c, id, spec, error) &&
         unmark(c, id, error) && pt_container_pause(c, id, false, error);
}
