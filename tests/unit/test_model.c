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
  "\"model\":\"pc\",\"accel\":\"tcg\",\"arch\":\"x86_64\",\"firmware\":\"bios\",\"secure_boot\":false,\"tpm\":true,"
  "\"hardware\":\"emulated\",\"iso\":\"" DIGEST "\",\"iso_name\":\"setup\",\"boot_iso\":true,"
  "\"user_data\":\"#cloud-config\\n{}\",\"ssh_keys\":[\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDk1AAAAAAAAAAAAAAAA anna\"],\"offline\":false,"
  "\"image\":\"" DIGEST "\",\"image_name\":\"debian\",\"volume\":\"" ID "\",\"owner\":\"n1\",\"epoch\":1,\"generation\":3,"
  "\"power\":\"running\",\"boot\":2,\"force\":false,\"durable\":false,\"deadline\":10,\"deleting\":false,\"op\":\"" ID "\",\"cpu\":0.1,"
  "\"memory\":2147483648,\"pids\":100,\"disk\":21474836480,\"io_read\":65536,\"io_write\":131072,\"net_in\":65536,\"net_out\":0,"
  "\"priority\":5,"
  "\"command\":[\"sh\",\"-c\",\"a\\nb\"],\"env\":{\"A\":\"1\",\"B\":\"\"},\"cwd\":\"/srv\",\"user\":\"www-data:33\",\"restart\":\"always\","
  "\"autostart\":false,\"address\":\"10.83.0.2\",\"address6\":\"fd00::2\",\"mac\":\"02:00:5e:10:00:01\","
  "\"ports\":[{\"protocol\":\"udp\",\"listen\":53,\"to\":5353,\"address\":\"::1\"},{\"protocol\":\"tcp\",\"listen\":80,\"to\":80}],"
  "\"nics\":[{\"name\":\"eth1\",\"space\":\"lab\",\"address\":\"10.84.0.3\",\"address6\":\"fd01::3\",\"mac\":\"02:00:5e:10:00:02\"}],"
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

/* A merge patch onto `whole_instance` as an owner's PATCH, or the making of a new one: refused, with a message that has
 * `says`, and nothing changed. BIG stands for text, MANY for lists, that are made below. */
enum { MAKE = PT_F_USER, CHANGE = PT_F_LIVE | PT_F_STOPPED };
static const struct {
  guint allowed;
  const char *patch, *says;
} bad_instances[] = {
  /* the patch itself */
  { CHANGE, "[]", "object" },
  { CHANGE, "null", "object" },
  { CHANGE, "\"name\"", "object" },
  { CHANGE, "{\"\":1}", "no such field" },
  { CHANGE, "{\"nmae\":\"x\"}", "'nmae': there is no such field" },
  { CHANGE, "{\"Name\":\"x\"}", "no such field" },
  { CHANGE, "{\"\\u001b[31m\":1}", "'?[31m'" },
  { CHANGE, "{\"__proto__\":{}}", "no such field" },
  /* what is not a client's */
  { CHANGE, "{\"id\":\"" ID "\"}", "kept by Portena" },
  { MAKE, "{\"owner\":\"n2\"}", "kept by Portena" },
  { MAKE, "{\"epoch\":9}", "kept by Portena" },
  { MAKE, "{\"generation\":9}", "kept by Portena" },
  { MAKE, "{\"address\":\"10.0.0.1\"}", "kept by Portena" },
  { MAKE, "{\"mac\":\"02:00:00:00:00:01\"}", "kept by Portena" },
  { MAKE, "{\"volume\":\"" ID "\"}", "kept by Portena" },
  { MAKE, "{\"power\":\"running\"}", "kept by Portena" },
  { MAKE, "{\"image\":\"" DIGEST "\"}", "kept by Portena" },
  { MAKE, "{\"created_by\":\"root\"}", "kept by Portena" },
  { CHANGE, "{\"name\":\"other\"}", "cannot be changed afterwards" },
  { CHANGE, "{\"memory\":1073741824,\"owner\":\"n2\"}", "owner" },
  /* names */
  { MAKE, "{\"name\":null}", "name: is required" },
  { MAKE, "{\"name\":\"\"}", "1 to 63" },
  { MAKE, "{\"name\":\"-a\"}", "1 to 63" },
  { MAKE, "{\"name\":\"a-\"}", "1 to 63" },
  { MAKE, "{\"name\":\"Web\"}", "1 to 63" },
  { MAKE, "{\"name\":\"a.b\"}", "1 to 63" },
  { MAKE, "{\"name\":\"a_b\"}", "1 to 63" },
  { MAKE, "{\"name\":\"a b\"}", "1 to 63" },
  { MAKE, "{\"name\":\"a/b\"}", "1 to 63" },
  { MAKE, "{\"name\":\"..\"}", "1 to 63" },
  { MAKE, "{\"name\":\"\xc3\xbc\"}", "1 to 63" },
  { MAKE, "{\"name\":\"a\\nb\"}", "control characters" },
  { MAKE, "{\"name\":\"x234567890123456789012345678901234567890123456789012345678901234\"}", "64 bytes" },
  { MAKE, "{\"name\":7}", "text in quotes" },
  { MAKE, "{\"name\":[\"a\"]}", "text in quotes" },
  /* text */
  { CHANGE, "{\"description\":\"a\\u0007b\"}", "control characters" },
  { CHANGE, "{\"description\":\"a\\u0085b\"}", "control characters" },
  { CHANGE, "{\"description\":\"two\\nlines\"}", "control characters" },
  { CHANGE, "{\"description\":\"a\\u202eb\"}", "control characters" },
  { CHANGE, "{\"description\":\"a\\u2066b\"}", "control characters" },
  { CHANGE, "{\"description\":true}", "text in quotes" },
  { CHANGE, "{\"description\":{}}", "text in quotes" },
  { CHANGE, "{\"description\":\"BIG\"}", "more than the 500" },
  /* sizes and numbers */
  { CHANGE, "{\"cpu\":-1}", "number of cpus" },
  { CHANGE, "{\"cpu\":0.001}", "number of cpus" },
  { CHANGE, "{\"cpu\":1e300}", "number of cpus" },
  { CHANGE, "{\"cpu\":2000}", "cpus" },
  { CHANGE, "{\"cpu\":\"two\"}", "number of cpus" },
  { CHANGE, "{\"cpu\":\"\"}", "number of cpus" },
  { CHANGE, "{\"cpu\":\"0x2\"}", "number of cpus" },
  { CHANGE, "{\"cpu\":true}", "number of cpus" },
  { CHANGE, "{\"cpu\":[2]}", "number of cpus" },
  { CHANGE, "{\"memory\":-1}", "a size of 0 B or more" },
  { CHANGE, "{\"memory\":1}", "memory: 1 bytes are too few" },
  { CHANGE, "{\"memory\":4194303}", "too few" },
  { CHANGE, "{\"memory\":1.5}", "number of bytes" },
  { CHANGE, "{\"memory\":1e19}", "number of bytes" },
  { CHANGE, "{\"memory\":9223372036854775807}", "or less" },
  { CHANGE, "{\"memory\":1152921504606846976}", "or less" },
  { CHANGE, "{\"memory\":\"2 apples\"}", "size" },
  { CHANGE, "{\"memory\":\"-2G\"}", "size" },
  { CHANGE, "{\"memory\":\"9999999T\"}", "memory: " },
  { CHANGE, "{\"memory\":\"1e9\"}", "size" },
  { CHANGE, "{\"memory\":false}", "number of bytes" },
  { CHANGE, "{\"disk\":1073741824}", "this one has 20 GiB" },
  { CHANGE, "{\"disk\":null}", NULL }, /* back to 20 GiB, which it has */
  { CHANGE, "{\"disk\":0}", "a size of 16 MiB or more" },
  { MAKE, "{\"disk\":1024}", "a size of 16 MiB or more" },
  { MAKE, "{\"disk\":\"17T\"}", "a size of 16 TiB or less" },
  { CHANGE, "{\"pids\":-1}", "whole number" },
  { CHANGE, "{\"pids\":4194305}", "from 0 to 4194304" },
  { CHANGE, "{\"pids\":1.5}", "whole number" },
  { CHANGE, "{\"pids\":\"100\"}", "whole number" },
  { CHANGE, "{\"priority\":0}", "from 1 to 1000" },
  { CHANGE, "{\"priority\":1001}", "from 1 to 1000" },
  { CHANGE, "{\"priority\":-9223372036854775808}", "from 1 to 1000" },
  { CHANGE, "{\"io_read\":-1}", "a size of 0 B or more" },
  { CHANGE, "{\"net_out\":-1}", "a size of" },
  { CHANGE, "{\"net_in\":65535}", "at least 64KiB" },
  { CHANGE, "{\"io_write\":65535}", "io_write: 65535 bytes a second are too few" },
  { CHANGE, "{\"io_write\":\"fast\"}", "size" },
  /* words */
  { CHANGE, "{\"init\":\"systemd\"}", "one of system, app" },
  { CHANGE, "{\"init\":0}", "one of system, app" },
  { CHANGE, "{\"restart\":\"ALWAYS\"}", "one of no, on-failure, always" },
  { CHANGE, "{\"restart\":\"\"}", "one of" },
  { MAKE, "{\"kind\":\"vm\"}", "one of container" },
  { CHANGE, "{\"autostart\":1}", "true or false" },
  { CHANGE, "{\"autostart\":\"true\"}", "true or false" },
  /* command, directory, user */
  { CHANGE, "{\"command\":\"ls\"}", "a list" },
  { CHANGE, "{\"command\":[]}", "names no program" },
  { CHANGE, "{\"command\":[\"\"]}", "names no program" },
  { CHANGE, "{\"command\":[1]}", "entry 1" },
  { CHANGE, "{\"command\":[\"ls\",null]}", "entry 2" },
  { CHANGE, "{\"command\":[\"a\\u001bb\"]}", "control characters" },
  { CHANGE, "{\"command\":{\"0\":\"ls\"}}", "a list" },
  { CHANGE, "{\"command\":MANY}", "more than the 128" },
  { CHANGE, "{\"command\":[\"BIG\",\"BIG\"]}", "command: " },
  { CHANGE, "{\"cwd\":\"srv\"}", "absolute" },
  { CHANGE, "{\"cwd\":\"\"}", "absolute" },
  { CHANGE, "{\"cwd\":\"/a/../../etc\"}", "'..'" },
  { CHANGE, "{\"cwd\":\"/..\"}", "'..'" },
  { CHANGE, "{\"cwd\":\"/BIG\"}", "more than the 4095" },
  { CHANGE, "{\"user\":\"a b\"}", "a user is" },
  { CHANGE, "{\"user\":\"-1\"}", "a user is" },
  { CHANGE, "{\"user\":\"a:b:c\"}", "a user is" },
  { CHANGE, "{\"user\":\":\"}", "a user is" },
  { CHANGE, "{\"user\":\"99999999999\"}", "a user is" },
  { CHANGE, "{\"user\":\"../x\"}", "a user is" },
  /* variables */
  { CHANGE, "{\"env\":[]}", "an object" },
  { CHANGE, "{\"env\":\"A=1\"}", "an object" },
  { CHANGE, "{\"env\":{\"A\":1}}", "text in quotes" },
  { CHANGE, "{\"env\":{\"\":\"x\"}}", "variable's name" },
  { CHANGE, "{\"env\":{\"1A\":\"x\"}}", "variable's name" },
  { CHANGE, "{\"env\":{\"A=B\":\"x\"}}", "variable's name" },
  { CHANGE, "{\"env\":{\"A B\":\"x\"}}", "variable's name" },
  { CHANGE, "{\"env\":{\"A\":\"\\u0001\"}}", "control characters" },
  { CHANGE, "{\"env\":{\"A\":\"BIG\",\"B\":\"BIG\"}}", "env: " },
  { CHANGE, "{\"env\":PAIRS}", "more than the 256" },
  /* ports */
  { CHANGE, "{\"ports\":{}}", "a list" },
  { CHANGE, "{\"ports\":[80]}", "entry 1: an object" },
  { CHANGE, "{\"ports\":[{}]}", "listen: is required" },
  { CHANGE, "{\"ports\":[{\"listen\":80}]}", "to: is required" },
  { CHANGE, "{\"ports\":[{\"listen\":0,\"to\":80}]}", "1 to 65535" },
  { CHANGE, "{\"ports\":[{\"listen\":80,\"to\":65536}]}", "1 to 65535" },
  { CHANGE, "{\"ports\":[{\"listen\":-80,\"to\":80}]}", "1 to 65535" },
  { CHANGE, "{\"ports\":[{\"listen\":\"80\",\"to\":80}]}", "whole number" },
  { CHANGE, "{\"ports\":[{\"listen\":80,\"to\":null}]}", "to: is required" },
  { CHANGE, "{\"ports\":[{\"listen\":80,\"to\":80,\"protocol\":\"sctp\"}]}", "one of tcp, udp" },
  { CHANGE, "{\"ports\":[{\"listen\":80,\"to\":80,\"address\":\"localhost\"}]}", "no IP address" },
  { CHANGE, "{\"ports\":[{\"listen\":80,\"to\":80,\"address\":\"1.2.3.256\"}]}", "no IP address" },
  { CHANGE, "{\"ports\":[{\"listen\":80,\"to\":80,\"addres\":\"::1\"}]}", "'addres'" },
  { CHANGE, "{\"ports\":[{\"listen\":80,\"to\":80},{\"listen\":80,\"to\":81}]}", "80/tcp is published twice" },
  { CHANGE, "{\"ports\":[{\"listen\":80,\"to\":80,\"address\":\"127.0.0.1\"},{\"listen\":80,\"to\":81}]}", "published twice" },
  { CHANGE, "{\"ports\":PORTS}", "more than the 64" },
};

/* The row's patch with its stand-ins filled in. */
static json_t *
filled(const char *text)
{
  g_autoptr(GString) s = g_string_new(text), many = g_string_new("[\"a\""), pairs = g_string_new("{\"V\":\"1\""), ports = g_string_new("[");
  g_autofree char *big = g_strnfill(100000, 'x');

  for (int i = 0; i < 128; i++)
    g_string_append(many, ",\"a\"");
  for (int i = 0; i < 256; i++)
    g_string_append_printf(pairs, ",\"V%d\":\"1\"", i);
  for (int i = 1; i <= 65; i++)
    g_string_append_printf(ports, "%s{\"listen\":%d,\"to\":1}", i > 1 ? "," : "", i);
  g_string_append_c(many, ']');
  g_string_append_c(pairs, '}');
  g_string_append_c(ports, ']');
  g_string_replace(s, "BIG", big, 0);
  g_string_replace(s, "MANY", many->str, 0);
  g_string_replace(s, "PAIRS", pairs->str, 0);
  g_string_replace(s, "PORTS", ports->str, 0);
  return js(s->str);
}

static void
test_bad_instances(void)
{
  g_autoptr(PtInstance) i = instance();

  for (guint n = 0; n < G_N_ELEMENTS(bad_instances); n++) {
    g_autoptr(json_t) patch = filled(bad_instances[n].patch);
    g_autoptr(GError) err = NULL;
    guint flags = 77;
    bool ok = pt_record_patch(&pt_instance_type, i, patch, bad_instances[n].allowed, &flags, &err);
    g_autofree char *after = pt_record_dump(&pt_instance_type, i);
    g_assert_cmpstr(after, ==, whole_instance);
    if (!bad_instances[n].says) {
      g_assert_no_error(err);
      g_assert_true(ok && flags == 0);
      continue;
    }
    if (ok || !strstr(err->message, bad_instances[n].says))
      g_error("row %u, %s: %s", n, bad_instances[n].patch, ok ? "was accepted" : err->message);
    g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    g_assert_true(g_utf8_validate(err->message, -1, NULL));
    g_assert_cmpuint(strlen(err->message), <, 1000);
    g_assert_cmpuint(flags, ==, 77);
  }
}

static void
test_good_patches(void)
{
  static const struct {
    guint allowed;
    const char *patch, *now;
    guint flags;
  } rows[] = {
    { CHANGE, "{}", "\"id\"", 0 },
    { CHANGE, "{\"memory\":\"1.5 GiB\"}", "\"memory\":1610612736", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"memory\":1e9}", "\"memory\":1000000000", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"memory\":0}", "\"memory\":0", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"memory\":4194304}", "\"memory\":4194304", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"cpu\":\"2.5\"}", "\"cpu\":2.5", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"cpu\":null}", "\"cpu\":0", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"cpu\":0.1}", "\"cpu\":0.1", 0 },
    { CHANGE, "{\"pids\":null}", "\"pids\":8192", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"disk\":\"30G\"}", "\"disk\":32212254720", PT_F_USER | PT_F_LIVE },
    { MAKE, "{\"disk\":\"1G\"}", "\"disk\":1073741824", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"env\":{\"A\":null,\"C\":\"3\"}}", "\"env\":{\"B\":\"\",\"C\":\"3\"}", PT_F_USER | PT_F_STOPPED },
    { CHANGE, "{\"env\":{\"never\":null}}", "\"env\":{\"A\":\"1\",\"B\":\"\"}", 0 },
    { CHANGE, "{\"command\":[\"ls\"],\"priority\":7}", "\"command\":[\"ls\"]", PT_F_USER | PT_F_LIVE | PT_F_STOPPED },
    { CHANGE, "{\"ports\":[]}", "\"ports\":[]", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"ports\":[{\"listen\":1,\"to\":65535},{\"listen\":1,\"to\":1,\"protocol\":\"udp\"}]}", "65535", PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"ports\":[{\"listen\":1,\"to\":1,\"address\":\"127.0.0.1\"},{\"listen\":1,\"to\":1,\"address\":\"::1\"}]}", "127.0.0.1",
      PT_F_USER | PT_F_LIVE },
    { CHANGE, "{\"user\":\"1000:1000\",\"cwd\":\"/\"}", "\"user\":\"1000:1000\"", PT_F_USER | PT_F_STOPPED },
    { CHANGE, "{\"description\":\"\xe6\x97\xa5\xe6\x9c\xac \\\"\"}", "\"description\":\"\xe6\x97\xa5\xe6\x9c\xac \\\"\"", PT_F_USER | PT_F_LIVE },
    { MAKE, "{\"name\":\"x23456789012345678901234567890123456789012345678901234567890123\"}", "\"name\":\"x23456", PT_F_USER | PT_F_REQUIRED },
  };

  for (guint n = 0; n < G_N_ELEMENTS(rows); n++) {
    g_autoptr(PtInstance) i = instance();
    g_autoptr(json_t) patch = js(rows[n].patch);
    g_autoptr(GError) err = NULL;
    guint flags = 0;
    g_assert_true(pt_record_patch(&pt_instance_type, i, patch, rows[n].allowed, &flags, &err));
    g_assert_no_error(err);
    g_assert_cmphex(flags, ==, rows[n].flags);
    g_autofree char *text = pt_record_dump(&pt_instance_type, i);
    if (!strstr(text, rows[n].now))
      g_error("row %u: %s", n, text);
  }
}

/* Records out of the store: unknown members are a newer version's, broken ones are errors. */
static void
test_parse(void)
{
  static const struct {
    const PtType *type;
    const char *text, *says; /* NULL: good */
  } rows[] = {
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"of-the-future\":{\"a\":[1]}}", NULL },
    { &pt_space_type, "{\"name\":\"home\"}", "id: is required" },
    { &pt_space_type, "{\"id\":null,\"name\":\"home\"}", "id: is required" },
    { &pt_space_type, "{\"id\":\"../../x\",\"name\":\"home\"}", "is no id" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"members\":{\"anna\":\"king\"}}", "'king' is no role" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"members\":{\"Anna\":\"owner\"}}", "user name" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"subnet\":\"10.83.0.1/24\"}", "a subnet is" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"subnet\":\"10.83.0.0/31\"}", "a subnet is" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"subnet\":\"10.83.0.0\"}", "a subnet is" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"subnet\":\"10.83.0.0/24x\"}", "a subnet is" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"prefix6\":\"fd00::/48\"}", "a prefix is" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"prefix6\":\"fd00::1/64\"}", "a prefix is" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"prefix6\":\"fd00::/64\",\"subnet\":\"10.0.0.0/8\"}", NULL },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"created\":\"yesterday\"}", "a time such as" },
    { &pt_space_type, "{\"id\":\"" ID "\",\"name\":\"home\",\"created\":12}", "a time such as" },
    { &pt_space_type, "[]", "object" },
    { &pt_user_type, "{\"name\":\"anna\",\"totp_last\":-1}", "whole number" },
    { &pt_user_type, "{\"name\":\"root.2_x-y\"}", NULL },
    { &pt_user_type, "{\"name\":\"9a\"}", "user name" },
    { &pt_token_type, "{\"id\":\"x\",\"user\":\"anna\"}", "hash: is required" },
    { &pt_token_type, "{\"id\":\"x\",\"user\":\"anna\",\"hash\":\"h\",\"scope\":\"space:home:read\"}", NULL },
    { &pt_token_type, "{\"id\":\"x\",\"user\":\"anna\",\"hash\":\"h\",\"scope\":\"space:home:write\"}", "a scope is" },
    { &pt_token_type, "{\"id\":\"x\",\"user\":\"anna\",\"hash\":\"h\",\"scope\":\"space:\"}", "a scope is" },
    { &pt_token_type, "{\"id\":\"x\",\"user\":\"anna\",\"hash\":\"h\",\"scope\":\"space:a:read:\"}", "a scope is" },
    { &pt_token_type, "{\"id\":\"x\",\"user\":\"anna\",\"hash\":\"h\",\"scope\":\"admin\"}", "a scope is" },
    { &pt_image_type, "{\"digest\":\"" DIGEST "\",\"names\":[\"docker.io/library/alpine:3.20\",\"desktop\"]}", NULL },
    { &pt_image_type, "{\"digest\":\"sha256:00\"}", "no digest" },
    { &pt_image_type, "{\"digest\":\"" DIGEST "0\"}", "more than" },
    { &pt_image_type, "{\"digest\":\"" DIGEST "\",\"names\":[\"a..b\"]}", "image's name" },
    { &pt_image_type, "{\"digest\":\"" DIGEST "\",\"names\":[\"-a\"]}", "image's name" },
    { &pt_image_type, "{\"digest\":\"" DIGEST "\",\"names\":[\"a b\"]}", "image's name" },
    { &pt_image_type, "{\"digest\":\"" DIGEST "\",\"desktop_socket\":\"rfb.sock\"}", "absolute" },
    { &pt_image_type, "{\"digest\":\"" DIGEST "\",\"stop_signal\":\"RTMIN+3\"}", NULL },
    { &pt_image_type, "{\"digest\":\"" DIGEST "\",\"stop_signal\":\"kill -9\"}", "no signal" },
    { &pt_status_type, "{\"name\":\"web\",\"space\":\"home\",\"id\":\"" ID "\",\"state\":\"dancing\"}", "one of stopped" },
    { &pt_status_type, "{\"name\":\"web\",\"space\":\"home\",\"id\":\"" ID "\",\"exit_code\":-2}", "whole number" },
    { &pt_operation_type, "{\"id\":\"" ID "\",\"kind\":\"launch\",\"progress\":1001}", "1000" },
    { &pt_operation_type, "{\"id\":\"" ID "\",\"kind\":\"launch\"}", NULL },
    { &pt_volume_type, "{\"id\":\"" ID "\",\"space\":\"home\",\"size\":-5}", "a size of" },
    { &pt_instance_type, "{\"id\":\"" ID "\",\"name\":\"w\",\"space\":\"s\",\"image\":\"" DIGEST "\",\"mac\":\"01:00:00:00:00:00\"}", "MAC" },
    { &pt_instance_type, "{\"id\":\"" ID "\",\"name\":\"w\",\"space\":\"s\",\"image\":\"" DIGEST "\",\"mac\":\"02:00:5E:00:00:00\"}", "MAC" },
    { &pt_instance_type, "{\"id\":\"" ID "\",\"name\":\"w\",\"space\":\"s\",\"image\":\"" DIGEST "\",\"address\":\"fd00::1\"}", "IPv4" },
    { &pt_instance_type, "{\"id\":\"" ID "\",\"name\":\"w\",\"space\":\"s\",\"image\":\"" DIGEST "\",\"address6\":\"1.2.3.4\"}", "IPv6" },
    { &pt_node_type, "{\"name\":\"n.1\"}", "node name" },
  };

  for (guint n = 0; n < G_N_ELEMENTS(rows); n++) {
    g_autoptr(json_t) json = js(rows[n].text);
    g_autoptr(GError) err = NULL;
    void *record = pt_record_parse(rows[n].type, json, &err);
    g_assert_true((record == NULL) == (err != NULL));
    if ((record != NULL) != (rows[n].says == NULL) || (err && !strstr(err->message, rows[n].says)))
      g_error("row %u, %s: %s", n, rows[n].text, err ? err->message : "was accepted");
    if (err)
      g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
    pt_record_free(rows[n].type, record);
  }
}

static void
test_assignments(void)
{
  static const struct {
    const PtType *type;
    const char *text, *patch; /* NULL: refused */
  } rows[] = {
    { &pt_instance_type, "cpu=0.5", "{\"cpu\":\"0.5\"}" },
    { &pt_instance_type, "cpu=0", "{\"cpu\":\"0\"}" },
    { &pt_instance_type, "cpu=", "{\"cpu\":null}" },
    { &pt_instance_type, "memory=2GiB", "{\"memory\":2147483648}" },
    { &pt_instance_type, "pids=100", "{\"pids\":100}" },
    { &pt_instance_type, "autostart=no", "{\"autostart\":false}" },
    { &pt_instance_type, "restart=always", "{\"restart\":\"always\"}" },
    { &pt_instance_type, "description=a = b", "{\"description\":\"a = b\"}" },
    { &pt_instance_type, "env.PATH=/bin:/x=y", "{\"env\":{\"PATH\":\"/bin:/x=y\"}}" },
    { &pt_instance_type, "env.A=", "{\"env\":{\"A\":null}}" },
    { &pt_instance_type, "env={\"A\":\"1\"}", "{\"env\":{\"A\":\"1\"}}" },
    { &pt_instance_type, "command=sh -c 'ls -l'", "{\"command\":[\"sh\",\"-c\",\"ls -l\"]}" },
    { &pt_instance_type, "command=[\"a b\"]", "{\"command\":[\"a b\"]}" },
    { &pt_instance_type, "ports=8080:80, 127.0.0.1:53:5353/udp",
      "{\"ports\":[{\"protocol\":\"tcp\",\"listen\":8080,\"to\":80},{\"protocol\":\"udp\",\"listen\":53,\"to\":5353,\"address\":\"127.0.0.1\"}]}" },
    { &pt_instance_type, "ports=[::1]:1:2", "{\"ports\":[{\"protocol\":\"tcp\",\"listen\":1,\"to\":2,\"address\":\"::1\"}]}" },
    { &pt_space_type, "quota.memory=8G", "{\"quota\":{\"memory\":8589934592}}" },
    { &pt_instance_type, "", NULL },
    { &pt_instance_type, "cpu", NULL },
    { &pt_instance_type, "=2", NULL },
    { &pt_instance_type, "nonsense=1", NULL },
    { &pt_instance_type, "cpu=fast", NULL },
    { &pt_instance_type, "memory=2 apples", NULL },
    { &pt_instance_type, "pids=1.5", NULL },
    { &pt_instance_type, "pids=99999999999999999999", NULL },
    { &pt_instance_type, "autostart=maybe", NULL },
    { &pt_instance_type, "restart=sometimes", NULL },
    { &pt_instance_type, "env=A", NULL },
    { &pt_instance_type, "env={", NULL },
    { &pt_instance_type, "cpu.x=1", NULL },
    { &pt_instance_type, "command=sh -c 'open", NULL },
    { &pt_instance_type, "command=[1,", NULL },
    { &pt_instance_type, "ports=80", NULL },
    { &pt_instance_type, "ports=80:80,", NULL },
    { &pt_instance_type, "ports=80:80/sctp", NULL },
    { &pt_instance_type, "ports=host:80:80", NULL },
    { &pt_instance_type, "description=\xff", NULL },
    { &pt_instance_type, "env.A=\xff", NULL },
    { &pt_instance_type, "env.\xff=a", NULL },
    { &pt_space_type, "quota.apples=8", NULL },
  };

  for (guint n = 0; n < G_N_ELEMENTS(rows); n++) {
    g_autoptr(json_t) patch = json_object();
    g_autoptr(GError) err = NULL;
    bool ok = pt_record_patch_add(rows[n].type, patch, rows[n].text, &err);
    g_autofree char *text = pt_json_dump(patch);
    g_assert_true(ok == (err == NULL));
    if (ok != (rows[n].patch != NULL))
      g_error("row %u, %s: %s", n, rows[n].text, ok ? text : err->message);
    if (ok)
      g_assert_cmpstr(text, ==, rows[n].patch);
    else
      g_assert_error(err, PT_ERROR, PT_ERR_INVALID);
  }
  g_autoptr(json_t) both = json_object();
  g_assert_true(pt_record_patch_add(&pt_instance_type, both, "env.A=1", NULL));
  g_assert_true(pt_record_patch_add(&pt_instance_type, both, "env.B=2", NULL));
  g_assert_false(pt_record_patch_add(&pt_instance_type, both, "env.B.C", NULL));
  g_autofree char *text = pt_json_dump(both);
  g_assert_cmpstr(text, ==, "{\"env\":{\"A\":\"1\",\"B\":\"2\"}}");
}

/* What only an administrator may: through the same PATCH, an owner must not get at it. */
static void
test_administrators(void)
{
  static const struct {
    const PtType *type;
    const char *patch;
  } rows[] = {
    { &pt_space_type, "{\"quota\":{\"memory\":0}}" },
    { &pt_user_type, "{\"admin\":true}" },
    { &pt_user_type, "{\"disabled\":false}" },
    { &pt_user_type, "{\"must_change\":false}" },
  };

  for (guint n = 0; n < G_N_ELEMENTS(rows); n++) {
    void *record = pt_record_new(rows[n].type);
    g_autoptr(json_t) patch = js(rows[n].patch);
    g_autoptr(GError) err = NULL, err2 = NULL;
    g_assert_false(pt_record_patch(rows[n].type, record, patch, PT_F_LIVE | PT_F_STOPPED, NULL, &err));
    g_assert_error(err, PT_ERROR, PT_ERR_FORBIDDEN);
    g_assert_true(pt_record_patch(rows[n].type, record, patch, PT_F_LIVE | PT_F_ADMIN, NULL, &err2));
    g_assert_no_error(err2);
    pt_record_free(rows[n].type, record);
  }
}

static void
test_secrets(void)
{
  g_autoptr(json_t) json = js("{\"name\":\"anna\",\"password\":\"$argon2id$SECRET\",\"totp\":\"SECRET\",\"totp_pending\":\"SECRET\",\"totp_last\":77}");
  g_autoptr(PtUser) user = pt_user_parse(json, NULL);
  g_autoptr(json_t) shown = pt_record_format(&pt_user_type, user, false), view = pt_user_view(user, 9);
  g_autofree char *text = pt_json_dump(shown), *seen = pt_json_dump(view), *stored = pt_record_dump(&pt_user_type, user);
  const PtToken token = { .id = (char *)"x", .user = (char *)"anna", .hash = (char *)"SECRET" };
  g_autoptr(json_t) tok = pt_record_format(&pt_token_type, &token, false);
  g_autofree char *tok_text = pt_json_dump(tok);

  g_assert_null(strstr(text, "SECRET"));
  g_assert_null(strstr(seen, "SECRET"));
  g_assert_null(strstr(seen, "77"));
  g_assert_null(strstr(tok_text, "SECRET"));
  g_assert_nonnull(strstr(stored, "\"password\":\"$argon2id$SECRET\""));
  g_assert_true(json_is_true(json_object_get(view, "totp")));
  g_assert_cmpint(pt_json_int(view, "revision", 0), ==, 9);
}

/* An engine's words go into records: whatever they are, the record can be read again. */
static void
test_foreign_words(void)
{
  g_autofree char *big = g_strnfill(10000, 'x');
  const char *const words[] = { "\x1b[31mred", "a\xff\xfe" "b", big, "line\nhint\ttab", "", "\xe2\x80\xae" "abc" };

  for (guint n = 0; n < G_N_ELEMENTS(words); n++) {
    PtStatus s = { .name = (char *)"web", .space = (char *)"home", .id = (char *)ID, .error = (char *)words[n], .step = (char *)words[n] };
    g_autofree char *text = pt_record_dump(&pt_status_type, &s);
    g_autoptr(json_t) json = js(text);
    g_autoptr(GError) err = NULL;
    g_autoptr(PtStatus) back = pt_status_parse(json, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(strlen(back->error), <=, 4096);
    g_assert_cmpuint(strlen(back->step), <=, 200);
    if (strchr(words[n], '\n')) {
      g_assert_cmpstr(back->error, ==, words[n]);
      g_assert_cmpstr(back->step, ==, "line?hint?tab");
    }
  }
}

/* Every byte of a struct but padding belongs to a field, in order: else copying and freeing would be wrong. */
static void
test_tables(void)
{
  static const PtType *const types[] = { &pt_port_type,  &pt_instance_type, &pt_status_type, &pt_quota_type,     &pt_space_type, &pt_user_type,
                                         &pt_token_type, &pt_volume_type,   &pt_node_type,   &pt_operation_type, &pt_image_type };

  for (guint t = 0; t < G_N_ELEMENTS(types); t++) {
    gsize at = 0;
    for (guint i = 0; i < types[t]->n_fields; i++) {
      const PtField *f = &types[t]->fields[i];
      gsize size = f->kind == PT_FIELD_BOOL ? sizeof(bool) : f->kind == PT_FIELD_ENUM ? sizeof(int) : 8;
      if (f->offset != (at + size - 1) / size * size)
        g_error("%s.%s: is not where the one before it ends", types[t]->name, f->name);
      at = f->offset + size;
      g_assert_nonnull(f->help);
      g_assert_true(g_str_has_suffix(f->help, ".") || strstr(f->help, "…"));
      g_assert_true(pt_field_find(types[t], f->name) == f);
      g_assert_true(f->kind != PT_FIELD_STRING || f->max > 0);
      g_assert_true((f->kind == PT_FIELD_ENUM) == (f->names != NULL));
    }
    g_assert_cmpuint(types[t]->size - at, <, 8);
    void *empty = pt_record_new(types[t]), *copy = pt_record_copy(types[t], empty);
    g_autofree char *a = pt_record_dump(types[t], empty), *b = pt_record_dump(types[t], copy);
    g_assert_cmpstr(a, ==, b);
    pt_record_free(types[t], empty);
    pt_record_free(types[t], copy);
  }
}

static void
test_runs(void)
{
  /* rows from, columns to: stopped starting running paused stopping failed hibernated */
  static const char *const allowed[] = { ".S.....", "T.R.XFH", "T..PXFH", "T.R.XFH", "T....F.", "TS.....", "TSR.XF." };

  for (int from = 0; from < PT_N_RUNS; from++) {
    for (int to = 0; to < PT_N_RUNS; to++) {
      g_autoptr(GError) err = NULL;
      int run = from;
      bool ok = pt_run_move(&run, (PtRun)to, &err);
      g_assert_true(ok == (allowed[from][to] != '.'));
      g_assert_cmpint(run, ==, ok ? to : from);
      if (!ok)
        g_assert_error(err, PT_ERROR, PT_ERR_CONFLICT);
    }
  }
}

static void
test_view(void)
{
  g_autoptr(PtInstance) i = instance();
  PtStatus s = { .id = (char *)ID, .state = PT_RUN_RUNNING, .ready = true, .pid = 42, .exit_code = -1, .started = 1767225600123000 };
  g_autoptr(json_t) without = pt_instance_view(i, NULL, 5), with = pt_instance_view(i, &s, 6);
  const char *key;
  json_t *v;

  g_assert_cmpstr(pt_json_str(without, "state", NULL), ==, "stopped");
  g_assert_cmpstr(pt_json_str(with, "state", NULL), ==, "running");
  g_assert_cmpstr(pt_json_str(with, "node", NULL), ==, "n1");
  g_assert_cmpstr(pt_json_str(with, "started", NULL), ==, "2026-01-01T00:00:00.123Z");
  g_assert_cmpint(pt_json_int(with, "pid", 0), ==, 42);
  g_assert_cmpint(pt_json_int(with, "revision", 0), ==, 6);
  g_assert_true(json_is_null(json_object_get(with, "exit_code")));
  g_assert_true(json_is_null(json_object_get(with, "usage")));
  g_assert_cmpuint(json_object_size(with), ==, json_object_size(without));
  json_object_foreach(with, key, v)
    g_assert_nonnull(json_object_get(without, key));

  s.id = (char *)"01hyyyyyyyyyyyyyyyyyyyyyyy"; /* of an older namesake */
  g_autoptr(json_t) other = pt_instance_view(i, &s, 5);
  g_assert_true(json_equal(other, without));
  PtInstance empty = { .name = (char *)"x", .deleting = true };
  g_autoptr(json_t) bare = pt_instance_view(&empty, NULL, 1);
  g_assert_true(json_is_object(json_object_get(bare, "env")) && json_is_array(json_object_get(bare, "ports")));
  g_assert_cmpstr(pt_json_str(bare, "step", NULL), ==, "deleting");
}

static void
test_operation_view(void)
{
  const PtOperation op = { .id = (char *)ID, .kind = (char *)"launch", .state = PT_OP_FAILED, .error_code = (char *)"no-space",
                           .error = (char *)"web: the disk is full\nmake room", .progress = -1 };
  g_autoptr(json_t) view = pt_operation_view(&op);
  const json_t *e = json_object_get(view, "error");

  g_assert_cmpstr(pt_json_str(e, "code", NULL), ==, "no-space");
  g_assert_cmpstr(pt_json_str(e, "detail", NULL), ==, "web: the disk is full");
  g_assert_cmpstr(pt_json_str(e, "hint", NULL), ==, "make room");
  g_assert_null(json_object_get(view, "error_code"));
  g_assert_true(json_is_null(json_object_get(view, "result")));
}

static void
test_roles_and_keys(void)
{
  g_autoptr(json_t) json = js("{\"id\":\"" ID "\",\"name\":\"home\",\"members\":{\"anna\":\"owner\",\"bert\":\"viewer\"}}");
  g_autoptr(PtSpace) s = pt_space_parse(json, NULL);
  g_autofree char *i = pt_key_instance("home", "web"), *st = pt_key_status("home", "web"), *v = pt_key_volume("home", ID);

  g_assert_cmpint(pt_space_role(s, "anna"), ==, PT_ROLE_OWNER);
  g_assert_cmpint(pt_space_role(s, "bert"), ==, PT_ROLE_VIEWER);
  g_assert_cmpint(pt_space_role(s, "carl"), ==, PT_ROLE_NONE);
  g_assert_cmpint(pt_space_role(s, NULL), ==, PT_ROLE_NONE);
  g_assert_nonnull(s->quota);
  g_assert_cmpstr(i, ==, "spaces/home/instances/web");
  g_assert_cmpstr(st, ==, "spaces/home/status/web");
  g_assert_cmpstr(v, ==, "spaces/home/volumes/" ID);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/model/round-trip", test_round_trip);
  g_test_add_func("/model/tables", test_tables);
  g_test_add_func("/model/bad-instances", test_bad_instances);
  g_test_add_func("/model/good-patches", test_good_patches);
  g_test_add_func("/model/parse", test_parse);
  g_test_add_func("/model/assignments", test_assignments);
  g_test_add_func("/model/administrators", test_administrators);
  g_test_add_func("/model/secrets", test_secrets);
  g_test_add_func("/model/foreign-words", test_foreign_words);
  g_test_add_func("/model/runs", test_runs);
  g_test_add_func("/model/view", test_view);
  g_test_add_func("/model/operation-view", test_operation_view);
  g_test_add_func("/model/roles-and-keys", test_roles_and_keys);
  return g_test_run();
}
