// SPDX-License-Identifier: Apache-2.0
#include "api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "api/audit.h"
#include "api/auth.h"
#include "api/server.h"
#include "api/spaces.h"
#include "api/throttle.h"
#include "api/users.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/log.h"
#include "sys/path.h"

#define HASHES_AT_ONCE 2
#define HASHES_WAITING 16
#define THROTTLE_ENTRIES 4096

PtApi *
pt_api_new(const PtHost *host, PtStore *store, PtBus *bus, PtOps *ops, PtAgent *agent, const PtApiConfig *config,
           GError **error)
{
  g_autoptr(PtApi) api = g_new0(PtApi, 1);
  g_autofree char *log = g_build_filename(host->state, "audit.db", NULL);

  api->host = host;
  api->store = store;
  api->bus = bus;
  api->ops = ops;
  api->agent = agent;
  api->config = *config;
  api->config.group = g_strdup(config->group);
  api->config.url = g_strdup(config->url);
  g_mutex_init(&api->allocation);
  g_mutex_init(&api->memory_lock);
  api->memory_files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  if (sodium_init() < 0) {
    PT_SET(error, PT_ERR_INTERNAL, "libsodium cannot be used on this host");
    return NULL;
  }
  api->hashing = pt_gate_new(HASHES_AT_ONCE, HASHES_WAITING);
  api->throttle = pt_throttle_new(THROTTLE_ENTRIES);
  g_autofree char *nothing = pt_password_readable();
  if (!(api->dummy_hash = pt_password_hash(api, nothing, error)) || !(api->audit = pt_audit_open(log, error)) ||
      !(api->view = pt_view_new(store, error)))
    return NULL;
  return g_steal_pointer(&api);
}

/* Uploads that were under way when a daemon was killed are nobody's. */
static bool
forget_uploads(const PtApi *api, GError **error)
{
  int state = open(api->host->state, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (state < 0) {
    pt_error_errno(error, errno, "%s", api->host->state);
    return false;
  }
  bool ok = pt_path_remove(state, "uploads", true, error);
  close(state);
  return ok;
}

bool
pt_api_listen(PtApi *api, GError **error)
{
  if (!forget_uploads(api, error))
    return false;
  g_autofree char *path = g_build_filename(api->host->run, "api.sock", NULL);

  api->server = pt_server_new(api, path, error);
  return api->server != NULL;
}

void
pt_api_free(PtApi *api)
{
  if (!api)
    return;
  pt_server_free(api->server);
  pt_view_free(api->view);
  pt_audit_close(api->audit);
  pt_throttle_free(api->throttle);
  pt_gate_free(api->hashing);
  g_free(api->dummy_hash);
  g_free((char *)api->config.group);
  g_free((char *)api->config.url);
  g_mutex_clear(&api->allocation);
  g_mutex_clear(&api->memory_lock);
  g_clear_pointer(&api->memory_files, g_hash_table_unref);
  g_free(api);
}

/* ── the first start ── */

/* The file is there before the user: a start that is killed in between tries again, and overwrites it. */
static bool
write_first_login(PtApi *api, const char *password, GError **error)
{
  g_autofree char *path = g_build_filename(api->host->state, "first-login", NULL),
                  *text = g_strdup_printf("admin %s\n", password);
  size_t size = strlen(text);

  unlink(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  bool ok = fd >= 0 && write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
  if (!ok)
    pt_error_errno(error, errno, "%s", path);
  if (fd >= 0)
    close(fd);
  sodium_memzero(text, size);
  return ok;
}

bool
pt_api_first_run(PtApi *api, GError **error)
{
  g_autoptr(GPtrArray) users = pt_store_list(api->store, "users/", NULL, error);
  g_autoptr(PtTxn) txn = pt_txn_new();

  if (!users || users->len > 0)
    return users != NULL;
  g_autofree char *password = pt_password_readable();
  g_autoptr(PtUser) u = pt_record_new(&pt_user_type);
  u->name = g_strdup("admin");
  u->admin = u->must_change = true;
  u->created = pt_now();
  if (!(u->password = pt_password_hash(api, password, error)) || !write_first_login(api, password, error))
    return false;
  g_autofree char *home_key = pt_key_space("home");
  g_autoptr(PtEntry) home = pt_store_get(api->store, home_key, NULL);
  if (!home) {
    g_autoptr(PtSpace) s = pt_space_new("home", "root");
    s->members = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(s->members, g_strdup("admin"), g_strdup("owner"));
    pt_records_put(txn, home_key, 0, &pt_space_type, s);
  }
  bool ok = pt_user_put(api, txn, u, 0, NULL, error);
  sodium_memzero(password, strlen(password));
  return ok;
}
