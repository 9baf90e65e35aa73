// SPDX-License-Identifier: Apache-2.0
/* A free port. The directory may be another's: what is not a socket or a plain file there is not touched, and no name is followed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "helpers/guestctl.h"

#define TRIES 100 /* of 50 ms */

int
port_lock(int dir, const char *name)
{
  struct stat st;

  int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
    return fd;
  close(fd);
  return -1;
}

int
port_connect(int dir, const char *name)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  const struct timeval wait = { .tv_sec = 2 };
  struct stat st;

  int at = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (at < 0)
    return -1;
  snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d", at);
  int fd = fstat(at, &st) == 0 && S_ISSOCK(st.st_mode) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
  if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)) {
    close(fd);
    fd = -1;
  }
  close(at);
  return fd;
}

int
port_take(int dir, int *ret_lock)
{
  const struct timespec moment = { .tv_nsec = 50000000 };
  unsigned char first = 0;

  if (getrandom(&first, 1, 0) != 1)
    first = (unsigned char)getpid();
  for (int try = 0; try < TRIES; try++) {
    for (int i = 0; i < PT_GUEST_PORTS - 1; i++) {
      int number = 1 + (first + i) % (PT_GUEST_PORTS - 1), fd = -1;
      char lock[32], port[32];

      snprintf(lock, sizeof lock, "port.%d.lock", number);
      snprintf(port, sizeof port, "port.%d", number);
      *ret_lock = port_lock(dir, lock);
      if (*ret_lock >= 0)
        fd = port_connect(dir, port);
      if (fd >= 0)
        return fd;
      if (*ret_lock >= 0)
        close(*ret_lock);
    }
    nanosleep(&moment, NULL);
  }
  *ret_lock = -1;
  return -1;
}
