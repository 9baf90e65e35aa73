// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The bed of the network tests. All of it happens in namespaces of our own: the test moves into a fresh one that plays the node
 * ("wan0" 192.0.2.1), and another plays the world (192.0.2.9). Guests are processes that sleep in a user and network
 * namespace. */
#include <glib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/error.h"
#include "drivers/network/netlink.h"
#include "drivers/network/netns.h"
#include "drivers/network/network.h"
#include "drivers/network/rules.h"

#define NODE "192.0.2.1"
#define WORLD "192.0.2.9"

typedef struct Guest {
  const char *space, *id, *name, *address, *address6, *mac;
  pid_t pid;
  int ns;
} Guest;

extern PtHost host;
extern int node_ns, world_ns;
extern const PtNetSpace alpha, beta; /* two spaces with the same subnet */
extern Guest a1, a2, b1, b3;         /* nothing about a1 and b1 differs but the space */

/* Makes the bed and runs the tests that were added; 0 and a skip where we may not. */
int bed_main(void (*add)(void), int argc, char **argv);

char *in(int ns, const char *command); /* output of a shell command inside a namespace, whatever its status */
void guest_start(Guest *g);
void guest_end(Guest *g);
PtNetPort port_of(const Guest *g);
void guest_up(PtNet *net, Guest *g); /* started, and its port is up */
PtNet *open_net(const char *uplink);
void space_up(PtNet *net, const PtNetSpace *space);
void close_net(PtNet *net); /* takes both spaces down and proves that nothing of them is left */

int sock(int ns, int type);
struct sockaddr_in at(const char *address, guint16 port);
int listener(int ns, const char *address, guint16 port);
bool connects(int ns, const char *address, guint16 port, int ms); /* whether a connection comes through within that time */
char *accepted_from(int listening); /* who was it that connected next? */
/* Waits until a process that was killed has ended. */
void await_end(pid_t pid);
void assert_answers(int ns, const char *name, const char *expect); /* the space's DNS says so, or comes to say so */
