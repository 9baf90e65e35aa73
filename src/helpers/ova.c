// SPDX-License-Identifier: Apache-2.0
/* OVA: a tar archive (POSIX ustar; pax and GNU forms of long names and sizes as well) with an OVF descriptor, perhaps a manifest of
 * digests, and disks. We want places, not contents: the disk is read where it lies. So this walks the headers by itself,
 * and takes nothing but plain files with plain names; the standard (DSP0243) knows no others. */
#include "helpers/disk.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512u
#define ENTRIES_MAX 64
#define PAX_MAX (64u << 10)
#define MANIFEST_MAX (64u << 10)

struct entry {
  char name[256];
  uint64_t offset, size;
};

struct walk {
  const struct disk_file *file;
  struct disk_error *error;
  uint64_t at;
  struct entry entries[ENTRIES_MAX];
  unsigned n;
  char long_name[256]; /* of the next entry; "" = none */
  uint64_t long_size;  /* of the next entry; UINT64_MAX = none */
};

/* Octal digits, or base 256 where the first bit is set (GNU). UINT64_MAX where it is neither. */
static uint64_t
number(const unsigned char *p, size_t size)
{
  uint64_t v = 0;
  size_t i = 0;

  if (*p & 0x80) {
    for (i = 1; i < size - 8; i++)
      if (p[i])
        return UINT64_MAX;
    for (; i < size; i++)
      v = v << 8 | p[i];
    return (*p & 0x7f) || v > INT64_MAX ? UINT64_MAX : v;
  }
  while (i < size && p[i] == ' ')
    i++;
  for (; i < size && p[i] >= '0' && p[i] <= '7'; i++)
    v = v << 3 | (uint64_t)(p[i] - '0');
  return i == size || p[i] == '\0' || p[i] == ' ' ? v : UINT64_MAX;
}

static bool
sum_ok(const unsigned char *h)
{
  uint64_t sum = 0;

  for (unsigned i = 0; i < BLOCK; i++)
    sum += i >= 148 && i < 156 ? ' ' : h[i];
  return sum == number(h + 148, 8);
}

/* Records "LENGTH KEY=VALUE\n", pax(1). */
static bool
take_pax(struct walk *w, const char *text, size_t size)
{
  while (size > 0) {
    size_t digits = 0, length = 0;
    while (digits < size && digits < 8 && isdigit((unsigned char)text[digits]))
      length = length * 10 + (size_t)(text[digits++] - '0');
    if (digits == 0 || length <= digits + 1 || length > size || text[digits] != ' ' || text[length - 1] != '\n')
      return disk_refuse(w->error, "one of its headers is damaged");
    const char *record = text + digits + 1;
    size_t n = length - digits - 2;
    if (n > 5 && memcmp(record, "path=", 5) == 0) {
      if (n - 5 >= sizeof w->long_name)
        return disk_refuse(w->error, "it holds a file with too long a name");
      memcpy(w->long_name, record + 5, n - 5);
      w->long_name[n - 5] = '\0';
    } else if (n > 5 && n < 25 && memcmp(record, "size=", 5) == 0) {
      char value[24] = { 0 };
      memcpy(value, record + 5, n - 5);
      w->long_size = strtoull(value, NULL, 10);
    }
    text += length;
    size -= length;
  }
  return true;
}

/* A header that speaks of the next one. */
static bool
take_extension(struct walk *w, char type, uint64_t offset, uint64_t size)
{
  char *text = size > 0 && size <= PAX_MAX ? calloc(1, (size_t)size + 1) : NULL;
  bool ok = true;

  if (!text || !disk_read(w->file, offset, text, (size_t)size)) {
    free(text);
    return disk_refuse(w->error, "one of its headers is damaged");
  }
  if (type == 'x')
    ok = take_pax(w, text, (size_t)size);
  else if (type == 'L' && strlen(text) < sizeof w->long_name)
    strcpy(w->long_name, text);
  else if (type == 'L')
    ok = disk_refuse(w->error, "it holds a file with too long a name");
  free(text);
  return ok;
}

static void
name_of(const unsigned char *h, char *name)
{
  bool prefix = memcmp(h + 257, "ustar\0", 6) == 0 && h[345];

  snprintf(name, 256, "%.*s%s%.100s", prefix ? 155 : 0, prefix ? (const char *)h + 345 : "", prefix ? "/" : "", (const char *)h);
}

/* NULL where it is no plain name: nothing here may be taken for a path. */
static const char *
plain(const char *name)
{
  while (name[0] == '.' && name[1] == '/')
    name += 2;
  if (!*name || strchr(name, '/') || strchr(name, '\\') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return NULL;
  for (const char *p = name; *p; p++)
    if ((unsigned char)*p < ' ' || *p == 0x7f)
      return NULL;
  return name;
}

static bool
take_file(struct walk *w, const char *full, uint64_t offset, uint64_t size)
{
  const char *name = plain(full);

  if (!name)
    return disk_refuse(w->error, "it holds a file with a path: %.100s", full);
  if (strncmp(name, "._", 2) == 0) /* what macOS adds to archives */
    return true;
  for (unsigned i = 0; i < w->n; i++)
    if (strcmp(w->entries[i].name, name) == 0)
      return disk_refuse(w->error, "it holds two files called %.100s", name);
  if (w->n == ENTRIES_MAX)
    return disk_refuse(w->error, "it holds more than %d files", ENTRIES_MAX);
  struct entry *e = &w->entries[w->n++];
  snprintf(e->name, sizeof e->name, "%s", name);
  e->offset = offset;
  e->size = size;
  return true;
}

/* One header and what it speaks of; *ret_end after the last. */
static bool
step(struct walk *w, bool *ret_end)
{
  unsigned char h[BLOCK];
  static const unsigned char zero[BLOCK];
  char name[256];

  *ret_end = w->at == w->file->size && w->n > 0;
  if (*ret_end)
    return true;
  if (!disk_read(w->file, w->at, h, sizeof h))
    return disk_refuse(w->error, "it is cut off");
  *ret_end = memcmp(h, zero, sizeof h) == 0;
  if (*ret_end)
    return true;
  if (!sum_ok(h))
    return disk_refuse(w->error, w->at ? "one of its headers is damaged" : "it is no tar archive");
  char type = (char)h[156];
  bool extension = type == 'x' || type == 'g' || type == 'L' || type == 'K';
  uint64_t size = !extension && w->long_size != UINT64_MAX ? w->long_size : number(h + 124, 12);
  uint64_t offset = w->at + BLOCK;
  if (size > INT64_MAX || size > w->file->size - offset)
    return disk_refuse(w->error, "it is cut off, or one of its files has another size than it says");
  w->at = offset + (size + BLOCK - 1) / BLOCK * BLOCK;
  if (w->at > w->file->size)
    w->at = w->file->size; /* the last one's padding may be missing */
  if (extension)
    return take_extension(w, type, offset, size);
  name_of(h, name);
  if (*w->long_name)
    snprintf(name, sizeof name, "%s", w->long_name);
  *w->long_name = '\0';
  w->long_size = UINT64_MAX;
  if (type == '5')
    return true;
  if (type != '0' && type != '\0')
    return disk_refuse(w->error, "it holds a link or a device: %.100s", name);
  return take_file(w, name, offset, size);
}

static bool
ends_in(const char *name, const char *end)
{
  size_t n = strlen(name), m = strlen(end);

  if (n <= m)
    return false;
  for (size_t i = 0; i < m; i++)
    if (tolower((unsigned char)name[n - m + i]) != end[i])
      return false;
  return true;
}

/* The one file whose name ends so; `many` is said where there are two. */
static const struct entry *
only(struct walk *w, const char *end, const char *many)
{
  const struct entry *found = NULL;

  for (unsigned i = 0; i < w->n; i++) {
    if (!ends_in(w->entries[i].name, end))
      continue;
    if (found) {
      disk_refuse(w->error, "%s", many);
      return NULL;
    }
    found = &w->entries[i];
  }
  return found;
}

static char *
text_of(struct walk *w, const struct entry *e, size_t max)
{
  char *text = e->size <= max ? malloc((size_t)e->size + 1) : NULL;

  if (!text || !disk_read(w->file, e->offset, text, (size_t)e->size)) {
    free(text);
    disk_refuse(w->error, "its %.60s is too large", e->name);
    return NULL;
  }
  text[e->size] = '\0';
  return text;
}

/* A line "SHA256(NAME)= HEX", with blanks or without. */
static void
take_sum(struct ova *ova, char *line, const struct entry *e)
{
  static const struct { const char *name; int bits; size_t digits; } kinds[] = {
    { "SHA1", 1, 40 }, { "SHA256", 256, 64 }, { "SHA512", 512, 128 },
  };
  char *open = strchr(line, '('), *close = open ? strrchr(open, ')') : NULL, *equal = close ? strchr(close, '=') : NULL;

  if (!equal || ova->n_sums == OVA_SUMS_MAX)
    return;
  size_t length = (size_t)(open - line);
  while (length > 0 && line[length - 1] == ' ')
    length--;
  *close = '\0';
  if (strcmp(open + 1, e->name) != 0)
    return;
  const char *hex = equal + 1 + strspn(equal + 1, " \t");
  size_t digits = strspn(hex, "0123456789abcdefABCDEF");
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strlen(kinds[i].name) != length || strncmp(line, kinds[i].name, length) != 0 || digits != kinds[i].digits)
      continue;
    struct ova_sum *s = &ova->sums[ova->n_sums++];
    *s = (struct ova_sum){ .bits = kinds[i].bits, .offset = e->offset, .size = e->size };
    for (size_t d = 0; d < digits; d++)
      s->hex[d] = (char)tolower((unsigned char)hex[d]);
    return;
  }
}

static bool
take_manifest(struct walk *w, struct ova *ova, const struct entry *ovf, const struct entry *disk)
{
  const struct entry *mf = only(w, ".mf", "it holds more than one manifest");
  const struct entry *listed[] = { ovf, disk };

  if (!mf)
    return !*w->error->text;
  for (unsigned i = 0; i < OVA_SUMS_MAX; i++) {
    char *text = text_of(w, mf, MANIFEST_MAX), *rest;
    if (!text)
      return false;
    unsigned before = ova->n_sums;
    for (char *line = strtok_r(text, "\r\n", &rest); line && ova->n_sums == before; line = strtok_r(NULL, "\r\n", &rest))
      take_sum(ova, line, listed[i]);
    free(text);
  }
  return true;
}

static bool
find(struct walk *w, struct ova *ova)
{
  const struct entry *descriptor = only(w, ".ovf", "it holds more than one OVF descriptor"), *disk = NULL;

  if (!descriptor)
    return disk_refuse(w->error, "it holds no OVF descriptor");
  char *text = text_of(w, descriptor, OVF_MAX);
  bool ok = text && ovf_parse(text, (size_t)descriptor->size, &ova->ovf, w->error);
  free(text);
  if (!ok)
    return false;
  for (unsigned i = 0; i < w->n && !disk; i++)
    if (strcmp(w->entries[i].name, ova->ovf.disk) == 0)
      disk = &w->entries[i];
  if (!disk)
    return disk_refuse(w->error, "the disk that its OVF descriptor names, %.100s, is not in it", ova->ovf.disk);
  if (ova->ovf.disk_bytes && ova->ovf.disk_bytes != disk->size)
    return disk_refuse(w->error, "its disk %.100s has another size than its OVF descriptor says", disk->name);
  ova->offset = disk->offset;
  ova->size = disk->size;
  return take_manifest(w, ova, descriptor, disk);
}

bool
ova_open(const struct disk_file *f, struct ova *ova, struct disk_error *e)
{
  struct walk *w = calloc(1, sizeof *w);
  bool end = false, ok = w != NULL;

  *ova = (struct ova){ 0 };
  if (!w)
    return disk_refuse(e, "there is no memory left to read it");
  w->file = f;
  w->error = e;
  w->long_size = UINT64_MAX;
  while (ok && !end)
    ok = step(w, &end);
  ok = ok && find(w, ova);
  free(w);
  return ok;
}
