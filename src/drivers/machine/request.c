// SPDX-License-Identifier: Apache-2.0
/* Requests of ours to the guest's agent. portena-guestctl speaks to it, with the ids of the jail and no right at all; we read only
 * lines that it made, bounded, and believe nothing in them but that they are text. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/guest.h"
#include "base/text.h"
#include "drivers/machine/internal.h"
#include "sys/process.h"

#define ANSWER_TIME (30 * G_USEC_PER_SEC) /* of a guest that shares a busy processor */
#define PORT_TIME (2 * G_USEC_PER_SEC) /* for somebody to be done with one */
#define AGENT_TIME (10 * G_USEC_PER_SEC) /* the same, where there is one agent for all */
#define PORT_LOOK (20 * 1000)
#define OUTPUT_MAX (4u << 20)
#define ANSWERS_MAX 65536
#define PROCESSES_MAX 65536

bool
pt_machine_agent_up(PtContainers *c, const char *id)
{
  g_autofree char *path = pt_jail_path(c, id, PT_MACHINE_AGENT_UP);
  struct stat st;

  return lstat(path, &st) == 0;
}

/* Holds the lock of a port and a connection to it; number 0 is QEMU's own agent. */
static bool
take_port(PtContainers *c, const char *id, int vm, int number, int *ret_lock, int *ret_port)
{
  char below[40] = PT_MACHINE_AGENT, lock[48];
  struct stat st;

  if (number)
    g_snprintf(below, sizeof below, "vm/port.%d", number);
  g_snprintf(lock, sizeof lock, "%s.lock", below);
  *ret_port = -1;
  *ret_lock = openat(vm, lock + strlen("vm/"), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (*ret_lock >= 0 && fstat(*ret_lock, &st) == 0 && S_ISREG(st.st_mode) && flock(*ret_lock, LOCK_EX | LOCK_NB) == 0)
    *ret_port = pt_jail_connect(c, id, below, NULL);
  if (*ret_port >= 0)
    return true;
  if (*ret_lock >= 0)
    close(*ret_lock);
  return false;
}

static bool
free_port(PtContainers *c, const char *id, bool qga, int *ret_lock, int *ret_port, GError **error)
{
  g_autofree char *path = pt_jail_path(c, id, "vm");
  int vm = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  gint64 end = pt_mono() + (qga ? AGENT_TIME : PORT_TIME);
  bool found = false;

  if (vm < 0) {
    PT_SET(error, PT_ERR_NOT_FOUND, "instance %s: does not run", id);
    return false;
  }
  while (!found && pt_mono() < end) {
    for (int i = qga ? 0 : 1; i < (qga ? 1 : PT_GUEST_PORTS) && !found; i++)
      found = take_port(c, id, vm, i, ret_lock, ret_port);
    if (!found)
      g_usleep(PORT_LOOK);
  }
  close(vm);
  if (!found) {
    PT_SET(error, PT_ERR_CONFLICT, "instance %s: %s", id, qga ? "its guest agent is busy" : "all ways into the machine are in use");
    pt_error_hint(error, "%swait for a %s to end", qga ? "" : "close a terminal of it, or ", qga ? "copy" : "command");
  }
  return found;
}

static int
memory_file(const char *text, GError **error)
{
  int fd = memfd_create("request", MFD_CLOEXEC);
  gsize size = strlen(text);

  if (fd >= 0 && write(fd, text, size) == (gssize)size && lseek(fd, 0, SEEK_SET) == 0)
    return fd;
  pt_error_errno(error, errno, "request");
  if (fd >= 0)
    close(fd);
  return -1;
}

static gpointer
reap(gpointer pid)
{
  while (waitpid(GPOINTER_TO_INT(pid), NULL, 0) < 0 && errno == EINTR)
    ;
  return NULL;
}

/* The ids that it takes are those of the jail: whoever owns the tree of it. */
static bool
spawn(PtContainers *c, const char *id, bool qga, const int *fds, guint n_fds, GError **error)
{
  g_autofree char *root = pt_jail_path(c, id, NULL), *program = pt_jail_helper(c, "portena-guestctl"), *number = NULL;
  struct stat st;

  if (stat(root, &st) < 0 || st.st_uid == 0) {
    PT_SET(error, PT_ERR_NOT_FOUND, "instance %s: does not run", id);
    return false;
  }
  number = g_strdup_printf("%u", (guint)st.st_uid);
  const char *const argv[] = { program, "request", qga ? "--qga" : number, qga ? number : NULL, NULL };
  pid_t pid = pt_spawn(&(PtSpawn){ .argv = argv, .fds = fds, .n_fds = n_fds, .outlive = true }, error);
  if (pid < 0)
    return false;
  g_thread_unref(g_thread_new("reap", reap, GINT_TO_POINTER((int)pid)));
  return true;
}

bool
pt_machine_ask(PtContainers *c, const char *id, bool qga, const char *lines, int in, int out, int *ret_answers, GError **error)
{
  int lock, port, answers[2] = { -1, -1 };

  if (!free_port(c, id, qga, &lock, &port, error))
    return false;
  int text = memory_file(lines, error);
  bool ok = text >= 0;
  if (ok && ret_answers && pipe2(answers, O_CLOEXEC) < 0) {
    pt_error_errno(error, errno, "request");
    ok = false;
  }
  const int fds[] = { in, out, -1, port, text, answers[1], lock }; /* the lock lives as long as who speaks on the port */
  ok = ok && spawn(c, id, qga, fds, G_N_ELEMENTS(fds), error);
  close(port);
  close(lock);
  if (text >= 0)
    close(text);
  if (answers[1] >= 0)
    close(answers[1]);
  if (ok && ret_answers)
    *ret_answers = answers[0];
  else if (answers[0] >= 0)
    close(answers[0]);
  return ok;
}

/* Reads what comes into `to`; false at the end of the stream, or of what is allowed. */
static bool
take(int fd, GString *to, gsize max)
{
  char buf[4096];
  ssize_t n = read(fd, buf, sizeof buf);

  if (n < 0)
    return errno == EINTR || errno == EAGAIN;
  g_string_append_len(to, buf, n);
  return n > 0 && to->len <= max;
}

/* Everything up to the end of the request: its output (where `out` >= 0) and its answers. With `first` the first answer is enough. */
static bool
follow(const char *id, int out, int answers, bool first, GString *output, GString *said, GError **error)
{
  gint64 end = pt_mono() + ANSWER_TIME;
  bool more = true;

  while (more || out >= 0) {
    struct pollfd p[] = { { .fd = more ? answers : -1, .events = POLLIN }, { .fd = out, .events = POLLIN } };
    gint64 left = end - pt_mono();

    if (left <= 0 || poll(p, 2, (int)(left / 1000) + 1) == 0) {
      PT_SET(error, PT_ERR_TIMEOUT, "instance %s: the machine does not answer", id);
      return false;
    }
    if (p[0].revents)
      more = take(answers, said, ANSWERS_MAX) && !(first && strstr(said->str, "\nend="));
    if (out >= 0 && p[1].revents && !take(out, output, OUTPUT_MAX))
      out = -1;
  }
  return true;
}

int
pt_machine_connect(PtContainers *c, const char *id, const char *path, GError **error)
{
  g_autofree char *lines = g_strdup_printf("do=connect\npath=%s\n", path);
  int pair[2];

  if (strpbrk(path, "\\\n") || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
    PT_SET(error, PT_ERR_INVALID, "instance %s: a socket of that name is not connected to", id);
    return -1;
  }
  int answers = -1, back = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
  bool ok = back >= 0 && pt_machine_ask(c, id, false, lines, pair[1], back, &answers, error);
  close(pair[1]);
  if (back >= 0)
    close(back);
  g_autoptr(GString) said = g_string_new(NULL);
  ok = ok && follow(id, -1, answers, true, NULL, said, error);
  if (answers >= 0)
    close(answers);
  if (ok && g_str_has_prefix(said->str, "answer=ok\n"))
    return pair[0];
  if (ok)
    PT_SET(error, PT_ERR_NOT_FOUND, "instance %s: nobody listens at %s yet", id, path);
  close(pair[0]);
  return -1;
}

/* ---- processes ---- */

static void
set_field(PtProcess *p, const char *key, const char *value)
{
  gint64 number = g_ascii_strtoll(value, NULL, 10);

  if (strcmp(key, "pid") == 0)
    p->pid = number;
  else if (strcmp(key, "ppid") == 0)
    p->ppid = number;
  else if (strcmp(key, "uid") == 0)
    p->uid = (guint)CLAMP(number, 0, (gint64)G_MAXUINT32);
  else if (strcmp(key, "cpu") == 0)
    p->cpu_usec = MAX(number, 0);
  else if (strcmp(key, "memory") == 0)
    p->memory = MAX(number, 0);
  else if (strcmp(key, "started") == 0)
    p->started = MAX(number, 0);
  else if (strcmp(key, "state") == 0)
    p->state = g_ascii_isalpha(value[0]) ? value[0] : '?';
  else if (strcmp(key, "user") == 0 && !p->user)
    p->user = pt_text_safe(value, 64);
  else if (strcmp(key, "command") == 0 && !p->command)
    p->command = pt_text_safe(value, 4096);
}

GPtrArray *
pt_machine_ps_parse(GString *text)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)pt_process_free);
  char *at = text->str, *end = text->str + text->len;
  const char *key, *value;
  PtProcess *p = NULL;

  while (list->len < PROCESSES_MAX && pt_guest_line(&at, end, &key, &value) == 1) {
    if (strcmp(key, "pid") == 0) {
      p = g_new0(PtProcess, 1);
      p->state = '?';
      g_ptr_array_add(list, p);
    }
    if (p)
      set_field(p, key, value);
  }
  for (guint i = 0; i < list->len; i++) {
    p = g_ptr_array_index(list, i);
    if (!p->user)
      p->user = g_strdup_printf("%u", p->uid);
    if (!p->command)
      p->command = g_strdup("?");
  }
  return list;
}

GPtrArray *
pt_machine_ps(PtContainers *c, const char *id, GError **error)
{
  g_autoptr(GString) said = g_string_new(NULL), output = g_string_new(NULL);
  int out[2], answers = -1;

  if (pipe2(out, O_CLOEXEC) < 0) {
    pt_error_errno(error, errno, "instance %s", id);
    return NULL;
  }
  bool ok = pt_machine_ask(c, id, false, "do=ps\n", -1, out[1], &answers, error);
  close(out[1]);
  ok = ok && follow(id, out[0], answers, false, output, said, error);
  close(out[0]);
  if (answers >= 0)
    close(answers);
  if (ok && g_str_has_prefix(said->str, "answer=ok\n"))
    return pt_machine_ps_parse(output);
  if (ok) {
    PT_SET(error, PT_ERR_UNREACHABLE, "instance %s: the machine's agent does not answer", id);
    pt_error_hint(error, "it may still be starting, or its system is no longer in order:  portena console NAME");
  }
  return NULL;
}
