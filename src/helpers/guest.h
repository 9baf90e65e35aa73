// SPDX-License-Identifier: Apache-2.0
#pragma once
/* portena-guest's own parts. The theory of operation is in guest.c (the first process) and guest_agent.c (the agent). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/guest.h"

#define GUEST_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- guest_lines.c: what the host says, parsed. Pure; strings point into the parsed text. ---- */

#define LIST_MAX 4096
struct list {
  unsigned n;
  const char *at[LIST_MAX + 1]; /* NULL-ended */
};

struct config { /* base/guest.h: /config. NULL = not there */
  const char *hostname, *domain, *machine_id, *mac, *mtu, *seed, *time, *init, *cwd, *user, *stop, *image, *volume;
  struct list address, gateway, card, dns, command, env, disk;
};

struct request { /* base/guest.h: Requests */
  const char *verb, *path, *cwd, *user, *tty, *cols, *rows, *mode, *uid, *gid, *parents, *recursive, *follow, *target, *count, *card;
  const char *serial, *readonly, *force, *size; /* of disks */
  struct list arg, env;
};

/* False: a line is none, or a list is too long. What is unknown is ignored; of a key that stands alone the last one counts. */
bool config_parse(char *text, size_t size, struct config *c);
bool request_parse(char *text, size_t size, struct request *r);
/* Decimal, or octal for a mode, without anything else; `none` where the text is NULL, -1 where it is no number up to `max`. */
long long number_of(const char *text, int base, long long max, long long none);

/* ---- guest_io.c ---- */

void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* to the console: a start that fails is seen there */
bool write_whole(int fd, const void *data, size_t size);
ssize_t read_whole(const char *path, char *buf, size_t size); /* at most size - 1 bytes, NUL-ended; -1 */
bool write_text(const char *path, const char *text);           /* an existing file of the kernel's */
/* In the present root: a new file takes the name, but only where it says something else already. */
bool put_text(const char *path, const char *text, mode_t mode);
bool make_dirs(char *path, mode_t mode, uid_t uid, gid_t gid);  /* every directory above `path`; it is put back as it was */
bool enter_root(int root);                                     /* chroot into the directory */
long long boot_usec(void);

/* ---- guest_boot.c, as the first process and in the initramfs ---- */
bool boot_mounts(void);
bool boot_modules(bool late); /* /modules/order; late: those that nothing waits for */
/* Image, volume and the two as one at ROOT_DIR; the volume's descriptor (for freezing), -1 where there is none. */
bool boot_root(const struct config *c, int *ret_volume);
/* "/dev/vdX" of the disk with this serial number, in the present root. */
bool boot_find_disk(const char *serial, char *path, size_t size);
bool boot_system_mounts(bool app); /* below ROOT_DIR: what the image's init expects to find, or an app's all */
#define ROOT_DIR "/root"

/* ---- guest_identity.c: in the guest's root ---- */
void identity_clock(const char *usec_at_start);
void identity_seed(const char *hex);
bool identity_files(const struct config *c); /* hostname, hosts, resolv.conf, machine-id; the host's name is set */

/* ---- guest_disks.c: in the guest's root ---- */
bool disks_mount(const struct config *c); /* the data volumes */

/* ---- guest_net.c ---- */
bool net_setup(const struct config *c, bool again); /* again: what eth0 had is taken from it first */

/* ---- guest_rtnl.c: rtnetlink(7), one socket. 0 or an errno. ---- */
bool rtnl_open(void);
void rtnl_close(void);
int rtnl_link(int index, bool up, const unsigned char *mac, int mtu, const char *name); /* NULL, 0: stays as it is */
/* "10.83.0.5/24" into its family, bytes and prefix length (a whole address has all bits). */
bool rtnl_parse(const char *text, unsigned char *family, unsigned char bytes[16], unsigned char *prefix);
int rtnl_address(bool add, int index, unsigned char family, const unsigned char *bytes, unsigned char prefix);
/* To the network of `prefix` bits (0: to everything else, by the gateway `bytes`), in a routing table (0: the main one). */
int rtnl_route(int index, unsigned char family, const unsigned char *bytes, unsigned char prefix, unsigned char table);
int rtnl_rule(unsigned char family, const unsigned char *from, unsigned char table); /* what is from this address looks there */
void rtnl_rules_clear(unsigned char table);
/* All go, and with the last of a family its routes. True: IPv6's link-local one was there, which is made of the MAC. */
bool rtnl_addresses_clear(int index);

/* ---- guest_card.c: further network cards ---- */
/* `line`: base/guest.h, card=. Waits up to `wait` µs for the card to come. NULL on success, else what is wrong. */
const char *card_setup(const char *line, long long wait);
void verb_card(const struct request *r) __attribute__((noreturn));

/* ---- guest_units.c: in the guest's root ---- */
bool is_systemd(void);
void units_prepare(void);

/* ---- guest_user.c: in the guest's root ---- */
struct user {
  uid_t uid;
  gid_t gid;
  char name[256], home[1024], shell[1024];
  gid_t groups[64];
  int n_groups;
};
/* "NAME|UID[:GID|GROUP]", NULL is root. NULL on success, else what is missing. */
const char *user_find(const char *who, struct user *u);
void user_name(uid_t uid, char *name, size_t size); /* the number where it has none; keeps passwd in memory */
bool user_become(const struct user *u);
/* The environment for `env` as this user: what has to be there and is not is added. Static. */
char **user_env(const struct list *env, const struct user *u);

/* ---- guest_app.c ---- */
void app_run(const struct config *c, int agent, pid_t agent_pid) __attribute__((noreturn));

/* ---- guest_agent.c, guest_port.c ---- */

struct agent {
  int root;    /* of the guest, O_PATH */
  int volume;  /* -1 = none */
  int notify;  /* systemd's, datagrams */
  int first;   /* to the first process: it closes it by executing, or is an app's and tells its end here */
  bool app, ready;
};
extern struct agent agent;
void agent_run(void) __attribute__((noreturn));
void agent_shutdown(void);
void agent_ready(void);

enum { IN = 0, OUT = 1, ERR = 2 };
#define QUEUE_MAX (64 * 1024)

/* What a session's request is doing: a child with pipes, or (connect) a socket. */
struct job {
  bool active, reaped, answered, tty, stream, freezes, thaws;
  bool in_end;        /* the host sent the end of IN */
  pid_t pid;
  int status;
  int result;         /* what the child says: answer(), -1 = it is over */
  int fd[3];          /* in: written, out, err: read; -1 = over */
  unsigned char buf[PT_GUEST_WINDOW]; /* IN that was not taken yet */
  size_t at, n;
  uint32_t due;       /* of IN, to be granted to the host */
  uint32_t credit[3]; /* OUT, ERR: what the host takes yet */
  int final;          /* frame type of the last answer, 0 = none yet */
  unsigned char text[PT_GUEST_DATA_MAX];
  size_t text_n;
};

struct port {
  int fd, index;
  bool open, events, lost, frozen;
  bool seen;       /* the kernel has said of this host that it is connected */
  long long gone;  /* boot_usec() when a host that is not seen any more is taken to be gone; 0 = it is there, -1 = it is gone */
  unsigned char in[2 * PT_GUEST_FRAME_MAX], out[QUEUE_MAX];
  size_t in_n, out_at, out_n, request_n;
  char request[PT_GUEST_REQUEST_MAX + 1];
  struct job job;
};
void port_open(struct port *p, int index, int fd);
void port_work(struct port *p);  /* reads, answers and writes as far as it goes */
bool port_send(struct port *p, int type, const void *data, size_t size);
size_t port_room(const struct port *p);
void port_end(struct port *p);   /* the host is gone: what it began is ended */

/* ---- guest_job.c ---- */
bool job_start(struct port *p);   /* the request is whole; false: it made no sense, and the host has been told */
void job_in(struct port *p, const unsigned char *data, size_t size);
bool job_credit(struct port *p, uint32_t type, uint32_t bytes);
void job_resize(struct port *p, uint32_t cols, uint32_t rows);
void job_signal(struct port *p, uint32_t number);
void job_pump(struct port *p);
bool job_reaped(struct port *p, pid_t pid, int status);
void job_kill(struct port *p);

/* In the child that does a request: what is said to the host. `early`: the request goes on. */
void answer_ok(bool early, const char *text, size_t size, int fd);
void answer_errno(int err, const char *object) __attribute__((noreturn));
void answer_error(uint32_t code, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
/* A growing line buffer for answers and lists; add() escapes. Flushed to fd 1 when full. */
struct lines {
  size_t n;
  char at[PT_GUEST_DATA_MAX];
};
void add(struct lines *l, const char *key, const char *value);
void add_number(struct lines *l, const char *key, long long value);
void lines_flush(struct lines *l);

enum { CODE_INVALID = 0, CODE_FORBIDDEN = 2, CODE_NOT_FOUND = 3, CODE_CONFLICT = 4, CODE_TOO_LARGE = 7, CODE_INTERNAL = 11,
       CODE_UNSUPPORTED = 12 };

/* The verbs. Each runs in a child of the agent, its stdin IN, its stdout OUT; they do not return. */
struct verb {
  const char *name;
  void (*run)(const struct request *r);
};
void verb_exec(const struct request *r) __attribute__((noreturn));
void verb_connect(const struct request *r) __attribute__((noreturn));
void verb_ps(const struct request *r) __attribute__((noreturn));
void verb_cpus(const struct request *r) __attribute__((noreturn));
void verb_stat(const struct request *r) __attribute__((noreturn));
void verb_list(const struct request *r) __attribute__((noreturn));
void verb_get(const struct request *r) __attribute__((noreturn));
void verb_put(const struct request *r) __attribute__((noreturn));
void verb_mkdir(const struct request *r) __attribute__((noreturn));
void verb_symlink(const struct request *r) __attribute__((noreturn));
void verb_remove(const struct request *r) __attribute__((noreturn));
void verb_mount(const struct request *r) __attribute__((noreturn));
void verb_unmount(const struct request *r) __attribute__((noreturn));
void verb_grow(const struct request *r) __attribute__((noreturn));
