// SPDX-License-Identifier: Apache-2.0
/* Users of the guest, out of its own passwd and group. By hand: what libc would load for it belongs to another system. */
#include "helpers/guest.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX (256 * 1024)
#define FIELDS 7
#define ENV_MAX (LIST_MAX + 8)

/* The next line's fields at *at, ended in their place; how many there are, -1 = the file is over. */
static int
next(char **at, char *field[FIELDS])
{
  char *line = *at;
  int n = 0;

  if (!*line)
    return -1;
  char *end = line + strcspn(line, "\n");
  *at = *end ? end + 1 : end;
  *end = '\0';
  while (n < FIELDS) {
    field[n++] = line;
    line = strchr(line, ':');
    if (!line)
      break;
    *line++ = '\0';
  }
  return n;
}

static bool
copy(char *to, size_t size, const char *from)
{
  return (size_t)snprintf(to, size, "%s", from) < size;
}

static bool
find_passwd(const char *name, long long uid, struct user *u)
{
  static char text[FILE_MAX];
  char *at = text, *f[FIELDS];
  int n;

  if (read_whole("/etc/passwd", text, sizeof text) < 0)
    return false;
  while ((n = next(&at, f)) >= 0) {
    if (n < FIELDS || (uid >= 0 ? number_of(f[2], 10, INT32_MAX, -1) != uid : strcmp(f[0], name) != 0))
      continue;
    long long id = number_of(f[2], 10, INT32_MAX, -1), gid = number_of(f[3], 10, INT32_MAX, -1);
    if (id < 0 || gid < 0)
      continue;
    u->uid = (uid_t)id;
    u->gid = (gid_t)gid;
    copy(u->name, sizeof u->name, f[0]);
    if (*f[5] == '/')
      copy(u->home, sizeof u->home, f[5]);
    if (*f[6] == '/')
      copy(u->shell, sizeof u->shell, f[6]);
    return true;
  }
  return false;
}

static bool
is_member(char *members, const char *name)
{
  char *save = NULL;

  for (char *m = strtok_r(members, ",", &save); m; m = strtok_r(NULL, ",", &save))
    if (strcmp(m, name) == 0)
      return true;
  return false;
}

/* The group's number; or, `name` NULL, all groups that the user is a member of. */
static long long
find_groups(const char *name, struct user *u)
{
  static char text[FILE_MAX];
  char *at = text, *f[FIELDS];
  int n;

  if (read_whole("/etc/group", text, sizeof text) < 0)
    return -1;
  while ((n = next(&at, f)) >= 0) {
    long long gid = n >= 3 ? number_of(f[2], 10, INT32_MAX, -1) : -1;

    if (gid < 0)
      continue;
    if (name && strcmp(f[0], name) == 0)
      return gid;
    if (!name && n >= 4 && u->name[0] && (gid_t)gid != u->gid && u->n_groups < 64 && is_member(f[3], u->name))
      u->groups[u->n_groups++] = (gid_t)gid;
  }
  return -1;
}

const char *
user_find(const char *who, struct user *u)
{
  char name[256];

  memset(u, 0, sizeof *u);
  if (!who || !*who)
    who = "0";
  size_t n = strcspn(who, ":");
  const char *group = who[n] ? who + n + 1 : NULL;
  snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), who);
  long long uid = number_of(name, 10, INT32_MAX, -1);
  if (!find_passwd(name, uid, u)) {
    if (uid < 0 && strcmp(name, "root") != 0)
      return "user";
    u->uid = uid < 0 ? 0 : (uid_t)uid;
  }
  if (group) {
    long long gid = number_of(group, 10, INT32_MAX, -1);
    if (gid < 0)
      gid = find_groups(group, u);
    if (gid < 0)
      return "group";
    u->gid = (gid_t)gid;
  } else {
    find_groups(NULL, u);
  }
  if (!u->home[0])
    copy(u->home, sizeof u->home, u->uid == 0 ? "/root" : "/");
  if (!u->shell[0])
    copy(u->shell, sizeof u->shell, "/bin/sh");
  return NULL;
}

void
user_name(uid_t uid, char *name, size_t size)
{
  static char text[FILE_MAX];
  static struct { uid_t uid; const char *name; } known[1024];
  static int n_known = -1;

  if (n_known < 0) {
    char *at = text, *f[FIELDS];
    int n;

    n_known = 0;
    if (read_whole("/etc/passwd", text, sizeof text) < 0)
      text[0] = '\0';
    while ((n = next(&at, f)) >= 0 && n_known < 1024) {
      long long id = n >= 3 ? number_of(f[2], 10, INT32_MAX, -1) : -1;
      if (id < 0)
        continue;
      known[n_known].uid = (uid_t)id;
      known[n_known++].name = f[0];
    }
  }
  for (int i = 0; i < n_known; i++) {
    if (known[i].uid == uid) {
      copy(name, size, known[i].name);
      return;
    }
  }
  snprintf(name, size, "%u", uid);
}

bool
user_become(const struct user *u)
{
  return setgroups((size_t)u->n_groups, u->groups) == 0 && setgid(u->gid) == 0 && setuid(u->uid) == 0;
}

char **
user_env(const struct list *env, const struct user *u)
{
  static char *all[ENV_MAX + 1], text[6][1100];
  const char *const wanted[][2] = { { "PATH", GUEST_PATH }, { "HOME", u->home }, { "USER", u->name }, { "LOGNAME", u->name },
                                    { "SHELL", u->shell }, { "TERM", "xterm-256color" } };
  int n = 0;

  for (unsigned i = 0; i < env->n; i++)
    if (strchr(env->at[i], '='))
      all[n++] = (char *)(uintptr_t)env->at[i];
  for (int w = 0; w < 6; w++) {
    size_t size = strlen(wanted[w][0]);
    bool there = !wanted[w][1][0];

    for (int i = 0; i < n && !there; i++)
      there = strncmp(all[i], wanted[w][0], size) == 0 && all[i][size] == '=';
    if (there)
      continue;
    snprintf(text[w], sizeof text[w], "%s=%s", wanted[w][0], wanted[w][1]);
    all[n++] = text[w];
  }
  all[n] = NULL;
  return all;
}
