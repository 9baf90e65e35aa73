// SPDX-License-Identifier: Apache-2.0
/* What a registry or an archive says about an image: first byte even a manifest or index, odd a config. What is accepted must
 * have digests that can be names of files, and a record that can be written and read back. */
#include <string.h>

#include "base/error.h"
#include "drivers/image/oci.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void
check_hex(const char *hex)
{
  g_assert_cmpuint(strlen(hex), ==, 64);
  g_assert_cmpuint(strspn(hex, "0123456789abcdef"), ==, 64);
}

static void
manifest(const char *text, gsize size)
{
  g_autoptr(GError) err = NULL;
  PtOciManifest m;

  bool ok = pt_oci_manifest_parse(text, size, "x86_64", &m, &err);
  g_assert_true(ok == (err == NULL));
  if (ok) {
    g_assert_true((m.config != NULL) != (m.next != NULL));
    check_hex(m.config ? m.config : m.next);
    g_assert_cmpint(m.bytes, >=, 0);
    g_assert_cmpuint(m.layers, <=, PT_OCI_LAYERS_MAX);
  }
  pt_oci_manifest_clear(&m);
}

static void
config(const char *text, gsize size)
{
  g_autoptr(GError) err = NULL;
  g_autoptr(PtImage) image = pt_record_new(&pt_image_type);

  bool ok = pt_oci_config_parse(text, size, "x86_64", image, &err);
  g_assert_true(ok == (err == NULL));
  if (!ok)
    return;
  g_autofree char *dump = pt_record_dump(&pt_image_type, image);
  g_autoptr(json_t) json = pt_json_parse_object(dump, strlen(dump), NULL);
  g_assert_nonnull(json);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  if (!size)
    return 0;
  if (data[0] & 1)
    config((const char *)data + 1, size - 1);
  else
    manifest((const char *)data + 1, size - 1);
  return 0;
}
