// SPDX-License-Identifier: Apache-2.0
#include "model/instance.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "model/field.h"

const char *const pt_kind_names[] = { "container", "machine", "process", NULL };
const char *const pt_model_names[] = { "micro", "pc", NULL };
const char *const pt_accel_names[] = { "auto", "kvm", "tcg", NULL };
const char *const pt_firmware_names[] = { "uefi", "bios", NULL };
const char *const pt_hardware_names[] = { "virtio", "emulated", NULL };
const char *const pt_init_names[] = { "system", "app", NULL };
const char *const pt_power_names[] = { "stopped", "running", "paused", "hibernated", NULL };
const char *const pt_restart_names[] = { "no", "on-failure", "always", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(pt_kind_names) == PT_N_KINDS + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_model_names) == PT_N_MODELS + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_accel_names) == PT_N_ACCELS + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_firmware_names) == PT_N_FIRMWARES + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_hardware_names) == PT_N_HARDWARES + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_init_names) == PT_N_INITS + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_power_names) == PT_N_POWERS + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_restart_names) == PT_N_RESTARTS + 1);

/* What there may be at most, and least. A guest with less memory than this dies in its first instruction. */
#define MAX_PORTS 64
#define MAX_ENV 256
#define MAX_WORDS 128
#define MAX_USER_DATA (64 << 10)
#define MAX_SSH_KEYS 32
#define MIN_MEMORY (4 << 20)
#define MIN_RATE (64 * 1024)
#define MIN_DISK (16 << 20)
#define MAX_DISK (G_GINT64_CONSTANT(1) << 44) /* ext4 with 4 KiB blocks and 32-bit block numbers */

/* ports */

static const char *const protocol_names[] = { "tcp", "udp", NULL };

static const PtField port_fields[] = {
  PT_ENUM(PtPort, protocol, PT_LIVE, protocol_names, "tcp or udp; tcp if not given."),
  PT_INT(PtPort, listen, PT_LIVE | PT_F_REQUIRED, 1, 65535, "The port of the node."),
  PT_INT(PtPort, to, PT_LIVE | PT_F_REQUIRED, 1, 65535, "The port inside the instance."),
  PT_STR(PtPort, address, PT_LIVE, 45, pt_check_ip, "The node's address it is published on; all if not given."),
};

/* "[ADDRESS:]LISTEN:TO[/udp]", an IPv6 address in brackets */
static json_t *
port_from_text(const char *text, GError **error)
{
  g_autoptr(GMatchInfo) m = NULL;
  g_autoptr(GRegex) re =
    g_regex_new("^(?:(?:\\[([0-9a-fA-F:.]+)\\]|([0-9.]+)):)?([0-9]{1,5}):([0-9]{1,5})(?:/(tcp|udp))?$", 0, 0, NULL);

  if (!g_regex_match(re, text, 0, &m)) {
    g_autofree char *shown = pt_text_safe(text, 60);
    PT_SET(error, PT_ERR_INVALID,
           "'%s': a port is LISTEN:TO, such as 8080:80, with ADDRESS: before it or /udp behind it if wanted", shown);
    return NULL;
  }
  g_autofree char *six = g_match_info_fetch(m, 1), *four = g_match_info_fetch(m, 2), *listen = g_match_info_fetch(m, 3),
                  *to = g_match_info_fetch(m, 4), *protocol = g_match_info_fetch(m, 5);
  json_t *port = json_object();
  json_object_set_new(port, "protocol", json_string(protocol && *protocol ? protocol : "tcp"));
  json_object_set_new(port, "listen", json_integer(g_ascii_strtoll(listen, NULL, 10)));
  json_object_set_new(port, "to", json_integer(g_ascii_strtoll(to, NULL, 10)));
  if (*six || *four)
    json_object_set_new(port, "address", json_string(*six ? six : four));
  return port;
}

const PtType pt_port_type = {
  .name = "port",
  .size = sizeof(PtPort),
  .fields = port_fields,
  .n_fields = G_N_ELEMENTS(port_fields),
  .from_text = port_from_text,
};

/* disks; what is done with them is in disk.c */

static const char *const disk_change_names[] = { "none", "attach", "detach", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(disk_change_names) == PT_N_DISK_CHANGES + 1);

static const PtField disk_fields[] = {
  PT_STR(PtDisk, volume, PT_F_REQUIRED, 63, pt_check_volume, "The data volume's name."),
  PT_STR(PtDisk, id, PT_F_REQUIRED, 26, pt_check_id, "The data volume's id."),
  PT_STR(PtDisk, path, 0, 1024, pt_check_path, "Where it is seen inside; absent in a pc, whose system decides."),
  PT_BOOL(PtDisk, read_only, 0, "Whether nothing can be written to it."),
  PT_INT(PtDisk, slot, 0, 0, PT_DISKS_MAX - 1, "Its place among the disks of a machine."),
  PT_ENUM(PtDisk, change, 0, disk_change_names, "What is being done: attach, detach or none."),
  PT_BOOL(PtDisk, force, 0, "The pending detach does not wait for who uses it."),
};

const PtType pt_disk_type = {
  .name = "disk",
  .size = sizeof(PtDisk),
  .fields = disk_fields,
  .n_fields = G_N_ELEMENTS(disk_fields),
};

/* further network cards */

static bool
check_nic(const char *value, GError **error)
{
  if (strlen(value) == 4 && g_str_has_prefix(value, "eth") && value[3] >= '1' && value[3] <= '0' + PT_NICS_MAX)
    return true;
  PT_SET(error, PT_ERR_INVALID, "a further network card is called eth1 to eth%d", PT_NICS_MAX);
  return false;
}

static const PtField nic_fields[] = {
  PT_STR(PtNic, name, PT_F_REQUIRED, 4, check_nic, "What the card is called: eth1 to eth7."),
  PT_STR(PtNic, space, PT_F_REQUIRED, 63, pt_check_space, "The space whose network it is in."),
  PT_STR(PtNic, address, PT_F_REQUIRED, 15, pt_check_ip4, "Its IPv4 address there."),
  PT_STR(PtNic, address6, 0, 45, pt_check_ip6, "Its IPv6 address there."),
  PT_STR(PtNic, mac, PT_F_REQUIRED, 17, pt_check_mac, "Its MAC address."),
};

const PtType pt_nic_type = {
  .name = "nic",
  .size = sizeof(PtNic),
  .fields = nic_fields,
  .n_fields = G_N_ELEMENTS(nic_fields),
};

void
pt_nic_free(PtNic *nic)
{
  pt_record_free(&pt_nic_type, nic);
}

PtNic *
pt_instance_nic(const PtInstance *i, const char *name)
{
  for (guint n = 0; i->nics && n < i->nics->len; n++) {
    PtNic *nic = g_ptr_array_index(i->nics, n);
    if (g_strcmp0(nic->name, name) == 0)
      return nic;
  }
  return NULL;
}

/* instances */

static const PtField fields[] = {
  PT_STR(PtInstance, id, PT_F_REQUIRED, 26, pt_check_id, "Its id, never reused."),
  PT_STR(PtInstance, name, PT_F_USER | PT_F_REQUIRED, 63, pt_check_instance, "Its name in the space, and its host name."),
  PT_STR(PtInstance, space, PT_F_REQUIRED, 63, pt_check_space, "The space it belongs to."),
  PT_STR(PtInstance, description, PT_LIVE, 500, NULL, "What it is for, in a line."),
  PT_ENUM(PtInstance, kind, PT_STOPPED, pt_kind_names, "What runs it: container, machine or process."),
  PT_ENUM(PtInstance, init, PT_STOPPED, pt_init_names, "system: a whole userland with its own init; app: one command."),
  PT_ENUM(PtInstance, model, PT_STOPPED, pt_model_names, "A machine's model: micro (a kernel of ours, virtio only) or pc (any system)."),
  PT_ENUM(PtInstance, accel, PT_STOPPED, pt_accel_names, "What runs a machine's processors: auto, kvm or tcg (emulation)."),
  PT_STR(PtInstance, arch, 0, 16, NULL, "Its processor architecture, the image's."),
  PT_ENUM(PtInstance, firmware, PT_STOPPED, pt_firmware_names, "A pc's firmware: uefi or bios."),
  PT_BOOL(PtInstance, secure_boot, PT_STOPPED, "Whether a pc's UEFI starts signed systems only."),
  PT_BOOL(PtInstance, tpm, PT_STOPPED, "Whether a pc has a TPM 2.0."),
  PT_ENUM(PtInstance, hardware, PT_STOPPED, pt_hardware_names,
          "A pc's disk and network card: virtio, or emulated (AHCI, e1000e) for systems without virtio drivers."),
  PT_STR(PtInstance, iso, 0, 71, pt_check_digest, "The digest of the ISO image in a pc's drive."),
  PT_STR(PtInstance, iso_name, PT_STOPPED, 255, NULL, "The ISO image in a pc's drive; null is none."),
  PT_BOOL(PtInstance, boot_iso, PT_STOPPED, "Whether a pc starts from that drive also when its disk has a system."),
  PT_TEXT(PtInstance, user_data, PT_STOPPED | PT_F_SECRET, MAX_USER_DATA,
          "What cloud-init in a pc is told: its user data, never shown again."),
  PT_STRINGS(PtInstance, ssh_keys, PT_STOPPED, MAX_SSH_KEYS, pt_check_ssh_key, "Public SSH keys that cloud-init in a pc lets in."),
  PT_BOOL(PtInstance, offline, PT_STOPPED, "Whether it has no network at all."),
  PT_STR(PtInstance, image, PT_F_REQUIRED, 71, pt_check_digest, "The digest of its image."),
  PT_STR(PtInstance, image_name, 0, 255, NULL, "The image as it was asked for."),
  PT_STR(PtInstance, volume, 0, 26, pt_check_id, "The id of its root volume."),
  PT_STR(PtInstance, owner, 0, 63, pt_check_node, "The node it runs on."),
  PT_INT(PtInstance, epoch, 0, 0, G_MAXINT64, "Counts the changes of its owner."),
  PT_INT(PtInstance, generation, 0, 0, G_MAXINT64, "Counts the changes its node has to act upon."),
  PT_ENUM(PtInstance, power, 0, pt_power_names, "What it is to be: stopped, running, paused or hibernated."),
  PT_INT(PtInstance, boot, 0, 0, G_MAXINT64, "Counts the restarts asked for."),
  PT_BOOL(PtInstance, force, 0, "The pending stop does not wait for the guest."),
  PT_BOOL(PtInstance, durable, 0, "The pending hibernation outlives a restart of the node."),
  PT_INT(PtInstance, deadline, 0, 0, 86400, "Seconds the guest has for a graceful stop; 0 is 10, for a machine 30."),
  PT_BOOL(PtInstance, deleting, 0, "It is being deleted."),
  PT_STR(PtInstance, op, 0, 26, pt_check_id, "The operation that waits for the last change."),
  PT_CPU(PtInstance, cpu, PT_LIVE, 0, 1024000, "Cpus it may use, such as 2 or 0.5; 0 is no limit."),
  PT_SIZE(PtInstance, memory, PT_LIVE, 0, PT_BIG - 1, "Memory it may use, such as 2GiB; 0 is no limit."),
  PT_INT(PtInstance, pids, PT_LIVE, 0, 4194304, "Processes and threads it may have; 0 is 8192."),
  PT_SIZE(PtInstance, disk, PT_LIVE, MIN_DISK, MAX_DISK, "Size of its root volume, such as 20GiB; it only grows."),
  PT_SIZE(PtInstance, io_read, PT_LIVE, 0, PT_BIG - 1, "Bytes a second it may read from disk; 0 is no limit."),
  PT_SIZE(PtInstance, io_write, PT_LIVE, 0, PT_BIG - 1, "Bytes a second it may write to disk; 0 is no limit."),
  PT_SIZE(PtInstance, net_in, PT_LIVE, 0, PT_BIG - 1, "Bytes a second it may receive from its network; 0 is no limit."),
  PT_SIZE(PtInstance, net_out, PT_LIVE, 0, PT_BIG - 1, "Bytes a second it may send to its network; 0 is no limit."),
  PT_INT(PtInstance, priority, PT_LIVE, 1, 1000, "Its share of cpu and disk when there is not enough; 100 is normal."),
  PT_STRINGS(PtInstance, command, PT_STOPPED, MAX_WORDS, NULL,
             "What runs in it instead of the image's own command or init; of a process, the arguments of its program."),
  PT_MAP(PtInstance, env, PT_STOPPED, MAX_ENV, pt_check_env, "Variables of its environment."),
  PT_STR(PtInstance, cwd, PT_STOPPED, 4095, pt_check_path, "Directory the command starts in."),
  PT_STR(PtInstance, user, PT_STOPPED, 65, pt_check_guest_user,
         "User inside the image that runs an app's command; a whole system starts as root."),
  PT_ENUM(PtInstance, restart, PT_LIVE, pt_restart_names, "Whether to start it again when it ends by itself."),
  PT_BOOL(PtInstance, autostart, PT_LIVE, "Whether, if it ran, it comes back when the node starts."),
  PT_STR(PtInstance, address, 0, 15, pt_check_ip4, "Its IPv4 address in the space's network."),
  PT_STR(PtInstance, address6, 0, 45, pt_check_ip6, "Its IPv6 address in the space's network."),
  PT_STR(PtInstance, mac, 0, 17, pt_check_mac, "The MAC address of its interface."),
  PT_LIST(PtInstance, ports, PT_LIVE, MAX_PORTS, &pt_port_type,
          "Ports of the node that lead to it, such as 8080:80 or 5353:53/udp."),
  PT_LIST(PtInstance, disks, 0, PT_DISKS_MAX, &pt_disk_type, "Data volumes that it has, and where; attached and detached one by one."),
  PT_LIST(PtInstance, nics, 0, PT_NICS_MAX, &pt_nic_type, "Its further network cards, beside eth0."),
  PT_BOOL(PtInstance, desktop, 0, "It has a desktop."),
  PT_TIME(PtInstance, created, 0, "When it was created."),
  PT_STR(PtInstance, created_by, 0, 32, NULL, "Who created it."),
};

static void
instance_defaults(void *record)
{
  PtInstance *i = record;

  i->pids = 8192;
  i->disk = G_GINT64_CONSTANT(20) << 30;
  i->priority = 100;
  i->autostart = true;
}

/* Whether two ports want the same place on the node: NULL is every address. */
static bool
ports_clash(const PtPort *a, const PtPort *b)
{
  return a->protocol == b->protocol && a->listen == b->listen &&
         (!a->address || !b->address || g_ascii_strcasecmp(a->address, b->address) == 0);
}

static bool
ports_ok(const GPtrArray *ports, GError **error)
{
  for (guint i = 0; ports && i < ports->len; i++) {
    for (guint j = 0; j < i; j++) {
      const PtPort *p = ports->pdata[i];
      if (!ports_clash(p, ports->pdata[j]))
        continue;
      PT_SET(error, PT_ERR_INVALID, "ports: port %" G_GINT64_FORMAT "/%s is published twice", p->listen,
             protocol_names[p->protocol]);
      return false;
    }
  }
  return true;
}

static bool
total_ok(const char *what, gsize bytes, GError **error)
{
  if (bytes <= PT_TEXT_MAX)
    return true;
  PT_SET(error, PT_ERR_INVALID, "%s: %" G_GSIZE_FORMAT " bytes in all, more than the %d allowed", what, bytes, PT_TEXT_MAX);
  return false;
}

static bool
command_ok(char *const *command, GError **error)
{
  gsize bytes = 0;

  for (guint i = 0; command && command[i]; i++)
    bytes += strlen(command[i]) + 1;
  if (command && (!command[0] || !*command[0])) {
    PT_SET(error, PT_ERR_INVALID, "command: names no program\nleave it out (or set it to null) for the image's own");
    return false;
  }
  return total_ok("command", bytes, error);
}

static bool
env_ok(GHashTable *env, GError **error)
{
  GHashTableIter it;
  gpointer k, v;
  gsize bytes = 0;

  if (!env)
    return true;
  g_hash_table_iter_init(&it, env);
  while (g_hash_table_iter_next(&it, &k, &v))
    bytes += strlen(k) + strlen(v) + 2;
  return total_ok("env", bytes, error);
}

static bool
rates_ok(const PtInstance *i, GError **error)
{
  const struct {
    const char *name;
    gint64 rate;
  } rates[] = { { "io_read", i->io_read }, { "io_write", i->io_write }, { "net_in", i->net_in }, { "net_out", i->net_out } };

  for (guint n = 0; n < G_N_ELEMENTS(rates); n++) {
    if (rates[n].rate == 0 || rates[n].rate >= MIN_RATE)
      continue;
    PT_SET(error, PT_ERR_INVALID, "%s: %" G_GINT64_FORMAT " bytes a second are too few to run anything\nat least 64KiB; 0 is no limit",
           rates[n].name, rates[n].rate);
    return false;
  }
  return true;
}

static bool
instance_validate(const void *record, GError **error)
{
  const PtInstance *i = record;

  if (i->memory != 0 && i->memory < MIN_MEMORY) {
    PT_SET(error, PT_ERR_INVALID,
           "memory: %" G_GINT64_FORMAT " bytes are too few to run anything\nat least 4MiB; 0 is no limit", i->memory);
    return false;
  }
  return rates_ok(i, error) && ports_ok(i->ports, error) && command_ok(i->command, error) && env_ok(i->env, error);
}

static bool
instance_transition(const void *old, const void *record, GError **error)
{
  const PtInstance *a = old, *b = record;

  if (b->disk >= a->disk)
    return true;
  g_autofree char *has = pt_size_format(a->disk);
  PT_SET(error, PT_ERR_INVALID,
         "disk: a volume only grows, and this one has %s\nnothing was changed; for a smaller one create a new instance and copy the files",
         has);
  return false;
}

const PtType pt_instance_type = {
  .name = "instance",
  .size = sizeof(PtInstance),
  .fields = fields,
  .n_fields = G_N_ELEMENTS(fields),
  .defaults = instance_defaults,
  .validate = instance_validate,
  .transition = instance_transition,
};

PtInstance *
pt_instance_parse(const json_t *json, GError **error)
{
  return pt_record_parse(&pt_instance_type, json, error);
}

void
pt_instance_free(PtInstance *i)
{
  pt_record_free(&pt_instance_type, i);
}

bool
pt_instance_announces(const PtInstance *i)
{
  return i->kind == PT_KIND_MACHINE || (i->kind == PT_KIND_CONTAINER && i->init == PT_INIT_SYSTEM);
}
