// SPDX-License-Identifier: Apache-2.0
/* Of processes what touches nothing: what a file is, the command line that runs it, the allow list. */
#include <elf.h>
#include <string.h>

#include "base/error.h"
#include "drivers/image/program.h"
#include "drivers/process/process.h"
#include "model/space.h"

static void
elf(guint8 *head, guint8 class, guint type, guint machine)
{
  memset(head, 0, PT_PROGRAM_HEAD);
  memcpy(head, ELFMAG, SELFMAG);
  head[EI_CLASS] = class;
  head[EI_DATA] = ELFDATA2LSB;
  head[16] = (guint8)type;
  head[18] = (guint8)machine;
  head[19] = (guint8)(machine >> 8);
}

static void
test_sniff_elf(void)
{
  guint8 head[PT_PROGRAM_HEAD];
  int runtime = -1;
#if defined(__x86_64__)
  const guint own = EM_X86_64, other = EM_AARCH64;
#else
  const guint own = EM_AARCH64, other = EM_X86_64;
#endif

  elf(head, ELFCLASS64, ET_DYN, own);
  g_assert_cmpint(pt_program_sniff(head, sizeof head, &runtime), ==, PT_PROGRAM_RUNS);
  g_assert_cmpint(runtime, ==, PT_RUNTIME_NATIVE);
  elf(head, ELFCLASS64, ET_EXEC, own);
  g_assert_cmpint(pt_program_sniff(head, sizeof head, &runtime), ==, PT_PROGRAM_RUNS);
  elf(head, ELFCLASS64, ET_REL, own);
  g_assert_cmpint(pt_program_sniff(head, sizeof head, &runtime), ==, PT_PROGRAM_NONE);
  elf(head, ELFCLASS64, ET_DYN, other);
  g_assert_cmpint(pt_program_sniff(head, sizeof head, &runtime), ==, PT_PROGRAM_FOREIGN);
  elf(head, ELFCLASS32, ET_EXEC, own);
  g_assert_cmpint(pt_program_sniff(head, sizeof head, &runtime), ==, PT_PROGRAM_FOREIGN);
}

static void
test_sniff(void)
{
  static const struct { const char *bytes; gsize size; PtProgramIs is; int runtime; } heads[] = {
    { "\0asm\1\0\0\0", 8, PT_PROGRAM_RUNS, PT_RUNTIME_WASM },
    { "\0asm\x0d\0\1\0", 8, PT_PROGRAM_COMPONENT, PT_RUNTIME_WASM },
    { "\0asm", 4, PT_PROGRAM_NONE, PT_RUNTIME_NATIVE },
    { "PK\3\4....", 8, PT_PROGRAM_RUNS, PT_RUNTIME_JAVA },
    { "PK\5\6....", 8, PT_PROGRAM_NONE, PT_RUNTIME_NATIVE },
    { "#!/bin/sh\n", 10, PT_PROGRAM_RUNS, PT_RUNTIME_NATIVE },
    { "#!", 2, PT_PROGRAM_NONE, PT_RUNTIME_NATIVE },
    { "\177ELF", 4, PT_PROGRAM_NONE, PT_RUNTIME_NATIVE },
    { "\x1f\x8b\x08", 3, PT_PROGRAM_NONE, PT_RUNTIME_NATIVE },
    { "", 0, PT_PROGRAM_NONE, PT_RUNTIME_NATIVE },
  };

  for (guint i = 0; i < G_N_ELEMENTS(heads); i++) {
    int runtime = -1;

    g_assert_cmpint(pt_program_sniff((const guint8 *)heads[i].bytes, heads[i].size, &runtime), ==, heads[i].is);
    g_assert_cmpint(runtime, ==, heads[i].runtime);
  }
}

static char *
joined(const PtInstance *spec, const PtImage *image)
{
  g_autoptr(GError) err = NULL;
  g_auto(GStrv) argv = pt_runtime_argv(spec, image, "/opt/runner", &err);

  g_assert_no_error(err);
  return g_strjoinv(" ", argv);
}

static void
test_argv(void)
{
  char *command[] = { (char *)"/app/x", NULL }, *arguments[] = { (char *)"-a", (char *)"b c", NULL };
  PtInstance spec = { .name = (char *)"one", .command = arguments };
  PtImage image = { .command = command };
  g_autoptr(GError) err = NULL;

  g_autofree char *native = joined(&spec, &image);
  g_assert_cmpstr(native, ==, "/app/x -a b c");
  image.runtime = PT_RUNTIME_WASM;
  g_autofree char *wasm = joined(&spec, &image);
  g_assert_cmpstr(wasm, ==, "/opt/runner --no-warnings /portena/wasi.mjs /app/x -a b c");
  spec.memory = G_GINT64_CONSTANT(128) << 20;
  g_autofree char *limited = joined(&spec, &image);
  g_assert_nonnull(strstr(limited, " --wasm-max-mem-pages=1024 "));
  spec.memory = G_GINT64_CONSTANT(64) << 30; /* more than 32 bits reach */
  g_autofree char *large = joined(&spec, &image);
  g_assert_nonnull(strstr(large, " --wasm-max-mem-pages=65536 "));
  image.runtime = PT_RUNTIME_JAVA;
  spec.memory = G_GINT64_CONSTANT(1) << 30;
  spec.cpu = 1500;
  g_autofree char *java = joined(&spec, &image);
  g_assert_nonnull(strstr(java, " -Xmx768m -XX:ActiveProcessorCount=2 -jar /app/x -a b c"));
  spec.memory = 8 << 20;
  g_assert_null(pt_runtime_argv(&spec, &image, "", &err));
  g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  g_clear_error(&err);
  command[0] = NULL;
  g_assert_null(pt_runtime_argv(&spec, &image, "", &err));
  g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
}

/* "allow", "refuse" or NULL for a call without conditions. */
static const char *
verdict(const json_t *seccomp, const char *call)
{
  gsize i, n;
  json_t *rule, *name;

  json_array_foreach (json_object_get(seccomp, "syscalls"), i, rule)
    json_array_foreach (json_object_get(rule, "names"), n, name)
      if (!json_object_get(rule, "args") && strcmp(json_string_value(name), call) == 0)
        return strcmp(json_string_value(json_object_get(rule, "action")), "SCMP_ACT_ALLOW") == 0 ? "allow" : "refuse";
  return NULL;
}

static guint
sockets(const json_t *seccomp)
{
  gsize i;
  json_t *rule;
  guint n = 0;

  json_array_foreach (json_object_get(seccomp, "syscalls"), i, rule)
    n += strcmp(json_string_value(json_array_get(json_object_get(rule, "names"), 0)), "socket") == 0 &&
         strcmp(json_string_value(json_object_get(rule, "action")), "SCMP_ACT_ALLOW") == 0;
  return n;
}

static void
test_seccomp(void)
{
  static const char *const refused[] = { "mount", "ptrace", "bpf", "unshare", "setns", "chroot", "kexec_load", "perf_event_open" },
                          *const absent[] = { "clone", "clone3", "socket", "io_uring_setup", "vmsplice", "memfd_secret" },
                          *const allowed[] = { "read", "execve", "futex", "mmap", "landlock_restrict_self", "getrandom" };
  g_autoptr(json_t) offline = pt_proc_seccomp(true), network = pt_proc_seccomp(false);

  g_assert_cmpstr(json_string_value(json_object_get(offline, "defaultAction")), ==, "SCMP_ACT_ERRNO");
  for (guint i = 0; i < G_N_ELEMENTS(refused); i++)
    g_assert_cmpstr(verdict(offline, refused[i]), ==, "refuse");
  for (guint i = 0; i < G_N_ELEMENTS(absent); i++)
    g_assert_cmpstr(verdict(offline, absent[i]), ==, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(allowed); i++)
    g_assert_cmpstr(verdict(offline, allowed[i]), ==, "allow");
  g_assert_cmpuint(sockets(offline), ==, 1);
  g_assert_cmpuint(sockets(network), ==, 4);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/process/sniff/elf", test_sniff_elf);
  g_test_add_func("/process/sniff/others", test_sniff);
  g_test_add_func("/process/argv", test_argv);
  g_test_add_func("/process/seccomp", test_seccomp);
  return g_test_run();
}
