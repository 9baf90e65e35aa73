// SPDX-License-Identifier: Apache-2.0
/* The container driver with the real runtime: life, streams, limits, the death of the daemon. Root only. */
#include "guest.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wireio.h"
#include "sys/cgroup.h"

static PtContainerState
state_of(Bed *bed, const Guest *g)
{
  g_autoptr(GError) error = NULL;
  PtContainerState state;

  pt_container_state(bed->c, g->spec->id, &state, &error);
  g_assert_no_error(error);
  return state;
}

static bool
ended(void *data)
{
  void **two = data;

  return !state_of(two[0], two[1]).running;
}

static Said
run(Bed *bed, Guest *g, const char *script)
{
  char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };

  return guest_exec(bed, g, &(PtExec){ .command = argv }, NULL, 0);
}

static bool
on_plug(pid_t pid, void *data, GError **error)
{
  char path[64];
  struct stat theirs, ours;

  (void)error;
  g_snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
  g_assert_cmpint(stat(path, &theirs), ==, 0);
  g_assert_cmpint(stat("/proc/self/ns/net", &ours), ==, 0);
  g_assert_true(theirs.st_ino != ours.st_ino);
  *(guint *)data += 1;
  return true;
}

/* ---- a system guest, from start to nothing ---- */

static void
check_inside(Bed *bed, Guest *g)
{
  g_autofree char *state = guest_sh(bed, g, "systemctl is-system-running");
  g_autofree char *names = guest_sh(bed, g, "hostname; id -u; cat /etc/hostname; stat -c %u:%g /etc/hostname /root");
  g_autofree char *machine = guest_sh(bed, g, "cat /etc/machine-id");
  g_autofree char *hosts = guest_sh(bed, g, "cat /etc/hosts /etc/resolv.conf");
  guest_do(bed, g, "echo mine > /root/file; mkdir -p /srv/d; mv /usr/share/doc /usr/share/doc2; rm /etc/issue");
  g_autofree char *file = g_build_filename(g->volume, "upper/root/file", NULL);
  struct stat st;

  g_assert_cmpstr(state, ==, "running\n");
  g_assert_cmpstr(names, ==, "studio\n0\nstudio\n0:0\n0:0\n");
  g_assert_cmpuint(strlen(machine), ==, 33);
  g_assert_nonnull(strstr(hosts, "10.83.0.9 studio.home.internal studio\n"));
  g_assert_nonnull(strstr(hosts, "nameserver 10.83.0.1\nsearch home.internal\n"));
  g_assert_cmpint(stat(file, &st), ==, 0); /* on disk, root is root: a machine can use the same volume */
  g_assert_cmpuint(st.st_uid, ==, 0);
}

static void
check_exec(Bed *bed, Guest *g)
{
  g_auto(Said) both = run(bed, g, "echo out; echo err >&2; exit 7");
  g_assert_cmpstr(both.out->str, ==, "out\n");
  g_assert_cmpstr(both.err->str, ==, "err\n");
  g_assert_cmpint(both.code, ==, 7);
  g_auto(Said) killed = run(bed, g, "kill -TERM $$");
  g_assert_cmpint(killed.sig, ==, SIGTERM);

  char *cat[] = { (char *)"cat", NULL };
  gsize size = 300000;
  g_autofree char *data = g_malloc(size);
  pt_random(data, size);
  g_auto(Said) echoed = guest_exec(bed, g, &(PtExec){ .command = cat }, data, size);
  g_assert_cmpuint(echoed.out->len, ==, size);
  g_assert_cmpint(memcmp(echoed.out->str, data, size), ==, 0);

  char *absent[] = { (char *)"no-such-command", NULL };
  g_auto(Said) missing = guest_exec(bed, g, &(PtExec){ .command = absent }, NULL, 0);
  g_assert_cmpint(missing.error, ==, PT_ERR_NOT_FOUND);
  g_assert_nonnull(strstr(missing.text, "no-such-command"));

  char *env[] = { (char *)"sh", (char *)"-c", (char *)"echo $A $PWD; id -un; ls /proc/self/fd", NULL };
  g_autoptr(GHashTable) vars = g_hash_table_new(g_str_hash, g_str_equal);
  g_hash_table_insert(vars, (char *)"A", (char *)"b c");
  g_auto(Said) as = guest_exec(bed, g, &(PtExec){ .command = env, .env = vars, .cwd = "/tmp", .user = "games" }, NULL, 0);
  g_assert_cmpstr(as.out->str, ==, "b c /tmp\ngames\n0\n1\n2\n3\n"); /* 3 is that of ls itself */

  g_autoptr(GError) error = NULL;
  g_assert_cmpint(pt_container_exec(bed->c, g->spec->id, g->spec, g->image, &(PtExec){ .command = cat, .user = "nobody-here" }, &error), <, 0);
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
}

static void
check_terminal(Bed *bed, Guest *g)
{
  static const char script[] = /* crun gives the terminal its size while the command begins already */
    "while [ \"$(stty size)\" = '0 0' ]; do :; done; stty size; while [ \"$(stty size)\" != '20 90' ]; do sleep 0.02; done; stty size;"
    "read y; exit 3";
  char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
  g_autoptr(GError) error = NULL;
  g_autoptr(GString) text = g_string_new(NULL);
  g_auto(PtWireMsg) m = { 0 };
  int sock = pt_container_exec(bed->c, g->spec->id, g->spec, g->image, &(PtExec){ .command = argv, .tty = true, .cols = 101, .rows = 33 },
                               &error);

  g_assert_no_error(error);
  g_assert_cmpint(pt_wire_recv(sock, &m, &error), ==, 1);
  g_assert_cmpuint(m.head.type, ==, PT_WIRE_STREAM);
  g_assert_cmpuint(m.head.a, ==, PT_WIRE_TTY);
  int tty = pt_wire_take_fd(&m, 0);
  read_until(tty, text, "33 101");
  g_assert_true(pt_wire_send(sock, PT_WIRE_RESIZE, 90, 20, NULL, NULL, 0, &error));
  read_until(tty, text, "20 90");
  g_assert_cmpint(write(tty, "\n", 1), ==, 1);
  g_assert_cmpint(pt_wire_recv(sock, &m, &error), ==, 1);
  g_assert_cmpuint(m.head.type, ==, PT_WIRE_EXIT);
  g_assert_cmpuint(m.head.a, ==, 3);
  close(tty);
  close(sock);
}

typedef struct Count {
  Bed *bed;
  Guest *g;
  const char *command;
  guint want;
} Count;

static bool
counts(void *data)
{
  Count *k = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) list = pt_container_processes(k->bed->c, k->g->spec->id, &error);
  guint n = 0;

  g_assert_no_error(error);
  for (guint i = 0; i < list->len; i++)
    n += strcmp(((PtProcess *)g_ptr_array_index(list, i))->command, k->command) == 0;
  return n == k->want;
}

/* A signal reaches the command, and a client that goes away takes it along. */
static void
check_hang_up(Bed *bed, Guest *g)
{
  char *argv[] = { (char *)"sleep", (char *)"4321", NULL };
  g_autoptr(GError) error = NULL;

  for (int i = 0; i < 2; i++) {
    g_auto(PtWireMsg) m = { 0 };
    int sock = pt_container_exec(bed->c, g->spec->id, g->spec, g->image, &(PtExec){ .command = argv, .tty = i == 1 }, &error);

    g_assert_no_error(error);
    g_assert_cmpint(pt_wire_recv(sock, &m, &error), ==, 1);
    g_assert_true(wait_for(counts, &(Count){ bed, g, "sleep 4321", 1 }));
    if (i == 0) {
      g_assert_true(pt_wire_send(sock, PT_WIRE_SIGNAL, SIGUSR1, 0, NULL, NULL, 0, &error));
      g_assert_cmpint(pt_wire_recv(sock, &m, &error), ==, 1);
      g_assert_cmpuint(m.head.type, ==, PT_WIRE_EXIT);
      g_assert_cmpuint(m.head.b, ==, SIGUSR1);
    }
    pt_wire_msg_clear(&m);
    close(sock);
    g_assert_true(wait_for(counts, &(Count){ bed, g, "sleep 4321", 0 }));
  }
}

static int
attach(Bed *bed, Guest *g, bool history, int *ret_control)
{
  g_autoptr(GError) error = NULL;
  g_auto(PtWireMsg) m = { 0 };

  *ret_control = pt_container_console(bed->c, g->spec->id, history, &error);
  g_assert_no_error(error);
  g_assert_cmpint(pt_wire_recv(*ret_control, &m, &error), ==, 1);
  g_assert_cmpuint(m.head.type, ==, PT_WIRE_STREAM);
  return pt_wire_take_fd(&m, 0);
}

static void
check_console(Bed *bed, Guest *g)
{
  int control[3], fd[3];
  g_autoptr(GString) a = g_string_new(NULL), b = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  gsize size;

  fd[0] = attach(bed, g, true, &control[0]);
  fd[1] = attach(bed, g, false, &control[1]);
  fd[2] = attach(bed, g, false, &control[2]); /* never read: it must hold nobody up */
  read_until(fd[0], a, "multi-user.target");
  /* More than any buffer holds, then a line. */
  guest_do(bed, g, "head -c 3000000 /dev/zero | tr '\\0' x | fold > /dev/console; echo the-end > /dev/console");
  read_until(fd[1], b, "the-end");
  g_autofree char *log = pt_container_logs(bed->c, g->spec->id, 100, &size, &error);
  g_assert_nonnull(strstr(log, "the-end"));
  g_assert_cmpuint(size, ==, 100);
  for (int i = 0; i < 3; i++) {
    close(fd[i]);
    close(control[i]);
  }
}

static void
check_pause(Bed *bed, Guest *g)
{
  g_autoptr(GError) error = NULL;
  char *argv[] = { (char *)"true", NULL };

  g_assert_true(pt_container_pause(bed->c, g->spec->id, true, &error));
  g_assert_true(state_of(bed, g).paused);
  g_assert_cmpint(pt_container_exec(bed->c, g->spec->id, g->spec, g->image, &(PtExec){ .command = argv }, &error), <, 0);
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  g_clear_error(&error);
  g_assert_true(pt_container_pause(bed->c, g->spec->id, false, &error));
  g_assert_false(state_of(bed, g).paused);
  g_autofree char *alive = guest_sh(bed, g, "echo alive");
  g_assert_cmpstr(alive, ==, "alive\n");
}

static void
check_limits(Bed *bed, Guest *g)
{
  g_autoptr(GError) error = NULL;
  PtContainerStats before, after;

  g->spec->pids = 40;
  g->spec->cpu = 500;
  g_assert_true(pt_container_limits(bed->c, g->spec->id, g->spec, &error));
  g_auto(Said) forks = run(bed, g, "for i in $(seq 60); do sleep 5 & done");
  g_assert_cmpint(forks.code, !=, 0);
  g_assert_true(wait_for(counts, &(Count){ bed, g, "sleep 5", 0 }));
  g->spec->pids = 0;
  g_assert_true(pt_container_limits(bed->c, g->spec->id, g->spec, &error));
  g_assert_true(pt_container_stats(bed->c, g->spec->id, &before, &error));
  gint64 begin = pt_mono();
  guest_do(bed, g, "timeout 1 sh -c 'while :; do :; done' & timeout 1 sh -c 'while :; do :; done'; wait");
  gint64 passed = pt_mono() - begin;
  g_assert_true(pt_container_stats(bed->c, g->spec->id, &after, &error));
  g_assert_cmpint(after.cpu_usec - before.cpu_usec, <, passed * 3 / 4); /* two that want one cpu each get a half */
  g_assert_cmpint(after.cpu_usec - before.cpu_usec, >, 5000);
  g_assert_cmpint(after.memory, >, 1 << 20);
  g_assert_cmpint(after.pids, >, 3);
  g->spec->cpu = 0;
  g->spec->memory = 1 << 20;
  g_assert_false(pt_container_limits(bed->c, g->spec->id, g->spec, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  g->spec->memory = 0;
}

static void
check_processes(Bed *bed, Guest *g)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) list = pt_container_processes(bed->c, g->spec->id, &error);

  g_assert_no_error(error);
  PtProcess *init = g_ptr_array_index(list, 0);
  g_assert_cmpint(init->pid, ==, 1);
  g_assert_cmpint(init->ppid, ==, 0);
  g_assert_cmpstr(init->user, ==, "root");
  g_assert_cmpstr(init->command, ==, "/sbin/init");
  g_assert_cmpint(ABS(init->started - pt_now()), <, 300 * G_USEC_PER_SEC);
  bool other = false;
  for (guint i = 1; i < list->len; i++) {
    PtProcess *p = g_ptr_array_index(list, i);
    other |= strcmp(p->user, "messagebus") == 0 && p->ppid == 1;
  }
  g_assert_true(other);
}

static void
check_desktop(Bed *bed, Guest *g)
{
  static const struct {
    const char *path;
    PtErr code;
  } bad[] = { { "/run/link.sock", PT_ERR_INVALID },      { "/run/file.sock", PT_ERR_INVALID }, { "/run/absent.sock", PT_ERR_NOT_FOUND },
              { "/run/dirlink/d.sock", PT_ERR_INVALID }, { "/run/dead.sock", PT_ERR_NOT_FOUND } };
  g_autoptr(GError) error = NULL;
  char buf[8] = "";
  guest_do(
    bed, g, "cd /run; ln -s d.sock link.sock; ln -s . dirlink; touch file.sock; perl -MIO::Socket::UNIX -e '"
            "IO::Socket::UNIX->new(Local=>\"/run/dead.sock\",Listen=>1); my $s=IO::Socket::UNIX->new(Local=>\"/run/d.sock\",Listen=>1); "
            "exit if fork; open STDOUT,\">/dev/null\"; open STDERR,\">/dev/null\"; my $c=$s->accept; print $c \"RFB\"; $c->flush; sleep 1'");

  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_assert_cmpint(pt_container_desktop(bed->c, g->spec->id, bad[i].path, &error), <, 0);
    g_assert_error(error, PT_ERROR, (int)bad[i].code);
    g_clear_error(&error);
  }
  int fd = pt_container_desktop(bed->c, g->spec->id, "/run/d.sock", &error);
  g_assert_no_error(error);
  g_assert_cmpint(read(fd, buf, 3), ==, 3);
  g_assert_cmpstr(buf, ==, "RFB");
  close(fd);
}

static void
life(Bed *bed, void *data)
{
  guint plugged = 0;
  Guest *g = guest_new(bed, "studio", NULL);
  g_autoptr(GError) error = NULL;

  (void)data;
  g->start.plug = on_plug;
  g->start.plug_data = &plugged;
  guest_start(bed, g);
  g_assert_cmpuint(plugged, ==, 1);
  PtContainerState s = state_of(bed, g);
  g_assert_true(s.running && !s.paused && s.pid > 1);
  g_assert_cmpint(ABS(s.started - pt_now()), <, 60 * G_USEC_PER_SEC);
  g_assert_false(pt_container_start(bed->c, &g->start, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  g_clear_error(&error);
  g_assert_false(pt_container_clear(bed->c, g->spec->id, true, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  g_clear_error(&error);
  check_inside(bed, g);
  check_exec(bed, g);
  check_terminal(bed, g);
  check_hang_up(bed, g);
  check_processes(bed, g);
  check_desktop(bed, g);
  check_pause(bed, g);
  check_limits(bed, g);
  check_console(bed, g);
  int watch = pt_container_watch(bed->c, g->spec->id, &error);
  struct pollfd p = { .fd = watch, .events = POLLIN };
  g_assert_cmpint(poll(&p, 1, 0), ==, 0);
  g_assert_true(pt_container_stop(bed->c, g->spec->id, g->spec, g->image, 300 * G_USEC_PER_SEC, NULL, &error));
  g_assert_cmpint(poll(&p, 1, 120000), ==, 1);
  close(watch);
  s = state_of(bed, g);
  g_assert_true(!s.running && s.exit_code == 0 && s.exit_signal == 0 && s.stopped > s.started);
  /* Again, on the same volume. */
  guest_start(bed, g);
  g_autofree char *kept = guest_sh(bed, g, "cat /root/file; ls -d /usr/share/doc2; ls /etc/issue 2>&1 || true");
  g_assert_true(g_str_has_prefix(kept, "mine\n/usr/share/doc2\n"));
  g_assert_nonnull(strstr(kept, "No such file"));
  guest_do(bed, g, "systemctl reboot --no-block");
  g_assert_true(wait_for(ended, (void *[]){ bed, g }));
  g_assert_cmpint(state_of(bed, g).exit_signal, ==, SIGHUP);
  guest_stop(bed, g);
  guest_free(g);
}

static void
test_life(void)
{
  Bed bed;

  if (bed_init(&bed))
    as_daemon(&bed, life, NULL);
  bed_clear(&bed);
}

/* ---- apps ---- */

static void
apps(Bed *bed, void *data)
{
  static const char *const script[] = { "sh", "-c", "echo hello $A from $(id -u):$(id -g) in $PWD with $HOME; exit 42", NULL };
  static const char *const deaf[] = { "sleep", "1000", NULL };
  Guest *g = guest_new(bed, "app", script);
  g_autoptr(GError) error = NULL;
  gsize size;

  (void)data;
  g->spec->env = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_insert(g->spec->env, g_strdup("A"), g_strdup("B"));
  g->spec->user = g_strdup("games");
  g->spec->cwd = g_strdup("/var/tmp");
  g_assert_true(pt_container_start(bed->c, &g->start, &error));
  g_assert_true(wait_for(ended, (void *[]){ bed, g }));
  g_assert_cmpint(state_of(bed, g).exit_code, ==, 42);
  g_autofree char *log = pt_container_logs(bed->c, g->spec->id, 1000, &size, &error);
  g_assert_cmpstr(log, ==, "hello B from 5:60 in /var/tmp with /usr/games\r\n");
  g_assert_true(pt_container_clear(bed->c, g->spec->id, true, &error));
  guest_free(g);
  /* One that cannot hear the signal is not waited for. */
  g = guest_new(bed, "deaf", deaf);
  guest_start(bed, g);
  gint64 begin = pt_mono();
  g_assert_true(pt_container_stop(bed->c, g->spec->id, g->spec, g->image, 300 * G_USEC_PER_SEC, NULL, &error));
  g_assert_cmpint(pt_mono() - begin, <, 120 * G_USEC_PER_SEC);
  g_assert_cmpint(state_of(bed, g).exit_signal, ==, SIGKILL);
  g_assert_true(pt_container_clear(bed->c, g->spec->id, true, &error));
  guest_free(g);
}

static void
test_apps(void)
{
  Bed bed;

  if (bed_init(&bed))
    as_daemon(&bed, apps, NULL);
  bed_clear(&bed);
}

/* ---- the daemon dies ---- */

static Guest *survivor;

static void
start_and_die(Bed *bed, void *data)
{
  (void)data;
  guest_start(bed, survivor);
  kill(getpid(), SIGKILL);
}

static void
successor(Bed *bed, void *data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) ids = pt_containers_list(bed->c, &error);
  g_autoptr(GString) text = g_string_new(NULL);
  int control;

  (void)data;
  g_assert_cmpuint(ids->len, ==, 1);
  g_assert_cmpstr(g_ptr_array_index(ids, 0), ==, survivor->spec->id);
  g_assert_true(state_of(bed, survivor).running);
  g_assert_true(pt_container_ready(bed->c, survivor->spec->id, survivor->spec));
  g_autofree char *said = guest_sh(bed, survivor, "systemctl is-system-running");
  g_assert_cmpstr(said, ==, "running\n");
  int fd = attach(bed, survivor, true, &control);
  read_until(fd, text, "multi-user.target");
  check_limits(bed, survivor);
  /* Ended while nobody looks: its status waits. */
  guest_do(bed, survivor, "systemctl poweroff --no-block");
  g_assert_true(wait_for(ended, (void *[]){ bed, survivor }));
  g_assert_cmpint(state_of(bed, survivor).exit_code, ==, 0);
  g_assert_true(pt_container_clear(bed->c, survivor->spec->id, true, &error));
  g_assert_no_error(error);
}

static void
test_survives(void)
{
  Bed bed;

  if (bed_init(&bed)) {
    survivor = guest_new(&bed, "survivor", NULL);
    as_killed_daemon(&bed, start_and_die, NULL);
    as_daemon(&bed, successor, NULL);
    guest_free(survivor);
  }
  bed_clear(&bed);
}

static bool
die_in_plug(pid_t pid, void *data, GError **error)
{
  (void)pid;
  (void)data;
  (void)error;
  kill(getpid(), SIGKILL);
  return false;
}

static bool
refuse_plug(pid_t pid, void *data, GError **error)
{
  (void)pid;
  (void)data;
  PT_SET(error, PT_ERR_NO_SPACE, "no address is left");
  return false;
}

static void
die_half_way(Bed *bed, void *data)
{
  (void)data;
  survivor->start.plug = die_in_plug;
  pt_container_start(bed->c, &survivor->start, NULL);
}

static void
sweep(Bed *bed, void *data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) ids = pt_containers_list(bed->c, &error);

  (void)data;
  g_assert_cmpuint(ids->len, ==, 1);
  g_assert_false(state_of(bed, survivor).running);
  g_assert_true(pt_container_clear(bed->c, survivor->spec->id, true, &error));
  g_assert_no_error(error);
  g_assert_true(pt_container_clear(bed->c, survivor->spec->id, true, &error)); /* absent is success */
}

/* ---- killed at any instant ---- */

static gpointer
killer(gpointer usec)
{
  g_usleep(GPOINTER_TO_UINT(usec));
  kill(getpid(), SIGKILL);
  return NULL;
}

static void
killed_somewhere(Bed *bed, void *data)
{
  g_thread_new("killer", killer, data);
  for (;;) {
    pt_container_start(bed->c, &survivor->start, NULL);
    pt_container_stop(bed->c, survivor->spec->id, survivor->spec, survivor->image, 0, NULL, NULL);
    pt_container_clear(bed->c, survivor->spec->id, true, NULL);
  }
}

/* Whatever the dead one left: what runs answers, and all of it can be taken away. */
static void
take_over(Bed *bed, void *data)
{
  g_autoptr(GError) error = NULL;
  PtContainerState s;

  (void)data;
  if (pt_container_state(bed->c, survivor->spec->id, &s, NULL) && s.running) {
    g_autofree char *said = guest_sh(bed, survivor, "echo here");
    g_assert_cmpstr(said, ==, "here\n");
  }
  pt_container_stop(bed->c, survivor->spec->id, survivor->spec, survivor->image, 0, NULL, &error);
  g_assert_no_error(error);
  pt_container_clear(bed->c, survivor->spec->id, true, &error);
  g_assert_no_error(error);
  g_autoptr(GPtrArray) ids = pt_containers_list(bed->c, &error);
  g_assert_cmpuint(ids->len, ==, 0);
}

static void
test_killed(void)
{
  static const char *const idle[] = { "sleep", "1000", NULL };
  Bed bed;

  if (bed_init(&bed)) {
    survivor = guest_new(&bed, "any", idle);
    for (int i = 0; i < 50; i++) {
      as_killed_daemon(&bed, killed_somewhere, GUINT_TO_POINTER((guint)g_test_rand_int_range(100, 60000)));
      as_daemon(&bed, take_over, NULL);
    }
    guest_free(survivor);
  }
  bed_clear(&bed);
}

static void
failures(Bed *bed, void *data)
{
  static const char *const absent[] = { "/no/such/program", NULL };
  g_autoptr(GError) error = NULL;
  Guest *g = guest_new(bed, "bad", absent);

  (void)data;
  g_assert_false(pt_container_start(bed->c, &g->start, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  g_assert_nonnull(strstr(error->message, "/no/such/program"));
  g_clear_error(&error);
  g->start.plug = refuse_plug;
  g_strfreev(g->spec->command);
  g->spec->command = g_strsplit("sleep 9", " ", -1);
  g_assert_false(pt_container_start(bed->c, &g->start, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NO_SPACE);
  g_clear_error(&error);
  g_assert_true(pt_container_clear(bed->c, g->spec->id, true, &error)); /* its history, empty as it is, was still there */
  g_autoptr(GPtrArray) ids = pt_containers_list(bed->c, &error);
  g_assert_cmpuint(ids->len, ==, 0);
  guest_free(g);
}

static void
test_failures(void)
{
  Bed bed;

  if (bed_init(&bed)) {
    as_daemon(&bed, failures, NULL);
    survivor = guest_new(&bed, "half", NULL);
    as_killed_daemon(&bed, die_half_way, NULL);
    as_daemon(&bed, sweep, NULL);
    guest_free(survivor);
  }
  bed_clear(&bed);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/container/life", test_life);
  g_test_add_func("/container/apps", test_apps);
  g_test_add_func("/container/survives", test_survives);
  g_test_add_func("/container/failures", test_failures);
  g_test_add_func("/container/killed", test_killed);
  return g_test_run();
}
