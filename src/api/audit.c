// SPDX-License-Identifier: Apache-2.0
#include "api/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/text.h"

#define KEEP 100000
#define KEEP_LOGINS 10000
#define PRUNE_EVERY 256 /* entries */

struct PtAudit {
  GMutex lock;
  sqlite3 *db;
  sqlite3_stmt *add;
  guint added; /* since the last pruning */
};

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-256; PRAGMA journal_size_limit=1048576;"
    "CREATE TABLE IF NOT EXISTS audit (id TEXT PRIMARY KEY, time INTEGER NOT NULL, user TEXT, source TEXT, method TEXT, "
    "path TEXT,"
    " object TEXT, action TEXT, outcome TEXT NOT NULL, detail TEXT, login INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS audit_object ON audit (object, id);"
    "CREATE TRIGGER IF NOT EXISTS audit_fixed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END;";

static bool
failed(PtAudit *a, const char *what, GError **error)
{
  PT_SET(error, PT_ERR_INTERNAL, "audit log: %s: %s", what, sqlite3_errmsg(a->db));
  return false;
}

PtAudit *
pt_audit_open(const char *path, GError **error)
{
  PtAudit *a = g_new0(PtAudit, 1);

  g_mutex_init(&a->lock);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* SQLite would make it readable for all */
  if (fd < 0) {
    pt_error_errno(error, errno, "audit log: %s", path);
    pt_audit_close(a);
    return NULL;
  }
  close(fd);
  if (sqlite3_open_v2(path, &a->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK ||
      sqlite3_busy_timeout(a->db, 5000) != SQLITE_OK || sqlite3_exec(a->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
      sqlite3_prepare_v2(a->db, "INSERT INTO audit VALUES (?,?,?,?,?,?,?,?,?,?,?)", -1, &a->add, NULL) != SQLITE_OK) {
    failed(a, path, error);
    pt_audit_close(a);
    return NULL;
  }
  return a;
}

void
pt_audit_close(PtAudit *a)
{
  if (!a)
    return;
  sqlite3_finalize(a->add);
  sqlite3_close(a->db);
  g_mutex_clear(&a->lock);
  g_free(a);
}

static bool
prune(PtAudit *a, int login, int keep, GError **error)
{
  g_autofree char *sql =
      g_strdup_printf("DELETE FROM audit WHERE login = %d AND id <= (SELECT id FROM audit WHERE login = %d ORDER BY id"
                      " DESC LIMIT 1 OFFSET %d)",
                      login, login, keep);

  return sqlite3_exec(a->db, sql, NULL, NULL, NULL) == SQLITE_OK || failed(a, "prune", error);
}

static void
bind(sqlite3_stmt *s, int at, const char *text)
{
  if (text) {
    g_autofree char *safe = pt_text_safe(text, 1000);
    sqlite3_bind_text(s, at, safe, -1, SQLITE_TRANSIENT);
  } else {
    sqlite3_bind_null(s, at);
  }
}

bool
pt_audit_add(PtAudit *a, const PtAuditEntry *e, GError **error)
{
  const char *const columns[] = { e->user, e->from, e->method, e->path, e->object, e->action, e->outcome, e->detail };
  bool ok = true;

  g_mutex_lock(&a->lock);
  g_autofree char *id = pt_id_new(); /* under the lock: their order is that of the entries, but within a millisecond */
  sqlite3_bind_text(a->add, 1, id, -1, SQLITE_TRANSIENT);
  sqlite3_bind_int64(a->add, 2, pt_now());
  for (guint i = 0; i < G_N_ELEMENTS(columns); i++)
    bind(a->add, 3 + (int)i, columns[i]);
  sqlite3_bind_int(a->add, 11, e->login);
  if (sqlite3_step(a->add) != SQLITE_DONE)
    ok = failed(a, "write", error);
  sqlite3_reset(a->add);
  if (ok && ++a->added >= PRUNE_EVERY) {
    a->added = 0;
    ok = prune(a, 0, KEEP, error) && prune(a, 1, KEEP_LOGINS, error);
  }
  g_mutex_unlock(&a->lock);
  return ok;
}

static void
set_text(json_t *o, const char *key, sqlite3_stmt *s, int column)
{
  const char *text = (const char *)sqlite3_column_text(s, column);

  json_object_set_new(o, key, text ? json_string(text) : json_null());
}

static json_t *
format(sqlite3_stmt *s)
{
  static const char *const names[] = { "user", "from", "method", "path", "object", "action", "outcome", "detail" };
  json_t *o = json_object();
  g_autofree char *time = pt_time_format(sqlite3_column_int64(s, 1));

  set_text(o, "id", s, 0);
  json_object_set_new(o, "time", json_string(time));
  for (guint i = 0; i < G_N_ELEMENTS(names); i++)
    set_text(o, names[i], s, 2 + (int)i);
  return o;
}

json_t *
pt_audit_list(PtAudit *a, gint64 limit, const char *before, const char *user, const char *object, GError **error)
{
  static const char sql[] =
      "SELECT id, time, user, source, method, path, object, action, outcome, detail FROM audit WHERE"
      " (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR user = ?2) AND"
      " (?3 IS NULL OR object = ?3 OR (object > ?3 || '/' AND object < ?3 || '0')) ORDER BY id DESC LIMIT ?4";
  sqlite3_stmt *s = NULL;
  g_autoptr(json_t) items = json_array();
  int rc = SQLITE_ERROR;

  g_mutex_lock(&a->lock);
  if (sqlite3_prepare_v2(a->db, sql, -1, &s, NULL) == SQLITE_OK) {
    bind(s, 1, before);
    bind(s, 2, user);
    bind(s, 3, object);
    sqlite3_bind_int64(s, 4, limit);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
      json_array_append_new(items, format(s));
  }
  bool ok = rc == SQLITE_DONE || failed(a, "read", error);
  sqlite3_finalize(s);
  g_mutex_unlock(&a->lock);
  return ok ? g_steal_pointer(&items) : NULL;
}
