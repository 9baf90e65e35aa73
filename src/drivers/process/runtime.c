// SPDX-License-Identifier: Apache-2.0
/* What runs a program. Native ones need nothing; WebAssembly runs in Node.js (its own WASI, over V8) and a Java archive in the JVM,
 * the node's own, which the jail shows read-only. docs/DEPENDENCIES.md says why these. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/process/process.h"

#define MIB (G_GINT64_CONSTANT(1) << 20)
#define LEAST (64 * MIB)      /* what V8 and the JVM need for themselves */
#define WASM_PAGE (64 * 1024)
#define WASM_PAGES 65536      /* all that 32 bits reach */

static const struct {
  const char *program, *package, *what;
} runners[] = {
  [PT_RUNTIME_NATIVE] = { NULL, NULL, NULL },
  [PT_RUNTIME_WASM] = { "node", "nodejs", "WebAssembly programs" },
  [PT_RUNTIME_JAVA] = { "java", "default-jre-headless", "Java programs" },
};
G_STATIC_ASSERT(G_N_ELEMENTS(runners) == PT_N_RUNTIMES);

char *
pt_runtime_find(int runtime, GError **error)
{
  char real[PATH_MAX];

  if (!runners[runtime].program)
    return g_strdup("");
  /* Not PATH: only what the jail shows too, which hides /usr/local. */
  g_autofree char *path = g_strdup_printf("/usr/bin/%s", runners[runtime].program);
  if (realpath(path, real) && g_str_has_prefix(real, "/usr/") && !g_str_has_prefix(real, "/usr/local/") && access(real, X_OK) == 0)
    return g_strdup(real);
  PT_SET(error, PT_ERR_UNSUPPORTED, "this node has no %s, which runs %s", path, runners[runtime].what);
  pt_error_hint(error, "an administrator can bring it in:  apt-get install %s", runners[runtime].package);
  return NULL;
}

int
pt_landlock_abi(void)
{
  long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);

  return abi > 0 ? (int)abi : 0;
}

/* What is left for the program when the runtime has had its part; it grows with the whole. */
static gint64
share(gint64 memory)
{
  return MAX(memory / 2, memory - 256 * MIB);
}

static void
add_wasm(GPtrArray *argv, const PtInstance *spec)
{
  g_ptr_array_add(argv, g_strdup("--no-warnings"));
  if (spec->memory)
    g_ptr_array_add(argv, g_strdup_printf("--wasm-max-mem-pages=%" G_GINT64_FORMAT, MIN(share(spec->memory) / WASM_PAGE, WASM_PAGES)));
  g_ptr_array_add(argv, g_strdup("/portena/wasi.mjs"));
}

static void
add_java(GPtrArray *argv, const PtInstance *spec)
{
  static const char *const always[] = { "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "-Djava.io.tmpdir=/tmp",
                                        "-Duser.home=/data" };

  for (guint i = 0; i < G_N_ELEMENTS(always); i++)
    g_ptr_array_add(argv, g_strdup(always[i]));
  if (spec->memory)
    g_ptr_array_add(argv, g_strdup_printf("-Xmx%" G_GINT64_FORMAT "m", share(spec->memory) / MIB));
  if (spec->cpu)
    g_ptr_array_add(argv, g_strdup_printf("-XX:ActiveProcessorCount=%" G_GINT64_FORMAT, (spec->cpu + 999) / 1000));
  g_ptr_array_add(argv, g_strdup("-jar"));
}

char **
pt_runtime_argv(const PtInstance *spec, const PtImage *image, const char *runner, GError **error)
{
  g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

  if (!image->command || !image->command[0]) {
    PT_SET(error, PT_ERR_INVALID, "its image %s names no program", spec->image_name ? spec->image_name : spec->image);
    return NULL;
  }
  if (image->runtime != PT_RUNTIME_NATIVE && spec->memory && spec->memory < LEAST) {
    PT_SET(error, PT_ERR_INVALID, "memory: %s need %d MiB at least", runners[image->runtime].what, (int)(LEAST / MIB));
    pt_error_hint(error, "give it more:  portena set %s memory=256MiB", spec->name);
    return NULL;
  }
  if (image->runtime != PT_RUNTIME_NATIVE)
    g_ptr_array_add(argv, g_strdup(runner));
  if (image->runtime == PT_RUNTIME_WASM)
    add_wasm(argv, spec);
  if (image->runtime == PT_RUNTIME_JAVA)
    add_java(argv, spec);
  for (char **word = image->command; *word; word++)
    g_ptr_array_add(argv, g_strdup(*word));
  for (char **word = spec->command; word && *word; word++)
    g_ptr_array_add(argv, g_strdup(*word));
  g_ptr_array_add(argv, NULL);
  return (char **)g_ptr_array_steal(argv, NULL);
}
