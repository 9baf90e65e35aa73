// SPDX-License-Identifier: Apache-2.0
#pragma once
/* For the tables of this folder: entries whose C type is checked against the field's kind when compiled, and the
 * checks that several types share. */
#include "model/record.h"

/* offsetof, refused by the compiler where the member has another type than the kind wants */
#define PT_AT(T, m, C)                                                                                                 \
  (offsetof(T, m) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((T *)0)->m), C) ? 1 : -1]))

#define PT_BOOL(T, m, fl, h) { .name = #m, .kind = PT_FIELD_BOOL, .offset = PT_AT(T, m, bool), .flags = (fl), .help = (h) }
#define PT_NUM(T, m, k, fl, lo, hi, h)                                                                                 \
  { .name = #m, .kind = (k), .offset = PT_AT(T, m, gint64), .flags = (fl), .min = (lo), .max = (hi), .help = (h) }
#define PT_INT(T, m, fl, lo, hi, h) PT_NUM(T, m, PT_FIELD_INT, fl, lo, hi, h)
#define PT_SIZE(T, m, fl, lo, hi, h) PT_NUM(T, m, PT_FIELD_SIZE, fl, lo, hi, h)
#define PT_CPU(T, m, fl, lo, hi, h) PT_NUM(T, m, PT_FIELD_CPU, fl, lo, hi, h)
#define PT_TIME(T, m, fl, h) PT_NUM(T, m, PT_FIELD_TIME, fl, 0, G_MAXINT64, h)
#define PT_STR(T, m, fl, hi, ck, h)                                                                                    \
  { .name = #m, .kind = PT_FIELD_STRING, .offset = PT_AT(T, m, char *), .flags = (fl), .max = (hi), .check = (ck), .help = (h) }
#define PT_TEXT(T, m, fl, hi, h)                                                                                       \
  { .name = #m, .kind = PT_FIELD_TEXT, .offset = PT_AT(T, m, char *), .flags = (fl), .max = (hi), .help = (h) }
#define PT_ENUM(T, m, fl, n, h)                                                                                        \
  { .name = #m, .kind = PT_FIELD_ENUM, .offset = PT_AT(T, m, int), .flags = (fl), .names = (n), .help = (h) }
#define PT_STRINGS(T, m, fl, hi, ck, h)                                                                                \
  { .name = #m, .kind = PT_FIELD_STRINGS, .offset = PT_AT(T, m, char **), .flags = (fl), .max = (hi), .check = (ck), .help = (h) }
#define PT_MAP(T, m, fl, hi, ck, h)                                                                                    \
  { .name = #m, .kind = PT_FIELD_MAP, .offset = PT_AT(T, m, GHashTable *), .flags = (fl), .max = (hi), .check = (ck), .help = (h) }
#define PT_OBJECT(T, m, C, fl, t, h)                                                                                   \
  { .name = #m, .kind = PT_FIELD_OBJECT, .offset = PT_AT(T, m, C *), .flags = (fl), .type = (t), .help = (h) }
#define PT_LIST(T, m, fl, hi, t, h)                                                                                    \
  { .name = #m, .kind = PT_FIELD_LIST, .offset = PT_AT(T, m, GPtrArray *), .flags = (fl), .max = (hi), .type = (t), .help = (h) }

/* what a person may set when creating, and change afterwards with effect at once, or at the next start */
#define PT_LIVE (PT_F_USER | PT_F_LIVE)
#define PT_STOPPED (PT_F_USER | PT_F_STOPPED)

#define PT_BIG (G_GINT64_CONSTANT(1) << 60) /* more than any size or rate; sums of a thousand do not overflow a double */
#define PT_TEXT_MAX (128 * 1024) /* bytes of one word or variable: the kernel's MAX_ARG_STRLEN */

/* Whether `value` may stand in a STRING (`lines` false) or TEXT of at most `max` bytes. */
bool pt_text_check(const char *value, gsize max, bool lines, GError **error);
/* A copy that may; the caller's. */
char *pt_text_clean(const char *value, gsize max, bool lines);

/* Checks: INVALID with a sentence about the value; the codec puts the field's name before it. */
bool pt_check_id(const char *value, GError **error);
bool pt_check_digest(const char *value, GError **error);
bool pt_check_instance(const char *value, GError **error);
bool pt_check_space(const char *value, GError **error);
bool pt_check_volume(const char *value, GError **error);
bool pt_check_node(const char *value, GError **error);
bool pt_check_pool(const char *value, GError **error);
bool pt_check_user(const char *value, GError **error);       /* of Portena */
bool pt_check_guest_user(const char *value, GError **error); /* name or uid, and :group, inside an image */
bool pt_check_env(const char *value, GError **error);
bool pt_check_path(const char *value, GError **error);       /* absolute, without ".." */
bool pt_check_ip4(const char *value, GError **error);
bool pt_check_ip6(const char *value, GError **error);
bool pt_check_ip(const char *value, GError **error);
bool pt_check_subnet(const char *value, GError **error);     /* IPv4 /8 … /30, host bits zero */
bool pt_check_prefix6(const char *value, GError **error);    /* IPv6 /64, host bits zero */
bool pt_check_mac(const char *value, GError **error);        /* unicast, lower case */
bool pt_check_image_name(const char *value, GError **error);
bool pt_check_scope(const char *value, GError **error);
bool pt_check_ssh_key(const char *value, GError **error);    /* a line of authorized_keys without options */
bool pt_check_signal(const char *value, GError **error);
