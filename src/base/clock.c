// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <errno.h>
#include <sys/random.h>

static gint64
sys_now(void *data)
{
  (void)data;
  return g_get_real_time();
}

static gint64
sys_mono(void *data)
{
  (void)data;
  return g_get_monotonic_time();
}

static void
sys_random(void *data, void *buf, gsize size)
{
  guint8 *p = buf;

  (void)data;
  while (size > 0) {
    ssize_t n = getrandom(p, MIN(size, 256), 0);
    if (n < 0) {
      if (errno == EINTR)
        continue;
      g_error("getrandom: %s", g_strerror(errno)); /* without randomness no secret is one: stop */
    }
    p += n;
    size -= (gsize)n;
  }
}

static const PtClock system_clock = { sys_now, sys_mono, sys_random, NULL };
static const PtClock *current = &system_clock;

void
pt_clock_set(const PtClock *clock)
{
  current = clock ? clock : &system_clock;
}

gint64
pt_now(void)
{
  return current->now(current->data);
}

gint64
pt_mono(void)
{
  return current->mono(current->data);
}

void
pt_random(void *buf, gsize size)
{
  current->random(current->data, buf, size);
}

char *
pt_time_format(gint64 us)
{
  g_autoptr(GDateTime) t = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);

  if (!t)
    return g_strdup("1970-01-01T00:00:00.000Z");
  g_autofree char *s = g_date_time_format(t, "%Y-%m-%dT%H:%M:%S");
  return g_strdup_printf("%s.%03dZ", s, (int)(us % G_USEC_PER_SEC / 1000));
}

gint64
pt_time_parse(const char *text)
{
  if (!text)
    return -1;
  g_autoptr(GDateTime) t = g_date_time_new_from_iso8601(text, NULL);
  if (!t)
    return -1;
  return g_date_time_to_unix(t) * G_USEC_PER_SEC + g_date_time_get_microsecond(t);
}
