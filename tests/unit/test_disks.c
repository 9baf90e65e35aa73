// SPDX-License-Identifier: Apache-2.0
/* What unmodified systems need: cloud-init's disc. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "drivers/machine/seed.h"
#include "sys/process.h"

static PtInstance *
pc(const char *json)
{
  g_autoptr(GError) err = NULL;
  PtInstance *spec = pt_record_read(&pt_instance_type, json, &err);

  g_assert_no_error(err);
  return spec;
}

#define ID "\"id\":\"01hzzzzzzzzzzzzzzzzzzzzzzz\",\"image\":" \
  "\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"mac\":\"02:00:5e:10:00:01\",\"name\":\"box\",\"space\":\"home\""

/* A file of the disc. */
static char *
extract(const char *iso, const char *name)
{
  g_autofree char *dir = g_dir_make_tmp("seed-XXXXXX", NULL), *to = g_build_filename(dir, name, NULL), *from = g_strconcat("/", name, NULL);
  const char *argv[] = { "xorriso", "-osirrox", "on", "-indev", iso, "-extract", from, to, NULL };
  g_autoptr(GError) err = NULL;
  char *text = NULL;

  pt_run(argv, NULL, NULL, &err);
  g_assert_no_error(err);
  g_assert_true(g_file_get_contents(to, &text, NULL, NULL));
  g_unlink(to);
  g_rmdir(dir);
  return text;
}

static void
test_seed(void)
{
  g_autofree char *tool = g_find_program_in_path("xorriso"), *dir = g_dir_make_tmp("seeds-XXXXXX", NULL);
  g_autoptr(PtInstance) spec = pc("{" ID ",\"address6\":\"fd83::7\",\"user_data\":\"#cloud-config\\npassword: \\\"x\\\"\\n\","
                                  "\"ssh_keys\":[\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDk1AAAAAAAAAAAAAAAA a: b\"]}");
  g_autoptr(PtInstance) plain = pc("{" ID ",\"offline\":true}");
  g_autoptr(GError) err = NULL;
  struct stat st;

  if (!tool) {
    g_test_skip("xorriso is not installed");
    g_rmdir(dir);
    return;
  }
  g_autofree char *iso = pt_seed_make(spec, "fd83::/64", dir, &err);
  g_assert_no_error(err);
  g_assert_cmpint(stat(iso, &st), ==, 0);
  g_assert_cmpint(st.st_mode & 0777, ==, 0600);
  g_autofree char *user = extract(iso, "user-data"), *meta = extract(iso, "meta-data"), *network = extract(iso, "network-config");
  g_assert_cmpstr(user, ==, "#cloud-config\npassword: \"x\"\n");
  g_assert_nonnull(strstr(meta, "\"local-hostname\":\"box\""));
  g_assert_nonnull(strstr(meta, "AAAAAAAA a: b\"]"));
  g_assert_nonnull(strstr(network, "\"macaddress\":\"02:00:5e:10:00:01\""));
  g_assert_nonnull(strstr(network, "\"addresses\":[\"fd83::7/64\"]"));

  g_autofree char *again = pt_seed_make(plain, NULL, dir, &err);
  g_assert_no_error(err);
  g_assert_cmpstr(again, ==, iso);
  g_autofree char *bare = extract(iso, "meta-data"), *none = extract(iso, "network-config");
  g_assert_nonnull(strstr(bare, "\"instance-id\":\"01hzzzzzzzzzzzzzzzzzzzzzzz\""));
  g_assert_null(strstr(bare, "public-keys"));
  g_assert_null(strstr(none, "portena0"));
  g_unlink(iso);
  g_assert_cmpint(g_rmdir(dir), ==, 0); /* nothing else was left */
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/disks/seed", test_seed);
  return g_test_run();
}
