// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

/* An incremental parser of one HTTP/1.1 answer (RFC 9112), strict: CRLF only, no folded headers, no
 * doubled or contradicting lengths, "chunked" as the only coding. It does no I/O and copies nothing of
 * the body. Interim answers (1xx, but 101) are skipped. */
#define PT_HTTP_MAX_HEAD (16u << 10)
#define PT_HTTP_MAX_HEADERS 100

typedef struct PtHttpParser PtHttpParser;

typedef enum {
  PT_HTTP_BAD,  /* error is set; the parser takes no more */
  PT_HTTP_MORE, /* all of the input is used up */
  PT_HTTP_HEAD, /* status and headers are there */
  PT_HTTP_DATA, /* a piece of the body */
  PT_HTTP_END,  /* the answer is complete; input left over is not part of it */
} PtHttpEvent;

/* `method` is the request's, because the answer to HEAD has no body. */
PtHttpParser *pt_http_parser_new(const char *method);
void pt_http_parser_free(PtHttpParser *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtHttpParser, pt_http_parser_free)

/* One step over the input, advancing *data and shrinking *size by what it used. With DATA, *ret_body of
 * *ret_size bytes points into the input. Errors: INVALID, TOO_LARGE. */
PtHttpEvent pt_http_parser_step(PtHttpParser *p, const guint8 **data, gsize *size, const guint8 **ret_body, gsize *ret_size,
                                GError **error);
/* The connection was closed: true where that is a proper end, else UNREACHABLE. */
bool pt_http_parser_eof(PtHttpParser *p, GError **error);

guint pt_http_parser_status(const PtHttpParser *p); /* 0 before HEAD */
/* NULL-ended name, value, name, value …, names in lower case. Borrowed until the parser is freed. */
const char *const *pt_http_parser_headers(const PtHttpParser *p);

/* The value of a header in such a list, or NULL. `name` in lower case. */
const char *pt_http_header(const char *const *headers, const char *name);

/* RFC 9110's token, a field value without control characters, and a request target: what we send must be so. */
bool pt_http_is_token(const char *text, gsize size);
bool pt_http_is_value(const char *text, gsize size);
bool pt_http_is_target(const char *text);
