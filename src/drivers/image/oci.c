// SPDX-License-Identifier: Apache-2.0
#include "drivers/image/oci.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#define LAYER_BYTES_MAX (G_GINT64_CONSTANT(64) << 30)
#define WORDS_MAX 256
#define WORD_BYTES_MAX 8192

const char *
pt_oci_arch(const char *arch)
{
  static const char *const names[][2] = { { "x86_64", "amd64" }, { "aarch64", "arm64" }, { "i686", "386" }, { "armv7l", "arm" } };

  for (guint i = 0; i < G_N_ELEMENTS(names); i++)
    if (strcmp(arch, names[i][0]) == 0)
      return names[i][1];
  return arch;
}

void
pt_oci_manifest_clear(PtOciManifest *m)
{
  g_free(m->config);
  g_free(m->next);
  *m = (PtOciManifest){ 0 };
}

/* "sha256:<64 hex>" of a descriptor: what else there is (sha512) neither skopeo nor umoci handle. */
static char *
descriptor_digest(const json_t *descriptor, GError **error)
{
  const char *text = pt_json_str(descriptor, "digest", "");
  const char *hex = g_str_has_prefix(text, "sha256:") ? text + 7 : "";

  if (strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64)
    return g_strdup(hex);
  PT_SET(error, PT_ERR_INVALID, "the image's manifest has a malformed digest");
  return NULL;
}

static bool
choose(const json_t *list, const char *arch, PtOciManifest *ret, GError **error)
{
  const char *want = pt_oci_arch(arch);
  size_t i;
  json_t *m;

  json_array_foreach((json_t *)list, i, m) {
    const json_t *platform = json_object_get(m, "platform");
    bool fits = strcmp(pt_json_str(platform, "architecture", ""), want) == 0 && strcmp(pt_json_str(platform, "os", ""), "linux") == 0;

    if (fits || (json_array_size(list) == 1 && !platform)) {
      ret->next = descriptor_digest(m, error);
      return ret->next != NULL;
    }
  }
  PT_SET(error, PT_ERR_INVALID, "there is no such image for linux on %s", want);
  pt_error_hint(error, "look for another tag; nothing was changed");
  return false;
}

bool
pt_oci_manifest_parse(const char *text, gsize size, const char *arch, PtOciManifest *ret, GError **error)
{
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  size_t i;
  json_t *layer;

  *ret = (PtOciManifest){ 0 };
  if (!json) {
    g_prefix_error(error, "the image's manifest: ");
    return false;
  }
  const json_t *list = json_object_get(json, "manifests"), *layers = json_object_get(json, "layers");
  if (json_is_array(list))
    return choose(list, arch, ret, error);
  if (!json_is_array(layers) || json_array_size(layers) > PT_OCI_LAYERS_MAX) {
    PT_SET(error, PT_ERR_INVALID, "the image's manifest has no list of layers, or more than %d", PT_OCI_LAYERS_MAX);
    pt_error_hint(error, "images of Docker's first format are not supported: push it again with a newer tool");
    return false;
  }
  json_array_foreach((json_t *)layers, i, layer) {
    gint64 bytes = pt_json_int(layer, "size", -1);
    if (bytes < 0 || bytes > LAYER_BYTES_MAX) {
      PT_SET(error, PT_ERR_INVALID, "the image's manifest has a layer of an impossible size");
      return false;
    }
    ret->bytes += bytes;
    ret->layers++;
  }
  ret->config = descriptor_digest(json_object_get(json, "config"), error);
  return ret->config != NULL;
}

/* Appends the strings of a JSON array, or nothing where it is null or absent. */
static bool
take_words(GPtrArray *out, const json_t *list, const char *key, GError **error)
{
  size_t i;
  json_t *item;

  if (!list || json_is_null(list))
    return true;
  bool ok = json_is_array(list) && json_array_size(list) <= WORDS_MAX;
  json_array_foreach((json_t *)list, i, item) {
    ok = ok && json_is_string(item) && json_string_length(item) <= WORD_BYTES_MAX;
    if (ok)
      g_ptr_array_add(out, g_strdup(json_string_value(item)));
  }
  if (!ok)
    PT_SET(error, PT_ERR_INVALID, "the image's configuration: %s is no short list of strings", key);
  return ok;
}

static bool
take_env(PtImage *image, const json_t *list, GError **error)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

  if (!take_words(words, list, "Env", error))
    return false;
  image->env = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  for (guint i = 0; i < words->len; i++) {
    const char *word = g_ptr_array_index(words, i), *eq = strchr(word, '=');
    if (eq && eq != word) /* without a name it can be nobody's variable */
      g_hash_table_replace(image->env, g_strndup(word, (gsize)(eq - word)), g_strdup(eq + 1));
  }
  return true;
}

static char *
take_string(const json_t *config, const char *key)
{
  const char *text = pt_json_str(config, key, "");

  return *text ? pt_text_safe(text, 1024) : NULL;
}

bool
pt_oci_config_parse(const char *text, gsize size, const char *arch, PtImage *image, GError **error)
{
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  g_autoptr(GPtrArray) command = g_ptr_array_new_with_free_func(g_free);

  if (!json) {
    g_prefix_error(error, "the image's configuration: ");
    return false;
  }
  const char *its = pt_json_str(json, "architecture", "");
  if ((*its && strcmp(its, pt_oci_arch(arch)) != 0) || strcmp(pt_json_str(json, "os", "linux"), "linux") != 0) {
    g_autofree char *safe = pt_text_safe(its, 40), *os = pt_text_safe(pt_json_str(json, "os", "linux"), 40);
    PT_SET(error, PT_ERR_INVALID, "the image is for %s on %s, not for linux on %s", os, safe, pt_oci_arch(arch));
    pt_error_hint(error, "ask its maker for one for this machine, or look for another tag; nothing was changed");
    return false;
  }
  const json_t *config = json_object_get(json, "config");
  if (!take_words(command, json_object_get(config, "Entrypoint"), "Entrypoint", error) ||
      !take_words(command, json_object_get(config, "Cmd"), "Cmd", error) || !take_env(image, json_object_get(config, "Env"), error))
    return false;
  if (command->len) {
    g_ptr_array_add(command, NULL);
    image->command = (char **)g_ptr_array_steal(command, NULL);
  }
  image->cwd = take_string(config, "WorkingDir");
  image->user = take_string(config, "User");
  image->stop_signal = take_string(config, "StopSignal");
  return true;
}
