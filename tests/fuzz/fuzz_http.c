// SPDX-License-Identifier: Apache-2.0
/* Any bytes as an HTTP answer: the same result whether they come at once or one by one, and no more body than input. */
#include <string.h>

#include "base/error.h"
#include "base/http.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

typedef struct Outcome {
  bool ok;
  guint status;
  GByteArray *body;
  gsize rest; /* input behind the answer */
} Outcome;

static Outcome
parse(const guint8 *data, gsize size, gsize piece)
{
  g_autoptr(PtHttpParser) p = pt_http_parser_new("GET");
  g_autoptr(GError) err = NULL;
  Outcome o = { .body = g_byte_array_new() };
  gsize at = 0;

  for (;;) {
    const guint8 *in = data + at, *body = NULL;
    gsize n = MIN(piece, size - at), left = n, body_size = 0;
    PtHttpEvent e = pt_http_parser_step(p, &in, &left, &body, &body_size, &err);
    g_assert_true(left <= n && (e == PT_HTTP_BAD) == (err != NULL));
    at += n - left;
    if (e == PT_HTTP_HEAD) {
      const char *const *h = pt_http_parser_headers(p);
      for (; h[0]; h += 2)
        g_assert_true(pt_http_is_token(h[0], strlen(h[0])) && pt_http_is_value(h[1], strlen(h[1])));
    }
    if (e == PT_HTTP_DATA) {
      g_assert_true(body >= data && body + body_size <= data + size);
      g_byte_array_append(o.body, body, (guint)body_size);
    }
    if (e == PT_HTTP_BAD)
      break;
    if (e == PT_HTTP_END || (e == PT_HTTP_MORE && at == size)) {
      o.ok = e == PT_HTTP_END || pt_http_parser_eof(p, NULL);
      o.status = pt_http_parser_status(p);
      break;
    }
  }
  o.rest = o.ok ? size - at : 0;
  return o;
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  Outcome a = parse(data, size, size), b = parse(data, size, 1);

  g_assert_true(a.ok == b.ok);
  if (a.ok) {
    g_assert_cmpuint(a.status, ==, b.status);
    g_assert_cmpuint(a.rest, ==, b.rest);
    g_assert_cmpmem(a.body->data, a.body->len, b.body->data, b.body->len);
  }
  g_byte_array_unref(a.body);
  g_byte_array_unref(b.body);
  return 0;
}
