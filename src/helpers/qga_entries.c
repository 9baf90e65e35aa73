// SPDX-License-Identifier: Apache-2.0
/* What the guest's own stat(1) says of files, made base/guest.h's lines of. Every byte of it is foreign.
 *
 * Both scripts say "@NAME\0TARGET\0" of each symbolic link, in the order of the globs, then Z or N: what ends each of the
 * records "MODE UID GID SIZE MTIME NAME" that follow in the same order, a zero byte (GNU's stat) or a line break. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "helpers/qga.h"

#define FORMAT "'%f %u %g %s %Y %n"
#define STAT_TOOL "stat --printf= / 2>/dev/null && z=1 || z=; [ \"$z\" ] && printf Z || printf N; "
#define STAT(what)                                                                                                          \
  "if [ \"$z\" ]; then stat $l --printf=" FORMAT "\\0' -- " what "; else stat $l -c " FORMAT "' -- " what "; fi"

const char qga_list_script[] =
  "[ -e \"$1\" ] || exit 202; [ -d \"$1\" ] || exit 220; cd -- \"$1\" || exit 213; l=; "
  "for n in ..?* .[!.]* *; do [ ! -L \"$n\" ] || printf '@%s\\0%s\\0' \"$n\" \"$(readlink -- \"$n\")\"; done; " STAT_TOOL
    STAT("..?* .[!.]* *") " 2>/dev/null; exit 0";

const char qga_stat_script[] =
  "[ -e \"$1\" ] || { [ -L \"$1\" ] && [ ! \"$2\" ]; } || exit 202; [ \"$2\" ] && l=-L || l=; "
  "[ \"$l\" ] || [ ! -L \"$1\" ] || printf '@%s\\0%s\\0' \"$1\" \"$(readlink -- \"$1\")\"; " STAT_TOOL STAT("\"$1\"");

static bool
parse_entry(char *at, struct qga_entry *e)
{
  char *next = at;

  e->mode = (unsigned)strtoul(at, &next, 16);
  long long *const numbers[] = { &e->uid, &e->gid, &e->size, &e->mtime };
  for (int i = 0; i < 4; i++) {
    at = next;
    if (*at != ' ' || at[1] < '-' || at[1] > '9')
      return false;
    *numbers[i] = strtoll(at + 1, &next, 10);
  }
  if (*next != ' ' || !next[1] || next == at)
    return false;
  e->name = next + 1;
  return true;
}

bool
qga_entries_begin(struct qga_entries *s, unsigned char *said, size_t size)
{
  char *p = (char *)said, *end = p + size;

  *s = (struct qga_entries){ .links = p, .end = end };
  while (p < end && *p == '@')
    for (int i = 0; i < 2 && p < end; i++) {
      char *zero = memchr(p, '\0', (size_t)(end - p));
      p = zero ? zero + 1 : end;
    }
  if (p >= end || (*p != 'Z' && *p != 'N'))
    return false;
  s->stop = *p == 'Z' ? '\0' : '\n';
  s->at = p + 1;
  return true;
}

/* Both parts are in the same order, so that the next link's target is found from where the last was. */
static const char *
target_of(struct qga_entries *s, const char *name)
{
  while (*s->links == '@') {
    char *link = s->links + 1, *target = link + strlen(link) + 1;

    s->links = target + strlen(target) + 1;
    if (strcmp(link, name) == 0)
      return target;
  }
  return "";
}

bool
qga_entries_next(struct qga_entries *s, struct qga_entry *e)
{
  while (s->at < s->end) {
    char *line = s->at, *stop = memchr(line, s->stop, (size_t)(s->end - line));

    if (!stop)
      return false;
    *stop = '\0';
    s->at = stop + 1;
    if (!parse_entry(line, e))
      continue; /* a name with a line break in it, where there is no better stat */
    e->target = S_ISLNK(e->mode) ? target_of(s, e->name) : NULL;
    return true;
  }
  return false;
}

static size_t
put_line(char *to, size_t n, size_t max, const char *key, const char *value)
{
  for (; *key && n < max; key++)
    to[n++] = *key;
  if (n < max)
    to[n++] = '=';
  for (; *value && n + 2 < max; value++) {
    if (*value == '\\' || *value == '\n')
      to[n++] = '\\';
    to[n++] = *value == '\n' ? 'n' : *value;
  }
  if (n < max)
    to[n++] = '\n';
  return n;
}

size_t
qga_entry_lines(char *to, size_t max, const struct qga_entry *e, const char *name)
{
  const char *type = S_ISREG(e->mode) ? "file" : S_ISDIR(e->mode) ? "directory" : S_ISLNK(e->mode) ? "symlink" : "special";
  char text[160];
  size_t n = name ? put_line(to, 0, max, "name", name) : 0;
  int more =
    snprintf(text, sizeof text, "type=%s\nmode=%04o\nuid=%lld\ngid=%lld\nsize=%lld\nmtime=%lld\n", type, e->mode & 07777,
             e->uid, e->gid, e->size, e->mtime > 0 && e->mtime < 1LL << 40 ? e->mtime * 1000000 : 0);

  if (n + (size_t)more > max)
    return max;
  memcpy(to + n, text, (size_t)more);
  n += (size_t)more;
  return e->target ? put_line(to, n, max, "target", e->target) : n;
}
