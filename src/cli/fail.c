// SPDX-License-Identifier: Apache-2.0
/* How portena says no, and how it asks. */
#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/id.h"
#include "base/text.h"
#include "cli/output.h"

static int
exit_status(const GError *error)
{
  switch (pt_error_code(error)) {
  case PT_ERR_INVALID:
    return PT_EXIT_USAGE;
  case PT_ERR_NOT_FOUND:
    return PT_EXIT_NOT_FOUND;
  case PT_ERR_UNAUTHENTICATED:
  case PT_ERR_FORBIDDEN:
    return PT_EXIT_NO_PERMISSION;
  case PT_ERR_UNREACHABLE:
    return PT_EXIT_UNREACHABLE;
  case PT_ERR_TIMEOUT:
    return PT_EXIT_TIMED_OUT;
  default:
    return PT_EXIT_FAILED;
  }
}

/* The nearest of the names that the list at `path` holds under `key` (a string, or a list of them). */
static char *
nearest_listed(PtCli *cli, const char *path, const char *key, const char *word)
{
  g_autoptr(json_t) answer = NULL;
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  gsize i;
  json_t *item;

  if (!pt_cli_call(cli, "GET", path, NULL, &answer, NULL))
    return NULL;
  json_array_foreach (json_object_get(answer, "items"), i, item) {
    const json_t *v = json_object_get(item, key);
    if (json_is_string(v))
      g_ptr_array_add(names, (void *)json_string_value(v));
    for (gsize k = 0; k < json_array_size(v); k++)
      if (json_is_string(json_array_get(v, k)))
        g_ptr_array_add(names, (void *)json_string_value(json_array_get(v, k)));
  }
  g_ptr_array_add(names, NULL);
  const char *near = pt_nearest(word, (const char *const *)names->pdata);
  return near && strcmp(near, word) != 0 ? pt_safe(near) : NULL;
}

/* What the user probably meant by a name that does not exist. */
static char *
suggestion(PtCli *cli, const GError *error)
{
  char *near = NULL;

  if (pt_error_code(error) != PT_ERR_NOT_FOUND || !cli->transport)
    return NULL;
  if (cli->missed_image && strstr(error->message, cli->missed_image)) {
    near = nearest_listed(cli, "/v1/images", "names", cli->missed_image);
    if (!near)
      near = nearest_listed(cli, "/v1/images/recipes", "name", cli->missed_image);
  }
  g_autofree char *no_instance = g_strdup_printf("instance called %s", cli->missed_instance ? cli->missed_instance : "");
  if (!near && cli->missed_instance && strstr(error->message, no_instance)) {
    g_autofree char *path = pt_client_path("/v1/spaces/%s/instances", cli->missed_space);
    near = nearest_listed(cli, path, "name", cli->missed_instance);
  }
  return near;
}

int
pt_cli_fail(PtCli *cli, const GError *error)
{
  g_autofree char *summary = pt_error_summary(error), *safe = pt_text_safe(summary, 1000);
  const char *hint = pt_error_get_hint(error);
  bool color = cli->err_tty && cli->color;

  fflush(stdout);
  fprintf(stderr, "%sportena:%s %s\n", color ? "\033[31m" : "", color ? "\033[0m" : "", safe);
  g_auto(GStrv) lines = g_strsplit(hint ? hint : "", "\n", -1);
  for (char **l = lines; *l; l++) {
    g_autofree char *line = pt_text_safe(*l, 500);
    if (*line)
      fprintf(stderr, "  %s\n", line);
  }
  g_autofree char *near = suggestion(cli, error);
  if (near)
    fprintf(stderr, "  did you mean %s?\n", near);
  int status = exit_status(error);
  if (status == PT_EXIT_USAGE && cli->refused)
    return PT_EXIT_FAILED;
  return cli->failed && status != PT_EXIT_TIMED_OUT ? PT_EXIT_FAILED : status;
}

/* A line byte by byte, so that nothing of what follows it is taken from whoever reads next. */
static char *
read_line(int fd, gsize max)
{
  char *line = g_malloc0(max + 1);
  gsize n = 0;
  char c;

  for (;;) {
    gssize r = read(fd, &c, 1);
    if (r < 0 && errno == EINTR)
      continue;
    if (r <= 0 && n == 0) {
      g_free(line);
      return NULL;
    }
    if (r <= 0 || c == '\n')
      break;
    if (n < max)
      line[n++] = c;
  }
  if (n > 0 && line[n - 1] == '\r')
    line[n - 1] = '\0';
  return line;
}

char *
pt_cli_secret(PtCli *cli, const char *prompt, GError **error)
{
  struct termios was, quiet;
  bool hide = cli->in_tty && tcgetattr(STDIN_FILENO, &was) == 0;

  if (hide) {
    /* Hidden before the prompt invites anybody to type. */
    quiet = was;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    fprintf(stderr, "%s: ", prompt);
    fflush(stderr);
  }
  char *line = read_line(STDIN_FILENO, 1024);
  if (hide) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
    fputc('\n', stderr);
  }
  if (!line)
    PT_SET(error, PT_ERR_INVALID,
           "%s: nothing came on standard input\ntype it at the prompt, or send it as one line through a pipe", prompt);
  return line;
}

char *
pt_cli_ask(PtCli *cli, const char *prompt, GError **error)
{
  if (cli->in_tty) {
    fprintf(stderr, "%s: ", prompt);
    fflush(stderr);
  }
  char *line = read_line(STDIN_FILENO, 1024);
  if (!line)
    PT_SET(error, PT_ERR_INVALID, "%s: nothing came on standard input", prompt);
  return line;
}

bool
pt_cli_confirm(PtCli *cli, const char *question)
{
  if (!cli->in_tty || !cli->err_tty)
    return true;
  g_autofree char *safe = pt_text_safe(question, 500);
  fprintf(stderr, "%s [y/N] ", safe);
  fflush(stderr);
  g_autofree char *line = read_line(STDIN_FILENO, 16);
  return line && (line[0] == 'y' || line[0] == 'Y');
}
