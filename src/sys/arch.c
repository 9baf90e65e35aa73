// SPDX-License-Identifier: Apache-2.0
/* Theory of operation. A rule of binfmt_misc with the flag F opens its interpreter when the rule is written, by the writer's root
 * directory, and keeps it open (Documentation/admin-guide/binfmt-misc.rst). So the rule is written by us, through a descriptor of the
 * guest's own "register" file: the file decides whose rule it becomes, we decide which emulator it opens. The guest can
 * write rules too, where it has the right; they hold in its user namespace alone, whose ids mean nothing outside. The emulator runs
 * as the guest's process, in its seccomp filter and control group: it can do no more than a native program could.
 *
 * Further flags: P passes argv[0] on as it was, which login shells and busybox look at; O and C let a set-id program take the ids of its
 * file, not the emulator's, as it would natively. */
#include "sys/arch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

#define BINFMTFS_MAGIC 0x42494e4d
#define HEAD_BYTES 20 /* of an ELF file, up to e_machine */

static const PtArch archs[] = {
  { "x86_64", "amd64", "amd64", "x86_64", "qemu-system-x86", true, 64, false, EM_X86_64 },
  { "i686", "386", "i386", "i386", "qemu-system-x86", false, 32, false, EM_386 },
  { "aarch64", "arm64", "arm64", "aarch64", "qemu-system-arm", true, 64, false, EM_AARCH64 },
  { "armv7l", "arm", "armhf", "arm", "qemu-system-arm", false, 32, false, EM_ARM },
  { "riscv64", "riscv64", "riscv64", "riscv64", "qemu-system-riscv", true, 64, false, EM_RISCV },
  { "ppc64le", "ppc64le", "ppc64el", "ppc64le", "qemu-system-ppc", false, 64, false, EM_PPC64 },
  { "s390x", "s390x", "s390x", "s390x", "qemu-system-misc", false, 64, true, EM_S390 },
};

const PtArch *
pt_arch_find(const char *name)
{
  for (guint i = 0; name && i < G_N_ELEMENTS(archs); i++)
    if (strcmp(name, archs[i].name) == 0 || strcmp(name, archs[i].oci) == 0 || strcmp(name, archs[i].debian) == 0)
      return &archs[i];
  return NULL;
}

const PtArch *
pt_arch_nth(guint i)
{
  return i < G_N_ELEMENTS(archs) ? &archs[i] : NULL;
}

const PtArch *
pt_arch_host(void)
{
  static struct utsname u;
  static PtArch unknown = { .oci = "", .debian = "", .qemu = "", .package = "" };
  static gsize once;

  if (g_once_init_enter(&once)) {
    uname(&u);
    unknown.name = u.machine;
    g_once_init_leave(&once, 1);
  }
  const PtArch *host = pt_arch_find(u.machine);
  return host ? host : &unknown;
}

bool
pt_arch_native(const PtArch *arch)
{
  const PtArch *host = pt_arch_host();

  return arch && (arch == host || (arch->machine == EM_386 && host->machine == EM_X86_64));
}

char *
pt_arch_image_name(const char *name, const char *arch)
{
  const PtArch *a = pt_arch_find(arch);

  return a && a != pt_arch_host() ? g_strdup_printf("%s-%s", name, a->name) : g_strdup(name);
}

/* ── the emulator ── */

/* One that the kernel starts inside a guest's tree must need no loader: that would be looked for in there. */
static bool
is_static(const char *path)
{
  Elf64_Ehdr head;
  Elf64_Phdr p;
  bool ok = false;
  int fd = open(path, O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    return false;
  if (pread(fd, &head, sizeof head, 0) == (ssize_t)sizeof head && memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 &&
      head.e_ident[EI_CLASS] == ELFCLASS64 && head.e_phentsize == sizeof p) {
    ok = true;
    for (guint i = 0; ok && i < head.e_phnum; i++)
      ok = pread(fd, &p, sizeof p, (off_t)(head.e_phoff + i * sizeof p)) == (ssize_t)sizeof p && p.p_type != PT_INTERP;
  }
  close(fd);
  return ok;
}

/* Debian 12 has a static build under a name of its own, later ones have no other. */
static char *
interpreter(const PtArch *arch)
{
  for (const char *const *end = (const char *const[]){ "-static", "", NULL }; *end; end++) {
    g_autofree char *path = g_strdup_printf("/usr/bin/qemu-%s%s", arch->qemu, *end);
    if (is_static(path))
      return g_steal_pointer(&path);
  }
  return NULL;
}

char *
pt_foreign_rule_format(const PtArch *arch, const char *path)
{
  const guint8 low = arch->big_endian ? 19 : 18, type = arch->big_endian ? 17 : 16;
  guint8 head[HEAD_BYTES] = { 0x7f, 'E', 'L', 'F', arch->bits == 64 ? ELFCLASS64 : ELFCLASS32,
                              arch->big_endian ? ELFDATA2MSB : ELFDATA2LSB, EV_CURRENT };
  guint8 mask[HEAD_BYTES];
  GString *rule = g_string_new(NULL);

  /* Any operating system's flavour; programs and position-independent ones (types 2 and 3). */
  memset(mask, 0xff, sizeof mask);
  mask[EI_OSABI] = 0;
  mask[type] = 0xfe;
  head[type] = ET_EXEC;
  head[low] = arch->machine;
  g_string_printf(rule, ":qemu-%s:M::", arch->qemu);
  for (guint i = 0; i < HEAD_BYTES; i++)
    g_string_append_printf(rule, "\\x%02x", head[i]);
  g_string_append_c(rule, ':');
  for (guint i = 0; i < HEAD_BYTES; i++)
    g_string_append_printf(rule, "\\x%02x", mask[i]);
  g_string_append_printf(rule, ":%s:POCF", path);
  return g_string_free(rule, FALSE);
}

/* ── the kernel ── */

/* Tried in a child, where a user namespace may mount it. */
static bool
try_mount(void)
{
  int status = 0;
  pid_t pid = fork();

  if (pid == 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("binfmt_misc", PT_FOREIGN_DIR, "binfmt_misc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
      _exit(0);
    _exit(1);
  }
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  return pid > 0 && status == 0;
}

static bool
kernel_shares_out(void)
{
  static gsize once;

  if (g_once_init_enter(&once))
    g_once_init_leave(&once, try_mount() ? 1 : 2);
  return once == 1;
}

/* A rule of the host's with an interpreter that is open already holds in every tree. */
static bool
host_has_rule(const PtArch *arch)
{
  g_autofree char *path = g_strdup_printf(PT_FOREIGN_DIR "/qemu-%s", arch->qemu), *text = NULL;
  const char *flags;

  return g_file_get_contents(path, &text, NULL, NULL) && g_str_has_prefix(text, "enabled") && (flags = strstr(text, "\nflags: ")) &&
         memchr(flags + 8, 'F', strcspn(flags + 8, "\n"));
}

bool
pt_foreign_rule(const char *name, char **ret_rule, GError **error)
{
  const PtArch *arch = name ? pt_arch_find(name) : NULL, *host = pt_arch_host();

  *ret_rule = NULL;
  if (!name || pt_arch_native(arch) || strcmp(name, host->name) == 0)
    return true;
  g_autofree char *path = arch ? interpreter(arch) : NULL;
  if (!arch) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "programs for %s: this node knows no such architecture", name);
    pt_error_hint(error, "portena doctor says which it runs");
  } else if (path && kernel_shares_out()) {
    *ret_rule = pt_foreign_rule_format(arch, path);
    return true;
  } else if (host_has_rule(arch)) {
    return true;
  } else if (!path) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "programs for %s need an emulator that this node, which is %s, does not have", arch->name,
           host->name);
    pt_error_hint(error, "install it there: apt install --no-install-recommends qemu-user-static");
  } else {
    PT_SET(error, PT_ERR_UNSUPPORTED, "programs for %s cannot be run in a container: this node's kernel is too old", arch->name);
    pt_error_hint(error, "boot Linux 6.7 or newer with binfmt_misc, or register qemu-%s for the whole host with the flag F", arch->qemu);
  }
  return false;
}

gsize
pt_foreign_skip(const char *line, gsize n)
{
  static const char start[] = "/usr/bin/qemu-";
  gsize name = strlen(start), first = strlen(line) + 1;

  if (first >= n || strncmp(line, start, name) != 0)
    return 0;
  g_autofree char *emulator = g_strdup(line + name);
  if (g_str_has_suffix(emulator, "-static"))
    emulator[strlen(emulator) - strlen("-static")] = '\0';
  for (guint i = 0; i < G_N_ELEMENTS(archs); i++) {
    if (strcmp(emulator, archs[i].qemu) != 0 || line[first] != '/')
      continue;
    gsize second = first + strlen(line + first) + 1;
    return second < n ? second : 0;
  }
  return 0;
}

bool
pt_foreign_enter(pid_t pid, const char *rule, GError **error)
{
  char path[64];
  struct statfs fs;
  struct open_how how = { .flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };

  g_snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
  int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int fd = root < 0 ? -1 : (int)syscall(SYS_openat2, root, &(PT_FOREIGN_DIR "/register")[1], &how, sizeof how);
  bool ok = fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == BINFMTFS_MAGIC;

  /* Should something else lie there, it is not written to. */
  if (fd >= 0 && !ok)
    errno = ENOTTY;
  ok = ok && write(fd, rule, strlen(rule)) == (ssize_t)strlen(rule);
  if (!ok)
    pt_error_errno(error, errno, "the emulator's rule in binfmt_misc");
  if (fd >= 0)
    close(fd);
  if (root >= 0)
    close(root);
  return ok;
}
