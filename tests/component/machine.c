// SPDX-License-Identifier: Apache-2.0
/* What changes about a running machine, against a QEMU that plays its part: memory, processors, devices that come and go. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "drivers/machine/internal.h"
#include "qmp_fake.h"

#define MIB ((gint64)1 << 20)
#define BALLOON(id, bytes) "<query-balloon", "{\"return\": {\"actual\": " bytes "}, \"id\": " id "}\n"
#define SIZE(id, bytes) "<\"property\":\"size\"", "{\"return\": " bytes ", \"id\": " id "}\n"
#define ASKED(id, bytes) "<\"property\":\"requested-size\"", "{\"return\": " bytes ", \"id\": " id "}\n"
#define DONE(id) "{\"return\": {}, \"id\": " id "}\n"
#define FAILS(id, text) "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" text "\"}, \"id\": " id "}\n"
#define ABSENT(id) "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"nothing there\"}, \"id\": " id "}\n"
#define M256 "268435456"
#define M512 "536870912"

static const PtMachinePlan plan = { .cpus = 1, .cpus_max = 4, .memory = 512 * MIB, .memory_max = 2048 * MIB };

/* ---- memory ---- */

static void
test_memory_grows(void)
{
  static const char *const script[] = {
    READY, BALLOON("2", M512), SIZE("3", "0"), ASKED("4", "0"), "<\"value\":" M256, DONE("5"), BALLOON("6", M512), SIZE("7", "134217728"),
    BALLOON("8", M512), SIZE("9", M256), BALLOON("10", M512), SIZE("11", M256), NULL,
  };
  g_autoptr(GError) err = NULL;
  gint64 has;
  bool reached;
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_assert_true(pt_machine_set_memory(q, &plan, 769 * MIB, LONG, &reached, &err)); /* blocks are of 2 MiB */
  g_assert_no_error(err);
  g_assert_true(reached);
  g_assert_true(pt_machine_guest_memory(q, &plan, &has, &err));
  g_assert_cmpint(has, ==, 768 * MIB);
  fake_end(&f, q);
}

/* Below what it was started with both give way; a guest that keeps some is not waited for for ever. */
static void
test_memory_shrinks(void)
{
  static const char *const script[] = {
    READY, BALLOON("2", M512), SIZE("3", M256), ASKED("4", M256), "<\"value\":0", DONE("5"), "<\"execute\":\"balloon\",\"arguments\":{\"value\":" M256, DONE("6"),
    BALLOON("7", "300000000"), SIZE("8", "2097152"), NULL,
  };
  g_autoptr(GError) err = NULL;
  bool reached = true;
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_assert_true(pt_machine_set_memory(q, &plan, 256 * MIB, 0, &reached, &err));
  g_assert_no_error(err);
  g_assert_false(reached);
  fake_end(&f, q);
}

/* One without room asks its balloon alone; and a QEMU that says more than it can have is not believed. */
static void
test_memory_fixed(void)
{
  static const char *const script[] = { READY, BALLOON("2", M512), BALLOON("3", M512), BALLOON("4", "99999999999"), NULL };
  const PtMachinePlan fixed = { .cpus = 1, .cpus_max = 1, .memory = 512 * MIB, .memory_max = 512 * MIB };
  g_autoptr(GError) err = NULL;
  bool reached = false;
  gint64 has;
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_assert_true(pt_machine_set_memory(q, &fixed, 4096 * MIB, LONG, &reached, &err));
  g_assert_true(reached);
  g_assert_true(pt_machine_guest_memory(q, &fixed, &has, &err));
  g_assert_cmpint(has, ==, 512 * MIB);
  fake_end(&f, q);
}

static void
test_memory_fails(void)
{
  static const struct {
    const char *script[16];
    PtErr code;
    const char *says;
  } cases[] = {
    { { "<query-balloon", FAILS("2", "no balloon") }, PT_ERR_INTERNAL, "no balloon" },
    { { "<query-balloon", "{\"return\": {\"actual\": \"many\"}, \"id\": 2}\n" }, PT_ERR_INTERNAL, "no number" },
    { { "<query-balloon", "{\"return\": {\"actual\": -5}, \"id\": 2}\n" }, PT_ERR_INTERNAL, "no number" },
    { { BALLOON("2", M512), "<qom-get", ABSENT("3") }, PT_ERR_NOT_FOUND, "nothing there" },
    { { BALLOON("2", M512), SIZE("3", "[]") }, PT_ERR_INTERNAL, "no number" },
    { { BALLOON("2", M512), SIZE("3", "0"), "<requested", FAILS("4", "odd") }, PT_ERR_INTERNAL, "odd" },
    { { BALLOON("2", M512), SIZE("3", "0"), ASKED("4", "0"), "<qom-set", FAILS("5", "busy") }, PT_ERR_INTERNAL, "busy" },
    { { BALLOON("2", M512), SIZE("3", "0"), ASKED("4", "0"), "<qom-set", DONE("5") }, PT_ERR_UNREACHABLE, "is gone" },
    { { BALLOON("2", M256), SIZE("3", "0"), ASKED("4", M512), "<\"balloon\"", FAILS("5", "no driver") }, PT_ERR_INTERNAL, "no driver" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    const char *script[24] = { READY };
    g_autoptr(GError) err = NULL;
    bool reached;
    Fake f;

    for (guint n = 0; n < G_N_ELEMENTS(cases[i].script); n++)
      script[3 + n] = cases[i].script[n];
    PtQmp *q = fake_begin_ready(&f, script);
    g_assert_false(pt_machine_set_memory(q, &plan, 1024 * MIB, LONG, &reached, &err));
    g_assert_error(err, PT_ERROR, (int)cases[i].code);
    g_assert_nonnull(strstr(err->message, cases[i].says));
    fake_end(&f, q);
  }
}

/* ---- processors ---- */

#define CPU(core, more) "{\"type\": \"x-cpu\", \"vcpus-count\": 1, \"props\": {\"core-id\": " core ", \"socket-id\": 0, \"thread-id\": 0}" more "}"
#define THERE ", \"qom-path\": \"/machine/unattached/device[0]\""
#define CPUS(id, list) "<query-hotpluggable-cpus", "{\"return\": [" list "], \"id\": " id "}\n"

/* The free place with the lowest number is taken, in whatever order QEMU lists them. */
static void
test_cpus(void)
{
  static const char *const script[] = {
    READY, CPUS("2", CPU("3", "") "," CPU("1", "") "," CPU("2", "") "," CPU("0", THERE)),
    "<\"core-id\":1,\"socket-id\":0,\"thread-id\":0,\"driver\":\"x-cpu\",\"id\":\"cpu1\"", DONE("3"),
    CPUS("4", CPU("3", "") "," CPU("2", "") "," CPU("1", THERE) "," CPU("0", THERE)), "<\"core-id\":2", DONE("5"),
    CPUS("6", CPU("3", "") "," CPU("2", THERE) "," CPU("1", THERE) "," CPU("0", THERE)),
    CPUS("7", CPU("0", THERE) "," CPU("1", THERE)), NULL,
  };
  const PtMachinePlan fixed = { .cpus = 2, .cpus_max = 2 };
  g_autoptr(GError) err = NULL;
  guint plugged;
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_assert_true(pt_machine_plug_cpus(q, &plan, 3, &plugged, &err));
  g_assert_no_error(err);
  g_assert_cmpuint(plugged, ==, 3);
  g_assert_true(pt_machine_plug_cpus(q, &plan, 4, &plugged, &err)); /* no room left */
  g_assert_cmpuint(plugged, ==, 2);
  g_assert_true(pt_machine_plug_cpus(q, &fixed, 4, &plugged, &err)); /* nobody is asked */
  g_assert_cmpuint(plugged, ==, 2);
  fake_end(&f, q);
}

static void
test_cpus_fail(void)
{
  static const char *const refuses[] = { READY, CPUS("2", CPU("1", "") "," CPU("0", THERE)), "<device_add", FAILS("3", "the firmware says no"), NULL };
  static const char *const nonsense[] = { READY, CPUS("2", "7,\"x\",{},{\"props\":5}"), "<\"driver\":\"\"", FAILS("3", "no such driver"), NULL };
  static const char *const gone[] = { READY, "<query-hotpluggable-cpus", NULL };
  static const struct {
    const char *const *script;
    PtErr code;
  } cases[] = { { refuses, PT_ERR_INTERNAL }, { nonsense, PT_ERR_INTERNAL }, { gone, PT_ERR_UNREACHABLE } };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) err = NULL;
    guint plugged;
    Fake f;
    PtQmp *q = fake_begin_ready(&f, cases[i].script);

    g_assert_false(pt_machine_plug_cpus(q, &plan, 2, &plugged, &err));
    g_assert_error(err, PT_ERROR, (int)cases[i].code);
    fake_end(&f, q);
  }
}

/* A QEMU that takes every processor and never has one more is asked a bounded number of times. */
static void
test_cpus_never(void)
{
  const PtMachinePlan two = { .cpus = 1, .cpus_max = 2 };
  static const char *const script[] = {
    READY, CPUS("2", CPU("1", "")), "<device_add", DONE("3"), CPUS("4", CPU("1", "")), "<device_add", DONE("5"),
    CPUS("6", CPU("1", "")), "<device_add", DONE("7"), NULL,
  };
  g_autoptr(GError) err = NULL;
  guint plugged = 9;
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_assert_true(pt_machine_plug_cpus(q, &two, 2, &plugged, &err));
  g_assert_cmpuint(plugged, ==, 0);
  fake_end(&f, q);
}

/* ---- devices ---- */

#define MEMBERS(id, path, names) "<\"path\":\"/machine/peripheral" path "\"", "{\"return\": [" names "], \"id\": " id "}\n"
#define MEMBER(name) "{\"name\": \"" name "\", \"type\": \"x\"}"

static json_t *
disk(void)
{
  return json_pack("{s:s, s:s}", "driver", "virtio-blk-pci", "id", "extra");
}

static void
test_plug(void)
{
  static const char *const script[] = {
    READY, MEMBERS("2", "/slot0/slot0", MEMBER("type") "," MEMBER("child[0]")), MEMBERS("3", "/slot1/slot1", MEMBER("type")),
    "<\"id\":\"extra\",\"bus\":\"slot1\"", DONE("4"), NULL,
  };
  g_autoptr(GError) err = NULL;
  guint slot = 99;
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_assert_true(pt_machine_plug(q, disk(), &slot, &err));
  g_assert_no_error(err);
  g_assert_cmpuint(slot, ==, 1);
  fake_end(&f, q);
}

static void
test_plug_fails(void)
{
  static const char *const old[] = { READY, "<qom-list", ABSENT("2"), NULL };
  static const char *const refused[] = { READY, MEMBERS("2", "/slot0/slot0", ""), "<device_add", FAILS("3", "no such drive"), NULL };
  static const char *const gone[] = { READY, "<qom-list", NULL };
  const char *full[4 + 2 * PT_MACHINE_SLOTS] = { READY };
  g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
  const struct {
    const char *const *script;
    PtErr code;
    const char *says;
  } cases[] = { { old, PT_ERR_CONFLICT, "without slots" }, { full, PT_ERR_CONFLICT, "are taken" }, { refused, PT_ERR_INTERNAL, "no such drive" },
                { gone, PT_ERR_UNREACHABLE, "is gone" } };

  for (guint i = 0; i < PT_MACHINE_SLOTS; i++) {
    g_ptr_array_add(lines, g_strdup_printf("{\"return\": [{\"name\": \"child[0]\"}], \"id\": %u}\n", 2 + i));
    full[3 + 2 * i] = "<qom-list";
    full[4 + 2 * i] = g_ptr_array_index(lines, i);
  }
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) err = NULL;
    Fake f;
    PtQmp *q = fake_begin_ready(&f, cases[i].script);

    g_assert_false(pt_machine_plug(q, disk(), NULL, &err));
    g_assert_error(err, PT_ERROR, (int)cases[i].code);
    g_assert_nonnull(strstr(err->message, cases[i].says));
    fake_end(&f, q);
  }
}

/* Gone already, gone after a while, asked for before by somebody else; refused by the guest, or by QEMU. */
static void
test_unplug(void)
{
  static const char *const absent[] = { READY, "<device_del", ABSENT("2"), NULL };
  static const char *const slow[] = {
    READY, "<device_del", DONE("2"), MEMBERS("3", "", MEMBER("extra")),
    "<qom-list", "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"extra\"}}\n{\"return\": [], \"id\": 4}\n", NULL,
  };
  static const char *const before[] = { READY, "<device_del", FAILS("2", "Device extra is already in the process of unplug"), MEMBERS("3", "", ""), NULL };
  static const char *const guest[] = {
    READY, "<device_del", DONE("2"), "{\"event\": \"DEVICE_UNPLUG_GUEST_ERROR\", \"data\": {\"device\": \"extra\", \"path\": \"/x\"}}\n",
    MEMBERS("3", "", MEMBER("extra")), NULL,
  };
  static const char *const qemu[] = { READY, "<device_del", FAILS("2", "Bus does not support hotplugging"), NULL };
  static const char *const late[] = { READY, "<device_del", DONE("2"), MEMBERS("3", "", MEMBER("extra")), NULL };
  static const struct {
    const char *const *script;
    gint64 wait;
    int code; /* -1: it goes */
  } cases[] = { { absent, LONG, -1 }, { slow, LONG, -1 }, { before, LONG, -1 }, { guest, LONG, PT_ERR_TIMEOUT }, { qemu, LONG, PT_ERR_INTERNAL },
                { late, 0, PT_ERR_TIMEOUT } };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) err = NULL;
    Fake f;
    PtQmp *q = fake_begin_ready(&f, cases[i].script);

    g_assert_cmpint(pt_machine_unplug(q, "extra", cases[i].wait, &err), ==, cases[i].code < 0);
    if (cases[i].code >= 0)
      g_assert_error(err, PT_ERROR, cases[i].code);
    else
      g_assert_no_error(err);
    fake_end(&f, q);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/machine/memory/grows", test_memory_grows);
  g_test_add_func("/machine/memory/shrinks", test_memory_shrinks);
  g_test_add_func("/machine/memory/fixed", test_memory_fixed);
  g_test_add_func("/machine/memory/fails", test_memory_fails);
  g_test_add_func("/machine/cpus/plug", test_cpus);
  g_test_add_func("/machine/cpus/fail", test_cpus_fail);
  g_test_add_func("/machine/cpus/never", test_cpus_never);
  g_test_add_func("/machine/devices/plug", test_plug);
  g_test_add_func("/machine/devices/plug-fails", test_plug_fails);
  g_test_add_func("/machine/devices/unplug", test_unplug);
  return g_test_run();
}
