// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "api_fake.h"

static void
test_thread(void)
{
  Fixture f;

  fixture_up(&f, false);
  fixture_image(&f, "debian", "a", PT_INIT_SYSTEM, false);
  g_autoptr(Reply) who = ask(&f, f.admin, "GET", "/v1/session", NULL, NULL);
  expect(who, 200, "session");
  g_autoptr(Reply) made = ask(&f, f.admin, "POST", "/v1/spaces/home/instances?wait=5", "{\"name\":\"web\",\"image\":\"debian\"}", NULL);
  expect(made, 202, "launch");
  g_assert_cmpstr(text_of(made, "state"), ==, "running");
  g_autoptr(Reply) list = ask(&f, f.admin, "GET", "/v1/instances", NULL, NULL);
  expect(list, 200, "list");
  g_assert_cmpuint(json_array_size(json_object_get(list->json, "items")), ==, 1);
  g_print("# %s\n", list->body);
  g_autoptr(Reply) doc = ask(&f, NULL, "GET", "/v1/openapi.json", NULL, NULL);
  expect(doc, 200, "openapi");
  fixture_down(&f);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/api/thread", test_thread);
  return g_test_run();
}
