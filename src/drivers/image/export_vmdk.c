// SPDX-License-Identifier: Apache-2.0
/* The stream-optimised VMDK of an OVA (VMware, Virtual Disk Format 5.0): a header, grains of 64 KiB deflated each behind a marker, the
 * table of each 512 grains behind them, the directory of tables, a footer (the header, which now knows where the directory is), an
 * end. It is written here and not by qemu-img, whose variant has its tables in front and no footer; ESXi's importer refuses that. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "drivers/image/export.h"
#include "sys/sparse.h"

#define SECTOR 512
#define GRAIN (64 << 10)
#define GRAIN_SECTORS (GRAIN / SECTOR)
#define TABLE 512            /* grains of a table */
#define OVERHEAD 128         /* sectors before the first grain */
#define AT_END G_MAXUINT64
#define DESCRIPTOR_SECTORS 20
#define LEVEL 3              /* of deflate: most of its gain at a third of its time */

enum { MARKER_END, MARKER_TABLE, MARKER_DIRECTORY, MARKER_FOOTER };

typedef struct Writer {
  int from, to;
  guint64 at;       /* sector of the output */
  gint64 size;      /* of the disk */
  guint32 *directory;
  guint32 table[TABLE];
  gint64 n_tables;
  guint8 *grain, *packed; /* packed: a marker's twelve bytes and room for the worst */
  gsize packed_max;
} Writer;

static bool
put(Writer *w, const void *data, gsize size, GError **error)
{
  static const char zero[SECTOR];
  gsize pad = (SECTOR - size % SECTOR) % SECTOR;

  for (guint i = 0; i < 2; i++) {
    const char *p = i ? zero : data;
    for (gsize left = i ? pad : size; left > 0;) {
      ssize_t n = write(w->to, p, left);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0) {
        pt_error_errno(error, n == 0 ? EIO : errno, "writing the disk");
        return false;
      }
      p += n;
      left -= (gsize)n;
    }
  }
  w->at += (size + pad) / SECTOR;
  return true;
}

static void
set32(guint8 *p, guint32 v)
{
  v = GUINT32_TO_LE(v);
  memcpy(p, &v, sizeof v);
}

static void
set64(guint8 *p, guint64 v)
{
  v = GUINT64_TO_LE(v);
  memcpy(p, &v, sizeof v);
}

static bool
put_marker(Writer *w, guint64 sectors, guint32 type, GError **error)
{
  guint8 m[SECTOR] = { 0 };

  set64(m, sectors);
  set32(m + 12, type);
  return put(w, m, sizeof m, error);
}

static guint64
capacity(const Writer *w)
{
  return (guint64)((w->size + SECTOR - 1) / SECTOR);
}

static bool
put_header(Writer *w, guint64 directory, GError **error)
{
  guint8 h[SECTOR] = { 0 };

  memcpy(h, "KDMV", 4);
  set32(h + 4, 3);        /* version */
  set32(h + 8, 0x30001);  /* line ends are to be looked at; grains are deflated; there are markers */
  set64(h + 12, capacity(w));
  set64(h + 20, GRAIN_SECTORS);
  set64(h + 28, 1);       /* the descriptor is in the next sectors */
  set64(h + 36, DESCRIPTOR_SECTORS);
  set32(h + 44, TABLE);
  set64(h + 56, directory);
  set64(h + 64, OVERHEAD);
  memcpy(h + 73, "\n \r\n", 4);
  h[77] = 1;              /* deflate, RFC 1951 in RFC 1950's frame */
  return put(w, h, sizeof h, error);
}

static bool
put_descriptor(Writer *w, GError **error)
{
  char text[DESCRIPTOR_SECTORS * SECTOR] = { 0 };
  static const char zero[(OVERHEAD - 1 - DESCRIPTOR_SECTORS) * SECTOR];
  guint64 sectors = capacity(w);
  guint32 id;

  pt_random(&id, sizeof id);
  g_snprintf(text, sizeof text,
             "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n"
             "# Extent description\nRW %" G_GUINT64_FORMAT " SPARSE \"disk.vmdk\"\n\n"
             "# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\nddb.geometry.cylinders = \"%" G_GUINT64_FORMAT "\"\n"
             "ddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\nddb.virtualHWVersion = \"10\"\n",
             id & 0x7fffffff, sectors, MAX(sectors / (255 * 63), 1));
  return put(w, text, sizeof text, error) && put(w, zero, sizeof zero, error);
}

static bool
put_grain(Writer *w, gint64 at, GError **error)
{
  uLongf packed = (uLongf)(w->packed_max - 12);
  gssize n = pt_sparse_read(w->from, w->grain, GRAIN, at);

  if (n <= 0) {
    pt_error_errno(error, n == 0 ? EIO : errno, "reading the disk");
    return false;
  }
  memset(w->grain + n, 0, (gsize)(GRAIN - n));
  if (w->grain[0] == 0 && memcmp(w->grain, w->grain + 1, GRAIN - 1) == 0)
    return true;
  if (compress2(w->packed + 12, &packed, w->grain, GRAIN, LEVEL) != Z_OK || w->at > G_MAXUINT32) {
    PT_SET(error, PT_ERR_TOO_LARGE, "its disk is too large for an OVA, whose disk has 2 TiB of data at most");
    pt_error_hint(error, "export it as qcow2 or vhdx");
    return false;
  }
  w->table[at / GRAIN % TABLE] = GUINT32_TO_LE((guint32)w->at);
  set64(w->packed, (guint64)at / SECTOR);
  set32(w->packed + 8, (guint32)packed);
  return put(w, w->packed, 12 + packed, error);
}

/* The table of the grains before, where there is any in it. */
static bool
end_table(Writer *w, gint64 n, GError **error)
{
  bool empty = w->table[0] == 0 && memcmp(w->table, w->table + 1, sizeof w->table - sizeof *w->table) == 0;

  if (empty)
    return true;
  if (!put_marker(w, sizeof w->table / SECTOR, MARKER_TABLE, error))
    return false;
  w->directory[n] = GUINT32_TO_LE((guint32)w->at);
  bool ok = put(w, w->table, sizeof w->table, error);
  memset(w->table, 0, sizeof w->table);
  return ok;
}

static bool
put_grains(Writer *w, bool (*report)(gint64, gint64, void *), void *data, GError **error)
{
  static const gint64 span = (gint64)GRAIN * TABLE;
  gint64 table = 0;

  for (gint64 at = 0; (at = pt_sparse_next(w->from, at, w->size) / GRAIN * GRAIN) < w->size; at += GRAIN) {
    if (at / span != table && !end_table(w, table, error))
      return false;
    table = at / span;
    if (report && !report(at, w->size, data)) {
      PT_SET(error, PT_ERR_CANCELLED, "cancelled; nothing was changed");
      return false;
    }
    if (!put_grain(w, at, error))
      return false;
  }
  return end_table(w, table, error);
}

static bool
put_all(Writer *w, bool (*report)(gint64, gint64, void *), void *data, GError **error)
{
  gsize bytes = (gsize)w->n_tables * sizeof *w->directory;

  if (!put_header(w, AT_END, error) || !put_descriptor(w, error) || !put_grains(w, report, data, error) ||
      !put_marker(w, (bytes + SECTOR - 1) / SECTOR, MARKER_DIRECTORY, error))
    return false;
  guint64 directory = w->at;
  return put(w, w->directory, bytes, error) && put_marker(w, 1, MARKER_FOOTER, error) && put_header(w, directory, error) &&
         put_marker(w, 0, MARKER_END, error);
}

bool
pt_vmdk_stream(int from, int to, bool (*report)(gint64 done, gint64 total, void *data), void *data, GError **error)
{
  Writer w = { .from = from, .to = to };
  struct stat st;

  if (fstat(from, &st) != 0) {
    pt_error_errno(error, errno, "the disk");
    return false;
  }
  w.size = st.st_size;
  w.n_tables = (st.st_size + (gint64)GRAIN * TABLE - 1) / ((gint64)GRAIN * TABLE);
  w.directory = g_new0(guint32, w.n_tables);
  w.grain = g_malloc(GRAIN);
  w.packed_max = 12 + compressBound(GRAIN);
  w.packed = g_malloc(w.packed_max);
  bool ok = put_all(&w, report, data, error);
  g_free(w.directory);
  g_free(w.grain);
  g_free(w.packed);
  return ok;
}
