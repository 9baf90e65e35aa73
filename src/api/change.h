// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Changing what is desired of one instance. */
#include "api/request.h"

typedef struct PtSpecChange {
  PtRequest *r;
  PtInstance *spec;
  PtStatus *status; /* may be NULL */
  gint64 revision;
  const char *kind; /* of the operation */
  bool undoes;      /* need not wait for what is at work */
  PtTxn *txn;
  void *data;
  char *old_name; /* a rename: the record's name until now */
  char *op;       /* made when it was committed */
} PtSpecChange;

/* Changes c->spec (and adds to c->txn). */
typedef bool (*PtSpecFunc)(PtSpecChange *c, GError **error);

/* Reads the route's instance, lets `func` change it, and writes it with an operation of `kind`: its id, the caller's. Again where
 * somebody else was faster, unless the client insisted on a revision. */
char *pt_spec_change(PtRequest *r, const char *kind, bool undoes, PtSpecFunc func, void *data, GError **error);

/* Its run state (PtRun), as far as it is known. */
int pt_spec_state(const PtSpecChange *c);
/* CONFLICT: "NAME: is STATE" with `advice` as the hint. Always false. */
bool pt_spec_wrong_state(const PtSpecChange *c, const char *advice, GError **error);
