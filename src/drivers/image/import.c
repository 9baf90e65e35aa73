// SPDX-License-Identifier: Apache-2.0
/* Images made by others: OCI and Docker images by skopeo and umoci, tarballs by portena-unpack, all in the jail.
 *
 * skopeo brings whatever it is into one form, an OCI layout at /job/oci (checking every digest on the way); umoci
 * applies the layers into /job/root. The jail has a whole range of ids, so owners, hard links, set-id bits and file
 * capabilities come out as they are; device nodes become empty files, because no id in the jail may make them, and a
 * container's /dev is not the image's anyway. What we parse ourselves is the JSON of the layout (oci.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "drivers/image/make.h"
#include "drivers/image/oci.h"
#include "drivers/image/program.h"

#define UNPACKED 750 /* per mille: where the files are there */

static const struct {
  const char *text;
  PtErr code;
  const char *hint;
} complaints[] = {
  { "no space left", PT_ERR_NO_SPACE, "make room, then try again; nothing was changed" },
  { "manifest unknown", PT_ERR_NOT_FOUND, "check the name and the tag" },
  { "name unknown", PT_ERR_NOT_FOUND, "check the name and the tag" },
  { "404 (Not Found)", PT_ERR_NOT_FOUND, "check the name and the tag" },
  { "access to the resource is denied", PT_ERR_FORBIDDEN, "it does not exist, or is private" },
  { "unauthorized", PT_ERR_FORBIDDEN, "it does not exist, or is private" },
  { "x509:", PT_ERR_UNREACHABLE, "the registry's certificate is not one that this machine trusts" },
  { "connection refused", PT_ERR_UNREACHABLE,
    "check the registry's name and whether this machine reaches it, then try again" },
  { "no such host", PT_ERR_UNREACHABLE, "check the registry's name and whether this machine reaches it, then try again" },
  { "server misbehaving", PT_ERR_UNREACHABLE,
    "check the registry's name and whether this machine reaches it, then try again" },
  { "no image found", PT_ERR_NOT_FOUND, "check the tag" },
  { "did not match", PT_ERR_INVALID, "it was damaged on its way or by its maker" },
  { "does not match", PT_ERR_INVALID, "it was damaged on its way or by its maker" },
  { "no descriptor found", PT_ERR_NOT_FOUND, "check the tag" },
  { "more than one image", PT_ERR_INVALID, "say which: …:TAG" },
  { "choose an image", PT_ERR_INVALID, "say which: …:TAG" },
};

/* A tool's INTERNAL failure becomes what the caller can act upon: what the tool said decides, else `otherwise`. */
static void
classify(const char *what, PtErr otherwise, GError **error)
{
  if (!error || !*error || pt_error_code(*error) != PT_ERR_INTERNAL)
    return;
  g_autofree char *text = g_strdup((*error)->message);
  PtErr code = otherwise;
  const char *hint =
    otherwise == PT_ERR_UNREACHABLE ? "the transfer broke off; nothing was changed, try again" : "nothing was changed";

  const char *said = NULL;
  for (guint i = 0; i < G_N_ELEMENTS(complaints) && !said; i++) {
    said = strstr(text, complaints[i].text);
    if (!said)
      continue;
    code = complaints[i].code;
    hint = complaints[i].hint;
    while (said > text && !(said - text >= 2 && said[-1] == ' ' && said[-2] == ':')) /* the tool's way there is left out */
      said--;
  }
  g_clear_error(error);
  PT_SET(error, code, "%s: %s", what, said ? said : text);
  pt_error_hint(error, "%s", hint);
}

/* The manifest of a registry's image, so that the transfer has a total, and the digest that the copy then asks for. */
static bool
inspect(PtImageWork *w, const PtSource *s, const char *reference, const char *arch, PtOciManifest *ret, GError **error)
{
  const char *argv[] = { "skopeo",
                         "--insecure-policy",
                         "--command-timeout=60s",
                         "inspect",
                         "--raw",
                         s->plain_http ? "--tls-verify=false" : "--tls-verify=true",
                         reference,
                         NULL };
  g_autofree char *text = NULL;

  if (!pt_image_work_run(w, &(PtJailRun){ .flags = PT_JAIL_NET, .argv = argv }, &text, error)) {
    classify(s->name, PT_ERR_UNREACHABLE, error);
    return false;
  }
  return pt_oci_manifest_parse(text, strlen(text), arch, ret, error);
}

/* "docker://REPO@sha256:…" of the image for `arch`; *ret_bytes is what its layers weigh. */
static char *
pin(PtImageWork *w, const PtSource *s, const char *arch, gint64 *ret_bytes, GError **error)
{
  g_autofree char *reference = g_strdup_printf("docker://%s", s->name);
  PtOciManifest m = { 0 };

  for (int depth = 0; depth < 3; depth++) {
    if (!inspect(w, s, reference, arch, &m, error)) {
      pt_oci_manifest_clear(&m);
      return NULL;
    }
    *ret_bytes = m.bytes;
    if (!m.next) {
      pt_oci_manifest_clear(&m);
      return g_steal_pointer(&reference);
    }
    g_autofree char *repo = g_strdup(s->name);
    char *slash = strrchr(repo, '/'), *at = strchr(repo, '@');
    if (at)
      *at = '\0';
    char *colon = strrchr(slash ? slash : repo, ':');
    if (colon)
      *colon = '\0';
    g_free(reference);
    reference = g_strdup_printf("docker://%s@sha256:%s", repo, m.next);
    pt_oci_manifest_clear(&m);
  }
  PT_SET(error, PT_ERR_INVALID, "%s: its index leads to other indexes", s->name);
  return NULL;
}

/* Where skopeo reads an image that lies here: the file or directory of the source bound to /in. */
static char *
place(const PtSource *s, char **ret_bind, gint64 *ret_bytes, GError **error)
{
  static const char *const transports[] = {
    [PT_SOURCE_OCI] = "oci", [PT_SOURCE_DOCKER_ARCHIVE] = "docker-archive", [PT_SOURCE_OCI_ARCHIVE] = "oci-archive"
  };
  struct stat st;

  if (stat(s->path, &st) != 0) {
    pt_error_errno(error, errno, "%s", s->path);
    return NULL;
  }
  if (S_ISDIR(st.st_mode) != (s->kind == PT_SOURCE_OCI) || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))) {
    PT_SET(error, PT_ERR_INVALID, "%s: not a%s", s->path,
           s->kind == PT_SOURCE_OCI ? " directory with an OCI layout" : "n archive");
    return NULL;
  }
  *ret_bytes = S_ISREG(st.st_mode) ? (gint64)st.st_size : 0;
  *ret_bind = g_strdup_printf("%s=/in", s->path);
  return g_strdup_printf("%s:/in%s%s", transports[s->kind], s->tag ? ":" : "", s->tag ? s->tag : "");
}

/* Whatever it is, into the layout /job/oci. `from` is skopeo's name of it where it lies in the jail already, else NULL. */
static bool
copy(PtImageWork *w, const PtSource *s, const char *from, const char *arch, GError **error)
{
  g_autofree char *found = NULL, *bind = NULL;
  gint64 bytes = 0;

  if (!from && s->kind == PT_SOURCE_DOCKER) {
    pt_image_work_step(w, "Asking the registry", 0, 20, 0, NULL);
    found = pin(w, s, arch, &bytes, error);
  } else if (!from) {
    found = place(s, &bind, &bytes, error);
  }
  if (!from && !found)
    return false;
  const char *argv[] = { "skopeo",
                         "--insecure-policy",
                         "--tmpdir=/job",
                         "--override-os=linux",
                         "--override-arch",
                         pt_oci_arch(arch),
                         "copy",
                         "--remove-signatures",
                         s->plain_http ? "--src-tls-verify=false" : "--src-tls-verify=true",
                         "--retry-times=1",
                         from ? from : found,
                         "oci:/job/oci:image",
                         NULL };
  const char *options[] = { "--ro", bind, NULL };
  if (!from)
    pt_image_work_step(w, s->kind == PT_SOURCE_DOCKER ? "Downloading" : "Reading", 20, 500, bytes, "bytes");
  PtJailRun run = { .flags = PT_JAIL_GROWTH | (s->kind == PT_SOURCE_DOCKER ? PT_JAIL_NET : 0),
                    .options = bind ? options : NULL,
                    .argv = argv };
  if (pt_image_work_run(w, &run, NULL, error))
    return true;
  classify(s->name ? s->name : s->path, s->kind == PT_SOURCE_DOCKER ? PT_ERR_UNREACHABLE : PT_ERR_INVALID, error);
  return false;
}

static char *
read_blob(PtImageWork *w, const char *hex, gsize *ret_size, GError **error)
{
  g_autofree char *path = hex ? g_strdup_printf("oci/blobs/sha256/%s", hex) : g_strdup("oci/index.json");
  char *text = pt_image_read(w, path, PT_JSON_MAX_BYTES, ret_size);

  if (!text)
    PT_SET(error, PT_ERR_INVALID, "the image's description is missing, or larger than 1 MiB");
  return text;
}

/* index → manifest → config of the layout that skopeo made. */
static bool
describe(PtImageWork *w, const char *arch, PtImage *image, gint64 *ret_bytes, GError **error)
{
  g_autofree char *hex = NULL;
  gsize size;

  for (int depth = 0; depth < 3; depth++) {
    g_autofree char *text = read_blob(w, hex, &size, error);
    PtOciManifest m = { 0 };

    if (!text || !pt_oci_manifest_parse(text, size, arch, &m, error))
      return false;
    g_free(hex);
    hex = m.next ? m.next : m.config;
    *ret_bytes = m.bytes;
    if (m.config) {
      g_autofree char *config = read_blob(w, hex, &size, error);
      return config && pt_oci_config_parse(config, size, arch, image, error);
    }
  }
  PT_SET(error, PT_ERR_INVALID, "the image's index leads to other indexes");
  return false;
}

/* `from` as for copy(): then the unpacking of the archive around it was most of the work. */
static bool
import_oci(PtImageWork *w, const PtSource *s, const char *from, PtImage *image, GError **error)
{
  static const char *const unpack[] = { "umoci", "raw", "unpack", "--image", "/job/oci:image", "/job/root", NULL };
  static const char *const tidy[] = { "rm", "-rf", "/job/oci", NULL };
  gint64 bytes = 0;

  if (!copy(w, s, from, image->arch, error) || !describe(w, image->arch, image, &bytes, error))
    return false;
  /* Layers unpack to two to three times their size as a rule; the bar stands at its end when they are larger. */
  pt_image_work_step(w, "Unpacking", from ? UNPACKED : 500, UNPACKED, bytes * 5 / 2, "bytes");
  if (!pt_image_work_run(w, &(PtJailRun){ .flags = PT_JAIL_GROWTH, .argv = unpack }, NULL, error)) {
    classify(s->name ? s->name : s->path, PT_ERR_INVALID, error);
    return false;
  }
  return pt_image_work_run(w, &(PtJailRun){ .argv = tidy }, NULL, error);
}

/* "P READ ENTRIES" of portena-unpack. */
static bool
on_unpack(const char *line, void *data)
{
  PtImageWork *w = data;
  gint64 bytes;

  if (sscanf(line, "P %" G_GINT64_FORMAT, &bytes) != 1)
    return false;
  pt_image_work_done(w, bytes);
  return true;
}

bool
pt_image_unpack(PtImageWork *w, const PtSource *s, const char *into, GError **error)
{
  g_autofree char *tool = g_strdup_printf("%s/portena-unpack=/opt/portena-unpack", w->host->libexec);
  const char *options[] = { "--input", s->path, "--ro", tool, NULL };
  const char *const argv[] = { "/opt/portena-unpack", into, NULL };
  struct stat st;

  if (stat(s->path, &st) != 0) {
    pt_error_errno(error, errno, "%s", s->path);
    return false;
  }
  if (!S_ISREG(st.st_mode)) {
    PT_SET(error, PT_ERR_INVALID, "%s: not a file", s->path);
    return false;
  }
  pt_image_work_step(w, "Unpacking", 0, UNPACKED, (gint64)st.st_size, "bytes");
  if (pt_image_work_run(w, &(PtJailRun){ .options = options, .argv = argv, .line = on_unpack, .line_data = w }, NULL, error))
    return true;
  classify(s->path, PT_ERR_INVALID, error);
  return false;
}

/* What was taken for a root file system may be an archive of an image: then that is meant. NULL: it is not. */
static const char *
image_within(PtImageWork *w)
{
  gsize size;
  g_autofree char *layout = pt_image_read(w, "root/oci-layout", 4096, &size),
                  *manifest = pt_image_read(w, "root/manifest.json", PT_JSON_MAX_BYTES, &size);

  if (layout && strstr(layout, "imageLayoutVersion"))
    return "oci:/job/in";
  return manifest && manifest[0] == '[' && strstr(manifest, "\"Layers\"") ? "docker-archive:/job/in.tar" : NULL;
}

static bool
import_within(PtImageWork *w, const PtSource *s, const char *from, PtImage *image, GError **error)
{
  static const char *const aside[] = { "mv", "/job/root", "/job/in", NULL },
                           *const root[] = { "mkdir", "/job/root", NULL },
                           *const pack[] = { "tar", "-C", "/job/in", "-cf", "/job/in.tar", ".", NULL },
                           *const tidy[] = { "rm", "-rf", "/job/in", "/job/in.tar", NULL };
  g_autofree char *tagged = s->tag ? g_strdup_printf("%s:%s", from, s->tag) : g_strdup(from);

  return pt_image_work_run(w, &(PtJailRun){ .argv = aside }, NULL, error) &&
         pt_image_work_run(w, &(PtJailRun){ .argv = root }, NULL, error) &&
         (g_str_has_prefix(from, "oci:") || pt_image_work_run(w, &(PtJailRun){ .argv = pack }, NULL, error)) &&
         import_oci(w, s, tagged, image, error) && pt_image_work_run(w, &(PtJailRun){ .argv = tidy }, NULL, error);
}

/* skopeo reads an archive of Docker's only as it is. */
static bool
is_compressed(const char *path)
{
  static const char *const magic[] = { "\x1f\x8b", "\3757zXZ", "\x28\xb5\x2f\xfd", "BZh" }; /* gzip, xz, zstd, bzip2 */
  char head[6] = { 0 };
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool found = false;

  if (fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head)
    for (guint i = 0; i < G_N_ELEMENTS(magic); i++)
      found = found || memcmp(head, magic[i], strlen(magic[i])) == 0;
  if (fd >= 0)
    close(fd);
  return found;
}

bool
pt_image_import(PtImageWork *w, const PtSource *s, PtImage *image, GError **error)
{
  if (s->kind == PT_SOURCE_PROGRAM)
    return pt_image_import_program(w, s, image, error);
  if (s->kind != PT_SOURCE_ROOTFS && (s->kind != PT_SOURCE_DOCKER_ARCHIVE || !is_compressed(s->path)))
    return import_oci(w, s, NULL, image, error);
  if (!pt_image_unpack(w, s, "/job/root", error))
    return false;
  const char *from = image_within(w);
  if (from)
    return import_within(w, s, from, image, error);
  if (s->kind == PT_SOURCE_ROOTFS)
    return true;
  PT_SET(error, PT_ERR_INVALID, "%s: not an archive that docker save made", s->path);
  pt_error_hint(error, "a tarball of a root file system is imported with format rootfs");
  return false;
}
