// SPDX-License-Identifier: Apache-2.0
/* Runs inside a guest: "probe FAMILY" makes a socket by the 32-bit system call table, which every 64-bit program has at hand, too
 * (int 0x80). Exit status 0: it got one; 1: it did not. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

int
main(int argc, char **argv)
{
#if defined(__x86_64__)
  enum { SOCKETCALL = 102, SOCKET = 359 };
  uint32_t *args = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  long rc;

  if (argc != 2 || args == MAP_FAILED)
    return 2;
  args[0] = (uint32_t)atoi(argv[1]);
  args[1] = 1; /* SOCK_STREAM */
  args[2] = 0;
  __asm__ volatile("int $0x80" : "=a"(rc) : "a"((long)SOCKETCALL), "b"(1L), "c"((long)(uintptr_t)args) : "memory", "r8", "r9", "r10", "r11");
  if ((int)rc >= 0)
    return 0;
  __asm__ volatile("int $0x80" : "=a"(rc) : "a"((long)SOCKET), "b"((long)args[0]), "c"(1L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
  return (int)rc >= 0 ? 0 : 1;
#else
  (void)argc;
  (void)argv;
  return 1;
#endif
}
