// SPDX-License-Identifier: Apache-2.0
/* A first process that is not begun but goes on: CRIU makes it from what it saved.
 *
 * CRIU calls a program of our choice at each of its stages and waits for its end. That program is we once more (restore_hook), who
 * connect to ctl.sock, tell the stage and wait for the answer; the monitor passes the two that matter on to portenad. So portenad
 * puts in the network while there is nobody who could miss it, and makes what was saved unusable before anything of it goes on.
 *
 * portenad gives us, beside descriptor 3, both ends of the pty that becomes the console: the first process has the one, and we the
 * other as ever. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "helpers/monitor.h"

#define PTY_FD 4
#define TTY_FD 5
#define WORDS_MAX 128
#define WORDS_BYTES 16384

static const char variable[] = "PORTENA_MONITOR";

static int hook = -1; /* waits for the answer to its stage */
static bool last;     /* which was the last one */

bool
restore_wanted(void)
{
  struct text path;

  return access(in_dir(&path, "restore", "", -1), F_OK) == 0;
}

pid_t
restore_start(int log)
{
  static char words[WORDS_BYTES];
  struct text path, more = { .n = 0 };
  char *argv[WORDS_MAX + 1];
  int n = 0, null = open("/dev/null", O_RDWR | O_CLOEXEC);
  ssize_t size = read_file(in_dir(&path, "restore", "", -1), words, sizeof words);

  if (size <= 0 || size == (ssize_t)sizeof words - 1 || null < 0 || fcntl(PTY_FD, F_SETFD, FD_CLOEXEC) < 0 ||
      fcntl(TTY_FD, F_SETFD, FD_CLOEXEC) < 0)
    return -1;
  for (char *at = words, *end; n < WORDS_MAX && (end = strchr(at, '\n')); at = end + 1) {
    *end = '\0';
    argv[n++] = at;
  }
  argv[n] = NULL;
  put(&more, variable);
  put(&more, "=");
  put(&more, m.dir);
  put(&more, "/ctl.sock");
  console_take(PTY_FD);
  const int fds[] = { null, null, log, TTY_FD };
  pid_t pid = n == 0 || n == WORDS_MAX || more.full ? -1 : program_start(argv, fds, 4, more.at);
  close(null);
  close(TTY_FD);
  return pid;
}

bool
restore_stage(int fd, const struct pt_wire *head)
{
  if (hook >= 0 || last || (head->b != PT_WIRE_MADE && head->b != PT_WIRE_WHOLE))
    return false;
  hook = fd;
  last = head->b == PT_WIRE_WHOLE;
  return true;
}

bool
restore_go(void)
{
  if (hook < 0)
    return false;
  wire_send(hook, PT_WIRE_OK, 0, 0, NULL, NULL, 0);
  hook = -1; /* its source closes it when it has gone */
  return last;
}

void
restore_gone(int fd)
{
  if (hook == fd)
    hook = -1;
}

void
restore_end(void)
{
  if (hook >= 0)
    shutdown(hook, SHUT_RDWR);
  hook = -1;
}

int
restore_hook(const char *stage)
{
  const char *path = getenv(variable), *pid = getenv("CRTOOLS_INIT_PID");
  struct sockaddr_un to = { .sun_family = AF_UNIX };
  uint32_t which = strcmp(stage, "setup-namespaces") == 0 ? PT_WIRE_MADE : strcmp(stage, "post-restore") == 0 ? PT_WIRE_WHOLE : 0;
  char text[PT_WIRE_TEXT_MAX + 1];
  int fds[PT_WIRE_FDS_MAX], n_fds = 0;
  struct pt_wire head;

  if (which == 0)
    return 0;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (!path || !pid || strlen(path) >= sizeof to.sun_path || fd < 0)
    return 1;
  memcpy(to.sun_path, path, strlen(path));
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ||
      !wire_send(fd, PT_WIRE_STAGE, (uint32_t)strtoul(pid, NULL, 10), which, NULL, NULL, 0))
    return 1;
  struct pollfd answer = { .fd = fd, .events = POLLIN };
  while (poll(&answer, 1, -1) < 0 && errno == EINTR)
    ;
  return wire_recv(fd, &head, text, fds, &n_fds) && head.type == PT_WIRE_OK ? 0 : 1;
}
