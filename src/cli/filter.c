// SPDX-License-Identifier: Apache-2.0
/* The states are those of ECMA-48's control functions, as far as they have to be told apart to be left out:
 *
 *   TEXT -ESC-> ESCAPE -[-> CSI -final byte-> TEXT     (passes if it is SGR, "m")
 *                  '-] P ^ _ X-> STRING -BEL, ESC \, line break-> TEXT
 *                  '-any other-> TEXT
 */
#include "cli/filter.h"

#include <string.h>

enum { TEXT, ESCAPE, CSI, STRING };

/* C1 controls, and the marks that turn text round, are characters of several bytes: they are told by the whole. */
static void
flush_character(PtFilter *f, GString *out)
{
  gunichar c = g_utf8_get_char_validated(f->character, (gssize)f->have);

  if (c != (gunichar)-1 && c != (gunichar)-2 && !g_unichar_iscntrl(c) && !(c >= 0x202a && c <= 0x202e) &&
      !(c >= 0x2066 && c <= 0x2069))
    g_string_append_len(out, f->character, (gssize)f->have);
  else
    g_string_append_c(out, '?');
  f->have = 0;
}

static void
on_text(PtFilter *f, unsigned char c, GString *out)
{
  if (f->have > 0 && (c & 0xc0) == 0x80) {
    f->character[f->have++] = (char)c;
    if (f->have == f->need)
      flush_character(f, out);
    return;
  }
  if (f->have > 0)
    flush_character(f, out); /* cut short */
  if (c >= 0x80) {
    f->need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    f->character[f->have++] = (char)c;
  } else if (c == 033) {
    f->state = ESCAPE;
  } else if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f)) {
    g_string_append_c(out, (char)c);
  }
}

static void
on_escape(PtFilter *f, unsigned char c)
{
  f->n = 0;
  f->state = c == '[' ? CSI : c && strchr("]P^_X", c) ? STRING : c == 033 ? ESCAPE : TEXT;
}

static void
on_csi(PtFilter *f, unsigned char c, GString *out)
{
  if (c == 033) {
    f->state = ESCAPE;
  } else if (c >= 0x40 && c <= 0x7e) {
    f->sequence[f->n] = '\0';
    if (c == 'm' && !f->plain && strspn(f->sequence, "0123456789;") == f->n)
      g_string_append_printf(out, "\033[%sm", f->sequence);
    f->state = TEXT;
  } else if (f->n < sizeof f->sequence - 1) {
    f->sequence[f->n++] = (char)c;
  }
}

void
pt_filter_feed(PtFilter *f, const char *bytes, gsize size, GString *out)
{
  for (gsize i = 0; i < size; i++) {
    unsigned char c = (unsigned char)bytes[i];
    switch (f->state) {
    case TEXT:
      on_text(f, c, out);
      break;
    case ESCAPE:
      on_escape(f, c);
      break;
    case CSI:
      on_csi(f, c, out);
      break;
    case STRING:
      if (c == '\a' || c == '\n')
        f->state = TEXT;
      else if (c == 033)
        f->state = ESCAPE;
      break;
    default:
      break;
    }
  }
}
