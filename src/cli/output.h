// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What goes to the terminal. Whatever a server or a guest named passes pt_text_safe() here: nothing in this file lets an
 * escape sequence through. */
#include "cli/cli.h"

typedef enum { PT_LOOK_PLAIN, PT_LOOK_DIM, PT_LOOK_BOLD, PT_LOOK_GOOD, PT_LOOK_BUSY, PT_LOOK_BAD } PtLook;

/* Columns that `text` takes on a terminal. */
guint pt_text_width(const char *text);
/* Cut to `width` columns with '…' at the end. The caller's to free. */
char *pt_text_cut(const char *text, guint width);
PtLook pt_look_of_state(const char *state);
const char *pt_look_on(const PtCli *cli, PtLook look); /* "" without colours */
const char *pt_look_off(const PtCli *cli, PtLook look);

/* A table: headings, then rows of as many cells. Cells are made safe and copied; NULL is shown as "–". */
typedef struct PtTable PtTable;
PtTable *pt_table_new(const char *const *headings);
void pt_table_free(PtTable *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtTable, pt_table_free)
void pt_table_add(PtTable *t, const char *const *cells);   /* ends with the last heading's cell, no NULL needed */
void pt_table_look(PtTable *t, guint column, PtLook look); /* of the last row's cell */
guint pt_table_rows(const PtTable *t);
/* With headings; cut to the terminal's width where there is one. As a string, one row a line. The caller's to free. */
char *pt_table_format(const PtTable *t, const PtCli *cli);
void pt_table_print(const PtTable *t, const PtCli *cli);

/* "name: value" lines, aligned: for `show`. A NULL value leaves the line out. */
typedef struct PtFacts PtFacts;
PtFacts *pt_facts_new(void);
void pt_facts_free(PtFacts *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtFacts, pt_facts_free)
void pt_facts_add(PtFacts *f, const char *name, const char *value);
void pt_facts_addf(PtFacts *f, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);
void pt_facts_print(const PtFacts *f, const PtCli *cli);

/* What the API answered, as it is; indented on a terminal, where bytes that a terminal would obey are written as \u escapes.
 */
void pt_print_json(const PtCli *cli, const json_t *json);
/* A line on standard output, whose string arguments were made safe by the caller or here by pt_say_safe(). */
void pt_say(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* A line on standard error, for what is on its way; nothing with --quiet or --json. */
void pt_note(const PtCli *cli, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* pt_text_safe(), at most 200 bytes; "" of NULL. The caller's to free. */
char *pt_safe(const char *text);

/* "2026-01-31 08:09" in local time, and "4 min" since then; "–" of NULL or nonsense. The caller's to free. */
char *pt_when(const char *rfc3339);
char *pt_when_exactly(const char *rfc3339); /* with the seconds */
char *pt_since(const char *rfc3339);
/* Bytes for a person; "–" where the member is missing or null. The caller's to free. */
char *pt_member_size(const json_t *obj, const char *key);
/* Any scalar as text, "–" of null. The caller's to free. */
char *pt_member_text(const json_t *obj, const char *key);
