// SPDX-License-Identifier: Apache-2.0
/* Started by portenad, this program reads what a guest says and is the only one to do so. Whatever a guest could make of it, it has
 * the ids of that guest's jail, and of the system calls those that move bytes between descriptors that it has already. */
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helpers/guestctl.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "portena-guestctl: no system call filter for this architecture"
#endif

static const uint32_t allowed[] = {
  SYS_read, SYS_write, SYS_ppoll, SYS_recvfrom, SYS_sendto, SYS_shutdown, SYS_close, SYS_exit, SYS_exit_group, SYS_clock_gettime,
  SYS_rt_sigreturn, SYS_restart_syscall,
#if defined(__x86_64__)
  SYS_poll,
#endif
};

bool
confine(uid_t id)
{
  enum { N = sizeof allowed / sizeof *allowed };
  struct sock_filter code[4 + N + 2] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
  };
  const struct sock_fprog program = { .len = 4 + N + 2, .filter = code };
  const struct rlimit none = { 0, 0 };

  for (unsigned i = 0; i < N; i++)
    code[4 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], (unsigned char)(N - i), 0);
  code[4 + N] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  code[4 + N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  if (getuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0))
    return false;
  return setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
