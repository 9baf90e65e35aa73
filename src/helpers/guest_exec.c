// SPDX-License-Identifier: Apache-2.0
/* What runs in the guest for somebody outside: commands, and connections to its sockets. */
#include "helpers/guest.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_SECONDS 5

void
verb_exec(const struct request *r)
{
  static struct user u;
  struct stat st;
  const char *missing = user_find(r->user, &u);
  char *const login[] = { u.shell, (char *)(uintptr_t)"-l", NULL };

  if (missing)
    answer_error(CODE_NOT_FOUND, "the guest has no %s \"%.64s\"", missing, r->user);
  write_text("/proc/self/oom_score_adj", "0");
  environ = user_env(&r->env, &u);
  if (r->tty && fchown(0, u.uid, (gid_t)-1) < 0)
    answer_errno(errno, "terminal");
  if (!user_become(&u))
    answer_errno(errno, "user");
  const char *cwd = r->cwd && *r->cwd ? r->cwd : stat(u.home, &st) == 0 && S_ISDIR(st.st_mode) ? u.home : "/";
  if (chdir(cwd) < 0)
    answer_errno(errno, cwd);
  if (r->arg.n)
    execvp(r->arg.at[0], (char *const *)(uintptr_t)r->arg.at);
  else
    execv(u.shell, login);
  answer_errno(errno, r->arg.n ? r->arg.at[0] : u.shell);
}

void
verb_connect(const struct request *r)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  const struct timeval wait = { .tv_sec = CONNECT_SECONDS }, none = { 0 };
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (!r->path || strlen(r->path) >= sizeof a.sun_path)
    answer_errno(ENAMETOOLONG, r->path ? r->path : "path");
  memcpy(a.sun_path, r->path, strlen(r->path) + 1);
  /* A listener that accepts nothing lets a connection wait once its queue is full. */
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0 ||
      connect(fd, (struct sockaddr *)&a, sizeof a) < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none) < 0)
    answer_errno(errno, r->path);
  answer_ok(true, NULL, 0, fd);
  _exit(0);
}
