// SPDX-License-Identifier: Apache-2.0
#include "drivers/image/source.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define SOURCE_MAX 1024

static const struct { const char *prefix; bool path, tag; } kinds[] = {
  [PT_SOURCE_RECIPE] = { "recipe:", false, false },
  [PT_SOURCE_DOCKER] = { "docker://", false, false },
  [PT_SOURCE_OCI] = { "oci:", true, true },
  [PT_SOURCE_DOCKER_ARCHIVE] = { "docker-archive:", true, true },
  [PT_SOURCE_OCI_ARCHIVE] = { "oci-archive:", true, true },
  [PT_SOURCE_ROOTFS] = { "rootfs:", true, false },
  [PT_SOURCE_PROGRAM] = { "program:", true, true },
  [PT_SOURCE_QCOW2] = { "qcow2:", true, false },
  [PT_SOURCE_RAW] = { "raw:", true, false },
  [PT_SOURCE_VMDK] = { "vmdk:", true, false },
  [PT_SOURCE_VDI] = { "vdi:", true, false },
  [PT_SOURCE_VHDX] = { "vhdx:", true, false },
  [PT_SOURCE_VHD] = { "vhd:", true, false },
  [PT_SOURCE_OVA] = { "ova:", true, false },
  [PT_SOURCE_ISO] = { "iso:", true, false },
};
G_STATIC_ASSERT(G_N_ELEMENTS(kinds) == PT_N_SOURCES);

void
pt_source_free(PtSource *s)
{
  if (!s)
    return;
  g_free(s->name);
  g_free(s->path);
  g_free(s->tag);
  g_free(s);
}

/* "localhost", "127.x.y.z" or "[::1]", with or without a port. */
static bool
is_loopback(const char *reference)
{
  g_autofree char *host = g_strndup(reference, strcspn(reference, "/"));

  if (g_str_has_prefix(host, "[::1]"))
    return host[5] == '\0' || host[5] == ':';
  host[strcspn(host, ":")] = '\0';
  if (strcmp(host, "localhost") == 0)
    return true;
  return g_str_has_prefix(host, "127.") && strspn(host, "0123456789.") == strlen(host);
}

/* distribution/reference's grammar is enforced by skopeo; here only what could be taken for something else. */
static bool
reference_ok(const char *text)
{
  return g_ascii_isalnum(*text) || g_str_has_prefix(text, "[::1]:")
    ? strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@[]+") == strlen(text)
    : false;
}

static bool
take_path(PtSource *s, const char *rest, bool tag, GError **error)
{
  const char *colon = tag ? strchr(rest, ':') : NULL;

  if (*rest != '/') {
    PT_SET(error, PT_ERR_INVALID, "%s: the path must be absolute", rest);
    return false;
  }
  s->path = colon ? g_strndup(rest, (gsize)(colon - rest)) : g_strdup(rest);
  if (colon && colon[1])
    s->tag = g_strdup(colon + 1);
  /* '=' divides the jail's arguments and ':' skopeo's. */
  if (strpbrk(s->path, "=:\n")) {
    PT_SET(error, PT_ERR_INVALID, "%s: a path with '=', ':' or a line break cannot be used", s->path);
    pt_error_hint(error, "move it to a plainer name");
    return false;
  }
  if (s->tag && strspn(s->tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@+") != strlen(s->tag)) {
    PT_SET(error, PT_ERR_INVALID, "%s: not the name of an image in %s", s->tag, s->path);
    return false;
  }
  return true;
}

PtSource *
pt_source_parse(const char *text, GError **error)
{
  g_autoptr(PtSource) s = g_new0(PtSource, 1);
  g_autofree char *safe = pt_text_safe(text, SOURCE_MAX);
  guint k = 0;

  while (k < PT_N_SOURCES && !g_str_has_prefix(text, kinds[k].prefix))
    k++;
  if (k == PT_N_SOURCES) {
    PT_SET(error, PT_ERR_INVALID, "%s: not a source of images", safe);
    pt_error_hint(error, "recipe:NAME, docker://REGISTRY/NAME:TAG, oci:PATH, docker-archive:PATH, oci-archive:PATH, rootfs:PATH, "
                         "program:PATH, or for a disk qcow2:PATH, raw:PATH, vmdk:PATH, vdi:PATH, vhdx:PATH, vhd:PATH, ova:PATH, iso:PATH");
    return NULL;
  }
  const char *rest = text + strlen(kinds[k].prefix);
  s->kind = (PtSourceKind)k;
  if (!*rest || strlen(text) > SOURCE_MAX || strcmp(safe, text) != 0) {
    PT_SET(error, PT_ERR_INVALID, "%s: empty, too long, or with characters that do not belong there", safe);
    return NULL;
  }
  if (kinds[k].path) {
    if (!take_path(s, rest, kinds[k].tag, error))
      return NULL;
    return g_steal_pointer(&s);
  }
  if (s->kind == PT_SOURCE_DOCKER ? !reference_ok(rest) : strspn(rest, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(rest)) {
    PT_SET(error, PT_ERR_INVALID, "%s: not a name", safe);
    return NULL;
  }
  s->name = g_strdup(rest);
  s->plain_http = s->kind == PT_SOURCE_DOCKER && is_loopback(rest);
  return g_steal_pointer(&s);
}
