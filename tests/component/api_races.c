// SPDX-License-Identifier: Apache-2.0
/* Several clients at the same object at the same moment. */
#include <string.h>

#include "api_fake.h"

#define THREADS 20

typedef struct {
  Fixture *f;
  guint n;
  const char *path, *method, *body, *headers;
  int status;
} Racer;

static gint barrier;

static gpointer
race(gpointer data)
{
  Racer *r = data;
  g_autofree char *body = r->body ? g_strdup_printf(r->body, r->n) : NULL;

  g_atomic_int_add(&barrier, -1);
  while (g_atomic_int_get(&barrier) > 0)
    g_thread_yield();
  g_autoptr(Reply) reply = ask(r->f, r->f->admin, r->method, r->path, body, r->headers);
  r->status = reply->status;
  return NULL;
}

static guint
run(Fixture *f, const char *method, const char *path, const char *body, const char *headers, int status, int other)
{
  Racer r[THREADS];
  GThread *t[THREADS];
  guint n = 0;

  g_atomic_int_set(&barrier, THREADS);
  for (guint i = 0; i < THREADS; i++) {
    r[i] = (Racer){ .f = f, .n = i, .method = method, .path = path, .body = body, .headers = headers };
    t[i] = g_thread_new("race", race, &r[i]);
  }
  for (guint i = 0; i < THREADS; i++) {
    g_thread_join(t[i]);
    if (r[i].status == status)
      n++;
    else
      g_assert_cmpint(r[i].status, ==, other);
  }
  return n;
}

static void
test_quota(void)
{
  Fixture f;
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  g_autoptr(Reply) space =
      ask(&f, f.admin, "POST", "/v1/spaces", "{\"name\":\"lab\",\"quota\":{\"instances\":7,\"memory\":\"64GiB\"}}", NULL);
  expect(space, 201, "space");
  g_assert_cmpuint(run(&f, "POST", "/v1/spaces/lab/instances", "{\"name\":\"w%u\",\"image\":\"debian\",\"memory\":\"1GiB\"}",
                       NULL, 202, 422),
                   ==, 7);
  g_autoptr(Reply) list = ask(&f, f.admin, "GET", "/v1/spaces/lab/instances", NULL, NULL);
  const json_t *items = json_object_get(list->json, "items");
  json_t *item;
  size_t i;
  g_assert_cmpuint(json_array_size(items), ==, 7);
  json_array_foreach((json_t *)items, i, item)
  {
    static const char *const fields[] = { "address", "address6", "mac", "id", "volume" };
    for (guint k = 0; k < G_N_ELEMENTS(fields); k++)
      g_assert_true(g_hash_table_add(seen, (gpointer)json_string_value(json_object_get(item, fields[k]))));
  }
  g_autoptr(Reply) used = ask(&f, f.admin, "GET", "/v1/spaces/lab", NULL, NULL);
  g_assert_cmpint(json_integer_value(json_object_get(json_object_get(used->json, "used"), "instances")), ==, 7);
  g_autoptr(Reply) more = ask(&f, f.admin, "PATCH", "/v1/spaces/lab/instances/w0", "{\"memory\":\"60GiB\"}", NULL);
  if (more->status != 404) /* w0 may be one of those that were refused */
    expect(more, 422, "a change over the quota");
  fixture_down(&f);
}

static void
test_addresses(void)
{
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  g_autoptr(Reply) space = ask(&f, f.admin, "POST", "/v1/spaces", "{\"name\":\"lab\",\"subnet\":\"10.1.2.0/28\"}", NULL);
  expect(space, 201, "space");
  /* 16, without network, gateway and broadcast */
  g_assert_cmpuint(run(&f, "POST", "/v1/spaces/lab/instances", "{\"name\":\"w%u\",\"image\":\"debian\"}", NULL, 202, 422),
                   ==, 13);
  fixture_down(&f);
}

static void
test_names(void)
{
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  g_assert_cmpuint(run(&f, "POST", "/v1/spaces/home/instances", "{\"name\":\"web\",\"image\":\"debian\"}", NULL, 202, 409),
                   ==, 1);
  g_assert_cmpuint(run(&f, "POST", "/v1/spaces", "{\"name\":\"lab\"}", NULL, 201, 409), ==, 1);
  g_assert_cmpuint(run(&f, "POST", "/v1/users", "{\"name\":\"otto\",\"password\":\"correct horse\"}", NULL, 201, 409), <=,
                   1);
  fixture_down(&f);
}

/* With If-Match one of them wins; without, all of them do, one after the other. */
static void
test_if_match(void)
{
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  g_autoptr(Reply) made =
      ask(&f, f.admin, "POST", "/v1/spaces/home/instances?wait=120", "{\"name\":\"web\",\"image\":\"debian\"}", NULL);
  expect(made, 202, "launch");
  g_autofree char *tag = header_of(made, "ETag"), *header = g_strdup_printf("If-Match: %s\r\n", tag);
  const char *path = "/v1/spaces/home/instances/web";
  g_assert_cmpuint(run(&f, "PATCH", path, "{\"description\":\"%u\"}", header, 202, 412), ==, 1);
  g_assert_cmpuint(run(&f, "PATCH", path, "{\"description\":\"%u\"}", NULL, 202, 0), ==, THREADS);
  g_autoptr(Reply) old = ask(&f, f.admin, "DELETE", path, NULL, header);
  expect(old, 412, "a revision of long ago");
  g_assert_cmpstr(text_of(old, "title"), ==, "stale");
  g_autoptr(Reply) act = ask(&f, f.admin, "POST", "/v1/spaces/home/instances/web/actions", "{\"action\":\"stop\"}", header);
  expect(act, 412, "an action on it");
  g_autoptr(Reply) any = ask(&f, f.admin, "PATCH", path, "{\"description\":\"x\"}", "If-Match: *\r\n");
  expect(any, 202, "*");
  g_autoptr(Reply) bad = ask(&f, f.admin, "PATCH", path, "{\"description\":\"x\"}", "If-Match: 17\r\n");
  expect(bad, 400, "without quotes");
  g_autoptr(Reply) space = ask(&f, f.admin, "GET", "/v1/spaces/home", NULL, NULL);
  g_autofree char *space_tag = header_of(space, "ETag"), *space_header = g_strdup_printf("If-Match: %s\r\n", space_tag);
  g_assert_cmpuint(run(&f, "PATCH", "/v1/spaces/home", "{\"description\":\"%u\"}", space_header, 200, 412), ==, 1);
  fixture_down(&f);
}

/* Members come and go at the same moment: nobody is lost. */
static void
test_members(void)
{
  Fixture f;
  Racer r[THREADS];
  GThread *t[THREADS];

  fixture_up(&f, false);
  for (guint i = 0; i < THREADS; i++) {
    g_autofree char *body = g_strdup_printf("{\"name\":\"u%u\",\"password\":\"correct horse\"}", i);
    g_autoptr(Reply) made = ask(&f, f.admin, "POST", "/v1/users", body, NULL);
    expect(made, 201, "user");
  }
  g_atomic_int_set(&barrier, THREADS);
  for (guint i = 0; i < THREADS; i++) {
    r[i] = (Racer){
      .f = &f, .method = "PUT", .path = g_strdup_printf("/v1/spaces/home/members/u%u", i), .body = "{\"role\":\"viewer\"}"
    };
    t[i] = g_thread_new("race", race, &r[i]);
  }
  for (guint i = 0; i < THREADS; i++) {
    g_thread_join(t[i]);
    g_assert_cmpint(r[i].status, ==, 200);
    g_free((char *)r[i].path);
  }
  g_autoptr(Reply) space = ask(&f, f.admin, "GET", "/v1/spaces/home", NULL, NULL);
  g_assert_cmpuint(json_object_size(json_object_get(space->json, "members")), ==, THREADS + 1);
  fixture_down(&f);
}

/* Twenty logins at once: two compute, some wait, what is over is told to come back; a wrong password is never let in. */
static void
test_logins(void)
{
  Fixture f;

  fixture_up(&f, false);
  guint in = run(&f, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"correct horse\",\"name\":\"%u\"}", NULL, 201, 429);
  g_assert_cmpuint(in, >=, 2);
  g_assert_cmpuint(run(&f, "POST", "/v1/session", "{\"user\":\"admin\",\"password\":\"wrong %u\"}", NULL, 401, 429), >=, 2);
  fixture_down(&f);
}

/* A port of the node is one instance's. */
static void
test_ports(void)
{
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  g_assert_cmpuint(run(&f, "POST", "/v1/spaces/home/instances",
                       "{\"name\":\"w%u\",\"image\":\"debian\",\"ports\":[{\"listen\":8080,\"to\":80}]}", NULL, 202, 409),
                   ==, 1);
  g_autoptr(Reply) udp =
      ask(&f, f.admin, "POST", "/v1/spaces/home/instances",
          "{\"name\":\"dns\",\"image\":\"debian\",\"ports\":[{\"listen\":8080,\"to\":53,\"protocol\":\"udp\"}]}", NULL);
  expect(udp, 202, "the same number, another protocol");
  fixture_down(&f);
}

/* What undoes an operation ends it; what does not, waits for it. */
static void
test_operations(void)
{
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  f.agent.idle = true;
  g_autoptr(Reply) made =
      ask(&f, f.admin, "POST", "/v1/spaces/home/instances", "{\"name\":\"web\",\"image\":\"debian\"}", NULL);
  expect(made, 202, "launch");
  g_autofree char *location = header_of(made, "Location");
  while (!g_atomic_int_get(&f.agent.ignored)) /* the agent has heard of it, and will do nothing about it */
    g_usleep(1000);
  f.agent.idle = false;
  g_autoptr(Reply) gone = ask(&f, f.admin, "DELETE", "/v1/spaces/home/instances/web?force=true&wait=60", NULL, NULL);
  expect(gone, 202, "delete");
  g_assert_cmpstr(json_string_value(json_object_get(json_object_get(gone->json, "operation"), "state")), ==, "done");
  g_autoptr(Reply) op = ask(&f, f.admin, "GET", location, NULL, NULL);
  expect(op, 200, "the launch");
  g_assert_cmpstr(text_of(op, "state"), ==, "cancelled");
  g_assert_nonnull(json_object_get(json_object_get(op->json, "error"), "detail"));
  g_autoptr(Reply) late = ask(&f, f.admin, "DELETE", location, NULL, NULL);
  expect(late, 409, "cancelling what has ended");
  fixture_down(&f);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/races/quota", test_quota);
  g_test_add_func("/races/addresses", test_addresses);
  g_test_add_func("/races/names", test_names);
  g_test_add_func("/races/if-match", test_if_match);
  g_test_add_func("/races/members", test_members);
  g_test_add_func("/races/logins", test_logins);
  g_test_add_func("/races/ports", test_ports);
  g_test_add_func("/races/operations", test_operations);
  return g_test_run();
}
