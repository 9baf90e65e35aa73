// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>
#include <string.h>

#include "helpers/qga.h"

#define ANSWER_MS 20000

/* ---- output ---- */

struct decoding {
  struct qga_base64 state;
  struct qga_output *to;
};

static void
on_base64(void *data, const unsigned char *at, size_t size)
{
  struct decoding *d = data;
  unsigned char buf[3072 + 3];

  while (size) {
    size_t part = size < 4096 ? size : 4096, n = qga_base64_feed(&d->state, at, part, buf);
    size_t room = d->to->at ? d->to->max - d->to->n : 0, kept = n < room ? n : room;

    if (kept)
      memcpy(d->to->at + d->to->n, buf, kept);
    d->to->n += kept;
    d->to->cut |= kept < n;
    at += part;
    size -= part;
  }
}

/* ---- the two commands ---- */

enum qga_result
qga_start(struct qga *q, struct qga_command *c)
{
  struct qga_want want[] = { { .name = "pid" }, { .name = NULL } };

  qga_begin(q, "guest-exec");
  qga_arg_text(q, "path", c->argv[0]);
  if (c->argc > 1)
    qga_arg_list(q, "arg", c->argv + 1, c->argc - 1);
  if (c->env)
    qga_arg_list(q, "env", c->env, c->env_n);
  if (c->in_n)
    qga_arg_base64(q, "input-data", c->in, c->in_n);
  qga_arg_true(q, "capture-output");
  enum qga_result r = qga_run(q, want, ANSWER_MS);
  c->pid = want[0].number;
  if (r == QGA_DONE && !want[0].seen) {
    q->lost = true;
    return QGA_LOST;
  }
  return r;
}

enum qga_result
qga_look(struct qga *q, struct qga_command *c)
{
  struct decoding out = { .to = &c->out }, err = { .to = &c->err };
  enum { EXITED, CODE, SIGNAL, OUT_CUT, ERR_CUT };
  struct qga_want want[] = {
    [EXITED] = { .name = "exited" },
    [CODE] = { .name = "exitcode" },
    [SIGNAL] = { .name = "signal" },
    [OUT_CUT] = { .name = "out-truncated" },
    [ERR_CUT] = { .name = "err-truncated" },
    { .name = "out-data", .text = on_base64, .data = &out },
    { .name = "err-data", .text = on_base64, .data = &err },
    { .name = NULL },
  };

  c->out.n = c->err.n = 0;
  c->out.cut = c->err.cut = false;
  qga_begin(q, "guest-exec-status");
  qga_arg_number(q, "pid", c->pid);
  enum qga_result r = qga_run(q, want, ANSWER_MS);
  if (r == QGA_DONE && (!want[EXITED].seen || out.state.broken || err.state.broken)) {
    q->lost = true;
    return QGA_LOST;
  }
  c->exited = want[EXITED].number != 0;
  c->status = (int)(want[CODE].number & 0xFFFFFFFF);
  c->sig = (int)(want[SIGNAL].number & 127);
  c->out.cut |= want[OUT_CUT].number != 0;
  c->err.cut |= want[ERR_CUT].number != 0;
  return r;
}
