// SPDX-License-Identifier: Apache-2.0
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/wireio.h"
#include "sys/path.h"
#include "sys/process.h"

#define ROOTFS_TAR "/var/tmp/portena-test-guest.tar" /* made once, kept between runs */
#define WAIT (120 * G_USEC_PER_SEC)

static gint64 next_ids = 0x30000000;

bool
wait_for(bool (*condition)(void *data), void *data)
{
  for (gint64 end = pt_mono() + WAIT; pt_mono() < end; g_usleep(2000)) {
    if (condition(data))
      return true;
  }
  return false;
}

static void
must_run(const char *const *argv)
{
  g_autoptr(GError) error = NULL;

  pt_run(argv, &(PtRunOptions){ .timeout = 600 * G_USEC_PER_SEC }, NULL, &error);
  g_assert_no_error(error);
}

/* The tarball, made by whoever comes first. */
static const char *
rootfs_tar(void)
{
  const char *given = g_getenv("PORTENA_TEST_ROOTFS");
  g_autofree char *temp = g_strdup_printf(ROOTFS_TAR ".%d.tar", (int)getpid());

  if (given)
    return given;
  if (access(ROOTFS_TAR, R_OK) == 0)
    return ROOTFS_TAR;
  must_run((const char *const[]){ "mmdebstrap", "--mode=unshare", "--variant=minbase", "--include=systemd,systemd-sysv,dbus", "bookworm",
                                  temp, NULL });
  g_assert_cmpint(rename(temp, ROOTFS_TAR), ==, 0);
  return ROOTFS_TAR;
}

bool
bed_init(Bed *bed)
{
  g_autofree char *tag = pt_random_hex(3);

  *bed = (Bed){ 0 };
  if (getuid() != 0) {
    g_test_skip("needs root");
    return false;
  }
  bed->base = g_strdup_printf("/var/tmp/pt-t%s", tag);
  bed->state = g_build_filename(bed->base, "state", NULL);
  bed->run = g_build_filename(bed->base, "run", NULL);
  bed->rootfs = g_build_filename(bed->base, "rootfs", NULL);
  bed->cgroup = g_strdup_printf("pt-t%s", tag);
  g_assert_cmpint(g_mkdir_with_parents(bed->rootfs, 0755), ==, 0);
  must_run((const char *const[]){ "tar", "-C", bed->rootfs, "-xf", rootfs_tar(), "--exclude=./dev/*", NULL });
  return true;
}

static bool
removed(void *dir)
{
  return g_rmdir(dir) == 0;
}

/* Our groups in every hierarchy, empty by now. */
static void
remove_groups(const char *name)
{
  g_autoptr(GDir) d = g_dir_open("/sys/fs/cgroup", 0, NULL);
  g_autofree char *top = g_build_filename("/sys/fs/cgroup", name, NULL);

  g_rmdir(top);
  for (const char *h; d && (h = g_dir_read_name(d));) {
    g_autofree char *dir = g_build_filename("/sys/fs/cgroup", h, name, NULL);
    if (g_file_test(dir, G_FILE_TEST_IS_DIR))
      g_assert_true(wait_for(removed, dir));
  }
}

/* Processes that have `text` in their arguments. */
static guint
processes_with(const char *text)
{
  g_autoptr(GDir) d = g_dir_open("/proc", 0, NULL);
  guint n = 0;

  for (const char *pid; (pid = g_dir_read_name(d));) {
    g_autofree char *path = g_build_filename("/proc", pid, "cmdline", NULL), *line = NULL;
    gsize size = 0;

    if (!g_ascii_isdigit(*pid) || atoi(pid) == getpid() || !g_file_get_contents(path, &line, &size, NULL))
      continue;
    n += memmem(line, size, text, strlen(text)) != NULL;
  }
  return n;
}

static bool
no_processes(void *data)
{
  return processes_with(data) == 0;
}

static void
assert_empty(const char *dir)
{
  g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
  const char *name = d ? g_dir_read_name(d) : NULL;

  if (name)
    g_error("%s: %s is left", dir, name);
}

void
bed_clear(Bed *bed)
{
  static const char *const dirs[] = { "run/monitor", "run/mnt/root", "run/mnt/half", "run/crun", "run/probe", "state/instances" };
  g_autofree char *mounts = NULL;
  g_autoptr(GError) error = NULL;

  if (!bed->base)
    return;
  g_assert_true(wait_for(no_processes, bed->base));
  g_assert_true(g_file_get_contents("/proc/self/mounts", &mounts, NULL, &error));
  g_assert_null(strstr(mounts, bed->base));
  for (guint i = 0; i < G_N_ELEMENTS(dirs); i++) {
    g_autofree char *dir = g_build_filename(bed->base, dirs[i], NULL);
    assert_empty(dir);
  }
  remove_groups(bed->cgroup);
  int tmp = open("/var/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_autofree char *name = g_path_get_basename(bed->base);
  g_assert_true(pt_path_remove(tmp, name, true, &error));
  close(tmp);
  g_free(bed->base);
  g_free(bed->state);
  g_free(bed->run);
  g_free(bed->rootfs);
  g_free(bed->cgroup);
}

static int
daemon_status(Bed *bed, void (*fn)(Bed *bed, void *data), void *data)
{
  int status = 0;

  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    g_autoptr(GError) error = NULL;
    bool adopted;

    if (!pt_host_enter_mounts(bed->run, &adopted, &error))
      g_error("%s", error->message);
    bed->host = pt_host_new(bed->state, bed->run, g_getenv("PORTENA_LIBEXEC"), "test", "none", bed->cgroup, &error);
    g_assert_no_error(error);
    bed->c = pt_containers_open(bed->host, &error);
    g_assert_no_error(error);
    fn(bed, data);
    pt_containers_close(bed->c);
    pt_host_free(bed->host);
    _exit(0);
  }
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  return status;
}

/* A test that failed leaves no guest running; its files are kept to be looked at. */
static void
kill_guests(const Bed *bed)
{
  static const char *const trees[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

  for (guint i = 0; i < G_N_ELEMENTS(trees); i++) {
    g_autofree char *ours = g_build_filename(trees[i], bed->cgroup, NULL);
    g_autoptr(GDir) d = g_dir_open(ours, 0, NULL);

    for (const char *id; d && (id = g_dir_read_name(d));) {
      g_autofree char *path = g_build_filename(ours, id, "cgroup.kill", NULL);
      int fd = open(path, O_WRONLY | O_CLOEXEC);

      if (fd >= 0) {
        g_assert_cmpint(write(fd, "1", 1), ==, 1);
        close(fd);
      }
    }
  }
}

void
as_daemon(Bed *bed, void (*fn)(Bed *bed, void *data), void *data)
{
  int status = daemon_status(bed, fn, data);

  if (status != 0)
    kill_guests(bed);
  g_assert_cmpint(status, ==, 0);
}

void
as_killed_daemon(Bed *bed, void (*fn)(Bed *bed, void *data), void *data)
{
  int status = daemon_status(bed, fn, data);

  g_assert_true(WIFSIGNALED(status));
  g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
}

Guest *
guest_new(Bed *bed, const char *name, const char *const *command)
{
  Guest *g = g_new0(Guest, 1);

  g->spec = pt_record_new(&pt_instance_type);
  g->image = pt_record_new(&pt_image_type);
  g->spec->id = pt_id_new();
  g->spec->name = g_strdup(name);
  g->spec->space = g_strdup("home");
  g->spec->init = command ? PT_INIT_APP : PT_INIT_SYSTEM;
  g->spec->command = g_strdupv((char **)command);
  g->spec->address = g_strdup("10.83.0.9");
  g->volume = g_strdup_printf("%s/%s.volume", bed->base, name);
  g_assert_cmpint(g_mkdir_with_parents(g->volume, 0755), ==, 0);
  g->start = (PtContainerStart){ .spec = g->spec, .image = g->image, .lower = bed->rootfs, .volume = g->volume, .idbase = next_ids,
                                 .dns = "10.83.0.1", .domain = "home.internal" };
  next_ids += 65536;
  return g;
}

void
guest_free(Guest *g)
{
  pt_record_free(&pt_instance_type, g->spec);
  pt_record_free(&pt_image_type, g->image);
  g_free(g->volume);
  g_free(g);
}

typedef struct Ready {
  Bed *bed;
  Guest *g;
} Ready;

static bool
is_ready(void *data)
{
  Ready *r = data;

  return pt_container_ready(r->bed->c, r->g->spec->id, r->g->spec);
}

void
guest_start(Bed *bed, Guest *g)
{
  g_autoptr(GError) error = NULL;

  pt_container_start(bed->c, &g->start, &error);
  g_assert_no_error(error);
  g_assert_true(wait_for(is_ready, &(Ready){ bed, g }));
}

void
guest_stop(Bed *bed, Guest *g)
{
  g_autoptr(GError) error = NULL;

  pt_container_stop(bed->c, g->spec->id, g->spec, g->image, 0, NULL, &error);
  g_assert_no_error(error);
  pt_container_clear(bed->c, g->spec->id, true, &error);
  g_assert_no_error(error);
}

void
said_clear(Said *s)
{
  if (s->out)
    g_string_free(s->out, TRUE);
  if (s->err)
    g_string_free(s->err, TRUE);
}

/* Feeds and drains the command's pipes until both outputs have ended. */
static void
pump(int fds[3], Said *said, const char *input, gsize size)
{
  GString *const to[] = { said->out, said->err };

  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  while (fds[1] >= 0 || fds[2] >= 0) {
    struct pollfd p[3] = { { .fd = fds[0], .events = POLLOUT }, { .fd = fds[1], .events = POLLIN }, { .fd = fds[2], .events = POLLIN } };
    char buf[65536];

    g_assert_cmpint(poll(p, 3, 120000), >, 0);
    if (p[0].revents) {
      ssize_t n = size ? write(fds[0], input, size) : 0;

      if (n > 0) {
        input += n;
        size -= (gsize)n;
      }
      if (size == 0 || (n < 0 && errno != EAGAIN)) {
        close(fds[0]);
        fds[0] = -1;
      }
    }
    for (int i = 1; i < 3; i++) {
      ssize_t n = p[i].revents ? read(fds[i], buf, sizeof buf) : 1;

      if (p[i].revents && n > 0)
        g_string_append_len(to[i - 1], buf, n);
      if (n <= 0) {
        close(fds[i]);
        fds[i] = -1;
      }
    }
  }
  if (fds[0] >= 0)
    close(fds[0]);
}

static void
drain_terminal(int fd, Said *said)
{
  char buf[4096];
  ssize_t n;

  while ((n = read(fd, buf, sizeof buf)) > 0)
    g_string_append_len(said->out, buf, n);
  close(fd);
}

Said
guest_exec(Bed *bed, Guest *g, const PtExec *exec, const char *input, gsize input_size)
{
  Said said = { .out = g_string_new(NULL), .err = g_string_new(NULL), .code = -1, .sig = -1, .error = -1 };
  g_autoptr(GError) error = NULL;
  int sock = pt_container_exec(bed->c, g->spec->id, g->spec, g->image, exec, &error);

  g_assert_no_error(error);
  for (;;) {
    g_auto(PtWireMsg) m = { 0 };
    int n = pt_wire_recv(sock, &m, &error);

    g_assert_no_error(error);
    if (n == 0)
      break;
    if (m.head.type == PT_WIRE_STREAM && m.head.a & PT_WIRE_TTY) {
      drain_terminal(pt_wire_take_fd(&m, 0), &said);
    } else if (m.head.type == PT_WIRE_STREAM) {
      int fds[3] = { pt_wire_take_fd(&m, 0), pt_wire_take_fd(&m, 1), pt_wire_take_fd(&m, 2) };
      pump(fds, &said, input, input_size);
    } else if (m.head.type == PT_WIRE_EXIT) {
      said.code = (int)m.head.a;
      said.sig = (int)m.head.b;
    } else if (m.head.type == PT_WIRE_ERROR) {
      said.error = (int)m.head.a;
      g_strlcpy(said.text, m.text, sizeof said.text);
    }
  }
  close(sock);
  return said;
}

char *
guest_sh(Bed *bed, Guest *g, const char *script)
{
  char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
  g_auto(Said) said = guest_exec(bed, g, &(PtExec){ .command = argv }, NULL, 0);

  if (said.code != 0)
    g_error("'%s' in the guest: status %d signal %d error %d %s\n%s", script, said.code, said.sig, said.error, said.text, said.err->str);
  return g_strndup(said.out->str, said.out->len);
}

void
guest_do(Bed *bed, Guest *g, const char *script)
{
  g_free(guest_sh(bed, g, script));
}

void
read_until(int fd, GString *into, const char *what)
{
  char buf[4096];

  while (!strstr(into->str, what)) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ssize_t n = poll(&p, 1, 120000) > 0 ? read(fd, buf, sizeof buf) : -1;

    if (n <= 0)
      g_error("'%s' did not come; this did: %s", what, into->str);
    g_string_append_len(into, buf, n);
  }
}
