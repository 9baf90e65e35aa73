// SPDX-License-Identifier: Apache-2.0
/* image-make STATE RUN LIBEXEC make SOURCE | list | remove DIGEST | mount DIGEST | export DISK FORMAT FILE: the image driver by hand, for test_image.py.
 *
 * "make" prints a line of JSON for each report of progress and at last the manifest; SIGUSR1 cancels it. An error goes to
 * stderr as "CODE: text", exit status 1. */
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "drivers/image/export.h"

static GCancellable *cancel;

static void
on_progress(const char *step, gint64 permille, gint64 done, gint64 total, const char *unit, void *data)
{
  (void)data;
  printf("{\"step\":\"%s\",\"permille\":%" G_GINT64_FORMAT ",\"done\":%" G_GINT64_FORMAT ",\"total\":%" G_GINT64_FORMAT ",\"unit\":\"%s\"}\n", step,
         permille, done, total, unit ? unit : "");
  fflush(stdout);
}

static gpointer
wait_signal(gpointer data)
{
  sigset_t *set = data;
  int sig;

  sigwait(set, &sig);
  g_cancellable_cancel(cancel);
  return NULL;
}

static void
show(const PtImage *image)
{
  g_autofree char *text = pt_record_dump(&pt_image_type, image);

  puts(text);
}

static int
act(PtImages *images, const char *verb, const char *what, char **more, GError **error)
{
  if (strcmp(verb, "export") == 0) {
    PtExport e = { .disk = what, .name = "box <&> one", .os = "Test & OS", .cpu = 1500, .memory = 768 << 20 };
    return more[0] && more[1] && pt_images_export(images, &e, more[0], more[1], on_progress, NULL, cancel, error) ? 0 : 1;
  }
  if (strcmp(verb, "make") == 0) {
    g_autoptr(PtImage) image = pt_images_make(images, what, NULL, on_progress, NULL, cancel, error);
    if (image)
      show(image);
    return image ? 0 : 1;
  }
  if (strcmp(verb, "list") == 0) {
    g_autoptr(GPtrArray) all = pt_images_list(images, error);
    for (guint i = 0; all && i < all->len; i++)
      show(g_ptr_array_index(all, i));
    return all ? 0 : 1;
  }
  if (strcmp(verb, "mount") == 0) {
    g_autofree char *path = pt_images_mount(images, what, error);
    if (path)
      puts(path);
    return path ? 0 : 1;
  }
  return strcmp(verb, "remove") == 0 && pt_images_remove(images, what, error) ? 0 : 1;
}

int
main(int argc, char **argv)
{
  static sigset_t set;
  g_autoptr(GError) err = NULL;

  if (argc < 5)
    return 2;
  PtHost host = { .state = argv[1], .run = argv[2], .libexec = argv[3] };
  cancel = g_cancellable_new();
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  g_thread_unref(g_thread_new("signal", wait_signal, &set));
  PtImages *images = pt_images_open(&host, &err);
  int rc = images ? act(images, argv[4], argc > 5 ? argv[5] : "", argc > 6 ? argv + 6 : argv + argc, &err) : 1;
  pt_images_close(images);
  if (err)
    fprintf(stderr, "%s: %s\n", pt_err_name(pt_error_code(err)), err->message);
  return rc;
}
