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
  PT_FIELD_TIME,    /* gint64 µs since 1970, 0 = never; JSON RFC 3339 or null */
  PT_FIELD_STRING,  /* char *, NULL = absent; at most `max` bytes, valid UTF-8 without control characters */
  PT_FIELD_TEXT,    /* char *, the same, but line breaks and tabs are allowed */
  PT_FIELD_ENUM,    /* int, by `names` (NULL-ended) */
  PT_FIELD_STRINGS, /* char **, NULL-ended, or NULL; at most `max` entries */
  PT_FIELD_MAP,     /* GHashTable of char * to char *, or NULL; at most `max` entries */
  PT_FIELD_OBJECT,  /* pointer to a struct of `type`, or NULL */
  PT_FIELD_LIST,    /* GPtrArray of structs of `type`, or NULL; at most `max` entries */
  PT_N_FIELDS
} PtFieldKind;

enum {
  PT_F_USER = 1u << 0,     /* a request may set it when it creates the object */
  PT_F_LIVE = 1u << 1,     /* … and change it later, taking effect at once */
  PT_F_STOPPED = 1u << 2,  /* … and change it later, taking effect at the next start */
  PT_F_SECRET = 1u << 3,   /* stored, never shown by the API */
  PT_F_REQUIRED = 1u << 4, /* a parse without it fails */
};

typedef struct PtField {
  const char *name;
  PtFieldKind kind;
  size_t offset;
  guint flags;
  gint64 min, max;
  const char *const *names;                                   /* ENUM */
  const PtType *type;                                         /* OBJECT, LIST */
  bool (*check)(const char *value, GError **error);           /* STRING, and each of STRINGS; may be NULL */
  const char *help;                                           /* one sentence, for OpenAPI and the CLI */
} PtField;

struct PtType {
  const char *name; /* "instance" */
  size_t size;
  const PtField *fields;
  guint n_fields;
  void (*defaults)(void *record);                             /* after zeroing; may be NULL */
  bool (*validate)(const void *record, GError **error);       /* across fields; may be NULL */
};

/* A zeroed record with its defaults. The caller's: pt_record_free(). */
void *pt_record_new(const PtType *type);
void pt_record_free(const PtType *type, void *record);
void *pt_record_copy(const PtType *type, const void *record);

/* From our own store: every field allowed, unknown keys ignored (a newer version's). NULL and an error
 * otherwise. */
void *pt_record_parse(const PtType *type, const json_t *json, GError **error);

/* All fields but absent ones; without PT_F_SECRET ones unless `secrets`. A new reference. */
json_t *pt_record_format(const PtType *type, const void *record, bool secrets);
char *pt_record_dump(const PtType *type, const void *record); /* compact text with secrets, for the store */

/* Applies what a client sent (RFC 7396 merge patch): only fields with one of `allowed` flags, unknown or
 * forbidden keys are INVALID errors that name the key, null resets to the default. Then validates. On
 * failure the record is unchanged. `ret_flags`, if not NULL, is the union of the flags of the fields that
 * really changed. */
bool pt_record_patch(const PtType *type, void *record, const json_t *patch, guint allowed, guint *ret_flags, GError **error);

/* "cpu=2", "env.FOO=bar": sets one field from its text, as `portena set` does, into a merge patch.
 * An empty value is null. INVALID where the field does not exist. `patch` is an object. */
bool pt_record_patch_add(const PtType *type, json_t *patch, const char *assignment, GError **error);
