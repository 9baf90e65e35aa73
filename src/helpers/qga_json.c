// SPDX-License-Identifier: Apache-2.0
#include "helpers/qga.h"

#include <string.h>

enum { S_VALUE, S_FIRST_KEY, S_KEY, S_COLON, S_FIRST_ITEM, S_NEXT, S_STRING, S_ESCAPE, S_UNICODE, S_WORD, S_END };

void
qga_json_begin(struct qga_json *j, struct qga_want *want, struct qga_want *error)
{
  memset(j, 0, sizeof *j);
  j->want = want;
  j->error = error;
  j->state = S_VALUE;
}

static struct qga_want *
find(struct qga_want *list, const char *name)
{
  for (; list && list->name; list++)
    if (strcmp(list->name, name) == 0)
      return list;
  return NULL;
}

/* What the value that begins here is wanted for. */
static struct qga_want *
wanted(struct qga_json *j)
{
  if (j->depth < 1 || j->depth > 2 || j->is_array[j->depth - 1] || !*j->key[j->depth - 1])
    return NULL;
  if (strcmp(j->key[0], "return") == 0)
    return find(j->want, j->depth == 2 ? j->key[1] : "");
  return j->depth == 2 && strcmp(j->key[0], "error") == 0 ? find(j->error, j->key[1]) : NULL;
}

static void
value_begins(struct qga_json *j)
{
  if (j->depth == 1 && !j->is_array[0]) {
    j->has_return |= strcmp(j->key[0], "return") == 0;
    j->has_error |= strcmp(j->key[0], "error") == 0;
  }
}

static void
value_ended(struct qga_json *j)
{
  j->done = j->depth == 0;
  j->state = j->done ? S_END : S_NEXT;
}

static bool
open_level(struct qga_json *j, bool array)
{
  if (j->depth == QGA_DEPTH || (j->depth == 0 && array))
    return false;
  value_begins(j);
  j->is_array[j->depth++] = array;
  if (j->depth <= 2)
    j->key[j->depth - 1][0] = '\0';
  j->state = array ? S_FIRST_ITEM : S_FIRST_KEY;
  return true;
}

static bool
close_level(struct qga_json *j, bool array)
{
  if (!j->depth || j->is_array[j->depth - 1] != array)
    return false;
  j->depth--;
  value_ended(j);
  return true;
}

static void
string_begins(struct qga_json *j, bool key)
{
  j->after = key ? S_COLON : S_NEXT;
  j->state = S_STRING;
  j->key_n = 0;
  j->sink = NULL;
  if (key)
    return;
  value_begins(j);
  j->sink = wanted(j);
}

static void
string_piece(struct qga_json *j, const unsigned char *at, size_t size)
{
  if (j->after != S_COLON) {
    if (j->sink && j->sink->text && size)
      j->sink->text(j->sink->data, at, size);
    return;
  }
  if (j->depth > 2)
    return;
  char *key = j->key[j->depth - 1];
  for (size_t i = 0; i < size; i++)
    if (j->key_n < QGA_KEY)
      key[j->key_n++] = (char)at[i];
}

static void
string_ends(struct qga_json *j)
{
  if (j->after == S_COLON) {
    if (j->depth <= 2)
      j->key[j->depth - 1][j->key_n < QGA_KEY ? j->key_n : 0] = '\0';
    j->state = S_COLON;
    return;
  }
  if (j->sink)
    j->sink->seen = true;
  value_ended(j);
}

/* A character of the BMP as UTF-8; half of a pair, or NUL, is a question mark. */
static void
put_code(struct qga_json *j)
{
  unsigned c = j->code == 0 || (j->code >= 0xD800 && j->code < 0xE000) ? '?' : j->code;
  unsigned char utf8[3];
  size_t n = 0;

  if (c < 0x80) {
    utf8[n++] = (unsigned char)c;
  } else if (c < 0x800) {
    utf8[n++] = (unsigned char)(0xC0 | c >> 6);
    utf8[n++] = (unsigned char)(0x80 | (c & 63));
  } else {
    utf8[n++] = (unsigned char)(0xE0 | c >> 12);
    utf8[n++] = (unsigned char)(0x80 | (c >> 6 & 63));
    utf8[n++] = (unsigned char)(0x80 | (c & 63));
  }
  string_piece(j, utf8, n);
}

static bool
escaped(struct qga_json *j, unsigned char c)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *at = c ? strchr(from, c) : NULL;

  if (c == 'u') {
    j->nibbles = j->code = 0;
    j->state = S_UNICODE;
    return true;
  }
  if (!at)
    return false;
  string_piece(j, (const unsigned char *)to + (at - from), 1);
  j->state = S_STRING;
  return true;
}

static bool
hex(struct qga_json *j, unsigned char c)
{
  int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

  if (v < 0)
    return false;
  j->code = j->code << 4 | (unsigned)v;
  if (++j->nibbles == 4) {
    put_code(j);
    j->state = S_STRING;
  }
  return true;
}

/* RFC 8259's number; *ret_whole: without a fraction, and small enough. */
static bool
is_number(const char *at, long long *ret, bool *ret_whole)
{
  bool minus = *at == '-';
  size_t n;

  *ret = 0;
  *ret_whole = true;
  at += minus;
  n = strspn(at, "0123456789");
  if (n == 0 || (n > 1 && *at == '0'))
    return false;
  *ret_whole = n <= 18;
  for (size_t i = 0; i < n && *ret_whole; i++)
    *ret = *ret * 10 + (at[i] - '0');
  *ret = minus ? -*ret : *ret;
  at += n;
  if (*at == '.') {
    n = strspn(++at, "0123456789");
    *ret_whole = false;
    at += n;
    if (n == 0)
      return false;
  }
  if (*at == 'e' || *at == 'E') {
    at++;
    at += *at == '+' || *at == '-';
    n = strspn(at, "0123456789");
    *ret_whole = false;
    at += n;
    if (n == 0)
      return false;
  }
  return *at == '\0';
}

static bool
word_ends(struct qga_json *j)
{
  struct qga_want *w = wanted(j);
  long long number;
  bool whole = true;

  j->word[j->word_n] = '\0';
  if (strcmp(j->word, "true") == 0)
    number = 1;
  else if (strcmp(j->word, "false") == 0)
    number = 0;
  else if (strcmp(j->word, "null") == 0)
    whole = false;
  else if (!is_number(j->word, &number, &whole))
    return false;
  if (w && whole) {
    w->number = number;
    w->seen = true;
  }
  value_ended(j);
  return true;
}

static bool
value(struct qga_json *j, unsigned char c)
{
  if (c == '{' || c == '[')
    return open_level(j, c == '[');
  if (j->depth == 0)
    return false; /* the whole is an object */
  if (c == '"') {
    string_begins(j, false);
    return true;
  }
  value_begins(j);
  j->word[0] = (char)c;
  j->word_n = 1;
  j->state = S_WORD;
  return true;
}

static bool
structure(struct qga_json *j, unsigned char c)
{
  bool array = j->depth && j->is_array[j->depth - 1];

  if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
    return true;
  if ((c == '}' && (j->state == S_FIRST_KEY || j->state == S_NEXT)) ||
      (c == ']' && (j->state == S_FIRST_ITEM || j->state == S_NEXT)))
    return close_level(j, c == ']');
  switch (j->state) {
  case S_VALUE:
  case S_FIRST_ITEM:
    return value(j, c);
  case S_FIRST_KEY:
  case S_KEY:
    if (c == '"')
      string_begins(j, true);
    return c == '"';
  case S_COLON:
    j->state = S_VALUE;
    return c == ':';
  default: /* S_NEXT */
    j->state = array ? S_VALUE : S_KEY;
    return c == ',';
  }
}

/* As much of a string as has no escape: how many bytes. -1: what no string has. */
static long
plain(struct qga_json *j, const unsigned char *at, size_t size)
{
  size_t n = 0;

  while (n < size && at[n] != '"' && at[n] != '\\' && at[n] >= 0x20 && at[n] != 0xFF)
    n++;
  string_piece(j, at, n);
  if (n == size)
    return (long)n;
  if (at[n] == '"')
    string_ends(j);
  else if (at[n] == '\\')
    j->state = S_ESCAPE;
  else
    return -1;
  return (long)n + 1;
}

long
qga_json_feed(struct qga_json *j, const unsigned char *at, size_t size)
{
  size_t n = 0;

  while (n < size && !j->done) {
    unsigned char c = at[n];
    long took = 1;
    bool ok;

    if (j->state == S_STRING) {
      took = plain(j, at + n, size - n);
      ok = took >= 0;
    } else if (j->state == S_ESCAPE) {
      ok = escaped(j, c);
    } else if (j->state == S_UNICODE) {
      ok = hex(j, c);
    } else if (j->state == S_WORD && !strchr(" \t\r\n,]}", c)) {
      ok = c && j->word_n < sizeof j->word - 1;
      if (ok)
        j->word[j->word_n++] = (char)c;
    } else {
      ok = (j->state != S_WORD || word_ends(j)) && structure(j, c);
    }
    if (!ok)
      return -1;
    n += (size_t)took;
  }
  return (long)n;
}

size_t
qga_base64_feed(struct qga_base64 *b, const unsigned char *at, size_t size, unsigned char *to)
{
  size_t n = 0;

  for (size_t i = 0; i < size && !b->broken; i++) {
    unsigned char c = at[i];
    int v = c >= 'A' && c <= 'Z'   ? c - 'A'
            : c >= 'a' && c <= 'z' ? c - 'a' + 26
            : c >= '0' && c <= '9' ? c - '0' + 52
            : c == '+'             ? 62
            : c == '/'             ? 63
                                   : -1;

    if (c == '=' || b->over || v < 0) {
      b->over = true;
      b->broken = c != '=';
      continue;
    }
    b->bits = b->bits << 6 | (uint32_t)v;
    b->n += 6;
    if (b->n >= 8) {
      b->n -= 8;
      to[n++] = (unsigned char)(b->bits >> b->n);
      b->bits &= (1u << b->n) - 1;
    }
  }
  return n;
}
