// SPDX-License-Identifier: Apache-2.0
/* A minimal RFB client (RFC 6143): 32-bit pixels, Raw encoding only, one non-incremental request. A desktop may answer with
 * several updates, each of several rectangles; it is done when as many pixels came as the desktop has. */
#include "gateway/frame.h"

#include <png.h>
#include <string.h>

#include "base/error.h"

#define MAX_SIDE 16384
#define MAX_HEIGHT 960 /* of a result: a tall desktop is scaled by its height */
#define MAX_MESSAGES 256
#define MAX_SKIP (8u << 20)
#define PIECE (32u << 10)

typedef struct Grab {
  PtIo *io;
  guint w, h, tw, th;
  guint16 *column; /* where a pixel's column goes */
  guint32 *sum;    /* tw * th of red, green, blue, count */
  guint64 got;     /* pixels so far */
} Grab;

static void
grab_clear(Grab *g)
{
  g_free(g->column);
  g_free(g->sum);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Grab, grab_clear)

void
pt_frame_clear(PtFrame *frame)
{
  g_free(frame->rgb);
  memset(frame, 0, sizeof *frame);
}

static guint
get16(const guint8 *p)
{
  return (guint)p[0] << 8 | p[1];
}

static guint32
get32(const guint8 *p)
{
  return (guint32)get16(p) << 16 | get16(p + 2);
}

static bool
skip(PtIo *io, gsize size, GError **error)
{
  guint8 buf[4096];

  if (size > MAX_SKIP) {
    PT_SET(error, PT_ERR_INVALID, "the desktop sent a message of %" G_GSIZE_FORMAT " bytes", size);
    return false;
  }
  for (; size > 0; size -= MIN(size, sizeof buf))
    if (!pt_io_read(io, buf, MIN(size, sizeof buf), error))
      return false;
  return true;
}

static bool
start(Grab *g, guint max_width, GError **error)
{
  static const guint8 shared = 1;
  guint8 init[24];

  if (!pt_io_write(g->io, &shared, 1, error) || !pt_io_read(g->io, init, sizeof init, error))
    return false;
  g->w = get16(init);
  g->h = get16(init + 2);
  if (g->w < 1 || g->h < 1 || g->w > MAX_SIDE || g->h > MAX_SIDE) {
    PT_SET(error, PT_ERR_INVALID, "the desktop says it is %u by %u", g->w, g->h);
    return false;
  }
  if (!skip(g->io, get32(init + 20), error))
    return false;
  g->tw = MIN(g->w, max_width);
  g->th = MAX(1, g->h * g->tw / g->w);
  if (g->th > MAX_HEIGHT) {
    g->th = MAX_HEIGHT;
    g->tw = CLAMP(g->w * g->th / g->h, 1, g->tw);
  }
  g->column = g_new(guint16, g->w);
  for (guint x = 0; x < g->w; x++)
    g->column[x] = (guint16)(x * g->tw / g->w);
  g->sum = g_new0(guint32, (gsize)g->tw * g->th * 4);
  return true;
}

/* Pixel format, encodings and the request, in one packet. */
static bool
ask(Grab *g, bool incremental, GError **error)
{
  static const guint8 format[] = { 0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0 };
  static const guint8 encodings[] = { 2, 0, 0, 1, 0, 0, 0, 0 }; /* Raw */
  guint8 request[10] = { 3, incremental, 0, 0, 0, 0, (guint8)(g->w >> 8), (guint8)g->w, (guint8)(g->h >> 8), (guint8)g->h };

  if (!incremental && (!pt_io_write(g->io, format, sizeof format, error) || !pt_io_write(g->io, encodings, sizeof encodings, error)))
    return false;
  return pt_io_write(g->io, request, sizeof request, error);
}

static bool
rectangle(Grab *g, GError **error)
{
  guint8 head[12], buf[PIECE];

  if (!pt_io_read(g->io, head, sizeof head, error))
    return false;
  guint x0 = get16(head), y0 = get16(head + 2), w = get16(head + 4), h = get16(head + 6);
  if (get32(head + 8) != 0 || x0 + w > g->w || y0 + h > g->h) {
    PT_SET(error, PT_ERR_INVALID, "the desktop sent what was not asked for");
    return false;
  }
  guint x = 0, y = 0;
  for (gsize left = (gsize)w * h * 4; left > 0;) {
    gsize n = MIN(left, sizeof buf);
    if (!pt_io_read(g->io, buf, n, error))
      return false;
    left -= n;
    for (const guint8 *p = buf; p < buf + n; p += 4) {
      guint32 *s = g->sum + 4 * ((gsize)((y0 + y) * g->th / g->h) * g->tw + g->column[x0 + x]);
      s[0] += p[2];
      s[1] += p[1];
      s[2] += p[0];
      s[3]++;
      if (++x == w) {
        x = 0;
        y++;
      }
    }
  }
  g->got += (guint64)w * h;
  return true;
}

/* One message of the desktop. *ret_update: it was an update. */
static bool
message(Grab *g, bool *ret_update, GError **error)
{
  guint8 type, head[7];

  if (!pt_io_read(g->io, &type, 1, error))
    return false;
  switch (type) {
  case 0: /* FramebufferUpdate */
    if (!pt_io_read(g->io, head, 3, error))
      return false;
    *ret_update = true;
    for (guint n = get16(head + 1); n > 0; n--)
      if (!rectangle(g, error))
        return false;
    return true;
  case 1: /* SetColourMapEntries */
    return pt_io_read(g->io, head, 5, error) && skip(g->io, 6 * (gsize)get16(head + 3), error);
  case 2: /* Bell */
    return true;
  case 3: /* ServerCutText */
    return pt_io_read(g->io, head, 7, error) && skip(g->io, get32(head + 3), error);
  default:
    PT_SET(error, PT_ERR_INVALID, "the desktop sent a message of unknown type %u", type);
    return false;
  }
}

bool
pt_frame_grab(PtIo *io, guint max_width, PtFrame *ret, GError **error)
{
  g_auto(Grab) g = { .io = io };

  if (!start(&g, max_width, error) || !ask(&g, false, error))
    return false;
  for (guint n = 0; g.got < (guint64)g.w * g.h; n++) {
    bool update = false;
    if (n == MAX_MESSAGES) {
      PT_SET(error, PT_ERR_INVALID, "the desktop sends no whole picture");
      return false;
    }
    if (!message(&g, &update, error) || (update && g.got < (guint64)g.w * g.h && !ask(&g, true, error)))
      return false;
  }
  ret->width = g.tw;
  ret->height = g.th;
  ret->rgb = g_malloc0((gsize)g.tw * g.th * 3);
  for (gsize i = 0; i < (gsize)g.tw * g.th; i++)
    for (guint c = 0; c < 3; c++)
      ret->rgb[3 * i + c] = (guint8)(g.sum[4 * i + c] / MAX(1, g.sum[4 * i + 3]));
  return true;
}

bool
pt_frame_plain(const PtFrame *frame)
{
  gsize n = (gsize)frame->width * frame->height;

  for (gsize i = 1; i < n; i++)
    if (memcmp(frame->rgb, frame->rgb + 3 * i, 3) != 0)
      return false;
  return true;
}

static void
on_png_write(png_structp png, png_bytep data, png_size_t size)
{
  g_byte_array_append(png_get_io_ptr(png), data, (guint)size);
}

static void
on_png_flush(png_structp png)
{
  (void)png;
}

GBytes *
pt_frame_png(const PtFrame *frame, GError **error)
{
  GByteArray *out = g_byte_array_sized_new(64 << 10);
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png ? png_create_info_struct(png) : NULL;

  if (!info || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    g_byte_array_unref(out);
    PT_SET(error, PT_ERR_INTERNAL, "the picture could not be written as PNG");
    return NULL;
  }
  png_set_write_fn(png, out, on_png_write, on_png_flush);
  png_set_IHDR(png, info, frame->width, frame->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(png, 4);
  png_set_filter(png, 0, PNG_FILTER_SUB | PNG_FILTER_UP);
  png_write_info(png, info);
  for (guint y = 0; y < frame->height; y++)
    png_write_row(png, frame->rgb + (gsize)y * frame->width * 3);
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  return g_byte_array_free_to_bytes(out);
}
