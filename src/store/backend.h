// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What a back end sees of a transaction. */
#include "store/store.h"

#define PT_STORE_KEY_MAX 512
#define PT_STORE_VALUE_MAX (1 << 20)
#define PT_STORE_TXN_MAX 512 /* compares, and writes, of one transaction */

typedef struct PtCompare {
  char *key;
  gint64 revision; /* 0: must not exist */
} PtCompare;

typedef struct PtWrite {
  char *key;
  char *value;
  gint64 lease;
  bool remove; /* then without value */
} PtWrite;

struct PtTxn {
  GArray *compares; /* of PtCompare */
  GArray *writes;   /* of PtWrite, in the order they were asked for */
};
