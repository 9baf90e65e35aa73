// SPDX-License-Identifier: Apache-2.0
/* OVA, as VirtualBox and VMware take it: an OVF 1.1 descriptor (DMTF DSP0243) for VMware's hardware family vmx-10 with an AHCI controller
 * and an e1000 card, which both know and every system has drivers for; a manifest of SHA-256 sums; the disk as a stream-optimised VMDK; in
 * an ustar archive, in this order. The manifest's length is known before its sums are, so the disk is read once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "drivers/image/export.h"
#include "model/instance.h"

#define BLOCK 512
#define CHUNK ((gsize)1 << 20)
#define CPUS_DEFAULT 2
#define MEMORY_DEFAULT ((gint64)2 << 30)

static const char head[] =
  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
  "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\""
  " xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\""
  " xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData\""
  " xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n";

/* The elements' order is the schema's: by their names. What stands before, between and behind name, id and type is the caller's. */
static void
item(GString *xml, int id, const char *name, int type, const char *const rest[4])
{
  g_string_append_printf(xml,
                         "      <Item>\n        %s<rasd:ElementName>%s</rasd:ElementName>%s<rasd:InstanceID>%d</rasd:InstanceID>"
                         "%s<rasd:ResourceType>%d</rasd:ResourceType>%s\n      </Item>\n",
                         rest[0], name, rest[1], id, rest[2], type, rest[3]);
}

static void
hardware(GString *xml, const PtExport *what, const char *name)
{
  gint64 cpus = what->cpu ? (what->cpu + 999) / 1000 : CPUS_DEFAULT, mib = (what->memory ? what->memory : MEMORY_DEFAULT) >> 20;
  g_autofree char *cpu = g_strdup_printf("<rasd:VirtualQuantity>%" G_GINT64_FORMAT "</rasd:VirtualQuantity>", cpus),
                  *memory = g_strdup_printf("<rasd:VirtualQuantity>%" G_GINT64_FORMAT "</rasd:VirtualQuantity>", mib);

  g_string_append_printf(xml,
                         "    <VirtualHardwareSection>\n      <Info>Virtual hardware</Info>\n      <System>\n"
                         "        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>"
                         "<vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemIdentifier>%s</vssd:VirtualSystemIdentifier>"
                         "<vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>\n      </System>\n",
                         name);
  item(xml, 1, "processors", 3, (const char *[]){ "<rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>", "", "", cpu });
  item(xml, 2, "memory", 4, (const char *[]){ "<rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>", "", "", memory });
  item(xml, 3, "SATA controller", 20,
       (const char *[]){ "<rasd:Address>0</rasd:Address>", "", "<rasd:ResourceSubType>vmware.sata.ahci</rasd:ResourceSubType>", "" });
  item(xml, 4, "disk", 17,
       (const char *[]){ "<rasd:AddressOnParent>0</rasd:AddressOnParent>", "<rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>",
                         "<rasd:Parent>3</rasd:Parent>", "" });
  item(xml, 5, "network card", 10,
       (const char *[]){ "<rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>NAT</rasd:Connection>", "",
                         "<rasd:ResourceSubType>E1000</rasd:ResourceSubType>", "" });
  if (what->firmware == PT_FIRMWARE_UEFI)
    g_string_append(xml, "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>\n");
  g_string_append(xml, "    </VirtualHardwareSection>\n");
}

char *
pt_export_name(const char *name)
{
  const char *slash = strrchr(name, '/');
  char *plain = g_strdup(slash ? slash + 1 : name);

  g_strcanon(plain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", '_');
  if (strlen(plain) > 60)
    plain[60] = '\0';
  if (*plain && *plain != '.')
    return plain;
  g_free(plain);
  return g_strdup("machine");
}

char *
pt_ovf_format(const PtExport *what, const char *file, gint64 bytes, gint64 capacity)
{
  g_autoptr(GString) xml = g_string_new(head);
  g_autofree char *name = pt_export_name(what->name), *os = g_markup_escape_text(what->os ? what->os : "Unknown", -1);

  g_string_append_printf(xml,
                         "  <References>\n    <File ovf:href=\"%s\" ovf:id=\"file1\" ovf:size=\"%" G_GINT64_FORMAT "\"/>\n  </References>\n"
                         "  <DiskSection>\n    <Info>The disk</Info>\n    <Disk ovf:capacity=\"%" G_GINT64_FORMAT "\""
                         " ovf:capacityAllocationUnits=\"byte\" ovf:diskId=\"vmdisk1\" ovf:fileRef=\"file1\""
                         " ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\"/>\n  </DiskSection>\n"
                         "  <NetworkSection>\n    <Info>The network</Info>\n    <Network ovf:name=\"NAT\">\n"
                         "      <Description>The network it is to be connected to</Description>\n    </Network>\n  </NetworkSection>\n",
                         file, bytes, capacity);
  g_string_append_printf(xml,
                         "  <VirtualSystem ovf:id=\"%s\">\n    <Info>A machine</Info>\n    <Name>%s</Name>\n"
                         "    <OperatingSystemSection ovf:id=\"1\">\n      <Info>The operating system</Info>\n"
                         "      <Description>%s</Description>\n    </OperatingSystemSection>\n",
                         name, name, os);
  hardware(xml, what, name);
  g_string_append(xml, "  </VirtualSystem>\n</Envelope>\n");
  return g_string_free(g_steal_pointer(&xml), FALSE);
}

/* ---- the archive ---- */

static bool
put(int fd, const void *data, gsize size, GError **error)
{
  for (const char *p = data; size > 0;) {
    ssize_t n = write(fd, p, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      pt_error_errno(error, n == 0 ? EIO : errno, "writing the archive");
      return false;
    }
    p += n;
    size -= (gsize)n;
  }
  return true;
}

static bool
put_header(int fd, const char *name, gint64 size, GError **error)
{
  char h[BLOCK] = { 0 };
  guint sum = 0;

  g_snprintf(h, 100, "%s", name);
  memcpy(h + 100, "0000644\0" "0000000\0" "0000000\0", 24);
  if (size < (gint64)1 << 33) {
    g_snprintf(h + 124, 12, "%011" G_GINT64_MODIFIER "o", (guint64)size);
  } else { /* GNU's base 256: ustar's eleven digits end at 8 GiB */
    guint64 be = GUINT64_TO_BE((guint64)size);
    h[124] = (char)0x80;
    memcpy(h + 128, &be, sizeof be);
  }
  g_snprintf(h + 136, 12, "%011" G_GINT64_MODIFIER "o", (guint64)(pt_now() / G_USEC_PER_SEC));
  h[156] = '0';
  memcpy(h + 257, "ustar\0" "00", 8);
  memset(h + 148, ' ', 8);
  for (guint i = 0; i < BLOCK; i++)
    sum += (guchar)h[i];
  g_snprintf(h + 148, 7, "%06o", sum);
  return put(fd, h, sizeof h, error);
}

static bool
put_padding(int fd, gint64 size, GError **error)
{
  static const char zero[BLOCK];

  return put(fd, zero, (gsize)((BLOCK - size % BLOCK) % BLOCK), error);
}

static bool
put_text(int fd, const char *name, const char *text, GError **error)
{
  gsize size = strlen(text);

  return put_header(fd, name, (gint64)size, error) && put(fd, text, size, error) && put_padding(fd, (gint64)size, error);
}

/* The disk's bytes into the archive, and their sum. */
static char *
put_disk(int to, int disk, gint64 total, bool (*report)(gint64, gint64, void *), void *data, GError **error)
{
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
  g_autofree guchar *buf = g_malloc(CHUNK);

  for (gint64 done = 0; done < total;) {
    ssize_t n = pread(disk, buf, MIN(CHUNK, (gsize)(total - done)), (off_t)done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      pt_error_errno(error, n == 0 ? EIO : errno, "reading the disk");
      return NULL;
    }
    if (report && !report(done, total, data)) {
      PT_SET(error, PT_ERR_CANCELLED, "cancelled; nothing was changed");
      return NULL;
    }
    g_checksum_update(sum, buf, n);
    if (!put(to, buf, (gsize)n, error))
      return NULL;
    done += n;
  }
  return put_padding(to, total, error) ? g_strdup(g_checksum_get_string(sum)) : NULL;
}

bool
pt_ova_write(int to, const PtExport *what, int disk, gint64 capacity, bool (*report)(gint64 done, gint64 total, void *data),
             void *data, GError **error)
{
  g_autofree char *name = pt_export_name(what->name), *ovf_name = g_strconcat(name, ".ovf", NULL),
                  *mf_name = g_strconcat(name, ".mf", NULL), *disk_name = g_strconcat(name, "-disk1.vmdk", NULL),
                  *none = g_strnfill(64, '0');
  static const char end[2 * BLOCK];
  struct stat st;

  if (fstat(disk, &st) != 0) {
    pt_error_errno(error, errno, "the disk");
    return false;
  }
  g_autofree char *ovf = pt_ovf_format(what, disk_name, st.st_size, capacity), *ovf_sum = pt_sha256_hex(ovf, strlen(ovf));
  g_autofree char *mf = g_strdup_printf("SHA256(%s)= %s\nSHA256(%s)= %s\n", ovf_name, ovf_sum, disk_name, none);
  if (!put_text(to, ovf_name, ovf, error))
    return false;
  off_t at = lseek(to, 0, SEEK_CUR);
  if (!put_text(to, mf_name, mf, error) || !put_header(to, disk_name, st.st_size, error))
    return false;
  g_autofree char *sum = put_disk(to, disk, st.st_size, report, data, error);
  if (!sum || !put(to, end, sizeof end, error))
    return false;
  memcpy(mf + strlen(mf) - 65, sum, 64);
  if (pwrite(to, mf, strlen(mf), at + BLOCK) == (ssize_t)strlen(mf))
    return true;
  pt_error_errno(error, errno, "writing the archive");
  return false;
}
