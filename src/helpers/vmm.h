// SPDX-License-Identifier: Apache-2.0
#pragma once
/* portena-vmm's own parts. The theory of operation is in vmm.c. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct vmm {
  int agent, qmp;    /* our ends; -1 = there is none, or it is over */
  bool ready_by_qmp; /* no agent of ours is expected: the machine is up once QEMU runs it. There may be QEMU's own */
  bool ready;        /* the monitor has been told */
  bool stopping;     /* the guest is to end */
  bool greeted;      /* the agent has answered our hello */
  bool ended;        /* the guest has said how its command ended: */
  unsigned status, sig;
  bool failed;       /* it was given up */
};
extern struct vmm v;

/* ---- vmm_agent.c: port 0 of the guest, base/guest.h ---- */
void agent_hello(void);  /* a new session: at the start, and when the machine has been reset */
void agent_read(void);
bool agent_shutdown(void); /* false: there is nobody to ask yet */
void agent_time(void);

/* ---- vmm_qga.c: QEMU's own guest agent, in an unmodified system that has it. portena-guestctl speaks to it. ---- */
void qga_opened(bool open);       /* the guest has opened, or closed, its port */
void qga_time(void);
bool qga_shutdown(void);          /* false: it has not answered so far */
bool qga_ended(pid_t pid, int status); /* whether the process was one of these; what has to follow is done */
int qga_wait_ms(void);            /* until qga_look() is due; -1 = it is not */
void qga_look(void);

/* ---- vmm_qmp.c: QEMU's own events ---- */
void qmp_read(void);
void qmp_powerdown(void);

/* ---- vmm.c ---- */
void complain(const char *what); /* on the console */
void say_ready(void);
void ask_to_end(void);
bool send_all(int *fd, const void *data, size_t size); /* on failure *fd is closed and -1 */
