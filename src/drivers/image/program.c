// SPDX-License-Identifier: Apache-2.0
/* A program becomes an image: in the jail its file, or the files of its tarball or directory, are put into /job/root/app, beside the
 * mount points that a process's jail needs (drivers/process/config.c). What it is, is read from its first bytes, never from its
 * name. */
#include "drivers/image/program.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/image/make.h"
#include "model/instance.h"
#include "sys/path.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE
#endif

/* Names are ours alone: what the program was called is not kept, so that equal programs are equal images. */
static const struct {
  const char *file, *os;
} runtimes[] = {
  [PT_RUNTIME_NATIVE] = { "program", "Linux program" },
  [PT_RUNTIME_WASM] = { "program.wasm", "WebAssembly program" },
  [PT_RUNTIME_JAVA] = { "program.jar", "Java program" },
};
G_STATIC_ASSERT(G_N_ELEMENTS(runtimes) == PT_N_RUNTIMES);

/* $1: "file" (stdin is the program, $2 its name), "tree" (a directory is bound at /in), or "none" (unpacked there already). */
static const char place_script[] =
  "set -e\n"
  "mkdir -p /job/root/app; cd /job/root\n"
  "mkdir -p data dev etc/ssl/certs etc/alternatives portena proc tmp usr\n"
  "for d in bin sbin lib lib64; do ln -s usr/$d $d; done\n"
  ": >etc/ld.so.cache; : >portena/sandbox; : >portena/wasi.mjs\n"
  "echo 'hosts: files dns' >etc/nsswitch.conf\n"
  "printf 'root:x:0:0:root:/data:/bin/sh\\nuser:x:1000:1000:user:/data:/bin/sh\\nnobody:x:65534:65534:nobody:/:/bin/sh\\n' >etc/passwd\n"
  "printf 'root:x:0:\\ntty:x:5:\\nuser:x:1000:\\nnogroup:x:65534:\\n' >etc/group\n"
  "case $1 in\n"
  "file) cat >app/$2; chmod 755 app/$2 ;;\n"
  "tree) cp -a /in/. app/ ;;\n"
  "esac\n"
  "chown -hR 0:0 app; chmod -R u+rwX,go+rX,a-s,go-w app\n";

PtProgramIs
pt_program_sniff(const guint8 *head, gsize size, int *ret_runtime)
{
  static const guint8 wasm[] = { 0, 'a', 's', 'm' }, core[] = { 1, 0, 0, 0 }, zip[] = { 'P', 'K', 3, 4 };

  *ret_runtime = PT_RUNTIME_NATIVE;
  if (size > 2 && head[0] == '#' && head[1] == '!')
    return PT_PROGRAM_RUNS;
  if (size >= 20 && memcmp(head, ELFMAG, SELFMAG) == 0) {
    guint type = head[16] | (guint)head[17] << 8, machine = head[18] | (guint)head[19] << 8;
    bool ours = head[EI_CLASS] == ELFCLASS64 && head[EI_DATA] == ELFDATA2LSB && machine == MACHINE;
    if (!ours)
      return PT_PROGRAM_FOREIGN;
    return type == ET_EXEC || type == ET_DYN ? PT_PROGRAM_RUNS : PT_PROGRAM_NONE;
  }
  if (size >= 8 && memcmp(head, wasm, sizeof wasm) == 0) {
    *ret_runtime = PT_RUNTIME_WASM;
    return memcmp(head + 4, core, sizeof core) == 0 ? PT_PROGRAM_RUNS : PT_PROGRAM_COMPONENT;
  }
  if (size >= 4 && memcmp(head, zip, sizeof zip) == 0) {
    *ret_runtime = PT_RUNTIME_JAVA;
    return PT_PROGRAM_RUNS;
  }
  return PT_PROGRAM_NONE;
}

static bool
sniff_fd(int fd, PtProgramIs *ret, int *ret_runtime, GError **error)
{
  guint8 head[PT_PROGRAM_HEAD];
  ssize_t n = pread(fd, head, sizeof head, 0);

  if (n < 0) {
    pt_error_errno(error, errno, "the program");
    return false;
  }
  *ret = pt_program_sniff(head, (gsize)n, ret_runtime);
  return true;
}

/* What stands in the way of running it, for a person. Always false. */
static bool
unfit(const char *what, PtProgramIs is, GError **error)
{
  g_autofree char *shown = pt_text_safe(what, 120);

  switch (is) {
  case PT_PROGRAM_FOREIGN:
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: was made for another processor than this node has", shown);
    pt_error_hint(error, "build it for 64 bits and this processor, or bring a WebAssembly module or a Java archive");
    break;
  case PT_PROGRAM_COMPONENT:
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: is a WebAssembly component; only modules for WASI preview 1 can be run", shown);
    pt_error_hint(error, "build it for the target wasm32-wasip1");
    break;
  default:
    PT_SET(error, PT_ERR_INVALID, "%s: is no program: neither ELF nor a script, no WebAssembly module, no Java archive", shown);
    pt_error_hint(error, "a tarball or directory with a program needs its name:  portena image import FILE NAME --main PATH");
  }
  return false;
}

static bool
run_place(PtImageWork *w, const char *how, const char *name, const char *const *options, GError **error)
{
  const char *const argv[] = { "sh", "-c", place_script, "sh", how, name, NULL };

  return pt_image_work_run(w, &(PtJailRun){ .options = options, .argv = argv }, NULL, error);
}

static bool
place_file(PtImageWork *w, const PtSource *s, int runtime, GError **error)
{
  const char *const options[] = { "--input", s->path, NULL };

  return run_place(w, "file", runtimes[runtime].file, options, error);
}

static bool
place_tree(PtImageWork *w, const PtSource *s, bool directory, GError **error)
{
  static const char *const root[] = { "mkdir", "-p", "/job/root", NULL };
  g_autofree char *bind = g_strdup_printf("%s=/in", s->path);
  const char *const options[] = { "--ro", bind, NULL };

  if (directory)
    return run_place(w, "tree", "", options, error);
  if (!pt_image_work_run(w, &(PtJailRun){ .argv = root }, NULL, error))
    return false;
  if (pt_image_unpack(w, s, "/job/root/app", error))
    return run_place(w, "none", "", NULL, error);
  g_prefix_error(error, "neither a program nor a tarball with one: ");
  return false;
}

/* A descriptor of the tree that was made; paths in it lead no further. */
static int
open_tree_root(PtImageWork *w, GError **error)
{
  g_autofree char *path = g_build_filename(w->tools, "root", NULL);
  int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    pt_error_errno(error, errno, "the program's files");
  return fd;
}

static PtProgramIs
look_at(int root, const char *path, int *ret_runtime)
{
  PtProgramIs is = PT_PROGRAM_NONE;
  int fd = pt_path_open_file(root, path, NULL);

  if (fd < 0)
    return PT_PROGRAM_NONE;
  sniff_fd(fd, &is, ret_runtime, NULL);
  close(fd);
  return is;
}

/* The only program that lies at the top, relative to /app; the caller's. NULL and INVALID where there is none, or more than one. */
static char *
only_program(int root, GError **error)
{
  int fd = pt_path_open(root, "app", O_RDONLY | O_DIRECTORY, 0, 0, error);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  g_autofree char *found = NULL;
  guint n = 0;

  for (const struct dirent *e; d && (e = readdir(d));) {
    g_autofree char *path = g_strdup_printf("app/%s", e->d_name);
    int runtime;
    if (e->d_name[0] == '.' || look_at(root, path, &runtime) != PT_PROGRAM_RUNS)
      continue;
    n++;
    g_free(found);
    found = g_strdup(e->d_name);
  }
  if (d)
    closedir(d);
  if (n == 1 && g_utf8_validate(found, -1, NULL))
    return g_steal_pointer(&found);
  if (fd >= 0) {
    PT_SET(error, PT_ERR_INVALID, n > 1 ? "there are %u programs in it" : "there is no program at the top of it", n);
    pt_error_hint(error, "say which to run:  portena image import FILE NAME --main PATH");
  }
  return NULL;
}

static bool
choose_main(PtImageWork *w, const PtSource *s, PtImage *image, GError **error)
{
  int root = open_tree_root(w, error);
  if (root < 0)
    return false;
  g_autofree char *name = s->tag ? g_strdup(s->tag) : only_program(root, error);
  g_autofree char *path = name ? g_strdup_printf("app/%s", name) : NULL;
  PtProgramIs is = path ? look_at(root, path, &image->runtime) : PT_PROGRAM_NONE;

  close(root);
  if (!name)
    return false;
  if (is != PT_PROGRAM_RUNS)
    return unfit(name, is, error);
  g_autofree char *command = g_strdup_printf("/%s", path), *file = g_strdup_printf("/job/root/%s", path);
  image->command = g_strdupv((char *[]){ command, NULL });
  return pt_image_work_run(w, &(PtJailRun){ .argv = (const char *const[]){ "chmod", "755", file, NULL } }, NULL, error);
}

bool
pt_image_import_program(PtImageWork *w, const PtSource *s, PtImage *image, GError **error)
{
  int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  PtProgramIs is = PT_PROGRAM_NONE;
  struct stat st;

  if (fd < 0 || fstat(fd, &st) < 0) {
    pt_error_errno(error, errno, "%s", s->path);
    if (fd >= 0)
      close(fd);
    return false;
  }
  bool directory = S_ISDIR(st.st_mode), ok = directory || S_ISREG(st.st_mode);
  if (!ok)
    PT_SET(error, PT_ERR_INVALID, "%s: neither a file nor a directory", s->path);
  ok = ok && (directory || sniff_fd(fd, &is, &image->runtime, error));
  close(fd);
  if (!ok)
    return false;
  pt_image_work_step(w, "Unpacking", 0, 750, 0, NULL);
  if (is == PT_PROGRAM_FOREIGN || is == PT_PROGRAM_COMPONENT)
    return unfit(s->path, is, error);
  if (is == PT_PROGRAM_RUNS && !s->tag) {
    g_autofree char *command = g_strdup_printf("/app/%s", runtimes[image->runtime].file);
    image->command = g_strdupv((char *[]){ command, NULL });
    ok = place_file(w, s, image->runtime, error);
  } else {
    ok = place_tree(w, s, directory, error) && choose_main(w, s, image, error);
  }
  image->format = PT_FORMAT_PROGRAM;
  image->init = PT_INIT_APP;
  image->os = g_strdup(runtimes[image->runtime].os);
  image->kinds = g_strdupv((char *[]){ (char *)pt_kind_names[PT_KIND_PROCESS], NULL });
  return ok;
}
