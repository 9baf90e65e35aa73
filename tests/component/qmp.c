// SPDX-License-Identifier: Apache-2.0
/* The QMP client against a fake QEMU. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "qmp_fake.h"

/* Openings that fail, and with what. */
static void
test_open(void)
{
  static const struct {
    const char *script[4];
    PtErr code;
    const char *says;
  } cases[] = {
    { { NULL }, PT_ERR_UNREACHABLE, "is gone" },
    { { "hello\r\n" }, PT_ERR_INTERNAL, "no QMP" },
    { { "[]\r\n" }, PT_ERR_INTERNAL, "no QMP" },
    { { "{}\r\n" }, PT_ERR_INTERNAL, "neither" },
    { { "{\"QMP\": {}, \"event\": \"X\"}\r\n" }, PT_ERR_INTERNAL, "neither" },
    { { "{\"QMP\": {}, \"QMP\": {}}\r\n" }, PT_ERR_INTERNAL, "no QMP" },
    { { "{\"return\": {}}\r\n" }, PT_ERR_INTERNAL, "greet" },
    { { HELLO }, PT_ERR_UNREACHABLE, "is gone" },
    { { HELLO, "<qmp_capabilities", "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such\"}, \"id\": 1}\n" }, PT_ERR_UNSUPPORTED, "no such" },
    { { HELLO, "<qmp_capabilities", "{\"return\": {}, \"id\": 7}\n" }, PT_ERR_INTERNAL, "something else" },
    { { HELLO, "<qmp_capabilities", "{\"return\": {}, \"error\": {}, \"id\": 1}\n" }, PT_ERR_INTERNAL, "neither" },
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) err = NULL;
    const char *script[] = { cases[i].script[0], cases[i].script[1], cases[i].script[2], NULL };
    Fake f;

    g_assert_null(pt_qmp_open(fake_begin(&f, script), LONG, &err));
    g_assert_error(err, PT_ERROR, (int)cases[i].code);
    g_assert_nonnull(strstr(err->message, cases[i].says));
    g_thread_join(f.thread);
  }
}

static void
test_silence(void)
{
  static const char *const quiet[] = { "~", NULL };
  static const char *const later[] = { READY, "<query-status", "~", NULL };
  g_autoptr(GError) err = NULL, again = NULL;
  Fake f;

  g_assert_null(pt_qmp_open(fake_begin(&f, quiet), SECOND / 10, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_TIMEOUT);
  g_thread_join(f.thread);
  g_clear_error(&err);

  PtQmp *q = fake_begin_ready(&f, later);
  g_assert_null(pt_qmp_run(q, "query-status", NULL, SECOND / 10, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_TIMEOUT);
  /* Nobody waits a second time for who does not answer. */
  g_assert_null(pt_qmp_run(q, "query-status", NULL, 3600 * SECOND, &again));
  g_assert_cmpstr(err->message, ==, again->message);
  fake_end(&f, q);
}

static void
test_answers(void)
{
  static const char *const script[] = {
    READY,
    "<\"arguments\":{\"filename\":\"/vm/x\"}", "{\"return\": {\"status\": \"running\"}, \"id\": 2}\r\n",
    "<device_del", "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device 'x\\u001b' is not there\"}, \"id\": 3}\r\n",
    "<stop", "{\"event\": \"STOP\"}\r\n{\"ret", "urn\": {}, \"id\": 4}", "\r\n",
    NULL,
  };
  g_autoptr(GError) err = NULL;
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_assert_cmpuint(pt_qmp_major(q), ==, 10);
  g_autoptr(json_t) answer = pt_qmp_run(q, "screendump", json_pack("{s:s}", "filename", "/vm/x"), LONG, &err);
  g_assert_no_error(err);
  g_assert_cmpstr(pt_json_str(answer, "status", ""), ==, "running");
  g_assert_false(pt_qmp_do(q, "device_del", NULL, LONG, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_NOT_FOUND);
  g_assert_null(strchr(err->message, '\x1b'));
  g_clear_error(&err);
  g_assert_true(pt_qmp_do(q, "stop", NULL, LONG, &err)); /* an error of QEMU's own breaks nothing; lines may come in pieces */
  g_autoptr(json_t) stopped = pt_qmp_wait(q, "STOP", LONG, &err);
  g_assert_no_error(err);
  g_assert_true(json_is_object(stopped));
  g_assert_false(pt_qmp_do(q, "cont", NULL, LONG, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_UNREACHABLE);
  fake_end(&f, q);
}

static void
test_events(void)
{
  static const char *const script[] = {
    READY, "{\"event\": \"A\", \"data\": {\"n\": 1}}\n{\"event\": \"B\", \"data\": 5}\n{\"event\": \"A\", \"data\": {\"n\": 2}}\n",
    "<go", "{\"event\": \"C\"}\n{\"return\": [], \"id\": 2}\n{\"return\": [], \"id\": 3}\n", NULL,
  };
  g_autoptr(GError) err = NULL;
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_autoptr(json_t) b = pt_qmp_wait(q, "B", LONG, &err), first = pt_qmp_wait(q, "A", LONG, &err), second = pt_qmp_wait(q, "A", LONG, &err);
  g_assert_true(json_is_object(b));
  g_assert_cmpint(pt_json_int(first, "n", 0), ==, 1);
  g_assert_cmpint(pt_json_int(second, "n", 0), ==, 2);
  g_assert_true(pt_qmp_do(q, "go", NULL, LONG, &err));
  json_t *data = NULL;
  g_autofree char *name = pt_qmp_next(q, &data);
  g_assert_cmpstr(name, ==, "C");
  json_decref(data);
  g_assert_null(pt_qmp_next(q, &data));
  g_assert_null(pt_qmp_wait(q, "NEVER", LONG, &err)); /* an answer that nobody asked for */
  g_assert_error(err, PT_ERROR, PT_ERR_INTERNAL);
  fake_end(&f, q);
}

/* A QEMU that never ends its line, or says a million events, takes a bounded part of our memory. */
static void
test_flood(void)
{
  g_autofree char *line = g_strnfill(PT_JSON_MAX_BYTES + 65536, 'x');
  g_autoptr(GString) events = g_string_new(NULL);
  g_autoptr(GError) err = NULL;
  Fake f;

  for (guint i = 0; i < PT_QMP_EVENTS_MAX + 50; i++)
    g_string_append_printf(events, "{\"event\": \"E%u\"}\n", i);
  const char *endless[] = { READY, "<query", line, NULL }, *many[] = { READY, "<query", events->str, "{\"return\": {}, \"id\": 2}\n", NULL };
  PtQmp *q = fake_begin_ready(&f, endless);
  g_assert_null(pt_qmp_run(q, "query", NULL, LONG, &err));
  g_assert_error(err, PT_ERROR, PT_ERR_INTERNAL);
  fake_end(&f, q);
  g_clear_error(&err);
  q = fake_begin_ready(&f, many);
  g_assert_true(pt_qmp_do(q, "query", NULL, LONG, &err));
  guint kept = 0;
  json_t *data;
  for (char *name; (name = pt_qmp_next(q, &data)); kept++) {
    g_assert_true(kept > 0 || strcmp(name, "E50") == 0);
    json_decref(data);
    g_free(name);
  }
  g_assert_cmpuint(kept, ==, PT_QMP_EVENTS_MAX);
  fake_end(&f, q);
}

static void
test_descriptor(void)
{
  static const char *const script[] = { READY, "<getfd", "{\"return\": {}, \"id\": 2}\n", NULL };
  g_autoptr(GError) err = NULL;
  int pipe_ends[2];
  Fake f;
  PtQmp *q = fake_begin_ready(&f, script);

  g_assert_cmpint(pipe2(pipe_ends, O_CLOEXEC), ==, 0);
  g_assert_true(pt_qmp_do_fd(q, "getfd", json_pack("{s:s}", "fdname", "state"), pipe_ends[1], LONG, &err));
  fake_end(&f, q);
  g_assert_cmpint(f.passed, >=, 0);
  char c = 'p';
  g_assert_cmpint(write(f.passed, &c, 1), ==, 1);
  g_assert_cmpint(read(pipe_ends[0], &c, 1), ==, 1);
  close(f.passed);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

/* One that does not read is not waited for for ever. */
static void
test_deaf(void)
{
  static const char *const script[] = { READY, NULL };
  g_autofree char *large = g_strnfill(512 * 1024, 'y');
  g_autoptr(GError) err = NULL;
  int pair[2];
  Fake f;

  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  f = (Fake){ .script = script, .fd = fcntl(pair[1], F_DUPFD_CLOEXEC, 3), .passed = -1 };
  f.thread = g_thread_new("fake", fake_play, &f);
  PtQmp *q = pt_qmp_open(pair[0], LONG, &err);
  g_thread_join(f.thread);
  g_assert_false(pt_qmp_do(q, "x", json_pack("{s:s}", "a", large), SECOND / 10, &err)); /* the pair's other end is still open */
  g_assert_error(err, PT_ERROR, PT_ERR_TIMEOUT);
  pt_qmp_close(q);
  close(pair[1]);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/qmp/open", test_open);
  g_test_add_func("/qmp/silence", test_silence);
  g_test_add_func("/qmp/answers", test_answers);
  g_test_add_func("/qmp/events", test_events);
  g_test_add_func("/qmp/flood", test_flood);
  g_test_add_func("/qmp/descriptor", test_descriptor);
  g_test_add_func("/qmp/deaf", test_deaf);
  return g_test_run();
}
