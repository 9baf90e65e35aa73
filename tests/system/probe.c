// SPDX-License-Identifier: Apache-2.0
/* Runs inside a guest.
 *
 * "probe FAMILY" makes a socket by the 32-bit system call table, which every 64-bit program has at hand, too (int 0x80). Exit
 * status 0: it got one; 1: it did not.
 *
 * "probe hang" lays a file of a FUSE that never answers a read over its own arguments, says "ready", and stays. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void
answer(int fd, uint64_t unique, int err, void *body, size_t size)
{
  struct fuse_out_header head = { .len = (uint32_t)(sizeof head + size), .error = -err, .unique = unique };
  struct iovec io[2] = { { &head, sizeof head }, { body, size } };

  if (writev(fd, io, size ? 2 : 1) < 0)
    perror("probe: fuse");
}

/* One file; what is read of it never comes. */
static void
serve(int fd)
{
  static char request[1 << 17];
  const struct fuse_in_header *in = (const void *)request;
  struct fuse_attr file = { .ino = 2, .size = 4096, .mode = S_IFREG | 0644, .nlink = 1 };
  struct fuse_attr dir = { .ino = 1, .mode = S_IFDIR | 0755, .nlink = 2 };

  while (read(fd, request, sizeof request) > 0) {
    if (in->opcode == FUSE_INIT) {
      struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 65536 };
      answer(fd, in->unique, 0, &out, sizeof out);
    } else if (in->opcode == FUSE_LOOKUP) {
      struct fuse_entry_out out = { .nodeid = 2, .entry_valid = 1000, .attr_valid = 1000, .attr = file };
      answer(fd, in->unique, 0, &out, sizeof out);
    } else if (in->opcode == FUSE_GETATTR) {
      struct fuse_attr_out out = { .attr_valid = 1000, .attr = in->nodeid == 1 ? dir : file };
      answer(fd, in->unique, 0, &out, sizeof out);
    } else if (in->opcode == FUSE_OPEN) {
      struct fuse_open_out out = { 0 };
      answer(fd, in->unique, 0, &out, sizeof out);
    } else if (in->opcode != FUSE_READ) {
      answer(fd, in->unique, ENOSYS, NULL, 0);
    }
  }
  exit(0);
}

static int
hang(char *arguments)
{
  char options[100];
  int fd = open("/dev/fuse", O_RDWR);

  if (fd < 0 || (mkdir("/fuse", 0755) && errno != EEXIST))
    return 2;
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
  if (mount("probe", "/fuse", "fuse", 0, options))
    return 3;
  if (fork() == 0)
    serve(fd);
  int file = open("/fuse/file", O_RDONLY);
  if (file < 0)
    return 4;
  puts("ready");
  fflush(stdout);
  void *page = (void *)((uintptr_t)arguments & ~(uintptr_t)4095);
  if (mmap(page, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
    return 5;
  for (;;)
    sleep(1000);
}

static int
socket_of_32_bits(int family)
{
#if defined(__x86_64__)
  enum { SOCKETCALL = 102, SOCKET = 359 };
  uint32_t *args = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  long rc;

  if (args == MAP_FAILED)
    return 2;
  args[0] = (uint32_t)family;
  args[1] = 1; /* SOCK_STREAM */
  args[2] = 0;
  __asm__ volatile("int $0x80" : "=a"(rc) : "a"((long)SOCKETCALL), "b"(1L), "c"((long)(uintptr_t)args) : "memory", "r8", "r9", "r10", "r11");
  if ((int)rc >= 0)
    return 0;
  __asm__ volatile("int $0x80" : "=a"(rc) : "a"((long)SOCKET), "b"((long)args[0]), "c"(1L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
  return (int)rc >= 0 ? 0 : 1;
#else
  (void)family;
  return 1;
#endif
}

int
main(int argc, char **argv)
{
  if (argc != 2)
    return 2;
  return strcmp(argv[1], "hang") == 0 ? hang(argv[0]) : socket_of_32_bits(atoi(argv[1]));
}
