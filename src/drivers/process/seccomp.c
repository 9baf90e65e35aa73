// SPDX-License-Identifier: Apache-2.0
/* System calls that a process gets: what C libraries, V8 and the JVM use of them, and no other. Whatever is not named here does not
 * exist (ENOSYS), so that a call which a newer kernel has is no way around it and libraries fall back to an older one; those
 * that programs know to be a privilege are refused as such (EPERM). Other ABIs than the node's own are killed by libseccomp. */
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

#include "drivers/process/process.h"

#define NEW_ANY                                                                                                            \
  (CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP | 0x80 /* NEWTIME */)
#define FAMILIES 46 /* more than any kernel has */

static const char *const allowed[] = {
  /* files */
  "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3", "faccessat",
  "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync",
  "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd",
  "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl", "lchown",
  "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir", "mkdirat", "mknod",
  "mknodat", "newfstatat", "open", "openat", "openat2", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
  "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir",
  "sendfile", "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee",
  "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "write", "writev",
  /* waiting */
  "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "io_cancel",
  "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit", "pause", "poll", "ppoll", "pselect6", "select", "signalfd",
  "signalfd4",
  /* memory */
  "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect",
  "mremap", "mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "remap_file_pages",
  /* processes, threads, signals */
  "arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
  "get_robust_list", "getcpu", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrlimit", "getrusage", "getsid", "gettid",
  "kill", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64", "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending",
  "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
  "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
  "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
  "set_robust_list", "set_tid_address", "setpgid", "setpriority", "setrlimit", "setsid", "sigaltstack", "sysinfo", "tgkill", "times",
  "tkill", "uname", "vfork", "wait4", "waitid",
  /* who it is; and what takes rights away */
  "capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid", "landlock_add_rule",
  "landlock_create_ruleset", "landlock_restrict_self", "seccomp", "setfsgid", "setfsuid", "setgid", "setgroups", "setregid",
  "setresgid", "setresuid", "setreuid", "setuid",
  /* time */
  "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep", "setitimer", "time",
  "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime",
  "timerfd_settime", "getrandom",
  /* talking to each other */
  "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "mq_getsetattr", "mq_notify", "mq_open",
  "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "recvfrom", "recvmmsg", "recvmsg", "semctl",
  "semget", "semop", "semtimedop", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shmat", "shmctl", "shmdt", "shmget", "shutdown",
  "socketpair", NULL,
};
static const char *const refused[] = {
  "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module", "fanotify_init", "finit_module",
  "fsconfig", "fsmount", "fsopen", "fspick", "init_module", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl",
  "modify_ldt", "mount", "mount_setattr", "move_mount", "name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open",
  "personality", "pidfd_getfd", "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl",
  "reboot", "request_key", "setdomainname", "sethostname", "setns", "settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare",
  "userfaultfd", "vhangup", NULL,
};

static void
add(json_t *rules, const char *const *names, const char *action, int err)
{
  json_t *list = json_array();

  for (; *names; names++)
    json_array_append_new(list, json_string(*names));
  json_t *rule = json_pack("{s:o, s:s}", "names", list, "action", action);
  if (err)
    json_object_set_new(rule, "errnoRet", json_integer(err));
  json_array_append_new(rules, rule);
}

static json_t *
equals(int arg, int value)
{
  return json_pack("{s:i, s:i, s:s}", "index", arg, "value", value, "op", "SCMP_CMP_EQ");
}

/* Unix sockets; with a network TCP and UDP too, and of netlink what a resolver asks for its addresses by. */
static void
add_sockets(json_t *rules, bool offline)
{
  for (int family = 0; family < FAMILIES; family++) {
    bool route = family == AF_NETLINK, good = family == AF_UNIX || (!offline && (family == AF_INET || family == AF_INET6 || route));
    json_t *args = json_pack("[o]", equals(0, family));

    if (good && route)
      json_array_append_new(args, equals(2, 0)); /* NETLINK_ROUTE */
    json_t *rule = json_pack("{s:[s], s:s, s:o}", "names", "socket", "action", good ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO", "args", args);
    if (!good)
      json_object_set_new(rule, "errnoRet", json_integer(EAFNOSUPPORT));
    json_array_append_new(rules, rule);
  }
}

json_t *
pt_proc_seccomp(bool offline)
{
  json_t *rules = json_array();

  add(rules, allowed, "SCMP_ACT_ALLOW", 0);
  add(rules, refused, "SCMP_ACT_ERRNO", EPERM);
  add_sockets(rules, offline);
  /* clone3 does not exist: its flags are out of a filter's sight, and libc falls back to clone */
  json_array_append_new(rules, json_pack("{s:[s], s:s, s:[{s:i, s:I, s:i, s:s}]}", "names", "clone", "action", "SCMP_ACT_ALLOW", "args",
                                         "index", 0, "value", (json_int_t)NEW_ANY, "valueTwo", 0, "op", "SCMP_CMP_MASKED_EQ"));
#if defined(__x86_64__)
  json_t *archs = json_pack("[s]", "SCMP_ARCH_X86_64");
#elif defined(__aarch64__)
  json_t *archs = json_pack("[s]", "SCMP_ARCH_AARCH64");
#else
  json_t *archs = json_array();
#endif
  return json_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet", ENOSYS, "architectures", archs,
                   "syscalls", rules);
}
