// SPDX-License-Identifier: Apache-2.0
#include "api_fake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wire.h"
#include "drivers/process/process.h"

/* ── node/agent.h, as if ── */

/* Whatever is asked for is done, but that a volume called "busy" goes only by force. */
static bool
change_disks(PtTxn *txn, const char *key, const PtInstance *s, GError **error)
{
  g_autoptr(PtInstance) now = pt_record_copy(&pt_instance_type, s);
  bool changed = false;

  for (guint i = s->disks ? s->disks->len : 0; i-- > 0;) {
    const PtDisk *d = g_ptr_array_index(s->disks, i);
    bool busy = d->change == PT_DISK_DETACH && !d->force && strcmp(d->volume, "busy") == 0;
    changed |= d->change != PT_DISK_STAYS;
    if (busy)
      PT_SET(error, PT_ERR_CONFLICT, "volume busy: in use");
    if (d->change == PT_DISK_DETACH && !busy)
      pt_instance_disk_remove(now, d->id);
    else
      pt_instance_disk(now, d->id)->change = PT_DISK_STAYS;
  }
  g_autofree char *text = pt_record_dump(&pt_instance_type, now);
  if (changed)
    pt_txn_put(txn, key, text);
  return !(error && *error);
}

static void
reach(PtAgent *a, const PtInstance *s)
{
  g_autoptr(GError) err = NULL;
  g_autofree char *key = pt_key_instance(s->space, s->name), *status_key = pt_key_status(s->space, s->name),
                  *volume = pt_key_volume(s->space, s->volume);
  g_autoptr(PtTxn) txn = pt_txn_new();

  if (s->deleting) {
    pt_txn_delete(txn, key);
    pt_txn_delete(txn, status_key);
    pt_txn_delete(txn, volume);
  } else {
    static const int states[] = { PT_RUN_STOPPED, PT_RUN_RUNNING, PT_RUN_PAUSED, PT_RUN_HIBERNATED };
    const PtStatus status = {
      .name = s->name,
      .space = s->space,
      .id = s->id,
      .node = s->owner,
      .generation = s->generation,
      .boot = s->boot,
      .state = states[s->power],
      .ready = s->power == PT_POWER_RUNNING,
      .exit_code = -1,
      .idbase = a->idbase,
    };
    g_autofree char *text = pt_record_dump(&pt_status_type, &status);
    pt_txn_put(txn, status_key, text);
    change_disks(txn, key, s, &err);
  }
  g_assert_true(pt_store_commit(a->store, txn, NULL, NULL));
  if (s->op)
    pt_ops_end(a->ops, s->op, NULL, err);
}

static void
on_change(const PtChange *change, bool lost, void *data)
{
  PtAgent *a = data;

  if (lost || !change->value || !g_str_has_prefix(change->key, "spaces/"))
    return;
  if (a->idle) {
    if (strstr(change->key, "/instances/"))
      g_atomic_int_inc(&a->ignored);
    return;
  }
  g_autoptr(json_t) json = pt_json_parse_object(change->value, strlen(change->value), NULL);
  if (strstr(change->key, "/instances/")) {
    g_autoptr(PtInstance) spec = pt_instance_parse(json, NULL);
    if (spec)
      reach(a, spec);
  } else if (!strchr(change->key + 7, '/')) {
    g_autoptr(PtSpace) space = pt_space_parse(json, NULL);
    if (space && space->deleting) {
      g_autoptr(PtTxn) txn = pt_txn_new();
      pt_txn_delete(txn, change->key);
      pt_store_commit(a->store, txn, NULL, NULL);
      pt_ops_end(a->ops, space->op, NULL, NULL);
    }
  }
}

void
pt_agent_image_make(PtAgent *a, const char *op, const char *source, const char *name, const char *arch, const char *path)
{
  (void)source;
  (void)name;
  (void)arch;
  if (path)
    unlink(path);
  pt_ops_end(a->ops, op, "images/sha256:0", NULL);
}

static char *
fake_export(const char *op)
{
  return g_strdup_printf("%s/portena-fake-%s", g_get_tmp_dir(), op);
}

void
pt_agent_export(PtAgent *a, const char *op, const char *format, const char *digest, const char *space, const char *name)
{
  (void)format;
  (void)digest;
  (void)space;
  (void)name;
  g_autofree char *result = g_strconcat("exports/", op, NULL), *path = fake_export(op);
  g_file_set_contents(path, "a disk", -1, NULL);
  pt_ops_end(a->ops, op, result, NULL);
}

char *
pt_agent_export_file(PtAgent *a, const char *op, const char **ret_format, GError **error)
{
  g_autofree char *path = fake_export(op);

  (void)a;
  *ret_format = "qcow2";
  if (g_file_test(path, G_FILE_TEST_EXISTS))
    return g_steal_pointer(&path);
  PT_SET(error, PT_ERR_NOT_FOUND, "there is no such export any more");
  return NULL;
}

bool
pt_agent_image_remove(PtAgent *a, const char *digest, GError **error)
{
  g_autofree char *key = pt_key_image(digest);
  g_autoptr(PtTxn) txn = pt_txn_new();

  pt_txn_delete(txn, key);
  return pt_store_commit(a->store, txn, NULL, error);
}

bool
pt_agent_pool_info(PtAgent *a, PtPoolInfo *ret, GError **error)
{
  (void)a;
  (void)error;
  *ret = (PtPoolInfo){ .size = 1000, .used = 10, .available = 990, .reflink = true };
  return true;
}

bool
pt_agent_kvm(PtAgent *a, GError **error)
{
  (void)a;
  PT_SET(error, PT_ERR_UNSUPPORTED, "KVM: not in this test");
  return false;
}

const char *
pt_agent_uplink(PtAgent *a)
{
  (void)a;
  return "automatic: eth0";
}

static int
one_end(void)
{
  int sv[2];

  g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), ==, 0);
  g_assert_cmpint(write(sv[1], "hello", 5), ==, 5);
  close(sv[1]);
  return sv[0];
}

bool
pt_agent_runs_kind(const PtInstance *spec, GError **error)
{
  if (spec->kind == PT_KIND_CONTAINER)
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "kind: not here");
  return false;
}

bool
pt_agent_resizes(PtAgent *a, const PtInstance *spec, const char *field)
{
  (void)a;
  return strcmp(field, "memory") != 0 || spec->kind != PT_KIND_MACHINE || spec->memory <= (gint64)4 << 30;
}

bool
pt_agent_hibernates(const PtInstance *spec, GError **error)
{
  if (g_strcmp0(spec->name, "sleepless") != 0)
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "sleepless: cannot be hibernated");
  return false;
}

char *
pt_container_criu(GError **error)
{
  PT_SET(error, PT_ERR_UNSUPPORTED, "a container is hibernated on disk by CRIU 4 or newer, which is not here");
  return NULL;
}

bool
pt_agent_durable(PtAgent *a, const PtInstance *spec, GError **error)
{
  (void)a;
  if (g_strcmp0(spec->name, "fleeting") != 0)
    return true;
  PT_SET(error, PT_ERR_UNSUPPORTED, "fleeting: cannot be hibernated on disk\nhibernate it in memory, without --durable");
  return false;
}

int
pt_agent_exec(PtAgent *a, const PtInstance *spec, const PtExec *exec, GError **error)
{
  (void)a;
  (void)exec;
  if (strcmp(spec->name, "still") == 0) {
    PT_SET(error, PT_ERR_CONFLICT, "still: is stopped\nportena start still");
    return -1;
  }
  return one_end();
}

int
pt_agent_console(PtAgent *a, const PtInstance *spec, bool history, GError **error)
{
  (void)history;
  return pt_agent_exec(a, spec, NULL, error);
}

/* Three times it does not listen yet, as one that has just been started. */
int
pt_agent_desktop(PtAgent *a, const PtInstance *spec, GError **error)
{
  static gint asked;

  if (g_atomic_int_add(&asked, 1) < 3) {
    PT_SET(error, PT_ERR_NOT_FOUND, "%s: its desktop is not there yet", spec->name);
    return -1;
  }
  return pt_agent_exec(a, spec, NULL, error);
}

char *
pt_agent_logs(PtAgent *a, const PtInstance *spec, gsize bytes, gsize *ret_size, GError **error)
{
  (void)a;
  (void)spec;
  (void)error;
  *ret_size = MIN(bytes, 4);
  return g_strdup("log\n");
}

int
pt_agent_log_open(PtAgent *a, const PtInstance *spec, GError **error)
{
  (void)a;
  PT_SET(error, PT_ERR_NOT_FOUND, "%s: has no history", spec->name);
  return -1;
}

void
pt_process_free(PtProcess *p)
{
  g_free(p->user);
  g_free(p->command);
  g_free(p);
}

GPtrArray *
pt_agent_processes(PtAgent *a, const PtInstance *spec, GError **error)
{
  GPtrArray *out = g_ptr_array_new_with_free_func((GDestroyNotify)pt_process_free);
  PtProcess *p = g_new0(PtProcess, 1);

  (void)a;
  (void)spec;
  (void)error;
  p->pid = 1;
  p->user = g_strdup("root");
  p->command = g_strdup("/sbin/init");
  p->state = 'S';
  g_ptr_array_add(out, p);
  return out;
}

bool
pt_agent_sample(PtAgent *a, const PtInstance *spec, PtSample *ret, GError **error)
{
  (void)a;
  (void)spec;
  (void)error;
  *ret = (PtSample){ .time = pt_now(), .cpu = 250, .memory = 1 << 20, .disk_used = 1 << 20 };
  return true;
}

GArray *
pt_agent_samples(PtAgent *a, const PtInstance *spec, gint64 since, GError **error)
{
  GArray *out = g_array_new(FALSE, FALSE, sizeof(PtSample));
  PtSample s;

  (void)since;
  pt_agent_sample(a, spec, &s, error);
  g_array_append_val(out, s);
  return out;
}

json_t *
pt_sample_format(const PtSample *s)
{
  return json_pack("{s:f, s:I}", "cpu", s->cpu / 1000, "memory", (json_int_t)s->memory);
}

int
pt_agent_root(PtAgent *a, const PtInstance *spec, gint64 *ret_idbase, GError **error)
{
  (void)spec;
  int fd = open(a->tree, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    pt_error_errno(error, errno, "%s", a->tree);
  else
    g_atomic_int_inc(&a->roots);
  *ret_idbase = a->idbase;
  return fd;
}

void
pt_agent_root_done(PtAgent *a, const PtInstance *spec, int fd)
{
  g_assert_nonnull(spec->name);
  close(fd);
  g_atomic_int_add(&a->roots, -1);
}

bool pt_machine_agent_up(void *c, const char *id);

bool
pt_machine_agent_up(void *c, const char *id)
{
  (void)c;
  (void)id;
  return false;
}

/* Nothing here is a machine that runs; what reads its agent's words is the driver's own. */
bool pt_machine_ask(void *c, const char *id, bool qga, const char *lines, int in, int out, int *ret_answers, GError **error);

bool
pt_machine_ask(void *c, const char *id, bool qga, const char *lines, int in, int out, int *ret_answers, GError **error)
{
  (void)c;
  (void)qga;
  (void)id;
  (void)lines;
  (void)in;
  (void)out;
  (void)ret_answers;
  PT_SET(error, PT_ERR_UNSUPPORTED, "no machine");
  return false;
}

bool
pt_agent_calls(PtAgent *a, const PtInstance *spec)
{
  (void)a;
  (void)spec;
  return false;
}

PtGuestCall *
pt_agent_call(PtAgent *a, const PtInstance *spec, const char *lines, GError **error)
{
  (void)a;
  (void)spec;
  (void)lines;
  PT_SET(error, PT_ERR_UNSUPPORTED, "no machine");
  return NULL;
}

const char *const *
pt_images_recipes(void)
{
  static const char *const names[] = { "debian", "desktop", NULL };
  return names;
}

char *
pt_runtime_find(int runtime, GError **error)
{
  (void)runtime;
  PT_SET(error, PT_ERR_UNSUPPORTED, "none here");
  return NULL;
}

int
pt_landlock_abi(void)
{
  return 7;
}

const char *
pt_images_recipe_help(const char *recipe)
{
  return recipe;
}

int
pt_images_recipe_format(const char *recipe)
{
  (void)recipe;
  return PT_FORMAT_ROOTFS;
}

/* ── fixture ── */

char *
fixture_user(Fixture *f, const char *name, bool admin)
{
  g_autofree char *body =
      g_strdup_printf("{\"name\":\"%s\",\"password\":\"correct horse\",\"admin\":%s}", name, admin ? "true" : "false");
  g_autofree char *login = g_strdup_printf("{\"user\":\"%s\",\"password\":\"correct horse\",\"token\":true}", name);
  g_autoptr(Reply) made = ask(f, f->admin, "POST", "/v1/users", body, NULL);
  expect(made, 201, name);
  g_autoptr(Reply) in = ask(f, NULL, "POST", "/v1/session", login, NULL);
  expect(in, 201, name);
  return g_strdup(text_of(in, "token"));
}

static void
first_login(Fixture *f)
{
  g_autofree char *path = g_build_filename(f->host.state, "first-login", NULL), *text = NULL;

  g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
  g_strchomp(text);
  g_assert_true(g_str_has_prefix(text, "admin "));
  g_autofree char *login = g_strdup_printf("{\"user\":\"admin\",\"password\":\"%s\",\"token\":true}", text + 6);
  g_autofree char *change = g_strdup_printf("{\"password\":\"correct horse\",\"current_password\":\"%s\"}", text + 6);
  g_autoptr(Reply) in = ask(f, NULL, "POST", "/v1/session", login, NULL);
  expect(in, 201, "first login");
  f->admin = g_strdup(text_of(in, "token"));
  g_autoptr(Reply) early = ask(f, f->admin, "GET", "/v1/spaces", NULL, NULL);
  expect(early, 403, "before the password is changed");
  g_autoptr(Reply) changed = ask(f, f->admin, "PATCH", "/v1/users/admin", change, NULL);
  expect(changed, 200, "first password");
  g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

void
fixture_up(Fixture *f, bool root)
{
  GError *error = NULL;

  memset(f, 0, sizeof *f);
  f->dir = g_dir_make_tmp("api-XXXXXX", &error);
  g_assert_no_error(error);
  f->host = (PtHost){ .state = f->dir,
                      .run = f->dir,
                      .node = (char *)"n1",
                      .cgroup = (char *)"x",
                      .uplink = (char *)"none",
                      .cpus = 4,
                      .memory = (gint64)8 << 30,
                      .cap_sys_resource = true };
  g_autofree char *db = g_build_filename(f->dir, "store.db", NULL);
  f->store = pt_store_open_sqlite(db, &error);
  g_assert_no_error(error);
  f->bus = pt_bus_new(f->store, &error);
  g_assert_no_error(error);
  f->ops = pt_ops_new(f->store, f->bus);
  f->agent = (PtAgent){ .store = f->store, .ops = f->ops };
  f->agent.tree = g_build_filename(f->dir, "tree", NULL);
  g_assert_cmpint(g_mkdir(f->agent.tree, 0755), ==, 0);
  f->agent.watch = pt_store_watch(f->store, "spaces/", 0, on_change, &f->agent, &error);
  g_assert_no_error(error);
  const PtApiConfig config = { .gateway_uid = root ? -1 : (gint64)getuid(), .hash_memory = 8192 };
  f->api = pt_api_new(&f->host, f->store, f->bus, f->ops, &f->agent, &config, &error);
  g_assert_no_error(error);
  g_assert_true(pt_api_first_run(f->api, &error));
  g_assert_true(pt_api_listen(f->api, &error));
  g_assert_no_error(error);
  if (!root)
    first_login(f);
}

/* Trees of these tests hold symbolic links out of themselves, to "/" even, and the tests may run as root: every step goes by
 * a descriptor and O_NOFOLLOW, and a link is only ever unlinked. */
static void
remove_below(int dir)
{
  DIR *d = fdopendir(dir);
  const struct dirent *e;

  g_assert_nonnull(d);
  while ((e = readdir(d))) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || unlinkat(dirfd(d), e->d_name, 0) == 0)
      continue;
    int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
      remove_below(fd);
    unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
  }
  closedir(d);
}

static void
remove_tree(const char *path)
{
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  g_assert_cmpint(fd, >=, 0);
  remove_below(fd);
  g_assert_cmpint(rmdir(path), ==, 0);
}

void
fixture_down(Fixture *f)
{
  pt_api_free(f->api);
  g_assert_cmpint(g_atomic_int_get(&f->agent.roots), ==, 0);
  pt_watch_cancel(f->agent.watch);
  pt_ops_free(f->ops);
  pt_bus_free(f->bus);
  pt_store_close(f->store);
  remove_tree(f->dir);
  g_free(f->agent.tree);
  g_free(f->admin);
  g_free(f->dir);
}

void
fixture_image(Fixture *f, const char *name, const char *digit, PtInit init, bool desktop)
{
  char hex[65];
  char *names[] = { (char *)name, NULL }, *kinds[] = { (char *)"container", NULL };

  memset(hex, *digit, 64);
  hex[64] = '\0';
  g_autofree char *digest = g_strconcat("sha256:", hex, NULL);
  PtImage image = { .digest = digest,
                    .names = names,
                    .kinds = kinds,
                    .source = (char *)"recipe:x",
                    .init = init,
                    .desktop = desktop,
                    .size = 100,
                    .created = pt_now() };
  g_autofree char *key = pt_key_image(digest), *text = pt_record_dump(&pt_image_type, &image);
  g_autoptr(PtTxn) txn = pt_txn_new();
  pt_txn_put(txn, key, text);
  g_assert_true(pt_store_commit(f->store, txn, NULL, NULL));
}

/* ── a client ── */

int
dial(Fixture *f)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  struct timeval limit = { .tv_sec = 300 };
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_snprintf(a.sun_path, sizeof a.sun_path, "%s/api.sock", f->dir);
  g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof a), ==, 0);
  g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), ==, 0);
  return fd;
}

void
reply_free(Reply *r)
{
  if (!r)
    return;
  json_decref(r->json);
  g_free(r->head);
  g_free(r->body);
  g_free(r);
}

char *
header_of(const Reply *r, const char *name)
{
  g_auto(GStrv) lines = g_strsplit(r->head, "\r\n", -1);

  for (guint i = 0; lines[i]; i++) {
    gsize n = strlen(name);
    if (g_ascii_strncasecmp(lines[i], name, n) == 0 && lines[i][n] == ':')
      return g_strstrip(g_strdup(lines[i] + n + 1));
  }
  return NULL;
}

const char *
text_of(const Reply *r, const char *key)
{
  return json_string_value(json_object_get(r->json, key));
}

void
expect(const Reply *r, int status, const char *what)
{
  if (r->status != status)
    g_error("%s: %d instead of %d: %s", what, r->status, status, r->body ? r->body : "");
}

static void
unchunk(Reply *r)
{
  GByteArray *out = g_byte_array_new();
  char *p = r->body, *end = r->body + r->size;

  while (p < end) {
    char *next = NULL;
    gsize n = strtoul(p, &next, 16);
    next = strstr(next, "\r\n");
    if (n == 0 || !next || next + 2 + n > end)
      break;
    g_byte_array_append(out, (guint8 *)next + 2, (guint)n);
    p = next + 2 + n + 2;
  }
  g_free(r->body);
  r->size = out->len;
  g_byte_array_append(out, (const guint8 *)"", 1);
  r->body = (char *)g_byte_array_free(out, FALSE);
}

Reply *
ask_raw(Fixture *f, const void *bytes, gsize size)
{
  Reply *r = g_new0(Reply, 1);
  g_autoptr(GString) in = g_string_new(NULL);
  char buf[16384];
  ssize_t n;
  int fd = dial(f);

  for (gsize at = 0; at < size; at += (gsize)n) {
    n = send(fd, (const char *)bytes + at, size - at, MSG_NOSIGNAL);
    if (n < 0)
      break; /* refused before its end: the answer is there */
  }
  while ((n = read(fd, buf, sizeof buf)) > 0)
    g_string_append_len(in, buf, n);
  close(fd);
  const char *split = strstr(in->str, "\r\n\r\n");
  r->head = split ? g_strndup(in->str, (gsize)(split - in->str)) : g_strdup(in->str);
  r->size = split ? in->len - (gsize)(split + 4 - in->str) : 0;
  r->body = g_memdup2(split ? split + 4 : "", r->size + 1);
  if (strlen(r->head) > 12)
    r->status = atoi(r->head + 9);
  g_autofree char *coding = header_of(r, "Transfer-Encoding");
  if (coding)
    unchunk(r);
  r->json = r->size ? json_loadb(r->body, r->size, 0, NULL) : NULL;
  return r;
}

Reply *
ask(Fixture *f, const char *token, const char *method, const char *path, const char *body, const char *more)
{
  g_autoptr(GString) out = g_string_new(NULL);

  g_string_append_printf(out, "%s %s HTTP/1.1\r\nHost: server\r\nConnection: close\r\n", method, path);
  if (token)
    g_string_append_printf(out, "Authorization: Bearer %s\r\n", token);
  if (body)
    g_string_append_printf(out, "Content-Length: %zu\r\n", strlen(body));
  if (body && (!more || !strstr(more, "Content-Type")))
    g_string_append(out, "Content-Type: application/json\r\n");
  g_string_append_printf(out, "%s\r\n%s", more ? more : "", body ? body : "");
  return ask_raw(f, out->str, out->len);
}
