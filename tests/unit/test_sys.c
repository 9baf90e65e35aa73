// SPDX-License-Identifier: Apache-2.0
/* src/sys without privilege: paths in hostile trees, child processes, what the kernel says of control groups. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "sys/arch.h"
#include "sys/cgroup.h"
#include "sys/cgroup_file.h"
#include "sys/host.h"
#include "sys/path.h"
#include "sys/process.h"

typedef struct Tree {
  char *dir; /* holds "secret", which no path in the guest's tree may reach, and "guest" */
  int root;
} Tree;

static void
link_to(Tree *t, const char *name, const char *target)
{
  g_assert_cmpint(symlinkat(target, t->root, name), ==, 0);
}

static void
tree_init(Tree *t)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *secret = NULL, *guest = NULL;

  t->dir = g_dir_make_tmp("pt-sys-XXXXXX", &error);
  g_assert_no_error(error);
  secret = g_build_filename(t->dir, "secret", NULL);
  guest = g_build_filename(t->dir, "guest", NULL);
  g_assert_true(g_file_set_contents(secret, "outside", -1, &error));
  g_assert_cmpint(g_mkdir(guest, 0755), ==, 0);
  t->root = open(guest, O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_assert_cmpint(t->root, >=, 0);
  g_assert_true(pt_path_mkdir(t->root, "/etc", 0755, getuid(), getgid(), &error));
  g_assert_true(pt_path_write(t->root, "/etc/passwd", "inside", 6, 0644, getuid(), getgid(), &error));
  g_assert_true(pt_path_write(t->root, "/secret", "mine", 4, 0644, getuid(), getgid(), &error));
  link_to(t, "up", "../secret");
  link_to(t, "upup", "../../../../../../../../secret");
  link_to(t, "abs", "/secret");
  link_to(t, "dir", "..");
  link_to(t, "loop1", "loop2");
  link_to(t, "loop2", "loop1");
  link_to(t, "self", "/proc/self/root");
  link_to(t, "etc2", "etc/../etc");
  link_to(t, "host", secret);
  g_assert_cmpint(mknodat(t->root, "fifo", S_IFIFO | 0666, 0), ==, 0);
}

static void
tree_clear(Tree *t)
{
  g_autoptr(GError) error = NULL;
  int tmp = open(g_get_tmp_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_autofree char *name = g_path_get_basename(t->dir);

  close(t->root);
  pt_path_remove(tmp, name, true, &error);
  g_assert_no_error(error);
  g_assert_false(g_file_test(t->dir, G_FILE_TEST_EXISTS));
  close(tmp);
  g_free(t->dir);
}

static void
test_path_read(void)
{
  static const struct {
    const char *path, *text; /* NULL: `code` */
    PtErr code;
  } rows[] = {
    { "/etc/passwd", "inside", 0 },
    { "etc/passwd", "inside", 0 },
    { "/etc2/passwd", "inside", 0 },
    { "/../../../../secret", "mine", 0 }, /* ".." at the root is the root */
    { "/up", "mine", 0 },
    { "/upup", "mine", 0 },
    { "/abs", "mine", 0 },
    { "/dir/secret", "mine", 0 },
    { "/dir/dir/dir/../secret", "mine", 0 },
    { "/host", NULL, PT_ERR_NOT_FOUND }, /* the host's absolute path means nothing inside */
    { "/self/etc/passwd", NULL, PT_ERR_NOT_FOUND },
    { "/loop1", NULL, PT_ERR_INVALID },
    { "/fifo", NULL, PT_ERR_INVALID }, /* and does not hang */
    { "/etc", NULL, PT_ERR_INVALID },
    { "/etc/passwd/x", NULL, PT_ERR_INVALID },
    { "/absent", NULL, PT_ERR_NOT_FOUND },
    { "/absent/../secret", NULL, PT_ERR_NOT_FOUND },
  };
  Tree t;

  tree_init(&t);
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    gsize size = 0;
    bool ok = pt_path_read(t.root, rows[i].path, 1024, &text, &size, &error);

    if (rows[i].text) {
      g_assert_no_error(error);
      g_assert_cmpstr(text, ==, rows[i].text);
      g_assert_cmpuint(size, ==, strlen(text));
    } else {
      g_assert_false(ok);
      g_assert_error(error, PT_ERROR, (int)rows[i].code);
    }
  }
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  g_assert_false(pt_path_read(t.root, "/etc/passwd", 5, &text, NULL, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_TOO_LARGE);
  tree_clear(&t);
}

static void
test_path_magic(void)
{
  g_autoptr(GError) error = NULL;
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

  /* /proc is really there under this root: its links must still not be followed. */
  g_assert_cmpint(pt_path_open(root, "/proc/self/fd/0", O_PATH, 0, 0, &error), <, 0);
  g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  g_clear_error(&error);
  g_assert_cmpint(pt_path_open(root, "/proc/self/root/etc", O_PATH, 0, 0, &error), <, 0);
  g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  close(root);
}

static void
test_path_parent(void)
{
  static const struct {
    const char *path, *name;
  } rows[] = { { "/a", "a" },     { "a", "a" },  { "/etc/b/", "b" }, { "//etc//c//", "c" }, { "/dir/d", "d" }, { "", NULL },
               { "/", NULL },     { "//", NULL }, { ".", NULL },     { "/etc/.", NULL },    { "..", NULL },    { "/etc/..", NULL },
               { "/etc/../", NULL } };
  Tree t;

  tree_init(&t);
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    int fd = pt_path_parent(t.root, rows[i].path, &name, &error);

    g_assert_cmpstr(name, ==, rows[i].name);
    if (rows[i].name) {
      g_assert_cmpint(fd, >=, 0);
      close(fd);
    } else {
      g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
    }
  }
  tree_clear(&t);
}

static void
assert_outside(const Tree *t)
{
  g_autofree char *secret = g_build_filename(t->dir, "secret", NULL), *text = NULL;

  g_assert_true(g_file_get_contents(secret, &text, NULL, NULL));
  g_assert_cmpstr(text, ==, "outside");
}

static void
test_path_write(void)
{
  static const char *const through[] = { "/up", "/upup", "/abs", "/dir/new", "/host", "/fifo", "/loop1", "/etc2/new", NULL };
  Tree t;

  tree_init(&t);
  for (const char *const *p = through; *p; p++) {
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    g_assert_true(pt_path_write(t.root, *p, "changed", 7, 0640, getuid(), getgid(), &error));
    g_assert_no_error(error);
    g_assert_true(pt_path_read(t.root, *p, 64, &text, NULL, &error)); /* a plain file now, whatever it was */
    g_assert_cmpstr(text, ==, "changed");
    assert_outside(&t);
  }
  g_autoptr(GError) error = NULL;
  struct stat st;
  g_assert_cmpint(fstatat(t.root, "up", &st, AT_SYMLINK_NOFOLLOW), ==, 0);
  g_assert_true(S_ISREG(st.st_mode));
  g_assert_cmpint(st.st_mode & 07777, ==, 0640);
  g_assert_false(pt_path_write(t.root, "/etc", "x", 1, 0644, getuid(), getgid(), &error));
  g_clear_error(&error);
  g_assert_false(pt_path_write(t.root, "/absent/x", "x", 1, 0644, getuid(), getgid(), &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  tree_clear(&t);
}

/* What a daemon that is killed in the middle leaves of it: nothing, where the file system has files without a name. */
static void
test_path_write_unfinished(void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  PtPathWrite w;
  Tree t;

  tree_init(&t);
  g_assert_true(pt_path_mkdir(t.root, "/home", 0755, getuid(), getgid(), &error));
  g_autofree char *home = g_strdup_printf("/proc/self/fd/%d/home", t.root);
  g_assert_true(pt_path_write_begin(&w, t.root, "/home/file", getuid(), getgid(), &error));
  g_assert_cmpint(write(w.fd, "all", 3), ==, 3);
  g_autoptr(GDir) d = g_dir_open(home, 0, &error);
  g_assert_no_error(error);
  g_assert_true(w.unnamed == (g_dir_read_name(d) == NULL));
  g_assert_true(pt_path_write_commit(&w, 0640, &error));
  g_assert_true(pt_path_read(t.root, "/home/file", 64, &text, NULL, &error));
  g_assert_cmpstr(text, ==, "all");
  g_assert_true(pt_path_write_begin(&w, t.root, "/home/file", getuid(), getgid(), &error));
  pt_path_write_abort(&w);
  g_dir_rewind(d);
  g_assert_cmpstr(g_dir_read_name(d), ==, "file");
  g_assert_null(g_dir_read_name(d));
  tree_clear(&t);
}

static void
test_path_symlink(void)
{
  Tree t;
  g_autoptr(GError) error = NULL;
  char buf[64] = "";

  tree_init(&t);
  g_assert_true(pt_path_symlink(t.root, "/secret", "../anywhere", getuid(), getgid(), &error));
  g_assert_cmpint(readlinkat(t.root, "secret", buf, sizeof buf - 1), ==, 11);
  g_assert_cmpstr(buf, ==, "../anywhere");
  tree_clear(&t);
}

static void
test_path_remove(void)
{
  Tree t;
  g_autoptr(GError) error = NULL;

  tree_init(&t);
  /* A link is removed, not what it leads to. */
  g_assert_true(pt_path_remove(t.root, "/host", true, &error));
  g_assert_true(pt_path_remove(t.root, "/dir", true, &error));
  assert_outside(&t);
  g_assert_true(pt_path_remove(t.root, "/absent", false, &error));
  g_assert_true(pt_path_remove(t.root, "/absent/below", true, &error));
  g_assert_false(pt_path_remove(t.root, "/etc", false, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  g_clear_error(&error);
  g_assert_true(pt_path_remove(t.root, "/etc", true, &error));
  g_assert_cmpint(faccessat(t.root, "etc", F_OK, AT_SYMLINK_NOFOLLOW), <, 0);
  g_assert_false(pt_path_remove(t.root, "/", true, &error));
  tree_clear(&t);
}

static void
test_path_remove_deep(void)
{
  Tree t;
  g_autoptr(GError) error = NULL;
  int at;

  tree_init(&t);
  at = dup(t.root);
  for (int i = 0; i < 3000; i++) { /* deeper than descriptors and PATH_MAX allow, with something to meet on the way */
    g_assert_cmpint(mkdirat(at, "d", 0755), ==, 0);
    g_assert_cmpint(symlinkat("../../../..", at, "l"), ==, 0);
    int next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
    close(at);
    at = next;
  }
  close(at);
  g_assert_true(pt_path_remove(t.root, "/d", true, &error));
  g_assert_no_error(error);
  tree_clear(&t);
}

static void
on_line(const char *line, void *data)
{
  g_string_append_printf(data, "<%s>", line);
}

static void
test_run(void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *output = NULL;
  g_autoptr(GString) lines = g_string_new(NULL);
  const char *const sh[] = { "sh", "-c", "cat; echo two; printf three; ls /proc/self/fd | wc -l >&2", NULL };

  g_assert_true(pt_run(sh, &(PtRunOptions){ .input = "one\n", .line = on_line, .line_data = lines }, &output, &error));
  g_assert_no_error(error);
  g_assert_cmpstr(output, ==, "one\ntwo\nthree");
  g_assert_nonnull(strstr(lines->str, "<one><two>"));
  g_assert_nonnull(strstr(lines->str, "<three>"));
  g_assert_nonnull(strstr(lines->str, "<4>")); /* stdio and the directory itself: nothing of ours */
}

static void
test_run_fails(void)
{
  static const struct {
    const char *script, *says;
    PtErr code;
    gint64 timeout;
  } rows[] = {
    { "echo first >&2; echo second >&2; exit 3", "sh: exit status 3: first", PT_ERR_INTERNAL, 0 },
    { "kill -9 $$", "sh: ended by signal 9", PT_ERR_INTERNAL, 0 },
    { "sleep 60", "did not end", PT_ERR_TIMEOUT, 50000 },
    { "printf '\\033[31mred' >&2; exit 1", "?[31mred", PT_ERR_INTERNAL, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) error = NULL;
    const char *const argv[] = { "sh", "-c", rows[i].script, NULL };

    g_assert_false(pt_run(argv, &(PtRunOptions){ .timeout = rows[i].timeout }, NULL, &error));
    g_assert_error(error, PT_ERROR, (int)rows[i].code);
    g_assert_nonnull(strstr(error->message, rows[i].says));
  }
  g_autoptr(GError) error = NULL;
  g_assert_false(pt_run((const char *const[]){ "no-such-program-here", NULL }, NULL, NULL, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_UNSUPPORTED);
}

static gpointer
cancel_soon(gpointer cancel)
{
  g_usleep(50000);
  g_cancellable_cancel(cancel);
  return NULL;
}

static void
test_run_cancel(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GCancellable) cancel = g_cancellable_new();
  GThread *thread = g_thread_new("cancel", cancel_soon, cancel);
  gint64 begin = pt_mono();

  g_assert_false(pt_run((const char *const[]){ "sh", "-c", "sleep 600 & sleep 600", NULL }, &(PtRunOptions){ .cancel = cancel }, NULL,
                        &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CANCELLED);
  g_assert_cmpint(pt_mono() - begin, <, 300 * G_USEC_PER_SEC);
  g_thread_join(thread);
}

/* A file stands for a group's cgroup.procs: whatever outlives us writes itself into it, and nothing else does. */
static void
test_spawn_home(void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = NULL;
  const char *const argv[] = { "true", NULL };
  int procs = g_file_open_tmp("pt-sys-XXXXXX", &path, &error);
  struct stat st;

  g_assert_no_error(error);
  pt_process_home(procs);
  g_assert_true(pt_run(argv, NULL, NULL, &error));
  g_assert_true(fstat(procs, &st) == 0 && st.st_size == 0);
  g_assert_true(pt_run(argv, &(PtRunOptions){ .outlive = true }, NULL, &error));
  g_assert_true(fstat(procs, &st) == 0 && st.st_size == 1);
  pid_t pid = pt_spawn(&(PtSpawn){ .argv = argv, .outlive = true }, &error);
  g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
  g_assert_true(fstat(procs, &st) == 0 && st.st_size == 2);
  g_assert_no_error(error);
  close(procs);
  procs = open(path, O_RDONLY | O_CLOEXEC); /* where the group does not take it, it is not started beside it */
  pt_process_home(procs);
  g_assert_cmpint(pt_spawn(&(PtSpawn){ .argv = argv, .outlive = true }, &error), ==, -1);
  g_assert_nonnull(error);
  pt_process_home(-1);
  close(procs);
  g_unlink(path);
}

static void
test_pidfd(void)
{
  g_autoptr(GError) error = NULL;
  pid_t pid = fork();

  if (pid == 0) {
    pause();
    _exit(0);
  }
  guint64 start = pt_proc_starttime(pid);
  g_assert_cmpuint(start, >, 0);
  int fd = pt_pidfd(pid, start, &error);
  g_assert_no_error(error);
  g_assert_true(pt_pidfd_alive(fd));
  g_assert_cmpint(pt_pidfd(pid, start + 1, &error), <, 0);
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  g_assert_false(pt_pidfd_alive(fd));
  g_assert_cmpuint(pt_proc_starttime(pid), ==, 0);
  close(fd);
}

static void
test_cgroup_parse(void)
{
  const char *io = "8:0 rbytes=100 wbytes=7 rios=1 wios=1 dbytes=0 dios=0\n7:1 rbytes=20 wbytes=3 rios=1\n";
  const char *io1 = "7:1 Read 11\n7:1 Write 5\n7:1 Total 16\n8:0 Read 1\n8:0 Write 2\nTotal 19\n";
  const char *psi = "some avg10=12.34 avg60=1.00 avg300=0.00 total=99\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n";

  g_assert_cmpint(pt_cg_io_sum(io, " rbytes="), ==, 120);
  g_assert_cmpint(pt_cg_io_sum(io, " wbytes="), ==, 10);
  g_assert_cmpint(pt_cg_io_sum(io1, " Read "), ==, 12);
  g_assert_cmpint(pt_cg_io_sum(io1, " Write "), ==, 7);
  g_assert_cmpint(pt_cg_io_sum("", " Read "), ==, 0);
  g_assert_cmpint(pt_cg_io_sum(NULL, " Read "), ==, 0);
  g_assert_cmpfloat_with_epsilon(pt_cg_pressure(psi), 12.34, 0.001);
  g_assert_cmpfloat(pt_cg_pressure(NULL), ==, -1);
  g_assert_cmpfloat(pt_cg_pressure("full avg10=1.00"), ==, -1);
  g_assert_cmpint(pt_cg_key("a 1\nab 2\nb 3\n", "b", 9), ==, 3);
  g_assert_cmpint(pt_cg_key("a 1\nab 2\n", "ab", 9), ==, 2);
  g_assert_cmpint(pt_cg_key("a 1\n", "c", 9), ==, 9);
  g_assert_cmpint(pt_cg_key(NULL, "c", 9), ==, 9);
}

/* Control groups made of plain files, in both layouts: what is written where. */
static void
assert_file(const char *dir, const char *file, const char *want)
{
  g_autofree char *text = pt_cg_read(dir, file);

  g_assert_cmpstr(text, ==, want);
}

static void
put_files(const char *dir, const char *const *files)
{
  g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
  for (; *files; files += 2) {
    g_autofree char *path = g_build_filename(dir, files[0], NULL);
    g_assert_true(g_file_set_contents(path, files[1], -1, NULL));
  }
}

static const PtCgroupLimits limits = { .cpu = 1500, .memory = 1 << 30, .pids = 100, .io_read = 5000, .device = 0x0701, .weight = 200 };

static void
test_cgroup_v2(void)
{
  static const char *const files[] = {
    "cpu.max", "", "cpu.weight", "", "memory.max", "", "memory.swap.max", "", "memory.high", "max", "pids.max", "", "io.max", "", "io.weight", "",
    "memory.current", "1000000\n", "memory.stat", "anon 1\ninactive_file 400000\n", "memory.peak", "2000000\n", "memory.swap.current",
    "7\n", "pids.current", "3\n", "cpu.stat", "usage_usec 1234\nuser_usec 1\n", "io.stat", "8:0 rbytes=10 wbytes=20\n",
    "memory.events", "low 0\noom 1\noom_kill 2\n", "cpu.pressure", "some avg10=1.50 avg60=0\n", NULL };
  Tree t;
  g_autoptr(GError) error = NULL;
  PtCgroupUse use;

  tree_init(&t);
  PtHost host = { .cgroup = (char *)"pt", .cgroup_kind = PT_CGROUP_V2, .cgroup2 = t.dir, .cgroup1 = (char *)"/nonexistent" };
  g_autofree char *dir = g_build_filename(t.dir, "pt", "x", NULL);
  put_files(dir, files);
  g_assert_true(pt_cgroup_limit(&host, "x", &limits, &error));
  g_assert_no_error(error);
  assert_file(dir, "cpu.max", "150000 100000");
  assert_file(dir, "cpu.weight", "200");
  assert_file(dir, "memory.max", "1073741824");
  assert_file(dir, "memory.swap.max", "1073741824");
  assert_file(dir, "pids.max", "100");
  assert_file(dir, "io.max", "7:1 rbps=5000 wbps=max");
  g_assert_true(pt_cgroup_use(&host, "x", &use, &error));
  g_assert_cmpint(use.cpu_usec, ==, 1234);
  g_assert_cmpint(use.memory, ==, 600000);
  g_assert_cmpint(use.memory_peak, ==, 2000000);
  g_assert_cmpint(use.swap, ==, 7);
  g_assert_cmpint(use.pids, ==, 3);
  g_assert_cmpint(use.io_write, ==, 20);
  g_assert_cmpint(use.oom_kills, ==, 2);
  g_assert_cmpfloat_with_epsilon(use.cpu_pressure, 1.5, 0.001);
  g_assert_cmpfloat(use.memory_pressure, ==, -1);
  /* Less than it uses, and it will not shrink: refused, and nothing changed. */
  g_assert_false(pt_cgroup_limit(&host, "x", &(PtCgroupLimits){ .memory = 5000, .cpu = 100 }, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  assert_file(dir, "memory.max", "1073741824");
  assert_file(dir, "cpu.max", "150000 100000");
  g_clear_error(&error);
  g_assert_false(pt_cgroup_use(&host, "absent", &use, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  tree_clear(&t);
}

/* Files do not shrink as memory does: what is asked of the kernel is looked at, and that no more is asked once nothing changes. */
static void
test_cgroup_sleep(void)
{
  static const char *const v2[] = { "memory.current", "4000000\n", "memory.stat", "anon 4096\nshmem 0\n", "memory.high", "max", "memory.reclaim", "",
                                    NULL };
  static const char *const v1[] = { "memory.usage_in_bytes", "4000000\n", "memory.stat", "total_rss 9000000000000000\ntotal_shmem 1\n",
                                    "memory.limit_in_bytes", "", "memory.force_empty", "", NULL };
  Tree t;
  g_autoptr(GError) error = NULL;
  gint64 before = 0, after = 0;

  tree_init(&t);
  PtHost host = { .cgroup = (char *)"pt", .cgroup_kind = PT_CGROUP_V2, .cgroup2 = t.dir, .cgroup1 = t.dir, .cpus = 3 };
  g_autofree char *dir = g_build_filename(t.dir, "pt", "x", NULL), *memory = g_build_filename(t.dir, "memory", "pt", "x", NULL);
  put_files(dir, v2);
  put_files(memory, v1);
  g_assert_true(pt_cgroup_reclaim(&host, "x", &before, &after, &error));
  g_assert_cmpint(before, ==, 4000000);
  g_assert_cmpint(after, ==, 4000000);
  assert_file(dir, "memory.reclaim", "1333334"); /* a third for each thread */
  g_assert_true(pt_cgroup_hold(&host, "x", true, &error));
  assert_file(dir, "memory.high", "5048576");
  put_files(dir, v2); /* a kernel's file is replaced by a write, not written over */
  g_assert_true(pt_cgroup_hold(&host, "x", false, &error));
  assert_file(dir, "memory.high", "max");
  g_autofree char *reclaim = g_build_filename(dir, "memory.reclaim", NULL);
  g_assert_cmpint(unlink(reclaim), ==, 0);
  g_assert_false(pt_cgroup_reclaim(&host, "x", &before, &after, &error)); /* a kernel without it */
  g_assert_nonnull(error);
  g_clear_error(&error);

  host.cgroup_kind = PT_CGROUP_V1;
  g_assert_false(pt_cgroup_swappable(&host, "x", &error)); /* no host has as much swap */
  g_assert_true(g_error_matches(error, PT_ERROR, PT_ERR_CONFLICT) || g_error_matches(error, PT_ERROR, PT_ERR_UNSUPPORTED));
  g_clear_error(&error);
  g_assert_true(pt_cgroup_reclaim(&host, "x", &before, &after, &error));
  assert_file(memory, "memory.force_empty", "0");
  g_assert_true(pt_cgroup_hold(&host, "x", true, &error));
  assert_file(memory, "memory.limit_in_bytes", "5048576");
  tree_clear(&t);
}

static void
test_cgroup_v1(void)
{
  static const char *const files[][20] = {
    { "cpu", "cpu.cfs_quota_us", "", "cpu.shares", "", NULL },
    { "cpuacct", "cpuacct.usage", "5000000\n", NULL },
    { "memory", "memory.limit_in_bytes", "", "memory.memsw.limit_in_bytes", "", "memory.usage_in_bytes", "1000\n", "memory.stat", "total_inactive_file 100\ntotal_swap 5\n",
      "memory.max_usage_in_bytes", "1500\n", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", NULL },
    { "pids", "pids.max", "", "pids.current", "9\n", NULL },
    { "blkio", "blkio.throttle.read_bps_device", "", "blkio.throttle.write_bps_device", "",
      "blkio.throttle.io_service_bytes_recursive", "7:1 Read 3\n7:1 Write 4\n", NULL },
    { "v2", NULL },
  };
  Tree t;
  g_autoptr(GError) error = NULL;
  PtCgroupUse use;

  tree_init(&t);
  g_autofree char *v2 = g_build_filename(t.dir, "v2", NULL);
  PtHost host = { .cgroup = (char *)"pt", .cgroup_kind = PT_CGROUP_V1, .cgroup2 = v2, .cgroup1 = t.dir };
  for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *dir = g_build_filename(t.dir, files[i][0], "pt", "x", NULL);
    put_files(dir, files[i] + 1);
  }
  g_assert_true(pt_cgroup_limit(&host, "x", &limits, &error));
  g_assert_no_error(error);
  g_autofree char *cpu = pt_cg_dir(&host, "cpu", "x"), *memory = pt_cg_dir(&host, "memory", "x");
  g_autofree char *blkio = pt_cg_dir(&host, "blkio", "x");
  assert_file(cpu, "cpu.cfs_quota_us", "150000");
  assert_file(cpu, "cpu.shares", "2048");
  assert_file(memory, "memory.limit_in_bytes", "1073741824");
  assert_file(memory, "memory.memsw.limit_in_bytes", "2147483648");
  assert_file(blkio, "blkio.throttle.read_bps_device", "7:1 5000");
  assert_file(blkio, "blkio.throttle.write_bps_device", "7:1 0");
  g_assert_true(pt_cgroup_use(&host, "x", &use, &error));
  g_assert_cmpint(use.cpu_usec, ==, 5000);
  g_assert_cmpint(use.memory, ==, 900);
  g_assert_cmpint(use.memory_peak, ==, 1500);
  g_assert_cmpint(use.swap, ==, 5);
  g_assert_cmpint(use.io_read, ==, 3);
  g_assert_cmpint(use.oom_kills, ==, 4);
  tree_clear(&t);
}

static void
test_host_paths(void)
{
  static const char *const bad[] = { "relative", "/with space", "/with,comma", "/with:colon", "/with\\slash",
                                     "/far/too/long/for/a/socket/below/it/really/it/is/so", NULL };

  for (const char *const *p = bad; *p; p++) {
    g_autoptr(GError) error = NULL;

    g_assert_null(pt_host_new("/tmp", *p, "/", "n", "none", "pt", &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  }
}

static void
test_arch(void)
{
  const PtArch *arm = pt_arch_find("aarch64"), *s390 = pt_arch_find("s390x"), *host = pt_arch_host();
  g_autofree char *rule = pt_foreign_rule_format(arm, "/usr/bin/qemu-aarch64-static");
  g_autofree char *big = pt_foreign_rule_format(s390, "/q");

  g_assert_true(arm == pt_arch_find("arm64"));
  g_assert_null(pt_arch_find("vax"));
  g_assert_null(pt_arch_find(NULL));
  g_assert_false(pt_arch_native(NULL));
  g_assert_true(pt_arch_native(host));
  for (guint i = 0; pt_arch_nth(i); i++)
    g_assert_true(pt_arch_find(pt_arch_nth(i)->debian) == pt_arch_nth(i) && pt_arch_find(pt_arch_nth(i)->oci) == pt_arch_nth(i));
  /* Magic and mask as in Debian's own rules: /usr/lib/binfmt.d of qemu-user-binfmt. */
  g_assert_cmpstr(rule, ==,
                  ":qemu-aarch64:M::\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00"
                  ":\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff"
                  ":/usr/bin/qemu-aarch64-static:POCF");
  g_assert_nonnull(strstr(big, "\\x46\\x02\\x02\\x01"));
  g_assert_nonnull(strstr(big, "\\x00\\x02\\x00\\x16:"));
  g_assert_nonnull(strstr(big, "\\xff\\xfe\\xff\\xff:/q"));
}

static void
test_arch_skip(void)
{
  static const struct {
    const char *line;
    gsize n, skip;
  } lines[] = {
    { "/usr/bin/qemu-aarch64-static\0/bin/busybox\0sleep\0" "9", 49, 42 },
    { "/usr/bin/qemu-arm\0/bin/sh\0-sh", 29, 26 },
    { "/usr/bin/qemu-aarch64-static\0sleep\0" "9", 36, 0 }, /* called by hand */
    { "/usr/bin/qemu-aarch64-static\0/bin/sh", 36, 0 },
    { "/usr/bin/qemu-system-aarch64\0/bin/sh\0x", 38, 0 },
    { "/usr/bin/qemu-", 14, 0 },
    { "sleep\0" "9", 7, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS(lines); i++)
    g_assert_cmpuint(pt_foreign_skip(lines[i].line, lines[i].n), ==, lines[i].skip);
}

static void
test_arch_names(void)
{
  const PtArch *host = pt_arch_host(), *other = pt_arch_find(strcmp(host->name, "aarch64") == 0 ? "x86_64" : "aarch64");
  g_autofree char *same = pt_arch_image_name("debian", host->name), *any = pt_arch_image_name("debian", NULL);
  g_autofree char *foreign = pt_arch_image_name("alpine:3.20", other->oci), *want = g_strdup_printf("alpine:3.20-%s", other->name);
  g_autoptr(GError) error = NULL;
  g_autofree char *rule = NULL;

  g_assert_cmpstr(same, ==, "debian");
  g_assert_cmpstr(any, ==, "debian");
  g_assert_cmpstr(foreign, ==, want);
  g_assert_true(pt_foreign_rule(host->name, &rule, &error));
  g_assert_no_error(error);
  g_assert_null(rule);
  g_assert_false(pt_foreign_rule("vax", &rule, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_UNSUPPORTED);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/sys/path/read", test_path_read);
  g_test_add_func("/sys/path/magic", test_path_magic);
  g_test_add_func("/sys/path/parent", test_path_parent);
  g_test_add_func("/sys/path/write", test_path_write);
  g_test_add_func("/sys/path/write-unfinished", test_path_write_unfinished);
  g_test_add_func("/sys/path/symlink", test_path_symlink);
  g_test_add_func("/sys/path/remove", test_path_remove);
  g_test_add_func("/sys/path/remove-deep", test_path_remove_deep);
  g_test_add_func("/sys/run", test_run);
  g_test_add_func("/sys/run/fails", test_run_fails);
  g_test_add_func("/sys/run/cancel", test_run_cancel);
  g_test_add_func("/sys/spawn/home", test_spawn_home);
  g_test_add_func("/sys/pidfd", test_pidfd);
  g_test_add_func("/sys/cgroup/parse", test_cgroup_parse);
  g_test_add_func("/sys/cgroup/v2", test_cgroup_v2);
  g_test_add_func("/sys/cgroup/sleep", test_cgroup_sleep);
  g_test_add_func("/sys/cgroup/v1", test_cgroup_v1);
  g_test_add_func("/sys/host/paths", test_host_paths);
  g_test_add_func("/sys/arch", test_arch);
  g_test_add_func("/sys/arch/skip", test_arch_skip);
  g_test_add_func("/sys/arch/names", test_arch_names);
  return g_test_run();
}
