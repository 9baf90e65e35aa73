// SPDX-License-Identifier: Apache-2.0
/* The parts of the container driver that need no container: users of hostile passwd files, signals, the OCI description. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/container/internal.h"
#include "sys/arch.h"
#include "sys/path.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
                             "broken line\n"
                             ":::::::\n"
                             "few:x:1:1\n"
                             "minus:x:-1:-1::/:/bin/sh\n"
                             "over:x:65536:1::/:/bin/sh\n"
                             "huge:x:99999999999999999999:1::/:/bin/sh\n"
                             "hex:x:0x10:1::/:/bin/sh\n"
                             "anna:x:1000:1001:Anna,,,:/home/anna:/bin/zsh\n"
                             "anna:x:1:1:again:/wrong:/wrong\n"
                             "rel:x:1002:1002::home/rel:bin/sh\n"
                             "bad\xff:x:1003:1003::/h\xff:/bin/sh\n"
                             "last:x:1004:1004::/home/last:/bin/sh";
static const char group[] = "root:x:0:\naudio:x:29:anna,root\nvideo:x:44:anna\nnone:x:-5:anna\nbig:x:70000:anna\nanna:x:1001:\n";

typedef struct Root {
  char *dir;
  int fd;
} Root;

static void
root_init(Root *r)
{
  g_autoptr(GError) error = NULL;

  r->dir = g_dir_make_tmp("pt-user-XXXXXX", &error);
  g_assert_no_error(error);
  r->fd = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_assert_true(pt_path_mkdir(r->fd, "/etc", 0755, getuid(), getgid(), &error));
  g_assert_true(pt_path_write(r->fd, "/etc/passwd", passwd, sizeof passwd - 1, 0644, getuid(), getgid(), &error));
  g_assert_true(pt_path_write(r->fd, "/etc/group", group, sizeof group - 1, 0644, getuid(), getgid(), &error));
}

static void
root_clear(Root *r)
{
  g_autoptr(GError) error = NULL;

  g_assert_true(pt_path_remove(r->fd, "/etc", true, &error));
  close(r->fd);
  g_assert_cmpint(g_rmdir(r->dir), ==, 0);
  g_free(r->dir);
}

static void
test_users(void)
{
  static const struct {
    const char *who;
    gint64 uid, gid; /* -1: NOT_FOUND */
    const char *home, *shell;
    guint groups;
  } rows[] = {
    { NULL, 0, 0, "/root", "/bin/bash", 1 },
    { "", 0, 0, "/root", "/bin/bash", 1 },
    { "root", 0, 0, "/root", "/bin/bash", 1 },
    { "anna", 1000, 1001, "/home/anna", "/bin/zsh", 2 },
    { "1000", 1000, 1001, "/home/anna", "/bin/zsh", 2 },
    { "anna:video", 1000, 44, "/home/anna", "/bin/zsh", 0 },
    { "anna:7", 1000, 7, "/home/anna", "/bin/zsh", 0 },
    { "4242", 4242, 0, "/", "/bin/sh", 0 },
    { "4242:4343", 4242, 4343, "/", "/bin/sh", 0 },
    { "rel", 1002, 1002, "/", "/bin/sh", 0 },
    { "last", 1004, 1004, "/home/last", "/bin/sh", 0 },
    { "nobody-here", -1, 0, NULL, NULL, 0 },
    { "minus", -1, 0, NULL, NULL, 0 },
    { "over", -1, 0, NULL, NULL, 0 },
    { "huge", -1, 0, NULL, NULL, 0 },
    { "hex", -1, 0, NULL, NULL, 0 },
    { "few", -1, 0, NULL, NULL, 0 },
    { "-1", -1, 0, NULL, NULL, 0 },
    { "65536", -1, 0, NULL, NULL, 0 },
    { "anna:none", -1, 0, NULL, NULL, 0 },
    { "anna:big", -1, 0, NULL, NULL, 0 },
    { "anna:", -1, 0, NULL, NULL, 0 },
  };
  Root r;

  root_init(&r);
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_auto(PtGuestUser) user = { 0 };
    g_autoptr(GError) error = NULL;
    bool ok = pt_guest_user(r.fd, rows[i].who, &user, &error);

    if (rows[i].uid < 0) {
      g_assert_false(ok);
      g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
      g_assert_nonnull(pt_error_get_hint(error));
      continue;
    }
    g_assert_no_error(error);
    g_assert_cmpint(user.uid, ==, rows[i].uid);
    g_assert_cmpint(user.gid, ==, rows[i].gid);
    g_assert_cmpstr(user.home, ==, rows[i].home);
    g_assert_cmpstr(user.shell, ==, rows[i].shell);
    g_assert_cmpuint(user.groups->len, ==, rows[i].groups);
  }
  g_autoptr(GHashTable) names = pt_guest_user_names(r.fd);
  g_assert_cmpstr(g_hash_table_lookup(names, GUINT_TO_POINTER(1000)), ==, "anna");
  g_assert_true(g_utf8_validate(g_hash_table_lookup(names, GUINT_TO_POINTER(1003)), -1, NULL));
  root_clear(&r);
}

/* No passwd, a link out of the tree, a FIFO, one without end: root is root, nobody else is there, and nothing hangs. */
static void
test_users_absent(void)
{
  Root r;
  g_autoptr(GError) error = NULL;

  root_init(&r);
  for (int i = 0; i < 3; i++) {
    g_auto(PtGuestUser) user = { 0 };
    g_autofree char *path = g_build_filename(r.dir, "etc/passwd", NULL);

    g_assert_cmpint(g_unlink(path), ==, 0);
    if (i == 1)
      g_assert_cmpint(symlink("/proc/self/root/etc/passwd", path), ==, 0);
    if (i == 2)
      g_assert_cmpint(mkfifo(path, 0666), ==, 0);
    g_assert_true(pt_guest_user(r.fd, NULL, &user, &error));
    g_assert_cmpuint(user.uid, ==, 0);
    g_assert_cmpstr(user.shell, ==, "/bin/sh");
    g_assert_false(pt_guest_user(r.fd, "daemon", &(PtGuestUser){ 0 }, &error));
    g_assert_error(error, PT_ERROR, PT_ERR_NOT_FOUND);
    g_clear_error(&error);
    if (i == 0)
      g_assert_true(pt_path_write(r.fd, "/etc/passwd", "", 0, 0644, getuid(), getgid(), &error));
  }
  root_clear(&r);
}

static void
test_signals(void)
{
  static const struct {
    const char *name;
    int number;
  } rows[] = { { "SIGTERM", 15 },  { "TERM", 15 },  { "15", 15 },        { "SIGRTMIN+3", 37 }, { "RTMIN+3", 37 }, { "SIGQUIT", 3 },
               { "SIGWINCH", 28 }, { NULL, 0 },     { "", 0 },           { "0", 0 },           { "65", 0 },       { "-9", 0 },
               { "SIGNONE", 0 },   { "RTMIN+", 0 }, { "RTMIN+31", 0 },   { "RTMIN+x", 0 },     { "SIG", 0 },      { "term", 0 } };

  for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
    g_assert_cmpint(pt_signal_parse(rows[i].name), ==, rows[i].number);
}

static void
test_uuid(void)
{
  g_autofree char *a = pt_ct_uuid("01m7vpa3bg70gj1a8aed7a2986"), *b = pt_ct_uuid("01m7vpa3bg70gj1a8aed7a2986");
  g_autofree char *c = pt_ct_uuid("01m7vpa3bg70gj1a8aed7a2987");

  g_assert_cmpstr(a, ==, b);
  g_assert_cmpstr(a, !=, c);
  g_assert_cmpuint(strlen(a), ==, 32);
  g_assert_cmpuint(strspn(a, "0123456789abcdef"), ==, 32);
  g_assert_cmpint(a[12], ==, '4');
}

static bool
has_string(const json_t *list, const char *want)
{
  size_t i;
  json_t *v;

  json_array_foreach (list, i, v) {
    if (g_strcmp0(json_string_value(v), want) == 0)
      return true;
  }
  return false;
}

static const char *
mount_options(const json_t *config, const char *where)
{
  const json_t *list = json_object_get(config, "mounts");
  static char text[512];

  *text = 0;
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *m = json_array_get(list, i), *options = json_object_get(m, "options");
    for (size_t k = 0; g_strcmp0(json_string_value(json_object_get(m, "destination")), where) == 0 && k < json_array_size(options); k++) {
      g_strlcat(text, json_string_value(json_array_get(options, k)), sizeof text);
      g_strlcat(text, ",", sizeof text);
    }
  }
  return text;
}

static bool
has_mount(const json_t *config, const char *where)
{
  const json_t *list = json_object_get(config, "mounts");

  for (size_t i = 0; i < json_array_size(list); i++)
    if (g_strcmp0(json_string_value(json_object_get(json_array_get(list, i), "destination")), where) == 0)
      return true;
  return false;
}

static void
test_config(void)
{
  PtHost host = { .cgroup = (char *)"pt", .run = (char *)"/run/x" };
  PtGuestUser root = { .home = (char *)"/root", .shell = (char *)"/bin/sh" };
  PtGuestUser user = { .home = (char *)"/", .shell = (char *)"/bin/sh", .uid = 5, .gid = 60 };

  for (int system = 0; system < 2; system++) {
    PtInstance *spec = pt_record_new(&pt_instance_type);
    PtImage *image = pt_record_new(&pt_image_type);
    PtContainerStart start = { .spec = spec, .image = image, .idbase = 0x20000000 };
    PtConfigInput in = { &host, &start, "/run/x/root", "/run/x/notify", "uuid", system ? &root : &user };
    g_autoptr(GError) error = NULL;

    spec->id = g_strdup("01m7vpa3bg70gj1a8aed7a2986");
    spec->name = g_strdup("web");
    spec->init = system ? PT_INIT_SYSTEM : PT_INIT_APP;
    if (!system) {
      g_assert_null(pt_config_build(&in, &error)); /* nothing says what to run */
      g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
      g_assert_nonnull(pt_error_get_hint(error));
      g_clear_error(&error);
      spec->command = g_strsplit("sleep 1", " ", -1);
    }
    g_autoptr(json_t) c = pt_config_build(&in, &error);
    g_assert_no_error(error);
    g_assert_false(has_mount(c, PT_FOREIGN_DIR));
    g_assert_nonnull(strstr(mount_options(c, "/dev/pts"), "max=256,"));
    in.rule = ":a rule";
    g_autoptr(json_t) foreign = pt_config_build(&in, &error);
    g_assert_true(has_mount(foreign, PT_FOREIGN_DIR));
    const json_t *process = json_object_get(c, "process"), *linux_part = json_object_get(c, "linux");
    const json_t *caps = json_object_get(process, "capabilities");
    g_assert_true(has_string(json_object_get(caps, "bounding"), "CAP_SYS_ADMIN") == system);
    g_assert_true(has_string(json_object_get(caps, "effective"), "CAP_CHOWN") == system); /* the app's user is not root */
    g_assert_true(json_is_true(json_object_get(process, "noNewPrivileges")) == !system);
    g_assert_true(has_string(json_object_get(process, "args"), system ? "/sbin/init" : "sleep"));
    g_assert_true(has_string(json_object_get(linux_part, "maskedPaths"), "/proc/kcore") == !system);
    const json_t *map = json_array_get(json_object_get(linux_part, "uidMappings"), 0);
    g_assert_cmpint(json_integer_value(json_object_get(map, "hostID")), ==, 0x20000000);
    g_assert_cmpint(json_integer_value(json_object_get(map, "size")), ==, 65536);
    g_assert_cmpstr(json_string_value(json_object_get(linux_part, "cgroupsPath")), ==, "/pt/01m7vpa3bg70gj1a8aed7a2986");
    g_free(spec->name);
    spec->name = g_strdup("not\xffutf8");
    g_assert_null(pt_config_build(&in, &error));
    g_assert_error(error, PT_ERROR, PT_ERR_INVALID);
    pt_record_free(&pt_instance_type, spec);
    pt_record_free(&pt_image_type, image);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/container/users", test_users);
  g_test_add_func("/container/users/absent", test_users_absent);
  g_test_add_func("/container/signals", test_signals);
  g_test_add_func("/container/uuid", test_uuid);
  g_test_add_func("/container/config", test_config);
  return g_test_run();
}
