// SPDX-License-Identifier: Apache-2.0
/* image … */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/export.h"
#include "cli/launch.h"
#include "cli/list.h"
#include "cli/operation.h"
#include "cli/output.h"
#include "cli/upload.h"

/* Its first name, else the beginning of its digest. The caller's. */
static char *
image_name(const json_t *image)
{
  const char *name = json_string_value(json_array_get(json_object_get(image, "names"), 0));
  const char *digest = pt_json_str(image, "digest", "");

  if (name)
    return pt_safe(name);
  digest = g_str_has_prefix(digest, "sha256:") ? digest + 7 : digest;
  g_autofree char *begin = g_strndup(digest, 12);
  return pt_safe(begin);
}

static char *
join_strings(const json_t *list)
{
  GString *s = g_string_new(NULL);

  for (gsize n = 0; n < json_array_size(list); n++) {
    const char *one = json_string_value(json_array_get(list, n));
    g_string_append_printf(s, "%s%s", n ? ", " : "", one ? one : "–");
  }
  return g_string_free(s, FALSE);
}

/* What is in it: "desktop", "system", "app", "disk", "iso", "wasm program", "kernel". The caller's. */
static char *
what_it_is(const json_t *i)
{
  const char *format = pt_json_str(i, "format", "rootfs"), *runtime = pt_json_str(i, "runtime", "native");

  if (strcmp(format, "program") == 0 && strcmp(runtime, "native") != 0)
    return g_strdup_printf("%s program", runtime);
  if (strcmp(format, "rootfs") != 0)
    return g_strdup(format);
  return g_strdup(pt_json_bool(i, "desktop", false) ? "desktop" : pt_json_str(i, "init", "system"));
}

static void
image_row(PtTable *t, const json_t *i)
{
  const char *digest = pt_json_str(i, "digest", "");
  g_autofree char *first = image_name(i), *all = join_strings(json_object_get(i, "names")), *size = pt_member_size(i, "size"),
                  *age = pt_since(pt_json_str(i, "created", NULL)),
                  *begin = g_strndup(g_str_has_prefix(digest, "sha256:") ? digest + 7 : digest, 12),
                  *used = g_strdup_printf("%d", (int)json_array_size(json_object_get(i, "used_by"))),
                  *kinds = join_strings(json_object_get(i, "kinds")), *what = what_it_is(i);
  const char *cells[] = { *all ? all : first,
                          begin,
                          size,
                          age,
                          pt_json_str(i, "arch", ""),
                          what,
                          kinds,
                          used };

  pt_table_add(t, cells);
}

static int
run_list(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "NAME", "DIGEST", "SIZE", "AGE", "ARCH", "WHAT", "RUNS AS", "USED BY", NULL };
  const PtList list = {
    .headings = headings, .name = image_name, .row = image_row,
    .none = "There are no images yet. Build one:  portena image build desktop   (all: portena image recipes)",
  };

  (void)args;
  return pt_list_show(cli, "/v1/images", &list, error);
}

static int
run_show(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autofree char *path = pt_client_path("/v1/images/%s", pt_args_nth(args, 0));
  g_autoptr(PtFacts) f = pt_facts_new();
  g_autoptr(json_t) i = NULL;

  cli->missed_image = g_strdup(pt_args_nth(args, 0));
  if (!pt_cli_call(cli, "GET", path, NULL, &i, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, i);
    return 0;
  }
  if (cli->quiet) {
    pt_say("%s", pt_json_str(i, "digest", ""));
    return 0;
  }
  g_autofree char *names = join_strings(json_object_get(i, "names")), *kinds = join_strings(json_object_get(i, "kinds")),
                  *users = join_strings(json_object_get(i, "used_by")), *size = pt_member_size(i, "size"),
                  *created = pt_when(pt_json_str(i, "created", NULL)), *age = pt_since(pt_json_str(i, "created", NULL));
  pt_facts_add(f, "names", *names ? names : "–");
  pt_facts_add(f, "digest", pt_json_str(i, "digest", NULL));
  pt_facts_add(f, "description", pt_json_str(i, "description", NULL));
  pt_facts_add(f, "source", pt_json_str(i, "source", NULL));
  pt_facts_addf(f, "system", "%s, %s", pt_json_str(i, "os", "–"), pt_json_str(i, "arch", "–"));
  const char *format = pt_json_str(i, "format", "rootfs");
  bool rootfs = strcmp(format, "rootfs") == 0, disk = strcmp(format, "disk") == 0;
  g_autofree char *what = what_it_is(i), *whole = pt_member_size(i, "disk");
  if (!rootfs)
    pt_facts_addf(f, "format", "%s%s%s%s%s", what, disk ? " of " : "", disk ? whole : "", disk ? ", starts with " : "",
                  disk ? (strcmp(pt_json_str(i, "firmware", "uefi"), "bios") == 0 ? "BIOS" : "UEFI") : "");
  if (*kinds)
    pt_facts_addf(f, "runs as", "%s%s%s%s", kinds, rootfs ? ", init " : "", rootfs ? pt_json_str(i, "init", "system") : "",
                  rootfs && pt_json_bool(i, "desktop", false) ? ", with a desktop" : "");
  pt_facts_add(f, "size", size);
  pt_facts_addf(f, "created", "%s (%s old)", created, age);
  pt_facts_add(f, "used by", *users ? users : "nobody");
  pt_facts_print(f, cli);
  return 0;
}

static void
recipe_row(PtTable *t, const json_t *r)
{
  g_autofree char *name = pt_safe(pt_json_str(r, "name", ""));
  const char *cells[] = { name, json_is_string(json_object_get(r, "image")) ? "yes" : "no",
                          pt_json_str(r, "description", "") };

  pt_table_add(t, cells);
}

static int
run_recipes(PtCli *cli, const PtArgs *args, GError **error)
{
  static const char *const headings[] = { "RECIPE", "BUILT", "DESCRIPTION", NULL };
  const PtList list = { .headings = headings, .key = "name", .row = recipe_row };

  (void)args;
  return pt_list_show(cli, "/v1/images/recipes", &list, error);
}

/* The image that an operation made; without a `name` the server gave it one. */
static int
tell_result(PtCli *cli, const json_t *operation, const char *name)
{
  const char *result = pt_json_str(operation, "result", "");
  const char *digest = g_str_has_prefix(result, "images/") ? result + 7 : result;
  g_autofree char *path = pt_client_path("/v1/images/%s", digest), *safe = pt_safe(digest), *given = NULL;
  g_autoptr(json_t) image = NULL;

  if (cli->json) {
    pt_print_json(cli, operation);
    return 0;
  }
  if (!name && pt_cli_call(cli, "GET", path, NULL, &image, NULL))
    given = image_name(image);
  const char *what = name ? name : given ? given : safe;
  if (cli->quiet)
    pt_say("%s", what);
  else
    pt_say("Image %s is ready%s%s. Use it:  portena launch %s NAME", what, *safe ? ": " : "", safe, what);
  return 0;
}

static int
run_build(PtCli *cli, const PtArgs *args, GError **error)
{
  int status = 0;

  for (guint i = 0; i < pt_args_n(args); i++) {
    const char *recipe = pt_args_nth(args, i);
    g_autoptr(json_t) op = NULL;
    if (!pt_name_check("recipe", recipe, error) || !pt_image_build(cli, recipe, pt_args_get(args, "arch"), &op, error))
      return -1;
    if (cli->json || cli->quiet)
      status = tell_result(cli, op, recipe);
  }
  return status;
}

/* --- import --- */

static bool
import_remote(PtCli *cli, const PtArgs *args, const char *source, const char *name, json_t **ret, GError **error)
{
  g_autoptr(json_t) body = json_pack("{s:s, s:s?, s:s?}", "source", source, "name", name, "arch", pt_args_get(args, "arch"));

  if (!body) {
    PT_SET(error, PT_ERR_INVALID, "source: it is not valid UTF-8");
    return false;
  }
  if (!name)
    json_object_del(body, "name");
  if (!pt_args_get(args, "arch"))
    json_object_del(body, "arch");
  return pt_cli_call(cli, "POST", "/v1/images", body, ret, error);
}

static bool
has_scheme(const char *source)
{
  static const char *const schemes[] = { "docker://", "oci:", "docker-archive:", "oci-archive:", "rootfs:", "program:", "recipe:", "qcow2:",
                                         "raw:", "vmdk:", "vdi:", "vhdx:", "vhd:", "ova:", "iso:" };

  for (guint i = 0; i < G_N_ELEMENTS(schemes); i++)
    if (g_str_has_prefix(source, schemes[i]))
      return true;
  return false;
}

static int
run_import(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *source = pt_args_nth(args, 0), *name = pt_args_nth(args, 1), *format = pt_args_get(args, "format");
  bool remote = has_scheme(source);
  g_autoptr(json_t) answer = NULL, op = NULL;

  if (!remote && !name) {
    PT_SET(error, PT_ERR_INVALID, "import: how shall the image of %s be called?", source);
    pt_error_hint(error, "usage:  portena image import %s NAME", source);
    return -1;
  }
  const char *what = name ? name : source;
  const PtUpload upload = { source, name, format || remote ? format : pt_upload_format(source), pt_args_get(args, "arch"),
                            pt_args_get(args, "main") };
  g_autofree char *title = g_strdup_printf("Importing %s", what);
  if (remote ? !import_remote(cli, args, source, name, &answer, error)
             : !pt_upload(cli, &upload, &answer, error))
    return -1;
  if (!pt_operation_wait(cli, answer, title, 0, &op, error)) {
    g_prefix_error(error, "image %s: ", what);
    return -1;
  }
  return tell_result(cli, op ? op : answer, name);
}

/* --- delete, prune, rename --- */

/* The names an image keeps when `ref`, one of several, is taken away; NULL where `ref` means the image itself. */
static char *
names_left(const json_t *image, const char *ref)
{
  const json_t *names = json_object_get(image, "names");
  g_autoptr(json_t) left = json_array();
  gsize n;
  json_t *name;

  json_array_foreach ((json_t *)names, n, name)
    if (g_strcmp0(json_string_value(name), ref) != 0)
      json_array_append(left, name);
  return json_array_size(left) > 0 && json_array_size(left) < json_array_size(names) ? join_strings(left) : NULL;
}

static void
tell_deletion(const json_t *image, const char *ref)
{
  g_autofree char *users = join_strings(json_object_get(image, "used_by")), *size = pt_member_size(image, "size"),
                  *left = names_left(image, ref), *safe = pt_safe(ref);

  if (left)
    pt_say("Would take the name %s away; the image stays as %s. Nothing was changed.", safe, left);
  else if (*users)
    pt_say("Would refuse: image %s is in use by %s.", safe, users);
  else
    pt_say("Would delete image %s (%s). Nothing was changed.", safe, size);
}

static void
tell_deleted(const json_t *image, const char *ref)
{
  g_autofree char *left = names_left(image, ref), *safe = pt_safe(ref);

  if (left)
    pt_say("The name %s is taken away; the image stays as %s.", safe, left);
  else
    pt_say("Image %s is deleted.", safe);
}

static int
run_delete(PtCli *cli, const PtArgs *args, GError **error)
{
  for (guint i = 0; i < pt_args_n(args); i++) {
    const char *ref = pt_args_nth(args, i);
    g_autofree char *path = pt_client_path("/v1/images/%s", ref), *safe = pt_safe(ref);
    g_autoptr(json_t) image = NULL, answer = NULL;
    g_free(cli->missed_image);
    cli->missed_image = g_strdup(ref);
    if (!pt_cli_call(cli, "GET", path, NULL, &image, error))
      return -1;
    if (pt_args_has(args, "dry-run"))
      tell_deletion(image, ref);
    else if (!pt_cli_call(cli, "DELETE", path, NULL, &answer, error) || !pt_operation_wait(cli, answer, safe, 0, NULL, error))
      return -1;
    else if (cli->json && answer)
      pt_print_json(cli, answer);
    else if (cli->quiet)
      pt_say("%s", safe);
    else if (!cli->json)
      tell_deleted(image, ref);
  }
  return 0;
}

/* What prune would take, as far as it can be told from here. */
static int
dry_prune(PtCli *cli, GError **error)
{
  g_autoptr(json_t) images = NULL;
  gint64 freed = 0;
  gsize n;
  json_t *i;

  if (!pt_cli_call(cli, "GET", "/v1/images", NULL, &images, error))
    return -1;
  json_array_foreach (json_object_get(images, "items"), n, i) {
    if (json_array_size(json_object_get(i, "used_by")) > 0 || json_array_size(json_object_get(i, "names")) > 0)
      continue;
    g_autofree char *name = image_name(i), *size = pt_member_size(i, "size");
    freed += pt_json_int(i, "size", 0);
    if (cli->quiet)
      pt_say("%s", name);
    else
      pt_say("Would remove %s (%s)", name, size);
  }
  g_autofree char *sum = pt_size_format(freed);
  pt_note(cli, "%s would be freed. Nothing was changed.", sum);
  return 0;
}

static int
run_prune(PtCli *cli, const PtArgs *args, GError **error)
{
  g_autoptr(json_t) answer = NULL;

  if (pt_args_has(args, "dry-run"))
    return dry_prune(cli, error);
  if (!pt_cli_call(cli, "POST", "/v1/images/prune", NULL, &answer, error))
    return -1;
  if (cli->json) {
    pt_print_json(cli, answer);
    return 0;
  }
  const json_t *removed = json_object_get(answer, "removed");
  g_autofree char *freed = pt_member_size(answer, "freed");
  for (gsize n = 0; cli->quiet && n < json_array_size(removed); n++) {
    g_autofree char *one = pt_safe(json_string_value(json_array_get(removed, n)));
    pt_say("%s", one);
  }
  if (!cli->quiet)
    pt_say("%d image%s removed, %s freed.", (int)json_array_size(removed), json_array_size(removed) == 1 ? "" : "s", freed);
  return 0;
}

/* A name gives way to the new ones and the image's others stay; a digest means all of them. */
static json_t *
renamed(const json_t *image, const char *ref, const PtArgs *args)
{
  json_t *names = json_array(), *name;
  gsize n;

  for (guint i = 1; i < pt_args_n(args); i++)
    json_array_append_new(names, json_string(pt_args_nth(args, i)));
  g_autofree char *left = names_left(image, ref);
  json_array_foreach (json_object_get(image, "names"), n, name) {
    bool again = g_strcmp0(json_string_value(name), ref) == 0;
    for (guint i = 1; i < pt_args_n(args); i++)
      again = again || g_strcmp0(json_string_value(name), pt_args_nth(args, i)) == 0;
    if (left && !again)
      json_array_append(names, name);
  }
  return names;
}

static int
run_rename(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *ref = pt_args_nth(args, 0);
  g_autofree char *path = pt_client_path("/v1/images/%s", ref);
  g_autoptr(json_t) image = NULL, answer = NULL;

  cli->missed_image = g_strdup(ref);
  if (!pt_cli_call(cli, "GET", path, NULL, &image, error))
    return -1;
  g_autoptr(json_t) names = renamed(image, ref, args), patch = json_pack("{s:O}", "names", names);
  if (!pt_cli_call(cli, "PATCH", path, patch, &answer, error))
    return -1;
  g_autofree char *list = join_strings(names), *safe = pt_safe(list), *was = pt_safe(ref);
  if (cli->json)
    pt_print_json(cli, answer);
  else if (cli->quiet)
    pt_say("%s", safe);
  else
    pt_say("Image %s is called %s now.", was, safe);
  return 0;
}

static const PtOption import_options[] = {
  { "format", 0, "FORMAT",
    "Of a file: rootfs, docker-archive, oci-archive, qcow2, raw, vmdk, vdi, vhdx, vhd, ova, iso (by its name), program (seen)", false },
  { "main", 0, "PATH", "Of a tarball or directory with a program: which file of it is run", false },
  { "arch", 0, "ARCH", "Its architecture: x86_64, aarch64, … (this machine's)", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption build_options[] = {
  { "arch", 0, "ARCH", "Architecture to build for: aarch64, riscv64, … (this machine's)", false },
  { NULL, 0, NULL, NULL, false },
};
static const PtOption dry_options[] = {
  { "dry-run", 'n', NULL, "Say what would go, and change nothing", false },
  { NULL, 0, NULL, NULL, false },
};

const PtCommand pt_cmds_image[] = {
  { .name = "image list",
    .args = "",
    .summary = "Show the images on the server",
    .completes = "",
    .run = run_list,
    .examples = { { "portena image list", "with size and age" }, { "portena image list -q", "names only" } } },
  { .name = "image show",
    .args = "IMAGE",
    .summary = "Tell all about an image",
    .min = 1,
    .max = 1,
    .completes = "m",
    .run = run_show,
    .examples = { { "portena image show desktop", "by its name" },
                  { "portena image show 3f9a1c", "by the beginning of its digest" } } },
  { .name = "image recipes",
    .args = "",
    .summary = "Show what can be built",
    .completes = "",
    .run = run_recipes,
    .examples = { { "portena image recipes", "names and what they are for" },
                  { "portena image recipes -q", "names only" } } },
  { .name = "image build",
    .args = "RECIPE…",
    .summary = "Build images from recipes",
    .options = build_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "b",
    .run = run_build,
    .text = "An image for another architecture is called RECIPE-ARCH: debian-aarch64. Building one runs that architecture's programs under "
            "emulation and takes some times as long. What the server's Debian was not released for is made of the next release: riscv64 on "
            "Debian 12 is Debian 13.",
    .examples = { { "portena image build debian desktop", "one after the other; takes some minutes" },
                  { "portena image build debian --arch aarch64", "for another processor architecture" } } },
  { .name = "image import",
    .args = "SOURCE [NAME]",
    .summary = "Bring an image in from a registry or a file",
    .options = import_options,
    .min = 1,
    .max = 2,
    .completes = "fm",
    .run = run_import,
    .text = "SOURCE is docker://REGISTRY/REPOSITORY:TAG, a file here (- is standard input), or on the server oci:PATH, "
            "docker-archive:PATH, oci-archive:PATH, rootfs:PATH. The disk of an unmodified system is qcow2:PATH, raw:PATH, vmdk:PATH, "
            "vdi:PATH, vhdx:PATH, vhd:PATH or ova:PATH, a disc to install from iso:PATH; of files here the name's end says so, or "
            "--format.\n"
            "A file that is a program (ELF, a script, a WebAssembly module, a Java archive), or a directory with one, becomes an image "
            "that runs it as a process; on the server it is program:PATH[:MAIN].",
    .examples = { { "portena image import docker://alpine:3.20 alpine", "from a registry" },
                  { "portena image import machine.ova mine", "from a file here, told by its name" } } },
  { .name = "image export",
    .args = "IMAGE FILE",
    .summary = "Take the disk of an image away in a file",
    .options = pt_export_options,
    .min = 2,
    .max = 2,
    .completes = "mf",
    .run = pt_image_export,
    .text = pt_export_text,
    .examples = { { "portena image export windows windows.vhdx", "for Hyper-V" },
                  { "portena image export setup setup.iso", "a disc" } } },
  { .name = "image delete",
    .alias = "image rm",
    .args = "IMAGE…",
    .summary = "Delete images that nobody uses, or one of an image's names",
    .options = dry_options,
    .min = 1,
    .max = G_MAXUINT,
    .completes = "m",
    .run = run_delete,
    .examples = { { "portena image delete alpine", "refused while in use" },
                  { "portena image delete alpine -n", "say what would happen" } } },
  { .name = "image prune",
    .args = "",
    .summary = "Remove images that nobody uses and that have no name any more",
    .options = dry_options,
    .completes = "",
    .run = run_prune,
    .text = "An image loses its name when it is built or imported again under the same one.",
    .examples = { { "portena image prune", "free the space" }, { "portena image prune --dry-run", "see what would go" } } },
  { .name = "image rename",
    .args = "IMAGE NAME…",
    .summary = "Give an image other names",
    .min = 2,
    .max = G_MAXUINT,
    .completes = "m",
    .run = run_rename,
    .examples = { { "portena image rename 3f9a1c base", "name one by its digest" },
                  { "portena image rename base base stable", "two names" } } },
  { NULL },
};
