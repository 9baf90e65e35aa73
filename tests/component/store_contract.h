// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What every back end of the store has to do. A back end's test program gives a factory and calls
 * store_contract_add(); what it cannot do it leaves NULL, and those tests are skipped. */
#include "store/store.h"

typedef struct StoreFactory {
  const char *name;
  void *(*make)(void);                             /* a place for one empty store: a directory, a cluster */
  PtStore *(*open)(void *place, GError **error);   /* the store in it; again after it was closed */
  void (*drop)(void *place);                       /* closed before */
  void (*keep_history)(PtStore *store, gint64 revisions);
  bool durable;                                    /* a killed process's commits are found again by open() */
} StoreFactory;

/* The tests keep `factory`. */
void store_contract_add(const StoreFactory *factory);
void store_harsh_add(const StoreFactory *factory); /* store_harsh.c: threads, kill -9 */

/* Commits one put; asserts that it works; its revision. */
gint64 store_put(PtStore *store, const char *key, const char *value);

typedef struct StoreFixture {
  const StoreFactory *factory;
  void *place;
  PtStore *store;
} StoreFixture;
void store_fixture_up(StoreFixture *f, gconstpointer factory);
void store_fixture_down(StoreFixture *f, gconstpointer factory);
#define STORE_TEST(factory, name, func)                                                                                \
  g_test_add("/store/" name, StoreFixture, factory, store_fixture_up, func, store_fixture_down)

/* A watch's function that collects: "REV KEY=VALUE\n", "REV KEY deleted\n", "lost\n". */
typedef struct Seen {
  GMutex lock;
  GCond cond;
  GString *text;
  guint n;
  guint last; /* changes that were the last of theirs */
} Seen;
void seen_init(Seen *s);
void seen_clear(Seen *s);
void seen_on_change(const PtChange *change, bool lost, void *data);
bool seen_wait(Seen *s, guint n); /* until n calls came, two minutes at most */
