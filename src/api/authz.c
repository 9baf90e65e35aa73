// SPDX-License-Identifier: Apache-2.0
/* What a user may: the least role of the route's table against the user's role in the space, cut down by the scope of
 * the credential. A space that one is no member of is said not to exist. */
#include <string.h>

#include "api/auth.h"
#include "base/text.h"

PtRole
pt_who_role(const PtWho *who, const PtSpace *space)
{
  if (who->only_space && g_strcmp0(who->only_space, space->name) != 0)
    return PT_ROLE_NONE;
  PtRole role = who->owner_everywhere ? PT_ROLE_OWNER : pt_space_role(space, who->name);
  return who->read_only ? MIN(role, PT_ROLE_VIEWER) : role;
}

static bool
no_space(const char *name, GError **error)
{
  PT_SET(error, PT_ERR_NOT_FOUND, "there is no space called %s\nthose you may use: portena space list", name);
  return false;
}

static bool
space_role(PtRequest *r, const char *name, GError **error)
{
  static const PtRole least[PT_N_ACCESS] = {
    [PT_ACCESS_VIEWER] = PT_ROLE_VIEWER,
    [PT_ACCESS_MEMBER] = PT_ROLE_MEMBER,
    [PT_ACCESS_OWNER] = PT_ROLE_OWNER,
  };
  g_autofree char *key = NULL;

  if (!pt_name_check("space", name, NULL))
    return no_space("that", error);
  key = pt_key_space(name);
  r->space = pt_load(r->api, key, &pt_space_type, "space", &r->space_revision, NULL);
  r->role = r->space ? pt_who_role(&r->who, r->space) : PT_ROLE_NONE;
  if (r->role == PT_ROLE_NONE)
    return no_space(name, error);
  if (r->role >= least[r->route->access])
    return true;
  if (r->who.read_only)
    PT_SET(error, PT_ERR_FORBIDDEN, "space %s: this token may only read", name);
  else
    PT_SET(error, PT_ERR_FORBIDDEN, "space %s: as its %s you may not do this; it takes %s\nask one of the space's owners",
           name, pt_role_names[r->role], pt_role_names[least[r->route->access]]);
  return false;
}

static bool
self_or_admin(PtRequest *r, GError **error)
{
  if (r->who.only_space) {
    PT_SET(error, PT_ERR_FORBIDDEN, "users: a token for one space has no say here");
    return false;
  }
  if (r->who.admin || g_strcmp0(r->who.name, pt_param(r, "user")) == 0)
    return true;
  PT_SET(error, PT_ERR_FORBIDDEN, "users: only administrators see and change others");
  return false;
}

bool
pt_authz(PtRequest *r, GError **error)
{
  PtAccess access = r->route->access;
  const char *space = pt_param(r, "space");

  if (access == PT_ACCESS_OPEN)
    return true;
  if (r->who.must_change && !(r->route->flags & PT_R_UNCHANGED)) {
    PT_SET(error, PT_ERR_FORBIDDEN,
           "user %s: the first password has to be changed before anything else\nportena user password %s", r->who.name,
           r->who.name);
    return false;
  }
  bool reads = strcmp(r->route->method, "GET") == 0 && !(r->route->flags & PT_R_STREAM);
  if (access == PT_ACCESS_VIEWER || access == PT_ACCESS_MEMBER || access == PT_ACCESS_OWNER)
    return space_role(r, space, error);
  if (r->who.read_only && !reads) {
    PT_SET(error, PT_ERR_FORBIDDEN, "credential: this token may only read");
    return false;
  }
  if (access == PT_ACCESS_SELF)
    return self_or_admin(r, error);
  if (access == PT_ACCESS_ADMIN && !r->who.admin) {
    PT_SET(error, PT_ERR_FORBIDDEN, "only administrators may do this");
    return false;
  }
  return true;
}
