// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Between record.c, codec.c and patch.c: how one field, by its kind, is written into and out of a record. */
#include "model/record.h"

typedef struct PtApply {
  bool strict;   /* a client's: unknown and forbidden keys are refused */
  guint allowed; /* strict: flags of which a field must have one */
} PtApply;

typedef struct PtCodec {
  bool pointer; /* NULL = absent */
  void (*clear)(const PtField *f, void *record);
  void (*copy)(const PtField *f, void *to, const void *from);            /* onto a bitwise copy; NULL: nothing to do */
  json_t *(*format)(const PtField *f, const void *record, bool secrets); /* NULL: absent */
  bool (*read)(const PtField *f, void *record, const json_t *v, const PtApply *how, GError **error); /* merges; never null */
} PtCodec;

extern const PtCodec pt_codecs[PT_N_FIELDS];

/* Writes the members of `json` (an object) into `record`. The record may be half-written on failure. */
bool pt_record_apply(const PtType *type, void *record, const json_t *json, const PtApply *how, GError **error);
/* Frees what the fields hold and leaves them zero. */
void pt_record_clear(const PtType *type, void *record);
bool pt_field_missing(const PtField *f, GError **error); /* sets the error; always false */
