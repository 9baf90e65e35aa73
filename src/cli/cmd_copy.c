// SPDX-License-Identifier: Apache-2.0
/* cp: the command line. The work is in copy_get.c and copy_put.c. */
#include "cli/copy.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"

/* NAME:PATH or SPACE/NAME:PATH; anything else, "./a:b" too, is a file here. */
static bool
parse_place(PtCli *cli, const char *text, PtPlace *ret, GError **error)
{
  const char *colon = strchr(text, ':');

  if (!colon || text[0] == '.' || text[0] == '/') {
    ret->path = g_strdup(text);
    return true;
  }
  g_autofree char *name = g_strndup(text, (gsize)(colon - text));
  if (!pt_target_parse(cli, name, &ret->target, error)) {
    pt_error_hint(error, "a file here whose name holds ':' is written ./%s", text);
    return false;
  }
  ret->remote = true;
  if (colon[1] == '/') {
    ret->path = g_strdup(colon + 1);
    return true;
  }
  g_autofree char *shown = pt_safe(text);
  PT_SET(error, PT_ERR_INVALID, "'%s': a path inside a computer begins with /\nfor example:  %s:/root/%s", shown,
         ret->target.name, *colon && colon[1] ? colon + 1 : "");
  return false;
}

static void
place_clear(PtPlace *p)
{
  pt_target_clear(&p->target);
  g_free(p->path);
}

/* Between two computers: through a directory here that goes afterwards. */
static bool
relay(PtCopy *c, const PtPlace *from, const PtPlace *to, GError **error)
{
  g_autofree char *dir = g_dir_make_tmp("portena-XXXXXX", NULL);
  g_autofree char *base = g_path_get_basename(from->path);

  if (!dir) {
    pt_error_errno(error, errno, "temporary directory");
    return false;
  }
  g_autofree char *middle = g_build_filename(dir, strcmp(base, "/") == 0 ? "root" : base, NULL);
  gint64 bytes = c->bytes;
  guint files = c->files;
  bool ok = pt_copy_get(c, from, middle, error);
  /* What came out is not counted twice when it goes in. */
  c->bytes = bytes;
  c->files = files;
  ok = ok && pt_copy_put(c, middle, to, base, error);
  pt_copy_remove_tree(dir);
  return ok;
}

static bool
copy_one(PtCopy *c, const PtPlace *from, const PtPlace *to, GError **error)
{
  g_autofree char *trimmed = g_strdup(from->path);
  gsize n = strlen(trimmed);

  while (n > 1 && trimmed[n - 1] == '/')
    trimmed[--n] = '\0';
  g_autofree char *base = g_path_get_basename(trimmed);
  if (from->remote && to->remote)
    return relay(c, from, to, error);
  if (to->remote)
    return pt_copy_put(c, from->path, to, base, error);
  struct stat st;
  bool into = stat(to->path, &st) == 0 && S_ISDIR(st.st_mode) && strcmp(base, "/") != 0;
  g_autofree char *dest = into ? g_build_filename(to->path, base, NULL) : g_strdup(to->path);
  return pt_copy_get(c, from, dest, error);
}

static void
tell(const PtCopy *c)
{
  g_autofree char *size = pt_size_format(c->bytes);

  if (!c->cli->quiet && !c->cli->json)
    pt_note(c->cli, "%u file%s, %s.", c->files, c->files == 1 ? "" : "s", size);
}

static int
run_cp(PtCli *cli, const PtArgs *args, GError **error)
{
  guint n = pt_args_n(args) - 1;
  PtCopy c = { .cli = cli };
  PtPlace to = { 0 };
  bool ok = parse_place(cli, pt_args_nth(args, n), &to, error);

  c.title = "Copying";
  for (guint i = 0; ok && i < n; i++) {
    PtPlace from = { 0 };
    ok = parse_place(cli, pt_args_nth(args, i), &from, error);
    if (ok && !from.remote && !to.remote) {
      PT_SET(error, PT_ERR_INVALID, "cp: both are files of this machine\nsay which computer:  portena cp %s NAME:/path",
             pt_args_nth(args, i));
      ok = false;
    }
    c.into = n > 1;
    ok = ok && copy_one(&c, &from, &to, error);
    place_clear(&from);
  }
  pt_progress_free(c.progress);
  place_clear(&to);
  if (!ok)
    return -1;
  tell(&c);
  if (c.left_out > 0) {
    cli->refused = true;
    PT_SET(error, PT_ERR_INVALID, "cp: %u left out, because their names are not UTF-8 or hold control characters", c.left_out);
    pt_error_hint(error, "pack them:  tar -C DIR -c . | portena exec NAME -- tar -C /TO -x");
    return -1;
  }
  return 0;
}

const PtCommand pt_cmds_copy[] = {
  { .name = "cp",
    .args = "FROM… TO",
    .summary = "Copy files to, from and between computers",
    .min = 2,
    .max = G_MAXUINT,
    .completes = "f",
    .run = run_cp,
    .text =
      "A place in a computer is written NAME:/path, or SPACE/NAME:/path. Directories are copied with all that is in them; "
      "modes and symbolic links are kept. What is copied in belongs to root there. - is standard input, or output.",
    .examples = { { "portena cp report.pdf studio:/home/user/", "into a computer" },
                  { "portena cp web:/var/log ./web-logs", "a directory out of one" } } },
  { NULL },
};
