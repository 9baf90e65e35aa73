// SPDX-License-Identifier: Apache-2.0
/* What runs in the jail on foreign disks: an OVA's table and descriptor, an OVF descriptor alone, the first looks at disk images. First byte: 0 OVA,
 * 1 OVF, else a format of portena-disk's. Refusing says why, accepting says no more than there is. */
#include <glib.h>
#include <string.h>

#include "helpers/disk.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void
check_ovf(const struct ovf *o)
{
  g_assert_cmpint(o->format, >=, 0);
  g_assert_cmpint(o->format, <, DISK_N_FORMATS);
  g_assert_true(*o->disk && !strpbrk(o->disk, "/\\\n") && strcmp(o->disk, "..") != 0);
  const char *const texts[] = { o->name, o->os, o->description };
  for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
    for (const char *p = texts[i]; *p; p++)
      g_assert_true((guchar)*p >= ' ' && *p != 0x7f);
}

static void
check_ova(const struct ova *a, guint64 size)
{
  check_ovf(&a->ovf);
  g_assert_true(a->offset <= size && a->size <= size - a->offset);
  for (unsigned i = 0; i < a->n_sums; i++)
    g_assert_true(a->sums[i].offset <= size && a->sums[i].size <= size - a->sums[i].offset);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  struct disk_error e = { "" };
  struct ova ova;
  struct ovf ovf;

  if (size < 1)
    return 0;
  struct disk_file f = { .fd = -1, .memory = data, .offset = 1, .size = size - 1 };
  bool ok;
  if (data[0] == 0) {
    ok = ova_open(&f, &ova, &e);
    if (ok)
      check_ova(&ova, f.size);
  } else if (data[0] == 1) {
    ok = ovf_parse((const char *)data + 1, size - 1, &ovf, &e);
    if (ok)
      check_ovf(&ovf);
  } else {
    ok = disk_check(&f, (enum disk_format)(data[0] % DISK_N_FORMATS), &e);
    (void)disk_guess_firmware(&f);
    (void)disk_iso_firmware(&f);
  }
  g_assert_true(ok == (*e.text == '\0'));
  return 0;
}
