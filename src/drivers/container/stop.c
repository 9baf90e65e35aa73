// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "drivers/container/internal.h"
#include "sys/cgroup.h"
#include "sys/path.h"
#include "sys/process.h"

#define GONE_WAIT (30 * G_USEC_PER_SEC)
#define LOOK_EVERY (G_USEC_PER_SEC / 5) /* for somebody who has lost patience */

static const struct {
  const char *name;
  int number;
} signals[] = { { "HUP", SIGHUP },   { "INT", SIGINT },   { "QUIT", SIGQUIT }, { "KILL", SIGKILL }, { "USR1", SIGUSR1 },
                { "USR2", SIGUSR2 }, { "TERM", SIGTERM }, { "PWR", SIGPWR },   { "WINCH", SIGWINCH } };

int
pt_signal_parse(const char *name)
{
  guint64 n;

  if (!name)
    return 0;
  if (g_ascii_string_to_unsigned(name, 10, 1, 64, &n, NULL))
    return (int)n;
  if (g_str_has_prefix(name, "SIG"))
    name += 3;
  /* The guest's C library counts real-time signals from 34, whatever ours does. */
  if (g_str_has_prefix(name, "RTMIN+") && g_ascii_string_to_unsigned(name + 6, 10, 0, 30, &n, NULL))
    return 34 + (int)n;
  for (guint i = 0; i < G_N_ELEMENTS(signals); i++) {
    if (strcmp(name, signals[i].name) == 0)
      return signals[i].number;
  }
  return 0;
}

static int
stop_signal(const PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image)
{
  PtContainerMeta meta;
  /* The image speaks for its own first process: a command run from a system's image knows nothing of systemd's signals. */
  int number = image && image->init == spec->init ? pt_signal_parse(image->stop_signal) : 0;

  if (spec->init == PT_INIT_SYSTEM && pt_ct_meta_read(c, id, &meta, NULL) && meta.systemd)
    return pt_signal_parse("RTMIN+3");
  return number ? number : SIGTERM;
}

/* While a process is in rt_sigtimedwait(2), as tini is, what it waits for is shown as neither blocked nor caught. */
static bool
waits_for_signals(pid_t pid)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/syscall", (int)pid);
  g_autofree char *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) && g_ascii_isdigit(text[0]) && atoi(text) == SYS_rt_sigtimedwait;
}

/* The first process of a pid namespace is not reached by a signal that it neither handles nor waits for: no need to wait
 * for an answer then. Where it cannot be told, it listens. */
static bool
listens(pid_t pid, int number)
{
  static const char *const masks[] = { "SigBlk:\t", "SigCgt:\t" };
  g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
  g_autofree char *text = NULL;
  guint64 bits = 0;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return true;
  for (guint i = 0; i < G_N_ELEMENTS(masks); i++) {
    const char *at = strstr(text, masks[i]);
    if (!at)
      return true;
    bits |= g_ascii_strtoull(at + strlen(masks[i]), NULL, 16);
  }
  return (bits & (G_GUINT64_CONSTANT(1) << (number - 1))) || waits_for_signals(pid);
}

/* Until a pidfd's process has ended, `wait` µs at most. */
static bool
wait_gone(int pidfd, gint64 wait)
{
  gint64 end = pt_mono() + wait;

  for (;;) {
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    gint64 left = end - pt_mono();

    if (poll(&p, 1, (int)CLAMP((left + 999) / 1000, 0, 3600 * 1000)) > 0)
      return true;
    if (left <= 0)
      return false;
  }
}

/* The monitor writes the exit status and ends; only then has the instance ended. */
static bool
wait_monitor(PtContainers *c, const char *id, gint64 wait, const PtPatience *patience, GError **error)
{
  int fd = pt_ct_monitor(c, id, NULL);
  gint64 end = pt_mono() + wait;
  bool gone = fd < 0;

  while (!gone) {
    gint64 left = end - pt_mono();
    gone = wait_gone(fd, patience ? MIN(left, LOOK_EVERY) : left);
    if (!gone && (pt_mono() >= end || (patience && patience->over(patience->data))))
      break;
  }

  if (fd >= 0)
    close(fd);
  if (!gone && error)
    PT_SET(error, PT_ERR_TIMEOUT, "instance %s: its monitor does not end", id);
  return gone;
}

/* SIGKILL to all of it. What does not end by that waits for a file system that the guest itself answers for. */
static bool
kill_all(const PtContainers *c, const char *id, GError **error)
{
  g_autoptr(GError) local = NULL;
  PtContainerMeta meta;

  if (pt_cgroup_kill(c->host, id, &local))
    return true;
  if (g_error_matches(local, PT_ERROR, PT_ERR_TIMEOUT) && pt_ct_meta_read(c, id, &meta, NULL)) {
    pt_ct_abort_fuse(c, meta.idbase);
    return pt_cgroup_kill(c->host, id, error);
  }
  g_propagate_error(error, g_steal_pointer(&local));
  return false;
}

bool
pt_container_stop(PtContainers *c, const char *id, const PtInstance *spec, const PtImage *image, gint64 deadline,
                  const PtPatience *patience, GError **error)
{
  int number = deadline > 0 ? stop_signal(c, id, spec, image) : SIGKILL;
  pid_t pid;
  int init = pt_ct_init(c, id, &pid, NULL);

  if (init >= 0 && deadline > 0 && listens(pid, number)) {
    if (pt_cgroup_frozen(c->host, id) && !pt_cgroup_freeze(c->host, id, false, error)) {
      close(init);
      return false;
    }
    if (pidfd_send_signal(init, number, NULL, 0) == 0 && wait_monitor(c, id, deadline, patience, NULL)) {
      close(init);
      return true;
    }
  }
  if (init >= 0)
    close(init);
  return kill_all(c, id, error) && wait_monitor(c, id, GONE_WAIT, NULL, error);
}

bool
pt_container_pause(PtContainers *c, const char *id, bool paused, GError **error)
{
  pid_t pid;
  int init = pt_ct_init(c, id, &pid, error);

  if (init < 0)
    return false;
  close(init);
  return pt_cgroup_freeze(c->host, id, paused, error);
}

static bool
remove_below(const char *base, const char *name, GError **error)
{
  int fd = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return true;
  bool ok = pt_path_remove(fd, name, true, error);
  close(fd);
  return ok;
}

static bool
remove_history(const PtContainers *c, const char *id, GError **error)
{
  g_autofree char *log = pt_ct_log(c, id), *dir = g_path_get_dirname(log);
  int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return true;
  /* machine: what a machine's firmware and TPM keep (drivers/machine) */
  bool ok = pt_path_remove(fd, "console.log", false, error) && pt_path_remove(fd, "console.log.1", false, error) &&
            pt_path_remove(fd, "machine", true, error);
  close(fd);
  if (ok && rmdir(dir) < 0 && errno != ENOTEMPTY && errno != ENOENT) {
    pt_error_errno(error, errno, "%s", dir);
    return false;
  }
  return ok;
}

static bool
sweep(PtContainers *c, const char *id, GError **error)
{
  g_autofree char *monitors = g_build_filename(c->host->run, "monitor", NULL);

  /* In this order: while anything is left, RUN/monitor/<id> says so to whoever looks after a kill. */
  return kill_all(c, id, error) && wait_monitor(c, id, GONE_WAIT, NULL, error) && pt_ct_unmount(c, id, error) &&
         pt_cgroup_remove(c->host, id, error) && remove_below(c->crun_root, id, error) && remove_below(monitors, id, error);
}

void
pt_ct_abandon(PtContainers *c, const char *id)
{
  sweep(c, id, NULL);
}

bool
pt_container_clear(PtContainers *c, const char *id, bool history, GError **error)
{
  PtContainerState state;

  if (pt_container_state(c, id, &state, NULL) && state.running) {
    PT_SET(error, PT_ERR_CONFLICT, "instance %s: still runs", id);
    pt_error_hint(error, "stop it first");
    return false;
  }
  if (sweep(c, id, error) && (!history || remove_history(c, id, error)))
    return true;
  g_prefix_error(error, "instance %s: ", id);
  return false;
}
