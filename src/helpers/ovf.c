// SPDX-License-Identifier: Apache-2.0
/* OVF descriptors (DMTF DSP0243, versions 1 and 2, with VMware's and VirtualBox's additions), by expat. An OVF has no document type, so
 * one that has is refused before any entity of it is: nothing is ever expanded, nothing fetched.
 *
 * Where we are is a path of local names; namespaces differ between versions and vendors, the places do not. */
#include "helpers/disk.h"

#include <ctype.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX 32
#define FILES_MAX 64
#define DISKS_MAX 64
#define SEPARATOR '|'

#define SYSTEM "/Envelope/VirtualSystem"
#define HARDWARE SYSTEM "/VirtualHardwareSection"

struct file {
  char id[128], href[256], compression[32];
  uint64_t size;
  bool chunked;
};
struct disk {
  char file[128], format[256];
  bool parent;
};
struct item { /* of the virtual hardware */
  unsigned type;
  uint64_t quantity;
  char units[64];
  bool optional; /* for another configuration than the usual one */
};

struct reader {
  XML_Parser parser;
  struct ovf *ovf;
  struct disk_error *error;
  char path[512];
  size_t depth, lengths[DEPTH_MAX];
  char text[1024]; /* of the innermost element */
  size_t text_size;
  struct file files[FILES_MAX];
  struct disk disks[DISKS_MAX];
  unsigned n_files, n_disks, n_systems;
  struct item item;
};

static void
stop(struct reader *r, const char *why)
{
  disk_refuse(r->error, "%s", why);
  XML_StopParser(r->parser, XML_FALSE);
}

static const char *
local(const char *name)
{
  const char *bar = strrchr(name, SEPARATOR);

  return bar ? bar + 1 : name;
}

static const char *
attribute(const XML_Char **attributes, const char *name)
{
  for (; *attributes; attributes += 2)
    if (strcmp(local(attributes[0]), name) == 0)
      return attributes[1];
  return "";
}

static void
set(char *to, size_t size, const char *from)
{
  snprintf(to, size, "%s", from);
}

/* White space folded, control characters left out, cut between characters. */
static void
set_text(char *to, size_t size, const char *from)
{
  size_t n = 0;

  if (*to)
    return; /* the first is the one that counts */
  for (; *from; from++) {
    unsigned char c = (unsigned char)*from;
    bool blank = isspace(c);
    if ((blank && (n == 0 || to[n - 1] == ' ')) || (!blank && (c < ' ' || c == 0x7f)))
      continue;
    size_t more = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    if ((c & 0xc0) != 0x80 && n + more >= size)
      break;
    if (n + 1 >= size)
      break;
    to[n++] = blank ? ' ' : (char)c;
  }
  while (n > 0 && to[n - 1] == ' ')
    n--;
  to[n] = '\0';
}

/* "byte * 2^20", "MegaBytes", "MB": by what a quantity is to be multiplied; 0 where it is not known. */
static uint64_t
unit(const char *text)
{
  static const struct { const char *begin; unsigned bits; } names[] = {
    { "byte", 0 }, { "kilo", 10 }, { "kb", 10 }, { "mega", 20 }, { "mb", 20 }, { "giga", 30 }, { "gb", 30 },
  };
  const char *power = strstr(text, "2^");

  if (power) {
    unsigned long bits = strtoul(power + 2, NULL, 10);
    return bits <= 40 ? UINT64_C(1) << bits : 0;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strncasecmp(text, names[i].begin, strlen(names[i].begin)) == 0)
      return UINT64_C(1) << names[i].bits;
  return 0;
}

static void
begin_file(struct reader *r, const XML_Char **a)
{
  if (r->n_files == FILES_MAX) {
    stop(r, "its OVF descriptor names too many files");
    return;
  }
  struct file *f = &r->files[r->n_files++];
  set(f->id, sizeof f->id, attribute(a, "id"));
  set(f->href, sizeof f->href, attribute(a, "href"));
  set(f->compression, sizeof f->compression, attribute(a, "compression"));
  f->chunked = *attribute(a, "chunkSize") != '\0';
  f->size = strtoull(attribute(a, "size"), NULL, 10);
}

/* A disk without a file is an empty one. */
static void
begin_disk(struct reader *r, const XML_Char **a)
{
  if (!*attribute(a, "fileRef"))
    return;
  if (r->n_disks == DISKS_MAX) {
    stop(r, "its OVF descriptor names too many disks");
    return;
  }
  struct disk *d = &r->disks[r->n_disks++];
  set(d->file, sizeof d->file, attribute(a, "fileRef"));
  set(d->format, sizeof d->format, attribute(a, "format"));
  d->parent = *attribute(a, "parentRef") != '\0';
}

static void
set_firmware(struct reader *r, const char *value)
{
  if (!r->ovf->firmware && *value)
    r->ovf->firmware = strncasecmp(value, "efi", 3) == 0 ? DISK_UEFI : DISK_BIOS;
}

static bool
at(const struct reader *r, const char *path)
{
  return strcmp(r->path, path) == 0;
}

static void XMLCALL
on_begin(void *data, const XML_Char *name, const XML_Char **a)
{
  struct reader *r = data;
  const char *own = local(name);
  size_t length = strlen(r->path), more = strlen(own);

  if (r->depth == DEPTH_MAX || length + more + 2 > sizeof r->path) {
    stop(r, "its OVF descriptor is nested too deeply");
    return;
  }
  r->lengths[r->depth++] = length;
  r->path[length] = '/';
  memcpy(r->path + length + 1, own, more + 1);
  r->text_size = 0;
  r->text[0] = '\0';
  if (r->depth == 1 && !at(r, "/Envelope"))
    stop(r, "its OVF descriptor is none");
  else if (at(r, "/Envelope/References/File"))
    begin_file(r, a);
  else if (at(r, "/Envelope/DiskSection/Disk"))
    begin_disk(r, a);
  else if (at(r, SYSTEM))
    r->n_systems++;
  else if (at(r, "/Envelope/VirtualSystemCollection"))
    stop(r, "it holds several machines; only one at a time can be imported");
  else if (at(r, HARDWARE "/Item"))
    r->item = (struct item){ .optional = *attribute(a, "configuration") != '\0' };
  else if (at(r, HARDWARE "/Config") && strcmp(attribute(a, "key"), "firmware") == 0)
    set_firmware(r, attribute(a, "value"));
  else if (at(r, SYSTEM "/Machine/Hardware/Firmware"))
    set_firmware(r, attribute(a, "type"));
}

static void
end_item(struct reader *r)
{
  const struct item *i = &r->item;

  if (i->optional || i->quantity == 0)
    return;
  if (i->type == 3 && r->ovf->cpus == 0 && i->quantity <= 1024)
    r->ovf->cpus = (unsigned)i->quantity;
  uint64_t by = *i->units ? unit(i->units) : UINT64_C(1) << 20;
  if (i->type == 4 && r->ovf->memory == 0 && by && i->quantity <= (UINT64_C(1) << 50) / by)
    r->ovf->memory = i->quantity * by;
}

static void XMLCALL
on_end(void *data, const XML_Char *name)
{
  struct reader *r = data;
  struct ovf *o = r->ovf;

  (void)name;
  if (at(r, HARDWARE "/Item/ResourceType"))
    r->item.type = (unsigned)strtoul(r->text, NULL, 10);
  else if (at(r, HARDWARE "/Item/VirtualQuantity"))
    r->item.quantity = strtoull(r->text, NULL, 10);
  else if (at(r, HARDWARE "/Item/AllocationUnits"))
    set_text((r->item.units[0] = '\0', r->item.units), sizeof r->item.units, r->text);
  else if (at(r, HARDWARE "/Item"))
    end_item(r);
  else if (at(r, SYSTEM "/Name"))
    set_text(o->name, sizeof o->name, r->text);
  else if (at(r, SYSTEM "/OperatingSystemSection/Description"))
    set_text(o->os, sizeof o->os, r->text);
  else if (at(r, SYSTEM "/ProductSection/Product") || at(r, SYSTEM "/AnnotationSection/Annotation"))
    set_text(o->description, sizeof o->description, r->text);
  if (r->depth > 0)
    r->path[r->lengths[--r->depth]] = '\0';
  r->text_size = 0;
  r->text[0] = '\0';
}

static void XMLCALL
on_text(void *data, const XML_Char *text, int size)
{
  struct reader *r = data;
  size_t room = sizeof r->text - 1 - r->text_size, n = (size_t)size < room ? (size_t)size : room;

  memcpy(r->text + r->text_size, text, n);
  r->text_size += n;
  r->text[r->text_size] = '\0';
}

static void XMLCALL
on_doctype(void *data, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
  (void)name, (void)system, (void)public, (void)internal;
  stop(data, "its OVF descriptor has a document type, with which entities could be smuggled in");
}

static bool
ends_in(const char *text, const char *end)
{
  size_t n = strlen(text), m = strlen(end);

  return n > m && strcasecmp(text + n - m, end) == 0;
}

/* By the address that stands for the format; vendors have used many, so by the word in it, and else by the file's name. */
static bool
format_of(const struct disk *d, const struct file *f, enum disk_format *ret)
{
  static const struct { const char *word, *end; enum disk_format format; } known[] = {
    { "vmdk", ".vmdk", DISK_VMDK }, { "vhdx", ".vhdx", DISK_VHDX }, { "vhd", ".vhd", DISK_VHD }, { "vdi", ".vdi", DISK_VDI },
    { "qcow", ".qcow2", DISK_QCOW2 }, { "bb676673", ".vpc", DISK_VHD }, { "137171", ".vpc", DISK_VHD },
  };
  char format[256];

  set(format, sizeof format, d->format);
  for (char *p = format; *p; p++)
    *p = (char)tolower((unsigned char)*p);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strstr(format, known[i].word))
      return *ret = known[i].format, true;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (ends_in(f->href, known[i].end))
      return *ret = known[i].format, true;
  return false;
}

static bool
href_ok(const char *href)
{
  if (!*href || strpbrk(href, "/\\:") || strcmp(href, "..") == 0 || strcmp(href, ".") == 0)
    return false;
  for (; *href; href++)
    if ((unsigned char)*href < ' ' || *href == 0x7f)
      return false;
  return true;
}

static bool
choose_disk(struct reader *r)
{
  const struct file *f = NULL;

  if (r->n_systems != 1)
    return disk_refuse(r->error, "%s", r->n_systems ? "it holds several machines; only one at a time can be imported"
                                                    : "its OVF descriptor has no machine");
  if (r->n_disks != 1)
    return disk_refuse(r->error, r->n_disks ? "it has %u disks; a machine of Portena's has one" : "it has no disk", r->n_disks);
  if (r->disks[0].parent)
    return disk_refuse(r->error, "its disk holds only the differences to another one, its parent");
  for (unsigned i = 0; i < r->n_files && !f; i++)
    if (strcmp(r->files[i].id, r->disks[0].file) == 0)
      f = &r->files[i];
  if (!f)
    return disk_refuse(r->error, "its OVF descriptor names no file for its disk");
  if (!href_ok(f->href))
    return disk_refuse(r->error, "its disk is elsewhere, and not in it: %.100s", f->href);
  if (*f->compression && strcmp(f->compression, "identity") != 0)
    return disk_refuse(r->error, "its disk is compressed once more (%.20s); export it without that", f->compression);
  if (f->chunked)
    return disk_refuse(r->error, "its disk is in pieces; export it in one");
  if (!format_of(&r->disks[0], f, &r->ovf->format))
    return disk_refuse(r->error, "its disk has a format that is not known: %.100s", r->disks[0].format);
  set(r->ovf->disk, sizeof r->ovf->disk, f->href);
  r->ovf->disk_bytes = f->size;
  return true;
}

bool
ovf_parse(const char *text, size_t size, struct ovf *ovf, struct disk_error *e)
{
  struct reader *r = calloc(1, sizeof *r);
  XML_Parser p = XML_ParserCreateNS(NULL, SEPARATOR);
  bool ok = r && p && size <= OVF_MAX;

  *ovf = (struct ovf){ 0 };
  if (ok) {
    r->parser = p;
    r->ovf = ovf;
    r->error = e;
    XML_SetUserData(p, r);
    XML_SetElementHandler(p, on_begin, on_end);
    XML_SetCharacterDataHandler(p, on_text);
    XML_SetStartDoctypeDeclHandler(p, on_doctype);
    ok = XML_Parse(p, text, (int)size, XML_TRUE) == XML_STATUS_OK;
    if (!ok)
      disk_refuse(e, "its OVF descriptor is damaged: %s", XML_ErrorString(XML_GetErrorCode(p)));
    ok = ok && !*e->text && choose_disk(r);
  } else {
    disk_refuse(e, "its OVF descriptor is too large");
  }
  if (p)
    XML_ParserFree(p);
  free(r);
  return ok;
}
