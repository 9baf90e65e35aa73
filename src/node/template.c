// SPDX-License-Identifier: Apache-2.0
/* The templates of this node's machines (drivers/machine/template.h): STATE/templates/<key>, and the volume "template-<key>" in the pool.
 *
 * Theory of operation. The first machine of a kind boots; after it has started, a thread of ours boots another one that nobody sees
 * and saves it at its idle point. Machines with the same key that have no disk yet are copies of that from then on. A template has no
 * record: its directory is there under its name only when it is whole, and whatever else is found at the start is removed. One that
 * does not work is removed too, and the machine boots as if there had been none: nothing depends on templates but speed.
 *
 * When the image of a name, the kernel, QEMU or the rule changes, what is launched has another key. So it is looked (at the start, when an
 * image or a template has been made) what each would be called if made now; one called otherwise is made anew ahead, and goes then. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "drivers/machine/template.h"
#include "node/agent_impl.h"
#include "sys/path.h"

#define TEMPLATES_MAX 8                     /* the one that was used longest ago makes room */
#define ROOM_PART 4                         /* of the room that there would be without them, a quarter at most is theirs */
#define MADE_OF "made-of"                   /* in each: digests of its image and kernel */
#define LIKE "like"                         /* in each: the record of a machine that can be a copy of it, but for names and addresses */
#define VOLUME_PREFIX "template-"
#define BOOT_WAIT (1200 * G_USEC_PER_SEC) /* with a small share of a busy node it takes its time */
#define IDLE_AFTER (3 * G_USEC_PER_SEC)     /* what starts behind "ready" has settled by then */
#define LOOK_MSEC 200
#define SHARE 10                            /* of the processors, of 100: whoever waits for a machine comes first */

struct PtTemplates {
  PtAgent *agent;
  char *dir;
  GMutex lock;
  GHashTable *in_use; /* key → users (GUINT), that are being copied right now */
  GHashTable *known;  /* keys that are being made, or could not be made */
  GThreadPool *maker;
  int stopping;       /* atomic */
};

typedef struct Job {
  char *key; /* NULL: only see which are to be made anew */
  PtInstance *spec;
} Job;

static char *
volume_of(const char *key)
{
  return g_strconcat(VOLUME_PREFIX, key, NULL);
}

static void
drop_dir(PtTemplates *t, const char *name)
{
  g_autoptr(GError) err = NULL;
  int fd = open(t->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (fd >= 0 && !pt_path_remove(fd, name, true, &err))
    pt_log_warn("node", "template %s: %s", name, err->message);
  if (fd >= 0)
    close(fd);
}

/* The directory first: without it nobody takes the volume. */
static void
drop(PtTemplates *t, const char *key)
{
  g_autoptr(GError) err = NULL;
  g_autofree char *volume = volume_of(key);

  drop_dir(t, key);
  if (!pt_pool_local.remove(t->agent->pool, volume, &err))
    pt_log_warn("node", "template %s: %s", key, err->message);
}

static bool
is_there(const PtTemplates *t, const char *key)
{
  g_autofree char *dir = g_build_filename(t->dir, key, NULL);

  return g_file_test(dir, G_FILE_TEST_IS_DIR);
}

bool
pt_template_volume(PtAgent *a, const char *volume)
{
  return a->templates && g_str_has_prefix(volume, VOLUME_PREFIX) && is_there(a->templates, volume + strlen(VOLUME_PREFIX));
}

/* ---- copies ---- */

static void
count(PtTemplates *t, const char *key, int change)
{
  guint users = GPOINTER_TO_UINT(g_hash_table_lookup(t->in_use, key));

  if (users + (guint)change == 0)
    g_hash_table_remove(t->in_use, key);
  else
    g_hash_table_insert(t->in_use, g_strdup(key), GUINT_TO_POINTER(users + (guint)change));
}

char *
pt_template_take(PtAgent *a, const char *key, const PtInstance *spec)
{
  PtTemplates *t = a->templates;
  g_autoptr(GError) err = NULL;
  g_autofree char *volume = volume_of(key), *dir = g_build_filename(t->dir, key, NULL);

  g_mutex_lock(&t->lock);
  bool there = is_there(t, key);
  if (there)
    count(t, key, 1);
  g_mutex_unlock(&t->lock);
  if (!there)
    return NULL;
  utimensat(AT_FDCWD, dir, NULL, 0);
  if (pt_pool_local.clone(a->pool, volume, spec->volume, &err))
    return g_steal_pointer(&dir);
  pt_log_warn("node", "template %s: %s", key, err->message);
  pt_template_done(a, key, false);
  return NULL;
}

void
pt_template_done(PtAgent *a, const char *key, bool works)
{
  PtTemplates *t = a->templates;

  g_mutex_lock(&t->lock);
  count(t, key, -1);
  if (!works && !g_hash_table_contains(t->in_use, key)) {
    drop(t, key);
    g_hash_table_add(t->known, g_strdup(key));
  }
  g_mutex_unlock(&t->lock);
}

static bool
is_off(const PtAgent *a)
{
  return !a->host->templates || strcmp(a->host->templates, "off") == 0;
}

char *
pt_template_key(PtAgent *a, const PtInstance *spec, const PtImage *image, const char *kernel, const char *kernel_digest)
{
  PtContainerStart start = { .spec = spec, .image = image, .kernel = kernel };
  g_autoptr(PtSpace) space = NULL;
  const char *rule = a->host->templates;

  if (!a->templates || is_off(a))
    return NULL;
  if (strcmp(rule, "space") == 0) { /* its id: another space of that name is somebody else's */
    g_autofree char *record = pt_key_space(spec->space);
    space = pt_records_get(a->store, record, &pt_space_type, NULL, NULL);
    if (!space)
      return NULL;
  }
  return pt_machine_template_key(&start, a->host, kernel_digest, space ? space->id : NULL);
}

/* ---- making one ---- */

static void
job_free(Job *j)
{
  g_free(j->key);
  pt_instance_free(j->spec);
  g_free(j);
}

static bool
alone(pid_t pid, void *data, GError **error)
{
  return pt_net_tap_alone(pid, PT_ENGINE_TAP, (uid_t) * (const gint64 *)data, error);
}

/* Until the guest is up and idle. */
static bool
wait_idle(PtTemplates *t, const PtInstance *spec, int ready, GError **error)
{
  gint64 end = pt_mono() + BOOT_WAIT, idle = 0;

  while (pt_mono() < end && !g_atomic_int_get(&t->stopping)) {
    struct pollfd p = { .fd = ready, .events = POLLIN };
    PtContainerState state;

    poll(&p, idle ? 0 : 1, LOOK_MSEC);
    if (!pt_container_state(t->agent->containers, spec->id, &state, error) || !state.running) {
      if (error && !*error)
        PT_SET(error, PT_ERR_INTERNAL, "it ended while it booted");
      return false;
    }
    if (!idle && pt_container_ready(t->agent->containers, spec->id, spec))
      idle = pt_mono() + IDLE_AFTER;
    if (idle && pt_mono() > idle)
      return true;
  }
  PT_SET(error, g_atomic_int_get(&t->stopping) ? PT_ERR_CANCELLED : PT_ERR_TIMEOUT, "it is not up");
  return false;
}

/* What the files of a directory take of the disk. */
static gint64
bytes_of(const char *path)
{
  g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
  gint64 sum = 0;

  for (const char *name; d && (name = g_dir_read_name(d));) {
    g_autofree char *file = g_build_filename(path, name, NULL);
    struct stat st;
    sum += lstat(file, &st) == 0 ? (gint64)st.st_blocks * 512 : 0;
  }
  return sum;
}

/* How many there are, what they take, and which of those that nobody copies was used longest ago (the caller's, or NULL). With the
 * lock held. */
static char *
look(PtTemplates *t, guint *ret_n, gint64 *ret_bytes)
{
  g_autoptr(GDir) d = g_dir_open(t->dir, 0, NULL);
  gint64 age = G_MAXINT64;
  char *oldest = NULL;

  *ret_n = 0;
  *ret_bytes = 0;
  for (const char *name; d && (name = g_dir_read_name(d));) {
    g_autofree char *path = g_build_filename(t->dir, name, NULL);
    struct stat st;
    if (*name == '.' || stat(path, &st) < 0)
      continue;
    ++*ret_n;
    *ret_bytes += bytes_of(path);
    if (st.st_mtime < age && !g_hash_table_contains(t->in_use, name)) {
      age = st.st_mtime;
      g_free(oldest);
      oldest = g_strdup(name);
    }
  }
  return oldest;
}

/* For one more of `bytes`. With the lock held. */
static bool
make_room(PtTemplates *t, gint64 bytes, GError **error)
{
  for (;;) {
    struct statvfs vfs;
    gint64 used;
    guint n;
    g_autofree char *oldest = look(t, &n, &used);
    if (statvfs(t->dir, &vfs) < 0) {
      pt_error_errno(error, errno, "%s", t->dir);
      return false;
    }
    gint64 most = ((gint64)(vfs.f_bavail * vfs.f_frsize) + used) / ROOM_PART;
    if (n < TEMPLATES_MAX && used + bytes <= most)
      return true;
    if (!oldest || bytes > most) { /* whatever else went */
      PT_SET(error, PT_ERR_NO_SPACE, "%s has no room for it", t->dir);
      return false;
    }
    drop(t, oldest);
  }
}

/* For what is begun in `dir`, its memory in its full size. */
static bool
has_room(PtTemplates *t, const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename(dir, "memory", NULL);
  struct stat st;

  if (stat(path, &st) < 0) {
    pt_error_errno(error, errno, "%s", path);
    return false;
  }
  g_mutex_lock(&t->lock);
  bool ok = make_room(t, st.st_size, error);
  g_mutex_unlock(&t->lock);
  return ok;
}

static bool
boot_and_save(PtTemplates *t, const PtContainerStart *base, GError **error)
{
  PtAgent *a = t->agent;
  PtContainerStart start = *base;
  int ready = -1;

  start.ret_ready = &ready;
  if (!pt_machine_template_begin(&start, a->host, start.template_dir, error) || !has_room(t, start.template_dir, error) ||
      !pt_engine_machine.start(a->containers, &start, error))
    return false;
  bool ok = wait_idle(t, start.spec, ready, error) && pt_machine_template_save(a->containers, start.spec->id, start.template_dir, error);
  if (ready >= 0)
    close(ready);
  pt_container_stop(a->containers, start.spec->id, NULL, NULL, 0, NULL, NULL);
  return ok;
}

static bool
tell_what_of(const char *part, const PtInstance *like, const char *kernel, GError **error)
{
  g_autofree char *of = g_build_filename(part, MADE_OF, NULL), *text = g_strdup_printf("%s\n%s\n", like->image, kernel ? kernel : "");
  g_autofree char *path = g_build_filename(part, LIKE, NULL);
  g_autoptr(PtInstance) plain = pt_record_copy(&pt_instance_type, like);

  g_clear_pointer(&plain->volume, g_free); /* no record holds such a name */
  g_autofree char *record = pt_record_dump(&pt_instance_type, plain);
  return g_file_set_contents(of, text, -1, error) && g_file_set_contents(path, record, -1, error);
}

static bool
make_with(PtTemplates *t, const Job *j, const PtImage *image, gint64 idbase, const char *part, GError **error)
{
  PtAgent *a = t->agent;
  g_autofree char *kernel = NULL, *digest = NULL, *file = pt_images_file(a->images, j->spec->image, error);
  g_autofree char *volume = NULL;

  if (!file || !pt_agent_kernel(a, image->arch, &kernel, &digest, error))
    return false;
  if (kernel && pt_pool_local.create(a->pool, j->spec->volume, j->spec->disk, error))
    volume = pt_pool_local.expose(a->pool, j->spec->volume, (uid_t)idbase, false, error);
  PtContainerStart start = { .spec = j->spec, .image = image, .idbase = idbase, .image_file = file, .volume_file = volume, .kernel = kernel,
                             .domain = "internal", .plug = alone, .plug_data = &idbase, .template_dir = part, .template_make = true };
  bool ok = volume && tell_what_of(part, j->spec, digest, error) && boot_and_save(t, &start, error);
  g_autoptr(GError) err = NULL;
  if (!pt_container_clear(a->containers, j->spec->id, true, &err))
    pt_log_warn("node", "a template's machine: %s", err->message);
  pt_pool_local.detach(a->pool, j->spec->volume, NULL);
  if (digest)
    pt_images_unmount(a->images, digest);
  return ok;
}

static bool
make(PtTemplates *t, Job *j, GError **error)
{
  g_autofree char *name = g_strdup_printf(".%s", j->key), *part = g_build_filename(t->dir, name, NULL);
  g_autofree char *path = g_build_filename(t->dir, j->key, NULL);
  g_autoptr(PtImage) image = pt_agent_image(t->agent, j->spec->image, error);
  gint64 idbase = image ? pt_agent_take_ids(t->agent) : 0;

  if (!idbase) {
    if (image)
      PT_SET(error, PT_ERR_OVER_QUOTA, "no range of user ids is left");
    return false;
  }
  bool ok = pt_dir_make(part, 0700, error) && make_with(t, j, image, idbase, part, error);
  pt_agent_release_ids(t->agent, idbase);
  g_mutex_lock(&t->lock);
  if (ok) {
    g_autoptr(PtImage) still = pt_agent_image(t->agent, j->spec->image, error); /* who removes it forgets its templates afterwards */
    ok = still && rename(part, path) == 0;
    if (still && !ok)
      pt_error_errno(error, errno, "%s", path);
  }
  if (!ok) {
    drop_dir(t, name);
    pt_pool_local.remove(t->agent->pool, j->spec->volume, NULL);
  }
  g_mutex_unlock(&t->lock);
  return ok;
}

/* ---- made anew ahead ---- */

/* The image that has the name now, if it is one of the same kind; else the one that it was. The caller's; NULL where neither is there. */
static PtImage *
image_now(PtAgent *a, const PtInstance *like)
{
  g_autoptr(PtImage) was = pt_agent_image(a, like->image, NULL);
  g_autoptr(GPtrArray) all = like->image_name ? pt_store_list(a->store, "images/", NULL, NULL) : NULL;

  for (guint i = 0; all && i < all->len; i++) {
    const PtEntry *e = g_ptr_array_index(all, i);
    g_autoptr(PtImage) image = pt_record_read(&pt_image_type, e->value, NULL);
    if (image && image->names && g_strv_contains((const char *const *)image->names, like->image_name))
      return image->format == PT_FORMAT_ROOTFS && (!was || g_strcmp0(was->arch, image->arch) == 0) ? g_steal_pointer(&image)
                                                                                                  : g_steal_pointer(&was);
  }
  return g_steal_pointer(&was);
}

static PtInstance *
like_of(const PtTemplates *t, const char *key)
{
  g_autofree char *path = g_build_filename(t->dir, key, LIKE, NULL), *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) ? pt_record_read(&pt_instance_type, text, NULL) : NULL;
}

/* What it would be called today; *ret_spec is what it would be made for then. NULL where none can be made. */
static char *
key_now(PtTemplates *t, const char *key, PtInstance **ret_spec)
{
  PtAgent *a = t->agent;
  g_autoptr(PtInstance) spec = like_of(t, key);
  g_autoptr(PtImage) image = spec ? image_now(a, spec) : NULL;
  g_autofree char *kernel = NULL, *digest = NULL;

  if (!image || !pt_agent_kernel(a, image->arch, &kernel, &digest, NULL))
    return NULL;
  g_free(spec->image);
  spec->image = g_strdup(image->digest);
  char *now = pt_template_key(a, spec, image, kernel, digest);
  if (digest)
    pt_images_unmount(a->images, digest);
  *ret_spec = now ? g_steal_pointer(&spec) : NULL;
  return now;
}

/* An image that lost this name may have others, under which it is launched. */
static bool
has_names(PtAgent *a, const PtInstance *like)
{
  g_autofree char *key = pt_key_image(like->image);
  g_autoptr(PtImage) image = pt_records_get(a->store, key, &pt_image_type, NULL, NULL);

  return image && image->names && *image->names;
}

static void
renew(PtTemplates *t, const char *key)
{
  g_autoptr(PtInstance) was = like_of(t, key), spec = NULL;
  g_autofree char *now = key_now(t, key, &spec);

  if (now && strcmp(now, key) == 0)
    return;
  if (now && !is_there(t, now)) {
    pt_template_want(t->agent, now, spec);
    return;
  }
  if (now && strcmp(was->image, spec->image) != 0 && has_names(t->agent, was))
    return;
  g_mutex_lock(&t->lock);
  if (!g_hash_table_contains(t->in_use, key))
    drop(t, key);
  g_mutex_unlock(&t->lock);
}

/* Those that were used last come first. */
static gint
by_use(gconstpointer a, gconstpointer b, gpointer templates)
{
  const PtTemplates *t = templates;
  gint64 used[2] = { 0 };

  for (guint i = 0; i < 2; i++) {
    g_autofree char *dir = g_build_filename(t->dir, *(const char *const *)(i ? b : a), NULL);
    struct stat st;
    used[i] = stat(dir, &st) == 0 ? (gint64)st.st_mtime : 0;
  }
  return (used[0] < used[1]) - (used[0] > used[1]);
}

static void
renew_all(PtTemplates *t)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) d = g_dir_open(t->dir, 0, NULL);

  for (const char *name; d && (name = g_dir_read_name(d));) {
    if (*name != '.')
      g_ptr_array_add(keys, g_strdup(name));
  }
  g_ptr_array_sort_with_data(keys, by_use, t);
  for (guint i = 0; i < keys->len && !g_atomic_int_get(&t->stopping); i++)
    renew(t, g_ptr_array_index(keys, i));
}

void
pt_templates_renew(PtAgent *a)
{
  if (a->templates)
    g_thread_pool_push(a->templates->maker, g_new0(Job, 1), NULL);
}

static void
run_job(gpointer data, gpointer templates)
{
  Job *j = data;
  PtTemplates *t = templates;
  g_autoptr(GError) err = NULL;

  if (!g_atomic_int_get(&t->stopping) && j->key) {
    if (make(t, j, &err)) {
      pt_log_info("node", "template %s: made for image %s", j->key, j->spec->image_name ? j->spec->image_name : j->spec->image);
      g_mutex_lock(&t->lock);
      g_hash_table_remove(t->known, j->key);
      g_mutex_unlock(&t->lock);
    } else if (!g_error_matches(err, PT_ERROR, PT_ERR_CANCELLED)) {
      pt_log_warn("node", "template %s: not made: %s", j->key, err->message);
    }
  }
  if (!g_atomic_int_get(&t->stopping) && !err)
    renew_all(t);
  job_free(j);
}

void
pt_template_want(PtAgent *a, const char *key, const PtInstance *like)
{
  PtTemplates *t = a->templates;

  g_mutex_lock(&t->lock);
  bool wanted = g_hash_table_add(t->known, g_strdup(key));
  g_mutex_unlock(&t->lock);
  if (!wanted)
    return;
  Job *j = g_new0(Job, 1);
  j->key = g_strdup(key);
  PtInstance *s = j->spec = pt_record_copy(&pt_instance_type, like);
  g_free(s->id);
  s->id = pt_id_new();
  g_free(s->name);
  s->name = g_strdup("template");
  g_free(s->volume);
  s->volume = volume_of(key);
  g_clear_pointer(&s->address, g_free);
  g_clear_pointer(&s->address6, g_free);
  g_clear_pointer(&s->ports, g_ptr_array_unref);
  s->priority = SHARE;
  g_thread_pool_push(t->maker, j, NULL);
}

/* ---- the keeper ---- */

/* Also where it cannot be told. */
static bool
is_of(const PtTemplates *t, const char *name, const char *digest)
{
  g_autofree char *path = g_build_filename(t->dir, name, MADE_OF, NULL), *text = NULL;

  return !g_file_get_contents(path, &text, NULL, NULL) || strstr(text, digest);
}

void
pt_templates_forget(PtAgent *a, const char *digest)
{
  PtTemplates *t = a->templates;
  g_autoptr(GDir) d = t ? g_dir_open(t->dir, 0, NULL) : NULL;

  if (!t)
    return;
  g_mutex_lock(&t->lock);
  for (const char *name; d && (name = g_dir_read_name(d));) {
    if (*name != '.' && !g_hash_table_contains(t->in_use, name) && is_of(t, name, digest))
      drop(t, name);
  }
  g_mutex_unlock(&t->lock);
}

PtTemplates *
pt_templates_new(PtAgent *a, GError **error)
{
  g_autofree char *dir = g_build_filename(a->host->state, "templates", NULL);

  if (!pt_dir_make(dir, 0700, error))
    return NULL;
  PtTemplates *t = g_new0(PtTemplates, 1);
  t->agent = a;
  t->dir = g_steal_pointer(&dir);
  g_mutex_init(&t->lock);
  t->in_use = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  t->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  t->maker = g_thread_pool_new(run_job, t, 1, FALSE, NULL);
  g_autoptr(GDir) d = g_dir_open(t->dir, 0, NULL);
  for (const char *name; d && (name = g_dir_read_name(d));) {
    if (*name == '.') /* a killed predecessor was making it; its volume goes with those that have no record */
      drop_dir(t, name);
  }
  return t;
}

void
pt_templates_free(PtTemplates *t)
{
  if (!t)
    return;
  g_atomic_int_set(&t->stopping, 1);
  g_thread_pool_free(t->maker, FALSE, TRUE);
  g_hash_table_unref(t->in_use);
  g_hash_table_unref(t->known);
  g_mutex_clear(&t->lock);
  g_free(t->dir);
  g_free(t);
}
