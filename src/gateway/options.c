// SPDX-License-Identifier: Apache-2.0
#include "gateway/options.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

static const char *const default_listen[] = { "0.0.0.0:8443", "[::]:8443", NULL };
static const char *const default_vnc[] = { "0.0.0.0:5900", "[::]:5900", NULL };

void
pt_options_clear(PtOptions *o)
{
  g_free(o->api);
  g_free(o->state);
  g_free(o->run);
  g_free(o->web);
  g_free(o->user);
  g_free(o->nginx);
  g_clear_pointer(&o->listen, g_array_unref);
  g_clear_pointer(&o->vnc, g_array_unref);
}

static void
fill(char **value, const char *fallback, bool path)
{
  if (!*value)
    *value = g_strdup(fallback);
  if (path) {
    char *absolute = g_canonicalize_filename(*value, NULL);
    g_free(*value);
    *value = absolute;
  }
}

static bool
addresses(const char *const *texts, GArray **ret, GError **error)
{
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(PtListen));

  for (; *texts; texts++) {
    PtListen l;
    if (strcmp(*texts, "none") == 0)
      continue;
    if (!pt_listen_parse(*texts, &l, error))
      return false;
    g_array_append_val(all, l);
  }
  *ret = g_steal_pointer(&all);
  return true;
}

bool
pt_options_parse(int *argc, char ***argv, PtOptions *o, GError **error)
{
  g_auto(GStrv) listen = NULL, vnc = NULL;
  gboolean version = FALSE;
  const GOptionEntry entries[] = {
    { "api", 0, 0, G_OPTION_ARG_FILENAME, &o->api, "portenad's socket (/run/portena/api.sock)", "SOCKET" },
    { "listen", 0, 0, G_OPTION_ARG_STRING_ARRAY, &listen, "HTTPS (0.0.0.0:8443 and [::]:8443); may be repeated", "ADDR:PORT" },
    { "vnc", 0, 0, G_OPTION_ARG_STRING_ARRAY, &vnc, "VNC viewers (0.0.0.0:5900 and [::]:5900), or none; may be repeated", "ADDR:PORT" },
    { "state", 0, 0, G_OPTION_ARG_FILENAME, &o->state, "certificate and key (/var/lib/portena/gateway)", "DIR" },
    { "run", 0, 0, G_OPTION_ARG_FILENAME, &o->run, "sockets and temporary files (/run/portena/gateway)", "DIR" },
    { "web", 0, 0, G_OPTION_ARG_FILENAME, &o->web, "the built pages (" PORTENA_DATADIR "/web)", "DIR" },
    { "user", 0, 0, G_OPTION_ARG_STRING, &o->user, "whom to run as when started by root (portena-gateway)", "NAME" },
    { "nginx", 0, 0, G_OPTION_ARG_FILENAME, &o->nginx, "the program (/usr/sbin/nginx)", "PATH" },
    { "version", 0, 0, G_OPTION_ARG_NONE, &version, "print the version", NULL },
    G_OPTION_ENTRY_NULL,
  };

  memset(o, 0, sizeof *o);
  g_autoptr(GOptionContext) context = g_option_context_new(NULL);
  g_option_context_set_summary(context, "The face of portena to the network: HTTPS, WebSocket and VNC.");
  g_option_context_add_main_entries(context, entries, NULL);
  g_autoptr(GError) why = NULL;
  if (!g_option_context_parse(context, argc, argv, &why)) {
    PT_SET(error, PT_ERR_INVALID, "%s", why->message);
    return false;
  }
  if (*argc > 1) {
    PT_SET(error, PT_ERR_INVALID, "'%s': there is nothing to do with it", (*argv)[1]);
    return false;
  }
  o->version = version;
  fill(&o->api, "/run/portena/api.sock", true);
  fill(&o->state, "/var/lib/portena/gateway", true);
  fill(&o->run, "/run/portena/gateway", true);
  fill(&o->web, PORTENA_DATADIR "/web", true);
  fill(&o->nginx, "/usr/sbin/nginx", true);
  fill(&o->user, "portena-gateway", false);
  if (!addresses(listen ? (const char *const *)listen : default_listen, &o->listen, error) ||
      !addresses(vnc ? (const char *const *)vnc : default_vnc, &o->vnc, error))
    return false;
  for (guint i = 0; i < o->listen->len; i++)
    g_array_index(o->listen, PtListen, i).optional = !listen && i > 0;
  for (guint i = 0; i < o->vnc->len; i++)
    g_array_index(o->vnc, PtListen, i).optional = !vnc;
  if (o->listen->len > 0)
    return true;
  PT_SET(error, PT_ERR_INVALID, "--listen: name one address at least");
  return false;
}

static bool
open_all(GArray *all, GError **error)
{
  for (guint i = 0; i < all->len;) {
    PtListen *l = &g_array_index(all, PtListen, i);
    g_autoptr(GError) why = NULL;
    if (pt_listen_open(l, &why)) {
      i++;
      continue;
    }
    if (!l->optional) {
      g_propagate_error(error, g_steal_pointer(&why));
      return false;
    }
    g_autofree char *summary = pt_error_summary(why);
    pt_log_warn("gateway", "%s: going on without", summary);
    g_array_remove_index(all, i);
  }
  return true;
}

bool
pt_options_listen(PtOptions *o, GError **error)
{
  return open_all(o->listen, error) && open_all(o->vnc, error);
}
