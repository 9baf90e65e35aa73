// SPDX-License-Identifier: Apache-2.0
/* The parts of the image driver that touch nothing: sources, apt's configuration, OCI's JSON. */
#include <string.h>

#include "base/error.h"
#include "drivers/image/apt.h"
#include "drivers/image/oci.h"
#include "drivers/image/source.h"

static void
test_source_good(void)
{
  static const struct { const char *text; PtSourceKind kind; const char *name, *path, *tag; bool http; } good[] = {
    { "recipe:desktop", PT_SOURCE_RECIPE, "desktop", NULL, NULL, false },
    { "docker://docker.io/library/alpine:3.20", PT_SOURCE_DOCKER, "docker.io/library/alpine:3.20", NULL, NULL, false },
    { "docker://127.0.0.1:5000/a/b@sha256:00", PT_SOURCE_DOCKER, "127.0.0.1:5000/a/b@sha256:00", NULL, NULL, true },
    { "docker://localhost/x", PT_SOURCE_DOCKER, "localhost/x", NULL, NULL, true },
    { "docker://[::1]:5000/x", PT_SOURCE_DOCKER, "[::1]:5000/x", NULL, NULL, true },
    { "docker://127.0.0.1.example.org/x", PT_SOURCE_DOCKER, "127.0.0.1.example.org/x", NULL, NULL, false },
    { "docker://localhost.example.org/x", PT_SOURCE_DOCKER, "localhost.example.org/x", NULL, NULL, false },
    { "oci:/srv/layout", PT_SOURCE_OCI, NULL, "/srv/layout", NULL, false },
    { "oci:/srv/layout:v1.2", PT_SOURCE_OCI, NULL, "/srv/layout", "v1.2", false },
    { "docker-archive:/x/y.tar:repo/a:tag", PT_SOURCE_DOCKER_ARCHIVE, NULL, NULL, NULL, false },
    { "oci-archive:/x/y.tar", PT_SOURCE_OCI_ARCHIVE, NULL, "/x/y.tar", NULL, false },
    { "ova:/x/y.ova", PT_SOURCE_OVA, NULL, "/x/y.ova", NULL, false },
    { "iso:/x/y z.iso", PT_SOURCE_ISO, NULL, "/x/y z.iso", NULL, false },
    { "rootfs:/x/y.tar.zst", PT_SOURCE_ROOTFS, NULL, "/x/y.tar.zst", NULL, false },
    { "program:/x/y.wasm", PT_SOURCE_PROGRAM, NULL, "/x/y.wasm", NULL, false },
    { "program:/x/y:bin/server", PT_SOURCE_PROGRAM, NULL, "/x/y", "bin/server", false },
  };

  for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
    g_autoptr(GError) err = NULL;
    g_autoptr(PtSource) s = pt_source_parse(good[i].text, &err);

    g_assert_no_error(err);
    g_assert_cmpint(s->kind, ==, good[i].kind);
    g_assert_cmpint(s->plain_http, ==, good[i].http);
    if (!good[i].name && !good[i].path) { /* the tag has a slash and a colon of its own */
      g_assert_cmpstr(s->path, ==, "/x/y.tar");
      g_assert_cmpstr(s->tag, ==, "repo/a:tag");
      continue;
    }
    g_assert_cmpstr(s->name, ==, good[i].name);
    g_assert_cmpstr(s->path, ==, good[i].path);
    g_assert_cmpstr(s->tag, ==, good[i].tag);
  }
}

static void
test_source_bad(void)
{
  static const char *const bad[] = {
    "", "alpine", "http://x/y", "docker:x", "recipe:", "recipe:../etc", "recipe:Desk top", "docker://", "docker://-x/y", "docker:// x",
    "docker://x\ny", "docker://x;y", "oci:", "oci:relative", "rootfs:a.tar", "rootfs:/a=/b", "rootfs:/a:b", "oci:/x:$(id)", "rootfs:/x\x1b[2J",
    "dir:/x", "qcow2:x.qcow2", "raw:", "vmdk:/a:b", "qcow:/x", "containers-storage:x", "docker-daemon:x", "rootfs:/\xff",
  };

  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) err = NULL;
    g_autoptr(PtSource) s = pt_source_parse(bad[i], &err);

    g_autofree char *shown = g_strescape(bad[i], NULL);
    g_test_message("%s", shown);
    g_assert_null(s);
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    g_assert_true(g_utf8_validate(err->message, -1, NULL));
  }
}

static void
test_apt(void)
{
  static const char *const names[] = { "/etc/apt/sources.list", "d/debian.sources", "d/other.list", NULL };
  static const char *const texts[] = {
    "# deb http://no.example/debian trixie main\n"
    "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.example/debian trixie-updates main contrib # x\n"
    "deb-src http://one.example/debian trixie main\n",
    "Types: deb deb-src\n# a comment\nURIs: http://two.example/debian\n https://three.example/debian\nSuites: trixie trixie-backports\n"
    "Components: main\n contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
    "Types: deb\nURIs: http://off.example/debian\nSuites: trixie\nComponents: main\nEnabled: no\n\n"
    "Types: deb\nURIs: http://sec.example/debian-security\nSuites: trixie-security\nComponents: main\n",
    "deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example/apt trixie main\ndeb https://vendor.example/apt stable main\n",
  };
  g_autoptr(GError) err = NULL;
  g_autoptr(PtApt) a = pt_apt_parse(names, texts, "trixie", NULL, &err);

  g_assert_no_error(err);
  g_assert_cmpstr(a->suite, ==, "trixie");
  g_ptr_array_add(a->lines, NULL);
  g_autofree char *all = g_strjoinv("\n", (char **)a->lines->pdata);
  g_assert_cmpstr(all, ==,
                  "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://three.example/debian trixie main\n"
                  "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://two.example/debian trixie main\n"
                  "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.example/debian trixie-updates main\n"
                  "deb http://sec.example/debian-security trixie-security main");
  g_autoptr(PtApt) none = pt_apt_parse(names, texts, "sid", NULL, &err);
  g_assert_null(none);
  g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  g_clear_error(&err);

  g_autoptr(GPtrArray) options = pt_apt_options("APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p.example:3142\";\n"
                                                "Acquire::https::Proxy \"http://me:pw@p.example\";\nAcquire::http::Proxy-Auto-Detect \"/bin/x\";\n"
                                                "Acquire::Check-Valid-Until \"false\";\n");
  g_assert_cmpuint(options->len, ==, 2);
  g_assert_cmpstr(g_ptr_array_index(options, 0), ==, "Acquire::http::Proxy \"http://p.example:3142\"");
  g_assert_cmpstr(g_ptr_array_index(options, 1), ==, "Acquire::Check-Valid-Until \"false\"");
}

/* A suite that was not released for an architecture gives way to the next that was, of the same mirrors. */
static void
test_apt_choose(void)
{
  static const char *const names[] = { "/etc/apt/sources.list", NULL };
  static const struct { const char *suite, *arch, *want; } cases[] = {
    { "bookworm", "arm64", "bookworm" }, { "bookworm", "riscv64", "trixie" }, { "trixie", "riscv64", "trixie" },
    { "trixie", "mipsel", NULL }, { "sid", "alpha", "sid" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    const char *suite = cases[i].suite, *want = cases[i].want;
    g_autofree char *text = g_strdup_printf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.example/debian-%s %s main\n"
                                            "deb http://one.example/debian %s-updates main\ndeb http://two.example/%s-security %s-security main\n",
                                            suite, suite, suite, suite, suite);
    const char *texts[] = { text, NULL };
    g_autoptr(GError) err = NULL;
    g_autoptr(PtApt) a = pt_apt_parse(names, texts, suite, cases[i].arch, &err);

    g_assert_true((a == NULL) == (err != NULL));
    if (!want) {
      g_assert_error(err, PT_ERROR, PT_ERR_UNSUPPORTED);
      continue;
    }
    g_assert_no_error(err);
    g_ptr_array_add(a->lines, NULL);
    g_autofree char *all = g_strjoinv("\n", (char **)a->lines->pdata);
    g_autofree char *expect = g_strdup_printf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.example/debian-%s %s main\n"
                                              "deb http://one.example/debian %s-updates main\ndeb http://two.example/%s-security %s-security main",
                                              suite, want, want, suite, want);
    g_assert_cmpstr(all, ==, expect);
    g_assert_cmpstr(a->suite, ==, want);
  }
}

/* What the machine names of that suite itself goes before. */
static void
test_apt_named(void)
{
  static const char *const names[] = { "/etc/apt/sources.list", "d/riscv.sources", NULL };
  static const char *const texts[] = {
    "deb http://one.example/debian bookworm main\ndeb http://one.example/debian bookworm-updates main\n",
    "Types: deb\nURIs: http://two.example/debian\nSuites: trixie\nComponents: main\nArchitectures: riscv64\n",
  };
  g_autoptr(GError) err = NULL;
  g_autoptr(PtApt) a = pt_apt_parse(names, texts, "bookworm", "riscv64", &err), own = pt_apt_parse(names, texts, "bookworm", "arm64", &err);

  g_assert_no_error(err);
  g_assert_cmpuint(a->lines->len, ==, 1);
  g_assert_cmpstr(a->lines->pdata[0], ==, "deb http://two.example/debian trixie main");
  g_assert_cmpstr(own->suite, ==, "bookworm");
  g_assert_cmpuint(own->lines->len, ==, 2);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_manifest(void)
{
  static const char index[] = "{\"manifests\":[{\"digest\":\"sha256:" HEX "\",\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\"}}]}";
  static const char manifest[] = "{\"config\":{\"digest\":\"sha256:" HEX "\"},\"layers\":[{\"size\":5},{\"size\":7}]}";
  static const char *const bad[] = {
    "", "[]", "{}", "{\"layers\":{}}", "{\"layers\":[{\"size\":-1}],\"config\":{\"digest\":\"sha256:" HEX "\"}}",
    "{\"layers\":[{\"size\":99999999999999}],\"config\":{\"digest\":\"sha256:" HEX "\"}}",
    "{\"layers\":[],\"config\":{\"digest\":\"sha256:../../../etc/passwd\"}}", "{\"layers\":[]}", "{\"layers\":[],\"config\":[]}",
    "{\"manifests\":[]}", "{\"manifests\":[1,2]}", "{\"layers\":[],\"layers\":[]}",
    "{\"manifests\":[{\"digest\":\"sha512:" HEX HEX "\"}]}",
  };
  PtOciManifest m;
  g_autoptr(GError) err = NULL;

  g_assert_true(pt_oci_manifest_parse(index, strlen(index), "aarch64", &m, &err));
  g_assert_cmpstr(m.next, ==, HEX);
  g_assert_null(m.config);
  pt_oci_manifest_clear(&m);
  g_assert_false(pt_oci_manifest_parse(index, strlen(index), "x86_64", &m, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  g_clear_error(&err);
  g_assert_true(pt_oci_manifest_parse(manifest, strlen(manifest), "x86_64", &m, &err));
  g_assert_cmpint(m.bytes, ==, 12);
  g_assert_cmpint(m.layers, ==, 2);
  pt_oci_manifest_clear(&m);
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_test_message("%s", bad[i]);
    g_assert_false(pt_oci_manifest_parse(bad[i], strlen(bad[i]), "x86_64", &m, &err));
    g_assert_nonnull(err);
    g_clear_error(&err);
    pt_oci_manifest_clear(&m);
  }
}

static void
test_config(void)
{
  static const char good[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"a\",\"b\"],"
                             "\"Env\":[\"PATH=/bin\",\"A=b=c\",\"=x\",\"novalue\",\"A=d\"],\"WorkingDir\":\"/w\",\"User\":\"1:2\",\"StopSignal\":\"SIGQUIT\"}}";
  static const char *const bad[] = { "{\"architecture\":\"arm64\"}", "{\"os\":\"windows\"}", "{\"config\":{\"Cmd\":\"sh\"}}",
                                     "{\"config\":{\"Env\":[1]}}", "nope" };
  static const char *const empty[] = { "{}", "{\"config\":null}", "{\"config\":{\"Cmd\":null,\"Env\":null,\"User\":\"\"}}" };
  g_autoptr(GError) err = NULL;
  g_autoptr(PtImage) image = pt_record_new(&pt_image_type);

  g_assert_true(pt_oci_config_parse(good, strlen(good), "x86_64", image, &err));
  g_autofree char *command = g_strjoinv(" ", image->command);
  g_assert_cmpstr(command, ==, "/e a b");
  g_assert_cmpuint(g_hash_table_size(image->env), ==, 2);
  g_assert_cmpstr(g_hash_table_lookup(image->env, "A"), ==, "d");
  g_assert_cmpstr(image->cwd, ==, "/w");
  g_assert_cmpstr(image->user, ==, "1:2");
  g_assert_cmpstr(image->stop_signal, ==, "SIGQUIT");
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(PtImage) none = pt_record_new(&pt_image_type);
    g_assert_false(pt_oci_config_parse(bad[i], strlen(bad[i]), "x86_64", none, &err));
    g_assert_nonnull(err);
    g_clear_error(&err);
  }
  for (guint i = 0; i < G_N_ELEMENTS(empty); i++) {
    g_autoptr(PtImage) plain = pt_record_new(&pt_image_type);
    g_assert_true(pt_oci_config_parse(empty[i], strlen(empty[i]), "x86_64", plain, &err));
    g_assert_null(plain->command);
    g_assert_null(plain->user);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/image/source/good", test_source_good);
  g_test_add_func("/image/source/bad", test_source_bad);
  g_test_add_func("/image/apt", test_apt);
  g_test_add_func("/image/apt-choose", test_apt_choose);
  g_test_add_func("/image/apt-named", test_apt_named);
  g_test_add_func("/image/oci/manifest", test_manifest);
  g_test_add_func("/image/oci/config", test_config);
  return g_test_run();
}
