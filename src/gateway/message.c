// SPDX-License-Identifier: Apache-2.0
#include "gateway/message.h"

#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#define MAX_SIDE 4096

static const struct {
  const char *name;
  int number;
} signals[] = { { "INT", SIGINT },   { "TERM", SIGTERM }, { "HUP", SIGHUP },   { "QUIT", SIGQUIT }, { "KILL", SIGKILL },
                { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "TSTP", SIGTSTP }, { "STOP", SIGSTOP }, { "CONT", SIGCONT },
                { "ALRM", SIGALRM }, { "ABRT", SIGABRT }, { "WINCH", SIGWINCH } };

static bool
side(const json_t *value, guint32 *ret)
{
  json_int_t n = json_integer_value(value);

  *ret = (guint32)n;
  return json_is_integer(value) && n >= 1 && n <= MAX_SIDE;
}

static bool
understood(const json_t *json, PtMessage *m)
{
  const json_t *v;

  if (json_object_size(json) != 1)
    return false;
  if ((v = json_object_get(json, "resize"))) {
    m->kind = PT_MESSAGE_RESIZE;
    return json_array_size(v) == 2 && side(json_array_get(v, 0), &m->a) && side(json_array_get(v, 1), &m->b);
  }
  if ((v = json_object_get(json, "signal"))) {
    m->kind = PT_MESSAGE_SIGNAL;
    for (guint i = 0; i < G_N_ELEMENTS(signals); i++)
      if (g_strcmp0(json_string_value(v), signals[i].name) == 0)
        m->a = (guint32)signals[i].number;
    return m->a != 0;
  }
  m->kind = PT_MESSAGE_EOF;
  return json_is_true(json_object_get(json, "eof"));
}

bool
pt_message_parse(const char *text, gsize size, PtMessage *ret, GError **error)
{
  memset(ret, 0, sizeof *ret);
  g_autoptr(json_t) json = pt_json_parse_object(text, size, error);
  if (!json)
    return false;
  if (understood(json, ret))
    return true;
  PT_SET(error, PT_ERR_INVALID, "a message is {\"resize\":[columns,rows]}, {\"signal\":\"INT\"} or {\"eof\":true}");
  return false;
}

char *
pt_message_exit(guint32 status, guint32 signal)
{
  return g_strdup_printf("{\"exit\":%u,\"signal\":%u}", status, signal);
}

char *
pt_message_error(const GError *error, bool by_instance)
{
  g_autofree char *summary = pt_error_summary(error);
  g_autofree char *detail = pt_text_safe(summary, 1000);
  const char *hint = pt_error_get_hint(error);
  g_autofree char *safe = hint ? pt_text_safe(hint, 500) : NULL;
  g_autoptr(json_t) json = json_pack("{s:{s:s, s:s, s:s*, s:s*}}", "error", "code", pt_err_name(pt_error_code(error)), "detail", detail,
                                     "hint", safe, "by", by_instance ? "instance" : NULL);

  return pt_json_dump(json);
}
