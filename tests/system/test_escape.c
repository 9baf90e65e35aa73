// SPDX-License-Identifier: Apache-2.0
/* Ways out of a container that have worked against some runtime, as regression tests. Each plays the guest's part with all
 * that a guest may do and looks whether the node was touched. Root only. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "sys/guest.h"
#include "sys/mounts.h"
#include "sys/path.h"

static const char *const idle[] = { "sleep", "1000", NULL };

static char *
digest_of(const char *path)
{
  g_autofree char *data = NULL;
  gsize size = 0;

  g_assert_true(g_file_get_contents(path, &data, &size, NULL));
  return pt_sha256_hex(data, size);
}

static Said
sh(Bed *bed, Guest *g, const char *script)
{
  char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };

  return guest_exec(bed, g, &(PtExec){ .command = argv }, NULL, 0);
}

/* CVE-2019-5736: a guest's program is "#!/proc/self/exe", so that the runtime that enters the guest executes itself there, and
 * another process of the guest opens it through /proc/PID/exe and overwrites it. */
static void
overwrite_runtime(Bed *bed, void *data)
{
  g_autofree char *crun = g_find_program_in_path("crun");
  g_autofree char *monitor = g_build_filename(bed->host->libexec, "portena-monitor", NULL);
  g_autofree char *before = digest_of(crun), *monitor_before = digest_of(monitor);
  Guest *g = guest_new(bed, "overwrite", NULL);

  (void)data;
  guest_start(bed, g);
  guest_do(
    bed, g,
    "cp /bin/true /bin/real; printf '#!/proc/self/exe\\n' > /bin/lure; chmod 755 /bin/lure;"
    "cat > /catch.pl <<'E'\n"
    "my $end = time + 3; my $hit = 0; my %mine = map { $_ => 1 } glob('/proc/[0-9]*');\n"
    "while (time < $end) { for my $p (glob('/proc/[0-9]*')) { next if $mine{$p};\n"
    "  if (open(my $f, '+<', \"$p/exe\")) { my $to = readlink('/proc/self/fd/' . fileno($f)); next if $to =~ m{^/(usr|bin|real)}; $hit++; print $f 'gone'; close $f }\n"
    "} }\n"
    "open(my $o, '>', '/hits'); print $o $hit; close $o;\n"
    "E\n"
    "setsid perl /catch.pl < /dev/null > /dev/null 2>&1 &");
  char *lure[] = { (char *)"/bin/lure", NULL };
  for (int i = 0; i < 60; i++) {
    g_auto(Said) said = guest_exec(bed, g, &(PtExec){ .command = lure, .tty = i % 2 }, NULL, 0);
    g_assert_true(said.code != 0 || said.error >= 0);
    g_usleep(20000);
  }
  g_autofree char *hits = guest_sh(bed, g, "for i in $(seq 1200); do [ -s /hits ] && break; sleep 0.1; done; cat /hits");
  g_assert_cmpstr(hits, ==, "0");
  guest_stop(bed, g);
  guest_free(g);
  g_autofree char *after = digest_of(crun), *monitor_after = digest_of(monitor);
  g_assert_cmpstr(before, ==, after);
  g_assert_cmpstr(monitor_before, ==, monitor_after);
}

/* A directory of the node that a start with a hostile tree must not mount on, write to or change. */
typedef struct Bait {
  char *dir, *file;
  struct stat before;
} Bait;

static void
bait_init(Bait *b, const Bed *bed)
{
  b->dir = g_build_filename(bed->base, "bait", NULL);
  b->file = g_build_filename(b->dir, "file", NULL);
  g_assert_cmpint(g_mkdir(b->dir, 0777), ==, 0);
  g_assert_cmpint(chmod(b->dir, 0777), ==, 0);
  g_assert_true(g_file_set_contents(b->file, "untouched", -1, NULL));
  g_assert_cmpint(chmod(b->file, 0666), ==, 0);
  g_assert_cmpint(stat(b->dir, &b->before), ==, 0);
}

static void
bait_check(const Bait *b)
{
  g_autofree char *text = NULL;
  g_autoptr(GDir) d = g_dir_open(b->dir, 0, NULL);
  struct stat now;
  guint n = 0;

  while (g_dir_read_name(d))
    n++;
  g_assert_cmpuint(n, ==, 1);
  g_assert_false(pt_is_mounted(b->dir));
  g_assert_true(g_file_get_contents(b->file, &text, NULL, NULL));
  g_assert_cmpstr(text, ==, "untouched");
  g_assert_cmpint(stat(b->dir, &now), ==, 0);
  g_assert_cmpuint(now.st_mode, ==, b->before.st_mode);
  g_assert_cmpuint(now.st_uid, ==, b->before.st_uid);
  g_assert_cmpint(now.st_ctim.tv_sec, ==, b->before.st_ctim.tv_sec);
  g_assert_cmpint(now.st_ctim.tv_nsec, ==, b->before.st_ctim.tv_nsec);
}

static void
bait_clear(Bait *b)
{
  bait_check(b);
  g_free(b->dir);
  g_free(b->file);
}

static void
put_link(const Guest *g, const char *name, const char *target)
{
  g_autofree char *path = g_build_filename(g->volume, "upper", name, NULL);
  g_autofree char *dir = g_path_get_dirname(path);

  g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
  g_assert_cmpint(symlink(target, path), ==, 0);
}

/* CVE-2021-30465: mount destinations are symlinks, in every place where something is mounted or written at a start. A start may
 * fail or succeed; nothing may happen outside. */
static void
links_at_destinations(Bed *bed, void *data)
{
  static const char *const places[] = { "run", "tmp", "dev", "proc", "sys", "run/lock", "run/host", "dev/pts", "dev/shm", "sys/fs",
                                        "etc", "etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/hosts" };
  static const char *const forms[] = { "%s", "../../../../../../../..%s", "/proc/self/root%s", "/proc/1/root%s" };
  Bait bait;

  (void)data;
  bait_init(&bait, bed);
  for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
    for (guint k = 0; k < G_N_ELEMENTS(forms); k++) {
      g_autofree char *name = g_strdup_printf("links-%u-%u", i, k);
      g_autofree char *head = g_strndup(forms[k], strlen(forms[k]) - 2), *target = g_strconcat(head, bait.dir, NULL);
      Guest *g = guest_new(bed, name, k % 2 ? idle : NULL);
      g_autoptr(GError) error = NULL;

      put_link(g, places[i], target);
      if (pt_container_start(bed->c, &g->start, &error)) {
        g_auto(Said) tried = sh(bed, g, "cd / && ls -la . run tmp dev etc >/dev/null 2>&1; true");
        g_assert_null(strstr(tried.out->str, "untouched"));
        bait_check(&bait);
        guest_stop(bed, g);
      } else {
        g_assert_nonnull(error);
        g_assert_true(pt_container_clear(bed->c, g->spec->id, true, NULL));
      }
      bait_check(&bait);
      guest_free(g);
    }
  }
  bait_clear(&bait);
}

/* The same as a race: while starts go on, somebody who can write to the volume exchanges the directory with a link. */
typedef struct Racer {
  char *dir, *link;
  int stop;
} Racer;

static gpointer
race(gpointer data)
{
  Racer *r = data;

  while (!g_atomic_int_get(&r->stop)) {
    renameat2(AT_FDCWD, r->dir, AT_FDCWD, r->link, RENAME_EXCHANGE);
    g_usleep(100);
  }
  return NULL;
}

static void
exchanged_while_mounting(Bed *bed, void *data)
{
  static const char *const places[] = { "run", "tmp", "etc", "run/host" };
  Bait bait;

  (void)data;
  bait_init(&bait, bed);
  for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
    g_autofree char *name = g_strdup_printf("race-%u", i), *linkname = g_strconcat(places[i], "-link", NULL);
    Guest *g = guest_new(bed, name, NULL);
    g_autofree char *dir = g_build_filename(g->volume, "upper", places[i], NULL);
    g_autofree char *link = g_build_filename(g->volume, "upper", linkname, NULL);
    Racer racer = { dir, link, 0 };

    put_link(g, linkname, bait.dir);
    g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
    GThread *thread = g_thread_new("race", race, &racer);
    for (int k = 0; k < 12; k++) {
      g_autoptr(GError) error = NULL;

      if (pt_container_start(bed->c, &g->start, &error))
        guest_stop(bed, g);
      else
        g_assert_true(pt_container_clear(bed->c, g->spec->id, true, NULL));
      bait_check(&bait);
    }
    g_atomic_int_set(&racer.stop, 1);
    g_thread_join(thread);
    guest_free(g);
  }
  bait_clear(&bait);
}

/* A volume that a machine's kernel has written: what the overlay is made of is a link itself. */
static void
hostile_volume(Bed *bed, void *data)
{
  static const char *const names[] = { "upper", "work" };
  Bait bait;

  (void)data;
  bait_init(&bait, bed);
  for (guint i = 0; i < 4; i++) {
    g_autofree char *name = g_strdup_printf("volume-%u", i);
    Guest *g = guest_new(bed, name, idle);
    g_autofree char *path = g_build_filename(g->volume, names[i % 2], NULL);
    g_autoptr(GError) error = NULL;

    if (i < 2)
      g_assert_cmpint(symlink(bait.dir, path), ==, 0);
    else
      g_assert_true(g_file_set_contents(path, "a file", -1, NULL));
    g_assert_false(pt_container_start(bed->c, &g->start, &error));
    g_assert_nonnull(error);
    g_assert_true(pt_container_clear(bed->c, g->spec->id, true, NULL));
    bait_check(&bait);
    guest_free(g);
  }
  bait_clear(&bait);
}

/* CVE-2024-21626: a descriptor of the node's leaks into what starts in the guest, and "/proc/self/fd/N" as working directory makes
 * it its way out. */
static void
leaked_descriptors(Bed *bed, void *data)
{
  Bait bait;
  Guest *g;

  (void)data;
  bait_init(&bait, bed);
  /* Something to leak: this daemon holds the node's root open, without close-on-exec. */
  int leak = open("/", O_RDONLY | O_DIRECTORY);
  g_assert_cmpint(fcntl(leak, F_GETFD) & FD_CLOEXEC, ==, 0);
  g = guest_new(bed, "leak", idle);
  guest_start(bed, g);
  /* The first process may be on its way yet from the runtime's program to its own. */
  g_autofree char *first = guest_sh(bed, g, "for i in $(seq 1200); do f=$(ls /proc/1/fd | tr '\\n' ' '); [ \"$f\" = '0 1 2 ' ] && break; sleep 0.1; done; echo \"$f\"");
  g_assert_cmpstr(first, ==, "0 1 2 \n");
  g_autofree char *own = guest_sh(bed, g, "ls /proc/self/fd | tr '\\n' ' '");
  g_assert_cmpstr(own, ==, "0 1 2 3 "); /* 3: ls reads the directory */
  g_autofree char *find = g_strdup_printf("pwd; cat ../../../../../../../..%s ./%s .%s 2>/dev/null; true", bait.file, bait.file, bait.file);
  for (int fd = 3; fd < 32; fd++) {
    g_autofree char *cwd = g_strdup_printf("/proc/self/fd/%d", fd);
    char *argv[] = { (char *)"sh", (char *)"-c", find, NULL };
    g_auto(Said) said = guest_exec(bed, g, &(PtExec){ .command = argv, .cwd = cwd }, NULL, 0);

    g_assert_null(strstr(said.out->str, "untouched"));
    g_assert_cmpint(said.code, !=, 0);
  }
  guest_stop(bed, g);
  /* The same for the first process, by link too. */
  for (int fd = 3; fd < 16; fd++) {
    g_autofree char *name = g_strdup_printf("leak-%d", fd), *target = g_strdup_printf("/proc/self/fd/%d", fd);
    const char *const command[] = { "sh", "-c", find, NULL };
    g_autoptr(GError) error = NULL;
    Guest *one = guest_new(bed, name, command);
    gsize size;

    one->spec->cwd = g_strdup(fd % 2 ? "/way" : target);
    if (fd % 2)
      put_link(one, "way", target);
    if (pt_container_start(bed->c, &one->start, &error)) {
      pt_container_stop(bed->c, one->spec->id, one->spec, one->image, 2 * G_USEC_PER_SEC, NULL, NULL);
      g_autofree char *log = pt_container_logs(bed->c, one->spec->id, 10000, &size, NULL);
      g_assert_null(strstr(log, "untouched"));
    }
    g_assert_true(pt_container_clear(bed->c, one->spec->id, true, NULL));
    guest_free(one);
  }
  close(leak);
  guest_free(g);
  bait_clear(&bait);
}

/* CVE-2025-31133, -52565, -52881: /dev/null, /dev/console and /dev/pts of the image are links, so that what masks paths, or is
 * written by the runtime, lands elsewhere. */
static void
masks(Bed *bed, void *data)
{
  static const char *const targets[] = { "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/etc/shadow" };
  g_autofree char *pattern = NULL, *pattern_after = NULL;

  (void)data;
  g_assert_true(g_file_get_contents("/proc/sys/kernel/core_pattern", &pattern, NULL, NULL));
  for (guint i = 0; i < G_N_ELEMENTS(targets); i++) {
    g_autofree char *name = g_strdup_printf("mask-%u", i);
    Guest *g = guest_new(bed, name, idle);

    put_link(g, "dev/null", targets[i]);
    put_link(g, "dev/console", targets[i]);
    put_link(g, "dev/ptmx", targets[i]);
    guest_start(bed, g);
    g_autofree char *null = guest_sh(bed, g, "stat -c '%F %t:%T' /dev/null; head -c 1 /dev/null | wc -c; cat /proc/kcore | wc -c; cat /proc/keys | wc -c");
    g_assert_cmpstr(null, ==, "character special file 1:3\n0\n0\n0\n");
    g_auto(Said) writes = sh(bed, g, "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/irq/0/smp_affinity; do "
                                     "(echo x > $f) 2>/dev/null && echo wrote $f; done; true");
    g_assert_cmpstr(writes.out->str, ==, "");
    guest_stop(bed, g);
    guest_free(g);
  }
  g_assert_true(g_file_get_contents("/proc/sys/kernel/core_pattern", &pattern_after, NULL, NULL));
  g_assert_cmpstr(pattern, ==, pattern_after);
}

/* What root in a guest must not be able to do, by table; each must fail. */
static void
powers(Bed *bed, void *data)
{
  static const char *const both[] = {
    "mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk",
    "mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem",
    "echo x > /proc/sys/kernel/core_pattern",
    "echo b > /proc/sysrq-trigger",
    "echo 1 > /proc/sys/vm/drop_caches",
    "echo 0 > /sys/fs/cgroup/memory.max",
    "echo 99 > /sys/fs/cgroup/cgroup.max.depth",
    "date -s 2001-01-01",
#if defined(__x86_64__)
    "perl -e 'exit(syscall(321, 0, 0, 0) >= 0 || $! != 1 ? 0 : 1)'", /* bpf */
    "perl -e 'exit(syscall(250, 0, -3, 0) >= 0 || $! != 1 ? 0 : 1)'",                                  /* keyctl */
    "perl -e 'exit(syscall(304, 0, 0, 0) >= 0 || $! != 1 ? 0 : 1)'",                                   /* open_by_handle_at */
    "perl -e 'exit(syscall(425, 1, 0) >= 0 || $! != 38 ? 0 : 1)'",                                     /* io_uring_setup */
    "perl -e 'exit(syscall(323, 0) >= 0 || $! != 1 ? 0 : 1)'",                                         /* userfaultfd */
    "perl -e 'exit(syscall(41, 38, 5, 0) >= 0 || $! != 97 ? 0 : 1)'",                                  /* AF_ALG */
    "perl -e 'exit(syscall(41, 40, 1, 0) >= 0 || $! != 97 ? 0 : 1)'",                                  /* AF_VSOCK */
#endif
    "dmesg",
    "ls /run/host/notify/..something",
    "test $(cat /proc/self/uid_map | wc -l) != 1",
    "bash -c 'for i in $(seq 300); do exec {fd}<>/dev/ptmx || exit 1; done'", /* all of the node's terminals */
    "kill -0 2147483",
    NULL,
  };
  static const char *const app[] = {
    "mount -t tmpfs none /mnt", "umount /proc", "unshare -U true", "unshare -m true", "unshare -n true", "echo x > /sys/fs/cgroup/x",
    "mkdir /sys/fs/cgroup/x", "chroot / mount -t proc none /mnt", "ls /run/host", "grep -q 'NoNewPrivs:.0' /proc/self/status", NULL,
  };

  (void)data;
  for (int kind = 0; kind < 2; kind++) {
    Guest *g = guest_new(bed, kind ? "powers-app" : "powers-system", kind ? idle : NULL);

    guest_start(bed, g);
    for (const char *const *list = both; list; list = list == both && kind ? app : NULL) {
      for (const char *const *s = list; *s; s++) {
        g_auto(Said) said = sh(bed, g, *s);

        if (said.code == 0)
          g_error("a guest may '%s': %s", *s, said.out->str);
      }
    }
    guest_stop(bed, g);
    guest_free(g);
  }
}

/* Two guests: nothing of one is to be seen or owned in the other, and neither's ids are the node's. */
static void
apart(Bed *bed, void *data)
{
  Guest *a = guest_new(bed, "a", idle), *b = guest_new(bed, "b", idle);
  g_autoptr(GError) error = NULL;
  PtContainerState sa, sb;
  g_autofree char *path = NULL;
  struct stat st;

  (void)data;
  guest_start(bed, a);
  guest_start(bed, b);
  g_assert_true(pt_container_state(bed->c, a->spec->id, &sa, &error) && pt_container_state(bed->c, b->spec->id, &sb, &error));
  path = g_strdup_printf("/proc/%d", (int)sa.pid);
  g_assert_cmpint(stat(path, &st), ==, 0);
  g_assert_cmpint(st.st_uid, ==, a->start.idbase);
  static const char *const spaces[] = { "user", "mnt", "net", "pid", "ipc", "uts", "cgroup" };
  for (guint i = 0; i < G_N_ELEMENTS(spaces); i++) {
    struct stat in_a, in_b, in_us;
    g_autofree char *pa = g_strdup_printf("/proc/%d/ns/%s", (int)sa.pid, spaces[i]);
    g_autofree char *pb = g_strdup_printf("/proc/%d/ns/%s", (int)sb.pid, spaces[i]);
    g_autofree char *us = g_strdup_printf("/proc/self/ns/%s", spaces[i]);

    g_assert_true(stat(pa, &in_a) == 0 && stat(pb, &in_b) == 0 && stat(us, &in_us) == 0);
    g_assert_true(in_a.st_ino != in_b.st_ino && in_a.st_ino != in_us.st_ino && in_b.st_ino != in_us.st_ino);
  }
  g_autofree char *seen = guest_sh(bed, a, "ls -d /proc/[0-9]* | wc -l; cat /proc/mounts");
  g_assert_true(atoi(seen) < 8);
  g_assert_null(strstr(seen, bed->run)); /* no mount of the node's is visible */
  guest_stop(bed, a);
  guest_stop(bed, b);
  guest_free(a);
  guest_free(b);
}

/* Root's eyes in a guest's tree: procfs would show the node's own memory, and a file system that the guest answers for would hold
 * us for ever (an overlay of its own stands for one here). */
static void
looked_at_from_outside(Bed *bed, void *data)
{
  static const char *const closed[] = { "/proc/version", "/proc/kcore", "/proc/1/environ", "/sys/kernel/uevent_seqnum",
                                        "/sys/fs/cgroup/cgroup.procs", "/to-proc/version", "/deep/file", "/over/m/f", "/tmp/out/version",
                                        "/tmp/../proc/version", "/run/../over/m/f" };
  static const char *const open_ones[] = { "/tmp/here", "/var/run/here", "/run/here", "/etc/hostname", "/tmp/in/here", "/tmp/../etc/hostname",
                                           "/tmp/../../../run/here" };
  Guest *g = guest_new(bed, "outside", NULL);
  struct stat st;

  (void)data;
  guest_start(bed, g);
  guest_do(bed, g, "ln -s /proc /to-proc; mkdir /deep; ln -s ../to-proc/./version /deep/file; echo yes > /tmp/here; echo yes > /run/here;"
                   "ln -s /proc /tmp/out; ln -s ../run /tmp/in; rm -rf /var/run; ln -s /run /var/run;"
                   "mkdir /over; mount -t tmpfs none /over; mkdir /over/l /over/u /over/w /over/m;"
                   "mount -t overlay -o lowerdir=/over/l,upperdir=/over/u,workdir=/over/w none /over/m; echo x > /over/m/f");
  int root = pt_container_root(bed->c, g->spec->id, NULL);
  g_assert_cmpint(root, >=, 0);
  for (guint i = 0; i < G_N_ELEMENTS(closed); i++) {
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    g_assert_false(pt_path_read(root, closed[i], 1000, &text, NULL, &error));
    g_assert_error(error, PT_ERROR, PT_ERR_FORBIDDEN);
    g_assert_cmpint(pt_path_open(root, closed[i], O_PATH, 0, 0, NULL), ==, -1);
  }
  for (guint i = 0; i < G_N_ELEMENTS(open_ones); i++) {
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    pt_path_read(root, open_ones[i], 1000, &text, NULL, &error);
    g_assert_no_error(error);
  }
  g_assert_false(pt_path_mkdir(root, "/sys/fs/cgroup/made", 0755, (uid_t)g->start.idbase, (gid_t)g->start.idbase, NULL));
  g_assert_false(pt_path_remove(root, "/sys/fs/cgroup/init.scope", true, NULL));
  g_autoptr(GError) not_written = NULL;
  pt_path_write(root, "/tmp/out-of-it", "made", 4, 0644, (uid_t)g->start.idbase, (gid_t)g->start.idbase, &not_written);
  g_assert_no_error(not_written);
  int top = pt_path_open(root, "/", O_RDONLY | O_DIRECTORY, 0, 0, NULL);
  g_assert_true(!pt_path_stat_entry(top, "proc", &st) && errno == EXDEV);
  g_assert_true(pt_path_stat_entry(top, "etc", &st));
  close(top);
  pt_guest_root_close(root);
  g_autofree char *made = guest_sh(bed, g, "cat /tmp/out-of-it");
  g_assert_cmpstr(made, ==, "made");
  guest_stop(bed, g);
  guest_free(g);
}

/* What a name means is read from the guest's passwd: it may be a file that never ends, and its desktop a socket that nobody
 * answers. */
static void
lies_about_itself(Bed *bed, void *data)
{
  Guest *g = guest_new(bed, "lies", NULL);
  char *argv[] = { (char *)"true", NULL };
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) refused = NULL;
  int fd;

  (void)data;
  guest_start(bed, g);
  guest_do(bed, g, "ln -sf /proc/kmsg /etc/passwd; ln -sf /dev/zero /etc/group; mkdir -p /run/x;"
                   "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(\"/run/x/sock\")); listen(S, 0); fork and exit; sleep 60' "
                   "</dev/null >/dev/null 2>&1");
  g_assert_cmpint(pt_container_exec(bed->c, g->spec->id, g->spec, g->image, &(PtExec){ .command = argv, .user = (char *)"user" }, &error), ==, -1);
  g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
  GPtrArray *all = pt_container_processes(bed->c, g->spec->id, NULL);
  g_assert_nonnull(all);
  g_ptr_array_unref(all);
  gint64 began = g_get_monotonic_time();
  for (int i = 0; i < 3 && (fd = pt_container_desktop(bed->c, g->spec->id, "/run/x/sock", &refused)) >= 0; i++)
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, 0); /* held open, so that the queue stays full */
  g_assert_error(refused, PT_ERROR, PT_ERR_NOT_FOUND);
  g_assert_cmpint(g_get_monotonic_time() - began, <, 120 * G_USEC_PER_SEC); /* and not for ever */
  guest_stop(bed, g);
  guest_free(g);
}

/* The unit file spares the daemon when memory runs out; guests, first process and commands, are not spared with it. */
static void
out_of_memory_as_others(Bed *bed, void *data)
{
  Guest *g = guest_new(bed, "memory", idle);

  (void)data;
  g_assert_true(g_file_set_contents_full("/proc/self/oom_score_adj", "500", -1, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
  guest_start(bed, g);
  g_autofree char *seen = guest_sh(bed, g, "cat /proc/1/oom_score_adj /proc/self/oom_score_adj");
  g_assert_cmpstr(seen, ==, "0\n0\n");
  guest_stop(bed, g);
  guest_free(g);
}

static void
put_probe(Bed *bed, Guest *g)
{
  char *put[] = { (char *)"sh", (char *)"-c", (char *)"cat > /probe; chmod 755 /probe", NULL };
  g_autofree char *program = NULL;
  gsize size = 0;

  g_assert_true(g_file_get_contents(g_getenv("PORTENA_PROBE"), &program, &size, NULL));
  g_auto(Said) copied = guest_exec(bed, g, &(PtExec){ .command = put }, program, size);
  g_assert_cmpint(copied.code, ==, 0);
}

/* Its command line is a file that never comes: the list of processes does, and other instances' as ever. */
static void
endless_command_line(Bed *bed, void *data)
{
  Guest *g = guest_new(bed, "endless", NULL);
  bool named = false;

  (void)data;
  if (access("/dev/fuse", R_OK) < 0) {
    g_test_message("no FUSE here");
    guest_free(g);
    return;
  }
  guest_start(bed, g);
  put_probe(bed, g);
  guest_do(bed, g, "/probe hang > /out 2>&1 < /dev/null & for i in $(seq 1200); do grep -q ready /out && break; sleep 0.1; done; grep ready /out");
  for (int i = 0; i < 2 || (i < 1200 && !named); i++, g_usleep(50000)) { /* a moment after that it hangs */
    gint64 began = g_get_monotonic_time();
    GPtrArray *all = pt_container_processes(bed->c, g->spec->id, NULL);

    g_assert_nonnull(all);
    g_assert_cmpint(g_get_monotonic_time() - began, <, 120 * G_USEC_PER_SEC);
    for (guint k = 0; k < all->len; k++)
      named |= strcmp(((PtProcess *)g_ptr_array_index(all, k))->command, "[probe]") == 0;
    g_ptr_array_unref(all);
  }
  g_assert_true(named);
  guest_stop(bed, g); /* which ends the thread that still reads */
  guest_free(g);
}

/* Families of sockets that a guest does not get, asked for by the 32-bit table, where the filter sees a pointer only. */
static void
sockets_of_32_bits(Bed *bed, void *data)
{
  static const char *const families[] = { "38", "40", "21", "30" }; /* ALG, VSOCK, RDS, TIPC */

  (void)data;
  for (int kind = 0; kind < 2; kind++) {
    Guest *g = guest_new(bed, kind ? "bits-app" : "bits-system", kind ? idle : NULL);

    guest_start(bed, g);
    put_probe(bed, g);
    g_auto(Said) usual = sh(bed, g, "/probe 1");
    g_assert_cmpint(usual.code, ==, 0); /* the probe itself works */
    for (guint i = 0; i < G_N_ELEMENTS(families); i++) {
      g_autofree char *script = g_strdup_printf("/probe %s", families[i]);
      g_auto(Said) said = sh(bed, g, script);

      if (said.code == 0)
        g_error("a guest gets a socket of family %s", families[i]);
    }
    guest_stop(bed, g);
    guest_free(g);
  }
}

static void
test_one(gconstpointer fn)
{
  Bed bed;

  if (bed_init(&bed))
    as_daemon(&bed, (void (*)(Bed *, void *))fn, NULL);
  bed_clear(&bed);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/escape/overwrite-the-runtime", (gconstpointer)overwrite_runtime, test_one);
  g_test_add_data_func("/escape/links-at-destinations", (gconstpointer)links_at_destinations, test_one);
  g_test_add_data_func("/escape/exchanged-while-mounting", (gconstpointer)exchanged_while_mounting, test_one);
  g_test_add_data_func("/escape/hostile-volume", (gconstpointer)hostile_volume, test_one);
  g_test_add_data_func("/escape/leaked-descriptors", (gconstpointer)leaked_descriptors, test_one);
  g_test_add_data_func("/escape/masks", (gconstpointer)masks, test_one);
  g_test_add_data_func("/escape/powers", (gconstpointer)powers, test_one);
  g_test_add_data_func("/escape/apart", (gconstpointer)apart, test_one);
  g_test_add_data_func("/escape/out-of-memory-as-others", (gconstpointer)out_of_memory_as_others, test_one);
  g_test_add_data_func("/escape/endless-command-line", (gconstpointer)endless_command_line, test_one);
  g_test_add_data_func("/escape/sockets-of-32-bits", (gconstpointer)sockets_of_32_bits, test_one);
  g_test_add_data_func("/escape/looked-at-from-outside", (gconstpointer)looked_at_from_outside, test_one);
  g_test_add_data_func("/escape/lies-about-itself", (gconstpointer)lies_about_itself, test_one);
  return g_test_run();
}
