// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "drivers/container/internal.h"
#include "sys/path.h"

#define FILE_MAX (1u << 20)

void
pt_guest_user_clear(PtGuestUser *u)
{
  g_clear_pointer(&u->name, g_free);
  g_clear_pointer(&u->home, g_free);
  g_clear_pointer(&u->shell, g_free);
  g_clear_pointer(&u->groups, g_array_unref);
}

/* A number below PT_GUEST_IDS and nothing else. */
static bool
parse_id(const char *text, guint32 *ret)
{
  guint64 n;

  if (!g_ascii_string_to_unsigned(text, 10, 0, PT_GUEST_IDS - 1, &n, NULL))
    return false;
  *ret = (guint32)n;
  return true;
}

static char **
read_lines(int root, const char *path)
{
  g_autofree char *text = NULL;

  return pt_path_read(root, path, FILE_MAX, &text, NULL, NULL) ? g_strsplit(text, "\n", -1) : g_new0(char *, 1);
}

static bool
clean_path(const char *path)
{
  return path[0] == '/' && g_utf8_validate(path, -1, NULL) && strlen(path) < 1024;
}

/* Fills from the line of passwd with that name, or with that uid (the name may be a number). */
static bool
find_user(char *const *lines, const char *name, guint32 uid, bool by_uid, PtGuestUser *u)
{
  for (; *lines; lines++) {
    g_auto(GStrv) f = g_strsplit(*lines, ":", 8);
    guint32 id, gid;

    if (g_strv_length(f) < 7 || !parse_id(f[2], &id) || !parse_id(f[3], &gid))
      continue;
    if (by_uid ? id != uid : strcmp(f[0], name) != 0)
      continue;
    u->uid = id;
    u->gid = gid;
    if (g_utf8_validate(f[0], -1, NULL) && *f[0])
      u->name = g_strdup(f[0]);
    if (clean_path(f[5]))
      u->home = g_strdup(f[5]);
    if (clean_path(f[6]))
      u->shell = g_strdup(f[6]);
    return true;
  }
  return false;
}

static void
find_groups(char *const *lines, PtGuestUser *u)
{
  for (; *lines && u->name; lines++) {
    g_auto(GStrv) f = g_strsplit(*lines, ":", 4);
    guint32 gid;

    if (g_strv_length(f) < 4 || !parse_id(f[2], &gid) || gid == u->gid)
      continue;
    g_auto(GStrv) members = g_strsplit(f[3], ",", -1);
    if (g_strv_contains((const char *const *)members, u->name) && u->groups->len < 64)
      g_array_append_val(u->groups, gid);
  }
}

static bool
find_group(char *const *lines, const char *name, guint32 *ret)
{
  for (; *lines; lines++) {
    g_auto(GStrv) f = g_strsplit(*lines, ":", 4);

    if (g_strv_length(f) >= 3 && strcmp(f[0], name) == 0 && parse_id(f[2], ret))
      return true;
  }
  return false;
}

static bool
missing(const char *what, const char *name, GError **error)
{
  g_autofree char *shown = pt_text_safe(name, 64);

  PT_SET(error, PT_ERR_NOT_FOUND, "the guest has no %s \"%s\"", what, shown);
  pt_error_hint(error, "use a number, or a name in the guest's /etc/%s", strcmp(what, "user") == 0 ? "passwd" : "group");
  return false;
}

bool
pt_guest_user(int root, const char *who, PtGuestUser *ret, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(who && *who ? who : "0", ":", 2);
  g_auto(GStrv) passwd = read_lines(root, "/etc/passwd");
  g_auto(GStrv) group = read_lines(root, "/etc/group");
  guint32 uid = 0;
  bool number = parse_id(parts[0], &uid);

  *ret = (PtGuestUser){ .groups = g_array_new(FALSE, FALSE, sizeof(guint32)) };
  if (!find_user(passwd, parts[0], uid, number, ret)) {
    if (!number && strcmp(parts[0], "root") != 0) {
      pt_guest_user_clear(ret);
      return missing("user", parts[0], error);
    }
    ret->uid = uid;
  }
  if (!parts[1])
    find_groups(group, ret);
  else if (!parse_id(parts[1], &ret->gid) && !find_group(group, parts[1], &ret->gid)) {
    pt_guest_user_clear(ret);
    return missing("group", parts[1], error);
  }
  if (!ret->home)
    ret->home = g_strdup(ret->uid == 0 ? "/root" : "/");
  if (!ret->shell)
    ret->shell = g_strdup("/bin/sh");
  return true;
}

GHashTable *
pt_guest_user_names(int root)
{
  GHashTable *names = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
  g_auto(GStrv) passwd = read_lines(root, "/etc/passwd");

  for (char **l = passwd; *l; l++) {
    g_auto(GStrv) f = g_strsplit(*l, ":", 4);
    guint32 uid;

    if (g_strv_length(f) >= 3 && parse_id(f[2], &uid) && !g_hash_table_contains(names, GUINT_TO_POINTER(uid)))
      g_hash_table_insert(names, GUINT_TO_POINTER(uid), pt_text_safe(f[0], 64));
  }
  return names;
}
