// SPDX-License-Identifier: Apache-2.0
/* Kernels for machines of model micro: an image that is no root file system, but /vmlinuz and an /initrd with portena-guest as its
 * first program (images/kernel/make.sh). It is marked with the fingerprint of that program, so that after an upgrade it is seen
 * to be another's. */
#include "base/error.h"
#include "base/id.h"
#include "base/text.h"
#include "drivers/image/make.h"

#define FINGERPRINT_DIGITS 12
#define VERSION_MAX 100

char *
pt_kernel_guest(const PtHost *host, const PtArch *arch, GError **error)
{
  g_autofree char *name = arch == pt_arch_host() ? g_strdup("portena-guest") : g_strconcat("portena-guest-", arch->name, NULL);
  g_autofree char *path = g_build_filename(host->libexec, name, NULL);

  if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
    return g_steal_pointer(&path);
  PT_SET(error, PT_ERR_UNSUPPORTED, "this installation has no %s, which a kernel for %s needs", name, arch->name);
  pt_error_hint(error, "build Portena where there is a C compiler for it: apt install gcc-%s-linux-gnu libc6-dev-%s-cross", arch->name,
                arch->debian);
  return NULL;
}

static char *
fingerprint(const char *program, GError **error)
{
  g_autoptr(GError) err = NULL;
  g_autofree char *text = NULL, *hex = NULL;
  gsize size;

  if (!g_file_get_contents(program, &text, &size, &err)) {
    PT_SET(error, PT_ERR_INTERNAL, "%s", err->message);
    return NULL;
  }
  hex = pt_sha256_hex(text, size);
  return g_strndup(hex, FINGERPRINT_DIGITS);
}

bool
pt_kernel_describe(PtImageWork *w, PtImage *image, const char *guest, GError **error)
{
  g_autofree char *version = pt_image_read(w, "version", VERSION_MAX, NULL), *shown = version ? pt_text_safe(version, VERSION_MAX) : NULL;
  g_autofree char *mark = fingerprint(guest, error);

  if (!mark)
    return false;
  image->os = g_strdup_printf("Linux %s", shown ? shown : "");
  image->description = g_strdup_printf("%s (portena-guest %s)", pt_images_recipe_help(PT_KERNEL_RECIPE), mark);
  image->format = PT_FORMAT_KERNEL;
  image->kinds = g_new0(char *, 1);
  return true;
}

bool
pt_images_kernel_current(const PtHost *host, const PtImage *image)
{
  const PtArch *arch = pt_arch_find(image->arch);
  g_autofree char *guest = arch ? pt_kernel_guest(host, arch, NULL) : NULL;
  g_autofree char *mark = guest ? fingerprint(guest, NULL) : NULL;

  return image->format == PT_FORMAT_KERNEL && mark && image->description && strstr(image->description, mark);
}
