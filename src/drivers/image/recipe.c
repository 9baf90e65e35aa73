// SPDX-License-Identifier: Apache-2.0
/* The built-in images, made of the distribution's packages by mmdebstrap in the jail. What is in them is data, in
 * DATADIR/images/NAME: recipe.ini (packages, what it builds upon), overlay/ (files put into the tree) and finish.sh (run in it).
 * PORTENA_DATADIR names another place than the installed one: a source tree.
 *
 * Mirrors, keys and proxies are this machine's own (apt.c). Packages are checked by apt against the distribution's
 * keys; their maintainers' scripts run as root of the jail, in a chroot. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/image/apt.h"
#include "drivers/image/make.h"
#include "model/instance.h"
#include "sys/arch.h"
#include "sys/process.h"

#define BASES_MAX 4

static const struct {
  const char *name, *help;
  int format; /* PtFormat */
} recipes[] = {
  { "debian", "Debian with systemd: a small whole system for servers and shells", PT_FORMAT_ROOTFS },
  { "desktop", "A desktop on Debian: XFCE with Firefox, files, terminal, editor and viewers", PT_FORMAT_ROOTFS },
  { PT_KERNEL_RECIPE, "The Linux that machines start: needed by every machine of model micro", PT_FORMAT_KERNEL },
};

const char *const *
pt_images_recipes(void)
{
  static const char *const names[] = { "debian", "desktop", PT_KERNEL_RECIPE, NULL };

  G_STATIC_ASSERT(G_N_ELEMENTS(names) == G_N_ELEMENTS(recipes) + 1);
  return names;
}

const char *
pt_images_recipe_help(const char *recipe)
{
  for (guint i = 0; i < G_N_ELEMENTS(recipes); i++)
    if (strcmp(recipes[i].name, recipe) == 0)
      return recipes[i].help;
  return NULL;
}

int
pt_images_recipe_format(const char *recipe)
{
  for (guint i = 0; i < G_N_ELEMENTS(recipes); i++)
    if (strcmp(recipes[i].name, recipe) == 0)
      return recipes[i].format;
  return PT_FORMAT_ROOTFS;
}

static char *
recipe_dir(const char *name)
{
  const char *data = g_getenv("PORTENA_DATADIR");

  return g_build_filename(data && *data ? data : PORTENA_DATADIR, "images", name, NULL);
}

/* How far apt is. It announces "N newly installed" twice (the essential ones, then the rest); after each come N lines
 * "Get:" and N lines "Setting up". */
typedef struct Cooking {
  PtImageWork *work;
  guint round;
  bool installing;
  gint64 total, done;
  GString *without; /* lists that the mirror does not have (newer.sh), with commas */
} Cooking;

static bool
on_apt(const char *line, void *data)
{
  static const gint64 parts[][3] = { { 20, 60, 120 }, { 120, 360, 680 } };
  static const char setting_up[] = "Setting up ", newly[] = " newly installed,";
  static const char step[] = "@STEP ", without[] = "@WITHOUT ";
  Cooking *c = data;
  const char *at = strstr(line, newly);

  if (g_str_has_prefix(line, without)) {
    g_autofree char *name = pt_text_safe(line + strlen(without), 60);
    g_string_append_printf(c->without, "%s%s", c->without->len ? ", " : "", name);
    return true;
  }
  if (g_str_has_prefix(line, step)) { /* of a script of ours: a kernel's, which has three */
    pt_image_work_step(c->work, g_str_has_suffix(line, "modules") ? "Choosing modules" : "Downloading the kernel", 100 + 300 * c->round,
                       400 + 300 * c->round, 0, NULL);
    c->round = 1;
    return true;
  }

  if (at && c->round < G_N_ELEMENTS(parts)) {
    const char *number = at;
    while (number > line && g_ascii_isdigit(number[-1]))
      number--;
    gint64 total = g_ascii_strtoll(number, NULL, 10);
    if (total == 0) /* it looked for upgrades in between */
      return true;
    c->total = total;
    c->done = 0;
    c->installing = false;
    c->round++;
    pt_image_work_step(c->work, "Downloading packages", parts[c->round - 1][0], parts[c->round - 1][1], c->total, "packages");
    return true;
  }
  if (!c->round)
    return false;
  if (g_str_has_prefix(line, "Get:") && !c->installing) {
    pt_image_work_done(c->work, ++c->done);
    return true;
  }
  if (g_str_has_prefix(line, setting_up)) {
    if (!c->installing) {
      c->installing = true;
      c->done = 0;
      pt_image_work_step(c->work, "Installing packages", parts[c->round - 1][1], parts[c->round - 1][2], c->total, "packages");
    }
    pt_image_work_done(c->work, ++c->done);
    return true;
  }
  return g_str_has_prefix(line, "W: ") || g_str_has_prefix(line, "I: ");
}

static void
add(GPtrArray *argv, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static void
add(GPtrArray *argv, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  g_ptr_array_add(argv, g_strdup_vprintf(fmt, ap));
  va_end(ap);
}

/* The recipe and those it builds upon, the lowest first: names into `chain`, packages into `packages`. */
static bool
load(const char *name, GPtrArray *chain, GString *packages, PtImage *image, GError **error)
{
  g_autofree char *dir = recipe_dir(name), *file = g_build_filename(dir, "recipe.ini", NULL);
  g_autoptr(GKeyFile) ini = g_key_file_new();
  g_autoptr(GError) err = NULL;

  if (!g_key_file_load_from_file(ini, file, G_KEY_FILE_NONE, &err)) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "the recipe %s cannot be read: %s", name, err->message);
    pt_error_hint(error, "is Portena installed whole? PORTENA_DATADIR names another place");
    return false;
  }
  g_autofree char *base = g_key_file_get_string(ini, "recipe", "base", NULL);
  if (base && *base && (chain->len >= BASES_MAX || !load(base, chain, packages, image, error)))
    return false;
  g_auto(GStrv) list = g_key_file_get_string_list(ini, "recipe", "packages", NULL, NULL);
  for (char **p = list; p && *p; p++)
    if (*g_strstrip(*p))
      g_string_append_printf(packages, "%s%s", packages->len ? "," : "", *p);
  g_ptr_array_add(chain, g_strdup(name));
  char *login = g_key_file_get_string(ini, "image", "login", NULL);
  char *socket = g_key_file_get_string(ini, "image", "desktop-socket", NULL);
  if (login) {
    g_free(image->login);
    image->login = login;
  }
  if (socket) {
    g_free(image->desktop_socket);
    image->desktop_socket = socket;
    image->desktop = true;
  }
  return true;
}

/* An image for another architecture is made by the same command within images/foreign.sh, which says how. `rule` NULL: its
 * programs run here as they are, or by a rule of the host's. mmdebstrap's own look at this is skipped: it asks for arch-test, a
 * package more, and has been answered already. */
#define FOREIGN "/opt/recipe/foreign.sh"
#define NEWER "/opt/recipe/newer.sh"
#define FOREIGN_PATH "/.native/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* These hooks come behind those of merged-usr: the second one mends what the package usr-is-merged takes away there. */
static void
add_foreign(GPtrArray *argv, const char *rule)
{
  static const char *const hooks[] = { "--extract-hook=sh " FOREIGN " enter \"$1\"", "--essential-hook=sh " FOREIGN " enter \"$1\"",
                                       "--aptopt=DPkg::Path \"" FOREIGN_PATH "\"" };

  for (guint i = 0; rule && i < G_N_ELEMENTS(hooks); i++)
    add(argv, "%s", hooks[i]);
}

/* mmdebstrap, with this machine's way to its mirrors. `rule`: as for add_foreign(). */
static bool
apt_options(GPtrArray *argv, const PtApt *apt, const PtArch *arch, const char *rule, GError **error)
{
  static const char *const fixed[] = {
    "mmdebstrap", "--verbose", "--mode=root", "--format=directory", "--aptopt=Acquire::Languages \"none\"",
    "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Dpkg::Use-Pty \"0\"",
  };
  static const char *const dump_argv[] = { "apt-config", "dump", NULL };
  g_autofree char *dump = NULL;

  if (!pt_run(dump_argv, NULL, &dump, error))
    return false;
  for (const char *const *a = (const char *const[]){ "sh", FOREIGN, "start", rule, NULL }; rule && *a; a++)
    add(argv, "%s", *a);
  for (guint i = 0; i < G_N_ELEMENTS(fixed); i++)
    add(argv, "%s", fixed[i]);
  if (arch != pt_arch_host()) {
    add(argv, "--architectures=%s", arch->debian);
    add(argv, "--skip=check/qemu");
  }
  if (apt->newer)
    add(argv, "--setup-hook=sh " NEWER " choose \"$1\"");
  g_autoptr(GPtrArray) options = pt_apt_options(dump);
  for (guint i = 0; i < options->len; i++)
    add(argv, "--aptopt=%s", (char *)g_ptr_array_index(options, i));
  return true;
}

static void
sources(GPtrArray *argv, const PtApt *apt, const char *tree)
{
  add(argv, "%s", apt->suite);
  add(argv, "%s", tree);
  for (guint i = 0; i < apt->lines->len; i++)
    add(argv, "%s", (char *)g_ptr_array_index(apt->lines, i));
  g_ptr_array_add(argv, NULL);
}

static GPtrArray *
command(const PtApt *apt, const PtArch *arch, const char *rule, const GPtrArray *chain, const char *packages, GError **error)
{
  static const char *const fixed[] = {
    "--variant=minbase", "--skip=chroot/mount/sys", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/lintian/*",
  };
  g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

  if (!apt_options(argv, apt, arch, rule, error))
    return NULL;
  for (guint i = 0; i < G_N_ELEMENTS(fixed); i++)
    add(argv, "%s", fixed[i]);
  add_foreign(argv, rule);
  add(argv, "--include=%s", packages);
  /* The overlay and the finishing script of each recipe, the lowest first. $1 is the tree. */
  for (guint i = 0; i < chain->len; i++) {
    const char *name = g_ptr_array_index(chain, i);
    add(argv, "--customize-hook=cp -rT --preserve=mode,links /opt/recipe/%s/overlay \"$1\"", name);
    add(argv,
        "--customize-hook=cp /opt/recipe/%s/finish.sh \"$1/.finish\" && chroot \"$1\" sh -eu /.finish; r=$?; rm -f "
        "\"$1/.finish\"; exit $r",
        name);
  }
  if (rule)
    add(argv, "--customize-hook=sh " FOREIGN " leave \"$1\"");
  if (apt->newer)
    add(argv, "--customize-hook=sh " NEWER " restore \"$1\"");
  sources(argv, apt, "/job/root");
  return g_steal_pointer(&argv);
}

/* A kernel's packages are downloaded and taken apart, not installed: apt alone is wanted, and its tree is thrown away. */
static GPtrArray *
kernel_command(const PtApt *apt, const PtArch *arch, GError **error)
{
  g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

  if (!apt_options(argv, apt, arch, NULL, error))
    return NULL;
  add(argv, "--variant=custom");
  add(argv, "--skip=chroot/mount");
  add(argv, "--customize-hook=sh -eu /opt/recipe/" PT_KERNEL_RECIPE "/make.sh %s \"$1\"", arch->debian);
  sources(argv, apt, "/job/apt");
  return g_steal_pointer(&argv);
}

static void
explain(const char *recipe, GError **error)
{
  if (!error || !*error || pt_error_code(*error) != PT_ERR_INTERNAL)
    return;
  const char *text = (*error)->message;
  bool net = strstr(text, "Failed to fetch") || strstr(text, "resolve") || strstr(text, "onnection") || strstr(text, "timed out");
  if (net) {
    g_autofree char *copy = g_strdup(text);
    g_clear_error(error);
    PT_SET(error, PT_ERR_UNREACHABLE, "%s", copy);
    pt_error_hint(error, "this machine's package mirror does not answer: try apt-get update, then build again; nothing was changed");
  } else if (strstr(text, "NO_PUBKEY")) { /* a newer release's */
    pt_error_hint(error, "get its keys: apt install --only-upgrade debian-archive-keyring");
  }
  g_prefix_error(error, "recipe %s: ", recipe);
}

static void
add_ro(GPtrArray *options, const char *path, const char *to)
{
  add(options, "--ro");
  add(options, "%s=/opt/%s", path, to);
}

bool
pt_image_cook(PtImageWork *w, const char *recipe, PtImage *image, GError **error)
{
  g_autoptr(GPtrArray) chain = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GString) packages = g_string_new(NULL);
  g_autofree char *guest = NULL, *rule = NULL;
  g_autoptr(GString) without = g_string_new(NULL);
  Cooking cooking = { .work = w, .without = without };

  if (!pt_images_recipe_help(recipe)) {
    PT_SET(error, PT_ERR_NOT_FOUND, "there is no recipe %s", recipe);
    pt_error_hint(error, "there are debian and desktop; anything else comes by import");
    return false;
  }
  bool kernel = pt_images_recipe_format(recipe) == PT_FORMAT_KERNEL;
  const PtArch *known = pt_arch_find(image->arch), *arch = known ? known : pt_arch_host();
  g_autoptr(PtApt) apt = pt_apt_read("/", arch == pt_arch_host() ? NULL : arch->debian, error);
  if (!apt || (!kernel && !pt_foreign_rule(image->arch, &rule, error)) || !load(recipe, chain, packages, image, error) ||
      (kernel && !(guest = pt_kernel_guest(w->host, arch, error))))
    return false;
  g_autoptr(GPtrArray) argv =
    kernel ? kernel_command(apt, arch, error) : command(apt, arch, rule, chain, packages->str, error);
  if (!argv)
    return false;
  for (guint i = 0; i < chain->len; i++) {
    g_autofree char *dir = recipe_dir(g_ptr_array_index(chain, i)), *to = g_strconcat("recipe/", g_ptr_array_index(chain, i), NULL);
    add_ro(options, dir, to);
  }
  if (kernel)
    add_ro(options, guest, "guest");
  for (const char *const *s = (const char *const[]){ "foreign.sh", "newer.sh", NULL }; *s; s++) {
    g_autofree char *script = recipe_dir(*s), *to = g_strconcat("recipe/", *s, NULL);
    add_ro(options, script, to);
  }
  /* Scripts that make caches must know which times will be in the image: finish.c. */
  add(options, "--env");
  add(options, "PORTENA_STARTED=%" G_GINT64_FORMAT, w->started - 1);
  g_ptr_array_add(options, NULL);
  pt_image_work_step(w, "Reading the package lists", 0, 20, 0, NULL);
  PtJailRun run = { .flags = PT_JAIL_NET | PT_JAIL_BUILD, .options = (const char *const *)options->pdata,
                    .argv = (const char *const *)argv->pdata, .line = on_apt, .line_data = &cooking };
  if (!pt_image_work_run(w, &run, NULL, error)) {
    explain(recipe, error);
    return false;
  }
  if (kernel && !pt_kernel_describe(w, image, guest, error))
    return false;
  g_autofree char *plain = kernel ? g_steal_pointer(&image->description) : g_strdup(pt_images_recipe_help(recipe));
  image->description = without->len ? g_strdup_printf("%s; without %s, which the mirror did not have whole", plain, without->str)
                                    : g_steal_pointer(&plain);
  return true;
}
