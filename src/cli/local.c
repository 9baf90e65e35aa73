// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/transport.h"

typedef struct Local {
  PtTransport base;
  PtClient *api;
} Local;

static PtClientReply *
local_send(PtTransport *t, const PtClientRequest *request, GError **error)
{
  return pt_client_send(((Local *)t)->api, request, error);
}

static int
local_upgrade(PtTransport *t, const PtClientRequest *request, guint32 *ret_type, GError **error)
{
  return pt_client_upgrade(((Local *)t)->api, request, ret_type, NULL, error);
}

static void
local_free(PtTransport *t)
{
  pt_client_free(((Local *)t)->api);
  g_free(t);
}

PtTransport *
pt_local_new(const char *path, const char *token)
{
  static const PtTransportOps ops = { local_send, local_upgrade, local_free };
  Local *l = g_new0(Local, 1);

  l->base.ops = &ops;
  l->api = pt_client_new(path);
  if (token) {
    g_autofree char *bearer = g_strconcat("Bearer ", token, NULL);
    pt_client_set_header(l->api, "Authorization", bearer);
  }
  return &l->base;
}

/* In a build tree the module lies beside portena. */
static void *
open_module(const char **ret_why)
{
  char exe[4096];
  void *handle = NULL;

  gssize n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (n > 0) {
    exe[n] = '\0';
    g_autofree char *dir = g_path_get_dirname(exe);
    g_autofree char *beside = g_build_filename(dir, "https.so", NULL);
    if (access(beside, R_OK) == 0)
      handle = dlopen(beside, RTLD_NOW | RTLD_LOCAL);
  }
  if (!handle)
    handle = dlopen(PORTENA_LIBEXEC "/https.so", RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    *ret_why = dlerror();
  return handle;
}

const PtHttpsModule *
pt_https_load(GError **error)
{
  const char *why = "";
  void *handle = open_module(&why);
  const PtHttpsModule *module = handle ? dlsym(handle, "pt_https_module") : NULL;

  if (module && module->version == PT_HTTPS_VERSION)
    return module;
  PT_SET(error, PT_ERR_UNSUPPORTED,
         "the part of portena that speaks HTTPS does not load (%s)\ninstall it anew: %s/https.so, and libcurl3-gnutls",
         handle ? "it is of another version" : why, PORTENA_LIBEXEC);
  return NULL;
}
