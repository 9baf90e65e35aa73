// SPDX-License-Identifier: Apache-2.0
#include "drivers/image/apt.h"

#include <string.h>

#include "base/error.h"

void
pt_apt_free(PtApt *a)
{
  if (!a)
    return;
  g_free(a->suite);
  g_clear_pointer(&a->lines, g_ptr_array_unref);
  g_free(a);
}

static bool
suite_is_ours(const char *suite, const char *codename)
{
  g_autofree char *updates = g_strdup_printf("%s-updates", codename);
  g_autofree char *security = g_strdup_printf("%s-security", codename);

  return strcmp(suite, codename) == 0 || strcmp(suite, updates) == 0 || strcmp(suite, security) == 0;
}

static bool
has_word(char **words, const char *word)
{
  return words && g_strv_contains((const char *const *)words, word);
}

static void
add_entry(PtApt *a, const char *uri, const char *suite, const char *signed_by, const char *codename)
{
  if (!suite_is_ours(suite, codename) || (!g_str_has_prefix(uri, "http://") && !g_str_has_prefix(uri, "https://")))
    return;
  /* An entry of another vendor may use the same suite name; what bears the distribution's own keyring, or none at all,
   * is taken for the distribution's. */
  if (signed_by && (*signed_by != '/' || !strstr(signed_by, "debian-archive")))
    return;
  char *line = signed_by ? g_strdup_printf("deb [signed-by=%s] %s %s main", signed_by, uri, suite)
                         : g_strdup_printf("deb %s %s main", uri, suite);
  if (strcmp(suite, codename) == 0)
    g_ptr_array_insert(a->lines, 0, line);
  else
    g_ptr_array_add(a->lines, line);
}

static char **
words(const char *text)
{
  g_autofree char *copy = g_strdup(text ? text : "");
  g_autoptr(GPtrArray) out = g_ptr_array_new();

  for (char *save = NULL, *w = strtok_r(copy, " \t\r\n", &save); w; w = strtok_r(NULL, " \t\r\n", &save))
    g_ptr_array_add(out, g_strdup(w));
  g_ptr_array_add(out, NULL);
  return (char **)g_ptr_array_steal(out, NULL);
}

static void
parse_line(PtApt *a, const char *text, const char *codename)
{
  g_autofree char *line = g_strndup(text, strcspn(text, "#"));
  g_autofree char *signed_by = NULL;
  char *open = strchr(line, '['), *close = open ? strchr(open, ']') : NULL;

  if (open && close) {
    g_autofree char *inside = g_strndup(open + 1, (gsize)(close - open - 1));
    g_auto(GStrv) options = words(inside);
    for (char **o = options; *o; o++)
      if (g_str_has_prefix(*o, "signed-by="))
        signed_by = g_strdup(*o + strlen("signed-by="));
    memset(open, ' ', (gsize)(close - open + 1));
  }
  g_auto(GStrv) w = words(line);
  if (g_strv_length(w) >= 4 && strcmp(w[0], "deb") == 0 && has_word(w + 3, "main"))
    add_entry(a, w[1], w[2], signed_by, codename);
}

/* One stanza of deb822: fields with continuation lines joined by blanks. */
static void
parse_stanza(PtApt *a, GHashTable *fields, const char *codename)
{
  const char *enabled = g_hash_table_lookup(fields, "enabled");
  const char *key = g_hash_table_lookup(fields, "signed-by");
  g_auto(GStrv) types = words(g_hash_table_lookup(fields, "types"));
  g_auto(GStrv) uris = words(g_hash_table_lookup(fields, "uris"));
  g_auto(GStrv) suites = words(g_hash_table_lookup(fields, "suites"));
  g_auto(GStrv) components = words(g_hash_table_lookup(fields, "components"));
  g_auto(GStrv) keys = words(key);

  if (!has_word(types, "deb") || !has_word(components, "main") || (enabled && g_ascii_strcasecmp(enabled, "no") == 0))
    return;
  for (char **u = uris; *u; u++)
    for (char **s = suites; *s; s++)
      add_entry(a, *u, *s, keys[0], codename);
}

static void
parse_deb822(PtApt *a, const char *text, const char *codename)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  g_autoptr(GHashTable) fields = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  g_autofree char *last = NULL;

  for (char **l = lines; ; l++) {
    if (!*l || (*l)[strspn(*l, " \t\r")] == '\0') {
      parse_stanza(a, fields, codename);
      g_hash_table_remove_all(fields);
      g_clear_pointer(&last, g_free);
      if (!*l)
        return;
      continue;
    }
    if (**l == '#')
      continue;
    if (g_ascii_isspace(**l)) {
      const char *before = last ? g_hash_table_lookup(fields, last) : NULL;
      if (before)
        g_hash_table_insert(fields, g_strdup(last), g_strconcat(before, " ", g_strstrip(*l), NULL));
      continue;
    }
    char *colon = strchr(*l, ':');
    if (!colon)
      continue;
    g_free(last);
    last = g_ascii_strdown(*l, colon - *l);
    g_hash_table_insert(fields, g_strdup(last), g_strstrip(g_strdup(colon + 1)));
  }
}

/* What the files name of one suite; NULL where it is not named itself. */
static PtApt *
parse_suite(const char *const *names, const char *const *texts, const char *codename)
{
  g_autoptr(PtApt) a = g_new0(PtApt, 1);

  a->suite = g_strdup(codename);
  a->lines = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; names[i]; i++) {
    if (g_str_has_suffix(names[i], ".sources")) {
      parse_deb822(a, texts[i], codename);
      continue;
    }
    g_auto(GStrv) lines = g_strsplit(texts[i], "\n", -1);
    for (char **l = lines; *l; l++)
      parse_line(a, *l, codename);
  }
  g_autofree char *mark = g_strdup_printf(" %s main", codename);
  if (a->lines->len == 0 || !g_str_has_suffix(g_ptr_array_index(a->lines, 0), mark))
    return NULL;
  return g_steal_pointer(&a);
}

/* The architectures that are released with it, oldest first: https://www.debian.org/releases/. What is in no release (ports), or has been
 * left out of a newer one, its mirrors do not carry. An unknown suite is apt's to judge. */
static const struct {
  const char *suite, *number, *archs;
} suites[] = {
  { "bookworm", "12", "amd64 arm64 armel armhf i386 mips64el mipsel ppc64el s390x" },
  { "trixie", "13", "amd64 arm64 armel armhf i386 ppc64el riscv64 s390x" },
};

static bool
carries(guint suite, const char *arch)
{
  g_auto(GStrv) archs = words(suites[suite].archs);

  return has_word(archs, arch);
}

/* The oldest from the machine's own on. */
static const char *
choose_suite(const char *own, const char *arch, GError **error)
{
  guint first = 0, i;

  while (first < G_N_ELEMENTS(suites) && strcmp(own, suites[first].suite) != 0)
    first++;
  for (i = first; i < G_N_ELEMENTS(suites) && !carries(i, arch); i++)
    ;
  if (i == first)
    return own;
  if (i < G_N_ELEMENTS(suites))
    return suites[i].suite;
  PT_SET(error, PT_ERR_UNSUPPORTED, "this node is Debian %s, and neither that nor a newer one has packages for %s", suites[first].number,
         arch);
  pt_error_hint(error, "import an image instead: portena image import docker://… --arch %s", arch);
  return NULL;
}

/* The same mirrors, with another suite. A line ends in "SUITE main", where SUITE begins with the old name. */
static void
turn_to(PtApt *a, const char *suite)
{
  g_autofree char *word = g_strconcat(" ", a->suite, NULL);

  for (guint i = 0; i < a->lines->len; i++) {
    g_autofree char *line = a->lines->pdata[i];
    const char *at = g_strrstr(line, word);
    a->lines->pdata[i] = g_strdup_printf("%.*s %s%s", (int)(at - line), line, suite, at + strlen(word));
  }
  g_free(a->suite);
  a->suite = g_strdup(suite);
}

PtApt *
pt_apt_parse(const char *const *names, const char *const *texts, const char *codename, const char *arch, GError **error)
{
  const char *suite = arch ? choose_suite(codename, arch, error) : codename;
  g_autoptr(PtApt) a = suite ? parse_suite(names, texts, suite) : NULL;

  if (!suite)
    return NULL;
  if (!a && suite != codename && (a = parse_suite(names, texts, codename)))
    turn_to(a, suite);
  if (a)
    a->newer = suite != codename;
  if (!a) {
    PT_SET(error, PT_ERR_INVALID, "the apt sources of this machine name no mirror of Debian %s", codename);
    pt_error_hint(error, "add one to /etc/apt/sources.list.d and try again");
  }
  return g_steal_pointer(&a);
}

static char *
os_release(const char *root, const char *key)
{
  g_autofree char *path = g_build_filename(root, "etc/os-release", NULL);
  g_autofree char *text = NULL;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return NULL;
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (char **l = lines; *l; l++) {
    gsize n = strlen(key);
    if (strncmp(*l, key, n) == 0 && (*l)[n] == '=')
      return g_shell_unquote(*l + n + 1, NULL);
  }
  return NULL;
}

static gint
by_name(gconstpointer a, gconstpointer b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

PtApt *
pt_apt_read(const char *root, const char *arch, GError **error)
{
  g_autofree char *codename = os_release(root, "VERSION_CODENAME");
  g_autofree char *id = os_release(root, "ID");
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *parts = g_build_filename(root, "etc/apt/sources.list.d", NULL);
  const char *name;

  if (!codename || g_strcmp0(id, "debian") != 0) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "the built-in recipes are made of the packages of a Debian host, and this is none");
    pt_error_hint(error, "import an image instead: portena image import docker://…");
    return NULL;
  }
  g_ptr_array_add(names, g_build_filename(root, "etc/apt/sources.list", NULL));
  g_autoptr(GDir) dir = g_dir_open(parts, 0, NULL);
  while (dir && (name = g_dir_read_name(dir)))
    if (g_str_has_suffix(name, ".list") || g_str_has_suffix(name, ".sources"))
      g_ptr_array_add(names, g_build_filename(parts, name, NULL));
  g_ptr_array_sort(names, by_name);
  for (guint i = 0; i < names->len; i++) {
    char *text = NULL;
    if (!g_file_get_contents(g_ptr_array_index(names, i), &text, NULL, NULL))
      text = g_strdup(""); /* there is no sources.list on newer systems */
    g_ptr_array_add(texts, text);
  }
  g_ptr_array_add(names, NULL);
  g_ptr_array_add(texts, NULL);
  return pt_apt_parse((const char *const *)names->pdata, (const char *const *)texts->pdata, codename, arch, error);
}

GPtrArray *
pt_apt_options(const char *dump)
{
  static const char *const wanted[] = { "Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::ForceIPv",
                                        "Acquire::Retries " };
  GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
  g_auto(GStrv) lines = g_strsplit(dump, "\n", -1);

  for (char **l = lines; *l; l++) {
    bool take = false;
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
      take = take || g_str_has_prefix(*l, wanted[i]);
    /* Names of programs to run have no place in another root, nor have names with a password in the open argv. */
    if (!take || strstr(*l, "Detect") || strchr(*l, '@'))
      continue;
    g_strchomp(*l);
    if (g_str_has_suffix(*l, "\";"))
      g_ptr_array_add(out, g_strndup(*l, strlen(*l) - 1));
  }
  return out;
}
