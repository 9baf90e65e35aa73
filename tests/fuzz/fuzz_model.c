// SPDX-License-Identifier: Apache-2.0
/* The first byte chooses a type and what is done: a record out of the store, a client's patch, or a person's assignments. What
 * is accepted must be readable again; what is refused must leave no trace. */
#include <string.h>

#include "base/error.h"
#include "model/instance.h"
#include "model/space.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static const PtType *const types[] = { &pt_instance_type, &pt_status_type, &pt_space_type, &pt_user_type,     &pt_token_type,
                                       &pt_volume_type,   &pt_node_type,   &pt_image_type, &pt_operation_type, &pt_port_type };

static void
check_error(const GError *err)
{
  g_assert_true(err->domain == PT_ERROR);
  g_assert_true(err->code == PT_ERR_INVALID || err->code == PT_ERR_FORBIDDEN || err->code == PT_ERR_TOO_LARGE);
  g_assert_true(g_utf8_validate(err->message, -1, NULL));
}

static void
from_store(const PtType *type, const json_t *json)
{
  g_autoptr(GError) err = NULL;
  void *record = pt_record_parse(type, json, &err);

  g_assert_true((record == NULL) == (err != NULL));
  if (!record) {
    check_error(err);
    return;
  }
  g_autofree char *text = pt_record_dump(type, record);
  g_autoptr(json_t) back = pt_json_parse(text, strlen(text), NULL);
  void *again = pt_record_parse(type, back, &err);
  g_assert_no_error(err);
  g_autofree char *same = pt_record_dump(type, again);
  g_assert_cmpstr(text, ==, same);
  if (type == &pt_instance_type)
    json_decref(pt_instance_view(record, NULL, 1));
  pt_record_free(type, record);
  pt_record_free(type, again);
}

static void
from_client(const PtType *type, const json_t *json, guint allowed)
{
  g_autoptr(GError) err = NULL;
  void *record = pt_record_new(type);
  g_autofree char *before = pt_record_dump(type, record);
  guint flags = 0;
  bool ok = pt_record_patch(type, record, json, allowed, &flags, &err);
  g_autofree char *after = pt_record_dump(type, record);

  g_assert_true(ok == (err == NULL));
  if (!ok) {
    check_error(err);
    g_assert_cmpstr(before, ==, after);
  } else {
    g_assert_true((flags == 0) == (strcmp(before, after) == 0));
  }
  pt_record_free(type, record);
}

static void
from_person(const PtType *type, const char *text)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", 16);
  g_autoptr(json_t) patch = json_object();

  for (guint i = 0; lines[i]; i++) {
    g_autoptr(GError) err = NULL;
    bool ok = pt_record_patch_add(type, patch, lines[i], &err);
    g_assert_true(ok == (err == NULL));
    if (!ok)
      check_error(err);
  }
  from_client(type, patch, PT_F_USER | PT_F_ADMIN);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
  if (size < 1)
    return 0;
  const PtType *type = types[data[0] % G_N_ELEMENTS(types)];
  guint how = data[0] / G_N_ELEMENTS(types) % 4;
  if (how == 3) {
    g_autofree char *text = g_strndup((const char *)data + 1, size - 1);
    from_person(type, text);
    return 0;
  }
  g_autoptr(json_t) json = pt_json_parse((const char *)data + 1, size - 1, NULL);
  if (!json)
    return 0;
  if (how == 0)
    from_store(type, json);
  else
    from_client(type, json, how == 1 ? PT_F_USER | PT_F_ADMIN : PT_F_LIVE | PT_F_STOPPED);
  return 0;
}
