// SPDX-License-Identifier: Apache-2.0
/* Who this machine is: its names, its clock, its randomness. What a container has of these is written from outside before it
 * starts (drivers/container/prepare.c); the files are the same, so that a volume that changes its kind finds them right. */
#include "helpers/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define SEED_MAX 64
#define CLOCK_SLACK_USEC 500000

void
identity_clock(const char *usec_at_start)
{
  long long start = number_of(usec_at_start, 10, 253402300799LL * 1000000, -1); /* to the end of the year 9999 */
  struct timeval now;

  if (start <= 0 || gettimeofday(&now, NULL) < 0)
    return;
  long long want = start + boot_usec(), have = (long long)now.tv_sec * 1000000 + now.tv_usec;
  if (have > want - CLOCK_SLACK_USEC && have < want + CLOCK_SLACK_USEC)
    return;
  now = (struct timeval){ .tv_sec = (time_t)(want / 1000000), .tv_usec = (suseconds_t)(want % 1000000) };
  if (settimeofday(&now, NULL) < 0)
    complain("the clock: %s", strerror(errno));
}

static int
nibble(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
identity_seed(const char *hex)
{
  union {
    struct rand_pool_info info;
    char room[sizeof(struct rand_pool_info) + SEED_MAX];
  } pool = { .room = { 0 } };
  unsigned char *data = (unsigned char *)pool.info.buf;
  int n = 0;

  while (hex && n < SEED_MAX && nibble(hex[0]) >= 0 && nibble(hex[1]) >= 0) {
    data[n++] = (unsigned char)(nibble(hex[0]) << 4 | nibble(hex[1]));
    hex += 2;
  }
  if (!n)
    return;
  pool.info.entropy_count = 8 * n;
  pool.info.buf_size = n;
  /* Opened by the agent in the initramfs and by the first process: each has a /dev. */
  int fd = open("/dev/random", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
    complain("the random generator: %s", strerror(errno));
  if (fd >= 0)
    close(fd);
}

static void
append(char *text, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void
append(char *text, size_t size, const char *fmt, ...)
{
  size_t n = strlen(text);
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text + n, size - n, fmt, ap);
  va_end(ap);
}

static bool
put(const char *path, const char *text, mode_t mode)
{
  if (put_text(path, text, mode))
    return true;
  complain("%s: %s", path, strerror(errno));
  return false;
}

bool
identity_files(const struct config *c)
{
  static char text[16384];
  const char *domain = c->domain ? c->domain : "internal";
  bool ok = true;

  if (mkdir("/etc", 0755) < 0 && errno != EEXIST)
    complain("/etc: %s", strerror(errno));
  if (c->hostname) {
    ok = sethostname(c->hostname, strlen(c->hostname)) == 0;
    snprintf(text, sizeof text, "%s\n", c->hostname);
    ok = put("/etc/hostname", text, 0644) && ok;
    snprintf(text, sizeof text, "# written by Portena at each start\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
                                "ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n");
    for (unsigned i = 0; i < c->address.n; i++)
      append(text, sizeof text, "%.*s %s.%s %s\n", (int)strcspn(c->address.at[i], "/"), c->address.at[i], c->hostname, domain,
             c->hostname);
    ok = put("/etc/hosts", text, 0644) && ok;
  }
  if (c->dns.n) {
    snprintf(text, sizeof text, "# written by Portena at each start\n");
    for (unsigned i = 0; i < c->dns.n; i++)
      append(text, sizeof text, "nameserver %s\n", c->dns.at[i]);
    append(text, sizeof text, "search %s\n", domain);
    ok = put("/etc/resolv.conf", text, 0644) && ok;
  }
  if (c->machine_id && (!c->init || strcmp(c->init, "app") != 0)) {
    snprintf(text, sizeof text, "%s\n", c->machine_id);
    ok = put("/etc/machine-id", text, 0444) && ok;
  }
  return ok;
}
