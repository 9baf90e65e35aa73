// SPDX-License-Identifier: Apache-2.0
/* portena-disk: says what portenad has to know of a disk image or an OVA before qemu-img reads it. Runs in portena-jail, never
 * elsewhere. stdout: lines "KEY VALUE"; stderr: why it was refused. Exit status: 0; 1 the image's fault; 2 anything else. */
#include "helpers/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] = "usage: portena-disk check FORMAT FILE [OFFSET SIZE] | ova FILE | firmware disk|iso FILE\n";

enum { BAD_IMAGE = 1, BAD_HOST = 2 };

static int
do_check(const struct disk_file *f, const char *format)
{
  struct disk_error e = { "" };
  unsigned i = 0;

  while (disk_format_names[i] && strcmp(disk_format_names[i], format) != 0)
    i++;
  if (!disk_format_names[i]) {
    fputs(usage, stderr);
    return BAD_HOST;
  }
  if (disk_check(f, (enum disk_format)i, &e))
    return 0;
  fprintf(stderr, "%s\n", e.text);
  return BAD_IMAGE;
}

static void
say(const char *key, const char *value)
{
  if (value && *value)
    printf("%s %s\n", key, value);
}

static int
do_ova(const struct disk_file *f)
{
  struct disk_error e = { "" };
  struct ova ova;

  if (!ova_open(f, &ova, &e)) {
    fprintf(stderr, "%s\n", e.text);
    return BAD_IMAGE;
  }
  say("format", disk_format_names[ova.ovf.format]);
  printf("offset %" PRIu64 "\nsize %" PRIu64 "\ncpus %u\nmemory %" PRIu64 "\n", ova.offset, ova.size, ova.ovf.cpus, ova.ovf.memory);
  say("firmware", disk_firmware_names[ova.ovf.firmware]);
  say("name", ova.ovf.name);
  say("os", ova.ovf.os);
  say("description", ova.ovf.description);
  for (unsigned i = 0; i < ova.n_sums; i++)
    printf("sum %d %s %" PRIu64 " %" PRIu64 "\n", ova.sums[i].bits, ova.sums[i].hex, ova.sums[i].offset, ova.sums[i].size);
  return 0;
}

/* "OFFSET SIZE" of the arguments narrow the file. */
static bool
narrow(struct disk_file *f, char **args)
{
  char *end[2];

  f->offset = strtoull(args[0], &end[0], 10);
  uint64_t size = strtoull(args[1], &end[1], 10);
  if (*end[0] || *end[1] || f->offset > f->size || size > f->size - f->offset)
    return false;
  f->size = size;
  return true;
}

int
main(int argc, char **argv)
{
  bool check = argc > 1 && strcmp(argv[1], "check") == 0, ova = argc > 1 && strcmp(argv[1], "ova") == 0,
       firmware = argc > 1 && strcmp(argv[1], "firmware") == 0;
  struct disk_file f = { .fd = -1 };
  struct stat st;

  if (!(check && (argc == 4 || argc == 6)) && !(ova && argc == 3) && !(firmware && argc == 4)) {
    fputs(usage, stderr);
    return BAD_HOST;
  }
  const char *path = argv[ova ? 2 : 3];
  f.fd = open(path, O_RDONLY | O_CLOEXEC);
  if (f.fd < 0 || fstat(f.fd, &st)) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return BAD_HOST;
  }
  f.size = (uint64_t)st.st_size;
  if (argc == 6 && !narrow(&f, argv + 4)) {
    fputs(usage, stderr);
    return BAD_HOST;
  }
  if (check)
    return do_check(&f, argv[2]);
  if (ova)
    return do_ova(&f);
  say("firmware", disk_firmware_names[strcmp(argv[2], "iso") == 0 ? disk_iso_firmware(&f) : disk_guess_firmware(&f)]);
  return 0;
}
