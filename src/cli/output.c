// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define DASH "–"

static const struct {
  const char *on;
} looks[] = {
  [PT_LOOK_PLAIN] = { "" },        [PT_LOOK_DIM] = { "\033[2m" },   [PT_LOOK_BOLD] = { "\033[1m" },
  [PT_LOOK_GOOD] = { "\033[32m" }, [PT_LOOK_BUSY] = { "\033[33m" }, [PT_LOOK_BAD] = { "\033[31m" },
};

const char *
pt_look_on(const PtCli *cli, PtLook look)
{
  return cli->color ? looks[look].on : "";
}

const char *
pt_look_off(const PtCli *cli, PtLook look)
{
  return cli->color && look != PT_LOOK_PLAIN ? "\033[0m" : "";
}

PtLook
pt_look_of_state(const char *state)
{
  static const struct {
    const char *state;
    PtLook look;
  } states[] = {
    { "running", PT_LOOK_GOOD },  { "done", PT_LOOK_GOOD },   { "ok", PT_LOOK_GOOD },        { "starting", PT_LOOK_BUSY },
    { "stopping", PT_LOOK_BUSY }, { "paused", PT_LOOK_BUSY }, { "pending", PT_LOOK_BUSY },   { "warn", PT_LOOK_BUSY },
    { "failed", PT_LOOK_BAD },    { "bad", PT_LOOK_BAD },     { "cancelled", PT_LOOK_BUSY }, { "stopped", PT_LOOK_DIM },
    { "hibernated", PT_LOOK_DIM },
  };

  for (guint i = 0; i < G_N_ELEMENTS(states); i++)
    if (g_strcmp0(state, states[i].state) == 0)
      return states[i].look;
  return PT_LOOK_PLAIN;
}

static guint
char_width(gunichar c)
{
  if (g_unichar_iszerowidth(c))
    return 0;
  return g_unichar_iswide(c) ? 2 : 1;
}

guint
pt_text_width(const char *text)
{
  guint w = 0;

  for (const char *p = text; *p; p = g_utf8_next_char(p))
    w += char_width(g_utf8_get_char(p));
  return w;
}

char *
pt_text_cut(const char *text, guint width)
{
  guint w = 0;
  const char *p = text;

  if (pt_text_width(text) <= width)
    return g_strdup(text);
  for (; *p && w + char_width(g_utf8_get_char(p)) + 1 <= width; p = g_utf8_next_char(p))
    w += char_width(g_utf8_get_char(p));
  g_autofree char *begin = g_strndup(text, (gsize)(p - text));
  return g_strconcat(begin, "…", NULL);
}

char *
pt_safe(const char *text)
{
  return pt_text_safe(text ? text : "", 200);
}

/* --- tables --- */

typedef struct Cell {
  char *text;
  PtLook look;
} Cell;

struct PtTable {
  guint columns;
  GArray *cells; /* Cell, row by row; the first row holds the headings */
};

static void
cell_clear(void *data)
{
  g_free(((Cell *)data)->text);
}

PtTable *
pt_table_new(const char *const *headings)
{
  PtTable *t = g_new0(PtTable, 1);

  t->columns = g_strv_length((char **)headings);
  t->cells = g_array_new(FALSE, FALSE, sizeof(Cell));
  g_array_set_clear_func(t->cells, cell_clear);
  pt_table_add(t, headings);
  return t;
}

void
pt_table_free(PtTable *t)
{
  if (!t)
    return;
  g_array_unref(t->cells);
  g_free(t);
}

void
pt_table_add(PtTable *t, const char *const *cells)
{
  for (guint i = 0; i < t->columns; i++) {
    Cell c = { cells[i] && *cells[i] ? pt_safe(cells[i]) : g_strdup(DASH), PT_LOOK_PLAIN };
    g_array_append_val(t->cells, c);
  }
}

void
pt_table_look(PtTable *t, guint column, PtLook look)
{
  g_array_index(t->cells, Cell, t->cells->len - t->columns + column).look = look;
}

guint
pt_table_rows(const PtTable *t)
{
  return t->cells->len / t->columns - 1;
}

/* The widths of the columns; where the terminal is too narrow, the widest ones give way, but none below its heading
 * or eight columns. */
static void
fit(const PtTable *t, guint available, guint *widths)
{
  guint sum = 0;

  for (guint i = 0; i < t->cells->len; i++) {
    guint c = i % t->columns;
    widths[c] = MAX(widths[c], pt_text_width(g_array_index(t->cells, Cell, i).text));
  }
  for (guint c = 0; c < t->columns; c++)
    sum += widths[c] + (c ? 2 : 0);
  while (available && sum > available) {
    guint widest = 0;
    for (guint c = 1; c < t->columns; c++)
      if (widths[c] > widths[widest])
        widest = c;
    if (widths[widest] <= 8)
      break;
    widths[widest]--;
    sum--;
  }
}

char *
pt_table_format(const PtTable *t, const PtCli *cli)
{
  g_autofree guint *widths = g_new0(guint, t->columns);
  GString *s = g_string_new(NULL);

  fit(t, cli->width, widths);
  for (guint i = 0; i < t->cells->len; i++) {
    const Cell *cell = &g_array_index(t->cells, Cell, i);
    guint c = i % t->columns;
    PtLook look = i < t->columns ? PT_LOOK_DIM : cell->look;
    g_autofree char *text = pt_text_cut(cell->text, widths[c]);
    g_string_append_printf(s, "%s%s%s", pt_look_on(cli, look), text, pt_look_off(cli, look));
    if (c + 1 == t->columns)
      g_string_append_c(s, '\n');
    else
      g_string_append_printf(s, "%*s", (int)(widths[c] - pt_text_width(text) + 2), "");
  }
  return g_string_free(s, FALSE);
}

void
pt_table_print(const PtTable *t, const PtCli *cli)
{
  g_autofree char *text = pt_table_format(t, cli);

  fputs(text, stdout);
}

/* --- facts --- */

struct PtFacts {
  GPtrArray *lines; /* name, value, name, value … */
};

PtFacts *
pt_facts_new(void)
{
  PtFacts *f = g_new0(PtFacts, 1);

  f->lines = g_ptr_array_new_with_free_func(g_free);
  return f;
}

void
pt_facts_free(PtFacts *f)
{
  if (!f)
    return;
  g_ptr_array_unref(f->lines);
  g_free(f);
}

void
pt_facts_add(PtFacts *f, const char *name, const char *value)
{
  if (!value)
    return;
  g_ptr_array_add(f->lines, g_strdup(name));
  g_ptr_array_add(f->lines, pt_text_safe(value, 2000));
}

void
pt_facts_addf(PtFacts *f, const char *name, const char *format, ...)
{
  va_list ap;

  va_start(ap, format);
  g_autofree char *value = g_strdup_vprintf(format, ap);
  va_end(ap);
  pt_facts_add(f, name, value);
}

void
pt_facts_print(const PtFacts *f, const PtCli *cli)
{
  guint width = 0;

  for (guint i = 0; i < f->lines->len; i += 2)
    width = MAX(width, pt_text_width(f->lines->pdata[i]));
  for (guint i = 0; i < f->lines->len; i += 2) {
    const char *name = f->lines->pdata[i], *value = f->lines->pdata[i + 1];
    printf("%s%s%s%*s%s\n", pt_look_on(cli, PT_LOOK_DIM), name, pt_look_off(cli, PT_LOOK_DIM),
           (int)(width - pt_text_width(name) + 2), "", value);
  }
}

/* --- lines --- */

/* DEL, C1 controls and the marks that turn text round may stand in JSON strings unescaped (RFC 8259, 7). */
static char *
escape_json(const char *text)
{
  GString *s = g_string_sized_new(strlen(text) + 16);

  for (const char *p = text; *p; p = g_utf8_next_char(p)) {
    gunichar c = g_utf8_get_char(p);
    if ((c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) ||
        (c >= 0x2066 && c <= 0x2069))
      g_string_append_printf(s, "\\u%04x", c);
    else
      g_string_append_len(s, p, g_utf8_next_char(p) - p);
  }
  return g_string_free(s, FALSE);
}

void
pt_print_json(const PtCli *cli, const json_t *json)
{
  char *raw = json_dumps(json, (cli->out_tty ? JSON_INDENT(2) : JSON_COMPACT) | JSON_ENCODE_ANY);
  g_autofree char *text = escape_json(raw ? raw : "null");

  free(raw);
  puts(text);
}

void
pt_say(const char *format, ...)
{
  va_list ap;

  va_start(ap, format);
  vprintf(format, ap);
  va_end(ap);
  putchar('\n');
}

void
pt_note(const PtCli *cli, const char *format, ...)
{
  va_list ap;

  if (cli->quiet || cli->json)
    return;
  va_start(ap, format);
  vfprintf(stderr, format, ap);
  va_end(ap);
  fputc('\n', stderr);
}

char *
pt_when(const char *rfc3339)
{
  gint64 us = rfc3339 ? pt_time_parse(rfc3339) : -1;

  if (us < 0)
    return g_strdup(DASH);
  g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
  g_autoptr(GDateTime) local = utc ? g_date_time_to_local(utc) : NULL;
  return local ? g_date_time_format(local, "%Y-%m-%d %H:%M") : g_strdup(DASH);
}

char *
pt_when_exactly(const char *rfc3339)
{
  gint64 us = rfc3339 ? pt_time_parse(rfc3339) : -1;
  g_autofree char *minute = pt_when(rfc3339);

  return us < 0 ? g_steal_pointer(&minute) : g_strdup_printf("%s:%02d", minute, (int)(us / G_USEC_PER_SEC % 60));
}

char *
pt_since(const char *rfc3339)
{
  gint64 us = rfc3339 ? pt_time_parse(rfc3339) : -1;

  return us < 0 ? g_strdup(DASH) : pt_duration_format(MAX(pt_now() - us, 0));
}

char *
pt_member_size(const json_t *obj, const char *key)
{
  const json_t *v = json_object_get(obj, key);

  return json_is_number(v) ? pt_size_format((gint64)json_number_value(v)) : g_strdup(DASH);
}

char *
pt_member_text(const json_t *obj, const char *key)
{
  const json_t *v = json_object_get(obj, key);

  if (json_is_string(v))
    return g_strdup(json_string_value(v));
  if (json_is_boolean(v))
    return g_strdup(json_is_true(v) ? "yes" : "no");
  if (json_is_integer(v))
    return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
  if (json_is_real(v))
    return g_strdup_printf("%g", json_real_value(v));
  return g_strdup(DASH);
}
