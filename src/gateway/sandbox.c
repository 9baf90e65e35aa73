// SPDX-License-Identifier: Apache-2.0
#include "gateway/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

/* Newer than Debian 12's headers (linux/landlock.h of 6.7 and 6.12). */
#define FS_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define NET_BIND_TCP (1ULL << 0)  /* ABI 4 */
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ULL << 1)

typedef struct RulesetAttr {
  guint64 fs, net, scoped;
} RulesetAttr;

G_DEFINE_AUTO_CLEANUP_FREE_FUNC(scmp_filter_ctx, seccomp_release, NULL)

bool
pt_sandbox_user(const char *name, uid_t *ret_uid, gid_t *ret_gid, GError **error)
{
  struct passwd *pw = getpwnam(name);

  if (!pw) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no user called %s", name);
    pt_error_hint(error, "make it:  useradd --system --shell /usr/sbin/nologin %s", name);
    return false;
  }
  *ret_uid = pw->pw_uid;
  *ret_gid = pw->pw_gid;
  return true;
}

bool
pt_sandbox_drop(const char *user, GError **error)
{
  uid_t uid;
  gid_t gid;

  if (geteuid() == 0) {
    if (!pt_sandbox_user(user, &uid, &gid, error))
      return false;
    if (uid == 0) { /* the API takes a peer of uid 0 for its administrator, whoever speaks through it */
      PT_SET(error, PT_ERR_INVALID, "user %s: is root, which the gateway must not be", user);
      return false;
    }
    if (initgroups(user, gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
      pt_error_errno(error, errno, "becoming user %s", user);
      return false;
    }
    if (setuid(0) == 0 || geteuid() == 0) {
      PT_SET(error, PT_ERR_INTERNAL, "becoming user %s: root could be had back", user);
      return false;
    }
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    pt_error_errno(error, errno, "no_new_privs");
    return false;
  }
  return true;
}

static guint64
fs_rights(guint allow, bool directory, guint64 handled)
{
  guint64 r = 0;

  if (allow & PT_ALLOW_READ)
    r |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  if (allow & PT_ALLOW_EXEC)
    r |= LANDLOCK_ACCESS_FS_EXECUTE;
  if (allow & PT_ALLOW_WRITE)
    r |= LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
         LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REFER;
  if (!directory)
    r &= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE;
  return r & handled;
}

static bool
add_rule(int ruleset, const PtPathRule *rule, guint64 handled, GError **error)
{
  struct stat st;
  int fd = open(rule->path, O_PATH | O_CLOEXEC);

  if (fd < 0)
    return errno == ENOENT || (pt_error_errno(error, errno, "%s", rule->path), false);
  bool ok = fstat(fd, &st) == 0;
  struct landlock_path_beneath_attr attr = { .allowed_access = fs_rights(rule->allow, ok && S_ISDIR(st.st_mode), handled),
                                             .parent_fd = fd };
  ok = ok && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) == 0;
  if (!ok)
    pt_error_errno(error, errno, "Landlock: %s", rule->path);
  close(fd);
  return ok;
}

bool
pt_sandbox_landlock(const PtPathRule *rules, int *ret_abi, GError **error)
{
  long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

  *ret_abi = abi > 0 ? (int)abi : 0;
  if (abi <= 0)
    return true;
  RulesetAttr attr = { .fs = (1ULL << 13) - 1 };
  attr.fs |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
  attr.fs |= abi >= 3 ? FS_TRUNCATE : 0;
  attr.fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
  attr.net = abi >= 4 ? NET_BIND_TCP | NET_CONNECT_TCP : 0;
  attr.scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL : 0;
  gsize size = abi >= 6 ? sizeof attr : abi >= 4 ? 2 * sizeof(guint64) : sizeof(guint64);
  int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
  if (fd < 0) {
    pt_error_errno(error, errno, "Landlock");
    return false;
  }
  bool ok = true;
  for (; ok && rules->path; rules++)
    ok = add_rule(fd, rules, attr.fs, error);
  if (ok && syscall(SYS_landlock_restrict_self, fd, 0) != 0) {
    pt_error_errno(error, errno, "Landlock");
    ok = false;
  }
  close(fd);
  return ok;
}

/* Adds one action for each named call; a name this libseccomp does not know is of a call it cannot filter, and the
 * kernel's allow list (or nobody) knows it neither. */
static int
add_all(scmp_filter_ctx ctx, guint32 action, const char *const *names)
{
  int rc = 0;

  for (; *names && rc == 0; names++) {
    int nr = seccomp_syscall_resolve_name(*names);
    if (nr != __NR_SCMP_ERROR)
      rc = seccomp_rule_add(ctx, action, nr, 0);
  }
  return rc;
}

static bool
load(scmp_filter_ctx ctx, int rc, GError **error)
{
  if (rc == 0)
    rc = seccomp_load(ctx);
  if (rc == 0)
    return true;
  pt_error_errno(error, -rc, "seccomp");
  return false;
}

bool
pt_sandbox_deny(GError **error)
{
  static const char *const denied[] = {
    "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "create_module", "delete_module",
    "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module", "io_uring_enter",
    "io_uring_register", "io_uring_setup", "iopl", "ioperm", "kcmp", "kexec_file_load", "kexec_load", "keyctl",
    "lookup_dcookie", "memfd_secret", "mknod", "mknodat", "modify_ldt", "mount", "mount_setattr", "move_mount",
    "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree", "perf_event_open", "personality", "pidfd_getfd",
    "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "quotactl_fd", "reboot",
    "request_key", "setdomainname", "sethostname", "setns", "settimeofday", "swapoff", "swapon", "symlink", "symlinkat",
    "syslog", "umount", "umount2", "unshare", "uselib", "userfaultfd", "vhangup", "vmsplice", NULL,
  };
  static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
  g_auto(scmp_filter_ctx) ctx = seccomp_init(SCMP_ACT_ALLOW);
  int rc = ctx ? add_all(ctx, SCMP_ACT_ERRNO(EPERM), denied) : -ENOMEM;

  /* clone3's flags are out of a filter's sight; glibc falls back to clone */
  if (rc == 0)
    rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  if (rc == 0)
    rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
  /* every address family beside the three: netlink, packet, vsock and the rarely tested ones */
  for (int family = 0; rc == 0 && family < 64; family++)
    if (family != families[0] && family != families[1] && family != families[2])
      rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (guint)family));
  return load(ctx, rc, error);
}

bool
pt_sandbox_allow_streams(GError **error)
{
  static const char *const allowed[] = {
    "accept4", "brk", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "connect", "dup", "dup3", "epoll_create1",
    "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "exit", "exit_group", "fcntl", "fstat", "futex", "getcwd", "getegid",
    "geteuid", "getgid", "getpeername", "getpid", "getppid", "getrandom", "getsockname", "getsockopt", "gettid",
    "gettimeofday", "getuid", "lseek", "madvise", "membarrier", "mmap", "mprotect", "mremap", "munmap", "nanosleep",
    "newfstatat", "open", "openat", "pipe2", "poll", "ppoll", "pread64", "read", "readv", "recvfrom", "recvmsg",
    "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sched_getaffinity",
    "sched_yield", "select", "sendmsg", "sendto", "set_robust_list", "setsockopt", "shutdown", "sigaltstack", "stat",
    "statx", "sysinfo", "tgkill", "time", "uname", "write", "writev", NULL,
  };
  g_auto(scmp_filter_ctx) ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  int rc = ctx ? add_all(ctx, SCMP_ACT_ALLOW, allowed) : -ENOMEM;

  if (rc == 0)
    rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  if (rc == 0)
    rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  if (rc == 0)
    rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
  if (rc == 0)
    rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
  return load(ctx, rc, error);
}
