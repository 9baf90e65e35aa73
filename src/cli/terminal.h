// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* The user's terminal, in raw mode for as long as a stream has it. However the program ends (but by SIGKILL), it is given
 * back as it was. One at a time. */
bool pt_terminal_raw(void); /* false where standard input is no terminal */
void pt_terminal_restore(void);
/* Columns and rows of standard output's (or input's) terminal; 80 by 24 where it does not tell. */
void pt_terminal_size(guint *ret_columns, guint *ret_rows);
