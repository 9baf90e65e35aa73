// SPDX-License-Identifier: Apache-2.0
#include <glib.h>
#include <string.h>

#include "base/error.h"
#include "base/id.h"
#include "model/instance.h"
#include "model/space.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID "01hzzzzzzzzzzzzzzzzzzzzzzz"

static json_t *
js(const char *text)
{
  g_autoptr(GError) err = NULL;
  json_t *json = pt_json_parse(text, strlen(text), &err);

  g_assert_no_error(err);
  return json;
}

static const char whole_instance[] =
  "{\"id\":\"" ID "\",\"name\":\"web\",\"space\":\"home\",\"description\":\"ä line\",\"kind\":\"container\",\"init\":\"app\","
  "\"image\":\"" DIGEST "\",\"image_name\":\"debian\",\"volume\":\"" ID "\",\"owner\":\"n1\",\"epoch\":1,\"generation\":3,"
  "\"power\":\"running\",\"boot\":2,\"force\":false,\"deadline\":10,\"deleting\":false,\"op\":\"" ID "\",\"cpu\":0.1,"
  "\"memory\":2147483648,\"pids\":100,\"disk\":21474836480,\"io_read\":1,\"io_write\":2,\"priority\":5,"
  "\"command\":[\"sh\",\"-c\",\"a\\nb\"],\"env\":{\"A\":\"1\",\"B\":\"\"},\"cwd\":\"/srv\",\"user\":\"www-data:33\",\"restart\":\"always\","
  "\"autostart\":false,\"address\":\"10.83.0.2\",\"address6\":\"fd00::2\",\"mac\":\"02:00:5e:10:00:01\","
  "\"ports\":[{\"protocol\":\"udp\",\"listen\":53,\"to\":5353,\"address\":\"::1\"},{\"protocol\":\"tcp\",\"listen\":80,\"to\":80}],"
  "\"desktop\":true,\"created\":\"2026-01-01T00:00:00.123Z\",\"created_by\":\"anna\"}";

static PtInstance *
instance(void)
{
  g_autoptr(json_t) json = js(whole_instance);
  g_autoptr(GError) err = NULL;
  PtInstance *i = pt_instance_parse(json, &err);

  g_assert_no_error(err);
  return i;
}

static void
test_round_trip(void)
{
  g_autoptr(PtInstance) i = instance();
  g_autofree char *text = pt_record_dump(&pt_instance_type, i);

  g_assert_cmpstr(text, ==, whole_instance);
  g_assert_cmpint(i->cpu, ==, 100);
  g_assert_cmpint(((PtPort *)i->ports->pdata[0])->protocol, ==, 1);
  g_assert_cmpstr(g_hash_table_lookup(i->env, "A"), ==, "1");
  PtInstance *copy = pt_record_copy(&pt_instance_type, i);
  g_autofree char *again = pt_record_dump(&pt_instance_type, copy);
  g_assert_cmpstr(again, ==, text);
  pt_instance_free(copy);
  pt_instance_free(NULL);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/model/round-trip", test_round_trip);
  return g_test_run();
}
