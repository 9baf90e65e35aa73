// SPDX-License-Identifier: Apache-2.0
/* The local pool with real loop devices, XFS and ext4, in a mount namespace of our own. Root only; otherwise skipped. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "drivers/volume/volume.h"

#define MIB ((gint64)1 << 20)
#define GIB ((gint64)1 << 30)

static const PtPoolDriver *const d = &pt_pool_local;
static PtHost host;
static PtPool *pool;
static char *tag; /* every id of this run starts with it, so that our loop devices can be told from others' */

static char *
vid(const char *name)
{
  return g_strdup_printf("%s-%s", tag, name);
}

/* Loop devices whose file has `what` in its path. */
static guint
loops(const char *what)
{
  g_autoptr(GDir) dir = g_dir_open("/sys/block", 0, NULL);
  const char *name;
  guint n = 0;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_strdup_printf("/sys/block/%s/loop/backing_file", name);
    g_autofree char *file = NULL;
    if (g_file_get_contents(path, &file, NULL, NULL) && strstr(file, what))
      n++;
  }
  return n;
}

/* Loop devices are released by their last user's exit work, a moment after it is gone. */
static void
assert_no_loops(const char *what)
{
  for (guint i = 0; i < 6000 && loops(what) > 0; i++)
    g_usleep(10000);
  g_assert_cmpuint(loops(what), ==, 0);
}

static char *
pool_file(const char *dir, const char *name)
{
  g_autofree char *plain = g_build_filename(host.state, "pool", dir, name, NULL);

  return g_file_test(plain, G_FILE_TEST_EXISTS) ? g_steal_pointer(&plain)
                                                : g_build_filename(host.run, "pool", dir, name, NULL);
}

static guint
entries(const char *dir)
{
  g_autofree char *path = pool_file(dir, "");
  g_autoptr(GDir) g = g_dir_open(path, 0, NULL);
  guint n = 0;

  g_assert_nonnull(g);
  while (g_dir_read_name(g))
    n++;
  return n;
}

static void
assert_clean(const char *id)
{
  g_autoptr(GError) error = NULL;

  g_assert_true(d->detach(pool, id, &error));
  g_assert_no_error(error);
  g_assert_true(d->remove(pool, id, &error));
  g_assert_no_error(error);
  assert_no_loops(id);
}

static char *
fresh(const char *id, gint64 bytes)
{
  g_autoptr(GError) error = NULL;

  d->create(pool, id, bytes, &error);
  g_assert_no_error(error);
  char *where = d->attach(pool, id, &error);
  g_assert_no_error(error);
  return where;
}

static void
put(const char *where, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename(where, name, NULL);
  g_autoptr(GError) error = NULL;

  g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_DURABLE, 0600, &error);
  g_assert_no_error(error);
}

static void
assert_has(const char *where, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename(where, name, NULL);
  g_autofree char *got = NULL;
  g_autoptr(GError) error = NULL;

  g_file_get_contents(path, &got, NULL, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(got, ==, text);
}

static void
test_life(void)
{
  g_autofree char *id = vid("life");
  g_autoptr(GError) error = NULL;
  g_autofree char *where = fresh(id, 1 * GIB);
  g_autofree char *again = d->attach(pool, id, &error);

  g_assert_cmpstr(where, ==, again);
  g_assert_cmpuint(loops(id), ==, 1);
  put(where, "greeting", "hello");
  g_assert_false(d->remove(pool, id, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
  g_clear_error(&error);
  g_assert_true(d->create(pool, id, 1 * GIB, &error)); /* there already: its content stays */

  g_assert_true(d->detach(pool, id, &error));
  g_assert_true(d->detach(pool, id, &error));
  assert_no_loops(id);
  g_free(where);
  where = d->attach(pool, id, &error);
  g_assert_no_error(error);
  assert_has(where, "greeting", "hello");
  assert_clean(id);
  g_assert_true(d->remove(pool, id, &error));
  g_assert_null(d->attach(pool, id, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
}

static void
test_names(void)
{
  static const char *const bad[] = { "", ".", "..", "a/b", "../x", "A", "a b", ".hidden" };

  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_false(d->create(pool, bad[i], GIB, &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  }
  g_autofree char *id = vid("tiny");
  g_autoptr(GError) small = NULL, large = NULL;
  g_assert_false(d->create(pool, id, 1024, &small));
  g_assert_error(small, PT_ERROR, PT_ERR_INVALID);
  g_assert_false(d->create(pool, id, G_MAXINT64, &large));
  g_assert_error(large, PT_ERROR, PT_ERR_INVALID);
}

static void
test_sparse(void)
{
  g_autofree char *id = vid("sparse"), *where = fresh(id, 20 * GIB), *file = pool_file("volumes", id);
  g_autofree char *big = g_build_filename(where, "big", NULL);
  g_autofree char *junk = g_malloc(64 * MIB);
  g_autoptr(GError) error = NULL;
  gint64 used = 0, size = 0;
  GStatBuf st;

  g_assert_cmpint(g_stat(file, &st), ==, 0);
  g_assert_cmpint(st.st_size, ==, 20 * GIB);
  g_assert_cmpint((gint64)st.st_blocks * 512, <, 8 * MIB);
  g_assert_true(d->usage(pool, id, &used, &size, &error));
  g_assert_cmpint(size, ==, 20 * GIB);
  g_assert_cmpint(used, <, 64 * MIB);

  /* What is written takes space, and what is deleted gives it back. */
  pt_random(junk, 64 * MIB);
  g_assert_true(g_file_set_contents_full(big, junk, 64 * MIB, G_FILE_SET_CONTENTS_DURABLE, 0600, &error));
  g_assert_cmpint(g_stat(file, &st), ==, 0);
  g_assert_cmpint((gint64)st.st_blocks * 512, >=, 64 * MIB);
  unlink(big);
  for (guint i = 0; i < 1200 && (gint64)st.st_blocks * 512 > 32 * MIB; i++) {
    sync();
    g_usleep(50000);
    g_assert_cmpint(g_stat(file, &st), ==, 0);
  }
  g_assert_cmpint((gint64)st.st_blocks * 512, <, 32 * MIB);
  assert_clean(id);
}

static void
test_grow(void)
{
  g_autofree char *id = vid("grow"), *where = fresh(id, 256 * MIB);
  g_autoptr(GError) error = NULL;
  gint64 actual = 0, used = 0, size = 0;

  put(where, "kept", "yes");
  g_assert_false(d->resize(pool, id, 128 * MIB, &actual, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  g_clear_error(&error);

  d->resize(pool, id, 512 * MIB, &actual, &error); /* attached */
  g_assert_no_error(error);
  g_assert_cmpint(actual, ==, host.cap_sys_resource ? 512 * MIB : 256 * MIB);
  g_assert_true(d->usage(pool, id, &used, &size, &error));
  g_assert_cmpint(size, ==, actual);

  g_assert_true(d->detach(pool, id, &error));
  g_free(where);
  where = d->attach(pool, id, &error); /* makes up for it */
  g_assert_no_error(error);
  assert_has(where, "kept", "yes");
  g_assert_true(d->usage(pool, id, &used, &size, &error));
  g_assert_cmpint(size, ==, 512 * MIB);

  g_assert_true(d->detach(pool, id, &error));
  d->resize(pool, id, 40 * GIB, &actual, &error); /* not attached: at once */
  g_assert_no_error(error);
  g_assert_cmpint(actual, ==, 40 * GIB);
  g_free(where);
  where = d->attach(pool, id, &error);
  g_assert_no_error(error);
  assert_has(where, "kept", "yes");
  assert_clean(id);
}

static void
test_clone(void)
{
  g_autofree char *from = vid("from"), *to = vid("to"), *where = fresh(from, 1 * GIB);
  g_autoptr(GError) error = NULL;

  put(where, "file", "first");
  d->clone(pool, from, to, &error); /* of one in use */
  g_assert_no_error(error);
  put(where, "file", "second");
  g_autofree char *other = d->attach(pool, to, &error);
  g_assert_no_error(error);
  assert_has(other, "file", "first");
  assert_has(where, "file", "second");
  g_assert_false(d->clone(pool, "absent", to, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  assert_clean(from);
  assert_clean(to);
}

static gpointer
one_of_many(gpointer data)
{
  g_autofree char *name = g_strdup_printf("many%u", GPOINTER_TO_UINT(data)), *id = vid(name);
  g_autofree char *where = fresh(id, 3 * GIB); /* a size without a template: all want it at once */

  put(where, "me", id);
  assert_has(where, "me", id);
  assert_clean(id);
  return NULL;
}

static bool
count(gint64 done, gint64 total, void *data)
{
  g_assert_cmpint(done, <=, total);
  return --*(int *)data >= 0;
}

/* The disk of an unmodified system: the first volume copies what is data into the pool, the next one refers to it. */
static void
test_disk(void)
{
  g_autofree char *id = vid("disk"), *other = vid("disk2"), *empty = vid("empty"), *copy = vid("copy");
  g_autofree char *image = g_build_filename(host.state, "disk.raw", NULL), *key = g_strdup_printf("%s-key", tag),
                  *kept_name = g_strconcat("disk-", key, NULL);
  g_autoptr(GError) error = NULL;
  gint64 used = 0, size = 0, actual = 0;
  int patience = 0;
  char buf[8] = { 0 };
  PtVolumeSource source = { .file = image, .key = key, .report = count, .data = &patience };

  int fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
  g_assert_cmpint(ftruncate(fd, GIB), ==, 0);
  g_assert_cmpint(pwrite(fd, "system", 6, GIB / 2), ==, 6);
  close(fd);

  g_assert_false(d->create_from(pool, id, &source, GIB / 2, &error)); /* smaller than what is to be in it */
  g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
  g_clear_error(&error);
  g_assert_false(d->create_from(pool, id, &source, 2 * GIB, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CANCELLED);
  g_clear_error(&error);
  g_autofree char *nothing = pool_file("volumes", id);
  g_assert_false(g_file_test(nothing, G_FILE_TEST_EXISTS));
  g_assert_cmpuint(entries("tmp"), ==, 0);

  patience = 1;
  g_assert_true(d->create_from(pool, id, &source, 2 * GIB, &error));
  g_assert_true(d->create_from(pool, other, &source, GIB, &error)); /* nothing is copied any more */
  g_assert_true(d->create_from(pool, empty, &(PtVolumeSource){ 0 }, GIB, &error));
  g_assert_no_error(error);
  g_assert_true(d->usage(pool, id, &used, &size, &error));
  g_assert_cmpint(size, ==, 2 * GIB);
  g_assert_cmpint(used, <, GIB / 16);
  g_assert_null(d->attach(pool, id, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_UNSUPPORTED);
  g_clear_error(&error);
  g_assert_true(d->resize(pool, id, 3 * GIB, &actual, &error));
  g_assert_cmpint(actual, ==, 3 * GIB);
  g_assert_true(d->clone(pool, id, copy, &error));
  g_assert_true(d->usage(pool, copy, &used, &size, &error)); /* a raw one, too: nobody looks for ext4 in it */
  g_assert_no_error(error);

  g_autofree char *held = d->hold(pool, copy, &error);
  g_assert_no_error(error);
  fd = open(held, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint(pread(fd, buf, 6, GIB / 2), ==, 6);
  g_assert_cmpstr(buf, ==, "system");
  close(fd);
  unlink(held);
  g_autofree char *kept = pool_file("templates", kept_name);
  g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
  g_assert_true(d->forget(pool, key, &error) && d->forget(pool, key, &error));
  g_assert_false(g_file_test(kept, G_FILE_TEST_EXISTS));
  unlink(image);
  assert_clean(id);
  assert_clean(other);
  assert_clean(empty);
  assert_clean(copy);
}

static void
test_parallel(void)
{
  GThread *threads[20];

  for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
    threads[i] = g_thread_new("volume", one_of_many, GUINT_TO_POINTER(i));
  for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
    g_thread_join(threads[i]);
  g_autofree char *mine = vid("many");
  assert_no_loops(mine);
  g_assert_cmpuint(entries("tmp"), ==, 0);
}

static void
test_speed(void)
{
  gint64 best = G_MAXINT64;

  for (guint i = 0; i < 10; i++) {
    g_autofree char *id = vid("fast");
    gint64 start = g_get_monotonic_time();
    g_free(fresh(id, 20 * GIB));
    best = MIN(best, g_get_monotonic_time() - start);
    assert_clean(id);
  }
  g_test_minimized_result((double)best / 1000, "create and attach: %.1f ms", (double)best / 1000);
  g_test_message("create and attach: %.2f ms at best", (double)best / 1000);
}

static void
test_busy(void)
{
  g_autofree char *id = vid("busy"), *where = fresh(id, 64 * MIB);
  g_autoptr(GError) error = NULL;
  int root = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  pid_t pid = fork();

  g_assert_cmpint(pid, >=, 0);
  if (pid == 0) { /* holds the mount for a moment longer than we do */
    usleep(300000);
    _exit(0);
  }
  close(root);
  d->detach(pool, id, &error);
  g_assert_no_error(error);
  assert_no_loops(id);
  waitpid(pid, NULL, 0);
  assert_clean(id);
}

static void
test_full(void)
{
  g_autofree char *filler = pool_file("volumes", ""), *id = vid("none");
  g_autoptr(GError) error = NULL;
  PtPoolInfo info;

  g_assert_true(d->info(pool, &info, &error));
  g_assert_true(info.reflink);
  g_assert_cmpint(info.size, >=, 3 * GIB);
  if (info.available > 6 * GIB) {
    g_test_skip("the pool under test is too large to be filled");
    return;
  }
  int fd = open(filler, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint(fallocate(fd, 0, 0, info.available - 32 * MIB), ==, 0);
  g_assert_false(d->create(pool, id, GIB, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_NO_SPACE);
  g_assert_nonnull(pt_error_get_hint(error));
  close(fd);
  for (guint i = 0; i < 3000 && error; i++) { /* XFS frees what was deleted a little later */
    g_usleep(20000);
    g_clear_error(&error);
    d->create(pool, id, GIB, &error);
  }
  g_assert_no_error(error);
  assert_clean(id);
}

/* Creates, attaches, grows, detaches and removes for as long as it lives. */
static void G_GNUC_NORETURN
churn(const char *id)
{
  gint64 actual;

  for (gint64 i = 0;; i++) {
    g_autofree char *where = NULL;
    if (!d->create(pool, id, (64 + i % 512) * MIB, NULL) || !(where = d->attach(pool, id, NULL)))
      _exit(1);
    put(where, "x", "y");
    if (!d->resize(pool, id, (600 + i % 16) * MIB, &actual, NULL) || !d->detach(pool, id, NULL))
      _exit(2);
    if (i % 3 == 0)
      g_free(d->attach(pool, id, NULL)); /* the growth that waited */
    if (!d->detach(pool, id, NULL) || !d->remove(pool, id, NULL))
      _exit(3);
  }
}

static void
test_killed(void)
{
  g_autofree char *id = vid("killed");
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 25; i++) {
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0)
      churn(id);
    g_usleep((gulong)g_random_int_range(1000, 80000));
    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status)); /* and not because something failed */

    d->close(pool); /* what a new daemon would do */
    pool = d->open(&host, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(entries("tmp"), ==, 0);
    g_autofree char *where = fresh(id, 64 * MIB);
    put(where, "alive", "yes");
    assert_clean(id);
  }
}

/* A daemon that dies with its mount namespace leaves no loop device, and its successor finds the volume. */
static void
test_namespace_dies(void)
{
  g_autofree char *id = vid("ns");
  int status;
  pid_t pid = fork();

  g_assert_cmpint(pid, >=, 0);
  if (pid == 0) {
    PtHost other = host;
    g_autofree char *state = g_strconcat(host.state, "2", NULL);
    g_autofree char *run = g_strconcat(host.run, "2", NULL);

    other.state = state;
    other.run = run;
    if (unshare(CLONE_NEWNS) < 0 || g_mkdir_with_parents(state, 0700) < 0)
      _exit(1);
    PtPool *mine = d->open(&other, NULL);
    if (!mine || !d->create(mine, id, GIB, NULL) || !d->attach(mine, id, NULL))
      _exit(2);
    raise(SIGKILL);
  }
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  assert_no_loops(id);
  g_autofree char *file = g_strconcat(host.state, "2", NULL);
  assert_no_loops(file);
}

/* Two daemons over one state directory: the second is refused, the first not harmed. */
static void
test_second_daemon(void)
{
  PtHost other = host;
  g_autofree char *run = g_strconcat(host.run, "3", NULL), *file = g_build_filename(host.state, "pool.xfs", NULL);
  g_autoptr(GError) error = NULL;

  if (!g_file_test(file, G_FILE_TEST_EXISTS)) {
    g_test_skip("the pool under test is a directory");
    return;
  }
  other.run = run;
  g_assert_null(d->open(&other, &error));
  g_assert_error(error, PT_ERROR, PT_ERR_CONFLICT);
}

/* A small ext4 under the state directory: then the pool is a file, of the least size, and can be filled. */
static char *
small_disk(const char *top)
{
  g_autofree char *image = g_build_filename(top, "disk", NULL), *state = g_build_filename(top, "state", NULL);
  g_autofree char *command = g_strdup_printf("truncate -s 5G %s && mkfs.ext4 -q -F %s && mkdir %s && mount -o loop %s %s",
                                             image, image, state, image, state);
  int status = -1;

  const char *argv[] = { "sh", "-c", command, NULL };
  g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL));
  g_assert_cmpint(status, ==, 0);
  return g_steal_pointer(&state);
}

int
main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;

  g_test_init(&argc, &argv, NULL);
  if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
    g_print("1..0 # SKIP volumes need root and mount namespaces\n");
    return 0;
  }
  g_autofree char *top = g_dir_make_tmp("pt-volume-XXXXXX", &error);
  g_assert_no_error(error);
  g_autofree char *random = pt_random_hex(4);
  tag = g_strdup_printf("t%s", random);
  host.state = small_disk(top);
  host.run = g_build_filename(top, "run", NULL);
  pool = d->open(&host, &error);
  g_assert_no_error(error);

  g_test_add_func("/volume/life", test_life);
  g_test_add_func("/volume/names", test_names);
  g_test_add_func("/volume/sparse", test_sparse);
  g_test_add_func("/volume/grow", test_grow);
  g_test_add_func("/volume/clone", test_clone);
  g_test_add_func("/volume/disk", test_disk);
  g_test_add_func("/volume/parallel", test_parallel);
  g_test_add_func("/volume/speed", test_speed);
  g_test_add_func("/volume/busy", test_busy);
  g_test_add_func("/volume/full", test_full);
  g_test_add_func("/volume/killed", test_killed);
  g_test_add_func("/volume/namespace-dies", test_namespace_dies);
  g_test_add_func("/volume/second-daemon", test_second_daemon);
  int rc = g_test_run();

  d->close(pool);
  g_autofree char *where = g_build_filename(host.run, "pool", NULL);
  umount2(where, MNT_DETACH);
  umount2(host.state, MNT_DETACH);
  assert_no_loops(host.state);
  const char *const rm[] = { "rm", "-rf", "--one-file-system", top, NULL };
  g_spawn_sync(NULL, (char **)rm, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free(host.state);
  g_free(host.run);
  g_free(tag);
  return rc;
}
