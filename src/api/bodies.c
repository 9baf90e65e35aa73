// SPDX-License-Identifier: Apache-2.0
#include "api/bodies.h"

#include "model/field.h"
#include "model/space.h"

#define NEED (PT_F_USER | PT_F_REQUIRED)
#define MAY PT_F_USER
#define PASSWORD_MAX 1024 /* what is looked at; the rule for a new one is stricter */

#define TYPE(v, n, f, d)                                                                                                    \
  const PtType v = { .name = n, .size = sizeof(f##_t), .fields = f, .n_fields = G_N_ELEMENTS(f), .defaults = d }

typedef PtBodySession session_t;
static const PtField session[] = {
  PT_STR(PtBodySession, user, NEED, 64, NULL, "who logs in"),
  PT_STR(PtBodySession, password, NEED, PASSWORD_MAX, NULL, "the user's password"),
  PT_STR(PtBodySession, code, MAY, 16, NULL, "the six digits of the second factor, where the user has one"),
  PT_BOOL(PtBodySession, token, MAY, "answer with a token instead of a cookie, for programs"),
  PT_STR(PtBodySession, name, MAY, 80, NULL, "what the session is shown as, such as the browser or the machine"),
};
TYPE(pt_body_session, "session", session, NULL);

typedef PtBodyUser user_new_t;
static const PtField user_new[] = {
  PT_STR(PtBodyUser, name, NEED, 32, pt_check_user, "login name"),
  PT_STR(PtBodyUser, password, NEED, PASSWORD_MAX, NULL, "first password"),
  PT_STR(PtBodyUser, full_name, MAY, 120, NULL, "the person's name"),
  PT_BOOL(PtBodyUser, admin, MAY, "may do everything"),
  PT_BOOL(PtBodyUser, must_change, MAY, "the password has to be changed at the first login"),
};
TYPE(pt_body_user_new, "user", user_new, NULL);

typedef PtBodyUser user_change_t;
static const PtField user_change[] = {
  PT_STR(PtBodyUser, full_name, MAY, 120, NULL, "the person's name"),
  PT_STR(PtBodyUser, password, MAY, PASSWORD_MAX, NULL, "a new password; ends the user's other sessions"),
  PT_STR(PtBodyUser, current_password, MAY, PASSWORD_MAX, NULL, "the present password, to change one's own"),
  PT_BOOL(PtBodyUser, admin, MAY, "may do everything; set by administrators"),
  PT_BOOL(PtBodyUser, disabled, MAY, "cannot log in; set by administrators"),
  PT_BOOL(PtBodyUser, must_change, MAY, "the password has to be changed at the next login; set by administrators"),
};
TYPE(pt_body_user_change, "user", user_change, NULL);

typedef PtBodyCode code_t;
static const PtField code[] = {
  PT_STR(PtBodyCode, code, NEED, 16, NULL, "the six digits that the app shows now"),
};
TYPE(pt_body_code, "code", code, NULL);

typedef PtBodyPassword password_t;
static const PtField password[] = {
  PT_STR(PtBodyPassword, password, MAY, PASSWORD_MAX, NULL, "the password of who asks; only root on the server needs none"),
};
TYPE(pt_body_password, "password", password, NULL);

typedef PtBodyToken token_t;
static const PtField token[] = {
  PT_STR(PtBodyToken, name, NEED, 80, NULL, "what it is for"),
  PT_STR(PtBodyToken, expires_in, MAY, 16, NULL, "how long it holds, such as 90d (the default); at most 3650d"),
  PT_STR(PtBodyToken, scope, MAY, 80, pt_check_scope, "full, read, space:NAME or space:NAME:read"),
};
TYPE(pt_body_token, "token", token, NULL);

static void
member_defaults(void *record)
{
  ((PtBodyMember *)record)->role = PT_ROLE_NONE;
}

typedef PtBodyMember member_t;
static const PtField member[] = {
  PT_ENUM(PtBodyMember, role, NEED, pt_role_names, "viewer, member or owner"),
};
TYPE(pt_body_member, "member", member, member_defaults);

typedef PtBodyVolume volume_t;
static const PtField volume[] = {
  PT_SIZE(PtBodyVolume, size, NEED, 1, PT_BIG, "bytes it shall have; it only grows"),
};
TYPE(pt_body_volume, "volume", volume, NULL);

static void
volume_new_defaults(void *record)
{
  ((PtBodyVolumeNew *)record)->size = G_GINT64_CONSTANT(10) << 30;
}

typedef PtBodyVolumeNew volume_new_t;
static const PtField volume_new[] = {
  PT_STR(PtBodyVolumeNew, name, NEED, 63, pt_check_volume, "its name, of the space's data volumes"),
  PT_SIZE(PtBodyVolumeNew, size, MAY, 16 << 20, G_GINT64_CONSTANT(1) << 44, "its size, such as 10GiB (the default); it only grows"),
};
TYPE(pt_body_volume_new, "volume", volume_new, volume_new_defaults);

typedef PtBodyDisk disk_t;
static const PtField disk[] = {
  PT_STR(PtBodyDisk, volume, NEED, 63, NULL, "the data volume, by name or id"),
  PT_STR(PtBodyDisk, path, MAY, 1024, pt_check_path,
         "where it is seen inside; without one /mnt/VOLUME, of a process /data/VOLUME; of a pc none"),
  PT_BOOL(PtBodyDisk, read_only, MAY, "whether nothing can be written to it"),
};
TYPE(pt_body_disk, "disk", disk, NULL);

const char *const pt_action_names[] = { "none", "start", "stop", "restart", "pause", "resume", "hibernate", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(pt_action_names) == PT_N_ACTIONS + 1);

typedef PtBodyAction action_t;
static const PtField action[] = {
  PT_ENUM(PtBodyAction, action, NEED, pt_action_names, "start, stop, restart, pause, resume or hibernate"),
  PT_BOOL(PtBodyAction, force, MAY, "do not wait for the guest"),
  PT_BOOL(PtBodyAction, durable, MAY, "hibernate: on disk, so that it outlives a restart of the node; a machine's always does"),
  PT_INT(PtBodyAction, deadline, MAY, 0, 3600, "seconds the guest has to stop by itself; 0 = 10, a machine 30"),
};
TYPE(pt_body_action, "action", action, NULL);

static void
exec_defaults(void *record)
{
  PtBodyExec *e = record;

  e->cols = 80;
  e->rows = 24;
}

typedef PtBodyNic nic_t;
static const PtField nic[] = {
  PT_STR(PtBodyNic, name, MAY, 16, NULL, "what it is called, eth1 to eth7; the first that is free if not given"),
  PT_STR(PtBodyNic, space, MAY, 63, pt_check_space, "the space whose network it is in; the instance's own if not given"),
  PT_STR(PtBodyNic, address, MAY, 15, pt_check_ip4, "its IPv4 address there; the next free one if not given"),
};
TYPE(pt_body_nic, "nic", nic, NULL);

typedef PtBodyExec exec_t;
static const PtField exec_fields[] = {
  PT_STRINGS(PtBodyExec, command, MAY, 1024, NULL, "program and arguments"),
  PT_BOOL(PtBodyExec, shell, MAY, "the login shell instead of a command"),
  PT_MAP(PtBodyExec, env, MAY, 256, pt_check_env, "added to the instance's environment"),
  PT_STR(PtBodyExec, cwd, MAY, 4096, pt_check_path, "directory it starts in"),
  PT_STR(PtBodyExec, user, MAY, 64, pt_check_guest_user, "user inside, by name or uid[:gid]"),
  PT_BOOL(PtBodyExec, tty, MAY, "on a terminal"),
  PT_INT(PtBodyExec, cols, MAY, 1, 1000, "columns of the terminal"),
  PT_INT(PtBodyExec, rows, MAY, 1, 1000, "rows of the terminal"),
};
const PtType pt_body_exec = {
  .name = "exec",
  .size = sizeof(exec_t),
  .fields = exec_fields,
  .n_fields = G_N_ELEMENTS(exec_fields),
  .defaults = exec_defaults,
};

typedef PtBodyImage image_t;
static const PtField image[] = {
  PT_STR(PtBodyImage, source, NEED, 512, NULL,
         "recipe:NAME, docker://REGISTRY/REPOSITORY:TAG, oci:…, docker-archive:…, rootfs:…, program:…, "
         "or a disk: qcow2:…, raw:…, vmdk:…, vdi:…, vhdx:…, vhd:…, ova:…, iso:…"),
  PT_STR(PtBodyImage, name, MAY, 255, pt_check_image_name, "name it gets; without one, from the source"),
  PT_STR(PtBodyImage, arch, MAY, 32, NULL, "architecture; without one, this node's"),
};
TYPE(pt_body_image, "image", image, NULL);

const char *const pt_export_format_names[] = { "qcow2", "raw", "vmdk", "vdi", "vhdx", "vhd", "ova", "iso", NULL };
G_STATIC_ASSERT(G_N_ELEMENTS(pt_export_format_names) == PT_N_EXPORTS + 1);

typedef PtBodyExport export_t;
static const PtField export[] = {
  PT_ENUM(PtBodyExport, format, NEED, pt_export_format_names, "what the file shall be"),
};
TYPE(pt_body_export, "export", export, NULL);

typedef PtBodyNames names_t;
static const PtField names[] = {
  PT_STRINGS(PtBodyNames, names, NEED, 16, pt_check_image_name, "all names it shall have"),
};
TYPE(pt_body_names, "image", names, NULL);

static void
launch_defaults(void *record)
{
  ((PtBodyLaunch *)record)->start = true;
}

typedef PtBodyLaunch launch_t;
static const PtField launch[] = {
  PT_STR(PtBodyLaunch, image, NEED, 255, NULL, "image by name or digest"),
  PT_STR(PtBodyLaunch, arch, MAY, 16, NULL, "processor architecture its image is to be for, such as aarch64; without one, any"),
  PT_BOOL(PtBodyLaunch, start, MAY, "start it when it is made (the default)"),
};
TYPE(pt_body_launch, "launch", launch, launch_defaults);
