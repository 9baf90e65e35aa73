// SPDX-License-Identifier: Apache-2.0
/* What a jailed tool may ask of the kernel: limits, capabilities over its own namespaces, system calls.
 *
 * The system call filter is a deny list in classic BPF (seccomp(2)), written out by hand rather than through
 * libseccomp: forty numbers need no library in a program that starts as root. It is the second wall. The first is that no id
 * inside means anything outside; the list takes away what has had kernel bugs that cross that wall. */
#include "helpers/jail.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "portena-jail: no system call filter for this architecture"
#endif
#define X32_BIT 0x40000000u
#define LOW(n) ((uint32_t)(offsetof(struct seccomp_data, args) + 8 * (n))) /* low half of an argument, little endian */

#define NEW_ANY (CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP)

static const uint32_t never[] = {
  SYS_acct, SYS_add_key, SYS_adjtimex, SYS_bpf, SYS_clock_adjtime, SYS_clock_settime, SYS_delete_module, SYS_fanotify_init,
  SYS_finit_module, SYS_init_module, SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup, SYS_kcmp, SYS_kexec_file_load,
  SYS_kexec_load, SYS_keyctl, SYS_lookup_dcookie, SYS_mbind, SYS_migrate_pages, SYS_move_pages, SYS_nfsservctl,
  SYS_open_by_handle_at, SYS_perf_event_open, SYS_pidfd_getfd, SYS_process_madvise, SYS_process_vm_readv, SYS_process_vm_writev,
  SYS_ptrace, SYS_quotactl, SYS_quotactl_fd, SYS_reboot, SYS_request_key, SYS_set_mempolicy, SYS_setns, SYS_settimeofday,
  SYS_swapoff, SYS_swapon, SYS_syslog, SYS_userfaultfd, SYS_vhangup, SYS_vmsplice,
#if defined(__x86_64__)
  SYS_ioperm, SYS_iopl, SYS_modify_ldt, SYS_uselib, SYS_ustat, SYS__sysctl,
#endif
};
/* Only for --build, where a tool makes a root file system and runs programs in it. */
static const uint32_t build_only[] = {
  SYS_chroot, SYS_fsconfig, SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_mount, SYS_mount_setattr, SYS_move_mount, SYS_open_tree,
  SYS_pivot_root, SYS_umount2, SYS_unshare,
};

void
jail_confine_limits(const struct jail *j)
{
  static const struct { int what; rlim_t value; } limits[] = {
    { RLIMIT_CORE, 0 }, { RLIMIT_NOFILE, 4096 }, { RLIMIT_NPROC, 1024 }, { RLIMIT_MEMLOCK, 1 << 20 },
    { RLIMIT_MSGQUEUE, 0 }, { RLIMIT_STACK, 16 << 20 },
  };

  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    struct rlimit l;

    if (getrlimit((__rlimit_resource_t)limits[i].what, &l))
      jail_die(errno, "limits");
    if (l.rlim_max > limits[i].value)
      l.rlim_max = limits[i].value;
    l.rlim_cur = l.rlim_max;
    if (setrlimit((__rlimit_resource_t)limits[i].what, &l))
      jail_die(errno, "limits");
  }
  const struct rlimit size = { j->file_max, j->file_max }, memory = { j->memory, j->memory };
  if (j->file_max && setrlimit(RLIMIT_FSIZE, &size))
    jail_die(errno, "limit of file sizes");
  if (j->memory && setrlimit(RLIMIT_AS, &memory))
    jail_die(errno, "limit of memory");
}

/* The capabilities are over the jail's own ids and namespaces alone; still no more than its work needs. */
void
jail_confine_caps(bool build)
{
  static const int files[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP };
  static const int builds[] = { CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT, CAP_SYS_ADMIN, CAP_NET_BIND_SERVICE };
  uint64_t keep = 0;
  struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[2] = { 0 };

  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    keep |= UINT64_C(1) << files[i];
  for (size_t i = 0; build && i < sizeof builds / sizeof *builds; i++)
    keep |= UINT64_C(1) << builds[i];
  for (int cap = 0; cap < 64; cap++)
    if (!(keep & (UINT64_C(1) << cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno != EINVAL)
      jail_die(errno, "capability %d", cap);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    jail_die(errno, "ambient capabilities");
  for (int i = 0; i < 2; i++)
    data[i].effective = data[i].permitted = (uint32_t)(keep >> (32 * i));
  if (syscall(SYS_capset, &head, data))
    jail_die(errno, "capabilities");
}

struct program {
  struct sock_filter code[256];
  unsigned short n;
};

static void
emit(struct program *p, struct sock_filter f)
{
  if (p->n == sizeof p->code / sizeof *p->code)
    jail_die(0, "the filter has grown too long");
  p->code[p->n++] = f;
}

static void
deny(struct program *p, uint32_t nr, uint32_t err)
{
  emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
  emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err));
}

/* Call `nr` with any of `bits` in argument `arg` is refused. Leaves the call's number loaded. */
static void
deny_bits(struct program *p, uint32_t nr, unsigned arg, uint32_t bits)
{
  emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 4));
  emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LOW(arg)));
  emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
  emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
}

/* Call `nr` is refused when argument `arg` is (`only` false), or is none of (`only` true), the values. */
static void
match(struct program *p, uint32_t nr, unsigned arg, const uint32_t *values, unsigned n, bool only)
{
  uint32_t hit = only ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM;
  uint32_t miss = only ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW;

  emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, (unsigned char)(2 * n + 2)));
  emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LOW(arg)));
  for (unsigned i = 0; i < n; i++) {
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, values[i], 0, 1));
    emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, hit));
  }
  emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, miss));
}

void
jail_confine_syscalls(bool build)
{
  static const uint32_t families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
  static const uint32_t ioctls[] = { TIOCSTI, TIOCLINUX };
  struct program p = { .n = 0 };

  emit(&p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
  emit(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0));
  emit(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  emit(&p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
  emit(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
  emit(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  for (size_t i = 0; i < sizeof never / sizeof *never; i++)
    deny(&p, never[i], EPERM);
  for (size_t i = 0; !build && i < sizeof build_only / sizeof *build_only; i++)
    deny(&p, build_only[i], EPERM);
  /* clone3's flags are behind a pointer that a filter cannot follow; libc falls back to clone. */
  deny(&p, SYS_clone3, ENOSYS);
  deny_bits(&p, SYS_clone, 0, build ? CLONE_NEWUSER : NEW_ANY);
  deny_bits(&p, SYS_unshare, 0, CLONE_NEWUSER);
  match(&p, SYS_ioctl, 1, ioctls, sizeof ioctls / sizeof *ioctls, false);
  match(&p, SYS_socket, 0, families, sizeof families / sizeof *families, true);
  emit(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));

  struct sock_fprog prog = { .len = p.n, .filter = p.code };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    jail_die(errno, "no new privileges");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
    jail_die(errno, "system call filter");
}
