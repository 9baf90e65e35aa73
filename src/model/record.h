// SPDX-License-Identifier: Apache-2.0
#pragma once
/* A record is a C struct with a table of its fields. One codec reads the table: parse, format, copy,
 * free, patch; so a field is named once. No I/O. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

typedef struct PtType PtType;

typedef enum {
  PT_FIELD_BOOL,    /* bool */
  PT_FIELD_INT,     /* gint64, between min and max */
  PT_FIELD_SIZE,    /* gint64 bytes; JSON number, or text such as "2GiB" */
  PT_FIELD_CPU,     /* gint64 thousandths of a cpu; JSON number of cpus (2, 0.5) or its text */
  PT_FIELD_TIME,    /* gint64 µs since 1970, 0 = never; JSON RFC 3339 (milliseconds) or null */
  PT_FIELD_STRING,  /* char *, NULL = absent; at most `max` bytes, valid UTF-8 without control characters */
  PT_FIELD_TEXT,    /* char *, the same, but line breaks and tabs are allowed */
  PT_FIELD_ENUM,    /* int, by `names` (NULL-ended) */
  PT_FIELD_STRINGS, /* char **, NULL-ended, or NULL; at most `max` entries, each a text of at most 128 KiB */
  PT_FIELD_MAP,     /* GHashTable of char * to char *, both owned, or NULL; at most `max` entries, values as in STRINGS */
  PT_FIELD_OBJECT,  /* pointer to a struct of `type`, or NULL */
  PT_FIELD_LIST,    /* GPtrArray without free function of structs of `type`, or NULL; at most `max` entries */
  PT_N_FIELDS
} PtFieldKind;

enum {
  PT_F_USER = 1u << 0,     /* a request may set it when it creates the object */
  PT_F_LIVE = 1u << 1,     /* … and change it later, taking effect at once */
  PT_F_STOPPED = 1u << 2,  /* … and change it later, taking effect at the next start */
  PT_F_SECRET = 1u << 3,   /* stored, never shown by the API */
  PT_F_REQUIRED = 1u << 4, /* a parse without it fails */
  PT_F_ADMIN = 1u << 5,    /* a request of an administrator may set and change it */
};

typedef struct PtField {
  const char *name;
  PtFieldKind kind;
  size_t offset;
  guint flags;
  gint64 min, max;
  const char *const *names;                                   /* ENUM */
  const PtType *type;                                         /* OBJECT, LIST */
  bool (*check)(const char *value, GError **error);           /* STRING, each of STRINGS, each key of MAP; may be NULL */
  const char *help;                                           /* one sentence, for OpenAPI and the CLI */
} PtField;

struct PtType {
  const char *name; /* "instance" */
  size_t size;
  const PtField *fields;
  guint n_fields;
  void (*defaults)(void *record);                             /* after zeroing; may be NULL */
  bool (*validate)(const void *record, GError **error);       /* across fields, half-filled ones too; may be NULL */
  /* What a later change may not do ("a disk only grows"); not asked when a record is made. May be NULL. */
  bool (*transition)(const void *old, const void *record, GError **error);
  json_t *(*from_text)(const char *text, GError **error);     /* an item of a LIST as a person writes it; may be NULL */
};

/* The table's entry; NULL where there is none. */
const PtField *pt_field_find(const PtType *type, const char *name);

/* A zeroed record with its defaults. The caller's: pt_record_free(). Strings, tables and arrays in it are its own. */
void *pt_record_new(const PtType *type);
void pt_record_free(const PtType *type, void *record); /* NULL is fine */
void *pt_record_copy(const PtType *type, const void *record);

/* From our own store: every field allowed, unknown keys ignored (a newer version's). Wrong types, values out of
 * bounds and missing required fields are INVALID errors that name the field. */
void *pt_record_parse(const PtType *type, const json_t *json, GError **error);

/* All fields but absent ones; without PT_F_SECRET ones unless `secrets`. Text that a parse would refuse (an engine's
 * error message with control characters, too long a step) is made harmless and cut, so it can be read back. A new
 * reference. */
json_t *pt_record_format(const PtType *type, const void *record, bool secrets);
json_t *pt_field_format(const PtField *field, const void *record, bool secrets); /* one field; NULL where absent */
/* The same without secrets, and with null (lists: []) for what is absent, and the revision unless it is 0: for a client. */
json_t *pt_record_view(const PtType *type, const void *record, gint64 revision);
/* Compact text with secrets, for the store, and back. */
char *pt_record_dump(const PtType *type, const void *record);
void *pt_record_read(const PtType *type, const char *text, GError **error);

/* Applies what a client sent (RFC 7396 merge patch): only fields with one of `allowed` flags, unknown or
 * forbidden keys are INVALID errors that name the key (FORBIDDEN: an administrator might), null resets to the default.
 * Then validates; where
 * `allowed` lacks PT_F_USER it is a later change, and the type's transition() is asked too. On failure the
 * record is unchanged; on success pointers borrowed from it are void. `ret_flags`, if not NULL, is the union of the
 * flags of the fields that really changed. */
bool pt_record_patch(const PtType *type, void *record, const json_t *patch, guint allowed, guint *ret_flags, GError **error);

/* "cpu=2", "env.FOO=bar", "quota.memory=8GiB", "command=sh -c 'ls -l'", "ports=8080:80,5353:53/udp": sets one field
 * from its text, as `portena set` does, into a merge patch. Lists, maps and objects may be JSON. An empty value is null.
 * INVALID where the field does not exist or the text is none of its kind. `patch` is an object; unchanged on failure. */
bool pt_record_patch_add(const PtType *type, json_t *patch, const char *assignment, GError **error);
