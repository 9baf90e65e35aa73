// SPDX-License-Identifier: Apache-2.0
/* System calls that a guest does not get. A user namespace already takes away what needs rights over the node; this takes
 * away what has none of that to check, or has let guests out before: keyrings (not namespaced), io_uring, bpf, perf,
 * userfaultfd, handles of files, modules and kexec, exotic socket families. An app also may not make namespaces or mounts: it
 * has no business with the kernel's larger surface behind them.
 *
 * On x86 `socketcall` keeps the family behind a pointer that a filter cannot follow. libseccomp answers a rule on socket()'s
 * argument there with the same errno for all of socketcall's socket(), which tests/system/test_escape.c watches.
 *
 * ENOSYS where a program then falls back to something older; EPERM elsewhere. A foreign ABI (x32) is killed by libseccomp. */
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

#include "drivers/container/internal.h"

static const char *const never[] = {
  "acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64", "create_module",
  "delete_module", "finit_module", "fanotify_init", "get_kernel_syms", "init_module", "ioperm", "iopl", "kcmp", "kexec_file_load",
  "kexec_load", "keyctl", "lookup_dcookie", "move_pages", "nfsservctl", "open_by_handle_at", "perf_event_open", "query_module",
  "quotactl", "quotactl_fd", "request_key", "settimeofday", "stime", "swapoff", "swapon", "_sysctl", "sysfs", "syslog", "uselib",
  "userfaultfd", "ustat", "vm86", "vm86old", NULL,
};
static const char *const unknown[] = { "io_uring_enter", "io_uring_register", "io_uring_setup", "memfd_secret", NULL };
static const char *const not_app[] = {
  "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root", "process_vm_readv",
  "process_vm_writev", "reboot", "setns", "umount", "umount2", "unshare", "vhangup", NULL,
};
static const char *const unknown_app[] = { "clone3", NULL };

static void
deny(json_t *rules, const char *const *names, int err)
{
  json_t *list = json_array();

  for (; *names; names++)
    json_array_append_new(list, json_string(*names));
  json_array_append_new(rules, json_pack("{s:o, s:s, s:i}", "names", list, "action", "SCMP_ACT_ERRNO", "errnoRet", err));
}

static void
deny_arg(json_t *rules, const char *name, int err, guint64 value, guint64 mask)
{
  json_t *arg = mask ? json_pack("{s:i, s:I, s:I, s:s}", "index", 0, "value", (json_int_t)mask, "valueTwo", (json_int_t)value, "op",
                                 "SCMP_CMP_MASKED_EQ")
                     : json_pack("{s:i, s:I, s:s}", "index", 0, "value", (json_int_t)value, "op", "SCMP_CMP_EQ");

  json_array_append_new(rules, json_pack("{s:[s], s:s, s:i, s:[o]}", "names", name, "action", "SCMP_ACT_ERRNO", "errnoRet", err,
                                         "args", arg));
}

json_t *
pt_config_seccomp(bool system)
{
  static const int families[] = { AF_ALG, AF_VSOCK, AF_RDS, AF_TIPC, AF_SMC, AF_XDP, AF_AX25, AF_CAN };
  json_t *rules = json_array();

  deny(rules, never, EPERM);
  deny(rules, unknown, ENOSYS);
  for (guint i = 0; i < G_N_ELEMENTS(families); i++)
    deny_arg(rules, "socket", EAFNOSUPPORT, (guint64)families[i], 0);
  if (!system) {
    deny(rules, not_app, EPERM);
    deny(rules, unknown_app, ENOSYS); /* its flags cannot be looked at; clone's can */
    deny_arg(rules, "clone", EPERM, CLONE_NEWUSER, CLONE_NEWUSER);
  }
#if defined(__x86_64__)
  json_t *archs = json_pack("[s,s]", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86");
#elif defined(__aarch64__)
  json_t *archs = json_pack("[s,s]", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM");
#else
  json_t *archs = json_array();
#endif
  return json_pack("{s:s, s:o, s:o}", "defaultAction", "SCMP_ACT_ALLOW", "architectures", archs, "syscalls", rules);
}

json_t *
pt_jail_seccomp(void)
{
  static const char *const more[] = { "chroot", "mknod", "mknodat", "name_to_handle_at", "ptrace", NULL };
  json_t *filter = pt_config_seccomp(false), *rules = json_object_get(filter, "syscalls");

  deny(rules, more, EPERM);
  /* Network traffic goes through the descriptor of a tap: nobody in there has business with a socket of another family. */
  json_array_append_new(rules, json_pack("{s:[s], s:s, s:i, s:[{s:i, s:i, s:s}]}", "names", "socket", "action", "SCMP_ACT_ERRNO",
                                         "errnoRet", EAFNOSUPPORT, "args", "index", 0, "value", AF_UNIX, "op", "SCMP_CMP_NE"));
  return filter;
}
