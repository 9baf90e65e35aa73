// SPDX-License-Identifier: Apache-2.0
/* What this host offers, what is wrong with it, and what to do about it. */
#include <string.h>
#include <unistd.h>

#include "api/handlers.h"
#include "base/text.h"

typedef enum { OK, WARN, BAD } Verdict;

static void
check(json_t *items, const char *name, Verdict verdict, const char *detail, const char *hint)
{
  static const char *const verdicts[] = { "ok", "warn", "bad" };

  json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s?}", "check", name, "state", verdicts[verdict], "detail",
                                         detail, "hint", verdict == OK ? NULL : hint));
}

static void
check_pool(PtApi *api, json_t *items)
{
  PtPoolInfo p = { 0 };
  g_autoptr(GError) err = NULL;

  if (!pt_agent_pool_info(api->agent, &p, &err)) {
    check(items, "pool", BAD, err->message, "look into the daemon's log");
    return;
  }
  g_autofree char *free = pt_size_format(p.available), *size = pt_size_format(p.size);
  g_autofree char *detail =
      g_strdup_printf("%s of %s free, %s", free, size, p.reflink ? "clones by reflink" : "clones by copying");
  bool full = p.size > 0 && p.available < p.size / 20;
  check(items, "pool",
        full        ? BAD
        : p.reflink ? OK
                    : WARN,
        detail, full ? "make room, or give the pool more" : "put the state directory on XFS or btrfs");
}

static void
check_programs(json_t *items)
{
  static const struct {
    const char *name, *use, *package;
    Verdict missing;
  } programs[] = {
    { "crun", "runs containers", "crun", BAD },
    { "dnsmasq", "gives addresses and names in spaces", "dnsmasq-base", BAD }, /* dnsmasq is a service that takes port 53 */
    { "mkfs.erofs", "makes images", "erofs-utils", BAD },
    { "mkfs.ext4", "makes volumes", "e2fsprogs", BAD },
    { "mkfs.xfs", "makes the pool", "xfsprogs", WARN },
    { "mmdebstrap", "builds the recipes", "mmdebstrap", WARN },
    { "skopeo", "fetches images from registries", "skopeo", WARN },
    { "umoci", "unpacks what was fetched", "umoci", WARN },
  };

  for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
    g_autofree char *path = g_find_program_in_path(programs[i].name);
    g_autofree char *detail = g_strdup_printf("%s: %s", programs[i].use, path ? path : "not installed");
    g_autofree char *hint = g_strdup_printf("install it: apt install --no-install-recommends %s", programs[i].package);
    check(items, programs[i].name, path ? OK : programs[i].missing, detail, hint);
  }
}

static void
check_host(PtApi *api, json_t *items)
{
  const PtHost *h = api->host;
  g_autofree char *memory = pt_size_format(h->memory);
  g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT " cpus, %s of memory", h->cpus, memory);
  const char *uplink = pt_agent_uplink(api->agent);
  bool isolated = !uplink || strcmp(uplink, "none") == 0;

  check(items, "host", OK, size, NULL);
  check(items, "cgroups", h->cgroup_kind == PT_CGROUP_V2 ? OK : WARN,
        h->cgroup_kind == PT_CGROUP_V2 ? "version 2" : "version 1: limits hold, pressure is known for the whole host only",
        "boot with systemd.unified_cgroup_hierarchy=1");
  check(items, "disks", h->cap_sys_resource ? OK : WARN,
        h->cap_sys_resource ? "grow while they are used" : "grow at the next start: this daemon lacks CAP_SYS_RESOURCE",
        "give the service CAP_SYS_RESOURCE");
  check(items, "uplink", isolated ? WARN : OK, isolated ? "none: instances reach nothing outside" : uplink,
        "set the uplink in portena.conf if they should");
  bool sockets = access("/proc/pressure/cpu", R_OK) == 0;
  check(items, "pressure", sockets ? OK : WARN, sockets ? "the kernel tells it (PSI)" : "the kernel does not tell it",
        "boot with psi=1");
  check(items, "gateway", api->config.gateway_uid >= 0 ? OK : WARN,
        api->config.gateway_uid >= 0 ? "its user exists" : "there is no user for it: addresses of clients are not believed",
        "install the package, or make the user portena-gateway");
}

bool
pt_doctor_get(PtRequest *r, GError **error)
{
  json_t *items = json_array();

  (void)error;
  check_host(r->api, items);
  check_pool(r->api, items);
  check_programs(items);
  return pt_reply_items(r, items, 0);
}
