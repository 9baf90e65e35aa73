// SPDX-License-Identifier: Apache-2.0
#include "helpers/guest.h"

#include <errno.h>
#include <stdlib.h>

struct field {
  const char *key;
  size_t offset;
  bool list;
};
#define ONE(type, member) { #member, offsetof(struct type, member), false }
#define MANY(type, member) { #member, offsetof(struct type, member), true }

static const struct field config_fields[] = {
  ONE(config, hostname), ONE(config, domain), { "machine-id", offsetof(struct config, machine_id), false }, ONE(config, mac),
  ONE(config, mtu), ONE(config, seed), ONE(config, time), ONE(config, init), ONE(config, cwd), ONE(config, user), ONE(config, stop),
  ONE(config, image), ONE(config, volume), MANY(config, address), MANY(config, gateway), MANY(config, dns), MANY(config, command),
  MANY(config, env), MANY(config, card), MANY(config, disk), { NULL },
};
static const struct field request_fields[] = {
  { "do", offsetof(struct request, verb), false }, ONE(request, path), ONE(request, cwd), ONE(request, user), ONE(request, tty),
  ONE(request, cols), ONE(request, rows), ONE(request, mode), ONE(request, uid), ONE(request, gid), ONE(request, parents),
  ONE(request, recursive), ONE(request, follow), ONE(request, target), ONE(request, count), ONE(request, card),
  ONE(request, serial), ONE(request, readonly), ONE(request, force), ONE(request, size),
  MANY(request, arg), MANY(request, env), { NULL },
};

static bool
parse(const struct field *fields, char *text, size_t size, char *into)
{
  const char *key, *value;
  char *at = text, *end = text + size;
  int more;

  while ((more = pt_guest_line(&at, end, &key, &value)) > 0) {
    const struct field *f = fields;

    while (f->key && strcmp(f->key, key) != 0)
      f++;
    if (!f->key)
      continue;
    if (!f->list) {
      *(const char **)(void *)(into + f->offset) = value;
      continue;
    }
    struct list *l = (struct list *)(void *)(into + f->offset);
    if (l->n == LIST_MAX)
      return false;
    l->at[l->n++] = value;
    l->at[l->n] = NULL;
  }
  return more == 0;
}

bool
config_parse(char *text, size_t size, struct config *c)
{
  memset(c, 0, sizeof *c);
  return parse(config_fields, text, size, (char *)c);
}

bool
request_parse(char *text, size_t size, struct request *r)
{
  memset(r, 0, sizeof *r);
  return parse(request_fields, text, size, (char *)r);
}

long long
number_of(const char *text, int base, long long max, long long none)
{
  char *end;

  if (!text)
    return none;
  if (*text < '0' || *text > '9')
    return -1;
  errno = 0;
  long long v = strtoll(text, &end, base);
  return errno || *end || v > max ? -1 : v;
}
