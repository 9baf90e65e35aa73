// SPDX-License-Identifier: Apache-2.0
/* A machine's state is moved between QEMU and a file of ours by QEMU's own migration. QEMU gets the file as a descriptor in a set
 * (its docs/interop/qmp: add-fd), so it opens nothing by name. */
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "drivers/machine/internal.h"

#define STALLED (60 * G_USEC_PER_SEC) /* without a byte more: something is wrong */
#define POLL_USEC 1000
#define BANDWIDTH ((gint64)1 << 40) /* bytes a second: unlimited; QEMU's default is meant for networks */

bool
pt_qemu_transfer(PtQmp *q, int fd, const char *capability, GError **error)
{
  bool with = strcmp(capability, PT_QEMU_WITH_MEMORY) == 0;
  /* Each said, because QEMU keeps them: a copy of a template came in without its memory, and goes out with it. By as many threads as
   * QEMU takes, in larger pieces, is twice as fast; what is kept out of the file has no use for it. */
  json_t *caps = json_pack("[{s:s, s:b}, {s:s, s:b}, {s:s, s:b}]", "capability", PT_QEMU_WITH_MEMORY, "state", with, "capability",
                           PT_QEMU_WITHOUT_MEMORY, "state", !with, "capability", "multifd", "state", with);

  return pt_qmp_do_fd(q, "add-fd", json_pack("{s:i}", "fdset-id", PT_QEMU_FDSET), fd, PT_QEMU_ANSWER, error) &&
         pt_qmp_do(q, "migrate-set-capabilities", json_pack("{s:o}", "capabilities", caps), PT_QEMU_ANSWER, error) &&
         pt_qmp_do(q, "migrate-set-parameters", json_pack("{s:I}", "max-bandwidth", (json_int_t)BANDWIDTH), PT_QEMU_ANSWER, error);
}

static bool
status_is(json_t *answer, const char *status)
{
  return strcmp(pt_json_str(answer, "status", ""), status) == 0;
}

static bool
within(int fd, gint64 most, GError **error)
{
  struct stat st;

  if (fd < 0 || fstat(fd, &st) < 0 || (gint64)st.st_blocks * 512 <= most)
    return true;
  PT_SET(error, PT_ERR_TOO_LARGE, "QEMU writes more than the machine has");
  return false;
}

bool
pt_qemu_transferred(PtQmp *q, int fd, gint64 most, GError **error)
{
  gint64 moved = -1, since = pt_mono();

  for (;;) {
    if (!within(fd, most, error))
      return false;
    g_autoptr(json_t) m = pt_qmp_run(q, "query-migrate", NULL, PT_QEMU_ANSWER, error);
    if (!m)
      return false;
    if (status_is(m, "completed")) {
      pt_qmp_do(q, "remove-fd", json_pack("{s:i}", "fdset-id", PT_QEMU_FDSET), PT_QEMU_ANSWER, NULL); /* else it would keep the file */
      return true;
    }
    gint64 now = pt_json_int(json_object_get(m, "ram"), "transferred", 0);
    if (now != moved) {
      moved = now;
      since = pt_mono();
    }
    bool failed = status_is(m, "failed") || status_is(m, "cancelled");
    if (failed || pt_mono() - since > STALLED) {
      g_autofree char *why = pt_text_safe(pt_json_str(m, "error-desc", failed ? "no reason given" : "it does not go on"), 300);
      PT_SET(error, PT_ERR_INTERNAL, "its memory could not be transferred: %s", why);
      return false;
    }
    g_usleep(POLL_USEC);
  }
}
