// SPDX-License-Identifier: Apache-2.0
/* A byte machine: lines are gathered (bounded), bodies are passed through.
 *
 *   HEAD -> FIXED | CLOSE | CHUNK -> DATA -> CRLF -> CHUNK … -> TRAILER -> END */
#include "base/http.h"

#include <string.h>

#include "base/error.h"

typedef enum { S_HEAD, S_FIXED, S_CLOSE, S_CHUNK, S_DATA, S_CRLF, S_TRAILER, S_END, S_BAD } State;

struct PtHttpParser {
  State state;
  bool no_body;     /* HEAD */
  bool status_read; /* the line with the status */
  guint status;
  guint64 left;      /* of a fixed body or a chunk */
  gsize head_size;   /* bytes of head, then of trailers, so far */
  GString *line;     /* the line being gathered */
  GPtrArray *fields; /* name, value, …; NULL at the end once HEAD was reported */
};

static void
reset_head(PtHttpParser *p)
{
  p->status_read = false;
  p->status = 0;
  p->head_size = 0;
  g_ptr_array_set_size(p->fields, 0);
}

PtHttpParser *
pt_http_parser_new(const char *method)
{
  PtHttpParser *p = g_new0(PtHttpParser, 1);

  p->no_body = strcmp(method, "HEAD") == 0;
  p->line = g_string_new(NULL);
  p->fields = g_ptr_array_new_with_free_func(g_free);
  return p;
}

void
pt_http_parser_free(PtHttpParser *p)
{
  if (!p)
    return;
  g_string_free(p->line, TRUE);
  g_ptr_array_unref(p->fields);
  g_free(p);
}

bool
pt_http_is_token(const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isalnum(text[i]) && !(text[i] && strchr("!#$%&'*+-.^_`|~", text[i])))
      return false;
  return size > 0;
}

bool
pt_http_is_value(const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (((guchar)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
      return false;
  return true;
}

bool
pt_http_is_target(const char *text)
{
  if (!text || text[0] != '/')
    return false;
  for (; *text; text++)
    if (!g_ascii_isgraph(*text))
      return false;
  return true;
}

const char *
pt_http_header(const char *const *headers, const char *name)
{
  for (; headers && headers[0]; headers += 2)
    if (strcmp(headers[0], name) == 0)
      return headers[1];
  return NULL;
}

guint
pt_http_parser_status(const PtHttpParser *p)
{
  return p->status;
}

const char *const *
pt_http_parser_headers(const PtHttpParser *p)
{
  return (const char *const *)p->fields->pdata;
}

/* Gathers up to and with the LF. 1: p->line holds a line without its CRLF; 0: more input is needed; -1: error. */
static int
take_line(PtHttpParser *p, const guint8 **data, gsize *size, GError **error)
{
  const guint8 *lf = *size ? memchr(*data, '\n', *size) : NULL;
  gsize n = lf ? (gsize)(lf - *data) + 1 : *size;

  p->head_size += n;
  if (p->head_size > PT_HTTP_MAX_HEAD) {
    PT_SET(error, PT_ERR_TOO_LARGE, "HTTP answer: more than %u bytes of headers", PT_HTTP_MAX_HEAD);
    return -1;
  }
  g_string_append_len(p->line, (const char *)*data, (gssize)n);
  *data += n;
  *size -= n;
  if (!lf)
    return 0;
  gsize len = p->line->len;
  if (len < 2 || p->line->str[len - 2] != '\r' || memchr(p->line->str, '\0', len)) {
    PT_SET(error, PT_ERR_INVALID, "HTTP answer: a line does not end in CRLF");
    return -1;
  }
  g_string_truncate(p->line, len - 2);
  return 1;
}

/* "HTTP/1.1 200 OK" */
static bool
status_line(PtHttpParser *p, GError **error)
{
  const char *s = p->line->str;
  bool ok = p->line->len >= 12 && (strncmp(s, "HTTP/1.1 ", 9) == 0 || strncmp(s, "HTTP/1.0 ", 9) == 0) && s[9] >= '1' &&
            s[9] <= '5' && g_ascii_isdigit(s[10]) && g_ascii_isdigit(s[11]) && (s[12] == '\0' || s[12] == ' ') &&
            pt_http_is_value(s, p->line->len);

  if (!ok) {
    PT_SET(error, PT_ERR_INVALID, "HTTP answer: the first line is no status line");
    return false;
  }
  p->status = (guint)((s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0'));
  p->status_read = true;
  return true;
}

static bool
field_line(PtHttpParser *p, GError **error)
{
  const char *s = p->line->str, *colon = strchr(s, ':');

  if (!colon || !pt_http_is_token(s, (gsize)(colon - s)) || !pt_http_is_value(colon, strlen(colon))) {
    PT_SET(error, PT_ERR_INVALID, "HTTP answer: a malformed header");
    return false;
  }
  if (p->fields->len >= 2 * PT_HTTP_MAX_HEADERS) {
    PT_SET(error, PT_ERR_TOO_LARGE, "HTTP answer: more than %d headers", PT_HTTP_MAX_HEADERS);
    return false;
  }
  g_ptr_array_add(p->fields, g_ascii_strdown(s, colon - s));
  g_ptr_array_add(p->fields, g_strstrip(g_strdup(colon + 1)));
  return true;
}

static guint
count(const PtHttpParser *p, const char *name)
{
  guint n = 0;

  for (guint i = 0; i + 1 < p->fields->len; i += 2)
    n += strcmp(p->fields->pdata[i], name) == 0;
  return n;
}

/* How long the body is (RFC 9112, 6.3); what could be read in two ways is refused. */
static bool
framing(PtHttpParser *p, GError **error)
{
  g_ptr_array_add(p->fields, NULL);
  const char *const *h = pt_http_parser_headers(p);
  const char *te = pt_http_header(h, "transfer-encoding"), *cl = pt_http_header(h, "content-length");

  if (p->no_body || p->status < 200 || p->status == 204 || p->status == 304) {
    p->state = S_END;
    return true;
  }
  if ((te && cl) || count(p, "content-length") > 1 || count(p, "transfer-encoding") > 1 ||
      (te && g_ascii_strcasecmp(te, "chunked") != 0) || (cl && !g_ascii_string_to_unsigned(cl, 10, 0, G_MAXINT64, &p->left, NULL))) {
    PT_SET(error, PT_ERR_INVALID, "HTTP answer: its length is not clear");
    return false;
  }
  p->state = te ? S_CHUNK : !cl ? S_CLOSE : p->left ? S_FIXED : S_END;
  return true;
}

/* One line of the head. *ret_done: the head is complete. */
static bool
head_line(PtHttpParser *p, bool *ret_done, GError **error)
{
  if (!p->status_read)
    return status_line(p, error);
  if (p->line->len > 0)
    return field_line(p, error);
  if (p->status < 200 && p->status != 101) {
    reset_head(p);
    return true;
  }
  *ret_done = true;
  return framing(p, error);
}

/* "1a3;extension" */
static bool
chunk_line(PtHttpParser *p, GError **error)
{
  gsize digits = strspn(p->line->str, "0123456789abcdefABCDEF");
  const char *end = p->line->str + digits;

  if (digits < 1 || digits > 12 || (*end && *end != ';' && *end != ' ')) {
    PT_SET(error, PT_ERR_INVALID, "HTTP answer: a chunk without a length");
    return false;
  }
  p->left = g_ascii_strtoull(p->line->str, NULL, 16);
  p->head_size = 0;
  p->state = p->left ? S_DATA : S_TRAILER;
  return true;
}

static PtHttpEvent
body(PtHttpParser *p, const guint8 **data, gsize *size, const guint8 **ret_body, gsize *ret_size)
{
  gsize n = p->state == S_CLOSE ? *size : (gsize)MIN((guint64)*size, p->left);

  if (n == 0)
    return PT_HTTP_MORE;
  *ret_body = *data;
  *ret_size = n;
  *data += n;
  *size -= n;
  if (p->state == S_CLOSE)
    return PT_HTTP_DATA;
  p->left -= n;
  if (p->left == 0)
    p->state = p->state == S_FIXED ? S_END : S_CRLF;
  return PT_HTTP_DATA;
}

/* What a gathered line means in this state. *ret_done: HEAD is to be reported. */
static bool
on_line(PtHttpParser *p, bool *ret_done, GError **error)
{
  switch (p->state) {
  case S_HEAD:
    return head_line(p, ret_done, error);
  case S_CHUNK:
    return chunk_line(p, error);
  case S_TRAILER:
    if (p->line->len == 0)
      p->state = S_END;
    return true;
  default: /* S_CRLF */
    if (p->line->len > 0) {
      PT_SET(error, PT_ERR_INVALID, "HTTP answer: a chunk is longer than it says");
      return false;
    }
    p->state = S_CHUNK;
    return true;
  }
}

PtHttpEvent
pt_http_parser_step(PtHttpParser *p, const guint8 **data, gsize *size, const guint8 **ret_body, gsize *ret_size, GError **error)
{
  for (;;) {
    bool done = false;

    if (p->state == S_END)
      return PT_HTTP_END;
    if (p->state == S_FIXED || p->state == S_CLOSE || p->state == S_DATA)
      return body(p, data, size, ret_body, ret_size);
    if (p->state == S_BAD) {
      PT_SET(error, PT_ERR_INVALID, "HTTP answer: malformed before");
      return PT_HTTP_BAD;
    }
    int got = take_line(p, data, size, error);
    if (got == 0)
      return PT_HTTP_MORE;
    if (got < 0 || !on_line(p, &done, error)) {
      p->state = S_BAD;
      return PT_HTTP_BAD;
    }
    g_string_truncate(p->line, 0);
    if (done)
      return PT_HTTP_HEAD;
  }
}

bool
pt_http_parser_eof(PtHttpParser *p, GError **error)
{
  if (p->state == S_CLOSE || p->state == S_END) {
    p->state = S_END;
    return true;
  }
  PT_SET(error, PT_ERR_UNREACHABLE, "the connection was closed in the middle of an answer");
  return false;
}
