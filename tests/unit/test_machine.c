// SPDX-License-Identifier: Apache-2.0
/* What QEMU and the guest are told: functions of the record alone. */
#include <string.h>

#include "base/guest.h"
#include "drivers/machine/internal.h"

static PtMachinePlan
plan(const PtInstance *spec)
{
  PtMachinePlan p = { .spec = spec, .board = pt_machine_board("x86_64"), .program = "/vm/program", .cpus = 3, .queues = 3, .memory = (gint64)768 << 20,
                      .network = true, .uuid = "00000000-0000-4000-8000-000000000000" };
  return p;
}

/* The whole line, and that nothing of a value could have become an option of its own. */
static char *
line_of(const PtMachinePlan *p)
{
  g_auto(GStrv) args = pt_machine_args(p);

  g_assert_cmpstr(args[0], ==, "/vm/program");
  return g_strjoinv(" ", args);
}

static void
test_micro(void)
{
  const PtInstance spec = { .name = (char *)"web", .mac = (char *)"02:00:5e:10:00:01", .io_write = 7777 };
  PtMachinePlan p = plan(&spec);
  g_autofree char *line = line_of(&p);

  for (const char *const *s = (const char *const[]){ "-nodefaults", "-no-user-config", "spawn=deny", "-smp 3", "-m 768M", "size=768M",
                                                     "filename\":\"/image\"", "\"read-only\":true", "filename\":\"/volume\"", "bps-write\":7777", "ifname=tap0",
                                                     "mac=02:00:5e:10:00:01", "fd=10", "fd=11", "path=/vm/qmp", "name=portena.8",
                                                     "-display none", NULL };
       *s; s++)
    if (!strstr(line, *s))
      g_error("%s is not in: %s", *s, line);
  g_assert_null(strstr(line, "tsc_early_khz"));
  g_assert_null(strstr(line, "-vnc"));
  p.tsc_khz = 2600000;
  p.network = false;
  g_autofree char *other = line_of(&p);
  g_assert_nonnull(strstr(other, "tsc_early_khz=2600000"));
  g_assert_null(strstr(other, "-netdev"));
}

/* Data volumes: from the top of the slots down, throttled as the root volume is; a pc without virtio has them on its AHCI. */
static void
test_disks(void)
{
  PtDisk one = { .volume = (char *)"data", .id = (char *)"a", .path = (char *)"/mnt/data" };
  PtDisk two = { .volume = (char *)"more", .id = (char *)"b", .path = (char *)"/srv/my \\ place", .slot = 2, .read_only = true };
  gpointer items[] = { &one, &two };
  GPtrArray disks = { items, 2 };
  const PtInstance spec = { .name = (char *)"web", .mac = (char *)"02:00:5e:10:00:01", .disks = &disks };
  const PtImage image = { .digest = NULL };
  const PtContainerStart start = { .spec = &spec, .image = &image };
  PtMachinePlan p = plan(&spec);

  p.slots = PT_MACHINE_SLOTS;
  g_autofree char *line = line_of(&p), *config = pt_machine_config(&start, "0123456789abcdef0123456789abcdef");
  for (const char *const *s = (const char *const[]){ "\"node-name\":\"disk0\",\"throttle-group\":\"io\",\"read-only\":false",
                                                     "\"node-name\":\"disk2\",\"throttle-group\":\"io\",\"read-only\":true", "filename\":\"/disk.2\"",
                                                     "\"id\":\"disk0\",\"drive\":\"disk0\",\"serial\":\"portena-disk-0\",\"bus\":\"slot7\"",
                                                     "\"serial\":\"portena-disk-2\",\"bus\":\"slot5\"", NULL };
       *s; s++)
    if (!strstr(line, *s))
      g_error("%s is not in: %s", *s, line);
  g_assert_cmpuint((gsize)(strstr(line, "id=slot7") - line), <, (gsize)(strstr(line, "disk0") - line)); /* a bus has to be there first */
  g_assert_nonnull(strstr(config, "\ndisk=portena-disk-0 rw /mnt/data\n"));
  g_assert_nonnull(strstr(config, "\ndisk=portena-disk-2 ro /srv/my \\\\ place\n"));
  p.pc = p.emulated = true;
  g_autofree char *pc = line_of(&p);
  g_assert_nonnull(strstr(pc, "\"driver\":\"ide-hd\",\"id\":\"disk2\",\"drive\":\"disk2\",\"serial\":\"portena-disk-2\",\"bus\":\"ide.5\""));
  g_assert_true(pt_machine_disks_fit(&spec, true, NULL));
  two.slot = 3;
  g_assert_false(pt_machine_disks_fit(&spec, true, NULL));
  g_assert_true(pt_machine_disks_fit(&spec, false, NULL));
}

/* What it can grow to, and slots: only where the plan says so. */
static void
test_room(void)
{
  const PtInstance spec = { .name = (char *)"web", .mac = (char *)"02:00:5e:10:00:01" };
  PtMachinePlan p = plan(&spec);
  g_autofree char *fixed = line_of(&p);

  g_assert_null(strstr(fixed, "maxcpus"));
  g_assert_null(strstr(fixed, "maxmem"));
  g_assert_null(strstr(fixed, "virtio-mem"));
  g_assert_null(strstr(fixed, "pcie-root-port"));
  p.cpus_max = 8;
  p.memory_max = (gint64)6144 << 20;
  p.slots = PT_MACHINE_SLOTS;
  g_autofree char *line = line_of(&p);
  for (const char *const *s = (const char *const[]){ "-smp 3,maxcpus=8", "-m 768M,slots=1,maxmem=6144M", "reserve=off,size=5376M",
                                                     "virtio-mem-pci,id=grow", "id=slot0,bus=pcie.0", "id=slot7,bus=pcie.0", NULL };
       *s; s++)
    if (!strstr(line, *s))
      g_error("%s is not in: %s", *s, line);
  g_assert_cmpint(pt_machine_room(&p), ==, (gint64)5376 << 20);
}

/* Further cards: in slots of their own at a start; as they were where the machine was hibernated, and one that has gone meanwhile leads
 * nowhere. */
static void
test_nics(void)
{
  PtNic nic = { .name = (char *)"eth2", .space = (char *)"lab", .address = (char *)"10.84.0.2", .mac = (char *)"02:00:5e:10:00:09" };
  g_autoptr(GPtrArray) nics = g_ptr_array_new();
  const PtInstance spec = { .name = (char *)"web", .mac = (char *)"02:00:5e:10:00:01", .nics = nics };
  PtMachinePlan p = plan(&spec);

  g_ptr_array_add(nics, &nic);
  p.slots = PT_MACHINE_SLOTS;
  pt_machine_nics_plan(&p);
  g_autofree char *line = line_of(&p);
  for (const char *const *s = (const char *const[]){ "tap,id=eth2,ifname=tap2", "id=slot8,bus=pcie.0,addr=11.0",
                                                     "id=eth2,netdev=eth2,mac=02:00:5e:10:00:09,romfile=,bus=slot8", NULL };
       *s; s++)
    if (!strstr(line, *s))
      g_error("%s is not in: %s", *s, line);
  g_autoptr(json_t) saved = json_pack("{s:[{s:s,s:s,s:i},{s:s,s:s,s:i},{s:s,s:s,s:i}]}", "nics", "name", "eth2", "mac", "02:00:5E:10:00:09", "slot", 0,
                                      "name", "eth3", "mac", "02:00:5e:10:00:0a", "slot", 8, "name", "eth0", "mac", "x", "slot", 1);
  pt_machine_nics_resume(&p, saved);
  g_assert_cmpuint(p.n_nics, ==, 2);
  g_autofree char *again = line_of(&p);
  g_assert_nonnull(strstr(again, "id=eth2,netdev=eth2,mac=02:00:5E:10:00:09,romfile=,bus=slot0"));
  g_assert_nonnull(strstr(again, "id=eth3,mac=02:00:5e:10:00:0a,romfile=,bus=slot8"));
  g_assert_null(strstr(again, "tap3"));
  p.network = false;
  p.n_nics = 0;
  pt_machine_nics_plan(&p);
  g_assert_cmpuint(p.n_nics, ==, 0);
}

static void
test_pc(void)
{
  const PtInstance spec = { .name = (char *)"pc", .mac = (char *)"02:00:5e:10:00:02", .boot_iso = true };
  PtMachinePlan p = plan(&spec);

  p.pc = p.emulated = p.iso = p.tpm = p.secure = true;
  p.code = "/usr/share/OVMF/code.fd";
  g_autofree char *line = line_of(&p);
  for (const char *const *s = (const char *const[]){ "smm=on", "readonly=on,file=/usr/share/OVMF/code.fd", "file=/kept/vars-secure.fd",
                                                     "ide-hd,bus=ide.0,id=volume,drive=volume,bootindex=2", "drive=disc0,bootindex=1",
                                                     "e1000e", "tpm-crb", "-vnc unix:/vm/vnc", "org.qemu.guest_agent.0", NULL };
       *s; s++)
    if (!strstr(line, *s))
      g_error("%s is not in: %s", *s, line);
  g_assert_null(strstr(line, "-kernel"));
  g_assert_null(strstr(line, "/image"));
  p.emulated = p.iso = p.tpm = p.secure = false;
  p.code = NULL;
  g_autofree char *bios = line_of(&p);
  g_assert_null(strstr(bios, "pflash"));
  g_assert_nonnull(strstr(bios, "virtio-blk-pci,num-queues=3,id=volume"));
  /* cloud-init's disc is where the disk is: what its kernel finds late comes too late. */
  p.seed = true;
  g_autofree char *told = line_of(&p);
  g_assert_nonnull(strstr(told, "virtio-blk-pci,num-queues=1,id=disc1,drive=disc1,serial=cidata"));
  p.emulated = true;
  g_autofree char *emulated = line_of(&p);
  g_assert_nonnull(strstr(emulated, "ide-cd,id=disc1,bus=ide.2,drive=disc1"));
}

static bool
no_plug(pid_t pid, void *data, GError **error)
{
  (void)pid;
  (void)data;
  (void)error;
  return true;
}

/* Whatever a value holds, /config has it as one line, and its reader gets it back as it was. */
static void
test_config(void)
{
  char *command[] = { (char *)"/bin/sh", (char *)"-c", (char *)"echo a\nb\\c\ninit=app", NULL };
  g_autoptr(GHashTable) env = g_hash_table_new(g_str_hash, g_str_equal);
  const PtInstance spec = { .id = (char *)"01hzzzzzzzzzzzzzzzzzzzzzzz", .name = (char *)"web", .init = PT_INIT_SYSTEM, .command = command,
                            .env = env, .mac = (char *)"02:00:5e:10:00:01", .address = (char *)"10.83.0.7",
                            .address6 = (char *)"fd00:1:2:3::7" };
  const PtImage image = { .init = PT_INIT_SYSTEM };
  PtContainerStart start = { .spec = &spec, .image = &image, .dns = "10.83.0.1", .domain = "home.internal", .subnet = "10.83.0.0/24",
                             .prefix6 = "fd00:1:2:3::/64", .plug = no_plug };

  g_hash_table_insert(env, (char *)"KEY", (char *)"a\nuser=root\\");
  g_autofree char *text = pt_machine_config(&start, "0123456789abcdef0123456789abcdef");
  char *at = text, *end = text + strlen(text);
  const char *key, *value;
  guint seen = 0, commands = 0;
  while (pt_guest_line(&at, end, &key, &value) == 1) {
    g_assert_cmpstr(key, !=, "init-app");
    commands += strcmp(key, "command") == 0;
    seen += strcmp(key, "command") == 0 && strcmp(value, command[2]) == 0;
    seen += strcmp(key, "env") == 0 && strcmp(value, "KEY=a\nuser=root\\") == 0;
    seen += strcmp(key, "init") == 0 && strcmp(value, "system") == 0;
    seen += strcmp(key, "address") == 0 && (strcmp(value, "10.83.0.7/24") == 0 || strcmp(value, "fd00:1:2:3::7/64") == 0);
    seen += strcmp(key, "gateway") == 0 && (strcmp(value, "10.83.0.1") == 0 || strcmp(value, "fd00:1:2:3::1") == 0);
    g_assert_cmpstr(key, !=, "user");
  }
  g_assert_true(at == end);
  g_assert_cmpuint(commands, ==, 3);
  g_assert_cmpuint(seen, ==, 7);
  start.plug = NULL; /* offline */
  g_autofree char *alone = pt_machine_config(&start, "0123456789abcdef0123456789abcdef");
  g_assert_null(strstr(alone, "address="));
}

static void
test_processes(void)
{
  g_autoptr(GString) text = g_string_new("user=nobody\npid=1\nppid=0\nuid=0\nuser=root\ncommand=/sbin/init \x1b[31m\nstate=S\ncpu=5\nmemory=7\npid=9\n"
                                         "uid=99999999999\nmemory=-5\nstate=?\nbroken");
  g_autoptr(GPtrArray) list = pt_machine_ps_parse(text);

  g_assert_cmpuint(list->len, ==, 2);
  const PtProcess *first = g_ptr_array_index(list, 0), *second = g_ptr_array_index(list, 1);
  g_assert_cmpstr(first->user, ==, "root");
  g_assert_null(strchr(first->command, '\x1b'));
  g_assert_cmpint(first->state, ==, 'S');
  g_assert_cmpstr(second->command, ==, "?");
  g_assert_cmpint(second->memory, ==, 0);
}

static void
test_memory(void)
{
  const PtInstance plain = { 0 }, desktop = { .desktop = true }, given = { .memory = ((gint64)300 << 20) + 5 };
  PtInstance limits = pt_machine_limits(&given);

  g_assert_cmpint(pt_machine_memory(&plain), ==, (gint64)512 << 20);
  g_assert_cmpint(pt_machine_memory(&desktop), ==, (gint64)1024 << 20);
  g_assert_cmpint(pt_machine_memory(&given), ==, (gint64)300 << 20);
  g_assert_cmpint(limits.memory, >, (gint64)300 << 20);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/machine/micro", test_micro);
  g_test_add_func("/machine/room", test_room);
  g_test_add_func("/machine/disks", test_disks);
  g_test_add_func("/machine/nics", test_nics);
  g_test_add_func("/machine/pc", test_pc);
  g_test_add_func("/machine/config", test_config);
  g_test_add_func("/machine/processes", test_processes);
  g_test_add_func("/machine/memory", test_memory);
  return g_test_run();
}
