// SPDX-License-Identifier: Apache-2.0
/* Data volumes in an instance's record. */
#include <string.h>

#include "model/instance.h"

static PtDisk *
disk(const char *volume, const char *path)
{
  PtDisk *d = pt_record_new(&pt_disk_type);

  d->volume = g_strdup(volume);
  d->id = g_strdup(volume);
  d->path = g_strdup(path);
  return d;
}

/* Where a data volume may be, which place it has, and how many there are. */
static void
test_disks(void)
{
  static const struct {
    int kind, model;
    const char *path, *is; /* NULL: refused */
  } cases[] = {
    { PT_KIND_CONTAINER, 0, NULL, "/mnt/x" },       { PT_KIND_CONTAINER, 0, "//srv/.//a/", "/srv/a" }, { PT_KIND_CONTAINER, 0, "/", NULL },
    { PT_KIND_CONTAINER, 0, "/run/x", NULL },       { PT_KIND_CONTAINER, 0, "/runner", "/runner" },    { PT_KIND_CONTAINER, 0, "/proc", NULL },
    { PT_KIND_CONTAINER, 0, "/srv/held/in", NULL }, { PT_KIND_CONTAINER, 0, "/srv", NULL },            { PT_KIND_CONTAINER, 0, "/srv/held2", "/srv/held2" },
    { PT_KIND_PROCESS, 0, NULL, "/data/x" },        { PT_KIND_PROCESS, 0, "/mnt/x", NULL },            { PT_KIND_PROCESS, 0, "/data", NULL },
    { PT_KIND_MACHINE, PT_MODEL_MICRO, NULL, "/mnt/x" },
    { PT_KIND_MACHINE, PT_MODEL_PC, "/mnt/x", NULL },
  };

  for (guint n = 0; n < G_N_ELEMENTS(cases); n++) {
    g_autoptr(PtInstance) i = pt_record_new(&pt_instance_type);
    g_autoptr(GError) err = NULL;
    i->name = g_strdup("a");
    if (cases[n].kind == PT_KIND_CONTAINER)
      g_assert_true(pt_instance_disk_add(i, disk("held", "/srv/held"), NULL));
    i->kind = cases[n].kind;
    i->model = cases[n].model;
    bool ok = pt_instance_disk_add(i, disk("x", cases[n].path), &err);
    g_assert_cmpint(ok, ==, cases[n].is != NULL);
    g_assert_true(ok == (err == NULL));
    if (ok)
      g_assert_cmpstr(pt_instance_disk(i, "x")->path, ==, cases[n].is);
  }

  g_autoptr(PtInstance) pc = pt_record_new(&pt_instance_type);
  pc->kind = PT_KIND_MACHINE;
  pc->model = PT_MODEL_PC;
  for (int n = 0; n < PT_DISKS_MAX; n++) {
    g_autofree char *name = g_strdup_printf("v%d", n);
    g_assert_true(pt_instance_disk_add(pc, disk(name, NULL), NULL));
  }
  g_assert_false(pt_instance_disk_add(pc, disk("more", NULL), NULL));
  pt_instance_disk_remove(pc, "v3");
  pt_instance_disk_remove(pc, "nothing");
  g_assert_true(pt_instance_disk_add(pc, disk("more", NULL), NULL));
  g_assert_cmpint(pt_instance_disk(pc, "more")->slot, ==, 3); /* the others keep theirs */
  g_autofree char *text = pt_record_dump(&pt_instance_type, pc);
  g_assert_nonnull(strstr(text, "\"slot\":3"));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/volumes/disks", test_disks);
  return g_test_run();
}
