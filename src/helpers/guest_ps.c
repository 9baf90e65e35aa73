// SPDX-License-Identifier: Apache-2.0
/* The guest's processes, out of its own /proc; threads of the kernel are nobody's and left out. */
#include "helpers/guest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KERNEL_THREAD 0x00200000
#define COMMAND_MAX 1024
#define PROCESSES_MAX 50000

static long long
boot_time(void)
{
  static char text[256 * 1024];
  const char *at = read_whole("/proc/stat", text, sizeof text) > 0 ? strstr(text, "\nbtime ") : NULL;

  return at ? strtoll(at + 7, NULL, 10) * 1000000 : 0;
}

/* As ps(1) has it: the command line, or where there is none the name in brackets. */
static void
command_of(const char *pid, const char *name, char command[COMMAND_MAX])
{
  char path[64];

  snprintf(path, sizeof path, "/proc/%.16s/cmdline", pid);
  ssize_t n = read_whole(path, command, COMMAND_MAX);
  while (n > 0 && !command[n - 1])
    n--;
  for (ssize_t i = 0; i < n; i++)
    if (!command[i])
      command[i] = ' ';
  if (n <= 0)
    snprintf(command, COMMAND_MAX, "[%s]", name);
  else
    command[n] = '\0';
}

static void
look_at(struct lines *out, const char *pid, long long boot, long tick, long page)
{
  char path[64], text[1024], name[64] = "", user[256], command[COMMAND_MAX], state;
  unsigned long flags, utime, stime;
  unsigned long long start;
  long ppid, rss;
  struct stat st;

  snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
  if (read_whole(path, text, sizeof text) <= 0 || stat(path, &st) < 0)
    return; /* ended meanwhile */
  const char *open = strchr(text, '('), *close = strrchr(text, ')');
  if (!open || !close || sscanf(close + 1,
                                " %c %ld %*d %*d %*d %*d %lu %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu %*u %ld",
                                &state, &ppid, &flags, &utime, &stime, &start, &rss) != 7 || flags & KERNEL_THREAD)
    return;
  snprintf(name, sizeof name, "%.*s", (int)(close - open - 1), open + 1);
  command_of(pid, name, command);
  user_name(st.st_uid, user, sizeof user);
  add(out, "pid", pid);
  add_number(out, "ppid", ppid);
  add_number(out, "uid", st.st_uid);
  add(out, "user", user);
  add(out, "command", command);
  add_number(out, "cpu", (long long)(utime + stime) * 1000000 / tick);
  add_number(out, "memory", (long long)rss * page);
  add_number(out, "started", boot + (long long)start * 1000000 / tick);
  const char letter[2] = { state, '\0' };
  add(out, "state", letter);
}

void
verb_ps(const struct request *r)
{
  static struct lines out;
  DIR *dir = opendir("/proc");
  const struct dirent *e;
  long long boot = boot_time();
  long tick = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
  int n = 0;

  (void)r;
  if (!dir)
    answer_errno(errno, "/proc");
  while ((e = readdir(dir)) && n < PROCESSES_MAX) {
    if (e->d_name[0] < '1' || e->d_name[0] > '9')
      continue;
    look_at(&out, e->d_name, boot, tick, page);
    n++;
  }
  lines_flush(&out);
  answer_ok(false, NULL, 0, -1);
  _exit(0);
}
