// SPDX-License-Identifier: Apache-2.0
/* Bytes in and out: files, uploads, streams by descriptor, events. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api_fake.h"
#include "base/wire.h"

#define FILES "/v1/spaces/home/instances/web/files?path="

static void
up(Fixture *f)
{
  fixture_up(f, false);
  fixture_image(f, "debian", "a", PT_INIT_SYSTEM, true);
  g_autoptr(Reply) made =
      ask(f, f->admin, "POST", "/v1/spaces/home/instances?wait=120", "{\"name\":\"web\",\"image\":\"debian\"}", NULL);
  expect(made, 202, "launch");
  g_autoptr(Reply) still = ask(f, f->admin, "POST", "/v1/spaces/home/instances?wait=120",
                               "{\"name\":\"still\",\"image\":\"debian\",\"start\":false}", NULL);
  expect(still, 202, "launch");
  g_assert_cmpstr(text_of(still, "state"), ==, "stopped");
}

static char *
in_tree(Fixture *f, const char *path)
{
  return g_build_filename(f->agent.tree, path, NULL);
}

static Reply *
put(Fixture *f, const char *path, const char *body)
{
  return ask(f, f->admin, "PUT", path, body, "Content-Type: application/octet-stream\r\n");
}

static void
test_files(void)
{
  Fixture f;
  struct stat st;

  up(&f);
  g_autoptr(Reply) no = ask(&f, f.admin, "GET", FILES "/none", NULL, NULL);
  expect(no, 404, "a file that is not there");
  g_autoptr(Reply) deep = put(&f, FILES "/a/b/c.txt&mode=0640", "hello");
  expect(deep, 404, "without its parents");
  g_autoptr(Reply) made = put(&f, FILES "/a/b/c.txt&mode=0640&parents=true", "hello");
  expect(made, 204, "write");
  g_autofree char *path = in_tree(&f, "a/b/c.txt");
  g_assert_cmpint(stat(path, &st), ==, 0);
  g_assert_cmpuint(st.st_mode & 07777, ==, 0640);
  g_autoptr(Reply) back = ask(&f, f.admin, "GET", FILES "/a/b/c.txt", NULL, NULL);
  expect(back, 200, "read");
  g_assert_cmpstr(back->body, ==, "hello");
  g_autofree char *mode = header_of(back, "X-Portena-Mode"), *type = header_of(back, "X-Portena-Type"),
                  *uid = header_of(back, "X-Portena-Uid"), *shown = header_of(back, "Content-Disposition");
  g_assert_cmpstr(mode, ==, "0640");
  g_assert_cmpstr(type, ==, "file");
  g_assert_cmpstr(uid, ==, "0");
  g_assert_cmpstr(shown, ==, "attachment");
  g_autoptr(Reply) link = put(&f, FILES "/a/l&type=symlink", "b/c.txt");
  expect(link, 204, "link");
  g_autoptr(Reply) through = ask(&f, f.admin, "GET", FILES "/a/l", NULL, NULL),
                   itself = ask(&f, f.admin, "GET", FILES "/a/l&follow=false", NULL, NULL);
  g_assert_cmpstr(through->body, ==, "hello");
  g_assert_cmpstr(itself->body, ==, "b/c.txt");
  g_autoptr(Reply) dir = put(&f, FILES "/a/d&type=directory&mode=0700", "");
  expect(dir, 204, "directory");
  g_autoptr(Reply) list = ask(&f, f.admin, "GET", FILES "/a", NULL, NULL);
  expect(list, 200, "list");
  g_assert_cmpuint(json_array_size(json_object_get(list->json, "items")), ==, 3);
  g_assert_cmpstr(json_string_value(json_object_get(json_array_get(json_object_get(list->json, "items"), 2), "target")), ==,
                  "b/c.txt");
  g_autoptr(Reply) full = ask(&f, f.admin, "DELETE", FILES "/a", NULL, NULL);
  g_assert_cmpint(full->status, >=, 400);
  g_autoptr(Reply) gone = ask(&f, f.admin, "DELETE", FILES "/a&recursive=true", NULL, NULL);
  expect(gone, 204, "remove");
  g_autoptr(Reply) again = ask(&f, f.admin, "DELETE", FILES "/a&recursive=true", NULL, NULL);
  expect(again, 404, "remove again");
  g_autoptr(Reply) audit = ask(&f, f.admin, "GET", "/v1/audit?object=spaces/home/instances/web", NULL, NULL);
  g_assert_nonnull(strstr(audit->body, "\"action\":\"file-write\""));
  g_assert_nonnull(strstr(audit->body, "\"action\":\"file-delete\""));
  fixture_down(&f);
}

/* Who is an administrator over the network is not root: what lies on the server's disk becomes no image of his, but for one place. */
static void
test_sources(void)
{
  static const char *const closed[] = { "oci:/", "rootfs:/root/backup.tar", "docker-archive:/etc/shadow", "oci-archive:/proc/kcore", "raw:/dev/sda", "iso:/etc/shadow" };
  Fixture f;

  up(&f);
  for (guint i = 0; i < G_N_ELEMENTS(closed) + 2; i++) {
    bool last = i == G_N_ELEMENTS(closed) + 1;
    g_autofree char *body =
      i < G_N_ELEMENTS(closed) ? g_strdup_printf("{\"source\":\"%s\",\"name\":\"x\"}", closed[i])
                               : g_strdup_printf("{\"source\":\"rootfs:%s/import/%s\",\"name\":\"x\"}", f.host.state, last ? "a.tar" : "../a.tar");
    g_autoptr(Reply) r = ask(&f, f.admin, "POST", "/v1/images", body, NULL);
    expect(r, last ? 202 : 403, body);
  }
  fixture_down(&f);
}

/* A guest's tmpfs is the node's memory: half of what the instance may use, and no more until it starts again. */
static void
test_memory(void)
{
  char dir[] = "/dev/shm/pt-XXXXXX";
  Fixture f;

  if (geteuid() != 0 || !g_mkdtemp(dir)) {
    g_test_skip("needs root and /dev/shm");
    return;
  }
  up(&f);
  g_autofree char *tree = g_steal_pointer(&f.agent.tree), *body = g_strnfill(3 << 20, 'x');
  gint64 idbase = f.agent.idbase;
  f.agent.tree = g_strdup(dir);
  f.agent.idbase = 0x30000000;
  g_autoptr(Reply) less = ask(&f, f.admin, "PATCH", "/v1/spaces/home/instances/web?wait=120", "{\"memory\":\"8MiB\"}", NULL);
  expect(less, 202, "memory");
  g_autoptr(Reply) first = put(&f, FILES "/a", body);
  g_autoptr(Reply) second = put(&f, FILES "/a", body);
  g_autoptr(Reply) small = put(&f, FILES "/b", "x");
  expect(first, 204, "fits");
  expect(second, 413, "does not, though the same name");
  expect(small, 204, "still fits");
  g_autoptr(Reply) again = ask(&f, f.admin, "POST", "/v1/spaces/home/instances/web/actions?wait=120", "{\"action\":\"restart\"}", NULL);
  expect(again, 202, "restart");
  g_autoptr(Reply) third = put(&f, FILES "/a", body);
  expect(third, 204, "a new start begins at nothing");
  g_autofree char *a = in_tree(&f, "a"), *b = in_tree(&f, "b");
  g_unlink(a);
  g_unlink(b);
  g_assert_cmpint(g_rmdir(dir), ==, 0);
  g_free(f.agent.tree);
  f.agent.tree = g_steal_pointer(&tree);
  f.agent.idbase = idbase;
  fixture_down(&f);
}

/* Nothing leads out of the tree, and nothing but files and directories is opened. */
static void
test_hostile_tree(void)
{
  Fixture f;

  up(&f);
  g_autofree char *secret = g_build_filename(f.dir, "secret", NULL), *link = in_tree(&f, "link"), *abs = in_tree(&f, "abs"),
                  *fifo = in_tree(&f, "fifo"), *dir = in_tree(&f, "dir"), *out = in_tree(&f, "out");
  g_assert_true(g_file_set_contents(secret, "secret", -1, NULL));
  g_assert_cmpint(symlink("../secret", link), ==, 0);
  g_assert_cmpint(symlink(secret, abs), ==, 0);
  g_assert_cmpint(symlink(f.dir, dir), ==, 0); /* no link of a test leads outside the test's own directory */
  g_assert_cmpint(symlink("..", out), ==, 0);
  g_assert_cmpint(mkfifo(fifo, 0644), ==, 0);
  static const char *const reads[] = { "/link",           "/abs",        "/../secret",
                                       "/x/../../secret", "/out/secret", "/dir/secret",
                                       "/fifo",           "relative",    "" };
  for (guint i = 0; i < G_N_ELEMENTS(reads); i++) {
    g_autofree char *path = g_strconcat(FILES, reads[i], NULL);
    g_autoptr(Reply) r = ask(&f, f.admin, "GET", path, NULL, NULL);
    g_assert_cmpint(r->status, >=, 400);
    g_assert_null(strstr(r->body, "\nsecret"));
    g_assert_cmpstr(r->body, !=, "secret");
  }
  g_autoptr(Reply) w = put(&f, FILES "/out/planted", "x"), over = put(&f, FILES "/link", "x");
  expect(w, 204, "\"..\" of the root is the root");
  expect(over, 204, "a link is replaced, not followed");
  g_autofree char *text = NULL, *planted = g_build_filename(f.dir, "planted", NULL);
  g_assert_true(g_file_get_contents(secret, &text, NULL, NULL));
  g_assert_cmpstr(text, ==, "secret");
  g_assert_false(g_file_test(planted, G_FILE_TEST_EXISTS));
  fixture_down(&f);
}

static void
test_large_file(void)
{
  Fixture f;
  gsize size = 24 << 20;
  g_autofree char *data = g_malloc(size + 1);

  up(&f);
  for (gsize i = 0; i < size; i++)
    data[i] = (char)('a' + i % 23);
  data[size] = '\0';
  g_autoptr(Reply) in = put(&f, FILES "/big", data);
  expect(in, 204, "24 MiB in");
  g_autoptr(Reply) out = ask(&f, f.admin, "GET", FILES "/big", NULL, NULL);
  expect(out, 200, "and out");
  g_assert_cmpuint(out->size, ==, size);
  g_assert_cmpint(memcmp(out->body, data, size), ==, 0);
  g_autoptr(Reply) empty = put(&f, FILES "/empty", "");
  expect(empty, 204, "nothing");
  g_autoptr(Reply) nothing = ask(&f, f.admin, "GET", FILES "/empty", NULL, NULL);
  expect(nothing, 200, "nothing");
  g_assert_cmpuint(nothing->size, ==, 0);
  fixture_down(&f);
}

static bool
is_used(const char *path)
{
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);

  return g_dir_read_name(dir) != NULL;
}

/* A client that goes away in the middle leaves nothing behind. */
static void
test_broken_upload(void)
{
  Fixture f;

  up(&f);
  g_autofree char *head = g_strdup_printf(
      "PUT " FILES "/part HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer %s\r\nContent-Length: 1000000\r\n\r\nsome bytes",
      f.admin);
  int fd = dial(&f);
  g_assert_cmpint(send(fd, head, strlen(head), 0), >, 0);
  /* It has begun; whether anything is to be seen of it so far is up to the file system. */
  for (guint i = 0; i < 6000 && g_atomic_int_get(&f.agent.roots) == 0; i++)
    g_usleep(20 * 1000);
  g_assert_cmpint(g_atomic_int_get(&f.agent.roots), >, 0);
  close(fd);
  for (guint i = 0; i < 6000 && (g_atomic_int_get(&f.agent.roots) > 0 || is_used(f.agent.tree)); i++)
    g_usleep(20 * 1000);
  g_assert_false(is_used(f.agent.tree));
  fixture_down(&f);
}

static void
test_image_upload(void)
{
  Fixture f;

  up(&f);
  g_autoptr(Reply) r = ask(&f, f.admin, "POST", "/v1/images?name=mine&format=rootfs&wait=120", "not really a tarball",
                           "Content-Type: application/x-tar\r\n");
  expect(r, 202, "upload");
  g_autoptr(Reply) no = ask(&f, f.admin, "POST", "/v1/images?name=mine", "x", "Content-Type: application/x-tar\r\n");
  expect(no, 400, "without a format");
  g_autofree char *uploads = g_build_filename(f.dir, "uploads", NULL);
  g_autoptr(GDir) dir = g_dir_open(uploads, 0, NULL);
  g_assert_null(g_dir_read_name(dir));
  fixture_down(&f);
}

/* ── streams ── */

/* Asks for a stream and takes the one message with its descriptor. */
static int
take(Fixture *f, const char *request, struct pt_wire *ret)
{
  char head[2048] = "", control[CMSG_SPACE(sizeof(int))];
  g_autofree char *text =
      g_strdup_printf("%sHost: server\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: portena-stream/1\r\n",
                      request, f->admin);
  gsize n = 0;
  int fd = dial(f), out = -1;

  g_assert_cmpint(send(fd, text, strlen(text), 0), >, 0);
  const char *body = strstr(request, "exec") ? "Content-Length: 14\r\n\r\n{\"shell\":true}" : "\r\n";
  g_assert_cmpint(send(fd, body, strlen(body), 0), >, 0);
  while (!strstr(head, "\r\n\r\n") && n < sizeof head - 1 && read(fd, head + n, 1) == 1)
    head[++n] = '\0';
  g_assert_true(g_str_has_prefix(head, "HTTP/1.1 101 "));
  g_assert_nonnull(strstr(head, "Upgrade: portena-stream/1"));
  struct iovec io = { ret, sizeof *ret };
  struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
  g_assert_cmpint(recvmsg(fd, &m, MSG_CMSG_CLOEXEC), ==, sizeof *ret);
  const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  g_assert_nonnull(c);
  memcpy(&out, CMSG_DATA(c), sizeof out);
  g_assert_cmpint(read(fd, head, 1), ==, 0); /* nothing behind it: the daemon is out of the path */
  close(fd);
  return out;
}

static void
test_streams(void)
{
  static const struct {
    const char *request;
    guint type;
  } t[] = {
    { "POST /v1/spaces/home/instances/web/exec HTTP/1.1\r\n", PT_WIRE_CONTROL },
    { "GET /v1/spaces/home/instances/web/console?history=true HTTP/1.1\r\n", PT_WIRE_CONTROL },
    { "GET /v1/spaces/home/instances/web/desktop HTTP/1.1\r\n", PT_WIRE_STREAM },
  };
  Fixture f;

  up(&f);
  for (guint i = 0; i < G_N_ELEMENTS(t); i++) {
    struct pt_wire w;
    char text[16] = "";
    int fd = take(&f, t[i].request, &w);
    g_assert_cmpuint(w.magic, ==, PT_WIRE_MAGIC);
    g_assert_cmpuint(w.type, ==, t[i].type);
    g_assert_cmpuint(w.len, ==, 0);
    g_assert_cmpint(read(fd, text, sizeof text), ==, 5);
    g_assert_cmpstr(text, ==, "hello");
    close(fd);
  }
  g_autoptr(Reply) still = ask(&f, f.admin, "POST", "/v1/spaces/home/instances/still/exec", "{\"shell\":true}",
                               "Connection: Upgrade\r\nUpgrade: portena-stream/1\r\n");
  expect(still, 409, "one that is stopped");
  g_assert_nonnull(text_of(still, "hint"));
  g_autoptr(Reply) plain = ask(&f, f.admin, "GET", "/v1/spaces/home/instances/web/desktop", NULL, NULL);
  expect(plain, 426, "without asking for an upgrade");
  g_autoptr(Reply) audit = ask(&f, f.admin, "GET", "/v1/audit?object=spaces/home/instances/web", NULL, NULL);
  g_assert_nonnull(strstr(audit->body, "\"action\":\"exec\""));
  g_assert_nonnull(strstr(audit->body, "\"action\":\"desktop\""));
  fixture_down(&f);
}

#define WEB "/v1/spaces/home/instances/web"

static void
hibernate(Fixture *f)
{
  g_autoptr(Reply) r = ask(f, f->admin, "POST", WEB "/actions?wait=120", "{\"action\":\"hibernate\"}", NULL);

  expect(r, 202, "hibernate");
  g_assert_cmpstr(text_of(r, "state"), ==, "hibernated");
}

/* Who opens a stream to a hibernated one wakes it, as a change of his own; a picture of it does not. */
static void
test_wake(void)
{
  static const char *const opens[] = {
    "POST " WEB "/exec HTTP/1.1\r\n", "GET " WEB "/console?history=true HTTP/1.1\r\n", "GET " WEB "/desktop HTTP/1.1\r\n",
    "GET " WEB "/desktop HTTP/1.1\r\nX-Portena-Purpose: thumbnail\r\n",
  };
  Fixture f;

  up(&f);
  for (guint i = 0; i < G_N_ELEMENTS(opens); i++) {
    struct pt_wire w;
    hibernate(&f);
    close(take(&f, opens[i], &w));
    g_autoptr(Reply) now = ask(&f, f.admin, "GET", WEB, NULL, NULL);
    g_assert_cmpstr(text_of(now, "state"), ==, strstr(opens[i], "thumbnail") ? "hibernated" : "running");
  }
  g_autoptr(Reply) ops = ask(&f, f.admin, "GET", "/v1/operations", NULL, NULL);
  g_assert_nonnull(strstr(ops->body, "\"resume\""));
  g_autoptr(Reply) audit = ask(&f, f.admin, "GET", "/v1/audit?object=spaces/home/instances/web", NULL, NULL);
  g_assert_nonnull(strstr(audit->body, "woke it"));
  g_autoptr(Reply) set = ask(&f, f.admin, "PATCH", WEB "?wait=120", "{\"memory\":\"2GiB\"}", NULL);
  g_assert_nonnull(strstr(set->body, "when it is resumed"));
  fixture_down(&f);
}

/* ── events ── */

static int
listen_to(Fixture *f, const char *token, const char *path)
{
  g_autofree char *text =
      g_strdup_printf("GET %s HTTP/1.1\r\nHost: server\r\nAuthorization: Bearer %s\r\n\r\n", path, token);
  int fd = dial(f);

  g_assert_cmpint(send(fd, text, strlen(text), 0), >, 0);
  return fd;
}

/* Reads until `wanted` is there; false after `seconds` without. */
static bool
hear(int fd, GString *heard, const char *wanted, guint seconds)
{
  struct timeval limit = { .tv_sec = seconds };
  char buf[4096];
  ssize_t n;

  g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), ==, 0);
  while (!strstr(heard->str, wanted)) {
    n = read(fd, buf, sizeof buf);
    if (n <= 0)
      return false;
    g_string_append_len(heard, buf, n);
  }
  return true;
}

static void
test_events(void)
{
  Fixture f;
  g_autoptr(GString) mine = g_string_new(NULL), his = g_string_new(NULL);

  up(&f);
  g_autofree char *otto = fixture_user(&f, "otto", false);
  int a = listen_to(&f, f.admin, "/v1/events"), b = listen_to(&f, otto, "/v1/events");
  g_assert_true(hear(a, mine, ": events", 120));
  g_assert_true(hear(b, his, ": events", 120));
  g_autoptr(Reply) r =
      ask(&f, f.admin, "PATCH", "/v1/spaces/home/instances/web?wait=120", "{\"description\":\"new words\"}", NULL);
  expect(r, 202, "change");
  g_assert_true(hear(a, mine, "event: instance\ndata: {", 120));
  g_assert_true(hear(a, mine, "new words", 120));
  g_assert_false(hear(b, his, "new words", 1)); /* not his space */
  g_autoptr(Reply) in = ask(&f, f.admin, "PUT", "/v1/spaces/home/members/otto", "{\"role\":\"viewer\"}", NULL);
  expect(in, 200, "now it is");
  g_autoptr(Reply) r2 =
      ask(&f, f.admin, "PATCH", "/v1/spaces/home/instances/web?wait=120", "{\"description\":\"other words\"}", NULL);
  expect(r2, 202, "change");
  g_assert_true(hear(b, his, "other words", 120));
  g_autoptr(Reply) out = ask(&f, f.admin, "DELETE", "/v1/spaces/home/members/otto", NULL, NULL);
  expect(out, 204, "and no more");
  g_autoptr(Reply) r3 =
      ask(&f, f.admin, "PATCH", "/v1/spaces/home/instances/web?wait=120", "{\"description\":\"last words\"}", NULL);
  expect(r3, 202, "change");
  g_assert_true(hear(a, mine, "last words", 120));
  g_assert_false(hear(b, his, "last words", 1));
  g_assert_null(strstr(mine->str, "argon2"));
  g_assert_null(strstr(mine->str, "\"hash\""));
  close(a);
  close(b);
  g_autoptr(Reply) none = ask(&f, otto, "GET", "/v1/events?space=home", NULL, NULL),
                   nothing = ask(&f, otto, "GET", "/v1/events?space=nothing", NULL, NULL);
  expect(none, 404, "a space that is not his");
  g_assert_cmpstr(none->body, ==, nothing->body);
  fixture_down(&f);
}

/* A session that is ended takes its event streams with it. */
static void
test_events_end(void)
{
  Fixture f;
  g_autoptr(GString) heard = g_string_new(NULL);

  up(&f);
  g_autofree char *otto = fixture_user(&f, "otto", false);
  int fd = listen_to(&f, otto, "/v1/events");
  g_assert_true(hear(fd, heard, ": events", 120));
  g_autoptr(Reply) off = ask(&f, f.admin, "PATCH", "/v1/users/otto", "{\"disabled\":true}", NULL);
  expect(off, 200, "disable");
  bool ended = false;
  for (guint i = 0; i < 60 && !ended; i++) { /* it is looked at again every few seconds, when something happens */
    g_autofree char *body = g_strdup_printf("{\"description\":\"x%u\"}", i);
    g_autoptr(Reply) r = ask(&f, f.admin, "PATCH", "/v1/spaces/home", body, NULL);
    expect(r, 200, "something happens");
    ended = hear(fd, heard, "0\r\n\r\n", 2); /* the last chunk */
  }
  g_assert_true(ended);
  close(fd);
  fixture_down(&f);
}

/* HEAD is GET without the body, also where the body would have no end. */
static void
test_head(void)
{
  Fixture f;

  up(&f);
  g_autoptr(Reply) one = ask(&f, f.admin, "HEAD", "/v1/spaces/home/instances/web", NULL, NULL);
  expect(one, 200, "HEAD");
  g_assert_cmpuint(one->size, ==, 0);
  g_autofree char *tag = header_of(one, "ETag");
  g_assert_nonnull(tag);
  g_autoptr(Reply) events = ask(&f, f.admin, "HEAD", "/v1/events", NULL, NULL);
  expect(events, 200, "HEAD of events");
  g_autoptr(Reply) file = put(&f, FILES "/x", "12345");
  expect(file, 204, "write");
  g_autoptr(Reply) head = ask(&f, f.admin, "HEAD", FILES "/x", NULL, NULL);
  expect(head, 200, "HEAD of a file");
  g_autofree char *size = header_of(head, "Content-Length");
  g_assert_cmpstr(size, ==, "5");
  fixture_down(&f);
}

/* A thousand connections come and go; one that says nothing does not keep a thread. */
static void
test_idle(void)
{
  Fixture f;
  int fds[40];
  char c = 0;

  up(&f);
  for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
    fds[i] = dial(&f);
  for (guint i = 0; i < 200; i++) {
    g_autoptr(Reply) r = ask(&f, NULL, "GET", "/healthz", NULL, NULL);
    expect(r, 200, "healthz");
  }
  g_assert_cmpint(read(fds[0], &c, 1), ==, 0); /* cut off after ten seconds without a request */
  for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
    close(fds[i]);
  fixture_down(&f);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/io/files", test_files);
  g_test_add_func("/io/memory", test_memory);
  g_test_add_func("/io/sources", test_sources);
  g_test_add_func("/io/hostile-tree", test_hostile_tree);
  g_test_add_func("/io/large-file", test_large_file);
  g_test_add_func("/io/broken-upload", test_broken_upload);
  g_test_add_func("/io/image-upload", test_image_upload);
  g_test_add_func("/io/streams", test_streams);
  g_test_add_func("/io/wake", test_wake);
  g_test_add_func("/io/events", test_events);
  g_test_add_func("/io/events-end", test_events_end);
  g_test_add_func("/io/head", test_head);
  g_test_add_func("/io/idle", test_idle);
  return g_test_run();
}
