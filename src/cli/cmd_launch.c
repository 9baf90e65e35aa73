// SPDX-License-Identifier: Apache-2.0
/* launch: one request where the image is there; where its recipe has not been built yet, that first. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/launch.h"
#include "cli/operation.h"
#include "cli/output.h"
#include "cli/upload.h"
#include "model/instance.h"

const char pt_launch_text[] =
  "IMAGE is the name of an image, or of a recipe (portena image recipes), which is built first if need be.\n"
  "An image that runs one command takes it after --, and a program its arguments.\n"
  "With --arch it is made of the image of that name for another architecture; a container's programs are then emulated by the server.\n"
  "IMAGE may also be a file here that is a program (./tool, app.wasm, app.jar): it is brought in as an image of its name first.";

const PtOption pt_launch_options[] = {
  { "arch", 0, "ARCH", "Of the image's programs: aarch64, riscv64, … (this machine's)", false },
  { "kind", 0, "KIND", "container, machine or process; without it, what the image is for", false },
  { "model", 0, "MODEL", "Of a machine: micro (our kernel, virtio) or pc (any system)", false },
  { "firmware", 0, "FIRMWARE", "Of a pc: uefi or bios", false },
  { "secure-boot", 0, NULL, "Of a pc: UEFI starts signed systems only", false },
  { "tpm", 0, NULL, "Of a pc: with a TPM 2.0", false },
  { "hardware", 0, "HARDWARE", "Of a pc: virtio, or emulated for systems without its drivers", false },
  { "iso", 0, "IMAGE", "Of a pc: the disc in its drive", false },
  { "boot-iso", 0, NULL, "Start from that disc also when the disk has a system", false },
  { "user-data", 0, "FILE", "Of a pc: what cloud-init in it is told; - is standard input", false },
  { "ssh-key", 0, "FILE", "Of a pc: public keys that cloud-init lets in", true },
  { "accel", 0, "ACCEL", "Of a machine: auto, kvm or tcg (emulation)", false },
  { "init", 0, "INIT", "system: a whole userland; app: one command", false },
  { "cpu", 'c', "N", "Cpus it may use, such as 2 or 0.5", false },
  { "memory", 'm', "SIZE", "Memory it may use, such as 2GiB", false },
  { "disk", 'd', "SIZE", "Size of its disk (20GiB)", false },
  { "pids", 0, "N", "Processes it may have", false },
  { "priority", 0, "N", "Its share when cpu or disk is short, 1 to 1000 (100)", false },
  { "env", 'e', "NAME=VALUE", "A variable of its environment", true },
  { "publish", 'p', "LISTEN:TO", "A port of the node that leads to it; /udp behind it if wanted", true },
  { "network", 0, NULL, "Give a process a network, which it has not by itself", false },
  { "offline", 0, NULL, "Give it no network", false },
  { "cwd", 0, "DIR", "Directory the command starts in", false },
  { "user", 'u', "USER", "User inside it that runs the command", false },
  { "restart", 0, "WHEN", "no, on-failure or always", false },
  { "autostart", 0, NULL, "Start it when the node starts (the default)", false },
  { "no-autostart", 0, NULL, "Leave it stopped when the node starts", false },
  { "description", 0, "TEXT", "What it is for", false },
  { "no-start", 0, NULL, "Make it, and leave it stopped", false },
  { "wait", 'w', NULL, "Return when it is ready: started up, health check passed", false },
  { "timeout", 0, "TIME", "Give up waiting after TIME", false },
  { "yes", 'y', NULL, "Build the image without asking", false },
  { "dry-run", 'n', NULL, "Say what would be made, and make nothing", false },
  { NULL, 0, NULL, NULL, false },
};

/* Options that are fields of the instance, by their own names. */
static bool
add_fields(const PtArgs *args, json_t *body, GError **error)
{
  static const struct {
    const char *option, *field;
    bool flag;
  } fields[] = {
    { "kind", "kind", false },         { "init", "init", false },           { "cpu", "cpu", false },
    { "memory", "memory", false },     { "disk", "disk", false },           { "pids", "pids", false },
    { "priority", "priority", false }, { "cwd", "cwd", false },             { "user", "user", false },
    { "restart", "restart", false },   { "description", "description", false }, { "model", "model", false },
    { "accel", "accel", false },       { "firmware", "firmware", false },   { "hardware", "hardware", false },
    { "iso", "iso_name", false },      { "boot-iso", "boot_iso", true },    { "secure-boot", "secure_boot", true },
    { "tpm", "tpm", true },
  };

  for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
    const char *v = pt_args_get(args, fields[i].option);
    if (!v)
      continue;
    g_autofree char *assignment = g_strdup_printf("%s=%s", fields[i].field, fields[i].flag ? "true" : v);
    if (!pt_record_patch_add(&pt_instance_type, body, assignment, error))
      return false;
  }
  if (pt_args_has(args, "autostart") || pt_args_has(args, "no-autostart"))
    json_object_set_new(body, "autostart", json_boolean(!pt_args_has(args, "no-autostart")));
  const char *arch = pt_args_get(args, "arch");
  if (arch && json_object_set_new(body, "arch", json_string(arch)) < 0) {
    PT_SET(error, PT_ERR_INVALID, "arch: it is not valid UTF-8");
    return false;
  }
  if (pt_args_has(args, "network") || pt_args_has(args, "offline"))
    json_object_set_new(body, "offline", json_boolean(pt_args_has(args, "offline")));
  if (pt_args_has(args, "no-start"))
    json_object_set_new(body, "start", json_false());
  return true;
}

static bool
add_lists(const PtArgs *args, json_t *body, GError **error)
{
  g_autofree char **env = pt_args_all(args, "env"), **ports = pt_args_all(args, "publish");

  for (guint i = 0; env[i]; i++) {
    const char *eq = strchr(env[i], '=');
    g_autofree char *assignment = g_strdup_printf("env.%s", env[i]);
    json_t *map = json_object_get(body, "env");
    if (!eq || eq == env[i]) {
      g_autofree char *shown = pt_safe(env[i]);
      PT_SET(error, PT_ERR_INVALID, "--env: '%s': NAME=VALUE is wanted here, such as LANG=C.UTF-8", shown);
      return false;
    }
    if (!eq[1] && !map)
      json_object_set_new(body, "env", map = json_object());
    if (!eq[1]) {
      g_autofree char *name = g_strndup(env[i], (gsize)(eq - env[i]));
      json_object_set_new(map, name, json_string(""));
    } else if (!pt_record_patch_add(&pt_instance_type, body, assignment, error)) {
      return false;
    }
  }
  if (!ports[0])
    return true;
  g_autofree char *all = g_strjoinv(",", ports), *assignment = g_strconcat("ports=", all, NULL);
  return pt_record_patch_add(&pt_instance_type, body, assignment, error);
}

#define CLOUD_MAX (64 << 10)

/* A small file, or standard input. The caller's. */
static char *
read_text(const char *file, GError **error)
{
  g_autoptr(GString) text = g_string_new(NULL);
  int fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
  char buf[4096];
  ssize_t n = -1;

  while (fd >= 0 && text->len <= CLOUD_MAX && ((n = read(fd, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)))
    g_string_append_len(text, buf, MAX(n, 0));
  if (n < 0)
    pt_error_errno(error, errno, "%s", file);
  else if (text->len > CLOUD_MAX)
    PT_SET(error, PT_ERR_TOO_LARGE, "%s: has more than 64 KiB", file);
  if (fd >= 0)
    close(fd);
  return n < 0 || text->len > CLOUD_MAX ? NULL : g_string_free(g_steal_pointer(&text), FALSE);
}

/* Secrets come in files, so that they are in nobody's list of processes. */
static bool
add_cloud(const PtArgs *args, json_t *body, GError **error)
{
  const char *data = pt_args_get(args, "user-data");
  g_autofree char **files = pt_args_all(args, "ssh-key"), *text = data ? read_text(data, error) : NULL;
  g_autoptr(json_t) keys = json_array();

  if (data && (!text || json_object_set_new(body, "user_data", json_string(text)) < 0)) {
    if (text)
      PT_SET(error, PT_ERR_INVALID, "--user-data: %s is not valid UTF-8", data);
    return false;
  }
  for (char **f = files; *f; f++) {
    g_autofree char *lines = read_text(*f, error);
    g_auto(GStrv) line = lines ? g_strsplit(lines, "\n", -1) : NULL;
    if (!line)
      return false;
    for (char **l = line; *l; l++)
      if (*g_strstrip(*l) && **l != '#')
        json_array_append_new(keys, json_string(*l));
  }
  if (json_array_size(keys) > 0)
    json_object_set(body, "ssh_keys", keys);
  return true;
}

static json_t *
build_body(const PtArgs *args, const char *image, const char *name, GError **error)
{
  g_autoptr(json_t) body = json_pack("{s:s, s:s}", "name", name, "image", image);
  char **command = pt_args_rest(args);

  if (!body) {
    PT_SET(error, PT_ERR_INVALID, "image: its name is not valid UTF-8");
    return NULL;
  }
  if (!add_fields(args, body, error) || !add_lists(args, body, error) || !add_cloud(args, body, error))
    return NULL;
  if (command && command[0]) {
    json_t *list = json_array();
    json_object_set_new(body, "command", list);
    for (; *command; command++)
      if (json_array_append_new(list, json_string(*command)) < 0) {
        PT_SET(error, PT_ERR_INVALID, "the command after -- is not valid UTF-8");
        return NULL;
      }
  }
  return g_steal_pointer(&body);
}

/* "image desktop (3 d old), 2 cpu, 2 GiB, 20 GiB" */
static char *
describe(const json_t *body, const json_t *image)
{
  g_autoptr(GString) s = g_string_new("image ");
  g_autofree char *name = pt_safe(pt_json_str(body, "image", ""));
  const json_t *cpu = json_object_get(body, "cpu");

  g_string_append(s, name);
  if (pt_json_str(body, "kind", NULL))
    g_string_append_printf(s, " as a %s", pt_json_str(body, "kind", ""));
  if (image) {
    g_autofree char *age = pt_since(pt_json_str(image, "created", NULL));
    g_string_append_printf(s, " (%s old)", age);
  }
  if (json_is_string(cpu)) /* as the model writes it, so that no digit is lost */
    g_string_append_printf(s, ", %s cpu", json_string_value(cpu));
  g_autofree char *memory = pt_member_size(body, "memory"), *disk = pt_member_size(body, "disk");
  if (json_object_get(body, "memory"))
    g_string_append_printf(s, ", %s memory", memory);
  g_string_append_printf(s, ", disk %s", json_object_get(body, "disk") ? disk : "20 GiB");
  return g_strdup(s->str);
}

bool
pt_image_build(PtCli *cli, const char *recipe, const char *arch, json_t **ret, GError **error)
{
  g_autofree char *source = g_strconcat("recipe:", recipe, NULL), *title = g_strdup_printf("Building image %s", recipe);
  g_autoptr(json_t) body = json_pack("{s:s, s:s*}", "source", source, "arch", arch), answer = NULL;
  gint64 begun = pt_mono();

  if (!body) {
    PT_SET(error, PT_ERR_INVALID, "arch: it is not valid UTF-8");
    return false;
  }
  if (!pt_cli_call(cli, "POST", "/v1/images", body, &answer, error))
    return false;
  if (!pt_operation_wait(cli, answer, title, 0, ret, error)) {
    g_prefix_error(error, "image %s: ", recipe);
    return false;
  }
  g_autofree char *took = pt_duration_format(pt_mono() - begun);
  pt_note(cli, "Image %s is built (%s).", recipe, took);
  return true;
}

/* Whether `image` names a recipe that has no image yet; with `arch`, whether it names one: that it has no image for that, is known. */
static bool
is_unbuilt_recipe(PtCli *cli, const char *image, const char *arch)
{
  g_autoptr(json_t) answer = NULL;
  gsize n;
  json_t *r;

  if (!pt_cli_call(cli, "GET", "/v1/images/recipes", NULL, &answer, NULL))
    return false;
  json_array_foreach (json_object_get(answer, "items"), n, r)
    if (g_strcmp0(pt_json_str(r, "name", NULL), image) == 0)
      return arch || !json_is_string(json_object_get(r, "image"));
  return false;
}

/* `missing` says that there is no such image: builds it if that can be done, else hands the error on. */
static bool
build_missing(PtCli *cli, const PtArgs *args, const char *image, GError *missing, GError **error)
{
  const char *arch = pt_args_get(args, "arch");
  g_autofree char *for_arch = arch ? g_strdup_printf(" --arch %s", arch) : g_strdup("");
  g_autoptr(GError) why = missing;

  if (pt_error_code(why) == PT_ERR_NOT_FOUND && strstr(image, "://") && strstr(why->message, image)) {
    g_autofree char *safe = pt_safe(image);
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no image %s here", safe);
    pt_error_hint(error, "bring it in first:  portena image import %s NAME%s", safe, for_arch);
    return false;
  }
  if (pt_error_code(why) != PT_ERR_NOT_FOUND || !is_unbuilt_recipe(cli, image, arch)) {
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
  }
  g_autofree char *question =
    g_strdup_printf("Image %s has not been built yet. Build it now? That takes some minutes.", image);
  if (!pt_args_has(args, "yes") && !pt_cli_confirm(cli, question)) {
    PT_SET(error, PT_ERR_CANCELLED, "%s: its image is not there, nothing was made", image);
    pt_error_hint(error, "build it when it suits you:  portena image build %s%s", image, for_arch);
    return false;
  }
  pt_note(cli, "Image %s has not been built yet: building it first.", image);
  return pt_image_build(cli, image, arch, NULL, error);
}

/* The image, where a person watches: its age for the first line, and its absence before anything is asked of the server. */
static bool
look_at_image(PtCli *cli, const PtArgs *args, const char *image, json_t **ret, GError **error)
{
  const char *arch = pt_args_get(args, "arch");
  g_autofree char *path = arch ? pt_client_path("/v1/images/%s?arch=%s", image, arch) : pt_client_path("/v1/images/%s", image);
  GError *why = NULL;

  *ret = NULL;
  if (pt_cli_call(cli, "GET", path, NULL, ret, &why))
    return true;
  if (pt_args_has(args, "dry-run") && pt_error_code(why) == PT_ERR_NOT_FOUND && is_unbuilt_recipe(cli, image, arch)) {
    g_error_free(why);
    return true;
  }
  return build_missing(cli, args, image, why, error) && pt_cli_call(cli, "GET", path, NULL, ret, error);
}

/* Sends the request; an image that turns out missing is built once. */
static json_t *
create(PtCli *cli, const PtArgs *args, const char *path, const json_t *body, GError **error)
{
  const char *image = pt_json_str(body, "image", "");
  json_t *answer = NULL;
  GError *why = NULL;

  if (pt_cli_call(cli, "POST", path, body, &answer, &why))
    return answer;
  /* The refusal may speak of the space as well; only the image can be helped. */
  if (!strstr(why->message, image)) {
    g_propagate_error(error, why);
    return NULL;
  }
  if (!build_missing(cli, args, image, why, error))
    return NULL;
  return pt_cli_call(cli, "POST", path, body, &answer, error) ? answer : NULL;
}

static void
tell(PtCli *cli, const PtTarget *t, const json_t *answer)
{
  g_autofree char *address = pt_safe(pt_json_str(answer, "address", NULL));
  const char *state = pt_json_str(answer, "state", "");
  bool desktop = pt_json_bool(answer, "desktop", false);

  if (strcmp(pt_json_str(answer, "power", "running"), "stopped") == 0) {
    pt_say("%s is made, and stopped. Start it:  portena start %s", t->name, t->name);
    return;
  }
  g_autofree char *url = desktop ? pt_web_url(cli) : NULL;
  printf("%s is %s", t->name, strcmp(state, "stopped") == 0 ? "done" : "running");
  if (*address && !pt_json_bool(answer, "offline", false))
    printf(" at %s", address);
  if (desktop)
    printf(". Open it: %s/#/desktop/%s/%s  (portena desktop %s)\n", url, t->space, t->name, t->name);
  else if (strcmp(pt_json_str(answer, "init", "system"), "app") == 0 || strcmp(pt_json_str(answer, "kind", "container"), "process") == 0)
    printf(". Its output:  portena logs %s\n", t->name);
  else if (strcmp(pt_json_str(answer, "kind", "container"), "machine") == 0 && strcmp(pt_json_str(answer, "model", "micro"), "pc") == 0)
    printf(". Its console:  portena console %s\n", t->name);
  else
    printf(". Get in:  portena shell %s\n", t->name);
}

static json_t *
make(PtCli *cli, const PtArgs *args, const PtTarget *t, const json_t *body, const char *what, GError **error)
{
  bool ready = pt_args_has(args, "wait");
  g_autofree char *title = g_strdup_printf("Creating %s", t->name);
  gint64 timeout = 0;

  if (!pt_operation_timeout(args, &timeout, error))
    return NULL;
  guint first = timeout ? (guint)MIN(timeout, 600) : pt_operation_first_wait(cli);
  g_autofree char *query =
    ready ? g_strdup_printf("wait=%u&wait_ready=%u", first, first) : g_strdup_printf("wait=%u", first);
  g_autofree char *path = g_strdup_printf("/v1/spaces/%s/instances?%s", t->space, query);
  g_autoptr(json_t) answer = create(cli, args, path, body, error), op = NULL;
  if (!answer)
    return NULL;
  pt_note(cli, "Creating %s in space %s … %s", t->name, t->space, what);
  if (!pt_operation_wait(cli, answer, title, timeout, &op, error))
    return NULL;
  /* Where the first answer came before the end, it tells of a beginning. */
  if (strcmp(pt_json_str(json_object_get(answer, "operation"), "state", "done"), "done") != 0) {
    g_autofree char *self = pt_target_path(t, "");
    json_t *now = NULL;
    if (!pt_cli_call(cli, "GET", self, NULL, &now, error))
      return NULL;
    json_decref(answer);
    answer = now;
  }
  if (ready && !pt_args_has(args, "no-start") && !pt_operation_wait_ready(cli, t, &answer, timeout, error))
    return NULL;
  return g_steal_pointer(&answer);
}

/* A program of this machine becomes an image first; its name is the caller's. */
static char *
bring_in(PtCli *cli, const PtArgs *args, const char *file, GError **error)
{
  g_autofree char *name = pt_upload_name(file), *title = g_strdup_printf("Importing %s", name), *safe = pt_safe(file);
  g_autoptr(json_t) answer = NULL, op = NULL;

  if (access(file, R_OK) < 0) {
    pt_error_errno(error, errno, "%s", safe);
    return NULL;
  }
  if (strcmp(pt_upload_format(file), "program") != 0) {
    PT_SET(error, PT_ERR_INVALID, "%s: is no program: neither ELF nor a script, no WebAssembly module, no Java archive", safe);
    pt_error_hint(error, "another kind of image is brought in first:  portena image import %s NAME", safe);
    return NULL;
  }
  if (pt_args_has(args, "dry-run"))
    return g_steal_pointer(&name);
  const PtUpload upload = { .file = file, .name = name, .format = "program" };
  if (!pt_upload(cli, &upload, &answer, error) || !pt_operation_wait(cli, answer, title, 0, &op, error)) {
    g_prefix_error(error, "program %s: ", safe);
    return NULL;
  }
  pt_note(cli, "The program %s is image %s now.", safe, name);
  return g_steal_pointer(&name);
}

/* Whether what `images` holds is enough for a machine of `image`: an image that is no root file system brings its own kernel. */
static bool
has_kernel(const json_t *images, const char *image, const char *arch)
{
  gsize n, k;
  json_t *i, *name;
  bool kernel = false;

  json_array_foreach ((json_t *)images, n, i) {
    const char *format = pt_json_str(i, "format", "rootfs");
    kernel |= strcmp(format, "kernel") == 0 && (!arch || strcmp(pt_json_str(i, "arch", ""), arch) == 0);
    json_array_foreach (json_object_get(i, "names"), k, name)
      if (strcmp(json_string_value(name) ? json_string_value(name) : "", image) == 0 && strcmp(format, "rootfs") != 0)
        return true;
  }
  return kernel;
}

/* Machines start from a kernel of Portena's own, an image like others: where it has not been built, that comes first. */
static bool
build_kernel(PtCli *cli, const PtArgs *args, const json_t *body, GError **error)
{
  const char *arch = pt_args_get(args, "arch");
  g_autofree char *question = g_strdup("The kernel of machines has not been built yet. Build it now? That takes a minute or two.");
  g_autoptr(json_t) all = NULL;

  if (strcmp(pt_json_str(body, "kind", "container"), "machine") != 0 || strcmp(pt_json_str(body, "model", "micro"), "pc") == 0 ||
      !pt_cli_call(cli, "GET", "/v1/images", NULL, &all, NULL) ||
      has_kernel(json_object_get(all, "items"), pt_json_str(body, "image", ""), arch) || !is_unbuilt_recipe(cli, "kernel", arch))
    return true; /* or the server says what is wrong */
  if (!pt_args_has(args, "yes") && !pt_cli_confirm(cli, question)) {
    PT_SET(error, PT_ERR_CANCELLED, "the kernel of machines is not there, nothing was made");
    pt_error_hint(error, "build it when it suits you:  portena image build kernel");
    return false;
  }
  pt_note(cli, "The kernel of machines has not been built yet: building it first.");
  return pt_image_build(cli, "kernel", arch, NULL, error);
}

static bool
name_is_free(PtCli *cli, const PtTarget *t, GError **error)
{
  g_autofree char *path = pt_client_path("/v1/spaces/%s/instances", t->space);
  g_autoptr(json_t) all = NULL;
  gsize n;
  json_t *i;

  if (!pt_cli_call(cli, "GET", path, NULL, &all, error))
    return false;
  json_array_foreach (json_object_get(all, "items"), n, i) {
    if (g_strcmp0(pt_json_str(i, "name", NULL), t->name) != 0)
      continue;
    cli->refused = true;
    PT_SET(error, PT_ERR_CONFLICT, "space %s has an instance called %s already", t->space, t->name);
    pt_error_hint(error, "choose another name, or remove it first: portena delete %s", t->name);
    return false;
  }
  return true;
}

int
pt_launch_run(PtCli *cli, const PtArgs *args, GError **error)
{
  const char *image = pt_args_nth(args, 0);
  g_autofree char *brought = NULL;
  g_auto(PtTarget) t = { 0 };
  g_autoptr(json_t) body = NULL, found = NULL, answer = NULL;
  bool watched = cli->err_tty && !cli->quiet && !cli->json, dry = pt_args_has(args, "dry-run");

  if (!pt_target_parse(cli, pt_args_nth(args, 1), &t, error))
    return -1;
  if (pt_upload_is_program(image)) {
    brought = bring_in(cli, args, image, error);
    if (!brought)
      return -1;
    image = brought;
    watched &= !dry;
  }
  g_free(cli->missed_image);
  cli->missed_image = g_strdup(image);
  body = build_body(args, image, t.name, error);
  if (!body || ((watched || (dry && !brought)) && !look_at_image(cli, args, image, &found, error)))
    return -1;
  g_autofree char *what = describe(body, found);
  if (dry && !name_is_free(cli, &t, error))
    return -1;
  if (dry) {
    pt_say("Would create %s in space %s: %s%s. Nothing was made.", t.name, t.space, what,
           found ? "" : brought ? " (to be brought in first)" : " (to be built first)");
    return 0;
  }
  answer = build_kernel(cli, args, body, error) ? make(cli, args, &t, body, what, error) : NULL;
  if (!answer)
    return -1;
  if (cli->json)
    pt_print_json(cli, answer);
  else if (cli->quiet)
    pt_say("%s", t.name);
  else
    tell(cli, &t, answer);
  return 0;
}
