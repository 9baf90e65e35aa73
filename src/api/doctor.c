// SPDX-License-Identifier: Apache-2.0
/* Looks the node over: what it stands on, what it can and cannot do there, and what would help. Asks nobody outside. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/handlers.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "drivers/process/process.h"
#include "sys/arch.h"
#include "sys/path.h"

#define GATEWAY_STATUS_MAX 16384
#define RENEW (30 * 24 * 3600 * (gint64)G_USEC_PER_SEC) /* before a certificate ends */

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
    { "qemu-system-x86_64", "runs machines", "qemu-system-x86", WARN },
    { "swtpm", "is a machine's TPM", "swtpm", WARN },
    { "skopeo", "fetches images from registries", "skopeo", WARN },
    { "umoci", "unpacks what was fetched", "umoci", WARN },
    { "qemu-img", "converts disks of unmodified systems", "qemu-utils", WARN },
    { "xorriso", "tells cloud-init in them who they are", "xorriso", WARN },
  };

  for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
    g_autofree char *path = g_find_program_in_path(programs[i].name);
    g_autofree char *detail = g_strdup_printf("%s: %s", programs[i].use, path ? path : "not installed");
    g_autofree char *hint = g_strdup_printf("install it: apt install --no-install-recommends %s", programs[i].package);
    check(items, programs[i].name, path ? OK : programs[i].missing, detail, hint);
  }
}

/* Where the memory of hibernated containers goes. */
static void
check_swap(PtApi *api, json_t *items)
{
  struct sysinfo s = { 0 };

  sysinfo(&s);
  g_autofree char *size = pt_size_format((gint64)s.totalswap * s.mem_unit), *free = pt_size_format((gint64)s.freeswap * s.mem_unit);
  g_autofree char *detail = s.totalswap         ? g_strdup_printf("%s of %s free: what hibernated containers hold goes there", free, size)
                            : api->host->tune ? g_strdup("none yet: made in compressed memory when a container is first hibernated")
                                              : g_strdup("none: containers cannot be hibernated");
  check(items, "swap", s.totalswap || api->host->tune ? OK : WARN, detail, "give the host swap, or start portenad without --no-tune");
}

/* What keeps that on disk. */
static void
check_criu(json_t *items)
{
  g_autoptr(GError) why = NULL;
  g_autofree char *path = pt_container_criu(&why), *summary = why ? pt_error_summary(why) : NULL;
  g_autofree char *detail = path ? g_strdup_printf("hibernates containers on disk: %s", path) : g_strdup_printf("%s", summary);

  check(items, "criu", path ? OK : WARN, detail, why ? pt_error_get_hint(why) : NULL);
}

/* What instances of kind process can be: native programs always. */
static void
check_runtimes(json_t *items)
{
  static const struct { int runtime; const char *name, *package; } runtimes[] = {
    { PT_RUNTIME_WASM, "WebAssembly", " nodejs" },
    { PT_RUNTIME_JAVA, "Java", " default-jre-headless" },
  };
  g_autoptr(GString) have = g_string_new("native"), missing = g_string_new(NULL);
  int landlock = pt_landlock_abi();

  for (guint i = 0; i < G_N_ELEMENTS(runtimes); i++) {
    g_autofree char *path = pt_runtime_find(runtimes[i].runtime, NULL);
    if (path)
      g_string_append_printf(have, ", %s by %s", runtimes[i].name, path);
    else
      g_string_append(missing, runtimes[i].package);
  }
  g_autofree char *detail = landlock ? g_strdup_printf("%s; Landlock %d", have->str, landlock)
                                     : g_strdup_printf("%s; this kernel has no Landlock: one wall less", have->str),
                  *hint = missing->len ? g_strdup_printf("for the others: apt install --no-install-recommends%s", missing->str)
                                       : g_strdup("boot with lsm=landlock,… on a kernel from 5.13 on");
  check(items, "programs", missing->len || !landlock ? WARN : OK, detail, hint);
}

/* A number of the kernel's that a busy node runs into. */
static void
check_limit(json_t *items, const char *name, const char *path, gint64 wanted, const char *what, const char *hint)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return;
  gint64 now = g_ascii_strtoll(text, NULL, 10);
  g_autofree char *detail = g_strdup_printf("%" G_GINT64_FORMAT " %s", now, what);
  check(items, name, now >= wanted ? OK : WARN, detail, hint);
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
  bool psi = access("/proc/pressure/cpu", R_OK) == 0;
  check(items, "pressure", psi ? OK : WARN, psi ? "the kernel tells it (PSI)" : "the kernel does not tell it",
        "boot with psi=1");
  check_limit(items, "namespaces", "/proc/sys/user/max_user_namespaces", 1000, "user namespaces",
              "sysctl user.max_user_namespaces=65536");
  check_limit(items, "inotify", "/proc/sys/fs/inotify/max_user_instances", 1024, "watchers a user, whom all guests share",
              "sysctl fs.inotify.max_user_instances=8192, or let portenad tune the host");
}

/* Logins with a code, tokens and certificates all go by the time of day. */
static void
check_clock(json_t *items)
{
  struct timex t = { 0 };
  bool synced = adjtimex(&t) >= 0 && !(t.status & STA_UNSYNC);
  g_autofree char *now = pt_time_format(pt_now()),
                  *detail = g_strdup_printf("%s, %s", now, synced ? "kept by a time service" : "kept by nobody");

  check(items, "clock", synced ? OK : WARN, detail,
        "run a time service: apt install --no-install-recommends chrony (codes and certificates need the right time)");
}

static void
check_certificate(json_t *items, const json_t *status)
{
  const json_t *c = json_object_get(status, "certificate");
  g_autofree char *fingerprint = pt_text_safe(pt_json_str(c, "fingerprint", "unknown"), 100),
                  *until = pt_text_safe(pt_json_str(c, "expires", ""), 40);
  gint64 expires = pt_time_parse(until);
  bool own = pt_json_bool(c, "own", false),
       over = expires > 0 && expires<pt_now(), soon = expires> 0 && expires < pt_now() + RENEW;
  g_autofree char *detail = g_strdup_printf("%s, %s until %.10s, SHA-256 %s", own ? "the administrator's" : "made by itself",
                                            over ? "was good" : "good", until, fingerprint);

  check(items, "certificate",
        over   ? BAD
        : soon ? WARN
               : OK,
        detail,
        own ? "renew it, then: systemctl reload-or-restart portena-gateway"
            : "make a new one: systemctl restart portena-gateway");
}

/* The list as "a, b"; what the gateway wrote is believed no further than that it is text. */
static char *
addresses(const json_t *list)
{
  g_autoptr(GString) s = g_string_new(NULL);

  for (size_t n = 0; n < MIN(json_array_size(list), 8); n++) {
    const char *one = json_string_value(json_array_get(list, n));
    g_string_append_printf(s, "%s%s", n ? ", " : "", one ? one : "?");
  }
  return pt_text_safe(s->str, 300);
}

static void
check_gateway(PtApi *api, json_t *items)
{
  g_autofree char *dir = g_build_filename(api->host->run, "gateway", NULL), *text = NULL;
  int root = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  gsize size = 0;

  if (api->config.gateway_uid < 0)
    check(items, "gateway", WARN, "there is no user for it: addresses of clients are not believed",
          "install the package, or make the user portena-gateway");
  if (root >= 0 && !pt_path_read(root, "status.json", GATEWAY_STATUS_MAX, &text, &size, NULL))
    text = NULL;
  if (root >= 0)
    close(root);
  g_autoptr(json_t) status = text ? pt_json_parse_object(text, size, NULL) : NULL;
  gint64 pid = status ? pt_json_int(status, "pid", 0) : 0;
  if (pid <= 1 || pid > G_MAXINT || (kill((pid_t)pid, 0) < 0 && errno == ESRCH)) {
    check(items, "gateway", WARN, "it does not run here: no browser gets in", "start it: systemctl start portena-gateway");
    return;
  }
  g_autofree char *web = addresses(json_object_get(status, "listen")), *vnc = addresses(json_object_get(status, "vnc"));
  g_autofree char *detail = g_strdup_printf("HTTPS on %s%s%s", *web ? web : "nothing", *vnc ? ", VNC on " : "", vnc);
  const json_t *box = json_object_get(status, "sandbox");
  bool jailed =
    pt_json_bool(box, "seccomp", false) && pt_json_int(box, "landlock", 0) > 0 && !pt_json_bool(box, "root", true);
  check(items, "gateway", OK, detail, NULL);
  check(items, "sandbox", jailed ? OK : WARN,
        jailed ? "the gateway is no root, and held by seccomp and Landlock" : "the gateway is not wholly shut in",
        "run it as its own user, on a kernel with Landlock (lsm=landlock,…)");
  check_certificate(items, status);
}

static void
check_kernel(json_t *items)
{
  struct utsname u;

  if (uname(&u) != 0)
    return;
  g_autofree char *release = pt_text_safe(u.release, 100), *detail = g_strdup_printf("Linux %s on %s", release, u.machine);
  int major = 0, minor = 0;
  bool told = sscanf(u.release, "%d.%d", &major, &minor) == 2, old = told && (major < 5 || (major == 5 && minor < 19));
  check(items, "kernel", old ? BAD : OK, detail, "a kernel from 5.19 on is needed: idmapped overlays");
}

/* Images for other architectures: containers by QEMU's user emulator, machines by its whole system's. Nobody has to want that. */
static void
check_architectures(json_t *items)
{
  g_autoptr(GString) containers = g_string_new(NULL), machines = g_string_new(NULL);
  g_autoptr(GError) why = NULL;
  const PtArch *a, *host = pt_arch_host();
  bool emulated = false;

  for (guint i = 0; (a = pt_arch_nth(i)); i++) {
    g_autofree char *rule = NULL, *name = g_strdup_printf("qemu-system-%s", a->qemu), *path = g_find_program_in_path(name);

    if (a == host)
      continue;
    if (pt_foreign_rule(a->name, &rule, why ? NULL : &why))
      g_string_append_printf(containers, "%s%s", containers->len ? ", " : "", a->name);
    emulated |= rule != NULL;
    if (path && a->machines)
      g_string_append_printf(machines, "%s%s", machines->len ? ", " : "", a->name);
  }
  g_autofree char *detail = g_strdup_printf("%s; beside it containers of %s, machines of %s", host->name,
                                            containers->len ? containers->str : "none", machines->len ? machines->str : "none");
  g_autofree char *hint = g_strdup_printf("for containers of others: %s; for machines: apt install --no-install-recommends qemu-system-arm "
                                          "(aarch64), qemu-system-riscv (riscv64)",
                                          why ? pt_error_get_hint(why) : "all is there");
  check(items, "architectures", emulated && machines->len ? OK : WARN, detail, hint);
}

static void
check_kvm(PtApi *api, json_t *items)
{
  g_autoptr(GError) why = NULL;

  if (pt_agent_kvm(api->agent, &why)) {
    check(items, "machines", OK, "KVM: they run on the processor itself", NULL);
    return;
  }
  g_autofree char *summary = pt_error_summary(why), *detail = g_strdup_printf("emulated, which is slow: %s", summary);
  const char *hint = pt_error_get_hint(why);
  check(items, "machines", WARN, detail, hint ? hint : "look into the daemon's log");
}

bool
pt_doctor_get(PtRequest *r, GError **error)
{
  json_t *items = json_array();

  (void)error;
  check_kernel(items);
  check_host(r->api, items);
  check_swap(r->api, items);
  check_criu(items);
  check_clock(items);
  check_pool(r->api, items);
  check_gateway(r->api, items);
  check_programs(items);
  check_kvm(r->api, items);
  check_architectures(items);
  check_runtimes(items);
  return pt_reply_items(r, items, 0);
}
