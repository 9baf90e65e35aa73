// SPDX-License-Identifier: Apache-2.0
#include "model/space.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "model/field.h"
#include "model/instance.h"

const char *const pt_role_names[] = { "none", "viewer", "member", "owner", NULL };
const char *const pt_token_kind_names[] = { "session", "api", NULL };
const char *const pt_op_state_names[] = { "pending", "running", "done", "failed", "cancelled", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(pt_role_names) == PT_N_ROLES + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_token_kind_names) == PT_N_TOKENS + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_op_state_names) == PT_N_OPS + 1);

#define MAX_MEMBERS 1024

static const PtField quota_fields[] = {
  PT_INT(PtQuota, instances, PT_LIVE, 0, 100000, "Instances the space may have; 0 is no limit."),
  PT_CPU(PtQuota, cpu, PT_LIVE, 0, 1000000000, "Cpus its instances may have together; 0 is no limit."),
  PT_SIZE(PtQuota, memory, PT_LIVE, 0, PT_BIG - 1, "Memory its instances may have together; 0 is no limit."),
  PT_SIZE(PtQuota, disk, PT_LIVE, 0, PT_BIG - 1, "Sum of the sizes of its volumes; 0 is no limit."),
};
const PtType pt_quota_type = {
  .name = "quota", .size = sizeof(PtQuota), .fields = quota_fields, .n_fields = G_N_ELEMENTS(quota_fields),
};

static const PtField space_fields[] = {
  PT_STR(PtSpace, id, PT_F_REQUIRED, 26, pt_check_id, "Its id, never reused."),
  PT_STR(PtSpace, name, PT_F_USER | PT_F_REQUIRED, 63, pt_check_space, "Its name, unique in the cluster."),
  PT_STR(PtSpace, description, PT_LIVE, 500, NULL, "What it is for, in a line."),
  PT_STR(PtSpace, subnet, PT_F_USER, 18, pt_check_subnet, "Its private IPv4 network, such as 10.83.0.0/24."),
  PT_STR(PtSpace, prefix6, PT_F_USER, 49, pt_check_prefix6, "Its private IPv6 network, a /64."),
  PT_MAP(PtSpace, members, 0, MAX_MEMBERS, pt_check_user, "Users and their roles: viewer, member or owner."),
  PT_OBJECT(PtSpace, quota, PtQuota, PT_F_ADMIN, &pt_quota_type, "What it may use in all."),
  PT_BOOL(PtSpace, deleting, 0, "It is being deleted."),
  PT_STR(PtSpace, op, 0, 26, pt_check_id, "The operation that waits for its deletion."),
  PT_TIME(PtSpace, created, 0, "When it was created."),
  PT_STR(PtSpace, created_by, 0, 32, NULL, "Who created it."),
};

static void
space_defaults(void *record)
{
  PtSpace *s = record;

  s->quota = pt_record_new(&pt_quota_type);
}

static PtRole
role_named(const char *name)
{
  for (guint i = PT_ROLE_VIEWER; name && i < PT_N_ROLES; i++) {
    if (strcmp(name, pt_role_names[i]) == 0)
      return (PtRole)i;
  }
  return PT_ROLE_NONE;
}

static bool
space_validate(const void *record, GError **error)
{
  const PtSpace *s = record;
  GHashTableIter it;
  gpointer user, role;

  if (!s->members)
    return true;
  g_hash_table_iter_init(&it, s->members);
  while (g_hash_table_iter_next(&it, &user, &role)) {
    if (role_named(role) != PT_ROLE_NONE)
      continue;
    g_autofree char *said = pt_text_safe(role, 40);
    PT_SET(error, PT_ERR_INVALID, "members: '%s' is no role: a role is viewer, member or owner", said);
    return false;
  }
  return true;
}

const PtType pt_space_type = {
  .name = "space", .size = sizeof(PtSpace), .fields = space_fields, .n_fields = G_N_ELEMENTS(space_fields),
  .defaults = space_defaults, .validate = space_validate,
};

PtRole
pt_space_role(const PtSpace *s, const char *user)
{
  return s->members && user ? role_named(g_hash_table_lookup(s->members, user)) : PT_ROLE_NONE;
}

static const PtField user_fields[] = {
  PT_STR(PtUser, name, PT_F_USER | PT_F_REQUIRED, 32, pt_check_user, "The name to log in with."),
  PT_STR(PtUser, full_name, PT_LIVE, 128, NULL, "The name to show."),
  PT_BOOL(PtUser, admin, PT_F_ADMIN, "May do everything, everywhere."),
  PT_BOOL(PtUser, disabled, PT_F_ADMIN, "May not log in."),
  PT_STR(PtUser, password, PT_F_SECRET, 256, NULL, "Hash of the password."),
  PT_STR(PtUser, totp, PT_F_SECRET, 128, NULL, "Secret of the one-time codes."),
  PT_STR(PtUser, totp_pending, PT_F_SECRET, 128, NULL, "The same, not yet proved."),
  PT_INT(PtUser, totp_last, PT_F_SECRET, 0, G_MAXINT64, "The last time step a code was used of."),
  PT_BOOL(PtUser, must_change, PT_F_ADMIN, "Has to choose a new password at the next login."),
  PT_TIME(PtUser, created, 0, "When it was created."),
  PT_TIME(PtUser, last_login, 0, "When it last logged in."),
};
const PtType pt_user_type = {
  .name = "user", .size = sizeof(PtUser), .fields = user_fields, .n_fields = G_N_ELEMENTS(user_fields),
};

static const PtField token_fields[] = {
  PT_STR(PtToken, id, PT_F_REQUIRED, 64, NULL, "The public part of the token."),
  PT_STR(PtToken, user, PT_F_REQUIRED, 32, pt_check_user, "Whose it is."),
  PT_ENUM(PtToken, kind, 0, pt_token_kind_names, "session or api."),
  PT_STR(PtToken, hash, PT_F_SECRET | PT_F_REQUIRED, 64, NULL, "Hash of the secret part."),
  PT_STR(PtToken, name, PT_F_USER, 200, NULL, "What it is for."),
  PT_STR(PtToken, scope, PT_F_USER, 80, pt_check_scope, "What it may do: full, read, space:NAME or space:NAME:read."),
  PT_TIME(PtToken, created, 0, "When it was made."),
  PT_TIME(PtToken, expires, 0, "When it ends."),
  PT_TIME(PtToken, last_used, 0, "When it was last used."),
  PT_STR(PtToken, last_from, 0, 64, NULL, "The address it was last used from."),
};
const PtType pt_token_type = {
  .name = "token", .size = sizeof(PtToken), .fields = token_fields, .n_fields = G_N_ELEMENTS(token_fields),
};

const char *const pt_volume_format_names[] = { "ext4", "raw", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(pt_volume_format_names) == PT_N_VOLUME_FORMATS + 1);

static const PtField volume_fields[] = {
  PT_STR(PtVolume, id, PT_F_REQUIRED, 26, pt_check_id, "Its id, never reused."),
  PT_STR(PtVolume, name, PT_F_USER, 63, pt_check_volume, "Its name."),
  PT_STR(PtVolume, space, PT_F_REQUIRED, 63, pt_check_space, "The space it belongs to."),
  PT_STR(PtVolume, pool, 0, 63, pt_check_pool, "The pool it lives in."),
  PT_STR(PtVolume, instance, 0, 63, pt_check_instance, "The instance whose root it is."),
  PT_STR(PtVolume, image, 0, 71, pt_check_digest, "The image it belongs over."),
  PT_ENUM(PtVolume, format, 0, pt_volume_format_names, "ext4: a file system of Portena's; raw: a disk of an unmodified system."),
  PT_SIZE(PtVolume, size, PT_LIVE, 0, PT_BIG - 1, "Its size, such as 20GiB; it only grows."),
  PT_SIZE(PtVolume, actual, 0, 0, PT_BIG - 1, "The size its file system has now."),
  PT_STR(PtVolume, owner, 0, 63, pt_check_node, "The node that may write it."),
  PT_INT(PtVolume, epoch, 0, 0, G_MAXINT64, "Counts the changes of its owner."),
  PT_TIME(PtVolume, created, 0, "When it was created."),
};

static bool
volume_transition(const void *old, const void *record, GError **error)
{
  const PtVolume *a = old, *b = record;

  if (b->size >= a->size)
    return true;
  PT_SET(error, PT_ERR_INVALID, "size: a volume only grows, and this one has %" G_GINT64_FORMAT " bytes\nnothing was changed", a->size);
  return false;
}

const PtType pt_volume_type = {
  .name = "volume", .size = sizeof(PtVolume), .fields = volume_fields, .n_fields = G_N_ELEMENTS(volume_fields),
  .transition = volume_transition,
};

static const PtField node_fields[] = {
  PT_STR(PtNode, name, PT_F_REQUIRED, 63, pt_check_node, "Its name."),
  PT_STR(PtNode, id, 0, 64, NULL, "Its id, made when it was set up."),
  PT_INT(PtNode, cpus, 0, 0, 1000000, "Its cpus."),
  PT_SIZE(PtNode, memory, 0, 0, PT_BIG - 1, "Its memory."),
  PT_STR(PtNode, version, 0, 64, NULL, "The version of its daemon."),
  PT_TIME(PtNode, started, 0, "When its daemon started."),
};
const PtType pt_node_type = {
  .name = "node", .size = sizeof(PtNode), .fields = node_fields, .n_fields = G_N_ELEMENTS(node_fields),
};

static const PtField op_fields[] = {
  PT_STR(PtOperation, id, PT_F_REQUIRED, 26, pt_check_id, "Its id."),
  PT_STR(PtOperation, kind, PT_F_REQUIRED, 64, NULL, "What is done: launch, start, image-build …"),
  PT_STR(PtOperation, target, 0, 600, NULL, "The object it is about."),
  PT_STR(PtOperation, space, 0, 63, pt_check_space, "The space that object is in."),
  PT_STR(PtOperation, user, 0, 32, NULL, "Who began it."),
  PT_ENUM(PtOperation, state, 0, pt_op_state_names, "pending, running, done, failed or cancelled."),
  PT_INT(PtOperation, progress, 0, -1, 1000, "Per mille done; -1 is unknown."),
  PT_INT(PtOperation, done, 0, 0, G_MAXINT64, "Units done."),
  PT_INT(PtOperation, total, 0, 0, G_MAXINT64, "Units in all; 0 is unknown."),
  PT_STR(PtOperation, unit, 0, 32, NULL, "What is counted: bytes, packages."),
  PT_STR(PtOperation, step, 0, 200, NULL, "What is being done now."),
  PT_TIME(PtOperation, created, 0, "When it began."),
  PT_TIME(PtOperation, ended, 0, "When it ended."),
  PT_STR(PtOperation, error_code, 0, 32, NULL, "The name of the error that ended it."),
  PT_TEXT(PtOperation, error, 0, 4096, "Why it failed."),
  PT_STR(PtOperation, result, 0, 600, NULL, "What it made."),
};

static void
op_defaults(void *record)
{
  PtOperation *op = record;

  op->progress = -1;
}

const PtType pt_operation_type = {
  .name = "operation", .size = sizeof(PtOperation), .fields = op_fields, .n_fields = G_N_ELEMENTS(op_fields),
  .defaults = op_defaults,
};

const char *const pt_format_names[] = { "rootfs", "disk", "iso", "program", "kernel", NULL };
const char *const pt_runtime_names[] = { "native", "wasm", "java", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(pt_format_names) == PT_N_FORMATS + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(pt_runtime_names) == PT_N_RUNTIMES + 1);

static const PtField image_fields[] = {
  PT_STR(PtImage, digest, PT_F_REQUIRED, 71, pt_check_digest, "SHA-256 of its file."),
  PT_STRINGS(PtImage, names, PT_LIVE, 64, pt_check_image_name, "Names it is known by."),
  PT_STR(PtImage, source, 0, 1024, NULL, "What it was made from."),
  PT_STR(PtImage, arch, 0, 32, NULL, "Its processor architecture."),
  PT_STR(PtImage, os, 0, 200, NULL, "The operating system in it."),
  PT_STR(PtImage, description, PT_LIVE, 500, NULL, "What it is, in a line."),
  PT_SIZE(PtImage, size, 0, 0, PT_BIG - 1, "Size of its file."),
  PT_ENUM(PtImage, format, 0, pt_format_names, "What is in it: rootfs, disk, iso, program or kernel."),
  PT_ENUM(PtImage, runtime, 0, pt_runtime_names, "What runs a program: native, wasm or java."),
  PT_ENUM(PtImage, firmware, 0, pt_firmware_names, "The firmware that a disk starts with."),
  PT_ENUM(PtImage, hardware, 0, pt_hardware_names, "What a disk is sure to have drivers for: virtio, or emulated hardware only."),
  PT_SIZE(PtImage, disk, 0, 0, PT_BIG - 1, "Size of a disk."),
  PT_CPU(PtImage, cpu, 0, 0, 1024000, "Cpus that a disk's maker proposes; 0 is not known."),
  PT_SIZE(PtImage, memory, 0, 0, PT_BIG - 1, "Memory that a disk's maker proposes; 0 is not known."),
  PT_TIME(PtImage, created, 0, "When it was made."),
  PT_ENUM(PtImage, init, 0, pt_init_names, "What a container of it runs as: system or app."),
  PT_STRINGS(PtImage, command, 0, 1024, NULL, "The command of an app."),
  PT_MAP(PtImage, env, 0, 1024, pt_check_env, "Variables of its environment."),
  PT_STR(PtImage, cwd, 0, 4095, pt_check_path, "Directory the command starts in."),
  PT_STR(PtImage, user, 0, 65, pt_check_guest_user, "User that runs the command."),
  PT_STR(PtImage, login, 0, 65, pt_check_guest_user, "User that a shell opens as."),
  PT_STR(PtImage, stop_signal, 0, 16, pt_check_signal, "Signal that asks it to stop."),
  PT_BOOL(PtImage, desktop, 0, "It has a desktop."),
  PT_STR(PtImage, desktop_socket, 0, 107, pt_check_path, "Socket of the desktop inside."),
  PT_STRINGS(PtImage, kinds, 0, 8, NULL, "What it can run as."),
};
const PtType pt_image_type = {
  .name = "image", .size = sizeof(PtImage), .fields = image_fields, .n_fields = G_N_ELEMENTS(image_fields),
};

#define DEFINE(Type, prefix)                                                                                           \
  Type *prefix##_parse(const json_t *json, GError **error)                                                             \
  {                                                                                                                    \
    return pt_record_parse(&prefix##_type, json, error);                                                               \
  }                                                                                                                    \
  void prefix##_free(Type *r)                                                                                          \
  {                                                                                                                    \
    pt_record_free(&prefix##_type, r);                                                                                 \
  }
DEFINE(PtSpace, pt_space)
DEFINE(PtUser, pt_user)
DEFINE(PtToken, pt_token)
DEFINE(PtVolume, pt_volume)
DEFINE(PtNode, pt_node)
DEFINE(PtOperation, pt_operation)
DEFINE(PtImage, pt_image)

char *
pt_key_space(const char *space)
{
  return g_strconcat("spaces/", space, NULL);
}

char *
pt_key_instance(const char *space, const char *name)
{
  return g_strconcat("spaces/", space, "/instances/", name, NULL);
}

char *
pt_key_status(const char *space, const char *name)
{
  return g_strconcat("spaces/", space, "/status/", name, NULL);
}

char *
pt_key_volume(const char *space, const char *id)
{
  return g_strconcat("spaces/", space, "/volumes/", id, NULL);
}

char *
pt_key_user(const char *user)
{
  return g_strconcat("users/", user, NULL);
}

char *
pt_key_token(const char *id)
{
  return g_strconcat("tokens/", id, NULL);
}

char *
pt_key_op(const char *id)
{
  return g_strconcat("ops/", id, NULL);
}

char *
pt_key_image(const char *digest)
{
  return g_strconcat("images/", digest, NULL);
}

char *
pt_key_node(const char *node)
{
  return g_strconcat("nodes/", node, NULL);
}
