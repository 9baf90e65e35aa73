// SPDX-License-Identifier: Apache-2.0
#include "cli/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/error.h"
#include "base/json.h"

#define CONFIG_MAX (256u << 10)

struct PtConfig {
  char *path;
  json_t *json;
};

static char *
config_path(void)
{
  return g_build_filename(g_get_user_config_dir(), "portena", "servers.json", NULL);
}

/* The whole file through one descriptor, so that what was checked is what is read. */
static char *
read_private(const char *path, gsize *ret_size, GError **error)
{
  struct stat st;
  gsize size = 0;

  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", path);
    return NULL;
  }
  if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 077) != 0) {
    PT_SET(error, PT_ERR_FORBIDDEN, "%s: it holds tokens, and others may read it\nclose it first:  chmod 600 %s", path,
           path);
    close(fd);
    return NULL;
  }
  char *text = g_malloc(CONFIG_MAX);
  for (gssize n = 0; size < CONFIG_MAX && (n = read(fd, text + size, CONFIG_MAX - size)) > 0;)
    size += (gsize)n;
  close(fd);
  *ret_size = size;
  return text;
}

PtConfig *
pt_config_read(GError **error)
{
  g_autoptr(PtConfig) c = g_new0(PtConfig, 1);
  g_autoptr(GError) why = NULL;
  gsize size = 0;

  c->path = config_path();
  g_autofree char *text = read_private(c->path, &size, &why);
  if (!text && g_error_matches(why, PT_ERROR, PT_ERR_NOT_FOUND)) {
    c->json = json_object();
    return g_steal_pointer(&c);
  }
  if (!text) {
    g_propagate_error(error, g_steal_pointer(&why));
    return NULL;
  }
  c->json = pt_json_parse_object(text, size, error);
  if (!c->json) {
    g_prefix_error(error, "%s: ", c->path);
    pt_error_hint(error, "move it away and log in again:  portena login https://…");
    return NULL;
  }
  return g_steal_pointer(&c);
}

void
pt_config_free(PtConfig *c)
{
  if (!c)
    return;
  json_decref(c->json);
  g_free(c->path);
  g_free(c);
}

static bool
write_all(int fd, const char *text)
{
  gsize size = strlen(text);

  while (size > 0) {
    gssize n = write(fd, text, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    text += n;
    size -= (gsize)n;
  }
  return fsync(fd) == 0;
}

bool
pt_config_write(const PtConfig *c, GError **error)
{
  g_autofree char *dir = g_path_get_dirname(c->path);
  g_autofree char *beside = g_strconcat(c->path, ".XXXXXX", NULL);

  if (!pt_dir_make(dir, 0700, error))
    return false;
  int fd = g_mkstemp_full(beside, O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) {
    pt_error_errno(error, errno, "%s", dir);
    return false;
  }
  char *text = json_dumps(c->json, JSON_INDENT(2));
  bool ok = write_all(fd, text);
  int err = errno;
  free(text);
  close(fd);
  if (ok && rename(beside, c->path) == 0)
    return true;
  pt_error_errno(error, ok ? errno : err, "%s", c->path);
  unlink(beside);
  return false;
}

const char *
pt_config_current(const PtConfig *c)
{
  return pt_json_str(c->json, "current", NULL);
}

void
pt_config_set_current(PtConfig *c, const char *server)
{
  if (server)
    json_object_set_new(c->json, "current", json_string(server));
  else
    json_object_del(c->json, "current");
}

const char *
pt_config_get(const PtConfig *c, const char *server, const char *key)
{
  return pt_json_str(json_object_get(json_object_get(c->json, "servers"), server), key, NULL);
}

/* The member `key` of `parent`, made where it is missing or no object. */
static json_t *
member(json_t *parent, const char *key)
{
  json_t *v = json_object_get(parent, key);

  if (!json_is_object(v)) {
    v = json_object();
    json_object_set_new(parent, key, v);
  }
  return v;
}

void
pt_config_set(PtConfig *c, const char *server, const char *key, const char *value)
{
  json_t *entry = member(member(c->json, "servers"), server);

  if (value)
    json_object_set_new(entry, key, json_string(value));
  else
    json_object_del(entry, key);
}
