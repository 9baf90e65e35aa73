// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define CONFIG_FILE "/etc/portena/portena.conf"

static const struct {
  const char *key;
  size_t offset;
  const char *fallback;
} strings[] = {
  { "state", G_STRUCT_OFFSET(PtConfig, state), "/var/lib/portena" },
  { "run", G_STRUCT_OFFSET(PtConfig, run), "/run/portena" },
  { "libexec", G_STRUCT_OFFSET(PtConfig, libexec), PORTENA_LIBEXECDIR },
  { "node", G_STRUCT_OFFSET(PtConfig, node), NULL },
  { "uplink", G_STRUCT_OFFSET(PtConfig, uplink), "auto" },
  { "cgroup", G_STRUCT_OFFSET(PtConfig, cgroup), "portena" },
  { "gateway-user", G_STRUCT_OFFSET(PtConfig, gateway_user), "portena-gateway" },
  { "url", G_STRUCT_OFFSET(PtConfig, url), NULL },
  { "templates", G_STRUCT_OFFSET(PtConfig, templates), "shared" },
};

static char **
slot(PtConfig *c, guint i)
{
  return (char **)((char *)c + strings[i].offset);
}

/* A file that is not there is fine unless it was asked for. A key that does not exist is refused: a typing error in a
 * setting must not be a silent default. */
static bool
load_file(PtConfig *c, const char *path, bool asked, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) err = NULL;

  if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &err)) {
    if (!asked && g_error_matches(err, G_FILE_ERROR, G_FILE_ERROR_NOENT))
      return true;
    PT_SET(error, PT_ERR_INVALID, "%s: %s", path, err->message);
    return false;
  }
  g_auto(GStrv) keys = g_key_file_get_keys(file, "node", NULL, NULL);
  for (char **k = keys; k && *k; k++) {
    bool known = false;
    for (guint i = 0; i < G_N_ELEMENTS(strings) && !known; i++) {
      if (strcmp(*k, strings[i].key) == 0) {
        g_free(*slot(c, i));
        *slot(c, i) = g_key_file_get_string(file, "node", *k, NULL);
        known = true;
      }
    }
    if (!known) {
      PT_SET(error, PT_ERR_INVALID, "%s: there is no setting '%s'\nman portena.conf names them all", path, *k);
      return false;
    }
  }
  return true;
}

static char *
host_label(void)
{
  char name[256] = "";

  gethostname(name, sizeof name - 1);
  name[strcspn(name, ".")] = '\0';
  char *low = g_ascii_strdown(name, -1);
  if (!pt_name_check("node", low, NULL)) {
    g_free(low);
    low = g_strdup("node");
  }
  return low;
}

static bool
check(PtConfig *c, GError **error)
{
  for (guint i = 0; i < 3; i++) {
    const char *path = *slot(c, i);
    if (path[0] != '/' || strpbrk(path, ",:\\\n") || strlen(path) > 80) {
      PT_SET(error, PT_ERR_INVALID, "%s '%s': an absolute path of at most 80 characters without ',' ':' and '\\' is wanted", strings[i].key,
             path);
      return false;
    }
  }
  if (!pt_name_check("cgroup", c->cgroup, error))
    return false;
  if (c->url && (!g_str_has_prefix(c->url, "https://") || !g_uri_is_valid(c->url, G_URI_FLAGS_NONE, NULL))) {
    g_autofree char *shown = pt_text_safe(c->url, 120);
    PT_SET(error, PT_ERR_INVALID, "url '%s': an address such as https://portena.example is wanted", shown);
    return false;
  }
  static const char *const rules[] = { "shared", "space", "off", NULL };
  if (!g_strv_contains(rules, c->templates)) {
    g_autofree char *shown = pt_text_safe(c->templates, 40);
    PT_SET(error, PT_ERR_INVALID, "templates '%s': shared, space or off is wanted", shown);
    return false;
  }
  return pt_name_check("node", c->node, error);
}

PtConfig *
pt_config_new(int *argc, char ***argv, GError **error)
{
  g_autoptr(PtConfig) c = g_new0(PtConfig, 1);
  g_autofree char *file = NULL;
  gboolean version = FALSE, no_tune = FALSE, drain = FALSE, debug = FALSE;
  char *opt[G_N_ELEMENTS(strings)] = { NULL };
  GOptionEntry entries[] = {
    { "config", 'c', 0, G_OPTION_ARG_FILENAME, &file, "settings (" CONFIG_FILE ")", "FILE" },
    { "state", 0, 0, G_OPTION_ARG_FILENAME, &opt[0], "database, images, volumes (/var/lib/portena)", "DIR" },
    { "run", 0, 0, G_OPTION_ARG_FILENAME, &opt[1], "socket and what lives until the next boot (/run/portena)", "DIR" },
    { "libexec", 0, 0, G_OPTION_ARG_FILENAME, &opt[2], "where portena-monitor and portena-jail are", "DIR" },
    { "node", 0, 0, G_OPTION_ARG_STRING, &opt[3], "this node's name (the host's)", "NAME" },
    { "uplink", 0, 0, G_OPTION_ARG_STRING, &opt[4], "interface to the outside, auto, or none", "IF" },
    { "cgroup", 0, 0, G_OPTION_ARG_STRING, &opt[5], "name of the control group (portena)", "NAME" },
    { "gateway-user", 0, 0, G_OPTION_ARG_STRING, &opt[6], "user that portena-gateway runs as", "USER" },
    { "url", 0, 0, G_OPTION_ARG_STRING, &opt[7], "where browsers find this node (where the gateway listens)", "URL" },
    { "templates", 0, 0, G_OPTION_ARG_STRING, &opt[8],
      "machines start as copies of booted ones: shared, space (each its own), off", "RULE" },
    { "no-tune", 0, 0, G_OPTION_ARG_NONE, &no_tune, "leave sysctls alone", NULL },
    { "drain", 0, 0, G_OPTION_ARG_NONE, &drain, "stop the instances when stopped by SIGTERM, too", NULL },
    { "debug", 0, 0, G_OPTION_ARG_NONE, &debug, "say more", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &version, "print the version", NULL },
    { NULL },
  };
  g_autoptr(GOptionContext) ctx = g_option_context_new(NULL);
  g_autoptr(GError) err = NULL;

  g_option_context_set_summary(ctx, "The Portena daemon: spaces, instances, images, volumes and networks of this node.");
  g_option_context_add_main_entries(ctx, entries, NULL);
  bool ok = g_option_context_parse(ctx, argc, argv, &err);
  if (ok && version) {
    printf("portenad %s\n", PORTENA_VERSION);
    exit(0);
  }
  if (!ok)
    PT_SET(error, PT_ERR_INVALID, "%s\nportenad --help names the options", err->message);
  ok = ok && load_file(c, file ? file : CONFIG_FILE, file != NULL, error);
  for (guint i = 0; i < G_N_ELEMENTS(strings); i++) {
    if (opt[i]) {
      g_free(*slot(c, i));
      *slot(c, i) = opt[i];
    } else if (!*slot(c, i)) {
      *slot(c, i) = g_strdup(strings[i].fallback);
    }
  }
  if (!c->node)
    c->node = host_label();
  c->tune = !no_tune;
  c->drain = drain;
  c->debug = debug;
  return ok && check(c, error) ? g_steal_pointer(&c) : NULL;
}

void
pt_config_free(PtConfig *c)
{
  if (!c)
    return;
  for (guint i = 0; i < G_N_ELEMENTS(strings); i++)
    g_free(*slot(c, i));
  g_free(c);
}
