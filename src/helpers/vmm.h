// SPDX-License-Identifier: Apache-2.0
#pragma once
/* portena-vmm's own parts. The theory of operation is in vmm.c. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct vmm {
  int agent, qmp;    /* our ends; -1 = there is none, or it is over */
  bool ready_by_qmp; /* no agent is expected: the machine is up once QEMU runs it */
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

/* ---- vmm_qmp.c: QEMU's own events ---- */
void qmp_read(void);
void qmp_powerdown(void);

/* ---- vmm.c ---- */
void complain(const char *what); /* on the console */
void say_ready(void);
void ask_to_end(void);
bool send_all(int *fd, const void *data, size_t size); /* on failure *fd is closed and -1 */
